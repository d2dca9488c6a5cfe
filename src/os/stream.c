/*
 * stream.c - one TCP connection: bytes in, bytes out, and how it ends.
 *
 * Sockets are ours, non-blocking, watched by uv_poll_t: one system call each way per turn, one read
 * buffer per loop, and no buffer at all for a connection with nothing to send.
 *
 * Ends. Whatever ends a stream (its owner, the peer, an error) puts it in loop->closed; on_close is
 * called from there, as an event, so never from inside a call. After a close with flush the socket
 * outlives its owner for a moment: closing a socket with unread bytes makes the kernel send a
 * reset, which can destroy the answer on its way (a refused upload: the client still sends, and
 * never sees why). So we send our end, and read and drop until the peer sends its own, 1 s at most
 * (RFC 9112, 9.6).
 *
 *     OPEN ----------------------------> CLOSED -> (on_close) -> DEAD
 *       \-- close(flush) --> FLUSHING --/                   \-> LINGERING -> DEAD
 */
#include "os/internal.h"

#include "base/assert.h"
#include "base/format.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_ROUNDS_MAX 4u    /* per stream and turn: others wait */
#define DRAIN_ROUNDS    1024u /* more than any receive buffer holds */
#define IOVECS_MAX      64
#define CHUNK_ROOM      (OS_CHUNK_SIZE - sizeof(struct os_chunk))
#define CHUNK_LARGE_MIN ((size_t)16 * 1024) /* data bytes: of a chunk behind the first */
#define CHUNK_LARGE_MAX ((size_t)64 * 1024)
#define FLUSH_LIMIT     (5000 * OS_MS) /* io/io.h */
#define LINGER_LIMIT    (1000 * OS_MS)
#define KEEPALIVE_S     60 /* idle before the kernel asks; then 4 times every 15 s */

static struct os_stream *stream_of(struct io_stream *s)
{
    return CONTAINER_OF(s, struct os_stream, stream);
}

static const struct os_stream *const_stream_of(const struct io_stream *s)
{
    return (const struct os_stream *)(const void *)s; /* its first member */
}

static struct os_loop *loop_of(const struct os_stream *s)
{
    return os_loop_of(s->stream.io);
}

/* ---- the queue of bytes to send ------------------------------------------------------------ */

static struct os_chunk *chunk_new(struct os_loop *loop, size_t room)
{
    struct os_chunk *c = loop->chunks;
    if (room <= CHUNK_ROOM && c != NULL) {
        loop->chunks = c->next;
        loop->n_chunks--;
        room = CHUNK_ROOM;
    } else {
        room = room <= CHUNK_ROOM ? CHUNK_ROOM : room;
        c = malloc(sizeof *c + room);
    }
    if (c != NULL) {
        *c = (struct os_chunk){.room = (uint32_t)room};
    }
    return c;
}

static void chunk_free(struct os_loop *loop, struct os_chunk *c)
{
    if (c->room != CHUNK_ROOM || loop->n_chunks == OS_CHUNKS_KEPT) {
        free(c);
        return;
    }
    c->next = loop->chunks;
    loop->chunks = c;
    loop->n_chunks++;
}

static void drop_first(struct os_stream *s)
{
    struct os_chunk *c = s->first;
    s->first = c->next;
    if (s->first == NULL) {
        s->last = NULL;
    }
    chunk_free(loop_of(s), c);
}

static void drop_queue(struct os_stream *s)
{
    while (s->first != NULL) {
        drop_first(s);
    }
    s->queued = 0;
}

/* Room at the end of the queue for some of @wanted bytes. False: out of memory. */
static bool extend_queue(struct os_stream *s, size_t wanted)
{
    if (s->last != NULL && s->last->end < s->last->room) {
        return true;
    }
    size_t room = wanted;
    if (s->last != NULL || wanted > CHUNK_ROOM) {
        room = room < CHUNK_LARGE_MIN ? CHUNK_LARGE_MIN : room;
        room = room > CHUNK_LARGE_MAX ? CHUNK_LARGE_MAX : room;
    }
    struct os_chunk *c = chunk_new(loop_of(s), room);
    if (c == NULL) {
        return false;
    }
    *(s->last != NULL ? &s->last->next : &s->first) = c;
    s->last = c;
    return true;
}

