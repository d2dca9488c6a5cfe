/*
 * handles_test.c - a segment is closed off the loop while the next one is opened: the new handle may be where the
 * old one was, as file descriptors are.
 */
#include "tests/wal/world.h"

static void a_handle_that_is_used_again_is_not_taken_for_the_old_one(void)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        ROW("seed %u", (unsigned)seed);
        struct world w;
        world_init(&w, seed);
        w.disk->reuse_handles = true;
        CHECK_EQ(world_open(&w), COR_OK);
        for (int i = 0; i < 200; i++) {
            if (wal_room(w.wal) > 40000) {
                CHECK_EQ(world_write(&w, false, 0, 4, 5000), COR_OK);
                world_flush(&w);
            }
            for (uint64_t steps = prng_below(&w.random, 8); steps > 0; steps--) {
                (void)world_step(&w);
            }
        }
        world_rest(&w);
        CHECK_EQ(w.acked, w.seq - 1);
        world_free(&w);
    }
}

TEST_MAIN(TEST(a_handle_that_is_used_again_is_not_taken_for_the_old_one))
