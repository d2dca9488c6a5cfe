/*
 * site.h - the api of one node in the simulated world, and clients that speak bytes to it.
 *
 * The node below is a stand-in with a real store and real watches that does what it is told: answers late,
 * out of order, or with any failure. So these tests reach what a healthy cluster rarely does;
 * tests/api/cluster_test.c has real nodes.
 */
#ifndef TESTS_API_SITE_H
#define TESTS_API_SITE_H

#include "api/api.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/format.h"
#include "node/hub.h"
#include "sim/net.h"
#include "tests/api/talk.h"

#include <stdlib.h>
#include <string.h>

#define SITE_ADDRESS "n1:80"

/* ---- the stand-in ------------------------------------------------------------------------------------- */

struct node {
    struct io *io;
    struct kv *kv;
    struct hub *hub;
    uint64_t index;
    uint64_t write_delay, read_delay;    /* of requests that come now */
    enum cor_status refusal;             /* told at once */
    enum cor_status write_end, read_end; /* told later */
    bool keep_result;                    /* ... although the write was applied */
    struct pending *pending;
    unsigned n_pending;
    uint64_t last_timeout;
    struct node_status status;
};

struct pending {
    struct pending *next, **link;
    struct node *node;
    struct io_timer timer;
    node_write_done written;
    node_read_done read;
    void *arg;
    enum cor_status end;
    size_t len;
    unsigned char entry[];
};

static inline void pending_end(struct pending *p)
{
    *p->link = p->next;
    if (p->next != NULL) {
        p->next->link = p->link;
    }
    p->node->n_pending--;
    io_timer_clear(p->node->io, &p->timer);
    free(p);
}

static inline void on_pending(struct io_timer *t)
{
    struct pending *p = CONTAINER_OF(t, struct pending, timer);
    struct node *n = p->node;
    if (p->read != NULL) {
        struct node_read_info info = {.kv = n->kv,
                                      .leader = n->status.raft.leader,
                                      .last_contact_ms = 7,
                                      .lag_entries = 3};
        p->read(p->arg, p->end, &info);
    } else if (p->end != COR_OK) {
        p->written(p->arg, p->end, NULL);
    } else {
        static unsigned char memory[1 << 16];
        struct arena arena;
        struct kv_result result;
        arena_init(&arena, memory, sizeof memory);
        enum cor_status st =
            kv_apply(n->kv, ++n->index, (struct cor_bytes){p->entry, p->len}, &arena, &result);
        COR_ASSERT(st == COR_OK);
        p->written(p->arg, COR_OK, &result);
    }
    pending_end(p);
}

static inline struct pending *pending_new(struct node *n, size_t len, uint64_t delay, void *arg)
{
    struct pending *p = calloc(1, sizeof *p + len);
    COR_ASSERT(p != NULL);
    p->node = n;
    p->arg = arg;
    p->len = len;
    p->next = n->pending;
    p->link = &n->pending;
    if (p->next != NULL) {
        p->next->link = &p->next;
    }
    n->pending = p;
    n->n_pending++;
    p->timer.fire = on_pending;
    io_timer_set(n->io, &p->timer, io_now(n->io) + delay);
    return p;
}

enum cor_status node_write(struct node *n, const struct node_write *write, node_write_done done,
                           void *arg)
{
    if (n->refusal != COR_OK) {
        return n->refusal;
    }
    struct entry_header h = {.dialect = write->dialect};
    unsigned char head[ENTRY_HEADER_SIZE_MAX];
    size_t len = entry_header_encode(&h, head);
    COR_ASSERT(kv_check_ops(write->ops, NULL) == COR_OK);
    struct pending *p = pending_new(n, len + write->ops.len, n->write_delay, arg);
    memcpy(p->entry, head, len);
    memcpy(p->entry + len, write->ops.ptr, write->ops.len);
    p->written = done;
    p->end = n->write_end;
    n->last_timeout = write->timeout;
    return COR_OK;
}

enum cor_status node_read(struct node *n, enum node_read_mode mode, uint64_t timeout,
                          node_read_done done, void *arg)
{
    if (n->refusal != COR_OK) {
        return n->refusal;
    }
    struct pending *p = pending_new(n, 0, mode == NODE_READ_STALE ? 0 : n->read_delay, arg);
    p->read = done;
    p->end = n->read_end;
    n->last_timeout = timeout;
    return COR_OK;
}

enum cor_status node_watch_start(struct node *n, struct node_watch *w)
{
    return hub_watch_start(n->hub, w);
}

