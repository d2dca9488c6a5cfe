/*
 * args.c - what a call says: query parameters, durations, numbers, JSON bodies.
 *
 * Place in the system: consul.h. Of a parameter given twice the first counts, and pairs that are not well encoded
 * are as if they were not there: both as in the Go library that Consul reads them with.
 */
#include "api/consul/consul.h"

#include "base/format.h"

#include <string.h>

bool consul_is(struct cor_bytes b, const char *text)
{
    size_t len = strlen(text);
    return b.len == len && (len == 0 || memcmp(b.ptr, text, len) == 0);
}

/* ---- parameters ------------------------------------------------------------------------------------- */

static bool find(const struct consul_call *c, const char *name, struct cor_bytes *value)
{
    struct cor_bytes rest = c->r->query, found;
    bool has_value;
    while (http_query_next(&rest, &found, value, &has_value)) {
        if (consul_is(found, name)) {
            return true;
        }
    }
    return false;
}

bool consul_has(const struct consul_call *c, const char *name)
{
    struct cor_bytes value;
    return find(c, name, &value);
}

struct cor_bytes consul_arg(const struct consul_call *c, const char *name)
{
    struct cor_bytes value;
    size_t len = 0;
    if (!find(c, name, &value)) {
        return (struct cor_bytes){NULL, 0};
    }
    unsigned char *bytes = ARENA_NEW(&c->x->arena, unsigned char, value.len + 1);
    if (bytes == NULL || !http_query_decode(value, bytes, &len)) {
        return (struct cor_bytes){NULL, 0};
    }
    return (struct cor_bytes){bytes, len};
}

/* ---- numbers -------------------------------------------------------------------------------------------- */

/* Digits from *at on, moving it. False: none, or more than @max. */
static bool take_digits(struct cor_bytes in, size_t *at, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    size_t first = *at;
    for (; *at < in.len && in.ptr[*at] >= '0' && in.ptr[*at] <= '9'; ++*at) {
        unsigned digit = (unsigned)(in.ptr[*at] - '0');
        if (v > (max - digit) / 10) {
            return false;
        }
        v = 10 * v + digit;
    }
    *out = v;
    return *at > first;
}

bool consul_number(struct cor_bytes text, uint64_t *out)
{
    size_t at = 0;
    uint64_t v;
    if (!take_digits(text, &at, UINT64_MAX, &v) || at != text.len) {
        return false;
    }
    *out = v;
    return true;
}

/* ---- durations ------------------------------------------------------------------------------------------ */

/* Nanoseconds of the unit at *at, moving it; 0: there is none. */
static uint64_t take_unit(struct cor_bytes in, size_t *at)
{
    static const struct {
        struct cor_bytes name;
        uint64_t ns;
    } units[] = {{COR_BYTES_INIT("ns"), 1},           {COR_BYTES_INIT("us"), 1000},
                 {COR_BYTES_INIT("\xc2\xb5s"), 1000}, /* the micro sign */
                 {COR_BYTES_INIT("\xce\xbcs"), 1000}, /* the Greek letter */
                 {COR_BYTES_INIT("ms"), API_MS},      {COR_BYTES_INIT("s"), API_S},
                 {COR_BYTES_INIT("m"), 60 * API_S},   {COR_BYTES_INIT("h"), 3600 * API_S}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t len = units[i].name.len;
        if (in.len - *at >= len && memcmp(in.ptr + *at, units[i].name.ptr, len) == 0) {
            *at += len;
            return units[i].ns;
        }
    }
    return 0;
}

/* The digits behind a point, as a share of @unit. */
static uint64_t share_of(struct cor_bytes digits, uint64_t unit)
{
    uint64_t v = 0;
    for (size_t i = 0; i < digits.len && unit > 0; i++) {
        unit /= 10;
        v += unit * (uint64_t)(digits.ptr[i] - '0');
    }
    return v;
}

/* One number with a unit: "1.5h", ".5s", "3.m". */
static bool take_term(struct cor_bytes in, size_t *at, uint64_t *out)
{
    uint64_t whole = 0;
    size_t first = *at;
    bool has_whole = take_digits(in, at, INT64_MAX, &whole);
    if (!has_whole && *at > first) {
        return false; /* too many digits */
    }
    struct cor_bytes part = {NULL, 0};
    if (*at < in.len && in.ptr[*at] == '.') {
        part.ptr = in.ptr + ++*at;
        while (*at < in.len && in.ptr[*at] >= '0' && in.ptr[*at] <= '9') {
            part.len++;
            ++*at;
        }
    }
    uint64_t unit = has_whole || part.len > 0 ? take_unit(in, at) : 0;
    if (unit == 0 || whole > (uint64_t)INT64_MAX / unit) {
        return false;
    }
    *out = whole * unit + share_of(part, unit);
    return *out <= INT64_MAX;
}

bool consul_duration(struct cor_bytes text, int64_t *out)
{
    uint64_t sum = 0, term;
    size_t at = 0;
    bool negative = text.len > 0 && text.ptr[0] == '-';
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        at++;
    }
    if (text.len == at + 1 && text.ptr[at] == '0') {
        *out = 0;
        return true;
    }
    do {
        if (!take_term(text, &at, &term) || term > (uint64_t)INT64_MAX - sum) {
            return false;
        }
        sum += term;
    } while (at < text.len);
    *out = negative ? -(int64_t)sum : (int64_t)sum;
    return true;
}

/* ---- bodies ------------------------------------------------------------------------------------------------ */

bool consul_body(struct consul_call *c, struct json_value **out)
{
    struct cor_error err;
    enum cor_status st = json_read(c->r->body, CONSUL_BODY_MEMORY_MAX, out, &err);
    if (st != COR_OK) {
        char text[256];
        format_to(text, sizeof text, "Request decode failed: %s", err.text);
        consul_fail(c->x, st == COR_EPROTO ? 400 : 413, text);
        return false;
    }
    return true;
}
