/*
 * cluster.h - a cluster of cores in memory: each with a host that has a log, a disk and links.
 *
 * For tests that let cores talk. The host does what raft.h asks for and nothing more, keeps what is
 * durable apart from what is not, and checks after each step: cor_raft_check, Election Safety, Log
 * Matching, Leader Completeness, State Machine Safety, and that what a leader commits is durable
 * on a quorum. Time, message order, disk order and faults are the test's. A broken rule aborts
 * with its sentence and the seed.
 */
#ifndef TESTS_RAFT_CLUSTER_H
#define TESTS_RAFT_CLUSTER_H

#include "base/assert.h"
#include "base/prng.h"
#include "coracle/raft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER_NODES_MAX 9u
#define CLUSTER_LOG_MAX   3000u
#define CLUSTER_TERMS_MAX 20000u
#define CLUSTER_MSGS_MAX  4096u
#define CLUSTER_WRITES    256u
#define CLUSTER_READS     4096u
#define CLUSTER_BATCH_MAX 64u /* entries in one message */
#define CLUSTER_MS        UINT64_C(1000000)

struct cluster_entry {
    uint64_t term, value;
    uint32_t type, size;
};

struct cluster_message {
    struct cor_raft_message m;
    struct cor_raft_entry entries[CLUSTER_BATCH_MAX];
    uint64_t values[CLUSTER_BATCH_MAX];
    uint64_t at, number;
};

struct cluster_write {
    uint64_t seq, at;
    bool hard;
    struct cor_raft_hard_state state;
    uint64_t truncate, first;
    uint32_t n;
    struct cluster_entry *entries;
};

struct cluster_node {
    bool up;
    struct cor_raft_options options;
    void *memory, *before;
    struct cor_raft *raft;
    struct cluster_entry log[CLUSTER_LOG_MAX + 1]; /* what the host holds */
    uint64_t last, applied;
    struct cor_raft_hard_state disk_state; /* what survives */
    struct cluster_entry disk[CLUSTER_LOG_MAX + 1];
    uint64_t disk_last;
    struct cluster_write writes[CLUSTER_WRITES];
    uint32_t n_writes;
    uint64_t deadline, seq;
    struct cor_raft_info info;
};

/* A read that was asked: its answer must not be older than what was committed then. */
struct cluster_read {
    uint64_t floor;
    bool open;
};

struct cluster {
    uint64_t seed, now;
    struct prng rng;
    uint32_t n;
    struct cor_raft_config config;
    struct cluster_node *nodes; /* node id i is nodes[i - 1] */
    struct cluster_message *messages;
    uint32_t
        order[CLUSTER_MSGS_MAX]; /* the first n_flying: messages on their way; then free ones */
    uint32_t n_flying;
    uint64_t message_number, write_ns_max, delay_ns_max;
    uint32_t loss_permille, duplicate_permille, cut_permille;
    bool blocked[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1]; /* from, to */
    uint64_t leaders[CLUSTER_TERMS_MAX];                        /* by term */
    struct cluster_entry committed[CLUSTER_LOG_MAX + 1];
    uint64_t n_committed;
    struct cluster_read reads[CLUSTER_READS];
    uint64_t n_reads, reads_ok, reads_failed, next_value;
    /* What a step said, for tests that look. */
    enum cor_status status;
    struct cor_raft_update update;
    uint64_t n_need_term, n_cut;
    /* Called after each step, with the update still whole; may be NULL. */
    void (*on_step)(struct cluster *c, cor_node_id id, const struct cor_raft_info *before);
};

#define CLUSTER_CHECK(c, cond)                                                                 \
    do {                                                                                       \
        if (!(cond)) {                                                                         \
            fprintf(stderr, "seed %llu at %llu ns: ", (unsigned long long)(c)->seed,           \
                    (unsigned long long)(c)->now);                                             \
            COR_ASSERT(cond);                                                                  \
        }                                                                                      \
    } while (0)

static inline struct cluster_node *cluster_node(struct cluster *c, cor_node_id id)
{
    COR_ASSERT(id >= 1 && id <= c->n);
    return &c->nodes[id - 1];
}

