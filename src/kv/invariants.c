/*
 * invariants.c - everything that must hold inside the store, walked and asserted.
 *
 * Place in the system: tests, the fuzzer and the simulator call kv_check(); nothing else does.
 */
#include "kv/internal.h"

#include "base/assert.h"
#include "kv/tree_internal.h"

/* What the walk over the records of a table adds up. */
struct sums {
    uint64_t hash, live_bytes, history_bytes, n_records, n_live;
};

/* ---- trees ------------------------------------------------------------------------------------ */

static void check_leaf(const struct tree_memory *m, const struct tree_leaf *leaf)
{
    COR_ASSERT(leaf->head.n <= TREE_LEAF_MAX);
    COR_ASSERT((leaf->dead & ~tree_bits_below(leaf->head.n)) == 0);
    for (uint32_t i = 0; i < leaf->head.n; i++) {
        const unsigned char *record = slab_at(&m->heap, leaf->record[i]);
        COR_ASSERT(record_is_dead(record) == ((leaf->dead >> i & 1) != 0));
        if (i > 0) {
            struct cor_bytes before = record_key(slab_at(&m->heap, leaf->record[i - 1]));
            COR_ASSERT(bytes_compare(before, record_key(record)) < 0);
        }
        COR_ASSERT(leaf->print[i] == tree_print(record_key(record)));
    }
}

static struct cor_bytes first_key(const struct tree_memory *m, slab_ref node)
{
    while (tree_head_at(m, node)->level > 0) {
        node = tree_inner_at(m, node)->child[0];
    }
    return record_key(slab_at(&m->heap, tree_leaf_at(m, node)->record[0]));
}

static struct cor_bytes last_key(const struct tree_memory *m, slab_ref node)
{
    while (tree_head_at(m, node)->level > 0) {
        const struct tree_inner *inner = tree_inner_at(m, node);
        node = inner->child[inner->head.n - 1];
    }
    const struct tree_leaf *leaf = tree_leaf_at(m, node);
    return record_key(slab_at(&m->heap, leaf->record[leaf->head.n - 1]));
}

static void check_child(const struct tree_memory *m, const struct tree_inner *inner, uint32_t i)
{
    const struct tree_head *child = tree_head_at(m, inner->child[i]);
    uint64_t live = 0;
    uint64_t newest = 0;
    COR_ASSERT(child->level + 1 == inner->head.level);
    COR_ASSERT(child->n > 0);
    COR_ASSERT((inner->separator[i] == 0) == (i == 0));
    if (i > 0) {
        struct cor_bytes separator = tree_separator_key(m, inner->separator[i]);
        COR_ASSERT(bytes_compare(separator, first_key(m, inner->child[i])) <= 0);
        COR_ASSERT(bytes_compare(last_key(m, inner->child[i - 1]), separator) < 0);
    }
    if (child->level == 0) {
        const struct tree_leaf *leaf = tree_leaf_at(m, inner->child[i]);
        live = tree_leaf_live(leaf);
        newest = leaf->grave;
    } else {
        const struct tree_inner *c = tree_inner_at(m, inner->child[i]);
        for (uint32_t j = 0; j < c->head.n; j++) {
            live += c->live[j];
            newest = u64_max(newest, c->newest[j]);
        }
    }
    COR_ASSERT(inner->live[i] == live);
    COR_ASSERT(inner->newest[i] >= newest);
}

/* Walk all nodes below @root, parents before children. Returns the number of records. */
uint64_t tree_check(const struct tree_memory *m, const struct tree *t)
{
    struct tree_path path = {.depth = 1};
    uint64_t n = 0;
    if (t->root == 0) {
        COR_ASSERT(t->live == 0);
        return 0;
    }
    path.node[0] = t->root;
    while (path.depth > 0) {
        uint32_t d = path.depth - 1u;
        const struct tree_head *head = tree_head_at(m, path.node[d]);
        COR_ASSERT(head->epoch <= m->epoch);
        if (head->level == 0) {
            check_leaf(m, tree_leaf_at(m, path.node[d]));
            n += head->n;
        }
        if (head->level == 0 || path.at[d] == head->n) {
            path.depth--;
            continue;
        }
        const struct tree_inner *inner = tree_inner_at(m, path.node[d]);
        COR_ASSERT(head->n >= 2 && head->n <= TREE_INNER_MAX);
        check_child(m, inner, path.at[d]);
        path.node[d + 1] = inner->child[path.at[d]++];
        path.at[d + 1] = 0;
        path.depth++;
    }
    return n;
}

