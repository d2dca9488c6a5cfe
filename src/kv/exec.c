/*
 * exec.c - what each operation does to the tables.
 *
 * Place in the system: apply.c decides which operations run, and in what order; here they run.
 * Every change makes a record and leaves a line in kv->changes, from which apply.c tells the
 * watchers and exec_undo() goes back. A deletion makes a tombstone in every table; apply.c takes
 * it out again at the end where there is no history.
 *
 * The two modes differ in what "before" means: in a pre-state transaction whatever is kept,
 * answered as previous or compared is of the revision before it, however often the transaction
 * has changed the key by now.
 */
#include "kv/internal.h"

#include "base/assert.h"
#include "base/writer.h"
#include "kv/catalog.h"

#include <string.h>

static struct tree *table_of(const struct exec *x, uint8_t table)
{
    COR_ASSERT(table < KV_N_TABLES);
    return &x->kv->tables[table];
}

static bool is_equal(struct cor_bytes a, struct cor_bytes b)
{
    return bytes_compare(a, b) == 0;
}

/* Read the live item of @record, if it is one. */
static bool read_live(const struct kv *kv, slab_ref record, struct kv_item *item)
{
    struct record_meta meta;
    if (record == 0 || record_is_dead(kv_at(kv, record))) {
        return false;
    }
    record_read(kv_at(kv, record), item, &meta);
    return true;
}

/* The item that an operation on @record's key refers to as the one before. */
static bool read_before(const struct exec *x, uint8_t table, slab_ref record,
                        struct kv_item *item)
{
    if (!x->stepwise && record != 0) {
        record = kv_version_at(x->kv, record, kv_table_revision(x->kv, table));
    }
    return read_live(x->kv, record, item);
}

bool exec_find(const struct exec *x, uint8_t table, struct cor_bytes key, struct kv_item *item)
{
    struct tree_path path;
    bool found = tree_find(&x->kv->memory, table_of(x, table)->root, key, &path);
    return found && read_live(x->kv, tree_record(&x->kv->memory, &path), item);
}

/* ---- compares --------------------------------------------------------------------------------- */

static bool holds(uint8_t op, int difference)
{
    switch ((enum kv_compare_op)op) {
    case KV_EQUAL:
        return difference == 0;
    case KV_GREATER:
        return difference > 0;
    case KV_LESS:
        return difference < 0;
    case KV_NOT_EQUAL:
        return difference != 0;
    }
    return false;
}

static uint64_t field_of(const struct kv_item *item, uint8_t field)
{
    switch ((enum kv_compare_field)field) {
    case KV_COMPARE_VERSION:
        return item->version;
    case KV_COMPARE_CREATE:
        return item->create_revision;
    case KV_COMPARE_MOD:
        return item->mod_revision;
    case KV_COMPARE_LEASE:
        return item->lease;
    case KV_COMPARE_VALUE:
        break;
    }
    return 0;
}

/* @item: NULL when there is none. */
static bool compare_item(const struct kv_compare *c, const struct kv_item *item)
{
    if (c->field == KV_COMPARE_VALUE) {
        return item != NULL && holds(c->op, bytes_compare(item->value, c->value));
    }
    uint64_t have = item == NULL ? 0 : field_of(item, c->field);
    return holds(c->op, (have > c->number) - (have < c->number));
}

bool exec_compare(const struct exec *x, const struct kv_compare *c)
{
    struct kv_item item;
    if (!c->range.to_end && c->range.end.len == 0) {
        bool found = exec_find(x, c->range.table, c->range.key, &item);
        return compare_item(c, found ? &item : NULL);
    }
    struct kv_cursor cursor;
    enum cor_status st = kv_cursor_open(x->kv, &c->range, 0, &cursor);
    COR_ASSERT(st == COR_OK);
    bool any = false;
    while (kv_cursor_next(&cursor, &item)) {
        any = true;
        if (!compare_item(c, &item)) {
            return false;
        }
    }
    return any || compare_item(c, NULL);
}

