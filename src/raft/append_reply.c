/*
 * append_reply.c - AppendEntries, what the leader learns from an answer. Dissertation, Figure 3.1
 * ("Rules for Servers", leaders), 3.5, 10.2.1.
 *
 * Answers may be late, doubled and out of order: match never goes back, next never falls to match.
 */
#include "raft/internal.h"

/* Find the place to probe next: ours at or before the follower's hint, with no higher term. */
static void back_off(struct cor_raft *r, struct raft_peer *p, const struct cor_raft_message *m)
{
    uint64_t at = raft_min(m->prev.index, r->last);
    if (m->prev.term != 0) {
        at = raft_log_floor(r, at, m->prev.term).index;
    }
    uint64_t next = raft_max(at, raft_max(p->match, m->received)) + 1;
    if (p->progress == COR_RAFT_PROBE && next >= p->next) {
        return; /* an answer to an earlier probe */
    }
    raft_peer_probe(p, raft_min(next, p->next));
    COR_ASSERT(p->next > p->match);
}

void raft_on_append_reply(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_APPEND_REPLY);
    COR_ASSERT(m->term == r->term);
    struct raft_peer *p = raft_peer_find(r, m->from);
    if (!raft_is_leader(r) || p == NULL) {
        return;
    }
    p->heard_at = r->now;
    p->lease_from = raft_max(p->lease_from, m->sent_at);
    raft_peer_report(r, p, m->match, m->received);
    if (m->reject) {
        back_off(r, p, m);
        return;
    }
    uint64_t has = raft_max(p->match, m->received);
    if (p->progress == COR_RAFT_PIPELINE) {
        p->paused = 0;
        p->next = raft_max(p->next, has + 1);
    } else if (has >= p->probe_goal && has + 1 >= r->first) {
        p->progress = COR_RAFT_PIPELINE;
        p->paused = 0;
        p->next = has + 1;
    }
    COR_ASSERT(p->next > p->match);
}
