/*
 * bench_load.c - the load generator: one thread, one epoll loop, many connections.
 *
 * Closed loop: each connection keeps `pipeline` requests on their way; an answer makes the next request.
 * Open loop: requests fall due at a fixed rate whatever the answers do, and latency counts from
 * when a request was due, not from when it could be sent: a server that stalls does not get to
 * hide the requests that would have come meanwhile.
 *
 * All answers that one read brings are handled before the next requests are formatted and sent, in one
 * write: the generator pays one system call each way for a whole pipeline.
 */
#include "cli/bench.h"
#include "cli/bench_http.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"
#include "base/prng.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND     UINT64_C(1000000000)
#define RETRY_NS   (SECOND / 10) /* before a lost connection is made again */
#define LINGER_NS  (5 * SECOND)  /* for the last answers */
#define CONNECT_NS (5 * SECOND)  /* for the first connection of all */
#define READ_ROOM  65536u
#define EVENTS_MAX 512

struct endpoint {
    struct sockaddr_storage address;
    socklen_t len;
    struct bench_template put, get;
};

/* A request on its way. */
struct sent {
    uint64_t at; /* since when its latency counts */
};

struct conn {
    int fd; /* -1: lost; again at retry_at */
    uint32_t endpoint;
    bool connected, waits_for_room;
    uint64_t retry_at;
    unsigned char *out, *in;
    size_t out_used, out_sent, out_room, in_used, in_room;
    struct sent ring[BENCH_PIPELINE_MAX];
    unsigned first, n_sent;
};

struct load {
    const struct bench_options *o;
    struct bench_result *r;
    int epoll;
    struct endpoint endpoints[BENCH_ENDPOINTS_MAX];
    struct conn *conns;
    unsigned n_conns, n_lost, next_conn;
    uint64_t *zipf; /* cumulative weights by rank */
    struct prng random;
    uint64_t now, begin, end, next_key;
    uint64_t issued, answered, limit; /* limit: requests; UINT64_MAX: time decides */
    uint64_t due;                     /* open loop: when the next one falls due */
    bool filling;                     /* writing the keys that will be read; not measured */
};

/* ---- keys ---------------------------------------------------------------------------------------- */

static enum cor_status make_zipf(struct load *l, struct cor_error *err)
{
    if (!l->o->zipf) {
        return COR_OK;
    }
    l->zipf = malloc(l->o->keys * sizeof(uint64_t));
    if (l->zipf == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    uint64_t sum = 0;
    for (uint64_t rank = 0; rank < l->o->keys; rank++) {
        sum += (UINT64_C(1) << 40) / (rank + 1);
        l->zipf[rank] = sum;
    }
    return COR_OK;
}

static uint64_t choose_key(struct load *l)
{
    if (l->zipf == NULL || l->filling) {
        return l->next_key++ % l->o->keys;
    }
    uint64_t wanted = prng_below(&l->random, l->zipf[l->o->keys - 1]);
    uint64_t low = 0, high = l->o->keys - 1;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (l->zipf[middle] > wanted) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low * UINT64_C(2654435761) % l->o->keys; /* neighbors in rank are not neighbors */
}

static bool choose_put(struct load *l)
{
    if (l->filling || l->o->kind == BENCH_PUT || l->o->kind == BENCH_WATCH) {
        return true;
    }
    return l->o->kind == BENCH_MIXED && prng_below(&l->random, 100) < l->o->put_percent;
}

/* ---- connections --------------------------------------------------------------------------------- */

static enum cor_status resolve(struct load *l, size_t i, struct cor_error *err)
{
    const char *text = l->o->endpoints[i];
    struct endpoint *e = &l->endpoints[i];
    char host[256];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof host) {
        return error_set(err, COR_EINVAL, "%s: an endpoint is HOST:PORT", text);
    }
    format_to(host, sizeof host, "%.*s", (int)(colon - text), text);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, colon + 1, &hints, &found);
    if (code != 0) {
        return error_set(err, COR_ENOTFOUND, "%s: %s", text, gai_strerror(code));
    }
    memcpy(&e->address, found->ai_addr, found->ai_addrlen);
    e->len = found->ai_addrlen;
    freeaddrinfo(found);
    if (!bench_template_put(&e->put, text, l->o->value_bytes) ||
        !bench_template_get(&e->get, text, l->o->read_mode)) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    return COR_OK;
}

