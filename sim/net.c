/*
 * net.c - connections as two pipes of segments with arrival times. See net.h.
 *
 * A connection has two ends and, towards each end, a pipe: a first-in first-out list of segments. Only
 * the first segment of a pipe has an event in the agenda, so order within a connection is kept however
 * delays are drawn. Opening and closing travel in the pipes like data and meet the same fate.
 *
 *     end 0 (dialed)  --- pipe of end 0 --->  end 1 (accepted)
 *                     <-- pipe of end 1 ---
 *
 * Memory: a connection lives until both ends are closed. An end whose host crashed stays until
 * the host boots again, because node_free() may still close it, to no effect.
 */
#include "sim/net.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"

#include <stdlib.h>
#include <string.h>

#define SEGMENT_MAX   65536u
#define DIAL_TIMEOUT  (130 * SIM_S) /* the kernel's; nodes are expected to have less patience */
#define FLUSH_TIMEOUT (5 * SIM_S)

enum segment_kind {
    SEGMENT_SYN = 1, /* to the listener */
    SEGMENT_OPEN,    /* back to the dialer */
    SEGMENT_DATA,
    SEGMENT_FIN,
    SEGMENT_RST
};

struct segment {
    struct segment *next;
    uint64_t at;
    uint32_t len, used; /* used: delivered already (the reader paused in between) */
    uint8_t kind;       /* enum segment_kind */
    unsigned char data[];
};

/* What is on its way from one end to the other. */
struct pipe {
    struct segment *first, **last;
    size_t bytes;
    uint64_t at;            /* of the last segment */
    struct sim_event event; /* arrival of the first */
    bool blocked;           /* by a cut or a machine that is off: until that changes */
};

enum end_state {
    END_NEW = 1, /* dialing, or accepted and not yet taken */
    END_OPEN,
    END_CLOSING, /* on_close is on its way, or the queue is flushed before it */
    END_DEAD,    /* no callback any more */
};

struct sim_end {
    struct io_stream stream; /* first: what the node sees */
    struct sim_conn *conn;
    struct host *host;
    const struct io_stream_events *events;
    void *arg;
    struct pipe out;
    unsigned char *queue; /* not handed to the system yet */
    size_t queued, room;
    uint8_t state; /* enum end_state */
    enum cor_status why;
    bool connected, flushing, read_paused, end_seen, fin_sent;
    bool want_drain, zombie; /* zombie: its host crashed and has not booted since */
    struct sim_event close, drain, timeout;
    struct sim_end *next_flush;
    bool in_flush;
    const char *peer; /* address text of the other side */
};

struct sim_conn {
    struct net *net;
    struct sim_conn *next, *prev;
    struct sim_end ends[2];
};

/* Who listens, or last listened, at an address. Kept for ever: addresses are few. */
struct sim_address {
    struct io_listener listener; /* first */
    struct sim_address *next;
    struct host *host;
    bool listening;
    void (*on_accept)(void *arg, struct io_stream *s);
    void *arg;
    char text[IO_ADDRESS_MAX];
};

static struct sim_end *end_of(const struct io_stream *s)
{
    const struct sim_end *e = (const struct sim_end *)(const void *)s;
    return &e->conn->ends[e == &e->conn->ends[1]];
}

static struct sim_end *other(const struct sim_end *e)
{
    return &e->conn->ends[e == &e->conn->ends[0]];
}

/* ---- segments -------------------------------------------------------------------------------- */

/* Let the first segment of @e's pipe arrive when its time comes, on the host if it is up, else in the
 * world (where it meets a kernel without a process, or nothing). */
static void pipe_schedule(struct sim_end *e)
{
    struct pipe *p = &e->out;
    event_clear(&p->event);
    if (p->first == NULL || p->blocked) {
        return;
    }
    struct host *to = other(e)->host;
    p->event.host = to->up ? to : NULL;
    event_at(&p->event, p->first->at);
}

