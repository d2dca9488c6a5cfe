/*
 * entry.h - a command entry of the log, as bytes: a header and a list of typed operations.
 *
 * Place in the system: api/ encodes operations, node/ puts the leader's header before them, wal/ and
 * peer/ carry the result unseen, kv/apply.c executes it on every node. The bytes are made once;
 * the same buffer goes to the log, to every peer and into the follower's log.
 *
 *     entry  := header operations
 *     header := u8 format (1), then varints: dialect, flags, session, number, principal,
 *               auth revision, deadline, cluster time, wall clock ms
 *     operations := mode byte, then by mode:
 *         pre-state:  compares, then-branch, else-branch (etcd: all see the state before; nested)
 *         stepwise:   a list (Consul: each sees the earlier ones; all are tried, all errors reported,
 *                     and if one failed, everything is undone)
 *
 * Varints because three in four of these fields are 0 in most entries. Unknown format, mode,
 * kind or flag: COR_EFOREIGN. This member is older than the entry; it must stop, not skip: members
 * that skip diverge (goraft B13).
 *
 * Decoding is bounded: depth at most ENTRY_DEPTH_MAX, no allocation; views borrow from the input.
 */
#ifndef KV_ENTRY_H
#define KV_ENTRY_H

#include "base/attr.h"
#include "base/reader.h"
#include "base/writer.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stdint.h>

#define ENTRY_FORMAT    1u
#define ENTRY_DEPTH_MAX 8u
#define KV_KEY_MAX      8192u      /* bytes */
#define KV_VALUE_MAX    (1u << 20) /* bytes */
#define KV_ATTRS_MAX    255u       /* bytes */
#define KV_OPS_MAX      1024u /* operations in one entry, nested ones and both branches counted */
#define KV_COMPARES_MAX 1024u      /* in one entry */
#define ENTRY_OPS_MAX   (3u << 19) /* bytes of encoded operations: 1.5 MiB */

enum entry_dialect {
    ENTRY_DIALECT_NATIVE = 0,
    ENTRY_DIALECT_RAFTD = 1,
    ENTRY_DIALECT_ETCD = 2,
    ENTRY_DIALECT_CONSUL = 3
};

/* Tables, numbered outside the key (D3). Only table 0 advances the revision; all others share the
 * system revision. */
enum kv_table {
    KV_TABLE_KEYS = 0,
    KV_TABLE_LEASES = 1,
    KV_TABLE_SESSIONS = 2,
    KV_TABLE_USERS = 3,
    KV_TABLE_NODES = 4,
    KV_TABLE_SERVICES = 5,
    KV_TABLE_CHECKS = 6,
    KV_TABLE_EVENTS = 7,
    KV_TABLE_CLIENTS = 8, /* client sessions (D12): the store's own, see session.c. No operation
                             names it, and no revision counts its changes */
    KV_N_TABLES = 9,
};

struct entry_header {
    uint8_t dialect;        /* enum entry_dialect */
    uint64_t flags;         /* 0; room */
    uint64_t session;       /* client session (D12); 0: none */
    uint64_t number;        /* of the request in it, from 1 */
    uint64_t principal;     /* who asked; 0: authentication is off */
    uint64_t auth_revision; /* of the permissions checked at the door; checked again at apply */
    uint64_t deadline; /* in cluster time, ns; 0: none. Past it the entry applies as expired */
    uint64_t cluster_time; /* ns; monotone across leaders (D4) */
    uint64_t wall_ms;      /* since 1970; display and point-in-time restore only */
};

#define ENTRY_HEADER_SIZE_MAX (1u + 9u * VARINT_SIZE_MAX)

size_t entry_header_encode(const struct entry_header *h, unsigned char *out);
/* On COR_OK *ops is the rest of @in. COR_EPROTO; COR_EFOREIGN. */
MUST_USE enum cor_status entry_header_decode(struct cor_bytes in, struct entry_header *out,
                                             struct cor_bytes *ops);

/* ---- operations -------------------------------------------------------------------------------- */

enum kv_mode {
    KV_PRE_STATE = 1,
    KV_STEPWISE = 2
};

enum kv_op_kind {
    KV_OP_PUT = 1,     /* table key value attrs lease */
    KV_OP_DELETE = 2,  /* table key..end */
    KV_OP_RANGE = 3,   /* read inside the transaction */
    KV_OP_TXN = 4,     /* nested; pre-state mode only */
    KV_OP_COMPACT = 5, /* revision: forget history below */
    KV_OP_CHECK = 6,   /* stepwise: fail the transaction unless the compare holds */
    KV_OP_NOTE = 7,    /* value: changes nothing; an import keeps here what its entry was */
    KV_OP_SESSION = 8, /* session_do number: client sessions (D12) */
};

enum kv_session_do {
    KV_SESSION_OPEN = 1, /* number: how long it may be idle, ns. The result's count: its id */
    KV_SESSION_CLOSE,    /* number: its id */
    KV_SESSION_EXPIRE, /* number: a past cluster time, ns: all that had been idle too long then */
};

#define KV_SESSION_IDLE_MIN UINT64_C(1000000000)            /* 1 s */
#define KV_SESSION_IDLE_MAX (UINT64_C(86400) * 1000000000u) /* a day */

