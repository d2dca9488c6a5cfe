/*
 * Requests and their answers, as docs/api.md tells them.
 */
#include "tests/api/site.h"

#define HOST "Host: localhost\r\n"

static struct site site;

/* One request on a connection of its own. */
static struct reply *ask(struct client *c, const char *text)
{
    client_open(c, &site);
    return client_ask(c, text);
}

/* "METHOD TARGET" with an optional body. */
static struct reply *ask_simple(struct client *c, const char *line, const char *body)
{
    static char text[70000];
    format_to(text, sizeof text, "%s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n%s", line,
              strlen(body), body);
    if (strncmp(line, "HEAD", 4) == 0) {
        client_open(c, &site);
        http_reply_parser_expect(c->parser, true);
        return client_ask(c, text);
    }
    return ask(c, text);
}

struct row {
    const char *line, *body;
    unsigned status;
    const char *has; /* somewhere in head or body */
};

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ROW("%.100s", rows[i].line);
        struct client c;
        struct reply *r =
            ask_simple(&c, rows[i].line, rows[i].body == NULL ? "" : rows[i].body);
        CHECK_EQ(r->status, rows[i].status);
        if (!reply_has(r, rows[i].has)) {
            ROW("%.60s: %s | %s", rows[i].line, r->head, r->body == NULL ? "" : r->body);
            CHECK(reply_has(r, rows[i].has));
        }
        client_close(&c);
    }
    ROW("%s", "");
}

static void keys_are_written_read_and_deleted(void)
{
    site_open(&site, (struct api_options){0});
    static const struct row rows[] = {
        {"GET /db/foo", NULL, 404, "\"code\":\"key_not_found\""},
        {"GET /db/foo", NULL, 404, "X-Coracle-Index: 1\n"},
        {"POST /db/foo", "bar", 200, "X-Coracle-Revision: 2\n"},
        {"GET /db/foo", NULL, 200, "bar"},
        {"GET /db/foo", NULL, 200, "Content-Type: application/octet-stream\n"},
        {"GET /db/foo", NULL, 200, "X-Coracle-Mod-Revision: 2\n"},
        {"HEAD /db/foo", NULL, 200, "Content-Length: 3\n"},
        {"PUT /db/foo", "longer", 200, "X-Coracle-Revision: 3\n"},
        {"GET /db/foo", NULL, 200, "X-Coracle-Create-Revision: 2\n"},
        {"GET /db/foo", NULL, 200, "X-Coracle-Version: 2\n"},
        {"GET /db/foo?stale", NULL, 200, "longer"},
        {"GET /db/foo?stale=", NULL, 200, "X-Coracle-Lag: 3\n"},
        {"GET /db/foo?stale=no", NULL, 200, "X-Coracle-Last-Contact: 7\n"},
        {"GET /db/foo?consistent", NULL, 200, "X-Coracle-Known-Leader: true\n"},
        {"GET /db/foo", NULL, 200, "X-Coracle-Leader: n1\n"},
        {"GET /db/foo?revision=2", NULL, 200, "bar"},
        {"GET /db/foo?revision=1", NULL, 404, "key_not_found"},
        {"GET /db/foo?revision=9", NULL, 400, "\"code\":\"future_revision\",\"revision\":3"},
        {"DELETE /db/foo", NULL, 200, "{\"deleted\":1}"},
        {"DELETE /db/foo", NULL, 200, "{\"deleted\":0}"},
        {"GET /db/foo", NULL, 404, "X-Coracle-Index: 4\n"},
        {"HEAD /db/foo", NULL, 404, "X-Coracle-Revision: 4\n"},
        {"PUT /db/empty", "", 200, "Content-Length: 0\n"},
        {"GET /db/empty", NULL, 200, "Content-Length: 0\n"},
    };
    check_rows(rows, ARRAY_LEN(rows));
    site_close(&site);
}

