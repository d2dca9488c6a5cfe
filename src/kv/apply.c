/*
 * apply.c - one committed entry: decide, execute, tell.
 *
 * Place in the system: node/ calls kv_apply(); exec.c does the single operations.
 *
 *   pre-state  a first pass over the path that will be taken compares and checks preconditions,
 *              and writes down which branch each transaction takes; nothing has changed yet, so
 *              refusing is free. The second pass follows the same path and executes.
 *   stepwise   each operation is tried on what the ones before left; if any failed, all of it is
 *              undone.
 *
 * Then the revision moves, the watchers hear of the changes in order, and versions that no history
 * keeps are dropped. Nothing here can fail but for want of memory, and then the process stops
 * (tree_must_alloc()): a replica must not skip a committed entry.
 */
#include "kv/internal.h"

#include "base/assert.h"

#include <string.h>

#define TEND_PER_ENTRY   16u    /* steps of housekeeping that each entry pays */
#define TEND_AT_COMPACT  8192u  /* and a compaction itself: a few milliseconds */
#define CHANGES_KEPT_MAX 65536u /* a longer list of changes is given back after the entry */

/* ---- pre-state ---------------------------------------------------------------------------------- */

/* A transaction on the way through its bytes. Levels of nesting are recursion bounded by
 * ENTRY_DEPTH_MAX, which kv_check_ops() has seen to. */
struct txn_reader {
    struct reader r;
    struct kv_txn_head head;
};

static struct txn_reader txn_begin(struct cor_bytes txn)
{
    struct txn_reader t = {.r = reader_of(txn)};
    kv_decode_txn_head(&t.r, &t.head);
    return t;
}

static bool all_hold(const struct exec *x, struct txn_reader *t)
{
    bool all = true;
    for (uint64_t i = 0; i < t->head.n_compares; i++) {
        struct kv_compare c;
        kv_decode_compare(&t->r, &c);
        all = all && exec_compare(x, &c);
    }
    return all;
}

static void skip_compares(struct txn_reader *t)
{
    struct kv_compare c;
    for (uint64_t i = 0; i < t->head.n_compares; i++) {
        kv_decode_compare(&t->r, &c);
    }
}

/* Step to the branch that is taken. Returns how many operations it has. */
static uint64_t to_branch(struct txn_reader *t, bool succeeded)
{
    struct kv_op op;
    for (uint64_t i = 0; i < t->head.n_then && !succeeded; i++) {
        kv_decode_op(&t->r, &op);
    }
    return succeeded ? t->head.n_then : t->head.n_else;
}

static enum cor_status decide(struct exec *x, struct cor_bytes txn)
{
    struct txn_reader t = txn_begin(txn);
    bool succeeded = all_hold(x, &t);
    uint32_t number = x->n_txns++;
    COR_ASSERT(number <= KV_OPS_MAX);
    x->decided[number / 64] |= (uint64_t)succeeded << (number % 64);
    uint64_t n = to_branch(&t, succeeded);
    for (uint64_t i = 0; i < n; i++) {
        struct kv_op op;
        kv_decode_op(&t.r, &op);
        enum cor_status st =
            op.kind == KV_OP_TXN ? decide(x, op.txn) : exec_precondition(x, &op);
        if (st != COR_OK) {
            return st;
        }
    }
    return COR_OK;
}

/* Room for the answers of @n operations. NULL: nobody wants them, or they do not fit. */
static struct kv_op_result *new_results(struct exec *x, uint64_t n)
{
    if (x->arena == NULL || x->answer_failed || n == 0) {
        return NULL;
    }
    struct kv_op_result *ops = ARENA_NEW(x->arena, struct kv_op_result, (size_t)n);
    x->answer_failed = ops == NULL;
    return ops;
}

static void exec_op(struct exec *x, const struct kv_op *op, struct kv_op_result *result)
{
    switch ((enum kv_op_kind)op->kind) {
    case KV_OP_PUT:
        exec_put(x, op, result);
        return;
    case KV_OP_DELETE:
        exec_delete(x, op, result);
        return;
    case KV_OP_RANGE:
        exec_range(x, op, result);
        return;
    case KV_OP_COMPACT:
        x->kv->compacted = op->revision;
        return;
    case KV_OP_SESSION:
        session_exec(x, op, result);
        return;
    case KV_OP_TXN: /* apply.c's own */
    case KV_OP_CHECK:
    case KV_OP_NOTE:
        return;
    }
}

