/*
 * node.h - one member of the cluster: the only place that knows the order persist, send, apply.
 *
 * Place in the system: api/ hands in operations and reads and gets answers by callback; below are
 * raft/ (what to do), wal/ (make it durable), kv/ (what it means) and peer/ (tell the others), all
 * driven by the events of io/. Pure: runs unchanged on libuv and in the simulator.
 *
 * Batches: proposals and reads that arrive in one turn of the loop are handed to the core together at the
 * end of the turn; one clock reading serves them all, taken after the last byte was read (D5).
 *
 * Three outcomes of a write (D16): done; COR_ENOTDONE and friends (refused before it was sent or
 * appended: retry is safe); COR_EUNKNOWN (leader or link lost before the answer). A forwarded write
 * is sent once.
 *
 * Threads: everything on the loop. Callbacks are never made from inside the call that was given
 * them, with one exception that is named.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/attr.h"
#include "base/event.h"
#include "coracle/raft.h"
#include "coracle/status.h"
#include "io/io.h"
#include "kv/kv.h"

#include <stdbool.h>
#include <stdint.h>

struct node;

#define NODE_REQUEST_MAX ENTRY_OPS_MAX /* bytes of operations in one request */

struct node_member {
    const char *name;    /* 1 to 63 bytes: letters, digits, '.', '_', '-' */
    const char *address; /* host:port of its peer listener */
};

/* Durations in nanoseconds; 0: the default given. Strings are copied by node_open(). */
struct node_options {
    struct io *io; /* with the fs of the data directory */
    struct event_sink *events;
    const char *name;
    const struct node_member
        *members; /* of a static cluster, this node among them; none: alone */
    size_t n_members;
    const char *peer_listen;    /* where to listen for peers; NULL: own address in members */
    const char *client_address; /* told to peers, for hints to clients; may be NULL */
    uint64_t heartbeat, election_min, election_max; /* see cor_raft_options */
    bool no_lease;                                  /* --default-reads=consistent */
    uint64_t request_timeout; /* 5 s: a request without an answer by then gets one */
    uint64_t memory_max;      /* store: see kv_options */
    uint64_t history_ns;      /* 10 min of history kept; UINT64_MAX: all */
    uint64_t history_bytes;   /* a quarter of memory_max */
    uint64_t
        pending_bytes_max;    /* 64 MiB of requests accepted and not answered; then COR_EBUSY */
    uint64_t cache_bytes_max; /* 16 MiB of recent entries kept for peers */
    uint32_t watchers_max;    /* 1,000,000 */
    bool no_direct;           /* see wal_options */
    void *arg;
    /* The node cannot go on (failed sync, refused by its cluster, an entry it does not
     * understand): it answers nobody any more; the owner says why and calls node_stop. */
    void (*on_fatal)(void *arg, const struct cor_error *err);
    /* Formed, a leader is known and everything committed at start has been applied: first time
     * only. May be NULL. */
    void (*on_ready)(void *arg);
};

/*
 * Open the data directory, recover, listen for peers, start. Blocks for recovery.
 *
 * COR_OK; COR_EINVAL: options (own name not in members, duplicate...); COR_EFOREIGN: the directory is another
 * node's or cluster's; COR_ECORRUPT; COR_ENOSPACE; COR_EEXIST: the peer address is in use; COR_EIO.
 * @err says what to do. Nothing on disk was changed unless COR_OK or COR_ENOSPACE.
 */
MUST_USE enum cor_status node_open(const struct node_options *options, struct cor_error *err,
                                   struct node **out);
/* Stop in order: refuse new requests (COR_ESTOPPED), give the pending ones up to @grace ns, write
 * the state file, close connections; then @done. */
void node_stop(struct node *n, uint64_t grace, void (*done)(void *arg), void *arg);
/* Free after node_stop's done, or after the world was crashed (simulator: nothing in flight will
 * ever complete). */
void node_free(struct node *n);

/* ---- writes ---------------------------------------------------------------------------------- */

/*
 * @st COR_OK: @result is what the entry did (its own status included), applied on the leader; borrowed
 * for the call. Otherwise @result is NULL and @st one of
 *   not done: COR_ENOTDONE, COR_ENOLEADER, COR_EBUSY, COR_ENOSPACE, COR_ETOOBIG, COR_EINVAL, COR_ESTOPPED
 *   outcome unknown: COR_EUNKNOWN.
 */
typedef void (*node_write_done)(void *arg, enum cor_status st, const struct kv_result *result);

struct node_write {
    uint8_t dialect;      /* enum entry_dialect */
    struct cor_bytes ops; /* encoded (kv/entry.h); copied before the call returns */
    uint64_t timeout;     /* ns; 0: request_timeout */
    /* D12: executed once, however often it is asked, of whatever node (kv.h). Both 0: no session. */
    uint64_t session, number;
};

