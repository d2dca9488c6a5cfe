/*
 * hub_random_test.c - the hub against its dumb twin: a list of all that ever happened.
 *
 * Random changes, compactions, watches that come and go, refuse, resume and stop each other, with queues
 * that are too small. Whatever a watch is told must be exactly what the list has next for its range: the whole next
 * revision that concerns it, nothing skipped, nothing twice. At the end nothing may be left.
 */
#include "base/prng.h"
#include "tests/node/spies.h"

#define N_WATCHES 40u
#define LOG_MAX   4000u
#define KEYS      16u
#define STEPS     3000u
#define SEEDS     60u

struct happened {
    uint64_t revision;
    unsigned char key, type;
};

struct twin {
    struct room room;
    struct prng random;
    struct happened log[LOG_MAX];
    size_t n;
    uint64_t revision, compacted, n_told, n_cancelled;
    bool calm; /* nobody refuses or disturbs any more */
    struct follower {
        struct twin *twin;
        struct node_watch watch;
        char from, end[2];
        uint64_t next; /* not told yet */
        bool on;
    } followers[N_WATCHES];
};

static struct twin twin;

static bool chance(struct twin *t, unsigned percent)
{
    return prng_below(&t->random, 100) < percent;
}

static bool is_watched(const struct follower *f, const struct happened *e)
{
    return e->key >= (unsigned char)f->from && e->key < (unsigned char)f->end[0];
}

/* The place in the list of the next thing that @f has to hear of; n: there is none. */
static size_t find_next(const struct follower *f)
{
    size_t i = 0;
    while (i < f->twin->n &&
           (f->twin->log[i].revision < f->next || !is_watched(f, &f->twin->log[i]))) {
        i++;
    }
    return i;
}

static void start_follower(struct follower *f, uint64_t revision);

static void disturb(struct twin *t)
{
    struct follower *f = &t->followers[prng_below(&t->random, N_WATCHES)];
    if (chance(t, 50)) {
        node_watch_resume(&f->watch);
    } else if (chance(t, 30)) {
        node_watch_stop(&f->watch);
        f->on = false;
    } else if (!f->on) {
        start_follower(f, prng_below(&t->random, t->revision + 3));
    }
}

static bool on_told(void *arg, struct node_event *const *events, size_t n)
{
    struct follower *f = arg;
    struct twin *t = f->twin;
    CHECK(f->on);
    if (!t->calm && chance(t, 20)) {
        if (chance(t, 50)) {
            disturb(t);
        }
        return false;
    }
    size_t i = find_next(f);
    if (i == t->n) {
        CHECK(false); /* there was nothing to tell */
        return true;
    }
    uint64_t revision = t->log[i].revision;
    size_t at = 0;
    for (; i < t->n && t->log[i].revision == revision; i++) {
        if (is_watched(f, &t->log[i])) {
            if (at == n) {
                CHECK(false); /* not all of the revision */
                return true;
            }
            CHECK_EQ(events[at]->revision, revision);
            CHECK_EQ(events[at]->type, t->log[i].type);
            CHECK_EQ(events[at]->item.key.ptr[0], t->log[i].key);
            at++;
        }
    }
    CHECK_EQ(at, n);
    f->next = revision + 1;
    t->n_told += n;
    if (!t->calm && chance(t, 10)) {
        disturb(t); /* itself, perhaps */
    }
    return true;
}

static void on_over(void *arg, enum cor_status st, uint64_t revision)
{
    struct follower *f = arg;
    CHECK(f->on);
    CHECK_EQ(st, COR_ECOMPACTED);
    CHECK_EQ(revision, f->twin->compacted);
    CHECK(f->next < revision);
    f->on = false;
    f->twin->n_cancelled++;
    start_follower(f, revision); /* what it was told to do */
}

static void start_follower(struct follower *f, uint64_t revision)
{
    struct twin *t = f->twin;
    f->from = (char)('a' + prng_below(&t->random, KEYS));
    f->end[0] = (char)(f->from + 1 + (char)prng_below(&t->random, KEYS));
    f->watch = (struct node_watch){
        .range = {.key = {(const unsigned char *)&f->from, 1},
                  .end = {(const unsigned char *)f->end, 1}},
        .start_revision = revision,
        .queue_bytes_max = 1 + prng_below(&t->random, 2000),
        .arg = f,
        .on_events = on_told,
        .on_cancel = on_over,
    };
    f->next = revision != 0 ? revision : t->revision + 1;
    f->on = true;
    CHECK_EQ(hub_watch_start(t->room.hub, &f->watch), COR_OK);
}

static void note_change(struct twin *t, char key, enum kv_event_type type)
{
    t->log[t->n++] = (struct happened){t->revision, (unsigned char)key, (unsigned char)type};
}

static void change(struct twin *t)
{
    char key[2] = {(char)('a' + prng_below(&t->random, KEYS)), '\0'};
    char other[2] = {(char)(key[0] + 1), '\0'};
    struct kv_item item;
    if (t->n + 2 > LOG_MAX) {
        return;
    }
    if (chance(t, 20) && kv_get(t->room.kv, 0, text(key), 0, &item) == COR_OK) {
        erase(&t->room, key);
        t->revision++;
        note_change(t, key[0], KV_EVENT_DELETE);
    } else if (chance(t, 30)) {
        put_two(&t->room, key, other);
        t->revision++;
        note_change(t, key[0], KV_EVENT_PUT);
        note_change(t, other[0], KV_EVENT_PUT);
    } else {
        put(&t->room, key, "value");
        t->revision++;
        note_change(t, key[0], KV_EVENT_PUT);
    }
}

static void step(struct twin *t)
{
    unsigned dice = (unsigned)prng_below(&t->random, 100);
    if (dice < 50) {
        change(t);
    } else if (dice < 80) {
        (void)world_step(&t->room.w);
    } else if (dice < 99) {
        disturb(t);
    } else if (t->revision > t->compacted + 1) {
        t->compacted += 1 + prng_below(&t->random, t->revision - t->compacted - 1);
        compact(&t->room, t->compacted);
    }
}

static void check_all_told(struct twin *t)
{
    t->calm = true;
    for (unsigned j = 0; j < N_WATCHES; j++) {
        node_watch_resume(&t->followers[j].watch);
    }
    turn(&t->room);
    for (unsigned j = 0; j < N_WATCHES; j++) {
        CHECK(!t->followers[j].on || find_next(&t->followers[j]) == t->n);
    }
}

static void what_is_told_is_what_happened(void)
{
    uint64_t told = 0;
    uint64_t cancelled = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ROW("seed %u", (unsigned)seed);
        twin = (struct twin){.random = {seed}, .revision = 1, .compacted = 1};
        open_room(&twin.room, N_WATCHES);
        twin.room.hub->queued_bytes_max = seed % 3 == 0 ? 5000 : HUB_QUEUED_BYTES_MAX;
        for (unsigned i = 0; i < N_WATCHES; i++) {
            twin.followers[i].twin = &twin;
        }
        for (unsigned i = 0; i < STEPS; i++) {
            step(&twin);
        }
        check_all_told(&twin);
        told += twin.n_told;
        cancelled += twin.n_cancelled;
        close_room(&twin.room);
    }
    CHECK(told > 100000);
    CHECK(cancelled > 100);
}

TEST_MAIN(TEST(what_is_told_is_what_happened))