static void run(struct exec *x, struct cor_bytes txn, struct kv_result *out)
{
    struct txn_reader t = txn_begin(txn);
    skip_compares(&t);
    uint32_t number = x->n_txns++;
    out->succeeded = (x->decided[number / 64] >> (number % 64) & 1) != 0;
    uint64_t n = to_branch(&t, out->succeeded);
    struct kv_op_result *results = new_results(x, n);
    for (uint64_t i = 0; i < n; i++) {
        struct kv_op op;
        kv_decode_op(&t.r, &op);
        struct kv_op_result result = {.kind = op.kind};
        if (op.kind == KV_OP_TXN) {
            struct kv_result nested = {.status = COR_OK};
            struct kv_result *kept =
                results == NULL ? NULL : ARENA_NEW(x->arena, struct kv_result, 1);
            x->answer_failed = x->answer_failed || (results != NULL && kept == NULL);
            run(x, op.txn, &nested);
            if (kept != NULL) {
                *kept = nested;
            }
            result.txn = kept;
        } else {
            exec_op(x, &op, &result);
        }
        if (results != NULL) {
            results[i] = result;
        }
    }
    out->n_ops = results == NULL ? 0 : (uint32_t)n;
    out->ops = results;
}

static void apply_pre_state(struct exec *x, struct cor_bytes txn, struct kv_result *out)
{
    out->status = decide(x, txn);
    if (out->status == COR_OK) {
        x->n_txns = 0;
        run(x, txn, out);
    }
}

/* ---- stepwise -------------------------------------------------------------------------------------- */

static void apply_stepwise(struct exec *x, struct reader *r, struct kv_result *out)
{
    uint64_t n = reader_varint(r);
    struct kv_op_result *results = new_results(x, n);
    x->stepwise = true;
    for (uint64_t i = 0; i < n; i++) {
        struct kv_op op;
        kv_decode_op(r, &op);
        struct kv_op_result result = {.kind = op.kind};
        result.status = exec_precondition(x, &op);
        if (op.kind == KV_OP_CHECK && !exec_compare(x, &op.check)) {
            result.status = COR_ECONFLICT;
        }
        if (result.status == COR_OK) {
            exec_op(x, &op, &result);
        } else {
            out->status = COR_ECONFLICT;
        }
        if (results != NULL) {
            results[i] = result;
        }
    }
    out->succeeded = out->status == COR_OK;
    out->n_ops = results == NULL ? 0 : (uint32_t)n;
    out->ops = results;
    if (out->status != COR_OK) {
        exec_undo(x);
    }
}

/* ---- afterwards --------------------------------------------------------------------------------------- */

static void tell_watchers(struct kv *kv, const struct change *c)
{
    struct watch_index *index = &kv->watches[c->table];
    if (kv->on_change == NULL || index->n == 0) {
        return;
    }
    struct cor_bytes key = record_key(kv_at(kv, c->now));
    struct kv_watcher *w = watch_first(index, key);
    if (w == NULL) {
        return;
    }
    struct kv_event e;
    kv_event_of(kv, c->now, &e);
    kv->on_change(kv->on_change_arg, &e, NULL);
    for (; w != NULL; w = watch_next(w, key)) {
        struct kv_watcher *each = w;
        do {
            kv->on_change(kv->on_change_arg, &e, each);
            each = each->next;
        } while (each != w);
    }
}

/* Tables without history keep no version before, and no tombstone. */
static void forget_before(struct kv *kv, const struct change *c)
{
    struct slab_heap *heap = &kv->memory.heap;
    if (c->before != 0) {
        slab_set_link(heap, c->now, 0);
        kv->history_bytes -= slab_size(heap, c->before);
        tree_discard(&kv->memory, c->before);
    }
    if (!record_is_dead(kv_at(kv, c->now))) {
        return;
    }
    struct tree *t = &kv->tables[c->table];
    struct tree_path path;
    bool found = tree_find(&kv->memory, t->root, record_key(kv_at(kv, c->now)), &path);
    COR_ASSERT(found);
    if (tree_record(&kv->memory, &path) == c->now) {
        tree_remove(&kv->memory, t, &path, record_mod(kv_at(kv, c->now)));
        kv->history_bytes -= slab_size(heap, c->now);
        tree_discard(&kv->memory, c->now);
    }
}

