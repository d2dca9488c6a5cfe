/*
 * What was acknowledged survives: restarts, lost power, followers that lag, full and failing disks; and a
 * stop in order loses nothing and leaves no request without an answer.
 */
#include "tests/node/cluster.h"

static void fill(struct cluster *c, unsigned node, unsigned first, unsigned n)
{
    static struct cluster_write w[5000];
    REQUIRE(n <= ARRAY_LEN(w));
    for (unsigned i = 0; i < n; i++) {
        char key[16], value[40];
        format_to(key, sizeof key, "k%u", (first + i) % 700);
        format_to(value, sizeof value, "value %u of some length", first + i);
        cluster_begin_put(c, node, key, value, &w[i]);
        if (i % 50 == 49) {
            cluster_await(c, &w[i]);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        cluster_await(c, &w[i]);
        CHECK_EQ(w[i].st, COR_OK);
    }
}

static const char *value_of(unsigned i)
{
    static char value[40];
    format_to(value, sizeof value, "value %u of some length", i);
    return value;
}

/* ---- restarts -------------------------------------------------------------------------------------- */

static void a_log_larger_than_memory_is_applied_from_the_file_after_a_restart(void)
{
    for (unsigned nodes = 1; nodes <= 3; nodes += 2) {
        ROW("%u nodes", nodes);
        struct cluster *c = cluster_new(nodes, 1);
        c->options.cache_bytes_max = 8192;
        cluster_start_all(c);
        CHECK(cluster_until(c, cluster_all_ready));
        fill(c, 1, 0, 5000);
        CHECK(cluster_until(c, cluster_converged));
        uint64_t hash = cluster_status(c, 1)->kv.hash;
        for (unsigned i = 1; i <= nodes; i++) {
            cluster_power_off(c, i, SIM_FATE_LOST);
        }
        cluster_start_all(c);
        CHECK_EQ(cluster_status(c, 1)->kv.applied, 0u); /* not before it runs: off the loop */
        CHECK(cluster_until(c, cluster_all_ready));
        CHECK_EQ(cluster_status(c, 1)->kv.hash, hash);
        CHECK_TEXT(cluster_get(c, nodes, NODE_READ_CONSISTENT, "k99"), value_of(4999));
        CHECK_EQ(cluster_put(c, nodes, "b", "2"), COR_OK);
        cluster_free(c);
    }
}

static void after_a_stop_in_order_a_node_applies_its_log_without_a_leader(void)
{
    struct cluster *c = cluster_formed(3, 1);
    fill(c, 1, 0, 1000);
    CHECK(cluster_until(c, cluster_converged));
    for (unsigned i = 1; i <= 3; i++) {
        cluster_stop(c, i, SIM_S);
    }
    cluster_start(c, 2);
    cluster_run(c, SIM_S);
    CHECK_EQ(cluster_leader(c), 0u);
    CHECK_TEXT(cluster_get(c, 2, NODE_READ_STALE, "k299"), value_of(999));
    cluster_free(c);
}

static void requests_wait_until_a_restarted_node_has_caught_up(void)
{
    struct cluster *c = cluster_new(1, 1);
    c->options.cache_bytes_max = 8192;
    cluster_start_all(c);
    fill(c, 1, 0, 4000);
    cluster_power_off(c, 1, SIM_FATE_KEPT);
    cluster_start(c, 1);
    struct cluster_write w;
    struct cluster_read r;
    cluster_begin_get(c, 1, NODE_READ_DEFAULT, "k499", &r);
    cluster_begin_put(c, 1, "k499", "new", &w);
    cluster_await_read(c, &r);
    CHECK_TEXT(r.value, value_of(3999));
    CHECK_EQ(w.n_done, 0u);
    cluster_await(c, &w);
    CHECK_EQ(w.st, COR_OK);
    cluster_free(c);
}

static void what_was_acknowledged_survives_any_loss_of_power(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        ROW("seed %llu", (unsigned long long)seed);
        struct cluster *c = cluster_formed(3, seed);
        unsigned acknowledged = 0;
        for (unsigned round = 1; round <= 4; round++) {
            static struct cluster_write w[64];
            unsigned node = 1 + (unsigned)world_below(&c->world, SIM_RANDOM_WORKLOAD, 3);
            unsigned n = 1 + (unsigned)world_below(&c->world, SIM_RANDOM_WORKLOAD, 64);
            for (unsigned i = 0; i < n; i++) {
                char value[16];
                format_to(value, sizeof value, "%u", round * 100 + i);
                cluster_begin_put(c, node, "a", value, &w[i]);
            }
            cluster_run(c, world_below(&c->world, SIM_RANDOM_FAULT, 3 * SIM_MS));
            for (unsigned i = 0; i < n; i++) {
                if (w[i].n_done > 0 && w[i].st == COR_OK) {
                    acknowledged = round * 100 + i;
                }
            }
            for (unsigned i = 1; i <= 3; i++) {
                cluster_power_off(c, i, SIM_FATE_RANDOM);
            }
            cluster_start_all(c);
            CHECK(cluster_until(c, cluster_all_ready));
            const char *got = cluster_get(c, 2, NODE_READ_CONSISTENT, "a");
            CHECK(acknowledged == 0 || strtoul(got, NULL, 10) >= acknowledged);
        }
        CHECK(cluster_until(c, cluster_converged));
        cluster_free(c);
    }
}

