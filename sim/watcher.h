/*
 * watcher.h - readers of watches: each follows a range of keys through crashes from node to node, reads slowly at
 * times, and must be told every change of its keys once, in order, whole.
 *
 * Place in the system: beside client.h. What a watcher heard is held against what the scribes wrote (cluster.h)
 * at the end: watchers_check().
 */
#ifndef SIM_WATCHER_H
#define SIM_WATCHER_H

#include "sim/cluster.h"

struct watchers;

struct watcher_options {
    unsigned n;
    uint32_t n_keys;        /* ranges are drawn from them */
    unsigned slow_permille; /* of offers are declined for a while */
    size_t queue_bytes_max;
};

struct watcher_stats {
    uint64_t events, cancelled, moved;
};

struct watchers *watchers_new(struct cluster *c, const struct watcher_options *options);
/* No more dawdling: whatever is offered is taken. */
void watchers_hurry(struct watchers *ws);
bool watchers_are_told(const struct watchers *ws);
/* Everybody has been told of all revisions that concern him. */
void watchers_check(struct watchers *ws);
void watchers_get_stats(const struct watchers *ws, struct watcher_stats *out);
/* Before cluster_deinit(). */
void watchers_halt(struct watchers *ws);
/* After it. */
void watchers_free(struct watchers *ws);

#endif
