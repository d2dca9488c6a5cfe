/*
 * world.h - a loop that runs only when told, a disk that can be crashed, and a model of what the log
 * was asked to keep. For the tests of src/wal/.
 *
 * Work that is submitted waits until world_step(); a test may stop between run and done. The model
 * knows every unit accepted and every sequence number reported durable; world_check() demands that
 * what was recovered is the state after some prefix of the units, no shorter than what was reported.
 */
#ifndef TESTS_WAL_WORLD_H
#define TESTS_WAL_WORLD_H

#include "base/assert.h"
#include "base/hash.h"
#include "base/prng.h"
#include "sim/disk.h"
#include "tests/support/test.h"
#include "wal/internal.h"

#include <stdlib.h>
#include <string.h>

#define WORLD_TIMERS   4u
#define WORLD_UNITS    4096u
#define WORLD_ENTRIES  8192u
#define WORLD_STEPS    100000u /* more than any test needs to come to rest */
#define WORLD_SEGMENT  (64u << 10)
#define WORLD_UNIT_MAX 16u

struct world_unit {
    uint64_t seq;
    bool hard_state_changed;
    struct cor_raft_hard_state hard_state;
    uint64_t truncate_from;
    size_t n;
    struct world_entry {
        uint64_t index, term, checksum;
    } entries[WORLD_UNIT_MAX];
};

struct world {
    struct io io;
    struct sim_disk *disk;
    struct prng random; /* of the io and of the test */
    uint64_t now;
    struct io_work *queue[IO_N_QUEUES];   /* submitted */
    struct io_work *started[IO_N_QUEUES]; /* run, not yet done */
    struct io_task *tasks;
    struct io_timer *timers[WORLD_TIMERS];

    struct wal *wal;
    struct wal_recovered recovered;
    struct cor_error err;
    struct wal_options options;
    unsigned n_failed, n_room;

    /* The model. */
    struct world_unit *units;
    size_t n_units;
    uint64_t next_index, term, seq;
    uint64_t acked; /* the newest sequence number reported durable */
    bool hurry;     /* an acknowledgment came out of order */
};

/* ---- the fake io ----------------------------------------------------------------------------- */

static inline struct world *world_of(struct io *io)
{
    return CONTAINER_OF(io, struct world, io);
}

static uint64_t world_now(struct io *io)
{
    return world_of(io)->now;
}

static uint64_t world_wall_ms(struct io *io)
{
    return world_of(io)->now / 1000000;
}

static void world_random(struct io *io, void *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ((unsigned char *)out)[i] = (unsigned char)prng_next(&world_of(io)->random);
    }
}

static void world_timer_clear(struct io *io, struct io_timer *t)
{
    if (t->slot != 0) {
        world_of(io)->timers[t->slot - 1] = NULL;
        t->slot = 0;
    }
}

static void world_timer_set(struct io *io, struct io_timer *t, uint64_t at)
{
    struct world *w = world_of(io);
    world_timer_clear(io, t);
    for (size_t i = 0; i < WORLD_TIMERS; i++) {
        if (w->timers[i] == NULL) {
            w->timers[i] = t;
            t->slot = i + 1;
            t->at = at;
            return;
        }
    }
    COR_ASSERT(false);
}

static void world_defer(struct io *io, struct io_task *task)
{
    struct io_task **p = &world_of(io)->tasks;
    if (task->queued) {
        return;
    }
    while (*p != NULL) {
        p = &(*p)->next;
    }
    *p = task;
    task->next = NULL;
    task->queued = true;
}

static void world_cancel(struct io *io, struct io_task *task)
{
    for (struct io_task **p = &world_of(io)->tasks; *p != NULL; p = &(*p)->next) {
        if (*p == task) {
            *p = task->next;
            task->queued = false;
            return;
        }
    }
}

static void world_push(struct io_work **list, struct io_work *work)
{
    while (*list != NULL) {
        list = &(*list)->next;
    }
    *list = work;
    work->next = NULL;
}

static void world_submit(struct io *io, enum io_queue queue, struct io_work *work)
{
    work->queue = queue;
    world_push(&world_of(io)->queue[queue], work);
}

static const struct io_ops world_ops = {
    .now = world_now,
    .wall_ms = world_wall_ms,
    .random = world_random,
    .timer_set = world_timer_set,
    .timer_clear = world_timer_clear,
    .defer = world_defer,
    .cancel = world_cancel,
    .submit = world_submit,
};

/* ---- running --------------------------------------------------------------------------------- */

static inline void world_run_tasks(struct world *w)
{
    while (w->tasks != NULL) {
        struct io_task *task = w->tasks;
        w->tasks = task->next;
        task->queued = false;
        task->run(task);
    }
}