/* Fail the k-th operation of the disk, for all k, until the start succeeds; after each, nothing is left open and the
 * next start without a failure finds everything. */
static void a_start_may_fail_at_any_operation_of_the_disk(void)
{
    for (unsigned formed = 0; formed < 2; formed++) {
        struct cluster *c = cluster_new(1, 1);
        struct cluster_node *n = &c->nodes[1];
        if (formed) {
            cluster_start(c, 1);
            fill(c, 1, 0, 100);
            cluster_power_off(c, 1, SIM_FATE_RANDOM);
        }
        unsigned failures = 0;
        for (;;) {
            ROW("formed %u, operation %u", formed, failures);
            uint64_t begin = n->disk->ops;
            n->disk->fail_at = begin + failures;
            enum cor_status st = cluster_open(c, 1);
            CHECK_EQ(n->disk->n_open == 0, st != COR_OK);
            n->disk->fail_at = SIM_DISK_NEVER;
            if (st == COR_OK && n->disk->ops < begin + failures) {
                break; /* it did not come that far */
            }
            if (st == COR_OK) {
                cluster_power_off(c, 1, SIM_FATE_RANDOM); /* it did without, or lost it later */
            } else {
                CHECK(st == COR_EIO || st == COR_ECORRUPT);
                sim_disk_crash(n->disk,
                               (struct sim_fate){.kind = SIM_FATE_RANDOM,
                                                 .random = &c->world.random[SIM_RANDOM_DISK]});
            }
            failures++;
            REQUIRE(failures < 2000);
        }
        CHECK(failures > 10);
        CHECK(cluster_until(c, cluster_all_ready));
        CHECK_TEXT(cluster_get(c, 1, NODE_READ_CONSISTENT, "k99"), formed ? value_of(99) : "-");
        cluster_free(c);
    }
}

static void a_start_on_a_full_or_read_only_disk_says_so(void)
{
    struct cluster *c = cluster_new(1, 1);
    struct sim_disk *disk = c->nodes[1].disk;
    disk->capacity = 10000;
    CHECK_EQ(cluster_open(c, 1), COR_ENOSPACE);
    disk->capacity = UINT64_MAX;
    disk->read_only = true;
    CHECK_EQ(cluster_open(c, 1), COR_EPERM);
    disk->read_only = false;
    cluster_start(c, 1);
    CHECK(cluster_until(c, cluster_all_ready));
    CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_OK);
    cluster_kill(c, 1);
    disk->read_only = true;
    uint64_t before = sim_disk_hash(disk);
    CHECK_EQ(cluster_open(c, 1), COR_EPERM);
    CHECK_EQ(sim_disk_hash(disk), before);
    disk->read_only = false;
    cluster_start(c, 1);
    CHECK(cluster_until(c, cluster_all_ready));
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_DEFAULT, "a"), "1");
    cluster_free(c);
}

/* ---- who lags ------------------------------------------------------------------------------------------ */

