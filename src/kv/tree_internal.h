/* tree_internal.h - what the files of the tree share: nodes by reference, and rebalancing. */
#ifndef KV_TREE_INTERNAL_H
#define KV_TREE_INTERNAL_H

#include "kv/tree.h"

static inline struct tree_head *tree_head_at(const struct tree_memory *m, slab_ref ref)
{
    return slab_at(&m->heap, ref);
}

static inline struct tree_leaf *tree_leaf_at(const struct tree_memory *m, slab_ref ref)
{
    return slab_at(&m->heap, ref);
}

static inline struct tree_inner *tree_inner_at(const struct tree_memory *m, slab_ref ref)
{
    return slab_at(&m->heap, ref);
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

struct cor_bytes tree_separator_key(const struct tree_memory *m, slab_ref separator);
uint32_t tree_leaf_live(const struct tree_leaf *leaf);
/* The byte of hash that stands for @key in its leaf. */
uint8_t tree_print(struct cor_bytes key);
uint32_t tree_count_bits(uint64_t bits);
/* The bits below @n. */
uint64_t tree_bits_below(uint32_t n);

/* Free a node: at once if it is younger than every held root. */
void tree_discard_node(struct tree_memory *m, slab_ref ref);
slab_ref tree_new_node(struct tree_memory *m, uint8_t level);
slab_ref tree_new_separator(struct tree_memory *m, struct cor_bytes below,
                            struct cor_bytes from);
/* Make child @i of @parent, which is not frozen, fit for changes. */
slab_ref tree_own_child(struct tree_memory *m, struct tree_inner *parent, uint32_t i);

/* Move towards room in the full leaf at @path for @key: one step; the path is stale after it. */
void tree_make_room(struct tree_memory *m, struct tree *t, struct tree_path *path,
                    struct cor_bytes key);
/* Records left the leaf at @path: merge what became too small. The path is stale after it. */
void tree_shrink(struct tree_memory *m, struct tree *t, struct tree_path *path);

#endif
