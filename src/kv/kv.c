/*
 * kv.c - the store as others see it: opening, reading, held roots, watchers, housekeeping.
 *
 * Place in the system: kv.h says what each function promises; trees, records and history do it.
 *
 * Why another thread may read a held root without atomics. Hold and release happen on the loop; a
 * job starts after the hold and has ended before the release, and starting and ending a job
 * synchronize. In between the loop writes only to memory that the job does not read: nodes of
 * the root are frozen and copied before a change; records are immutable but for their links, which
 * the job never reads; freed objects wait in limbo, threaded on the same links; slots, slabs and
 * directory entries that the loop takes are others than those the root needs; and no record is
 * moved while any root is held.
 */
#include "kv/internal.h"

#include "base/assert.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX_DEFAULT ((uint64_t)4 << 30)
#define HISTORY_MIN        1000u
#define ROOTS_DEFAULT      8u
#define RESERVE_SHIFT      5u  /* 1/32 of the limit is kept for deletions and compactions */
#define RECORD_OVERHEAD    96u /* bytes beyond key and value that a command may cost */

/* ---- memory --------------------------------------------------------------------------------- */

static void *allocate_by_malloc(void *arg, size_t size)
{
    (void)arg;
    return malloc(size);
}

static void release_by_free(void *arg, void *memory, size_t size)
{
    (void)arg;
    (void)size;
    free(memory);
}

void *kv_allocate(struct kv *kv, size_t size)
{
    void *memory = kv->options.allocate(kv->options.memory_arg, size);
    bool have_memory_for_a_committed_entry = memory != NULL;
    COR_ASSERT(have_memory_for_a_committed_entry);
    kv->side_bytes += size;
    return memory;
}

void kv_release(struct kv *kv, void *memory, size_t size)
{
    if (memory != NULL) {
        kv->side_bytes -= size;
        kv->options.release(kv->options.memory_arg, memory, size);
    }
}

struct kv *kv_new(const struct kv_options *options)
{
    struct kv_options o = *options;
    COR_ASSERT((o.allocate == NULL) == (o.release == NULL));
    if (o.allocate == NULL) {
        o.allocate = allocate_by_malloc;
        o.release = release_by_free;
    }
    o.memory_max = o.memory_max == 0 ? MEMORY_MAX_DEFAULT : o.memory_max;
    o.history_revisions_min =
        o.history_revisions_min == 0 ? HISTORY_MIN : o.history_revisions_min;
    o.roots_max = o.roots_max == 0 ? ROOTS_DEFAULT : o.roots_max;
    o.roots_max = o.roots_max > KV_ROOTS_MAX ? KV_ROOTS_MAX : o.roots_max;
    struct kv *kv = o.allocate(o.memory_arg, sizeof *kv);
    if (kv == NULL) {
        return NULL;
    }
    memset(kv, 0, sizeof *kv);
    kv->options = o;
    slab_heap_init(&kv->memory.heap, (struct slab_source){o.allocate, o.release, o.memory_arg});
    kv->memory.epoch = 1;
    kv->revision = 1;
    kv->system_revision = 1;
    kv->session_expiry = UINT64_MAX;
    return kv;
}

void kv_free(struct kv *kv)
{
    if (kv == NULL) {
        return;
    }
    history_deinit(kv);
    session_deinit(kv);
    kv_release(kv, kv->changes.items, kv->changes.size * sizeof *kv->changes.items);
    slab_heap_deinit(&kv->memory.heap);
    kv->options.release(kv->options.memory_arg, kv, sizeof *kv);
}

static uint64_t memory_bytes(const struct kv *kv)
{
    return kv->memory.heap.asked_bytes + kv->side_bytes + sizeof *kv;
}

bool kv_has_room(const struct kv *kv, size_t bytes)
{
    uint64_t limit = kv->options.memory_max - (kv->options.memory_max >> RESERVE_SHIFT);
    uint64_t used = memory_bytes(kv);
    return used <= limit && bytes + RECORD_OVERHEAD <= limit - used;
}

