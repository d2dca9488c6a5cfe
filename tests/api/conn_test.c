/*
 * Connections: cuts, order, back-pressure, limits in number and time, the end.
 */
#include "api/internal.h"
#include "tests/api/site.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static struct site site;
static struct client client; /* large */

static void put(const char *key, size_t len)
{
    static char text[(1 << 20) + 200];
    size_t head = format_to(
        text, sizeof text,
        "PUT /db/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", key, len);
    struct client c;
    client_open(&c, &site);
    memset(text + head, 'v', len);
    client_send(&c, text, head + len);
    site_run(&site, SIM_S);
    CHECK_EQ(c.n, 1u);
    CHECK_EQ(c.replies[0].status, 200u);
    client_close(&c);
}

static void a_request_may_be_cut_anywhere(void)
{
    static const char text[] =
        "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
        "PUT /db/b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n"
        "GET /db/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        ROW("cut at %zu", cut);
        site_open(&site, (struct api_options){0});
        client_open(&client, &site);
        client_send(&client, text, cut);
        site_run(&site, 10 * SIM_MS);
        client_send(&client, text + cut, sizeof text - 1 - cut);
        site_run(&site, SIM_S);
        CHECK_EQ(client.n, 3u);
        for (size_t i = 0; i < client.n; i++) {
            CHECK_EQ(client.replies[i].status, 200u);
        }
        CHECK(client.n == 3 && client.replies[2].len == 3);
        CHECK_EQ(site_stats(&site).requests, 3u);
        client_close(&client);
        site_close(&site);
    }
    ROW("%s", "");
}

