/*
 * info.c - views of a core for status pages, metrics and tests.
 */
#include "raft/internal.h"

#include <string.h>

void cor_raft_get_info(const struct cor_raft *r, struct cor_raft_info *out)
{
    memset(out, 0, sizeof *out);
    out->self = r->options.self;
    out->leader = r->leader;
    out->vote = r->vote;
    out->term = r->term;
    out->role = (enum cor_raft_role)r->role;
    out->first = r->first;
    out->last = r->last;
    out->durable = r->durable;
    out->commit = r->commit;
    out->applied = r->applied;
    out->lease_until = raft_lease_until(r);
    out->heard_at = raft_is_leader(r) ? raft_min(raft_quorum_heard_at(r), r->now) : r->heard_at;
    out->uncommitted_bytes = r->uncommitted_bytes;
    out->own_term_committed = raft_own_term_committed(r);
    out->disk_full = r->disk_full;
}

size_t cor_raft_get_peers(const struct cor_raft *r, struct cor_raft_peer_info *out,
                          size_t n_max)
{
    size_t n = raft_min(r->n_peers, n_max);
    memset(out, 0, n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        const struct raft_peer *p = &r->peers[i];
        bool leading = raft_is_leader(r);
        bool self = raft_is_self(r, p);
        out[i].id = p->id;
        out[i].kind = p->kind;
        out[i].progress = leading ? p->progress : 0;
        out[i].match = leading && self ? r->durable : p->match;
        out[i].next = leading && self ? r->last + 1 : p->next;
        out[i].received = leading && self ? r->last : p->received;
        out[i].inflight_messages = p->n_inflight;
        out[i].inflight_bytes = p->inflight_bytes;
        out[i].heard_at = leading && self ? r->now : p->heard_at;
    }
    return n;
}

void cor_raft_get_config(const struct cor_raft *r, struct cor_raft_config *out)
{
    memset(out, 0, sizeof *out);
    out->index = r->config_index;
    out->n = r->n_peers;
    for (uint32_t i = 0; i < r->n_peers; i++) {
        const struct raft_peer *p = &r->peers[i];
        out->members[i].id = p->id;
        out->members[i].kind = p->kind;
        out->members[i].in_old = p->in_old != 0;
        out->members[i].in_new = p->in_new != 0;
    }
}

enum cor_status cor_raft_term_at(const struct cor_raft *r, uint64_t index, uint64_t *out)
{
    uint64_t term;
    bool outside = index > r->last || (index > 0 && index < r->first);
    if (outside || !raft_log_term(r, index, &term)) {
        return COR_ENOTFOUND;
    }
    *out = term;
    return COR_OK;
}
