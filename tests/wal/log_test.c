/* log_test.c - what the log promises while nothing crashes: order, reading, limits, a full disk, a
 * disk that fails. */
#include "tests/wal/world.h"

/* ---- order and durability ---------------------------------------------------------------------- */

static void a_new_log_is_empty_and_small(void)
{
    struct world w;
    world_init(&w, 1);
    w.options.segment_bytes_min = 0;
    w.options.segment_bytes_max = 0;
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(w.recovered.empty);
    CHECK_EQ(w.recovered.last, 0);
    CHECK(wal_is_idle(w.wal));
    world_write_durable(&w, 1, 100);
    CHECK(sim_disk_used(w.disk) < 1000000);
    world_free(&w);
}

static void what_was_durable_is_there_after_a_restart(void)
{
    struct world w;
    world_init(&w, 2);
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK_EQ(world_write(&w, true, 0, 3, 100), COR_OK);
    CHECK_EQ(world_write(&w, false, 0, 0, 0), COR_OK);
    CHECK_EQ(world_write(&w, false, 2, 2, 5000), COR_OK);
    world_flush(&w);
    world_rest(&w);
    CHECK_EQ(w.acked, 3);
    for (int i = 0; i < 40; i++) {
        world_write_durable(&w, 4, (size_t)i * 61);
    }
    world_close(&w);
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(!w.recovered.empty);
    CHECK_EQ(w.recovered.torn_bytes, 0);
    CHECK_EQ(w.recovered.first, 1);
    CHECK(world_check(&w));
    CHECK_EQ(w.seq, 44);
    world_free(&w);
}

static void nothing_is_durable_before_the_write_is_done(void)
{
    struct world w;
    world_init(&w, 3);
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK_EQ(world_write(&w, true, 0, 1, 10), COR_OK);
    CHECK(!wal_is_idle(w.wal));
    world_flush(&w);
    CHECK_EQ(w.acked, 0);
    CHECK(world_run_work(&w, IO_QUEUE_LOG));
    CHECK_EQ(w.acked, 0);
    CHECK(world_finish_work(&w, IO_QUEUE_LOG));
    CHECK_EQ(w.acked, 1);
    world_free(&w);
}

static void what_gathers_during_a_write_leaves_with_one_sync(void)
{
    struct world w;
    struct wal_stats before, after;
    world_init(&w, 4);
    w.options.segment_bytes_min = 1u << 20;
    w.options.segment_bytes_max = 1u << 20;
    CHECK_EQ(world_open(&w), COR_OK);
    world_write_durable(&w, 1, 100);
    wal_get_stats(w.wal, &before);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(world_write(&w, false, 0, 1, 256), COR_OK);
        world_flush(&w);
    }
    world_rest(&w);
    wal_get_stats(w.wal, &after);
    CHECK_EQ(w.acked, 201);
    CHECK_EQ(after.syncs - before.syncs, 2);
    CHECK_EQ(after.entries_written - before.entries_written, 200);
    CHECK_EQ(after.units_written - before.units_written, 200);
    CHECK(after.sync_ns_max > 0);
    world_free(&w);
}

static void the_log_costs_little_more_than_what_is_in_it(void)
{
    struct world w;
    struct wal_stats s;
    world_init(&w, 5);
    w.options.segment_bytes_min = 1u << 20;
    w.options.segment_bytes_max = 1u << 20;
    CHECK_EQ(world_open(&w), COR_OK);
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 13; k++) { /* more than 200 entries in a sync */
            CHECK_EQ(world_write(&w, false, 0, WORLD_UNIT_MAX, 280), COR_OK);
        }
        world_flush(&w);
        world_rest(&w);
    }
    wal_get_stats(w.wal, &s);
    CHECK(s.syncs <= 22); /* now and then a segment ends in the middle */
    CHECK(s.bytes_written < s.entries_written * 264 * 13 / 10);
    world_free(&w);
}

static void the_largest_entry_fits_into_a_new_log(void)
{
    struct world w;
    world_init(&w, 6);
    w.options.segment_bytes_min = 0;
    w.options.segment_bytes_max = 0;
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(wal_room(w.wal) >= WAL_ENTRY_SIZE_MAX + WAL_ENTRY_OVERHEAD);
    world_write_durable(&w, 1, WAL_ENTRY_SIZE_MAX);
    world_write_durable(&w, 3, WAL_ENTRY_SIZE_MAX);
    world_write_durable(&w, 1, 0);
    world_close(&w);
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(world_check(&w));
    CHECK_EQ(w.recovered.last, 5);
    world_free(&w);
}