static void a_member_that_was_away_catches_up_from_the_leaders_file(void)
{
    struct cluster *c = cluster_new(3, 1);
    c->options.cache_bytes_max = 8192;
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    unsigned away = cluster_some_follower(c);
    cluster_kill(c, away);
    fill(c, cluster_leader(c), 0, 5000);
    cluster_start(c, away);
    uint64_t began = c->world.now;
    CHECK(cluster_until(c, cluster_converged));
    CHECK(c->world.now - began < 2 * SIM_S);
    struct node_stats s;
    node_get_stats(c->nodes[cluster_leader(c)].node, &s);
    CHECK(s.cache_bytes <= 65536);
    cluster_free(c);
}

static void a_member_that_diverged_by_terms_comes_back(void)
{
    struct cluster *c = cluster_formed(3, 1);
    for (unsigned round = 0; round < 6; round++) {
        unsigned leader = cluster_leader(c);
        struct cluster_write w[5];
        for (unsigned i = 1; i <= 3; i++) {
            net_cut(&c->net, leader, i, i != leader);
        }
        for (unsigned i = 0; i < 5; i++) {
            cluster_begin_put(c, leader, "a", "lost", &w[i]);
        }
        cluster_run(c, 3 * SIM_S);
        CHECK_EQ(cluster_put(c, leader % 3 + 1, "b", "kept"), COR_OK);
        net_heal_all(&c->net);
        cluster_run(c, 6 * SIM_S);
        for (unsigned i = 0; i < 5; i++) {
            CHECK_EQ(w[i].n_done, 1u);
            CHECK(w[i].st == COR_ENOTDONE || w[i].st == COR_EUNKNOWN);
        }
        CHECK(cluster_until(c, cluster_converged));
    }
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_CONSISTENT, "a"), "-");
    cluster_free(c);
}

/* It comes back with entries that nobody else has, loses them to a shorter log, and is elected. */
static void a_restarted_member_whose_log_was_cut_leads_like_any_other(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned old = cluster_leader(c);
    struct cluster_write w[20];
    for (unsigned i = 1; i <= 3; i++) {
        net_cut(&c->net, old, i, i != old);
    }
    for (unsigned i = 0; i < 20; i++) {
        cluster_begin_put(c, old, "a", "lost", &w[i]);
        cluster_run(c, 5 * SIM_MS);
    }
    cluster_power_off(c, old, SIM_FATE_KEPT);
    cluster_run(c, 3 * SIM_S);
    net_heal_all(&c->net);
    cluster_start(c, old);
    CHECK(cluster_until(c, cluster_converged));
    CHECK(cluster_status(c, old)->raft.last < 20);
    for (unsigned i = 0; i < 40 && cluster_leader(c) != old; i++) {
        unsigned other = cluster_leader(c);
        cluster_kill(c, other);
        cluster_run(c, 3 * SIM_S);
        cluster_start(c, other);
        cluster_run(c, SIM_S);
    }
    CHECK_EQ(cluster_leader(c), old);
    CHECK_EQ(cluster_put(c, old, "b", "1"), COR_OK);
    cluster_free(c);
}

/* ---- disks ------------------------------------------------------------------------------------------------ */

static void a_full_disk_refuses_writes_serves_reads_and_heals(void)
{
    struct cluster *c = cluster_new(1, 1);
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    c->nodes[1].disk->capacity = 3u << 20;
    static char value[100000];
    memset(value, 'v', sizeof value);
    struct kv_op op =
        cluster_put_op("big", (struct cor_bytes){(unsigned char *)value, sizeof value});
    struct cluster_write w;
    unsigned n = 0;
    do {
        CHECK_EQ(cluster_begin_op(c, 1, &op, 0, &w), COR_OK);
        cluster_await(c, &w);
        CHECK(w.st == COR_OK || w.st == COR_ENOSPACE || w.st == COR_ENOTDONE);
    } while (w.st == COR_OK && ++n < 100);
    CHECK_EQ(w.st, COR_ENOSPACE);
    CHECK(n > 2);
    CHECK(cluster_status(c, 1)->disk_full);
    CHECK(cluster_said(c, 1, "disk_full"));
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_CONSISTENT, "small"), "-");
    CHECK_EQ(c->nodes[1].n_fatal, 0u);
    c->nodes[1].disk->capacity = UINT64_MAX;
    cluster_run(c, 5 * SIM_S);
    CHECK(!cluster_status(c, 1)->disk_full);
    CHECK_EQ(cluster_put(c, 1, "small", "1"), COR_OK);
    cluster_stop(c, 1, SIM_S);
    cluster_start(c, 1);
    CHECK(cluster_until(c, cluster_all_ready));
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_CONSISTENT, "small"), "1");
    cluster_free(c);
}

