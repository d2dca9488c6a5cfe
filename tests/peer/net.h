/*
 * net.h - a small world for the tests of this room: virtual time, and byte streams in memory that cut and
 * join bytes anywhere.
 *
 * The whole simulator would do, but stands above node/; this is what io.h promises and no more. There is no
 * latency: what can happen happens, in an order drawn from the seed, and then time jumps to the next
 * timer. Each thing that happens is a turn of its host: then its tasks run, then its streams are flushed.
 */
#ifndef TESTS_PEER_NET_H
#define TESTS_PEER_NET_H

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"
#include "base/prng.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

#define NET_MS        UINT64_C(1000000)
#define NET_S         UINT64_C(1000000000)
#define NET_HOSTS     9u
#define NET_TIMERS    64u
#define NET_STEPS_MAX 20000000u

struct net;

struct net_host {
    struct io io; /* first */
    struct net *net;
    unsigned number;
    bool paused;
    struct io_timer *timers[NET_TIMERS];
    struct io_task *tasks, **tasks_end;
    struct prng random;
};

struct net_bytes {
    unsigned char *data;
    size_t used, room;
};

struct net_end {
    struct io_stream stream; /* first */
    struct io_listener *unused;
    struct net_host *host;
    struct net_end *other; /* NULL: gone */
    struct net_end *next;
    const struct io_stream_events *events;
    void *arg;
    struct net_bytes in, out;
    bool dialing, open_pending, closing, fin;
    enum cor_status why;
    char address[IO_ADDRESS_MAX];
};

struct net_listener {
    struct io_listener listener; /* first */
    struct net_host *host;       /* NULL: free */
    void (*on_accept)(void *arg, struct io_stream *s);
    void *arg;
    char address[IO_ADDRESS_MAX];
};

struct net {
    uint64_t now;
    struct prng random;
    struct net_host hosts[NET_HOSTS];
    struct net_listener listeners[NET_HOSTS];
    struct net_end *ends;
    bool frozen[NET_HOSTS][NET_HOSTS]; /* [from][to]: nothing arrives */
    bool whole;                        /* deliver all that is there; else cut at random */
    uint64_t n_dials, n_sends, n_bytes, last_dial_at;
    uint64_t
        corrupt_at; /* flip a bit of the byte at this place of all bytes delivered; 0: none */
    uint64_t n_delivered;
};

static inline struct net_host *net_host_of(struct io *io)
{
    return (struct net_host *)(void *)io;
}

static inline struct net_end *net_end_of(const struct io_stream *s)
{
    return (struct net_end *)(uintptr_t)(const void *)s;
}

static inline void net_push(struct net_bytes *b, const void *data, size_t len)
{
    if (b->used + len > b->room) {
        b->room = 2 * (b->used + len);
        b->data = realloc(b->data, b->room);
        COR_ASSERT(b->data != NULL);
    }
    if (len > 0) {
        memcpy(b->data + b->used, data, len);
    }
    b->used += len;
}

/* ---- clock, timers, tasks ----------------------------------------------------------------------- */

static inline uint64_t net_now(struct io *io)
{
    return net_host_of(io)->net->now;
}

static inline void net_random(struct io *io, void *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ((unsigned char *)out)[i] = (unsigned char)prng_next(&net_host_of(io)->random);
    }
}

static inline void net_timer_clear(struct io *io, struct io_timer *t)
{
    if (t->slot != 0) {
        net_host_of(io)->timers[t->slot - 1] = NULL;
        t->slot = 0;
    }
}

static inline void net_timer_set(struct io *io, struct io_timer *t, uint64_t at)
{
    struct net_host *h = net_host_of(io);
    net_timer_clear(io, t);
    size_t i = 0;
    while (h->timers[i] != NULL) {
        i++;
        COR_ASSERT(i < NET_TIMERS);
    }
    h->timers[i] = t;
    t->slot = i + 1;
    t->at = at;
}

