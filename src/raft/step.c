/*
 * step.c - the one entry: check an event, take it, close the step.
 *
 * A step has three phases. check() decides, without touching anything, whether the event can be
 * taken at all; only then state changes; and closing the step sends what became possible, so
 * that no handler has to think of everything that may follow from it (a match moved: commit,
 * appends, news, reads).
 */
#include "raft/internal.h"

#include <string.h>

#define SENT_BYTES_MAX (UINT64_C(1) << 40)

/* What the caller must know of the state before the step. */
struct before {
    uint64_t term;
    cor_node_id leader;
    uint32_t role;
};

/* ---- may the event be taken? ---------------------------------------------------------------- */

static enum cor_status check_propose(const struct cor_raft_event *ev)
{
    if (ev->propose.n == 0 || ev->propose.entries == NULL) {
        return COR_EINVAL;
    }
    for (uint32_t i = 0; i < ev->propose.n; i++) {
        uint32_t type = ev->propose.entries[i].type;
        if (type < COR_ENTRY_COMMAND || type > COR_ENTRY_LEVEL || type == COR_ENTRY_CONFIG) {
            return COR_EINVAL;
        }
    }
    return COR_OK;
}

static enum cor_status check_sent(struct cor_raft *r, const struct cor_raft_event *ev)
{
    if (ev->sent.first > RAFT_INDEX_MAX || ev->sent.bytes > SENT_BYTES_MAX) {
        return COR_EINVAL;
    }
    const struct raft_peer *p = raft_peer_find(r, ev->sent.peer);
    const struct raft_inflight *newest = p == NULL ? NULL : raft_inflight_newest(r, p);
    bool is_it = newest != NULL && newest->first == ev->sent.first;
    return is_it && ev->sent.first + ev->sent.n > newest->last + 1 ? COR_EINVAL : COR_OK;
}

static enum cor_status check_receive(const struct cor_raft *r, const struct cor_raft_event *ev,
                                     struct raft_append_fit *fit)
{
    const struct cor_raft_message *m = ev->message;
    if (m == NULL || (ev->n_runs > 0 && ev->runs == NULL)) {
        return COR_EINVAL;
    }
    if (!raft_message_is_sane(r, m)) {
        return COR_EPROTO;
    }
    if (m->type != COR_RAFT_MSG_APPEND || m->term < r->term) {
        return COR_OK;
    }
    *fit = raft_append_inspect(r, m, ev);
    switch (fit->fit) {
    case RAFT_FIT_OK:
    case RAFT_FIT_GAP:
        return COR_OK;
    case RAFT_FIT_UNKNOWN:
        return COR_ENEEDTERM;
    case RAFT_FIT_CONFLICT:
        return COR_EPROTO;
    case RAFT_FIT_BAD_RUNS:
        break;
    }
    return COR_EINVAL;
}

static enum cor_status check(struct cor_raft *r, const struct cor_raft_event *ev,
                             struct raft_append_fit *fit)
{
    if (ev->now < r->now || ev->now > RAFT_TIME_MAX) {
        return COR_EINVAL;
    }
    switch (ev->type) {
    case COR_RAFT_EV_RECEIVE:
        return check_receive(r, ev, fit);
    case COR_RAFT_EV_PROPOSE:
        return check_propose(ev);
    case COR_RAFT_EV_PERSISTED:
        return ev->persisted.seq >= r->durable_seq && ev->persisted.seq <= r->seq ? COR_OK
                                                                                  : COR_EINVAL;
    case COR_RAFT_EV_APPLIED:
        return ev->applied.index >= r->applied && ev->applied.index <= r->commit ? COR_OK
                                                                                 : COR_EINVAL;
    case COR_RAFT_EV_SENT:
        return check_sent(r, ev);
    case COR_RAFT_EV_TIME:
    case COR_RAFT_EV_READ:
    case COR_RAFT_EV_PEER_LOST:
    case COR_RAFT_EV_DISK:
    case COR_RAFT_EV_CONTINUE:
        return COR_OK;
    default:
        return COR_EINVAL;
    }
}

/* ---- take it
 * ----------------------------------------------------------------------------------- */

/* Of a term that is over. The sender must learn that; answers of that time mean nothing any
 * more. */
