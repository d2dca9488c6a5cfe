/*
 * hub.h - who waits for changes: all watches and blocking queries of a node.
 *
 * Place in the system: node.c makes one; kv_apply() reports changes to it (kv_on_change); the owners of
 * watches and waits (node.h) hear of them from one deferred task at the end of the turn, after all
 * that the turn applied. watch.c and wait.c are its two halves.
 *
 * A change is copied once, into a node_event, and each watch that wants it gets a mark in its queue: a
 * reference and a link. What is delivered is forgotten at once. A watch is in one of two states:
 *
 *   live     in the watch index of kv/, its queue holds what was not delivered yet
 *   behind   not in the index, costs writers nothing; reads history revision by revision from
 *            next_revision on, and is live again when it has caught up
 *
 * A watch starts behind if it starts in the past; a live one falls behind when its queue holds too much,
 * when all queues together do, or when memory runs out. Then its queue is dropped and next_revision is the
 * first revision it was not told. So nothing is lost, told twice or kept without limit. Tables without
 * history cannot fall behind: there the watch is cancelled.
 *
 * One turn delivers at most HUB_TURN_STEPS, in slices, first come first served; the rest goes on in
 * the next turn, so that ten thousand watchers, or one that begins a million revisions ago, do not
 * hold up heartbeats.
 */
#ifndef NODE_HUB_H
#define NODE_HUB_H

#include "node/node.h"

#define HUB_TURN_STEPS       4096u /* a step: an event told, a revision of history read, a wake */
#define HUB_SLICE_STEPS      256u /* for one watch, before the next one has its turn */
#define HUB_QUEUED_BYTES_MAX (64u << 20)
#define WATCH_QUEUE_DEFAULT  (1u << 20)

/* An event in the queue of a watch. */
struct hub_mark {
    struct hub_mark *next;
    struct node_event *event;
};

enum watch_state {
    WATCH_ON = 1u << 0,      /* started, and not over */
    WATCH_INDEXED = 1u << 1, /* in the watch index of kv/ */
    WATCH_BEHIND = 1u << 2,
    WATCH_LOST = 1u << 3,   /* fell behind: not one that began in the past */
    WATCH_PAUSED = 1u << 4, /* the owner said: not now */
    WATCH_BUSY = 1u << 5,   /* in the list of those that have something to do */
};

enum wait_state {
    WAIT_ON = 1u << 0,
    WAIT_CHANGED = 1u << 1, /* in the list of those to be woken */
};

struct hub {
    struct kv *kv;
    struct io *io;
    struct io_task task;               /* delivers */
    struct io_timer timer;             /* goes on in the next turn */
    struct node_link busy, idle;       /* watches: with something to do, in order; and others */
    struct node_link waiting, changed; /* waits */
    struct node_watch *current; /* inside its callback; NULL when it was stopped in there */
    struct node_event *event;   /* the change being applied; NULL: no memory for it */
    struct node_event **batch;  /* room for the events of one call */
    size_t batch_n, batch_size;
    size_t queued_bytes; /* events in queues, each counted once, and marks */
    size_t queued_bytes_max;
    uint32_t n_watches, n_waits, watchers_max;
    uint64_t n_told, n_cancelled;
    bool delivering; /* what comes up meanwhile has its turn after this one */
    bool stopped;
};

/* Make it, and have @kv report to it. @watchers_max: watches and waits together; then
 * COR_EBUSY. COR_ENOMEM. */
MUST_USE enum cor_status hub_open(struct kv *kv, struct io *io, uint32_t watchers_max,
                                  struct hub **out);
/* Cancel all watches and waits with COR_ESTOPPED, from inside this call; none can be started after. */
void hub_stop(struct hub *h);
/* Before the kv goes, and never from inside a callback of the hub. Watches and waits that are still
 * on are forgotten without a callback: their memory must still be there. */
void hub_free(struct hub *h);
/* What node_watch_start() and node_wait_start() are, which node.c defines: it alone knows the hub of a node. */
MUST_USE enum cor_status hub_watch_start(struct hub *h, struct node_watch *w);
MUST_USE enum cor_status hub_wait_start(struct hub *h, struct node_wait *w, uint64_t timeout);
/* Fills watchers, waiters, watch_events, watch_cancelled. */
void hub_get_stats(const struct hub *h, struct node_stats *out);

/* ---- between the halves ------------------------------------------------------------------------- */

/* A change of the store, for one watch or wait; @event: the shared copy. */
void watch_on_change(struct hub *h, const struct kv_event *e, struct node_watch *w);
void wait_on_change(struct hub *h, const struct kv_event *e, struct node_wait *w);
/* Take at most @steps; returns how many were taken. */
uint32_t watch_deliver(struct hub *h, uint32_t steps);
uint32_t wait_deliver(struct hub *h, uint32_t steps);
void watch_stop_all(struct hub *h);
void wait_stop_all(struct hub *h);
void watch_forget_all(struct hub *h);
void wait_forget_all(struct hub *h);
/* There is something to tell: have it told at the end of the turn. */
void hub_wake(struct hub *h);
/* Whether one more may be started in @table. */
MUST_USE enum cor_status hub_admit(const struct hub *h, uint8_t table);

/* A copy of @e with one reference; NULL: out of memory. */
MUST_USE struct node_event *node_event_new(const struct kv_event *e);
size_t node_event_size(const struct node_event *e);

void link_init(struct node_link *l); /* an empty list */
void link_append(struct node_link *list, struct node_link *l);
void link_remove(struct node_link *l);
static inline bool link_is_empty(const struct node_link *list)
{
    return list->next == list;
}

#endif
