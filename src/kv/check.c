/*
 * check.c - whether operations are fit to be proposed, and to be applied.
 *
 * Place in the system: api/ and node/ ask before proposing, with the error text for the client;
 * kv_apply() asks again, because an entry may come from another version of us. No allocation: the
 * number of operations is bounded, so what the rule of duplicates must remember is on the stack.
 *
 * The rule of duplicates compares every two operations on one key. Each carries its *trail*: per
 * level of nesting the number of the transaction it is in and the branch. Two trails part
 *   - into the two branches of one transaction: they never happen together;
 *   - elsewhere: they may. Two puts then conflict. A put and a deletion conflict, too, unless both
 *     are nested and the put's transaction comes first (etcd looks back only).
 */
#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "kv/catalog.h"
#include "kv/entry.h"
#include "kv/tree.h"

#include <string.h>

#define N_BUCKETS 2048u
_Static_assert(N_BUCKETS >= 2 * KV_OPS_MAX, "the table of puts is at most half full");

struct change {
    struct cor_bytes key, end; /* @end empty: a put, or a deletion of one key */
    uint32_t trail[ENTRY_DEPTH_MAX];
};

struct check {
    struct cor_error *err;
    uint32_t n_ops, n_compares, n_txns;
    uint32_t n_puts, n_deletes;
    bool alone;                        /* there is an operation that must be the only one */
    uint32_t trail[ENTRY_DEPTH_MAX];   /* of the operation being read */
    struct change changes[KV_OPS_MAX]; /* puts from the front, deletions from the back */
};

/* ---- single fields ---------------------------------------------------------------------------- */

static enum cor_status check_table(uint8_t table, struct cor_error *err)
{
    return table < KV_TABLE_CLIENTS
               ? COR_OK
               : error_set(err, COR_EFOREIGN, "table %u is unknown to this version", table);
}

static enum cor_status check_key(struct cor_bytes key, struct cor_error *err)
{
    if (key.len == 0) {
        return error_set(err, COR_EINVAL, "a key must not be empty");
    }
    if (key.len > KV_KEY_MAX) {
        return error_set(err, COR_ETOOBIG, "a key of %zu bytes; %u are the limit", key.len,
                         KV_KEY_MAX);
    }
    return COR_OK;
}

static enum cor_status check_range(const struct kv_range *range, struct cor_error *err)
{
    enum cor_status st = check_table(range->table, err);
    if (st != COR_OK) {
        return st;
    }
    bool one = !range->to_end && range->end.len == 0;
    if (one || range->key.len > KV_KEY_MAX) {
        return check_key(range->key, err);
    }
    if (range->end.len > KV_KEY_MAX) {
        return check_key(range->end, err);
    }
    return COR_OK;
}

static enum cor_status check_compare(const struct kv_compare *c, struct cor_error *err)
{
    bool known = c->field >= KV_COMPARE_VERSION && c->field <= KV_COMPARE_LEASE &&
                 c->op >= KV_EQUAL && c->op <= KV_NOT_EQUAL;
    if (!known) {
        return error_set(err, COR_EFOREIGN, "compare %u/%u is unknown to this version",
                         c->field, c->op);
    }
    return check_range(&c->range, err);
}

static enum cor_status check_put(const struct kv_op *op, struct cor_error *err)
{
    enum cor_status st = check_table(op->range.table, err);
    if (st == COR_OK) {
        st = check_key(op->range.key, err);
    }
    if (st != COR_OK) {
        return st;
    }
    if (op->value.len > KV_VALUE_MAX) {
        return error_set(err, COR_ETOOBIG, "a value of %zu bytes; %u are the limit",
                         op->value.len, KV_VALUE_MAX);
    }
    /* With KV_BUMP_LOCK the stored lock index may be longer than the one it replaces. */
    if (op->attrs.len > KV_ATTRS_MAX) {
        return error_set(err, COR_ETOOBIG, "attributes of %zu bytes; %u are the limit",
                         op->attrs.len, KV_ATTRS_MAX);
    }
    if ((op->flags & KV_KEEP_VALUE) != 0 && op->value.len > 0) {
        return error_set(err, COR_EINVAL, "a value is given and the old one is to be kept");
    }
    if ((op->flags & KV_KEEP_LEASE) != 0 && op->lease != 0) {
        return error_set(err, COR_EINVAL, "a lease is given and the old one is to be kept");
    }
    return COR_OK;
}