static inline void *cluster_alloc(size_t n, size_t size)
{
    void *p = calloc(n, size);
    COR_ASSERT(p != NULL);
    return p;
}

static inline size_t cluster_runs(const struct cluster_entry *log, uint64_t last,
                                  struct cor_raft_run *runs)
{
    size_t n = 0;
    for (uint64_t i = 1; i <= last; i++) {
        if (i == 1 || log[i].term != log[i - 1].term) {
            runs[n++] = (struct cor_raft_run){i, log[i].term};
        }
    }
    return n;
}

static inline void cluster_start(struct cluster *c, cor_node_id id)
{
    struct cluster_node *n = cluster_node(c, id);
    static struct cor_raft_run runs[CLUSTER_LOG_MAX];
    memcpy(n->log, n->disk, (n->disk_last + 1) * sizeof n->log[0]);
    n->last = n->disk_last;
    n->applied = 0;
    n->n_writes = 0;
    n->seq = 0;
    struct cor_raft_recovered found = {.hard_state = n->disk_state,
                                       .runs = runs,
                                       .n_runs = cluster_runs(n->disk, n->disk_last, runs),
                                       .last = n->disk_last,
                                       .first = 1,
                                       .config = &c->config};
    size_t size = cor_raft_size(&n->options);
    COR_ASSERT(size > 0);
    if (n->memory == NULL) {
        n->memory = cluster_alloc(1, size);
        n->before = cluster_alloc(1, size);
    }
    enum cor_status st = cor_raft_init(n->memory, size, &n->options, &found, c->now, &n->raft);
    COR_ASSERT(st == COR_OK);
    n->up = true;
    n->deadline = c->now;
    cor_raft_get_info(n->raft, &n->info);
}

static inline struct cluster *cluster_new(uint64_t seed, uint32_t n_nodes,
                                          const struct cor_raft_options *options)
{
    COR_ASSERT(n_nodes >= 1 && n_nodes <= CLUSTER_NODES_MAX);
    struct cluster *c = cluster_alloc(1, sizeof *c);
    c->seed = seed;
    c->rng.state = seed;
    c->now = CLUSTER_MS;
    c->n = n_nodes;
    c->nodes = cluster_alloc(n_nodes, sizeof *c->nodes);
    c->messages = cluster_alloc(CLUSTER_MSGS_MAX, sizeof *c->messages);
    for (uint32_t i = 0; i < CLUSTER_MSGS_MAX; i++) {
        c->order[i] = i;
    }
    c->config.n = n_nodes;
    for (uint32_t i = 0; i < n_nodes; i++) {
        c->config.members[i] =
            (struct cor_raft_member){.id = i + 1, .kind = COR_MEMBER_VOTER, .in_new = true};
        c->nodes[i].options = *options;
        c->nodes[i].options.self = i + 1;
        c->nodes[i].options.seed = seed;
    }
    return c;
}

static inline void cluster_drop_writes(struct cluster_node *n, uint32_t from)
{
    for (uint32_t i = from; i < n->n_writes; i++) {
        free(n->writes[i].entries);
    }
    n->n_writes = from;
}

static inline void cluster_free(struct cluster *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        cluster_drop_writes(&c->nodes[i], 0);
        free(c->nodes[i].memory);
        free(c->nodes[i].before);
    }
    free(c->nodes);
    free(c->messages);
    free(c);
}

/* ---- the judges
 * --------------------------------------------------------------------------------- */

static inline bool cluster_is_committed_entry(const struct cluster *c, uint64_t i,
                                              const struct cluster_entry *e)
{
    return c->committed[i].term == e->term && c->committed[i].value == e->value;
}

/* Leader Completeness, when @n has just become leader; and Election Safety. */
static inline void cluster_check_leader(struct cluster *c, const struct cluster_node *n)
{
    uint64_t *leader = &c->leaders[n->info.term];
    CLUSTER_CHECK(c, n->info.term < CLUSTER_TERMS_MAX);
    CLUSTER_CHECK(c, *leader == 0 || *leader == n->info.self);
    if (*leader == 0) {
        *leader = n->info.self;
        for (uint64_t i = 1; i <= c->n_committed; i++) {
            CLUSTER_CHECK(c, i <= n->last && cluster_is_committed_entry(c, i, &n->log[i]));
        }
    }
}

