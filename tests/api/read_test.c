/*
 * Blocking reads, listings, watches: what takes time, and what readers may rely on.
 */
#include "api/internal.h"
#include "tests/api/site.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static struct site site;
static struct client client, writer;

static void put(const char *key, const char *value)
{
    static char text[(1 << 20) + 20000];
    format_to(text, sizeof text,
              "PUT /db/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", key,
              strlen(value), value);
    client_forget(&writer);
    client_say(&writer, text);
    site_run(&site, 10 * SIM_MS);
    CHECK_EQ(writer.n, 1u);
    CHECK_EQ(writer.replies[0].status, 200u);
}

static void delete (const char *key)
{
    char text[256];
    format_to(text, sizeof text, "DELETE /db/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", key);
    client_forget(&writer);
    client_say(&writer, text);
    site_run(&site, 10 * SIM_MS);
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

/* ---- blocking reads ------------------------------------------------------------------------------------ */

static void a_blocked_read_wakes_on_its_key_alone(void)
{
    static const struct {
        const char *target;
        bool listing;
    } rows[] = {{"/db/a?index=2", false},
                {"/db/a?index=2&stale", false},
                {"/db/a?index=2&consistent&wait=1m", false},
                {"/db?prefix=a&index=2", true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].target);
        start();
        put("a", "1");
        char text[256];
        format_to(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                  rows[i].target);
        client_say(&client, text);
        put("b", "2");
        put("aa", "3");
        CHECK_EQ(client.n, rows[i].listing ? 1u : 0u);
        put("a", "4");
        CHECK_EQ(client.n, 1u);
        CHECK_EQ(reply_number(&client.replies[0], "X-Coracle-Index"),
                 rows[i].listing ? 4u : 5u);
        CHECK(reply_has(&client.replies[0], rows[i].listing ? "\"aa\"" : "4"));
        stop();
    }
    ROW("%s", "");
}

static void a_deletion_wakes_too(void)
{
    start();
    put("a", "1");
    client_say(&client, GET("/db/a?index=2"));
    delete ("a");
    CHECK_EQ(client.n, 1u);
    CHECK_EQ(client.replies[0].status, 404u);
    CHECK_EQ(reply_number(&client.replies[0], "X-Coracle-Index"), 3u);
    stop();
}

static void what_has_changed_already_is_answered_at_once(void)
{
    start();
    put("a", "1");
    put("a", "2");
    CHECK_EQ(client_ask(&client, GET("/db/a?index=2&wait=5m"))->status, 200u);
    CHECK_EQ(client_ask(&client, GET("/db/a?index=0&wait=5m"))->status, 200u);
    CHECK_EQ(client_ask(&client, GET("/db/none?index=0"))->status, 404u);
    stop();
}

static void a_wait_in_vain_ends_in_time_and_asks_again_who_leads(void)
{
    start();
    put("a", "1");
    client_say(&client, GET("/db/a?index=2&wait=30s"));
    site_run(&site, 29 * SIM_S);
    CHECK_EQ(client.n, 0u);
    site_run(&site, 2 * SIM_S);
    CHECK_EQ(client.n, 1u);
    CHECK_EQ(client.replies[0].status, 200u);
    CHECK_EQ(reply_number(&client.replies[0], "X-Coracle-Index"), 2u);
    client_forget(&client);
    client_say(&client, GET("/db/a?index=2&wait=30s"));
    client_say(&client, GET("/db/a?index=2&wait=30s&stale"));
    site_run(&site, SIM_S);
    site.node.read_end = COR_ETIMEDOUT;
    site_run(&site, 31 * SIM_S);
    CHECK_EQ(client.n, 2u);
    CHECK_EQ(client.replies[0].status,
             503u); /* "nothing changed" is not for this node to say */
    CHECK_EQ(client.replies[1].status, 200u);
    stop();
}