enum cor_status exec_precondition(const struct exec *x, const struct kv_op *op)
{
    struct kv_item item;
    if (op->kind == KV_OP_PUT && (op->flags & (KV_KEEP_VALUE | KV_MUST_EXIST)) != 0) {
        bool found = exec_find(x, op->range.table, op->range.key, &item);
        return found ? COR_OK : COR_ENOTFOUND;
    }
    if (op->kind == KV_OP_PUT && catalog_has(op->range.table)) {
        return catalog_precondition(x, op);
    }
    if (op->kind == KV_OP_RANGE) {
        return kv_check_revision(x->kv, op->range.table, op->revision);
    }
    if (op->kind == KV_OP_COMPACT) {
        return op->revision <= x->kv->compacted ? COR_ECOMPACTED
               : op->revision > x->kv->revision ? COR_EFUTURE
                                                : COR_OK;
    }
    if (op->kind == KV_OP_SESSION) {
        return session_precondition(x->kv, op);
    }
    return COR_OK;
}

/* ---- answers ------------------------------------------------------------------------------------ */

static struct cor_bytes copy_bytes(struct exec *x, struct cor_bytes b)
{
    struct cor_bytes copy = arena_dup(x->arena, b);
    x->answer_failed = x->answer_failed || copy.len != b.len;
    return copy;
}

static void copy_item(struct exec *x, struct kv_item *to, const struct kv_item *from)
{
    *to = *from;
    to->key = copy_bytes(x, from->key);
    to->value = copy_bytes(x, from->value);
    to->attrs = copy_bytes(x, from->attrs);
}

static void answer_one(struct exec *x, struct kv_op_result *result, const struct kv_item *item)
{
    if (x->arena == NULL || x->answer_failed) {
        return;
    }
    struct kv_item *copy = ARENA_NEW(x->arena, struct kv_item, 1);
    if (copy == NULL) {
        x->answer_failed = true;
        return;
    }
    copy_item(x, copy, item);
    result->items = copy;
    result->n_items = 1;
}

/* ---- changes -------------------------------------------------------------------------------------- */

static void remember(struct kv *kv, struct change change)
{
    struct change_list *list = &kv->changes;
    if (list->n == list->size) {
        uint32_t size = list->size == 0 ? 64 : 2 * list->size;
        struct change *items = kv_allocate(kv, size * sizeof *items);
        if (list->n > 0) {
            memcpy(items, list->items, list->n * sizeof *items);
        }
        kv_release(kv, list->items, list->size * sizeof *items);
        list->items = items;
        list->size = size;
    }
    list->items[list->n++] = change;
}

/* Count the step from @before to @now (0: nothing) in what the store knows of itself; @sign -1: back. */
static void account(struct kv *kv, const struct change *c, bool back)
{
    const struct slab_heap *heap = &kv->memory.heap;
    bool was_live = c->before != 0 && !record_is_dead(kv_at(kv, c->before));
    bool is_live = !record_is_dead(kv_at(kv, c->now));
    uint64_t hash = 0;
    uint64_t live = 0;
    uint64_t history = 0;
    if (was_live) {
        hash -= record_hash(kv_at(kv, c->before));
        live -= slab_size(heap, c->before);
        history += slab_size(heap, c->before);
    }
    if (is_live) {
        hash += record_hash(kv_at(kv, c->now));
        live += slab_size(heap, c->now);
    } else {
        history += slab_size(heap, c->now);
    }
    kv->content += back ? 0 - hash : hash;
    kv->live_bytes += back ? 0 - live : live;
    kv->history_bytes += back ? 0 - history : history;
}

/* Make @item the newest version at @path. */
static void change(struct exec *x, struct kv_item *item, struct record_meta *meta,
                   struct tree_path *path, slab_ref before)
{
    struct kv *kv = x->kv;
    struct tree *t = table_of(x, meta->table);
    if (meta->table == KV_TABLE_KEYS) {
        meta->sub = x->subs++;
    }
    size_t size = record_size(item, meta);
    slab_ref now = tree_must_alloc(&kv->memory, SLAB_MOVABLE, size);
    slab_set_link(&kv->memory.heap, now, before);
    record_write(slab_at(&kv->memory.heap, now), item, meta);
    if (before != 0) {
        tree_replace(&kv->memory, t, path, now);
    } else {
        tree_insert(&kv->memory, t, path, now);
    }
    tree_touch(&kv->memory, t, path, item->mod_revision);
    struct change c = {.table = meta->table, .now = now, .before = before};
    account(kv, &c, false);
    remember(kv, c);
}

