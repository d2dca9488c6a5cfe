/*
 * door.c - who may ask at all: the headers Host and Origin.
 *
 * Place in the system: conn.c asks before a request is routed. A node on loopback without authentication
 * is in reach of every web page that its user's browser opens. Two rules keep those out:
 *
 *   Host     a page may make its own name resolve to 127.0.0.1 (DNS rebinding) and then read answers
 *            as its own; but its name stands in Host. Loopback names, addresses (a browser cannot be
 *            rebound from an address) and names the operator gave are let in.
 *   Origin   a page may send a POST blindly to any address; but the browser then adds Origin, and what
 *            stands there must pass the same check.
 */
#include "api/internal.h"

#include <string.h>

static char lower(unsigned char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_name(struct cor_bytes b, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len && i < b.len; i++) {
        if (lower(b.ptr[i]) != lower((unsigned char)name[i])) {
            return false;
        }
    }
    return b.len == len;
}

static bool ends_in(struct cor_bytes b, const char *tail)
{
    size_t len = strlen(tail);
    return b.len > len && is_name((struct cor_bytes){b.ptr + b.len - len, len}, tail);
}

/* Digits and dots: four numbers up to 255. */
static bool is_ipv4(struct cor_bytes b)
{
    unsigned dots = 0, digits = 0, value = 0;
    for (size_t i = 0; i < b.len; i++) {
        unsigned char c = b.ptr[i];
        if (c == '.' && digits > 0) {
            dots++;
            digits = value = 0;
        } else if (c >= '0' && c <= '9' && digits < 3) {
            digits++;
            value = 10 * value + (unsigned)(c - '0');
        } else {
            return false;
        }
        if (value > 255) {
            return false;
        }
    }
    return dots == 3 && digits > 0;
}

static bool is_ipv6(struct cor_bytes b)
{
    if (b.len < 4 || b.ptr[0] != '[' || b.ptr[b.len - 1] != ']') {
        return false;
    }
    for (size_t i = 1; i + 1 < b.len; i++) {
        unsigned char c = (unsigned char)lower(b.ptr[i]);
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.')) {
            return false;
        }
    }
    return true;
}

/* Cut ":port" off. False: what follows the colon is not a number. */
static bool cut_port(struct cor_bytes *b)
{
    size_t at = b->len;
    while (at > 0 && b->ptr[at - 1] >= '0' && b->ptr[at - 1] <= '9') {
        at--;
    }
    if (at > 0 && b->ptr[at - 1] == ':') {
        b->len = at - 1;
    }
    return b->len > 0 && (b->ptr[0] == '[' || memchr(b->ptr, ':', b->len) == NULL);
}

static bool is_welcome(const struct api *api, struct cor_bytes host)
{
    if (api->o.any_host) {
        return true;
    }
    if (!cut_port(&host)) {
        return false;
    }
    if (is_ipv4(host) || is_ipv6(host) || is_name(host, "localhost") ||
        ends_in(host, ".localhost")) {
        return true;
    }
    for (size_t i = 0; i < api->o.n_host_names; i++) {
        if (is_name(host, api->o.host_names[i])) {
            return true;
        }
    }
    return false;
}

/* "http://host:port" */
static bool is_welcome_origin(const struct api *api, struct cor_bytes origin)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        size_t len = strlen(schemes[i]);
        if (origin.len > len && is_name((struct cor_bytes){origin.ptr, len}, schemes[i])) {
            return is_welcome(api, (struct cor_bytes){origin.ptr + len, origin.len - len});
        }
    }
    return false; /* "null": a page that hides where it comes from */
}

bool door_check(struct exchange *x, const struct http_request *r)
{
    struct cor_bytes host = http_find_header(r, "host");
    if (host.ptr != NULL && !is_welcome(x->api, host)) {
        exchange_fail(x, 421, "foreign_host",
                      "the header Host names neither this machine nor a --host-name");
        return false;
    }
    struct cor_bytes origin = http_find_header(r, "origin");
    if (origin.ptr != NULL && !is_welcome_origin(x->api, origin)) {
        exchange_fail(x, 403, "foreign_origin", "web pages of other origins may not ask");
        return false;
    }
    return true;
}
