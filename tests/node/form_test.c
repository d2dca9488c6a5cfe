/*
 * A static cluster forms once, whatever crashes meanwhile, and afterwards a member is its name and its
 * disk.
 */
#include "tests/node/cluster.h"

static bool is_waiting(struct cluster *c)
{
    return cluster_status(c, 1)->waiting_for[0] != '\0';
}

static void forming_waits_for_all_members_and_says_for_whom(void)
{
    struct cluster *c = cluster_new(3, 1);
    cluster_start(c, 1);
    cluster_start(c, 2);
    cluster_run(c, 20 * SIM_S);
    CHECK(is_waiting(c));
    CHECK_EQ(cluster_status(c, 1)->phase, NODE_FORMING);
    CHECK_TEXT(cluster_status(c, 1)->waiting_for, "n3 at n3:4100");
    CHECK_TEXT(cluster_status(c, 2)->role, "Follower");
    CHECK(cluster_said(c, 1, "waiting_for members=n3 at n3:4100"));
    cluster_start(c, 3);
    CHECK(cluster_until(c, cluster_all_ready));
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_TEXT(cluster_status(c, i)->waiting_for, "");
        CHECK_EQ(cluster_status(c, i)->id, i);
        CHECK_EQ(c->nodes[i].n_ready, 1u);
    }
    cluster_free(c);
}

static void nothing_is_promised_while_forming(void)
{
    struct cluster *c = cluster_new(2, 1);
    cluster_start(c, 1);
    CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_ENOLEADER);
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_DEFAULT, "a"), "no leader is known");
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_STALE, "a"), "-");
    cluster_stop(c, 1, SIM_S);
    cluster_free(c);
}

static void a_request_may_wait_until_the_cluster_has_formed(void)
{
    struct cluster *c = cluster_new(2, 1);
    struct cluster_write w;
    struct cluster_read r;
    cluster_start(c, 1);
    cluster_begin_put(c, 1, "a", "1", &w);
    cluster_run(c, SIM_S);
    cluster_begin_get(c, 1, NODE_READ_CONSISTENT, "b", &r);
    cluster_start(c, 2);
    cluster_await(c, &w);
    cluster_await_read(c, &r);
    CHECK_EQ(w.st, COR_OK);
    CHECK_EQ(r.st, COR_OK);
    cluster_free(c);
}

/* All disks name the same cluster. */
static void check_one_identity(struct cluster *c)
{
    for (unsigned i = 2; i <= c->n; i++) {
        CHECK(memcmp(cluster_status(c, i)->cluster_id, cluster_status(c, 1)->cluster_id, 16) ==
              0);
    }
}

/* Lose power at every change of every member's disk, from the first on. */
static void a_crash_at_any_moment_of_forming_is_recovered_from(void)
{
    for (unsigned victim = 1; victim <= 3; victim++) {
        for (uint64_t k = 0; k < 60; k++) {
            ROW("n%u loses power at change %llu", victim, (unsigned long long)k);
            struct cluster *c = cluster_new(3, 1 + k);
            struct cluster_node *n = &c->nodes[victim];
            n->disk->cut_at = k;
            bool opened = true;
            for (unsigned i = 1; i <= 3; i++) {
                enum cor_status st = cluster_open(c, i);
                CHECK(st == COR_OK || i == victim);
                opened = opened && st == COR_OK;
            }
            cluster_run(c, 3 * SIM_S);
            bool was_cut = n->disk->is_cut;
            if (n->node != NULL) {
                cluster_power_off(c, victim, SIM_FATE_RANDOM);
            } else {
                sim_disk_crash(n->disk, (struct sim_fate){.kind = SIM_FATE_LOST});
            }
            n->disk->cut_at = SIM_DISK_NEVER;
            cluster_run(c, SIM_S);
            cluster_start(c, victim);
            CHECK(cluster_until(c, cluster_all_ready));
            check_one_identity(c);
            CHECK_EQ(cluster_put(c, victim, "a", "1"), COR_OK);
            cluster_free(c);
            if (opened && !was_cut && k > 30) {
                break;
            }
        }
    }
}