static void only_those_wake_whom_it_concerns(void)
{
    static struct client many[20];
    start();
    for (unsigned i = 0; i < 20; i++) {
        char text[128];
        client_open(&many[i], &site);
        format_to(text, sizeof text,
                  "GET /db/key%u?index=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", i % 10);
        client_say(&many[i], text);
    }
    site_run(&site, 10 * SIM_MS);
    put("key3", "x");
    for (unsigned i = 0; i < 20; i++) {
        ROW("client %u", i);
        CHECK_EQ(many[i].n, i % 10 == 3 ? 1u : 0u);
    }
    ROW("%s", "");
    CHECK_EQ(site.node.hub->n_waits, 18u);
    for (unsigned i = 0; i < 20; i++) {
        client_close(&many[i]);
    }
    stop();
}

/* ---- listings ---------------------------------------------------------------------------------------------- */

static void a_listing_is_one_item_per_line(void)
{
    start();
    put("a/1", "one");
    put("a/2", "line\nbreak");
    put("b", "");
    put("a/%ff", "%00");
    struct reply *r = client_ask(&client, GET("/db?prefix=a/"));
    CHECK(reply_has(r, "Content-Type: application/json\n"));
    CHECK_BYTES(
        ((struct cor_bytes){(unsigned char *)r->body, r->len}),
        COR_BYTES_LIT(
            "{\"revision\":5,\"index\":5,\"items\":[\n"
            "{\"key\":\"a/1\",\"value\":\"one\",\"create_revision\":2,\"mod_revision\":2,"
            "\"version\":1},\n"
            "{\"key\":\"a/2\",\"value\":\"line\\nbreak\",\"create_revision\":3,"
            "\"mod_revision\":3,\"version\":1},\n"
            "{\"key_base64\":\"YS//\",\"value\":\"%00\",\"create_revision\":5,"
            "\"mod_revision\":5,\"version\":1}\n"
            "],\"more\":false}\n"));
    r = client_ask(&client, GET("/db?prefix=none"));
    CHECK(reply_has(r, "{\"revision\":5,\"index\":1,\"items\":[],\"more\":false}\n"));
    r = client_ask(&client, GET("/db?keys&limit=1&stale"));
    CHECK(reply_has(
        r, "[\n{\"key\":\"a/1\",\"create_revision\":2,\"mod_revision\":2,\"version\":1}\n"
           "],\"more\":true}\n"));
    http_reply_parser_expect(client.parser, true);
    client_ask(&client, "HEAD /db HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stop();
}

static void pages_of_one_revision_join(void)
{
    start();
    put("a", "1");
    put("b", "2");
    put("c", "3");
    struct reply *r = client_ask(&client, GET("/db?limit=2"));
    CHECK(reply_has(r, "\"b\"") && !reply_has(r, "\"c\"") && reply_has(r, "\"more\":true"));
    put("b0", "4");
    put("c", "5");
    r = client_ask(&client, GET("/db?limit=2&after=b&revision=4"));
    CHECK(reply_has(r, "\"revision\":4"));
    CHECK(reply_has(r, "\"value\":\"3\"") && !reply_has(r, "b0"));
    CHECK(reply_has(r, "\"more\":false"));
    r = client_ask(&client, GET("/db?after=b"));
    CHECK(reply_has(r, "b0") && reply_has(r, "\"value\":\"5\""));
    static const char *const beyond[] = {GET("/db?prefix=a&after=b"),
                                         GET("/db?prefix=a&after=a"), GET("/db?after=zzz")};
    for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
        ROW("%s", beyond[i]);
        CHECK(reply_has(client_ask(&client, beyond[i]), "\"items\":[],\"more\":false"));
    }
    ROW("%s", "");
    r = client_ask(&client, GET("/db?prefix=b&after=0"));
    CHECK(reply_has(r, "\"b0\"") && !reply_has(r, "\"a\""));
    CHECK_EQ(client_ask(&client, GET("/db?revision=99"))->status, 400u);
    stop();
}

