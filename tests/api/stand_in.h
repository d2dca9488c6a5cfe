/*
 * stand_in.h - in place of a node: a real store and real watches, and requests that end as they are told to.
 *
 * It answers late, out of order, or with any failure. A test program that includes it has no other node.
 */
#ifndef TESTS_API_STAND_IN_H
#define TESTS_API_STAND_IN_H

#include "base/arena.h"
#include "base/assert.h"
#include "node/hub.h"

#include <stdlib.h>
#include <string.h>

struct node {
    struct io *io;
    struct kv *kv;
    struct hub *hub;
    uint64_t index;
    uint64_t write_delay, read_delay;    /* of requests that come now */
    enum cor_status refusal;             /* told at once */
    enum cor_status write_end, read_end; /* told later */
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
    struct entry_header h = {
        .dialect = write->dialect, .session = write->session, .number = write->number};
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

/* The article's message, and one whose entry was replaced since. */
size_t node_get_appends(const struct node *n, struct node_append *out, size_t n_max)
{
    COR_ASSERT(n_max >= 2);
    (void)n;
    out[0] = (struct node_append){.term = 17,
                                  .prev = {17, 26},
                                  .n_entries = 1,
                                  .last_term = 17,
                                  .commit = 26,
                                  .leader = 1};
    out[1] = out[0];
    out[1].last_term = 16;
    return 2;
}

bool node_get_entry(const struct node *n, uint64_t index, struct node_entry *out)
{
    static unsigned char memory[256];
    const struct kv_op op = {.kind = KV_OP_PUT,
                             .range = {.key = COR_BYTES_INIT("aae")},
                             .value = COR_BYTES_INIT("bbb")};
    const struct entry_header header = {.dialect = ENTRY_DIALECT_RAFTD};
    struct writer w = writer_of(memory, sizeof memory);
    (void)n;
    w.used = entry_header_encode(&header, memory);
    kv_encode_one(&w, &op);
    *out = (struct node_entry){index, 17, COR_ENTRY_COMMAND, {memory, w.used}};
    return index == 27;
}

static inline void node_init(struct node *n, struct io *io)
{
    n->io = io;
    n->kv = kv_new(&(struct kv_options){0});
    COR_ASSERT(n->kv != NULL);
    COR_ASSERT(hub_open(n->kv, io, 1000, &n->hub) == COR_OK);
    n->status = (struct node_status){
        .phase = NODE_RUNNING,
        .name = "n1",
        .id = 1,
        .role = "Leader",
        .raft = {.self = 1, .leader = 1, .term = 2, .commit = 9, .applied = 9},
        .leader_name = "n1",
        .leader_client_address = "n1:80",
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

static inline void node_deinit(struct node *n)
{
    while (n->pending != NULL) {
        pending_end(n->pending);
    }
    hub_free(n->hub);
    kv_free(n->kv);
}

#endif