/* All members lose power at some moment of forming, again and again. */
static void crashes_of_all_members_while_forming_are_recovered_from(void)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        ROW("seed %llu", (unsigned long long)seed);
        struct cluster *c = cluster_new(3, seed);
        for (unsigned round = 0; round < 4; round++) {
            cluster_start_all(c);
            cluster_run(c, world_below(&c->world, SIM_RANDOM_FAULT, 60 * SIM_MS));
            for (unsigned i = 1; i <= 3; i++) {
                cluster_power_off(c, i, SIM_FATE_RANDOM);
            }
        }
        cluster_start_all(c);
        CHECK(cluster_until(c, cluster_all_ready));
        check_one_identity(c);
        cluster_free(c);
    }
}

static void a_member_without_its_directory_is_refused_and_says_what_to_do(void)
{
    struct cluster *c = cluster_formed(3, 1);
    CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_OK);
    cluster_kill(c, 3);
    cluster_wipe(c, 3);
    cluster_start(c, 3);
    cluster_run(c, 10 * SIM_S);
    CHECK_EQ(c->nodes[3].n_fatal, 1u);
    CHECK_EQ(c->nodes[3].fatal.status, COR_EREFUSED);
    CHECK(strstr(c->nodes[3].fatal.text, "wiped or replaced") != NULL);
    CHECK(strstr(c->nodes[3].fatal.text, "put the old directory back") != NULL);
    CHECK_EQ(cluster_status(c, 3)->phase, NODE_FAILED);
    CHECK_EQ(cluster_status(c, 3)->raft.term, 0u);
    CHECK_EQ(cluster_put(c, 1, "b", "2"), COR_OK);
    /* It stays out when all the others are down, too. */
    cluster_kill(c, 1);
    cluster_run(c, 5 * SIM_S);
    CHECK_EQ(cluster_leader(c), 0u);
    CHECK_EQ(c->nodes[2].n_fatal, 0u);
    CHECK_EQ(cluster_put(c, 3, "c", "3"), COR_ESTOPPED);
    cluster_stop(c, 3, SIM_S);
    cluster_free(c);
}

static void a_member_wiped_before_all_had_formed_is_refused_by_those_that_have(void)
{
    struct cluster *c = cluster_new(2, 1);
    cluster_start_all(c);
    while (!cluster_said(c, 1, "formed members=2") && world_step(&c->world)) {
    }
    cluster_power_off(c, 2, SIM_FATE_LOST);
    cluster_wipe(c, 2);
    cluster_start(c, 2);
    cluster_run(c, 10 * SIM_S);
    CHECK_EQ(c->nodes[2].n_fatal, 1u);
    CHECK_EQ(c->nodes[1].n_fatal, 0u);
    CHECK_EQ(cluster_leader(c), 0u);
    cluster_free(c);
}

static bool is_formed(struct cluster *c, unsigned i)
{
    static const unsigned char none[16];
    return memcmp(cluster_status(c, i)->cluster_id, none, sizeof none) != 0;
}

/* At the moment when n1 has formed, n3 loses its directory. n2 may not know yet, and has n1's word from before. */
static void no_two_members_form_differently(void)
{
    unsigned n_two = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        ROW("seed %llu", (unsigned long long)seed);
        struct cluster *c = cluster_new(3, seed);
        cluster_start_all(c);
        while (!cluster_said(c, 1, "formed members=3") && world_step(&c->world)) {
        }
        cluster_power_off(c, 3, SIM_FATE_LOST);
        cluster_wipe(c, 3);
        if (seed % 2 == 0) {
            cluster_power_off(c, 2, SIM_FATE_LOST);
            cluster_start(c, 2);
        }
        cluster_start(c, 3);
        cluster_run(c, 10 * SIM_S);
        CHECK(is_formed(c, 1));
        CHECK(!is_formed(c, 3));
        CHECK_EQ(c->nodes[3].n_fatal, 1u);
        CHECK_EQ(c->nodes[1].n_fatal + c->nodes[2].n_fatal, 0u);
        if (is_formed(c, 2)) {
            n_two++;
            CHECK(memcmp(cluster_status(c, 2)->cluster_id, cluster_status(c, 1)->cluster_id,
                         16) == 0);
            CHECK_EQ(cluster_put(c, 2, "a", "1"), COR_OK);
        } else {
            CHECK_EQ(cluster_leader(c), 0u);
            CHECK(cluster_status(c, 2)->waiting_for[0] != '\0');
        }
        cluster_free(c);
    }
    CHECK(n_two > 0 && n_two < 60);
}

