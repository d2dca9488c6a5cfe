/*
 * definition.h - how a check is to be run, as the catalog keeps it: nobody here runs it, it is only shown.
 *
 * Encoded as a list of known fields in a fixed order, so equal definitions have equal bytes:
 *     u8 number of the field + 1, then by its kind: a blob; a byte; or varint n and n times a blob and varint m
 *     and m blobs
 */
#ifndef API_CONSUL_DEFINITION_H
#define API_CONSUL_DEFINITION_H

#include "base/writer.h"
#include "json/reader.h"
#include "json/writer.h"

/* NULL, or the name of the field of @object that is not of its type. */
MUST_USE const char *definition_encode(struct writer *w, const struct json_value *object);
void definition_write_json(struct json_writer *w, struct cor_bytes definition);
/* A duration as Go writes it: "1m30s". Returns the length; at most 32 bytes. */
size_t duration_to_text(uint64_t ns, char *out);

#endif