/* A put or a deletion that is fit by itself, in a table where more follows from it. */
static enum cor_status check_catalog(const struct kv_op *op, enum kv_mode mode,
                                     struct cor_error *err)
{
    if (!catalog_has(op->range.table)) {
        return COR_OK;
    }
    return mode == KV_STEPWISE
               ? catalog_check_op(op, err)
               : error_set(err, COR_EINVAL, "the catalog changes in stepwise transactions");
}

static enum cor_status malformed(struct cor_error *err)
{
    return error_set(err, COR_EPROTO, "malformed operations");
}

static bool is_known_kind(uint8_t kind)
{
    return kind >= KV_OP_PUT && kind <= KV_OP_SESSION;
}

static enum cor_status check_session(const struct kv_op *op, struct cor_error *err)
{
    bool fits = true;
    switch ((enum kv_session_do)op->session_do) {
    case KV_SESSION_OPEN:
        fits = op->number >= KV_SESSION_IDLE_MIN && op->number <= KV_SESSION_IDLE_MAX;
        break;
    case KV_SESSION_CLOSE:
    case KV_SESSION_EXPIRE:
        fits = op->number != 0;
        break;
    default:
        return error_set(err, COR_EFOREIGN, "session operation %u is unknown to this version",
                         op->session_do);
    }
    return fits ? COR_OK
                : error_set(err, COR_EINVAL,
                            "a session may be idle for 1 s to a day, and its id is not 0");
}

/* ---- operations --------------------------------------------------------------------------------- */

static void remember(struct check *c, const struct kv_op *op)
{
    bool is_put = op->kind == KV_OP_PUT;
    COR_ASSERT(c->n_puts + c->n_deletes < KV_OPS_MAX);
    struct change *to =
        is_put ? &c->changes[c->n_puts++] : &c->changes[KV_OPS_MAX - ++c->n_deletes];
    to->key = op->range.key;
    to->end = is_put ? (struct cor_bytes){NULL, 0} : op->range.end;
    /* The table belongs to the key: it goes into the first number of the trail, which says nothing
     * but the branch. */
    memcpy(to->trail, c->trail, sizeof c->trail);
    to->trail[0] |= (uint32_t)op->range.table << 16;
}

static enum cor_status check_one(struct check *c, const struct kv_op *op, enum kv_mode mode)
{
    enum cor_status st;
    switch ((enum kv_op_kind)op->kind) {
    case KV_OP_PUT:
        if (mode == KV_PRE_STATE) {
            remember(c, op);
        }
        st = check_put(op, c->err);
        return st == COR_OK ? check_catalog(op, mode, c->err) : st;
    case KV_OP_DELETE:
        if (mode == KV_PRE_STATE && !op->range.to_end) {
            remember(c, op);
        }
        st = check_range(&op->range, c->err);
        return st == COR_OK ? check_catalog(op, mode, c->err) : st;
    case KV_OP_RANGE:
        return check_range(&op->range, c->err);
    case KV_OP_COMPACT:
        c->alone = true;
        return COR_OK;
    case KV_OP_TXN:
        return mode == KV_PRE_STATE
                   ? COR_OK
                   : error_set(c->err, COR_EINVAL, "a stepwise transaction has no nested ones");
    case KV_OP_CHECK:
        return mode == KV_STEPWISE
                   ? check_compare(&op->check, c->err)
                   : error_set(c->err, COR_EINVAL, "a check belongs in a stepwise transaction");
    case KV_OP_NOTE:
        return COR_OK;
    case KV_OP_SESSION:
        c->alone = true;
        return check_session(op, c->err);
    }
    return COR_EFOREIGN;
}