#define ATTRS_ROOM (KV_ATTRS_MAX + VARINT_SIZE_MAX) /* bytes while they are put together */

/* The beginning of attributes that every dialect shares: entry.h. */
struct lock_part {
    uint64_t index;
    struct cor_bytes holder, rest; /* what follows them */
};

static struct lock_part read_lock(struct cor_bytes attrs)
{
    struct lock_part lock = {.index = 0};
    struct reader r = reader_of(attrs);
    lock.index = attrs.len == 0 ? 0 : reader_varint(&r);
    lock.holder = r.at == r.end ? (struct cor_bytes){NULL, 0} : reader_blob(&r);
    if (reader_ok(&r)) {
        lock.rest = (struct cor_bytes){r.at, (size_t)(r.end - r.at)};
    }
    return lock;
}

/* To @out, ATTRS_ROOM bytes. */
static struct cor_bytes write_lock(const struct lock_part *lock, unsigned char *out)
{
    struct writer w = writer_of(out, ATTRS_ROOM);
    if (lock->index > 0 || lock->holder.len > 0 || lock->rest.len > 0) {
        writer_varint(&w, lock->index);
    }
    if (lock->holder.len > 0 || lock->rest.len > 0) {
        writer_blob(&w, lock->holder);
    }
    writer_bytes(&w, lock->rest);
    size_t len = w.used < KV_ATTRS_MAX ? w.used : KV_ATTRS_MAX;
    return (struct cor_bytes){out, len};
}

/* One more in the lock index of @old, and behind it what follows that of @attrs. */
static struct cor_bytes bump_lock(struct cor_bytes old, struct cor_bytes attrs,
                                  unsigned char *out)
{
    struct reader was = reader_of(old);
    uint64_t index = old.len == 0 ? 0 : reader_varint(&was);
    struct reader rest = reader_of(attrs);
    if (attrs.len > 0) {
        (void)reader_varint(&rest);
    }
    struct writer w = writer_of(out, ATTRS_ROOM);
    writer_varint(&w, index + 1);
    if (reader_ok(&rest)) {
        writer_bytes(&w, (struct cor_bytes){rest.at, (size_t)(rest.end - rest.at)});
    }
    size_t len = w.used < KV_ATTRS_MAX ? w.used : KV_ATTRS_MAX;
    return (struct cor_bytes){out, len};
}

/* The attributes to store: KV_KEEP_ATTRS, KV_KEEP_LOCK and KV_BUMP_LOCK. @scratch has twice
 * ATTRS_ROOM bytes, and holds them if neither side has them as they are. */
static struct cor_bytes attrs_for(const struct kv_op *op, struct cor_bytes old,
                                  unsigned char *scratch)
{
    struct cor_bytes attrs = (op->flags & KV_KEEP_ATTRS) != 0 ? old : op->attrs;
    if ((op->flags & KV_KEEP_LOCK) != 0) {
        struct lock_part lock = read_lock(old);
        lock.rest = read_lock(attrs).rest;
        attrs = write_lock(&lock, scratch);
    }
    if ((op->flags & KV_BUMP_LOCK) != 0) {
        attrs = bump_lock(old, attrs, scratch + ATTRS_ROOM);
    }
    return attrs;
}

