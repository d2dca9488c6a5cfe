/*
 * kv.h - the state machine: what committed entries mean. Same log, same state, on every node.
 *
 * Place in the system: node/ calls kv_apply() for each committed command entry, in order, on the
 * loop; api/ reads through the views below. Pure memory: no I/O, no clock, no randomness.
 *
 * Data: tables (entry.h), each an ordered map from key to the newest version, plus the versions and
 * deletions of the kept history. Copy-on-write: nodes carry an epoch and are copied only if older
 * than the newest held root, so a held root is a frozen state that can be read while writes go on.
 * Keys and values live in slabs of our own, which are accounted, compacted and given back.
 *
 * Revisions (D3): each applied entry that changes table 0 advances `revision` by one, whatever the
 * number of its operations (etcd's rule); entries that change other tables advance the system
 * revision. An entry that changes nothing advances nothing. The first change has revision 2, as in
 * etcd: an empty store is at revision 1.
 *
 * Threads: one, except that a held root may be read from an io_work while the loop applies
 * (kv_root_* below).
 */
#ifndef KV_KV_H
#define KV_KV_H

#include "base/arena.h"
#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"
#include "kv/entry.h"

#include <stdbool.h>
#include <stdint.h>

struct kv;
struct kv_root;

struct kv_options {
    uint64_t memory_max;            /* bytes, hard; 0: 4 GiB. See kv_has_room. */
    uint64_t history_revisions_min; /* 1000: always kept by automatic compaction */
    uint32_t roots_max;             /* 8 held roots; at most KV_ROOTS_MAX */
    /* Where memory comes from; NULL: malloc and free. May return NULL: see docs/store.md. */
    void *(*allocate)(void *arg, size_t size);
    void (*release)(void *arg, void *memory, size_t size);
    void *memory_arg;
};

#define KV_ROOTS_MAX 64u

/* NULL: out of memory. */
struct kv *kv_new(const struct kv_options *options);
void kv_free(struct kv *kv);

/* One key at one revision. Bytes are borrowed: from the store until the next kv_apply() (or the
 * release of the root it was read from), or from a decoded result. */
struct kv_item {
    struct cor_bytes key, value, attrs;
    uint64_t create_revision, mod_revision, version, lease;
    uint64_t mod_index; /* log index of the entry that wrote it */
};

/* ---- apply ---------------------------------------------------------------------------------- */

struct kv_op_result {
    uint8_t kind;           /* enum kv_op_kind */
    enum cor_status status; /* stepwise: why this one failed; pre-state: COR_OK */
    uint64_t count;         /* DELETE: deleted; RANGE: in the range, whatever the limit */
    bool more;              /* RANGE: the limit cut it */
    uint32_t n_items;       /* RANGE: found; PUT, DELETE with KV_WANT_PREV: previous ones */
    const struct kv_item *items;
    const struct kv_result *txn; /* TXN */
};

/* What an entry did. Everything it points to is in the arena given to kv_apply() or
 * kv_result_decode(). */
struct kv_result {
    enum cor_status
        status;     /* COR_OK; COR_ECONFLICT: stepwise, undone; COR_EEXPIRED; COR_ECOMPACTED,
                               COR_EFUTURE: an op asked for such a revision, nothing done;
                               COR_ENOTFOUND: KEEP_VALUE without a key, nothing done;
                               COR_ENOSPACE: no room for one more session, nothing done;
                               COR_ENOSESSION, COR_EREUSED, COR_EFORGOTTEN: client sessions, below */
    bool succeeded; /* pre-state: the compares held, the then-branch ran */
    uint64_t revision, system_revision; /* after it */
    uint32_t n_ops;
    const struct kv_op_result *ops;
};

/*
 * Apply the command entry @entry, which stands at @index in the log.
 *
 * @arena and @result may both be NULL when nobody waits for the answer here. COR_OK: *result is
 * set (its own status says what became of the transaction). COR_ENOMEM: the arena is too small for
 * the answer (the entry was applied; result->status is COR_ETOOBIG) never changes the state's
 * content. COR_EPROTO, COR_EFOREIGN: not an entry this build understands: the state is unchanged
 * and the node must stop.
 */
MUST_USE enum cor_status kv_apply(struct kv *kv, uint64_t index, struct cor_bytes entry,
                                  struct arena *arena, struct kv_result *result);
/* Entries without a command (no-ops, configurations) still move the applied index. */
void kv_skip(struct kv *kv, uint64_t index);

