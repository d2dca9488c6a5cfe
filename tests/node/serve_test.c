/*
 * Nodes that run answer: writes and reads in three modes, on any of them.
 */
#include "node/internal.h"
#include "tests/node/cluster.h"

static void a_single_node_forms_at_once_and_answers(void)
{
    struct cluster *c = cluster_formed(1, 1);
    const struct node_status *s = cluster_status(c, 1);
    CHECK_EQ(s->phase, NODE_RUNNING);
    CHECK_TEXT(s->role, "Leader");
    CHECK_TEXT(s->leader_name, "n1");
    CHECK_EQ(c->nodes[1].n_ready, 1u);
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_DEFAULT, "a"), "-");
    CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_OK);
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_DEFAULT, "a"), "1");
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_CONSISTENT, "a"), "1");
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_STALE, "a"), "1");
    cluster_free(c);
}

static void any_node_takes_writes_and_answers_reads_in_every_mode(void)
{
    for (unsigned n = 2; n <= 5; n++) {
        struct cluster *c = cluster_formed(n, n);
        for (unsigned i = 1; i <= n; i++) {
            ROW("node %u of %u", i, n);
            char key[8], value[8];
            format_to(key, sizeof key, "k%u", i);
            format_to(value, sizeof value, "v%u", i);
            CHECK_EQ(cluster_put(c, i, key, value), COR_OK);
            for (unsigned j = 1; j <= n; j++) {
                CHECK_TEXT(cluster_get(c, j, NODE_READ_DEFAULT, key), value);
                CHECK_TEXT(cluster_get(c, j, NODE_READ_CONSISTENT, key), value);
            }
            CHECK_TEXT(cluster_get(c, cluster_leader(c), NODE_READ_STALE, key), value);
        }
        CHECK(cluster_until(c, cluster_converged));
        cluster_free(c);
    }
}

/* ---- limits -------------------------------------------------------------------------------------- */

static void what_is_malformed_or_too_big_is_refused_at_once(void)
{
    struct cluster *c = cluster_formed(1, 1);
    struct cluster_write w = {.n_done = 0};
    static unsigned char big[NODE_REQUEST_MAX + 1];
    struct node_write write = {.ops = {big, sizeof big}};
    CHECK_EQ(node_write(c->nodes[1].node, &write, cluster_on_written, &w), COR_ETOOBIG);
    write.ops = COR_BYTES_LIT("\1\7garbage");
    CHECK_EQ(node_write(c->nodes[1].node, &write, cluster_on_written, &w), COR_EINVAL);
    write.ops = COR_BYTES_LIT("\77");
    CHECK_EQ(node_write(c->nodes[1].node, &write, cluster_on_written, &w), COR_EINVAL);
    write.ops.len = 0;
    CHECK_EQ(node_write(c->nodes[1].node, &write, cluster_on_written, &w), COR_EINVAL);
    cluster_run(c, SIM_S);
    CHECK_EQ(w.n_done, 0u);
    cluster_free(c);
}

static void the_largest_value_travels_by_any_node(void)
{
    struct cluster *c = cluster_formed(3, 1);
    static char value[KV_VALUE_MAX];
    memset(value, 'x', sizeof value);
    struct kv_op op =
        cluster_put_op("a", (struct cor_bytes){(unsigned char *)value, sizeof value});
    op.flags = KV_WANT_PREV;
    for (unsigned i = 1; i <= 3; i++) {
        struct cluster_write w;
        CHECK_EQ(cluster_begin_op(c, i, &op, 0, &w), COR_OK);
        CHECK_EQ(w.n_done, 0u);
        cluster_await(c, &w);
        CHECK_EQ(w.st, COR_OK);
        CHECK_EQ(w.result, COR_OK);
        CHECK_EQ(w.found, i > 1);
    }
    CHECK(cluster_until(c, cluster_converged));
    cluster_free(c);
}

#define MANY 400u

