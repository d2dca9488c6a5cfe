/*
 * propose.c - proposals become entries; their bytes are counted until they are committed.
 *
 * A batch is taken whole or not at all. The bytes of a batch are given back when its last entry is
 * committed; batches beyond options.writes_max are joined, which gives them back a little later.
 */
#include "raft/internal.h"

#define SIZES_MAX                                                                              \
    (UINT64_C(1) << 48) /* no batch of this world is larger: the sum cannot wrap */

static uint64_t sum_of_sizes(const struct cor_raft_event *ev)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < ev->propose.n; i++) {
        bytes += ev->propose.entries[i].size;
    }
    COR_ASSERT(bytes <= (uint64_t)ev->propose.n * UINT32_MAX); /* cannot wrap */
    return bytes;
}

/* One batch always fits, however large: otherwise it could never be proposed. */
static bool has_room(const struct cor_raft *r, uint64_t bytes)
{
    uint64_t max = r->options.uncommitted_bytes_max;
    return bytes == 0 || r->uncommitted_bytes == 0 ||
           (r->uncommitted_bytes < max && bytes <= max - r->uncommitted_bytes);
}

static void remember_batch(struct cor_raft *r, uint64_t bytes)
{
    if (bytes == 0) {
        return;
    }
    struct raft_batch *ring = raft_batches(r);
    if (r->n_batches == r->options.writes_max) {
        struct raft_batch *newest =
            &ring[(r->batches_head + r->n_batches - 1) % r->options.writes_max];
        newest->last = r->last;
        newest->bytes += bytes;
    } else {
        ring[(r->batches_head + r->n_batches) % r->options.writes_max] =
            (struct raft_batch){r->last, bytes};
        r->n_batches++;
    }
    r->uncommitted_bytes += bytes;
    COR_ASSERT(r->n_batches <= r->options.writes_max);
}

void raft_batches_clear(struct cor_raft *r)
{
    r->batches_head = 0;
    r->n_batches = 0;
    r->uncommitted_bytes = 0;
}

void raft_batches_committed(struct cor_raft *r)
{
    const struct raft_batch *ring = raft_batches_view(r);
    while (r->n_batches > 0 && ring[r->batches_head].last <= r->commit) {
        COR_ASSERT(r->uncommitted_bytes >= ring[r->batches_head].bytes);
        r->uncommitted_bytes -= ring[r->batches_head].bytes;
        r->batches_head = (r->batches_head + 1) % r->options.writes_max;
        r->n_batches--;
    }
    COR_ASSERT(r->n_batches > 0 || r->uncommitted_bytes == 0);
}

enum cor_status raft_on_propose(struct cor_raft *r, const struct cor_raft_event *ev)
{
    COR_ASSERT(ev->propose.n > 0);
    if (!raft_is_leader(r)) {
        return COR_ENOTLEADER;
    }
    if (r->disk_full) {
        return COR_ENOSPACE;
    }
    const uint64_t bytes = sum_of_sizes(ev);
    if (!has_room(r, bytes)) {
        return COR_EBUSY;
    }
    r->proposed_first = r->last + 1;
    raft_log_extend(r, r->term, ev->propose.n);
    raft_write_entries(r, r->proposed_first, ev->propose.n, r->term);
    remember_batch(r, bytes);
    COR_ASSERT(r->last == r->proposed_first + ev->propose.n - 1);
    return COR_OK;
}