enum cor_status node_wait_start(struct node *n, struct node_wait *w, uint64_t timeout)
{
    return hub_wait_start(n->hub, w, timeout);
}

const struct kv *node_kv(const struct node *n)
{
    return n->kv;
}

struct io *node_io(const struct node *n)
{
    return n->io;
}

void node_get_status(const struct node *n, struct node_status *out)
{
    *out = n->status;
    kv_get_info(n->kv, &out->kv);
}

void node_get_stats(const struct node *n, struct node_stats *out)
{
    *out = (struct node_stats){.sync_buckets = {[0] = 2, [1] = 1, [15] = 1}};
    hub_get_stats(n->hub, out);
}

size_t node_get_trace(const struct node *n, struct node_trace *out, size_t n_max)
{
    COR_ASSERT(n_max >= 2);
    (void)n;
    out[0] = (struct node_trace){.at = 100, .index = 5, .term = 2, .n_entries = 1};
    out[1] = (struct node_trace){.at = 200,
                                 .index = 5,
                                 .term = 2,
                                 .n_entries = 1,
                                 .step = NODE_STEP_FOLLOWER_LOG,
                                 .peer = 2};
    return 2;
}

/* ---- the site ------------------------------------------------------------------------------------------- */

struct site {
    struct world w;
    struct net net;
    struct host server, clients;
    struct node node;
    struct api *api;
    struct io_listener *listener;
    bool stopped;
};

static inline void site_accept(void *arg, struct io_stream *s)
{
    struct site *site = arg;
    api_accept(site->api, s);
}

static inline void node_init(struct node *n, struct io *io)
{
    n->io = io;
    n->kv = kv_new(&(struct kv_options){0});
    COR_ASSERT(n->kv != NULL);
    COR_ASSERT(hub_open(n->kv, io, 1000, &n->hub) == COR_OK);
    n->write_delay = SIM_MS;
    n->status = (struct node_status){
        .phase = NODE_RUNNING,
        .name = "n1",
        .id = 1,
        .role = "Leader",
        .raft = {.self = 1, .leader = 1, .term = 2, .commit = 9, .applied = 9},
        .leader_name = "n1",
        .leader_client_address = SITE_ADDRESS,
        .ready = true,
        .waiting_for = "",
        .n_peers = 2,
        .peers = {
            {.name = "n1", .address = "n1:1", .client_address = "", .id = 1, .self = true},
            {.name = "n2",
             .address = "n2:1",
             .client_address = "",
             .id = 2,
             .match = 8,
             .lag_entries = 1,
             .last_contact_ms = UINT64_MAX}}};
}

static inline void site_open(struct site *s, struct api_options options)
{
    *s = (struct site){0};
    world_init(&s->w, 1);
    net_init(&s->net, &s->w);
    s->net.delay = (struct sim_delay){.min = 10 * SIM_US};
    host_init(&s->server, &s->w, &s->net, 1, NULL);
    host_init(&s->clients, &s->w, &s->net, 2, NULL);
    host_boot(&s->server);
    host_boot(&s->clients);
    node_init(&s->node, &s->server.io);
    options.node = &s->node;
    options.io = &s->server.io;
    options.version = "1.2.3";
    s->api = api_new(&options);
    COR_ASSERT(s->api != NULL);
    COR_ASSERT(io_listen(&s->server.io, SITE_ADDRESS, site_accept, s, NULL, &s->listener,
                         NULL) == COR_OK);
}

static inline void site_run(struct site *s, uint64_t ns)
{
    world_run(&s->w, s->w.now + ns);
}

static inline void client_open(struct client *c, struct site *s)
{
    client_dial(c, &s->w, &s->clients, SITE_ADDRESS);
}

static inline void site_on_stopped(void *arg)
{
    struct site *s = arg;
    s->stopped = true;
}

/* As after a crash: with whatever is in progress. */
static inline void site_close(struct site *s)
{
    host_halt(&s->server, HOST_KILLED);
    host_halt(&s->clients, HOST_KILLED);
    api_free(s->api);
    while (s->node.pending != NULL) {
        pending_end(s->node.pending);
    }
    hub_free(s->node.hub);
    kv_free(s->node.kv);
    host_deinit(&s->server);
    host_deinit(&s->clients);
    net_deinit(&s->net);
    world_deinit(&s->w);
}

static inline struct api_stats site_stats(const struct site *s)
{
    struct api_stats stats;
    api_get_stats(s->api, &stats);
    return stats;
}

#endif
