/*
 * coracle.h - a whole node embedded in your program: open, write, read, watch, close.
 *
 * cor_open() starts a thread that runs the node's loop (and helper threads for the disk). All calls
 * below may be made from any thread; the blocking ones wait for the answer, callbacks are made on
 * the node's own thread and must not block or call blocking functions of the same node.
 *
 * No globals, no exit(), no signal handlers: several nodes live side by side in one process. The
 * server `coracle serve` is this library with a command line.
 */
#ifndef CORACLE_CORACLE_H
#define CORACLE_CORACLE_H

#include "coracle/api.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COR_KEY_MAX   8192u      /* bytes */
#define COR_VALUE_MAX (1u << 20) /* bytes */

struct cor;

struct cor_member_address {
    const char *name, *address; /* peer address, host:port */
};

enum cor_log_level {
    COR_LOG_DEBUG = 1,
    COR_LOG_INFO,
    COR_LOG_WARN,
    COR_LOG_ERROR,
    COR_LOG_OFF
};

/* Zero everything, then set what you need. Strings are copied. Durations in milliseconds; 0: the
 * default. */
struct cor_options {
    const char *data_dir;                     /* made if it is not there (mode 0700) */
    const char *name;                         /* "default" */
    const struct cor_member_address *members; /* static cluster; none: a single node */
    size_t n_members;
    const char *peer_listen;   /* NULL: own address in members */
    const char *const *listen; /* HTTP listeners; none: not served */
    size_t n_listen;
    const char *advertise;         /* client address told to others; NULL: first of listen */
    const char *const *host_names; /* extra names allowed in the Host header */
    size_t n_host_names;
    bool insecure; /* allow listeners beyond loopback although there is no authentication */
    uint64_t heartbeat_ms, election_min_ms, election_max_ms, request_timeout_ms;
    bool default_reads_consistent;      /* switch leases off */
    uint64_t memory_max_bytes;          /* 4 GiB */
    uint64_t history_ms, history_bytes; /* 10 min, a quarter of memory; UINT64_MAX: all */
    bool no_direct_io;
    enum cor_log_level log_level; /* 0: COR_LOG_OFF */
    /* One event, as text: "event=became_leader term=3". Called on any of the node's threads. */
    void (*log)(void *arg, enum cor_log_level level, const char *room, const char *event,
                const char *fields_logfmt, const char *fields_json);
    /* The node cannot go on. Called on the node's thread; call cor_close() from another. */
    void (*on_fatal)(void *arg, const struct cor_error *err);
    void *arg;
};

/*
 * Open the data directory, recover, listen and start. Returns when the node runs, which may be
 * before it is ready (cor_wait_ready). On failure *out is untouched and @err says what to do.
 *
 * COR_OK; COR_EINVAL; COR_ELOCKED: another process uses the directory; COR_EFOREIGN; COR_ECORRUPT;
 * COR_EEXIST: an address is in use; COR_EPERM; COR_ENOSPACE; COR_EIO; COR_ENOMEM.
 */
COR_API enum cor_status cor_open(const struct cor_options *options, struct cor_error *err,
                                 struct cor **out);
/* Stop in order: finish or refuse what is pending (up to @grace_ms), write the state file, join the
 * threads, free. Calls that other threads are in end with COR_ESTOPPED, if they cannot be finished; none may
 * begin any more. Not from a callback of the node. */
COR_API void cor_close(struct cor *c, uint64_t grace_ms);

/* Wait until a leader is known and this node's store is caught up. COR_OK; COR_ETIMEDOUT. */
COR_API enum cor_status cor_wait_ready(struct cor *c, uint64_t timeout_ms);

/* The address that listener @i (of options.listen) is bound to; "" past the last. Borrowed until close. */
COR_API const char *cor_listen_address(const struct cor *c, size_t i);

enum cor_read_mode {
    COR_READ_DEFAULT = 0,
    COR_READ_CONSISTENT = 1,
    COR_READ_STALE = 2
};

/* A key and its value, allocated together: free with cor_item_free(). */
struct cor_item {
    struct cor_bytes key, value;
    uint64_t create_revision, mod_revision, version;
};
COR_API void cor_item_free(struct cor_item *item);

