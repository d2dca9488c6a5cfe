/*
 * flat.h - the smallest world an api can live in: one loop without time or distance.
 *
 * For fuzz/ and bench/, where the simulator would be most of what runs. A turn is what io.h says it is:
 * whatever the caller delivers, then due timers, then deferred tasks, then one flush.
 */
#ifndef TESTS_API_FLAT_H
#define TESTS_API_FLAT_H

#include "base/assert.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

#define FLAT_TIMERS 65536u

struct flat_stream {
    struct io_stream base; /* first */
    const struct io_stream_events *events;
    void *arg;
    unsigned char *queue;
    size_t queued, room;
    bool paused, closing, closed;
    /* Where bytes go; false: the reader takes none now. */
    bool (*take)(void *arg, struct cor_bytes b);
    void *take_arg;
};

struct flat {
    struct io io; /* first */
    uint64_t now;
    struct io_task *tasks, **tasks_end;
    struct io_timer *timers[FLAT_TIMERS]; /* slot 0 is not used */
    size_t n_timers;
};

static inline struct flat *flat_of(struct io *io)
{
    return (struct flat *)(void *)io;
}

static inline uint64_t flat_now(struct io *io)
{
    return flat_of(io)->now;
}

static inline void flat_timer_clear(struct io *io, struct io_timer *t)
{
    struct flat *f = flat_of(io);
    if (t->slot != 0) {
        struct io_timer *last = f->timers[f->n_timers--];
        f->timers[t->slot] = last;
        last->slot = t->slot;
        t->slot = 0;
    }
}

static inline void flat_timer_set(struct io *io, struct io_timer *t, uint64_t at)
{
    struct flat *f = flat_of(io);
    flat_timer_clear(io, t);
    COR_ASSERT(f->n_timers + 1 < FLAT_TIMERS);
    t->at = at;
    t->slot = ++f->n_timers;
    f->timers[t->slot] = t;
}

static inline void flat_defer(struct io *io, struct io_task *task)
{
    struct flat *f = flat_of(io);
    if (!task->queued) {
        task->queued = true;
        task->next = NULL;
        *f->tasks_end = task;
        f->tasks_end = &task->next;
    }
}

static inline void flat_cancel(struct io *io, struct io_task *task)
{
    struct flat *f = flat_of(io);
    if (!task->queued) {
        return;
    }
    struct io_task **at = &f->tasks;
    while (*at != task) {
        at = &(*at)->next;
    }
    *at = task->next;
    if (task->next == NULL) {
        f->tasks_end = at;
    }
    task->queued = false;
}

static inline struct flat_stream *flat_stream_of(const struct io_stream *s)
{
    union {
        const struct io_stream *in;
        struct flat_stream *out;
    } u = {.in = s};
    return u.out;
}

static inline void flat_take(struct io_stream *s, const struct io_stream_events *events,
                             void *arg)
{
    flat_stream_of(s)->events = events;
    flat_stream_of(s)->arg = arg;
}

static inline enum cor_status flat_send(struct io_stream *stream, struct cor_bytes data)
{
    struct flat_stream *s = flat_stream_of(stream);
    if (s->queued + data.len > s->room) {
        s->room = 2 * (s->queued + data.len);
        s->queue = realloc(s->queue, s->room);
        COR_ASSERT(s->queue != NULL);
    }
    memcpy(s->queue + s->queued, data.ptr, data.len);
    s->queued += data.len;
    return COR_OK;
}

static inline size_t flat_queued(const struct io_stream *s)
{
    return flat_stream_of(s)->queued;
}

static inline void flat_pause(struct io_stream *s, bool paused)
{
    flat_stream_of(s)->paused = paused;
}

static inline void flat_close(struct io_stream *stream, bool flush)
{
    struct flat_stream *s = flat_stream_of(stream);
    s->closing = true;
    if (!flush) {
        s->queued = 0;
    }
}

static inline void flat_random(struct io *io, void *out, size_t len)
{
    (void)io;
    memset(out, 0x5a, len);
}

static inline void flat_init(struct flat *f)
{
    static const struct io_ops ops = {.now = flat_now,
                                      .random = flat_random,
                                      .timer_set = flat_timer_set,
                                      .timer_clear = flat_timer_clear,
                                      .defer = flat_defer,
                                      .cancel = flat_cancel,
                                      .stream_take = flat_take,
                                      .stream_send = flat_send,
                                      .stream_queued = flat_queued,
                                      .stream_pause = flat_pause,
                                      .stream_close = flat_close};
    f->io.ops = &ops;
    f->now = 1;
    f->tasks_end = &f->tasks;
}

static inline void flat_stream_init(struct flat *f, struct flat_stream *s,
                                    bool (*take)(void *arg, struct cor_bytes b), void *arg)
{
    *s = (struct flat_stream){.base.io = &f->io, .take = take, .take_arg = arg};
}

static inline void flat_flush(struct flat_stream *s)
{
    if (s->queued > 0 && s->take(s->take_arg, (struct cor_bytes){s->queue, s->queued})) {
        s->queued = 0;
    }
    if (s->closing && !s->closed && s->queued == 0) {
        s->closed = true;
        s->events->on_close(s->arg, &s->base, COR_OK);
    }
}

/* The rest of a turn, after what the caller delivered. */
static inline void flat_turn(struct flat *f, struct flat_stream *s)
{
    size_t n = f->n_timers;
    for (size_t i = n; i > 0; i--) {
        struct io_timer *t = i <= f->n_timers ? f->timers[i] : NULL;
        if (t != NULL && t->at <= f->now) {
            flat_timer_clear(&f->io, t);
            t->fire(t);
        }
    }
    while (f->tasks != NULL) {
        struct io_task *task = f->tasks;
        f->tasks = task->next;
        if (f->tasks == NULL) {
            f->tasks_end = &f->tasks;
        }
        task->queued = false;
        task->run(task);
    }
    flat_flush(s);
}

#endif