/* The entry at @index of @n's log is on the disks of a quorum of either half. */
static inline void cluster_check_durable(struct cluster *c, const struct cluster_node *n,
                                         uint64_t index)
{
    uint32_t size[2] = {0, 0};
    uint32_t have[2] = {0, 0};
    for (uint32_t i = 0; i < c->config.n; i++) {
        const struct cor_raft_member *m = &c->config.members[i];
        const struct cluster_node *o = &c->nodes[m->id - 1];
        bool has = o->disk_last >= index && o->disk[index].term == n->log[index].term &&
                   o->disk[index].value == n->log[index].value;
        for (int half = 0; half < 2; half++) {
            if (m->kind == COR_MEMBER_VOTER && (half ? m->in_new : m->in_old)) {
                size[half]++;
                have[half] += has;
            }
        }
    }
    CLUSTER_CHECK(c, size[0] == 0 || have[0] > size[0] / 2);
    CLUSTER_CHECK(c, have[1] > size[1] / 2);
}

static inline void cluster_check_commit(struct cluster *c, const struct cluster_node *n)
{
    if (n->info.role == COR_RAFT_LEADER && n->info.commit > c->n_committed) {
        cluster_check_durable(c, n, n->info.commit);
    }
    for (uint64_t i = n->applied + 1; i <= n->info.commit; i++) {
        CLUSTER_CHECK(c, i <= n->last);
        if (i > c->n_committed) {
            c->committed[i] = n->log[i];
            c->n_committed = i;
        }
        /* State Machine Safety: no two servers apply different entries at one index. */
        CLUSTER_CHECK(c, cluster_is_committed_entry(c, i, &n->log[i]));
    }
}

/* ---- the host
 * ------------------------------------------------------------------------------------- */

static inline void cluster_apply_write(struct cluster_node *n, struct cluster_write *w)
{
    if (w->hard) {
        n->disk_state = w->state;
    }
    if (w->truncate != 0) {
        n->disk_last = w->truncate - 1;
    }
    for (uint32_t i = 0; i < w->n; i++) {
        COR_ASSERT(n->disk_last + 1 == w->first + i);
        n->disk[++n->disk_last] = w->entries[i];
    }
}

/* Take over the update's write: into the host's log now, onto the disk later. */
static inline void cluster_take_write(struct cluster *c, struct cluster_node *n,
                                      const struct cor_raft_event *ev,
                                      const struct cluster_message *in)
{
    const struct cor_raft_update *u = &c->update;
    if (u->write.seq == 0) {
        return;
    }
    CLUSTER_CHECK(c, u->write.seq == ++n->seq);
    CLUSTER_CHECK(c, n->n_writes < CLUSTER_WRITES);
    struct cluster_write *w = &n->writes[n->n_writes++];
    *w = (struct cluster_write){.seq = u->write.seq,
                                .at = c->now + 1 + prng_below(&c->rng, c->write_ns_max + 1),
                                .hard = u->write.hard_state_changed,
                                .state = u->write.hard_state,
                                .truncate = u->write.truncate_from,
                                .first = u->write.first,
                                .n = u->write.n_entries};
    w->entries = cluster_alloc(w->n + 1u, sizeof *w->entries);
    if (w->truncate != 0) {
        CLUSTER_CHECK(c, w->truncate <= n->last && w->truncate == w->first);
        n->last = w->truncate - 1;
    }
    for (uint32_t i = 0; i < w->n; i++) {
        uint64_t index = w->first + i;
        CLUSTER_CHECK(c, index == n->last + 1 && index <= CLUSTER_LOG_MAX);
        struct cluster_entry e = {u->write.term, 0, COR_ENTRY_NOOP, 0};
        if (in != NULL && in->m.type == COR_RAFT_MSG_APPEND) {
            uint64_t j = index - in->m.first;
            e = (struct cluster_entry){in->entries[j].term, in->values[j], in->entries[j].type,
                                       in->entries[j].size};
        } else if (u->proposed_first != 0) {
            e.value = ++c->next_value;
            e.type = ev->propose.entries[i].type;
            e.size = ev->propose.entries[i].size;
        }
        n->log[++n->last] = w->entries[i] = e;
    }
}

