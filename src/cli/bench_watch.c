/*
 * bench_watch.c - the watchers of `coracle bench watch`: many streams, one thread.
 *
 * They hear the writes that bench_load.c makes on the main thread. A write's value begins with the time of its sending, so of
 * an event only `"value":"` and the 20 digits behind it are looked at, one state machine of a few bytes per stream.
 */
#include "cli/bench.h"
#include "cli/bench_http.h"
#include "cli/socket.h"

#include "base/error.h"
#include "base/format.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_NS UINT64_C(5000000000)
#define QUIET_NS   UINT64_C(300000000)  /* no event for so long: all have arrived */
#define LINGER_NS  UINT64_C(5000000000) /* for the last events */
#define TICK_MS    50
#define EVENTS_MAX 256

static const char mark[] = "\"value\":\"";

struct watcher {
    int fd;
    uint8_t matched; /* characters of the mark */
    uint8_t digits;  /* of the stamp behind it */
    uint64_t stamp;
};

struct bench_watchers {
    pthread_t thread;
    int epoll;
    atomic_bool stopping;
    unsigned n;
    struct watcher *all;
    uint64_t events, last_event;
    struct histogram latency;
    char in[65536];
};

/* Look for marks and stamps in what came at @now. */
static void scan(struct bench_watchers *w, struct watcher *s, size_t n, uint64_t now)
{
    for (size_t i = 0; i < n; i++) {
        char c = w->in[i];
        if (s->matched < sizeof mark - 1) {
            s->matched = c == mark[s->matched] ? (uint8_t)(s->matched + 1) : c == mark[0];
            continue;
        }
        if (c >= '0' && c <= '9') {
            s->stamp = s->stamp * 10 + (uint64_t)(c - '0');
            s->digits++;
        }
        if (s->digits == BENCH_STAMP_DIGITS || c < '0' || c > '9') {
            w->events++;
            w->last_event = now;
            if (s->digits == BENCH_STAMP_DIGITS && s->stamp < now) {
                histogram_add(&w->latency, now - s->stamp);
            }
            *s = (struct watcher){.fd = s->fd};
        }
    }
}

static void receive(struct bench_watchers *w, struct watcher *s)
{
    ssize_t n = recv(s->fd, w->in, sizeof w->in, MSG_DONTWAIT);
    if (n > 0) {
        scan(w, s, (size_t)n, bench_now());
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        (void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, s->fd, NULL);
    }
}

static void *watch_thread(void *arg)
{
    struct bench_watchers *w = arg;
    struct epoll_event events[EVENTS_MAX];
    uint64_t stopped_at = 0;
    for (;;) {
        int n = epoll_wait(w->epoll, events, EVENTS_MAX, TICK_MS);
        for (int i = 0; i < n; i++) {
            receive(w, events[i].data.ptr);
        }
        uint64_t now = bench_now();
        if (stopped_at == 0 && atomic_load(&w->stopping)) {
            stopped_at = now;
        }
        uint64_t since = w->last_event > stopped_at ? w->last_event : stopped_at;
        if (stopped_at != 0 && (now > since + QUIET_NS || now > stopped_at + LINGER_NS)) {
            return NULL;
        }
    }
}

/* Connect, ask, and see that it was granted. */
static enum cor_status open_stream(struct bench_watchers *w, struct watcher *s,
                                   const char *endpoint, struct cor_error *err)
{
    char request[BENCH_HEAD_MAX];
    uint64_t deadline = bench_now() + CONNECT_NS;
    size_t n = format_to(request, sizeof request,
                         "GET /db?watch&prefix=bench HTTP/1.1\r\nHost: %s\r\n\r\n", endpoint);
    enum cor_status st = socket_dial(endpoint, deadline, &s->fd, err);
    st = st == COR_OK ? socket_send(s->fd, (struct cor_bytes){(unsigned char *)request, n},
                                    deadline, err)
                      : st;
    size_t got = 0;
    st = st == COR_OK ? socket_receive(s->fd, w->in, sizeof w->in, deadline, &got, err) : st;
    if (st == COR_OK && (got < 12 || memcmp(w->in + 9, "200", 3) != 0)) {
        st = error_set(err, COR_EIO, "%.*s", (int)(got < 12 ? got : 12), w->in);
    }
    if (st != COR_OK) {
        (void)error_prefix(err, "%s: watch", endpoint);
        return st;
    }
    scan(w, s, got, bench_now());
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
    (void)epoll_ctl(w->epoll, EPOLL_CTL_ADD, s->fd, &e);
    return COR_OK;
}

static void watchers_free(struct bench_watchers *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        if (w->all[i].fd >= 0) {
            (void)close(w->all[i].fd);
        }
    }
    if (w->epoll >= 0) {
        (void)close(w->epoll);
    }
    free(w->all);
    free(w);
}

enum cor_status bench_watchers_start(const struct bench_options *o, struct cor_error *err,
                                     struct bench_watchers **out)
{
    struct bench_watchers *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->all = calloc(o->watchers, sizeof *w->all);
    if (w->all == NULL || w->epoll < 0) {
        watchers_free(w);
        return error_set(err, COR_ENOMEM, "out of memory, or of file descriptors");
    }
    enum cor_status st = COR_OK;
    for (unsigned i = 0; i < o->watchers && st == COR_OK; i++) {
        w->all[w->n++].fd = -1;
        st = open_stream(w, &w->all[i], o->endpoints[i % o->n_endpoints], err);
    }
    if (st == COR_OK && pthread_create(&w->thread, NULL, watch_thread, w) != 0) {
        st = error_set(err, COR_ENOMEM, "no thread");
    }
    if (st != COR_OK) {
        watchers_free(w);
        return st;
    }
    *out = w;
    return COR_OK;
}

void bench_watchers_stop(struct bench_watchers *w, struct bench_result *r)
{
    atomic_store(&w->stopping, true);
    (void)pthread_join(w->thread, NULL);
    r->events = w->events;
    histogram_merge(&r->event_latency, &w->latency);
    watchers_free(w);
}
