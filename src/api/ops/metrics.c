/*
 * metrics.c - numbers for Prometheus: GET /metrics, text format 0.0.4.
 *
 * Place in the system: a route of router.c. etcd's names where the meaning is the same, so that what people have
 * built on them shows something true; coracle_* otherwise. All in one table per source, so that a
 * number and its description stand together; docs/api.md names none of them singly.
 */
#include "api/internal.h"

#include "base/format.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_SIZE (128u << 10) /* bytes; about 12 KiB are used with three members */

struct page {
    char *text;
    size_t used, size;
    bool failed; /* cut */
};

static void put(struct page *p, const char *text)
{
    size_t len = strlen(text);
    if (p->used + len >= p->size) {
        p->failed = true;
        return;
    }
    memcpy(p->text + p->used, text, len);
    p->used += len;
}

static void put_u64(struct page *p, uint64_t v)
{
    char text[24];
    text[u64_to_text(v, text)] = '\0';
    put(p, text);
}

static void put_seconds(struct page *p, uint64_t ns)
{
    char text[48];
    format_to(text, sizeof text, "%llu.%09llu", (unsigned long long)(ns / API_S),
              (unsigned long long)(ns % API_S));
    put(p, text);
}

static void describe(struct page *p, const char *name, const char *type, const char *help)
{
    put(p, "# HELP ");
    put(p, name);
    put(p, " ");
    put(p, help);
    put(p, "\n# TYPE ");
    put(p, name);
    put(p, " ");
    put(p, type);
    put(p, "\n");
}

static void put_value(struct page *p, const char *name, uint64_t v)
{
    put(p, name);
    put(p, " ");
    put_u64(p, v);
    put(p, "\n");
}

/* "name{label="value"} v" */
static void put_labelled(struct page *p, const char *name, const char *label, const char *value,
                         uint64_t v)
{
    put(p, name);
    put(p, "{");
    put(p, label);
    put(p, "=\"");
    put(p, value);
    put(p, "\"} ");
    put_u64(p, v);
    put(p, "\n");
}

enum metric_type {
    GAUGE = 1,
    COUNTER
};

struct metric {
    const char *name;
    enum metric_type type;
    uint64_t value;
    const char *help;
};

static void put_metrics(struct page *p, const struct metric *metrics, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        describe(p, metrics[i].name, metrics[i].type == GAUGE ? "gauge" : "counter",
                 metrics[i].help);
        put_value(p, metrics[i].name, metrics[i].value);
    }
}

/* ---- what there is ------------------------------------------------------------------------------------ */

static void put_consensus(struct page *p, const struct node_status *s,
                          const struct node_stats *t)
{
    const struct metric metrics[] = {
        {"etcd_server_has_leader", GAUGE, s->raft.leader != 0, "Whether a leader is known."},
        {"etcd_server_is_leader", GAUGE, s->raft.leader == s->id, "Whether this node leads."},
        {"etcd_server_leader_changes_seen_total", COUNTER, t->leader_changes,
         "Leader changes seen."},
        {"etcd_server_proposals_committed_total", GAUGE, s->raft.commit,
         "Index of the last committed entry."},
        {"etcd_server_proposals_applied_total", GAUGE, s->kv.applied,
         "Index of the last applied entry."},
        {"etcd_server_proposals_pending", GAUGE, t->proposals_pending,
         "Writes accepted here and not answered."},
        {"etcd_server_proposals_failed_total", COUNTER, t->writes_failed,
         "Writes that were not done."},
        {"coracle_ready", GAUGE, s->ready, "Whether /readyz says ok."},
        {"coracle_term", GAUGE, s->raft.term, "Term of this node."},
        {"coracle_log_last_index", GAUGE, s->raft.last, "Index of the last entry of the log."},
        {"coracle_log_durable_index", GAUGE, s->raft.durable,
         "Index of the last entry that is synced here."},
        {"coracle_terms_started_total", COUNTER, t->terms_started,
         "Elections this node stood in."},
        {"coracle_pending_bytes", GAUGE, t->pending_bytes,
         "Bytes of requests accepted and not answered."},
        {"coracle_entry_cache_bytes", GAUGE, t->cache_bytes,
         "Bytes of recent entries kept for peers."},
    };
    put_metrics(p, metrics, ARRAY_LEN(metrics));
}

