/*
 * agenda.h - what happens next: a heap of timers, ordered by time and then by when they were set.
 *
 * Place in the system: the world has one for its events, each host has one for the timers of the
 * node that runs on it. The order of setting breaks ties, so that two events of the same moment
 * have one order in every run: half of determinism is here.
 */
#ifndef SIM_AGENDA_H
#define SIM_AGENDA_H

#include "base/attr.h"
#include "io/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agenda {
    struct io_timer **items; /* items[0] is next; a timer's slot is its place plus one */
    size_t n, room;
    uint64_t order;
};

void agenda_init(struct agenda *a);
void agenda_deinit(struct agenda *a);
/* Put @t at @at, or move it there. Among equals it is the last. */
void agenda_set(struct agenda *a, struct io_timer *t, uint64_t at);
/* Take @t out; nothing if it is not set. */
void agenda_clear(struct agenda *a, struct io_timer *t);
/* The next one, still in the agenda; NULL: empty. */
struct io_timer *agenda_next(const struct agenda *a);
/* Forget everything: every timer is unset. */
void agenda_empty(struct agenda *a);

#endif
