/*
 * A write has three outcomes (D16): done, not done, unknown. What is said holds, whatever happens to
 * leaders and links.
 */
#include "tests/node/cluster.h"

static void cut(struct cluster *c, unsigned node, bool from, bool to, bool is_cut)
{
    for (unsigned i = 1; i <= c->n; i++) {
        if (i != node && from) {
            net_cut(&c->net, node, i, is_cut);
        }
        if (i != node && to) {
            net_cut(&c->net, i, node, is_cut);
        }
    }
}

static unsigned other_leader;

static bool has_other_leader(struct cluster *c)
{
    unsigned leader = cluster_leader(c);
    return leader != 0 && leader != other_leader;
}

static unsigned await_other_leader(struct cluster *c, unsigned than)
{
    other_leader = than;
    CHECK(cluster_until(c, has_other_leader));
    return cluster_leader(c);
}

static void a_write_whose_place_went_to_another_is_known_not_done(void)
{
    struct cluster *c = cluster_new(3, 1);
    c->options.request_timeout = 20 * SIM_S;
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    unsigned old = cluster_leader(c);
    struct cluster_write w;
    cut(c, old, true, true, true);
    cluster_begin_put(c, old, "a", "lost", &w);
    unsigned leader = await_other_leader(c, old);
    CHECK_EQ(cluster_put(c, leader, "b", "1"), COR_OK);
    CHECK_EQ(w.n_done, 0u);
    cut(c, old, true, true, false);
    cluster_await(c, &w);
    CHECK_EQ(w.st, COR_ENOTDONE);
    CHECK(cluster_until(c, cluster_converged));
    CHECK_TEXT(cluster_get(c, old, NODE_READ_CONSISTENT, "a"), "-");
    cluster_free(c);
}

static void a_write_that_the_next_leader_completes_is_known_done(void)
{
    struct cluster *c = cluster_new(3, 1);
    c->options.request_timeout = 20 * SIM_S;
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    unsigned old = cluster_leader(c);
    struct cluster_write w;
    cut(c, old, false, true, true); /* entries leave, acknowledgements do not arrive */
    cluster_begin_put(c, old, "a", "kept", &w);
    (void)await_other_leader(c, old);
    CHECK_EQ(w.n_done, 0u);
    cut(c, old, false, true, false);
    cluster_await(c, &w);
    CHECK_EQ(w.st, COR_OK);
    CHECK_EQ(w.result, COR_OK);
    CHECK_TEXT(cluster_get(c, old, NODE_READ_CONSISTENT, "a"), "kept");
    cluster_free(c);
}

/* ---- a story of five ------------------------------------------------------------------------------------ */

static struct {
    unsigned a, b, c, d, e;
    uint64_t term;
} cast;

/* Only messages between @x and @y, in that direction, are let through or cut. */
static void way(struct cluster *c, unsigned x, unsigned y, bool open)
{
    net_cut(&c->net, x, y, !open);
}

static void isolate(struct cluster *c, unsigned node)
{
    cut(c, node, true, true, true);
}

static bool b_has_the_entry(struct cluster *c)
{
    return cluster_status(c, cast.b)->raft.durable > cluster_status(c, cast.d)->raft.last;
}

static bool both_voted_for_c(struct cluster *c)
{
    const struct cor_raft_info *d = &cluster_status(c, cast.d)->raft;
    const struct cor_raft_info *e = &cluster_status(c, cast.e)->raft;
    return d->vote == cast.c && e->vote == cast.c && d->term == e->term && d->term > cast.term;
}

static bool a_has_lost_the_entry(struct cluster *c)
{
    uint64_t term = 0;
    const struct cor_raft *raft = node_raft(c->nodes[cast.a].node);
    return cor_raft_term_at(raft, cluster_status(c, cast.a)->raft.last, &term) == COR_OK &&
           term > cast.term;
}

static bool b_leads(struct cluster *c)
{
    const struct cor_raft_info *b = &cluster_status(c, cast.b)->raft;
    return b->role == COR_RAFT_LEADER && b->own_term_committed;
}

/*
 * a's write reaches b and nobody else. c is elected, takes the place of the write with an entry of its own on
 * a (and nobody else), and dies. Then b is elected and commits what it had from a. So the write was
 * done, although a saw it cut off its own log by a later leader.
 */
