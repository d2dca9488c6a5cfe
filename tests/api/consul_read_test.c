/*
 * Blocking queries, long listings, durations: what takes time in Consul's dialect.
 */
#include "api/consul/attrs.h"
#include "api/consul/consul.h"
#include "tests/api/site.h"

static struct site site;
static struct client client, writer;

static void say(struct client *c, const char *line, const char *body)
{
    static char text[(1 << 20) + 4096];
    format_to(text, sizeof text,
              "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", line,
              strlen(body), body);
    client_say(c, text);
}

/* A request of the other client, answered with 200. */
static void does(const char *line, const char *body)
{
    client_forget(&writer);
    say(&writer, line, body);
    site_run(&site, 10 * SIM_MS);
    CHECK_EQ(writer.n, 1u);
    CHECK_EQ(writer.replies[0].status, 200u);
}

static void start(void)
{
    site_open(&site, (struct api_options){0});
    client_open(&client, &site);
    client_open(&writer, &site);
}

static void stop(void)
{
    client_close(&client);
    client_close(&writer);
    site_close(&site);
}

/* ---- what wakes ------------------------------------------------------------------------------------ */

static void a_blocked_query_wakes_on_what_it_asked_for_alone(void)
{
    static const struct {
        const char *ask;          /* with a/x at 2, b at 3 */
        const char *idle, *wakes; /* does not, does; both may have a body of "new" */
        unsigned status;
        const char *has;
    } rows[] = {
        {"GET /v1/kv/b?index=3", "PUT /v1/kv/bb", "PUT /v1/kv/b", 200, "X-Consul-Index: 5\n"},
        {"GET /v1/kv/b?index=3&stale", "PUT /db/a", "PUT /db/b", 200, "\"Value\":\"bmV3\""},
        {"GET /v1/kv/b?index=3&consistent", "DELETE /v1/kv/a/x", "DELETE /v1/kv/b", 404,
         "X-Consul-Index: 5\n"},
        {"GET /v1/kv/b?index=3&raw", "DELETE /v1/kv/none", "DELETE /v1/kv/b?recurse", 404,
         "X-Consul-Index: 4\n"},
        {"GET /v1/kv/none?index=3", "PUT /v1/kv/b", "PUT /v1/kv/none", 200, "\"none\""},
        {"GET /v1/kv/a/?recurse&index=2", "PUT /v1/kv/b", "PUT /v1/kv/a/y", 200, "\"a/y\""},
        {"GET /v1/kv/a/?keys&index=2", "PUT /v1/kv/a", "DELETE /v1/kv/a/x", 404, ""},
        {"GET /v1/kv/z?keys&index=3", "PUT /v1/kv/a/x", "PUT /v1/kv/zz", 200, "[\"zz\"]"},
        {"GET /v1/kv/?recurse&index=3", "PUT /v1/kv/b?cas=99", "PUT /v1/kv/c", 200, "\"c\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].ask);
        start();
        does("PUT /v1/kv/a/x", "old");
        does("PUT /v1/kv/b", "old");
        say(&client, rows[i].ask, "");
        site_run(&site, SIM_S);
        CHECK_EQ(client.n, 0u);
        does(rows[i].idle, "new");
        CHECK_EQ(client.n, 0u);
        does(rows[i].wakes, "new");
        REQUIRE(client.n == 1);
        CHECK_EQ(client.replies[0].status, rows[i].status);
        CHECK(reply_has(&client.replies[0], rows[i].has[0] != '\0' ? rows[i].has : "X-Consul"));
        stop();
    }
    ROW("%s", "");
}

static void a_put_that_changes_nothing_wakes_nobody(void)
{
    start();
    does("PUT /v1/kv/a?flags=1", "x");
    say(&client, "GET /v1/kv/a?index=2", "");
    does("PUT /v1/kv/a?flags=1", "x");
    does("PUT /v1/kv/a?cas=2&flags=1", "x");
    site_run(&site, SIM_S);
    CHECK_EQ(client.n, 0u);
    does("PUT /v1/kv/a?flags=2", "x");
    CHECK_EQ(client.n, 1u);
    stop();
}

static void an_older_index_is_answered_at_once_and_a_future_one_waits(void)
{
    start();
    does("PUT /v1/kv/a", "1");
    does("PUT /v1/kv/a", "2");
    say(&client, "GET /v1/kv/a?index=2", "");
    site_run(&site, 10 * SIM_MS);
    CHECK_EQ(client.n, 1u);
    say(&client, "GET /v1/kv/a?index=4&wait=10s", ""); /* the next change has index 4 */
    does("PUT /v1/kv/a", "3");
    CHECK_EQ(client.n, 1u);
    does("PUT /v1/kv/a", "4");
    CHECK_EQ(client.n, 2u);
    stop();
}

/* ---- how long --------------------------------------------------------------------------------------- */

static void waiting_ends_with_the_time_asked_for_and_a_sixteenth(void)
{
    static const struct {
        const char *wait;
        uint64_t ns;
    } rows[] = {{"&wait=1600ms", 1600 * SIM_MS}, {"&wait=2.9s", 2900 * SIM_MS},
                {"&wait=1m30s", 90 * SIM_S},     {"", 300 * SIM_S},
                {"&wait=0", 300 * SIM_S},        {"&wait=-5s", 300 * SIM_S},
                {"&wait=20m", 600 * SIM_S}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[96];
        ROW("%s", rows[i].wait);
        start();
        does("PUT /v1/kv/a", "1");
        format_to(line, sizeof line, "GET /v1/kv/a?index=2%s", rows[i].wait);
        say(&client, line, "");
        site_run(&site, rows[i].ns - 10 * SIM_MS);
        CHECK_EQ(client.n, 0u);
        site_run(&site, rows[i].ns / 16 + 100 * SIM_MS);
        REQUIRE(client.n == 1);
        CHECK_EQ(client.replies[0].status, 200u);
        CHECK_EQ(reply_number(&client.replies[0], "X-Consul-Index"), 2u);
        stop();
    }
    ROW("%s", "");
}

static void those_who_ask_together_do_not_come_back_together(void)
{
    start();
    does("PUT /v1/kv/a", "1");
    for (unsigned i = 0; i < 32; i++) {
        struct client c;
        client_open(&c, &site);
        say(&c, "GET /v1/kv/a?index=2&wait=160s", "");
        site_run(&site, 161 * SIM_S);
        size_t early = c.n;
        site_run(&site, 10 * SIM_S);
        CHECK_EQ(c.n, 1u);
        client_close(&c);
        if (early == 0) {
            stop();
            return;
        }
    }
    bool one_waited_for_more_than_a_second_longer = false;
    CHECK(one_waited_for_more_than_a_second_longer);
    stop();
}

static void after_waiting_in_vain_somebody_vouches_again(void)
{
    start();
    does("PUT /v1/kv/a", "1");
    say(&client, "GET /v1/kv/a?index=2&wait=1s", "");
    site_run(&site, 500 * SIM_MS);
    site.node.read_end = COR_ENOLEADER;
    site_run(&site, SIM_S);
    REQUIRE(client.n == 1);
    CHECK_EQ(client.replies[0].status, 500u);
    CHECK(reply_has(&client.replies[0], "No cluster leader"));
    stop();
}

/* ---- who goes --------------------------------------------------------------------------------------- */

static void a_client_that_leaves_is_forgotten(void)
{
    start();
    does("PUT /v1/kv/a", "1");
    say(&client, "GET /v1/kv/a?index=2", "");
    site_run(&site, 100 * SIM_MS);
    struct node_stats stats;
    node_get_stats(&site.node, &stats);
    CHECK_EQ(stats.waiters, 1u);
    client_hang_up(&client);
    node_get_stats(&site.node, &stats);
    CHECK_EQ(stats.waiters, 0u);
    does("PUT /v1/kv/a", "2");
    stop();
}

static void a_node_that_stops_answers_who_waits(void)
{
    start();
    does("PUT /v1/kv/a", "1");
    say(&client, "GET /v1/kv/a?index=2", "");
    site_run(&site, 100 * SIM_MS);
    api_stop(site.api, SIM_S, site_on_stopped, &site);
    site_run(&site, 100 * SIM_MS);
    REQUIRE(client.n == 1);
    CHECK_EQ(client.replies[0].status, 200u);
    CHECK(client.replies[0].close);
    stop();
}

static void a_blocked_request_holds_no_parser_and_one_small_block(void)
{
    start();
    does("PUT /v1/kv/a", "1");
    say(&client, "GET /v1/kv/a?index=2", "");
    site_run(&site, 100 * SIM_MS);
    const struct conn *c = site.api->lists[CONN_BUSY];
    REQUIRE(c != NULL && c->first != NULL);
    CHECK(c->parser == NULL);
    CHECK(c->rest == NULL);
    CHECK_EQ(c->first->block_size, API_BLOCK_SIZE);
    CHECK(sizeof *c + c->first->block_size <= 2048);
    stop();
}

/* ---- long listings -------------------------------------------------------------------------------------- */

#define MANY 300u

static void put_many(void)
{
    static char value[1025];
    memset(value, 'v', 1024);
    for (unsigned i = 0; i < MANY; i++) {
        char line[64];
        format_to(line, sizeof line, "PUT /v1/kv/k%03u/x", i);
        does(line, value);
    }
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) {
        n++;
    }
    return n;
}