static inline void net_defer(struct io *io, struct io_task *task)
{
    struct net_host *h = net_host_of(io);
    if (!task->queued) {
        task->queued = true;
        task->next = NULL;
        *h->tasks_end = task;
        h->tasks_end = &task->next;
    }
}

static inline void net_cancel(struct io *io, struct io_task *task)
{
    struct net_host *h = net_host_of(io);
    struct io_task **at = &h->tasks;
    while (*at != NULL && *at != task) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = task->next;
        h->tasks_end = h->tasks_end == &task->next ? at : h->tasks_end;
        task->queued = false;
    }
}

/* ---- streams -------------------------------------------------------------------------------------- */

static inline struct net_end *net_new_end(struct net_host *h)
{
    struct net_end *e = calloc(1, sizeof *e);
    COR_ASSERT(e != NULL);
    e->stream.io = &h->io;
    e->host = h;
    e->next = h->net->ends;
    h->net->ends = e;
    return e;
}

static inline void net_free_end(struct net *net, struct net_end *e)
{
    struct net_end **at = &net->ends;
    while (*at != e) {
        at = &(*at)->next;
    }
    *at = e->next;
    if (e->other != NULL) {
        e->other->other = NULL;
    }
    free(e->in.data);
    free(e->out.data);
    free(e);
}

static inline struct net_listener *net_find(struct net *net, const char *address)
{
    for (unsigned i = 0; i < NET_HOSTS; i++) {
        if (net->listeners[i].host != NULL && strcmp(net->listeners[i].address, address) == 0) {
            return &net->listeners[i];
        }
    }
    return NULL;
}

static inline enum cor_status net_listen(struct io *io, const char *address,
                                         void (*on_accept)(void *arg, struct io_stream *s),
                                         void *arg, char *bound, struct io_listener **out,
                                         struct cor_error *err)
{
    struct net_host *h = net_host_of(io);
    if (net_find(h->net, address) != NULL) {
        return error_set(err, COR_EEXIST, "%s: address in use", address);
    }
    struct net_listener *l = &h->net->listeners[h->number];
    COR_ASSERT(l->host == NULL && bound == NULL);
    *l =
        (struct net_listener){.listener.io = io, .host = h, .on_accept = on_accept, .arg = arg};
    format_to(l->address, sizeof l->address, "%s", address);
    *out = &l->listener;
    return COR_OK;
}

static inline void net_listener_close(struct io_listener *l)
{
    ((struct net_listener *)(void *)l)->host = NULL;
}

static inline enum cor_status net_dial(struct io *io, const char *address,
                                       const struct io_stream_events *events, void *arg,
                                       struct io_stream **out)
{
    struct net_host *h = net_host_of(io);
    if (strchr(address, ':') == NULL) {
        return COR_EINVAL;
    }
    struct net_end *e = net_new_end(h);
    e->events = events;
    e->arg = arg;
    e->dialing = true;
    format_to(e->address, sizeof e->address, "%s", address);
    h->net->n_dials++;
    h->net->last_dial_at = h->net->now;
    *out = &e->stream;
    return COR_OK;
}

static inline void net_stream_take(struct io_stream *s, const struct io_stream_events *events,
                                   void *arg)
{
    net_end_of(s)->events = events;
    net_end_of(s)->arg = arg;
}

static inline enum cor_status net_stream_send(struct io_stream *s, struct cor_bytes data)
{
    struct net_end *e = net_end_of(s);
    e->host->net->n_sends++;
    if (!e->closing) {
        net_push(&e->out, data.ptr, data.len);
    }
    return COR_OK;
}

static inline size_t net_stream_queued(const struct io_stream *s)
{
    return net_end_of(s)->out.used;
}

