/*
 * raft.h - the Raft consensus core: a state machine and nothing else.
 *
 * The core never reads a clock, opens a file, sends a packet, allocates or starts a thread. One
 * function, cor_raft_step(), takes one event (the time is part of it) and says in an update what
 * the host must do: one ordered write to make durable, messages to send, entries to apply, reads
 * that are ready, when to call again. Same options, same events: same updates, bit for bit.
 *
 * All state lives in one block of memory that the host provides; its size follows from the
 * options alone. The block holds no pointers: memcpy() clones a core and cor_raft_hash()
 * identifies its state, so it can be explored exhaustively.
 *
 * The core never sees payloads. It keeps (first index, term) runs of the log; messages and
 * updates name index ranges, and the host fetches the bytes. Configuration entries are the
 * exception: the host decodes them and passes the members along.
 *
 * "Dissertation" is D. Ongaro, Consensus: Bridging Theory and Practice, Stanford 2014.
 *
 * Threads: a core belongs to one thread at a time; there are no locks and no globals.
 */
#ifndef CORACLE_RAFT_H
#define CORACLE_RAFT_H

#include "coracle/api.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COR_RAFT_MEMBERS_MAX 16u
#define COR_RAFT_NEVER       UINT64_MAX

typedef uint64_t cor_node_id; /* 0 is "none"; never reused, even after removal */

/* A place in the log. Term and index travel together so that nobody swaps two bare uint64_t. */
struct cor_logid {
    uint64_t term;
    uint64_t index; /* the first entry is 1; {0, 0} is the place before it */
};

enum cor_entry_type {
    COR_ENTRY_COMMAND = 1,
    COR_ENTRY_NOOP = 2,   /* appended by each new leader (dissertation 6.4) */
    COR_ENTRY_CONFIG = 3, /* membership; in force from append (dissertation 4.1) */
    COR_ENTRY_SNAPSHOT_MARK = 4,
    COR_ENTRY_COMPACTION = 5,
    COR_ENTRY_LEVEL = 6, /* feature level of the cluster */
};

/* What the core knows of one entry. */
struct cor_raft_entry {
    uint64_t term;
    uint32_t type; /* enum cor_entry_type */
    uint32_t size; /* bytes as they travel; counted by the windows */
};

/* Entries from @first on, up to the next run, have @term. */
struct cor_raft_run {
    uint64_t first, term;
};

enum cor_member_kind {
    COR_MEMBER_VOTER = 1,
    COR_MEMBER_LEARNER = 2
};

struct cor_raft_member {
    cor_node_id id;
    uint8_t kind; /* enum cor_member_kind */
    bool in_old;  /* joint configurations: member of the outgoing half */
    bool in_new;  /* member of the incoming half; of the only one, outside of a change */
};

struct cor_raft_config {
    uint64_t index; /* of its log entry; 0: the initial configuration */
    uint32_t n;
    struct cor_raft_member members[COR_RAFT_MEMBERS_MAX];
};

/* What must survive a crash, besides the entries. */
struct cor_raft_hard_state {
    uint64_t term;
    cor_node_id vote; /* in @term; 0: none */
};

/* Durations are nanoseconds. Zero means the default given. */
struct cor_raft_options {
    cor_node_id self;
    uint64_t seed;      /* of the election jitter; different on every node */
    uint64_t heartbeat; /* 50 ms */
    uint64_t
        election_min; /* 250 ms; voters refuse votes for this long after hearing a leader */
    uint64_t election_max;   /* 500 ms; timeouts are drawn uniformly from [min, max) */
    uint32_t lease_permille; /* 800: the read lease as a share of election_min. At most 950. */
    bool no_lease;           /* answer every read with a quorum round */
    uint32_t runs_max;       /* 256: term runs kept; older ones are asked for (COR_ENEEDTERM) */
    uint32_t inflight_messages_max; /* 64 appends per peer on their way */
    uint64_t inflight_bytes_max;    /* 16 MiB per peer on their way */
    uint64_t message_bytes_max;     /* 1 MiB per append, one entry always fits; kept by the
                                       host, which cuts and reports (COR_RAFT_EV_SENT) */
    uint64_t uncommitted_bytes_max; /* 64 MiB proposed and not committed */
    uint32_t reads_max;             /* 1024 reads waiting for a quorum round */
    uint32_t writes_max;            /* 64 tracked writes in flight; more are joined */
    uint32_t message_entries_max;   /* 4096 entries per append */
};

