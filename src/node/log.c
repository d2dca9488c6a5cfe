/*
 * log.c - units into the log, and room there.
 *
 * Place in the system: core.c hands over the write of each update; write.c and receive.c ask first whether
 * there is room, so entries never come without it. What nobody can be asked about is a leader's first
 * entry, and on a disk that is full to the last page there may be no place for it. Then it is *held* in
 * memory, with all that comes after it, like a write to a disk that does not answer: nothing depends on
 * it before it is durable. The core takes no new entries meanwhile, and when there is room again what
 * was held is written first.
 */
#include "node/internal.h"

#include "base/error.h"

#include <string.h>

/* ---- held units ------------------------------------------------------------------------------- */

static void fail(struct node *n, enum cor_status st)
{
    struct cor_error err;
    (void)error_set(&err, st, "the log takes no more: %s", cor_status_text(st));
    node_fail(n, &err);
}

static void hold(struct node *n, const struct wal_unit *unit)
{
    if (n->n_held == NODE_HELD_MAX) {
        fail(n, COR_ENOSPACE);
        return;
    }
    COR_ASSERT(unit->truncate_from == 0 && unit->n_entries <= 1);
    struct held_unit *h = &n->held[n->n_held++];
    *h = (struct held_unit){.seq = unit->seq,
                            .hard_state_changed = unit->hard_state_changed,
                            .hard_state = unit->hard_state};
    if (unit->n_entries == 1) {
        COR_ASSERT(unit->entries[0].type == COR_ENTRY_NOOP);
        h->noop = unit->entries[0];
    }
}

/* False: there is still no room for all. */
static bool write_held(struct node *n)
{
    uint32_t written = 0;
    enum cor_status st = COR_OK;
    while (written < n->n_held && st == COR_OK) {
        const struct held_unit *h = &n->held[written];
        struct wal_unit unit = {.seq = h->seq,
                                .hard_state_changed = h->hard_state_changed,
                                .hard_state = h->hard_state,
                                .entries = &h->noop,
                                .n_entries = h->noop.index != 0 ? 1 : 0};
        st = wal_write(n->wal, &unit);
        written += st == COR_OK;
    }
    n->n_held -= written;
    memmove(n->held, n->held + written, n->n_held * sizeof n->held[0]);
    if (st != COR_OK && st != COR_ENOSPACE) {
        fail(n, st);
    }
    return n->n_held == 0;
}

void log_write(struct node *n, const struct wal_unit *unit)
{
    enum cor_status st = n->n_held > 0 ? COR_ENOSPACE : wal_write(n->wal, unit);
    bool can_wait = unit->n_entries == 0 || unit->entries[0].type == COR_ENTRY_NOOP;
    if (st == COR_ENOSPACE && unit->truncate_from == 0 && unit->n_entries <= 1 && can_wait) {
        hold(n, unit);
    } else if (st != COR_OK) {
        /* The core has taken what the log could not: nothing that follows can be trusted. */
        fail(n, st);
    }
}

/* ---- room --------------------------------------------------------------------------------------- */

static void tell_disk(struct node *n, bool full)
{
    if (n->disk_full == full || !node_is_live(n)) {
        return;
    }
    n->disk_full = full;
    event_emit(n->events, full ? EVENT_ERROR : EVENT_INFO, "node",
               full ? "disk_full" : "disk_has_room", event_u64("log_room", wal_room(n->wal)));
    struct cor_raft_event event = {.type = COR_RAFT_EV_DISK, .disk = {.full = full}};
    /* At the end of a turn its own time: the steps that follow there have no later one. */
    (void)core_step(n, &event, n->in_turn ? n->now : io_now(n->io), NULL);
}

void log_after_step(struct node *n)
{
    if (n->n_held > 0) {
        tell_disk(n, true); /* before anything else can ask for a place behind it */
    }
}

static bool log_takes(const struct node *n, uint64_t bytes, uint64_t n_entries)
{
    uint64_t cost = NODE_LOG_UNIT_COST + bytes + n_entries * NODE_LOG_ENTRY_COST;
    return cost <= wal_room(n->wal);
}

bool log_has_room(struct node *n, uint64_t bytes, uint64_t n_entries)
{
    if (n->memory_short || n->n_held > 0 ||
        n->cache.bytes + bytes > n->options.cache_bytes_max + NODE_UNSYNCED_MAX) {
        return false; /* or the disk does not keep up */
    }
    if (log_takes(n, bytes, n_entries)) {
        return true;
    }
    if (wal_is_full(n->wal)) {
        tell_disk(n, true);
    }
    return false;
}

void log_on_room(void *arg)
{
    struct node *n = arg;
    if (!node_is_live(n)) {
        return;
    }
    if (!wal_is_full(n->wal) && write_held(n)) {
        tell_disk(n, false);
    }
    n->retry = true;
    idle_refresh_disk_free(n);
    node_wake(n);
}
