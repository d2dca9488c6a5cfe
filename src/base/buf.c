/* buf.c - reference-counted bytes; the count belongs to one thread. */
#include "base/buf.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

struct buf *buf_new(size_t len)
{
    COR_ASSERT(len <= UINT32_MAX);
    struct buf *b = malloc(sizeof *b + len);
    if (b != NULL) {
        b->refs = 1;
        b->len = (uint32_t)len;
    }
    return b;
}

struct buf *buf_copy(struct cor_bytes src)
{
    struct buf *b = buf_new(src.len);
    if (b != NULL && src.len > 0) {
        memcpy(b->data, src.ptr, src.len);
    }
    return b;
}

struct buf *buf_ref(struct buf *b)
{
    COR_ASSERT(b->refs > 0 && b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void buf_unref(struct buf *b)
{
    if (b == NULL) {
        return;
    }
    COR_ASSERT(b->refs > 0);
    if (--b->refs == 0) {
        free(b);
    }
}
