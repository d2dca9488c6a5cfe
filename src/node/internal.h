/*
 * internal.h - what the files of this room share: the node, its requests, and who may call what.
 *
 *     open.c      options, the data directory, putting the parts together; free
 *     form.c      a static cluster forms, once; who is welcome afterwards
 *     core.c      steps of the consensus core and what an update asks for: write, send, note
 *     log.c       units into the log, and room there
 *     receive.c   what peers say
 *     feed.c      appends to peers: from the cache, or from the log file for who lags
 *     turn.c      the end of a turn: propose, ask, apply, answer, flush
 *     request.c   requests that wait: memory, deadlines, the one answer each gets
 *     write.c     proposals and what becomes of them; forward.c: through the leader
 *     read.c      reads in three modes
 *     apply.c     committed entries into the store
 *     idle.c      what can wait until nothing else is to be done
 *     session.c   client sessions that were idle for too long
 *     stop.c      the end, in order; failure
 *     state.c     the state file
 *     node.c, status.c, trace.c   views
 *
 * The order is: persist, then send, then apply (core.c, carry_out; the update holds back itself what
 * must wait for the disk). Callbacks of the owner are made from turn.c's task, from answers of peers and
 * from timers, never from inside core.c: a step always runs to its end.
 */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "node/cache.h"
#include "node/hub.h"
#include "node/node.h"
#include "peer/peer.h"
#include "wal/wal.h"

#define NODE_MS UINT64_C(1000000) /* nanoseconds */
#define NODE_S  UINT64_C(1000000000)

#define NODE_LEVEL             1u         /* feature level of this build */
#define NODE_BATCH_MAX         4096u      /* entries in one unit: what fits one append */
#define NODE_BATCH_BYTES_MAX   (8u << 20) /* of payload, proposed in one step */
#define NODE_APPEND_BYTES_MAX  (1u << 20) /* of payload, in one append; one entry always fits */
#define NODE_PEER_QUEUE_MAX    (32u << 20) /* queued to a peer: no more appends for now */
#define NODE_UNSYNCED_MAX      (64u << 20) /* in the cache because they must: take no more */
#define NODE_APPLY_MAX         2048u       /* entries applied in one turn */
#define NODE_APPLY_NS          (5 * NODE_MS)
#define NODE_ANSWER_MAX        (PEER_MESSAGE_MAX - 4096u) /* bytes of one result */
#define NODE_REQUEST_COST      256u /* counted for each pending request besides its bytes */
#define NODE_GROUPS_MAX        512u /* reads asked together and not answered yet */
#define NODE_RETRY             (20 * NODE_MS) /* ask again: no room, leader busy or out of reach */
#define NODE_FORM_RETRY        (200 * NODE_MS) /* ask the others again whether they agree */
#define NODE_WAITING_EVENT     (10 * NODE_S)   /* say again for whom we wait */
#define NODE_COMPACT_INTERVAL  (2 * NODE_S)    /* between two automatic compactions */
#define NODE_IDLE_AFTER        (200 * NODE_MS) /* without writes: begin to tidy up */
#define NODE_IDLE_MARK_AFTER   NODE_S          /* and prove that everything is synced */
#define NODE_DISK_FREE_REFRESH (10 * NODE_S)
/* What an entry may cost in the log besides its payload, and a unit besides its entries. */
#define NODE_LOG_ENTRY_COST 96u
#define NODE_LOG_UNIT_COST  (128u << 10) /* and a reserve for the first entries of terms */
#define NODE_HELD_MAX       64u

/* ---- requests -------------------------------------------------------------------------------- */

enum request_state {
    REQUEST_FREE = 0,
    REQUEST_FRESH,     /* arrived since the last turn */
    REQUEST_WAITING,   /* for a leader, for room: nothing was sent or appended */
    REQUEST_FORWARDED, /* a write, sent to the leader */
    REQUEST_PROPOSED,  /* a write, in our log at index, term */
    REQUEST_ORPHANED,  /* likewise, but cut off since: it may live on in another log */
    REQUEST_ASKED,     /* a read, in a group */
};

enum request_origin {
    REQUEST_LOCAL = 1,
    REQUEST_REMOTE, /* a member asked us as the leader */
    REQUEST_OWN, /* the node's own: compaction, expiry; arg: a flag that is set until it is answered */
};