/* Two clusters of the same names meet: the disk of n3 comes from the other one. */
static void a_member_of_another_cluster_is_refused(void)
{
    struct cluster *c = cluster_formed(3, 1);
    struct cluster *other = cluster_formed(3, 2);
    cluster_kill(c, 3);
    cluster_kill(other, 3);
    struct sim_disk *disk = c->nodes[3].disk;
    c->nodes[3].disk = other->nodes[3].disk;
    other->nodes[3].disk = disk;
    c->nodes[3].host.io.fs = &c->nodes[3].disk->fs;
    cluster_start(c, 3);
    cluster_run(c, 10 * SIM_S);
    CHECK_EQ(c->nodes[3].n_fatal, 1u);
    CHECK(strstr(c->nodes[3].fatal.text, "different clusters") != NULL);
    CHECK_EQ(c->nodes[1].n_fatal + c->nodes[2].n_fatal, 0u);
    CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_OK);
    cluster_free(other);
    cluster_free(c);
}

static void members_with_different_lists_do_not_form_and_the_odd_one_gives_up(void)
{
    struct cluster *c = cluster_new(3, 1);
    cluster_start(c, 1);
    cluster_start(c, 2);
    struct node_member wrong[] = {
        {"n1", "n1:4100"}, {"n2", "n2:4100"}, {"n3", "n3:4100"}, {"n4", "n4:4100"}};
    c->options.members = wrong;
    c->options.n_members = 4;
    cluster_start(c, 3);
    cluster_run(c, 20 * SIM_S);
    CHECK_EQ(c->nodes[3].n_fatal, 1u);
    CHECK_EQ(c->nodes[1].n_fatal + c->nodes[2].n_fatal, 0u);
    cluster_stop(c, 3, 0);
    c->options.members = NULL;
    cluster_start(c, 3);
    CHECK(cluster_until(c, cluster_all_ready));
    cluster_free(c);
}

static void start_refused(struct cluster *c, unsigned node, enum cor_status want,
                          const char *text)
{
    uint64_t before = sim_disk_hash(c->nodes[node].disk);
    CHECK_EQ(cluster_open(c, node), want);
    CHECK(strstr(c->nodes[node].why.text, text) != NULL);
    CHECK_EQ(sim_disk_hash(c->nodes[node].disk), before);
}

static void a_start_that_makes_no_sense_is_refused_and_changes_nothing(void)
{
    struct cluster *c = cluster_formed(2, 1);
    cluster_stop(c, 1, 0);
    struct node_member three[] = {{"n1", "n1:4100"}, {"n2", "n2:4100"}, {"n3", "n3:4100"}};
    struct node_member twice[] = {{"n1", "n1:4100"}, {"n1", "n2:4100"}};
    struct node_member named[] = {{"n1", "n1:4100"}, {"n 2", "n2:4100"}};

    c->options.members = three;
    c->options.n_members = 3;
    start_refused(c, 1, COR_EFOREIGN, "the cluster of this data directory is n1, n2");
    c->options.n_members = 1;
    start_refused(c, 1, COR_EFOREIGN, "the cluster of this data directory is n1, n2");
    c->options.n_members = 3;
    c->options.name = "n3";
    start_refused(c, 1, COR_EFOREIGN, "this is the data directory of n1, not of n3");
    c->options.name = "n4";
    start_refused(c, 1, COR_EINVAL, "n4 is not in the list of members");
    c->options.name = NULL;
    c->options.members = twice;
    c->options.n_members = 2;
    start_refused(c, 1, COR_EINVAL, "n1 is twice");
    c->options.members = named;
    start_refused(c, 1, COR_EINVAL, "\"n 2\" is no name");
    c->options.members = NULL;
    c->options.heartbeat = SIM_S;
    start_refused(c, 1, COR_EINVAL, "the heartbeat must be shorter");
    cluster_free(c);
}

