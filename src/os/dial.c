/*
 * dial.c - outgoing connections: one address after the other until one answers.
 *
 * Literals and localhost connect at once; names are looked up in libuv's thread pool, which is not
 * started before the first of them. Where a name has several addresses, each but the last gets 1 s: a
 * network that swallows one family silently must not keep us from the other. How long to wait for
 * the last is the caller's business.
 */
#include "os/internal.h"

#include "base/assert.h"
#include "base/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADDRESSES_MAX 8u
#define ATTEMPT_LIMIT (1000 * OS_MS)

/* Lives from os_dial() until the connection stands, or the resolver lets go of it. */
struct os_dial {
    uv_getaddrinfo_t request;
    struct os_stream *stream; /* NULL: it does not wait any more */
    bool resolving;
    size_t n, next;
    struct os_sockaddr addresses[ADDRESSES_MAX];
    char text[IO_ADDRESS_MAX];
};

static struct os_loop *loop_of(const struct os_stream *s)
{
    return os_loop_of(s->stream.io);
}

static void note_failure(const struct os_stream *s, const char *reason)
{
    event_emit(loop_of(s)->events, EVENT_DEBUG, "os", "dial_failed",
               event_text("address", s->dial->text), event_text("reason", reason));
}

static void fail(struct os_stream *s, int error)
{
    char text[96];
    note_failure(s, strerror_r(error, text, sizeof text));
    os_stream_end(s, os_status(error));
}

/* ---- attempts ------------------------------------------------------------------------------ */

/* Begin to connect to @a. 0, or why not. */
static int begin(struct os_stream *s, const struct os_sockaddr *a)
{
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    os_socket_options(fd);
    int error = connect(fd, &a->u.any, a->len) == 0 || errno == EINPROGRESS ? 0 : errno;
    if (error == 0 && !os_stream_adopt(s, fd)) {
        error = ENOMEM;
    }
    if (error != 0) {
        (void)close(fd);
    }
    return error;
}

/* Try the next address, and those after it that fail at once. */
static void attempt(struct os_stream *s)
{
    struct os_dial *d = s->dial;
    struct io *io = s->stream.io;
    int error = EADDRNOTAVAIL;
    while (d->next < d->n) {
        error = begin(s, &d->addresses[d->next++]);
        if (error == 0) {
            if (d->next < d->n && s->state == OS_STREAM_OPEN) {
                os_timers_set(io, &s->timer, os_now(io) + ATTEMPT_LIMIT);
            }
            os_stream_touch(s);
            return;
        }
    }
    fail(s, error);
}

static void on_socket_gone(uv_handle_t *handle)
{
    uv_poll_t *poll = (uv_poll_t *)handle;
    struct os_stream *s = CONTAINER_OF(poll, struct os_stream, poll);
    s->handle = OS_HANDLE_NONE;
    if (s->state == OS_STREAM_OPEN || s->state == OS_STREAM_FLUSHING) {
        attempt(s);
    }
    os_stream_free_if_over(s);
}

void os_dial_next(struct os_stream *s)
{
    if (s->handle == OS_HANDLE_OPEN) {
        os_stream_drop_socket(s, on_socket_gone);
    }
}

/*
 * A port of the ephemeral range that nobody listens on can be given to the dialing socket itself,
 * and TCP's simultaneous open then connects it to itself. That is nobody.
 */
static bool is_self(int fd)
{
    struct os_sockaddr here = {.len = sizeof here.u}, there = {.len = sizeof there.u};
    return getsockname(fd, &here.u.any, &here.len) == 0 &&
           getpeername(fd, &there.u.any, &there.len) == 0 && here.len == there.len &&
           memcmp(&here.u, &there.u, here.len) == 0;
}

void os_dial_on_poll(struct os_stream *s)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (s->handle != OS_HANDLE_OPEN) {
        return;
    }
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    if (error == 0 && is_self(s->fd)) {
        error = ECONNREFUSED;
    }
    if (error == 0) {
        os_dial_forget(s);
        os_stream_connected(s);
    } else if (s->dial->next < s->dial->n) {
        os_dial_next(s);
    } else {
        fail(s, error);
    }
}

/* ---- names --------------------------------------------------------------------------------- */

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *info)
{
    struct os_dial *d = CONTAINER_OF(request, struct os_dial, request);
    struct os_stream *s = d->stream;
    d->resolving = false;
    if (status == 0) {
        d->n = os_address_list(info, d->addresses, ADDRESSES_MAX);
        uv_freeaddrinfo(info);
    }
    if (s == NULL) {
        free(d);
    } else if (status != 0) {
        note_failure(s, uv_strerror(status));
        os_stream_end(s, status == UV_ENOMEM || status == UV_EAI_MEMORY ? COR_ENOMEM : COR_EIO);
    } else if (s->state == OS_STREAM_OPEN || s->state == OS_STREAM_FLUSHING) {
        attempt(s);
    }
}

static void resolve(struct os_stream *s, const struct os_address *a)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[8];
    format_to(port, sizeof port, "%u", (unsigned)a->port);
    int failed =
        uv_getaddrinfo(&loop_of(s)->uv, &s->dial->request, on_resolved, a->host, port, &hints);
    if (failed != 0) {
        fail(s, -failed);
        return;
    }
    s->dial->resolving = true;
}

/* ---- what the owner calls ------------------------------------------------------------------ */

void os_dial_forget(struct os_stream *s)
{
    struct os_dial *d = s->dial;
    s->dial = NULL;
    if (d == NULL) {
        return;
    }
    if (d->resolving) {
        d->stream = NULL; /* on_resolved() frees it */
        (void)uv_cancel((uv_req_t *)&d->request);
        return;
    }
    free(d);
}

const char *os_dial_address(const struct os_stream *s)
{
    return s->dial->text;
}

enum cor_status os_dial(struct io *io, const char *address,
                        const struct io_stream_events *events, void *arg,
                        struct io_stream **out)
{
    struct os_address a;
    COR_ASSERT(events->on_open != NULL);
    enum cor_status st = os_address_parse(address, &a, NULL);
    if (st != COR_OK) {
        return st;
    }
    struct os_dial *d = calloc(1, sizeof *d);
    struct os_stream *s = d != NULL ? os_stream_new(os_loop_of(io)) : NULL;
    if (s == NULL) {
        free(d);
        return COR_ENOMEM;
    }
    d->stream = s;
    format_to(d->text, sizeof d->text, "%s", address);
    d->n = os_address_literal(&a, d->addresses);
    s->dial = d;
    os_stream_take(&s->stream, events, arg);
    if (d->n > 0) {
        attempt(s);
    } else {
        resolve(s, &a);
    }
    *out = &s->stream;
    return COR_OK;
}
