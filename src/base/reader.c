/* reader.c - the one bounds check of all decoders is reader_skip(). */
#include "base/reader.h"

#include <string.h>

struct reader reader_of(struct cor_bytes in)
{
    return (struct reader){.at = in.ptr, .end = in.len == 0 ? in.ptr : in.ptr + in.len};
}

/* Step over @len bytes and return where they begin; NULL, for ever after, if they are not
 * all there. @len is 64-bit and compared before any conversion: a length field of 2^64-1
 * must not wrap into a small one. */
static const unsigned char *reader_skip(struct reader *r, uint64_t len)
{
    if (r->failed || len > (uint64_t)(r->end - r->at)) {
        r->failed = true;
        return NULL;
    }
    const unsigned char *p = r->at;
    r->at += len;
    return p;
}

static uint64_t reader_uint(struct reader *r, unsigned width)
{
    const unsigned char *p = reader_skip(r, width);
    uint64_t v = 0;
    for (unsigned i = 0; p != NULL && i < width; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

/* Most of what is decoded are varints of one byte, so this one has no loop. */
uint8_t reader_u8(struct reader *r)
{
    const unsigned char *p = reader_skip(r, 1);
    return p == NULL ? 0 : *p;
}

uint16_t reader_u16(struct reader *r)
{
    return (uint16_t)reader_uint(r, 2);
}

uint32_t reader_u32(struct reader *r)
{
    return (uint32_t)reader_uint(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
    return reader_uint(r, 8);
}

struct cor_bytes reader_bytes(struct reader *r, uint64_t len)
{
    const unsigned char *p = reader_skip(r, len);
    return p == NULL ? (struct cor_bytes){NULL, 0} : (struct cor_bytes){p, (size_t)len};
}

uint64_t reader_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = reader_u8(r);
        bool overflows = shift == 63 && byte > 1;
        bool needless = shift > 0 && byte == 0;
        if (r->failed || overflows || needless) {
            r->failed = true;
            return 0;
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return v;
        }
    }
    r->failed = true;
    return 0;
}

struct cor_bytes reader_blob(struct reader *r)
{
    return reader_bytes(r, reader_varint(r));
}

bool reader_ok(const struct reader *r)
{
    return !r->failed;
}

bool reader_done(const struct reader *r)
{
    return !r->failed && r->at == r->end;
}