void exec_put(struct exec *x, const struct kv_op *op, struct kv_op_result *result)
{
    struct kv *kv = x->kv;
    uint8_t table = op->range.table;
    struct tree_path path;
    bool found = tree_find(&kv->memory, table_of(x, table)->root, op->range.key, &path);
    slab_ref newest = found ? tree_record(&kv->memory, &path) : 0;
    struct kv_item current = {.version = 0};
    struct kv_item before = {.version = 0};
    bool is_live = read_live(kv, newest, &current);
    bool had = read_before(x, table, newest, &before);
    unsigned char scratch[2 * ATTRS_ROOM];
    uint64_t revision = kv_table_revision(kv, table) + 1;
    struct kv_item item = {
        .key = op->range.key,
        .value = (op->flags & KV_KEEP_VALUE) != 0 ? before.value : op->value,
        .attrs = attrs_for(op, before.attrs, scratch),
        .lease = (op->flags & KV_KEEP_LEASE) != 0 ? before.lease : op->lease,
        .create_revision = is_live ? current.create_revision : revision,
        .mod_revision = revision,
        .version = current.version + 1,
        .mod_index = x->index,
    };
    if (had && (op->flags & KV_WANT_PREV) != 0) {
        answer_one(x, result, &before);
    }
    if (is_live && (op->flags & KV_IF_ABSENT) != 0) {
        return;
    }
    bool same = is_live && current.lease == item.lease && is_equal(current.value, item.value) &&
                is_equal(current.attrs, item.attrs);
    if (same && (op->flags & KV_IF_CHANGED) != 0) {
        return;
    }
    struct record_meta meta = {.table = table};
    change(x, &item, &meta, &path, newest);
    if (catalog_has(table)) {
        catalog_follow(x, table, item.key, is_live ? &current.value : NULL, &item.value);
    }
}

/* Put a tombstone on the live record at @path. Returns the key, which is now in the tombstone. */
static struct cor_bytes bury(struct exec *x, uint8_t table, struct tree_path *path)
{
    slab_ref record = tree_record(&x->kv->memory, path);
    struct kv_item item = {
        .key = record_key(kv_at(x->kv, record)),
        .mod_revision = kv_table_revision(x->kv, table) + 1,
        .mod_index = x->index,
    };
    struct record_meta meta = {.table = table, .dead = true};
    change(x, &item, &meta, path, record);
    return record_key(kv_at(x->kv, tree_record(&x->kv->memory, path)));
}

/* Find the first live key of @range behind @last (NULL: from its start). */
static bool next_in_range(const struct exec *x, const struct kv_range *range,
                          const struct cor_bytes *last, struct tree_path *path)
{
    const struct tree_memory *m = &x->kv->memory;
    struct cor_bytes from = last == NULL ? range->key : *last;
    (void)tree_find(m, table_of(x, range->table)->root, from, path);
    if (!tree_settle(m, path, true)) {
        return false;
    }
    struct cor_bytes key = record_key(kv_at(x->kv, tree_record(m, path)));
    return kv_range_has(range, key);
}

/* What KV_WANT_PREV of a deletion answers: everything in the range, as it was before. */
static void answer_range(struct exec *x, const struct kv_op *op, uint64_t n,
                         struct kv_op_result *result);

void exec_delete(struct exec *x, const struct kv_op *op, struct kv_op_result *result)
{
    uint64_t n = 0;
    struct tree_path path;
    struct cor_bytes last;
    enum cor_status st = kv_count(x->kv, &op->range, 0, &n);
    COR_ASSERT(st == COR_OK);
    if ((op->flags & KV_WANT_PREV) != 0) {
        answer_range(x, op, n, result);
    }
    result->count = 0;
    while (next_in_range(x, &op->range, result->count == 0 ? NULL : &last, &path)) {
        struct kv_item gone;
        bool is_live = read_live(x->kv, tree_record(&x->kv->memory, &path), &gone);
        COR_ASSERT(is_live);
        last = bury(x, op->range.table, &path);
        result->count++;
        if (catalog_has(op->range.table)) {
            catalog_follow(x, op->range.table, last, &gone.value, NULL);
        }
    }
    COR_ASSERT(result->count == n);
}

/* ---- what follows -------------------------------------------------------------------------------- */