/* ---- records ------------------------------------------------------------------------------------ */

static void check_version(const struct kv *kv, slab_ref record, struct sums *sums)
{
    uint64_t size = slab_size(&kv->memory.heap, record);
    sums->n_records++;
    if (record_is_dead(kv_at(kv, record))) {
        sums->history_bytes += size;
    } else {
        sums->n_live++;
        sums->live_bytes += size;
        sums->hash += record_hash(kv_at(kv, record));
    }
}

/* The versions behind @record: older, of the same key, all of them history. */
static void check_chain(const struct kv *kv, uint8_t table, slab_ref record, struct sums *sums)
{
    slab_ref before = slab_link(&kv->memory.heap, record);
    COR_ASSERT_IMPLIES(before != 0, table == KV_TABLE_KEYS);
    for (; before != 0; before = slab_link(&kv->memory.heap, before)) {
        COR_ASSERT(record_mod(kv_at(kv, before)) <= record_mod(kv_at(kv, record)));
        COR_ASSERT(
            bytes_compare(record_key(kv_at(kv, before)), record_key(kv_at(kv, record))) == 0);
        sums->history_bytes += slab_size(&kv->memory.heap, before);
        sums->n_records++;
        record = before;
    }
}

static void check_table(const struct kv *kv, uint8_t table, struct sums *all)
{
    const struct tree *t = &kv->tables[table];
    uint64_t n = tree_check(&kv->memory, t);
    struct sums sums = {0};
    struct tree_path path;
    (void)tree_find(&kv->memory, t->root, (struct cor_bytes){NULL, 0}, &path);
    for (; tree_settle(&kv->memory, &path, false); path.at[path.depth - 1]++) {
        slab_ref record = tree_record(&kv->memory, &path);
        struct kv_item item;
        struct record_meta meta;
        record_read(kv_at(kv, record), &item, &meta);
        COR_ASSERT(meta.table == table);
        COR_ASSERT(item.mod_revision <= kv_table_revision(kv, table));
        COR_ASSERT_IMPLIES(meta.dead, table == KV_TABLE_KEYS);
        check_version(kv, record, &sums);
        check_chain(kv, table, record, &sums);
        n--;
    }
    COR_ASSERT(n == 0);
    COR_ASSERT(sums.n_live == t->live);
    all->hash += sums.hash;
    all->live_bytes += sums.live_bytes;
    all->history_bytes += sums.history_bytes;
    all->n_records += sums.n_records;
}

/* ---- the whole -------------------------------------------------------------------------------------- */

static void check_history(const struct kv *kv)
{
    const struct history *h = &kv->history;
    uint64_t last = 0;
    for (uint64_t i = h->head; i < h->tail; i++) {
        struct kv_item item;
        struct record_meta meta;
        record_read(kv_at(kv, history_get(kv, i)), &item, &meta);
        COR_ASSERT(meta.table == KV_TABLE_KEYS);
        COR_ASSERT(item.mod_revision >= last);
        COR_ASSERT(item.mod_revision <= kv->revision);
        COR_ASSERT_IMPLIES(i > h->head && item.mod_revision > last, meta.sub == 0);
        last = item.mod_revision;
    }
    COR_ASSERT_IMPLIES(h->head < h->tail, last == kv->revision);
    for (uint32_t i = 1; i < h->n_samples; i++) {
        COR_ASSERT(h->samples[i - 1].time < h->samples[i].time);
        COR_ASSERT(h->samples[i - 1].revision <= h->samples[i].revision);
    }
}

void kv_check(const struct kv *kv)
{
    struct sums sums = {0};
    for (uint32_t i = 0; i < KV_N_TABLES; i++) {
        check_table(kv, (uint8_t)i, &sums);
        (void)watch_check(&kv->watches[i]);
    }
    COR_ASSERT(sums.hash == kv->content);
    COR_ASSERT(sums.live_bytes == kv->live_bytes);
    COR_ASSERT(sums.history_bytes == kv->history_bytes);
    COR_ASSERT(kv->changes.n == 0);
    COR_ASSERT(kv->compacted <= kv->revision);
    check_history(kv);
    session_check(kv);
    catalog_check(kv);
    slab_heap_check(&kv->memory.heap);
}