/* Housekeeping that has no deadline: drop compacted history, empty sparse slabs. Each kv_apply()
 * and kv_skip() does a little of it; an idle node may call this until it returns false. At most
 * @steps steps of about a microsecond each. Never changes what can be read. */
bool kv_tend(struct kv *kv, uint32_t steps);

/* Results travel to the node that took the request. */
size_t kv_result_encode(const struct kv_result *result, struct writer *w);
MUST_USE enum cor_status kv_result_decode(struct cor_bytes in, struct arena *arena,
                                          struct kv_result *out);

struct kv_info {
    uint64_t applied; /* log index */
    uint64_t revision, system_revision;
    uint64_t compacted;         /* revisions below this one cannot be read */
    uint64_t cluster_time;      /* of the last entry */
    uint64_t keys[KV_N_TABLES]; /* live */
    uint64_t history_bytes;     /* versions and tombstones that only history needs */
    uint64_t memory_bytes;      /* slabs, nodes, indexes: what we asked of the system */
    uint64_t live_bytes;        /* keys and values of the newest versions */
    uint64_t hash; /* of the live content of all tables and both revisions: equal on all
                                     nodes at the same applied index. Maintained incrementally. */
};
void kv_get_info(const struct kv *kv, struct kv_info *out);

/* Whether a command of @bytes may be proposed: the memory limit is not reached. Deletes and
 * compactions are always allowed. Checked before proposing, so never an error after. */
bool kv_has_room(const struct kv *kv, size_t bytes);

/* The revision to which automatic compaction should go now: everything older than @age_ns of
 * cluster time is dropped, and more if history takes over @bytes_max; at least
 * history_revisions_min are kept. 0: nothing to do. Proposed by the leader as KV_OP_COMPACT. */
uint64_t kv_compaction_due(const struct kv *kv, uint64_t age_ns, uint64_t bytes_max);

/* ---- reads ------------------------------------------------------------------------------------ */

/* @revision 0: the newest. COR_OK; COR_ENOTFOUND; COR_ECOMPACTED; COR_EFUTURE. Tables other than 0
 * have no history: every revision before the present one is compacted. */
MUST_USE enum cor_status kv_get(const struct kv *kv, uint8_t table, struct cor_bytes key,
                                uint64_t revision, struct kv_item *out);

/* A way from the root of a tree to a place in a leaf (tree.h). Private. */
#define KV_TREE_DEPTH_MAX 12u
struct tree_path {
    uint32_t node[KV_TREE_DEPTH_MAX];
    uint8_t at[KV_TREE_DEPTH_MAX];
    uint8_t depth; /* 0: the tree is empty */
};

/* An ordered walk. The cursor is a value; it dies with the next kv_apply(), or with its root. */
struct kv_cursor {
    const struct kv *kv;
    const struct kv_root *root; /* NULL: the newest */
    struct kv_range range;      /* its bytes stay the caller's */
    uint64_t revision;          /* 0: the newest */
    struct tree_path path;      /* private from here on */
    bool done;
};
MUST_USE enum cor_status kv_cursor_open(const struct kv *kv, const struct kv_range *range,
                                        uint64_t revision, struct kv_cursor *out);
/* False: no more. */
MUST_USE bool kv_cursor_next(struct kv_cursor *c, struct kv_item *out);
/* Keys in @range at @revision; costs O(log n) at the newest revision. */
MUST_USE enum cor_status kv_count(const struct kv *kv, const struct kv_range *range,
                                  uint64_t revision, uint64_t *out);

/* Hold the present state frozen until kv_root_release(). NULL: roots_max are held. A held root
 * may be walked from another thread while the loop applies; hold and release are calls of the
 * loop. */
struct kv_root *kv_root_hold(struct kv *kv);
void kv_root_release(struct kv *kv, struct kv_root *root);
void kv_root_get_info(const struct kv_root *root, struct kv_info *out);
MUST_USE enum cor_status kv_root_cursor(const struct kv_root *root,
                                        const struct kv_range *range, struct kv_cursor *out);

/* ---- client sessions (D12) ------------------------------------------------------------------------ */

