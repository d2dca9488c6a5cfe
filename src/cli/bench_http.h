/*
 * bench_http.h - requests formatted ahead, replies read with the least that is correct.
 *
 * Place in the system: bench_load.c. A generator must be an order of magnitude cheaper than what it measures, so a
 * request is a copy of a template with the digits of its key put in, and of a reply only the status and the
 * length are looked at. Replies without Content-Length are not understood: the routes that are measured
 * always send it; watch streams are read by lines instead.
 */
#ifndef CLI_BENCH_HTTP_H
#define CLI_BENCH_HTTP_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_KEY_DIGITS 12u
#define BENCH_STAMP_DIGITS                                                                     \
    20u /* a write's value begins with its time of sending, for watchers */
#define BENCH_HEAD_MAX 512u

struct bench_template {
    unsigned char *bytes;
    size_t len, key_at, stamp_at; /* stamp_at 0: no room for one in the value */
};

/* False: out of memory. @mode: "default", "consistent", "stale". */
MUST_USE bool bench_template_put(struct bench_template *t, const char *host,
                                 size_t value_bytes);
MUST_USE bool bench_template_get(struct bench_template *t, const char *host, const char *mode);
void bench_template_free(struct bench_template *t);
/* Write the request for @key to @out, which has t->len bytes of room. */
void bench_template_fill(const struct bench_template *t, uint64_t key, uint64_t stamp,
                         unsigned char *out);

enum bench_reply {
    BENCH_REPLY_MORE = 1, /* not whole yet */
    BENCH_REPLY_WHOLE,    /* *status and *len are set */
    BENCH_REPLY_BAD,
};
enum bench_reply bench_reply_read(const unsigned char *in, size_t n, unsigned *status,
                                  size_t *len);
/* The head of a reply alone: *len is its length with the empty line. */
enum bench_reply bench_reply_head(const unsigned char *in, size_t n, unsigned *status,
                                  size_t *len);

#endif
