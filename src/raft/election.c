/*
 * election.c - roles, election timers, campaigns.
 *
 *                 timeout                 a quorum would vote          term durable, votes
 *     FOLLOWER ------------> PRE_CANDIDATE ---------------> CANDIDATE ---------------> LEADER
 *         ^                        |                            |                         |
 *         +--- a higher term; the leader of this term is heard; no quorum is heard -------+
 *
 * A pre-candidate has not touched its term, so a member that cannot win does not disturb those who
 * can (dissertation 9.6). A candidate's requests leave only when its new term is on disk:
 * otherwise a crash could make it campaign twice in one term, and a late vote of the first time
 * would count in the second. Voters, and the leader itself, turn away candidates for
 * election_min after they heard a leader (4.2.3): leases rest on that. Called by step.c and by
 * the files of the messages.
 */
#include "raft/internal.h"

void raft_reset_election_timer(struct cor_raft *r)
{
    const struct cor_raft_options *o = &r->options;
    COR_ASSERT(o->election_min < o->election_max);
    r->timeout = o->election_min + prng_below(&r->prng, o->election_max - o->election_min);
    r->election_at = r->now + r->timeout;
    COR_ASSERT(r->timeout >= o->election_min && r->timeout < o->election_max);
}

static void forget_parked(struct cor_raft *r)
{
    r->vote_to = 0;
    r->vote_granted = 0;
    r->parked = RAFT_PARKED_NONE;
    r->reject_at = (struct cor_logid){0, 0};
    r->heartbeat_parked = 0;
    r->heartbeat_contexts = 0;
}

/* Terms only grow; vote and everything this term's leader told us go with the old one. */
static void enter_term(struct cor_raft *r, uint64_t term, cor_node_id vote)
{
    COR_ASSERT(term > r->term && term <= RAFT_TERM_MAX);
    r->term = term;
    r->vote = vote;
    r->verified = 0;
    r->acked = 0;
    r->sent_at = 0;
    forget_parked(r);
    raft_write_hard_state(r);
}

static void clear_votes(struct cor_raft *r)
{
    for (uint32_t i = 0; i < r->n_peers; i++) {
        r->peers[i].vote = RAFT_VOTE_NONE;
    }
    r->requests_sent = 0;
}

/* Leaving an office ends what belongs to it. */
static void resign(struct cor_raft *r)
{
    raft_fail_reads(r);
    raft_batches_clear(r);
    clear_votes(r);
    for (uint32_t i = 0; i < r->n_peers; i++) {
        raft_peer_reset(r, &r->peers[i], 1);
    }
    r->heartbeat_at = 0;
    r->leader_since = 0;
    r->term_start = 0;
    r->heard_at = 0; /* it heard only itself: no window keeps it from helping another */
}

void raft_become_follower(struct cor_raft *r, uint64_t term, cor_node_id leader)
{
    COR_ASSERT(term >= r->term);
    COR_ASSERT(leader != r->options.self);
    bool was_follower = r->role == COR_RAFT_FOLLOWER;
    if (raft_is_leader(r)) {
        resign(r);
    } else if (!was_follower) {
        clear_votes(r);
    } else if (leader != r->leader) {
        raft_fail_reads(r); /* they were sent to another leader */
        forget_parked(r);
    }
    if (term > r->term) {
        enter_term(r, term, 0);
    }
    r->role = COR_RAFT_FOLLOWER;
    r->leader = leader;
    if (!was_follower) {
        raft_reset_election_timer(r);
    }
    COR_ASSERT(r->requests_sent == 0);
}

void raft_heard_leader(struct cor_raft *r, cor_node_id leader, uint64_t sent_at)
{
    COR_ASSERT(!raft_is_leader(r)); /* Election Safety: this term has one leader, not two */
    COR_ASSERT(r->leader == 0 || r->leader == leader);
    raft_become_follower(r, r->term, leader);
    r->heard_at = raft_max(r->now, 1);
    r->election_at = r->now + r->timeout;
    r->hasty = 0;
    r->sent_at = raft_max(r->sent_at, sent_at);
}

bool raft_in_refusal_window(const struct cor_raft *r)
{
    uint64_t heard_at = raft_is_leader(r) ? raft_quorum_heard_at(r) : r->heard_at;
    COR_ASSERT(heard_at == COR_RAFT_NEVER || heard_at <= raft_max(r->now, 1));
    return heard_at == COR_RAFT_NEVER ||
           (heard_at != 0 && r->now < heard_at + r->options.election_min);
}