static void a_long_listing_leaves_in_pieces_and_is_one_document(void)
{
    for (unsigned pretty = 0; pretty < 2; pretty++) {
        start();
        put_many();
        struct reply *r = client_ask(&client, pretty ? "GET /v1/kv/?recurse&pretty HTTP/1.1\r\n"
                                                       "Host: localhost\r\n\r\n"
                                                     : "GET /v1/kv/?recurse HTTP/1.1\r\n"
                                                       "Host: localhost\r\n\r\n");
        CHECK(reply_has(r, "Transfer-Encoding: chunked"));
        CHECK_EQ(reply_number(r, "X-Consul-Index"), MANY + 1);
        struct json_value *d =
            json_parse((struct cor_bytes){(const unsigned char *)r->body, r->len});
        CHECK_EQ(json_length(d), MANY);
        for (size_t i = 0; i < json_length(d); i++) {
            char key[16];
            format_to(key, sizeof key, "k%03u/x", (unsigned)i);
            CHECK(strcmp(json_get_text(json_member(json_at(d, i), "Key")), key) == 0);
        }
        json_free(d);
        CHECK_EQ(count(r->body, "\n    {\n"), pretty ? MANY : 0u);
        stop();
    }
}

static void groups_of_keys_are_skipped_not_walked(void)
{
    start();
    put_many();
    struct reply *r = client_ask(&client, "GET /v1/kv/k?keys&separator=/ HTTP/1.1\r\n"
                                          "Host: localhost\r\n\r\n");
    CHECK_EQ(count(r->body, "/\""), MANY);
    CHECK_EQ(count(r->body, "x"), 0u);
    r = client_ask(&client, "GET /v1/kv/?keys&separator=0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(reply_has(r, "[\"k0\",\"k10\",\"k110\",\"k111/x\""));
    stop();
}