static void lose(struct load *l, struct conn *c)
{
    if (c->fd < 0) {
        return;
    }
    (void)close(c->fd);
    c->fd = -1;
    c->retry_at = l->now + RETRY_NS;
    c->endpoint = (uint32_t)((c->endpoint + 1) % l->o->n_endpoints);
    l->n_lost++;
    l->r->answers.lost += c->n_sent;
    l->answered += c->n_sent;
    c->n_sent = 0;
    c->out_used = c->out_sent = c->in_used = 0;
    c->connected = c->waits_for_room = false;
}

static void wait_for(const struct load *l, struct conn *c, int how, bool room)
{
    struct epoll_event e = {.events = EPOLLIN | (room ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
    (void)epoll_ctl(l->epoll, how, c->fd, &e);
    c->waits_for_room = room;
}

static void dial(struct load *l, struct conn *c)
{
    const struct endpoint *e = &l->endpoints[c->endpoint];
    int one = 1;
    c->fd = socket(e->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        c->retry_at = l->now + RETRY_NS;
        return;
    }
    l->n_lost--;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (const struct sockaddr *)&e->address, e->len) != 0 &&
        errno != EINPROGRESS) {
        lose(l, c);
        return;
    }
    wait_for(l, c, EPOLL_CTL_ADD, true);
}

static void dial_lost(struct load *l)
{
    for (unsigned i = 0; i < l->n_conns && l->n_lost > 0; i++) {
        struct conn *c = &l->conns[i];
        if (c->fd < 0 && c->retry_at <= l->now) {
            dial(l, c);
        }
    }
}

/* ---- sending ------------------------------------------------------------------------------------- */

static unsigned char *make_room(struct conn *c, size_t len)
{
    if (c->out_used + len > c->out_room) {
        size_t room = 2 * (c->out_used + len);
        unsigned char *more = realloc(c->out, room);
        if (more == NULL) {
            return NULL;
        }
        c->out = more;
        c->out_room = room;
    }
    unsigned char *at = c->out + c->out_used;
    c->out_used += len;
    return at;
}

static void issue(struct load *l, struct conn *c, uint64_t since)
{
    const struct endpoint *e = &l->endpoints[c->endpoint];
    const struct bench_template *t = choose_put(l) ? &e->put : &e->get;
    unsigned char *at = make_room(c, t->len);
    if (at == NULL) {
        lose(l, c);
        return;
    }
    bench_template_fill(t, choose_key(l), l->now, at);
    c->ring[(c->first + c->n_sent++) % BENCH_PIPELINE_MAX] = (struct sent){since};
    l->issued++;
}

static bool may_issue(const struct load *l)
{
    return l->issued < l->limit && l->now < l->end;
}

static void flush(struct load *l, struct conn *c)
{
    while (c->fd >= 0 && c->out_sent < c->out_used) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_used - c->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            if (!c->waits_for_room) {
                wait_for(l, c, EPOLL_CTL_MOD, true);
            }
            return;
        }
        if (n <= 0) {
            lose(l, c);
            return;
        }
        c->out_sent += (size_t)n;
        l->r->bytes_out += (uint64_t)n;
    }
    c->out_used = c->out_sent = 0;
    if (c->fd >= 0 && c->waits_for_room) {
        wait_for(l, c, EPOLL_CTL_MOD, false);
    }
}

/* Closed loop: as many on their way as wanted. */
static void fill_pipeline(struct load *l, struct conn *c)
{
    bool any = false;
    while (c->fd >= 0 && c->connected && c->n_sent < l->o->pipeline && may_issue(l)) {
        issue(l, c, l->now);
        any = true;
    }
    if (any) {
        flush(l, c);
    }
}

/* Open loop: everything that has fallen due, over all connections in turn. */
static void issue_due(struct load *l)
{
    unsigned full = 0;
    while (may_issue(l) && l->due <= l->now && full < l->n_conns) {
        struct conn *c = &l->conns[l->next_conn];
        l->next_conn = (l->next_conn + 1) % l->n_conns;
        if (c->fd < 0 || !c->connected || c->n_sent >= BENCH_PIPELINE_MAX) {
            full++;
            continue;
        }
        full = 0;
        issue(l, c, l->due);
        flush(l, c);
        l->due = l->begin + l->issued * SECOND / l->o->rate;
    }
}

