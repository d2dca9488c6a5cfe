/*
 * One seed, one run: the hash of all that happened is the same each time.
 */
#include "sim/scenario.h"
#include "sim/swarm.h"

#include "tests/support/test.h"

static uint64_t hash_of(uint64_t seed, FILE *trace)
{
    struct swarm_options o;
    struct run_result r;
    swarm_draw(seed, &o);
    o.safety = 5 * SIM_S;
    swarm_run(&o, trace, &r);
    return r.hash;
}

static void the_same_seed_gives_the_same_hash(void)
{
    for (unsigned seed = 1; seed <= 10; seed++) {
        ROW("seed %u", seed);
        CHECK_EQ(hash_of(seed, NULL), hash_of(seed, NULL));
    }
}

static void another_seed_gives_another(void)
{
    CHECK(hash_of(1, NULL) != hash_of(2, NULL));
}

static void looking_changes_nothing(void)
{
    FILE *trace = tmpfile();
    REQUIRE(trace != NULL);
    CHECK_EQ(hash_of(3, trace), hash_of(3, NULL));
    CHECK(ftell(trace) > 10000);
    (void)fclose(trace);
}

static void a_scenario_repeats_too(void)
{
    struct run_result a, b;
    scenario_run(scenario_find("leader_killed_mid_write"), 7, NULL, &a);
    scenario_run(scenario_find("leader_killed_mid_write"), 7, NULL, &b);
    CHECK_EQ(a.hash, b.hash);
}

TEST_MAIN(TEST(the_same_seed_gives_the_same_hash), TEST(another_seed_gives_another),
          TEST(looking_changes_nothing), TEST(a_scenario_repeats_too))
