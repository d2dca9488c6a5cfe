/* watcher.c - see watcher.h. */
#include "sim/watcher.h"

#include "base/assert.h"
#include "sim/words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY (500 * SIM_MS) /* for a node to watch at */

/* What was heard; or, with gap set, that the story goes on at @revision: compaction took what was before. */
struct heard {
    uint64_t revision, value;
    uint32_t key;
    bool deleted, gap;
};

enum plan {
    PLAN_NOTHING = 0,
    PLAN_START,
    PLAN_STOP,
    PLAN_RESUME
};

struct watcher {
    struct watchers *all;
    struct node_watch watch;
    unsigned node;  /* 0: watching nowhere */
    enum plan plan; /* what act is for */
    struct sim_event act, look;
    uint32_t first, end; /* keys */
    char first_text[WORD_KEY_SIZE + 1], end_text[WORD_KEY_SIZE + 1];
    uint64_t next; /* revision to go on from */
    struct heard *heard;
    size_t n_heard, room;
};

struct watchers {
    struct cluster *cluster;
    struct watcher_options options;
    struct watcher *items;
    struct watcher_stats stats;
};

static void add(struct watcher *w, struct heard h)
{
    if (w->n_heard == w->room) {
        w->room = w->room == 0 ? 64 : 2 * w->room;
        w->heard = realloc(w->heard, w->room * sizeof(struct heard));
        COR_ASSERT(w->heard != NULL);
    }
    w->heard[w->n_heard++] = h;
}

static void set_plan(struct watcher *w, enum plan plan, uint64_t in)
{
    w->plan = plan;
    event_clear(&w->act);
    event_at(&w->act, w->all->cluster->world.now + in);
}

static bool on_events(void *arg, struct node_event *const *events, size_t n)
{
    struct watcher *w = arg;
    struct watchers *ws = w->all;
    struct world *world = &ws->cluster->world;
    if (world_chance(world, SIM_RANDOM_WORKLOAD, ws->options.slow_permille)) {
        set_plan(w, PLAN_RESUME, world_below(world, SIM_RANDOM_WORKLOAD, 2 * SIM_S));
        return false;
    }
    if (events[0]->revision < w->next) {
        judge_fail(&ws->cluster->judge,
                   "watch: n%u told revision %" PRIu64 " to one who waited for %" PRIu64,
                   w->node, events[0]->revision, w->next);
    }
    for (size_t i = 0; i < n; i++) {
        struct heard h = {.revision = events[i]->revision,
                          .deleted = events[i]->type == KV_EVENT_DELETE};
        if (!word_read_key(events[i]->item.key, &h.key)) {
            judge_fail(&ws->cluster->judge, "watch: n%u told of a strange key", w->node);
        }
        h.value = h.deleted ? 0 : word_read_value(events[i]->item.value);
        add(w, h);
        ws->stats.events++;
    }
    w->next = events[n - 1]->revision + 1;
    return true;
}

static void on_cancel(void *arg, enum cor_status st, uint64_t revision)
{
    struct watcher *w = arg;
    w->all->stats.cancelled++;
    w->node = 0;
    event_clear(&w->act);
    if (st == COR_ECOMPACTED && revision > w->next) {
        add(w, (struct heard){.revision = revision, .gap = true});
        w->next = revision;
    } else if (st == COR_EBUSY) {
        w->next = revision > w->next ? revision : w->next;
        event_at(&w->look, w->all->cluster->world.now + SIM_MS);
    } else if (st != COR_ESTOPPED) {
        judge_fail(&w->all->cluster->judge, "watch: cancelled for no reason (%s, %" PRIu64 ")",
                   cor_status_text(st), revision);
    }
}

static void start(struct watcher *w)
{
    w->watch =
        (struct node_watch){.range = {.key = {(unsigned char *)w->first_text, WORD_KEY_SIZE},
                                      .end = {(unsigned char *)w->end_text, WORD_KEY_SIZE}},
                            .start_revision = w->next,
                            .queue_bytes_max = w->all->options.queue_bytes_max,
                            .arg = w,
                            .on_events = on_events,
                            .on_cancel = on_cancel};
    if (node_watch_start(w->all->cluster->nodes[w->node].node, &w->watch) != COR_OK) {
        w->node = 0;
    }
}

/* In a turn of the node's own loop. */
static void on_act(struct sim_event *e)
{
    struct watcher *w = CONTAINER_OF(e, struct watcher, act);
    enum plan plan = w->plan;
    w->plan = PLAN_NOTHING;
    if (plan == PLAN_START) {
        start(w);
    } else if (plan == PLAN_STOP) {
        node_watch_stop(&w->watch);
        w->node = 0;
    } else {
        node_watch_resume(&w->watch);
    }
}

