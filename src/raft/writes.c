/*
 * writes.c - the ordered stream of writes: what goes to the disk in a step, what has come back.
 *
 * A step makes at most one write: hard state, then truncation, then entries, durable in that order.
 * Writes are numbered 1, 2, 3...; completion is cumulative. For each write with entries a ring
 * remembers how far the log will be durable once it completes. A truncation lowers these marks,
 * too: otherwise a late completion of overwritten entries would be taken for one of their
 * successors at the same indexes (the ABA of asynchronous storage). When the ring is full the
 * newest two are joined: the acknowledgement then waits for the later one, which is only slower.
 */
#include "raft/internal.h"

static void open_write(struct cor_raft *r)
{
    if (r->write_seq == 0) {
        r->write_seq = ++r->seq;
    }
    COR_ASSERT(r->write_seq == r->seq);
    COR_ASSERT(r->seq > r->durable_seq);
}

void raft_write_hard_state(struct cor_raft *r)
{
    open_write(r);
    r->write_hard = true;
    r->hard_seq = r->write_seq;
}

void raft_write_truncate(struct cor_raft *r, uint64_t from)
{
    COR_ASSERT(from > r->commit && from <= r->last);
    COR_ASSERT(r->write_truncate == 0 && r->write_n == 0);
    open_write(r);
    r->write_truncate = from;
    r->durable = raft_min(r->durable, from - 1);
    struct raft_write *ring = raft_writes(r);
    for (uint32_t i = 0; i < r->n_writes; i++) {
        struct raft_write *w = &ring[(r->writes_head + i) % r->options.writes_max];
        w->last = raft_min(w->last, from - 1);
    }
    raft_log_truncate(r, from);
}

void raft_write_entries(struct cor_raft *r, uint64_t first, uint32_t n, uint64_t term)
{
    COR_ASSERT(n > 0 && r->write_n == 0);
    COR_ASSERT(first + n - 1 == r->last); /* log.c was told first */
    open_write(r);
    r->write_first = first;
    r->write_n = n;
    r->write_term = term;
}

void raft_write_close(struct cor_raft *r)
{
    if (r->write_n == 0) {
        return; /* a truncation comes with entries; a hard state has hard_seq */
    }
    struct raft_write *ring = raft_writes(r);
    if (r->n_writes == r->options.writes_max) {
        r->n_writes--;
    }
    uint32_t at = (r->writes_head + r->n_writes) % r->options.writes_max;
    ring[at] = (struct raft_write){r->write_seq, r->last};
    r->n_writes++;
    COR_ASSERT(r->n_writes <= r->options.writes_max);
    COR_ASSERT(r->durable < r->last);
}

void raft_on_persisted(struct cor_raft *r, uint64_t seq)
{
    COR_ASSERT(seq >= r->durable_seq && seq <= r->seq);
    r->durable_seq = seq;
    const struct raft_write *ring = raft_writes_view(r);
    while (r->n_writes > 0 && ring[r->writes_head].seq <= seq) {
        r->durable = raft_max(r->durable, ring[r->writes_head].last);
        r->writes_head = (r->writes_head + 1) % r->options.writes_max;
        r->n_writes--;
    }
    COR_ASSERT(r->durable <= r->last);
}

bool raft_is_hard_state_durable(const struct cor_raft *r)
{
    return r->hard_seq <= r->durable_seq;
}