/* Propose @write, here or through the leader. COR_OK: @done will be called, exactly once.
 * Otherwise it will not, and the status says why: not done. */
MUST_USE enum cor_status node_write(struct node *n, const struct node_write *write,
                                    node_write_done done, void *arg);

/* ---- reads ------------------------------------------------------------------------------------ */

enum node_read_mode {
    NODE_READ_DEFAULT = 0,    /* leader's lease */
    NODE_READ_CONSISTENT = 1, /* one quorum round */
    NODE_READ_STALE = 2,      /* this node's state, now */
};

struct node_read_info {
    const struct kv *kv;      /* read from it inside the callback */
    cor_node_id leader;       /* 0: none known */
    uint64_t last_contact_ms; /* since the leader was last heard; 0 on the leader */
    uint64_t lag_entries;     /* committed, as far as known here, and not applied */
};

/* COR_OK; COR_ENOLEADER; COR_ETIMEDOUT; COR_EBUSY; COR_ESTOPPED. @info is borrowed; on failure too it
 * has leader and contact. */
typedef void (*node_read_done)(void *arg, enum cor_status st,
                               const struct node_read_info *info);

/* Call @done once the store of this node may answer a read of @mode that arrived now. Stale reads
 * are answered at the end of the turn. */
MUST_USE enum cor_status node_read(struct node *n, enum node_read_mode mode, uint64_t timeout,
                                   node_read_done done, void *arg);

/* ---- watches ------------------------------------------------------------------------------------ */

struct hub;
struct hub_mark;

/* A place in a list, private: the struct that it is embedded in is its owner. */
struct node_link {
    struct node_link *next, *previous;
};

/* One change, made once and shared by all watchers of it. Hold on to it with node_event_ref. */
struct node_event {
    uint32_t refs;
    uint8_t type; /* enum kv_event_type */
    uint8_t table;
    uint32_t marks; /* private: how often it stands in the queues of watches */
    uint64_t revision;
    struct kv_item item; /* in this allocation */
};
struct node_event *node_event_ref(struct node_event *e);
void node_event_unref(struct node_event *e);

/*
 * A watch of a range of keys, embedded in its owner. Events come in order of revision, each exactly
 * once, all events of one revision in one call. Events before the present come from history.
 * If the owner is not ready (on_events returns false), or cannot keep up, up to queue_bytes_max of
 * events wait; past that they are forgotten and read from history later, so a slow watch costs
 * writers nothing. Where there is no history (every table but 0) the watch is cancelled with
 * COR_EBUSY instead.
 *
 * A callback may stop, start and resume any watch or wait, its own included.
 */
struct node_watch {
    struct kv_range range;   /* bytes owned by the owner, for the life of the watch */
    uint64_t start_revision; /* first revision wanted; 0: from now on; may be in the future */
    size_t queue_bytes_max;  /* 0: 1 MiB */
    void *arg;
    /* The array is borrowed, as are the events unless referenced. False: not now, offer the same
     * again after node_watch_resume(). */
    bool (*on_events)(void *arg, struct node_event *const *events, size_t n);
    /* The watch is over: COR_ECOMPACTED (@revision: the oldest that can be watched from),
     * COR_EBUSY (@revision: resume from here), COR_ESTOPPED. Not after node_watch_stop. The watch
     * may be started again, or its memory freed, from in here. */
    void (*on_cancel)(void *arg, enum cor_status st, uint64_t revision);
    struct node_watch_state { /* private */
        struct hub *hub;
        struct kv_watcher watcher;
        struct node_link link;
        struct hub_mark *first, **end; /* events that wait, oldest first */
        uint64_t next_revision; /* behind: to be read next; live: earlier ones are not wanted */
        size_t queued_bytes;
        unsigned state; /* hub.h: enum watch_state */
    } private_;
};
/* COR_OK; COR_EBUSY: watchers_max; COR_EINVAL: no such table; COR_ESTOPPED. The struct need not be
 * initialized beyond the public fields. */
MUST_USE enum cor_status node_watch_start(struct node *n, struct node_watch *w);
/* The owner is ready again. Nothing happens unless on_events said no before. */
void node_watch_resume(struct node_watch *w);
/* Nothing happens if it is over already, or was zeroed and never started. */
void node_watch_stop(struct node_watch *w);

/*
 * Blocking queries: call @wake once when a key in @range changed after @index (kv_range_revision >
 * index), or after @timeout ns. Woken when *this* node applies the change. The waiter is embedded in its
 * owner; range bytes are owned by the owner.
 */
struct node_wait {
    struct kv_range range;
    uint64_t index;
    void *arg;
    void (*wake)(void *arg,
                 enum cor_status st); /* COR_OK: changed; COR_ETIMEDOUT; COR_ESTOPPED */
    struct node_wait_state {          /* private */
        struct hub *hub;
        struct kv_watcher watcher;
        struct io_timer timer;
        struct node_link link;
        unsigned state; /* hub.h: enum wait_state */
    } private_;
};
/* As node_watch_start. @timeout IO_NEVER: none. */
MUST_USE enum cor_status node_wait_start(struct node *n, struct node_wait *w, uint64_t timeout);
void node_wait_stop(struct node_wait *w);

