/*
 * cluster.h - one to five whole nodes in the simulated world, for tests that ask them something.
 *
 * Time, network and disks are the world's; calls below let it run until an answer is there. A node's
 * events are kept as text, so that a test can expect one.
 */
#ifndef TESTS_NODE_CLUSTER_H
#define TESTS_NODE_CLUSTER_H

#include "base/assert.h"
#include "base/format.h"
#include "node/node.h"
#include "sim/disk.h"
#include "sim/host.h"
#include "sim/net.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER_MAX      5u
#define CLUSTER_LOG_SIZE 65536u
#define CLUSTER_PATIENCE (60 * SIM_S)

struct cluster_node {
    struct cluster *cluster;
    struct host host;
    struct sim_disk *disk;
    struct event_sink sink;
    struct node *node; /* NULL: not running */
    char name[8], address[16], client[16];
    char *log; /* of events, in all lives */
    size_t log_used;
    unsigned n_fatal, n_ready, n_stopped;
    struct cor_error fatal, why;
};

struct cluster {
    struct world world;
    struct net net;
    unsigned n; /* nodes are numbered from 1 */
    struct cluster_node nodes[CLUSTER_MAX + 1];
    struct node_member members[CLUSTER_MAX];
    struct node_options options; /* of all; what names one is filled in */
};

/* ---- events as text ------------------------------------------------------------------------------ */

static inline void cluster_on_event(struct event_sink *sink, const struct event *e)
{
    struct cluster_node *n = CONTAINER_OF(sink, struct cluster_node, sink);
    if (n->log_used > CLUSTER_LOG_SIZE - 1024) {
        n->log_used = 0;
    }
    char *at = n->log + n->log_used;
    size_t room = CLUSTER_LOG_SIZE - n->log_used;
    size_t used = format_to(at, room, "%s", e->name);
    for (uint32_t i = 0; i < e->n_fields; i++) {
        const struct event_field *f = &e->fields[i];
        if (f->kind == EVENT_TEXT) {
            used += format_to(at + used, room - used, " %s=%.*s", f->name, (int)f->text.len,
                              (const char *)f->text.ptr);
        } else {
            used += format_to(at + used, room - used, " %s=%llu", f->name,
                              (unsigned long long)f->number);
        }
    }
    used += format_to(at + used, room - used, "\n");
    if (getenv("CLUSTER_TRACE") != NULL) {
        printf("%9.3f %s %s", (double)n->cluster->world.now / 1e6, n->name, at);
    }
    n->log_used += used;
}

static inline bool cluster_said(const struct cluster *c, unsigned node, const char *text)
{
    return strstr(c->nodes[node].log, text) != NULL;
}

static inline void cluster_forget_events(struct cluster *c, unsigned node)
{
    c->nodes[node].log_used = 0;
    c->nodes[node].log[0] = '\0';
}

/* ---- life -------------------------------------------------------------------------------------------- */

static inline void cluster_on_fatal(void *arg, const struct cor_error *err)
{
    struct cluster_node *n = arg;
    n->n_fatal++;
    n->fatal = *err;
}

static inline void cluster_on_ready(void *arg)
{
    struct cluster_node *n = arg;
    n->n_ready++;
}

static inline void cluster_on_stopped(void *arg)
{
    struct cluster_node *n = arg;
    n->n_stopped++;
}

static inline struct cluster *cluster_new(unsigned n_nodes, uint64_t seed)
{
    struct cluster *c = calloc(1, sizeof *c);
    COR_ASSERT(c != NULL && n_nodes <= CLUSTER_MAX);
    world_init(&c->world, seed);
    net_init(&c->net, &c->world);
    c->net.delay = (struct sim_delay){50 * SIM_US, 100 * SIM_US};
    c->n = n_nodes;
    for (unsigned i = 1; i <= n_nodes; i++) {
        struct cluster_node *n = &c->nodes[i];
        n->cluster = c;
        n->disk = sim_disk_new();
        n->log = calloc(1, CLUSTER_LOG_SIZE);
        COR_ASSERT(n->log != NULL);
        n->sink.emit = cluster_on_event;
        format_to(n->name, sizeof n->name, "n%u", i);
        format_to(n->address, sizeof n->address, "n%u:4100", i);
        format_to(n->client, sizeof n->client, "n%u:4000", i);
        c->members[i - 1] = (struct node_member){n->name, n->address};
        host_init(&n->host, &c->world, &c->net, i, &n->disk->fs);
    }
    return c;
}

static inline enum cor_status cluster_open(struct cluster *c, unsigned i)
{
    struct cluster_node *n = &c->nodes[i];
    COR_ASSERT(n->node == NULL);
    host_boot(&n->host);
    struct node_options o = c->options;
    o.io = &n->host.io;
    o.events = &n->sink;
    o.name = o.name == NULL ? n->name : o.name;
    if (o.members == NULL && c->n > 1) {
        o.members = c->members;
        o.n_members = c->n;
    }
    o.client_address = n->client;
    o.arg = n;
    o.on_fatal = cluster_on_fatal;
    o.on_ready = cluster_on_ready;
    n->n_fatal = n->n_ready = n->n_stopped = 0;
    n->why = (struct cor_error){0};
    enum cor_status st = node_open(&o, &n->why, &n->node);
    if (st != COR_OK) {
        n->node = NULL;
        host_halt(&n->host, HOST_KILLED);
        sim_disk_kill(n->disk);
    }
    CHECK(st == COR_OK || (n->why.status == st && n->why.text[0] != '\0'));
    return st;
}

