/* watch.c - a treap with parent pointers: no recursion, no stack, no allocation. */
#include "kv/watch.h"

#include "base/assert.h"
#include "kv/internal.h"

/* Where a range ends, to be compared: one key's range ends right behind the key. */
static int compare_ends(const struct kv_range *a, const struct kv_range *b)
{
    if (a->to_end || b->to_end) {
        return (int)a->to_end - (int)b->to_end;
    }
    bool a_one = a->end.len == 0;
    bool b_one = b->end.len == 0;
    int c = bytes_compare(a_one ? a->key : a->end, b_one ? b->key : b->end);
    return c != 0 ? c : (int)a_one - (int)b_one;
}

static int compare_ranges(const struct kv_range *a, const struct kv_range *b)
{
    int c = bytes_compare(a->key, b->key);
    return c != 0 ? c : compare_ends(a, b);
}

static bool ends_after(const struct kv_range *range, struct cor_bytes key)
{
    if (range->to_end) {
        return true;
    }
    return range->end.len == 0 ? bytes_compare(key, range->key) <= 0
                               : bytes_compare(key, range->end) < 0;
}

bool kv_range_has(const struct kv_range *range, struct cor_bytes key)
{
    return bytes_compare(range->key, key) <= 0 && ends_after(range, key);
}

/* ---- the treap ---------------------------------------------------------------------------------- */

static void update_widest(struct kv_watcher *w)
{
    w->widest = w;
    for (int i = 0; i < 2; i++) {
        struct kv_watcher *c = w->child[i];
        if (c != NULL && compare_ends(&c->widest->range, &w->widest->range) > 0) {
            w->widest = c->widest;
        }
    }
}

static struct kv_watcher **link_to(struct watch_index *index, struct kv_watcher *w)
{
    struct kv_watcher *p = w->parent;
    return p == NULL ? &index->root : &p->child[p->child[1] == w];
}

/* Turn @w up, over its parent. */
static void rotate_up(struct watch_index *index, struct kv_watcher *w)
{
    struct kv_watcher *p = w->parent;
    int side = p->child[1] == w;
    *link_to(index, p) = w;
    w->parent = p->parent;
    p->child[side] = w->child[!side];
    if (p->child[side] != NULL) {
        p->child[side]->parent = p;
    }
    w->child[!side] = p;
    p->parent = w;
    update_widest(p);
    update_widest(w);
}

static void update_up(struct kv_watcher *w)
{
    for (; w != NULL; w = w->parent) {
        update_widest(w);
    }
}

void watch_add(struct watch_index *index, struct kv_watcher *w)
{
    struct kv_watcher **link = &index->root;
    w->parent = w->child[0] = w->child[1] = NULL;
    w->next = w->previous = w;
    w->in_tree = true;
    index->n++;
    while (*link != NULL) {
        int c = compare_ranges(&w->range, &(*link)->range);
        if (c == 0) { /* join the ring */
            w->in_tree = false;
            w->previous = *link;
            w->next = (*link)->next;
            w->next->previous = w;
            (*link)->next = w;
            return;
        }
        w->parent = *link;
        link = &(*link)->child[c > 0];
    }
    *link = w;
    w->priority = prng_next(&index->priorities);
    update_up(w);
    while (w->parent != NULL && w->parent->priority < w->priority) {
        rotate_up(index, w);
    }
}

/* Let @heir stand in the tree where @w stood. */
static void replace(struct watch_index *index, struct kv_watcher *w, struct kv_watcher *heir)
{
    *link_to(index, w) = heir;
    heir->parent = w->parent;
    heir->priority = w->priority;
    heir->in_tree = true;
    for (int i = 0; i < 2; i++) {
        heir->child[i] = w->child[i];
        if (heir->child[i] != NULL) {
            heir->child[i]->parent = heir;
        }
    }
    update_up(heir);
}