/*
 * Blocking calls. Writes: COR_OK; not done: COR_ENOTDONE, COR_ENOLEADER, COR_EBUSY, COR_ENOSPACE, COR_ETOOBIG,
 * COR_EINVAL, COR_ESTOPPED; COR_EUNKNOWN: it may or may not have been done. @revision may be NULL.
 */
COR_API enum cor_status cor_put(struct cor *c, struct cor_bytes key, struct cor_bytes value,
                                uint64_t *revision);
/* *deleted: how many keys (0 or 1). */
COR_API enum cor_status cor_delete(struct cor *c, struct cor_bytes key, uint64_t *deleted,
                                   uint64_t *revision);
/* Put only if the key's mod revision is @expected (0: must not exist). COR_ECONFLICT if not. */
COR_API enum cor_status cor_compare_and_put(struct cor *c, struct cor_bytes key,
                                            uint64_t expected, struct cor_bytes value,
                                            uint64_t *revision);

/*
 * Sessions: a write under a number of a session is done once. After COR_EUNKNOWN call again with the same number, on any
 * member: it is done if it was not, and what comes back is the answer of the first time. At most 64 numbers should be under way
 * at a time. COR_ENOSESSION: closed or expired; COR_EREUSED: the number was used for another write; COR_EFORGOTTEN: the
 * answer is no longer kept. After those three nothing was done now, but an earlier call may have done it.
 */
/* @idle_ms: it may expire when it was not used for so long; 1 s to a day, 0: an hour. COR_ENOSPACE: too many are open. */
COR_API enum cor_status cor_session_open(struct cor *c, uint64_t idle_ms, uint64_t *session);
COR_API enum cor_status cor_session_close(struct cor *c, uint64_t session);
/* @number: from 1. */
COR_API enum cor_status cor_put_once(struct cor *c, uint64_t session, uint64_t number,
                                     struct cor_bytes key, struct cor_bytes value,
                                     uint64_t *revision);
/* COR_OK: *out is the caller's; COR_ENOTFOUND; COR_ENOLEADER; COR_ETIMEDOUT; COR_ENOMEM. */
COR_API enum cor_status cor_get(struct cor *c, struct cor_bytes key, enum cor_read_mode mode,
                                struct cor_item **out);
/* All keys that begin with @prefix, in order, until @each returns false. Made on the caller's
 * thread; the item is borrowed for the call. */
COR_API enum cor_status cor_range(struct cor *c, struct cor_bytes prefix,
                                  enum cor_read_mode mode,
                                  bool (*each)(void *arg, const struct cor_item *item),
                                  void *arg);

struct cor_watch;

struct cor_event {
    bool deleted;
    uint64_t revision;
    struct cor_item item; /* borrowed for the call; deleted: key only */
};

/* What to watch, and whom to tell. */
struct cor_watch_options {
    struct cor_bytes
        prefix; /* all keys that begin with it; of length 0: all there are. Copied. */
    uint64_t
        start_revision; /* from this revision on, from history if it is past; 0: from now */
    /* Called on the node's thread, in order, each change once. */
    void (*on_event)(void *arg, const struct cor_event *event);
    /* At most once, when the watch cannot go on: COR_ECOMPACTED or COR_EBUSY (@revision: where to
     * resume), COR_ESTOPPED. May be NULL. */
    void (*on_end)(void *arg, enum cor_status st, uint64_t revision);
    void *arg;
};

/* Start a watch. It is the caller's until cor_watch_stop(), also after on_end, and after
 * cor_close(). */
COR_API enum cor_status cor_watch(struct cor *c, const struct cor_watch_options *options,
                                  struct cor_watch **out);
/* End the watch and free it. After it returns no callback of it runs or will run. Not from inside a
 * callback. */
COR_API void cor_watch_stop(struct cor_watch *w);

struct cor_node_info {
    char name[64], role[16], leader[64];
    uint64_t term, commit_index, applied_index, revision, state_hash;
};
COR_API void cor_info(struct cor *c, struct cor_node_info *out);

#endif
