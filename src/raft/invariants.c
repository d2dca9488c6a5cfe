/*
 * invariants.c - what must hold of one core after every step, and between two steps.
 *
 * Called by tests, fuzzers and the simulator through cor_raft_check(). Each line is a sentence
 * of the dissertation (Figure 3.2 as far as one server can see it) or of a comment in
 * internal.h. Kept apart from the code it checks, so that one cannot be "fixed" to suit the
 * other in the same hunk.
 */
#include "raft/internal.h"

static void check_log(const struct cor_raft *r)
{
    const struct cor_raft_run *runs = raft_runs_view(r);
    COR_ASSERT(r->first >= 1 && r->first <= r->last + 1);
    COR_ASSERT(r->applied <= r->commit);
    COR_ASSERT(r->commit <= r->last);
    COR_ASSERT(r->durable <= r->last);
    COR_ASSERT(r->n_runs <= r->options.runs_max);
    COR_ASSERT_IMPLIES(r->last > 0, r->n_runs > 0);
    for (uint32_t i = 0; i < r->n_runs; i++) {
        /* Terms rise along the log, and none is from the future. */
        COR_ASSERT(runs[i].first >= 1 && runs[i].first <= r->last);
        COR_ASSERT(runs[i].term >= 1 && runs[i].term <= r->term);
        COR_ASSERT_IMPLIES(i > 0, runs[i].first > runs[i - 1].first);
        COR_ASSERT_IMPLIES(i > 0, runs[i].term > runs[i - 1].term);
    }
}

static void check_writes(const struct cor_raft *r)
{
    COR_ASSERT(r->durable_seq <= r->seq);
    COR_ASSERT(r->hard_seq <= r->seq);
    COR_ASSERT(r->n_writes <= r->options.writes_max);
    uint64_t seq = r->durable_seq;
    for (uint32_t i = 0; i < r->n_writes; i++) {
        const struct raft_write *w =
            &raft_writes_view(r)[(r->writes_head + i) % r->options.writes_max];
        COR_ASSERT(w->seq > seq && w->seq <= r->seq);
        COR_ASSERT(w->last <= r->last);
        seq = w->seq;
    }
    /* Everything is durable or on its way to the disk. */
    uint32_t newest =
        (r->writes_head + r->n_writes + r->options.writes_max - 1) % r->options.writes_max;
    COR_ASSERT_IMPLIES(r->n_writes == 0, r->durable == r->last);
    COR_ASSERT_IMPLIES(r->n_writes > 0, raft_writes_view(r)[newest].last == r->last);
}

static void check_follower(const struct cor_raft *r)
{
    COR_ASSERT(r->leader != r->options.self);
    COR_ASSERT(r->n_batches == 0 && r->uncommitted_bytes == 0);
    COR_ASSERT_IMPLIES(r->role != COR_RAFT_FOLLOWER, r->leader == 0);
    COR_ASSERT_IMPLIES(r->role != COR_RAFT_FOLLOWER, raft_can_campaign(r));
    COR_ASSERT_IMPLIES(r->role == COR_RAFT_CANDIDATE, r->vote == r->options.self);
    COR_ASSERT_IMPLIES(r->requests_sent, r->role == COR_RAFT_CANDIDATE);
    COR_ASSERT_IMPLIES(r->parked != RAFT_PARKED_NONE || r->heartbeat_parked,
                       r->role == COR_RAFT_FOLLOWER && r->leader != 0);
    COR_ASSERT_IMPLIES(r->vote_granted, r->vote_to != 0 && r->vote == r->vote_to);
    COR_ASSERT(r->verified <= r->last);
    COR_ASSERT(r->acked <= r->verified);
}

static void check_peer(const struct cor_raft *r, const struct raft_peer *p, uint32_t slot)
{
    COR_ASSERT(p->match <= r->last);
    COR_ASSERT(p->next > p->match && p->next <= r->last + 1);
    COR_ASSERT(p->n_inflight <= r->options.inflight_messages_max);
    COR_ASSERT_IMPLIES(p->progress != COR_RAFT_PIPELINE, p->n_inflight == 0);
    uint64_t bytes = 0;
    uint64_t last = p->match;
    for (uint32_t i = 0; i < p->n_inflight; i++) {
        const uint32_t slots = r->options.inflight_messages_max;
        const struct raft_inflight *f =
            &raft_inflights_view(r)[(size_t)slot * slots + (p->inflight_head + i) % slots];
        COR_ASSERT(f->last > last && f->first <= f->last);
        last = f->last;
        bytes += f->bytes;
    }
    COR_ASSERT(bytes == p->inflight_bytes);
    COR_ASSERT(last < p->next); /* the peer may have said that it holds more */
}