static inline void cluster_start(struct cluster *c, unsigned i)
{
    enum cor_status st = cluster_open(c, i);
    if (st != COR_OK) {
        printf("n%u: %s\n", i, c->nodes[i].why.text);
    }
    CHECK_EQ(st, COR_OK);
}

static inline void cluster_start_all(struct cluster *c)
{
    for (unsigned i = 1; i <= c->n; i++) {
        cluster_start(c, i);
    }
}

static inline void cluster_bury(struct cluster *c, unsigned i, enum host_death death)
{
    struct cluster_node *n = &c->nodes[i];
    host_halt(&n->host, death);
    node_free(n->node);
    n->node = NULL;
}

/* The process dies; the machine and its kernel do not. */
static inline void cluster_kill(struct cluster *c, unsigned i)
{
    cluster_bury(c, i, HOST_KILLED);
    sim_disk_kill(c->nodes[i].disk);
}

static inline void cluster_power_off(struct cluster *c, unsigned i, enum sim_fate_kind fate)
{
    cluster_bury(c, i, HOST_POWER_LOST);
    struct sim_fate f = {.kind = fate, .random = &c->world.random[SIM_RANDOM_DISK]};
    sim_disk_crash(c->nodes[i].disk, f);
}

static inline void cluster_free(struct cluster *c)
{
    for (unsigned i = 1; i <= c->n; i++) {
        struct cluster_node *n = &c->nodes[i];
        if (n->node != NULL) {
            cluster_kill(c, i);
        }
        host_deinit(&n->host);
        CHECK_EQ(n->disk->n_open, 0u);
        sim_disk_free(n->disk);
        free(n->log);
    }
    net_deinit(&c->net);
    world_deinit(&c->world);
    free(c);
}

static inline void cluster_wipe(struct cluster *c, unsigned i)
{
    struct cluster_node *n = &c->nodes[i];
    COR_ASSERT(n->node == NULL);
    sim_disk_free(n->disk);
    n->disk = sim_disk_new();
    n->host.io.fs = &n->disk->fs;
}

/* ---- time --------------------------------------------------------------------------------------------- */

static inline void cluster_run(struct cluster *c, uint64_t ns)
{
    world_run(&c->world, c->world.now + ns);
}

/* Run until @done; false: it did not come true. */
static inline bool cluster_until(struct cluster *c, bool (*done)(struct cluster *c))
{
    uint64_t until = c->world.now + CLUSTER_PATIENCE;
    while (!done(c)) {
        if (c->world.now >= until || !world_step(&c->world)) {
            return false;
        }
    }
    return true;
}

/* Stop in order; the process ends. */
static inline void cluster_stop(struct cluster *c, unsigned i, uint64_t grace)
{
    struct cluster_node *n = &c->nodes[i];
    uint64_t until = c->world.now + CLUSTER_PATIENCE;
    node_stop(n->node, grace, cluster_on_stopped, n);
    while (n->n_stopped == 0 && c->world.now < until && world_step(&c->world)) {
    }
    CHECK_EQ(n->n_stopped, 1u);
    cluster_kill(c, i);
}

static inline struct node_status *cluster_status(struct cluster *c, unsigned i)
{
    static struct node_status s[CLUSTER_MAX + 1];
    node_get_status(c->nodes[i].node, &s[i]);
    return &s[i];
}

static inline bool cluster_is_up(const struct cluster *c, unsigned i)
{
    return c->nodes[i].node != NULL;
}

/* Who leads the newest term; 0: nobody. */
static inline unsigned cluster_leader(struct cluster *c)
{
    unsigned leader = 0;
    uint64_t term = 0;
    for (unsigned i = 1; i <= c->n; i++) {
        const struct node_status *s = cluster_is_up(c, i) ? cluster_status(c, i) : NULL;
        if (s != NULL && s->raft.role == COR_RAFT_LEADER && s->raft.term > term &&
            s->phase == NODE_RUNNING) {
            leader = i;
            term = s->raft.term;
        }
    }
    return leader;
}

static inline bool cluster_all_ready(struct cluster *c)
{
    for (unsigned i = 1; i <= c->n; i++) {
        if (cluster_is_up(c, i) && !cluster_status(c, i)->ready) {
            return false;
        }
    }
    return true;
}

/* All that are up hold the same, as far as the leader has committed. */
static inline bool cluster_converged(struct cluster *c)
{
    unsigned leader = cluster_leader(c);
    if (leader == 0) {
        return false;
    }
    const struct node_status *l = cluster_status(c, leader);
    for (unsigned i = 1; i <= c->n; i++) {
        const struct node_status *s = cluster_is_up(c, i) ? cluster_status(c, i) : l;
        if (s->kv.applied != l->raft.last || s->kv.hash != l->kv.hash) {
            return false;
        }
    }
    return true;
}

