/*
 * talk.h - clients that speak bytes to a node in the simulated world, and what they hear.
 */
#ifndef TESTS_API_TALK_H
#define TESTS_API_TALK_H

#include "base/assert.h"
#include "base/format.h"
#include "http/http.h"
#include "sim/net.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#define REPLIES_MAX 600u

struct reply {
    unsigned status;
    bool close, ended;
    char *head; /* "name: value\n"... in lower case */
    char *body;
    size_t len;
};

struct client {
    struct world *w;
    struct io_stream *s;
    bool open, ended, closed, reading_stops;
    struct http_reply_parser *parser;
    struct reply replies[REPLIES_MAX];
    size_t n; /* whole ones */
    bool broken;
};

static inline void client_on_head(void *arg, const struct http_reply *reply)
{
    struct client *c = arg;
    COR_ASSERT(c->n < REPLIES_MAX);
    struct reply *r = &c->replies[c->n];
    r->status = reply->status;
    r->close = !reply->keep_alive;
    size_t len = 0;
    r->head = calloc(1, 4096);
    COR_ASSERT(r->head != NULL);
    for (uint32_t i = 0; i < reply->n_headers; i++) {
        len += format_to(
            r->head + len, 4096 - len, "%.*s: %.*s\n", (int)reply->headers[i].name.len,
            (const char *)reply->headers[i].name.ptr, (int)reply->headers[i].value.len,
            (const char *)reply->headers[i].value.ptr);
    }
}

static inline void client_on_body(void *arg, struct cor_bytes part)
{
    struct client *c = arg;
    struct reply *r = &c->replies[c->n];
    r->body = realloc(r->body, r->len + part.len + 1);
    COR_ASSERT(r->body != NULL);
    memcpy(r->body + r->len, part.ptr, part.len);
    r->len += part.len;
    r->body[r->len] = '\0';
}

static inline void client_on_end(void *arg)
{
    struct client *c = arg;
    c->replies[c->n].ended = true;
    c->n++;
}

static inline void client_on_open(void *arg, struct io_stream *s)
{
    struct client *c = arg;
    (void)s;
    c->open = true;
}

static inline void client_on_data(void *arg, struct io_stream *s, struct cor_bytes data)
{
    struct client *c = arg;
    (void)s;
    c->broken = c->broken || http_reply_parser_take(c->parser, data) != COR_OK;
}

static inline void client_on_stream_end(void *arg, struct io_stream *s)
{
    struct client *c = arg;
    c->ended = true;
    c->broken = http_reply_parser_close(c->parser) != COR_OK || c->broken;
    io_stream_close(s, true);
}

static inline void client_on_close(void *arg, struct io_stream *s, enum cor_status why)
{
    struct client *c = arg;
    (void)s, (void)why;
    c->closed = true;
    c->s = NULL;
}

static inline void client_dial(struct client *c, struct world *w, struct host *host,
                               const char *address)
{
    static const struct io_stream_events events = {.on_open = client_on_open,
                                                   .on_data = client_on_data,
                                                   .on_end = client_on_stream_end,
                                                   .on_close = client_on_close};
    static const struct http_reply_events reply_events = {client_on_head, client_on_body,
                                                          client_on_end};
    memset(c, 0, sizeof *c);
    c->w = w;
    c->parser = http_reply_parser_init(malloc(http_reply_parser_size()), &reply_events, c);
    COR_ASSERT(c->parser != NULL);
    COR_ASSERT(io_dial(&host->io, address, &events, c, &c->s) == COR_OK);
    world_run(w, w->now + 10 * SIM_MS);
    CHECK(c->open);
}

static inline void client_send(struct client *c, const char *text, size_t len)
{
    if (c->s != NULL) {
        CHECK(io_stream_send(c->s, (struct cor_bytes){(const unsigned char *)text, len}) ==
              COR_OK);
    }
}

static inline void client_say(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

static inline void client_hang_up(struct client *c)
{
    if (c->s != NULL) {
        io_stream_close(c->s, false);
    }
    world_run(c->w, c->w->now + SIM_MS);
}

/* Forget the replies so far. */
static inline void client_forget(struct client *c)
{
    for (size_t i = 0; i < REPLIES_MAX; i++) {
        free(c->replies[i].head);
        free(c->replies[i].body);
        c->replies[i] = (struct reply){0};
    }
    c->n = 0;
}

static inline void client_close(struct client *c)
{
    client_hang_up(c);
    client_forget(c);
    free(c->parser);
}

/* The value of a header of reply @i as a number. */
static inline uint64_t reply_number(const struct reply *r, const char *name)
{
    const char *at = r->head == NULL ? NULL : strstr(r->head, name);
    CHECK(at != NULL);
    uint64_t v = 0;
    for (at = at == NULL ? "" : at + strlen(name) + 2; *at >= '0' && *at <= '9'; at++) {
        v = 10 * v + (uint64_t)(*at - '0');
    }
    return v;
}

static inline bool reply_has(const struct reply *r, const char *text)
{
    return (r->body != NULL && strstr(r->body, text) != NULL) ||
           (r->head != NULL && strstr(r->head, text) != NULL);
}

/* One request on @c, answered within a simulated second: the reply, the only one there. */
static inline struct reply *client_ask(struct client *c, const char *text)
{
    client_forget(c);
    client_say(c, text);
    world_run(c->w, c->w->now + SIM_S);
    CHECK_EQ(c->n, 1u);
    return &c->replies[0];
}

#endif
