/*
 * wait.c - blocking queries: woken once, by a change in the range, by time, or by the end of the node.
 *
 * Place in the system: the other half of the hub. A wait stands in the watch index of kv/ until it is
 * woken, so a change costs those only whom it concerns.
 */
#include "node/hub.h"

static struct node_wait *wait_of(struct node_link *l)
{
    return CONTAINER_OF(l, struct node_wait, private_.link);
}

/* Nothing of the hub points to @w any more. */
static void detach(struct hub *h, struct node_wait *w)
{
    kv_watch_remove(h->kv, &w->private_.watcher);
    io_timer_clear(h->io, &w->private_.timer);
    link_remove(&w->private_.link);
    w->private_.state = 0;
    h->n_waits--;
}

static void wake(struct hub *h, struct node_wait *w, enum cor_status st)
{
    detach(h, w);
    w->wake(w->arg, st);
}

/* To be woken at the end of the turn. */
static void note_change(struct hub *h, struct node_wait *w)
{
    w->private_.state |= WAIT_CHANGED;
    link_remove(&w->private_.link);
    link_append(&h->changed, &w->private_.link);
    hub_wake(h);
}

void wait_on_change(struct hub *h, const struct kv_event *e, struct node_wait *w)
{
    if ((w->private_.state & WAIT_CHANGED) == 0 && e->item.mod_revision > w->index) {
        note_change(h, w);
    }
}

static void time_out(struct io_timer *timer)
{
    struct node_wait *w = CONTAINER_OF(timer, struct node_wait, private_.timer);
    if ((w->private_.state & WAIT_CHANGED) == 0) {
        wake(w->private_.hub, w, COR_ETIMEDOUT);
    }
}

uint32_t wait_deliver(struct hub *h, uint32_t steps)
{
    uint32_t taken = 0;
    for (; taken < steps && !link_is_empty(&h->changed); taken++) {
        wake(h, wait_of(h->changed.next), COR_OK);
    }
    return taken;
}

enum cor_status hub_wait_start(struct hub *h, struct node_wait *w, uint64_t timeout)
{
    enum cor_status st = hub_admit(h, w->range.table);
    if (st != COR_OK) {
        return st;
    }
    struct node_wait_state *s = &w->private_;
    *s = (struct node_wait_state){.hub = h, .state = WAIT_ON};
    s->watcher.range = w->range;
    s->watcher.arg = &h->waiting;
    s->timer.fire = time_out;
    kv_watch_add(h->kv, &s->watcher);
    link_append(&h->waiting, &s->link);
    h->n_waits++;
    uint64_t now = io_now(h->io);
    if (timeout < IO_NEVER - now) {
        io_timer_set(h->io, &s->timer, now + timeout);
    }
    if (kv_range_revision(h->kv, &w->range) > w->index) {
        note_change(h, w);
    }
    return COR_OK;
}

void node_wait_stop(struct node_wait *w)
{
    if ((w->private_.state & WAIT_ON) != 0) {
        detach(w->private_.hub, w);
    }
}

static struct node_wait *any_wait(struct hub *h)
{
    struct node_link *list = link_is_empty(&h->changed) ? &h->waiting : &h->changed;
    return link_is_empty(list) ? NULL : wait_of(list->next);
}

void wait_stop_all(struct hub *h)
{
    struct node_wait *w;
    while ((w = any_wait(h)) != NULL) {
        wake(h, w, COR_ESTOPPED);
    }
}

void wait_forget_all(struct hub *h)
{
    struct node_wait *w;
    while ((w = any_wait(h)) != NULL) {
        detach(h, w);
    }
}