static inline unsigned cluster_some_follower(struct cluster *c)
{
    for (unsigned i = 1; i <= c->n; i++) {
        if (cluster_is_up(c, i) && i != cluster_leader(c)) {
            return i;
        }
    }
    return 0;
}

static inline struct cluster *cluster_formed(unsigned n_nodes, uint64_t seed)
{
    struct cluster *c = cluster_new(n_nodes, seed);
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    return c;
}

/* ---- writes and reads ------------------------------------------------------------------------------------ */

struct cluster_write {
    unsigned n_done;
    enum cor_status st, result;
    uint64_t revision;
    bool found; /* the previous value, if it was asked for */
};

static inline void cluster_on_written(void *arg, enum cor_status st,
                                      const struct kv_result *result)
{
    struct cluster_write *w = arg;
    CHECK((st == COR_OK) == (result != NULL));
    w->n_done++;
    w->st = st;
    if (result != NULL) {
        w->result = result->status;
        w->revision = result->revision;
        w->found = result->n_ops > 0 && result->ops[0].n_items > 0;
    }
}

static inline struct cor_bytes cluster_text(const char *s)
{
    return (struct cor_bytes){(const unsigned char *)s, strlen(s)};
}

static inline enum cor_status cluster_begin_op(struct cluster *c, unsigned i,
                                               const struct kv_op *op, uint64_t timeout,
                                               struct cluster_write *w)
{
    static unsigned char ops[ENTRY_OPS_MAX];
    struct writer out = writer_of(ops, sizeof ops);
    kv_encode_one(&out, op);
    CHECK(writer_ok(&out));
    struct node_write write = {
        .dialect = ENTRY_DIALECT_RAFTD, .ops = {ops, out.used}, .timeout = timeout};
    *w = (struct cluster_write){.st = COR_OK};
    return node_write(c->nodes[i].node, &write, cluster_on_written, w);
}

static inline struct kv_op cluster_put_op(const char *key, struct cor_bytes value)
{
    return (struct kv_op){
        .kind = KV_OP_PUT, .range = {.key = cluster_text(key)}, .value = value};
}

/* Ask, and go on; @w stays the caller's until it is done. */
static inline void cluster_begin_put(struct cluster *c, unsigned i, const char *key,
                                     const char *value, struct cluster_write *w)
{
    struct kv_op op = cluster_put_op(key, cluster_text(value));
    enum cor_status st = cluster_begin_op(c, i, &op, 0, w);
    if (st != COR_OK) {
        w->st = st;
        w->n_done = 1;
    }
}

static inline void cluster_await(struct cluster *c, const struct cluster_write *w)
{
    uint64_t until = c->world.now + CLUSTER_PATIENCE;
    while (w->n_done == 0 && c->world.now < until && world_step(&c->world)) {
    }
    CHECK_EQ(w->n_done, 1u);
}

static inline enum cor_status cluster_put(struct cluster *c, unsigned i, const char *key,
                                          const char *value)
{
    static struct cluster_write w;
    cluster_begin_put(c, i, key, value, &w);
    cluster_await(c, &w);
    CHECK(w.st != COR_OK || w.result == COR_OK);
    return w.st;
}

struct cluster_read {
    const char *key;
    unsigned n_done;
    enum cor_status st;
    char value[64]; /* "-": not there */
    struct node_read_info info;
};

static inline void cluster_on_read(void *arg, enum cor_status st,
                                   const struct node_read_info *info)
{
    struct cluster_read *r = arg;
    struct kv_item item;
    r->n_done++;
    r->st = st;
    r->info = *info;
    if (st == COR_OK) {
        bool there = kv_get(info->kv, 0, cluster_text(r->key), 0, &item) == COR_OK;
        format_to(r->value, sizeof r->value, "%.*s", there ? (int)item.value.len : 1,
                  there ? (const char *)item.value.ptr : "-");
    }
}

static inline void cluster_begin_get(struct cluster *c, unsigned i, enum node_read_mode mode,
                                     const char *key, struct cluster_read *r)
{
    *r = (struct cluster_read){.key = key};
    enum cor_status st = node_read(c->nodes[i].node, mode, 0, cluster_on_read, r);
    if (st != COR_OK) {
        r->st = st;
        r->n_done = 1;
    }
}

static inline void cluster_await_read(struct cluster *c, const struct cluster_read *r)
{
    uint64_t until = c->world.now + CLUSTER_PATIENCE;
    while (r->n_done == 0 && c->world.now < until && world_step(&c->world)) {
    }
    CHECK_EQ(r->n_done, 1u);
}

/* The value; "-": not there; else the status as text. */
static inline const char *cluster_get(struct cluster *c, unsigned i, enum node_read_mode mode,
                                      const char *key)
{
    static struct cluster_read r;
    cluster_begin_get(c, i, mode, key, &r);
    cluster_await_read(c, &r);
    return r.st == COR_OK ? r.value : cor_status_text(r.st);
}

#define CHECK_TEXT(got, want) CHECK_BYTES(cluster_text(got), cluster_text(want))

#endif
