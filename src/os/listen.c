/*
 * listen.c - listening sockets: new streams, a bounded number per turn.
 *
 * Out of descriptors (or memory for sockets), accept() fails while the connection stays in the queue and
 * the socket stays readable: a loop that went on asking would spin. So the listener looks away for a
 * moment and says so, once, until it gets through again. It does so a little before the last one is
 * taken: the log needs some for its files, and whoever connects must not be able to take them.
 */
#include "os/internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ACCEPTS_MAX 64u /* per turn */
#define BACKLOG     1024
#define RETRY_AFTER (100 * OS_MS)
#define KEPT_MAX    32u /* descriptors for files */

struct os_listener {
    struct io_listener listener; /* first */
    struct os_listener *next, *prev;
    void (*on_accept)(void *arg, struct io_stream *s);
    void *arg;
    uv_poll_t poll;
    int fd; /* -1: closed */
    bool starved;
    struct io_timer retry;
    char bound[IO_ADDRESS_MAX];
};

static struct os_loop *loop_of(const struct os_listener *l)
{
    return os_loop_of(l->listener.io);
}

/* ---- accepting ----------------------------------------------------------------------------- */

static void greet(struct os_listener *l, int fd)
{
    struct os_stream *s = os_stream_new(loop_of(l));
    if (s == NULL || !os_stream_adopt(s, fd)) {
        (void)close(fd);
        if (s != NULL) {
            os_stream_destroy(s);
        }
        return;
    }
    s->connected = true;
    os_stream_touch(s);
    l->on_accept(l->arg, &s->stream);
    if (s->events == NULL) {
        os_stream_destroy(s);
    }
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void look_away(struct os_listener *l, int error)
{
    struct io *io = l->listener.io;
    char reason[96];
    (void)uv_poll_stop(&l->poll);
    os_timers_set(io, &l->retry, os_now(io) + RETRY_AFTER);
    if (!l->starved) {
        event_emit(loop_of(l)->events, EVENT_ERROR, "os", "accept_paused",
                   event_text("address", l->bound),
                   event_text("reason", strerror_r(error, reason, sizeof reason)));
    }
    l->starved = true;
}

/* The system gives the lowest number that is free: so @fd says how many there are. */
static bool is_kept(int fd)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return false;
    }
    rlim_t kept = limit.rlim_cur / 4 < KEPT_MAX ? limit.rlim_cur / 4 : KEPT_MAX;
    return (rlim_t)fd >= limit.rlim_cur - kept;
}

static int accept_one(const struct os_listener *l)
{
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && is_kept(fd)) {
        (void)close(fd);
        fd = -1;
        errno = EMFILE;
    }
    return fd;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct os_listener *l = CONTAINER_OF(poll, struct os_listener, poll);
    (void)events;
    if (status <
        0) { /* libuv has stopped watching; whatever it was, the socket still listens */
        look_away(l, -status);
        return;
    }
    for (unsigned i = 0; i < ACCEPTS_MAX && l->fd >= 0; i++) {
        int fd = accept_one(l);
        if (fd >= 0) {
            if (l->starved) {
                l->starved = false;
                event_emit(loop_of(l)->events, EVENT_INFO, "os", "accept_resumed",
                           event_text("address", l->bound));
            }
            greet(l, fd);
        } else if (is_shortage(errno)) {
            look_away(l, errno);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
        /* Anything else is about a connection that is gone already: accept(2). */
    }
}

static void on_retry(struct io_timer *t)
{
    struct os_listener *l = CONTAINER_OF(t, struct os_listener, retry);
    int failed = uv_poll_start(&l->poll, UV_READABLE, on_poll);
    COR_ASSERT(failed == 0);
}

/* ---- opening ------------------------------------------------------------------------------- */