/* One step of housekeeping. False: there is nothing to do, or a held root forbids it. */
static bool tend_once(struct kv *kv)
{
    if (history_trim(kv)) {
        return true;
    }
    if (kv->n_roots > 0) {
        return false;
    }
    struct slab *sparse = slab_sparse(&kv->memory.heap);
    if (sparse == NULL) {
        return false;
    }
    slab_ref record = slab_next(sparse, &kv->drain_slot);
    if (record == 0) { /* the place is that of a slab before: begin again */
        kv->drain_slot = 0;
        record = slab_next(sparse, &kv->drain_slot);
    }
    COR_ASSERT(record != 0);
    history_move_record(kv, record);
    return true;
}

bool kv_tend(struct kv *kv, uint32_t steps)
{
    bool more = true;
    for (uint32_t i = 0; i < steps && more; i++) {
        more = tend_once(kv);
    }
    return more;
}

void kv_get_info(const struct kv *kv, struct kv_info *out)
{
    *out = (struct kv_info){
        .applied = kv->applied,
        .revision = kv->revision,
        .system_revision = kv->system_revision,
        .compacted = kv->compacted,
        .cluster_time = kv->cluster_time,
        .history_bytes = kv->history_bytes,
        .memory_bytes = memory_bytes(kv),
        .live_bytes = kv->live_bytes,
    };
    for (uint32_t i = 0; i < KV_N_TABLES; i++) {
        out->keys[i] = kv->tables[i].live;
    }
    uint64_t whole[3] = {kv->content, kv->revision, kv->system_revision};
    unsigned char bytes[sizeof whole];
    for (size_t i = 0; i < sizeof whole; i++) {
        bytes[i] = (unsigned char)(whole[i / 8] >> (8 * (i % 8)));
    }
    out->hash = hash64((struct cor_bytes){bytes, sizeof bytes});
}

/* ---- reading ----------------------------------------------------------------------------------- */

enum cor_status kv_check_revision(const struct kv *kv, uint8_t table, uint64_t revision)
{
    uint64_t newest = kv_table_revision(kv, table);
    uint64_t oldest = table == KV_TABLE_KEYS ? kv->compacted : newest;
    if (revision == 0) {
        return COR_OK;
    }
    if (revision > newest) {
        return COR_EFUTURE;
    }
    return revision < oldest ? COR_ECOMPACTED : COR_OK;
}

slab_ref kv_version_at(const struct kv *kv, slab_ref record, uint64_t revision)
{
    while (record != 0 && record_mod(kv_at(kv, record)) > revision) {
        record = slab_link(&kv->memory.heap, record);
    }
    return record;
}

/* Read what @record's key was at @revision. False: it was not there. */
static bool read_at(const struct kv *kv, slab_ref record, uint64_t revision,
                    struct kv_item *out)
{
    struct record_meta meta;
    slab_ref then = revision == 0 ? record : kv_version_at(kv, record, revision);
    if (then == 0 || record_is_dead(kv_at(kv, then))) {
        return false;
    }
    record_read(kv_at(kv, then), out, &meta);
    return true;
}

enum cor_status kv_get(const struct kv *kv, uint8_t table, struct cor_bytes key,
                       uint64_t revision, struct kv_item *out)
{
    COR_ASSERT(table < KV_N_TABLES);
    enum cor_status st = kv_check_revision(kv, table, revision);
    if (st != COR_OK) {
        return st;
    }
    struct tree_path path;
    if (!tree_find(&kv->memory, kv->tables[table].root, key, &path)) {
        return COR_ENOTFOUND;
    }
    bool there = read_at(kv, tree_record(&kv->memory, &path), revision, out);
    return there ? COR_OK : COR_ENOTFOUND;
}

static void cursor_start(const struct kv *kv, slab_ref tree, struct kv_cursor *out)
{
    (void)tree_find(&kv->memory, tree, out->range.key, &out->path);
}

