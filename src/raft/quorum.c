/*
 * quorum.c - majorities, of one configuration or of both halves of a joint one.
 *
 * Called by whoever counts: votes, matches, read rounds, leases. Learners count nowhere. Sizes may
 * be even: a quorum of n is n / 2 + 1. Dissertation 3.3, 4.3 and, for leases, 6.4.1.
 */
#include "raft/internal.h"

enum half {
    HALF_OLD = 1,
    HALF_NEW = 2
};

bool raft_is_voter(const struct raft_peer *p)
{
    return p->kind == COR_MEMBER_VOTER && (p->in_old || p->in_new);
}

static bool is_in_half(const struct raft_peer *p, enum half half)
{
    return p->kind == COR_MEMBER_VOTER && (half == HALF_OLD ? p->in_old : p->in_new) != 0;
}

static uint32_t half_size(const struct cor_raft *r, enum half half)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_peers; i++) {
        n += is_in_half(&r->peers[i], half) ? 1 : 0;
    }
    return n;
}

/* The value that n / 2 + 1 members of @half have reached; UINT64_MAX for a half without members. */
static uint64_t half_value(const struct cor_raft *r, const uint64_t *values, enum half half)
{
    uint64_t sorted[COR_RAFT_MEMBERS_MAX]; /* descending */
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_peers; i++) {
        if (!is_in_half(&r->peers[i], half)) {
            continue;
        }
        uint32_t at = n++;
        while (at > 0 && sorted[at - 1] < values[i]) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = values[i];
    }
    return n == 0 ? UINT64_MAX : sorted[n / 2];
}

uint64_t raft_quorum_value(const struct cor_raft *r, const uint64_t *values)
{
    COR_ASSERT(r->n_peers > 0 && r->n_peers <= COR_RAFT_MEMBERS_MAX);
    COR_ASSERT(half_size(r, HALF_NEW) > 0);
    return raft_min(half_value(r, values, HALF_OLD), half_value(r, values, HALF_NEW));
}

bool raft_votes_won(const struct cor_raft *r)
{
    uint64_t granted[COR_RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < r->n_peers; i++) {
        granted[i] = r->peers[i].vote == RAFT_VOTE_GRANTED;
    }
    return raft_quorum_value(r, granted) == 1;
}

bool raft_votes_lost(const struct cor_raft *r)
{
    uint64_t possible[COR_RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < r->n_peers; i++) {
        const struct raft_peer *p = &r->peers[i];
        possible[i] = p->vote == RAFT_VOTE_GRANTED || (p->vote == RAFT_VOTE_NONE && !p->lost);
    }
    return raft_quorum_value(r, possible) == 0;
}

bool raft_can_campaign(const struct cor_raft *r)
{
    return r->self_slot != RAFT_NO_SLOT && raft_is_voter(&r->peers[r->self_slot]);
}

bool raft_is_alone(const struct cor_raft *r)
{
    uint64_t self[COR_RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < r->n_peers; i++) {
        self[i] = i == r->self_slot;
    }
    return raft_quorum_value(r, self) == 1;
}

/* The leader's own log counts as far as it is durable, and not at all if it is not a voter. */
uint64_t raft_quorum_match(const struct cor_raft *r)
{
    uint64_t match[COR_RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < r->n_peers; i++) {
        match[i] = i == r->self_slot ? r->durable : r->peers[i].match;
    }
    return raft_quorum_value(r, match);
}

uint64_t raft_quorum_round(const struct cor_raft *r)
{
    uint64_t rounds[COR_RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < r->n_peers; i++) {
        rounds[i] = i == r->self_slot ? r->round : r->peers[i].round;
    }
    return raft_quorum_value(r, rounds);
}

uint64_t raft_quorum_heard_at(const struct cor_raft *r)
{
    COR_ASSERT(raft_is_leader(r));
    uint64_t heard[COR_RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < r->n_peers; i++) {
        heard[i] = i == r->self_slot ? COR_RAFT_NEVER
                                     : raft_max(r->peers[i].heard_at, r->leader_since);
    }
    return raft_quorum_value(r, heard);
}

uint64_t raft_lease_until(const struct cor_raft *r)
{
    if (r->options.no_lease || !raft_own_term_committed(r)) {
        return 0;
    }
    uint64_t from[COR_RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < r->n_peers; i++) {
        from[i] = i == r->self_slot ? COR_RAFT_NEVER : r->peers[i].lease_from;
    }
    uint64_t since = raft_quorum_value(r, from);
    if (since == 0 || since == COR_RAFT_NEVER) {
        return since; /* nobody acknowledged anything yet; or nobody else can be elected */
    }
    COR_ASSERT(since <= RAFT_TIME_MAX);
    return since + r->options.election_min / 1000 * r->options.lease_permille;
}
