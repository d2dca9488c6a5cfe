/*
 * output.c - what leaves the core in a step: messages, answers to reads, parked answers.
 *
 * Dissertation, Figure 3.1: state is updated on stable storage before responding. So answers that
 * speak for our term, vote or log are parked, at most one of each kind, and leave here from the
 * step that finds them durable. Acknowledgements are cumulative: one stands for all before it.
 */
#include "raft/internal.h"

#include <string.h>

struct cor_raft_message *raft_send(struct cor_raft *r, uint8_t type, cor_node_id to)
{
    COR_ASSERT(r->n_messages < RAFT_MESSAGES_MAX);
    COR_ASSERT(to != 0 && to != r->options.self);
    struct cor_raft_message *m = &raft_messages(r)[r->n_messages++];
    memset(m, 0, sizeof *m);
    m->type = type;
    m->from = r->options.self;
    m->to = to;
    m->term = r->term;
    return m;
}

void raft_send_refusal(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->term < r->term);
    if (!raft_is_hard_state_durable(r)) {
        return; /* it will ask again */
    }
    uint8_t type = m->type == COR_RAFT_MSG_APPEND      ? COR_RAFT_MSG_APPEND_REPLY
                   : m->type == COR_RAFT_MSG_HEARTBEAT ? COR_RAFT_MSG_HEARTBEAT_REPLY
                                                       : COR_RAFT_MSG_VOTE_REPLY;
    raft_send(r, type, m->from)->reject = true;
}

void raft_add_result(struct cor_raft *r, uint64_t id, uint64_t index, enum cor_status status)
{
    COR_ASSERT(r->n_results <= r->options.reads_max); /* there is room for one more than wait */
    COR_ASSERT_IMPLIES(status == COR_OK, r->role == COR_RAFT_FOLLOWER || index <= r->commit);
    raft_results(r)[r->n_results++] = (struct cor_raft_read_result){id, index, status};
}

static void answer_leader(struct cor_raft *r, struct cor_raft_message *m)
{
    COR_ASSERT(r->role == COR_RAFT_FOLLOWER && r->leader != 0);
    m->match = raft_min(r->verified, r->durable);
    m->received = r->verified;
    m->sent_at = r->sent_at;
    r->acked = raft_max(r->acked, m->match);
}

static void send_append_reply(struct cor_raft *r)
{
    if (r->parked == RAFT_PARKED_REJECT) {
        struct cor_raft_message *m = raft_send(r, COR_RAFT_MSG_APPEND_REPLY, r->leader);
        m->reject = true;
        m->prev = r->reject_at;
        answer_leader(r, m);
        r->parked = RAFT_PARKED_NONE;
        r->reject_at = (struct cor_logid){0, 0};
        return;
    }
    bool all_durable = r->verified <= r->durable;
    if (all_durable || r->durable > r->acked) {
        answer_leader(r, raft_send(r, COR_RAFT_MSG_APPEND_REPLY, r->leader));
    }
    if (all_durable) {
        r->parked = RAFT_PARKED_NONE;
    }
}

void raft_send_parked(struct cor_raft *r)
{
    if (!raft_is_hard_state_durable(r)) {
        return;
    }
    if (r->vote_to != 0) {
        COR_ASSERT_IMPLIES(r->vote_granted, r->vote == r->vote_to);
        raft_send(r, COR_RAFT_MSG_VOTE_REPLY, r->vote_to)->reject = !r->vote_granted;
        r->vote_to = 0;
        r->vote_granted = 0;
    }
    if (r->heartbeat_parked) {
        struct cor_raft_message *m = raft_send(r, COR_RAFT_MSG_HEARTBEAT_REPLY, r->leader);
        m->context = r->heartbeat_contexts;
        answer_leader(r, m);
        r->heartbeat_parked = 0;
    }
    if (r->parked != RAFT_PARKED_NONE) {
        send_append_reply(r);
    }
}