/* @e ends here; the other side hears of it after what it was sent. */
static inline void net_end_close(struct net_end *e, enum cor_status why)
{
    if (e->closing) {
        return;
    }
    e->closing = true;
    e->why = why;
    e->in.used = 0;
    if (e->other != NULL) {
        e->other->fin = true;
        e->other->why = why;
        e->other->other = NULL;
        e->other = NULL;
    }
}

static inline void net_flush_end(struct net_end *e)
{
    struct net *net = e->host->net;
    if (e->dialing || e->open_pending || e->other == NULL ||
        net->frozen[e->host->number][e->other->host->number]) {
        return;
    }
    net_push(&e->other->in, e->out.data, e->out.used);
    net->n_bytes += e->out.used;
    e->out.used = 0;
}

static inline void net_stream_close(struct io_stream *s, bool flush)
{
    if (flush) {
        net_flush_end(net_end_of(s));
    }
    net_end_close(net_end_of(s), COR_OK);
}

static inline void net_stream_peer(const struct io_stream *s, char *out, size_t size)
{
    const struct net_end *e = net_end_of(s);
    format_to(out, size, "host %u", e->other != NULL ? e->other->host->number : 0);
}

/* ---- what happens ------------------------------------------------------------------------------------ */

static inline void net_end_turn(struct net_host *h)
{
    while (h->tasks != NULL) {
        struct io_task *t = h->tasks;
        h->tasks = t->next;
        if (h->tasks == NULL) {
            h->tasks_end = &h->tasks;
        }
        t->queued = false;
        t->run(t);
    }
    for (struct net_end *e = h->net->ends; e != NULL; e = e->next) {
        if (e->host == h) {
            net_flush_end(e);
        }
    }
}

static inline bool net_is_frozen(const struct net_end *e)
{
    const struct net *net = e->host->net;
    if (e->other != NULL) {
        return net->frozen[e->other->host->number][e->host->number];
    }
    const struct net_listener *l = e->dialing ? net_find(e->host->net, e->address) : NULL;
    return l != NULL && (net->frozen[e->host->number][l->host->number] || l->host->paused);
}

static inline bool net_is_ready(const struct net_end *e)
{
    if (e->host->paused) {
        return false;
    }
    if (e->closing) {
        return true;
    }
    return !net_is_frozen(e) && (e->dialing || e->open_pending || e->in.used > 0 || e->fin);
}

static inline void net_connect(struct net *net, struct net_end *e)
{
    struct net_listener *l = net_find(net, e->address);
    e->dialing = false;
    if (l == NULL) {
        net_end_close(e, COR_EIO);
        return;
    }
    struct net_end *accepted = net_new_end(l->host);
    accepted->other = e;
    e->other = accepted;
    e->open_pending = true;
    l->on_accept(l->arg, &accepted->stream);
    if (accepted->events == NULL) {
        net_free_end(net, accepted);
        net_end_close(e, COR_EIO);
        return;
    }
    net_end_turn(l->host);
}

static inline void net_deliver(struct net *net, struct net_end *e)
{
    size_t n = net->whole ? e->in.used : 1 + (size_t)prng_below(&net->random, e->in.used);
    unsigned char *data = malloc(n); /* of this size, so that a sanitizer sees a step too far */
    COR_ASSERT(data != NULL);
    memcpy(data, e->in.data, n);
    memmove(e->in.data, e->in.data + n, e->in.used - n);
    e->in.used -= n;
    if (net->corrupt_at > net->n_delivered && net->corrupt_at <= net->n_delivered + n) {
        data[net->corrupt_at - net->n_delivered - 1] ^= 0x10;
    }
    net->n_delivered += n;
    e->events->on_data(e->arg, &e->stream, (struct cor_bytes){data, n});
    free(data);
}