struct request_list {
    struct request *first, *last;
    size_t n;
};

struct request {
    struct request_list *list;
    struct request *next, *prev;
    uint64_t id;       /* names it to peers; the low bits are its place in the pool */
    uint64_t deadline; /* until it is armed: how long it may take */
    size_t heap_at;    /* place in the heap of deadlines, plus 1; 0: not armed */
    bool is_read;
    uint8_t state, origin, dialect, mode;
    size_t peer;   /* REMOTE: who asked; FORWARDED: who was asked */
    uint64_t link; /* REMOTE: the link it came by: an answer goes to that process or nowhere */
    uint64_t remote_id;
    uint64_t charge; /* counted in pending_bytes */
    /* Writes: room for a header, then the operations from @ops_at on. */
    struct buf *payload;
    uint32_t ops_at, entry_at; /* the entry begins at entry_at, once it is proposed */
    uint64_t session, number;
    uint64_t index, term, proposed_at;
    union {
        node_write_done write;
        node_read_done read;
    } done;
    void *arg;
};

#define REQUEST_CHUNK     128u
#define REQUEST_SLOT_BITS 20u

struct requests {
    struct request **chunks;
    size_t n_chunks, n; /* n: in use */
    struct request *free;
    uint64_t serial;
    struct request **heap; /* by deadline; as many places as the pool has */
    size_t n_armed;
    uint64_t bytes; /* charges */
    struct io_timer timer;
    uint64_t timer_at; /* 0: not set */
};

/* Reads that were handed to the core under one number. */
struct read_group {
    uint64_t id; /* 0: free */
    uint64_t index;
    uint8_t mode;
    bool granted; /* index is known */
    struct request_list reads;
};

/* ---- members --------------------------------------------------------------------------------- */

/* Entries read from the log file for one peer that lags. */
struct feed {
    struct wal_read read;
    struct node *node;
    bool reading;
    bool wanted; /* what is being read: no longer after a change of role */
    uint64_t first;
    uint32_t n;
    struct buf *bytes;
    struct cache_entry *entries;
};

struct member {
    char name[WAL_NAME_MAX + 1];
    char address[WAL_ADDRESS_MAX + 1];
    bool heard; /* its disk is known */
    unsigned char disk_id[16];
    unsigned char cluster_id[16]; /* as it says; all zero: not formed */
    bool agrees;                  /* with form.cluster_id */
    bool refuses;                 /* refused us, and that will not heal by itself */
    bool leaving;                 /* said that it is about to stop */
    uint8_t byes;                 /* of ours that it has not answered */
    uint64_t traced;              /* acknowledged up to here, for the trace */
    uint64_t commit;              /* the highest it told of */
    uint64_t last_contact;        /* 0: never */
    uint64_t links;               /* how often the link came up */
    struct feed feed;
};

struct form {
    unsigned char cluster_id[16]; /* of those heard; all zero: not all were heard */
    char waiting_for[COR_ERROR_TEXT_MAX];
    uint64_t said, said_at; /* hash of the last event about it, and when */
    struct io_timer timer;
};

enum stop_step {
    STOP_NOT = 0,
    STOP_DRAINING,     /* pending requests get their time */
    STOP_WAL,          /* what is on its way to the disk arrives */
    STOP_MARK,         /* and is marked as synced */
    STOP_STATE,        /* the state file */
    STOP_DISCONNECTED, /* nothing is left but the links */
    STOP_CLOSING,      /* they close */
    STOP_DONE,         /* the owner is to be told */
    STOP_FINISHED,
};

/* ---- the node ---------------------------------------------------------------------------------- */

/* An append with entries that left, or did not: reported to the core after the update. */
struct sent {
    cor_node_id peer;
    uint64_t first, bytes;
    uint32_t n;
};

/* A unit that found no room: see log.c. */
struct held_unit {
    uint64_t seq;
    bool hard_state_changed;
    struct cor_raft_hard_state hard_state;
    struct wal_entry noop; /* index 0: none */
};

