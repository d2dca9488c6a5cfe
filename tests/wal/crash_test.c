/*
 * crash_test.c - the power goes at every change of the disk, with every kind of fate for what was not
 * synced: nothing acknowledged is missing, nothing appears that was not written, and the hard state
 * never goes back.
 */
#include "base/format.h"
#include "tests/wal/world.h"

#define MANY (UINT64_MAX / WORLD_SEGMENT)

/* Random work on the log: units of all shapes, until the power goes or @n units are written. */
static void work(struct world *w, size_t n)
{
    for (size_t i = 0; i < n && !w->disk->is_cut && w->n_failed == 0; i++) {
        uint64_t shape = prng_below(&w->random, 12);
        size_t len = (size_t)prng_below(&w->random, 900);
        size_t n_entries = (size_t)prng_below(&w->random, 5);
        uint64_t cut = 0;
        if (shape == 0) {
            len = 20000 + (size_t)prng_below(&w->random, 60000);
            n_entries = 1;
        } else if (shape == 1 && w->next_index > 4) {
            cut = 1 + prng_below(&w->random, 3);
            n_entries++;
        } else if (shape == 2) {
            n_entries = 0;
        }
        enum cor_status st = world_write(w, shape <= 3, cut, n_entries, len);
        CHECK(st == COR_OK || st == COR_EIO || st == COR_ENOSPACE);
        if (prng_below(&w->random, 3) > 0) {
            world_flush(w);
        }
        for (uint64_t k = prng_below(&w->random, 6); k > 0; k--) {
            world_step(w);
        }
        if (prng_below(&w->random, 10) == 0) {
            wal_mark_idle(w->wal);
        }
        if (prng_below(&w->random, 6) == 0) {
            world_fire_timers(w, 2 * WAL_RETRY_NS);
        }
    }
}

static void crash(struct world *w, uint64_t fate)
{
    struct sim_fate f = {SIM_FATE_RANDOM, &w->random, 0};
    if (fate == 1) {
        f.kind = SIM_FATE_LOST;
    } else if (fate == 2) {
        f.kind = SIM_FATE_KEPT;
    } else if (fate == 3) {
        f.kind = SIM_FATE_TORN;
        f.sectors = prng_below(&w->random, 20);
    }
    world_close(w);
    if (fate == 4) {
        sim_disk_kill(w->disk);
    } else {
        sim_disk_crash(w->disk, f);
    }
}

/* Open; now and then the power goes again while the log is being recovered. */
static bool reopen(struct world *w)
{
    for (int i = 0; i < 3; i++) {
        if (prng_below(&w->random, 3) == 0) {
            w->disk->cut_at = w->disk->changes + prng_below(&w->random, 8);
        }
        enum cor_status st = world_open(w);
        if (st == COR_OK && !w->disk->is_cut) {
            w->disk->cut_at = SIM_DISK_NEVER;
            return true;
        }
        CHECK(w->disk->is_cut);
        crash(w, prng_below(&w->random, 5));
    }
    enum cor_status st = world_open(w);
    if (st != COR_OK) {
        CHECK_EQ(st, COR_OK);
        test_row("%s", w->err.text);
        CHECK(false);
    }
    return st == COR_OK;
}

/* Crash at change @k of a life of its own, then live on and crash again, a few times. */
static void live_and_crash(uint64_t seed, uint64_t k, bool no_direct, uint64_t segments)
{
    struct world w;
    ROW("seed %llu, change %llu, %s", (unsigned long long)seed, (unsigned long long)k,
        no_direct ? "cached" : "direct");
    world_init(&w, seed * 1000003 + k);
    w.disk->no_direct = no_direct;
    w.disk->capacity = segments * WORLD_SEGMENT;
    w.disk->cut_at = k;
    bool opened = world_open(&w) == COR_OK;
    if (opened) {
        work(&w, 12);
        world_rest(&w);
    }
    for (int life = 0; life < 3; life++) {
        crash(&w, prng_below(&w.random, 5));
        if (!reopen(&w) || !world_check(&w)) {
            CHECK(false); /* what was recovered is not what was written */
            break;
        }
        w.disk->cut_at = w.disk->changes + prng_below(&w.random, 40);
        work(&w, 8);
    }
    world_free(&w);
}

static void every_crash_point_keeps_what_was_acknowledged(void)
{
    for (uint64_t k = 0; k < 60; k++) {
        for (uint64_t seed = 0; seed < 12; seed++) {
            live_and_crash(seed, k, false, MANY);
            live_and_crash(seed, k, true, MANY);
        }
    }
}

/* The same on a disk so small that it is full after a few units: terms and votes go to the reserve. */
static void every_crash_point_on_a_full_disk_keeps_votes(void)
{
    for (uint64_t k = 0; k < 70; k++) {
        for (uint64_t seed = 100; seed < 106; seed++) {
            live_and_crash(seed, k, false, 4);
            live_and_crash(seed, k, true, 4);
        }
    }
}

/* One batch in flight, torn at every single sector, and at every pair of two: either it is all there
 * or it is cut, and what came before it stays. */
static void every_torn_sector_of_an_append_cuts_it(void)
{
    for (uint64_t a = 0; a < 24; a++) {
        for (uint64_t b = a; b < 24; b++) {
            struct world w;
            ROW("without sectors %llu and %llu", (unsigned long long)a, (unsigned long long)b);
            world_init(&w, 77);
            CHECK_EQ(world_open(&w), COR_OK);
            world_write_durable(&w, 2, 700);
            CHECK_EQ(world_write(&w, true, 1, 4, 2500), COR_OK);
            uint64_t acked = w.acked;
            world_flush(&w);
            world_rest(&w);
            world_close(&w);
            w.acked = acked; /* as if the power had gone during the write */
            sim_disk_zero(w.disk, "0000000001.wal", 2 * WAL_PAGE + a * WAL_SECTOR, WAL_SECTOR);
            sim_disk_zero(w.disk, "0000000001.wal", 2 * WAL_PAGE + b * WAL_SECTOR, WAL_SECTOR);
            CHECK_EQ(world_open(&w), COR_OK);
            CHECK(w.recovered.torn_bytes > 0);
            CHECK_EQ(w.recovered.last, 2);
            CHECK(world_check(&w));
            world_write_durable(&w, 1, 100);
            world_close(&w);
            CHECK_EQ(world_open(&w), COR_OK);
            CHECK_EQ(w.recovered.torn_bytes, 0);
            CHECK(world_check(&w));
            world_free(&w);
        }
    }
}

TEST_MAIN(TEST(every_crash_point_keeps_what_was_acknowledged),
          TEST(every_crash_point_on_a_full_disk_keeps_votes),
          TEST(every_torn_sector_of_an_append_cuts_it))
