/* trace.c - the steps 0 to 5 of the last writes, and the last appends, in rings: who looks sees a write travel. */
#include "node/internal.h"

void trace_add(struct node *n, enum node_step step, uint64_t index, uint64_t count,
               cor_node_id peer)
{
    COR_ASSERT(count > 0);
    uint64_t term = 0;
    (void)cor_raft_term_at(n->raft, index, &term); /* not held any more: 0 */
    n->trace[n->n_traced++ % NODE_TRACE_MAX] =
        (struct node_trace){.at = io_now(n->io),
                            .index = index,
                            .term = term,
                            .n_entries = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX,
                            .step = (uint8_t)step,
                            .peer = peer};
}

size_t node_get_trace(const struct node *n, struct node_trace *out, size_t n_max)
{
    uint64_t have = n->n_traced < NODE_TRACE_MAX ? n->n_traced : NODE_TRACE_MAX;
    size_t count = have < n_max ? (size_t)have : n_max;
    for (size_t i = 0; i < count; i++) {
        out[i] = n->trace[(n->n_traced - count + i) % NODE_TRACE_MAX];
    }
    return count;
}

void trace_append(struct node *n, const struct cor_raft_message *m, uint64_t last_term)
{
    n->appends[n->n_appends++ % NODE_APPENDS_MAX] =
        (struct node_append){.term = m->term,
                             .prev = m->prev,
                             .n_entries = m->n_entries,
                             .last_term = last_term,
                             .commit = m->commit,
                             .leader = m->from};
}

size_t node_get_appends(const struct node *n, struct node_append *out, size_t n_max)
{
    uint64_t have = n->n_appends < NODE_APPENDS_MAX ? n->n_appends : NODE_APPENDS_MAX;
    size_t count = have < n_max ? (size_t)have : n_max;
    for (size_t i = 0; i < count; i++) {
        out[i] = n->appends[(n->n_appends - count + i) % NODE_APPENDS_MAX];
    }
    return count;
}

bool node_get_entry(const struct node *n, uint64_t index, struct node_entry *out)
{
    const struct cache_entry *e = cache_get(&n->cache, index);
    if (e == NULL) {
        return false;
    }
    *out = (struct node_entry){index, e->term, e->type, cache_payload(e)};
    return true;
}