static void tell_the_story(uint64_t seed)
{
    struct cluster *c = cluster_new(5, seed);
    c->options.request_timeout = 60 * SIM_S;
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    cast.a = cluster_leader(c);
    cast.b = cast.a % 5 + 1;
    cast.c = cast.b % 5 + 1;
    cast.d = cast.c % 5 + 1;
    cast.e = cast.d % 5 + 1;
    cast.term = cluster_status(c, cast.a)->raft.term;
    struct cluster_write w;
    isolate(c, cast.a);
    way(c, cast.a, cast.b, true);
    cluster_begin_put(c, cast.a, "story", "told", &w);
    REQUIRE(cluster_until(c, b_has_the_entry));
    isolate(c, cast.b);
    /* d and e are slow to run for office themselves: nobody hears them ask. */
    way(c, cast.d, cast.e, false);
    way(c, cast.e, cast.d, false);
    REQUIRE(cluster_until(c, both_voted_for_c));
    way(c, cast.c, cast.d, false);
    way(c, cast.c, cast.e, false);
    way(c, cast.c, cast.a, true);
    way(c, cast.a, cast.c, true);
    REQUIRE(cluster_until(c, a_has_lost_the_entry));
    CHECK_EQ(w.n_done, 0u);
    cluster_power_off(c, cast.c,
                      SIM_FATE_KEPT); /* what it sent to b, d and e is gone with it */
    isolate(c, cast.a);
    for (unsigned i = 1; i <= 5; i++) {
        if (i != cast.a && i != cast.c) {
            way(c, cast.b, i, true);
            way(c, i, cast.b, true);
        }
    }
    REQUIRE(cluster_until(c, b_leads));
    CHECK_EQ(w.n_done, 0u);
    net_heal_all(&c->net);
    cluster_await(c, &w);
    CHECK_EQ(w.st, COR_OK);
    CHECK_TEXT(cluster_get(c, cast.a, NODE_READ_CONSISTENT, "story"), "told");
    cluster_free(c);
}

static void a_write_cut_off_by_a_later_leader_may_be_done_all_the_same(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ROW("seed %llu", (unsigned long long)seed);
        tell_the_story(seed);
    }
}

/* ---- by way of the leader --------------------------------------------------------------------------------- */

static void a_forwarded_write_is_unknown_when_the_link_breaks(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    unsigned follower = cluster_some_follower(c);
    struct cluster_write w;
    cut(c, leader, true, false, true); /* requests arrive, answers do not leave */
    cluster_begin_put(c, follower, "a", "1", &w);
    cluster_run(c, 20 * SIM_MS);
    CHECK_EQ(w.n_done, 0u);
    net_reset(&c->net, leader, follower);
    uint64_t began = c->world.now;
    cluster_await(c, &w);
    CHECK_EQ(w.st, COR_EUNKNOWN);
    CHECK(c->world.now - began < 100 * SIM_MS); /* not only when time runs out */
    net_heal_all(&c->net);
    CHECK(cluster_until(c, cluster_converged));
    CHECK_TEXT(cluster_get(c, follower, NODE_READ_CONSISTENT, "a"), "1");
    cluster_free(c);
}

static void a_write_that_was_never_sent_waits_for_the_next_leader(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    unsigned follower = cluster_some_follower(c);
    struct cluster_write w;
    struct cluster_read r;
    cluster_kill(c, leader);
    cluster_run(c, 2 * SIM_MS); /* the link is known to be down */
    cluster_begin_put(c, follower, "a", "1", &w);
    cluster_begin_get(c, follower, NODE_READ_CONSISTENT, "a", &r);
    cluster_await(c, &w);
    CHECK_EQ(w.st, COR_OK);
    cluster_await_read(c, &r);
    CHECK_EQ(r.st, COR_OK);
    cluster_free(c);
}

static void a_write_sent_to_a_paused_leader_is_unknown_when_time_runs_out(void)
{
    struct cluster *c = cluster_new(3, 1);
    c->options.request_timeout = SIM_S;
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    unsigned leader = cluster_leader(c);
    unsigned follower = cluster_some_follower(c);
    struct cluster_write w;
    cluster_begin_put(c, follower, "a", "1", &w);
    cluster_run(c, 20 * SIM_US); /* on its way */
    host_pause(&c->nodes[leader].host, false);
    uint64_t began = c->world.now;
    cluster_await(c, &w);
    CHECK_EQ(w.st, COR_EUNKNOWN);
    CHECK(c->world.now - began < 1100 * SIM_MS);
    host_resume(&c->nodes[leader].host);
    cluster_run(c, 10 * SIM_S);
    CHECK_EQ(w.n_done, 1u); /* a late answer finds nothing */
    CHECK(cluster_until(c, cluster_converged));
    cluster_free(c);
}