static void pending_requests_are_bounded_in_bytes(void)
{
    struct cluster *c = cluster_new(3, 1);
    c->options.pending_bytes_max = 20000;
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    static struct cluster_write w[MANY];
    static struct cluster_read r[MANY];
    unsigned refused = 0;
    unsigned done = 0;
    unsigned node = cluster_some_follower(c);
    for (unsigned i = 0; i < MANY; i++) {
        cluster_begin_put(c, node, "key", "value", &w[i]);
        refused += w[i].n_done;
        CHECK(w[i].n_done == 0 || w[i].st == COR_EBUSY);
        cluster_begin_get(c, node, NODE_READ_CONSISTENT, "key", &r[i]);
        CHECK(r[i].n_done == 0 || r[i].st == COR_EBUSY);
    }
    CHECK(refused > MANY / 2 && refused < MANY);
    cluster_run(c, SIM_S);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_EQ(w[i].n_done, 1u);
        CHECK_EQ(r[i].n_done, 1u);
        done += w[i].st == COR_OK;
    }
    CHECK_EQ(done + refused, MANY);
    struct node_stats s;
    node_get_stats(c->nodes[node].node, &s);
    CHECK_EQ(s.pending_bytes, 0u);
    CHECK_EQ(s.writes_forwarded, done);
    cluster_free(c);
}

static void writes_of_one_turn_are_one_batch(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    static struct cluster_write w[MANY];
    struct node_stats before, after;
    node_get_stats(c->nodes[leader].node, &before);
    for (unsigned i = 0; i < MANY; i++) {
        cluster_begin_put(c, leader, "key", "value", &w[i]);
    }
    cluster_await(c, &w[MANY - 1]);
    node_get_stats(c->nodes[leader].node, &after);
    CHECK_EQ(after.wal_entries - before.wal_entries, MANY);
    CHECK(after.wal_syncs - before.wal_syncs <= 2);
    CHECK(after.peer_messages_sent - before.peer_messages_sent <= 8);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_EQ(w[i].n_done, 1u);
        CHECK_EQ(w[i].revision, i + 2); /* in the order in which they came */
    }
    cluster_free(c);
}

static void full_memory_refuses_what_adds_and_allows_what_takes_away(void)
{
    struct cluster *c = cluster_new(1, 1);
    c->options.memory_max = 3u << 20;
    cluster_start_all(c);
    CHECK(cluster_until(c, cluster_all_ready));
    static char value[65536];
    struct cluster_write w;
    char key[16];
    unsigned n = 0;
    memset(value, 'v', sizeof value);
    do {
        format_to(key, sizeof key, "k%u", n++);
        struct kv_op op =
            cluster_put_op(key, (struct cor_bytes){(unsigned char *)value, sizeof value});
        CHECK_EQ(cluster_begin_op(c, 1, &op, 0, &w), COR_OK);
        cluster_await(c, &w);
    } while (w.st == COR_OK && n < 200);
    CHECK_EQ(w.st, COR_ENOSPACE);
    CHECK(n > 5);
    CHECK(cluster_status(c, 1)->memory_full);
    struct kv_op del = {.kind = KV_OP_DELETE, .range = {.key = cluster_text("k1")}};
    CHECK_EQ(cluster_begin_op(c, 1, &del, 0, &w), COR_OK);
    cluster_await(c, &w);
    CHECK_EQ(w.st, COR_OK);
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_CONSISTENT, "k1"), "-");
    cluster_free(c);
}

/* ---- without a majority ---------------------------------------------------------------------------- */

