/*
 * watch.c - watches: each change in its range, in order, once.
 *
 * Place in the system: one half of the hub; hub.h has the states.
 *
 * Whatever a callback does to whatever watch is safe because nothing is held across it but the list heads
 * and h->current, which node_watch_stop() clears when it is the one that is stopped.
 */
#include "node/hub.h"

#include "base/assert.h"

#include <stdlib.h>

static struct node_watch *watch_of(struct node_link *l)
{
    return CONTAINER_OF(l, struct node_watch, private_.link);
}

static uint64_t newest_revision(const struct hub *h, uint8_t table)
{
    struct kv_info info;
    kv_get_info(h->kv, &info);
    return table == KV_TABLE_KEYS ? info.revision : info.system_revision;
}

/* ---- the queue of a watch -------------------------------------------------------------------------- */

static bool push_mark(struct hub *h, struct node_watch *w, struct node_event *e)
{
    struct node_watch_state *s = &w->private_;
    struct hub_mark *m = malloc(sizeof *m);
    if (m == NULL) {
        return false;
    }
    *m = (struct hub_mark){.event = node_event_ref(e)};
    h->queued_bytes += sizeof *m + (e->marks == 0 ? node_event_size(e) : 0);
    e->marks++;
    s->queued_bytes += node_event_size(e);
    *s->end = m;
    s->end = &m->next;
    return true;
}

static void pop_mark(struct hub *h, struct node_watch *w)
{
    struct node_watch_state *s = &w->private_;
    struct hub_mark *m = s->first;
    struct node_event *e = m->event;
    s->first = m->next;
    if (s->first == NULL) {
        s->end = &s->first;
    }
    s->queued_bytes -= node_event_size(e);
    e->marks--;
    h->queued_bytes -= sizeof *m + (e->marks == 0 ? node_event_size(e) : 0);
    node_event_unref(e);
    free(m);
}

static void drop_queue(struct hub *h, struct node_watch *w)
{
    while (w->private_.first != NULL) {
        pop_mark(h, w);
    }
}

/* ---- states --------------------------------------------------------------------------------------------- */

static bool has_work(const struct node_watch *w)
{
    const struct node_watch_state *s = &w->private_;
    return (s->state & WATCH_PAUSED) == 0 &&
           ((s->state & WATCH_BEHIND) != 0 || s->first != NULL);
}

static void make_busy(struct hub *h, struct node_watch *w)
{
    if ((w->private_.state & WATCH_BUSY) == 0) {
        w->private_.state |= WATCH_BUSY;
        link_remove(&w->private_.link);
        link_append(&h->busy, &w->private_.link);
    }
    hub_wake(h);
}

static void enter_index(struct hub *h, struct node_watch *w)
{
    w->private_.state |= WATCH_INDEXED;
    kv_watch_add(h->kv, &w->private_.watcher);
}

static void leave_index(struct hub *h, struct node_watch *w)
{
    if ((w->private_.state & WATCH_INDEXED) != 0) {
        w->private_.state &= ~(unsigned)WATCH_INDEXED;
        kv_watch_remove(h->kv, &w->private_.watcher);
    }
}

/* Inside kv_apply(), where the index must not change: it is left before anything is delivered. */
static void fall_behind(struct hub *h, struct node_watch *w, uint64_t revision)
{
    struct node_watch_state *s = &w->private_;
    s->next_revision = s->first != NULL ? s->first->event->revision : revision;
    drop_queue(h, w);
    s->state |= WATCH_BEHIND | WATCH_LOST;
    make_busy(h, w);
}

/* Nothing of the hub points to @w any more. */
static void detach(struct hub *h, struct node_watch *w)
{
    leave_index(h, w);
    drop_queue(h, w);
    link_remove(&w->private_.link);
    w->private_.state = 0;
    h->n_watches--;
    if (h->current == w) {
        h->current = NULL;
    }
}

static void cancel(struct hub *h, struct node_watch *w, enum cor_status st, uint64_t revision)
{
    detach(h, w);
    h->n_cancelled++;
    w->on_cancel(w->arg, st, revision);
}

/* ---- changes ------------------------------------------------------------------------------------------------ */

