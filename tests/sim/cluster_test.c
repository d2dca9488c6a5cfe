/*
 * Whole nodes on simulated machines: they form, take requests in both modes, and outlive their machines.
 */
#include "sim/client.h"
#include "sim/logs.h"
#include "sim/watcher.h"

#include "base/attr.h"
#include "tests/support/test.h"

#include <string.h>

struct stage {
    struct cluster c;
    struct clients *clients; /* 0 to 1 by message, 2 by HTTP */
};

static bool has_leader(struct cluster *c)
{
    return cluster_leader(c) != 0;
}

static void open_stage(struct stage *s, unsigned n_nodes, uint64_t seed)
{
    struct cluster_options options = {.n_nodes = n_nodes};
    struct client_options clients = {
        .n_message = 2, .n_http = 1, .n_keys = 10, .patience = 10 * SIM_S, .value_max = 50};
    cluster_init(&s->c, seed, &options);
    s->clients = clients_new(&s->c, &clients);
    cluster_start_all(&s->c);
    CHECK(cluster_run_until(&s->c, s->c.world.now + 20 * SIM_S, has_leader));
    CHECK(cluster_run_until(&s->c, s->c.world.now + 20 * SIM_S, cluster_has_converged));
}

static void close_stage(struct stage *s)
{
    logs_check(&s->c);
    history_check(&s->c.history, &s->c.judge);
    CHECK_BYTES(((struct cor_bytes){(unsigned char *)s->c.judge.text, strlen(s->c.judge.text)}),
                COR_BYTES_LIT(""));
    clients_halt(s->clients);
    cluster_deinit(&s->c);
    clients_free(s->clients);
}

static const struct op *ask(struct stage *s, unsigned client, struct op what)
{
    size_t at = clients_ask(s->clients, client, &what);
    while (clients_is_waiting(s->clients, client)) {
        cluster_run(&s->c, s->c.world.now + SIM_MS);
    }
    return &s->c.history.ops[at];
}

static void clusters_of_every_size_form_and_take_writes(void)
{
    static const unsigned sizes[] = {1, 2, 3, 4, 5, 7, 8};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        ROW("%u nodes", sizes[i]);
        struct stage s;
        open_stage(&s, sizes[i], 1);
        for (unsigned node = 1; node <= sizes[i]; node++) {
            const struct op *op = ask(&s, 0, (struct op){.kind = OP_PUT, .node = node});
            CHECK_EQ(op->status, COR_OK);
            CHECK_EQ(op->revision, node + 1);
        }
        CHECK(cluster_run_until(&s.c, s.c.world.now + 5 * SIM_S, cluster_has_converged));
        close_stage(&s);
    }
}

static void both_kinds_of_clients_see_the_same(void)
{
    struct stage s;
    open_stage(&s, 3, 2);
    for (unsigned client = 0; client <= 2; client += 2) {
        ROW("client %u", client);
        unsigned other = 2 - client;
        const struct op *put = ask(&s, client, (struct op){.kind = OP_PUT, .node = 1});
        CHECK_EQ(put->status, COR_OK);
        uint64_t value = put->value, revision = put->revision;
        for (uint8_t mode = NODE_READ_DEFAULT; mode <= NODE_READ_CONSISTENT; mode++) {
            const struct op *get =
                ask(&s, other, (struct op){.kind = OP_GET, .mode = mode, .node = 2});
            CHECK_EQ(get->status, COR_OK);
            CHECK_EQ(get->value, value);
            CHECK_EQ(get->mod_revision, revision);
        }
        CHECK(ask(&s, client, (struct op){.kind = OP_DELETE, .node = 3})->changed);
        CHECK(!ask(&s, other, (struct op){.kind = OP_DELETE, .node = 3})->changed);
        CHECK_EQ(ask(&s, client, (struct op){.kind = OP_GET, .node = 1})->value, 0);
    }
    close_stage(&s);
}