static void receive_outdated(struct cor_raft *r, const struct cor_raft_message *m)
{
    switch (m->type) {
    case COR_RAFT_MSG_APPEND:
    case COR_RAFT_MSG_HEARTBEAT:
    case COR_RAFT_MSG_VOTE:
        raft_send_refusal(r, m);
        break;
    case COR_RAFT_MSG_READ:
        raft_on_read(r, m);
        break;
    case COR_RAFT_MSG_PRE_VOTE:
        raft_on_pre_vote(r, m);
        break;
    case COR_RAFT_MSG_PRE_VOTE_REPLY:
        raft_on_pre_vote_reply(r, m); /* a refusal by one whose term is behind still counts */
        break;
    default:
        break;
    }
}

/* 3.3: whoever sees a higher term adopts it. Requests for votes decide that for themselves:
 * 4.2.3, and 9.6 for the vote before the vote; snapshots and transfers are not taken yet. */
static void adopt_term(struct cor_raft *r, const struct cor_raft_message *m)
{
    switch (m->type) {
    case COR_RAFT_MSG_APPEND:
    case COR_RAFT_MSG_HEARTBEAT:
        raft_become_follower(r, m->term, m->from);
        break;
    case COR_RAFT_MSG_APPEND_REPLY:
    case COR_RAFT_MSG_HEARTBEAT_REPLY:
    case COR_RAFT_MSG_VOTE_REPLY:
    case COR_RAFT_MSG_READ:
    case COR_RAFT_MSG_READ_REPLY:
        raft_become_follower(r, m->term, 0);
        break;
    default:
        break;
    }
}

static void receive(struct cor_raft *r, const struct cor_raft_message *m,
                    const struct raft_append_fit *fit)
{
    struct raft_peer *p = raft_peer_find(r, m->from);
    if (p != NULL) {
        p->lost = 0;
    }
    if (m->term < r->term) {
        receive_outdated(r, m);
        return;
    }
    if (m->term > r->term) {
        adopt_term(r, m);
    }
    switch (m->type) {
    case COR_RAFT_MSG_APPEND:
        raft_on_append(r, m, fit);
        break;
    case COR_RAFT_MSG_APPEND_REPLY:
        raft_on_append_reply(r, m);
        break;
    case COR_RAFT_MSG_VOTE:
        raft_on_vote(r, m);
        break;
    case COR_RAFT_MSG_VOTE_REPLY:
        raft_on_vote_reply(r, m);
        break;
    case COR_RAFT_MSG_PRE_VOTE:
        raft_on_pre_vote(r, m);
        break;
    case COR_RAFT_MSG_PRE_VOTE_REPLY:
        raft_on_pre_vote_reply(r, m);
        break;
    case COR_RAFT_MSG_HEARTBEAT:
        raft_on_heartbeat(r, m);
        break;
    case COR_RAFT_MSG_HEARTBEAT_REPLY:
        raft_on_heartbeat_reply(r, m);
        break;
    case COR_RAFT_MSG_READ:
        raft_on_read(r, m);
        break;
    case COR_RAFT_MSG_READ_REPLY:
        raft_on_read_reply(r, m);
        break;
    default:
        break; /* snapshots and transfers: not taken yet */
    }
}

/* 6.2: a leader that no quorum answers gives up, so that its clients look for another. */
static bool has_lost_quorum(const struct cor_raft *r)
{
    uint64_t heard_at = raft_quorum_heard_at(r);
    return heard_at != COR_RAFT_NEVER && r->now >= heard_at + r->options.election_max;
}

static void on_time(struct cor_raft *r)
{
    if (raft_is_leader(r)) {
        if (has_lost_quorum(r)) {
            raft_become_follower(r, r->term, 0);
        } else if (r->now >= r->heartbeat_at) {
            raft_send_heartbeats(r);
        }
        return;
    }
    raft_expire_reads(r);
    if (raft_can_campaign(r) && r->now >= r->election_at) {
        raft_on_election_timeout(r);
    }
}

static void on_peer_lost(struct cor_raft *r, cor_node_id id)
{
    struct raft_peer *p = raft_peer_find(r, id);
    if (p == NULL || raft_is_self(r, p)) {
        return;
    }
    p->lost = 1;
    if (raft_is_leader(r)) {
        raft_peer_probe(p, p->match + 1);
        p->paused = 1; /* until it is heard again */
    } else if (r->leader == id) {
        raft_fail_reads(r);
        r->hasty = RAFT_HASTY_MAX;
        raft_hasten_election(r);
    } else if (r->role != COR_RAFT_FOLLOWER) {
        raft_campaign_again(r);
    }
}