struct node {
    struct io *io;
    struct event_sink *events;
    struct node_options options; /* complete; strings are below */
    char name[WAL_NAME_MAX + 1];
    char client_address[IO_ADDRESS_MAX];
    char peer_listen[IO_ADDRESS_MAX];
    enum node_phase phase;
    size_t n_members, self; /* members sorted by name; id = place + 1 */
    struct member members[COR_RAFT_MEMBERS_MAX];
    uint64_t members_hash;
    struct form form;
    struct peers *peers; /* NULL: alone */
    struct kv *kv;
    struct hub *hub;
    struct wal *wal; /* NULL until formed, like raft */
    struct cor_raft *raft;
    void *raft_memory;

    /* core.c */
    struct cor_raft_info info; /* as of the last change of role, or later */
    struct io_timer core_timer;
    uint64_t core_deadline, core_timer_at; /* 0: not set */
    struct sent sent[COR_RAFT_MEMBERS_MAX];
    uint32_t n_sent, n_held;
    bool stepping, more, disk_full;
    bool memory_short; /* not even room for a leader's first entry: take nothing new */
    struct held_unit held[NODE_HELD_MAX];
    struct cache cache;
    uint64_t durable_seen;   /* for the trace */
    cor_node_id leader_seen; /* the last one that was known */

    /* apply.c */
    uint64_t apply_to, applied;
    uint64_t recovered_last; /* entries found at the start: the clock and size of the store
                                are known when these are applied */
    struct apply_read {
        struct wal_read read;
        struct node *node;
    } apply_reads[2];
    uint32_t apply_slot;
    uint32_t n_answered; /* for the trace */
    bool apply_reading, apply_starved, told_ready;
    struct arena arena;
    void *arena_memory;
    void *answer_memory;

    /* Requests. */
    struct requests requests;
    struct request_list fresh_writes, waiting_writes, forwarded, proposed, orphans;
    struct request_list fresh_reads, stale_reads, waiting_reads;
    struct read_group groups[NODE_GROUPS_MAX];
    uint32_t n_groups, n_granted, group_hint;
    bool retry;    /* look again at those that wait, at the end of this turn */
    bool retrying; /* that is being done */
    bool retry_armed;
    uint64_t read_serial;
    uint64_t proposed_bytes;
    size_t memory_refused; /* bytes for which there was no memory last time */
    struct io_timer retry_timer;

    /* Cluster time: stands at time_base when the clock shows time_base_at, while we lead. */
    uint64_t log_time; /* the newest in our log */
    uint64_t time_base, time_base_at;
    uint64_t time_term; /* the term in which we began to */

    /* turn.c */
    struct io_task turn;
    struct io_timer next_turn;
    uint64_t now; /* of the turn */
    bool in_turn;

    /* idle.c */
    bool idle_armed, idle_marked, compacting;
    struct io_timer idle_timer;
    uint64_t active_at, compact_at, disk_free_at;
    struct disk_free_work {
        struct io_work work;
        struct node *node;
        bool running;
        uint64_t bytes;
    } disk_free;
    uint64_t disk_free_bytes;

    /* session.c */
    bool expiring, session_armed;
    uint64_t session_at;
    struct io_timer session_timer;

    /* state.c */
    struct superblock sb; /* as it should be */
    struct state_work {
        struct io_work work;
        struct node *node;
        struct superblock sb;
        enum cor_status status;
        struct cor_error err;
        bool running, again;
        void (*then)(struct node *n, enum cor_status st, const struct cor_error *err);
    } state;

    /* stop.c */
    struct io_timer stop_timer;
    struct cor_error fatal;
    uint8_t stop_step; /* enum stop_step */
    uint8_t goodbyes;  /* said to all others */
    bool fatal_told;
    uint64_t stop_at; /* what is pending then is given up */
    uint64_t goodbye_until;
    void (*stop_done)(void *arg);
    void *stop_arg;

    struct node_stats stats;
    uint64_t syncs_seen, sync_ns_seen;
    struct node_trace trace[NODE_TRACE_MAX];
    uint64_t n_traced;
    struct node_append appends[NODE_APPENDS_MAX];
    uint64_t n_appends;

    /* Room for one batch, so that a step needs no memory. */
    struct cor_raft_entry *heads;
    struct request **batch;
    struct wal_entry *wal_entries;
    struct peer_entry *peer_entries;
    struct cor_raft_run *runs;
};

