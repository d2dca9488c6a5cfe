/*
 * feed.h - requests pushed through a parser, in one piece or cut, and what came of them as a line of text.
 */
#ifndef TESTS_HTTP_FEED_H
#define TESTS_HTTP_FEED_H

#include "http/http.h"

#include <stdlib.h>
#include <string.h>

#define FEED_BODY_MAX 1000u
#define FEED_TEXT_MAX 65536u

/* The owner's side: one block, moved at every growth so that ASan sees who kept a pointer into it. */
struct feed {
    struct http_parser *parser;
    void *block;
    unsigned grown;    /* calls of grow */
    size_t block_size; /* as last asked for */
    bool starve;       /* the next call fails */
    unsigned continues;
    char *text; /* what came out */
    size_t n;
};

static inline void *feed_grow(void *arg, void *old, size_t used, size_t need)
{
    struct feed *f = arg;
    f->grown++;
    f->block_size = need;
    unsigned char *block = f->starve ? NULL : malloc(need);
    if (block != NULL && used > 0) {
        memcpy(block, old, used);
    }
    free(block != NULL ? f->block : NULL);
    f->block = block != NULL ? block : f->block;
    return block;
}

static inline struct feed feed_new(size_t body_max)
{
    return (struct feed){.parser = malloc(http_parser_size()),
                         .text = malloc(FEED_TEXT_MAX),
                         .block_size = body_max};
}

static inline void feed_start(struct feed *f)
{
    struct http_limits limits = {.body_max = f->block_size};
    struct http_memory mem = {feed_grow, f};
    http_parser_init(f->parser, &limits, &mem);
}

static inline void feed_free(struct feed *f)
{
    free(f->block);
    free(f->text);
    free(f->parser);
}

static inline void feed_put(struct feed *f, const void *bytes, size_t n)
{
    if (n > 0 && n <= FEED_TEXT_MAX - f->n) {
        memcpy(f->text + f->n, bytes, n);
        f->n += n;
    }
}

static inline void feed_put_bytes(struct feed *f, struct cor_bytes b)
{
    feed_put(f, "[", 1);
    feed_put(f, b.ptr, b.len);
    feed_put(f, "]", 1);
}

static inline void feed_print(struct feed *f, const struct http_request *r)
{
    feed_put_bytes(f, r->method);
    feed_put_bytes(f, r->target);
    feed_put_bytes(f, r->path);
    feed_put_bytes(f, r->query);
    for (uint32_t i = 0; i < r->n_headers; i++) {
        feed_put_bytes(f, r->headers[i].name);
        feed_put_bytes(f, r->headers[i].value);
    }
    feed_put_bytes(f, r->body);
    feed_put(f, r->keep_alive ? " keep" : " close", r->keep_alive ? 5 : 6);
    feed_put(f, r->head ? " HEAD" : "", r->head ? 5 : 0);
    feed_put(f, r->minor_0 ? " 1.0" : "", r->minor_0 ? 4 : 0);
    feed_put(f, "\n", 1);
}

/* Take one piece, which is copied so that nothing outlives it. False: refused. */
static inline bool feed_piece(struct feed *f, struct cor_bytes piece)
{
    unsigned char *copy = malloc(piece.len > 0 ? piece.len : 1);
    bool going = copy != NULL;
    size_t at = 0;
    if (copy != NULL && piece.len > 0) {
        memcpy(copy, piece.ptr, piece.len);
    }
    while (going && at < piece.len) {
        size_t used = 0;
        struct cor_bytes rest = {copy + at, piece.len - at};
        enum http_result r = http_parser_take(f->parser, rest, &used);
        at += used;
        if (r == HTTP_REQUEST) {
            feed_print(f, http_parser_request(f->parser));
            http_parser_next(f->parser);
            free(f->block);
            f->block = NULL;
        } else if (r == HTTP_REFUSED) {
            const char *reason = http_parser_reason(f->parser);
            unsigned status = http_parser_status(f->parser);
            char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                              (char)('0' + status % 10)};
            feed_put(f, digits, sizeof digits);
            feed_put(f, " ", 1);
            feed_put(f, reason, strlen(reason));
            going = false;
        } else {
            f->continues += r == HTTP_CONTINUE;
            at = at < piece.len ? SIZE_MAX : at; /* everything must have been consumed */
        }
    }
    if (at == SIZE_MAX) {
        feed_put(f, "<<not consumed>>", 16);
    }
    free(copy);
    return going;
}

static inline struct cor_bytes feed_text(const struct feed *f)
{
    return (struct cor_bytes){(const unsigned char *)f->text, f->n};
}

#endif
