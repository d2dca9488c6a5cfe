/*
 * watch.c - cor_watch() and cor_watch_stop().
 *
 * The watch belongs to its user until cor_watch_stop() frees it, also when the node ended before.
 */
#include "server/internal.h"

#include <stdlib.h>
#include <string.h>

struct cor_watch {
    struct cor *c;
    struct node_watch watch;
    bool over; /* the loop's alone */
    void (*on_event)(void *arg, const struct cor_event *event);
    void (*on_end)(void *arg, enum cor_status st, uint64_t revision);
    void *arg;
    unsigned char prefix_and_end[]; /* what watch.range points to */
};

static bool on_events(void *arg, struct node_event *const *events, size_t n)
{
    struct cor_watch *w = arg;
    for (size_t i = 0; i < n; i++) {
        const struct kv_item *item = &events[i]->item;
        const struct cor_event e = {
            .deleted = events[i]->type == KV_EVENT_DELETE,
            .revision = events[i]->revision,
            .item = {.key = item->key,
                     .value = item->value,
                     .create_revision = item->create_revision,
                     .mod_revision = item->mod_revision,
                     .version = item->version},
        };
        w->on_event(w->arg, &e);
    }
    return true;
}

static void on_cancel(void *arg, enum cor_status st, uint64_t revision)
{
    struct cor_watch *w = arg;
    w->over = true;
    if (w->on_end != NULL) {
        w->on_end(w->arg, st, revision);
    }
}

struct watch_call {
    struct call call;
    struct cor_watch *w;
};

static void begin_watch(struct call *call)
{
    struct cor_watch *w = CONTAINER_OF(call, struct watch_call, call)->w;
    call_end(call, node_watch_start(call->c->node, &w->watch));
}

static struct cor_watch *new_watch(struct cor_bytes prefix, uint64_t start_revision)
{
    struct cor_watch *w = calloc(1, sizeof *w + 2 * prefix.len + 1);
    if (w == NULL) {
        return NULL;
    }
    if (prefix.len > 0) {
        memcpy(w->prefix_and_end, prefix.ptr, prefix.len);
    }
    unsigned char *end = w->prefix_and_end + prefix.len;
    size_t end_len = kv_prefix_end(prefix, end);
    w->watch = (struct node_watch){
        .range = {.table = KV_TABLE_KEYS,
                  .to_end = end_len == 0,
                  .key = {w->prefix_and_end, prefix.len},
                  .end = {end, end_len}},
        .start_revision = start_revision,
        .arg = w,
        .on_events = on_events,
        .on_cancel = on_cancel,
    };
    return w;
}

enum cor_status cor_watch(struct cor *c, const struct cor_watch_options *o,
                          struct cor_watch **out)
{
    if (o->prefix.len > COR_KEY_MAX || o->on_event == NULL) {
        return COR_EINVAL;
    }
    struct cor_watch *w = new_watch(o->prefix, o->start_revision);
    if (w == NULL) {
        return COR_ENOMEM;
    }
    w->c = c;
    w->on_event = o->on_event;
    w->on_end = o->on_end;
    w->arg = o->arg;
    struct watch_call call = {.call = {.begin = begin_watch}, .w = w};
    enum cor_status st = call_make(c, &call.call);
    if (st != COR_OK) {
        free(w);
        return st;
    }
    (void)pthread_mutex_lock(&c->mutex);
    c->refs++;
    (void)pthread_mutex_unlock(&c->mutex);
    *out = w;
    return COR_OK;
}

static void begin_stop(struct call *call)
{
    struct cor_watch *w = CONTAINER_OF(call, struct watch_call, call)->w;
    if (!w->over) {
        node_watch_stop(&w->watch);
    }
    call_end(call, COR_OK);
}

void cor_watch_stop(struct cor_watch *w)
{
    struct cor *c = w->c;
    struct watch_call call = {.call = {.begin = begin_stop}, .w = w};
    /* COR_ESTOPPED: the node has ended, and with it every callback. */
    (void)call_make(c, &call.call);
    free(w);
    server_unref(c);
}
