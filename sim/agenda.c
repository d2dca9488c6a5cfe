/*
 * agenda.c - a binary heap with places: each timer knows its slot, so moving and removing one
 * costs O(log n). See agenda.h.
 */
#include "sim/agenda.h"

#include "base/assert.h"

#include <stdlib.h>

void agenda_init(struct agenda *a)
{
    *a = (struct agenda){0};
}

void agenda_deinit(struct agenda *a)
{
    free(a->items);
    *a = (struct agenda){0};
}

static bool is_before(const struct io_timer *x, const struct io_timer *y)
{
    return x->at != y->at ? x->at < y->at : x->order < y->order;
}

static void place(struct agenda *a, size_t i, struct io_timer *t)
{
    a->items[i] = t;
    t->slot = i + 1;
}

static void sift_up(struct agenda *a, size_t i)
{
    struct io_timer *t = a->items[i];
    while (i > 0 && is_before(t, a->items[(i - 1) / 2])) {
        place(a, i, a->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(a, i, t);
}

static void sift_down(struct agenda *a, size_t i)
{
    struct io_timer *t = a->items[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= a->n) {
            break;
        }
        if (child + 1 < a->n && is_before(a->items[child + 1], a->items[child])) {
            child++;
        }
        if (!is_before(a->items[child], t)) {
            break;
        }
        place(a, i, a->items[child]);
        i = child;
    }
    place(a, i, t);
}

void agenda_clear(struct agenda *a, struct io_timer *t)
{
    if (t->slot == 0) {
        return;
    }
    size_t i = t->slot - 1;
    COR_ASSERT(i < a->n && a->items[i] == t);
    t->slot = 0;
    struct io_timer *last = a->items[--a->n];
    if (last == t) {
        return;
    }
    place(a, i, last);
    sift_up(a, i);
    sift_down(a, last->slot - 1);
}

void agenda_set(struct agenda *a, struct io_timer *t, uint64_t at)
{
    agenda_clear(a, t);
    if (a->n == a->room) {
        a->room = a->room == 0 ? 64 : 2 * a->room;
        a->items = realloc(a->items, a->room * sizeof(struct io_timer *));
        COR_ASSERT(a->items != NULL);
    }
    t->at = at;
    t->order = ++a->order;
    a->items[a->n] = t;
    sift_up(a, a->n++);
}

struct io_timer *agenda_next(const struct agenda *a)
{
    return a->n == 0 ? NULL : a->items[0];
}

void agenda_empty(struct agenda *a)
{
    for (size_t i = 0; i < a->n; i++) {
        a->items[i]->slot = 0;
    }
    a->n = 0;
}