static void check_leader(const struct cor_raft *r)
{
    COR_ASSERT(r->leader == r->options.self);
    COR_ASSERT(r->vote == r->options.self);
    COR_ASSERT(raft_can_campaign(r));
    COR_ASSERT(raft_is_hard_state_durable(r));
    COR_ASSERT(r->term_start <= r->last);
    COR_ASSERT(raft_log_last(r).term == r->term);
    COR_ASSERT(r->vote_to == 0 && r->parked == RAFT_PARKED_NONE && !r->heartbeat_parked);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < r->n_batches; i++) {
        const struct raft_batch *b =
            &raft_batches_view(r)[(r->batches_head + i) % r->options.writes_max];
        COR_ASSERT(b->last > r->commit && b->last <= r->last);
        bytes += b->bytes;
    }
    COR_ASSERT(bytes == r->uncommitted_bytes);
    for (uint32_t i = 0; i < r->n_peers; i++) {
        if (i != r->self_slot) {
            check_peer(r, &r->peers[i], i);
            COR_ASSERT(r->peers[i].round <= r->round);
        }
    }
    /* Nothing of an own term that a quorum has stays uncommitted. */
    COR_ASSERT_IMPLIES(raft_quorum_match(r) >= r->term_start,
                       r->commit >= raft_quorum_match(r));
}

static void check_reads(const struct cor_raft *r)
{
    COR_ASSERT(r->n_reads <= r->options.reads_max);
    uint64_t since = 0;
    for (uint32_t i = 0; i < r->n_reads; i++) {
        const struct raft_read *read =
            &raft_reads_view(r)[(r->reads_head + i) % r->options.reads_max];
        COR_ASSERT(read->since >= since && read->since <= r->now);
        COR_ASSERT(read->state >= RAFT_READ_WAITING && read->state <= RAFT_READ_DONE);
        since = read->since;
    }
}

static void check_change(const struct cor_raft *r, const struct cor_raft *was)
{
    COR_ASSERT(r->now >= was->now);
    COR_ASSERT(r->term >= was->term);       /* 3.3: terms only grow */
    COR_ASSERT(r->commit >= was->commit);   /* Figure 3.1: increases monotonically */
    COR_ASSERT(r->applied >= was->applied); /* likewise */
    COR_ASSERT(r->durable_seq >= was->durable_seq);
    COR_ASSERT(r->round >= was->round);
    COR_ASSERT(r->seq <= was->seq + 1); /* one write in a step */
    /* Figure 3.1: a term or vote that changed is written. */
    COR_ASSERT_IMPLIES(r->term != was->term || r->vote != was->vote,
                       r->hard_seq == r->seq && r->seq == was->seq + 1);
    if (r->term == was->term) {
        /* 3.4: one vote per term. */
        COR_ASSERT_IMPLIES(was->vote != 0, r->vote == was->vote);
        /* Only a candidate becomes leader. (A leader may step down within its term: 6.2.) */
        COR_ASSERT_IMPLIES(raft_is_leader(r), was->role >= COR_RAFT_CANDIDATE);
        COR_ASSERT_IMPLIES(was->leader != 0 && r->leader != 0, r->leader == was->leader);
        COR_ASSERT(r->verified >= was->verified);
    }
    if (raft_is_leader(r) && raft_is_leader(was)) {
        COR_ASSERT(r->last >= was->last); /* Leader Append-Only (Figure 3.2) */
        COR_ASSERT(r->durable >= was->durable);
        for (uint32_t i = 0; i < r->n_peers; i++) {
            COR_ASSERT(r->peers[i].match >= was->peers[i].match);
        }
    }
    /* Leader Completeness: what was committed keeps its term. */
    uint64_t old_term;
    uint64_t new_term;
    if (raft_log_term(was, was->commit, &old_term) &&
        raft_log_term(r, was->commit, &new_term)) {
        COR_ASSERT(old_term == new_term);
    }
}

void cor_raft_check(const struct cor_raft *r, const struct cor_raft *before)
{
    COR_ASSERT(r != NULL && r->role >= COR_RAFT_FOLLOWER && r->role <= COR_RAFT_LEADER);
    COR_ASSERT_IMPLIES(r->term == 0, r->vote == 0 && r->last == 0);
    check_log(r);
    check_writes(r);
    check_reads(r);
    if (raft_is_leader(r)) {
        check_leader(r);
    } else {
        check_follower(r);
    }
    if (before != NULL) {
        check_change(r, before);
    }
}
