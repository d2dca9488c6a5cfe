/*
 * io.h - the only door to the world: clock, timers, randomness, streams, work off the loop.
 *
 * Two implementations: os/ (libuv, sockets, threads) and sim/ (virtual time, a fake network).
 * Everything above this header is deterministic: same inputs through this door, same outputs,
 * bit for bit. It makes no system call, reads no clock, starts no thread.
 *
 * One thread, the loop, runs every callback named here except io_work.run. A *turn* of the loop
 * is: all events that are ready (data, timers, completed work), then all deferred tasks, then one
 * flush per stream that was written to. So whatever arrived together is handled together and
 * leaves together: that is where batches come from.
 *
 * No callback is ever made from inside the call that caused it: io_dial(), io_stream_send(),
 * io_submit() return first, and report later.
 */
#ifndef IO_IO_H
#define IO_IO_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"
#include "io/fs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io;
struct io_stream;
struct io_listener;

#define IO_NEVER UINT64_MAX

/* ---- time -------------------------------------------------------------------------------- */

/* One-shot timer, embedded in its owner. Zero it before the first use. */
struct io_timer {
    void (*fire)(struct io_timer *timer); /* set by the owner; may set the timer again */
    uint64_t at; /* nanoseconds; private to the implementation, as below */
    uint64_t order;
    size_t slot; /* 0: not set */
};

/* ---- work off the loop --------------------------------------------------------------------- */

enum io_queue {
    IO_QUEUE_LOG = 0, /* appends to the log: one at a time, in order, never behind other work */
    IO_QUEUE_DISK,    /* other blocking file work: one at a time, in order */
    IO_QUEUE_JOB,     /* computation over immutable input; may run in parallel, in any order */
    IO_N_QUEUES
};

/*
 * @run is called once, off the loop, and may call io_fs and pure code only: no other function of
 * this header. @done is then called on the loop. The struct and everything @run touches belong to
 * the work from io_submit() until @done: the owner must not free or change it between.
 */
struct io_work {
    void (*run)(struct io_work *work);
    void (*done)(struct io_work *work);
    struct io_work *next; /* private to the implementation, as below */
    enum io_queue queue;
};

/* A task to run at the end of this turn. Zero it before the first use. */
struct io_task {
    void (*run)(struct io_task *task);
    struct io_task *next; /* private to the implementation, as below */
    bool queued;
};

/* ---- byte streams ------------------------------------------------------------------------- */

/*
 * The owner of a stream. @on_close is the last callback a stream makes, exactly once, also after
 * io_stream_close() by the owner; the stream is gone when it returns. Data is borrowed for the
 * call. Streams may cut and join bytes anywhere.
 */
struct io_stream_events {
    void (*on_open)(void *arg, struct io_stream *s); /* dialed streams only: connected */
    void (*on_data)(void *arg, struct io_stream *s, struct cor_bytes data);
    /* The peer sent its last byte (half-close). May be NULL: then the stream is closed. */
    void (*on_end)(void *arg, struct io_stream *s);
    /* Everything queued has been handed to the system, after io_stream_queued() was above 0 at
     * the end of a turn. May be NULL. */
    void (*on_drain)(void *arg, struct io_stream *s);
    /* @why: COR_OK (closed by the owner or in order by the peer), COR_EIO, COR_ETIMEDOUT... */
    void (*on_close)(void *arg, struct io_stream *s, enum cor_status why);
};

struct io_ops {
    /* Monotonic nanoseconds that also count while the machine is suspended (CLOCK_BOOTTIME). */
    uint64_t (*now)(struct io *io);
    /* Milliseconds since 1970, for display only: it may jump. */
    uint64_t (*wall_ms)(struct io *io);
    void (*random)(struct io *io, void *out, size_t len);
    /* (Re)arm @t for @at (absolute, in now()'s time; in the past: next turn), or disarm it. */
    void (*timer_set)(struct io *io, struct io_timer *t, uint64_t at);
    void (*timer_clear)(struct io *io, struct io_timer *t);
    /* Run @task at the end of this turn; nothing happens if it is queued already. Tasks queued
     * by a task run in the same turn, after those queued before. */
    void (*defer)(struct io *io, struct io_task *task);
    void (*cancel)(struct io *io, struct io_task *task); /* unqueue; nothing if not queued */
    void (*submit)(struct io *io, enum io_queue queue, struct io_work *work);

