/*
 * attrs.c - see attrs.h.
 */
#include "api/consul/attrs.h"

#include "base/assert.h"
#include "base/reader.h"

size_t consul_attrs_encode(const struct consul_attrs *attrs, unsigned char *out)
{
    COR_ASSERT(attrs->session.len == 0 || attrs->session.len == CONSUL_SESSION_SIZE);
    struct writer w = writer_of(out, CONSUL_ATTRS_MAX);
    bool has_session = attrs->session.len > 0;
    if (attrs->lock_index > 0 || has_session || attrs->flags > 0) {
        writer_varint(&w, attrs->lock_index);
    }
    if (has_session || attrs->flags > 0) {
        writer_blob(&w, attrs->session);
    }
    if (attrs->flags > 0) {
        writer_varint(&w, attrs->flags);
    }
    COR_ASSERT(writer_ok(&w));
    return w.used;
}

struct consul_attrs consul_attrs_decode(struct cor_bytes in)
{
    struct consul_attrs out = {.lock_index = 0};
    struct reader r = reader_of(in);
    out.lock_index = in.len > 0 ? reader_varint(&r) : 0;
    if (r.at < r.end) {
        out.session = reader_blob(&r);
    }
    if (r.at < r.end) {
        out.flags = reader_varint(&r);
    }
    if (!reader_done(&r) || (out.session.len != 0 && out.session.len != CONSUL_SESSION_SIZE)) {
        return (struct consul_attrs){.lock_index = 0};
    }
    return out;
}

void consul_session_text(struct cor_bytes session, char *out)
{
    static const char digits[] = "0123456789abcdef";
    COR_ASSERT(session.len == CONSUL_SESSION_SIZE);
    size_t at = 0;
    for (size_t i = 0; i < CONSUL_SESSION_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out[at++] = '-';
        }
        out[at++] = digits[session.ptr[i] >> 4];
        out[at++] = digits[session.ptr[i] & 15];
    }
    COR_ASSERT(at == CONSUL_SESSION_TEXT);
}