static enum cor_status read_op(struct check *c, struct reader *r, enum kv_mode mode,
                               struct kv_op *op)
{
    if (++c->n_ops > KV_OPS_MAX) {
        return error_set(c->err, COR_ETOOBIG, "more than %u operations", KV_OPS_MAX);
    }
    kv_decode_op(r, op);
    if (!reader_ok(r) && is_known_kind(op->kind)) {
        return malformed(c->err);
    }
    if (!is_known_kind(op->kind)) {
        /* Byte 0 is no kind at all and will never be one. */
        return op->kind == 0 ? malformed(c->err)
                             : error_set(c->err, COR_EFOREIGN,
                                         "operation %u is unknown to this version", op->kind);
    }
    if ((op->flags & ~KV_OP_FLAGS_KNOWN) != 0) {
        return error_set(c->err, COR_EFOREIGN, "operation flags %x are unknown to this version",
                         op->flags);
    }
    return check_one(c, op, mode);
}

static enum cor_status check_txn(struct check *c, struct reader *r, uint32_t depth);

/* One branch of the transaction numbered @txn. Recursion ends at ENTRY_DEPTH_MAX. */
static enum cor_status check_branch(struct check *c, struct reader *r, uint64_t n,
                                    uint32_t depth)
{
    for (uint64_t i = 0; i < n; i++) {
        struct kv_op op = {.kind = 0};
        enum cor_status st = read_op(c, r, KV_PRE_STATE, &op);
        if (st == COR_OK && op.kind == KV_OP_TXN) {
            struct reader nested = reader_of(op.txn);
            st = check_txn(c, &nested, depth + 1);
            if (st == COR_OK && !reader_done(&nested)) {
                st = malformed(c->err);
            }
        }
        if (st != COR_OK) {
            return st;
        }
    }
    return COR_OK;
}

static enum cor_status check_txn(struct check *c, struct reader *r, uint32_t depth)
{
    if (depth >= ENTRY_DEPTH_MAX) {
        return error_set(c->err, COR_ETOOBIG, "transactions nested deeper than %u",
                         ENTRY_DEPTH_MAX);
    }
    uint32_t txn = c->n_txns++;
    struct kv_txn_head head;
    kv_decode_txn_head(r, &head);
    for (uint64_t i = 0; i < head.n_compares && reader_ok(r); i++) {
        if (++c->n_compares > KV_COMPARES_MAX) {
            return error_set(c->err, COR_ETOOBIG, "more than %u compares", KV_COMPARES_MAX);
        }
        struct kv_compare compare;
        kv_decode_compare(r, &compare);
        enum cor_status st = reader_ok(r) ? check_compare(&compare, c->err) : COR_OK;
        if (st != COR_OK) {
            return st;
        }
    }
    if (!reader_ok(r)) {
        return malformed(c->err);
    }
    c->trail[depth] = txn << 1;
    enum cor_status st = check_branch(c, r, head.n_then, depth);
    if (st == COR_OK) {
        c->trail[depth] = txn << 1 | 1;
        st = check_branch(c, r, head.n_else, depth);
    }
    c->trail[depth] = 0;
    return st;
}

/* ---- duplicates ------------------------------------------------------------------------------------ */

enum meeting {
    NEVER, /* in the two branches of one transaction */
    TOGETHER,
    PUT_FIRST, /* both nested, the put's transaction before the deletion's */
};