/* ---- views -------------------------------------------------------------------------------------- */

const struct kv *node_kv(const struct node *n);
struct io *node_io(const struct node *n);
/* The consensus core, for cor_raft_check() and the judges of the simulator; NULL while forming. */
const struct cor_raft *node_raft(const struct node *n);

enum node_phase {
    NODE_FORMING = 1, /* waiting for the other members, first time only */
    NODE_RUNNING = 2,
    NODE_STOPPING = 3,
    NODE_FAILED = 4,
};

struct node_peer_status {
    const char *name, *address, *client_address; /* "" when unknown */
    cor_node_id id;
    bool self, connected, voter;
    uint64_t match, next, inflight_bytes;
    uint64_t lag_entries;     /* last index of the leader - match; leader only */
    uint64_t last_contact_ms; /* UINT64_MAX: never */
    uint64_t applied;         /* as it said in its last message; 0: unknown */
};

struct node_status {
    enum node_phase phase;
    const char *name;
    cor_node_id id;
    unsigned char cluster_id[16], disk_id[16];
    uint64_t incarnation;
    const char *role; /* "Leader", "Candidate" or "Follower": always exactly one (S2) */
    struct cor_raft_info raft;
    struct kv_info kv;
    const char *leader_name;           /* "" when unknown */
    const char *leader_client_address; /* "" when unknown */
    bool ready;                        /* a leader is known and the store is caught up */
    bool disk_full, memory_full;
    uint64_t disk_free_bytes;
    const char *waiting_for; /* while forming: name of a missing member; else "" */
    size_t n_peers;
    struct node_peer_status peers[COR_RAFT_MEMBERS_MAX]; /* self included */
};
void node_get_status(const struct node *n, struct node_status *out);

/* Counters since start, for /metrics. */
struct node_stats {
    uint64_t writes, writes_failed, writes_unknown, writes_forwarded;
    uint64_t reads_default, reads_consistent, reads_stale, reads_failed;
    uint64_t lease_reads, read_rounds; /* how default and consistent reads were answered */
    uint64_t leader_changes, terms_started, proposals_pending, pending_bytes;
    uint64_t watchers, waiters, watch_events, watch_cancelled;
    uint64_t cache_bytes;
    uint64_t peer_bytes_sent, peer_bytes_received, peer_messages_sent, peer_messages_received;
    uint64_t wal_syncs, wal_bytes, wal_entries, wal_sync_ns_total, wal_sync_ns_max,
        wal_disk_bytes;
    uint64_t sync_buckets[16];               /* syncs that took <= 2^i * 64 us */
    uint64_t commit_ns_total, commits_timed; /* propose to applied, of own proposals */
};
void node_get_stats(const struct node *n, struct node_stats *out);

/* The steps 0 to 5 of a write (S26), newest last, in a bounded ring. */
enum node_step {
    NODE_STEP_REQUEST = 0,         /* the client's write arrived */
    NODE_STEP_LEADER_LOG = 1,      /* durable in the leader's log */
    NODE_STEP_FOLLOWER_LOG = 2,    /* a follower acknowledged it durable (one per follower) */
    NODE_STEP_LEADER_COMMIT = 3,   /* committed and applied on the leader */
    NODE_STEP_FOLLOWER_COMMIT = 4, /* this follower applied it */
    NODE_STEP_ANSWER = 5,
};
struct node_trace {
    uint64_t at; /* ns, io_now */
    uint64_t index, term;
    uint32_t n_entries; /* the step covered entries index .. index + n_entries - 1 */
    uint8_t step;
    cor_node_id peer; /* step 2 */
};
#define NODE_TRACE_MAX 512u
size_t node_get_trace(const struct node *n, struct node_trace *out, size_t n_max);

/* The last appends with entries that this node sent or received, newest last, in a bounded ring. */
struct node_append {
    uint64_t term;         /* of the leader that sent it */
    struct cor_logid prev; /* the entry before its entries... */
    uint32_t n_entries;
    uint64_t last_term; /* ... of which the last one has this term */
    uint64_t commit;
    cor_node_id leader;
};
#define NODE_APPENDS_MAX 32u
size_t node_get_appends(const struct node *n, struct node_append *out, size_t n_max);

/* The entry at @index, if it is still in memory; the payload is borrowed until the node goes on. */
struct node_entry {
    uint64_t index, term;
    uint32_t type; /* enum cor_entry_type */
    struct cor_bytes payload;
};
MUST_USE bool node_get_entry(const struct node *n, uint64_t index, struct node_entry *out);

#endif
