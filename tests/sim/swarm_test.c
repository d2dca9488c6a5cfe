/*
 * Seeds: random faults, then peace, then judgment.
 */
#include "sim/swarm.h"

#include "tests/support/test.h"

#define SEEDS 40u

static void no_seed_breaks_a_rule_and_each_recovers(void)
{
    struct run_totals totals = {0};
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct swarm_options o;
        struct run_result r;
        swarm_draw(seed, &o);
        swarm_run(&o, NULL, &r);
        ROW("coracle-sim --seed %u: %s", seed, r.text);
        CHECK(!r.failed);
        run_totals_add(&totals, &r.totals);
    }
    /* These runs are worth something: work was done, and things went wrong. */
    ROW("totals");
    CHECK(totals.done > 100 * SEEDS);
    CHECK(totals.http > 0 && totals.watched > 0 && totals.unknown > 0 && totals.refused > 0);
    CHECK(totals.repeated > 0);
    CHECK(totals.terms > 2 * SEEDS);
    unsigned kinds = 0;
    for (unsigned i = 0; i < N_FAULTS; i++) {
        kinds += totals.faults[i] > 0;
    }
    CHECK(kinds >= N_FAULTS - 2);
}

static void seeds_draw_all_sizes(void)
{
    unsigned seen = 0;
    for (unsigned seed = 1; seed <= 100; seed++) {
        struct swarm_options o;
        swarm_draw(seed, &o);
        seen |= 1u << o.cluster.n_nodes;
    }
    CHECK_EQ(seen, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 7);
}

TEST_MAIN(TEST(no_seed_breaks_a_rule_and_each_recovers), TEST(seeds_draw_all_sizes))
