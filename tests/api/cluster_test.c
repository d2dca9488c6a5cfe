/*
 * Three whole nodes over HTTP, as their users see them.
 */
#include "api/api.h"
#include "tests/api/talk.h"
#include "tests/node/cluster.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define PUT(target, digit, value)                                                              \
    "PUT " target " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " digit "\r\n\r\n" value

static struct cluster *cluster;
static struct host host;
static struct api *apis[4]; /* of n1, n2, n3 */
static struct client clients[4];

static void on_accept(void *arg, struct io_stream *s)
{
    struct api **api = arg;
    api_accept(*api, s);
}

static void serve(unsigned i)
{
    struct cluster_node *n = &cluster->nodes[i];
    const struct api_options options = {.node = n->node, .io = &n->host.io, .version = "test"};
    struct io_listener *listener;
    apis[i] = api_new(&options);
    COR_ASSERT(apis[i] != NULL);
    CHECK(io_listen(&n->host.io, n->client, on_accept, &apis[i], NULL, &listener, NULL) ==
          COR_OK);
    client_dial(&clients[i], &cluster->world, &host, n->client);
}

static void kill(unsigned i)
{
    api_free(apis[i]);
    cluster_kill(cluster, i);
}

static void start(unsigned n)
{
    cluster = cluster_formed(n, 7);
    host_init(&host, &cluster->world, &cluster->net, n + 1, NULL);
    host_boot(&host);
    for (unsigned i = 1; i <= n; i++) {
        serve(i);
    }
}

static void stop(void)
{
    for (unsigned i = 1; i <= cluster->n; i++) {
        client_close(&clients[i]);
        if (cluster_is_up(cluster, i)) {
            kill(i);
        }
    }
    host_halt(&host, HOST_KILLED);
    host_deinit(&host);
    cluster_free(cluster);
}

static void any_node_takes_a_write_and_answers_a_read(void)
{
    start(3);
    for (unsigned i = 1; i <= 3; i++) {
        ROW("n%u", i);
        struct reply *r = client_ask(&clients[i], PUT("/db/foo", "3", "bar"));
        CHECK_EQ(r->status, 200u);
        CHECK_EQ(reply_number(r, "X-Coracle-Revision"), i + 1);
        static const char *const reads[] = {GET("/db/foo"), GET("/db/foo?consistent")};
        for (unsigned k = 1; k <= 3; k++) {
            for (size_t m = 0; m < ARRAY_LEN(reads); m++) {
                r = client_ask(&clients[k], reads[m]);
                CHECK_EQ(r->status, 200u);
                CHECK_EQ(reply_number(r, "X-Coracle-Mod-Revision"), i + 1);
                CHECK(reply_has(r, "X-Coracle-Leader: n"));
            }
        }
    }
    ROW("%s", "");
    unsigned leader = cluster_leader(cluster);
    CHECK_EQ(reply_number(client_ask(&clients[leader], GET("/db/foo?stale")),
                          "X-Coracle-Last-Contact"),
             0u);
    stop();
}

static void a_conflict_is_told_through_a_follower(void)
{
    start(3);
    unsigned follower = cluster_leader(cluster) % 3 + 1;
    CHECK_EQ(client_ask(&clients[follower], PUT("/db/a?prev_revision=0", "1", "x"))->status,
             200u);
    struct reply *r = client_ask(&clients[follower], PUT("/db/a?prev_revision=0", "1", "y"));
    CHECK_EQ(r->status, 409u);
    CHECK(reply_has(r, "\"code\":\"conflict\",\"mod_revision\":2"));
    r = client_ask(&clients[follower],
                   "DELETE /db/a?prev_revision=2 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(reply_has(r, "{\"deleted\":1}"));
    stop();
}

static void a_blocked_stale_read_wakes_when_its_own_node_applies(void)
{
    start(3);
    unsigned leader = cluster_leader(cluster);
    unsigned follower = leader % 3 + 1;
    CHECK_EQ(client_ask(&clients[leader], PUT("/db/a", "1", "1"))->status, 200u);
    client_forget(&clients[follower]);
    client_say(&clients[follower], GET("/db/a?stale&index=2&wait=1m"));
    cluster_run(cluster, SIM_S);
    CHECK_EQ(clients[follower].n, 0u);
    CHECK_EQ(client_ask(&clients[leader], PUT("/db/a", "1", "2"))->status, 200u);
    cluster_run(cluster, SIM_S);
    CHECK_EQ(clients[follower].n, 1u);
    CHECK(reply_has(&clients[follower].replies[0], "2"));
    stop();
}

static void without_a_majority_only_stale_reads_are_answered(void)
{
    start(3);
    CHECK_EQ(client_ask(&clients[1], PUT("/db/a", "1", "1"))->status, 200u);
    cluster_run(cluster, SIM_S);
    kill(2);
    kill(3);
    static const struct {
        const char *text;
        unsigned status, or ;
    } rows[] = {{PUT("/db/a?timeout=2s", "1", "2"), 503, 504},
                {GET("/db/a?timeout=2s"), 503, 503},
                {GET("/db/a?timeout=2s&consistent"), 503, 503},
                {GET("/db?timeout=2s"), 503, 503},
                {GET("/db/a?stale"), 200, 200},
                {GET("/health"), 503, 503},
                {GET("/readyz"), 503, 503},
                {GET("/livez"), 200, 200}};
    cluster_run(cluster, 5 * SIM_S);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%.30s", rows[i].text);
        client_forget(&clients[1]);
        client_say(&clients[1], rows[i].text);
        cluster_run(cluster, 3 * SIM_S);
        CHECK_EQ(clients[1].n, 1u);
        unsigned status = clients[1].replies[0].status;
        CHECK(status == rows[i].status || status == rows[i].or);
    }
    ROW("%s", "");
    CHECK(reply_has(client_ask(&clients[1], GET("/db/a?stale")),
                    "X-Coracle-Known-Leader: false\n"));
    stop();
}