static void without_a_majority_requests_end_in_time_and_stale_reads_go_on(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    unsigned left = leader % 3 + 1;
    CHECK_EQ(cluster_put(c, left, "a", "1"), COR_OK);
    cluster_run(c, SIM_S);
    cluster_kill(c, leader);
    cluster_kill(c, left % 3 + 1);
    cluster_run(c, SIM_S);
    uint64_t began = c->world.now;
    CHECK_EQ(cluster_put(c, left, "a", "2"), COR_ENOLEADER);
    CHECK(c->world.now - began <= 5100 * SIM_MS);
    CHECK_TEXT(cluster_get(c, left, NODE_READ_CONSISTENT, "a"), "no leader is known");
    CHECK_TEXT(cluster_get(c, left, NODE_READ_DEFAULT, "a"), "no leader is known");
    struct cluster_read r;
    cluster_begin_get(c, left, NODE_READ_STALE, "a", &r);
    cluster_await_read(c, &r);
    CHECK_TEXT(r.value, "1");
    CHECK_EQ(r.info.leader, 0u);
    CHECK(r.info.last_contact_ms > 10000);
    CHECK(!cluster_status(c, left)->ready);
    cluster_free(c);
}

static void a_leader_that_lost_its_majority_answers_unknown_in_time(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    for (unsigned i = 1; i <= 3; i++) {
        net_cut(&c->net, leader, i, i != leader);
        net_cut(&c->net, i, leader, i != leader);
    }
    uint64_t began = c->world.now;
    CHECK_EQ(cluster_put(c, leader, "a", "1"), COR_EUNKNOWN);
    CHECK(c->world.now - began <= 5100 * SIM_MS);
    CHECK_EQ(cluster_put(c, leader, "a", "1"), COR_ENOLEADER);
    cluster_free(c);
}

static void each_request_has_its_own_deadline(void)
{
    struct cluster *c = cluster_new(2, 1);
    cluster_start(c, 1);
    static struct cluster_write w[20];
    struct kv_op op = cluster_put_op("a", cluster_text("1"));
    for (unsigned i = 0; i < 20; i++) {
        uint64_t seconds = 1 + i * 7 % 20;
        CHECK_EQ(cluster_begin_op(c, 1, &op, seconds * SIM_S, &w[i]), COR_OK);
    }
    cluster_run(c, 50 * SIM_MS);
    for (unsigned second = 1; second <= 20; second++) {
        cluster_run(c, SIM_S);
        for (unsigned i = 0; i < 20; i++) {
            ROW("request %u after %u s", i, second);
            CHECK_EQ(w[i].n_done, 1 + i * 7 % 20 <= second);
        }
    }
    cluster_free(c);
}

/* ---- quiet --------------------------------------------------------------------------------------------- */

static void an_idle_single_node_is_never_woken(void)
{
    struct cluster *c = cluster_formed(1, 1);
    for (unsigned i = 0; i < 50; i++) {
        CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_OK);
        CHECK_TEXT(cluster_get(c, 1, NODE_READ_DEFAULT, "a"), "1");
    }
    cluster_run(c, 10 * SIM_S);
    uint64_t turns = c->world.n_turns;
    cluster_run(c, 3600 * SIM_S);
    CHECK_EQ(c->world.n_turns, turns);
    CHECK_EQ(cluster_put(c, 1, "a", "2"), COR_OK);
    cluster_free(c);
}

/* ---- seen from outside -------------------------------------------------------------------------------- */

static void a_trace_shows_the_steps_of_a_write_in_order(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    CHECK_EQ(cluster_put(c, leader, "a", "1"), COR_OK);
    cluster_run(c, SIM_S);
    uint64_t index = cluster_status(c, leader)->raft.last;
    static struct node_trace t[NODE_TRACE_MAX];
    uint64_t at[6] = {0};
    size_t n = node_get_trace(c->nodes[leader].node, t, NODE_TRACE_MAX);
    for (size_t i = 0; i < n; i++) {
        REQUIRE(t[i].step < 6);
        CHECK(i == 0 || t[i].at >= t[i - 1].at);
        if (t[i].index <= index && index < t[i].index + t[i].n_entries) {
            at[t[i].step] = t[i].at;
            CHECK_EQ(t[i].term, cluster_status(c, leader)->raft.term);
            CHECK_EQ(t[i].peer != 0, t[i].step == NODE_STEP_FOLLOWER_LOG);
        }
    }
    CHECK(at[NODE_STEP_REQUEST] > 0 && at[NODE_STEP_LEADER_LOG] > at[NODE_STEP_REQUEST]);
    CHECK(at[NODE_STEP_FOLLOWER_LOG] > at[NODE_STEP_REQUEST]);
    CHECK(at[NODE_STEP_LEADER_COMMIT] > at[NODE_STEP_REQUEST]);
    CHECK(at[NODE_STEP_ANSWER] >= at[NODE_STEP_LEADER_COMMIT]);
    CHECK_EQ(at[NODE_STEP_FOLLOWER_COMMIT], 0u);
    unsigned follower = cluster_some_follower(c);
    n = node_get_trace(c->nodes[follower].node, t, 1);
    CHECK_EQ(n, 1u);
    CHECK_EQ(t[0].step, NODE_STEP_FOLLOWER_COMMIT);
    CHECK_EQ(t[0].index, index);
    cluster_free(c);
}

