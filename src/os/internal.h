/*
 * internal.h - the loop's own struct, and what the files of os/ share.
 *
 * One file per subject: loop.c (life, turns, tasks, posts), timer.c, work.c (threads), stream.c
 * (bytes in and out, closing), listen.c, dial.c, address.c, error.c; fs.c and fs_dir.c need no loop.
 * Everything belongs to the loop's thread but what stands under `shared`.
 */
#ifndef OS_INTERNAL_H
#define OS_INTERNAL_H

#include "os/os.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <uv.h>

#define OS_MS UINT64_C(1000000)

#define OS_JOB_THREADS_MAX 2u
#define OS_READ_SIZE       65536u /* bytes asked for at once, into the one buffer of the loop */

/* ---- errors (error.c) --------------------------------------------------------------------- */

/* What a caller can do about the system's @error (an errno). */
enum cor_status os_status(int error);
/* Fill @err: "WHAT: reason of the system". Returns os_status(@error). */
enum cor_status os_error(struct cor_error *err, int error, const char *what);

/* ---- addresses (address.c) ---------------------------------------------------------------- */

#define OS_HOST_MAX 254u /* bytes, NUL included */

struct os_address {
    char host[OS_HOST_MAX]; /* without brackets */
    uint16_t port;
};

struct os_sockaddr {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
};

/* Take "host:port" apart. COR_EINVAL: malformed, and @err says how it should look. */
MUST_USE enum cor_status os_address_parse(const char *text, struct os_address *out,
                                          struct cor_error *err);
/* The addresses of @a when it takes no resolver to know them: a literal, or localhost (both of
 * it). Returns how many, at most 2; 0: a name. */
size_t os_address_literal(const struct os_address *a, struct os_sockaddr out[2]);
/* Copy what a resolver said into @out, at most @max. Returns how many. */
size_t os_address_list(const struct addrinfo *info, struct os_sockaddr *out, size_t max);
void os_address_format(const struct os_sockaddr *a, char *out, size_t size);

/* ---- timers (timer.c) --------------------------------------------------------------------- */

struct os_timers {
    struct io_timer **heap; /* [1..n]: by (at, order); slot is the index */
    size_t n, room;
    uint64_t order; /* of the next timer set */
    uint64_t now;   /* the clock, when timers last fired */
    uint64_t armed; /* what the timerfd is set to; IO_NEVER: not set */
    bool rang;      /* it has expired, and must be set anew or it stays readable */
    int fd;
    uv_poll_t poll;
};

MUST_USE enum cor_status os_timers_open(struct os_loop *loop, struct cor_error *err);
void os_timers_set(struct io *io, struct io_timer *t, uint64_t at);
void os_timers_clear(struct io *io, struct io_timer *t);
/* Fire what is due and was set before this turn: @order_before is timers.order at its start. */
void os_timers_fire(struct os_loop *loop, uint64_t order_before);
/* Before sleeping: see to it that the loop wakes when the first timer is due. */
void os_timers_arm(struct os_loop *loop);
void os_timers_close(struct os_loop *loop); /* the handle; then, after uv has let go: free */
void os_timers_free(struct os_loop *loop);

/* ---- work (work.c) ------------------------------------------------------------------------ */

/* One queue of works and its threads. All under loop->shared.lock, but loop and id. */
struct os_work_queue {
    struct os_loop *loop;
    enum io_queue id;
    struct io_work *first, **last;
    size_t n_waiting;
    unsigned n_threads, n_idle, threads_max;
    pthread_cond_t wanted;
    pthread_t threads[OS_JOB_THREADS_MAX];
};

void os_work_init(struct os_loop *loop);
void os_work_submit(struct io *io, enum io_queue queue, struct io_work *work);
void os_work_resume(struct os_loop *loop);
/* Start nothing more, and wait for what is running. */
void os_work_hold(struct os_loop *loop);
void os_work_end(struct os_loop *loop); /* end the threads */

/* ---- streams (stream.c, dial.c, listen.c) -------------------------------------------------- */

enum os_stream_state {
    OS_STREAM_OPEN = 1,  /* the owner hears of everything; connected or not yet */
    OS_STREAM_FLUSHING,  /* the owner closed it: send what is queued, discard what comes */
    OS_STREAM_CLOSED,    /* on_close is due */
    OS_STREAM_LINGERING, /* no owner any more; see stream.c */
    OS_STREAM_DEAD       /* waits for libuv to let go of the handle */
};

enum os_handle_state {
    OS_HANDLE_NONE = 0,
    OS_HANDLE_OPEN,
    OS_HANDLE_CLOSING
};

struct os_chunk {
    struct os_chunk *next;
    uint32_t begin, end, room;
    unsigned char data[];
};