/* Put @m on its way, with a random delay; it may be lost or doubled. */
static inline void cluster_post(struct cluster *c, const struct cor_raft_message *m,
                                uint32_t n_entries)
{
    if (c->blocked[m->from][m->to] || prng_below(&c->rng, 1000) < c->loss_permille) {
        return;
    }
    uint32_t copies = prng_below(&c->rng, 1000) < c->duplicate_permille ? 2 : 1;
    for (; copies > 0 && c->n_flying < CLUSTER_MSGS_MAX; copies--) {
        struct cluster_message *to = &c->messages[c->order[c->n_flying++]];
        to->m = *m;
        to->m.n_entries = n_entries;
        to->at = c->now + 1 + prng_below(&c->rng, c->delay_ns_max + 1);
        to->number = ++c->message_number;
        const struct cluster_node *n = cluster_node(c, m->from);
        for (uint32_t j = 0; j < n_entries; j++) {
            const struct cluster_entry *e = &n->log[m->first + j];
            to->entries[j] = (struct cor_raft_entry){e->term, e->type, e->size};
            to->values[j] = e->value;
        }
        if (m->prev_term_unknown) {
            to->m.prev.term = n->log[m->prev.index].term;
            to->m.prev_term_unknown = false;
        }
    }
}

static inline void cluster_step(struct cluster *c, cor_node_id id, struct cor_raft_event *ev,
                                const struct cluster_message *in);

/* Send what the update asks for, then report what became of the appends. */
static inline void cluster_send(struct cluster *c, struct cluster_node *n)
{
    struct cor_raft_event sent[64];
    uint32_t n_sent = 0;
    for (uint32_t i = 0; i < c->update.n_messages; i++) {
        const struct cor_raft_message *m = &c->update.messages[i];
        uint32_t count = m->n_entries < CLUSTER_BATCH_MAX ? m->n_entries : CLUSTER_BATCH_MAX;
        if (count > 0 && prng_below(&c->rng, 1000) < c->cut_permille) {
            count = (uint32_t)prng_below(&c->rng, count + 1);
            c->n_cut++;
        }
        uint64_t bytes = 0;
        for (uint32_t j = 0; j < count; j++) {
            bytes += n->log[m->first + j].size;
        }
        if (m->n_entries > 0) {
            struct cor_raft_event *ev = &sent[n_sent++];
            memset(ev, 0, sizeof *ev);
            ev->type = COR_RAFT_EV_SENT;
            ev->sent.peer = m->to;
            ev->sent.first = m->first;
            ev->sent.n = count;
            ev->sent.bytes = bytes;
        }
        if (m->n_entries == 0 || count > 0) {
            cluster_post(c, m, count);
        }
    }
    for (uint32_t i = 0; i < n_sent; i++) {
        cluster_step(c, n->info.self, &sent[i], NULL);
    }
}

static inline void cluster_take_reads(struct cluster *c, const struct cluster_node *n)
{
    for (uint32_t i = 0; i < c->update.n_reads; i++) {
        const struct cor_raft_read_result *got = &c->update.reads[i];
        struct cluster_read *read = &c->reads[got->id % CLUSTER_READS];
        CLUSTER_CHECK(c, read->open); /* exactly one result */
        read->open = false;
        if (got->status == COR_OK) {
            CLUSTER_CHECK(c, got->index >= read->floor);
            CLUSTER_CHECK(c, got->index <= c->n_committed);
            c->reads_ok++;
        } else {
            c->reads_failed++;
        }
    }
    (void)n;
}

