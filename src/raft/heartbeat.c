/*
 * heartbeat.c - heartbeats, both halves: they keep the leader in office, carry read rounds
 * (6.4), tell the commit index, and show what got lost.
 *
 * A heartbeat says nothing about where the logs agree, so it can commit no more than an append
 * of the same term has verified. It travels apart from appends and may overtake them. An answer
 * echoes the leader's clock: its lease begins when the question left.
 */
#include "raft/internal.h"

void raft_send_heartbeats(struct cor_raft *r)
{
    COR_ASSERT(raft_is_leader(r));
    r->heartbeat_at = r->now + r->options.heartbeat;
    r->round += raft_wants_read_round(r) ? 1 : 0; /* for all that arrived since the last one */
    for (uint32_t i = 0; i < r->n_peers; i++) {
        struct raft_peer *p = &r->peers[i];
        if (raft_is_self(r, p)) {
            continue;
        }
        struct cor_raft_message *m = raft_send(r, COR_RAFT_MSG_HEARTBEAT, p->id);
        m->commit = raft_min(r->commit, p->match);
        m->sent_at = raft_max(r->now, 1); /* 0 would ask for no answer */
        m->context = r->round;
        p->commit_sent = raft_max(p->commit_sent, m->commit);
    }
}

void raft_on_heartbeat(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_HEARTBEAT);
    COR_ASSERT(m->term == r->term);
    raft_heard_leader(r, m->from, m->sent_at);
    r->commit = raft_max(r->commit, raft_min(m->commit, r->verified));
    COR_ASSERT(r->commit <= r->last);
    if (m->sent_at != 0) {
        r->heartbeat_parked = 1;
        r->heartbeat_contexts = raft_max(r->heartbeat_contexts, m->context);
    }
}

/* Nothing of what is on its way has arrived for too long: it was lost without a word. */
static bool has_lost_appends(const struct cor_raft *r, const struct raft_peer *p,
                             uint64_t received)
{
    return p->n_inflight > 0 && received + 1 < p->next &&
           r->now >= p->progress_at + r->options.election_min;
}

void raft_on_heartbeat_reply(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_HEARTBEAT_REPLY);
    COR_ASSERT(m->term == r->term);
    struct raft_peer *p = raft_peer_find(r, m->from);
    if (!raft_is_leader(r) || p == NULL || m->reject) {
        return;
    }
    p->heard_at = r->now;
    p->lease_from = raft_max(p->lease_from, m->sent_at);
    p->round = raft_max(p->round, m->context);
    raft_peer_report(r, p, m->match, m->received);
    if (p->progress == COR_RAFT_PIPELINE) {
        p->paused = 0;
        if (has_lost_appends(r, p, m->received)) {
            raft_peer_probe(p, m->received + 1);
        }
        return;
    }
    if (p->progress == COR_RAFT_SNAPSHOT && p->match + 1 >= r->first) {
        raft_peer_probe(p, p->match + 1);
    }
    /* A probe that got no answer for so long is repeated. */
    if (p->probe_at == 0 || r->now >= p->probe_at + r->options.election_min) {
        p->paused = 0;
    }
}