/* Each start takes a page or two of what is left. When nothing is, the node waits, and does not give up. */
static void a_disk_that_stays_full_over_many_restarts_is_survived(void)
{
    struct cluster *c = cluster_new(1, 1);
    struct cluster_node *n = &c->nodes[1];
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    n->disk->capacity = 3u << 20;
    static char value[100000];
    memset(value, 'v', sizeof value);
    struct kv_op op =
        cluster_put_op("big", (struct cor_bytes){(unsigned char *)value, sizeof value});
    struct cluster_write w = {.st = COR_OK};
    for (unsigned i = 0; i < 100 && w.st == COR_OK; i++) {
        CHECK_EQ(cluster_begin_op(c, 1, &op, 0, &w), COR_OK);
        cluster_await(c, &w);
    }
    CHECK_EQ(w.st, COR_ENOSPACE);
    n->disk->capacity = sim_disk_used(n->disk);
    unsigned n_served = 0;
    for (unsigned i = 0; i < 50; i++) {
        ROW("restart %u", i);
        cluster_power_off(c, 1, SIM_FATE_RANDOM);
        cluster_start(c, 1);
        cluster_run(c, 2 * SIM_S);
        CHECK_EQ(n->n_fatal, 0u);
        n_served += strcmp(cluster_get(c, 1, NODE_READ_DEFAULT, "small"), "-") == 0;
        CHECK(cluster_put(c, 1, "other", "1") != COR_EUNKNOWN);
    }
    CHECK(n_served >= 15 && n_served < 50);
    n->disk->capacity = UINT64_MAX;
    CHECK(cluster_until(c, cluster_all_ready));
    CHECK_EQ(cluster_put(c, 1, "small", "1"), COR_OK);
    cluster_stop(c, 1, SIM_S);
    cluster_start(c, 1);
    CHECK(cluster_until(c, cluster_all_ready));
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_CONSISTENT, "small"), "1");
    cluster_free(c);
}

/* Writes come every @gap: at one of these the core hears of it in a turn that has entries to apply, too. */
static void fill_disk_amid_writes(uint64_t gap)
{
    struct cluster *c = cluster_new(1, 1);
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    c->nodes[1].disk->capacity = 3u << 20;
    c->nodes[1].host.turn_cost =
        200 * SIM_US; /* so that syncs end and writes come in one turn */
    static char value[20000];
    memset(value, 'v', sizeof value);
    struct kv_op op =
        cluster_put_op("big", (struct cor_bytes){(unsigned char *)value, sizeof value});
    static struct cluster_write w[300];
    unsigned n_ok = 0, n_full = 0;
    for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
        CHECK_EQ(cluster_begin_op(c, 1, &op, 0, &w[i]), COR_OK);
        cluster_run(c, gap);
    }
    for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
        cluster_await(c, &w[i]);
        CHECK(w[i].st == COR_OK || w[i].st == COR_ENOSPACE);
        n_ok += w[i].st == COR_OK;
        n_full += w[i].st == COR_ENOSPACE;
    }
    CHECK(n_ok > 50 && n_full > 50);
    c->nodes[1].disk->capacity = UINT64_MAX;
    cluster_run(c, 5 * SIM_S);
    CHECK_EQ(cluster_put(c, 1, "small", "1"), COR_OK);
    cluster_free(c);
}

static void a_disk_that_fills_up_amid_writes_refuses_the_rest(void)
{
    for (uint64_t gap = 20 * SIM_US; gap <= 400 * SIM_US; gap += 20 * SIM_US) {
        fill_disk_amid_writes(gap);
    }
}

