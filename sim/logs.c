/* logs.c - see logs.h. */
#include "sim/logs.h"

#include "base/assert.h"
#include "wal/wal.h"

#include <inttypes.h>
#include <stdlib.h>

struct reading {
    struct judge *judge;
    unsigned node;
    struct log_copy *log;
};

void log_copy_deinit(struct log_copy *l)
{
    free(l->entries);
    *l = (struct log_copy){0};
}

static void add_entry(struct reading *r, const struct wal_entry *e)
{
    struct log_copy *l = r->log;
    if (e->index == 0 || e->index > l->n + 1) {
        judge_fail(r->judge, "n%u: its log goes from entry %zu to %" PRIu64, r->node, l->n,
                   e->index);
        return;
    }
    l->n = (size_t)e->index - 1;
    if (l->n == l->room) {
        l->room = l->room == 0 ? 256 : 2 * l->room;
        l->entries = realloc(l->entries, l->room * sizeof(struct log_entry));
        COR_ASSERT(l->entries != NULL);
    }
    uint64_t before = l->n == 0 ? 0 : l->entries[l->n - 1].term;
    l->entries[l->n++] = (struct log_entry){e->term, e->checksum};
    judge_entry(r->judge, r->node,
                &(struct judge_entry){e->index, e->term, e->checksum, before});
}

static void on_finding(void *arg, const struct wal_finding *f)
{
    struct reading *r = arg;
    switch (f->kind) {
    case WAL_FOUND_ENTRY:
        add_entry(r, &f->entry);
        return;
    case WAL_FOUND_TRUNCATE:
        if (f->index <= r->log->n) {
            r->log->n = (size_t)f->index - 1;
        }
        return;
    case WAL_FOUND_HARD_STATE:
        judge_vote(r->judge, r->node, f->hard_state.term, f->hard_state.vote);
        return;
    case WAL_FOUND_ROT:
        judge_fail(r->judge, "n%u: rot in %s at %" PRIu64 ": %s", r->node, f->file, f->offset,
                   f->text);
        return;
    case WAL_FOUND_SEGMENT:
    case WAL_FOUND_IDLE_MARK:
    case WAL_FOUND_TORN:
        return;
    }
}

void log_copy_read(struct cluster *c, unsigned node, struct sim_disk *disk,
                   struct log_copy *out)
{
    struct reading r = {&c->judge, node, out};
    struct cor_error err = {0};
    out->n = 0;
    enum cor_status st = wal_walk(&disk->fs, on_finding, &r, &err);
    if (st != COR_OK) {
        judge_fail(&c->judge, "n%u: its log cannot be read: %s: %s", node, cor_status_text(st),
                   err.text);
    }
}

/* The log as a power cut at this moment would leave it at worst. */
static void read_durable(struct cluster *c, unsigned node, struct log_copy *out)
{
    struct sim_disk *copy = sim_disk_clone(c->nodes[node].disk);
    copy->fail_reads = copy->fail_writes = copy->fail_syncs = copy->read_only = false;
    sim_disk_crash(copy, (struct sim_fate){.kind = SIM_FATE_LOST});
    log_copy_read(c, node, copy, out);
    sim_disk_free(copy);
}

static bool holds(const struct log_copy *l, size_t i, uint64_t term)
{
    return i < l->n && l->entries[i].term == term;
}

void logs_check(struct cluster *c)
{
    struct log_copy logs[CLUSTER_NODES_MAX + 1] = {{0}};
    unsigned n_wiped = 0;
    c->n_disk_checks++;
    for (unsigned i = 1; i <= c->n; i++) {
        read_durable(c, i, &logs[i]);
        n_wiped += c->nodes[i].wiped;
    }
    for (size_t k = 0; k < c->judge.n_committed && !c->judge.failed; k++) {
        unsigned n = n_wiped;
        for (unsigned i = 1; i <= c->n; i++) {
            n += !c->nodes[i].wiped && holds(&logs[i], k, c->judge.terms[k]);
        }
        judge_durable(&c->judge, k + 1, n, c->n / 2 + 1);
    }
    for (unsigned i = 1; i <= c->n; i++) {
        log_copy_deinit(&logs[i]);
    }
}

/* How far @peer has come in the eyes of the leader; 0: not known. */
static uint64_t match_of(const struct cluster *c, unsigned leader, unsigned peer)
{
    struct node_status status;
    node_get_status(c->nodes[leader].node, &status);
    for (size_t i = 0; i < status.n_peers; i++) {
        const char *name = status.peers[i].name;
        if (name[0] == 'n' && name[1] == (char)('0' + peer) && name[2] == '\0') {
            return status.peers[i].match;
        }
    }
    return 0;
}

void logs_check_node(struct cluster *c, unsigned node)
{
    struct log_copy log = {0};
    log_copy_read(c, node, c->nodes[node].disk, &log);
    unsigned leader = cluster_leader(c);
    if (leader != 0 && leader != node && !c->nodes[node].wiped &&
        c->judge.last[node].term == c->judge.last[leader].term) {
        judge_match(&c->judge, leader, node, match_of(c, leader, node), log.n);
    }
    log_copy_deinit(&log);
}
