/*
 * scan.c - what json-c forgives, and what its values cost.
 *
 * Place in the system: reader.c, before the text goes to json-c. This pass does not decide what JSON is:
 * it looks at one token after the other without knowing how they nest, refuses tokens that json-c
 * would take though they are none, and adds up memory.
 */
#include "json/scan.h"

#include "json/writer.h"

#include <stdbool.h>
#include <string.h>

/* What json-c 0.16 takes from malloc for a value, rounded up; measured with its debug counters off. */
#define OBJECT_BYTES 1024u /* a table of 16 places */
#define ARRAY_BYTES  512u  /* a list of 32 places */
#define FIELD_BYTES  256u  /* a place in a table that is at least a third full, and the name */
#define VALUE_BYTES  128u

struct scanner {
    struct cor_bytes in;
    size_t at;
    struct json_scan out;
};

static bool wrong(struct scanner *s, size_t at, const char *text)
{
    s->out.at = at;
    s->out.wrong = text;
    return false;
}

static unsigned char peek(const struct scanner *s)
{
    return s->at < s->in.len ? s->in.ptr[s->at] : '\0';
}

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* From behind the quote to behind the other. What the escapes mean is json-c's business, but a name
 * is a C string there: one with a NUL would be taken for another. */
static bool scan_string(struct scanner *s)
{
    size_t start = s->at;
    bool has_nul = false;
    while (s->at < s->in.len && s->in.ptr[s->at] != '"') {
        if (s->in.ptr[s->at] < 0x20) {
            return wrong(s, s->at, "a control character in a string");
        }
        if (s->in.ptr[s->at] == '\\') {
            size_t rest = s->in.len - s->at;
            has_nul |= rest >= 6 && memcmp(s->in.ptr + s->at, "\\u0000", 6) == 0;
            s->at++;
        }
        s->at++;
    }
    if (s->at >= s->in.len) {
        return wrong(s, s->in.len, "a string without end");
    }
    if (!json_is_utf8((struct cor_bytes){s->in.ptr + start, s->at - start})) {
        return wrong(s, start, "a string that is not UTF-8"); /* json-c takes overlong forms */
    }
    s->out.memory_bytes += VALUE_BYTES + (s->at - start);
    s->at++;
    while (is_space(peek(s))) {
        s->at++;
    }
    return !has_nul || peek(s) != ':' || wrong(s, start, "NUL in a name");
}

static size_t skip_digits(struct scanner *s)
{
    size_t start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9') {
        s->at++;
    }
    return s->at - start;
}

/* @digits of @len do not go beyond @limit, which has as many digits as the largest that fits. */
static bool fits(const unsigned char *digits, size_t len, const char *limit)
{
    size_t max = strlen(limit);
    return len < max || (len == max && memcmp(digits, limit, max) <= 0);
}

static bool scan_number(struct scanner *s)
{
    size_t start = s->at;
    bool negative = peek(s) == '-';
    s->at += negative;
    const unsigned char *digits = s->in.ptr + s->at;
    size_t len = skip_digits(s);
    bool integer = true, whole = len > 0 && (len == 1 || digits[0] != '0');
    if (whole && peek(s) == '.') {
        s->at++;
        integer = false;
        whole = skip_digits(s) > 0;
    }
    if (whole && (peek(s) | 0x20) == 'e') {
        s->at++;
        integer = false;
        s->at += peek(s) == '+' || peek(s) == '-';
        whole = skip_digits(s) > 0;
    }
    s->out.memory_bytes += VALUE_BYTES + (s->at - start);
    if (!whole) {
        return wrong(s, start, "a malformed number");
    }
    if (integer &&
        !fits(digits, len, negative ? "9223372036854775808" : "18446744073709551615")) {
        return wrong(s, start, "an integer beyond 64 bits");
    }
    return true;
}

static bool scan_word(struct scanner *s)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(words[i]);
        if (s->in.len - s->at >= len && memcmp(s->in.ptr + s->at, words[i], len) == 0) {
            s->at += len;
            s->out.memory_bytes += VALUE_BYTES;
            return true;
        }
    }
    return wrong(s, s->at, "an unexpected character");
}

static bool scan_token(struct scanner *s)
{
    unsigned char c = peek(s);
    if (c == '"') {
        s->at++;
        return scan_string(s);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return scan_number(s);
    }
    if (is_space(c) || (c != '\0' && strchr("{}[]:,", c) != NULL)) {
        s->at++;
        s->out.memory_bytes += c == '{'   ? OBJECT_BYTES
                               : c == '[' ? ARRAY_BYTES
                               : c == ':' ? FIELD_BYTES
                                          : 0;
        return true;
    }
    return scan_word(s);
}

struct json_scan json_scan(struct cor_bytes text)
{
    struct scanner s = {.in = text};
    while (s.at < text.len && scan_token(&s)) {
    }
    return s.out;
}
