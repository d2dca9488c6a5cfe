/*
 * feed.c - appends to peers: entries from the cache or, for a peer that lags, from the log file.
 *
 * Place in the system: core.c hands over each message of an update. One that names entries is cut where our
 * memory of them ends or enough bytes are together. What is not in the cache is read off the loop,
 * one piece at a time for each peer; until it is there the core is told that nothing was sent, and
 * tries again when the peer is heard. After a piece went out the next one is read at once, so that it is
 * there when the peer has acknowledged this one.
 */
#include "node/internal.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define FEED_ENTRIES_MAX 4096u
#define FEED_BYTES_MAX   NODE_APPEND_BYTES_MAX

/* ---- reading ---------------------------------------------------------------------------------------- */

void feed_reset(struct feed *f)
{
    buf_unref(f->bytes);
    free(f->entries);
    f->bytes = NULL;
    f->entries = NULL;
    f->n = 0;
    f->wanted = false;
}

/* The payloads in one buf. False: out of memory. */
static bool keep(struct feed *f, const struct wal_entry *entries, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += entries[i].payload.len;
    }
    f->bytes = buf_new(bytes);
    f->entries = calloc(count, sizeof *f->entries);
    if (f->bytes == NULL || f->entries == NULL) {
        feed_reset(f);
        return false;
    }
    uint32_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        const struct wal_entry *e = &entries[i];
        f->entries[i] = (struct cache_entry){.term = e->term,
                                             .checksum = e->checksum,
                                             .buf = f->bytes,
                                             .offset = offset,
                                             .len = (uint32_t)e->payload.len,
                                             .type = e->type};
        if (e->payload.len > 0) {
            memcpy(f->bytes->data + offset, e->payload.ptr, e->payload.len);
        }
        offset += (uint32_t)e->payload.len;
    }
    f->first = entries[0].index;
    f->n = (uint32_t)count;
    return true;
}

static void on_read(struct wal_read *read, enum cor_status st, const struct wal_entry *entries,
                    size_t count, const struct cor_error *err)
{
    struct feed *f = CONTAINER_OF(read, struct feed, read);
    struct node *n = f->node;
    f->reading = false;
    if (st == COR_ECORRUPT || st == COR_EIO) {
        node_fail(n, err);
    } else if (st == COR_OK && count > 0 && f->wanted && node_leads(n)) {
        feed_reset(f);
        (void)keep(f, entries, count);
    }
    node_wake(n);
}

static void read_from(struct node *n, struct feed *f, uint64_t first)
{
    if (f->reading || !node_leads(n) || first >= n->cache.first) {
        return;
    }
    uint64_t count = n->cache.first - first;
    f->node = n;
    f->reading = true;
    f->wanted = true;
    f->read = (struct wal_read){.first = first,
                                .n_max = count < FEED_ENTRIES_MAX ? (uint32_t)count
                                                                  : FEED_ENTRIES_MAX,
                                .bytes_max = FEED_BYTES_MAX,
                                .done = on_read};
    wal_read_start(n->wal, &f->read);
}

bool feed_is_reading(const struct node *n)
{
    for (size_t i = 0; i < n->n_members; i++) {
        if (n->members[i].feed.reading) {
            return true;
        }
    }
    return false;
}

/* ---- sending ------------------------------------------------------------------------------------------ */

static const struct cache_entry *find(const struct node *n, const struct feed *f,
                                      uint64_t index)
{
    if (index >= f->first && index < f->first + f->n) {
        return &f->entries[index - f->first];
    }
    return cache_get(&n->cache, index);
}

/* Collect what goes with @m: returns how many entries. */
static uint32_t gather(struct node *n, const struct feed *f, const struct cor_raft_message *m,
                       uint64_t *bytes)
{
    uint32_t count = 0;
    *bytes = 0;
    while (count < m->n_entries) {
        const struct cache_entry *e = find(n, f, m->first + count);
        if (e == NULL || (count > 0 && *bytes + e->len > NODE_APPEND_BYTES_MAX)) {
            break;
        }
        n->peer_entries[count++] = (struct peer_entry){.term = e->term,
                                                       .type = e->type,
                                                       .checksum = e->checksum,
                                                       .payload = cache_payload(e)};
        *bytes += e->len;
    }
    return count;
}

static bool fill_in_term(const struct node *n, struct cor_raft_message *m)
{
    if (!m->prev_term_unknown) {
        return true;
    }
    struct cor_raft_run run;
    if (wal_runs(n->wal, m->prev.index, m->prev.index, &run, 1) != 1) {
        return false;
    }
    m->prev.term = run.term;
    m->prev_term_unknown = false;
    return true;
}

static void send_append(struct node *n, size_t peer, const struct cor_raft_message *m)
{
    struct feed *f = &n->members[m->to - 1].feed;
    struct cor_raft_message out = *m;
    struct sent sent = {.peer = m->to, .first = m->first};
    uint64_t bytes = 0;
    if (m->first >= n->cache.first) {
        feed_reset(f); /* it has caught up */
    }
    bool ready = fill_in_term(n, &out) && peers_queued(n->peers, peer) <= NODE_PEER_QUEUE_MAX;
    out.n_entries = ready ? gather(n, f, m, &bytes) : 0;
    if (ready && (out.n_entries > 0 || m->n_entries == 0) &&
        peers_send_append(n->peers, peer, &out, n->peer_entries)) {
        sent.n = out.n_entries;
        sent.bytes = bytes;
        if (sent.n > 0) {
            trace_append(n, &out, n->peer_entries[sent.n - 1].term);
        }
    }
    if (m->n_entries > 0) {
        COR_ASSERT(n->n_sent < COR_RAFT_MEMBERS_MAX);
        n->sent[n->n_sent++] = sent;
        uint64_t next = m->first + sent.n;
        if (peers_is_up(n->peers, peer) && next < n->cache.next && find(n, f, next) == NULL) {
            read_from(n, f, next);
        }
    }
}

void feed_send(struct node *n, const struct cor_raft_message *m)
{
    size_t peer = node_peer_of_id(n, m->to);
    if (m->type == COR_RAFT_MSG_APPEND) {
        send_append(n, peer, m);
    } else {
        (void)peers_send(n->peers, peer, m);
    }
}
