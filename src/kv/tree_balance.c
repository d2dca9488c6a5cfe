/*
 * tree_balance.c - how nodes give, split and merge.
 *
 * Place in the system: called by tree.c when a leaf is full or lost a record. Every function here
 * works on an owned parent and two neighboring children of it; the parent's counts follow.
 */
#include "kv/tree_internal.h"

#include "base/assert.h"
#include "kv/record.h"

#include <string.h>

#define GIVE_MAX  56u /* a neighbor with more records does not take any */
#define MERGE_MAX 56u /* two nodes with more together stay two */
#define INNER_LOW 2u /* an inner node has at least so many children, so leaves have neighbors */

static struct cor_bytes leaf_key(const struct tree_memory *m, const struct tree_leaf *leaf,
                                 uint32_t i)
{
    return record_key(slab_at(&m->heap, leaf->record[i]));
}

static uint64_t leaf_newest(const struct tree_memory *m, const struct tree_leaf *leaf)
{
    uint64_t newest = leaf->grave;
    for (uint32_t i = 0; i < leaf->head.n; i++) {
        newest = u64_max(newest, record_mod(slab_at(&m->heap, leaf->record[i])));
    }
    return newest;
}

/* Count child @i of @parent anew. */
static void recount(const struct tree_memory *m, struct tree_inner *parent, uint32_t i)
{
    if (parent->head.level == 1) {
        const struct tree_leaf *leaf = tree_leaf_at(m, parent->child[i]);
        parent->live[i] = tree_leaf_live(leaf);
        parent->newest[i] = leaf_newest(m, leaf);
        return;
    }
    const struct tree_inner *inner = tree_inner_at(m, parent->child[i]);
    parent->live[i] = 0;
    parent->newest[i] = 0;
    for (uint32_t j = 0; j < inner->head.n; j++) {
        parent->live[i] += inner->live[j];
        parent->newest[i] = u64_max(parent->newest[i], inner->newest[j]);
    }
}

/* ---- children of an inner node ---------------------------------------------------------------- */

static void move_children(struct tree_inner *to, uint32_t at, const struct tree_inner *from,
                          uint32_t first, uint32_t n)
{
    memmove(&to->child[at], &from->child[first], n * sizeof to->child[0]);
    memmove(&to->separator[at], &from->separator[first], n * sizeof to->separator[0]);
    memmove(&to->live[at], &from->live[first], n * sizeof to->live[0]);
    memmove(&to->newest[at], &from->newest[first], n * sizeof to->newest[0]);
}

static void insert_child(struct tree_inner *parent, uint32_t i, slab_ref child,
                         slab_ref separator)
{
    COR_ASSERT(parent->head.n < TREE_INNER_MAX);
    move_children(parent, i + 1, parent, i, parent->head.n - i);
    parent->child[i] = child;
    parent->separator[i] = separator;
    parent->head.n++;
}

static void remove_child(struct tree_inner *parent, uint32_t i)
{
    move_children(parent, i, parent, i + 1, parent->head.n - i - 1u);
    parent->head.n--;
}

/* ---- two leaves ------------------------------------------------------------------------------------ */

static void move_records(struct tree_leaf *to, uint32_t at, const struct tree_leaf *from,
                         uint32_t first, uint32_t n)
{
    memmove(&to->record[at], &from->record[first], n * sizeof to->record[0]);
    memmove(&to->print[at], &from->print[first], n);
}

/* Let the left one of two leaves have the first @n_left of all their records. */
static void deal_records(struct tree_leaf *left, struct tree_leaf *right, uint32_t n_left)
{
    uint32_t l = left->head.n;
    uint32_t r = right->head.n;
    if (n_left > l) {
        uint32_t k = n_left - l;
        move_records(left, l, right, 0, k);
        left->dead |= (right->dead & tree_bits_below(k)) << l;
        move_records(right, 0, right, k, r - k);
        right->dead = k == 64 ? 0 : right->dead >> k;
    } else if (n_left < l) {
        uint32_t k = l - n_left;
        move_records(right, k, right, 0, r);
        move_records(right, 0, left, n_left, k);
        right->dead = (k == 64 ? 0 : right->dead << k) | left->dead >> n_left;
        left->dead &= tree_bits_below(n_left);
    }
    left->head.n = (uint8_t)n_left;
    right->head.n = (uint8_t)(l + r - n_left);
    uint64_t grave = u64_max(left->grave, right->grave);
    left->grave = right->grave = grave;
}