static void a_member_that_does_not_lead_refuses_what_is_passed_on_to_it(void)
{
    /* A leader that is paused until it is deposed takes requests from before for a moment. */
    struct cluster *c = cluster_formed(3, 1);
    unsigned old = cluster_leader(c);
    unsigned follower = cluster_some_follower(c);
    struct cluster_write w[8];
    host_pause(&c->nodes[old].host, false);
    for (unsigned i = 0; i < 8; i++) {
        cluster_begin_put(c, follower, "a", "1", &w[i]);
    }
    cluster_run(c, 100 * SIM_MS);
    (void)await_other_leader(c, old);
    host_resume(&c->nodes[old].host);
    for (unsigned i = 0; i < 8; i++) {
        cluster_await(c, &w[i]);
        CHECK(w[i].st == COR_ENOTDONE || w[i].st == COR_EUNKNOWN);
    }
    CHECK(cluster_until(c, cluster_converged));
    cluster_free(c);
}

static void requests_survive_a_link_that_breaks_and_comes_back(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    unsigned follower = cluster_some_follower(c);
    for (unsigned i = 0; i < 20; i++) {
        struct cluster_write w;
        struct cluster_read r[2];
        net_reset(&c->net, leader, follower);
        cluster_run(c, i * SIM_MS);
        cluster_begin_get(c, follower, NODE_READ_CONSISTENT, "a", &r[0]);
        cluster_begin_get(c, follower, NODE_READ_DEFAULT, "a", &r[1]);
        cluster_begin_put(c, follower, "a", "1", &w);
        uint64_t began = c->world.now;
        for (unsigned k = 0; k < 2; k++) {
            cluster_await_read(c, &r[k]);
            CHECK_EQ(r[k].st, COR_OK);
        }
        cluster_await(c, &w);
        CHECK_EQ(w.st, COR_OK);
        CHECK(c->world.now - began < 600 * SIM_MS);
        cluster_run(c, SIM_S);
    }
    cluster_free(c);
}

/* ---- many, at random ----------------------------------------------------------------------------------- */

#define WRITES 60u

struct attempt {
    struct cluster_write w;
    char key[8];
};

static void check_outcomes(struct cluster *c, const struct attempt *attempts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct attempt *a = &attempts[i];
        ROW("seed %llu, write %u: %s", (unsigned long long)c->world.seed, i,
            cor_status_text(a->w.st));
        CHECK_EQ(a->w.n_done, 1u);
        const char *value = cluster_get(c, 1, NODE_READ_CONSISTENT, a->key);
        bool there = strcmp(value, "1") == 0;
        CHECK(there || strcmp(value, "-") == 0);
        CHECK(a->w.st == COR_OK ? there : a->w.st == COR_EUNKNOWN || !there);
    }
}

/* What was said of each write is true, while leaders are killed and links cut under them. */
static void what_is_said_of_a_write_is_true(void)
{
    unsigned n_ok = 0;
    unsigned n_unknown = 0;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct cluster *c = cluster_formed(3, seed);
        static struct attempt attempts[WRITES];
        unsigned down = 0;
        unsigned n = 0;
        for (; n < WRITES; n++) {
            unsigned node = 1 + (unsigned)world_below(&c->world, SIM_RANDOM_WORKLOAD, 3);
            node = node == down ? node % 3 + 1 : node;
            struct attempt *a = &attempts[n];
            format_to(a->key, sizeof a->key, "k%u", n);
            cluster_begin_put(c, node, a->key, "1", &a->w);
            cluster_run(c, world_below(&c->world, SIM_RANDOM_WORKLOAD, 40 * SIM_MS));
            unsigned what = (unsigned)world_below(&c->world, SIM_RANDOM_FAULT, 40);
            unsigned leader = cluster_leader(c);
            if (what == 0 && leader != 0) {
                cut(c, leader, world_chance(&c->world, SIM_RANDOM_FAULT, 700),
                    world_chance(&c->world, SIM_RANDOM_FAULT, 700), true);
            } else if (what == 1) {
                net_heal_all(&c->net);
            } else if (what == 2 && leader != 0) {
                net_reset(&c->net, leader, leader % 3 + 1);
            }
        }
        net_heal_all(&c->net);
        cluster_run(c, 10 * SIM_S);
        CHECK(cluster_until(c, cluster_converged));
        check_outcomes(c, attempts, n);
        for (unsigned i = 0; i < n; i++) {
            n_ok += attempts[i].w.st == COR_OK;
            n_unknown += attempts[i].w.st == COR_EUNKNOWN;
        }
        cluster_free(c);
    }
    CHECK(n_ok > 500);
    CHECK(n_unknown > 5);
}