/* Run the next work of @queue, off the loop as it were. False: there is none. */
static inline bool world_run_work(struct world *w, enum io_queue queue)
{
    struct io_work *work = w->queue[queue];
    if (work == NULL) {
        return false;
    }
    w->queue[queue] = work->next;
    work->run(work);
    world_push(&w->started[queue], work);
    return true;
}

/* Report one that has run. */
static inline bool world_finish_work(struct world *w, enum io_queue queue)
{
    struct io_work *work = w->started[queue];
    if (work == NULL) {
        return false;
    }
    w->started[queue] = work->next;
    w->now += 1000;
    work->done(work);
    world_run_tasks(w);
    return true;
}

/* One random step; false: nothing to do. */
static inline bool world_step(struct world *w)
{
    size_t first = (size_t)prng_below(&w->random, 2 * IO_N_QUEUES);
    for (size_t i = 0; i < (size_t)2 * IO_N_QUEUES; i++) {
        size_t k = (first + i) % (2 * IO_N_QUEUES);
        if (k % 2 == 0 ? world_run_work(w, (enum io_queue)(k / 2))
                       : world_finish_work(w, (enum io_queue)(k / 2))) {
            return true;
        }
    }
    return false;
}

static inline void world_rest(struct world *w)
{
    for (size_t i = 0; i < WORLD_STEPS; i++) {
        if (!world_step(w)) {
            return;
        }
    }
    COR_ASSERT(false); /* it never comes to rest */
}

static inline void world_fire_timers(struct world *w, uint64_t ns)
{
    w->now += ns;
    for (size_t i = 0; i < WORLD_TIMERS; i++) {
        struct io_timer *t = w->timers[i];
        if (t != NULL && t->at <= w->now) {
            w->timers[i] = NULL;
            t->slot = 0;
            t->fire(t);
        }
    }
    world_run_tasks(w);
}

/* ---- the log --------------------------------------------------------------------------------- */

static void world_on_durable(void *arg, uint64_t seq)
{
    struct world *w = arg;
    if (seq == 0) {
        return; /* an idle mark, and no unit since the log was opened */
    }
    CHECK(seq >= w->acked);
    CHECK(w->n_failed == 0);
    w->acked = seq;
}

static void world_on_failed(void *arg, const struct cor_error *err)
{
    struct world *w = arg;
    w->n_failed++;
    w->err = *err;
}

static void world_on_room(void *arg)
{
    ((struct world *)arg)->n_room++;
}

static inline void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.random = {seed}, .next_index = 1, .term = 1, .seq = 1};
    w->disk = sim_disk_new();
    w->units = calloc(WORLD_UNITS, sizeof *w->units);
    COR_ASSERT(w->units != NULL);
    w->io = (struct io){&world_ops, &w->disk->fs};
    w->options = (struct wal_options){
        .io = &w->io,
        .cluster_id = "a cluster's id!",
        .node_id = 7,
        .segment_bytes_min = WORLD_SEGMENT,
        .segment_bytes_max = 4 * WORLD_SEGMENT,
        .arg = w,
        .on_durable = world_on_durable,
        .on_failed = world_on_failed,
        .on_room = world_on_room,
    };
}

static inline enum cor_status world_open(struct world *w)
{
    COR_ASSERT(w->wal == NULL);
    w->n_failed = 0;
    return wal_open(&w->options, &w->recovered, &w->err, &w->wal);
}

/* Close, also in the middle of things: what was submitted never happens. */
static inline void world_close(struct world *w)
{
    if (w->wal != NULL) {
        wal_close(w->wal);
        w->wal = NULL;
    }
    memset(w->queue, 0, sizeof w->queue);
    memset(w->started, 0, sizeof w->started);
    memset(w->timers, 0, sizeof w->timers);
    w->tasks = NULL;
    CHECK_EQ(w->disk->n_open, 0);
}

static inline void world_free(struct world *w)
{
    world_close(w);
    sim_disk_free(w->disk);
    free(w->units);
}

/* ---- units ----------------------------------------------------------------------------------- */

/* The payload of an entry is a function of these. */
static inline void world_payload(uint64_t seed, unsigned char *out, size_t len)
{
    struct prng p = {seed};
    for (size_t i = 0; i < len; i++) {
        out[i] = (unsigned char)(prng_next(&p) >> 32);
    }
}

static bool world_is_preparing; /* memory is the test's business and not the log's */

