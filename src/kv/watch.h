/*
 * watch.h - which watchers want to hear of a key: an interval tree, embedded in its watchers.
 *
 * Place in the system: kv_watch_add() and kv_watch_remove() fill it, apply.c asks it per change.
 *
 * One index per table. It is a treap (a search tree by range, a heap by random priority, so its
 * depth is logarithmic without rebalancing rules) of *distinct* ranges; every node knows the range
 * below it that ends last, which is what lets a search for one key skip whole subtrees. Watchers
 * of one range form a ring of which one stands in the tree: ten thousand on one prefix are one
 * node. Watching one key is the range that holds that key alone. Nothing is allocated, so adding
 * cannot fail.
 */
#ifndef KV_WATCH_H
#define KV_WATCH_H

#include "base/prng.h"
#include "kv/kv.h"

struct watch_index {
    struct kv_watcher *root;
    struct prng priorities;
    uint64_t n;
};

void watch_add(struct watch_index *index, struct kv_watcher *w);
void watch_remove(struct watch_index *index, struct kv_watcher *w);
/* The first distinct range that holds @key, then the next; NULL: no more. The rest of its watchers
 * are in its ring. The index must not change in between. */
struct kv_watcher *watch_first(const struct watch_index *index, struct cor_bytes key);
struct kv_watcher *watch_next(struct kv_watcher *w, struct cor_bytes key);
/* Assert what must hold inside; returns the number of watchers. */
uint64_t watch_check(const struct watch_index *index);

#endif