    /*
     * Listen on @address ("host:port", "[v6]:port"; port 0: any). @on_accept gets each new stream and
     * must call io_stream_take() on it before it returns, or the stream is closed.
     * *bound, if not NULL, gets the address in use, NUL-terminated, up to IO_ADDRESS_MAX bytes.
     * COR_EEXIST: address in use. COR_EINVAL: malformed. COR_EPERM. COR_EIO.
     */
    enum cor_status (*listen)(struct io *io, const char *address,
                              void (*on_accept)(void *arg, struct io_stream *s), void *arg,
                              char *bound, struct io_listener **out, struct cor_error *err);
    void (*listener_close)(struct io_listener *l);
    /* Connect. The outcome arrives as on_open or on_close. Names are resolved off the loop. */
    enum cor_status (*dial)(struct io *io, const char *address,
                            const struct io_stream_events *events, void *arg,
                            struct io_stream **out);
    void (*stream_take)(struct io_stream *s, const struct io_stream_events *events, void *arg);
    /* Queue a copy of @data; it leaves with the flush at the end of the turn. COR_ENOMEM: the
     * stream will be closed. The caller bounds the queue by looking at stream_queued(). */
    enum cor_status (*stream_send)(struct io_stream *s, struct cor_bytes data);
    /* Bytes queued and not yet handed to the system. */
    size_t (*stream_queued)(const struct io_stream *s);
    /* Stop (resume) reading: back-pressure towards the sender. */
    void (*stream_pause)(struct io_stream *s, bool paused);
    /* Close: at once, or (@flush) after what is queued has left, or could not in 5 s. */
    void (*stream_close)(struct io_stream *s, bool flush);
    /* The other side's address, NUL-terminated; for logs. */
    void (*stream_peer)(const struct io_stream *s, char *out, size_t size);
};

#define IO_ADDRESS_MAX 280u /* bytes, NUL included: a DNS name, brackets, colon, port */

/* Embedded first in each implementation's own struct, as in struct io_stream and io_listener
 * below: calls through a pointer need no cast to find their implementation. */
struct io {
    const struct io_ops *ops;
    struct io_fs *fs; /* the data directory of this node; NULL where there is none (clients) */
};

struct io_stream {
    struct io *io;
};

struct io_listener {
    struct io *io;
};

/* ---- shorthands ------------------------------------------------------------------------------ */

static inline uint64_t io_now(struct io *io)
{
    return io->ops->now(io);
}

static inline uint64_t io_wall_ms(struct io *io)
{
    return io->ops->wall_ms(io);
}

static inline void io_random(struct io *io, void *out, size_t len)
{
    io->ops->random(io, out, len);
}

static inline void io_timer_set(struct io *io, struct io_timer *t, uint64_t at)
{
    io->ops->timer_set(io, t, at);
}

static inline void io_timer_clear(struct io *io, struct io_timer *t)
{
    io->ops->timer_clear(io, t);
}

static inline void io_defer(struct io *io, struct io_task *task)
{
    io->ops->defer(io, task);
}

static inline void io_cancel(struct io *io, struct io_task *task)
{
    io->ops->cancel(io, task);
}

static inline void io_submit(struct io *io, enum io_queue queue, struct io_work *work)
{
    io->ops->submit(io, queue, work);
}

/* NOLINTNEXTLINE(readability-function-size): what a listener is made of */
static inline enum cor_status io_listen(struct io *io, const char *address,
                                        void (*on_accept)(void *arg, struct io_stream *s),
                                        void *arg, char *bound, struct io_listener **out,
                                        struct cor_error *err)
{
    return io->ops->listen(io, address, on_accept, arg, bound, out, err);
}

static inline void io_listener_close(struct io_listener *l)
{
    l->io->ops->listener_close(l);
}

static inline enum cor_status io_dial(struct io *io, const char *address,
                                      const struct io_stream_events *events, void *arg,
                                      struct io_stream **out)
{
    return io->ops->dial(io, address, events, arg, out);
}

static inline void io_stream_take(struct io_stream *s, const struct io_stream_events *events,
                                  void *arg)
{
    s->io->ops->stream_take(s, events, arg);
}

static inline enum cor_status io_stream_send(struct io_stream *s, struct cor_bytes data)
{
    return s->io->ops->stream_send(s, data);
}

static inline size_t io_stream_queued(const struct io_stream *s)
{
    return s->io->ops->stream_queued(s);
}

static inline void io_stream_pause(struct io_stream *s, bool paused)
{
    s->io->ops->stream_pause(s, paused);
}

static inline void io_stream_close(struct io_stream *s, bool flush)
{
    s->io->ops->stream_close(s, flush);
}

#endif