enum cor_raft_role {
    COR_RAFT_FOLLOWER = 1,
    COR_RAFT_PRE_CANDIDATE = 2, /* reported to users as Candidate */
    COR_RAFT_CANDIDATE = 3,
    COR_RAFT_LEADER = 4,
};

/* ---- messages ------------------------------------------------------------------------------ */

enum cor_raft_message_type {
    COR_RAFT_MSG_APPEND = 1,
    COR_RAFT_MSG_APPEND_REPLY = 2,
    COR_RAFT_MSG_VOTE = 3,
    COR_RAFT_MSG_VOTE_REPLY = 4,
    COR_RAFT_MSG_PRE_VOTE = 5,
    COR_RAFT_MSG_PRE_VOTE_REPLY = 6,
    COR_RAFT_MSG_HEARTBEAT = 7,
    COR_RAFT_MSG_HEARTBEAT_REPLY = 8,
    COR_RAFT_MSG_READ = 9, /* follower asks the leader for a read index */
    COR_RAFT_MSG_READ_REPLY = 10,
    COR_RAFT_MSG_SNAPSHOT = 11, /* place kept: installation comes later */
    COR_RAFT_MSG_SNAPSHOT_REPLY = 12,
    COR_RAFT_MSG_TIMEOUT_NOW = 13, /* place kept: leadership transfer comes later */
};

/*
 * One message. Plain data: peer/ maps it to bytes. Fields that a type does not use are 0.
 * Everything but APPEND (and SNAPSHOT) is small and travels on the control connection (D15).
 */
struct cor_raft_message {
    uint8_t type; /* enum cor_raft_message_type */
    cor_node_id from, to;
    uint64_t term; /* the sender's; of a pre-vote, the term it would campaign in */
    bool reject;   /* replies: refused */
    bool force; /* VOTE: sent on transfer; voters skip the leader check (dissertation 3.10) */
    bool lease; /* READ: an answer under the leader's lease will do */
    struct cor_logid prev;  /* APPEND: entry before the first; VOTE, PRE_VOTE: candidate's last.
                              APPEND_REPLY, rejected: place that the leader should probe next. */
    bool prev_term_unknown; /* outgoing APPEND: the core no longer holds prev.term; the host
                               fills it in from its log */
    uint64_t commit;        /* APPEND, HEARTBEAT */
    uint64_t match;         /* APPEND_REPLY: durable and verified; HEARTBEAT_REPLY likewise */
    uint64_t received;      /* replies: verified, durable or not: tells the leader about loss */
    uint64_t sent_at;   /* HEARTBEAT, APPEND: the sender's clock; echoed in the reply. Leases
                               start here. HEARTBEAT with 0: news of a commit, no reply wanted. */
    uint64_t context;   /* HEARTBEAT(_REPLY): read round; READ(_REPLY): the asker's read id */
    uint64_t index;     /* READ_REPLY: the read index */
    uint64_t first;     /* APPEND: index of the first entry, prev.index + 1 */
    uint32_t n_entries; /* APPEND; outgoing: at most so many, see COR_RAFT_EV_SENT */
    /* APPEND, incoming only: borrowed for the call. Outgoing: NULL, the host fetches the range
     * [first, first + n_entries) in the same turn, or checks that term and role are unchanged. */
    const struct cor_raft_entry *entries;
};

/* ---- events -------------------------------------------------------------------------------- */

enum cor_raft_event_type {
    COR_RAFT_EV_TIME = 1,  /* nothing but the time; due at update.deadline */
    COR_RAFT_EV_RECEIVE,   /* message */
    COR_RAFT_EV_PROPOSE,   /* entries: types and sizes; terms are ignored */
    COR_RAFT_EV_READ,      /* read */
    COR_RAFT_EV_PERSISTED, /* seq: this write and all before it are durable */
    COR_RAFT_EV_APPLIED,   /* index */
    COR_RAFT_EV_PEER_LOST, /* peer: its connection closed; what was on its way may be gone */
    COR_RAFT_EV_DISK,      /* disk */
    COR_RAFT_EV_CONTINUE,  /* after an update with more == true */
    COR_RAFT_EV_SENT,      /* sent: what became of an outgoing APPEND with entries */
};

