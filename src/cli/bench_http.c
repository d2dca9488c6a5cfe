/*
 * bench_http.c - see bench_http.h.
 */
#include "cli/bench_http.h"

#include "base/format.h"

#include <stdlib.h>
#include <string.h>

#define LENGTH_MAX (64u << 20) /* of a body that we are willing to believe in */

static void put_digits(unsigned char *out, unsigned n, uint64_t v)
{
    for (unsigned i = n; i > 0; i--) {
        out[i - 1] = (unsigned char)('0' + v % 10);
        v /= 10;
    }
}

/* @head has a row of zeros where the key goes. */
static bool make(struct bench_template *t, const char *head, size_t body)
{
    static const char zeros[] = "000000000000";
    size_t len = strlen(head);
    t->bytes = malloc(len + body + 1);
    if (t->bytes == NULL) {
        return false;
    }
    memcpy(t->bytes, head, len);
    memset(t->bytes + len, 'v', body);
    t->len = len + body;
    t->key_at = (size_t)(strstr(head, zeros) - head);
    t->stamp_at = body >= BENCH_STAMP_DIGITS ? len : 0;
    return true;
}

bool bench_template_put(struct bench_template *t, const char *host, size_t value_bytes)
{
    char head[BENCH_HEAD_MAX];
    format_to(head, sizeof head,
              "POST /db/bench%0*d HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n\r\n",
              (int)BENCH_KEY_DIGITS, 0, host, value_bytes);
    return make(t, head, value_bytes);
}

bool bench_template_get(struct bench_template *t, const char *host, const char *mode)
{
    char head[BENCH_HEAD_MAX];
    bool is_default = strcmp(mode, "default") == 0;
    format_to(head, sizeof head, "GET /db/bench%0*d%s%s HTTP/1.1\r\nHost: %s\r\n\r\n",
              (int)BENCH_KEY_DIGITS, 0, is_default ? "" : "?", is_default ? "" : mode, host);
    return make(t, head, 0);
}

void bench_template_free(struct bench_template *t)
{
    free(t->bytes);
    *t = (struct bench_template){0};
}

void bench_template_fill(const struct bench_template *t, uint64_t key, uint64_t stamp,
                         unsigned char *out)
{
    memcpy(out, t->bytes, t->len);
    put_digits(out + t->key_at, BENCH_KEY_DIGITS, key);
    if (t->stamp_at != 0) {
        put_digits(out + t->stamp_at, BENCH_STAMP_DIGITS, stamp);
    }
}

/* The end of the head: the place after the empty line; 0: not there yet. */
static size_t find_end(const unsigned char *in, size_t n)
{
    const unsigned char *at = in;
    while (n >= 4) {
        const unsigned char *cr = memchr(at, '\r', (size_t)(in + n - at));
        if (cr == NULL || cr + 4 > in + n) {
            return 0;
        }
        if (memcmp(cr, "\r\n\r\n", 4) == 0) {
            return (size_t)(cr - in) + 4;
        }
        at = cr + 1;
    }
    return 0;
}

static bool is_name(const unsigned char *in, const char *lower, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool letter = lower[i] >= 'a' && lower[i] <= 'z';
        if ((letter ? in[i] | 0x20 : in[i]) != (unsigned char)lower[i]) {
            return false;
        }
    }
    return true;
}

/* Content-Length in the head of @len bytes, which ends in an empty line. False: none, or nonsense. */
static bool find_length(const unsigned char *in, size_t len, size_t *out)
{
    static const char name[] = "content-length:";
    for (size_t i = 0; i + sizeof name < len; i++) {
        if (in[i] != '\n' || !is_name(in + i + 1, name, sizeof name - 1)) {
            continue;
        }
        size_t v = 0, at = i + sizeof name;
        while (in[at] == ' ') {
            at++;
        }
        size_t first = at;
        while (in[at] >= '0' && in[at] <= '9' && v <= LENGTH_MAX) {
            v = v * 10 + (size_t)(in[at++] - '0');
        }
        *out = v;
        return at > first && v <= LENGTH_MAX && in[at] == '\r';
    }
    return false;
}

/* "HTTP/1.1 200", at the start of a head that is long enough for it. */
static bool is_status_line(const unsigned char *in)
{
    for (unsigned i = 9; i < 12; i++) {
        if (in[i] < '0' || in[i] > '9') {
            return false;
        }
    }
    return memcmp(in, "HTTP/1.", 7) == 0 && in[8] == ' ' && (in[12] == ' ' || in[12] == '\r');
}

enum bench_reply bench_reply_head(const unsigned char *in, size_t n, unsigned *status,
                                  size_t *len)
{
    size_t end = find_end(in, n);
    if (end == 0) {
        return n > 65536 ? BENCH_REPLY_BAD : BENCH_REPLY_MORE;
    }
    if (end < 16 || !is_status_line(in)) {
        return BENCH_REPLY_BAD;
    }
    *status = 0;
    for (int i = 9; i < 12; i++) {
        *status = *status * 10 + (unsigned)(in[i] - '0');
    }
    *len = end;
    return BENCH_REPLY_WHOLE;
}

enum bench_reply bench_reply_read(const unsigned char *in, size_t n, unsigned *status,
                                  size_t *len)
{
    size_t head, body = 0;
    enum bench_reply result = bench_reply_head(in, n, status, &head);
    if (result != BENCH_REPLY_WHOLE) {
        return result;
    }
    bool has_body = *status != 204 && *status != 304;
    if (has_body && !find_length(in, head, &body)) {
        return BENCH_REPLY_BAD;
    }
    *len = head + body;
    return *len <= n ? BENCH_REPLY_WHOLE : BENCH_REPLY_MORE;
}