static void a_follower_with_a_full_disk_does_not_stop_the_others(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned full = cluster_some_follower(c);
    unsigned leader = cluster_leader(c);
    c->nodes[full].disk->capacity = 2u << 20;
    static char value[100000];
    memset(value, 'v', sizeof value);
    struct kv_op op =
        cluster_put_op("big", (struct cor_bytes){(unsigned char *)value, sizeof value});
    for (unsigned i = 0; i < 60; i++) {
        struct cluster_write w;
        CHECK_EQ(cluster_begin_op(c, leader, &op, 0, &w), COR_OK);
        cluster_await(c, &w);
        CHECK_EQ(w.st, COR_OK);
    }
    CHECK(cluster_status(c, full)->disk_full);
    CHECK(cluster_status(c, full)->raft.last < cluster_status(c, leader)->raft.last);
    CHECK_EQ(cluster_leader(c), leader);
    c->nodes[full].disk->capacity = UINT64_MAX;
    CHECK(cluster_until(c, cluster_converged));
    cluster_free(c);
}

static void a_failed_sync_stops_the_node_and_answers_everybody(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    struct cluster_write w[3];
    struct cluster_read r;
    c->nodes[leader].disk->fail_writes = true;
    c->nodes[leader].disk->fail_syncs = true;
    for (unsigned i = 0; i < 3; i++) {
        cluster_begin_put(c, leader, "a", "1", &w[i]);
    }
    cluster_begin_get(c, leader, NODE_READ_CONSISTENT, "a", &r);
    cluster_run(c, 5 * SIM_S);
    CHECK_EQ(c->nodes[leader].n_fatal, 1u);
    CHECK_EQ(cluster_status(c, leader)->phase, NODE_FAILED);
    CHECK_EQ(r.n_done, 1u);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(w[i].n_done, 1u);
        CHECK(w[i].st == COR_EUNKNOWN || w[i].st == COR_OK);
    }
    CHECK_EQ(cluster_put(c, leader, "a", "1"), COR_ESTOPPED);
    CHECK_EQ(cluster_put(c, leader % 3 + 1, "b", "2"), COR_OK);
    cluster_stop(c, leader, SIM_S);
    CHECK_EQ(c->nodes[leader].n_fatal, 1u);
    c->nodes[leader].disk->fail_writes = c->nodes[leader].disk->fail_syncs = false;
    cluster_start(c, leader);
    CHECK(cluster_until(c, cluster_converged));
    cluster_free(c);
}

static void a_leaders_slow_disk_does_not_hold_up_the_others(void)
{
    struct cluster *c = cluster_new(3, 1);
    c->options.cache_bytes_max =
        4096; /* what is not durable yet stays in memory all the same */
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    unsigned leader = cluster_leader(c);
    c->nodes[leader].host.disk_stall_until = c->world.now + 2 * SIM_S;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t began = c->world.now;
        fill(c, leader, i * 50, 50);
        CHECK(c->world.now - began < 50 * SIM_MS);
    }
    CHECK_EQ(cluster_leader(c), leader);
    cluster_run(c, 3 * SIM_S);
    struct node_stats s;
    node_get_stats(c->nodes[leader].node, &s);
    CHECK(s.cache_bytes <= 8192);
    cluster_free(c);
}