/*
 * COR_RAFT_EV_SENT. The core does not know sizes, so an outgoing APPEND with n_entries > 0 names
 * the most that may go. The host sends that, or the first n of them: it cuts at
 * message_bytes_max (but sends at least one entry) and where its memory of recent entries ends.
 * It sends nothing (n = 0, and the message does not leave) when the link is down or its queue
 * full, or the log could not be read.
 *
 * It reports each such APPEND once: in the same turn, after the whole update was carried out,
 * before any event of another type. (So it notes peer, first, n and bytes while it sends, and
 * then steps through its notes.) The update of such a step may hold the next APPEND for the same
 * peer, never one for another: a catch-up goes round until a window is full. After n = 0 the
 * core waits until it hears from the peer. An append that is not reported counts as sent whole,
 * with 0 bytes. A report of one that the core has given up meanwhile is ignored; more than was
 * named is COR_EINVAL.
 */

struct cor_raft_event {
    uint8_t type;
    uint64_t now; /* nanoseconds, monotonic; going backwards is COR_EINVAL */
    /* Supplied after COR_ENEEDTERM: the runs that cover update.need_first .. need_last, ascending,
     * the first of them beginning at or before need_first. Otherwise n_runs is 0. */
    const struct cor_raft_run *runs;
    uint32_t n_runs;
    union {
        const struct cor_raft_message *message;
        struct {
            const struct cor_raft_entry *entries;
            uint32_t n;
            const struct cor_raft_config *config; /* of the one COR_ENTRY_CONFIG among them */
        } propose;
        struct {
            uint64_t id; /* chosen by the host, never reused; names the read in update.reads */
            bool lease;  /* `default` reads: an answer under the lease will do */
        } read;
        struct {
            uint64_t seq;
        } persisted;
        struct {
            uint64_t index;
        } applied;
        struct {
            cor_node_id peer;
        } lost;
        struct {
            cor_node_id peer;
            uint64_t first; /* as in the message */
            uint32_t n;     /* entries sent; at most the message's n_entries */
            uint64_t bytes; /* of these entries as they travel; counted by inflight_bytes_max */
        } sent;
        struct {
            bool full; /* no room for entries; terms and votes still fit (reserve) */
        } disk;
    };
};

/* ---- updates -------------------------------------------------------------------------------- */

/* Each read gets exactly one result, in its own step or a later one. COR_ENOTLEADER on a
 * follower: the leader changed, refused or did not answer within election_max; ask again. */
struct cor_raft_read_result {
    uint64_t id;
    uint64_t index;         /* serve once applied >= index */
    enum cor_status status; /* COR_OK, COR_ENOLEADER, COR_ENOTLEADER, COR_EBUSY */
};

/*
 * What the host must do, in this order: take over @write, send @messages, apply, serve @reads, arm
 * a timer for @deadline. Valid until the next cor_raft_step() on the same core.
 *
 * Messages may leave at once: whatever must wait for the disk (votes, acknowledgements, vote
 * requests) the core holds back itself until COR_RAFT_EV_PERSISTED.
 */
struct cor_raft_update {
    /* One unit for the log, if write.seq is not 0: durable all together or, after a crash, as a
     * prefix in this order. Units are written in the order of seq. */
    struct {
        uint64_t seq; /* 1, 2, 3... */
        bool hard_state_changed;
        struct cor_raft_hard_state hard_state;
        uint64_t
            truncate_from; /* 0: none. Entries from here on are void; logical, in the log */
        uint64_t first;    /* entries [first, first + n_entries) to append */
        uint32_t n_entries;
        uint64_t term; /* of proposed entries (leader); received ones carry their own */
    } write;
    const struct cor_raft_message *messages;
    uint32_t n_messages;
    uint64_t commit;   /* as of now */
    uint64_t apply_to; /* apply all entries up to here, in order; never goes back */
    const struct cor_raft_read_result *reads;
    uint32_t n_reads;
    uint64_t deadline; /* next COR_RAFT_EV_TIME wanted, or COR_RAFT_NEVER */
    bool more;         /* output was cut: call again with COR_RAFT_EV_CONTINUE in this turn */
    bool role_changed; /* role, term or leader differ from before the step */
    uint64_t proposed_first; /* PROPOSE: index of the first of the entries; 0: none accepted */
    uint64_t need_first, need_last; /* COR_ENEEDTERM: give the runs that cover these indexes */
};

