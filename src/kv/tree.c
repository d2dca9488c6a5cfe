/* tree.c - find, replace, insert, remove; copying what a held root still reads. */
#include "kv/tree.h"

#include "base/assert.h"
#include "base/hash.h"
#include "kv/record.h"
#include "kv/tree_internal.h"

#include <string.h>

int bytes_compare(struct cor_bytes a, struct cor_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

uint32_t tree_count_bits(uint64_t bits)
{
    uint32_t n = 0;
    for (; bits != 0; bits &= bits - 1) {
        n++;
    }
    return n;
}

uint64_t tree_bits_below(uint32_t n)
{
    return n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

uint32_t tree_leaf_live(const struct tree_leaf *leaf)
{
    return leaf->head.n - tree_count_bits(leaf->dead);
}

uint8_t tree_print(struct cor_bytes key)
{
    return (uint8_t)hash64(key);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

/* An entry is committed: it cannot be refused any more, nor half applied. A replica without memory
 * for it must stop and come back from its log; kv_has_room() kept writes from getting near. */
slab_ref tree_must_alloc(struct tree_memory *m, enum slab_pool pool, size_t size)
{
    slab_ref ref = slab_alloc(&m->heap, pool, size);
    bool have_memory_for_a_committed_entry = ref != 0;
    COR_ASSERT(have_memory_for_a_committed_entry);
    return ref;
}

static size_t node_size(uint8_t level)
{
    return level == 0 ? sizeof(struct tree_leaf) : sizeof(struct tree_inner);
}

slab_ref tree_new_node(struct tree_memory *m, uint8_t level)
{
    slab_ref ref = tree_must_alloc(m, SLAB_FIXED, node_size(level));
    memset(slab_at(&m->heap, ref), 0, node_size(level));
    tree_head_at(m, ref)->epoch = m->epoch;
    tree_head_at(m, ref)->level = level;
    return ref;
}

void tree_discard(struct tree_memory *m, slab_ref ref)
{
    if (m->limbo == NULL) {
        slab_free(&m->heap, ref);
        return;
    }
    slab_set_link(&m->heap, ref, *m->limbo);
    *m->limbo = ref;
}

void tree_discard_node(struct tree_memory *m, slab_ref ref)
{
    if (tree_head_at(m, ref)->epoch > m->frozen) {
        slab_free(&m->heap, ref);
    } else {
        tree_discard(m, ref);
    }
}

/* @ref itself, or a copy of it that no held root knows. */
static slab_ref own(struct tree_memory *m, slab_ref ref)
{
    if (tree_head_at(m, ref)->epoch > m->frozen) {
        return ref;
    }
    size_t size = node_size(tree_head_at(m, ref)->level);
    slab_ref copy = tree_must_alloc(m, SLAB_FIXED, size);
    memcpy(slab_at(&m->heap, copy), slab_at(&m->heap, ref), size);
    tree_head_at(m, copy)->epoch = m->epoch;
    tree_discard(m, ref);
    return copy;
}

slab_ref tree_own_child(struct tree_memory *m, struct tree_inner *parent, uint32_t i)
{
    COR_ASSERT(i < parent->head.n);
    parent->child[i] = own(m, parent->child[i]);
    return parent->child[i];
}

static void own_path(struct tree_memory *m, struct tree *t, struct tree_path *path)
{
    t->root = own(m, t->root);
    path->node[0] = t->root;
    for (uint32_t d = 1; d < path->depth; d++) {
        struct tree_inner *parent = tree_inner_at(m, path->node[d - 1]);
        path->node[d] = tree_own_child(m, parent, path->at[d - 1]);
    }
}

/* ---- separators: u32 link, u16 length, bytes ------------------------------------------------------ */

#define SEPARATOR_HEAD 6u

struct cor_bytes tree_separator_key(const struct tree_memory *m, slab_ref separator)
{
    const unsigned char *at = slab_at(&m->heap, separator);
    return (struct cor_bytes){at + SEPARATOR_HEAD, (size_t)(at[4] | at[5] << 8)};
}

/* The shortest bytes above @below and not above @from. */
slab_ref tree_new_separator(struct tree_memory *m, struct cor_bytes below,
                            struct cor_bytes from)
{
    size_t len = 0;
    while (len < below.len && len < from.len && below.ptr[len] == from.ptr[len]) {
        len++;
    }
    COR_ASSERT(len < from.len);
    COR_ASSERT(len < KV_KEY_MAX);
    len++;
    slab_ref ref = tree_must_alloc(m, SLAB_FIXED, SEPARATOR_HEAD + len);
    unsigned char *at = slab_at(&m->heap, ref);
    memset(at, 0, SEPARATOR_HEAD);
    at[4] = (unsigned char)len;
    at[5] = (unsigned char)(len >> 8);
    memcpy(at + SEPARATOR_HEAD, from.ptr, len);
    return ref;
}

/* ---- search ----------------------------------------------------------------------------------- */

/* The child of @inner in which @key belongs. */
static uint8_t child_of(const struct tree_memory *m, const struct tree_inner *inner,
                        struct cor_bytes key)
{
    uint32_t low = 0;
    uint32_t high = inner->head.n;
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (bytes_compare(tree_separator_key(m, inner->separator[mid]), key) <= 0) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return (uint8_t)low;
}

static struct cor_bytes key_in(const struct tree_memory *m, const struct tree_leaf *leaf,
                               uint32_t i)
{
    return record_key(slab_at(&m->heap, leaf->record[i]));
}

/* Most searches are for keys that are there; a byte of hash spares them the five or six records
 * that a binary search would fetch from memory. */
static bool find_by_print(const struct tree_memory *m, const struct tree_leaf *leaf,
                          struct cor_bytes key, uint8_t *at)
{
    uint8_t print = tree_print(key);
    for (uint32_t i = 0; i < leaf->head.n; i++) {
        if (leaf->print[i] == print && bytes_compare(key_in(m, leaf, i), key) == 0) {
            *at = (uint8_t)i;
            return true;
        }
    }
    return false;
}

/* Where @key, which is not in @leaf, would be. Keys often arrive in order: look at the end first. */
static uint8_t place_in(const struct tree_memory *m, const struct tree_leaf *leaf,
                        struct cor_bytes key)
{
    uint32_t low = 0;
    uint32_t high = leaf->head.n;
    if (high > 0 && bytes_compare(key_in(m, leaf, high - 1), key) < 0) {
        return (uint8_t)high;
    }
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (bytes_compare(key_in(m, leaf, mid), key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return (uint8_t)low;
}

bool tree_find(const struct tree_memory *m, slab_ref root, struct cor_bytes key,
               struct tree_path *path)
{
    path->depth = 0;
    if (root == 0) {
        return false;
    }
    slab_ref ref = root;
    uint32_t d = 0;
    for (; tree_head_at(m, ref)->level > 0; d++) {
        COR_ASSERT(d + 1 < KV_TREE_DEPTH_MAX);
        const struct tree_inner *inner = tree_inner_at(m, ref);
        path->node[d] = ref;
        path->at[d] = child_of(m, inner, key);
        ref = inner->child[path->at[d]];
    }
    const struct tree_leaf *leaf = tree_leaf_at(m, ref);
    path->node[d] = ref;
    path->depth = (uint8_t)(d + 1);
    if (find_by_print(m, leaf, key, &path->at[d])) {
        return true;
    }
    path->at[d] = place_in(m, leaf, key);
    return false;
}

slab_ref tree_record(const struct tree_memory *m, const struct tree_path *path)
{
    COR_ASSERT(path->depth > 0);
    const struct tree_leaf *leaf = tree_leaf_at(m, path->node[path->depth - 1]);
    COR_ASSERT(path->at[path->depth - 1] < leaf->head.n);
    return leaf->record[path->at[path->depth - 1]];
}

/* ---- changes ------------------------------------------------------------------------------------ */

/* Tell the ancestors of the leaf at @path, all owned. */
static void tell_up(struct tree_memory *m, struct tree *t, const struct tree_path *path,
                    int live_change, uint64_t revision)
{
    t->live += (uint64_t)(int64_t)live_change;
    for (uint32_t d = 0; d + 1 < path->depth; d++) {
        struct tree_inner *inner = tree_inner_at(m, path->node[d]);
        uint8_t i = path->at[d];
        inner->live[i] += (uint32_t)live_change;
        inner->newest[i] = u64_max(inner->newest[i], revision);
    }
}

void tree_touch(struct tree_memory *m, struct tree *t, struct tree_path *path,
                uint64_t revision)
{
    own_path(m, t, path);
    tell_up(m, t, path, 0, revision);
}

void tree_replace(struct tree_memory *m, struct tree *t, struct tree_path *path,
                  slab_ref record)
{
    own_path(m, t, path);
    struct tree_leaf *leaf = tree_leaf_at(m, path->node[path->depth - 1]);
    uint8_t i = path->at[path->depth - 1];
    uint64_t bit = (uint64_t)1 << i;
    int was_live = (leaf->dead & bit) == 0;
    bool dead = record_is_dead(slab_at(&m->heap, record));
    leaf->record[i] = record;
    leaf->dead = dead ? leaf->dead | bit : leaf->dead & ~bit;
    tell_up(m, t, path, (dead ? 0 : 1) - was_live, 0);
}

static void leaf_insert(struct tree_leaf *leaf, uint8_t i, slab_ref record, uint8_t print,
                        bool dead)
{
    size_t behind = (size_t)leaf->head.n - i;
    memmove(&leaf->record[i + 1], &leaf->record[i], behind * sizeof leaf->record[0]);
    memmove(&leaf->print[i + 1], &leaf->print[i], behind);
    uint64_t below = tree_bits_below(i);
    leaf->dead = (leaf->dead & below) | (leaf->dead & ~below) << 1 | (uint64_t)dead << i;
    leaf->record[i] = record;
    leaf->print[i] = print;
    leaf->head.n++;
}

void tree_insert(struct tree_memory *m, struct tree *t, struct tree_path *path, slab_ref record)
{
    struct cor_bytes key = record_key(slab_at(&m->heap, record));
    bool dead = record_is_dead(slab_at(&m->heap, record));
    if (path->depth == 0) {
        t->root = tree_new_node(m, 0);
        tree_leaf_at(m, t->root)->grave = t->grave;
        (void)tree_find(m, t->root, key, path);
    }
    own_path(m, t, path);
    while (tree_head_at(m, path->node[path->depth - 1])->n == TREE_LEAF_MAX) {
        tree_make_room(m, t, path, key);
        bool found = tree_find(m, t->root, key, path);
        COR_ASSERT(!found);
        own_path(m, t, path);
    }
    uint8_t i = path->at[path->depth - 1];
    leaf_insert(tree_leaf_at(m, path->node[path->depth - 1]), i, record, tree_print(key), dead);
    tell_up(m, t, path, dead ? 0 : 1, 0);
}

static void leaf_remove(struct tree_leaf *leaf, uint8_t i)
{
    size_t behind = (size_t)leaf->head.n - i - 1;
    memmove(&leaf->record[i], &leaf->record[i + 1], behind * sizeof leaf->record[0]);
    memmove(&leaf->print[i], &leaf->print[i + 1], behind);
    uint64_t below = tree_bits_below(i);
    leaf->dead = (leaf->dead & below) | (leaf->dead >> 1 & ~below);
    leaf->head.n--;
}

void tree_remove(struct tree_memory *m, struct tree *t, struct tree_path *path, uint64_t grave)
{
    own_path(m, t, path);
    struct tree_leaf *leaf = tree_leaf_at(m, path->node[path->depth - 1]);
    uint8_t i = path->at[path->depth - 1];
    COR_ASSERT(i < leaf->head.n);
    bool dead = (leaf->dead >> i & 1) != 0;
    leaf_remove(leaf, i);
    leaf->grave = u64_max(leaf->grave, grave);
    tell_up(m, t, path, dead ? 0 : -1, grave);
    tree_shrink(m, t, path);
}

void tree_relocate(struct tree_memory *m, const struct tree_path *path, slab_ref to)
{
    COR_ASSERT(m->limbo == NULL);
    tree_leaf_at(m, path->node[path->depth - 1])->record[path->at[path->depth - 1]] = to;
}