static void put_requests(struct page *p, const struct node_stats *t)
{
    const struct metric metrics[] = {
        {"coracle_writes_total", COUNTER, t->writes, "Writes asked of this node."},
        {"coracle_writes_unknown_total", COUNTER, t->writes_unknown,
         "Writes whose outcome could not be told."},
        {"coracle_writes_forwarded_total", COUNTER, t->writes_forwarded,
         "Writes sent on to the leader."},
        {"coracle_reads_failed_total", COUNTER, t->reads_failed, "Reads that got no answer."},
        {"coracle_lease_reads_total", COUNTER, t->lease_reads,
         "Reads answered under the leader's lease."},
        {"coracle_read_rounds_total", COUNTER, t->read_rounds,
         "Rounds to a majority made for reads; many reads share one."},
    };
    put_metrics(p, metrics, ARRAY_LEN(metrics));
    describe(p, "coracle_reads_total", "counter", "Reads asked of this node, by mode.");
    put_labelled(p, "coracle_reads_total", "mode", "default", t->reads_default);
    put_labelled(p, "coracle_reads_total", "mode", "consistent", t->reads_consistent);
    put_labelled(p, "coracle_reads_total", "mode", "stale", t->reads_stale);
}

static void put_store(struct page *p, const struct node_status *s, const struct node_stats *t)
{
    const struct metric metrics[] = {
        {"etcd_debugging_mvcc_current_revision", GAUGE, s->kv.revision,
         "Revision of the store."},
        {"etcd_debugging_mvcc_compact_revision", GAUGE, s->kv.compacted,
         "Oldest revision that can be read."},
        {"etcd_debugging_mvcc_keys_total", GAUGE, s->kv.keys[KV_TABLE_KEYS], "Keys."},
        {"etcd_debugging_mvcc_watcher_total", GAUGE, t->watchers, "Watches."},
        {"etcd_debugging_mvcc_events_total", COUNTER, t->watch_events,
         "Events told to watches."},
        {"etcd_mvcc_db_total_size_in_bytes", GAUGE, s->kv.memory_bytes,
         "Memory that the store holds."},
        {"etcd_mvcc_db_total_size_in_use_in_bytes", GAUGE, s->kv.live_bytes,
         "Of it, keys and values of newest versions."},
        {"coracle_history_bytes", GAUGE, s->kv.history_bytes,
         "Of it, versions that only history needs."},
        {"coracle_memory_full", GAUGE, s->memory_full,
         "Whether writes are refused for the memory limit."},
        {"coracle_client_sessions", GAUGE, s->kv.keys[KV_TABLE_CLIENTS],
         "Open sessions of clients."},
        {"coracle_watchers", GAUGE, t->watchers, "Watches."},
        {"coracle_waiters", GAUGE, t->waiters, "Blocked reads."},
        {"coracle_watches_cancelled_total", COUNTER, t->watch_cancelled,
         "Watches that the node ended."},
    };
    put_metrics(p, metrics, ARRAY_LEN(metrics));
}

static void put_disk(struct page *p, const struct node_status *s, const struct node_stats *t)
{
    const struct metric metrics[] = {
        {"etcd_disk_wal_write_bytes_total", GAUGE, t->wal_bytes, "Bytes written to the log."},
        {"coracle_wal_entries_total", COUNTER, t->wal_entries, "Entries written to the log."},
        {"coracle_wal_disk_bytes", GAUGE, t->wal_disk_bytes, "Size of the log's files."},
        {"coracle_disk_full", GAUGE, s->disk_full, "Whether writes are refused for the disk."},
        {"coracle_disk_free_bytes", GAUGE, s->disk_free_bytes,
         "Free space of the data directory."},
    };
    put_metrics(p, metrics, ARRAY_LEN(metrics));
    describe(p, "coracle_wal_fsync_duration_seconds_max", "gauge", "The longest sync.");
    put(p, "coracle_wal_fsync_duration_seconds_max ");
    put_seconds(p, t->wal_sync_ns_max);
    put(p, "\n");
}

/* Buckets as node.h has them: 64 us, and twice as long each; the last one has no end. */
static void put_syncs(struct page *p, const struct node_stats *t)
{
    static const char name[] = "etcd_disk_wal_fsync_duration_seconds";
    uint64_t sum = 0;
    size_t n = ARRAY_LEN(t->sync_buckets);
    describe(p, name, "histogram", "Syncs of the log.");
    for (size_t i = 0; i < n; i++) {
        sum += t->sync_buckets[i];
        put(p, name);
        put(p, "_bucket{le=\"");
        if (i + 1 < n) {
            put_seconds(p, UINT64_C(64000) << i);
        } else {
            put(p, "+Inf");
        }
        put(p, "\"} ");
        put_u64(p, sum);
        put(p, "\n");
    }
    put(p, name);
    put(p, "_sum ");
    put_seconds(p, t->wal_sync_ns_total);
    put(p, "\n");
    put(p, name);
    put(p, "_count ");
    put_u64(p, sum);
    put(p, "\n");
}

