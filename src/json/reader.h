/*
 * reader.h - JSON in: a document as a tree, for the few who read some.
 *
 * Place in the system: cli/ reads the answers of nodes with it. json-c parses: at most JSON_READ_DEPTH_MAX deep, nothing
 * behind the document; 64-bit numbers arrive as they were sent. Memory is bounded by the caller's bound on the input.
 */
#ifndef JSON_READER_H
#define JSON_READER_H

#include "base/attr.h"
#include "coracle/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_READ_DEPTH_MAX 32

struct json_value; /* part of a document; lives as long as it does */

/* NULL: not JSON, too deep, or out of memory. Free it with json_free(). */
struct json_value *json_parse(struct cor_bytes in);
void json_free(struct json_value *document);

/* The accessors take NULL for what is not there, and answer with NULL, false or 0 for what is of another kind. */
const struct json_value *json_member(const struct json_value *object, const char *name);
size_t json_length(const struct json_value *array);
const struct json_value *json_at(const struct json_value *array, size_t i);
uint64_t json_get_u64(const struct json_value *v);
bool json_get_bool(const struct json_value *v);
/* Ended by a zero byte; "" for what is no string. */
const char *json_get_text(const struct json_value *v);

/* Bytes of users as json_field_bytes() writes them: the member @name, or "@name_base64" decoded. The bytes are @memory's,
 * freed by the caller. False: neither is there, not base64, or out of memory. */
MUST_USE bool json_get_bytes(const struct json_value *object, const char *name,
                             unsigned char **memory, struct cor_bytes *out);

#endif
