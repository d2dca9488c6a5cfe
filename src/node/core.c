/*
 * core.c - steps of the consensus core, and what an update asks for, in order: write, send, note what
 * is to be applied and which reads are ready, set the timer.
 *
 * Place in the system: everything that happens ends up in core_step(): messages (receive.c), proposals
 * (write.c), reads (read.c), completed writes and time (here). Nothing below core_step() calls the
 * node's owner or steps again, so a step is never inside another.
 *
 * After an update was carried out, each append with entries is reported (COR_RAFT_EV_SENT); that may
 * bring the next append for that peer, and so on until a window is full. Then, if output was cut,
 * the core is asked to continue. docs/raft.md, "What the host does".
 */
#include "node/internal.h"

#include "base/hash.h"

/* ---- write --------------------------------------------------------------------------------------- */

static const struct cache_entry *keep(struct node *n, const struct cache_entry *e)
{
    cache_push(&n->cache, e);
    return cache_get(&n->cache, n->cache.next - 1);
}

static void put_in_unit(struct wal_entry *to, uint64_t index, const struct cache_entry *e)
{
    *to = (struct wal_entry){.index = index,
                             .term = e->term,
                             .type = e->type,
                             .checksum = e->checksum,
                             .payload = cache_payload(e)};
}

/* Remember the newest cluster time of the log, so that a leader to come goes on from there. */
static void note_time(struct node *n, const struct cache_entry *e)
{
    struct entry_header header;
    struct cor_bytes ops;
    if (e->type == COR_ENTRY_COMMAND &&
        entry_header_decode(cache_payload(e), &header, &ops) == COR_OK &&
        header.cluster_time > n->log_time) {
        n->log_time = header.cluster_time;
    }
}

/* Entries of a received append: their payloads lie one after the other in source->bytes. */
static void take_received(struct node *n, const struct cor_raft_update *u,
                          const struct source *source)
{
    uint64_t skip = u->write.first - source->message->first;
    uint32_t offset = 0;
    for (uint32_t i = 0; i < skip; i++) {
        offset += (uint32_t)source->entries[i].payload.len;
    }
    for (uint32_t i = 0; i < u->write.n_entries; i++) {
        const struct peer_entry *from = &source->entries[skip + i];
        struct cache_entry e = {.term = from->term,
                                .checksum = from->checksum,
                                .offset = offset,
                                .len = (uint32_t)from->payload.len,
                                .type = from->type};
        e.buf = e.len == 0 ? NULL : buf_ref(source->bytes);
        offset += e.len;
        put_in_unit(&n->wal_entries[i], u->write.first + i, keep(n, &e));
        note_time(n, &e);
    }
}

static void take_proposed(struct node *n, const struct cor_raft_update *u,
                          const struct source *source)
{
    COR_ASSERT(u->proposed_first == u->write.first && source->n_batch == u->write.n_entries);
    COR_ASSERT(n->now >= n->time_base_at);
    for (uint32_t i = 0; i < source->n_batch; i++) {
        struct request *r = source->batch[i];
        struct cache_entry e = {.term = u->write.term,
                                .buf = buf_ref(r->payload),
                                .offset = r->entry_at,
                                .len = r->payload->len - r->entry_at,
                                .type = COR_ENTRY_COMMAND};
        e.checksum = hash64(cache_payload(&e));
        r->index = u->write.first + i;
        r->term = u->write.term;
        n->proposed_bytes += r->payload->len;
        request_move(r, &n->proposed, REQUEST_PROPOSED);
        put_in_unit(&n->wal_entries[i], r->index, keep(n, &e));
    }
    n->log_time = n->time_base + (n->now - n->time_base_at);
    trace_add(n, NODE_STEP_REQUEST, u->write.first, source->n_batch, 0);
}

/* The entry with which a new leader begins its term; the cache keeps room for it. */
static void take_noop(struct node *n, const struct cor_raft_update *u)
{
    COR_ASSERT(u->write.n_entries == 1);
    struct cache_entry e = {.term = u->write.term,
                            .checksum = hash64((struct cor_bytes){NULL, 0}),
                            .type = COR_ENTRY_NOOP};
    put_in_unit(&n->wal_entries[0], u->write.first, keep(n, &e));
}

