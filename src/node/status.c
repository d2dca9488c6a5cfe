/*
 * status.c - a node seen from outside: /status, /metrics, `coracle status`. Copies, at no particular cost.
 */
#include "node/internal.h"

#include <string.h>

static const char *role_name(enum cor_raft_role role)
{
    switch (role) {
    case COR_RAFT_LEADER:
        return "Leader";
    case COR_RAFT_CANDIDATE:
    case COR_RAFT_PRE_CANDIDATE:
        return "Candidate";
    case COR_RAFT_FOLLOWER:
        break;
    }
    return "Follower";
}

static const struct peer_hello *hello_of(const struct node *n, size_t member)
{
    if (n->peers == NULL || member == n->self) {
        return NULL;
    }
    return peers_hello(n->peers, member < n->self ? member : member - 1);
}

static const char *client_address(const struct node *n, size_t member)
{
    const struct peer_hello *hello = hello_of(n, member);
    if (member == n->self) {
        return n->client_address;
    }
    return hello == NULL ? "" : hello->client_address;
}

static void fill_peer(const struct node *n, size_t i, uint64_t now, struct node_peer_status *p)
{
    const struct member *m = &n->members[i];
    *p = (struct node_peer_status){.name = m->name,
                                   .address = m->address,
                                   .client_address = client_address(n, i),
                                   .id = i + 1,
                                   .self = i == n->self,
                                   .voter = node_is_formed(n),
                                   .last_contact_ms = UINT64_MAX,
                                   .applied = m->commit};
    if (p->self) {
        p->connected = true;
        p->last_contact_ms = 0;
        p->applied = n->applied;
        return;
    }
    p->connected = n->peers != NULL && peers_is_up(n->peers, i < n->self ? i : i - 1);
    if (m->last_contact != 0) {
        p->last_contact_ms = now > m->last_contact ? (now - m->last_contact) / NODE_MS : 0;
    }
}

static void fill_progress(const struct node *n, struct node_status *out)
{
    struct cor_raft_peer_info peers[COR_RAFT_MEMBERS_MAX];
    size_t count = cor_raft_get_peers(n->raft, peers, COR_RAFT_MEMBERS_MAX);
    for (size_t i = 0; i < count && out->raft.role == COR_RAFT_LEADER; i++) {
        COR_ASSERT(peers[i].id >= 1 && peers[i].id <= n->n_members);
        struct node_peer_status *p = &out->peers[peers[i].id - 1];
        p->match = peers[i].match;
        p->next = peers[i].next;
        p->inflight_bytes = peers[i].inflight_bytes;
        p->lag_entries = out->raft.last - p->match;
    }
}

void node_get_status(const struct node *n, struct node_status *out)
{
    uint64_t now = io_now(n->io);
    memset(out, 0, sizeof *out);
    out->phase = n->phase;
    out->name = n->name;
    out->id = node_is_formed(n) ? node_self_id(n) : 0;
    memcpy(out->cluster_id, n->sb.cluster_id, sizeof out->cluster_id);
    memcpy(out->disk_id, n->sb.disk_id, sizeof out->disk_id);
    out->incarnation = n->sb.incarnation;
    out->leader_name = "";
    out->leader_client_address = "";
    out->waiting_for = n->form.waiting_for;
    out->disk_full = n->disk_full || (n->wal != NULL && wal_is_full(n->wal));
    out->memory_full = !kv_has_room(n->kv, n->memory_refused);
    out->disk_free_bytes = n->disk_free_bytes;
    out->n_peers = n->n_members;
    kv_get_info(n->kv, &out->kv);
    for (size_t i = 0; i < n->n_members; i++) {
        fill_peer(n, i, now, &out->peers[i]);
    }
    if (n->raft != NULL) {
        cor_raft_get_info(n->raft, &out->raft);
        fill_progress(n, out);
    }
    out->role = role_name(out->raft.role);
    cor_node_id leader = out->raft.leader;
    if (leader != 0) {
        out->leader_name = n->members[leader - 1].name;
        out->leader_client_address = client_address(n, (size_t)leader - 1);
    }
    out->ready = n->told_ready && leader != 0 && node_is_live(n) &&
                 out->raft.commit - n->applied <= NODE_APPLY_MAX;
}

static void add_peers(const struct node *n, struct node_stats *out)
{
    struct peer_stats s;
    if (n->peers != NULL) {
        peers_get_stats(n->peers, &s);
        out->peer_bytes_sent = s.bytes_sent;
        out->peer_bytes_received = s.bytes_received;
        out->peer_messages_sent = s.messages_sent;
        out->peer_messages_received = s.messages_received;
    }
}

static void add_log(const struct node *n, struct node_stats *out)
{
    struct wal_stats s;
    if (n->wal != NULL) {
        wal_get_stats(n->wal, &s);
        out->wal_syncs = s.syncs;
        out->wal_bytes = s.bytes_written;
        out->wal_entries = s.entries_written;
        out->wal_sync_ns_total = s.sync_ns_total;
        out->wal_sync_ns_max = s.sync_ns_max;
        out->wal_disk_bytes = s.disk_bytes;
    }
}

void node_get_stats(const struct node *n, struct node_stats *out)
{
    *out = n->stats;
    out->proposals_pending =
        n->fresh_writes.n + n->waiting_writes.n + n->forwarded.n + n->proposed.n + n->orphans.n;
    out->pending_bytes = n->requests.bytes;
    out->cache_bytes = n->cache.bytes;
    hub_get_stats(n->hub, out);
    add_peers(n, out);
    add_log(n, out);
}