/*
 * An entry whose header has a session and a number is executed once: the first entry under that number is, and its
 * answer kept; a later one gets the kept answer, to the byte, and does nothing. The session is known by the
 * index of the entry that opened it. What else such an entry may come to, as the status of the result:
 *
 *   COR_ENOSESSION  closed, expired or never opened: nothing was done now, of earlier times nobody knows
 *   COR_EREUSED     the number was used for other operations: nothing was done, now or ever, by these
 *   COR_EFORGOTTEN  the number is older than the answers that its session keeps: nothing was done now
 *   COR_ETOOBIG     done, now or then, and the answer is larger than KV_SESSION_ANSWER_MAX
 *
 * Numbers begin with 1 and may arrive in any order, as long as no more than KV_SESSION_WINDOW are under way.
 */
#define KV_SESSIONS_MAX       4096u /* then no more can be opened: COR_ENOSPACE */
#define KV_SESSION_WINDOW     64u   /* answers kept of a session */
#define KV_SESSION_ANSWER_MAX (KV_KEY_MAX + 1024u) /* bytes of one, encoded */
#define KV_SESSION_BYTES_MAX                                                                   \
    65536u /* of all that are kept of a session; the lowest numbers go first */

struct kv_session {
    uint64_t idle_max;  /* ns of cluster time without a request, after which it may expire */
    uint64_t active;    /* cluster time of the last request */
    uint64_t forgotten; /* numbers up to this one are not answered any more */
    uint32_t n_answers;
};

/* COR_OK; COR_ENOSESSION. */
MUST_USE enum cor_status kv_session_get(const struct kv *kv, uint64_t id,
                                        struct kv_session *out);
/* Whether a session has been idle for too long at cluster time @now, so that the leader should propose
 * KV_SESSION_EXPIRE. *next: if not, when to ask again; UINT64_MAX: there is no session. Amortized O(1) as
 * long as time does not reach *next. */
bool kv_session_due(struct kv *kv, uint64_t now, uint64_t *next);

/* ---- changes ------------------------------------------------------------------------------------ */

enum kv_event_type {
    KV_EVENT_PUT = 1,
    KV_EVENT_DELETE = 2
};

struct kv_event {
    uint8_t type; /* enum kv_event_type */
    uint8_t table;
    struct kv_item item; /* DELETE: key and mod_revision only */
    bool has_prev;
    struct kv_item prev; /* the version before this revision, if history still has it */
};

/* The events of one revision of table 0 that lie in @range, from history, in the order in which they
 * happened (etcd's sub-revisions; deletions of a range by key). COR_OK; COR_ECOMPACTED; COR_EFUTURE.
 * The compacted revision itself still has its events. Borrowed until the next kv_apply(). */
MUST_USE enum cor_status kv_events(const struct kv *kv, const struct kv_range *range,
                                   uint64_t revision,
                                   void (*each)(void *arg, const struct kv_event *e),
                                   void *arg);

/*
 * The watch index: who wants to hear of which keys. kv_apply() calls @on_change once per changed
 * key and watcher of it; a change that concerns nobody costs one look-up, whatever the number of
 * watchers elsewhere. Watchers are embedded in their owners.
 */
struct kv_watcher {
    struct kv_range range; /* owned by the watcher's owner, unchanged while added */
    void *arg;
    /* Private from here on: see watch.h. */
    struct kv_watcher *parent, *child[2]; /* in the tree of distinct ranges */
    struct kv_watcher *widest;            /* below here: whose range ends last */
    struct kv_watcher *next, *previous;   /* others of the same range, in a ring */
    uint64_t priority;
    bool in_tree;
};
void kv_watch_add(struct kv *kv, struct kv_watcher *w);
void kv_watch_remove(struct kv *kv, struct kv_watcher *w);
/* One callback for the store: called inside kv_apply(), after the entry has taken effect, for each
 * event and each watcher it concerns; and once with watcher == NULL for each event that at least one watcher wants,
 * before those calls, so that the receiver can make one shared copy. It must not call kv_apply
 * or kv_watch_*. */
void kv_on_change(struct kv *kv,
                  void (*on_change)(void *arg, const struct kv_event *e, struct kv_watcher *w),
                  void *arg);

/* The newest mod revision (table 0) or system revision (others) that ever touched a key in @range,
 * deletions included: the index of a blocking query. At least 1, at most the present revision; exact
 * for one key while history or tombstones hold it, otherwise not lower than the truth (a leaf of up
 * to 64 keys remembers one revision for all that compaction removed from it). */
uint64_t kv_range_revision(const struct kv *kv, const struct kv_range *range);

/* Assert everything that must hold inside; slow. For tests and the simulator. */
void kv_check(const struct kv *kv);

#endif