static void an_address_in_use_is_refused_before_anything_is_changed(void)
{
    struct cluster *c = cluster_new(2, 1);
    struct io_listener *l = NULL;
    host_boot(&c->nodes[1].host);
    CHECK_EQ(io_listen(&c->nodes[1].host.io, "n1:4100", NULL, NULL, NULL, &l, NULL), COR_OK);
    struct node *node = NULL;
    struct cor_error err = {.status = COR_OK};
    struct node_options o = {
        .io = &c->nodes[1].host.io, .name = "n1", .members = c->members, .n_members = 2};
    CHECK_EQ(node_open(&o, &err, &node), COR_EEXIST);
    CHECK(strstr(err.text, "n1:4100") != NULL);
    CHECK_EQ(sim_disk_used(c->nodes[1].disk), 0u);
    io_listener_close(l);
    host_halt(&c->nodes[1].host, HOST_KILLED);
    cluster_free(c);
}

static void a_directory_whose_parts_are_missing_is_refused(void)
{
    struct cluster *c = cluster_formed(1, 1);
    CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_OK);
    cluster_stop(c, 1, SIM_S);
    struct sim_disk *disk = c->nodes[1].disk;
    struct sim_disk *whole = sim_disk_clone(disk);
    const char *name;
    for (size_t i = 0; (name = sim_disk_name(disk, i)) != NULL;) {
        if (strstr(name, ".wal") != NULL) {
            char copy[64];
            format_to(copy, sizeof copy, "%s", name);
            sim_disk_drop(disk, copy);
        } else {
            i++;
        }
    }
    start_refused(c, 1, COR_ECORRUPT, "the log files are gone");
    sim_disk_free(disk);
    c->nodes[1].disk = whole;
    c->nodes[1].host.io.fs = &whole->fs;
    sim_disk_drop(whole, "state-a");
    sim_disk_drop(whole, "state-b");
    start_refused(c, 1, COR_ECORRUPT, "has a log but no state file");
    cluster_free(c);
}

static void addresses_may_change(void)
{
    struct cluster *c = cluster_formed(2, 1);
    cluster_stop(c, 1, 0);
    cluster_stop(c, 2, 0);
    for (unsigned i = 1; i <= 2; i++) {
        format_to(c->nodes[i].address, sizeof c->nodes[i].address, "n%u:4999", i);
    }
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_OK);
    cluster_free(c);
}

TEST_MAIN(TEST(forming_waits_for_all_members_and_says_for_whom),
          TEST(nothing_is_promised_while_forming),
          TEST(a_request_may_wait_until_the_cluster_has_formed),
          TEST(a_crash_at_any_moment_of_forming_is_recovered_from),
          TEST(crashes_of_all_members_while_forming_are_recovered_from),
          TEST(a_member_without_its_directory_is_refused_and_says_what_to_do),
          TEST(a_member_wiped_before_all_had_formed_is_refused_by_those_that_have),
          TEST(no_two_members_form_differently), TEST(a_member_of_another_cluster_is_refused),
          TEST(members_with_different_lists_do_not_form_and_the_odd_one_gives_up),
          TEST(a_start_that_makes_no_sense_is_refused_and_changes_nothing),
          TEST(an_address_in_use_is_refused_before_anything_is_changed),
          TEST(a_directory_whose_parts_are_missing_is_refused), TEST(addresses_may_change))
