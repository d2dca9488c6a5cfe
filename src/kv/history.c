/*
 * history.c - the changes of table 0 in order, and their end by compaction.
 *
 * Place in the system: apply.c pushes each change; kv_events() reads a revision from here;
 * history_trim() drops what a compaction asked for, a step at a time.
 *
 * With everything up to revision C compacted, a version may go once its successor is of C or
 * before, and a tombstone without successor once it is older than C. So the changes are taken
 * from the front:
 *   - one older than C: the version before it goes, and it leaves the list itself; if it is
 *     a tombstone and still the newest of its key, it leaves the tree, too;
 *   - one of C itself: the version before it goes if it is older than C. The change stays, so that
 *     the events of C can still be told.
 */
#include "kv/internal.h"

#include "base/assert.h"

#include <string.h>

#define SAMPLE_GAP_MIN 1000000000u /* ns */
#define CHUNKS_MIN     8u
#define DUE_STEPS_MAX  4096u /* of kv_compaction_due(): bounds one call */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- the list ----------------------------------------------------------------------------------- */

static void grow_chunk_table(struct kv *kv)
{
    struct history *h = &kv->history;
    if (h->n_chunks < h->size) {
        return;
    }
    uint32_t size = h->size == 0 ? CHUNKS_MIN : 2 * h->size;
    slab_ref **chunks = kv_allocate(kv, size * sizeof *chunks);
    if (h->n_chunks > 0) {
        memcpy(chunks, h->chunks, h->n_chunks * sizeof *chunks);
    }
    kv_release(kv, h->chunks, h->size * sizeof *chunks);
    h->chunks = chunks;
    h->size = size;
}

static slab_ref *cell(const struct history *h, uint64_t position)
{
    COR_ASSERT(position >= h->head && position < h->tail);
    return &h->chunks[position / HISTORY_CHUNK - h->first][position % HISTORY_CHUNK];
}

void history_push(struct kv *kv, slab_ref record)
{
    struct history *h = &kv->history;
    if (h->tail % HISTORY_CHUNK == 0) {
        grow_chunk_table(kv);
        h->chunks[h->n_chunks++] = kv_allocate(kv, HISTORY_CHUNK * sizeof(slab_ref));
    }
    h->tail++;
    *cell(h, h->tail - 1) = record;
}

static void pop(struct kv *kv)
{
    struct history *h = &kv->history;
    h->head++;
    if (h->head % HISTORY_CHUNK == 0) {
        kv_release(kv, h->chunks[0], HISTORY_CHUNK * sizeof(slab_ref));
        memmove(&h->chunks[0], &h->chunks[1], (h->n_chunks - 1) * sizeof h->chunks[0]);
        h->n_chunks--;
        h->first++;
    }
}

void history_deinit(struct kv *kv)
{
    struct history *h = &kv->history;
    for (uint32_t i = 0; i < h->n_chunks; i++) {
        kv_release(kv, h->chunks[i], HISTORY_CHUNK * sizeof(slab_ref));
    }
    kv_release(kv, h->chunks, h->size * sizeof *h->chunks);
}

slab_ref history_get(const struct kv *kv, uint64_t position)
{
    return *cell(&kv->history, position);
}

static uint64_t mod_at(const struct kv *kv, uint64_t position)
{
    return record_mod(kv_at(kv, history_get(kv, position)));
}

