/* writer.c - the one bounds check of all encoders is writer_bytes(). */
#include "base/writer.h"

#include <stddef.h>
#include <string.h>

struct writer writer_of(void *base, size_t size)
{
    return (struct writer){.base = base, .size = size};
}

struct writer writer_counting(void)
{
    return (struct writer){.base = NULL, .size = SIZE_MAX};
}

void writer_bytes(struct writer *w, struct cor_bytes b)
{
    if (w->failed || b.len > w->size - w->used) {
        w->failed = true;
        return;
    }
    if (w->base != NULL && b.len > 0) {
        memcpy(w->base + w->used, b.ptr, b.len);
    }
    w->used += b.len;
}

static void write_uint(struct writer *w, uint64_t v, unsigned width)
{
    unsigned char b[8];
    for (unsigned i = 0; i < width; i++) {
        b[i] = (unsigned char)(v >> (8 * i));
    }
    writer_bytes(w, (struct cor_bytes){b, width});
}

void writer_u8(struct writer *w, uint8_t v)
{
    write_uint(w, v, 1);
}

void writer_u16(struct writer *w, uint16_t v)
{
    write_uint(w, v, 2);
}

void writer_u32(struct writer *w, uint32_t v)
{
    write_uint(w, v, 4);
}

void writer_u64(struct writer *w, uint64_t v)
{
    write_uint(w, v, 8);
}

void writer_varint(struct writer *w, uint64_t v)
{
    unsigned char b[VARINT_SIZE_MAX];
    size_t n = 0;
    while (v >= 0x80) {
        b[n++] = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    b[n++] = (unsigned char)v;
    writer_bytes(w, (struct cor_bytes){b, n});
}

void writer_blob(struct writer *w, struct cor_bytes b)
{
    writer_varint(w, b.len);
    writer_bytes(w, b);
}

bool writer_ok(const struct writer *w)
{
    return !w->failed;
}

size_t varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}