/* ---- words ------------------------------------------------------------------------------------------------ */

static void durations_are_read_as_go_reads_them(void)
{
    static const struct {
        const char *text;
        int64_t ns;
        bool bad;
    } rows[] = {{"10s", 10000000000, false},
                {"1m30s", 90000000000, false},
                {"500ms", 500000000, false},
                {"15.0s", 15000000000, false},
                {"0.001s", 1000000, false},
                {"100000ms", 100000000000, false},
                {"1h2m3s4ms5us6ns", 3723004005006, false},
                {"2\xc2\xb5s", 2000, false},
                {"2\xce\xbcs", 2000, false},
                {"-1.5h", -5400000000000, false},
                {"+.5s", 500000000, false},
                {"3.m", 180000000000, false},
                {"0", 0, false},
                {"-0", 0, false},
                {"9223372036854775807ns", INT64_MAX, false},
                {"9223372036854775808ns", 0, true},
                {"99999999h", 0, true},
                {"2562047h48m", 0, true},
                {"", 0, true},
                {"5", 0, true},
                {"s", 0, true},
                {".s", 0, true},
                {"1x", 0, true},
                {"1 s", 0, true},
                {"1s ", 0, true},
                {"--1s", 0, true},
                {"99999999999999999999s", 0, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = 0;
        struct cor_bytes text = {(const unsigned char *)rows[i].text, strlen(rows[i].text)};
        ROW("%s", rows[i].text);
        CHECK_EQ(consul_duration(text, &got), !rows[i].bad);
        CHECK_EQ(got, rows[i].ns);
    }
    ROW("%s", "");
}

static void attributes_go_both_ways_and_zeros_take_no_room(void)
{
    static const unsigned char id[CONSUL_SESSION_SIZE] = {0x8f, 0x2b, 0x4d, 0xc2, 0x92, 0xf1,
                                                          0x4d, 0x4c, 0x9c, 0x3c, 0x6e, 0x7d,
                                                          0x1f, 0x2a, 0x3b, 0x4c};
    static const struct {
        struct consul_attrs attrs;
        size_t size;
    } rows[] = {{{0, 0, {NULL, 0}}, 0},
                {{5, 0, {NULL, 0}}, 1},
                {{0, 7, {NULL, 0}}, 3},
                {{1, 0, {id, sizeof id}}, 18},
                {{UINT64_MAX, UINT64_MAX, {id, sizeof id}}, 37}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char bytes[CONSUL_ATTRS_MAX];
        size_t size = consul_attrs_encode(&rows[i].attrs, bytes);
        CHECK_EQ(size, rows[i].size);
        struct consul_attrs back = consul_attrs_decode((struct cor_bytes){bytes, size});
        CHECK_EQ(back.lock_index, rows[i].attrs.lock_index);
        CHECK_EQ(back.flags, rows[i].attrs.flags);
        CHECK_BYTES(back.session, rows[i].attrs.session);
    }
    char text[CONSUL_SESSION_TEXT];
    consul_session_text((struct cor_bytes){id, sizeof id}, text);
    CHECK_BYTES(((struct cor_bytes){(unsigned char *)text, sizeof text}),
                COR_BYTES_LIT("8f2b4dc2-92f1-4d4c-9c3c-6e7d1f2a3b4c"));
    struct consul_attrs odd = consul_attrs_decode(COR_BYTES_LIT("\1flags"));
    CHECK_EQ(odd.lock_index, 0u);
}

TEST_MAIN(TEST(a_blocked_query_wakes_on_what_it_asked_for_alone),
          TEST(a_put_that_changes_nothing_wakes_nobody),
          TEST(an_older_index_is_answered_at_once_and_a_future_one_waits),
          TEST(waiting_ends_with_the_time_asked_for_and_a_sixteenth),
          TEST(those_who_ask_together_do_not_come_back_together),
          TEST(after_waiting_in_vain_somebody_vouches_again),
          TEST(a_client_that_leaves_is_forgotten), TEST(a_node_that_stops_answers_who_waits),
          TEST(a_blocked_request_holds_no_parser_and_one_small_block),
          TEST(a_long_listing_leaves_in_pieces_and_is_one_document),
          TEST(groups_of_keys_are_skipped_not_walked),
          TEST(durations_are_read_as_go_reads_them),
          TEST(attributes_go_both_ways_and_zeros_take_no_room))
