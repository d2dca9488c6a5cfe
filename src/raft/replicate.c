/*
 * replicate.c - AppendEntries, the leader's half: commit, and who gets which entries now.
 * Dissertation 3.5, 3.6.2, 10.2.1.
 *
 * Called when a step is closed: each peer gets at most one append in a step, in parallel with
 * the leader's own disk. The core knows no sizes: it names ranges, and the host reports what it
 * sent.
 */
#include "raft/internal.h"

void raft_advance_commit(struct cor_raft *r)
{
    COR_ASSERT(raft_is_leader(r));
    uint64_t index = raft_quorum_match(r);
    COR_ASSERT(index <= r->last);
    /* 3.6.2, Figure 3.7: an entry of an older term is never committed by counting; one of the own
     * term takes all before it along. Entries of the own term begin with the no-op. */
    if (index > r->commit && index >= r->term_start) {
        r->commit = index;
        raft_batches_committed(r);
    }
}

static bool may_send(const struct cor_raft *r, const struct raft_peer *p)
{
    if (raft_is_self(r, p) || p->paused || (r->only_peer != 0 && r->only_peer != p->id)) {
        return false;
    }
    if (p->progress == COR_RAFT_PIPELINE) {
        return p->next <= r->last && raft_peer_has_window(r, p);
    }
    return p->progress == COR_RAFT_PROBE;
}

static void send_append(struct cor_raft *r, struct raft_peer *p)
{
    COR_ASSERT(p->next > p->match && p->next <= r->last + 1);
    struct cor_raft_message *m = raft_send(r, COR_RAFT_MSG_APPEND, p->id);
    m->prev.index = p->next - 1;
    m->prev_term_unknown = !raft_log_term(r, m->prev.index, &m->prev.term);
    m->first = p->next;
    m->n_entries = (uint32_t)raft_min(r->last + 1 - p->next, r->options.message_entries_max);
    m->commit = r->commit;
    m->sent_at = raft_max(r->now, 1);
    uint64_t end = m->prev.index + m->n_entries;
    p->commit_sent = raft_max(p->commit_sent, raft_min(r->commit, end));
    if (p->progress == COR_RAFT_PROBE) {
        p->paused = 1;
        p->probe_at = raft_max(r->now, 1);
        /* A peer that agrees and yet takes nothing has a full disk. It stays with a probe now and
         * then: in the pipeline each of its answers would set off another append. */
        p->probe_goal = m->prev.index + (m->n_entries > 0 ? 1 : 0);
        return;
    }
    COR_ASSERT(m->n_entries > 0);
    raft_inflight_push(r, p, m->first, m->n_entries);
    p->next = end + 1;
}

void raft_send_appends(struct cor_raft *r)
{
    COR_ASSERT(raft_is_leader(r));
    for (uint32_t i = 0; i < r->n_peers; i++) {
        struct raft_peer *p = &r->peers[i];
        if (!may_send(r, p)) {
            continue;
        }
        if (p->next < r->first) {
            p->progress = COR_RAFT_SNAPSHOT; /* its entries are gone: see the header */
            continue;
        }
        send_append(r, p);
    }
}

/* Followers apply when they hear of a commit: do not let them wait for the next heartbeat. While
 * appends are on their way to a peer there is no need; the next one, or its last answer, brings
 * the news. */
void raft_send_commit_news(struct cor_raft *r)
{
    COR_ASSERT(raft_is_leader(r));
    for (uint32_t i = 0; i < r->n_peers; i++) {
        struct raft_peer *p = &r->peers[i];
        uint64_t commit = raft_min(r->commit, p->match);
        if (raft_is_self(r, p) || p->lost || p->n_inflight > 0 || commit <= p->commit_sent) {
            continue;
        }
        raft_send(r, COR_RAFT_MSG_HEARTBEAT, p->id)->commit = commit;
        p->commit_sent = commit;
    }
}

/* The append that @ev reports, if it is still the newest on its way; NULL: given up meanwhile. */
static struct raft_inflight *reported_append(struct cor_raft *r, const struct raft_peer *p,
                                             const struct cor_raft_event *ev)
{
    struct raft_inflight *newest = raft_inflight_newest(r, p);
    bool is_it = newest != NULL && newest->first == ev->sent.first && p->match < newest->first;
    return is_it ? newest : NULL;
}

void raft_on_sent(struct cor_raft *r, const struct cor_raft_event *ev)
{
    r->only_peer = ev->sent.peer;
    struct raft_peer *p = raft_peer_find(r, ev->sent.peer);
    if (!raft_is_leader(r) || p == NULL) {
        return;
    }
    uint64_t end = ev->sent.first + ev->sent.n; /* the first entry that did not go */
    if (p->progress == COR_RAFT_PROBE && ev->sent.n == 0 && p->next == ev->sent.first) {
        p->probe_at = 0; /* it never left: repeat it as soon as the peer is heard */
    }
    struct raft_inflight *sent = reported_append(r, p, ev);
    if (p->progress != COR_RAFT_PIPELINE || sent == NULL || end > sent->last + 1) {
        return;
    }
    p->next = end;
    p->commit_sent = raft_min(p->commit_sent, end - 1);
    if (ev->sent.n == 0) {
        raft_inflight_drop_newest(r, p);
        p->paused = 1;
        return;
    }
    COR_ASSERT(p->inflight_bytes >= sent->bytes);
    p->inflight_bytes += ev->sent.bytes - sent->bytes;
    sent->last = end - 1;
    sent->bytes = ev->sent.bytes;
}