static void put_commits(struct page *p, const struct node_stats *t)
{
    static const char name[] = "coracle_commit_duration_seconds";
    describe(p, name, "summary", "From proposing a write here to applying it.");
    put(p, name);
    put(p, "_sum ");
    put_seconds(p, t->commit_ns_total);
    put(p, "\n");
    put(p, name);
    put(p, "_count ");
    put_u64(p, t->commits_timed);
    put(p, "\n");
}

/* ---- peers ------------------------------------------------------------------------------------------------ */

static void put_peers(struct page *p, const struct node_status *s, const struct node_stats *t)
{
    static const struct {
        const char *name, *help;
    } of_peer[] = {
        {"coracle_peer_connected", "Whether the peer is connected."},
        {"coracle_peer_match_index",
         "Leader: index up to which the peer's log is known to match."},
        {"coracle_peer_lag_entries", "Leader: entries that the peer's log is behind."},
    };
    for (size_t m = 0; m < ARRAY_LEN(of_peer); m++) {
        describe(p, of_peer[m].name, "gauge", of_peer[m].help);
        for (size_t i = 0; i < s->n_peers; i++) {
            const struct node_peer_status *peer = &s->peers[i];
            uint64_t values[] = {peer->connected, peer->match, peer->lag_entries};
            if (!peer->self) {
                put_labelled(p, of_peer[m].name, "peer", peer->name, values[m]);
            }
        }
    }
    const struct metric metrics[] = {
        {"coracle_peer_sent_bytes_total", COUNTER, t->peer_bytes_sent, "Bytes sent to peers."},
        {"coracle_peer_received_bytes_total", COUNTER, t->peer_bytes_received,
         "Bytes received from peers."},
        {"coracle_peer_sent_messages_total", COUNTER, t->peer_messages_sent,
         "Messages sent to peers."},
        {"coracle_peer_received_messages_total", COUNTER, t->peer_messages_received,
         "Messages received from peers."},
    };
    put_metrics(p, metrics, ARRAY_LEN(metrics));
}

static void put_api(struct page *p, const struct api *api)
{
    const struct api_stats *s = &api->stats;
    const struct metric metrics[] = {
        {"coracle_http_connections", GAUGE, s->connections, "Client connections."},
        {"coracle_http_connections_total", COUNTER, s->connections_total,
         "Client connections accepted."},
        {"coracle_http_connections_refused_total", COUNTER, s->refused,
         "Client connections refused for their number."},
        {"coracle_http_requests_total", COUNTER, s->requests, "Requests."},
        {"coracle_http_received_bytes_total", COUNTER, s->bytes_in, "Bytes from clients."},
        {"coracle_http_sent_bytes_total", COUNTER, s->bytes_out, "Bytes to clients."},
    };
    put_metrics(p, metrics, ARRAY_LEN(metrics));
    describe(p, "coracle_build_info", "gauge", "Always 1; the version of this program.");
    put_labelled(p, "coracle_build_info", "version", api->o.version, 1);
}

static enum rendered render_metrics(struct exchange *x, struct out *o)
{
    struct api *api = x->api;
    struct node_status s;
    struct node_stats t;
    struct page p = {.text = malloc(PAGE_SIZE), .size = PAGE_SIZE};
    if (p.text == NULL) {
        struct extra extra;
        extra.used = 0;
        return exchange_render_failure(x, o, COR_ENOMEM, &extra);
    }
    node_get_status(api->node, &s);
    node_get_stats(api->node, &t);
    put_consensus(&p, &s, &t);
    put_requests(&p, &t);
    put_store(&p, &s, &t);
    put_disk(&p, &s, &t);
    put_syncs(&p, &t);
    put_commits(&p, &t);
    put_peers(&p, &s, &t);
    put_api(&p, api);
    COR_ASSERT(!p.failed); /* the number of members is bounded, and so are their names */
    const struct answer a = {.status = 200, .type = "text/plain; version=0.0.4; charset=utf-8"};
    answer_whole(x, o, &a, (struct cor_bytes){(const unsigned char *)p.text, p.used});
    free(p.text);
    return RENDER_DONE;
}

void ops_metrics(struct exchange *x, const struct http_request *r)
{
    static const struct exchange_ops ops = {.render = render_metrics};
    exchange_start_plain(x, r, &ops);
}
