/*
 * buf.h - a reference-counted, immutable run of bytes: one encoded entry, shared by the log
 * cache, the peers' send queues and whoever else needs it, until the last one lets go.
 *
 * Written once by its maker, before it is shared; read-only afterwards. The count is not
 * atomic: a buf belongs to one thread. Bytes that another thread reads (a disk write in
 * flight) are kept alive by a reference that the owning thread drops on completion.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/attr.h"
#include "coracle/bytes.h"

#include <stdint.h>

struct buf {
    uint32_t refs;
    uint32_t len;
    unsigned char data[];
};

/* A new buf of @len bytes (uninitialized) with one reference; NULL when out of memory. */
MUST_USE struct buf *buf_new(size_t len);
MUST_USE struct buf *buf_copy(struct cor_bytes b);
struct buf *buf_ref(struct buf *b);
void buf_unref(struct buf *b); /* NULL is fine */

static inline struct cor_bytes buf_bytes(const struct buf *b)
{
    return (struct cor_bytes){b->data, b->len};
}

#endif