static void shorten_changes(struct kv *kv)
{
    struct change_list *list = &kv->changes;
    list->n = 0;
    if (list->size > CHANGES_KEPT_MAX) {
        kv_release(kv, list->items, list->size * sizeof *list->items);
        *list = (struct change_list){.items = NULL};
    }
}

static void commit(struct kv *kv)
{
    bool keys = false;
    bool system = false;
    for (uint32_t i = 0; i < kv->changes.n; i++) {
        bool is_key = kv->changes.items[i].table == KV_TABLE_KEYS;
        keys = keys || is_key;
        system = system || !is_key;
        if (is_key) {
            history_push(kv, kv->changes.items[i].now);
        }
    }
    kv->revision += keys;
    kv->system_revision += system;
    history_sample(kv);
    for (uint32_t i = 0; i < kv->changes.n; i++) {
        tell_watchers(kv, &kv->changes.items[i]);
    }
    for (uint32_t i = 0; i < kv->changes.n && system; i++) {
        if (kv->changes.items[i].table != KV_TABLE_KEYS) {
            forget_before(kv, &kv->changes.items[i]);
        }
    }
    shorten_changes(kv);
}

static void execute(struct exec *x, struct cor_bytes ops, struct kv_result *out)
{
    struct reader r = reader_of(ops);
    uint8_t mode = reader_u8(&r);
    if (mode == KV_PRE_STATE) {
        apply_pre_state(x, (struct cor_bytes){r.at, (size_t)(r.end - r.at)}, out);
    } else {
        COR_ASSERT(mode == KV_STEPWISE);
        apply_stepwise(x, &r, out);
    }
}

void apply_once(struct exec *x, const struct entry_header *h, struct cor_bytes ops,
                struct kv_result *out)
{
    struct kv *kv = x->kv;
    if (h->deadline != 0 && h->deadline < kv->cluster_time) {
        out->status = COR_EEXPIRED;
    } else {
        execute(x, ops, out);
        commit(kv);
    }
    out->revision = kv->revision;
    out->system_revision = kv->system_revision;
}

enum cor_status kv_apply(struct kv *kv, uint64_t index, struct cor_bytes entry,
                         struct arena *arena, struct kv_result *result)
{
    struct entry_header header;
    struct cor_bytes ops;
    enum cor_status st = entry_header_decode(entry, &header, &ops);
    if (st == COR_OK) {
        st = kv_check_ops(ops, NULL);
    }
    if (st != COR_OK) {
        return st == COR_EFOREIGN ? COR_EFOREIGN : COR_EPROTO;
    }
    COR_ASSERT(index > kv->applied);
    kv->applied = index;
    if (header.cluster_time > kv->cluster_time) {
        kv->cluster_time = header.cluster_time;
    }
    struct kv_result out = {.status = COR_OK};
    struct exec x = {.kv = kv, .arena = result == NULL ? NULL : arena, .index = index};
    uint64_t compacted = kv->compacted;
    if (header.session != 0) {
        session_apply(&x, &header, ops, &out);
    } else {
        apply_once(&x, &header, ops, &out);
    }
    (void)kv_tend(kv, kv->compacted != compacted ? TEND_AT_COMPACT : TEND_PER_ENTRY);
    if (result == NULL) {
        return COR_OK;
    }
    if (x.answer_failed) {
        out.status = COR_ETOOBIG;
        out.n_ops = 0;
        out.ops = NULL;
    }
    *result = out;
    return x.answer_failed ? COR_ENOMEM : COR_OK;
}

void kv_skip(struct kv *kv, uint64_t index)
{
    COR_ASSERT(index > kv->applied);
    kv->applied = index;
    (void)kv_tend(kv, TEND_PER_ENTRY);
}
