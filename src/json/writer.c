/*
 * writer.c - see writer.h.
 */
#include "json/writer.h"

#include "base/assert.h"
#include "base/format.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 512u /* of a growing buffer */

struct json_writer json_writer_of(void *base, size_t size)
{
    return (struct json_writer){.base = base, .size = size, .max = size};
}

struct json_writer json_writer_growing(size_t max)
{
    return (struct json_writer){.owned = true, .max = max};
}

void json_writer_free(struct json_writer *w)
{
    COR_ASSERT(w->owned);
    free(w->base);
    *w = json_writer_growing(w->max);
}

bool json_ok(const struct json_writer *w)
{
    return !w->failed;
}

struct cor_bytes json_text_of(const struct json_writer *w)
{
    return (struct cor_bytes){(const unsigned char *)w->base, w->used};
}

void json_drain(struct json_writer *w)
{
    w->used = 0;
}

void json_restart(struct json_writer *w)
{
    *w = (struct json_writer){
        .base = w->base, .size = w->size, .max = w->max, .owned = w->owned};
}

static bool grow(struct json_writer *w, size_t need)
{
    if (!w->owned || need > w->max) {
        return false;
    }
    size_t size = w->size < SIZE_MIN / 2 ? SIZE_MIN : 2 * w->size;
    size = size < need ? need : size;
    size = size > w->max ? w->max : size;
    char *base = realloc(w->base, size);
    if (base == NULL) {
        return false;
    }
    w->base = base;
    w->size = size;
    return true;
}

/* Room for @n bytes more; NULL: there is none, now and from now on. */
static char *reserve(struct json_writer *w, size_t n)
{
    bool fits = !w->failed &&
                (n <= w->size - w->used || (n <= w->max - w->used && grow(w, w->used + n)));
    w->failed = !fits;
    if (!fits) {
        return NULL;
    }
    char *out = w->base + w->used;
    w->used += n;
    return out;
}

static void put(struct json_writer *w, const char *bytes, size_t n)
{
    char *out = n > 0 ? reserve(w, n) : NULL;
    if (out != NULL) {
        memcpy(out, bytes, n);
    }
}

static void put_char(struct json_writer *w, char c)
{
    put(w, &c, 1);
}

static bool in_array(const struct json_writer *w)
{
    return (w->arrays >> (w->depth - 1) & 1) != 0;
}

static void indent(struct json_writer *w)
{
    put_char(w, '\n');
    for (unsigned i = 0; i < w->depth; i++) {
        put(w, "    ", 4);
    }
}

/* In front of the next value of an array, or of its end. */
static void break_line(struct json_writer *w)
{
    if (w->newline && !w->pretty) {
        put_char(w, '\n');
    }
    w->newline = false;
}

/* A value begins here: behind a comma, unless a name or nothing stands before it. */
static void begin_value(struct json_writer *w)
{
    COR_ASSERT(w->depth > 0 || !w->comma);                     /* one value at the top */
    COR_ASSERT_IMPLIES(w->depth > 0, in_array(w) != w->named); /* names in objects only */
    if (w->comma && !w->named) {
        put_char(w, ',');
    }
    break_line(w);
    if (w->pretty && !w->named && w->depth > 0) {
        indent(w);
    }
    w->named = false;
    w->comma = true;
}

static void begin(struct json_writer *w, bool array)
{
    begin_value(w);
    COR_ASSERT(w->depth < JSON_DEPTH_MAX);
    uint32_t bit = (uint32_t)1 << w->depth++;
    w->arrays = array ? w->arrays | bit : w->arrays & ~bit;
    w->comma = false;
    put_char(w, array ? '[' : '{');
}

static void end(struct json_writer *w, bool array)
{
    COR_ASSERT(w->depth > 0);
    COR_ASSERT(in_array(w) == array);
    COR_ASSERT(!w->named);
    break_line(w);
    w->depth--;
    if (w->pretty && w->comma) {
        indent(w);
    }
    w->comma = true;
    put_char(w, array ? ']' : '}');
}

void json_begin_object(struct json_writer *w)
{
    begin(w, false);
}

void json_end_object(struct json_writer *w)
{
    end(w, false);
}

void json_begin_array(struct json_writer *w)
{
    begin(w, true);
}

void json_end_array(struct json_writer *w)
{
    end(w, true);
}

void json_newline(struct json_writer *w)
{
    COR_ASSERT(w->depth > 0 && in_array(w));
    w->newline = true;
}

void json_set_pretty(struct json_writer *w, bool pretty)
{
    COR_ASSERT(w->depth == 0 && !w->comma);
    w->pretty = pretty;
}

void json_end_line(struct json_writer *w)
{
    COR_ASSERT(w->depth == 0 && w->comma);
    put_char(w, '\n');
}

/* ---- strings ----------------------------------------------------------------------------------- */