static void a_watch_on_any_node_sees_writes_through_any_other(void)
{
    start(3);
    client_say(&clients[3], GET("/db?watch&prefix=w"));
    cluster_run(cluster, SIM_S);
    CHECK_EQ(client_ask(&clients[1], PUT("/db/w1", "1", "1"))->status, 200u);
    CHECK_EQ(client_ask(&clients[2], PUT("/db/w2", "1", "2"))->status, 200u);
    cluster_run(cluster, SIM_S);
    CHECK(reply_has(&clients[3].replies[0], "\"key\":\"w1\",\"value\":\"1\""));
    CHECK(reply_has(&clients[3].replies[0], "\"key\":\"w2\",\"value\":\"2\""));
    stop();
}

static void each_node_tells_its_role_and_what_it_knows_of_the_others(void)
{
    start(3);
    CHECK_EQ(client_ask(&clients[1], PUT("/db/a", "1", "1"))->status, 200u);
    cluster_run(cluster, SIM_S);
    unsigned leader = cluster_leader(cluster);
    char name[32];
    format_to(name, sizeof name, "\"leader\":\"n%u\"", leader);
    for (unsigned i = 1; i <= 3; i++) {
        ROW("n%u", i);
        struct reply *r = client_ask(&clients[i], GET("/status"));
        CHECK(reply_has(r, i == leader ? "\"role\":\"Leader\"" : "\"role\":\"Follower\""));
        CHECK(reply_has(r, name));
        CHECK(reply_has(r, "\"phase\":\"running\""));
        CHECK(reply_has(r, "\"ready\":true"));
        CHECK(reply_has(r, "\"revision\":2"));
        CHECK(reply_has(r, "\"state_hash\":\""));
        CHECK(reply_has(r, "\"peers\":[{\"name\":\"n1\""));
        CHECK(reply_has(client_ask(&clients[i], GET("/readyz")), "ok"));
        CHECK(reply_has(client_ask(&clients[i], GET("/metrics")),
                        i == leader ? "\netcd_server_is_leader 1\n"
                                    : "\netcd_server_is_leader 0\n"));
    }
    ROW("%s", "");
    stop();
}

/* The article's steps 0, 1, 2, 3, 5 of one write, in the order of time (S26). */
static void the_steps_of_a_write_can_be_seen(void)
{
    start(3);
    unsigned leader = cluster_leader(cluster);
    CHECK_EQ(client_ask(&clients[leader], PUT("/db/a", "1", "1"))->status, 200u);
    struct reply *r = client_ask(&clients[leader], GET("/debug/trace"));
    const char *at = strstr(r->body, "\"name\":\"request\"");
    const char *seen[6] = {at};
    static const char *const names[] = {"request",       "leader_log", "follower_log",
                                        "leader_commit", "",           "answer"};
    for (unsigned i = 1; i < 6; i++) {
        char name[40];
        format_to(name, sizeof name, "\"name\":\"%s\"", names[i]);
        seen[i] = names[i][0] == '\0' || at == NULL ? at : strstr(at, name);
        ROW("step %u", i);
        CHECK(seen[i] != NULL);
    }
    ROW("%s", "");
    CHECK(seen[1] < seen[3] && seen[2] < seen[3] && seen[3] < seen[5]);
    unsigned follower = leader % 3 + 1;
    CHECK(
        reply_has(client_ask(&clients[follower], GET("/debug/trace")), "\"follower_commit\""));
    stop();
}

/* Leader and follower show the message that carried a write, in the article's shape (S11). */
static void the_message_of_a_write_reads_as_in_the_article(void)
{
    start(3);
    unsigned leader = cluster_leader(cluster);
    CHECK_EQ(client_ask(&clients[leader], PUT("/db/aae", "3", "bbb"))->status, 200u);
    for (unsigned i = 1; i <= 3; i++) {
        ROW("n%u", i);
        char name[48];
        struct reply *r = client_ask(&clients[i], GET("/debug/trace?format=article"));
        format_to(name, sizeof name, "\"LeaderName\":\"n%u\",\"Entries\":[{\"Index\":", leader);
        CHECK(reply_has(r, name));
        CHECK(reply_has(r, "\"CommandName\":\"write\",\"Command\":"
                           "\"eyJrZXkiOiJhYWUiLCJ2YWx1ZSI6ImJiYiJ9Cg==\"}]"));
        CHECK(reply_has(r, "\"CommandName\":\"raft:nop\"}]"));
    }
    ROW("%s", "");
    stop();
}

static void a_single_node_needs_nobody(void)
{
    start(1);
    CHECK_EQ(client_ask(&clients[1], PUT("/db/a", "1", "1"))->status, 200u);
    CHECK_EQ(client_ask(&clients[1], GET("/db/a?consistent"))->status, 200u);
    CHECK(reply_has(client_ask(&clients[1], GET("/status")), "\"role\":\"Leader\""));
    stop();
}

TEST_MAIN(TEST(any_node_takes_a_write_and_answers_a_read),
          TEST(a_conflict_is_told_through_a_follower),
          TEST(a_blocked_stale_read_wakes_when_its_own_node_applies),
          TEST(without_a_majority_only_stale_reads_are_answered),
          TEST(a_watch_on_any_node_sees_writes_through_any_other),
          TEST(each_node_tells_its_role_and_what_it_knows_of_the_others),
          TEST(the_steps_of_a_write_can_be_seen),
          TEST(the_message_of_a_write_reads_as_in_the_article),
          TEST(a_single_node_needs_nobody))