/* 40 values of 100 KiB, each of one letter. */
static void put_large(unsigned n)
{
    static char value[100 * 1024 + 1];
    for (unsigned i = 0; i < n; i++) {
        char key[16];
        format_to(key, sizeof key, "k%02u", i);
        memset(value, 'a' + (int)(i % 26), sizeof value - 1);
        put(key, value);
    }
}

static void a_long_listing_leaves_as_it_is_read_and_is_of_one_revision(void)
{
    start();
    put_large(40);
    io_stream_pause(client.s, true);
    client_say(&client, GET("/db?stale"));
    site_run(&site, SIM_S);
    CHECK(site_stats(&site).bytes_out < 2u << 20);
    put("k20", "new");
    put("k205", "added");
    delete ("k30");
    io_stream_pause(client.s, false);
    site_run(&site, SIM_S);
    CHECK_EQ(client.n, 1u);
    struct reply *r = &client.replies[0];
    CHECK(r->len > 40 * 100 * 1024);
    CHECK(reply_has(r, "\"revision\":41,"));
    CHECK(!reply_has(r, "\"new\"") && !reply_has(r, "added") && reply_has(r, "\"k30\""));
    CHECK(reply_has(r, "\n],\"more\":false}\n"));
    stop();
}

/* Chunks are made in one buffer: of items that do not fit it together, none is torn. */
static void items_of_any_size_make_whole_chunks(void)
{
    static char value[40000];
    static const size_t sizes[] = {100, 5000, 9000, 16200, 16300, 16384, 20000, 39000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        ROW("%zu bytes", sizes[i]);
        start();
        memset(value, 'v', sizes[i]);
        value[sizes[i]] = '\0';
        for (unsigned n = 0; n < 12; n++) {
            char key[8];
            format_to(key, sizeof key, "k%02u", n);
            put(key, value);
        }
        struct reply *r = client_ask(&client, GET("/db"));
        CHECK(!client.broken);
        CHECK(r->len > 12 * sizes[i] && r->len < 12 * (sizes[i] + 100));
        CHECK(reply_has(r, "\"k11\"") && reply_has(r, "\"more\":false}\n"));
        stop();
    }
    ROW("%s", "");
}

static void a_listing_that_compaction_overtakes_is_visibly_cut(void)
{
    start();
    put_large(40);
    io_stream_pause(client.s, true);
    client_say(&client, GET("/db?stale"));
    site_run(&site, SIM_S);
    for (unsigned i = 0; i < 3; i++) {
        put("k39", "new");
    }
    unsigned char bytes[64];
    struct writer w = writer_of(bytes, sizeof bytes);
    kv_encode_one(&w, &(struct kv_op){.kind = KV_OP_COMPACT, .revision = 44});
    unsigned char entry[256];
    struct entry_header h = {0};
    size_t len = entry_header_encode(&h, entry);
    memcpy(entry + len, bytes, w.used);
    CHECK(kv_apply(site.node.kv, ++site.node.index, (struct cor_bytes){entry, len + w.used},
                   NULL, NULL) == COR_OK);
    CHECK_EQ(client_ask(&writer, GET("/db/k39?revision=42"))->status, 410u);
    CHECK(reply_has(&writer.replies[0], "\"code\":\"compacted\",\"compacted\":44"));
    io_stream_pause(client.s, false);
    site_run(&site, SIM_S);
    CHECK_EQ(client.n, 0u); /* not a whole reply */
    CHECK(client.closed && client.broken);
    CHECK(
        reply_has(&client.replies[0],
                  "\n],\"error\":\"history was compacted while this was being read\",\"code\":"
                  "\"compacted\"}\n"));
    stop();
}