enum kv_op_flags {
    KV_IF_CHANGED =
        1u << 0, /* PUT: an equal value (and attributes) changes nothing, no event */
    KV_KEEP_VALUE = 1u << 1, /* PUT: keep the value; the key must be there */
    KV_KEEP_LEASE = 1u << 2,
    KV_KEEP_ATTRS = 1u << 3,
    KV_BUMP_LOCK = 1u << 4,  /* PUT: one more in the lock index, which is the varint that
                                attributes begin with; the one in @attrs is ignored */
    KV_WANT_PREV = 1u << 5,  /* PUT, DELETE: the previous item in the result */
    KV_COUNT_ONLY = 1u << 6, /* RANGE */
    KV_KEYS_ONLY = 1u << 7,  /* RANGE */
    KV_MUST_EXIST = 1u << 8, /* PUT: the key must be there (etcd's ignore_lease) */
    KV_KEEP_LOCK = 1u << 9,  /* PUT: keep who holds the lock, and its index: the part of the
                                attributes below; what follows it is taken from @attrs */
    KV_IF_ABSENT = 1u << 10, /* PUT: a key that is there stays as it is */
};

#define KV_OP_FLAGS_KNOWN 0x7ffu

/*
 * Attributes are bytes of the dialects, but for their beginning, which the store knows how to keep
 * (KV_KEEP_LOCK) and to count up (KV_BUMP_LOCK):
 *
 *     attrs := varint lock index | blob holder | the rest
 *
 * Zeros at the end are left out, so no attributes at all are a key that nobody ever locked.
 */

/*
 * A range of keys: [key, end). @end empty: the one key. To address "all keys from @key on" set
 * @to_end. Prefixes are made into ranges by kv_prefix_end().
 */
struct kv_range {
    uint8_t table; /* enum kv_table */
    bool to_end;
    struct cor_bytes key, end;
};

enum kv_compare_field {
    KV_COMPARE_VERSION = 1,
    KV_COMPARE_CREATE,
    KV_COMPARE_MOD,
    KV_COMPARE_VALUE,
    KV_COMPARE_LEASE
};
enum kv_compare_op {
    KV_EQUAL = 1,
    KV_GREATER,
    KV_LESS,
    KV_NOT_EQUAL
};

/* A missing key, or a range without keys, compares as all zeros once; a comparison of its value
 * never holds, not even KV_NOT_EQUAL (etcd). */
struct kv_compare {
    struct kv_range range; /* must hold for every key in it */
    uint8_t field;         /* enum kv_compare_field */
    uint8_t op;            /* enum kv_compare_op */
    uint64_t number;       /* all fields but VALUE */
    struct cor_bytes value;
};

struct kv_op {
    uint8_t kind;            /* enum kv_op_kind */
    uint32_t flags;          /* enum kv_op_flags */
    struct kv_range range;   /* PUT: the key in range.key */
    struct cor_bytes value;  /* PUT, NOTE */
    struct cor_bytes attrs;  /* PUT: what only one dialect knows; at most 255 bytes */
    uint64_t lease;          /* PUT */
    uint64_t revision;       /* RANGE: 0 or a past revision; COMPACT */
    uint64_t limit;          /* RANGE: 0: none */
    struct kv_compare check; /* CHECK */
    struct cor_bytes txn;    /* TXN: counts, compares, then, else; as after the mode byte */
    uint8_t session_do;      /* SESSION: enum kv_session_do */
    uint64_t number;         /* SESSION */
};

/*
 * Encoders write into a struct writer; the caller asks writer_ok() once at the end. A pre-state
 * transaction is
 *     kv_encode_txn_begin(w, n_compares, n_then, n_else), the compares, the then-, the else-ops
 * and a stepwise one kv_encode_stepwise_begin(w, n), then the ops.
 */
void kv_encode_txn_begin(struct writer *w, uint32_t n_compares, uint32_t n_then,
                         uint32_t n_else);
/* The same for the bytes of a nested transaction (kv_op.txn): without the mode byte. */
void kv_encode_nested_begin(struct writer *w, uint32_t n_compares, uint32_t n_then,
                            uint32_t n_else);
void kv_encode_stepwise_begin(struct writer *w, uint32_t n);
void kv_encode_compare(struct writer *w, const struct kv_compare *c);
void kv_encode_op(struct writer *w, const struct kv_op *op);

/* Whole operations for the common case: a pre-state transaction with one op. */
void kv_encode_one(struct writer *w, const struct kv_op *op);

void kv_decode_compare(struct reader *r, struct kv_compare *out);
void kv_decode_op(struct reader *r, struct kv_op *out);

/* The start of encoded operations: how many there are, or of which counts a TXN consists. */
struct kv_txn_head {
    uint64_t n_compares, n_then, n_else;
};
void kv_decode_txn_head(struct reader *r, struct kv_txn_head *out);

/*
 * Check @ops as kv_apply() will read them: well-formed, limits, known kinds, and for a pre-state
 * transaction etcd's rule of duplicates: no key put twice, nor put and deleted, where both can
 * happen together. (As in etcd, a deletion "from key on" does not count, nor does a nested deletion
 * after a nested put.) A compaction stands alone in its entry, and so does what is done to a
 * session. The tables of the catalog have rules of their own (catalog.h). What this accepts,
 * kv_apply() accepts.
 * COR_OK; COR_EPROTO; COR_EFOREIGN; COR_ETOOBIG; COR_EINVAL (@err).
 */
MUST_USE enum cor_status kv_check_ops(struct cor_bytes ops, struct cor_error *err);

/* The end of the range of all keys that begin with @prefix, written to @out (prefix.len bytes of
 * room). Returns its length; 0: there is no end, use to_end. */
size_t kv_prefix_end(struct cor_bytes prefix, unsigned char *out);

#endif