static bool append(struct os_stream *s, struct cor_bytes data)
{
    while (data.len > 0) {
        if (!extend_queue(s, data.len)) {
            return false;
        }
        struct os_chunk *c = s->last;
        size_t n = c->room - c->end < data.len ? c->room - c->end : data.len;
        memcpy(c->data + c->end, data.ptr, n);
        c->end += (uint32_t)n;
        s->queued += n;
        data.ptr += n;
        data.len -= n;
    }
    return true;
}

static void consume(struct os_stream *s, size_t n)
{
    COR_ASSERT(n <= s->queued);
    s->queued -= n;
    while (n > 0) {
        struct os_chunk *c = s->first;
        COR_ASSERT(c != NULL);
        size_t here = c->end - c->begin < n ? c->end - c->begin : n;
        c->begin += (uint32_t)here;
        n -= here;
        if (c->begin == c->end) {
            drop_first(s);
        }
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

static void on_timer(struct io_timer *t)
{
    struct os_stream *s = CONTAINER_OF(t, struct os_stream, timer);
    if (s->state == OS_STREAM_LINGERING) {
        os_stream_destroy(s);
    } else if (s->state == OS_STREAM_FLUSHING) {
        os_stream_end(s, s->connected ? COR_OK : COR_ETIMEDOUT);
    } else if (s->state == OS_STREAM_OPEN && !s->connected) {
        os_dial_next(s);
    }
}

struct os_stream *os_stream_new(struct os_loop *loop)
{
    struct os_stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->stream.io = &loop->io;
    s->state = OS_STREAM_OPEN;
    s->timer.fire = on_timer;
    s->fd = -1;
    s->next = loop->streams;
    if (s->next != NULL) {
        s->next->prev = s;
    }
    loop->streams = s;
    return s;
}

bool os_stream_adopt(struct os_stream *s, int fd)
{
    COR_ASSERT(s->handle == OS_HANDLE_NONE && s->fd < 0);
    if (uv_poll_init(&loop_of(s)->uv, &s->poll, fd) != 0) {
        return false;
    }
    s->fd = fd;
    s->handle = OS_HANDLE_OPEN;
    s->interest = 0;
    return true;
}

void os_stream_drop_socket(struct os_stream *s, uv_close_cb on_closed)
{
    COR_ASSERT(s->handle == OS_HANDLE_OPEN && s->fd >= 0);
    s->handle = OS_HANDLE_CLOSING;
    uv_close((uv_handle_t *)&s->poll, on_closed); /* before close(): the number may be reused */
    (void)close(s->fd);
    s->fd = -1;
}

void os_stream_free_if_over(struct os_stream *s)
{
    if (s->state == OS_STREAM_DEAD && s->handle == OS_HANDLE_NONE && !s->is_touched) {
        free(s);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    uv_poll_t *poll = (uv_poll_t *)handle;
    struct os_stream *s = CONTAINER_OF(poll, struct os_stream, poll);
    s->handle = OS_HANDLE_NONE;
    os_stream_free_if_over(s);
}

void os_stream_destroy(struct os_stream *s)
{
    struct os_loop *loop = loop_of(s);
    COR_ASSERT(s->state != OS_STREAM_DEAD);
    s->state = OS_STREAM_DEAD;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    *(s->prev != NULL ? &s->prev->next : &loop->streams) = s->next;
    os_timers_clear(&loop->io, &s->timer);
    drop_queue(s);
    os_dial_forget(s);
    if (s->handle == OS_HANDLE_OPEN) {
        os_stream_drop_socket(s, on_handle_closed);
    }
    os_stream_touch(s);
}

static bool is_alive(const struct os_stream *s)
{
    return s->state == OS_STREAM_OPEN || s->state == OS_STREAM_FLUSHING;
}

/* Queue it for on_close, and remember @why. */
static void report_later(struct os_stream *s, enum cor_status why)
{
    struct os_loop *loop = loop_of(s);
    s->why = why;
    s->next_closed = NULL;
    *loop->closed_end = s;
    loop->closed_end = &s->next_closed;
}

void os_stream_end(struct os_stream *s, enum cor_status why)
{
    if (!is_alive(s)) {
        return;
    }
    s->state = OS_STREAM_CLOSED;
    os_timers_clear(s->stream.io, &s->timer);
    drop_queue(s);
    if (!s->broken) {
        report_later(s, why);
    }
}

/* The system takes no more. What the peer sent before it went away may say why, so the owner gets
 * that first: in os_streams_report_closed(), because this is no place for callbacks. */
static void break_off(struct os_stream *s, enum cor_status why)
{
    drop_queue(s);
    s->broken = true;
    report_later(s, why);
}

/* ---- sending ------------------------------------------------------------------------------- */

/* All is sent that the owner wanted to have sent before the end. */
static void finish_flush(struct os_stream *s)
{
    COR_ASSERT(s->queued == 0);
    if (s->connected && !s->end_seen) {
        s->linger = shutdown(s->fd, SHUT_WR) == 0;
    }
    os_stream_end(s, COR_OK);
}

/* Send the front of the queue, with one call; *wanted: how much that was. */
static ssize_t send_front(const struct os_stream *s, size_t *wanted)
{
    struct iovec vecs[IOVECS_MAX];
    struct msghdr m = {.msg_iov = vecs};
    *wanted = 0;
    for (struct os_chunk *c = s->first; c != NULL && m.msg_iovlen < IOVECS_MAX; c = c->next) {
        vecs[m.msg_iovlen++] = (struct iovec){c->data + c->begin, c->end - c->begin};
        *wanted += c->end - c->begin;
    }
    ssize_t n;
    do {
        n = sendmsg(s->fd, &m, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Hand the queue to the system, as much as it takes. */
static void pump(struct os_stream *s)
{
    s->blocked = false;
    while (s->queued > 0) {
        size_t wanted;
        ssize_t n = send_front(s, &wanted);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            s->blocked = true;
            return;
        }
        if (n < 0) {
            break_off(s, os_status(errno));
            return;
        }
        consume(s, (size_t)n);
        if ((size_t)n < wanted) {
            s->blocked = true; /* asking again would only say EAGAIN */
            return;
        }
    }
    if (s->state == OS_STREAM_FLUSHING) {
        finish_flush(s);
    }
}

static void on_writable(struct os_stream *s)
{
    pump(s);
    if (s->state == OS_STREAM_OPEN && s->queued == 0 && s->want_drain && !s->broken) {
        s->want_drain = false;
        if (s->events->on_drain != NULL) {
            s->events->on_drain(s->arg, &s->stream);
        }
    }
}

/* ---- receiving ----------------------------------------------------------------------------- */

static bool wants_data(const struct os_stream *s)
{
    switch ((enum os_stream_state)s->state) {
    case OS_STREAM_OPEN:
        return !s->paused && !s->end_seen;
    case OS_STREAM_FLUSHING: /* to be dropped: the peer may not take ours before we take its */
    case OS_STREAM_LINGERING:
        return !s->end_seen;
    case OS_STREAM_CLOSED:
    case OS_STREAM_DEAD:
        return false;
    }
    return false;
}

static void on_end(struct os_stream *s)
{
    s->end_seen = true;
    os_stream_touch(s);
    if (s->state == OS_STREAM_LINGERING) {
        os_stream_destroy(s);
    } else if (s->state == OS_STREAM_OPEN && s->events->on_end != NULL) {
        s->events->on_end(s->arg, &s->stream);
    } else if (s->state == OS_STREAM_OPEN) {
        os_stream_end(s, COR_OK);
    }
}

static void on_error(struct os_stream *s, int error)
{
    if (s->state == OS_STREAM_LINGERING) {
        os_stream_destroy(s);
    } else {
        os_stream_end(s, os_status(error));
    }
}

static void read_rounds(struct os_stream *s, unsigned rounds)
{
    unsigned char *buffer = loop_of(s)->read_buffer;
    for (; rounds > 0 && wants_data(s); rounds--) {
        ssize_t n = recv(s->fd, buffer, OS_READ_SIZE, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        if (n < 0) {
            on_error(s, errno);
            return;
        }
        if (n == 0) {
            on_end(s);
            return;
        }
        if (s->state == OS_STREAM_OPEN) {
            s->events->on_data(s->arg, &s->stream, (struct cor_bytes){buffer, (size_t)n});
        }
        if ((size_t)n < OS_READ_SIZE) {
            return; /* most likely empty; if not, the next turn hears of it */
        }
    }
}

/* The socket has an error. What arrived before it is read first: it may be the peer's reason. */
static void on_broken(struct os_stream *s)
{
    int error = 0;
    socklen_t len = sizeof error;
    read_rounds(s, DRAIN_ROUNDS);
    if (s->state != OS_STREAM_DEAD && s->fd >= 0) {
        (void)getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        on_error(s, error != 0 ? error : ECONNRESET);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct os_stream *s = CONTAINER_OF(poll, struct os_stream, poll);
    if (status < 0) {
        s->interest = 0; /* libuv has stopped watching */
    }
    if (s->state == OS_STREAM_CLOSED || s->state == OS_STREAM_DEAD) {
        return;
    }
    if (!s->connected) {
        os_dial_on_poll(s);
        return;
    }
    if (status < 0) {
        on_broken(s);
        return;
    }
    if ((events & UV_READABLE) != 0) {
        read_rounds(s, READ_ROUNDS_MAX);
    }
    if ((events & UV_WRITABLE) != 0 && is_alive(s) && !s->broken) {
        os_stream_touch(s);
        on_writable(s);
    }
}

/* ---- ends --------------------------------------------------------------------------------- */

static void linger(struct os_stream *s)
{
    struct io *io = s->stream.io;
    s->state = OS_STREAM_LINGERING;
    os_timers_set(io, &s->timer, os_now(io) + LINGER_LIMIT);
    os_stream_touch(s);
}

void os_streams_report_closed(struct os_loop *loop)
{
    struct os_stream *s = loop->closed;
    loop->closed = NULL; /* those that end meanwhile are reported in the next turn */
    loop->closed_end = &loop->closed;
    while (s != NULL) {
        struct os_stream *next = s->next_closed;
        if (s->broken) {
            read_rounds(s, DRAIN_ROUNDS);
            os_stream_end(s, s->why);
        }
        s->events->on_close(s->arg, &s->stream, s->why);
        if (s->linger && s->handle == OS_HANDLE_OPEN) {
            linger(s);
        } else {
            os_stream_destroy(s);
        }
        s = next;
    }
}

/* ---- the end of the turn ------------------------------------------------------------------- */

void os_stream_touch(struct os_stream *s)
{
    struct os_loop *loop = loop_of(s);
    if (!s->is_touched) {
        s->is_touched = true;
        s->next_touched = loop->touched;
        loop->touched = s;
    }
}

/* Ask for the events that matter now. Each change costs two system calls. */
static void set_interest(struct os_stream *s)
{
    if (s->handle != OS_HANDLE_OPEN || s->state == OS_STREAM_CLOSED) {
        return; /* closed: it is gone, or lingers, in the next turn */
    }
    int events = UV_WRITABLE; /* connecting */
    if (s->connected) {
        events = (wants_data(s) ? UV_READABLE : 0) | (s->blocked ? UV_WRITABLE : 0);
    }
    if (events != s->interest) {
        int failed = uv_poll_start(&s->poll, events, on_poll);
        COR_ASSERT(failed == 0);
        s->interest = (uint8_t)events;
    }
}

static void flush(struct os_stream *s)
{
    if (is_alive(s) && s->connected && !s->blocked && !s->broken) {
        pump(s);
    }
    s->want_drain = s->state == OS_STREAM_OPEN && s->queued > 0;
    set_interest(s);
}

void os_streams_flush(struct os_loop *loop)
{
    while (loop->touched != NULL) {
        struct os_stream *s = loop->touched;
        loop->touched = s->next_touched;
        if (s->state != OS_STREAM_DEAD) {
            flush(s); /* may touch it: it is marked still, so it is not listed again */
        }
        s->is_touched = false;
        os_stream_free_if_over(s);
    }
}

void os_streams_free(struct os_loop *loop)
{
    while (loop->streams != NULL) {
        os_stream_destroy(loop->streams);
    }
    os_streams_flush(loop);
    while (loop->chunks != NULL) {
        struct os_chunk *c = loop->chunks;
        loop->chunks = c->next;
        free(c);
    }
}

/* ---- what the owner calls ------------------------------------------------------------------ */

void os_stream_connected(struct os_stream *s)
{
    struct io *io = s->stream.io;
    s->connected = true;
    if (s->state == OS_STREAM_OPEN) {
        os_timers_clear(io, &s->timer);
        s->events->on_open(s->arg, &s->stream);
    }
    os_stream_touch(s);
    if (is_alive(s)) {
        on_writable(s); /* what was sent before it was open */
    }
}

void os_stream_take(struct io_stream *stream, const struct io_stream_events *events, void *arg)
{
    struct os_stream *s = stream_of(stream);
    COR_ASSERT(s->events == NULL && events->on_data != NULL && events->on_close != NULL);
    s->events = events;
    s->arg = arg;
}

enum cor_status os_stream_send(struct io_stream *stream, struct cor_bytes data)
{
    struct os_stream *s = stream_of(stream);
    COR_ASSERT(s->events != NULL);
    if (s->state != OS_STREAM_OPEN || s->broken || data.len == 0) {
        return COR_OK; /* on_close is on its way */
    }
    if (!append(s, data)) {
        os_stream_end(s, COR_ENOMEM);
        return COR_ENOMEM;
    }
    os_stream_touch(s);
    return COR_OK;
}

size_t os_stream_queued(const struct io_stream *stream)
{
    return const_stream_of(stream)->queued;
}

void os_stream_pause(struct io_stream *stream, bool paused)
{
    struct os_stream *s = stream_of(stream);
    if (s->paused != paused) {
        s->paused = paused;
        os_stream_touch(s);
    }
}

void os_stream_close(struct io_stream *stream, bool flush_first)
{
    struct os_stream *s = stream_of(stream);
    struct io *io = stream->io;
    if (s->events == NULL) {
        return; /* not taken: closed anyway, when on_accept returns */
    }
    if (!flush_first || s->broken) {
        os_stream_end(s, COR_OK);
        return;
    }
    if (s->state != OS_STREAM_OPEN) {
        return;
    }
    s->state = OS_STREAM_FLUSHING;
    os_timers_set(io, &s->timer, os_now(io) + FLUSH_LIMIT);
    os_stream_touch(s); /* the end of the turn does the rest */
}

void os_stream_peer(const struct io_stream *stream, char *out, size_t size)
{
    const struct os_stream *s = const_stream_of(stream);
    struct os_sockaddr a = {.len = sizeof a.u};
    if (s->dial != NULL) {
        format_to(out, size, "%s", os_dial_address(s));
    } else if (s->fd >= 0 && getpeername(s->fd, &a.u.any, &a.len) == 0) {
        os_address_format(&a, out, size);
    } else {
        format_to(out, size, "?");
    }
}

void os_socket_options(int fd)
{
    /* Best effort: none of them is needed for being correct. */
    int on = 1, idle = KEEPALIVE_S, every = 15, times = 4;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}