static void send_segment(struct sim_end *e, enum segment_kind kind, struct cor_bytes data)
{
    struct net *net = e->conn->net;
    struct world *w = net->world;
    struct segment *s = malloc(sizeof *s + data.len);
    COR_ASSERT(s != NULL && data.len <= SEGMENT_MAX);
    *s = (struct segment){.kind = (uint8_t)kind, .len = (uint32_t)data.len};
    if (data.len > 0) {
        memcpy(s->data, data.ptr, data.len);
    }
    uint64_t delay = world_delay(w, SIM_RANDOM_NET, net->delay);
    delay *= net->slow[e->host->number][other(e)->host->number] ? 50 : 1;
    if (world_chance(w, SIM_RANDOM_NET, net->stall_permille)) {
        delay += net->stall_min + world_below(w, SIM_RANDOM_NET, 2 * net->stall_min + 1);
        net->n_stalls++;
    }
    struct pipe *p = &e->out;
    s->at = w->now + delay > p->at ? w->now + delay : p->at;
    p->at = s->at;
    p->bytes += data.len;
    net->n_bytes += data.len;
    *p->last = s;
    p->last = &s->next;
    if (p->first == s) {
        pipe_schedule(e);
    }
}

static void drop_first(struct pipe *p)
{
    struct segment *s = p->first;
    p->first = s->next;
    if (p->first == NULL) {
        p->last = &p->first;
    }
    p->bytes -= s->len;
    free(s);
}

static void empty_pipe(struct pipe *p)
{
    event_clear(&p->event);
    while (p->first != NULL) {
        drop_first(p);
    }
}

/* ---- life and death of ends -------------------------------------------------------------------- */