static void a_log_of_another_cluster_or_node_is_refused(void)
{
    struct world w;
    world_init(&w, 7);
    CHECK_EQ(world_open(&w), COR_OK);
    world_write_durable(&w, 1, 10);
    world_close(&w);
    uint64_t hash = sim_disk_hash(w.disk);
    w.options.cluster_id[3] ^= 1;
    CHECK_EQ(world_open(&w), COR_EFOREIGN);
    w.options.cluster_id[3] ^= 1;
    w.options.node_id++;
    CHECK_EQ(world_open(&w), COR_EFOREIGN);
    CHECK_EQ(sim_disk_hash(w.disk), hash);
    world_free(&w);
}

static void an_idle_mark_is_written_once(void)
{
    struct world w;
    world_init(&w, 8);
    CHECK_EQ(world_open(&w), COR_OK);
    wal_mark_idle(w.wal);
    CHECK(wal_is_idle(w.wal)); /* nothing to prove yet */
    world_write_durable(&w, 1, 10);
    uint64_t writes = w.disk->n_writes;
    wal_mark_idle(w.wal);
    CHECK(!wal_is_idle(w.wal));
    world_rest(&w);
    wal_mark_idle(w.wal);
    CHECK(wal_is_idle(w.wal));
    CHECK_EQ(w.disk->n_writes, writes + 1);
    CHECK(w.wal->spare == NULL);
    world_write_durable(&w, 1, 10);
    world_close(&w);
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(world_check(&w));
    world_free(&w);
}

static void runs_of_terms_are_told_from_memory(void)
{
    struct world w;
    struct cor_raft_run runs[4];
    world_init(&w, 9);
    CHECK_EQ(world_open(&w), COR_OK);
    for (int i = 0; i < 5; i++) { /* terms 2, 3, 4, 5, 6 from 1, 3, 5, 7, 9 on */
        CHECK_EQ(world_write(&w, true, 0, 2, 1), COR_OK);
    }
    CHECK_EQ(world_write(&w, true, 3, 1, 1), COR_OK); /* term 7 from 8 on */
    for (int life = 0; life < 2; life++) {
        CHECK_EQ(wal_runs(w.wal, 4, 8, runs, 4), 4);
        CHECK_EQ(runs[0].first, 3);
        CHECK_EQ(runs[0].term, 3);
        CHECK_EQ(runs[3].first, 8);
        CHECK_EQ(runs[3].term, 7);
        CHECK_EQ(wal_runs(w.wal, 1, 8, runs, 2), 2);
        CHECK_EQ(wal_runs(w.wal, 8, 9, runs, 4), 1);
        world_flush(&w);
        world_rest(&w);
        world_close(&w);
        CHECK_EQ(world_open(&w), COR_OK);
    }
    world_free(&w);
}

/* ---- reading ----------------------------------------------------------------------------------- */

struct reading {
    struct wal_read read;
    struct world *w;
    enum cor_status st;
    uint64_t first;
    size_t n, bytes;
    bool done;
};

static void on_read(struct wal_read *read, enum cor_status st, const struct wal_entry *entries,
                    size_t n, const struct cor_error *err)
{
    struct reading *r = CONTAINER_OF(read, struct reading, read);
    r->st = st;
    r->n = n;
    r->done = true;
    CHECK(st == COR_OK || strlen(err->text) > 0);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(entries[i].index, r->read.first + i);
        CHECK_EQ(hash64(entries[i].payload), entries[i].checksum);
        const struct world_unit *u = &r->w->units[entries[i].index - 1];
        CHECK_EQ(entries[i].checksum, u->entries[0].checksum);
        CHECK_EQ(entries[i].term, u->entries[0].term);
        r->bytes += entries[i].payload.len;
    }
}

static struct reading read_from(struct world *w, uint64_t first, uint32_t n, size_t bytes)
{
    struct reading r = {
        .read = {.first = first, .n_max = n, .bytes_max = bytes, .done = on_read}, .w = w};
    wal_read_start(w->wal, &r.read);
    CHECK(!r.done);
    world_rest(w);
    CHECK(r.done);
    return r;
}