bool raft_is_up_to_date(const struct cor_raft *r, struct cor_logid candidate)
{
    struct cor_logid own = raft_log_last(r);
    COR_ASSERT(own.term <= r->term);
    return candidate.term > own.term ||
           (candidate.term == own.term && candidate.index >= own.index);
}

void raft_hasten_election(struct cor_raft *r)
{
    COR_ASSERT(!raft_is_leader(r));
    uint64_t window = r->heard_at == 0 ? 0 : r->heard_at + r->options.election_min;
    uint64_t spread = r->options.election_max - r->options.election_min;
    uint64_t jitter = prng_below(&r->prng, raft_min(spread, RAFT_LOST_JITTER));
    r->election_at = raft_min(r->election_at, raft_max(r->now, window) + jitter);
    COR_ASSERT(jitter < RAFT_LOST_JITTER);
}

void raft_campaign_again(struct cor_raft *r)
{
    COR_ASSERT(r->role == COR_RAFT_PRE_CANDIDATE || r->role == COR_RAFT_CANDIDATE);
    if (r->hasty > 0 && raft_votes_lost(r)) {
        r->hasty--;
        raft_hasten_election(r);
    }
    COR_ASSERT(r->hasty <= RAFT_HASTY_MAX);
}

static void request_votes(struct cor_raft *r, uint8_t type, uint64_t term)
{
    struct cor_logid last = raft_log_last(r);
    for (uint32_t i = 0; i < r->n_peers; i++) {
        if (i != r->self_slot && raft_is_voter(&r->peers[i])) {
            struct cor_raft_message *m = raft_send(r, type, r->peers[i].id);
            m->term = term;
            m->prev = last;
        }
    }
}

static void start_pre_vote(struct cor_raft *r)
{
    COR_ASSERT(raft_can_campaign(r));
    COR_ASSERT(!raft_is_leader(r));
    raft_fail_reads(r);
    clear_votes(r);
    forget_parked(r);
    r->role = COR_RAFT_PRE_CANDIDATE;
    r->leader = 0;
    raft_reset_election_timer(r);
    r->peers[r->self_slot].vote = RAFT_VOTE_GRANTED;
    if (raft_votes_won(r)) {
        raft_start_election(r);
        return;
    }
    request_votes(r, COR_RAFT_MSG_PRE_VOTE, r->term + 1);
}

void raft_start_election(struct cor_raft *r)
{
    COR_ASSERT(r->role == COR_RAFT_PRE_CANDIDATE);
    COR_ASSERT(raft_can_campaign(r));
    clear_votes(r);
    r->role = COR_RAFT_CANDIDATE;
    enter_term(r, r->term + 1, r->options.self);
    raft_reset_election_timer(r);
}

void raft_send_vote_requests(struct cor_raft *r)
{
    if (r->role != COR_RAFT_CANDIDATE || r->requests_sent || !raft_is_hard_state_durable(r)) {
        return;
    }
    COR_ASSERT(r->vote == r->options.self);
    COR_ASSERT(r->durable ==
               r->last); /* older in the same stream: the request vouches for it */
    r->requests_sent = 1;
    r->peers[r->self_slot].vote = RAFT_VOTE_GRANTED;
    if (raft_votes_won(r)) {
        raft_become_leader(r);
        return;
    }
    request_votes(r, COR_RAFT_MSG_VOTE, r->term);
}

void raft_on_election_timeout(struct cor_raft *r)
{
    COR_ASSERT(raft_can_campaign(r));
    COR_ASSERT(r->now >= r->election_at);
    bool waits_for_disk = r->role == COR_RAFT_CANDIDATE && !r->requests_sent;
    if (waits_for_disk || r->term + 1 > RAFT_TERM_MAX) {
        raft_reset_election_timer(r);
        return;
    }
    start_pre_vote(r);
}

void raft_become_leader(struct cor_raft *r)
{
    COR_ASSERT(r->role == COR_RAFT_CANDIDATE);
    COR_ASSERT(raft_is_hard_state_durable(r) && r->vote == r->options.self);
    clear_votes(r);
    r->role = COR_RAFT_LEADER;
    r->leader = r->options.self;
    r->leader_since = r->now;
    r->hasty = 0;
    for (uint32_t i = 0; i < r->n_peers; i++) {
        raft_peer_reset(r, &r->peers[i], r->last + 1);
    }
    raft_send_heartbeats(r);

    /* Only an entry of the own term can be counted to a commit (3.6.2, 6.4): make one. */
    raft_log_extend(r, r->term, 1);
    r->term_start = r->last;
    raft_write_entries(r, r->last, 1, r->term);
}