/* Find a node to watch at, or leave the present one for another. */
static void on_look(struct sim_event *e)
{
    struct watcher *w = CONTAINER_OF(e, struct watcher, look);
    struct cluster *c = w->all->cluster;
    event_at(&w->look, c->world.now + LOOK_EVERY);
    if (w->node != 0) {
        bool move = w->plan == PLAN_NOTHING && !event_is_set(&w->act) &&
                    world_chance(&c->world, SIM_RANDOM_WORKLOAD, 30);
        if (move) {
            w->all->stats.moved++;
            set_plan(w, PLAN_STOP, 0);
        }
        return;
    }
    unsigned node = 1 + (unsigned)world_below(&c->world, SIM_RANDOM_WORKLOAD, c->n);
    if (cluster_is_up(c, node) && !c->nodes[node].wiped) {
        w->node = node;
        event_init(&w->act, &c->world, &c->nodes[node].host, SIM_NOTE_REQUEST, on_act);
        set_plan(w, PLAN_START, 0);
    }
}

static void on_down(void *arg, unsigned node)
{
    struct watchers *ws = arg;
    for (unsigned i = 0; i < ws->options.n; i++) {
        struct watcher *w = &ws->items[i];
        if (w->node == node) {
            event_clear(&w->act);
            w->plan = PLAN_NOTHING;
            w->node = 0;
        }
    }
}

static void draw_range(struct watcher *w)
{
    struct world *world = &w->all->cluster->world;
    uint32_t n = w->all->options.n_keys;
    w->first = (uint32_t)world_below(world, SIM_RANDOM_WORKLOAD, n);
    w->end = w->first + 1 + (uint32_t)world_below(world, SIM_RANDOM_WORKLOAD, n - w->first);
    word_key(w->first, w->first_text);
    word_key(w->end, w->end_text);
}

struct watchers *watchers_new(struct cluster *c, const struct watcher_options *options)
{
    struct watchers *ws = calloc(1, sizeof *ws);
    COR_ASSERT(ws != NULL);
    ws->cluster = c;
    ws->options = *options;
    ws->items = calloc(options->n + 1, sizeof(struct watcher));
    COR_ASSERT(ws->items != NULL);
    for (unsigned i = 0; i < options->n; i++) {
        struct watcher *w = &ws->items[i];
        w->all = ws;
        w->next = 2;
        draw_range(w);
        event_init(&w->look, &c->world, NULL, SIM_NOTE_REQUEST, on_look);
        event_at(&w->look, c->world.now + world_below(&c->world, SIM_RANDOM_WORKLOAD, SIM_S));
    }
    cluster_listen(c, (struct cluster_listener){.on_down = on_down, .arg = ws});
    return ws;
}

static bool concerns(const struct watcher *w, uint32_t key)
{
    return key >= w->first && key < w->end;
}

static bool is_told(const struct heard *h, uint64_t revision, const struct judge_change *c)
{
    return !h->gap && h->revision == revision && h->key == c->key && h->deleted == c->deleted &&
           (c->deleted || h->value == c->value);
}

static void check(struct watcher *w)
{
    struct judge *j = &w->all->cluster->judge;
    size_t at = 0;
    for (uint64_t rev = 2; rev < j->n_revisions && !j->failed; rev++) {
        while (at < w->n_heard && w->heard[at].gap && w->heard[at].revision <= rev) {
            at++;
        }
        if (at < w->n_heard && w->heard[at].gap) {
            continue; /* compacted before it could be told */
        }
        const struct judge_revision *r = &j->revisions[rev];
        for (uint32_t i = 0; i < r->n; i++) {
            if (!concerns(w, r->changes[i].key)) {
                continue;
            }
            if (at == w->n_heard || !is_told(&w->heard[at], rev, &r->changes[i])) {
                judge_fail(j,
                           "watch: one of keys %u to %u was not told of key %u in revision "
                           "%" PRIu64,
                           w->first, w->end, r->changes[i].key, rev);
            }
            at += at < w->n_heard;
        }
    }
    if (at < w->n_heard && !w->heard[at].gap && !j->failed) {
        judge_fail(
            j, "watch: one of keys %u to %u was told of key %u in revision %" PRIu64 " twice",
            w->first, w->end, w->heard[at].key, w->heard[at].revision);
    }
}

void watchers_hurry(struct watchers *ws)
{
    ws->options.slow_permille = 0;
}

bool watchers_are_told(const struct watchers *ws)
{
    const struct judge *j = &ws->cluster->judge;
    for (unsigned i = 0; i < ws->options.n; i++) {
        const struct watcher *w = &ws->items[i];
        for (uint64_t rev = w->next; rev < j->n_revisions; rev++) {
            for (uint32_t k = 0; k < j->revisions[rev].n; k++) {
                if (concerns(w, j->revisions[rev].changes[k].key)) {
                    return false;
                }
            }
        }
    }
    return true;
}

void watchers_check(struct watchers *ws)
{
    for (unsigned i = 0; i < ws->options.n; i++) {
        check(&ws->items[i]);
    }
}

void watchers_get_stats(const struct watchers *ws, struct watcher_stats *out)
{
    *out = ws->stats;
}

void watchers_halt(struct watchers *ws)
{
    for (unsigned i = 0; i < ws->options.n; i++) {
        event_clear(&ws->items[i].act);
        event_clear(&ws->items[i].look);
    }
}

void watchers_free(struct watchers *ws)
{
    for (unsigned i = 0; i < ws->options.n; i++) {
        free(ws->items[i].heard);
    }
    free(ws->items);
    free(ws);
}