static enum meeting meet(const struct change *put, const struct change *other)
{
    for (uint32_t d = 0; d < ENTRY_DEPTH_MAX; d++) {
        uint32_t p = put->trail[d];
        uint32_t o = other->trail[d];
        if (p == o) {
            continue;
        }
        if (d == 0 && p >> 16 != o >> 16) {
            return NEVER; /* other tables */
        }
        if ((p ^ o) == 1) {
            return NEVER; /* the same transaction, the other branch */
        }
        return p != 0 && o != 0 && p < o ? PUT_FIRST : TOGETHER;
    }
    return TOGETHER;
}

static bool puts_collide(const struct check *c)
{
    uint16_t table[N_BUCKETS] = {0};
    for (uint32_t i = 0; i < c->n_puts; i++) {
        const struct change *put = &c->changes[i];
        uint32_t b = (uint32_t)hash64(put->key) % N_BUCKETS;
        for (; table[b] != 0; b = (b + 1) % N_BUCKETS) {
            const struct change *other = &c->changes[table[b] - 1];
            if (bytes_compare(put->key, other->key) == 0 && meet(put, other) != NEVER) {
                return true;
            }
        }
        table[b] = (uint16_t)(i + 1);
    }
    return false;
}

static bool covers(const struct change *range, struct cor_bytes key)
{
    if (range->end.len == 0) {
        return bytes_compare(range->key, key) == 0;
    }
    return bytes_compare(range->key, key) <= 0 && bytes_compare(key, range->end) < 0;
}

static bool a_put_is_deleted(const struct check *c)
{
    for (uint32_t i = KV_OPS_MAX - c->n_deletes; i < KV_OPS_MAX; i++) {
        for (uint32_t j = 0; j < c->n_puts; j++) {
            if (covers(&c->changes[i], c->changes[j].key) &&
                meet(&c->changes[j], &c->changes[i]) == TOGETHER) {
                return true;
            }
        }
    }
    return false;
}

static enum cor_status check_duplicates(const struct check *c)
{
    if (c->n_puts + c->n_deletes < 2 || c->n_puts == 0) {
        return COR_OK;
    }
    if (puts_collide(c) || a_put_is_deleted(c)) {
        return error_set(c->err, COR_EINVAL, "a key is changed twice in one transaction");
    }
    return COR_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

static enum cor_status check_stepwise(struct check *c, struct reader *r)
{
    uint64_t n = reader_varint(r);
    for (uint64_t i = 0; i < n; i++) {
        struct kv_op op;
        enum cor_status st = read_op(c, r, KV_STEPWISE, &op);
        if (st != COR_OK) {
            return st;
        }
    }
    return COR_OK;
}

static enum cor_status check_mode(struct check *c, struct reader *r)
{
    uint8_t mode = reader_u8(r);
    if (!reader_ok(r) || mode == 0) {
        return malformed(c->err);
    }
    switch ((enum kv_mode)mode) {
    case KV_PRE_STATE:
        return check_txn(c, r, 0);
    case KV_STEPWISE:
        return check_stepwise(c, r);
    }
    return error_set(c->err, COR_EFOREIGN, "mode %u is unknown to this version", mode);
}

enum cor_status kv_check_ops(struct cor_bytes ops, struct cor_error *err)
{
    if (ops.len > ENTRY_OPS_MAX) {
        return error_set(err, COR_ETOOBIG, "%zu bytes of operations; %u are the limit", ops.len,
                         ENTRY_OPS_MAX);
    }
    struct check c; /* large, so only what is read before it is written begins as zero */
    c.err = err;
    c.n_ops = c.n_compares = c.n_txns = c.n_puts = c.n_deletes = 0;
    c.alone = false;
    memset(c.trail, 0, sizeof c.trail);
    struct reader r = reader_of(ops);
    enum cor_status st = check_mode(&c, &r);
    if (st != COR_OK) {
        return st;
    }
    if (!reader_done(&r)) {
        return malformed(err);
    }
    if (c.alone && c.n_ops > 1) {
        return error_set(
            err, COR_EINVAL,
            "a compaction, or what is done to a session, stands alone in its entry");
    }
    return check_duplicates(&c);
}