static void a_listing_for_http_1_0_ends_with_its_connection(void)
{
    start();
    put("a", "1");
    struct reply *r = client_ask(&client, "GET /db HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(client.closed && !client.broken);
    CHECK(reply_has(r, "\"more\":false}\n"));
    stop();
}

/* ---- watches -------------------------------------------------------------------------------------------------- */

static void a_watch_tells_every_change_once_in_order(void)
{
    start();
    put("a", "0");
    client_say(&client, GET("/db?watch&prefix=a"));
    site_run(&site, 10 * SIM_MS);
    put("a", "1");
    put("b", "2");
    put("ab", "%ff\xff");
    delete ("a");
    struct reply *r = &client.replies[0];
    CHECK_EQ(r->status, 200u);
    CHECK(r->close);
    CHECK(reply_has(r, "Content-Type: application/x-ndjson\n"));
    CHECK_BYTES(
        ((struct cor_bytes){(unsigned char *)r->body, r->len}),
        COR_BYTES_LIT(
            "{\"revision\":2}\n"
            "{\"type\":\"put\",\"revision\":3,\"key\":\"a\",\"value\":\"1\","
            "\"create_revision\":2,\"version\":2}\n"
            "{\"type\":\"put\",\"revision\":5,\"key\":\"ab\",\"value_base64\":\"JWZm/w==\","
            "\"create_revision\":5,\"version\":1}\n"
            "{\"type\":\"delete\",\"revision\":6,\"key\":\"a\"}\n"));
    stop();
}

static void a_watch_begins_in_the_past(void)
{
    start();
    put("a", "1");
    put("b", "2");
    put("a", "3");
    client_say(&client, GET("/db?watch&key=a&start_revision=2"));
    site_run(&site, 10 * SIM_MS);
    put("a", "4");
    put("aa", "5");
    CHECK(reply_has(&client.replies[0], "{\"revision\":4}\n"
                                        "{\"type\":\"put\",\"revision\":2,"));
    CHECK(reply_has(&client.replies[0], "\"revision\":4,\"key\":\"a\",\"value\":\"3\""));
    CHECK(reply_has(&client.replies[0], "\"revision\":5,"));
    CHECK(!reply_has(&client.replies[0], "\"aa\"") && !reply_has(&client.replies[0], "\"b\""));
    stop();
}

static size_t count(const char *in, char what)
{
    size_t n = 0;
    for (; *in != '\0'; in++) {
        n += *in == what;
    }
    return n;
}

static void a_quiet_watch_shows_that_it_lives(void)
{
    start();
    client_say(&client, GET("/db?watch") GET("/livez"));
    site_run(&site, 14 * SIM_S);
    client_say(&client, GET("/livez"));
    CHECK_EQ(site_stats(&site).requests, 1u); /* whatever comes after it is not heard */
    CHECK_EQ(count(client.replies[0].body, '\n'), 1u);
    put("a", "1"); /* puts the next one off */
    site_run(&site, 14 * SIM_S);
    CHECK_EQ(count(client.replies[0].body, '\n'), 2u);
    site_run(&site, 2 * SIM_S);
    CHECK_EQ(count(client.replies[0].body, '\n'), 3u);
    site_run(&site, 600 * SIM_S); /* and is not idle */
    CHECK_EQ(count(client.replies[0].body, '\n'), 43u);
    stop();
}

static void a_slow_watcher_is_held_back_and_misses_nothing(void)
{
    start();
    client_say(&client, GET("/db?watch"));
    site_run(&site, 10 * SIM_MS);
    io_stream_pause(client.s, true);
    for (unsigned round = 0; round < 3; round++) {
        put_large(40);
    }
    CHECK(site_stats(&site).bytes_out < 3u << 20); /* of 12 MiB */
    io_stream_pause(client.s, false);
    site_run(&site, 5 * SIM_S);
    const char *at = client.replies[0].body;
    for (unsigned revision = 2; revision < 122; revision++) {
        char text[32];
        format_to(text, sizeof text, "\"revision\":%u,", revision);
        at = at == NULL ? NULL : strstr(at + 1, text);
    }
    CHECK(at != NULL);
    CHECK_EQ(count(client.replies[0].body, '\n'), 121u);
    stop();
}

static void a_watcher_that_never_reads_is_cut_off(void)
{
    start();
    client_say(&client, GET("/db?watch"));
    site_run(&site, 10 * SIM_MS);
    io_stream_pause(client.s, true);
    put_large(40);
    site_run(&site, 70 * SIM_S);
    CHECK_EQ(site_stats(&site).connections, 1u);
    CHECK_EQ(site.node.hub->n_watches, 0u);
    stop();
}

static void all_watchers_of_an_event_hear_the_same(void)
{
    static struct client many[10];
    start();
    for (unsigned i = 0; i < 10; i++) {
        client_open(&many[i], &site);
        client_say(&many[i], i % 2 == 0 ? GET("/db?watch&key=a") : GET("/db?watch"));
    }
    site_run(&site, 10 * SIM_MS);
    put("a", "1");
    put("b", "2");
    for (unsigned i = 0; i < 10; i++) {
        ROW("watcher %u", i);
        CHECK_EQ(count(many[i].replies[0].body, '\n'), i % 2 == 0 ? 2u : 3u);
        CHECK(reply_has(&many[i].replies[0], "\"key\":\"a\",\"value\":\"1\""));
        client_close(&many[i]);
    }
    ROW("%s", "");
    stop();
}

static void a_watch_that_cannot_go_on_says_where_to_resume(void)
{
    start();
    put("a", "1");
    put("a", "2");
    put("a", "3");
    unsigned char entry[256];
    struct entry_header h = {0};
    size_t len = entry_header_encode(&h, entry);
    struct writer w = writer_of(entry + len, sizeof entry - len);
    kv_encode_one(&w, &(struct kv_op){.kind = KV_OP_COMPACT, .revision = 4});
    CHECK(kv_apply(site.node.kv, ++site.node.index, (struct cor_bytes){entry, len + w.used},
                   NULL, NULL) == COR_OK);
    struct reply *r = client_ask(&client, GET("/db?watch&start_revision=2"));
    CHECK(reply_has(r, "{\"revision\":4}\n{\"error\":"));
    CHECK(reply_has(r, "\"code\":\"compacted\",\"resume_revision\":4}\n"));
    CHECK(client.closed);
    stop();
    start();
    client_say(&client, GET("/db?watch&start_revision=1"));
    site_run(&site, 10 * SIM_MS);
    put("a", "1");
    hub_stop(site.node.hub);
    site_run(&site, SIM_S);
    CHECK_EQ(client.n, 1u);
    CHECK(reply_has(&client.replies[0], "\"code\":\"stopping\",\"resume_revision\":3}\n"));
    client_close(&client);
    client_open(&client, &site);
    CHECK_EQ(client_ask(&client, GET("/db?watch"))->status, 503u);
    CHECK_EQ(client_ask(&writer, GET("/db/a?index=9"))->status, 503u);
    stop();
}

TEST_MAIN(TEST(a_blocked_read_wakes_on_its_key_alone), TEST(a_deletion_wakes_too),
          TEST(what_has_changed_already_is_answered_at_once),
          TEST(a_wait_in_vain_ends_in_time_and_asks_again_who_leads),
          TEST(only_those_wake_whom_it_concerns), TEST(a_listing_is_one_item_per_line),
          TEST(pages_of_one_revision_join),
          TEST(a_long_listing_leaves_as_it_is_read_and_is_of_one_revision),
          TEST(items_of_any_size_make_whole_chunks),
          TEST(a_listing_that_compaction_overtakes_is_visibly_cut),
          TEST(a_listing_for_http_1_0_ends_with_its_connection),
          TEST(a_watch_tells_every_change_once_in_order), TEST(a_watch_begins_in_the_past),
          TEST(a_quiet_watch_shows_that_it_lives),
          TEST(a_slow_watcher_is_held_back_and_misses_nothing),
          TEST(a_watcher_that_never_reads_is_cut_off),
          TEST(all_watchers_of_an_event_hear_the_same),
          TEST(a_watch_that_cannot_go_on_says_where_to_resume))
