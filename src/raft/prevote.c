/*
 * prevote.c - would you vote for me? Dissertation 9.6.
 *
 * A pre-vote changes nothing at the voter: no term, no vote, no timer, no write. A refusal carries
 * the voter's term, and the asker adopts it: without that, a member whose term ran ahead while its
 * log stayed behind could neither win nor be outvoted, and a cluster that needs it would never
 * have a leader.
 */
#include "raft/internal.h"

void raft_on_pre_vote(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_PRE_VOTE);
    COR_ASSERT(m->from != r->options.self);
    bool granted =
        m->term > r->term && !raft_in_refusal_window(r) && raft_is_up_to_date(r, m->prev);
    struct cor_raft_message *reply = raft_send(r, COR_RAFT_MSG_PRE_VOTE_REPLY, m->from);
    reply->reject = !granted;
    if (granted) {
        reply->term = m->term; /* the term that was asked about; a refusal has ours */
    }
}

void raft_on_pre_vote_reply(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_PRE_VOTE_REPLY);
    if (m->reject && m->term > r->term) {
        bool campaigned = r->role == COR_RAFT_PRE_CANDIDATE;
        raft_become_follower(r, m->term, 0);
        if (campaigned) {
            raft_hasten_election(r); /* the answer was "not with that term": ask again soon */
        }
        return;
    }
    struct raft_peer *p = raft_peer_find(r, m->from);
    bool current = m->reject || m->term == r->term + 1;
    if (r->role != COR_RAFT_PRE_CANDIDATE || p == NULL || !current) {
        return;
    }
    if (p->vote == RAFT_VOTE_NONE) {
        p->vote = m->reject ? RAFT_VOTE_REFUSED : RAFT_VOTE_GRANTED;
    }
    if (raft_votes_won(r)) {
        raft_start_election(r);
        return;
    }
    raft_campaign_again(r);
}
