/* map.c - anchors and runs; see map.h. */
#include "wal/map.h"

#include "base/assert.h"

#include <stdlib.h>

#define ANCHOR_PAGES 16u

/* ---- anchors ------------------------------------------------------------------------------- */

static bool grow_anchors(struct anchors *a, size_t n)
{
    if (n <= a->size) {
        return true;
    }
    size_t size = a->size == 0 ? 64 : 2 * a->size;
    size = size < n ? n : size;
    struct anchor *v = realloc(a->v, size * sizeof *v);
    if (v == NULL) {
        return false;
    }
    a->v = v;
    a->size = size;
    return true;
}

bool anchors_init(struct anchors *a)
{
    return grow_anchors(a, 1);
}

bool anchors_keep(struct anchors *a)
{
    /* One more than is kept: for the first of all, should the log become empty. */
    if (!grow_anchors(a, a->n + a->n_kept + 2)) {
        return false;
    }
    a->n_kept++;
    return true;
}

void anchors_note(struct anchors *a, uint64_t page, uint64_t index)
{
    if (a->n > 0 && page < a->v[a->n - 1].page + ANCHOR_PAGES) {
        return;
    }
    if (a->n > 0 && index <= a->v[a->n - 1].index) {
        return; /* only truncations since */
    }
    if (!grow_anchors(a, a->n + a->n_kept + 1)) {
        COR_ASSERT(a->n > 0);
        return; /* readers go a longer way */
    }
    a->v[a->n++] = (struct anchor){page, index};
}

void anchors_note_cut(struct anchors *a, uint64_t page, uint64_t index)
{
    COR_ASSERT(a->n_kept > 0);
    a->n_kept--;
    while (a->n > 0 && a->v[a->n - 1].index >= index) {
        a->n--;
    }
    COR_ASSERT(a->n < a->size);
    a->v[a->n++] = (struct anchor){page, index};
}

size_t anchors_find(const struct anchors *a, uint64_t index)
{
    if (a->n == 0 || a->v[0].index > index) {
        return a->n;
    }
    size_t low = 0;
    size_t high = a->n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (a->v[middle].index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

void anchors_free(struct anchors *a)
{
    free(a->v);
    *a = (struct anchors){0};
}

/* ---- runs ---------------------------------------------------------------------------------- */

bool runs_reserve(struct runs *r, size_t n)
{
    if (n <= r->size - r->n) {
        return true;
    }
    size_t size = r->size == 0 ? 16 : 2 * r->size;
    size = size < r->n + n ? r->n + n : size;
    struct cor_raft_run *v = realloc(r->v, size * sizeof *v);
    if (v == NULL) {
        return false;
    }
    r->v = v;
    r->size = size;
    return true;
}

void runs_note(struct runs *r, uint64_t index, uint64_t term)
{
    if (r->n > 0 && r->v[r->n - 1].term == term) {
        return;
    }
    COR_ASSERT(r->n < r->size);
    r->v[r->n++] = (struct cor_raft_run){index, term};
}

void runs_cut(struct runs *r, uint64_t index)
{
    while (r->n > 0 && r->v[r->n - 1].first >= index) {
        r->n--;
    }
}

size_t runs_find(const struct runs *r, uint64_t first, uint64_t last, struct cor_raft_run *out,
                 size_t n_max)
{
    size_t i = 0;
    for (size_t step = r->n; step > 0; step /= 2) { /* the last run at or before first */
        while (i + step < r->n && r->v[i + step].first <= first) {
            i += step;
        }
    }
    size_t n = 0;
    while (i < r->n && n < n_max && r->v[i].first <= last) {
        out[n++] = r->v[i++];
    }
    return n;
}

void runs_free(struct runs *r)
{
    free(r->v);
    *r = (struct runs){0};
}