static void durable_entries_are_read_while_writes_go_on(void)
{
    struct world w;
    world_init(&w, 10);
    CHECK_EQ(world_open(&w), COR_OK);
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(world_write(&w, false, 0, 1, (size_t)(i * 7)), COR_OK);
        if (i % 7 == 0) {
            world_flush(&w);
            world_rest(&w);
        }
    }
    world_flush(&w);
    CHECK(world_run_work(&w, IO_QUEUE_LOG)); /* on disk, and not yet known to be */
    struct reading r = {.read = {.first = 296, .n_max = 9, .bytes_max = 99999, .done = on_read},
                        .w = &w};
    wal_read_start(w.wal, &r.read);
    CHECK(world_run_work(&w, IO_QUEUE_DISK));
    CHECK(world_finish_work(&w, IO_QUEUE_DISK));
    CHECK_EQ(r.st, COR_ENOTFOUND);
    world_rest(&w);

    for (uint64_t first = 1; first <= 300; first += 13) {
        r = read_from(&w, first, 20, 1u << 20);
        CHECK_EQ(r.st, COR_OK);
        CHECK_EQ(r.n, first > 281 ? 301 - first : 20);
    }
    r = read_from(&w, 290, 20, 5000);
    CHECK_EQ(r.n, 2); /* of about 2,000 bytes each */
    CHECK(r.bytes <= 5000);
    r = read_from(&w, 290, 20, 1);
    CHECK_EQ(r.n, 1);
    CHECK_EQ(read_from(&w, 301, 1, 1).st, COR_ENOTFOUND);
    CHECK_EQ(read_from(&w, 0, 1, 1).st, COR_ENOTFOUND);
    world_free(&w);
}

static void entries_that_were_cut_off_are_never_read(void)
{
    struct world w;
    world_init(&w, 11);
    CHECK_EQ(world_open(&w), COR_OK);
    for (int i = 0; i < 60; i++) {
        CHECK_EQ(world_write(&w, false, i % 3 == 2 ? 2 : 0, 3, 3000), COR_OK);
        world_flush(&w);
        world_rest(&w);
    }
    struct world_log *log = calloc(1, sizeof *log);
    for (int life = 0; life < 2; life++) {
        memset(log, 0, sizeof *log);
        CHECK_EQ(wal_replay(w.wal, 1, world_collect, log, &w.err), COR_OK);
        CHECK_EQ(log->last, 140);
        log->last = 100;
        CHECK_EQ(wal_replay(w.wal, 101, world_collect, log, &w.err), COR_OK);
        CHECK_EQ(log->last, 140);
        CHECK_EQ(wal_replay(w.wal, 141, world_collect, log, &w.err), COR_OK);
        world_close(&w);
        CHECK_EQ(world_open(&w), COR_OK);
        CHECK(world_check(&w));
    }
    free(log);
    world_free(&w);
}

static void a_damaged_entry_is_not_read(void)
{
    struct world w;
    world_init(&w, 12);
    CHECK_EQ(world_open(&w), COR_OK);
    for (int i = 0; i < 10; i++) {
        world_write_durable(&w, 1, 900);
    }
    sim_disk_flip(w.disk, "0000000001.wal", 5 * WAL_PAGE + 700, 1);
    CHECK_EQ(read_from(&w, 5, 3, 9999).st, COR_ECORRUPT);
    struct reading r = read_from(&w, 3, 9, 99999);
    CHECK_EQ(r.st, COR_OK);
    CHECK_EQ(r.n, 2);
    CHECK_EQ(read_from(&w, 6, 9, 99999).n, 5);
    struct world_log *log = calloc(1, sizeof *log);
    CHECK_EQ(wal_replay(w.wal, 1, world_collect, log, &w.err), COR_ECORRUPT);
    CHECK_EQ(log->last, 4);
    free(log);
    world_free(&w);
}

/* ---- a full disk ------------------------------------------------------------------------------- */

/* Entries of @len bytes until the log says no. */
static size_t fill(struct world *w, size_t len)
{
    size_t n = 0;
    while (world_write(w, false, 0, 1, len) == COR_OK) {
        n++;
        world_flush(w);
        world_rest(w);
    }
    return n;
}

static void a_full_disk_refuses_entries_and_still_takes_votes(void)
{
    struct world w;
    world_init(&w, 13);
    w.disk->capacity = 12 * WORLD_SEGMENT;
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(fill(&w, 700) > 50);
    CHECK(wal_is_full(w.wal));
    CHECK_EQ(w.n_room, 1);
    CHECK(!sim_disk_has(w.disk, "segment.tmp"));
    CHECK_EQ(w.acked, w.seq - 1);
    (void)fill(&w, 0);
    for (int i = 0; i < 200; i++) { /* far more than there are pages */
        CHECK_EQ(world_write(&w, true, 0, 0, 0), COR_OK);
        world_flush(&w);
        world_rest(&w);
        CHECK_EQ(w.acked, w.seq - 1);
    }
    CHECK_EQ(world_write(&w, false, 0, 1, 10), COR_ENOSPACE);
    CHECK(wal_is_idle(w.wal));
    world_close(&w);
    w.disk->capacity = sim_disk_used(w.disk); /* not a byte more */
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(world_check(&w));
    CHECK_EQ(w.recovered.hard_state.term, 201);
    world_free(&w);
}