struct os_stream {
    struct io_stream stream; /* first: what the owner sees */
    struct os_stream *next, *prev;
    struct os_stream *next_touched; /* in loop->touched, if is_touched */
    struct os_stream *next_closed;  /* in loop->closed */
    const struct io_stream_events *events;
    void *arg;
    struct os_chunk *first, *last; /* queued to be sent */
    size_t queued;
    struct os_dial *dial;  /* until connected */
    struct io_timer timer; /* of the present state: next address, flush or linger limit */
    uv_poll_t poll;
    int fd; /* -1: none */
    enum cor_status why;
    uint8_t state;    /* enum os_stream_state */
    uint8_t handle;   /* enum os_handle_state: of poll */
    uint8_t interest; /* events asked of poll */
    bool connected;
    bool paused;
    bool end_seen; /* the peer's last byte was read */
    bool blocked;  /* the system takes no more until it says so */
    bool want_drain;
    bool broken; /* sending failed; in loop->closed, and not ended before it was read empty */
    bool linger;
    bool is_touched;
};

struct os_listener;

/* A new stream in loop->streams, without a socket, or NULL. */
struct os_stream *os_stream_new(struct os_loop *loop);
/* Adopt the non-blocking @fd; on failure it is the caller's still. */
MUST_USE bool os_stream_adopt(struct os_stream *s, int fd);
/* Let go of the socket; @on_closed when a new one may be adopted. */
void os_stream_drop_socket(struct os_stream *s, uv_close_cb on_closed);
/* It ends: drop everything; on_close follows. Nothing if it has ended. */
void os_stream_end(struct os_stream *s, enum cor_status why);
/* Free, without a callback, as soon as libuv permits; not before the end of this turn, so that whoever
 * is at work on it further up the stack may still look at its state. */
void os_stream_destroy(struct os_stream *s);
/* Free if nobody holds it any more. */
void os_stream_free_if_over(struct os_stream *s);
/* See to it at the end of this turn. */
void os_stream_touch(struct os_stream *s);
/* A dialed stream is connected. */
void os_stream_connected(struct os_stream *s);
/* Options that every socket of ours has; a listener's are inherited by what it accepts. */
void os_socket_options(int fd);

void os_streams_report_closed(struct os_loop *loop);
void os_streams_flush(struct os_loop *loop);
void os_streams_free(struct os_loop *loop);

void os_stream_take(struct io_stream *s, const struct io_stream_events *events, void *arg);
enum cor_status os_stream_send(struct io_stream *s, struct cor_bytes data);
size_t os_stream_queued(const struct io_stream *s);
void os_stream_pause(struct io_stream *s, bool paused);
void os_stream_close(struct io_stream *s, bool flush);
void os_stream_peer(const struct io_stream *s, char *out, size_t size);

enum cor_status os_dial(struct io *io, const char *address,
                        const struct io_stream_events *events, void *arg,
                        struct io_stream **out);
/* The poll handle of a stream that is not connected has something to say. */
void os_dial_on_poll(struct os_stream *s);
/* This attempt takes too long and there are other addresses. */
void os_dial_next(struct os_stream *s);
void os_dial_forget(struct os_stream *s); /* free s->dial, now or when the resolver answers */
const char *os_dial_address(const struct os_stream *s);

enum cor_status os_listen(struct io *io, const char *address,
                          void (*on_accept)(void *arg, struct io_stream *s), void *arg,
                          char *bound, struct io_listener **out, struct cor_error *err);
void os_listener_close(struct io_listener *l);
void os_listeners_free(struct os_loop *loop);

/* ---- the loop (loop.c) -------------------------------------------------------------------- */

#define OS_CHUNK_SIZE  4096u /* bytes, header included, of the chunks that are kept for reuse */
#define OS_CHUNKS_KEPT 64u

struct os_signal;

struct os_loop {
    struct io io; /* first */
    uv_loop_t uv;
    struct event_sink *events;
    struct os_timers timers;
    struct io_task *tasks, **tasks_end;
    struct os_stream *streams;              /* all but the dead */
    struct os_stream *touched;              /* to be flushed at the end of the turn */
    struct os_stream *closed, **closed_end; /* on_close is due */
    struct os_chunk *chunks;
    unsigned n_chunks;
    struct os_listener *listeners;
    struct os_signal *signals;
    unsigned char *read_buffer; /* OS_READ_SIZE */
    struct os_work_queue queues[IO_N_QUEUES];
    struct io_timer thread_retry;
    uv_async_t wake;
    atomic_bool stop;
    struct {
        pthread_mutex_t lock;
        pthread_cond_t quiet; /* n_running fell to 0 */
        struct os_post *posts, **posts_end;
        struct io_work *done, **done_end;
        unsigned n_running;
        bool held, ending;
    } shared;
};

static inline struct os_loop *os_loop_of(struct io *io)
{
    return CONTAINER_OF(io, struct os_loop, io);
}

/* clock.c */
uint64_t os_now(struct io *io);
uint64_t os_wall_ms(struct io *io);
void os_random(struct io *io, void *out, size_t len);

#endif
