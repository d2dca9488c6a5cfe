/* room: http
 *
 * http_request_fuzz.c - bytes nobody vouches for, as requests.
 *
 * The first two bytes choose how the rest is cut. Beyond "does not crash": the result is the same whether the
 * stream comes whole, byte by byte or cut as chosen; a refusal has a status and a reason and is final;
 * views lie within the memory they point into; no more memory is asked for than a head and a body may have.
 */
#include "base/assert.h"
#include "http/http.h"

#include <stdlib.h>
#include <string.h>

#define BODY_MAX 500u
#define LOG_SIZE (1u << 18)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

struct owner {
    struct http_parser *parser;
    unsigned char *block;
    size_t block_size;
    struct cor_bytes piece; /* the one being taken */
    unsigned char *log;     /* what came out, to be compared */
    size_t n;
    bool refused;
};

static void *grow(void *arg, void *old, size_t used, size_t need)
{
    struct owner *o = arg;
    COR_ASSERT(need <= HTTP_HEAD_MAX + BODY_MAX);
    COR_ASSERT(old == o->block && used <= o->block_size && need > o->block_size);
    unsigned char *block = malloc(need);
    COR_ASSERT(block != NULL);
    if (used > 0) {
        memcpy(block, old, used);
    }
    free(o->block);
    o->block = block;
    o->block_size = need;
    return block;
}

static void log_bytes(struct owner *o, struct cor_bytes b)
{
    size_t n = b.len < LOG_SIZE - o->n ? b.len : LOG_SIZE - o->n;
    if (n > 0) {
        memcpy(o->log + o->n, b.ptr, n);
        o->n += n;
    }
}

static bool within(struct cor_bytes view, const unsigned char *at, size_t size)
{
    return at != NULL && view.ptr >= at && view.ptr + view.len <= at + size;
}

static void log_view(struct owner *o, struct cor_bytes b)
{
    bool fixed = b.len == 1 && b.ptr[0] == '/'; /* the path of a URI without one */
    COR_ASSERT(b.len == 0 || fixed || within(b, o->block, o->block_size) ||
               within(b, o->piece.ptr, o->piece.len));
    log_bytes(o, (struct cor_bytes){(const unsigned char *)&b.len, sizeof b.len});
    log_bytes(o, b);
}

static void log_request(struct owner *o)
{
    const struct http_request *r = http_parser_request(o->parser);
    COR_ASSERT(r->body.len <= BODY_MAX && r->n_headers <= HTTP_HEADERS_MAX);
    COR_ASSERT(r->target.len <= HTTP_TARGET_MAX && r->path.len > 0 && r->method.len > 0);
    log_view(o, r->method);
    log_view(o, r->target);
    log_view(o, r->path);
    log_view(o, r->query);
    log_view(o, r->body);
    for (uint32_t i = 0; i < r->n_headers; i++) {
        COR_ASSERT(r->headers[i].name.len > 0);
        log_view(o, r->headers[i].name);
        log_view(o, r->headers[i].value);
    }
    unsigned char flags = (unsigned char)(r->keep_alive | r->head << 1 | r->minor_0 << 2);
    log_bytes(o, (struct cor_bytes){&flags, 1});
}

static void take_piece(struct owner *o, struct cor_bytes in)
{
    unsigned char *copy = malloc(in.len);
    COR_ASSERT(copy != NULL);
    memcpy(copy, in.ptr, in.len);
    o->piece = (struct cor_bytes){copy, in.len};
    size_t at = 0, used;
    while (at < in.len && !o->refused) {
        enum http_result r =
            http_parser_take(o->parser, (struct cor_bytes){copy + at, in.len - at}, &used);
        COR_ASSERT(used <= in.len - at);
        at += used;
        if (r == HTTP_REQUEST) {
            log_request(o);
            http_parser_next(o->parser);
            COR_ASSERT(http_parser_is_idle(o->parser));
            free(o->block);
            o->block = NULL;
            o->block_size = 0;
        } else if (r == HTTP_REFUSED) {
            unsigned status = http_parser_status(o->parser);
            const char *reason = http_parser_reason(o->parser);
            COR_ASSERT(status >= 400 && status < 600);
            log_bytes(o, (struct cor_bytes){(const unsigned char *)reason, strlen(reason)});
            o->refused = true;
        } else {
            COR_ASSERT(at == in.len);
            COR_ASSERT(r == HTTP_NEED_MORE || r == HTTP_CONTINUE);
            COR_ASSERT_IMPLIES(r == HTTP_CONTINUE, http_parser_in_body(o->parser));
        }
    }
    free(copy);
}

/* In pieces of @a and @b bytes in turn. */
static void run(struct owner *o, struct cor_bytes in, size_t a, size_t b)
{
    struct http_limits limits = {.body_max = BODY_MAX};
    struct http_memory mem = {grow, o};
    *o = (struct owner){.log = malloc(LOG_SIZE)};
    o->parser = http_parser_init(malloc(http_parser_size()), &limits, &mem);
    COR_ASSERT(o->log != NULL);
    for (size_t at = 0, i = 0; at < in.len && !o->refused; i++) {
        size_t n = i % 2 == 0 ? a : b;
        n = n < in.len - at ? n : in.len - at;
        take_piece(o, (struct cor_bytes){in.ptr + at, n});
        at += n;
    }
    free(o->block);
    free(o->parser);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    struct cor_bytes in = {data + 2, size - 2};
    size_t steps[][2] = {
        {SIZE_MAX, 1}, {1, 1}, {1 + (size_t)data[0], 1 + (size_t)data[1]}, {in.len / 2 + 1, 3}};
    struct owner whole, cut;
    run(&whole, in, steps[0][0], steps[0][1]);
    for (size_t i = 1; i < ARRAY_LEN(steps); i++) {
        run(&cut, in, steps[i][0], steps[i][1]);
        COR_ASSERT(cut.refused == whole.refused);
        COR_ASSERT(cut.n == whole.n);
        COR_ASSERT(memcmp(cut.log, whole.log, whole.n) == 0);
        free(cut.log);
    }
    free(whole.log);
    return 0;
}