enum cor_status kv_cursor_open(const struct kv *kv, const struct kv_range *range,
                               uint64_t revision, struct kv_cursor *out)
{
    COR_ASSERT(range->table < KV_N_TABLES);
    enum cor_status st = kv_check_revision(kv, range->table, revision);
    if (st != COR_OK) {
        return st;
    }
    if (revision == kv_table_revision(kv, range->table) && kv->changes.n == 0) {
        revision = 0; /* the newest, unless a transaction is just making a newer one */
    }
    *out = (struct kv_cursor){.kv = kv, .range = *range, .revision = revision};
    cursor_start(kv, kv->tables[range->table].root, out);
    return COR_OK;
}

bool kv_cursor_next(struct kv_cursor *c, struct kv_item *out)
{
    const struct tree_memory *m = &c->kv->memory;
    while (!c->done && tree_settle(m, &c->path, c->revision == 0)) {
        slab_ref record = tree_record(m, &c->path);
        c->path.at[c->path.depth - 1]++;
        if (!kv_range_has(&c->range, record_key(kv_at(c->kv, record)))) {
            break;
        }
        if (read_at(c->kv, record, c->revision, out)) {
            return true;
        }
    }
    c->done = true;
    return false;
}

/* Live keys in @range now. */
static uint64_t count_newest(const struct kv *kv, const struct kv_range *range)
{
    const struct tree *t = &kv->tables[range->table];
    struct kv_item item;
    if (range->to_end) {
        return t->live - tree_rank(&kv->memory, t, range->key);
    }
    if (range->end.len == 0) {
        return kv_get(kv, range->table, range->key, 0, &item) == COR_OK;
    }
    if (bytes_compare(range->end, range->key) <= 0) {
        return 0;
    }
    return tree_rank(&kv->memory, t, range->end) - tree_rank(&kv->memory, t, range->key);
}

enum cor_status kv_count(const struct kv *kv, const struct kv_range *range, uint64_t revision,
                         uint64_t *out)
{
    struct kv_cursor cursor;
    enum cor_status st = kv_cursor_open(kv, range, revision, &cursor);
    if (st != COR_OK) {
        return st;
    }
    if (cursor.revision == 0) {
        *out = count_newest(kv, range);
        return COR_OK;
    }
    struct kv_item item;
    uint64_t n = 0;
    while (kv_cursor_next(&cursor, &item)) {
        n++;
    }
    *out = n;
    return COR_OK;
}

uint64_t kv_range_revision(const struct kv *kv, const struct kv_range *range)
{
    COR_ASSERT(range->table < KV_N_TABLES);
    uint64_t revision = tree_newest(&kv->memory, &kv->tables[range->table], range);
    uint64_t most =
        kv_table_revision(kv, range->table); /* an undone change may have left more */
    revision = revision < most ? revision : most;
    return revision == 0 ? 1 : revision;
}

/* ---- held roots ------------------------------------------------------------------------------------ */

struct kv_root *kv_root_hold(struct kv *kv)
{
    if (kv->n_roots == kv->options.roots_max) {
        return NULL;
    }
    struct kv_root *root = kv->roots;
    while (root->kv != NULL) {
        root++;
    }
    *root = (struct kv_root){.kv = kv, .epoch = kv->memory.epoch, .older = kv->newest_root};
    for (uint32_t i = 0; i < KV_N_TABLES; i++) {
        root->trees[i] = kv->tables[i].root;
    }
    kv_get_info(kv, &root->info);
    if (root->older != NULL) {
        root->older->newer = root;
    }
    kv->newest_root = root;
    kv->n_roots++;
    kv->memory.frozen = kv->memory.epoch++;
    kv->memory.limbo = &root->limbo;
    return root;
}

static void free_limbo(struct kv *kv, slab_ref first)
{
    while (first != 0) {
        slab_ref next = slab_link(&kv->memory.heap, first);
        slab_free(&kv->memory.heap, first);
        first = next;
    }
}

