/*
 * hash.c - a number for the state of a core: equal states, equal numbers.
 *
 * Only what decides the future is read: live slots of the rings in their order, not the output
 * of the last step, not dead slots. None of these structures has padding, which is checked here.
 */
#include "raft/internal.h"

#include "base/hash.h"

#define STATE_BEGIN offsetof(struct cor_raft, now)
#define STATE_END   offsetof(struct cor_raft, n_messages)

_Static_assert(sizeof(struct raft_peer) == 14 * sizeof(uint64_t), "padding would be hashed");
_Static_assert(offsetof(struct cor_raft, peers) % 8 == 0 &&
                   offsetof(struct cor_raft, role) + 10 * sizeof(uint32_t) + 8 ==
                       offsetof(struct cor_raft, peers),
               "padding would be hashed");
_Static_assert(STATE_END == offsetof(struct cor_raft, peers) +
                                COR_RAFT_MEMBERS_MAX * sizeof(struct raft_peer),
               "padding would be hashed");

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    return hash64_seed((struct cor_bytes){data, len}, h);
}

static uint64_t mix_writes(const struct cor_raft *r, uint64_t h)
{
    for (uint32_t i = 0; i < r->n_writes; i++) {
        uint32_t at = (r->writes_head + i) % r->options.writes_max;
        h = mix(h, &raft_writes_view(r)[at], sizeof(struct raft_write));
    }
    for (uint32_t i = 0; i < r->n_batches; i++) {
        uint32_t at = (r->batches_head + i) % r->options.writes_max;
        h = mix(h, &raft_batches_view(r)[at], sizeof(struct raft_batch));
    }
    return h;
}

static uint64_t mix_inflight(const struct cor_raft *r, uint64_t h)
{
    const uint32_t slots = r->options.inflight_messages_max;
    for (uint32_t i = 0; i < r->n_peers; i++) {
        const struct raft_inflight *ring = raft_inflights_view(r) + (size_t)i * slots;
        for (uint32_t j = 0; j < r->peers[i].n_inflight; j++) {
            uint32_t at = (r->peers[i].inflight_head + j) % slots;
            h = mix(h, &ring[at], sizeof ring[at]);
        }
    }
    return h;
}

uint64_t cor_raft_hash(const struct cor_raft *r)
{
    COR_ASSERT(r != NULL);
    const unsigned char *block = (const unsigned char *)r;
    uint64_t h = mix(r->options.self, block + STATE_BEGIN, STATE_END - STATE_BEGIN);
    h = mix(h, raft_runs_view(r), r->n_runs * sizeof(struct cor_raft_run));
    h = mix_writes(r, h);
    h = mix_inflight(r, h);
    for (uint32_t i = 0; i < r->n_reads; i++) {
        uint32_t at = (r->reads_head + i) % r->options.reads_max;
        h = mix(h, &raft_reads_view(r)[at], sizeof(struct raft_read));
    }
    return h;
}