/* One step of node @id, the host's part included. */
static inline void cluster_step(struct cluster *c, cor_node_id id, struct cor_raft_event *ev,
                                const struct cluster_message *in)
{
    static struct cor_raft_run runs[CLUSTER_LOG_MAX];
    struct cluster_node *n = cluster_node(c, id);
    size_t size = cor_raft_size(&n->options);
    ev->now = c->now;
    memcpy(n->before, n->memory, size);
    c->status = cor_raft_step(n->raft, ev, &c->update);
    if (c->status == COR_ENEEDTERM) {
        CLUSTER_CHECK(c, cor_raft_hash(n->raft) == cor_raft_hash(n->before));
        CLUSTER_CHECK(c, c->update.need_first <= c->update.need_last);
        c->n_need_term++;
        ev->n_runs = (uint32_t)cluster_runs(n->log, n->last, runs);
        ev->runs = runs;
        c->status = cor_raft_step(n->raft, ev, &c->update);
    }
    CLUSTER_CHECK(c, c->status != COR_ENEEDTERM && c->status != COR_EINVAL);
    CLUSTER_CHECK(c, c->status != COR_EPROTO);
    cor_raft_check(n->raft, n->before);
    struct cor_raft_update u = c->update;
    const struct cor_raft_info was = n->info;
    cluster_take_write(c, n, ev, in);
    cor_raft_get_info(n->raft, &n->info);
    CLUSTER_CHECK(c, n->info.last == n->last);
    if (n->info.role == COR_RAFT_LEADER) {
        cluster_check_leader(c, n);
    }
    cluster_check_commit(c, n);
    n->applied = u.apply_to;
    n->deadline = u.deadline;
    cluster_take_reads(c, n);
    bool more = u.more;
    if (c->on_step != NULL) {
        c->on_step(c, id, &was);
    }
    cluster_send(c, n);
    if (more) {
        struct cor_raft_event again = {.type = COR_RAFT_EV_CONTINUE};
        cluster_step(c, id, &again, NULL);
    }
    c->update = u;
}

static inline void cluster_time(struct cluster *c, cor_node_id id)
{
    struct cor_raft_event ev = {.type = COR_RAFT_EV_TIME};
    cluster_step(c, id, &ev, NULL);
}

/* The message at place @i of the order is lost. */
static inline void cluster_drop(struct cluster *c, uint32_t i)
{
    COR_ASSERT(i < c->n_flying);
    uint32_t slot = c->order[i];
    c->order[i] = c->order[--c->n_flying];
    c->order[c->n_flying] = slot;
}

/* The message at place @i of the order arrives. */
static inline void cluster_deliver(struct cluster *c, uint32_t i)
{
    static struct cluster_message copy;
    copy = c->messages[c->order[i]];
    cluster_drop(c, i);
    if (!cluster_node(c, copy.m.to)->up || c->blocked[copy.m.from][copy.m.to]) {
        return;
    }
    copy.m.entries = copy.m.n_entries > 0 ? copy.entries : NULL;
    struct cor_raft_event ev = {.type = COR_RAFT_EV_RECEIVE, .message = &copy.m};
    cluster_step(c, copy.m.to, &ev, &copy);
}

/* The oldest @count writes of node @id become durable. */
static inline void cluster_persist(struct cluster *c, cor_node_id id, uint32_t count)
{
    struct cluster_node *n = cluster_node(c, id);
    COR_ASSERT(count > 0 && count <= n->n_writes);
    uint64_t seq = n->writes[count - 1].seq;
    for (uint32_t i = 0; i < count; i++) {
        cluster_apply_write(n, &n->writes[i]);
        free(n->writes[i].entries);
    }
    n->n_writes -= count;
    memmove(n->writes, n->writes + count, n->n_writes * sizeof n->writes[0]);
    struct cor_raft_event ev = {.type = COR_RAFT_EV_PERSISTED, .persisted = {.seq = seq}};
    cluster_step(c, id, &ev, NULL);
}

