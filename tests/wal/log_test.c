/* log_test.c - what the log promises when nothing goes wrong, and when the disk is full or fails. */
#include "tests/wal/world.h"

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
    CHECK(world_check(&w));
    CHECK_EQ(w.seq, 44);
    world_free(&w);
}

TEST_MAIN(TEST(a_new_log_is_empty_and_small), TEST(what_was_durable_is_there_after_a_restart))