static void a_node_comes_back_with_what_it_had(void)
{
    static const enum sim_fate_kind fates[] = {SIM_FATE_LOST, SIM_FATE_KEPT, SIM_FATE_RANDOM};
    for (size_t i = 0; i < ARRAY_LEN(fates); i++) {
        ROW("fate %d", (int)fates[i]);
        struct stage s;
        open_stage(&s, 1, i + 1);
        uint64_t value = ask(&s, 0, (struct op){.kind = OP_PUT, .node = 1})->value;
        cluster_power_off(&s.c, 1, fates[i]);
        CHECK(!cluster_is_up(&s.c, 1));
        CHECK(cluster_start(&s.c, 1));
        CHECK(cluster_run_until(&s.c, s.c.world.now + 5 * SIM_S, cluster_has_converged));
        CHECK_EQ(ask(&s, 1, (struct op){.kind = OP_GET, .node = 1})->value, value);
        close_stage(&s);
    }
}

static void a_node_stops_in_order_and_comes_back(void)
{
    struct stage s;
    open_stage(&s, 3, 5);
    unsigned leader = cluster_leader(&s.c);
    cluster_stop(&s.c, leader);
    cluster_run(&s.c, s.c.world.now + 5 * SIM_S);
    CHECK(s.c.nodes[leader].node == NULL && s.c.nodes[leader].stopped);
    CHECK(cluster_leader(&s.c) != 0);
    CHECK(cluster_start(&s.c, leader));
    CHECK(cluster_run_until(&s.c, s.c.world.now + 10 * SIM_S, cluster_has_converged));
    close_stage(&s);
}

static void who_asks_a_dead_node_is_refused_or_left_in_doubt(void)
{
    struct stage s;
    open_stage(&s, 3, 6);
    size_t at = clients_ask(s.clients, 0, &(struct op){.kind = OP_PUT, .node = 1});
    cluster_kill(&s.c, 1);
    CHECK(!clients_is_waiting(s.clients, 0));
    CHECK_EQ(s.c.history.ops[at].status, COR_EUNKNOWN);
    CHECK_EQ(ask(&s, 0, (struct op){.kind = OP_PUT, .node = 1})->status, COR_ENOTDONE);
    CHECK_EQ(ask(&s, 2, (struct op){.kind = OP_PUT, .node = 1})->status, COR_ENOTDONE);
    close_stage(&s);
}

static void watchers_are_told_across_crashes(void)
{
    struct stage s;
    open_stage(&s, 3, 7);
    struct watchers *ws = watchers_new(
        &s.c, &(struct watcher_options){.n = 3, .n_keys = 10, .slow_permille = 300});
    for (unsigned i = 0; i < 60; i++) {
        unsigned node = 1 + i % 3;
        (void)ask(&s, 0, (struct op){.kind = OP_PUT, .node = node, .key = i % 10});
        if (i % 20 == 10) {
            cluster_power_off(&s.c, node, SIM_FATE_LOST);
            CHECK(cluster_start(&s.c, node));
        }
        cluster_run(&s.c, s.c.world.now + 100 * SIM_MS);
    }
    watchers_hurry(ws);
    cluster_run(&s.c, s.c.world.now + 10 * SIM_S);
    CHECK(watchers_are_told(ws));
    struct watcher_stats stats;
    watchers_get_stats(ws, &stats);
    CHECK(stats.events >= 30);
    watchers_check(ws);
    watchers_halt(ws);
    close_stage(&s);
    watchers_free(ws);
}

TEST_MAIN(TEST(clusters_of_every_size_form_and_take_writes),
          TEST(both_kinds_of_clients_see_the_same), TEST(a_node_comes_back_with_what_it_had),
          TEST(a_node_stops_in_order_and_comes_back),
          TEST(who_asks_a_dead_node_is_refused_or_left_in_doubt),
          TEST(watchers_are_told_across_crashes))