static void conn_free(struct sim_conn *c)
{
    for (int i = 0; i < 2; i++) {
        struct sim_end *e = &c->ends[i];
        COR_ASSERT(e->state == END_DEAD && !e->in_flush);
        empty_pipe(&e->out);
        event_clear(&e->close);
        event_clear(&e->drain);
        event_clear(&e->timeout);
        free(e->queue);
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    *(c->prev != NULL ? &c->prev->next : &c->net->conns) = c->next;
    free(c);
}

static bool conn_is_over(const struct sim_conn *c)
{
    return c->ends[0].state == END_DEAD && c->ends[1].state == END_DEAD && !c->ends[0].zombie &&
           !c->ends[1].zombie;
}

static void drop_queue(struct sim_end *e)
{
    free(e->queue);
    e->queue = NULL;
    e->queued = e->room = 0;
}

/* @e ends: tell the other side (@how) and, later, the owner. */
static void end_close(struct sim_end *e, enum cor_status why, enum segment_kind how)
{
    if (e->state == END_DEAD || event_is_set(&e->close)) {
        return;
    }
    e->state = END_CLOSING;
    e->why = why;
    e->flushing = false;
    drop_queue(e);
    event_clear(&e->timeout);
    event_clear(&e->drain);
    if (how == SEGMENT_RST || (how == SEGMENT_FIN && !e->fin_sent)) {
        e->fin_sent = true;
        send_segment(e, how, (struct cor_bytes){0});
    }
    event_at(&e->close, e->conn->net->world->now);
}

static void on_closed(struct sim_event *event)
{
    struct sim_end *e = CONTAINER_OF(event, struct sim_end, close);
    struct sim_conn *c = e->conn;
    e->state = END_DEAD;
    world_note(c->net->world, SIM_NOTE_NET_CLOSE, e->host->number, e->why, 0);
    if (e->events != NULL) {
        e->events->on_close(e->arg, &e->stream, e->why);
    }
    if (conn_is_over(c) && !c->ends[0].in_flush && !c->ends[1].in_flush) {
        conn_free(c);
    }
}

/* ---- sending ----------------------------------------------------------------------------------- */

static void shift_queue(struct sim_end *e, size_t n)
{
    memmove(e->queue, e->queue + n, e->queued - n);
    e->queued -= n;
}

/* Hand to the system what its window takes. */
static void pump(struct sim_end *e)
{
    struct net *net = e->conn->net;
    struct world *w = net->world;
    bool had = e->queued > 0;
    while (e->connected && e->queued > 0 && e->out.bytes < net->window_bytes) {
        size_t n = net->window_bytes - e->out.bytes;
        n = n < e->queued ? n : e->queued;
        n = n < SEGMENT_MAX ? n : SEGMENT_MAX;
        if (n > 1 && world_chance(w, SIM_RANDOM_NET, net->split_permille)) {
            n = 1 + (size_t)world_below(w, SIM_RANDOM_NET, n - 1);
        }
        send_segment(e, SEGMENT_DATA, (struct cor_bytes){e->queue, n});
        shift_queue(e, n);
    }
    if (!had || e->queued > 0) {
        return;
    }
    if (e->want_drain && e->state == END_OPEN) {
        event_at(&e->drain, w->now);
    }
    e->want_drain = false;
    if (e->flushing) {
        end_close(e, COR_OK, SEGMENT_FIN);
    }
}

static void on_drained(struct sim_event *event)
{
    struct sim_end *e = CONTAINER_OF(event, struct sim_end, drain);
    if (e->state == END_OPEN && e->queued == 0 && e->events->on_drain != NULL) {
        e->events->on_drain(e->arg, &e->stream);
    }
}

void net_flush(struct host *h)
{
    while (h->to_flush != NULL) {
        struct sim_end *e = h->to_flush;
        h->to_flush = e->next_flush;
        e->in_flush = false;
        if (e->state == END_DEAD) {
            if (conn_is_over(e->conn) && !other(e)->in_flush) {
                conn_free(e->conn);
            }
            continue;
        }
        pump(e);
        e->want_drain = e->queued > 0;
    }
}

static void on_flush_timeout(struct sim_event *event)
{
    struct sim_end *e = CONTAINER_OF(event, struct sim_end, timeout);
    bool dialing = !e->connected;
    end_close(e, dialing ? COR_ETIMEDOUT : COR_OK, SEGMENT_RST);
}

/* ---- arrival ----------------------------------------------------------------------------------- */

static struct sim_address *find_address(const struct net *net, const char *text)
{
    struct sim_address *a = net->addresses;
    while (a != NULL && strcmp(a->text, text) != 0) {
        a = a->next;
    }
    return a;
}

/* A connection request reached @e's machine. */
static void arrive_syn(struct sim_end *e)
{
    struct sim_address *a = find_address(e->conn->net, other(e)->peer);
    if (!e->host->up || a == NULL || !a->listening || a->host != e->host) {
        e->state = END_DEAD;
        send_segment(e, SEGMENT_RST, (struct cor_bytes){0});
        return;
    }
    e->connected = true;
    a->on_accept(a->arg, &e->stream);
    if (e->events == NULL) {
        e->state = END_DEAD;
        send_segment(e, SEGMENT_RST, (struct cor_bytes){0});
        return;
    }
    send_segment(e, SEGMENT_OPEN, (struct cor_bytes){0});
}

static void arrive_open(struct sim_end *e)
{
    e->connected = true;
    event_clear(&e->timeout);
    if (e->state == END_NEW) {
        e->state = END_OPEN;
        e->events->on_open(e->arg, &e->stream);
    }
    if (e->queued > 0) {
        pump(e);
    } else if (e->flushing) {
        end_close(e, COR_OK, SEGMENT_FIN);
    }
}

static void arrive_fin(struct sim_end *e)
{
    e->end_seen = true;
    if (e->state != END_OPEN) {
        return;
    }
    if (e->events->on_end != NULL) {
        e->events->on_end(e->arg, &e->stream);
    } else {
        end_close(e, COR_OK, SEGMENT_FIN);
    }
}

/* The first segment of @from's pipe has reached @to. False: it stays (the reader paused). */
static bool arrive(struct sim_end *from, struct sim_end *to)
{
    struct segment *s = from->out.first;
    if (to->state == END_DEAD || (to->state == END_CLOSING && s->kind == SEGMENT_DATA)) {
        /* Nobody reads this any more: the kernel says so, once per segment of data. */
        if (s->kind == SEGMENT_DATA && to->state == END_DEAD && from->state != END_DEAD) {
            send_segment(to, SEGMENT_RST, (struct cor_bytes){0});
        }
        return true;
    }
    switch ((enum segment_kind)s->kind) {
    case SEGMENT_SYN:
        arrive_syn(to);
        return true;
    case SEGMENT_OPEN:
        arrive_open(to);
        return true;
    case SEGMENT_DATA:
        if (to->read_paused) {
            return false;
        }
        to->events->on_data(to->arg, &to->stream, (struct cor_bytes){s->data, s->len});
        return true;
    case SEGMENT_FIN:
        if (to->read_paused) {
            return false;
        }
        arrive_fin(to);
        return true;
    case SEGMENT_RST:
        end_close(to, COR_EIO, SEGMENT_DATA);
        return true;
    }
    return true;
}

static void on_arrival(struct sim_event *event)
{
    struct sim_end *from = CONTAINER_OF(event, struct sim_end, out.event);
    struct sim_end *to = other(from);
    struct net *net = from->conn->net;
    struct pipe *p = &from->out;
    if (net->cut[from->host->number][to->host->number] || !to->host->powered) {
        p->blocked = true;
        return;
    }
    if (net->reset_permille > 0 && p->first->kind == SEGMENT_DATA &&
        world_below(net->world, SIM_RANDOM_NET, 1000000) < net->reset_permille) {
        net->n_resets++;
        end_close(from, COR_EIO, SEGMENT_DATA);
        end_close(to, COR_EIO, SEGMENT_DATA);
        return;
    }
    while (p->first != NULL && p->first->at <= net->world->now) {
        if (!arrive(from, to)) {
            return; /* net_stream_pause() will go on */
        }
        drop_first(p);
    }
    if (from->state == END_OPEN || from->flushing) {
        pump(from);
    }
    pipe_schedule(from);
    if (conn_is_over(from->conn) && !from->in_flush && !to->in_flush) {
        conn_free(from->conn);
    }
}

/* ---- what the node calls ----------------------------------------------------------------------- */

static void end_init(struct sim_end *e, struct sim_conn *c, struct host *host)
{
    struct world *w = c->net->world;
    *e = (struct sim_end){.stream.io = &host->io, .conn = c, .host = host, .state = END_NEW};
    e->out.last = &e->out.first;
    event_init(&e->out.event, w, host, SIM_NOTE_NET_ARRIVE, on_arrival);
    event_init(&e->close, w, host, SIM_NOTE_NET_CLOSE, on_closed);
    event_init(&e->drain, w, host, SIM_NOTE_NET_ARRIVE, on_drained);
    event_init(&e->timeout, w, host, SIM_NOTE_TIMER, on_flush_timeout);
}

/* NOLINTNEXTLINE(readability-function-size): as io.h has it */
enum cor_status net_listen(struct io *io, const char *address,
                           void (*on_accept)(void *arg, struct io_stream *s), void *arg,
                           char *bound, struct io_listener **out, struct cor_error *err)
{
    struct host *h = host_of(io);
    struct sim_address *a = find_address(h->net, address);
    if (a != NULL && a->listening) {
        return error_set(err, COR_EEXIST, "%s: address in use", address);
    }
    if (a == NULL) {
        a = calloc(1, sizeof *a);
        COR_ASSERT(a != NULL);
        format_to(a->text, sizeof a->text, "%s", address);
        a->next = h->net->addresses;
        h->net->addresses = a;
    }
    a->listener.io = io;
    a->host = h;
    a->listening = true;
    a->on_accept = on_accept;
    a->arg = arg;
    if (bound != NULL) {
        format_to(bound, IO_ADDRESS_MAX, "%s", address);
    }
    *out = &a->listener;
    return COR_OK;
}

void net_listener_close(struct io_listener *l)
{
    struct sim_address *a = CONTAINER_OF(l, struct sim_address, listener);
    a->listening = false;
}

enum cor_status net_dial(struct io *io, const char *address,
                         const struct io_stream_events *events, void *arg,
                         struct io_stream **out)
{
    struct host *h = host_of(io);
    struct net *net = h->net;
    struct sim_address *a = find_address(net, address);
    struct sim_conn *c = calloc(1, sizeof *c);
    COR_ASSERT(c != NULL && h->up);
    c->net = net;
    c->next = net->conns;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    net->conns = c;
    net->n_conns++;
    struct sim_end *e = &c->ends[0];
    end_init(e, c, h);
    end_init(&c->ends[1], c, a != NULL ? a->host : h);
    e->events = events;
    e->arg = arg;
    e->peer = a != NULL ? a->text : "nowhere";
    c->ends[1].peer = "client";
    event_at(&e->timeout, net->world->now + DIAL_TIMEOUT);
    send_segment(e, SEGMENT_SYN, (struct cor_bytes){0});
    *out = &e->stream;
    return COR_OK;
}

void net_stream_take(struct io_stream *s, const struct io_stream_events *events, void *arg)
{
    struct sim_end *e = end_of(s);
    COR_ASSERT(e->state == END_NEW && e->events == NULL);
    e->events = events;
    e->arg = arg;
    e->state = END_OPEN;
}

static void add_to_flush(struct sim_end *e)
{
    if (!e->in_flush) {
        e->in_flush = true;
        e->next_flush = e->host->to_flush;
        e->host->to_flush = e;
        host_poke(e->host);
    }
}

enum cor_status net_stream_send(struct io_stream *s, struct cor_bytes data)
{
    struct sim_end *e = end_of(s);
    if (e->state == END_DEAD || e->state == END_CLOSING || data.len == 0) {
        return COR_OK; /* on_close is on its way */
    }
    if (e->queued + data.len > e->room) {
        e->room = 2 * (e->queued + data.len);
        e->queue = realloc(e->queue, e->room);
        COR_ASSERT(e->queue != NULL);
    }
    memcpy(e->queue + e->queued, data.ptr, data.len);
    e->queued += data.len;
    add_to_flush(e);
    return COR_OK;
}

size_t net_stream_queued(const struct io_stream *s)
{
    return end_of(s)->queued;
}

void net_stream_pause(struct io_stream *s, bool paused)
{
    struct sim_end *e = end_of(s);
    if (e->read_paused && !paused && e->state != END_DEAD) {
        pipe_schedule(other(e));
    }
    e->read_paused = paused;
}

void net_stream_close(struct io_stream *s, bool flush)
{
    struct sim_end *e = end_of(s);
    if (e->state == END_DEAD || event_is_set(&e->close) || (e->flushing && flush)) {
        return;
    }
    if (flush && (e->queued > 0 || !e->connected)) {
        e->state = END_CLOSING;
        e->flushing = true;
        event_at(&e->timeout, e->conn->net->world->now + FLUSH_TIMEOUT);
        add_to_flush(e);
        return;
    }
    end_close(e, COR_OK, SEGMENT_FIN);
}

void net_stream_peer(const struct io_stream *s, char *out, size_t size)
{
    const struct sim_end *e = end_of(s);
    format_to(out, size, "n%u:%s", other(e)->host->number, e->peer);
}

/* ---- faults ------------------------------------------------------------------------------------ */

void net_init(struct net *net, struct world *w)
{
    *net = (struct net){.world = w,
                        .delay = {200 * SIM_US, 300 * SIM_US},
                        .split_permille = 50,
                        .stall_min = 200 * SIM_MS,
                        .window_bytes = 256u << 10};
}

void net_deinit(struct net *net)
{
    while (net->conns != NULL) {
        struct sim_conn *c = net->conns;
        for (int i = 0; i < 2; i++) {
            c->ends[i].state = END_DEAD;
            c->ends[i].in_flush = false;
        }
        conn_free(c);
    }
    while (net->addresses != NULL) {
        struct sim_address *a = net->addresses;
        net->addresses = a->next;
        free(a);
    }
}

/* What a cut or a dead machine held back is sent again, some time after the way is free. */
static void unblock(struct net *net, struct sim_end *e)
{
    struct pipe *p = &e->out;
    if (p->first == NULL || !p->blocked) {
        return;
    }
    p->blocked = false;
    uint64_t at = net->world->now + world_below(net->world, SIM_RANDOM_NET, net->stall_min + 1);
    for (struct segment *s = p->first; s != NULL; s = s->next) {
        s->at = s->at > at ? s->at : at;
    }
    p->at = p->at > at ? p->at : at;
    pipe_schedule(e);
}

void net_cut(struct net *net, unsigned from, unsigned to, bool cut)
{
    COR_ASSERT(from < NET_HOSTS_MAX && to < NET_HOSTS_MAX);
    net->cut[from][to] = cut;
    for (struct sim_conn *c = net->conns; c != NULL && !cut; c = c->next) {
        for (int i = 0; i < 2; i++) {
            if (c->ends[i].host->number == from && c->ends[!i].host->number == to) {
                unblock(net, &c->ends[i]);
            }
        }
    }
}

void net_heal_all(struct net *net)
{
    memset(net->slow, 0, sizeof net->slow);
    memset(net->cut, 0, sizeof net->cut);
    for (struct sim_conn *c = net->conns; c != NULL; c = c->next) {
        unblock(net, &c->ends[0]);
        unblock(net, &c->ends[1]);
    }
}

void net_reset(struct net *net, unsigned a, unsigned b)
{
    for (struct sim_conn *c = net->conns; c != NULL; c = c->next) {
        unsigned x = c->ends[0].host->number, y = c->ends[1].host->number;
        if ((x == a && y == b) || (x == b && y == a)) {
            net->n_resets++;
            for (int i = 0; i < 2; i++) {
                if (c->ends[i].events != NULL) {
                    end_close(&c->ends[i], COR_EIO, SEGMENT_DATA);
                }
            }
        }
    }
}

/* The process on @h is gone. */
void net_host_down(struct host *h, enum host_death death)
{
    struct net *net = h->net;
    for (struct sim_address *a = net->addresses; a != NULL; a = a->next) {
        a->listening = a->listening && a->host != h;
    }
    while (h->to_flush != NULL) {
        h->to_flush->in_flush = false;
        h->to_flush = h->to_flush->next_flush;
    }
    for (struct sim_conn *c = net->conns; c != NULL; c = c->next) {
        for (int i = 0; i < 2; i++) {
            struct sim_end *e = &c->ends[i];
            if (e->host != h || (e->state == END_NEW && e->events == NULL)) {
                continue;
            }
            bool was_open = e->state != END_DEAD;
            e->state = END_DEAD;
            e->zombie = true;
            drop_queue(e);
            event_clear(&e->close);
            event_clear(&e->drain);
            event_clear(&e->timeout);
            if (was_open && death == HOST_KILLED) {
                bool reset = world_chance(net->world, SIM_RANDOM_NET, 500);
                send_segment(e, reset ? SEGMENT_RST : SEGMENT_FIN, (struct cor_bytes){0});
            }
        }
    }
}

/* @h went up or down: what is on its way to it arrives differently now. */
void net_host_changed(struct host *h)
{
    struct net *net = h->net;
    for (struct sim_conn *c = net->conns, *next; c != NULL; c = next) {
        next = c->next;
        for (int i = 0; i < 2; i++) {
            struct sim_end *e = &c->ends[i];
            if (e->host != h) {
                continue;
            }
            e->zombie = e->zombie && !h->up;
            if (h->powered) {
                unblock(net, other(e));
            }
            pipe_schedule(other(e));
        }
        if (conn_is_over(c) && !c->ends[0].in_flush && !c->ends[1].in_flush) {
            conn_free(c);
        }
    }
}
