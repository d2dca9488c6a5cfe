/*
 * Numbered writes are done once (D12), whatever happens to leaders, links and answers; and sessions end when they
 * were idle for too long, by the word of the leader and at the same place in the log everywhere.
 */
#include "tests/node/cluster.h"

#define IDLE (10 * SIM_S)

static void begin(struct cluster *c, unsigned node, uint64_t session, uint64_t number,
                  const struct kv_op *op, struct cluster_write *w)
{
    unsigned char ops[512];
    struct writer out = writer_of(ops, sizeof ops);
    kv_encode_one(&out, op);
    CHECK(writer_ok(&out));
    struct node_write write = {.dialect = ENTRY_DIALECT_RAFTD,
                               .ops = {ops, out.used},
                               .session = session,
                               .number = number};
    *w = (struct cluster_write){.st = COR_OK};
    enum cor_status st = node_write(c->nodes[node].node, &write, cluster_on_written, w);
    if (st != COR_OK) {
        w->st = st;
        w->n_done = 1;
    }
}

static struct cluster_write ask(struct cluster *c, unsigned node, uint64_t session,
                                uint64_t number, const char *key, const char *value)
{
    struct cluster_write w;
    struct kv_op op = cluster_put_op(key, cluster_text(value));
    begin(c, node, session, number, &op, &w);
    cluster_await(c, &w);
    return w;
}

static void on_opened(void *arg, enum cor_status st, const struct kv_result *result)
{
    uint64_t *id = arg;
    CHECK_EQ(st, COR_OK);
    *id = result != NULL && result->n_ops == 1 ? result->ops[0].count : UINT64_MAX;
}

static uint64_t open_session(struct cluster *c, unsigned node, uint64_t idle_max)
{
    static uint64_t id;
    unsigned char ops[64];
    struct writer out = writer_of(ops, sizeof ops);
    kv_encode_one(&out, &(struct kv_op){.kind = KV_OP_SESSION,
                                        .session_do = KV_SESSION_OPEN,
                                        .number = idle_max});
    struct node_write write = {.ops = {ops, out.used}};
    id = 0;
    CHECK_EQ(node_write(c->nodes[node].node, &write, on_opened, &id), COR_OK);
    uint64_t until = c->world.now + CLUSTER_PATIENCE;
    while (id == 0 && c->world.now < until && world_step(&c->world)) {
    }
    CHECK(id != 0);
    return id;
}

static bool has_session(struct cluster *c, unsigned node, uint64_t id)
{
    struct kv_session s;
    return kv_session_get(node_kv(c->nodes[node].node), id, &s) == COR_OK;
}

static struct {
    unsigned node;
    uint64_t revision;
} wanted;

static bool node_has_revision(struct cluster *c)
{
    return cluster_status(c, wanted.node)->kv.revision >= wanted.revision;
}

static bool another_leads(struct cluster *c)
{
    unsigned leader = cluster_leader(c);
    return leader != 0 && leader != wanted.node && cluster_status(c, leader)->ready;
}

/* ---- once ------------------------------------------------------------------------------------------ */

static void a_retry_after_a_lost_answer_gets_the_answer_of_the_first_time(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    unsigned asked = leader % 3 + 1;
    uint64_t session = open_session(c, asked, 3600 * SIM_S);
    CHECK(cluster_until(c, cluster_converged));
    struct cluster_write w;
    struct kv_op op = cluster_put_op("a", cluster_text("once"));
    net_cut(&c->net, leader, asked, true); /* the request arrives, the answer does not */
    begin(c, asked, session, 1, &op, &w);
    wanted.node = leader;
    wanted.revision = 2;
    CHECK(cluster_until(c, node_has_revision));
    CHECK_EQ(w.n_done, 0u);
    cluster_kill(c, leader);
    cluster_await(c, &w);
    CHECK_EQ(w.st, COR_EUNKNOWN);
    CHECK(cluster_until(c, another_leads));
    CHECK_EQ(cluster_put(c, asked, "a", "later"), COR_OK);
    struct cluster_write again = ask(c, asked, session, 1, "a", "once");
    CHECK_EQ(again.st, COR_OK);
    CHECK_EQ(again.result, COR_OK);
    CHECK_EQ(again.revision, 2);
    CHECK_TEXT(cluster_get(c, asked, NODE_READ_CONSISTENT, "a"), "later");
    cluster_free(c);
}

