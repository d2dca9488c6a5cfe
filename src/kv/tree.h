/*
 * tree.h - the ordered map of one table: a copy-on-write B+tree over records.
 *
 * Place in the system: apply.c and history.c change it, kv.c reads it. Keys are in the records;
 * a leaf holds references only.
 *
 *                      inner   children, and before each but the first a separator;
 *                     /  |  \  per child: live keys in it (count in O(log n)), newest revision
 *                 leaf leaf leaf    up to 64 record references, in key order, each with one
 *                  | | | | | | |    byte of its key's hash; a bit per tombstone
 *                records -> older versions (links)
 *
 * Copy-on-write: a node carries the epoch in which it was made; one made in or before the epoch
 * of the newest held root is frozen and is copied before a change. Without held roots everything
 * changes in place.
 *
 * How leaves stay full: a full leaf first gives to a neighbor with room; only when both are
 * nearly full is it split; and a split at either end of a run of inserts moves nothing, so that
 * keys arriving in order leave full leaves behind.
 *
 * What a deletion leaves: while history needs it a tombstone, in the leaf like any key; then the
 * leaf's *grave*, the newest revision of all that was removed there. So the newest revision of a
 * range (blocking queries) never goes back.
 *
 * Separators are the shortest bytes that tell two neighbors apart, each an object of its own,
 * shared by the copies of a node.
 */
#ifndef KV_TREE_H
#define KV_TREE_H

#include "kv/kv.h"
#include "kv/slab.h"

#define TREE_LEAF_MAX  64u
#define TREE_INNER_MAX 63u

struct tree_head {
    slab_ref link; /* slab.h */
    uint32_t epoch;
    uint8_t level; /* 0: leaf */
    uint8_t n;     /* records or children */
};

struct tree_leaf {
    struct tree_head head;
    uint64_t dead;  /* bit i: record i is a tombstone */
    uint64_t grave; /* newest revision removed from here */
    uint8_t print[TREE_LEAF_MAX];
    slab_ref record[TREE_LEAF_MAX];
};

struct tree_inner {
    struct tree_head head;
    uint64_t newest[TREE_INNER_MAX]; /* per child: the newest revision in it, graves included */
    uint32_t live[TREE_INNER_MAX];   /* per child: keys that are not tombstones */
    slab_ref child[TREE_INNER_MAX];
    slab_ref separator
        [TREE_INNER_MAX]; /* [i]: <= every key of child i, > every one before; [0]: 0 */
};

/* What the trees of one store share. */
struct tree_memory {
    struct slab_heap heap;
    uint32_t epoch; /* of nodes made now */
    uint32_t
        frozen; /* nodes of this epoch and before belong to held roots, too; 0: none held */
    slab_ref
        *limbo; /* where freed objects wait that a held root may still read; NULL: none held */
};

struct tree {
    slab_ref root;  /* 0: empty */
    uint64_t grave; /* of the leaf that an empty tree does not have */
    uint64_t live;
};

/* Room for an object; asserts that there is memory: a committed entry cannot fail. */
slab_ref tree_must_alloc(struct tree_memory *m, enum slab_pool pool, size_t size);
/* Free an object: now, or when no held root can see it any more. */
void tree_discard(struct tree_memory *m, slab_ref ref);

/* True: @path is at the record of @key. False: where it would be. */
bool tree_find(const struct tree_memory *m, slab_ref root, struct cor_bytes key,
               struct tree_path *path);
/* Go to the first record at or after @path's place; with @live_only, to the first that is no
 * tombstone. False: there is none. */
bool tree_settle(const struct tree_memory *m, struct tree_path *path, bool live_only);
slab_ref tree_record(const struct tree_memory *m, const struct tree_path *path);

/* The path of a successful find: put @record in the place of the one that is there. */
void tree_replace(struct tree_memory *m, struct tree *t, struct tree_path *path,
                  slab_ref record);
/* The path of a find that failed: insert @record there. */
void tree_insert(struct tree_memory *m, struct tree *t, struct tree_path *path,
                 slab_ref record);
/* Take the record at @path out; @grave is the revision to remember in its place, or 0. */
void tree_remove(struct tree_memory *m, struct tree *t, struct tree_path *path, uint64_t grave);
/* Something at @path changed in @revision. */
void tree_touch(struct tree_memory *m, struct tree *t, struct tree_path *path,
                uint64_t revision);

/* Live keys below @key. */
uint64_t tree_rank(const struct tree_memory *m, const struct tree *t, struct cor_bytes key);
/* The newest revision of any key in @range; see kv_range_revision(). */
uint64_t tree_newest(const struct tree_memory *m, const struct tree *t,
                     const struct kv_range *range);

/* The record at @path was moved to @to (slab compaction). No root is held. */
void tree_relocate(struct tree_memory *m, const struct tree_path *path, slab_ref to);

/* Assert everything that must hold; returns the number of records in the tree. */
uint64_t tree_check(const struct tree_memory *m, const struct tree *t);

int bytes_compare(struct cor_bytes a, struct cor_bytes b);

#endif