/* ---- reads -------------------------------------------------------------------------------------------------- */

static void no_read_is_older_than_a_write_that_was_acknowledged_before(void)
{
    for (uint64_t seed = 1; seed <= 15; seed++) {
        struct cluster *c = cluster_formed(3, seed);
        unsigned long acknowledged = 0;
        for (unsigned i = 1; i <= 40; i++) {
            char value[16];
            struct cluster_read r[2];
            unsigned reader = 1 + (unsigned)world_below(&c->world, SIM_RANDOM_WORKLOAD, 3);
            format_to(value, sizeof value, "%u", i);
            if (cluster_put(c, 1 + i % 3, "a", value) == COR_OK) {
                acknowledged = i;
            }
            cluster_begin_get(c, reader, NODE_READ_DEFAULT, "a", &r[0]);
            cluster_begin_get(c, reader, NODE_READ_CONSISTENT, "a", &r[1]);
            unsigned leader = cluster_leader(c);
            if (i % 8 == 0 && leader != 0) {
                host_pause(&c->nodes[leader].host, true);
                cluster_run(c, SIM_S);
                CHECK(cluster_put(c, leader % 3 + 1, "a", "1000") != COR_ENOTDONE);
                host_resume(&c->nodes[leader].host);
            }
            for (unsigned k = 0; k < 2; k++) {
                ROW("seed %llu, read %u, mode %u", (unsigned long long)seed, i, k);
                cluster_await_read(c, &r[k]);
                CHECK(r[k].st != COR_OK || strtoul(r[k].value, NULL, 10) >= acknowledged);
            }
        }
        cluster_free(c);
    }
}

/* A request that arrives while the leader is paused meets a clock that went on: its lease is over. */
static void a_leader_that_was_paused_does_not_answer_from_the_past(void)
{
    for (unsigned in_turn = 0; in_turn < 2; in_turn++) {
        for (uint64_t seed = 1; seed <= 10; seed++) {
            ROW("seed %llu, in turn %u", (unsigned long long)seed, in_turn);
            struct cluster *c = cluster_formed(3, seed);
            unsigned old = cluster_leader(c);
            CHECK_EQ(cluster_put(c, old, "a", "old"), COR_OK);
            host_pause(&c->nodes[old].host, in_turn != 0);
            cluster_run(c, 5 * SIM_MS);
            unsigned leader = await_other_leader(c, old);
            CHECK_EQ(cluster_put(c, leader, "a", "new"), COR_OK);
            struct cluster_read r[2];
            cluster_begin_get(c, old, NODE_READ_DEFAULT, "a", &r[0]);
            cluster_begin_get(c, old, NODE_READ_CONSISTENT, "a", &r[1]);
            host_resume(&c->nodes[old].host);
            for (unsigned k = 0; k < 2; k++) {
                cluster_await_read(c, &r[k]);
                CHECK_EQ(r[k].st, COR_OK);
                CHECK_TEXT(r[k].value, "new");
            }
            cluster_free(c);
        }
    }
}

TEST_MAIN(TEST(a_write_whose_place_went_to_another_is_known_not_done),
          TEST(a_write_that_the_next_leader_completes_is_known_done),
          TEST(a_write_cut_off_by_a_later_leader_may_be_done_all_the_same),
          TEST(a_forwarded_write_is_unknown_when_the_link_breaks),
          TEST(a_write_that_was_never_sent_waits_for_the_next_leader),
          TEST(a_write_sent_to_a_paused_leader_is_unknown_when_time_runs_out),
          TEST(a_member_that_does_not_lead_refuses_what_is_passed_on_to_it),
          TEST(requests_survive_a_link_that_breaks_and_comes_back),
          TEST(what_is_said_of_a_write_is_true),
          TEST(no_read_is_older_than_a_write_that_was_acknowledged_before),
          TEST(a_leader_that_was_paused_does_not_answer_from_the_past))
