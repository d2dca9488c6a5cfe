/* trace.c - the steps 0 to 5 of the last writes, in a ring: who looks sees a write travel. */
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
