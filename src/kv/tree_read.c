/* tree_read.c - walking, counting, and the newest revision of a range. */
#include "kv/tree_internal.h"

#include "base/assert.h"
#include "kv/record.h"

/* The first child of @inner from @i on that a walk enters; n: none. */
static uint32_t next_child(const struct tree_inner *inner, uint32_t i, bool live_only)
{
    while (i < inner->head.n && live_only && inner->live[i] == 0) {
        i++;
    }
    return i;
}

/* Step out of the leaf at @path and down into the next one. False: there is none. */
static bool next_leaf(const struct tree_memory *m, struct tree_path *path, bool live_only)
{
    uint32_t d = path->depth - 1u;
    do {
        if (d == 0) {
            return false;
        }
        d--;
        const struct tree_inner *inner = tree_inner_at(m, path->node[d]);
        path->at[d] = (uint8_t)next_child(inner, path->at[d] + 1u, live_only);
    } while (path->at[d] >= tree_head_at(m, path->node[d])->n);
    for (; d + 1u < path->depth; d++) {
        const struct tree_inner *inner = tree_inner_at(m, path->node[d]);
        path->node[d + 1] = inner->child[path->at[d]];
        bool at_leaf = d + 2u == path->depth;
        path->at[d + 1] =
            at_leaf ? 0
                    : (uint8_t)next_child(tree_inner_at(m, path->node[d + 1]), 0, live_only);
    }
    return true;
}

bool tree_settle(const struct tree_memory *m, struct tree_path *path, bool live_only)
{
    if (path->depth == 0) {
        return false;
    }
    uint8_t *at = &path->at[path->depth - 1];
    do {
        const struct tree_leaf *leaf = tree_leaf_at(m, path->node[path->depth - 1]);
        while (*at < leaf->head.n && live_only && (leaf->dead >> *at & 1) != 0) {
            (*at)++;
        }
        if (*at < leaf->head.n) {
            return true;
        }
    } while (next_leaf(m, path, live_only));
    return false;
}

uint64_t tree_rank(const struct tree_memory *m, const struct tree *t, struct cor_bytes key)
{
    struct tree_path path;
    (void)tree_find(m, t->root, key, &path);
    uint64_t rank = 0;
    for (uint32_t d = 0; d + 1u < path.depth; d++) {
        const struct tree_inner *inner = tree_inner_at(m, path.node[d]);
        for (uint32_t i = 0; i < path.at[d]; i++) {
            rank += inner->live[i];
        }
    }
    if (path.depth > 0) {
        uint32_t at = path.at[path.depth - 1];
        const struct tree_leaf *leaf = tree_leaf_at(m, path.node[path.depth - 1]);
        rank += at - tree_count_bits(leaf->dead & tree_bits_below(at));
    }
    return rank;
}

/* ---- the newest revision ---------------------------------------------------------------------- */

/* Of places [from, to) of the node; a leaf's grave counts whatever the places. */
static uint64_t newest_among(const struct tree_memory *m, slab_ref node, uint32_t from,
                             uint32_t to)
{
    uint64_t newest = 0;
    if (tree_head_at(m, node)->level > 0) {
        const struct tree_inner *inner = tree_inner_at(m, node);
        for (uint32_t i = from; i < to && i < inner->head.n; i++) {
            newest = u64_max(newest, inner->newest[i]);
        }
        return newest;
    }
    const struct tree_leaf *leaf = tree_leaf_at(m, node);
    newest = leaf->grave;
    for (uint32_t i = from; i < to && i < leaf->head.n; i++) {
        newest = u64_max(newest, record_mod(slab_at(&m->heap, leaf->record[i])));
    }
    return newest;
}

/* Of everything from @low's place on and before @high's (NULL: to the end): the places between the
 * two paths where they part, and below that what lies right of the one and left of the other. */
static uint64_t newest_between(const struct tree_memory *m, const struct tree_path *low,
                               const struct tree_path *high)
{
    uint64_t newest = 0;
    bool parted = high == NULL;
    for (uint32_t d = 0; d < low->depth; d++) {
        uint32_t from = low->at[d] + (d + 1u < low->depth ? 1u : 0u);
        if (!parted) {
            newest = u64_max(newest, newest_among(m, low->node[d], from, high->at[d]));
            parted = low->at[d] != high->at[d];
            continue;
        }
        newest = u64_max(newest, newest_among(m, low->node[d], from, TREE_LEAF_MAX));
        if (high != NULL) {
            newest = u64_max(newest, newest_among(m, high->node[d], 0, high->at[d]));
        }
    }
    return newest;
}

uint64_t tree_newest(const struct tree_memory *m, const struct tree *t,
                     const struct kv_range *range)
{
    struct tree_path low;
    struct tree_path high;
    bool found = tree_find(m, t->root, range->key, &low);
    if (low.depth == 0) {
        return t->grave;
    }
    if (!range->to_end && range->end.len == 0) {
        return found ? record_mod(slab_at(&m->heap, tree_record(m, &low)))
                     : tree_leaf_at(m, low.node[low.depth - 1])->grave;
    }
    if (range->to_end) {
        return newest_between(m, &low, NULL);
    }
    if (bytes_compare(range->end, range->key) <= 0) {
        return 0;
    }
    (void)tree_find(m, t->root, range->end, &high);
    return newest_between(m, &low, &high);
}