/* Deal the records of children @i and @i + 1 of @parent, all of them owned. */
static void deal_leaves(struct tree_memory *m, struct tree_inner *parent, uint32_t i,
                        uint32_t n_left)
{
    struct tree_leaf *left = tree_leaf_at(m, parent->child[i]);
    struct tree_leaf *right = tree_leaf_at(m, parent->child[i + 1]);
    deal_records(left, right, n_left);
    tree_discard(m, parent->separator[i + 1]);
    parent->separator[i + 1] =
        tree_new_separator(m, leaf_key(m, left, left->head.n - 1u), leaf_key(m, right, 0));
    recount(m, parent, i);
    recount(m, parent, i + 1);
}

/* Let a neighbor of the full child @i take some. False: they are nearly full themselves. */
static bool give_to_neighbor(struct tree_memory *m, struct tree_inner *parent, uint32_t i)
{
    if (i > 0 && tree_head_at(m, parent->child[i - 1])->n <= GIVE_MAX) {
        tree_own_child(m, parent, i - 1);
        uint32_t n = tree_head_at(m, parent->child[i - 1])->n + TREE_LEAF_MAX;
        deal_leaves(m, parent, i - 1, n / 2);
        return true;
    }
    if (i + 1 < parent->head.n && tree_head_at(m, parent->child[i + 1])->n <= GIVE_MAX) {
        tree_own_child(m, parent, i + 1);
        uint32_t n = tree_head_at(m, parent->child[i + 1])->n + TREE_LEAF_MAX;
        deal_leaves(m, parent, i, n / 2);
        return true;
    }
    return false;
}

/* Split the full child @i of @parent; @key will go to place @at in it. Runs in key order, up or
 * down, get an empty leaf and leave a full one. */
static void split_leaf(struct tree_memory *m, struct tree_inner *parent, uint32_t i,
                       uint32_t at, struct cor_bytes key)
{
    slab_ref fresh = tree_new_node(m, 0);
    struct tree_leaf *left = tree_leaf_at(m, parent->child[i]);
    struct tree_leaf *right = tree_leaf_at(m, fresh);
    uint32_t n = left->head.n;
    bool up = at == n && i + 1 == parent->head.n;
    bool down = at == 0 && i == 0;
    uint32_t n_left = up ? n : down ? 0 : n / 2;
    deal_records(left, right, n_left);
    struct cor_bytes below = down ? key : leaf_key(m, left, n_left - 1);
    struct cor_bytes from = up ? key : leaf_key(m, right, 0);
    insert_child(parent, i + 1, fresh, tree_new_separator(m, below, from));
    recount(m, parent, i);
    recount(m, parent, i + 1);
}

static void split_inner(struct tree_memory *m, struct tree_inner *parent, uint32_t i,
                        uint32_t at)
{
    slab_ref fresh = tree_new_node(m, (uint8_t)(parent->head.level - 1));
    struct tree_inner *left = tree_inner_at(m, parent->child[i]);
    struct tree_inner *right = tree_inner_at(m, fresh);
    uint32_t n = left->head.n;
    uint32_t n_left = at == n - 1 ? n - INNER_LOW : n / 2;
    move_children(right, 0, left, n_left, n - n_left);
    right->head.n = (uint8_t)(n - n_left);
    left->head.n = (uint8_t)n_left;
    slab_ref separator = right->separator[0];
    right->separator[0] = 0;
    insert_child(parent, i + 1, fresh, separator);
    recount(m, parent, i);
    recount(m, parent, i + 1);
}

static void grow_root(struct tree_memory *m, struct tree *t)
{
    slab_ref fresh = tree_new_node(m, (uint8_t)(tree_head_at(m, t->root)->level + 1));
    struct tree_inner *root = tree_inner_at(m, fresh);
    root->child[0] = t->root;
    root->head.n = 1;
    recount(m, root, 0);
    t->root = fresh;
}