static void take_write(struct node *n, const struct cor_raft_update *u, uint64_t now,
                       const struct source *source)
{
    struct wal_unit unit = {.seq = u->write.seq,
                            .hard_state_changed = u->write.hard_state_changed,
                            .hard_state = u->write.hard_state,
                            .truncate_from = u->write.truncate_from,
                            .entries = n->wal_entries,
                            .n_entries = u->write.n_entries};
    if (unit.truncate_from != 0) {
        cache_truncate(&n->cache, unit.truncate_from);
        write_orphan(n, unit.truncate_from);
        if (n->recovered_last >= unit.truncate_from) { /* those will never be applied */
            n->recovered_last = unit.truncate_from - 1;
        }
    }
    if (unit.n_entries > 0) {
        COR_ASSERT(u->write.first == n->cache.next);
        if (source != NULL && source->message != NULL) {
            take_received(n, u, source);
        } else if (u->proposed_first != 0) {
            take_proposed(n, u, source);
        } else {
            take_noop(n, u);
        }
    }
    log_write(n, &unit);
    idle_touch(n, now);
    node_wake(n); /* for the flush */
}

/* ---- role ---------------------------------------------------------------------------------------- */

static void become_leader(struct node *n, uint64_t now)
{
    n->compact_at = now + NODE_COMPACT_INTERVAL;
    for (size_t i = 0; i < n->n_members; i++) {
        n->members[i].traced = 0;
    }
    event_emit(n->events, EVENT_INFO, "node", "became_leader", event_u64("term", n->info.term),
               event_u64("last_index", n->info.last));
}

static void note_role(struct node *n, uint64_t now)
{
    struct cor_raft_info was = n->info;
    cor_raft_get_info(n->raft, &n->info);
    bool led = was.role == COR_RAFT_LEADER;
    if (n->info.term != was.term) {
        n->stats.terms_started++;
    }
    if (node_leads(n) && (!led || n->info.term != was.term)) {
        become_leader(n, now);
    }
    if (led && !node_leads(n)) {
        event_emit(n->events, EVENT_WARN, "node", "stepped_down",
                   event_u64("term", n->info.term));
    }
    if (n->info.leader != 0 && (n->info.leader != n->leader_seen || n->info.term != was.term)) {
        n->stats.leader_changes += n->info.leader != n->leader_seen;
        n->leader_seen = n->info.leader;
        event_emit(n->events, EVENT_INFO, "node", "leader_known",
                   event_text("leader", n->members[n->info.leader - 1].name),
                   event_u64("term", n->info.term));
    }
    for (size_t i = 0; i < n->n_members; i++) {
        feed_reset(&n->members[i].feed); /* what was read may be cut off the log */
    }
    n->retry = true;
    node_wake(n);
}

/* ---- a step --------------------------------------------------------------------------------------- */

static void set_deadline(struct node *n, uint64_t deadline)
{
    n->core_deadline = deadline;
    if (deadline != COR_RAFT_NEVER && (n->core_timer_at == 0 || deadline < n->core_timer_at)) {
        n->core_timer_at = deadline > 0 ? deadline : 1;
        io_timer_set(n->io, &n->core_timer, n->core_timer_at);
    }
}

static void carry_out(struct node *n, const struct cor_raft_update *u, uint64_t now,
                      const struct source *source)
{
    if (u->role_changed) {
        note_role(n, now); /* first: what follows is done in the new role */
    }
    if (u->write.seq != 0) {
        take_write(n, u, now, source);
    }
    for (uint32_t i = 0; i < u->n_messages && n->phase != NODE_FAILED; i++) {
        feed_send(n, &u->messages[i]);
    }
    if (u->apply_to > n->apply_to) {
        n->apply_to = u->apply_to;
        node_wake(n);
    }
    for (uint32_t i = 0; i < u->n_reads; i++) {
        read_on_result(n, &u->reads[i]);
    }
    set_deadline(n, u->deadline);
    n->more = n->more || u->more;
}