/* ---- receiving ----------------------------------------------------------------------------------- */

static void count_answer(struct load *l, struct conn *c, unsigned status)
{
    struct bench_answers *a = &l->r->answers;
    uint64_t *const counter = status < 300    ? &a->ok
                              : status == 404 ? &a->missing
                              : status == 503 ? &a->not_done
                              : status == 504 ? &a->unknown
                                              : &a->other;
    (*counter)++;
    histogram_add(&l->r->latency, l->now - c->ring[c->first].at);
    c->first = (c->first + 1) % BENCH_PIPELINE_MAX;
    c->n_sent--;
    l->answered++;
}

/* False: what came is not HTTP, or nothing that was asked for. */
static bool take_answers(struct load *l, struct conn *c)
{
    size_t at = 0;
    while (at < c->in_used) {
        unsigned status;
        size_t len;
        enum bench_reply result = bench_reply_read(c->in + at, c->in_used - at, &status, &len);
        if (result == BENCH_REPLY_BAD || (result == BENCH_REPLY_WHOLE && c->n_sent == 0)) {
            return false;
        }
        if (result == BENCH_REPLY_MORE) {
            break;
        }
        count_answer(l, c, status);
        at += len;
    }
    memmove(c->in, c->in + at, c->in_used - at);
    c->in_used -= at;
    return c->in_used < c->in_room;
}

/* A read that is not full has emptied the socket. */
static void receive(struct load *l, struct conn *c)
{
    for (;;) {
        size_t room = c->in_room - c->in_used;
        ssize_t n = recv(c->fd, c->in + c->in_used, room, 0);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            lose(l, c);
            return;
        }
        c->in_used += (size_t)n;
        l->r->bytes_in += (uint64_t)n;
        if (!take_answers(l, c)) {
            l->r->answers.other++;
            lose(l, c);
            return;
        }
        if ((size_t)n < room) {
            return;
        }
    }
}

/* ---- the loop ------------------------------------------------------------------------------------ */

static void on_event(struct load *l, const struct epoll_event *e)
{
    struct conn *c = e->data.ptr;
    if (c->fd < 0) {
        return; /* lost in this same round */
    }
    if ((e->events & (EPOLLERR | EPOLLHUP)) != 0 && (e->events & EPOLLIN) == 0) {
        lose(l, c);
        return;
    }
    if ((e->events & EPOLLOUT) != 0) {
        c->connected = true;
        flush(l, c);
    }
    if (c->fd >= 0 && (e->events & EPOLLIN) != 0) {
        receive(l, c);
    }
    if (l->o->rate == 0 || l->filling) {
        fill_pipeline(l, c);
    }
}

/* How long to sleep: until the next request is due, or a lost connection is tried again. */
static struct timespec sleep_time(const struct load *l)
{
    bool is_open = l->o->rate != 0 && !l->filling;
    uint64_t until = l->now + RETRY_NS;
    if (is_open && may_issue(l)) {
        until = l->due > l->now ? l->due : l->now;
    }
    until = l->end > l->now && until > l->end ? l->end : until;
    uint64_t ns = until - l->now;
    return (struct timespec){(time_t)(ns / SECOND), (long)(ns % SECOND)};
}

static bool is_over(const struct load *l)
{
    return !may_issue(l) && (l->answered == l->issued || l->now > l->end + LINGER_NS);
}

/* Issue up to @limit requests until @end, and collect their answers. */
static void run(struct load *l, uint64_t limit, uint64_t end)
{
    struct epoll_event events[EVENTS_MAX];
    l->issued = l->answered = 0;
    l->limit = limit;
    l->begin = l->due = l->now = bench_now();
    l->end = end;
    for (unsigned i = 0; i < l->n_conns && (l->o->rate == 0 || l->filling); i++) {
        fill_pipeline(l, &l->conns[i]);
    }
    while (!is_over(l)) {
        const struct timespec timeout = sleep_time(l);
        int n = epoll_pwait2(l->epoll, events, EVENTS_MAX, &timeout, NULL);
        l->now = bench_now();
        for (int i = 0; i < n; i++) {
            on_event(l, &events[i]);
        }
        if (l->n_lost > 0) {
            dial_lost(l);
        }
        if (l->o->rate != 0 && !l->filling) {
            issue_due(l);
        }
    }
}