bool exec_next(const struct exec *x, const struct kv_range *range,
               const struct cor_bytes *after, struct kv_item *item)
{
    const struct tree_memory *m = &x->kv->memory;
    struct tree_path path;
    bool found = tree_find(m, table_of(x, range->table)->root,
                           after == NULL ? range->key : *after, &path);
    if (found && after != NULL) {
        path.at[path.depth - 1]++;
    }
    return tree_settle(m, &path, true) && read_live(x->kv, tree_record(m, &path), item) &&
           kv_range_has(range, item->key);
}

void exec_set(struct exec *x, uint8_t table, struct cor_bytes key, struct cor_bytes value)
{
    struct kv *kv = x->kv;
    struct tree_path path;
    struct kv_item current = {.version = 0};
    bool found = tree_find(&kv->memory, table_of(x, table)->root, key, &path);
    slab_ref newest = found ? tree_record(&kv->memory, &path) : 0;
    bool is_live = read_live(kv, newest, &current);
    uint64_t revision = kv_table_revision(kv, table) + 1;
    if (is_live && current.mod_revision == revision && is_equal(current.value, value)) {
        return;
    }
    struct kv_item item = {
        .key = key,
        .value = value,
        .create_revision = is_live ? current.create_revision : revision,
        .mod_revision = revision,
        .version = current.version + 1,
        .mod_index = x->index,
    };
    struct record_meta meta = {.table = table};
    change(x, &item, &meta, &path, newest);
}

void exec_erase(struct exec *x, uint8_t table, struct cor_bytes key)
{
    struct tree_path path;
    struct kv_item item;
    const struct tree_memory *m = &x->kv->memory;
    if (tree_find(m, table_of(x, table)->root, key, &path) &&
        read_live(x->kv, tree_record(m, &path), &item)) {
        (void)bury(x, table, &path);
    }
}

/* ---- ranges ------------------------------------------------------------------------------------------ */

static void answer_range(struct exec *x, const struct kv_op *op, uint64_t n,
                         struct kv_op_result *result)
{
    if (x->arena == NULL || x->answer_failed || n == 0) {
        return;
    }
    struct kv_item *items =
        n > UINT32_MAX ? NULL : ARENA_NEW(x->arena, struct kv_item, (size_t)n);
    if (items == NULL) {
        x->answer_failed = true;
        return;
    }
    struct kv_cursor cursor;
    struct kv_item item;
    enum cor_status st = kv_cursor_open(x->kv, &op->range, op->revision, &cursor);
    COR_ASSERT(st == COR_OK);
    uint32_t i = 0;
    for (; i < n && !x->answer_failed && kv_cursor_next(&cursor, &item); i++) {
        if ((op->flags & KV_KEYS_ONLY) != 0) {
            item.value = (struct cor_bytes){NULL, 0};
        }
        copy_item(x, &items[i], &item);
    }
    result->items = items;
    result->n_items = i;
}

void exec_range(struct exec *x, const struct kv_op *op, struct kv_op_result *result)
{
    if (x->arena == NULL) {
        return; /* nobody reads it, and reading changes nothing */
    }
    uint64_t n = 0;
    enum cor_status st = kv_count(x->kv, &op->range, op->revision, &n);
    COR_ASSERT(st == COR_OK);
    result->count = n;
    if ((op->flags & KV_COUNT_ONLY) != 0) {
        return;
    }
    if (op->limit != 0 && op->limit < n) {
        result->more = true;
        n = op->limit;
    }
    answer_range(x, op, n, result);
}

/* ---- undo ---------------------------------------------------------------------------------------------- */

void exec_undo(struct exec *x)
{
    struct kv *kv = x->kv;
    while (kv->changes.n > 0) {
        struct change c = kv->changes.items[--kv->changes.n];
        struct tree *t = table_of(x, c.table);
        struct tree_path path;
        bool found = tree_find(&kv->memory, t->root, record_key(kv_at(kv, c.now)), &path);
        COR_ASSERT(found && tree_record(&kv->memory, &path) == c.now);
        account(kv, &c, true);
        if (c.before != 0) {
            tree_replace(&kv->memory, t, &path, c.before);
        } else {
            tree_remove(&kv->memory, t, &path, 0);
        }
        slab_free(&kv->memory.heap, c.now);
    }
    x->subs = 0;
}