static void rot_of_one_copy_of_the_reserve_does_not_matter(void)
{
    for (uint64_t copy = 0; copy < 2; copy++) {
        struct world w;
        ROW("copy %llu", (unsigned long long)copy);
        world_init(&w, 19);
        w.disk->capacity = 12 * (uint64_t)WORLD_SEGMENT;
        CHECK_EQ(world_open(&w), COR_OK);
        (void)fill(&w, 20000);
        (void)fill(&w, 0);
        for (int i = 0; i < 40; i++) {
            CHECK_EQ(world_write(&w, true, 0, 0, 0), COR_OK);
            world_flush(&w);
            world_rest(&w);
        }
        CHECK(w.wal->reserve_version > 0);
        world_close(&w);
        for (int life = 0; life < 2; life++) {
            sim_disk_flip(w.disk, "reserve.wal", copy * WAL_PAGE + 50, 1);
            CHECK_EQ(world_open(&w), COR_OK);
            CHECK_EQ(w.recovered.hard_state.term, 41);
            world_close(&w); /* both are good again: in the next life it is the other one */
            copy ^= 1;
        }
        sim_disk_flip(w.disk, "reserve.wal", 50, 1);
        sim_disk_flip(w.disk, "reserve.wal", WAL_PAGE + 50, 1);
        CHECK_EQ(world_open(&w), COR_ECORRUPT);
        world_free(&w);
    }
}

static void a_unit_that_does_not_fit_changes_nothing(void)
{
    struct world w;
    struct cor_raft_run runs[2];
    world_init(&w, 18);
    w.disk->capacity = 12 * WORLD_SEGMENT;
    CHECK_EQ(world_open(&w), COR_OK);
    (void)fill(&w, 20000);
    (void)fill(&w, 100);
    CHECK_EQ(world_write(&w, true, 0, 0, 0), COR_OK); /* gathered: what follows would join it */
    uint64_t pages = wal_queued_pages(w.wal);
    CHECK_EQ(world_write(&w, true, 3, WORLD_UNIT_MAX, 90000), COR_ENOSPACE);
    CHECK_EQ(wal_queued_pages(w.wal), pages);
    CHECK_EQ(wal_runs(w.wal, 1, w.next_index - 1, runs, 2), 1);
    world_flush(&w);
    world_rest(&w);
    world_close(&w);
    CHECK_EQ(world_open(&w), COR_OK);
    uint64_t last = w.next_index - 1;
    CHECK(world_check(&w));
    CHECK_EQ(w.recovered.last, last);
    world_free(&w);
}

static void freed_space_is_noticed(void)
{
    struct world w;
    world_init(&w, 14);
    w.disk->capacity = 12 * WORLD_SEGMENT;
    CHECK_EQ(world_open(&w), COR_OK);
    (void)fill(&w, 700);
    world_fire_timers(&w, 10 * WAL_RETRY_NS);
    world_rest(&w);
    CHECK(wal_is_full(w.wal));
    w.disk->capacity = UINT64_MAX;
    world_fire_timers(&w, 10 * WAL_RETRY_NS);
    world_rest(&w);
    CHECK(!wal_is_full(w.wal));
    CHECK_EQ(w.n_room, 2);
    world_write_durable(&w, 10, 700);
    world_close(&w);
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(world_check(&w));
    world_free(&w);
}

static void a_full_disk_at_the_first_start_is_said(void)
{
    struct world w;
    world_init(&w, 15);
    w.disk->capacity = WORLD_SEGMENT;
    CHECK_EQ(world_open(&w), COR_ENOSPACE);
    CHECK(strstr(w.err.text, "full") != NULL);
    w.disk->capacity = UINT64_MAX;
    CHECK_EQ(world_open(&w), COR_OK);
    world_free(&w);
}

/* wal_room() is a promise. */
static void what_fits_into_the_room_is_accepted(void)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct world w;
        ROW("seed %llu", (unsigned long long)seed);
        world_init(&w, seed);
        w.disk->capacity = (8 + prng_below(&w.random, 12)) * WORLD_SEGMENT;
        CHECK_EQ(world_open(&w), COR_OK);
        for (int i = 0; i < 400; i++) {
            uint64_t room = wal_room(w.wal);
            size_t n = 1 + (size_t)prng_below(&w.random, WORLD_UNIT_MAX);
            if (room / n <= WAL_ENTRY_OVERHEAD) {
                break;
            }
            size_t len = (size_t)(room / n) - WAL_ENTRY_OVERHEAD;
            len = i % 4 != 0 || len > 9000 ? (size_t)prng_below(&w.random, 300) : len;
            if ((len + WAL_ENTRY_OVERHEAD) * n > room) {
                break;
            }
            CHECK_EQ(world_write(&w, i % 9 == 0, 0, n, len), COR_OK);
            if (prng_below(&w.random, 3) > 0) {
                world_flush(&w);
                world_step(&w);
            }
        }
        world_flush(&w);
        world_rest(&w);
        CHECK_EQ(w.acked, w.seq - 1);
        world_free(&w);
    }
}

