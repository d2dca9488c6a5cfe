/*
 * spies.h - watches and waits that write down what they are told, on a store in a simulated host.
 *
 * As text: one bracket per call, revision first, "[2 a=1 b=2][3 -a]"; and how it ended: "(compacted 5)".
 */
#ifndef TESTS_NODE_SPIES_H
#define TESTS_NODE_SPIES_H

#include "base/arena.h"
#include "base/format.h"
#include "node/hub.h"
#include "sim/host.h"
#include "sim/net.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096u
#define ARENA    (1u << 20)

struct room {
    struct world w;
    struct net net;
    struct host host;
    struct kv *kv;
    struct hub *hub;
    uint64_t index;
    unsigned char *ops, *entry, *memory;
};

struct spy {
    struct room *room;
    struct node_watch watch;
    struct node_wait wait;
    char text[TEXT_MAX];
    size_t used;
    uint64_t n_events, n_calls, last_revision;
    struct node_event *kept;
    struct spy *stop, *resume, *start;             /* in the next callback */
    unsigned refuse;                               /* calls to refuse */
    bool stop_hub, quiet, out_of_order, impatient; /* impatient: resumes inside each refusal */
};

static inline struct cor_bytes text(const char *s)
{
    return (struct cor_bytes){(const unsigned char *)s, strlen(s)};
}

static inline void open_room(struct room *r, uint32_t watchers_max)
{
    struct kv_options options = {.memory_max = 0};
    *r = (struct room){.kv = kv_new(&options)};
    world_init(&r->w, 1);
    net_init(&r->net, &r->w);
    host_init(&r->host, &r->w, &r->net, 1, NULL);
    host_boot(&r->host);
    r->ops = malloc(ARENA);
    r->entry = malloc(ARENA);
    r->memory = malloc(ARENA);
    if (r->kv == NULL || r->ops == NULL || r->entry == NULL || r->memory == NULL ||
        hub_open(r->kv, &r->host.io, watchers_max, &r->hub) != COR_OK) {
        abort();
    }
}

static inline void close_room(struct room *r)
{
    hub_free(r->hub);
    kv_check(r->kv);
    kv_free(r->kv);
    host_halt(&r->host, HOST_KILLED);
    host_deinit(&r->host);
    net_deinit(&r->net);
    world_deinit(&r->w);
    free(r->ops);
    free(r->entry);
    free(r->memory);
}

/* Let the loop turn until nothing more happens now. */
static inline void turn(struct room *r)
{
    world_run(&r->w, r->w.now + 10 * SIM_MS);
}

static inline void apply(struct room *r, const struct kv_op *ops, uint32_t n)
{
    struct writer out = writer_of(r->ops, ARENA / 2);
    kv_encode_txn_begin(&out, 0, n, 0);
    for (uint32_t i = 0; i < n; i++) {
        kv_encode_op(&out, &ops[i]);
    }
    struct entry_header header = {.cluster_time = r->index};
    size_t head = entry_header_encode(&header, r->entry);
    memcpy(r->entry + head, r->ops, out.used);
    struct arena arena;
    struct kv_result result;
    arena_init(&arena, r->memory, ARENA);
    CHECK(writer_ok(&out));
    CHECK_EQ(kv_apply(r->kv, ++r->index, (struct cor_bytes){r->entry, head + out.used}, &arena,
                      &result),
             COR_OK);
    CHECK_EQ(result.status, COR_OK);
}

static inline struct kv_op put_of(uint8_t table, const char *key, const char *value)
{
    return (struct kv_op){
        .kind = KV_OP_PUT, .range = {.table = table, .key = text(key)}, .value = text(value)};
}

static inline void put(struct room *r, const char *key, const char *value)
{
    struct kv_op op = put_of(KV_TABLE_KEYS, key, value);
    apply(r, &op, 1);
}

static inline void put_system(struct room *r, const char *key, const char *value)
{
    struct kv_op op = put_of(KV_TABLE_SESSIONS, key, value);
    apply(r, &op, 1);
}

static inline void put_two(struct room *r, const char *key, const char *other)
{
    struct kv_op ops[] = {put_of(0, key, "1"), put_of(0, other, "2")};
    apply(r, ops, 2);
}

static inline void erase(struct room *r, const char *key)
{
    struct kv_op op = {.kind = KV_OP_DELETE, .range.key = text(key)};
    apply(r, &op, 1);
}

static inline void compact(struct room *r, uint64_t revision)
{
    struct kv_op op = {.kind = KV_OP_COMPACT, .revision = revision};
    apply(r, &op, 1);
}

static inline void note(struct spy *s, const char *what)
{
    size_t n = strlen(what);
    if (!s->quiet && s->used + n < sizeof s->text) {
        memcpy(s->text + s->used, what, n + 1);
        s->used += n;
    }
}

