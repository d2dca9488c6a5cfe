/*
 * chunks.c - chunked bodies (RFC 9112 7.1), byte by byte. See internal.h.
 *
 * Place in the system: request.c and reply.c. Extensions are skipped, trailers are skipped: a field
 * that arrives behind the body may not change what was decided in front of it.
 */
#include "http/internal.h"

#include "base/assert.h"

enum chunk_state {
    SIZE_FIRST = 0, /* a digit must come */
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER,
    TRAILER_LF,
    END_LF,
};

static int hex_of(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum chunk_result move(struct http_chunks *c, bool ok, enum chunk_state to)
{
    c->state = (unsigned char)to;
    return ok ? CHUNK_MORE : CHUNK_BAD;
}

static enum chunk_result take_size(struct http_chunks *c, unsigned char byte)
{
    if (++c->line > HTTP_CHUNK_LINE_MAX) {
        return CHUNK_TOO_LONG;
    }
    int digit = c->state == EXTENSION ? -1 : hex_of(byte);
    if (digit >= 0) {
        bool fits = c->left >> 60 == 0;
        c->left = c->left << 4 | (uint64_t)digit;
        return move(c, fits, SIZE);
    }
    if (c->state == SIZE_FIRST) {
        return CHUNK_BAD;
    }
    if (byte == '\r') {
        return move(c, true, SIZE_LF);
    }
    if (c->state == SIZE) {
        return move(c, byte == ';', EXTENSION);
    }
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f) ? CHUNK_MORE : CHUNK_BAD;
}

static enum chunk_result take_trailer(struct http_chunks *c, unsigned char byte)
{
    if (++c->trailers > HTTP_HEAD_MAX) {
        return CHUNK_TOO_LONG;
    }
    if (byte == '\r') {
        return move(c, true, c->state == TRAILER_START ? END_LF : TRAILER_LF);
    }
    bool folded = c->state == TRAILER_START && (byte == ' ' || byte == '\t');
    bool printable = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    return move(c, printable && !folded, TRAILER);
}

static enum chunk_result end_size(struct http_chunks *c, unsigned char byte)
{
    if (byte != '\n') {
        return CHUNK_BAD;
    }
    c->line = 0;
    c->state = c->left == 0 ? TRAILER_START : DATA;
    return CHUNK_SIZE;
}

/* One byte that is not data. */
static enum chunk_result take_byte(struct http_chunks *c, unsigned char byte)
{
    switch ((enum chunk_state)c->state) {
    case SIZE_FIRST:
    case SIZE:
    case EXTENSION:
        return take_size(c, byte);
    case SIZE_LF:
        return end_size(c, byte);
    case DATA_CR:
        return move(c, byte == '\r', DATA_LF);
    case DATA_LF:
        return move(c, byte == '\n', SIZE_FIRST);
    case TRAILER_START:
    case TRAILER:
        return take_trailer(c, byte);
    case TRAILER_LF:
        return move(c, byte == '\n', TRAILER_START);
    case END_LF:
        return byte == '\n' ? CHUNK_DONE : CHUNK_BAD;
    case DATA:
        break;
    }
    COR_ASSERT(false);
    return CHUNK_BAD;
}

enum chunk_result http_chunks_take(struct http_chunks *c, struct cor_bytes in, size_t *at,
                                   struct cor_bytes *data)
{
    while (*at < in.len) {
        if (c->state == DATA) {
            size_t rest = in.len - *at;
            size_t n = c->left < rest ? (size_t)c->left : rest;
            *data = (struct cor_bytes){in.ptr + *at, n};
            *at += n;
            c->left -= n;
            c->state = c->left == 0 ? DATA_CR : DATA;
            return CHUNK_DATA;
        }
        enum chunk_result r = take_byte(c, in.ptr[(*at)++]);
        if (r != CHUNK_MORE) {
            return r;
        }
    }
    return CHUNK_MORE;
}