/* Write a unit: hard state when @hard, cutting @cut entries, appending @n of @len bytes. */
static inline enum cor_status world_write(struct world *w, bool hard, uint64_t cut, size_t n,
                                          size_t len)
{
    COR_ASSERT(w->n_units < WORLD_UNITS && n <= WORLD_UNIT_MAX && cut < w->next_index);
    struct wal_entry entries[WORLD_UNIT_MAX];
    world_is_preparing = true;
    unsigned char *bytes = malloc(n * len + 1);
    COR_ASSERT(bytes != NULL);
    struct world_unit *u = &w->units[w->n_units];
    uint64_t term = w->term + (hard || cut > 0 ? 1 : 0);
    *u = (struct world_unit){.seq = w->seq, .hard_state_changed = hard, .n = n};
    u->hard_state = (struct cor_raft_hard_state){term, term % 3};
    u->truncate_from = cut > 0 ? w->next_index - cut : 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t index = w->next_index - cut + i;
        unsigned char *p = bytes + i * len;
        world_payload(index * 1000003 + w->seq, p, len);
        uint64_t sum = hash64((struct cor_bytes){p, len});
        entries[i] = (struct wal_entry){index, term, COR_ENTRY_COMMAND, sum, {p, len}};
        u->entries[i] = (struct world_entry){index, term, sum};
    }
    struct wal_unit unit = {u->seq, hard, u->hard_state, u->truncate_from, entries, n};
    world_is_preparing = false;
    enum cor_status st = wal_write(w->wal, &unit);
    if (st == COR_OK) {
        w->n_units++;
        w->seq++;
        w->term = term;
        w->next_index = w->next_index - cut + n;
    }
    free(bytes);
    return st;
}

static inline void world_flush(struct world *w)
{
    wal_flush(w->wal);
}

/* A unit that is durable when this returns. */
static inline void world_write_durable(struct world *w, size_t n, size_t len)
{
    CHECK_EQ(world_write(w, false, 0, n, len), COR_OK);
    world_flush(w);
    world_rest(w);
    CHECK_EQ(w->acked, w->seq - 1);
}

/* ---- the verdict ----------------------------------------------------------------------------- */

/* A log as one number per index: of the entry and all before it. */
struct world_log {
    uint64_t last;
    uint64_t hash[WORLD_ENTRIES];
    uint64_t term[WORLD_ENTRIES];
    struct cor_raft_hard_state hard_state;
};

static inline void world_log_append(struct world_log *log, uint64_t index, uint64_t term,
                                    uint64_t checksum)
{
    COR_ASSERT(index == log->last + 1 && index < WORLD_ENTRIES);
    uint64_t parts[3] = {log->hash[log->last], term, checksum};
    log->hash[index] = hash64((struct cor_bytes){(unsigned char *)parts, sizeof parts});
    log->term[index] = term;
    log->last = index;
}

static enum cor_status world_collect(void *arg, const struct wal_entry *e)
{
    CHECK_EQ(hash64(e->payload), e->checksum);
    world_log_append(arg, e->index, e->term, e->checksum);
    return COR_OK;
}

static inline bool world_log_equal(const struct world_log *a, const struct world_log *b)
{
    return a->last == b->last && a->hash[a->last] == b->hash[b->last] &&
           a->hard_state.term == b->hard_state.term && a->hard_state.vote == b->hard_state.vote;
}

/*
 * Is what was recovered the state after a prefix of the units that holds at least what was
 * acknowledged? A unit may be there in part: hard state, truncation, then some of the entries. If so
 * the model goes on from there.
 */
static inline bool world_check(struct world *w)
{
    struct world_log *got = calloc(1, sizeof *got);
    struct world_log *want = calloc(1, sizeof *want);
    COR_ASSERT(got != NULL && want != NULL);
    CHECK_EQ(wal_replay(w->wal, 1, world_collect, got, &w->err), COR_OK);
    got->hard_state = w->recovered.hard_state;
    bool found = got->last == w->recovered.last && w->acked == 0 && world_log_equal(got, want);
    size_t kept = 0;
    size_t kept_entries = 0;
    for (size_t i = 0; i < w->n_units && !found; i++) {
        const struct world_unit *u = &w->units[i];
        bool counts = u->seq >= w->acked;
        want->hard_state = u->hard_state_changed ? u->hard_state : want->hard_state;
        want->last = u->truncate_from > 0 ? u->truncate_from - 1 : want->last;
        for (size_t k = 0; k <= u->n && !found; k++) {
            /* A part will do only if the whole was not acknowledged. */
            found = counts && (k == u->n || u->seq > w->acked) && world_log_equal(got, want);
            kept = i + 1;
            kept_entries = k;
            if (k < u->n && !found) {
                world_log_append(want, u->entries[k].index, u->entries[k].term,
                                 u->entries[k].checksum);
            }
        }
    }
    found = found && got->last == w->recovered.last;
    w->n_units = found ? kept : w->n_units;
    if (found && kept > 0) {
        w->units[kept - 1].n = kept_entries;
        w->seq = w->units[kept - 1].seq + 1;
        w->acked = w->units[kept - 1].seq;
    }
    if (found && kept == 0) {
        w->seq = 1;
    }
    w->next_index = got->last + 1;
    uint64_t last_term = got->last > 0 ? got->term[got->last] : 1;
    w->term = got->hard_state.term > last_term ? got->hard_state.term : last_term;
    free(got);
    free(want);
    return found;
}

#endif