static inline void spy_start(struct room *r, struct spy *s, const char *key, const char *end,
                             uint64_t revision);

static inline void act(struct spy *s)
{
    struct spy *stop = s->stop;
    struct spy *resume = s->resume;
    struct spy *start = s->start;
    s->stop = s->resume = s->start = NULL;
    if (stop != NULL) {
        node_watch_stop(&stop->watch);
        node_wait_stop(&stop->wait);
        memset(&stop->watch.private_, 0xee, sizeof stop->watch.private_);
        memset(&stop->wait.private_, 0xee, sizeof stop->wait.private_);
        stop->watch.private_.state = stop->wait.private_.state = 0;
    }
    if (resume != NULL) {
        node_watch_resume(&resume->watch);
    }
    if (start != NULL) {
        spy_start(start->room != NULL ? start->room : s->room, start, "", NULL, 2);
    }
    if (s->stop_hub) {
        s->stop_hub = false;
        hub_stop(s->room->hub);
    }
}

static inline void note_event(struct spy *s, const struct node_event *e)
{
    char line[128];
    if (e->type == KV_EVENT_DELETE) {
        format_to(line, sizeof line, " -%.*s", (int)e->item.key.len,
                  (const char *)e->item.key.ptr);
    } else {
        format_to(line, sizeof line, " %.*s=%.*s", (int)e->item.key.len,
                  (const char *)e->item.key.ptr, (int)e->item.value.len,
                  (const char *)e->item.value.ptr);
    }
    note(s, line);
}

static inline bool on_events(void *arg, struct node_event *const *events, size_t n)
{
    struct spy *s = arg;
    char line[32];
    s->n_calls++;
    CHECK(n > 0);
    if (s->refuse > 0) {
        s->refuse--;
        act(s);
        if (s->impatient) {
            node_watch_resume(&s->watch);
        }
        return false;
    }
    uint64_t revision = events[0]->revision;
    s->out_of_order = s->out_of_order || revision <= s->last_revision;
    s->last_revision = revision;
    s->n_events += n;
    format_to(line, sizeof line, "[%llu", (unsigned long long)revision);
    note(s, line);
    act(s);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(events[i]->revision, revision);
        note_event(s, events[i]); /* they live through a stop in here */
    }
    note(s, "]");
    if (s->kept == NULL) {
        s->kept = node_event_ref(events[0]);
    }
    return true;
}

static inline void note_end(struct spy *s, enum cor_status st, uint64_t revision)
{
    char line[64];
    const char *name = st == COR_ECOMPACTED  ? "compacted"
                       : st == COR_EBUSY     ? "busy"
                       : st == COR_ESTOPPED  ? "stopped"
                       : st == COR_ETIMEDOUT ? "time"
                       : st == COR_OK        ? "changed"
                                             : "?";
    format_to(line, sizeof line, "(%s %llu)", name, (unsigned long long)revision);
    note(s, line);
}

static inline void on_cancel(void *arg, enum cor_status st, uint64_t revision)
{
    struct spy *s = arg;
    note_end(s, st, revision);
    act(s);
}

static inline void on_wake(void *arg, enum cor_status st)
{
    struct spy *s = arg;
    note_end(s, st, 0);
    act(s);
}

/* @end NULL: everything from @key on; "": the one key. */
static inline struct kv_range range_of(const char *key, const char *end)
{
    return (struct kv_range){
        .key = text(key), .end = text(end == NULL ? "" : end), .to_end = end == NULL};
}

static inline void spy_start(struct room *r, struct spy *s, const char *key, const char *end,
                             uint64_t revision)
{
    s->room = r;
    s->watch.range = range_of(key, end);
    s->watch.start_revision = revision;
    s->watch.arg = s;
    s->watch.on_events = on_events;
    s->watch.on_cancel = on_cancel;
    CHECK_EQ(hub_watch_start(r->hub, &s->watch), COR_OK);
}

static inline void wait_start(struct room *r, struct spy *s, const char *key, uint64_t index,
                              uint64_t timeout)
{
    s->room = r;
    s->wait.range = range_of(key, "");
    s->wait.index = index;
    s->wait.arg = s;
    s->wait.wake = on_wake;
    CHECK_EQ(hub_wait_start(r->hub, &s->wait, timeout), COR_OK);
}

static inline void spy_end(struct spy *s)
{
    node_watch_stop(&s->watch);
    node_wait_stop(&s->wait);
    if (s->kept != NULL) {
        CHECK_EQ(s->kept->refs, 1u);
        node_event_unref(s->kept);
        s->kept = NULL;
    }
}

static inline void check_text(const struct spy *s, const char *want)
{
    CHECK_BYTES(text(s->text), text(want));
}

#endif
