/* hub.c - from changes of the store to the one task per turn that tells of them. */
#include "node/hub.h"

#include "base/assert.h"

#include <stdlib.h>

/* ---- lists: rings through a head ------------------------------------------------------------------ */

void link_init(struct node_link *l)
{
    l->next = l->previous = l;
}

void link_append(struct node_link *list, struct node_link *l)
{
    l->next = list;
    l->previous = list->previous;
    list->previous->next = l;
    list->previous = l;
}

void link_remove(struct node_link *l)
{
    l->previous->next = l->next;
    l->next->previous = l->previous;
    link_init(l);
}

/* ---- changes --------------------------------------------------------------------------------------- */

static void drop_event(struct hub *h)
{
    if (h->event != NULL) {
        node_event_unref(h->event);
        h->event = NULL;
    }
}

/* Inside kv_apply(): once without a watcher, to make the copy, then once for each. */
static void on_change(void *arg, const struct kv_event *e, struct kv_watcher *watcher)
{
    struct hub *h = arg;
    if (watcher == NULL) {
        drop_event(h);
    } else if (watcher->arg == &h->waiting) {
        wait_on_change(h, e, CONTAINER_OF(watcher, struct node_wait, private_.watcher));
    } else {
        watch_on_change(h, e, CONTAINER_OF(watcher, struct node_watch, private_.watcher));
    }
}

/* ---- telling ------------------------------------------------------------------------------------------ */

void hub_wake(struct hub *h)
{
    if (!h->delivering) {
        io_defer(h->io, &h->task);
    }
}

static void deliver(struct io_task *task)
{
    struct hub *h = CONTAINER_OF(task, struct hub, task);
    drop_event(h);
    h->delivering = true;
    uint32_t steps = wait_deliver(h, HUB_TURN_STEPS / 2);
    (void)watch_deliver(h, HUB_TURN_STEPS - steps);
    h->delivering = false;
    if (!link_is_empty(&h->changed) || !link_is_empty(&h->busy)) {
        io_timer_set(h->io, &h->timer, io_now(h->io));
    }
}

static void go_on(struct io_timer *timer)
{
    struct hub *h = CONTAINER_OF(timer, struct hub, timer);
    io_defer(h->io, &h->task);
}

/* ---- life ------------------------------------------------------------------------------------------------ */

enum cor_status hub_admit(const struct hub *h, uint8_t table)
{
    if (h->stopped) {
        return COR_ESTOPPED;
    }
    if (table >= KV_TABLE_CLIENTS) {
        return COR_EINVAL;
    }
    return h->n_watches + h->n_waits < h->watchers_max ? COR_OK : COR_EBUSY;
}

enum cor_status hub_open(struct kv *kv, struct io *io, uint32_t watchers_max, struct hub **out)
{
    struct hub *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return COR_ENOMEM;
    }
    h->kv = kv;
    h->io = io;
    h->watchers_max = watchers_max;
    h->queued_bytes_max = HUB_QUEUED_BYTES_MAX;
    h->task.run = deliver;
    h->timer.fire = go_on;
    link_init(&h->busy);
    link_init(&h->idle);
    link_init(&h->waiting);
    link_init(&h->changed);
    kv_on_change(kv, on_change, h);
    *out = h;
    return COR_OK;
}

void hub_stop(struct hub *h)
{
    h->stopped = true;
    wait_stop_all(h);
    watch_stop_all(h);
    io_timer_clear(h->io, &h->timer);
    io_cancel(h->io, &h->task);
}

void hub_free(struct hub *h)
{
    wait_forget_all(h);
    watch_forget_all(h);
    COR_ASSERT(h->queued_bytes == 0);
    kv_on_change(h->kv, NULL, NULL);
    io_timer_clear(h->io, &h->timer);
    io_cancel(h->io, &h->task);
    drop_event(h);
    free(h->batch);
    free(h);
}

void hub_get_stats(const struct hub *h, struct node_stats *out)
{
    out->watchers = h->n_watches;
    out->waiters = h->n_waits;
    out->watch_events = h->n_told;
    out->watch_cancelled = h->n_cancelled;
}