/* ---- a disk that fails -------------------------------------------------------------------------- */

static void fails_once(void (*breaks)(struct sim_disk *d), bool no_direct)
{
    struct world w;
    world_init(&w, 16);
    w.disk->no_direct = no_direct;
    CHECK_EQ(world_open(&w), COR_OK);
    world_write_durable(&w, 2, 500);
    CHECK_EQ(world_write(&w, false, 0, 2, 500), COR_OK);
    world_flush(&w);
    breaks(w.disk);
    world_rest(&w);
    CHECK_EQ(w.n_failed, 1);
    CHECK_EQ(w.acked, 1);
    w.disk->fail_syncs = false;
    w.disk->fail_writes = false;
    CHECK_EQ(world_write(&w, false, 0, 2, 500), COR_EIO);
    world_flush(&w);
    wal_mark_idle(w.wal);
    world_rest(&w);
    CHECK_EQ(w.n_failed, 1);
    CHECK_EQ(w.acked, 1);
    CHECK(wal_is_idle(w.wal));
    /* The process starts again, the machine did not: the page cache shows what the disk lacks. */
    world_close(&w);
    sim_disk_kill(w.disk);
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(world_check(&w));
    world_write_durable(&w, 1, 100);
    world_close(&w);
    sim_disk_crash(w.disk, (struct sim_fate){.kind = SIM_FATE_LOST});
    CHECK_EQ(world_open(&w), COR_OK);
    CHECK(world_check(&w));
    world_free(&w);
}

static void break_syncs(struct sim_disk *d)
{
    d->fail_syncs = true;
}

static void break_writes(struct sim_disk *d)
{
    d->fail_writes = true;
}

static void a_failed_sync_is_final(void)
{
    fails_once(break_syncs, false);
    fails_once(break_syncs, true);
}

static void a_failed_write_is_final(void)
{
    fails_once(break_writes, false);
    fails_once(break_writes, true);
}

static void an_open_that_fails_leaves_nothing_open(void)
{
    for (uint64_t k = 0; k < 60; k++) {
        struct world w;
        ROW("operation %llu", (unsigned long long)k);
        world_init(&w, 17);
        if (k >= 30) {
            CHECK_EQ(world_open(&w), COR_OK);
            world_write_durable(&w, 2, 500);
            world_close(&w);
        }
        w.disk->fail_at = w.disk->ops + k % 30;
        enum cor_status st = world_open(&w);
        CHECK(st == COR_OK || st == COR_EIO);
        CHECK(st == COR_OK || strlen(w.err.text) > 0);
        world_close(&w);
        sim_disk_kill(w.disk);
        CHECK_EQ(world_open(&w), COR_OK);
        CHECK(world_check(&w));
        world_free(&w);
    }
}

TEST_MAIN(TEST(a_new_log_is_empty_and_small), TEST(what_was_durable_is_there_after_a_restart),
          TEST(nothing_is_durable_before_the_write_is_done),
          TEST(what_gathers_during_a_write_leaves_with_one_sync),
          TEST(the_log_costs_little_more_than_what_is_in_it),
          TEST(the_largest_entry_fits_into_a_new_log),
          TEST(a_log_of_another_cluster_or_node_is_refused), TEST(an_idle_mark_is_written_once),
          TEST(runs_of_terms_are_told_from_memory),
          TEST(durable_entries_are_read_while_writes_go_on),
          TEST(entries_that_were_cut_off_are_never_read), TEST(a_damaged_entry_is_not_read),
          TEST(a_full_disk_refuses_entries_and_still_takes_votes),
          TEST(rot_of_one_copy_of_the_reserve_does_not_matter),
          TEST(a_unit_that_does_not_fit_changes_nothing), TEST(freed_space_is_noticed),
          TEST(a_full_disk_at_the_first_start_is_said),
          TEST(what_fits_into_the_room_is_accepted), TEST(a_failed_sync_is_final),
          TEST(a_failed_write_is_final), TEST(an_open_that_fails_leaves_nothing_open))