static void a_hundred_retries_on_all_nodes_and_over_a_failover_have_one_effect(void)
{
    struct cluster *c = cluster_formed(3, 2);
    uint64_t session = open_session(c, 1, 3600 * SIM_S);
    unsigned first_leader = cluster_leader(c);
    for (unsigned i = 0; i < 100; i++) {
        ROW("retry %u", i);
        unsigned node = 1 + i % 3;
        if (i == 50) {
            cluster_kill(c, first_leader);
            wanted.node = first_leader;
            CHECK(cluster_until(c, another_leads));
        }
        if (i == 70) {
            cluster_start(c, first_leader);
            CHECK(cluster_until(c, cluster_all_ready));
        }
        node = cluster_is_up(c, node) ? node : node % 3 + 1;
        struct cluster_write w = ask(c, node, session, 7, "a", "once");
        CHECK_EQ(w.st, COR_OK);
        CHECK_EQ(w.result, COR_OK);
        CHECK_EQ(w.revision, 2);
    }
    struct cluster_write other = ask(c, 1, session, 7, "a", "another");
    CHECK_EQ(other.st, COR_OK);
    CHECK_EQ(other.result, COR_EREUSED);
    CHECK(cluster_until(c, cluster_converged));
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_EQ(cluster_status(c, i)->kv.revision, 2);
        CHECK_TEXT(cluster_get(c, i, NODE_READ_CONSISTENT, "a"), "once");
    }
    cluster_free(c);
}

static void two_of_the_same_number_under_way_have_one_effect(void)
{
    struct cluster *c = cluster_formed(3, 3);
    uint64_t session = open_session(c, 1, 3600 * SIM_S);
    struct kv_op op = cluster_put_op("a", cluster_text("once"));
    struct cluster_write w[3];
    for (unsigned i = 0; i < 3; i++) {
        begin(c, i + 1, session, 1, &op, &w[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        cluster_await(c, &w[i]);
        CHECK_EQ(w[i].st, COR_OK);
        CHECK_EQ(w[i].result, COR_OK);
        CHECK_EQ(w[i].revision, 2);
    }
    CHECK(cluster_until(c, cluster_converged));
    CHECK_EQ(cluster_status(c, 1)->kv.revision, 2);
    cluster_free(c);
}

static void answers_survive_a_restart_of_all(void)
{
    struct cluster *c = cluster_formed(3, 4);
    uint64_t session = open_session(c, 1, 3600 * SIM_S);
    CHECK_EQ(ask(c, 2, session, 1, "a", "once").revision, 2);
    for (unsigned i = 1; i <= 3; i++) {
        cluster_power_off(c, i, SIM_FATE_LOST);
    }
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    CHECK_EQ(cluster_put(c, 1, "a", "later"), COR_OK);
    struct cluster_write again = ask(c, 3, session, 1, "a", "once");
    CHECK_EQ(again.result, COR_OK);
    CHECK_EQ(again.revision, 2);
    CHECK_TEXT(cluster_get(c, 3, NODE_READ_CONSISTENT, "a"), "later");
    cluster_free(c);
}

static void a_session_without_a_number_is_refused_at_once(void)
{
    struct cluster *c = cluster_formed(1, 5);
    CHECK_EQ(ask(c, 1, 3, 0, "a", "1").st, COR_EINVAL);
    CHECK_EQ(ask(c, 1, 0, 3, "a", "1").st, COR_EINVAL);
    struct cluster_write w = ask(c, 1, 3, 3, "a", "1");
    CHECK_EQ(w.st, COR_OK);
    CHECK_EQ(w.result, COR_ENOSESSION);
    cluster_free(c);
}

/* ---- expiry ---------------------------------------------------------------------------------------- */

static void an_idle_session_ends_on_all_nodes_and_a_busy_one_lives(void)
{
    struct cluster *c = cluster_formed(3, 6);
    uint64_t idle = open_session(c, 1, IDLE);
    uint64_t busy = open_session(c, 2, IDLE);
    for (unsigned i = 1; i <= 5; i++) {
        cluster_run(c, IDLE / 2);
        CHECK_EQ(ask(c, 1 + i % 3, busy, i, "a", "1").result, COR_OK);
        CHECK(has_session(c, cluster_leader(c), idle) || i >= 2);
    }
    CHECK(cluster_until(c, cluster_converged));
    for (unsigned i = 1; i <= 3; i++) {
        CHECK(!has_session(c, i, idle));
        CHECK(has_session(c, i, busy));
    }
    CHECK_EQ(ask(c, 1, idle, 1, "b", "1").result, COR_ENOSESSION);
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_CONSISTENT, "b"), "-");
    cluster_free(c);
}