static void status_tells_who_is_who(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned leader = cluster_leader(c);
    CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_OK);
    cluster_run(c, SIM_S);
    unsigned leaders = 0;
    for (unsigned i = 1; i <= 3; i++) {
        const struct node_status *s = cluster_status(c, i);
        leaders += strcmp(s->role, "Leader") == 0;
        CHECK_EQ(s->n_peers, 3u);
        CHECK_EQ(s->raft.leader, leader);
        CHECK_TEXT(s->leader_name, c->nodes[leader].name);
        CHECK_TEXT(s->leader_client_address, c->nodes[leader].client);
        for (unsigned j = 0; j < 3; j++) {
            const struct node_peer_status *p = &s->peers[j];
            CHECK_EQ(p->id, j + 1);
            CHECK_TEXT(p->name, c->nodes[j + 1].name);
            CHECK_TEXT(p->client_address, c->nodes[j + 1].client);
            CHECK(p->connected && p->voter);
            CHECK_EQ(p->self, i == j + 1);
            CHECK_EQ(p->match, i == leader ? s->raft.last : 0);
            CHECK_EQ(p->lag_entries, 0u);
            CHECK(p->last_contact_ms <= 50 || (i != leader && j + 1 != leader));
        }
    }
    CHECK_EQ(leaders, 1u);
    cluster_free(c);
}

/* A leader may answer late what a member asked before it was restarted. With the numbers of that life used again
 * the answer, of a time before the question, would be taken. */
static void a_restarted_member_numbers_its_reads_anew(void)
{
    struct cluster *c = cluster_formed(3, 1);
    unsigned follower = cluster_some_follower(c);
    uint64_t serials[2];
    for (unsigned life = 0; life < 2; life++) {
        CHECK_TEXT(cluster_get(c, follower, NODE_READ_CONSISTENT, "a"), "-");
        serials[life] = c->nodes[follower].node->read_serial;
        cluster_kill(c, follower);
        cluster_start(c, follower);
        CHECK(cluster_until(c, cluster_all_ready));
    }
    CHECK(serials[0] - serials[1] > 1000 && serials[1] - serials[0] > 1000);
    cluster_free(c);
}

TEST_MAIN(TEST(a_restarted_member_numbers_its_reads_anew),
          TEST(a_single_node_forms_at_once_and_answers),
          TEST(any_node_takes_writes_and_answers_reads_in_every_mode),
          TEST(what_is_malformed_or_too_big_is_refused_at_once),
          TEST(the_largest_value_travels_by_any_node),
          TEST(pending_requests_are_bounded_in_bytes), TEST(writes_of_one_turn_are_one_batch),
          TEST(full_memory_refuses_what_adds_and_allows_what_takes_away),
          TEST(without_a_majority_requests_end_in_time_and_stale_reads_go_on),
          TEST(a_leader_that_lost_its_majority_answers_unknown_in_time),
          TEST(each_request_has_its_own_deadline), TEST(an_idle_single_node_is_never_woken),
          TEST(a_trace_shows_the_steps_of_a_write_in_order), TEST(status_tells_who_is_who))