static enum cor_status step_once(struct node *n, struct cor_raft_event *event, uint64_t now,
                                 const struct source *source)
{
    struct cor_raft_update u;
    event->now = now;
    enum cor_status st = cor_raft_step(n->raft, event, &u);
    if (st == COR_ENEEDTERM) {
        event->n_runs =
            (uint32_t)wal_runs(n->wal, u.need_first, u.need_last, n->runs, NODE_BATCH_MAX + 1);
        event->runs = n->runs;
        st = cor_raft_step(n->raft, event, &u);
    }
    COR_ASSERT(st != COR_EINVAL && st != COR_ENEEDTERM);
#ifdef CORACLE_SLOW_ASSERTS
    cor_raft_check(n->raft, NULL);
#endif
    carry_out(n, &u, now, source);
    return st;
}

enum cor_status core_step(struct node *n, struct cor_raft_event *event, uint64_t now,
                          const struct source *source)
{
    COR_ASSERT(!n->stepping);
    n->stepping = true;
    n->more = false;
    enum cor_status st = step_once(n, event, now, source);
    for (;;) {
        while (n->n_sent > 0) { /* a report may bring the next append of the same peer */
            struct sent s = n->sent[--n->n_sent];
            struct cor_raft_event sent = {.type = COR_RAFT_EV_SENT,
                                          .sent = {s.peer, s.first, s.n, s.bytes}};
            (void)step_once(n, &sent, now, NULL);
        }
        if (!n->more) {
            break;
        }
        n->more = false;
        struct cor_raft_event go_on = {.type = COR_RAFT_EV_CONTINUE};
        (void)step_once(n, &go_on, now, NULL);
    }
    n->stepping = false;
    log_after_step(n);
    return st;
}

/* ---- what happens by itself ------------------------------------------------------------------------- */

void core_on_timer(struct io_timer *timer)
{
    struct node *n = CONTAINER_OF(timer, struct node, core_timer);
    n->core_timer_at = 0;
    if (!node_is_live(n)) {
        return;
    }
    uint64_t now = io_now(n->io);
    if (now < n->core_deadline) {
        set_deadline(n, n->core_deadline); /* it was put off meanwhile */
        return;
    }
    struct cor_raft_event event = {.type = COR_RAFT_EV_TIME};
    (void)core_step(n, &event, now, NULL);
}

/* How long the sync took: the log counts all together. */
static void count_sync(struct node *n)
{
    struct wal_stats s;
    wal_get_stats(n->wal, &s);
    uint64_t syncs = s.syncs - n->syncs_seen;
    if (syncs == 0) {
        return;
    }
    uint64_t each = (s.sync_ns_total - n->sync_ns_seen) / syncs;
    unsigned bucket = 0;
    while (bucket + 1 < ARRAY_LEN(n->stats.sync_buckets) &&
           each > (UINT64_C(64000) << bucket)) {
        bucket++;
    }
    n->stats.sync_buckets[bucket] += syncs;
    n->syncs_seen = s.syncs;
    n->sync_ns_seen = s.sync_ns_total;
}

void core_on_durable(void *arg, uint64_t seq)
{
    struct node *n = arg;
    count_sync(n);
    if (node_is_live(n)) {
        struct cor_raft_event event = {.type = COR_RAFT_EV_PERSISTED,
                                       .persisted = {.seq = seq}};
        (void)core_step(n, &event, io_now(n->io), NULL);
        struct cor_raft_info info;
        cor_raft_get_info(n->raft, &info);
        if (info.durable > n->durable_seen && node_leads(n)) {
            trace_add(n, NODE_STEP_LEADER_LOG, n->durable_seen + 1,
                      info.durable - n->durable_seen, 0);
        }
        n->durable_seen = info.durable;
        if (n->sb.level < NODE_LEVEL) {
            n->sb.level = NODE_LEVEL; /* from now on a directory without a log has lost it */
            state_write(n, NULL);
        }
    }
    node_wake(n);
}

void core_on_wal_failed(void *arg, const struct cor_error *err)
{
    node_fail(arg, err);
}

void core_trim_cache(struct node *n)
{
    uint64_t durable = n->info.durable < n->applied ? n->info.durable : n->applied;
    cache_trim(&n->cache, n->options.cache_bytes_max, durable + 1);
    n->memory_short = !cache_reserve(&n->cache, 0);
}
