/*
 * params.c - query parameters: known, allowed here, once, well-formed; or the request is refused.
 *
 * Place in the system: every handler begins with it. What is not understood is never ignored: a mistyped
 * "?consistant" would otherwise be a read of the wrong mode.
 */
#include "api/internal.h"

#include "base/format.h"

#include <string.h>

enum kind {
    FLAG = 1, /* a value is ignored (S34) */
    NUMBER,
    TIME,
    BYTES,
};

static const struct {
    struct cor_bytes name;
    enum kind kind;
    uint64_t max; /* NUMBER: 0: any; TIME: nanoseconds */
} known[PARAM_N] = {
    [PARAM_STALE] = {COR_BYTES_INIT("stale"), FLAG, 0},
    [PARAM_CONSISTENT] = {COR_BYTES_INIT("consistent"), FLAG, 0},
    [PARAM_INDEX] = {COR_BYTES_INIT("index"), NUMBER, 0},
    [PARAM_WAIT] = {COR_BYTES_INIT("wait"), TIME, API_WAIT_MAX},
    [PARAM_TIMEOUT] = {COR_BYTES_INIT("timeout"), TIME, API_TIMEOUT_MAX},
    [PARAM_REVISION] = {COR_BYTES_INIT("revision"), NUMBER, 0},
    [PARAM_PREV_REVISION] = {COR_BYTES_INIT("prev_revision"), NUMBER, 0},
    [PARAM_PREFIX] = {COR_BYTES_INIT("prefix"), BYTES, 0},
    [PARAM_KEY] = {COR_BYTES_INIT("key"), BYTES, 0},
    [PARAM_AFTER] = {COR_BYTES_INIT("after"), BYTES, 0},
    [PARAM_LIMIT] = {COR_BYTES_INIT("limit"), NUMBER, 0},
    [PARAM_KEYS] = {COR_BYTES_INIT("keys"), FLAG, 0},
    [PARAM_WATCH] = {COR_BYTES_INIT("watch"), FLAG, 0},
    [PARAM_START_REVISION] = {COR_BYTES_INIT("start_revision"), NUMBER, 0},
    [PARAM_TTL] = {COR_BYTES_INIT("ttl"), TIME, KV_SESSION_IDLE_MAX},
    [PARAM_FORMAT] = {COR_BYTES_INIT("format"), BYTES, 0},
};

static bool same(struct cor_bytes a, struct cor_bytes b)
{
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

static enum param find(struct cor_bytes name)
{
    unsigned which = 0;
    while (which < PARAM_N && !same(known[which].name, name)) {
        which++;
    }
    return (enum param)which;
}

bool params_take_number(struct cor_bytes in, size_t *at, uint64_t *out)
{
    uint64_t v = 0;
    size_t first = *at;
    for (; *at < in.len && in.ptr[*at] >= '0' && in.ptr[*at] <= '9'; ++*at) {
        unsigned digit = (unsigned)(in.ptr[*at] - '0');
        if (v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = 10 * v + digit;
    }
    *out = v;
    return *at > first;
}

/* "ms", "s", "m", "h"; 0: none of them. */
static uint64_t take_unit(struct cor_bytes in, size_t *at)
{
    static const struct {
        struct cor_bytes name;
        uint64_t ns;
    } units[] = {{COR_BYTES_INIT("ms"), API_MS},
                 {COR_BYTES_INIT("s"), API_S},
                 {COR_BYTES_INIT("m"), 60 * API_S},
                 {COR_BYTES_INIT("h"), 3600 * API_S}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t len = units[i].name.len;
        if (in.len - *at >= len && memcmp(in.ptr + *at, units[i].name.ptr, len) == 0) {
            *at += len;
            return units[i].ns;
        }
    }
    return 0;
}

/* "30s", "1m30s". Past @max: refused, so no sum overflows. */
static bool take_time(struct cor_bytes in, uint64_t max, uint64_t *out)
{
    uint64_t sum = 0;
    size_t at = 0;
    do {
        uint64_t n, unit;
        if (!params_take_number(in, &at, &n) || (unit = take_unit(in, &at)) == 0 ||
            n > max / unit) {
            return false;
        }
        sum += n * unit;
    } while (at < in.len && sum <= max);
    *out = sum;
    return at == in.len && sum <= max;
}

static bool refuse(struct exchange *x, struct cor_bytes name, const char *what)
{
    char text[192];
    int len = (int)(name.len < 64 ? name.len : 64);
    format_to(text, sizeof text, "parameter %.*s: %s", len, (const char *)name.ptr, what);
    exchange_fail(x, 400, "bad_request", text);
    return false;
}

static bool take_value(struct exchange *x, enum param which, struct cor_bytes value,
                       struct params *out)
{
    size_t at = 0;
    switch (known[which].kind) {
    case FLAG:
        return true;
    case NUMBER:
        if (!params_take_number(value, &at, &out->number[which]) || at != value.len) {
            return refuse(x, known[which].name, "must be a whole number of at most 64 bits");
        }
        return true;
    case TIME:
        if (!take_time(value, known[which].max, &out->number[which])) {
            char text[96];
            format_to(text, sizeof text,
                      "must be a time such as 500ms, 30s or 1m30s, at most %us",
                      (unsigned)(known[which].max / API_S));
            return refuse(x, known[which].name, text);
        }
        return true;
    case BYTES:
        break;
    }
    unsigned char *bytes = ARENA_NEW(&x->arena, unsigned char, value.len + 1);
    size_t len = 0;
    COR_ASSERT(bytes != NULL); /* conn.c made the arena for the whole target */
    if (!http_query_decode(value, bytes, &len)) {
        return refuse(x, known[which].name, "has a '%' without two hexadecimal digits");
    }
    out->bytes[which] = (struct cor_bytes){bytes, len};
    return true;
}

static bool take_one(struct exchange *x, struct cor_bytes name, struct cor_bytes value,
                     uint32_t allowed, struct params *out)
{
    enum param which = find(name);
    if (which == PARAM_N) {
        return refuse(x, name, "unknown");
    }
    if ((allowed & PARAM_BIT(which)) == 0) {
        return refuse(x, name, "has no meaning here");
    }
    if (has_param(out, which)) {
        return refuse(x, name, "given twice");
    }
    out->present |= PARAM_BIT(which);
    return take_value(x, which, value, out);
}

bool params_parse(struct exchange *x, struct cor_bytes query, uint32_t allowed,
                  struct params *out)
{
    struct cor_bytes name, value;
    bool has_value;
    out->present = 0;
    while (http_query_next(&query, &name, &value, &has_value)) {
        if (!take_one(x, name, value, allowed, out)) {
            return false;
        }
    }
    return true;
}
