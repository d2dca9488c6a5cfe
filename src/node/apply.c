/*
 * apply.c - committed entries into the store, in order.
 *
 * Recent entries come from the cache. After a restart, and on a member that fell far behind itself, they are
 * read from the log file off the loop, a piece at a time; while one piece is applied the next one is being
 * read. One turn applies a few milliseconds' worth, so heartbeats never wait for a catch-up.
 *
 * An answer is made only where somebody here waits for it. An entry that this build does not understand
 * stops the node: members that skip entries diverge.
 */
#include "node/internal.h"

#include "base/error.h"

#define APPLY_READ_ENTRIES 1024u
#define APPLY_READ_BYTES   (512u << 10)
#define APPLY_LOOK_EVERY   32u /* entries between two looks at the clock */

/* ---- one entry -------------------------------------------------------------------------------- */

static void fail(struct node *n, uint64_t index, enum cor_status st)
{
    struct cor_error err;
    (void)error_set(&err, st,
                    "entry %llu of the log is not understood (%s): a newer version of coracle "
                    "wrote it; run that version here",
                    (unsigned long long)index, cor_status_text(st));
    node_fail(n, &err);
}

static void apply_command(struct node *n, uint64_t index, uint64_t term,
                          struct cor_bytes payload)
{
    struct request *waiter = write_waiter(n, index, term);
    struct kv_result result;
    enum cor_status st;
    if (waiter == NULL) {
        st = kv_apply(n->kv, index, payload, NULL, NULL);
    } else {
        arena_reset(&n->arena);
        st = kv_apply(n->kv, index, payload, &n->arena, &result);
        st = st == COR_ENOMEM ? COR_OK : st; /* the result says that it is too big */
    }
    if (st != COR_OK) {
        fail(n, index, st);
        return;
    }
    n->applied = index;
    n->n_answered += waiter != NULL;
    write_applied(n, index, waiter, waiter == NULL ? NULL : &result);
}

static void apply_entry(struct node *n, uint64_t index, uint64_t term, uint32_t type,
                        struct cor_bytes payload)
{
    COR_ASSERT(index == n->applied + 1);
    if (type == COR_ENTRY_COMMAND) {
        apply_command(n, index, term, payload);
    } else if (type == COR_ENTRY_NOOP) {
        kv_skip(n->kv, index);
        n->applied = index;
        write_applied(n, index, NULL, NULL);
    } else {
        fail(n, index, COR_EFOREIGN);
    }
}

/* ---- after some -------------------------------------------------------------------------------- */

static void propose_compaction(struct node *n)
{
    if (!node_leads(n) || n->compacting || n->now < n->compact_at || n->phase != NODE_RUNNING) {
        return;
    }
    n->compact_at = n->now + NODE_COMPACT_INTERVAL;
    uint64_t revision =
        kv_compaction_due(n->kv, n->options.history_ns, n->options.history_bytes);
    if (revision != 0) {
        (void)write_propose_own(n, &(struct kv_op){.kind = KV_OP_COMPACT, .revision = revision},
                                &n->compacting); /* EBUSY: next time */
    }
}

/* Entries from @first on were applied. */
static void after(struct node *n, uint64_t first)
{
    if (n->applied < first || !node_is_live(n)) {
        return;
    }
    uint64_t count = n->applied + 1 - first;
    trace_add(n, node_leads(n) ? NODE_STEP_LEADER_COMMIT : NODE_STEP_FOLLOWER_COMMIT, first,
              count, 0);
    if (n->n_answered > 0) {
        trace_add(n, NODE_STEP_ANSWER, first, count, 0);
        n->n_answered = 0;
    }
    struct cor_raft_info info;
    cor_raft_get_info(n->raft, &info);
    if (n->applied > info.applied) {
        struct cor_raft_event event = {.type = COR_RAFT_EV_APPLIED,
                                       .applied = {.index = n->applied}};
        (void)core_step(n, &event, n->now, NULL);
    }
    propose_compaction(n);
    session_tend(n);
    idle_touch(n, n->now);
}

/* ---- from the log file --------------------------------------------------------------------------- */

static void on_read(struct wal_read *read, enum cor_status st, const struct wal_entry *entries,
                    size_t count, const struct cor_error *err);

/* Read on from @first, unless that is in memory. */
static void read_from(struct node *n, uint64_t first)
{
    n->apply_reading = first <= n->apply_to && first < n->cache.first;
    if (!n->apply_reading) {
        return;
    }
    uint64_t end = n->apply_to + 1 < n->cache.first ? n->apply_to + 1 : n->cache.first;
    uint64_t count = end - first;
    struct apply_read *r = &n->apply_reads[n->apply_slot];
    n->apply_slot = 1 - n->apply_slot;
    r->node = n;
    r->read = (struct wal_read){.first = first,
                                .n_max = count < APPLY_READ_ENTRIES ? (uint32_t)count
                                                                    : APPLY_READ_ENTRIES,
                                .bytes_max = APPLY_READ_BYTES,
                                .done = on_read};
    wal_read_start(n->wal, &r->read);
}

static void apply_read(struct node *n, const struct wal_entry *entries, size_t count)
{
    uint64_t first = n->applied + 1;
    COR_ASSERT(count > 0 && entries[0].index == first);
    read_from(n, first + count);
    n->now = io_now(n->io);
    for (size_t i = 0; i < count && node_is_live(n); i++) {
        apply_entry(n, entries[i].index, entries[i].term, entries[i].type, entries[i].payload);
    }
    after(n, first);
}

static void on_read(struct wal_read *read, enum cor_status st, const struct wal_entry *entries,
                    size_t count, const struct cor_error *err)
{
    struct node *n = CONTAINER_OF(read, struct apply_read, read)->node;
    n->apply_reading = false;
    if (st == COR_ENOMEM) {
        n->apply_starved = true; /* of memory, or of file handles: that passes */
    } else if (st != COR_OK) {
        node_fail(n, err); /* a rotten entry, until peers can repair it */
    } else if (node_is_live(n)) {
        apply_read(n, entries, count);
    }
    node_wake(n);
}

/* ---- a turn's share ---------------------------------------------------------------------------------- */

void apply_some(struct node *n)
{
    uint64_t first = n->applied + 1;
    uint64_t until = n->now + NODE_APPLY_NS;
    n->apply_starved = n->apply_starved && !n->retrying;
    uint32_t budget = n->apply_reading || n->apply_starved ? 0 : NODE_APPLY_MAX;
    while (n->applied < n->apply_to && budget > 0 && node_is_live(n)) {
        const struct cache_entry *e = cache_get(&n->cache, n->applied + 1);
        if (e == NULL) {
            read_from(n, n->applied + 1);
            break;
        }
        apply_entry(n, n->applied + 1, e->term, e->type, cache_payload(e));
        if (--budget % APPLY_LOOK_EVERY == 0 && io_now(n->io) > until) {
            break;
        }
    }
    if (n->raft != NULL) {
        after(n, first);
    }
}