/* What was freed while @root was the newest is still read by the older ones, if there are any. */
static void pass_on_limbo(struct kv *kv, struct kv_root *root)
{
    if (root->older == NULL) {
        free_limbo(kv, root->limbo);
        return;
    }
    slab_ref *limbo = &root->older->limbo;
    while (root->limbo != 0) {
        slab_ref next = slab_link(&kv->memory.heap, root->limbo);
        slab_set_link(&kv->memory.heap, root->limbo, *limbo);
        *limbo = root->limbo;
        root->limbo = next;
    }
}

void kv_root_release(struct kv *kv, struct kv_root *root)
{
    COR_ASSERT(root->kv == kv);
    pass_on_limbo(kv, root);
    if (root->older != NULL) {
        root->older->newer = root->newer;
    }
    if (root->newer != NULL) {
        root->newer->older = root->older;
    } else {
        kv->newest_root = root->older;
        kv->memory.frozen = root->older == NULL ? 0 : root->older->epoch;
        kv->memory.limbo = root->older == NULL ? NULL : &root->older->limbo;
    }
    root->kv = NULL;
    kv->n_roots--;
}

void kv_root_get_info(const struct kv_root *root, struct kv_info *out)
{
    *out = root->info;
}

enum cor_status kv_root_cursor(const struct kv_root *root, const struct kv_range *range,
                               struct kv_cursor *out)
{
    COR_ASSERT(range->table < KV_N_TABLES);
    *out = (struct kv_cursor){.kv = root->kv, .root = root, .range = *range};
    cursor_start(root->kv, root->trees[range->table], out);
    return COR_OK;
}

/* ---- changes -------------------------------------------------------------------------------------- */

void kv_event_of(const struct kv *kv, slab_ref record, struct kv_event *e)
{
    struct record_meta meta;
    *e = (struct kv_event){.type = KV_EVENT_PUT};
    record_read(kv_at(kv, record), &e->item, &meta);
    e->table = meta.table;
    if (meta.dead) {
        e->type = KV_EVENT_DELETE;
        e->item.mod_index = 0;
    }
    slab_ref before = kv_version_at(kv, record, e->item.mod_revision - 1);
    if (before != 0 && !record_is_dead(kv_at(kv, before))) {
        record_read(kv_at(kv, before), &e->prev, &meta);
        e->has_prev = true;
    }
}

enum cor_status kv_events(const struct kv *kv, const struct kv_range *range, uint64_t revision,
                          void (*each)(void *arg, const struct kv_event *e), void *arg)
{
    enum cor_status st = kv_check_revision(kv, KV_TABLE_KEYS, revision);
    if (st != COR_OK || range->table != KV_TABLE_KEYS || revision == 0) {
        return st == COR_OK && revision != 0 ? COR_EINVAL : st;
    }
    for (uint64_t i = history_find(kv, revision); i < kv->history.tail; i++) {
        slab_ref record = history_get(kv, i);
        if (record_mod(kv_at(kv, record)) != revision) {
            break;
        }
        if (kv_range_has(range, record_key(kv_at(kv, record)))) {
            struct kv_event e;
            kv_event_of(kv, record, &e);
            each(arg, &e);
        }
    }
    return COR_OK;
}

void kv_watch_add(struct kv *kv, struct kv_watcher *w)
{
    COR_ASSERT(w->range.table < KV_N_TABLES);
    watch_add(&kv->watches[w->range.table], w);
}

void kv_watch_remove(struct kv *kv, struct kv_watcher *w)
{
    COR_ASSERT(w->range.table < KV_N_TABLES);
    watch_remove(&kv->watches[w->range.table], w);
}

void kv_on_change(struct kv *kv,
                  void (*on_change)(void *arg, const struct kv_event *e, struct kv_watcher *w),
                  void *arg)
{
    kv->on_change = on_change;
    kv->on_change_arg = arg;
}