static void sessions_end_in_a_cluster_that_nobody_asks(void)
{
    struct cluster *c = cluster_formed(3, 7);
    uint64_t s = open_session(c, 1, IDLE);
    CHECK(cluster_until(c, cluster_converged));
    cluster_run(c, IDLE - SIM_S);
    for (unsigned i = 1; i <= 3; i++) {
        CHECK(has_session(c, i, s));
    }
    cluster_run(c, IDLE);
    for (unsigned i = 1; i <= 3; i++) {
        CHECK(!has_session(c, i, s));
    }
    cluster_free(c);
}

static struct {
    uint64_t id;
    unsigned node;
} ending;

static bool session_has_ended(struct cluster *c)
{
    return !has_session(c, ending.node, ending.id);
}

/* An answer may take as long as a request may: so much after its idle time each session lives on, whatever ends then. */
static void the_end_of_one_session_does_not_hasten_the_next(void)
{
    struct cluster *c = cluster_formed(3, 10);
    ending.node = 1;
    ending.id = open_session(c, 1, IDLE);
    uint64_t begun = c->world.now;
    cluster_run(c, 3 * SIM_S);
    uint64_t next = open_session(c, 1, IDLE);
    CHECK(cluster_until(c, session_has_ended));
    CHECK(c->world.now >= begun + IDLE + 5 * SIM_S - SIM_S / 10);
    for (unsigned i = 1; i <= 3; i++) {
        CHECK(has_session(c, i, next));
    }
    cluster_run(c, 4 * SIM_S);
    CHECK(!has_session(c, 1, next));
    cluster_free(c);
}

static void a_new_leader_goes_on_counting(void)
{
    struct cluster *c = cluster_formed(3, 8);
    uint64_t s = open_session(c, 1, IDLE);
    CHECK(cluster_until(c, cluster_converged));
    cluster_run(c, IDLE / 2);
    wanted.node = cluster_leader(c);
    cluster_kill(c, wanted.node);
    CHECK(cluster_until(c, another_leads));
    unsigned leader = cluster_leader(c);
    CHECK(has_session(c, leader, s));
    cluster_run(c, 2 * IDLE);
    CHECK(!has_session(c, leader, s));
    cluster_free(c);
}

static void a_leader_that_is_cut_off_ends_no_session(void)
{
    struct cluster *c = cluster_formed(3, 9);
    uint64_t s = open_session(c, 1, IDLE);
    CHECK(cluster_until(c, cluster_converged));
    unsigned old = cluster_leader(c);
    for (unsigned i = 1; i <= 3; i++) {
        if (i != old) {
            net_cut(&c->net, old, i, true);
            net_cut(&c->net, i, old, true);
        }
    }
    wanted.node = old;
    CHECK(cluster_until(c, another_leads));
    unsigned leader = cluster_leader(c);
    for (unsigned i = 1; i <= 5; i++) {
        cluster_run(c, IDLE / 2);
        CHECK_EQ(ask(c, leader, s, i, "a", "1").result, COR_OK);
    }
    CHECK(has_session(c, old, s));
    for (unsigned i = 1; i <= 3; i++) {
        if (i != old) {
            net_cut(&c->net, old, i, false);
            net_cut(&c->net, i, old, false);
        }
    }
    CHECK(cluster_until(c, cluster_converged));
    CHECK(has_session(c, old, s));
    cluster_free(c);
}

TEST_MAIN(TEST(a_retry_after_a_lost_answer_gets_the_answer_of_the_first_time),
          TEST(a_hundred_retries_on_all_nodes_and_over_a_failover_have_one_effect),
          TEST(two_of_the_same_number_under_way_have_one_effect),
          TEST(answers_survive_a_restart_of_all),
          TEST(a_session_without_a_number_is_refused_at_once),
          TEST(an_idle_session_ends_on_all_nodes_and_a_busy_one_lives),
          TEST(sessions_end_in_a_cluster_that_nobody_asks),
          TEST(the_end_of_one_session_does_not_hasten_the_next),
          TEST(a_new_leader_goes_on_counting), TEST(a_leader_that_is_cut_off_ends_no_session))
