/*
 * Every scenario, over several seeds.
 */
#include "sim/scenario.h"

#include "tests/support/test.h"

#define SEEDS 12u

static void play(const char *name)
{
    const struct scenario *scenario = scenario_find(name);
    REQUIRE(scenario != NULL);
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct run_result r;
        scenario_run(scenario, seed, NULL, &r);
        ROW("coracle-sim --scenario %s --seed %u: %s", name, seed, r.text);
        CHECK(!r.failed);
    }
}

static void a_leader_cut_off_confirms_and_answers_nothing(void)
{
    play("isolated_leader");
}

static void a_stopped_leader_answers_nothing_from_the_past(void)
{
    play("paused_leader");
}

static void a_leader_killed_while_it_writes_loses_nothing(void)
{
    play("leader_killed_mid_write");
}

static void a_deaf_follower_deposes_nobody(void)
{
    play("deaf_follower");
}

static void an_entry_of_an_older_term_is_not_committed_by_counting(void)
{
    play("entry_of_an_older_term");
}

static void a_minority_refuses_in_time(void)
{
    play("majority_lost");
}

static void all_machines_may_lose_power(void)
{
    play("all_lose_power");
}

static void an_emptied_directory_is_refused(void)
{
    play("wiped_member");
}

static void a_cluster_forms_through_power_losses(void)
{
    play("formation_crash");
}

static void full_disks_refuse_writes_and_recover(void)
{
    play("full_disk");
}

static void a_hanging_disk_costs_no_leadership(void)
{
    play("sync_stall");
}

static void a_failed_sync_stops_its_node(void)
{
    play("failed_sync");
}

static void every_scenario_has_its_test(void)
{
    size_t n = 0;
    while (scenario_at(n) != NULL) {
        n++;
    }
    CHECK_EQ(n, 12);
    CHECK(scenario_find("nothing of that name") == NULL);
}

TEST_MAIN(TEST(a_leader_cut_off_confirms_and_answers_nothing),
          TEST(a_stopped_leader_answers_nothing_from_the_past),
          TEST(a_leader_killed_while_it_writes_loses_nothing),
          TEST(a_deaf_follower_deposes_nobody),
          TEST(an_entry_of_an_older_term_is_not_committed_by_counting),
          TEST(a_minority_refuses_in_time), TEST(all_machines_may_lose_power),
          TEST(an_emptied_directory_is_refused), TEST(a_cluster_forms_through_power_losses),
          TEST(full_disks_refuse_writes_and_recover), TEST(a_hanging_disk_costs_no_leadership),
          TEST(a_failed_sync_stops_its_node), TEST(every_scenario_has_its_test))