/* The length of the well-formed UTF-8 sequence at the start of @s; 0: there is none (Unicode, table
 * 3-7: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t sequence_len(struct cor_bytes s)
{
    unsigned char c = s.ptr[0];
    size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 4;
    if (len == 1) {
        return 1;
    }
    if (c < 0xc2 || c > 0xf4 || s.len < len) {
        return 0;
    }
    unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (s.ptr[1] < low || s.ptr[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((s.ptr[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

bool json_is_utf8(struct cor_bytes s)
{
    while (s.len > 0) {
        size_t len = sequence_len(s);
        if (len == 0) {
            return false;
        }
        s.ptr += len;
        s.len -= len;
    }
    return true;
}

static void put_escape(struct json_writer *w, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *at = c != '\0' ? strchr(plain, c) : NULL;
    if (at != NULL) {
        put(w, (char[]){'\\', letters[at - plain]}, 2);
    } else {
        put(w, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
}

static void put_string(struct json_writer *w, struct cor_bytes s)
{
    put_char(w, '"');
    while (s.len > 0 && !w->failed) {
        size_t plain = 0, step = 0;
        while (plain < s.len) {
            unsigned char c = s.ptr[plain];
            bool special = c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
            step = special ? 0 : sequence_len((struct cor_bytes){s.ptr + plain, s.len - plain});
            if (step == 0) {
                break;
            }
            plain += step;
        }
        put(w, (const char *)s.ptr, plain);
        if (plain < s.len && s.ptr[plain] >= 0x80) {
            put(w, "\xef\xbf\xbd", 3);
            plain++;
        } else if (plain < s.len) {
            put_escape(w, s.ptr[plain++]);
        }
        s.ptr += plain;
        s.len -= plain;
    }
    put_char(w, '"');
}

void json_name_bytes(struct json_writer *w, struct cor_bytes name)
{
    COR_ASSERT(w->depth > 0);
    COR_ASSERT(!in_array(w));
    COR_ASSERT(!w->named);
    if (w->comma) {
        put_char(w, ',');
    }
    if (w->pretty) {
        indent(w);
    }
    put_string(w, name);
    put(w, ": ", w->pretty ? 2 : 1);
    w->named = true;
}

void json_name(struct json_writer *w, const char *name)
{
    json_name_bytes(w, (struct cor_bytes){(const unsigned char *)name, strlen(name)});
}

void json_string(struct json_writer *w, struct cor_bytes s)
{
    begin_value(w);
    put_string(w, s);
}

void json_text(struct json_writer *w, const char *s)
{
    json_string(w, (struct cor_bytes){(const unsigned char *)s, strlen(s)});
}

void json_base64(struct json_writer *w, struct cor_bytes b)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    begin_value(w);
    put_char(w, '"');
    char *out = b.len > 0 ? reserve(w, (b.len + 2) / 3 * 4) : NULL;
    for (size_t i = 0; out != NULL && i < b.len; i += 3, out += 4) {
        size_t n = b.len - i < 3 ? b.len - i : 3;
        uint32_t v = (uint32_t)b.ptr[i] << 16;
        v |= n > 1 ? (uint32_t)b.ptr[i + 1] << 8 : 0;
        v |= n > 2 ? b.ptr[i + 2] : 0;
        for (size_t k = 0; k < 4; k++) {
            out[k] = digits[k <= n ? v >> (18 - 6 * k) & 63 : 64];
        }
    }
    put_char(w, '"');
}

/* ---- the rest ----------------------------------------------------------------------------------- */

static void put_digits(struct json_writer *w, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    put(w, digits + at, sizeof digits - at);
}

void json_u64(struct json_writer *w, uint64_t v)
{
    begin_value(w);
    put_digits(w, v);
}

void json_i64(struct json_writer *w, int64_t v)
{
    begin_value(w);
    if (v < 0) {
        put_char(w, '-');
    }
    put_digits(w, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void json_decimal(struct json_writer *w, double v, unsigned decimals)
{
    char digits[400]; /* the largest double has 309 before the point */
    COR_ASSERT(decimals <= 9);
    if (!(v - v == 0)) { /* NaN and the infinities */
        json_null(w);
        return;
    }
    begin_value(w);
    put(w, digits, format_to(digits, sizeof digits, "%.*f", (int)decimals, v));
}

void json_bool(struct json_writer *w, bool v)
{
    begin_value(w);
    put(w, v ? "true" : "false", v ? 4 : 5);
}

void json_null(struct json_writer *w)
{
    begin_value(w);
    put(w, "null", 4);
}

void json_field_string(struct json_writer *w, const char *name, struct cor_bytes s)
{
    json_name(w, name);
    json_string(w, s);
}

void json_field_text(struct json_writer *w, const char *name, const char *s)
{
    json_name(w, name);
    json_text(w, s);
}

void json_field_base64(struct json_writer *w, const char *name, struct cor_bytes b)
{
    json_name(w, name);
    json_base64(w, b);
}

void json_field_bytes(struct json_writer *w, const char *name, struct cor_bytes b)
{
    static const char suffix[] = "_base64";
    char long_name[64];
    if (json_is_utf8(b)) {
        json_field_string(w, name, b);
        return;
    }
    size_t len = strlen(name);
    COR_ASSERT(len + sizeof suffix <= sizeof long_name);
    memcpy(long_name, name, len);
    memcpy(long_name + len, suffix, sizeof suffix);
    json_field_base64(w, long_name, b);
}

void json_field_u64(struct json_writer *w, const char *name, uint64_t v)
{
    json_name(w, name);
    json_u64(w, v);
}

void json_field_i64(struct json_writer *w, const char *name, int64_t v)
{
    json_name(w, name);
    json_i64(w, v);
}

void json_field_bool(struct json_writer *w, const char *name, bool v)
{
    json_name(w, name);
    json_bool(w, v);
}
