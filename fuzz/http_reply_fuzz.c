/* room: http
 *
 * http_reply_fuzz.c - bytes nobody vouches for, as replies.
 *
 * The first byte says how the rest is cut and whether a HEAD was asked. The events, with parts of
 * a body joined, and the results are the same for the whole and for every cut; events come in their order.
 */
#include "base/assert.h"
#include "http/http.h"

#include <stdlib.h>
#include <string.h>

#define LOG_SIZE (1u << 18)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

struct client {
    unsigned char *log;
    size_t n;
    bool in_reply;
    enum cor_status taken, closed;
};

static void log_bytes(struct client *c, const void *bytes, size_t len)
{
    size_t n = len < LOG_SIZE - c->n ? len : LOG_SIZE - c->n;
    if (n > 0) {
        memcpy(c->log + c->n, bytes, n);
        c->n += n;
    }
}

static void on_head(void *arg, const struct http_reply *r)
{
    struct client *c = arg;
    COR_ASSERT(!c->in_reply);
    COR_ASSERT(r->status >= 200 && r->status < 1000 && r->n_headers <= HTTP_HEADERS_MAX);
    c->in_reply = true;
    log_bytes(c, &r->status, sizeof r->status);
    log_bytes(c, &r->keep_alive, sizeof r->keep_alive);
    for (uint32_t i = 0; i < r->n_headers; i++) {
        log_bytes(c, r->headers[i].name.ptr, r->headers[i].name.len);
        log_bytes(c, r->headers[i].value.ptr, r->headers[i].value.len);
    }
}

static void on_body(void *arg, struct cor_bytes part)
{
    struct client *c = arg;
    COR_ASSERT(c->in_reply && part.len > 0);
    log_bytes(c, part.ptr, part.len);
}

static void on_end(void *arg)
{
    struct client *c = arg;
    COR_ASSERT(c->in_reply);
    c->in_reply = false;
    log_bytes(c, "|", 1);
}

static void run(struct client *c, struct cor_bytes in, size_t step, bool head)
{
    static const struct http_reply_events events = {on_head, on_body, on_end};
    *c = (struct client){.log = malloc(LOG_SIZE)};
    COR_ASSERT(c->log != NULL);
    struct http_reply_parser *p =
        http_reply_parser_init(malloc(http_reply_parser_size()), &events, c);
    http_reply_parser_expect(p, head);
    for (size_t at = 0; at < in.len && c->taken == COR_OK;) {
        size_t n = step < in.len - at ? step : in.len - at;
        unsigned char *copy = malloc(n);
        COR_ASSERT(copy != NULL);
        memcpy(copy, in.ptr + at, n);
        c->taken = http_reply_parser_take(p, (struct cor_bytes){copy, n});
        free(copy);
        at += n;
    }
    COR_ASSERT(c->taken == COR_OK || c->taken == COR_EPROTO || c->taken == COR_ETOOBIG);
    c->closed = http_reply_parser_close(p);
    COR_ASSERT_IMPLIES(c->closed == COR_OK, !c->in_reply);
    COR_ASSERT_IMPLIES(c->taken != COR_OK, c->closed != COR_OK);
    free(p);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct cor_bytes in = {data + 1, size - 1};
    bool head = data[0] % 2 == 1;
    size_t steps[] = {1, 1 + (size_t)data[0] / 2, in.len / 2 + 1};
    struct client whole, cut;
    run(&whole, in, SIZE_MAX, head);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        run(&cut, in, steps[i], head);
        COR_ASSERT(cut.taken == whole.taken && cut.closed == whole.closed);
        COR_ASSERT(cut.n == whole.n);
        COR_ASSERT(memcmp(cut.log, whole.log, whole.n) == 0);
        free(cut.log);
    }
    free(whole.log);
    return 0;
}