/* Where the entries of an update's write come from. */
struct source {
    const struct cor_raft_message *message; /* a received append... */
    const struct peer_entry *entries;       /* ... with its entries... */
    struct buf *bytes;                      /* ... whose payloads were copied here, in order */
    struct request *const *batch;           /* or a proposal */
    uint32_t n_batch;
};

static inline cor_node_id node_self_id(const struct node *n)
{
    return n->self + 1;
}

/* peers_* name members without us. */
static inline size_t node_member_of_peer(const struct node *n, size_t peer)
{
    return peer < n->self ? peer : peer + 1;
}

static inline size_t node_peer_of_id(const struct node *n, cor_node_id id)
{
    COR_ASSERT(id >= 1 && id <= n->n_members);
    COR_ASSERT(id != node_self_id(n));
    return (size_t)(id - 1 < n->self ? id - 1 : id - 2);
}

/* The core runs, and what it says is carried out. */
static inline bool node_is_live(const struct node *n)
{
    return n->raft != NULL && n->phase != NODE_FAILED && n->stop_step <= STOP_DRAINING;
}

static inline bool node_leads(const struct node *n)
{
    return n->raft != NULL && n->info.role == COR_RAFT_LEADER;
}

static inline bool node_takes_requests(const struct node *n)
{
    return n->phase == NODE_RUNNING || n->phase == NODE_FORMING;
}

/* The leader is another member, and takes requests as far as we know. */
bool node_can_forward(const struct node *n);

/* ---- open.c, form.c ---------------------------------------------------------------------------- */

/* The cluster is known: open the log and start the core. Blocks. */
MUST_USE enum cor_status node_start_core(struct node *n, struct cor_error *err);
void node_fill_hello(const struct node *n, struct peer_hello *out);
bool node_is_formed(const struct node *n);
/* All members' disks are known: the id that the cluster has. */
void form_cluster_id(const struct node *n, unsigned char out[16]);
/* Write down in n->sb who the cluster is. */
void form_fill_superblock(struct node *n, const unsigned char cluster_id[16]);
bool form_on_hello(void *arg, const struct peer_hello *hello, struct cor_error *err);
void form_on_refused(void *arg, const char *name, const struct cor_error *err);
void form_start(struct node *n);
void form_try(struct node *n);
void form_on_request(struct node *n, size_t peer, const struct peer_request *request);
void form_on_answer(struct node *n, size_t peer, const struct peer_request *answer);

/* ---- core.c ------------------------------------------------------------------------------------ */

/* Step the core with @event (its time is set here, to @now) and carry out all that follows. */
enum cor_status core_step(struct node *n, struct cor_raft_event *event, uint64_t now,
                          const struct source *source);
void core_on_timer(struct io_timer *timer);
void core_on_durable(void *arg, uint64_t seq);
void core_on_wal_failed(void *arg, const struct cor_error *err);
void core_trim_cache(struct node *n);

/* ---- log.c ------------------------------------------------------------------------------------------ */

void log_write(struct node *n, const struct wal_unit *unit);
void log_after_step(struct node *n);
/* Whether the log and our memory take @n_entries of @bytes together. If they do not because the disk is
 * full, the core is told. */
bool log_has_room(struct node *n, uint64_t bytes, uint64_t n_entries);
void log_on_room(void *arg);

/* ---- receive.c, feed.c --------------------------------------------------------------------------- */

extern const struct peer_events node_peer_events;
/* Send @m; true: note what became of it. */
void feed_send(struct node *n, const struct cor_raft_message *m);
void feed_reset(struct feed *f);
bool feed_is_reading(const struct node *n);

/* ---- turn.c -------------------------------------------------------------------------------------- */

/* Something is to be done at the end of this turn; from inside the end of a turn: in the next one. */
void node_wake(struct node *n);
void node_run_turn(struct io_task *task);
void node_on_next_turn(struct io_timer *timer);
void node_on_retry(struct io_timer *timer);

/* ---- request.c ------------------------------------------------------------------------------------- */

/* NULL: too much is pending. */
MUST_USE struct request *request_new(struct node *n, uint64_t bytes);
void request_free(struct node *n, struct request *r);
/* NULL: it is over. */
struct request *request_find(struct node *n, uint64_t id);
void request_move(struct request *r, struct request_list *to, enum request_state state);
/* Move all of @from behind those in @to. */
void request_splice(struct request_list *from, struct request_list *to,
                    enum request_state state);