struct cor_raft; /* opaque, relocatable */

/* Bytes that cor_raft_init() wants for @options; 0 when an option is out of range. */
COR_API size_t cor_raft_size(const struct cor_raft_options *options);

/* What was found on disk. Entries 1 .. last are durable. */
struct cor_raft_recovered {
    struct cor_raft_hard_state hard_state;
    const struct cor_raft_run
        *runs; /* all of the log's runs, or the newest of them; ascending */
    size_t n_runs;
    uint64_t last;                        /* index of the last entry; 0: empty log */
    uint64_t first;                       /* first entry still there; 1 without compaction */
    const struct cor_raft_config *config; /* latest in the log, or the initial one */
    uint64_t applied;                     /* already applied (from a snapshot); 0 otherwise */
};

/*
 * Make a core in @memory (@size bytes, aligned to 16, zeroed or not). It starts as a follower
 * that has just heard a leader: a voter that restarts must not help to break a lease it
 * acknowledged.
 *
 * COR_OK; COR_EINVAL: an option, or what was recovered, contradicts itself; @memory is undefined.
 */
COR_API enum cor_status cor_raft_init(void *memory, size_t size,
                                      const struct cor_raft_options *options,
                                      const struct cor_raft_recovered *recovered, uint64_t now,
                                      struct cor_raft **out);

/*
 * Take one event.
 *
 * COR_OK       carry out *update. Also for messages that were ignored.
 * COR_ENOTLEADER, COR_EBUSY, COR_ENOSPACE (PROPOSE), nothing proposed; the update still counts.
 * COR_EPROTO   (RECEIVE) no correct peer sends this; nothing changed: drop the connection.
 * COR_ENEEDTERM nothing changed: repeat the event with the runs that update.need_* asks for.
 * COR_EINVAL   the host broke the contract (time, order of seq or index), or proposed what the core
 *              does not take (configurations, for now); nothing changed.
 *
 * *update is filled in every case; when nothing changed it asks for nothing.
 *
 * Source: dissertation, Figure 3.1; 3.4 to 3.6; 6.4; 9.6; 10.2.1.
 */
COR_API enum cor_status cor_raft_step(struct cor_raft *r, const struct cor_raft_event *event,
                                      struct cor_raft_update *update);

/* ---- views --------------------------------------------------------------------------------- */

struct cor_raft_info {
    cor_node_id self, leader, vote;
    uint64_t term;
    enum cor_raft_role role;
    uint64_t first, last, durable, commit, applied;
    uint64_t lease_until; /* leader: reads may be answered before this time; else 0 */
    uint64_t heard_at;    /* follower: when the leader was last heard; leader: a quorum was */
    uint64_t uncommitted_bytes;
    bool own_term_committed;
    bool disk_full;
};

enum cor_raft_progress {
    COR_RAFT_PROBE = 1,
    COR_RAFT_PIPELINE = 2,
    COR_RAFT_SNAPSHOT = 3
};

struct cor_raft_peer_info {
    cor_node_id id;
    uint8_t kind;     /* enum cor_member_kind */
    uint8_t progress; /* enum cor_raft_progress; leader only */
    uint32_t inflight_messages;
    uint64_t match, next, received;
    uint64_t inflight_bytes;
    uint64_t heard_at; /* 0: not since this node became leader */
};

COR_API void cor_raft_get_info(const struct cor_raft *r, struct cor_raft_info *out);
COR_API size_t cor_raft_get_peers(const struct cor_raft *r, struct cor_raft_peer_info *out,
                                  size_t n_max);
COR_API void cor_raft_get_config(const struct cor_raft *r, struct cor_raft_config *out);
/* Term of the entry at @index; COR_ENOTFOUND when the core does not hold it (any more). */
COR_API enum cor_status cor_raft_term_at(const struct cor_raft *r, uint64_t index,
                                         uint64_t *out);
/* Identifies the state: equal cores have equal hashes. */
COR_API uint64_t cor_raft_hash(const struct cor_raft *r);
/* Assert everything that must hold of one core (dissertation, Figure 3.2), and against @before, a
 * clone from before the last step, or NULL. Aborts with the broken sentence. */
COR_API void cor_raft_check(const struct cor_raft *r, const struct cor_raft *before);

#endif