uint64_t history_find(const struct kv *kv, uint64_t revision)
{
    uint64_t low = kv->history.head;
    uint64_t high = kv->history.tail;
    if (revision > kv->revision) {
        return high;
    }
    /* Every revision has a change, so this one begins at or before this place; exactly there when
     * one change made each revision since. */
    uint64_t back = kv->revision - revision;
    if (high - low > back) {
        high -= 1 + back;
        if (high == low || mod_at(kv, high - 1) < revision) {
            return high;
        }
    }
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (mod_at(kv, mid) < revision) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* ---- compaction ------------------------------------------------------------------------------------ */

static void drop_before(struct kv *kv, slab_ref record)
{
    slab_ref before = slab_link(&kv->memory.heap, record);
    if (before != 0) {
        slab_set_link(&kv->memory.heap, record, 0);
        kv->history_bytes -= slab_size(&kv->memory.heap, before);
        tree_discard(&kv->memory, before);
    }
}

static void drop_tombstone(struct kv *kv, slab_ref record)
{
    struct tree *t = &kv->tables[KV_TABLE_KEYS];
    struct tree_path path;
    bool found = tree_find(&kv->memory, t->root, record_key(kv_at(kv, record)), &path);
    if (found && tree_record(&kv->memory, &path) == record) {
        tree_remove(&kv->memory, t, &path, record_mod(kv_at(kv, record)));
        kv->history_bytes -= slab_size(&kv->memory.heap, record);
        tree_discard(&kv->memory, record);
    }
}

bool history_trim(struct kv *kv)
{
    struct history *h = &kv->history;
    if (h->head == h->tail || mod_at(kv, h->head) > kv->compacted) {
        return false;
    }
    slab_ref record = history_get(kv, h->head);
    if (record_mod(kv_at(kv, record)) < kv->compacted) {
        pop(kv);
        h->thinned = later(h->thinned, h->head);
        drop_before(kv, record);
        if (record_is_dead(kv_at(kv, record))) {
            drop_tombstone(kv, record);
        }
        return true;
    }
    if (h->thinned == h->tail || mod_at(kv, h->thinned) > kv->compacted) {
        return false;
    }
    record = history_get(kv, h->thinned++);
    slab_ref before = slab_link(&kv->memory.heap, record);
    if (before != 0 && record_mod(kv_at(kv, before)) < kv->compacted) {
        drop_before(kv, record);
    }
    return true;
}

/* ---- moving records ---------------------------------------------------------------------------------- */

static void move_in_history(struct kv *kv, const unsigned char *record, slab_ref from,
                            slab_ref to)
{
    struct kv_item item;
    struct record_meta meta;
    struct record_meta first;
    record_read(record, &item, &meta);
    uint64_t position = history_find(kv, item.mod_revision);
    if (meta.table != KV_TABLE_KEYS || position == kv->history.tail) {
        return;
    }
    /* Compaction takes changes from the front, so a revision may be there in part. */
    record_read(kv_at(kv, history_get(kv, position)), &item, &first);
    position += meta.sub - first.sub;
    if (meta.sub >= first.sub && position < kv->history.tail &&
        *cell(&kv->history, position) == from) {
        *cell(&kv->history, position) = to;
    }
}

void history_move_record(struct kv *kv, slab_ref from)
{
    struct slab_heap *heap = &kv->memory.heap;
    uint32_t size = slab_size(heap, from);
    slab_ref to = tree_must_alloc(&kv->memory, SLAB_MOVABLE, size);
    unsigned char *bytes = slab_at(heap, to);
    memcpy(bytes, slab_at(heap, from), size);
    struct kv_item item;
    struct record_meta meta;
    record_read(bytes, &item, &meta);
    struct tree_path path;
    bool found = tree_find(&kv->memory, kv->tables[meta.table].root, item.key, &path);
    COR_ASSERT(found);
    slab_ref at = tree_record(&kv->memory, &path);
    if (at == from) {
        tree_relocate(&kv->memory, &path, to);
    } else {
        while (slab_link(heap, at) != from) {
            at = slab_link(heap, at);
            COR_ASSERT(at != 0);
        }
        slab_set_link(heap, at, to);
    }
    move_in_history(kv, bytes, from, to);
    slab_free(heap, from);
}

/* ---- when to compact ---------------------------------------------------------------------------------- */

void history_sample(struct kv *kv)
{
    struct history *h = &kv->history;
    uint32_t stale = 0; /* samples of compacted revisions, but for the last */
    while (stale + 1 < h->n_samples && h->samples[stale + 1].revision <= kv->compacted) {
        stale++;
    }
    h->n_samples -= stale;
    memmove(&h->samples[0], &h->samples[stale], h->n_samples * sizeof h->samples[0]);
    if (stale > 0 && h->n_samples < HISTORY_SAMPLES / 4) {
        h->sample_gap = later(h->sample_gap / 2, SAMPLE_GAP_MIN);
    }
    if (h->sample_gap == 0) {
        h->sample_gap = SAMPLE_GAP_MIN;
    }
    if (h->n_samples > 0 &&
        kv->cluster_time - h->samples[h->n_samples - 1].time < h->sample_gap) {
        return;
    }
    if (h->n_samples == HISTORY_SAMPLES) {
        for (uint32_t i = 0; i < HISTORY_SAMPLES / 2; i++) {
            h->samples[i] = h->samples[(size_t)2 * i];
        }
        h->n_samples /= 2;
        h->sample_gap *= 2;
    }
    h->samples[h->n_samples++] =
        (struct history_sample){.time = kv->cluster_time, .revision = kv->revision};
}

static uint64_t due_by_age(const struct kv *kv, uint64_t age_ns)
{
    const struct history *h = &kv->history;
    uint64_t due = 0;
    for (uint32_t i = 0; i < h->n_samples && kv->cluster_time - h->samples[i].time >= age_ns;
         i++) {
        due = h->samples[i].revision;
    }
    return due;
}

/* How far to go so that history fits into @bytes_max; at most DUE_STEPS_MAX changes are looked
 * at, so it may take several rounds. */
static uint64_t due_by_bytes(const struct kv *kv, uint64_t bytes_max)
{
    const struct history *h = &kv->history;
    uint64_t left = kv->history_bytes;
    uint64_t due = 0;
    if (h->head < h->tail && mod_at(kv, h->head) < kv->compacted) {
        return 0; /* the compaction before is still at work */
    }
    for (uint64_t i = h->head; i < h->tail && i - h->head < DUE_STEPS_MAX && left > bytes_max;
         i++) {
        slab_ref record = history_get(kv, i);
        slab_ref before = slab_link(&kv->memory.heap, record);
        uint64_t size = before == 0 ? 0 : slab_size(&kv->memory.heap, before);
        if (record_is_dead(kv_at(kv, record))) {
            size += slab_size(&kv->memory.heap, record);
        }
        left -= size < left ? size : left;
        /* A tombstone goes only when its revision is past. */
        due = record_mod(kv_at(kv, record)) + 1;
    }
    return due;
}

uint64_t kv_compaction_due(const struct kv *kv, uint64_t age_ns, uint64_t bytes_max)
{
    uint64_t kept = kv->options.history_revisions_min;
    uint64_t due = later(due_by_age(kv, age_ns), due_by_bytes(kv, bytes_max));
    uint64_t most = kv->revision > kept ? kv->revision - kept : 0;
    due = due < most ? due : most;
    return due > kv->compacted && due > 1 ? due : 0;
}