static void take_out(struct watch_index *index, struct kv_watcher *w)
{
    while (w->child[0] != NULL || w->child[1] != NULL) {
        struct kv_watcher *a = w->child[0];
        struct kv_watcher *b = w->child[1];
        rotate_up(index, b == NULL || (a != NULL && a->priority > b->priority) ? a : b);
    }
    *link_to(index, w) = NULL;
    update_up(w->parent);
}

void watch_remove(struct watch_index *index, struct kv_watcher *w)
{
    struct kv_watcher *heir = w->next;
    COR_ASSERT(index->n > 0);
    index->n--;
    if (w->in_tree && heir != w) {
        replace(index, w, heir);
    } else if (w->in_tree) {
        take_out(index, w);
    }
    w->previous->next = w->next;
    w->next->previous = w->previous;
    w->in_tree = false;
}

/* ---- search -------------------------------------------------------------------------------------- */

static bool may_hold(const struct kv_watcher *w, struct cor_bytes key)
{
    return w != NULL && ends_after(&w->widest->range, key);
}

/* The leftmost range at or below @w that holds @key, as far as the subtree can tell; else the next
 * one in order after that subtree. */
static struct kv_watcher *descend(struct kv_watcher *w, struct cor_bytes key)
{
    while (may_hold(w->child[0], key)) {
        w = w->child[0];
    }
    return w;
}

/* The next node in order that the pruned walk meets after @w. */
static struct kv_watcher *walk_on(struct kv_watcher *w, struct cor_bytes key)
{
    if (bytes_compare(w->range.key, key) <= 0 && may_hold(w->child[1], key)) {
        return descend(w->child[1], key);
    }
    while (w->parent != NULL && w->parent->child[1] == w) {
        w = w->parent;
    }
    return w->parent;
}

/* @w or the first after it that holds @key. Ranges that begin behind @key end the walk. */
static struct kv_watcher *seek(struct kv_watcher *w, struct cor_bytes key)
{
    while (w != NULL && bytes_compare(w->range.key, key) <= 0) {
        if (ends_after(&w->range, key)) {
            return w;
        }
        w = walk_on(w, key);
    }
    return NULL;
}

struct kv_watcher *watch_first(const struct watch_index *index, struct cor_bytes key)
{
    return may_hold(index->root, key) ? seek(descend(index->root, key), key) : NULL;
}

struct kv_watcher *watch_next(struct kv_watcher *w, struct cor_bytes key)
{
    return seek(walk_on(w, key), key);
}

/* ---- invariants ------------------------------------------------------------------------------------ */

static uint64_t check_ring(const struct kv_watcher *first)
{
    uint64_t n = 1;
    for (const struct kv_watcher *w = first->next; w != first; w = w->next) {
        COR_ASSERT(!w->in_tree);
        COR_ASSERT(w->next->previous == w);
        n++;
    }
    return n;
}

static void check_node(const struct kv_watcher *w)
{
    COR_ASSERT(w->in_tree);
    COR_ASSERT(compare_ends(&w->range, &w->widest->range) <= 0);
    for (int i = 0; i < 2; i++) {
        const struct kv_watcher *c = w->child[i];
        if (c != NULL) {
            COR_ASSERT(c->parent == w);
            COR_ASSERT(c->priority <= w->priority);
            COR_ASSERT((compare_ranges(&c->range, &w->range) > 0) == (i == 1));
            COR_ASSERT(compare_ends(&c->widest->range, &w->widest->range) <= 0);
        }
    }
}

uint64_t watch_check(const struct watch_index *index)
{
    uint64_t n = 0;
    const struct kv_watcher *w = index->root;
    while (w != NULL && w->child[0] != NULL) {
        w = w->child[0];
    }
    while (w != NULL) {
        check_node(w);
        n += check_ring(w);
        if (w->child[1] != NULL) {
            w = w->child[1];
            while (w->child[0] != NULL) {
                w = w->child[0];
            }
            continue;
        }
        while (w->parent != NULL && w->parent->child[1] == w) {
            w = w->parent;
        }
        w = w->parent;
    }
    COR_ASSERT(n == index->n);
    return n;
}