static enum cor_status take(struct cor_raft *r, const struct cor_raft_event *ev,
                            const struct raft_append_fit *fit)
{
    switch (ev->type) {
    case COR_RAFT_EV_TIME:
        on_time(r);
        break;
    case COR_RAFT_EV_RECEIVE:
        receive(r, ev->message, fit);
        break;
    case COR_RAFT_EV_PROPOSE:
        return raft_on_propose(r, ev);
    case COR_RAFT_EV_READ:
        raft_on_read_event(r, ev);
        break;
    case COR_RAFT_EV_PERSISTED:
        raft_on_persisted(r, ev->persisted.seq);
        break;
    case COR_RAFT_EV_APPLIED:
        r->applied = ev->applied.index;
        break;
    case COR_RAFT_EV_PEER_LOST:
        on_peer_lost(r, ev->lost.peer);
        break;
    case COR_RAFT_EV_DISK:
        r->disk_full = ev->disk.full;
        break;
    case COR_RAFT_EV_SENT:
        raft_on_sent(r, ev);
        break;
    default:
        COR_ASSERT(ev->type == COR_RAFT_EV_CONTINUE);
        break;
    }
    return COR_OK;
}

/* ---- close the step ------------------------------------------------------------------------- */

static uint64_t deadline(const struct cor_raft *r)
{
    if (!raft_is_leader(r)) {
        uint64_t campaign = raft_can_campaign(r) ? r->election_at : COR_RAFT_NEVER;
        return raft_min(campaign, raft_reads_expire_at(r));
    }
    if (r->n_peers == 1 && r->self_slot == 0) {
        return COR_RAFT_NEVER; /* nobody to send heartbeats to: an idle single node sleeps */
    }
    uint64_t heard_at = raft_quorum_heard_at(r);
    uint64_t give_up =
        heard_at == COR_RAFT_NEVER ? heard_at : heard_at + r->options.election_max;
    return raft_min(r->heartbeat_at, give_up);
}

static void open_step(struct cor_raft *r)
{
    r->n_messages = 0;
    r->n_results = 0;
    r->n_read_replies = 0;
    r->only_peer = 0;
    r->more = false;
    r->proposed_first = 0;
    r->write_seq = 0;
    r->write_hard = false;
    r->write_truncate = 0;
    r->write_first = 0;
    r->write_n = 0;
    r->write_term = 0;
}

static void close_step(struct cor_raft *r)
{
    raft_send_vote_requests(r);
    if (raft_is_leader(r)) {
        raft_advance_commit(r);
        raft_start_read_round(r);
        raft_send_appends(r);
        raft_send_commit_news(r);
    }
    raft_send_parked(r);
    raft_answer_reads(r);
    raft_write_close(r);
}

static void fill_update(const struct cor_raft *r, const struct before *was,
                        struct cor_raft_update *update)
{
    update->write.seq = r->write_seq;
    update->write.hard_state_changed = r->write_hard;
    if (r->write_hard) {
        update->write.hard_state = (struct cor_raft_hard_state){r->term, r->vote};
    }
    update->write.truncate_from = r->write_truncate;
    update->write.first = r->write_first;
    update->write.n_entries = r->write_n;
    update->write.term = r->write_term;
    update->messages = raft_messages_view(r);
    update->n_messages = r->n_messages;
    update->reads = raft_results_view(r);
    update->n_reads = r->n_results;
    update->more = r->more;
    update->role_changed =
        r->term != was->term || r->leader != was->leader || r->role != was->role;
    update->proposed_first = r->proposed_first;
}

enum cor_status cor_raft_step(struct cor_raft *r, const struct cor_raft_event *event,
                              struct cor_raft_update *update)
{
    COR_ASSERT(r != NULL && event != NULL);
    COR_ASSERT(update != NULL);
    const struct before was = {r->term, r->leader, r->role};
    struct raft_append_fit fit = {RAFT_FIT_OK, 0, 0, 0};
    memset(update, 0, sizeof *update);
    enum cor_status st = check(r, event, &fit);
    if (st == COR_OK) {
        r->now = event->now;
        open_step(r);
        st = take(r, event, &fit);
        close_step(r);
        fill_update(r, &was, update);
    } else if (st == COR_ENEEDTERM) {
        update->need_first = fit.need_first;
        update->need_last = fit.need_last;
    }
    update->commit = r->commit;
    update->apply_to = r->commit;
    update->deadline = deadline(r);
    return st;
}