static void answers_keep_the_order_of_requests(void)
{
    site_open(&site, (struct api_options){0});
    put("k", 10);
    client_open(&client, &site);
    /* A slow write, a quick read, an error that needs nobody, a quicker write, a slow read. */
    site.node.write_delay = 50 * SIM_MS;
    client_say(&client, "PUT /db/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
                        "GET /db/k?stale HTTP/1.1\r\nHost: localhost\r\n\r\n"
                        "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    site_run(&site, SIM_MS);
    site.node.write_delay = SIM_MS;
    site.node.read_delay = 70 * SIM_MS;
    client_say(&client, "DELETE /db/none HTTP/1.1\r\nHost: localhost\r\n\r\n"
                        "GET /db/slow HTTP/1.1\r\nHost: localhost\r\n\r\n"
                        "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    site_run(&site, 20 * SIM_MS);
    CHECK_EQ(client.n, 0u); /* the quick ones wait for the slow one before them */
    site_run(&site, SIM_S);
    static const unsigned want[] = {200, 200, 404, 200, 200, 200};
    CHECK_EQ(client.n, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        ROW("answer %zu", i);
        CHECK_EQ(client.replies[i].status, want[i]);
    }
    ROW("%s", "");
    CHECK(reply_has(&client.replies[3], "{\"deleted\":0}"));
    CHECK(reply_has(&client.replies[4], "x"));
    CHECK(reply_has(&client.replies[5], "ok"));
    client_close(&client);
    site_close(&site);
}

static void a_full_pipeline_is_not_read(void)
{
    static char text[8192 + 100];
    site_open(&site, (struct api_options){.pipeline_max = 8});
    client_open(&client, &site);
    site.node.write_delay = 10 * SIM_MS;
    size_t head =
        format_to(text, sizeof text,
                  "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8192\r\n\r\n");
    memset(text + head, 'v', 8192);
    for (unsigned i = 0; i < 500; i++) { /* 4 MiB: more than would be kept */
        client_send(&client, text, head + 8192);
    }
    for (unsigned i = 0; i < 200; i++) {
        site_run(&site, SIM_MS);
        CHECK(site.node.n_pending <= 8);
    }
    site_run(&site, 10 * SIM_S);
    CHECK_EQ(client.n, 500u);
    CHECK_EQ(site.node.index, 500u);
    client_close(&client);
    site_close(&site);
}

static void answers_of_a_turn_leave_together(void)
{
    site_open(&site, (struct api_options){0});
    client_open(&client, &site);
    for (unsigned i = 0; i < 100; i++) {
        client_say(&client, GET("/db/a?stale"));
    }
    uint64_t turns = site.w.n_turns;
    site_run(&site, SIM_S);
    CHECK_EQ(client.n, 100u);
    CHECK(site.w.n_turns - turns < 12);
    client_close(&client);
    site_close(&site);
}

static void who_does_not_read_is_not_answered_without_end(void)
{
    site_open(&site, (struct api_options){0});
    put("big", 1 << 20);
    client_open(&client, &site);
    io_stream_pause(client.s, true);
    for (unsigned i = 0; i < 50; i++) {
        client_say(&client, GET("/db/big?stale"));
    }
    site_run(&site, 10 * SIM_S);
    uint64_t out = site_stats(&site).bytes_out;
    CHECK(out <= 4u << 20);
    io_stream_pause(client.s, false);
    site_run(&site, 10 * SIM_S);
    CHECK_EQ(client.n, 50u);
    CHECK(site_stats(&site).bytes_out > 50u << 20);
    client_close(&client);
    site_close(&site);
}

static void who_stops_reading_is_cut_off(void)
{
    site_open(&site, (struct api_options){0});
    put("big", 1 << 20);
    client_open(&client, &site);
    io_stream_pause(client.s, true);
    for (unsigned i = 0; i < 5; i++) {
        client_say(&client, GET("/db/big?stale"));
    }
    site_run(&site, 25 * SIM_S);
    CHECK_EQ(site_stats(&site).connections, 1u);
    site_run(&site, 36 * SIM_S); /* the first half minute has seen some progress */
    CHECK_EQ(site_stats(&site).connections, 0u);
    client_close(&client);
    site_close(&site);
}

static void slow_clients_share_a_limit(void)
{
    static struct client many[12];
    static char body[1 << 20];
    memset(body, 'x', sizeof body);
    site_open(&site, (struct api_options){.memory_max = 8 << 20});
    put("big", 1 << 20);
    unsigned refused = 0;
    for (unsigned i = 0; i < 12; i++) {
        client_open(&many[i], &site);
        client_say(&many[i],
                   "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n");
        client_send(&many[i], body, sizeof body - 1);
        site_run(&site, 10 * SIM_MS);
        refused += many[i].n == 1 && many[i].replies[0].status == 503;
        CHECK(site.api->held_bytes <= 8u << 20);
    }
    CHECK(refused >= 4 && refused <= 6);
    for (unsigned i = 0; i < 12; i++) {
        client_close(&many[i]);
    }
    CHECK(site.api->held_bytes <= API_PARSERS_MAX * API_PARSER_KEEP);
    for (unsigned i = 0; i < 12; i++) {
        client_open(&many[i], &site);
        io_stream_pause(many[i].s, true);
        client_say(&many[i], GET("/db/big?stale") GET("/db/big?stale") GET("/db/big?stale"));
        site_run(&site, 10 * SIM_MS);
    }
    CHECK(site_stats(&site).connections >= 3);
    CHECK(site_stats(&site).connections <= 8);
    CHECK(site_stats(&site).refused >= 4);
    client_open(&client, &site); /* who reads is served */
    CHECK_EQ(client_ask(&client, GET("/db/big?stale"))->status, 200u);
    CHECK_EQ(client.replies[0].len, 1u << 20);
    client_close(&client);
    for (unsigned i = 0; i < 12; i++) {
        client_close(&many[i]);
    }
    site_run(&site, 70 * SIM_S);
    CHECK_EQ(site_stats(&site).connections, 0u);
    CHECK(site.api->held_bytes <= API_PARSERS_MAX * API_PARSER_KEEP);
    site_close(&site);
}

static size_t bytes_that_wait(void)
{
    size_t bytes = 0;
    for (unsigned list = 0; list < CONN_N_LISTS; list++) {
        for (const struct conn *c = site.api->lists[list]; c != NULL; c = c->next) {
            bytes += c->closed ? 0 : io_stream_queued(c->stream);
        }
    }
    return bytes;
}

/* All ask in the same turn, before anybody can be seen not to read. */
static void a_crowd_that_does_not_read_is_not_answered_all_at_once(void)
{
    static struct client many[64];
    site_open(&site, (struct api_options){.memory_max = 8 << 20});
    put("big", 1 << 20);
    for (unsigned i = 0; i < 64; i++) {
        client_open(&many[i], &site);
    }
    site_run(&site, SIM_S);
    site.server.turn_cost = 50 * SIM_MS;
    site_run(&site, SIM_S);
    for (unsigned i = 0; i < 64; i++) {
        io_stream_pause(many[i].s, i % 8 != 0);
        client_say(&many[i], GET("/db/big?stale") GET("/db/big?stale") GET("/db/big?stale"));
    }
    size_t most = 0;
    for (unsigned i = 0; i < 200; i++) {
        site_run(&site, 10 * SIM_MS);
        size_t bytes = bytes_that_wait();
        most = bytes > most ? bytes : most;
    }
    CHECK(most > 4u << 20);
    CHECK(most <= (8u << 20) + 2 * API_TURN_MAX);
    CHECK(site_stats(&site).refused >= 40);
    for (unsigned i = 0; i < 64; i++) {
        client_close(&many[i]);
    }
    site_run(&site, 70 * SIM_S);
    CHECK_EQ(site_stats(&site).connections, 0u);
    CHECK(site.api->held_bytes <= API_PARSERS_MAX * API_PARSER_KEEP);
    site_close(&site);
}

/* What one turn may bring is shared, and all get theirs in the end. */
static void a_crowd_that_reads_is_answered_in_turns(void)
{
    static struct client many[48];
    site_open(&site, (struct api_options){0});
    put("big", 1 << 20);
    for (unsigned i = 0; i < 48; i++) {
        client_open(&many[i], &site);
    }
    site_run(&site, SIM_S);
    for (unsigned i = 0; i < 48; i++) {
        client_say(&many[i], GET("/db/big?stale") GET("/db/big?stale"));
    }
    site_run(&site, 60 * SIM_S);
    for (unsigned i = 0; i < 48; i++) {
        ROW("client %u", i);
        CHECK_EQ(many[i].n, 2u);
        CHECK(many[i].n < 2 || many[i].replies[1].len == 1u << 20);
        client_close(&many[i]);
    }
    ROW("%s", "");
    site_run(&site, SIM_S);
    CHECK(site.api->held_bytes <= API_PARSERS_MAX * API_PARSER_KEEP);
    site_close(&site);
}

static void slow_heads_and_bodies_have_their_time(void)
{
    static const struct {
        const char *name, *begin, *drip;
        unsigned drips;  /* one every 4 s */
        bool cut, early; /* cut while it drips */
    } rows[] = {
        {"a head that drips", "GET /db/a HTTP/1.1\r\nHost: localhost\r\nX-A: ", "a", 5, true,
         true},
        {"a head in time", "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: ", "\r\n", 2, false,
         false},
        {"a body that drips",
         "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n", "b", 12, false,
         false},
        {"a body that stops",
         "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n", "b", 2, true,
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        site_open(&site, (struct api_options){0});
        client_open(&client, &site);
        client_say(&client, rows[i].begin);
        for (unsigned n = 0; n < rows[i].drips; n++) {
            site_run(&site, 4 * SIM_S);
            client_say(&client, rows[i].drip);
        }
        CHECK_EQ(client.n, rows[i].early ? 1u : 0u);
        site_run(&site, 31 * SIM_S);
        CHECK_EQ(client.n, 1u);
        CHECK_EQ(client.replies[0].status, rows[i].cut ? 408u : 200u);
        site_run(&site, 3 * SIM_S);
        CHECK_EQ(site_stats(&site).connections, rows[i].cut ? 0u : 1u);
        client_close(&client);
        site_close(&site);
    }
    ROW("%s", "");
}

static void idle_connections_are_cheap_and_end(void)
{
    CHECK(sizeof(struct conn) <= 320);
    site_open(&site, (struct api_options){0});
    client_open(&client, &site);
    site_run(&site, SIM_S);
    client_ask(&client, GET("/livez"));
    struct conn *c = site.api->lists[CONN_IDLE];
    CHECK(c != NULL && c->parser == NULL && c->rest == NULL);
    uint64_t turns = site.w.n_turns;
    site_run(&site, 290 * SIM_S);
    CHECK(site.w.n_turns - turns <= 2); /* one look at the deadline set before the request */
    CHECK_EQ(site_stats(&site).connections, 1u);
    site_run(&site, 15 * SIM_S);
    CHECK_EQ(site_stats(&site).connections, 0u);
    CHECK(client.ended);
    client_close(&client);
    client_open(&client, &site);
    client_ask(&client, GET("/livez"));
    client_close(&client);
    site_run(&site, SIM_S);
    turns = site.w.n_turns;
    site_run(&site, 3600 * SIM_S); /* nobody there, nothing to wake up for */
    CHECK_EQ(site.w.n_turns, turns);
    site_close(&site);
}

static void connections_have_a_limit(void)
{
    static struct client others[3];
    site_open(&site, (struct api_options){.connections_max = 3});
    for (unsigned i = 0; i < 3; i++) {
        client_open(&others[i], &site);
    }
    client_open(&client, &site);
    site_run(&site, SIM_S);
    CHECK_EQ(client.n, 1u);
    CHECK_EQ(client.replies[0].status, 503u);
    CHECK(reply_has(&client.replies[0],
                    "{\"error\":\"too many connections here\",\"code\":\"busy\"}\n"));
    CHECK(client.closed);
    CHECK_EQ(site_stats(&site).refused, 1u);
    client_close(&client);
    client_close(&others[0]);
    client_open(&client, &site);
    CHECK_EQ(client_ask(&client, GET("/livez"))->status, 200u);
    client_close(&client);
    client_close(&others[1]);
    client_close(&others[2]);
    site_close(&site);
}

static void a_client_may_ask_before_it_sends_a_body(void)
{
    site_open(&site, (struct api_options){0});
    client_open(&client, &site);
    site.node.write_delay = 20 * SIM_MS;
    client_say(&client, "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
                        "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                        "Expect: 100-continue\r\n\r\n");
    site_run(&site, 10 * SIM_MS);
    uint64_t out = site_stats(&site).bytes_out;
    CHECK_EQ(out, 0u); /* not before the answer in front of it */
    site_run(&site, SIM_S);
    CHECK_EQ(client.n, 1u);
    CHECK(site_stats(&site).bytes_out > 25 + out);
    client_say(&client, "yz");
    site_run(&site, SIM_S);
    CHECK_EQ(client.n, 2u);
    CHECK_EQ(client.replies[1].status, 200u);
    CHECK_EQ(site.node.index, 2u);
    client_close(&client);
    site_close(&site);
}

static void who_says_no_more_is_still_answered(void)
{
    /* Close in the header, HTTP/1.0, and a half-close are three ways to say so. */
    static const char *const rows[] = {
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" GET("/livez"),
        "GET /livez HTTP/1.0\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i]);
        site_open(&site, (struct api_options){0});
        client_open(&client, &site);
        CHECK(client_ask(&client, rows[i])->close);
        CHECK(client.closed);
        client_close(&client);
        site_close(&site);
    }
    ROW("%s", "");
    site_open(&site, (struct api_options){.pipeline_max = 1});
    client_open(&client, &site);
    client_say(&client, "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    client_say(&client, GET("/db/a"));
    io_stream_close(client.s, true); /* this world's streams close both ways: nobody reads, */
    site_run(&site, SIM_S);          /* but what was asked is done */
    CHECK_EQ(site.node.index, 1u);
    CHECK_EQ(site_stats(&site).connections, 0u);
    client_close(&client);
    site_close(&site);
}

static void a_client_that_left_is_forgotten_when_the_node_answers(void)
{
    site_open(&site, (struct api_options){0});
    client_open(&client, &site);
    site.node.write_delay = SIM_S;
    client_say(&client, "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    client_say(&client, GET("/db/a?index=5&wait=1m"));
    site_run(&site, 10 * SIM_MS);
    CHECK_EQ(site.node.hub->n_waits, 1u);
    net_reset(&site.net, 1, 2);
    site_run(&site, 10 * SIM_MS);
    CHECK_EQ(site_stats(&site).connections, 0u);
    CHECK(site.api->orphans != NULL);
    CHECK_EQ(site.node.hub->n_waits, 0u);
    site_run(&site, 2 * SIM_S);
    CHECK(site.api->orphans == NULL);
    CHECK_EQ(site.node.index, 1u);
    client_close(&client);
    site_close(&site);
}

static void nothing_waits_for_a_client_that_said_its_last(void)
{
    site_open(&site, (struct api_options){0});
    client_open(&client, &site);
    client_say(&client, GET("/db/a?index=5&wait=1m"));
    site_run(&site, 10 * SIM_MS);
    CHECK_EQ(site.node.hub->n_waits, 1u);
    client_hang_up(&client);
    site_run(&site, 10 * SIM_MS);
    CHECK_EQ(site.node.hub->n_waits, 0u);
    CHECK_EQ(site_stats(&site).connections, 0u);
    client_close(&client);
    client_open(&client, &site);
    client_say(&client, GET("/db?watch"));
    site_run(&site, 10 * SIM_MS);
    CHECK_EQ(site.node.hub->n_watches, 1u);
    client_hang_up(&client);
    site_run(&site, 10 * SIM_MS);
    CHECK_EQ(site.node.hub->n_watches, 0u);
    CHECK_EQ(site_stats(&site).connections, 0u);
    client_close(&client);
    site_close(&site);
}

static void a_refused_client_can_read_why(void)
{
    static char body[300000];
    memset(body, 'x', sizeof body);
    site_open(&site, (struct api_options){0});
    client_open(&client, &site);
    client_say(&client,
               "PUT /db/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n");
    for (unsigned i = 0; i < 10; i++) {
        client_send(&client, body, sizeof body);
        site_run(&site, SIM_MS);
    }
    site_run(&site, 100 * SIM_MS);
    CHECK_EQ(client.n, 1u);
    CHECK_EQ(client.replies[0].status, 413u);
    CHECK_EQ(site_stats(&site).connections, 1u); /* a reset would overtake the answer */
    site_run(&site, 3 * SIM_S);
    CHECK_EQ(site_stats(&site).connections, 0u);
    client_close(&client);
    site_close(&site);
}

/* ---- stopping --------------------------------------------------------------------------------------- */

static void a_graceful_stop_answers_what_is_in_progress(void)
{
    static struct client idle, half, waiting, watching;
    site_open(&site, (struct api_options){0});
    put("a", 1);
    client_open(&idle, &site);
    client_open(&half, &site);
    client_open(&waiting, &site);
    client_open(&watching, &site);
    client_open(&client, &site);
    site.node.write_delay = 200 * SIM_MS;
    client_say(&half, "GET /livez HTTP/1.1\r\nHo");
    client_say(&waiting, GET("/db/a?index=2&wait=5m"));
    client_say(&watching, GET("/db?watch"));
    client_say(&client, "PUT /db/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    site_run(&site, 20 * SIM_MS);
    CHECK_EQ(site_stats(&site).connections, 5u);

    api_stop(site.api, 5 * SIM_S, site_on_stopped, &site);
    CHECK(!site.stopped);
    site_run(&site, 50 * SIM_MS);
    CHECK(idle.closed);
    CHECK_EQ(waiting.n, 1u); /* not longer than needed, with what there is */
    CHECK_EQ(waiting.replies[0].status, 200u);
    CHECK(waiting.replies[0].close);
    CHECK_EQ(watching.n, 1u);
    CHECK(reply_has(&watching.replies[0], "\"code\":\"stopping\",\"resume_revision\":3}\n"));
    CHECK(!site.stopped);
    client_say(&half, "st: localhost\r\n\r\n");
    site_run(&site, SIM_S);
    CHECK_EQ(half.n, 1u);
    CHECK_EQ(half.replies[0].status, 200u);
    CHECK(half.replies[0].close);
    CHECK_EQ(client.n, 1u);
    CHECK_EQ(client.replies[0].status, 200u);
    CHECK(client.replies[0].close);
    CHECK(site.stopped);
    CHECK_EQ(site_stats(&site).connections, 0u);
    client_close(&client);
    client_open(&client, &site); /* and whoever comes now is told to go elsewhere */
    site_run(&site, SIM_S);
    CHECK_EQ(client.replies[0].status, 503u);
    client_close(&idle);
    client_close(&half);
    client_close(&waiting);
    client_close(&watching);
    client_close(&client);
    site_close(&site);
}

static void a_stop_does_not_wait_longer_than_its_grace(void)
{
    static struct client half;
    site_open(&site, (struct api_options){0});
    client_open(&half, &site);
    client_open(&client, &site);
    site.node.write_delay = 60 * SIM_S;
    client_say(&half, "GET /livez HTTP/1.1\r\nHo");
    client_say(&client, "PUT /db/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    site_run(&site, 20 * SIM_MS);
    api_stop(site.api, SIM_S, site_on_stopped, &site);
    site_run(&site, 900 * SIM_MS);
    CHECK(!site.stopped);
    site_run(&site, 300 * SIM_MS);
    CHECK(site.stopped);
    client_close(&client);
    client_close(&half);
    site_close(&site);
}

static void a_stop_of_nothing_is_done_at_once(void)
{
    site_open(&site, (struct api_options){0});
    api_stop(site.api, SIM_S, site_on_stopped, &site);
    site_run(&site, SIM_MS);
    CHECK(site.stopped);
    site_close(&site);
}

TEST_MAIN(TEST(a_request_may_be_cut_anywhere), TEST(answers_keep_the_order_of_requests),
          TEST(a_full_pipeline_is_not_read), TEST(answers_of_a_turn_leave_together),
          TEST(who_does_not_read_is_not_answered_without_end),
          TEST(who_stops_reading_is_cut_off), TEST(a_crowd_that_reads_is_answered_in_turns),
          TEST(a_crowd_that_does_not_read_is_not_answered_all_at_once),
          TEST(slow_clients_share_a_limit), TEST(slow_heads_and_bodies_have_their_time),
          TEST(idle_connections_are_cheap_and_end), TEST(connections_have_a_limit),
          TEST(a_client_may_ask_before_it_sends_a_body),
          TEST(who_says_no_more_is_still_answered),
          TEST(a_client_that_left_is_forgotten_when_the_node_answers),
          TEST(nothing_waits_for_a_client_that_said_its_last),
          TEST(a_refused_client_can_read_why),
          TEST(a_graceful_stop_answers_what_is_in_progress),
          TEST(a_stop_does_not_wait_longer_than_its_grace),
          TEST(a_stop_of_nothing_is_done_at_once))