static unsigned count_connected(const struct load *l)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->n_conns; i++) {
        n += l->conns[i].connected ? 1 : 0;
    }
    return n;
}

/* Connect all; fails only if not one could be made. */
static enum cor_status connect_all(struct load *l, struct cor_error *err)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t until = bench_now() + CONNECT_NS;
    do {
        l->now = bench_now();
        dial_lost(l);
        const struct timespec timeout = {0, (long)(RETRY_NS / 10)};
        int n = epoll_pwait2(l->epoll, events, EVENTS_MAX, &timeout, NULL);
        l->limit = 0;
        for (int i = 0; i < n; i++) {
            on_event(l, &events[i]);
        }
    } while (count_connected(l) < l->n_conns && l->now < until);
    if (count_connected(l) == 0) {
        return error_set(err, COR_EIO, "%s: no connection could be made (is a server running?)",
                         l->o->endpoints[0]);
    }
    return COR_OK;
}

static enum cor_status make_conns(struct load *l, struct cor_error *err)
{
    l->n_conns = l->o->clients;
    l->conns = calloc(l->n_conns, sizeof(struct conn));
    if (l->conns == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    for (unsigned i = 0; i < l->n_conns; i++) {
        struct conn *c = &l->conns[i];
        c->fd = -1;
        c->endpoint = (uint32_t)(i % l->o->n_endpoints);
        c->in_room = READ_ROOM + l->o->value_bytes;
        c->in = malloc(c->in_room);
        l->n_lost++;
        if (c->in == NULL) {
            return error_set(err, COR_ENOMEM, "out of memory");
        }
    }
    return COR_OK;
}

static void load_free(struct load *l)
{
    for (unsigned i = 0; l->conns != NULL && i < l->n_conns; i++) {
        if (l->conns[i].fd >= 0) {
            (void)close(l->conns[i].fd);
        }
        free(l->conns[i].in);
        free(l->conns[i].out);
    }
    free(l->conns);
    free(l->zipf);
    for (size_t i = 0; i < l->o->n_endpoints; i++) {
        bench_template_free(&l->endpoints[i].put);
        bench_template_free(&l->endpoints[i].get);
    }
    if (l->epoll >= 0) {
        (void)close(l->epoll);
    }
}

static enum cor_status prepare(struct load *l, struct cor_error *err)
{
    enum cor_status st = COR_OK;
    for (size_t i = 0; i < l->o->n_endpoints && st == COR_OK; i++) {
        st = resolve(l, i, err);
    }
    st = st == COR_OK ? make_zipf(l, err) : st;
    st = st == COR_OK ? make_conns(l, err) : st;
    if (st != COR_OK) {
        return st;
    }
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0) {
        return error_set(err, COR_EIO, "epoll: %s", strerror(errno));
    }
    return connect_all(l, err);
}

enum cor_status bench_load(const struct bench_options *o, struct bench_result *r,
                           struct cor_error *err)
{
    COR_ASSERT(o->n_endpoints > 0);
    struct load *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    l->o = o;
    l->r = r;
    l->epoll = -1;
    l->random.state = o->seed;
    enum cor_status st = prepare(l, err);
    if (st == COR_OK && (o->kind == BENCH_GET || o->kind == BENCH_MIXED)) {
        l->filling = true;
        run(l, o->keys, UINT64_MAX / 2);
        l->filling = false;
        if (r->answers.ok == 0) {
            st = error_set(err, COR_EIO, "the keys to be read could not be written");
        }
        *r = (struct bench_result){0};
    }
    if (st == COR_OK) {
        uint64_t end = o->count != 0 ? UINT64_MAX / 2 : bench_now() + o->nanoseconds;
        run(l, o->count != 0 ? o->count : UINT64_MAX, end);
        r->nanoseconds = l->now - l->begin;
    }
    load_free(l);
    free(l);
    return st;
}