/* The first address of @a. Blocks for a name: listening is for start-up. */
static enum cor_status find_address(const struct os_address *a, struct os_sockaddr *out,
                                    struct cor_error *err)
{
    struct os_sockaddr literal[2];
    if (os_address_literal(a, literal) > 0) {
        *out = literal[0];
        return COR_OK;
    }
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *info = NULL;
    char port[8];
    format_to(port, sizeof port, "%u", (unsigned)a->port);
    int failed = getaddrinfo(a->host, port, &hints, &info);
    if (failed != 0) {
        return error_set(err, COR_EIO, "%s: %s", a->host, gai_strerror(failed));
    }
    size_t n = os_address_list(info, out, 1);
    freeaddrinfo(info);
    return n > 0 ? COR_OK : error_set(err, COR_EIO, "%s: has no address", a->host);
}

static enum cor_status open_socket(const char *address, const struct os_sockaddr *a, int *out,
                                   struct cor_error *err)
{
    char what[COR_ERROR_TEXT_MAX];
    format_to(what, sizeof what, "cannot listen on %.160s", address);
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return os_error(err, errno, what);
    }
    int on = 1;
    os_socket_options(fd);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &a->u.any, a->len) != 0 || listen(fd, BACKLOG) != 0) {
        enum cor_status st = os_error(err, errno, what);
        (void)close(fd);
        return st;
    }
    *out = fd;
    return COR_OK;
}

static void note_bound(struct os_listener *l)
{
    struct os_sockaddr a = {.len = sizeof a.u};
    int failed = getsockname(l->fd, &a.u.any, &a.len);
    COR_ASSERT(failed == 0);
    os_address_format(&a, l->bound, sizeof l->bound);
}

static enum cor_status start(struct os_listener *l, struct os_loop *loop, struct cor_error *err)
{
    int failed = uv_poll_init(&loop->uv, &l->poll, l->fd);
    if (failed != 0) {
        return os_error(err, -failed, "cannot watch a socket");
    }
    l->listener.io = &loop->io;
    l->retry.fire = on_retry;
    l->next = loop->listeners;
    if (l->next != NULL) {
        l->next->prev = l;
    }
    loop->listeners = l;
    failed = uv_poll_start(&l->poll, UV_READABLE, on_poll);
    COR_ASSERT(failed == 0);
    return COR_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the shape is that of io/io.h */
enum cor_status os_listen(struct io *io, const char *address,
                          void (*on_accept)(void *arg, struct io_stream *s), void *arg,
                          char *bound, struct io_listener **out, struct cor_error *err)
{
    struct os_address a;
    struct os_sockaddr sockaddr = {0};
    int fd = -1;
    enum cor_status st = os_address_parse(address, &a, err);
    if (st == COR_OK) {
        st = find_address(&a, &sockaddr, err);
    }
    if (st == COR_OK) {
        st = open_socket(address, &sockaddr, &fd, err);
    }
    if (st != COR_OK) {
        return st;
    }
    struct os_listener *l = calloc(1, sizeof *l);
    if (l == NULL) {
        (void)close(fd);
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    *l = (struct os_listener){.on_accept = on_accept, .arg = arg, .fd = fd};
    note_bound(l);
    st = start(l, os_loop_of(io), err);
    if (st != COR_OK) {
        (void)close(fd);
        free(l);
        return st;
    }
    if (bound != NULL) {
        format_to(bound, IO_ADDRESS_MAX, "%s", l->bound);
    }
    *out = &l->listener;
    return COR_OK;
}

static void on_closed(uv_handle_t *handle)
{
    uv_poll_t *poll = (uv_poll_t *)handle;
    free(CONTAINER_OF(poll, struct os_listener, poll));
}

void os_listener_close(struct io_listener *listener)
{
    struct os_listener *l = CONTAINER_OF(listener, struct os_listener, listener);
    struct os_loop *loop = loop_of(l);
    COR_ASSERT(l->fd >= 0);
    if (l->next != NULL) {
        l->next->prev = l->prev;
    }
    *(l->prev != NULL ? &l->prev->next : &loop->listeners) = l->next;
    os_timers_clear(&loop->io, &l->retry);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    (void)close(l->fd);
    l->fd = -1;
}

void os_listeners_free(struct os_loop *loop)
{
    while (loop->listeners != NULL) {
        os_listener_close(&loop->listeners->listener);
    }
}