static void a_rotten_entry_is_never_cut_off(void)
{
    struct cluster *c = cluster_formed(1, 1);
    fill(c, 1, 0, 200);
    cluster_run(c, 5 * SIM_S);
    cluster_kill(c, 1);
    sim_disk_flip(c->nodes[1].disk, "0000000001.wal", 2u * 4096u + 1000u, 1);
    CHECK_EQ(cluster_open(c, 1), COR_ECORRUPT);
    CHECK(strstr(c->nodes[1].why.text, "0000000001.wal") != NULL);
    cluster_free(c);
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

static void a_stop_in_order_finishes_what_was_asked(void)
{
    for (unsigned who = 0; who < 2; who++) {
        struct cluster *c = cluster_formed(3, 1);
        unsigned node = who == 0 ? cluster_leader(c) : cluster_some_follower(c);
        static struct cluster_write w[100];
        struct cluster_read r;
        for (unsigned i = 0; i < 100; i++) {
            cluster_begin_put(c, node, "a", "1", &w[i]);
        }
        cluster_begin_get(c, node, NODE_READ_CONSISTENT, "a", &r);
        uint64_t began = c->world.now;
        node_stop(c->nodes[node].node, 5 * SIM_S, cluster_on_stopped, &c->nodes[node]);
        struct cluster_write late;
        cluster_begin_put(c, node, "b", "1", &late);
        CHECK_EQ(late.st, COR_ESTOPPED);
        cluster_run(c, SIM_S);
        CHECK_EQ(c->nodes[node].n_stopped, 1u);
        CHECK(c->world.now - began < 2 * SIM_S);
        for (unsigned i = 0; i < 100; i++) {
            CHECK_EQ(w[i].n_done, 1u);
            CHECK_EQ(w[i].st, COR_OK);
        }
        CHECK_EQ(r.n_done, 1u);
        CHECK_EQ(r.st, COR_OK);
        cluster_free(c);
    }
}

static void a_stop_without_grace_says_what_is_unknown(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    struct cluster_write w[3];
    cluster_begin_put(c, leader, "a", "1", &w[0]);
    cluster_run(c, 60 * SIM_US); /* proposed, not committed */
    cluster_begin_put(c, leader, "a", "2", &w[1]);
    node_stop(c->nodes[leader].node, 0, cluster_on_stopped, &c->nodes[leader]);
    cluster_run(c, SIM_S);
    CHECK_EQ(c->nodes[leader].n_stopped, 1u);
    CHECK_EQ(w[0].n_done, 1u);
    CHECK(w[0].st == COR_EUNKNOWN || w[0].st == COR_OK);
    CHECK_EQ(w[1].n_done, 1u);
    cluster_free(c);
}

static void a_node_stops_in_every_state(void)
{
    struct cluster *c = cluster_new(3, 1);
    cluster_start(c, 1);
    cluster_stop(c, 1, SIM_S); /* just started */
    cluster_start(c, 1);
    cluster_run(c, SIM_S);
    cluster_stop(c, 1, SIM_S); /* while it waits for others */
    for (unsigned k = 0; k < 40; k++) {
        ROW("stop after %u ms", k);
        cluster_start_all(c);
        cluster_run(c, k * SIM_MS);
        for (unsigned i = 1; i <= 3; i++) {
            cluster_stop(c, i, 10 * SIM_MS);
        }
    }
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    cluster_free(c);
}

static void a_stopped_leader_is_followed_at_once(void)
{
    uint64_t sum = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_formed(3, seed);
        unsigned leader = cluster_leader(c);
        cluster_run(c, SIM_S);
        cluster_stop(c, leader, SIM_S);
        uint64_t began = c->world.now;
        cluster_run(c, 2 * SIM_MS); /* the others notice */
        CHECK_EQ(cluster_put(c, leader % 3 + 1, "a", "1"), COR_OK);
        sum += c->world.now - began;
        cluster_free(c);
    }
    CHECK(sum / 20 < 350 * SIM_MS);
}

#define FLYING 40u

/* Clients of the other members notice nothing but a pause. */
static void a_stop_of_the_leader_fails_no_write_of_the_others(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ROW("seed %llu", (unsigned long long)seed);
        struct cluster *c = cluster_formed(3, seed);
        unsigned leader = cluster_leader(c);
        static struct cluster_write w[FLYING];
        static char big[6000];
        memset(big, 'b', sizeof big - 1);
        unsigned done = 0;
        for (unsigned i = 0; i < FLYING; i++) {
            w[i].n_done = 1;
            w[i].st = COR_OK;
        }
        for (unsigned step = 0; step < 3000; step++) {
            struct cluster_write *next = &w[step % FLYING];
            cluster_await(c, next);
            CHECK_EQ(next->st, COR_OK);
            done += next->st == COR_OK;
            unsigned node = (leader + step % 2) % 3 + 1;
            cluster_begin_put(c, node, "a", step % 5 == 0 ? big : "1", next);
            cluster_run(c, 10 * SIM_US);
            if (step == 1000) {
                node_stop(c->nodes[leader].node, SIM_S, cluster_on_stopped, &c->nodes[leader]);
            }
        }
        CHECK_EQ(done, 3000u);
        CHECK_EQ(c->nodes[leader].n_stopped, 1u);
        cluster_run(c, SIM_S);
        cluster_free(c);
    }
}

