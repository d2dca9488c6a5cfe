/*
 * target.c - the escapes of paths and queries (RFC 3986 2.1, and '+' as forms send it).
 *
 * Place in the system: api/ decodes keys and parameters with it; cli/ encodes keys.
 */
#include "http/http.h"

#include <string.h>

static int hex_of(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct cor_bytes in, bool plus_is_space, unsigned char *out, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = in.ptr[i];
        if (c == '%') {
            int high = in.len - i > 2 ? hex_of(in.ptr[i + 1]) : -1;
            int low = in.len - i > 2 ? hex_of(in.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (unsigned char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[n++] = c;
    }
    *len = n;
    return true;
}

bool http_percent_decode(struct cor_bytes in, unsigned char *out, size_t *len)
{
    return decode(in, false, out, len);
}

bool http_query_decode(struct cor_bytes in, unsigned char *out, size_t *len)
{
    return decode(in, true, out, len);
}

static bool is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
}

size_t http_percent_encode(struct cor_bytes in, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = in.ptr[i];
        size_t need = is_plain(c) ? 1 : 3;
        if (size - n < need) {
            return SIZE_MAX;
        }
        if (need == 1) {
            out[n] = (char)c;
        } else {
            out[n] = '%';
            out[n + 1] = "0123456789ABCDEF"[c >> 4];
            out[n + 2] = "0123456789ABCDEF"[c & 15];
        }
        n += need;
    }
    return n;
}

/* Cut @rest at the first @mark, which is dropped; all of it, if there is none. */
static struct cor_bytes cut(struct cor_bytes *rest, unsigned char mark, bool *found)
{
    const unsigned char *at = rest->len > 0 ? memchr(rest->ptr, mark, rest->len) : NULL;
    struct cor_bytes front = *rest;
    *found = at != NULL;
    if (at == NULL) {
        *rest = (struct cor_bytes){NULL, 0};
        return front;
    }
    front.len = (size_t)(at - rest->ptr);
    *rest = (struct cor_bytes){at + 1, rest->len - front.len - 1};
    return front;
}

bool http_query_next(struct cor_bytes *rest, struct cor_bytes *name, struct cor_bytes *value,
                     bool *has_value)
{
    bool more;
    while (rest->len > 0) {
        struct cor_bytes pair = cut(rest, '&', &more);
        if (pair.len > 0) {
            *name = cut(&pair, '=', has_value);
            *value = pair;
            return true;
        }
    }
    return false;
}
