/*
 * /v1/kv and /v1/status as docs/consul.md tells them: one row, one sentence of Consul's contract.
 */
#include "api/consul/consul.h"
#include "tests/api/consul.h"

static struct site site;

static void run_rows(const struct row *rows, size_t n)
{
    site_open(&site, (struct api_options){0});
    check_rows(&site, rows, n);
    site_close(&site);
}

static void a_key_is_written_read_and_deleted(void)
{
    static const struct row rows[] = {
        {"GET /v1/kv/foo", NULL, 404, ""},
        {"GET /v1/kv/foo", NULL, 404, "X-Consul-Index: 1\n"},
        {"PUT /v1/kv/foo", "bar", 200, "true"},
        {"GET /v1/kv/foo", NULL, 200,
         "[{\"LockIndex\":0,\"Key\":\"foo\",\"Flags\":0,\"Value\":\"YmFy\",\"CreateIndex\":2,"
         "\"ModifyIndex\":2}]"},
        {"GET /v1/kv/foo", NULL, 200, "X-Consul-Index: 2\n"},
        {"GET /v1/kv/foo", NULL, 200, "X-Consul-Knownleader: true\n"},
        {"GET /v1/kv/foo", NULL, 200, "X-Consul-Lastcontact: 7\n"},
        {"GET /v1/kv/foo", NULL, 200, "X-Consul-Default-Acl-Policy: allow\n"},
        {"GET /v1/kv/foo", NULL, 200, "X-Consul-Query-Backend: blocking-query\n"},
        {"GET /v1/kv/foo", NULL, 200, "Content-Type: application/json\n"},
        {"PUT /v1/kv/foo", "", 200, "true"},
        {"GET /v1/kv/foo", NULL, 200, "\"Value\":null,\"CreateIndex\":2,\"ModifyIndex\":3"},
        {"DELETE /v1/kv/foo", NULL, 200, "true"},
        {"DELETE /v1/kv/foo", NULL, 200, "true"},
        {"GET /v1/kv/foo", NULL, 404, "X-Consul-Index: 4\n"},
        {"PUT /v1/kv/foo", "again", 200, "true"},
        {"GET /v1/kv/foo?token=x&near=_agent&unknown=1", NULL, 200, "\"CreateIndex\":5"},
        {"GET /v1/kv/", NULL, 400, "Missing key name"},
        {"PUT /v1/kv/", "x", 400, "Missing key name"},
        {"DELETE /v1/kv", NULL, 400, "Missing key name"}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void a_key_is_what_the_path_says_decoded(void)
{
    static const struct row rows[] = {
        {"PUT /v1/kv/a%2Fb%20c+d", "1", 200, "true"},
        {"GET /v1/kv/a/b%20c+d", NULL, 200, "\"Key\":\"a/b c+d\""},
        {"PUT /v1/kv//x/../y//", "2", 200, "true"}, /* no redirect, nothing cleaned */
        {"GET /v1/kv/%2Fx/../y//", NULL, 200, "\"Key\":\"/x/../y//\""},
        {"GET /db/%2Fx%2F..%2Fy%2F%2F", NULL, 200, "2"},
        {"PUT /v1/kv/a%00b", "3", 400, ""},
        {"GET /v1/kv/a%zz", NULL, 400, ""},
        {"GET /v1%2Fkv/a", NULL, 404, "no_such_path"},
        {"GET /v1/k%76/a/b%20c+d", NULL, 200, "\"Key\":\"a/b c+d\""}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void raw_is_the_value_alone(void)
{
    static const struct row rows[] = {
        {"PUT /v1/kv/a", "<b>\n", 200, "true"},
        {"GET /v1/kv/a?raw", NULL, 200, "<b>\n"},
        {"GET /v1/kv/a?raw", NULL, 200, "Content-Type: text/plain\n"},
        {"GET /v1/kv/a?raw", NULL, 200, "X-Content-Type-Options: nosniff\n"},
        {"GET /v1/kv/a?raw", NULL, 200, "Content-Security-Policy: sandbox\n"},
        {"GET /v1/kv/a?raw", NULL, 200, "X-Consul-Index: 2\n"},
        {"GET /v1/kv/b?raw", NULL, 404, ""},
        {"GET /v1/kv/a?raw&recurse", NULL, 200, "\"Key\":\"a\""}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void flags_are_64_bits(void)
{
    static const struct row rows[] = {
        {"PUT /v1/kv/a?flags=16210313421097356768", "v", 200, "true"},
        {"GET /v1/kv/a", NULL, 200, "\"Flags\":16210313421097356768,"},
        {"PUT /v1/kv/a?flags=18446744073709551615", "v", 200, "true"},
        {"GET /v1/kv/a", NULL, 200, "\"Flags\":18446744073709551615,"},
        {"PUT /v1/kv/a", "w", 200, "true"}, /* a put without flags sets them to 0 */
        {"GET /v1/kv/a", NULL, 200, "\"Flags\":0,"},
        {"PUT /v1/kv/a?flags=x", "v", 500, "strconv.ParseUint: parsing \"x\": invalid syntax"},
        {"PUT /v1/kv/a?flags=", "v", 500, "strconv.ParseUint: parsing \"\": invalid syntax"},
        {"PUT /v1/kv/a?flags=-1", "v", 500, "parsing \"-1\": invalid syntax"},
        {"PUT /v1/kv/a?flags=18446744073709551616", "v", 500, "value out of range"},
        {"GET /v1/kv/a", NULL, 200, "\"ModifyIndex\":4"}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void check_and_set_compares_the_modify_index(void)
{
    static const struct row rows[] = {
        {"PUT /v1/kv/a?cas=1", "x", 200, "false"},
        {"PUT /v1/kv/a?cas=0", "x", 200, "true"},
        {"PUT /v1/kv/a?cas=0", "y", 200, "false"},
        {"PUT /v1/kv/a?cas=2&flags=7", "y", 200, "true"},
        {"PUT /v1/kv/a?cas=2", "z", 200, "false"},
        {"GET /v1/kv/a", NULL, 200, "\"Flags\":7,\"Value\":\"eQ==\""},
        {"PUT /v1/kv/a?cas=x", "z", 500, "strconv.ParseUint: parsing \"x\": invalid syntax"},
        {"DELETE /v1/kv/none?cas=9", NULL, 200, "true"}, /* what is not there is deleted */
        {"DELETE /v1/kv/none?cas=0", NULL, 200, "true"},
        {"DELETE /v1/kv/a?cas=2", NULL, 200, "false"},
        {"DELETE /v1/kv/a?cas=0", NULL, 200, "false"},
        {"GET /v1/kv/a", NULL, 200, "\"ModifyIndex\":3"},
        {"DELETE /v1/kv/a?cas=3", NULL, 200, "true"},
        {"GET /v1/kv/a", NULL, 404, ""},
        {"PUT /v1/kv/a?cas=0&acquire=x", "y", 400, "Conflicting flags: acquire=x&cas=0"},
        {"PUT /v1/kv/a?release=x&acquire=y", "y", 400,
         "Conflicting flags: acquire=y&release=x"},
        {"DELETE /v1/kv/a?recurse&cas=1", NULL, 400, "Conflicting flags: cas=1&recurse="}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void locks_need_sessions_which_are_not_there_and_nothing_is_written(void)
{
    static const struct row rows[] = {
        {"PUT /v1/kv/a?acquire=8f2b4dc2-92f1-4d4c-9c3c-6e7d1f2a3b4c", "x", 501, "no sessions"},
        {"PUT /v1/kv/a?release=8f2b4dc2-92f1-4d4c-9c3c-6e7d1f2a3b4c", "x", 501, "no sessions"},
        {"GET /v1/kv/a", NULL, 404, ""}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void what_changes_nothing_keeps_the_index(void)
{
    static const struct row rows[] = {
        {"PUT /v1/kv/a?flags=3", "x", 200, "true"},
        {"PUT /v1/kv/a?flags=3", "x", 200, "true"},
        {"PUT /v1/kv/a?cas=2&flags=3", "x", 200, "true"},
        {"GET /v1/kv/a", NULL, 200, "\"CreateIndex\":2,\"ModifyIndex\":2"},
        {"PUT /v1/kv/a?flags=4", "x", 200, "true"},
        {"GET /v1/kv/a", NULL, 200, "\"CreateIndex\":2,\"ModifyIndex\":3"},
        {"PUT /db/b", "x", 200, "X-Coracle-Revision: 4"}, /* also if another dialect wrote it */
        {"PUT /v1/kv/b", "x", 200, "true"},
        {"GET /v1/kv/b", NULL, 200, "\"ModifyIndex\":4"}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void prefixes_are_listed(void)
{
    static const struct row rows[] = {
        {"GET /v1/kv/?keys", NULL, 200, "[]"},
        {"GET /v1/kv/?recurse", NULL, 404, ""},
        {"GET /v1/kv/p?keys", NULL, 404, ""},
        {"GET /v1/kv/p?recurse", NULL, 404, "X-Consul-Index: 1\n"},
        {"PUT /v1/kv/p/a", "1", 200, "true"},
        {"PUT /v1/kv/p/a/b", "2", 200, "true"},
        {"PUT /v1/kv/p/c", "3", 200, "true"},
        {"PUT /v1/kv/p/d/e", "4", 200, "true"},
        {"PUT /v1/kv/p/d/f", "5", 200, "true"},
        {"PUT /v1/kv/q", "6", 200, "true"},
        {"GET /v1/kv/p/?keys", NULL, 200, "[\"p/a\",\"p/a/b\",\"p/c\",\"p/d/e\",\"p/d/f\"]"},
        {"GET /v1/kv/p/?keys&separator=/", NULL, 200, "[\"p/a\",\"p/a/\",\"p/c\",\"p/d/\"]"},
        {"GET /v1/kv/p/?keys&seperator=%2F", NULL, 200, "[\"p/a\",\"p/a/\",\"p/c\",\"p/d/\"]"},
        {"GET /v1/kv/p/?keys&seperator=a&separator=d/", NULL, 200,
         "[\"p/a\",\"p/a/b\",\"p/c\",\"p/d/\"]"},
        {"GET /v1/kv/?keys&separator=/", NULL, 200, "[\"p/\",\"q\"]"},
        {"GET /v1/kv?keys&separator=", NULL, 200, "\"p/d/f\",\"q\"]"},
        {"GET /v1/kv/p/d?recurse", NULL, 200,
         "\"Value\":\"NA==\",\"CreateIndex\":5,\"ModifyIndex\":5},{\"LockIndex\":0,\"Key\":"
         "\"p/d/f\""},
        {"GET /v1/kv/p/d?recurse", NULL, 200, "X-Consul-Index: 6\n"},
        {"GET /v1/kv/?recurse", NULL, 200, "X-Consul-Index: 7\n"},
        {"GET /v1/kv/p?recurse&keys", NULL, 200, "[\"p/a\""}, /* keys counts more */
        {"GET /v1/kv/zz?keys", NULL, 404, "X-Consul-Index: 7\n"},
        {"DELETE /v1/kv/p/d?recurse", NULL, 200, "true"},
        {"GET /v1/kv/p/?keys", NULL, 200,
         "X-Consul-Index: 8\n"}, /* a deletion under it counts */
        {"GET /v1/kv/p/d?recurse", NULL, 404, "X-Consul-Index: 8\n"},
        {"PUT /v1/kv/r", "7", 200, "true"},
        {"GET /v1/kv/p/?recurse", NULL, 200, "X-Consul-Index: 8\n"},
        {"GET /v1/kv/p/d?recurse", NULL, 404, "X-Consul-Index: 9\n"}, /* as of any other key */
        {"DELETE /v1/kv/?recurse", NULL, 200, "true"},
        {"GET /v1/kv/?recurse", NULL, 404, ""},
        {"DELETE /v1/kv/?recurse", NULL, 200, "true"}};
    run_rows(rows, ARRAY_LEN(rows));
}

/* Where a group of keys ends where the range does, and where nothing comes after it at all. */
static void the_last_group_may_be_the_end_of_everything(void)
{
    static const struct row rows[] = {
        {"PUT /v1/kv/p%FFa", "1", 200, "true"},
        {"PUT /v1/kv/p%FFb", "2", 200, "true"},
        {"PUT /v1/kv/q", "3", 200, "true"},
        {"PUT /v1/kv/%FF%FFc", "4", 200, "true"},
        {"PUT /v1/kv/%FF%FFd", "5", 200, "true"},
        {"GET /v1/kv/p?keys&separator=%FF", NULL, 200, "[\"p\xef\xbf\xbd\"]"},
        {"GET /v1/kv/%FF?keys&separator=%FF", NULL, 200, "[\"\xef\xbf\xbd\xef\xbf\xbd\"]"},
        {"GET /v1/kv/?keys&separator=%FF", NULL, 200,
         "[\"p\xef\xbf\xbd\",\"q\",\"\xef\xbf\xbd\"]"}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void pretty_is_indented_by_four(void)
{
    static const struct row rows[] = {
        {"PUT /v1/kv/a?pretty", "x", 200, "true\n"},
        {"GET /v1/kv/a?pretty", NULL, 200,
         "[\n    {\n        \"LockIndex\": 0,\n        \"Key\": \"a\",\n        \"Flags\": "
         "0,\n"},
        {"GET /v1/kv/a?pretty", NULL, 200, "\"ModifyIndex\": 2\n    }\n]\n"},
        {"GET /v1/kv/?keys&pretty", NULL, 200, "[\n    \"a\"\n]\n"},
        {"GET /v1/kv/a?keys=&pretty=1", NULL, 200, "[\n    \"a\"\n]\n"}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void values_have_consuls_limit(void)
{
    static char value[CONSUL_VALUE_MAX + 2];
    struct client c;
    site_open(&site, (struct api_options){0});
    memset(value, 'x', CONSUL_VALUE_MAX);
    struct reply *r = ask_row(&site, &c, "PUT /v1/kv/a", value);
    CHECK_EQ(r->status, 200u);
    client_close(&c);
    value[CONSUL_VALUE_MAX] = 'x';
    r = ask_row(&site, &c, "PUT /v1/kv/b", value);
    CHECK_EQ(r->status, 413u);
    CHECK(r->close);
    CHECK(reply_has(r, "Request body(524289 bytes) too large, max size: 524288 bytes."));
    client_close(&c);
    site_close(&site);
}

/* ---- every path ----------------------------------------------------------------------------------- */

static void paths_have_their_methods(void)
{
    static const struct row rows[] = {
        {"OPTIONS /v1/kv/a", NULL, 200, "Allow: OPTIONS,GET,PUT,DELETE\n"},
        {"OPTIONS /v1/kv/a", NULL, 200, ""},
        {"OPTIONS /v1/status/leader", NULL, 200, "Allow: OPTIONS,GET\n"},
        {"POST /v1/kv/a", "x", 405, "method POST not allowed"},
        {"POST /v1/kv/a", "x", 405, "Allow: OPTIONS,GET,PUT,DELETE\n"},
        {"HEAD /v1/kv/a", NULL, 405, "Allow: OPTIONS,GET,PUT,DELETE\n"},
        {"PUT /v1/status/peers", "x", 405, "method PUT not allowed"},
        {"GET /v1/nope", NULL, 404, "Invalid URL path: not a recognized HTTP API endpoint"},
        {"GET /v1/status/leader/", NULL, 404, "Invalid URL path"},
        {"GET /v1/", NULL, 404, "Content-Type: text/plain; charset=utf-8\n"}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void parameters_of_every_path_are_checked(void)
{
    static const struct row rows[] = {
        {"GET /v1/kv/a?dc=dc1", NULL, 404, ""},
        {"GET /v1/kv/a?dc=", NULL, 404, ""},
        {"GET /v1/kv/a?dc=other", NULL, 500, "No path to datacenter"},
        {"GET /v1/kv/a?dc=other&datacenter=dc1", NULL, 404, ""},
        {"GET /v1/status/leader?dc=other", NULL, 500, "No path to datacenter"},
        {"GET /v1/kv/a?ns=team", NULL, 400,
         "Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature"},
        {"GET /v1/kv/a?partition=p", NULL, 400, "Invalid query parameter: \"partition\" - "},
        {"GET /v1/kv/a?ns=", NULL, 404, ""},
        {"GET /v1/kv/a?stale&consistent", NULL, 400,
         "Cannot specify ?stale with ?consistent, conflicting semantics."},
        {"GET /v1/kv/a?max_stale=1s&consistent", NULL, 400, "Cannot specify ?stale with"},
        {"GET /v1/kv/a?cached&consistent", NULL, 400, "Cannot specify ?cached with"},
        {"GET /v1/kv/a?max_stale=x", NULL, 400, "Invalid max_stale value \"x\""},
        {"GET /v1/kv/a?leader&max_stale=x", NULL, 404, ""},
        {"GET /v1/kv/a?consistent", NULL, 404, ""},
        {"GET /v1/kv/a?max_stale=1ns", NULL, 404, ""},
        {"GET /v1/kv/a?index=x", NULL, 400, "Invalid index"},
        {"GET /v1/kv/a?index=-1", NULL, 400, "Invalid index"},
        {"GET /v1/kv/a?index=99999999999999999999", NULL, 400, "Invalid index"},
        {"GET /v1/kv/a?wait=5", NULL, 400, "Invalid wait time"},
        {"GET /v1/kv/a?index=0&wait=1e9", NULL, 400, "Invalid wait time"},
        {"GET /v1/kv/a?index=0&wait=10s", NULL, 404, ""},
        {"GET /v1/kv/a?index=&wait=", NULL, 404, ""}};
    run_rows(rows, ARRAY_LEN(rows));
}

static void status_is_told_without_a_leader_too(void)
{
    static const struct row rows[] = {
        {"GET /v1/status/leader", NULL, 200, "\"n1:1\""},
        {"GET /v1/status/peers", NULL, 200, "[\"n1:1\",\"n2:1\"]"},
        {"GET /v1/status/peers?pretty", NULL, 200, "[\n    \"n1:1\",\n    \"n2:1\"\n]\n"}};
    static const struct row without[] = {
        {"GET /v1/status/leader", NULL, 200, "\"\""},
        {"GET /v1/status/peers", NULL, 200, "[\"n1:1\",\"n2:1\"]"},
        {"GET /v1/kv/a?stale", NULL, 404, "X-Consul-Knownleader: false\n"}};
    site_open(&site, (struct api_options){0});
    check_rows(&site, rows, ARRAY_LEN(rows));
    site.node.status.raft.leader = 0;
    check_rows(&site, without, ARRAY_LEN(without));
    site_close(&site);
}

/* ---- failures ------------------------------------------------------------------------------------- */

static void failures_have_consuls_codes(void)
{
    static const struct {
        enum cor_status end;
        unsigned status;
        const char *has;
    } rows[] = {{COR_ENOLEADER, 500, "No cluster leader"},
                {COR_ETIMEDOUT, 500, "No cluster leader"},
                {COR_ESTOPPED, 500, "No cluster leader"},
                {COR_EUNKNOWN, 500, "leadership lost while committing log"},
                {COR_EBUSY, 500, "nothing was done"},
                {COR_ENOSPACE, 500, "no space"},
                {COR_ENOTDONE, 500, "nothing was done"},
                {COR_ETOOBIG, 413, "too large"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (unsigned late = 0; late < 2; late++) {
            const struct row asks[] = {{"PUT /v1/kv/a", "x", rows[i].status, rows[i].has},
                                       {"GET /v1/kv/a", NULL, rows[i].status, rows[i].has}};
            site_open(&site, (struct api_options){0});
            if (late) {
                site.node.write_end = site.node.read_end = rows[i].end;
            } else {
                site.node.refusal = rows[i].end;
            }
            check_rows(&site, asks, ARRAY_LEN(asks));
            site_close(&site);
        }
    }
}

static void requests_wait_seven_seconds_for_a_leader(void)
{
    static const struct row rows[] = {{"PUT /v1/kv/a", "x", 200, "true"},
                                      {"GET /v1/kv/a", NULL, 200, "eA=="}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        site_open(&site, (struct api_options){0});
        check_rows(&site, rows, i + 1);
        CHECK_EQ(site.node.last_timeout, 7 * SIM_S);
        site_close(&site);
    }
}

TEST_MAIN(TEST(a_key_is_written_read_and_deleted), TEST(a_key_is_what_the_path_says_decoded),
          TEST(raw_is_the_value_alone), TEST(flags_are_64_bits),
          TEST(check_and_set_compares_the_modify_index),
          TEST(locks_need_sessions_which_are_not_there_and_nothing_is_written),
          TEST(what_changes_nothing_keeps_the_index), TEST(prefixes_are_listed),
          TEST(the_last_group_may_be_the_end_of_everything), TEST(pretty_is_indented_by_four),
          TEST(values_have_consuls_limit), TEST(paths_have_their_methods),
          TEST(parameters_of_every_path_are_checked), TEST(status_is_told_without_a_leader_too),
          TEST(failures_have_consuls_codes), TEST(requests_wait_seven_seconds_for_a_leader))