/* Too much would wait. What belongs to one revision is never cut, whatever its size: it could not be told
 * in parts from history either. */
static bool is_full(const struct hub *h, const struct node_watch *w, const struct kv_event *e)
{
    const struct node_watch_state *s = &w->private_;
    if (s->first == NULL || s->first->event->revision == e->item.mod_revision) {
        return false;
    }
    size_t max = w->queue_bytes_max == 0 ? WATCH_QUEUE_DEFAULT : w->queue_bytes_max;
    size_t size =
        sizeof(struct node_event) + e->item.key.len + e->item.value.len + e->item.attrs.len;
    return s->queued_bytes + size > max || h->queued_bytes > h->queued_bytes_max;
}

void watch_on_change(struct hub *h, const struct kv_event *e, struct node_watch *w)
{
    struct node_watch_state *s = &w->private_;
    uint64_t revision = e->item.mod_revision;
    if ((s->state & WATCH_BEHIND) != 0 || revision < s->next_revision) {
        return;
    }
    if (is_full(h, w, e)) {
        fall_behind(h, w, revision);
        return;
    }
    if (h->event == NULL) {
        h->event = node_event_new(e);
    }
    if (h->event == NULL || !push_mark(h, w, h->event)) {
        fall_behind(h, w, revision);
    } else if (has_work(w)) {
        make_busy(h, w);
    }
}

/* ---- telling --------------------------------------------------------------------------------------------------- */

/* Add to the batch, which takes the reference. */
static bool batch_add(struct hub *h, struct node_event *e)
{
    if (h->batch_n == h->batch_size) {
        size_t size = h->batch_size == 0 ? 64 : 2 * h->batch_size;
        struct node_event **grown = realloc(h->batch, size * sizeof(struct node_event *));
        if (grown == NULL) {
            node_event_unref(e);
            return false;
        }
        h->batch = grown;
        h->batch_size = size;
    }
    h->batch[h->batch_n++] = e;
    return true;
}

static void batch_clear(struct hub *h)
{
    while (h->batch_n > 0) {
        node_event_unref(h->batch[--h->batch_n]);
    }
}

/* Tell @w the batch. True: it took it, and is still there. */
static bool tell(struct hub *h, struct node_watch *w)
{
    /* So that a resume in there is not forgotten. */
    w->private_.state |= WATCH_PAUSED;
    bool taken = w->on_events(w->arg, h->batch, h->batch_n);
    h->n_told += taken ? h->batch_n : 0;
    if (h->current != w || !taken) {
        return false;
    }
    w->private_.state &= ~(unsigned)WATCH_PAUSED;
    return true;
}

/* The first revision in the queue. Returns the steps that it took; @w may be gone. */
static uint32_t tell_queued(struct hub *h, struct node_watch *w)
{
    struct node_watch_state *s = &w->private_;
    uint64_t revision = s->first->event->revision;
    bool complete = true;
    for (struct hub_mark *m = s->first; complete && m != NULL && m->event->revision == revision;
         m = m->next) {
        complete = batch_add(h, node_event_ref(m->event));
    }
    uint32_t n = (uint32_t)h->batch_n;
    if (!complete) {
        batch_clear(h);
        cancel(h, w, COR_EBUSY, revision);
        return 1 + n;
    }
    if (tell(h, w)) {
        while (s->first != NULL && s->first->event->revision == revision) {
            pop_mark(h, w);
        }
    }
    batch_clear(h);
    return n;
}

struct collecting {
    struct hub *hub;
    bool failed;
};

static void collect(void *arg, const struct kv_event *e)
{
    struct collecting *c = arg;
    struct node_event *copy = c->failed ? NULL : node_event_new(e);
    c->failed = copy == NULL || !batch_add(c->hub, copy);
}

