/*
 * map.h - what the log holds, in memory: where entries lie, and the runs of their terms.
 *
 * An anchor says: the batch at this page begins with this index. There is one for about every 64 KiB
 * of log, so the map of a million entries takes some ten kilobytes; a reader goes from the anchor
 * before an index batch by batch. Entries between two anchors that are not below the later one's
 * index were cut off later: they are no part of the log.
 */
#ifndef WAL_MAP_H
#define WAL_MAP_H

#include "base/attr.h"
#include "coracle/raft.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct anchor {
    uint64_t page, index;
};

struct anchors {
    struct anchor *v; /* both fields ascending */
    size_t n, size;
    size_t n_kept; /* free ones that are kept for cuts on their way to disk */
};

/* The first memory: readers need at least one anchor, so noting the first one must not fail. */
MUST_USE bool anchors_init(struct anchors *a);
/* Make sure that one more cut, beyond those kept before, can be noted. */
MUST_USE bool anchors_keep(struct anchors *a);
/* The batch at @page, with records, begins at @index, not cutting anything off. */
void anchors_note(struct anchors *a, uint64_t page, uint64_t index);
/* The batch at @page cuts at @index, or rewrites from there on. Uses up one that was kept. */
void anchors_note_cut(struct anchors *a, uint64_t page, uint64_t index);
/* The last anchor at or before @index; n if there is none. */
size_t anchors_find(const struct anchors *a, uint64_t index);
void anchors_free(struct anchors *a);

struct runs {
    struct cor_raft_run *v; /* both fields ascending */
    size_t n, size;
};

MUST_USE bool runs_reserve(struct runs *r, size_t n);
/* The entry at @index has @term. Room was reserved. */
void runs_note(struct runs *r, uint64_t index, uint64_t term);
void runs_cut(struct runs *r, uint64_t index); /* forget everything from @index on */
size_t runs_find(const struct runs *r, uint64_t first, uint64_t last, struct cor_raft_run *out,
                 size_t n_max);
void runs_free(struct runs *r);

#endif
