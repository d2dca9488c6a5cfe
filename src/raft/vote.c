/*
 * vote.c - RequestVote: both halves. Dissertation, Figure 3.1, and 3.4, 3.6.1, 4.2.3.
 *
 * The voter's answer is parked until its term and vote are durable (output.c sends it).
 */
#include "raft/internal.h"

/* At most one answer is parked. A refusal never displaces the vote that caused it: that candidate
 * needs its answer, the other one will time out. */
static void park_answer(struct cor_raft *r, cor_node_id candidate, bool granted)
{
    COR_ASSERT_IMPLIES(granted, r->vote == candidate);
    if (r->vote_to != 0 && r->vote_to != candidate && !granted) {
        return;
    }
    r->vote_to = candidate;
    r->vote_granted = granted;
}

void raft_on_vote(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_VOTE);
    COR_ASSERT(m->term >= r->term);
    if (!m->force && raft_in_refusal_window(r)) {
        return; /* 4.2.3: neither vote nor term. No answer: it would be of a lower term. */
    }
    if (m->term > r->term) {
        raft_become_follower(r, m->term, 0);
    }
    /* 3.4: one vote per term, first come, first served. A candidate and a leader voted for
     * themselves. */
    bool free = r->vote == 0 || r->vote == m->from;
    bool granted = free && raft_is_up_to_date(r, m->prev);
    if (granted) {
        raft_become_follower(r, r->term, r->leader); /* a pre-candidate makes way */
        raft_reset_election_timer(r);
        if (r->vote == 0) {
            r->vote = m->from;
            raft_write_hard_state(r);
        }
    }
    park_answer(r, m->from, granted);
    COR_ASSERT(r->term == m->term);
}

void raft_on_vote_reply(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_VOTE_REPLY);
    COR_ASSERT(m->term == r->term);
    struct raft_peer *p = raft_peer_find(r, m->from);
    if (r->role != COR_RAFT_CANDIDATE || !r->requests_sent || p == NULL) {
        return;
    }
    if (p->vote ==
        RAFT_VOTE_NONE) { /* a doubled answer counts once, and cannot be taken back */
        p->vote = m->reject ? RAFT_VOTE_REFUSED : RAFT_VOTE_GRANTED;
    }
    if (raft_votes_won(r)) {
        raft_become_leader(r);
        return;
    }
    raft_campaign_again(r);
}