/* A write under a number: the same as ask_simple(), with one more header. */
static struct reply *ask_numbered(struct client *c, const char *line, const char *key,
                                  const char *body)
{
    static char text[12000];
    format_to(text, sizeof text,
              "%s HTTP/1.1\r\n" HOST "Idempotency-Key: %s\r\nContent-Length: %zu\r\n\r\n%s",
              line, key, strlen(body), body);
    return ask(c, text);
}

static void a_numbered_write_is_done_once(void)
{
    site_open(&site, (struct api_options){0});
    static const struct row opened[] = {
        {"POST /session", NULL, 200, "{\"session\":\"1\",\"ttl_ms\":3600000}"},
        {"POST /session?ttl=90s&timeout=1s", NULL, 200, "{\"session\":\"2\",\"ttl_ms\":90000}"},
    };
    check_rows(opened, ARRAY_LEN(opened));
    static const struct {
        const char *line, *key, *body;
        unsigned status;
        const char *has;
    } rows[] = {
        {"PUT /db/a", "1:1", "x", 200, "X-Coracle-Revision: 2\n"},
        {"PUT /db/a", "1:2", "y", 200, "X-Coracle-Revision: 3\n"},
        {"PUT /db/a", "1:1", "x", 200, "X-Coracle-Revision: 2\n"},
        {"POST /db/a", "1:1", "x", 200, "X-Coracle-Revision: 2\n"},
        {"PUT /db/a", "1:1", "z", 409, "\"code\":\"number_reused\""},
        {"PUT /db/b", "1:1", "x", 409, "\"code\":\"number_reused\""},
        {"DELETE /db/a", "1:1", "", 409, "\"code\":\"number_reused\""},
        {"PUT /db/a?prev_revision=2", "1:3", "z", 409, "\"mod_revision\":3"},
        {"PUT /db/a?prev_revision=3", "1:4", "z", 200, "X-Coracle-Revision: 4\n"},
        {"PUT /db/a?prev_revision=3", "1:4", "z", 200, "X-Coracle-Revision: 4\n"},
        {"PUT /db/a?prev_revision=2", "1:3", "z", 409, "\"mod_revision\":3"},
        {"DELETE /db/a", "2:1", "", 200, "{\"deleted\":1}"},
        {"DELETE /db/a", "2:1", "", 200, "{\"deleted\":1}"},
        {"DELETE /db/a", "2:2", "", 200, "{\"deleted\":0}"},
        {"PUT /db/a", "3:1", "x", 410, "\"code\":\"no_session\""},
        {"PUT /db/a", "1", "x", 400, "SESSION:NUMBER"},
        {"PUT /db/a", "1:", "x", 400, "SESSION:NUMBER"},
        {"PUT /db/a", ":1", "x", 400, "SESSION:NUMBER"},
        {"PUT /db/a", "1:0", "x", 400, "SESSION:NUMBER"},
        {"PUT /db/a", "0:1", "x", 400, "SESSION:NUMBER"},
        {"PUT /db/a", "1:1x", "x", 400, "SESSION:NUMBER"},
        {"PUT /db/a", "1:18446744073709551616", "x", 400, "SESSION:NUMBER"},
        {"PUT /db/a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "x", 400, "SESSION:NUMBER"},
        {"PUT /db/a", "1:1\r\nidempotency-KEY: 1:1", "x", 400, "SESSION:NUMBER"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s as %s", rows[i].line, rows[i].key);
        struct client c;
        struct reply *r = ask_numbered(&c, rows[i].line, rows[i].key, rows[i].body);
        CHECK_EQ(r->status, rows[i].status);
        CHECK(reply_has(r, rows[i].has));
        client_close(&c);
    }
    ROW("%s", "");
    static const struct row closed[] = {
        {"GET /db/a", NULL, 404, "X-Coracle-Revision: 5\n"},
        {"DELETE /session/2", NULL, 200, "{\"closed\":\"2\"}"},
        {"DELETE /session/2", NULL, 410, "\"code\":\"no_session\""},
        {"DELETE /session/two", NULL, 400, "DELETE /session/17"},
        {"DELETE /session/", NULL, 400, "DELETE /session/17"},
        {"DELETE /session/1?ttl=3s", NULL, 400, "has no meaning here"},
        {"DELETE /session", NULL, 405, "Allow: POST\n"},
        {"GET /session/1", NULL, 405, "Allow: DELETE\n"},
        {"POST /session?ttl=999ms", NULL, 400, "at least 1s"},
        {"POST /session?ttl=25h", NULL, 400, "at most 86400s"},
    };
    check_rows(closed, ARRAY_LEN(closed));
    site_close(&site);
}

static void a_number_that_cannot_be_kept_apart_is_said_so(void)
{
    site_open(&site, (struct api_options){0});
    struct client c;
    char key[32];
    (void)ask_simple(&c, "POST /session", "");
    client_close(&c);
    for (unsigned i = 1; i <= KV_SESSION_WINDOW + 1; i++) {
        format_to(key, sizeof key, "1:%u", i);
        CHECK_EQ(ask_numbered(&c, "PUT /db/a", key, "x")->status, 200);
        client_close(&c);
    }
    struct reply *r = ask_numbered(&c, "PUT /db/a", "1:1", "x");
    CHECK_EQ(r->status, 410);
    CHECK(reply_has(r, "\"code\":\"answer_forgotten\""));
    client_close(&c);
    site_close(&site);
}

static void a_write_can_depend_on_the_revision(void)
{
    site_open(&site, (struct api_options){0});
    static const struct row rows[] = {
        {"PUT /db/a?prev_revision=0", "1", 200, "X-Coracle-Revision: 2"},
        {"PUT /db/a?prev_revision=0", "2", 409, "\"code\":\"conflict\",\"mod_revision\":2"},
        {"PUT /db/a?prev_revision=2", "3", 200, "X-Coracle-Revision: 3"},
        {"POST /db/a?prev_revision=2", "4", 409, "\"mod_revision\":3"},
        {"DELETE /db/a?prev_revision=2", NULL, 409, "\"mod_revision\":3"},
        {"DELETE /db/b?prev_revision=2", NULL, 409, "\"mod_revision\":0"},
        {"GET /db/a", NULL, 200, "3"},
        {"DELETE /db/a?prev_revision=3", NULL, 200, "{\"deleted\":1}"},
    };
    check_rows(rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void a_key_is_any_bytes(void)
{
    site_open(&site, (struct api_options){0});
    static const struct row rows[] = {
        {"PUT /db/a/b", "1", 200, ""},    {"GET /db/a%2Fb", NULL, 200, "1"},
        {"PUT /db/%2Fa", "2", 200, ""},   {"GET /db//a", NULL, 200, "2"},
        {"PUT /db/../x", "3", 200, ""},   {"GET /db/%2e%2e%2Fx", NULL, 200, "3"},
        {"PUT /db/%00%ff", "4", 200, ""}, {"GET /db/%00%FF", NULL, 200, "4"},
        {"PUT /db/a+b", "5", 200, ""},    {"GET /db/a%2Bb", NULL, 200, "5"},
        {"GET /db/a%20b", NULL, 404, ""},
    };
    check_rows(rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void values_are_binary(void)
{
    site_open(&site, (struct api_options){0});
    struct client c;
    static const char put[] =
        "PUT /db/b HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n\0\r\n\xff\0";
    client_open(&c, &site);
    client_send(&c, put, sizeof put - 1);
    site_run(&site, SIM_S);
    struct reply *r = client_ask(&c, "GET /db/b HTTP/1.1\r\n" HOST "\r\n");
    CHECK_EQ(r->len, 5u);
    CHECK(r->body != NULL && memcmp(r->body, "\0\r\n\xff\0", 5) == 0);
    client_close(&c);
    site_close(&site);
}

static void what_is_wrong_is_refused_and_named(void)
{
    site_open(&site, (struct api_options){0});
    static const struct row rows[] = {
        {"GET /nothing", NULL, 404, "no_such_path"},
        {"GET /health/", NULL, 404, "no_such_path"},
        {"GET /ui/..%2f..%2fetc/passwd", NULL, 404, "no_such_path"},
        {"POST /status", "", 405, "Allow: GET, HEAD\n"},
        {"PATCH /db/a", "", 405, "Allow: GET, HEAD, POST, PUT, DELETE\n"},
        {"POST /db", "", 405, "Allow: GET, HEAD\n"},
        {"OPTIONS /db/a", "", 405, "method_not_allowed"},
        {"GET /db/", NULL, 400, "at least one byte"},
        {"PUT /db/", "x", 400, "at least one byte"},
        {"GET /db/%zz", NULL, 400, "hexadecimal"},
        {"PUT /db/a%2", "x", 400, "hexadecimal"},
        {"GET /db/a?stale&consistent", NULL, 400, "exclude each other"},
        {"GET /db/a?consistant", NULL, 400, "parameter consistant: unknown"},
        {"GET /db/a?stale&stale", NULL, 400, "parameter stale: given twice"},
        {"GET /db/a?index=", NULL, 400, "parameter index"},
        {"GET /db/a?index=-1", NULL, 400, "parameter index"},
        {"GET /db/a?index=1x", NULL, 400, "parameter index"},
        {"GET /db/a?index=18446744073709551616", NULL, 400, "at most 64 bits"},
        {"GET /db/a?index=99999999999999999999999", NULL, 400, "at most 64 bits"},
        {"GET /db/a?index=1&wait=", NULL, 400, "parameter wait"},
        {"GET /db/a?index=1&wait=5", NULL, 400, "30s"},
        {"GET /db/a?index=1&wait=s", NULL, 400, "parameter wait"},
        {"GET /db/a?index=1&wait=10m1s", NULL, 400, "at most 600s"},
        {"GET /db/a?index=1&wait=99999999999999999h", NULL, 400, "parameter wait"},
        {"GET /db/a?index=1&wait=18446744073709551616ms", NULL, 400, "parameter wait"},
        {"GET /db/a?index=1&wait=18446744073710ms", NULL, 400, "parameter wait"},
        {"GET /db/a?wait=1s", NULL, 400, "wait needs an index"},
        {"GET /db/a?index=1&revision=2", NULL, 400, "exclude each other"},
        {"GET /db/a?timeout=61s", NULL, 400, "at most 60s"},
        {"GET /db/a?prefix=x", NULL, 400, "parameter prefix: has no meaning here"},
        {"GET /db/a?%73tale", NULL, 400, "unknown"},
        {"PUT /db/a?index=1", "", 400, "has no meaning here"},
        {"PUT /db/a?prev_revision=x", "", 400, "parameter prev_revision"},
        {"GET /status?verbose", NULL, 400, "parameter verbose: unknown"},
        {"GET /db?limit=x", NULL, 400, "parameter limit"},
        {"GET /db?prefix=%", NULL, 400, "parameter prefix"},
        {"GET /db?key=a", NULL, 400, "for watches"},
        {"GET /db?watch&stale", NULL, 400, "a watch takes only"},
        {"GET /db?watch&key=a&prefix=b", NULL, 400, "one key"},
        {"GET /db?watch&key=", NULL, 400, "one key"},
        {"GET /db?watch&start_revision=x", NULL, 400, "parameter start_revision"},
        {"HEAD /db?watch", NULL, 400, "application/json"},
    };
    check_rows(rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void bytes_that_are_no_request_are_refused_and_the_connection_ends(void)
{
    static const struct {
        const char *text;
        unsigned status;
        const char *has;
    } rows[] = {
        {"garbage\r\n\r\n", 400, "bad_request"},
        {"\x16\x03\x01\x02", 400, "bad_request"},
        {"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_request"},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 400, "bad_request"},
        {"PUT /db/a HTTP/1.1\r\n" HOST
         "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400, "bad_request"},
        {"PUT /db/a HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400,
         "bad_request"},
        {"PUT /db/a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
         "bad_request"},
        {"PUT /db/a HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\n\r\n", 413, "too_big"},
    };
    site_open(&site, (struct api_options){0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].text);
        struct client c;
        struct reply *r = ask(&c, rows[i].text);
        CHECK_EQ(r->status, rows[i].status);
        CHECK(reply_has(r, rows[i].has));
        CHECK(r->close);
        site_run(&site, 3 * SIM_S);
        CHECK(c.closed);
        client_close(&c);
    }
    ROW("%s", "");
    CHECK_EQ(site_stats(&site).connections, 0u);
    site_close(&site);
}

static void limits_are_exact(void)
{
    static char line[20000];
    site_open(&site, (struct api_options){0});
    struct client c;
    memset(line, 'k', sizeof line);
    memcpy(line, "GET /db/", 8);
    line[8 + 8192] = '\0';
    CHECK_EQ(ask_simple(&c, line, "")->status, 404u);
    client_close(&c);
    line[8 + 8192] = 'k';
    line[8 + 8193] = '\0';
    struct reply *r = ask_simple(&c, line, "");
    CHECK_EQ(r->status, 414u);
    CHECK(reply_has(r, "at most 8192 bytes"));
    CHECK(!r->close);
    client_close(&c);
    memset(line, 'k', sizeof line);
    memcpy(line, "GET /db/", 8);
    line[13000] = '\0';
    r = ask_simple(&c, line, "");
    CHECK_EQ(r->status, 414u);
    CHECK(r->close);
    client_close(&c);
    site_close(&site);
}

static void the_door_is_closed_to_pages_of_others(void)
{
    static const struct {
        const char *header;
        unsigned status;
    } rows[] = {
        {"Host: localhost", 200},
        {"Host: localhost:2379", 200},
        {"Host: LocalHost:1", 200},
        {"Host: 127.0.0.1:2379", 200},
        {"Host: 127.9.9.9", 200},
        {"Host: 10.1.2.3:80", 200},
        {"Host: [::1]:2379", 200},
        {"Host: db.example", 200},
        {"Host: DB.example:80", 200},
        {"Host: a.localhost", 200},
        {"Host: evil.example", 421},
        {"Host: evil.example:2379", 421},
        {"Host: 127.0.0.1.evil.example", 421},
        {"Host: 127.0.0.256", 421},
        {"Host: 127.0.0", 421},
        {"Host: evillocalhost", 421},
        {"Host: db.example.evil", 421},
        {"Host: localhost\r\nOrigin: http://localhost:3000", 200},
        {"Host: localhost\r\nOrigin: https://db.example", 200},
        {"Host: localhost\r\nOrigin: http://evil.example", 403},
        {"Host: localhost\r\nOrigin: null", 403},
        {"Host: localhost\r\nOrigin: file://", 403},
    };
    static const char *const names[] = {"db.example"};
    site_open(&site, (struct api_options){.host_names = names, .n_host_names = 1});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].header);
        char text[256];
        struct client c;
        format_to(text, sizeof text, "GET /livez HTTP/1.1\r\n%s\r\n\r\n", rows[i].header);
        CHECK_EQ(ask(&c, text)->status, rows[i].status);
        client_close(&c);
    }
    ROW("%s", "");
    site_close(&site);
    site_open(&site, (struct api_options){.any_host = true});
    struct client c;
    CHECK_EQ(ask(&c, "GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n")->status, 200u);
    client_close(&c);
    site_close(&site);
}

static void each_outcome_of_a_write_has_its_status(void)
{
    static const struct {
        enum cor_status st;
        unsigned status;
        const char *code;
    } rows[] = {
        {COR_ENOTDONE, 503, "\"not_done\""}, {COR_ENOLEADER, 503, "\"no_leader\""},
        {COR_EBUSY, 503, "\"busy\""},        {COR_ENOSPACE, 507, "\"no_space\""},
        {COR_ETOOBIG, 413, "\"too_big\""},   {COR_EINVAL, 400, "\"bad_request\""},
        {COR_ESTOPPED, 503, "\"stopping\""}, {COR_EUNKNOWN, 504, "\"outcome_unknown\""},
        {COR_EEXPIRED, 503, "\"not_done\""},
    };
    site_open(&site, (struct api_options){0});
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        bool at_once = i >= ARRAY_LEN(rows);
        enum cor_status st = rows[i % ARRAY_LEN(rows)].st;
        ROW("%s%s", cor_status_text(st), at_once ? ", at once" : "");
        site.node.write_end = at_once ? COR_OK : st;
        site.node.refusal = at_once ? st : COR_OK;
        struct client c;
        struct reply *r = ask_simple(&c, "PUT /db/a", "x");
        CHECK_EQ(r->status, rows[i % ARRAY_LEN(rows)].status);
        CHECK(reply_has(r, rows[i % ARRAY_LEN(rows)].code));
        if (r->status == 503) {
            CHECK(reply_has(r, "Retry-After: 1\n"));
        }
        client_close(&c);
    }
    ROW("%s", "");
    site_close(&site);
}

static void a_read_that_is_not_vouched_for_is_503(void)
{
    static const enum cor_status rows[] = {COR_ENOLEADER, COR_ETIMEDOUT, COR_EBUSY,
                                           COR_ESTOPPED};
    site_open(&site, (struct api_options){0});
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        enum cor_status st = rows[i / 2];
        ROW("%s", cor_status_text(st));
        site.node.read_end = i % 2 == 0 ? st : COR_OK;
        site.node.refusal = i % 2 == 0 ? COR_OK : st;
        struct client c;
        CHECK_EQ(ask_simple(&c, "GET /db/a", "")->status, 503u);
        client_close(&c);
        CHECK_EQ(ask_simple(&c, "GET /db", "")->status, 503u);
        client_close(&c);
    }
    ROW("%s", "");
    site_close(&site);
}

static void time_limits_reach_the_node(void)
{
    site_open(&site, (struct api_options){0});
    struct client c;
    CHECK_EQ(ask_simple(&c, "PUT /db/a?timeout=1500ms", "x")->status, 200u);
    CHECK_EQ(site.node.last_timeout, 1500 * SIM_MS);
    client_close(&c);
    CHECK_EQ(ask_simple(&c, "GET /db/a?timeout=1m", "")->status, 200u);
    CHECK_EQ(site.node.last_timeout, 60 * SIM_S);
    client_close(&c);
    CHECK_EQ(ask_simple(&c, "GET /db/a", "")->status, 200u);
    CHECK_EQ(site.node.last_timeout, 0u);
    client_close(&c);
    site_close(&site);
}

static void operators_are_told(void)
{
    site_open(&site, (struct api_options){0});
    static const struct row well[] = {
        {"GET /health", NULL, 200, "{\"health\":\"true\",\"reason\":\"\"}\n"},
        {"GET /livez", NULL, 200, "ok\n"},
        {"GET /readyz", NULL, 200, "ok\n"},
        {"HEAD /readyz", NULL, 200, "Content-Length: 3\n"},
        {"GET /version", NULL, 200, "{\"version\":\"1.2.3\"}\n"},
        {"GET /", NULL, 200, "/db/{key}"},
        {"GET /status", NULL, 200, "\"role\":\"Leader\",\"term\":2,\"leader\":\"n1\""},
        {"GET /status", NULL, 200, "\"name\":\"n1\",\"id\":\"0000000000000001\""},
        {"GET /status", NULL, 200, "\"match\":8,\"next\":0,\"lag\":1"},
        {"GET /status", NULL, 200, "\"last_contact_ms\":null"},
        {"GET /debug/trace", NULL, 200,
         "{\"at_ns\":100,\"step\":0,\"name\":\"request\",\"term\":2,\"index\":5,\"entries\":1},"
         "\n"},
        {"GET /debug/trace", NULL, 200, "\"name\":\"follower_log\""},
        {"GET /debug/trace", NULL, 200, "\"peer\":\"n2\""},
        {"GET /debug/trace?format=article", NULL, 200,
         "[\n{\"Term\":17,\"PrevLogIndex\":26,\"PrevLogTerm\":17,\"CommitIndex\":26,"
         "\"LeaderName\":\"n1\",\"Entries\":[{\"Index\":27,\"Term\":17,\"CommandName\":"
         "\"write\","
         "\"Command\":\"eyJrZXkiOiJhYWUiLCJ2YWx1ZSI6ImJiYiJ9Cg==\"}]},\n"},
        {"GET /debug/trace?format=article", NULL, 200, "\"Entries\":[],\"EntriesOmitted\":1}"},
        {"GET /debug/trace?format=paper", NULL, 400, "there is only"},
        {"GET /metrics", NULL, 200, "\netcd_server_has_leader 1\n"},
        {"GET /metrics", NULL, 200,
         "\netcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.000064000\"} 2\n"},
        {"GET /metrics", NULL, 200,
         "\netcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.000128000\"} 3\n"},
        {"GET /metrics", NULL, 200,
         "\netcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 4\n"},
        {"GET /metrics", NULL, 200, "coracle_peer_lag_entries{peer=\"n2\"} 1\n"},
        {"GET /metrics", NULL, 200, "text/plain; version=0.0.4"},
    };
    check_rows(well, ARRAY_LEN(well));
    site.node.status.phase = NODE_FORMING;
    site.node.status.raft.leader = 0;
    site.node.status.ready = false;
    site.node.status.waiting_for = "n2";
    static const struct row forming[] = {
        {"GET /health", NULL, 503,
         "{\"health\":\"false\",\"reason\":\"waiting for n2 at n2:1\"}"},
        {"GET /livez", NULL, 200, "ok\n"},
        {"GET /readyz", NULL, 503, "waiting for n2 at n2:1"},
        {"GET /status", NULL, 200, "\"phase\":\"forming\""},
        {"GET /metrics", NULL, 200, "\netcd_server_has_leader 0\n"},
    };
    check_rows(forming, ARRAY_LEN(forming));
    site.node.status.phase = NODE_RUNNING;
    static const struct row alone[] = {
        {"GET /health", NULL, 503, "no leader is known"},
        {"GET /readyz", NULL, 503, "no leader is known"},
        {"GET /db/a?stale", NULL, 404, "X-Coracle-Known-Leader: false\n"},
    };
    check_rows(alone, ARRAY_LEN(alone));
    site.node.status.raft.leader = 1;
    static const struct row behind[] = {
        {"GET /health", NULL, 200, "\"true\""},
        {"GET /readyz", NULL, 503, "catching up: applied 9 of 9"},
    };
    check_rows(behind, ARRAY_LEN(behind));
    site.node.status.phase = NODE_FAILED;
    static const struct row failed[] = {{"GET /livez", NULL, 503, "has failed"}};
    check_rows(failed, ARRAY_LEN(failed));
    site_close(&site);
}

TEST_MAIN(TEST(keys_are_written_read_and_deleted), TEST(a_numbered_write_is_done_once),
          TEST(a_number_that_cannot_be_kept_apart_is_said_so),
          TEST(a_write_can_depend_on_the_revision), TEST(a_key_is_any_bytes),
          TEST(values_are_binary), TEST(what_is_wrong_is_refused_and_named),
          TEST(bytes_that_are_no_request_are_refused_and_the_connection_ends),
          TEST(limits_are_exact), TEST(the_door_is_closed_to_pages_of_others),
          TEST(each_outcome_of_a_write_has_its_status),
          TEST(a_read_that_is_not_vouched_for_is_503), TEST(time_limits_reach_the_node),
          TEST(operators_are_told))
