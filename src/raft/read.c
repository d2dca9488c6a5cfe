/*
 * read.c - linearizable reads without the log: ReadIndex and leases. Dissertation 6.4.
 *
 * The leader notes its commit index, makes sure that it still leads, and answers with that
 * index. To make sure it sends a *round*: heartbeats with a number of its own making, which a
 * quorum must echo. (Never an id of the asker: a repeated id and a doubled echo have made other
 * implementations answer from the past.) A read counts only echoes of rounds that were sent
 * after it arrived. One round is out at a time; reads that arrive meanwhile share the next one.
 * Under a valid lease no round is needed. In either case an entry of the leader's own term must
 * be committed first: before, it does not know how far the log is.
 *
 * A follower passes a read on and keeps it in line, so that each read gets exactly one result.
 */
#include "raft/internal.h"

static bool has_valid_lease(const struct cor_raft *r)
{
    uint64_t until = raft_lease_until(r);
    return until != 0 && r->now < until;
}

/* Put a read in line; false when the line is full. */
static bool enqueue(struct cor_raft *r, uint64_t id, cor_node_id from)
{
    if (r->n_reads == r->options.reads_max) {
        return false;
    }
    struct raft_read *read = raft_read_at(r, r->n_reads);
    *read = (struct raft_read){.id = id,
                               .from = from,
                               .index = raft_own_term_committed(r) ? r->commit : 0,
                               .round = r->round + 1,
                               .since = r->now,
                               .state = RAFT_READ_WAITING};
    r->n_reads++;
    return true;
}

void raft_on_read_event(struct cor_raft *r, const struct cor_raft_event *ev)
{
    uint64_t id = ev->read.id;
    if (raft_is_leader(r)) {
        if (ev->read.lease && has_valid_lease(r)) {
            raft_add_result(r, id, r->commit, COR_OK);
        } else if (!enqueue(r, id, r->options.self)) {
            raft_add_result(r, id, 0, COR_EBUSY);
        }
        return;
    }
    const struct raft_peer *leader = raft_peer_find(r, r->leader);
    if (leader == NULL || leader->lost) {
        raft_add_result(r, id, 0, COR_ENOLEADER);
        return;
    }
    COR_ASSERT(r->role == COR_RAFT_FOLLOWER);
    if (!enqueue(r, id, r->options.self)) {
        raft_add_result(r, id, 0, COR_EBUSY);
        return;
    }
    struct cor_raft_message *m = raft_send(r, COR_RAFT_MSG_READ, r->leader);
    m->context = id;
    m->lease = ev->read.lease;
}

static void reply(struct cor_raft *r, cor_node_id to, uint64_t id, uint64_t index)
{
    struct cor_raft_message *m = raft_send(r, COR_RAFT_MSG_READ_REPLY, to);
    m->context = id;
    m->index = index;
    m->reject = index == 0;
    r->n_read_replies++;
}

void raft_on_read(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_READ);
    COR_ASSERT(m->from != r->options.self);
    if (raft_is_leader(r) && m->term == r->term && raft_peer_find(r, m->from) != NULL) {
        if (m->lease && has_valid_lease(r)) {
            reply(r, m->from, m->context, r->commit);
            return;
        }
        if (enqueue(r, m->context, m->from)) {
            return;
        }
    }
    reply(r, m->from, m->context, 0);
}

void raft_on_read_reply(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_READ_REPLY);
    COR_ASSERT(m->term == r->term);
    if (raft_is_leader(r) || m->from != r->leader) {
        return;
    }
    for (uint32_t i = 0; i < r->n_reads; i++) { /* nearly always the first */
        struct raft_read *read = raft_read_at(r, i);
        if (read->id == m->context && read->state == RAFT_READ_WAITING) {
            read->state = RAFT_READ_DONE;
            raft_add_result(r, read->id, m->reject ? 0 : m->index,
                            m->reject ? COR_ENOTLEADER : COR_OK);
            return;
        }
    }
}

void raft_fail_reads(struct cor_raft *r)
{
    for (uint32_t i = 0; i < r->n_reads; i++) {
        struct raft_read *read = raft_read_at(r, i);
        if (read->state == RAFT_READ_WAITING) {
            read->state = RAFT_READ_FAILED;
        }
    }
}

/* Of a follower: the oldest read that still waits; NULL when none does. */
static struct raft_read *oldest_waiting(struct cor_raft *r)
{
    for (uint32_t i = 0; i < r->n_reads; i++) {
        if (raft_read_at(r, i)->state == RAFT_READ_WAITING) {
            return raft_read_at(r, i);
        }
    }
    return NULL;
}

uint64_t raft_reads_expire_at(const struct cor_raft *r)
{
    COR_ASSERT(!raft_is_leader(r));
    /* Answered reads leave the head of the line when a step is closed: the first one waits. */
    if (r->n_reads == 0) {
        return COR_RAFT_NEVER;
    }
    const struct raft_read *head = &raft_reads_view(r)[r->reads_head];
    return head->since + r->options.election_max;
}

void raft_expire_reads(struct cor_raft *r)
{
    COR_ASSERT(!raft_is_leader(r));
    for (struct raft_read *read = oldest_waiting(r);
         read != NULL && r->now >= read->since + r->options.election_max;
         read = oldest_waiting(r)) {
        read->state = RAFT_READ_FAILED;
    }
}

bool raft_wants_read_round(const struct cor_raft *r)
{
    if (r->n_reads == 0) {
        return false;
    }
    uint32_t newest = (r->reads_head + r->n_reads - 1) % r->options.reads_max;
    return raft_reads_view(r)[newest].round > r->round;
}

void raft_start_read_round(struct cor_raft *r)
{
    COR_ASSERT(raft_is_leader(r));
    if (raft_wants_read_round(r) && raft_quorum_round(r) >= r->round) {
        raft_send_heartbeats(r);
    }
}

static bool is_confirmed(const struct cor_raft *r, const struct raft_read *read)
{
    return raft_own_term_committed(r) && read->round <= r->round &&
           read->round <= raft_quorum_round(r);
}

void raft_answer_reads(struct cor_raft *r)
{
    while (r->n_reads > 0) {
        const struct raft_read *read = raft_read_at(r, 0);
        bool ok = read->state == RAFT_READ_WAITING && is_confirmed(r, read);
        if (read->state == RAFT_READ_WAITING && !ok) {
            break;
        }
        uint64_t index = !ok ? 0 : read->index != 0 ? read->index : r->commit;
        if (read->state != RAFT_READ_DONE && read->from != r->options.self) {
            if (r->n_read_replies == RAFT_READ_REPLIES_MAX) {
                r->more = true;
                break;
            }
            reply(r, read->from, read->id, index);
        } else if (read->state != RAFT_READ_DONE) {
            raft_add_result(r, read->id, index, ok ? COR_OK : COR_ENOTLEADER);
        }
        r->reads_head = (r->reads_head + 1) % r->options.reads_max;
        r->n_reads--;
    }
}
