/*
 * attrs.h - what only Consul knows of a key, as the attributes of its version in the store.
 *
 *     attrs := varint lock index | blob session | varint flags
 *
 * The first two are the store's form of a lock (kv/entry.h); a session is 16 bytes, or none. Zeros at the end are
 * left out: a key without lock and flags has no attributes, whichever dialect wrote it, so
 * that writing the same again through another dialect changes nothing.
 */
#ifndef API_CONSUL_ATTRS_H
#define API_CONSUL_ATTRS_H

#include "base/writer.h"
#include "coracle/bytes.h"

#include <stdint.h>

#define CONSUL_SESSION_SIZE 16u
#define CONSUL_ATTRS_MAX    (3 * VARINT_SIZE_MAX + CONSUL_SESSION_SIZE)
#define CONSUL_SESSION_TEXT 36u /* "8-4-4-4-12" */

struct consul_attrs {
    uint64_t lock_index, flags;
    struct cor_bytes session; /* CONSUL_SESSION_SIZE bytes, or none */
};

/* To @out, CONSUL_ATTRS_MAX bytes; returns how many. */
size_t consul_attrs_encode(const struct consul_attrs *attrs, unsigned char *out);
/* What is not understood reads as zeros. The session is borrowed from @in. */
struct consul_attrs consul_attrs_decode(struct cor_bytes in);
/* The text of a session's 16 bytes, CONSUL_SESSION_TEXT characters. */
void consul_session_text(struct cor_bytes session, char *out);

#endif
