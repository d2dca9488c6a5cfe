/*
 * init.c - a core from its options and from what was found on disk.
 */
#include "raft/internal.h"

#include <string.h>

static bool is_sane_member(const struct cor_raft_config *c, uint32_t i)
{
    const struct cor_raft_member *m = &c->members[i];
    for (uint32_t j = 0; j < i; j++) {
        if (c->members[j].id == m->id) {
            return false;
        }
    }
    bool is_voter = m->kind == COR_MEMBER_VOTER && (m->in_old || m->in_new);
    return m->id != 0 && (is_voter || m->kind == COR_MEMBER_LEARNER);
}

static bool is_sane_config(const struct cor_raft_config *c)
{
    if (c == NULL || c->n == 0 || c->n > COR_RAFT_MEMBERS_MAX) {
        return false;
    }
    bool has_voter = false;
    for (uint32_t i = 0; i < c->n; i++) {
        if (!is_sane_member(c, i)) {
            return false;
        }
        has_voter =
            has_voter || (c->members[i].kind == COR_MEMBER_VOTER && c->members[i].in_new);
    }
    return has_voter;
}

static bool are_sane_runs(const struct cor_raft_recovered *f)
{
    uint64_t index = 0;
    uint64_t term = 0;
    for (size_t i = 0; i < f->n_runs; i++) {
        if (f->runs[i].first <= index || f->runs[i].term <= term) {
            return false;
        }
        index = f->runs[i].first;
        term = f->runs[i].term;
    }
    /* The prefix property of the write stream: no entry is newer than the term on disk. */
    return index <= f->last && term <= f->hard_state.term && (f->n_runs > 0 || f->last == 0);
}

static bool is_sane(const struct cor_raft_recovered *f)
{
    return f->first >= 1 && f->first <= f->last + 1 && f->last <= RAFT_INDEX_MAX &&
           f->applied <= f->last && f->applied + 1 >= f->first &&
           f->hard_state.term <= RAFT_TERM_MAX &&
           (f->hard_state.term > 0 || f->hard_state.vote == 0) && is_sane_config(f->config) &&
           (f->n_runs == 0 || f->runs != NULL) && are_sane_runs(f);
}

static void take_config(struct cor_raft *r, const struct cor_raft_config *c)
{
    r->config_index = c->index;
    r->n_peers = c->n;
    r->self_slot = RAFT_NO_SLOT;
    for (uint32_t i = 0; i < c->n; i++) {
        struct raft_peer *p = &r->peers[i];
        p->id = c->members[i].id;
        p->kind = c->members[i].kind;
        p->in_old = c->members[i].in_old;
        p->in_new = c->members[i].in_new;
        raft_peer_reset(r, p, 1);
        if (p->id == r->options.self) {
            r->self_slot = i;
        }
    }
}

static void take_runs(struct cor_raft *r, const struct cor_raft_recovered *f)
{
    size_t skip = f->n_runs > r->options.runs_max ? f->n_runs - r->options.runs_max : 0;
    for (size_t i = skip; i < f->n_runs; i++) {
        raft_runs(r)[r->n_runs++] = f->runs[i];
    }
    COR_ASSERT(r->n_runs <= r->options.runs_max);
}

static void lay_out(struct cor_raft *r, const struct raft_layout *l)
{
    r->size = l->size;
    r->runs_offset = l->runs;
    r->inflight_offset = l->inflight;
    r->writes_offset = l->writes;
    r->batches_offset = l->batches;
    r->reads_offset = l->reads;
    r->messages_offset = l->messages;
    r->results_offset = l->results;
}

enum cor_status cor_raft_init(void *memory, size_t size, const struct cor_raft_options *options,
                              const struct cor_raft_recovered *recovered, uint64_t now,
                              struct cor_raft **out)
{
    struct cor_raft_options o;
    if (memory == NULL || ((uintptr_t)memory & 15u) != 0 || options == NULL ||
        recovered == NULL || out == NULL || now > RAFT_TIME_MAX ||
        !raft_options_complete(options, &o) || !is_sane(recovered)) {
        return COR_EINVAL;
    }
    const struct raft_layout layout = raft_layout_of(&o);
    if (size < layout.size) {
        return COR_EINVAL;
    }
    memset(memory, 0, (size_t)layout.size);
    struct cor_raft *r = memory;
    lay_out(r, &layout);
    memcpy(&r->options, &o, sizeof o);
    r->now = now;
    r->prng.state = o.seed ^ (o.self * UINT64_C(0x9e3779b97f4a7c15));
    r->term = recovered->hard_state.term;
    r->vote = recovered->hard_state.vote;
    r->first = recovered->first;
    r->last = recovered->last;
    r->durable = recovered->last;
    r->commit = recovered->applied;
    r->applied = recovered->applied;
    r->role = COR_RAFT_FOLLOWER;
    take_runs(r, recovered);
    take_config(r, recovered->config);

    /* It may have acknowledged a lease just before it went down. */
    r->heard_at = raft_max(now, 1);
    raft_reset_election_timer(r);
    if (raft_is_alone(r)) {
        r->election_at = now; /* nobody else could lead, or hold a lease */
    }
    *out = r;
    return COR_OK;
}