/* Its deadline was a duration: from @now on. */
void request_arm(struct node *n, struct request *r, uint64_t now);
void request_on_timer(struct io_timer *timer);
void requests_deinit(struct node *n);
/* Give the one answer, and free @r. */
void request_answer_write(struct node *n, struct request *r, enum cor_status st,
                          const struct kv_result *result);
void request_answer_read(struct node *n, struct request *r, enum cor_status st);
/* Answer @r as its state demands: not done, or unknown. */
void request_give_up(struct node *n, struct request *r, enum cor_status not_done);
void request_give_up_all(struct node *n, enum cor_status not_done);

/* ---- write.c, forward.c, read.c ------------------------------------------------------------------- */

/* Copy the operations, with room for a header before them. */
MUST_USE struct request *write_new(struct node *n, const struct node_write *write);
void write_take_fresh(struct node *n);
/* Entries from @from on were cut off our log. */
void write_orphan(struct node *n, uint64_t from);
/* Who waits for the entry at @index; NULL: nobody here. */
struct request *write_waiter(struct node *n, uint64_t index, uint64_t term);
/* The entry at @index was applied: @waiter, if any, gets @result, and who wanted another entry there
 * learns that it was not done. */
void write_applied(struct node *n, uint64_t index, struct request *waiter,
                   const struct kv_result *result);
bool write_clock_is_known(const struct node *n);
/* What the clock of the cluster shows, while we lead and write_clock_is_known(). */
uint64_t write_cluster_time(struct node *n);
/* Propose @op for the node itself. *under_way is true until it is answered. */
enum cor_status write_propose_own(struct node *n, const struct kv_op *op, bool *under_way);

/* What @body asks for, checked as our own clients' requests are; borrows from it. COR_OK; COR_EINVAL;
 * COR_ETOOBIG. */
MUST_USE enum cor_status forward_decode(struct cor_bytes body, struct node_write *out);
MUST_USE bool forward_send(struct node *n, struct request *r);
void forward_on_request(struct node *n, size_t peer, const struct peer_request *request);
void forward_on_answer(struct node *n, size_t peer, const struct peer_request *reply);
void forward_answer(struct node *n, const struct request *r, enum cor_status st,
                    const struct kv_result *result);
void forward_link_lost(struct node *n, size_t peer);

/* Hand the reads that came, and those that wait, to the core: one question for each mode. */
void read_ask(struct node *n);
void read_on_result(struct node *n, const struct cor_raft_read_result *result);
/* Answer what may be answered now. */
void read_serve(struct node *n);
void read_fill_info(const struct node *n, uint64_t now, struct node_read_info *out);

enum forward_kind {
    FORWARD_WRITE = 1,
    FORWARD_FORM = 2,
    FORWARD_BYE = 3, /* pass nothing on to me any more: I am about to stop */
};

/* ---- apply.c, idle.c, session.c, state.c, stop.c ----------------------------------------------------------- */

void apply_some(struct node *n);

/* Something was written: tidy up later. */
void idle_touch(struct node *n, uint64_t now);
void idle_on_timer(struct io_timer *timer);
void idle_refresh_disk_free(struct node *n);

/* See whether a session is to expire, and when to look again. */
void session_tend(struct node *n);
void session_on_timer(struct io_timer *timer);

/* Write n->sb into the state file, off the loop; @then is called on the loop. One with a @then at a time. */
void state_write(struct node *n,
                 void (*then)(struct node *n, enum cor_status st, const struct cor_error *err));

/* Go on, if the next step can be taken. */
void stop_advance(struct node *n);
void stop_finish(struct node *n);
void stop_on_timer(struct io_timer *timer);
void stop_on_bye(struct node *n, size_t peer, const struct peer_request *request);
void stop_on_bye_answer(struct node *n, size_t peer);
/* The node cannot go on. Told to the owner at the end of the turn. */
void node_fail(struct node *n, const struct cor_error *err);
void node_tell_fatal(struct node *n);

/* ---- trace.c -------------------------------------------------------------------------------------- */

void trace_add(struct node *n, enum node_step step, uint64_t index, uint64_t count,
               cor_node_id peer);
/* An append with entries was sent or received; its last entry has @last_term. */
void trace_append(struct node *n, const struct cor_raft_message *m, uint64_t last_term);

#endif
