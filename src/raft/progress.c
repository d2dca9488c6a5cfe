/*
 * progress.c - what the leader knows of a peer's log, and the windows of what is on its way to it.
 *
 *     PROBE      one append at a time, to find where the logs agree; next moves on rejections
 *     PIPELINE   appends follow each other without waiting, up to the windows
 *     SNAPSHOT   the peer needs entries that this node has no more
 *
 * match is pessimistic (what the peer confirmed), next optimistic: mixing the two up has cost other
 * implementations data. Called by append_reply.c, heartbeat.c, replicate.c. Dissertation 10.2.1.
 */
#include "raft/internal.h"

struct raft_peer *raft_peer_find(struct cor_raft *r, cor_node_id id)
{
    for (uint32_t i = 0; i < r->n_peers; i++) {
        if (r->peers[i].id == id) {
            return &r->peers[i];
        }
    }
    return NULL;
}

static struct raft_inflight *ring_of(struct cor_raft *r, const struct raft_peer *p)
{
    return raft_inflights(r) + (size_t)(p - r->peers) * r->options.inflight_messages_max;
}

static void clear_inflight(struct raft_peer *p)
{
    p->inflight_head = 0;
    p->n_inflight = 0;
    p->inflight_bytes = 0;
}

void raft_peer_reset(struct cor_raft *r, struct raft_peer *p, uint64_t next)
{
    COR_ASSERT(next >= 1);
    clear_inflight(p);
    p->progress = COR_RAFT_PROBE;
    p->paused = 0;
    p->probe_goal = 0;
    p->match = 0;
    p->next = next;
    p->received = 0;
    p->progress_at = r->now;
    p->probe_at = 0;
    p->heard_at = 0;
    p->lease_from = 0;
    p->round = 0;
    p->commit_sent = 0;
}

void raft_peer_probe(struct raft_peer *p, uint64_t next)
{
    COR_ASSERT(next >= 1);
    clear_inflight(p);
    p->progress = COR_RAFT_PROBE;
    p->next = raft_max(next, p->match + 1); /* never ask for what was confirmed */
    p->paused = 0;
    p->probe_at = 0;
    p->probe_goal = p->next - 1;
}

void raft_peer_report(struct cor_raft *r, struct raft_peer *p, uint64_t match,
                      uint64_t received)
{
    COR_ASSERT(match <= r->last && received <= r->last); /* message.c refuses more */
    if (match > p->match || received > p->received) {
        p->progress_at = r->now;
    }
    p->received = received;
    if (match <= p->match) {
        return; /* a late reply: match never goes back */
    }
    p->match = match;
    p->next = raft_max(p->next, match + 1);
    const struct raft_inflight *ring = ring_of(r, p);
    while (p->n_inflight > 0 && ring[p->inflight_head].last <= match) {
        COR_ASSERT(p->inflight_bytes >= ring[p->inflight_head].bytes);
        p->inflight_bytes -= ring[p->inflight_head].bytes;
        p->inflight_head = (p->inflight_head + 1) % r->options.inflight_messages_max;
        p->n_inflight--;
    }
}

bool raft_peer_has_window(const struct cor_raft *r, const struct raft_peer *p)
{
    return p->n_inflight < r->options.inflight_messages_max &&
           p->inflight_bytes < r->options.inflight_bytes_max;
}

void raft_inflight_push(struct cor_raft *r, struct raft_peer *p, uint64_t first, uint64_t n)
{
    COR_ASSERT(raft_peer_has_window(r, p));
    COR_ASSERT(n > 0 && first == p->next);
    if (p->n_inflight == 0) {
        p->progress_at = r->now; /* the wait for an answer begins here */
    }
    uint32_t at = (p->inflight_head + p->n_inflight) % r->options.inflight_messages_max;
    ring_of(r, p)[at] = (struct raft_inflight){first, first + n - 1, 0};
    p->n_inflight++;
}

struct raft_inflight *raft_inflight_newest(struct cor_raft *r, const struct raft_peer *p)
{
    if (p->n_inflight == 0) {
        return NULL;
    }
    uint32_t at = (p->inflight_head + p->n_inflight - 1) % r->options.inflight_messages_max;
    return &ring_of(r, p)[at];
}

void raft_inflight_drop_newest(struct cor_raft *r, struct raft_peer *p)
{
    const struct raft_inflight *newest = raft_inflight_newest(r, p);
    COR_ASSERT(newest != NULL);
    COR_ASSERT(p->inflight_bytes >= newest->bytes);
    p->inflight_bytes -= newest->bytes;
    p->n_inflight--;
}