static inline void net_happen(struct net *net, struct net_end *e)
{
    struct net_host *h = e->host;
    if (e->closing) {
        e->events->on_close(e->arg, &e->stream, e->why);
        net_free_end(net, e);
    } else if (e->dialing) {
        net_connect(net, e);
    } else if (e->open_pending) {
        e->open_pending = false;
        e->events->on_open(e->arg, &e->stream);
    } else if (e->in.used > 0) {
        net_deliver(net, e);
    } else {
        net_end_close(e, e->why);
    }
    net_end_turn(h);
}

/* Let one of the things happen that can. False: nothing can. */
static inline bool net_step(struct net *net)
{
    struct net_end *chosen = NULL;
    uint64_t n = 0;
    for (struct net_end *e = net->ends; e != NULL; e = e->next) {
        if (net_is_ready(e) && prng_below(&net->random, ++n) == 0) {
            chosen = e;
        }
    }
    if (chosen != NULL) {
        net_happen(net, chosen);
    }
    return chosen != NULL;
}

static inline struct io_timer *net_next_timer(struct net *net, struct net_host **host)
{
    struct io_timer *next = NULL;
    for (unsigned h = 0; h < NET_HOSTS; h++) {
        for (unsigned i = 0; i < NET_TIMERS && !net->hosts[h].paused; i++) {
            struct io_timer *t = net->hosts[h].timers[i];
            if (t != NULL && (next == NULL || t->at < next->at)) {
                next = t;
                *host = &net->hosts[h];
            }
        }
    }
    return next;
}

/* What a test did outside of a turn leaves at the end of one. */
static inline void net_settle(struct net *net)
{
    for (unsigned h = 0; h < NET_HOSTS; h++) {
        net_end_turn(&net->hosts[h]);
    }
}

static inline void net_run(struct net *net, uint64_t duration)
{
    uint64_t end = net->now + duration;
    net_settle(net);
    for (unsigned n = 0;; n++) {
        COR_ASSERT(n < NET_STEPS_MAX);
        if (net_step(net)) {
            continue;
        }
        struct net_host *h = NULL;
        struct io_timer *t = net_next_timer(net, &h);
        if (t == NULL || t->at > end) {
            break;
        }
        net->now = t->at > net->now ? t->at : net->now;
        net_timer_clear(&h->io, t);
        t->fire(t);
        net_end_turn(h);
    }
    net->now = end;
}

/* The process of @h is gone. @silent: nobody is told. */
static inline void net_kill(struct net_host *h, bool silent)
{
    struct net *net = h->net;
    memset(h->timers, 0, sizeof h->timers);
    h->tasks = NULL;
    h->tasks_end = &h->tasks;
    net->listeners[h->number].host = NULL;
    for (struct net_end *e = net->ends, *next; e != NULL; e = next) {
        next = e->next;
        if (e->host != h) {
            continue;
        }
        if (e->other != NULL && !silent) {
            e->other->fin = true;
            e->other->why = COR_EIO;
        }
        net_free_end(net, e);
    }
}

static const struct io_ops net_ops = {
    .now = net_now,
    .random = net_random,
    .timer_set = net_timer_set,
    .timer_clear = net_timer_clear,
    .defer = net_defer,
    .cancel = net_cancel,
    .listen = net_listen,
    .listener_close = net_listener_close,
    .dial = net_dial,
    .stream_take = net_stream_take,
    .stream_send = net_stream_send,
    .stream_queued = net_stream_queued,
    .stream_close = net_stream_close,
    .stream_peer = net_stream_peer,
};

static inline void net_init(struct net *net, uint64_t seed)
{
    *net = (struct net){.now = NET_S, .random = {seed}};
    for (unsigned i = 0; i < NET_HOSTS; i++) {
        struct net_host *h = &net->hosts[i];
        *h = (struct net_host){.io.ops = &net_ops, .net = net, .number = i};
        h->random.state = seed * 131 + i;
        h->tasks_end = &h->tasks;
    }
}

static inline void net_deinit(struct net *net)
{
    while (net->ends != NULL) {
        net_free_end(net, net->ends);
    }
}

#endif