static void a_stop_does_not_wait_for_a_member_that_hangs(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    host_pause(&c->nodes[leader % 3 + 1].host, false);
    uint64_t began = c->world.now;
    cluster_stop(c, leader, 30 * SIM_S);
    CHECK(c->world.now - began < SIM_S);
    host_resume(&c->nodes[leader % 3 + 1].host);
    CHECK_EQ(cluster_put(c, leader % 3 + 1, "a", "1"), COR_OK);
    cluster_free(c);
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static uint64_t cluster_time_after_a_write(struct cluster *c, unsigned node)
{
    CHECK_EQ(cluster_put(c, node, "t", "1"), COR_OK);
    return cluster_status(c, cluster_leader(c))->kv.cluster_time;
}

/* D4: monotone across leaders, stands still while there is none. */
static void cluster_time_goes_on_under_the_next_leader(void)
{
    struct cluster *c = cluster_formed(3, 1);
    cluster_run(c, 100 * SIM_S);
    uint64_t first = cluster_time_after_a_write(c, 1);
    CHECK(first > 99 * SIM_S && first < 102 * SIM_S);
    unsigned old = cluster_leader(c);
    cluster_kill(c, old);
    cluster_run(c, SIM_S);
    uint64_t second = cluster_time_after_a_write(c, old % 3 + 1);
    CHECK(second >= first && second < first + 3 * SIM_S);
    cluster_run(c, 10 * SIM_S);
    uint64_t third = cluster_time_after_a_write(c, old % 3 + 1);
    CHECK(third >= second + 9 * SIM_S && third < second + 11 * SIM_S);
    cluster_start(c, old);
    cluster_run(c, SIM_S);
    for (unsigned i = 1; i <= 3; i++) {
        cluster_power_off(c, i, SIM_FATE_LOST);
    }
    cluster_run(c, 10000 * SIM_S);
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    uint64_t last = cluster_time_after_a_write(c, 1);
    CHECK(last >= third && last < third + 5 * SIM_S);
    cluster_run(c, 10 * SIM_S);
    CHECK(cluster_time_after_a_write(c, 1) >= last + 9 * SIM_S);
    cluster_free(c);
}

/* ---- history --------------------------------------------------------------------------------------------------- */

static void the_leader_compacts_history_by_itself(void)
{
    struct cluster *c = cluster_new(3, 1);
    c->options.history_ns = 10 * SIM_S;
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    for (unsigned i = 0; i < 10; i++) {
        fill(c, 1, i * 400, 400);
        cluster_run(c, 3 * SIM_S);
    }
    CHECK(cluster_until(c, cluster_converged));
    for (unsigned i = 1; i <= 3; i++) {
        const struct kv_info *kv = &cluster_status(c, i)->kv;
        CHECK(kv->compacted > 500 && kv->compacted <= kv->revision - 1000);
        CHECK_EQ(kv->compacted, cluster_status(c, 1)->kv.compacted);
    }
    cluster_free(c);
}

TEST_MAIN(TEST(a_log_larger_than_memory_is_applied_from_the_file_after_a_restart),
          TEST(after_a_stop_in_order_a_node_applies_its_log_without_a_leader),
          TEST(requests_wait_until_a_restarted_node_has_caught_up),
          TEST(what_was_acknowledged_survives_any_loss_of_power),
          TEST(a_start_may_fail_at_any_operation_of_the_disk),
          TEST(a_start_on_a_full_or_read_only_disk_says_so),
          TEST(a_member_that_was_away_catches_up_from_the_leaders_file),
          TEST(a_member_that_diverged_by_terms_comes_back),
          TEST(a_restarted_member_whose_log_was_cut_leads_like_any_other),
          TEST(a_full_disk_refuses_writes_serves_reads_and_heals),
          TEST(a_disk_that_stays_full_over_many_restarts_is_survived),
          TEST(a_disk_that_fills_up_amid_writes_refuses_the_rest),
          TEST(a_follower_with_a_full_disk_does_not_stop_the_others),
          TEST(a_failed_sync_stops_the_node_and_answers_everybody),
          TEST(a_leaders_slow_disk_does_not_hold_up_the_others),
          TEST(a_rotten_entry_is_never_cut_off), TEST(a_stop_in_order_finishes_what_was_asked),
          TEST(a_stop_without_grace_says_what_is_unknown), TEST(a_node_stops_in_every_state),
          TEST(a_stopped_leader_is_followed_at_once),
          TEST(a_stop_does_not_wait_for_a_member_that_hangs),
          TEST(a_stop_of_the_leader_fails_no_write_of_the_others),
          TEST(cluster_time_goes_on_under_the_next_leader),
          TEST(the_leader_compacts_history_by_itself))