/* One revision of history. Returns the steps that it took; @w may be gone. */
static uint32_t tell_history(struct hub *h, struct node_watch *w)
{
    struct node_watch_state *s = &w->private_;
    struct collecting c = {.hub = h};
    enum cor_status st = kv_events(h->kv, &w->range, s->next_revision, collect, &c);
    uint32_t n = (uint32_t)h->batch_n;
    if (st == COR_EFUTURE) { /* caught up */
        s->state &= ~(unsigned)(WATCH_BEHIND | WATCH_LOST);
        enter_index(h, w);
    } else if (st != COR_OK) {
        struct kv_info info;
        kv_get_info(h->kv, &info);
        COR_ASSERT(st == COR_ECOMPACTED);
        cancel(h, w, st, info.compacted);
    } else if (c.failed) {
        batch_clear(h);
        cancel(h, w, COR_EBUSY, s->next_revision);
    } else if (n == 0 || tell(h, w)) {
        s->next_revision++;
    }
    batch_clear(h);
    return 1 + n;
}

/* Where there is no history, what is missed is gone. */
static void give_up(struct hub *h, struct node_watch *w)
{
    const struct node_watch_state *s = &w->private_;
    if ((s->state & WATCH_LOST) != 0) {
        cancel(h, w, COR_EBUSY, s->next_revision);
    } else {
        cancel(h, w, COR_ECOMPACTED, newest_revision(h, w->range.table) + 1);
    }
}

/* One slice for @w. Returns the steps that it took. */
static uint32_t serve(struct hub *h, struct node_watch *w)
{
    struct node_watch_state *s = &w->private_;
    uint32_t steps = 1;
    h->current = w;
    if ((s->state & WATCH_BEHIND) != 0) {
        leave_index(h, w);
        if (w->range.table != KV_TABLE_KEYS) {
            give_up(h, w);
            return steps;
        }
    }
    while (h->current == w && has_work(w) && steps < HUB_SLICE_STEPS) {
        steps += (s->state & WATCH_BEHIND) != 0 ? tell_history(h, w) : tell_queued(h, w);
    }
    if (h->current == w) {
        h->current = NULL;
        bool more = has_work(w);
        s->state = more ? s->state | WATCH_BUSY : s->state & ~(unsigned)WATCH_BUSY;
        link_remove(&s->link);
        link_append(more ? &h->busy : &h->idle, &s->link);
    }
    return steps;
}

uint32_t watch_deliver(struct hub *h, uint32_t steps)
{
    uint32_t taken = 0;
    while (taken < steps && !link_is_empty(&h->busy)) {
        taken += serve(h, watch_of(h->busy.next));
    }
    return taken;
}

/* ---- for owners -------------------------------------------------------------------------------------------------- */

enum cor_status hub_watch_start(struct hub *h, struct node_watch *w)
{
    enum cor_status st = hub_admit(h, w->range.table);
    if (st != COR_OK) {
        return st;
    }
    uint64_t newest = newest_revision(h, w->range.table);
    struct node_watch_state *s = &w->private_;
    *s = (struct node_watch_state){.hub = h, .state = WATCH_ON};
    s->watcher.range = w->range;
    s->watcher.arg = &h->busy;
    s->end = &s->first;
    s->next_revision = w->start_revision != 0 ? w->start_revision : newest + 1;
    link_append(&h->idle, &s->link);
    h->n_watches++;
    if (s->next_revision > newest) {
        enter_index(h, w);
    } else {
        s->state |= WATCH_BEHIND;
        make_busy(h, w);
    }
    return COR_OK;
}

void node_watch_resume(struct node_watch *w)
{
    struct node_watch_state *s = &w->private_;
    if ((s->state & WATCH_PAUSED) == 0) {
        return;
    }
    s->state &= ~(unsigned)WATCH_PAUSED;
    make_busy(s->hub, w);
}

void node_watch_stop(struct node_watch *w)
{
    if ((w->private_.state & WATCH_ON) != 0) {
        detach(w->private_.hub, w);
    }
}

/* ---- for the hub ---------------------------------------------------------------------------------------------------- */

static struct node_watch *any_watch(struct hub *h)
{
    struct node_link *list = link_is_empty(&h->busy) ? &h->idle : &h->busy;
    return link_is_empty(list) ? NULL : watch_of(list->next);
}

void watch_stop_all(struct hub *h)
{
    struct node_watch *w;
    while ((w = any_watch(h)) != NULL) {
        cancel(h, w, COR_ESTOPPED, 0);
    }
}

void watch_forget_all(struct hub *h)
{
    struct node_watch *w;
    while ((w = any_watch(h)) != NULL) {
        detach(h, w);
    }
}