/* Lose power: of the writes on their way a prefix survives. */
static inline void cluster_crash(struct cluster *c, cor_node_id id, uint32_t n_survive)
{
    struct cluster_node *n = cluster_node(c, id);
    COR_ASSERT(n->up && n_survive <= n->n_writes);
    for (uint32_t i = 0; i < n_survive; i++) {
        cluster_apply_write(n, &n->writes[i]);
    }
    cluster_drop_writes(n, 0);
    n->up = false;
}

static inline void cluster_peer_lost(struct cluster *c, cor_node_id id, cor_node_id peer)
{
    struct cor_raft_event ev = {.type = COR_RAFT_EV_PEER_LOST, .lost = {.peer = peer}};
    cluster_step(c, id, &ev, NULL);
}

static inline void cluster_read(struct cluster *c, cor_node_id id, bool lease)
{
    uint64_t read = ++c->n_reads;
    if (c->reads[read % CLUSTER_READS].open) {
        return; /* its host has given up on an older one of this number: none in these tests */
    }
    c->reads[read % CLUSTER_READS] = (struct cluster_read){c->n_committed, true};
    struct cor_raft_event ev = {.type = COR_RAFT_EV_READ, .read = {.id = read, .lease = lease}};
    cluster_step(c, id, &ev, NULL);
}

/* Propose @n entries of @size bytes; the status of the step is the answer. */
static inline enum cor_status cluster_propose(struct cluster *c, cor_node_id id, uint32_t n,
                                              uint32_t size)
{
    struct cor_raft_entry entries[CLUSTER_BATCH_MAX];
    COR_ASSERT(n <= CLUSTER_BATCH_MAX);
    for (uint32_t i = 0; i < n; i++) {
        entries[i] = (struct cor_raft_entry){0, COR_ENTRY_COMMAND, size};
    }
    struct cor_raft_event ev = {.type = COR_RAFT_EV_PROPOSE,
                                .propose = {.entries = entries, .n = n}};
    cluster_step(c, id, &ev, NULL);
    return c->status;
}

static inline cor_node_id cluster_leader(const struct cluster *c)
{
    cor_node_id leader = 0;
    uint64_t term = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct cluster_node *n = &c->nodes[i];
        if (n->up && n->info.role == COR_RAFT_LEADER && n->info.term >= term) {
            term = n->info.term;
            leader = n->info.self;
        }
    }
    return leader;
}

/* Do the next thing that is due before @until; false when nothing is. */
static inline bool cluster_next(struct cluster *c, uint64_t until)
{
    uint64_t at = until;
    uint32_t message = CLUSTER_MSGS_MAX;
    cor_node_id node = 0;
    bool persist = false;
    for (uint32_t i = 0; i < c->n_flying; i++) {
        if (c->messages[c->order[i]].at < at) {
            at = c->messages[c->order[i]].at;
            message = i;
        }
    }
    for (uint32_t i = 0; i < c->n; i++) {
        const struct cluster_node *n = &c->nodes[i];
        if (n->up && n->deadline < at) {
            at = n->deadline;
            node = i + 1;
            persist = false;
        }
        if (n->up && n->n_writes > 0 && n->writes[0].at < at) {
            at = n->writes[0].at;
            node = i + 1;
            persist = true;
        }
    }
    if (at >= until) {
        c->now = until;
        return false;
    }
    c->now = at > c->now ? at : c->now;
    if (node == 0) {
        COR_ASSERT(message < c->n_flying);
        cluster_deliver(c, message);
    } else if (persist) {
        struct cluster_node *n = cluster_node(c, node);
        cluster_persist(c, node, 1 + (uint32_t)prng_below(&c->rng, n->n_writes));
    } else {
        cluster_time(c, node);
    }
    return true;
}

static inline void cluster_run(struct cluster *c, uint64_t ns)
{
    uint64_t until = c->now + ns;
    while (cluster_next(c, until)) {
    }
}

/* Run until some node leads that is not behind in term; false when none does in @ns. */
static inline bool cluster_run_to_leader(struct cluster *c, uint64_t ns)
{
    uint64_t until = c->now + ns;
    while (cluster_leader(c) == 0) {
        if (!cluster_next(c, until)) {
            return false;
        }
    }
    return true;
}

#endif