void tree_make_room(struct tree_memory *m, struct tree *t, struct tree_path *path,
                    struct cor_bytes key)
{
    uint32_t d = path->depth - 1u;
    if (d > 0 && give_to_neighbor(m, tree_inner_at(m, path->node[d - 1]), path->at[d - 1])) {
        return;
    }
    while (d > 0 && tree_head_at(m, path->node[d - 1])->n == TREE_INNER_MAX) {
        d--;
    }
    if (d == 0) {
        grow_root(m, t);
        return;
    }
    struct tree_inner *parent = tree_inner_at(m, path->node[d - 1]);
    if (d + 1u == path->depth) {
        split_leaf(m, parent, path->at[d - 1], path->at[d], key);
    } else {
        split_inner(m, parent, path->at[d - 1], path->at[d]);
    }
}

/* ---- shrinking -------------------------------------------------------------------------------------- */

static void merge_leaves(struct tree_memory *m, struct tree_inner *parent, uint32_t i)
{
    struct tree_leaf *left = tree_leaf_at(m, parent->child[i]);
    struct tree_leaf *right = tree_leaf_at(m, parent->child[i + 1]);
    deal_records(left, right, (uint32_t)left->head.n + right->head.n);
    slab_free(&m->heap, parent->child[i + 1]);
    tree_discard(m, parent->separator[i + 1]);
    remove_child(parent, i + 1);
    recount(m, parent, i);
}

/* Let the left one of two inner nodes have the first @n_left children; all: the right one goes. */
static void deal_inners(struct tree_memory *m, struct tree_inner *parent, uint32_t i,
                        uint32_t n_left)
{
    struct tree_inner *left = tree_inner_at(m, parent->child[i]);
    struct tree_inner *right = tree_inner_at(m, parent->child[i + 1]);
    uint32_t l = left->head.n;
    uint32_t r = right->head.n;
    right->separator[0] = parent->separator[i + 1];
    if (n_left > l) {
        move_children(left, l, right, 0, n_left - l);
        move_children(right, 0, right, n_left - l, l + r - n_left);
    } else {
        move_children(right, l - n_left, right, 0, r);
        move_children(right, 0, left, n_left, l - n_left);
    }
    left->head.n = (uint8_t)n_left;
    right->head.n = (uint8_t)(l + r - n_left);
    if (right->head.n == 0) {
        slab_free(&m->heap, parent->child[i + 1]);
        remove_child(parent, i + 1);
    } else {
        parent->separator[i + 1] = right->separator[0];
        right->separator[0] = 0;
        recount(m, parent, i + 1);
    }
    recount(m, parent, i);
}

/* Look after child @i of @parent and a neighbor of it. True: @parent lost a child. */
static bool mend(struct tree_memory *m, struct tree_inner *parent, uint32_t i)
{
    uint32_t n = tree_head_at(m, parent->child[i])->n;
    uint32_t left = i > 0 ? i - 1 : 0;
    uint32_t sum = (uint32_t)tree_head_at(m, parent->child[left])->n +
                   tree_head_at(m, parent->child[left + 1])->n;
    bool leaves = parent->head.level == 1;
    if (sum > MERGE_MAX && i > 0 && i + 1 < parent->head.n) {
        left = i;
        sum = n + tree_head_at(m, parent->child[i + 1])->n;
    }
    bool merges = sum <= MERGE_MAX || (leaves && n == 0);
    if (!merges && (leaves || n >= INNER_LOW)) {
        return false;
    }
    tree_own_child(m, parent, left);
    tree_own_child(m, parent, left + 1);
    if (leaves) {
        merge_leaves(m, parent, left);
    } else {
        deal_inners(m, parent, left, merges ? sum : sum / 2);
    }
    return merges;
}

static void shrink_root(struct tree_memory *m, struct tree *t)
{
    while (tree_head_at(m, t->root)->level > 0 && tree_head_at(m, t->root)->n == 1) {
        slab_ref old = t->root;
        t->root = tree_inner_at(m, old)->child[0];
        tree_discard_node(m, old);
    }
    if (tree_head_at(m, t->root)->level == 0 && tree_head_at(m, t->root)->n == 0) {
        t->grave = tree_leaf_at(m, t->root)->grave;
        tree_discard_node(m, t->root);
        t->root = 0;
    }
}

void tree_shrink(struct tree_memory *m, struct tree *t, struct tree_path *path)
{
    for (uint32_t d = path->depth - 1u; d > 0; d--) {
        struct tree_inner *parent = tree_inner_at(m, path->node[d - 1]);
        if (!mend(m, parent, path->at[d - 1])) {
            break;
        }
    }
    shrink_root(m, t);
}
