/*
 * consul_health_test.c - /v1/health: checks, services with theirs, states; what waits for what.
 */
#include "tests/api/consul_catalog.h"

static void health_is_that_of_the_node_and_of_the_instance(void)
{
    static const struct row rows[] = {
        {"GET /v1/health/service/es?passing&node-meta=rack:1", NULL, 200,
         "[{\"Node\":{\"ID\":\"\",\"Node\":\"Foo\",\"Address\":\"10.0.0.1\","
         "\"Datacenter\":\"dc1\",\"TaggedAddresses\":null,\"Meta\":{\"os\":\"linux\","
         "\"rack\":\"1\"},\"CreateIndex\":2,\"ModifyIndex\":2},\"Service\":{\"ID\":\"es1\","
         "\"Service\":\"es\",\"Tags\":[\"v1\",\"p\"],\"Address\":\"\",\"Meta\":null,"
         "\"Port\":9200,\"Weights\":{\"Passing\":1,\"Warning\":1},"
         "\"EnableTagOverride\":false,\"Proxy\":{\"Mode\":\"\",\"MeshGateway\":{},"
         "\"Expose\":{}},\"Connect\":{},\"CreateIndex\":2,\"ModifyIndex\":2},\"Checks\":["
         "{\"Node\":\"Foo\",\"CheckID\":\"alive\",\"Name\":\"alive\",\"Status\":\"passing\","
         "\"Notes\":\"\",\"Output\":\"\",\"ServiceID\":\"\",\"ServiceName\":\"\","
         "\"ServiceTags\":[],\"Type\":\"\",\"Interval\":\"\",\"Timeout\":\"\","
         "\"ExposedPort\":0,\"Definition\":{},\"CreateIndex\":2,\"ModifyIndex\":2},"
         "{\"Node\":\"Foo\",\"CheckID\":\"es1-http\",\"Name\":\"http\","
         "\"Status\":\"passing\",\"Notes\":\"\",\"Output\":\"\",\"ServiceID\":\"es1\","
         "\"ServiceName\":\"es\",\"ServiceTags\":[\"v1\",\"p\"],\"Type\":\"\","
         "\"Interval\":\"\",\"Timeout\":\"\",\"ExposedPort\":0,\"Definition\":{},"
         "\"CreateIndex\":2,\"ModifyIndex\":2}]}]"},
        {"GET /v1/health/service/es?dc=dc1&passing=1&stale", NULL, 200,
         "X-Consul-Effective-Consistency: stale\n"},
        {"GET /v1/health/service/es?passing=false&tag=v2", NULL, 200,
         "\"CheckID\":\"es2-http\",\"Name\":\"es2-http\",\"Status\":\"critical\""},
        {"GET /v1/health/service/es?passing=true&tag=v2", NULL, 200, EMPTY},
        {"GET /v1/health/service/db", NULL, 200,
         "\"Definition\":{\"TLSSkipVerify\":true,\"Header\":{\"A\":[\"b\",\"c\"]},"
         "\"TCP\":\"x:1\",\"Interval\":\"1m30s\",\"Timeout\":\"1.5s\"}"},
        {"GET /v1/health/service/db?passing", NULL, 200, EMPTY}, /* a warning is not passing */
        {"GET /v1/health/service/es?passing=yes", NULL, 400, "Invalid value for ?passing"},
        {"GET /v1/health/service/", NULL, 400, "Missing service name"},
        {"GET /v1/health/service/nothing", NULL, 200, EMPTY},
        {"GET /v1/health/node/foo", NULL, 200,
         "\"CheckID\":\"es2-http\",\"Name\":\"es2-http\",\"Status\":\"critical\",\"Notes\":"
         "\"\","
         "\"Output\":\"\",\"ServiceID\":\"es2\",\"ServiceName\":\"es\",\"ServiceTags\":["
         "\"v2\"]"},
        {"GET /v1/health/node/nobody", NULL, 200, EMPTY},
        {"GET /v1/health/node/", NULL, 400, "Missing node name"},
        {"GET /v1/health/checks/es?node-meta=rack:2", NULL, 200, EMPTY},
        {"GET /v1/health/checks/db", NULL, 200, "[{\"Node\":\"bar\",\"CheckID\":\"db-tcp\""},
        {"GET /v1/health/state/warning", NULL, 200,
         "[{\"Node\":\"bar\",\"CheckID\":\"db-tcp\""},
        {"GET /v1/health/state/critical?node-meta=rack:2", NULL, 200, EMPTY},
        {"GET /v1/health/state/critical?node-meta=rack:1", NULL, 200,
         "[{\"Node\":\"Foo\",\"CheckID\":\"es2-http\""},
        {"GET /v1/health/state/strange", NULL, 200, EMPTY},
        {"GET /v1/health/state/any", NULL, 200, "[{\"Node\":\"bar\""},
        {"GET /v1/health/state/", NULL, 400, "Missing check state"},
        {"DELETE /v1/health/service/es", NULL, 405, "method DELETE not allowed"},
    };
    struct site site;
    populate(&site);
    check_rows(&site, rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void one_check_of_the_node_makes_every_instance_fail(void)
{
    static const struct row rows[] = {
        {"GET /v1/health/service/es?passing&node-meta=rack:1", NULL, 200, "\"ID\":\"es1\""},
        {"PUT /v1/catalog/register",
         "{\"Node\":\"foo\",\"SkipNodeUpdate\":true,\"Check\":{\"Name\":\"alive\",\"Status\":"
         "\"warning\"}}",
         200, "true"},
        {"GET /v1/health/service/es?passing&node-meta=rack:1", NULL, 200, EMPTY},
        {"GET /v1/health/service/es?passing", NULL, 200, "\"Node\":\"bar\""},
    };
    struct site site;
    populate(&site);
    check_rows(&site, rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void checks_show_the_service_as_it_is(void)
{
    static const struct row rows[] = {
        {"PUT /v1/catalog/register",
         "{\"Node\":\"foo\",\"SkipNodeUpdate\":true,\"Service\":{\"ID\":\"es1\",\"Service\":"
         "\"search\",\"Tags\":[\"new\"]}}",
         200, "true"},
        {"GET /v1/health/checks/search", NULL, 200,
         "\"ServiceID\":\"es1\",\"ServiceName\":\"search\",\"ServiceTags\":[\"new\"]"},
        {"GET /v1/health/checks/search", NULL, 200, "\"CreateIndex\":2,\"ModifyIndex\":6"},
    };
    struct site site;
    populate(&site);
    check_rows(&site, rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void a_change_wakes_those_whom_it_concerns(void)
{
    enum {
        ES,
        DB,
        ES_CHECKS,
        FOO,
        BAR,
        ANY,
        N
    };
    static const char *const targets[N] = {
        "/v1/health/service/es?passing", "/v1/health/service/db?stale",
        "/v1/health/checks/es",          "/v1/health/node/foo",
        "/v1/health/node/bar",           "/v1/health/state/critical"};
    static const struct {
        const char *line, *body;
        unsigned woken; /* bits */
    } rows[] = {
        {"register",
         "{\"Node\":\"foo\",\"SkipNodeUpdate\":true,\"Service\":{\"Service\":\"x\"}}", 0},
        {"register",
         "{\"Node\":\"foo\",\"SkipNodeUpdate\":true,\"Check\":{\"CheckID\":\"es1-http\","
         "\"Name\":"
         "\"http\",\"ServiceID\":\"es1\",\"Status\":\"passing\"}}",
         0}, /* as before */
        {"register",
         "{\"Node\":\"foo\",\"SkipNodeUpdate\":true,\"Check\":{\"CheckID\":\"es1-http\","
         "\"Name\":"
         "\"http\",\"ServiceID\":\"es1\",\"Status\":\"critical\"}}",
         1 << ES | 1 << ES_CHECKS | 1 << FOO | 1 << ANY},
        {"register", "{\"Node\":\"bar\",\"SkipNodeUpdate\":true,\"Check\":{\"Name\":\"disk\"}}",
         1 << ES | 1 << DB | 1 << ES_CHECKS | 1 << BAR | 1 << ANY},
        {"deregister", "{\"Node\":\"bar\",\"CheckID\":\"db-tcp\"}",
         1 << DB | 1 << BAR | 1 << ANY},
        {"deregister", "{\"Node\":\"bar\",\"ServiceID\":\"es\"}", 1 << ES | 1 << ES_CHECKS},
        {"deregister", "{\"Node\":\"bar\"}", 1 << DB | 1 << BAR | 1 << ANY},
    };
    struct site site;
    populate(&site);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client c[N], writer;
        char line[64];
        for (size_t k = 0; k < N; k++) {
            wait_for(&site, &c[k], targets[k]);
        }
        format_to(line, sizeof line, "PUT /v1/catalog/%s", rows[i].line);
        CHECK_EQ(ask_row(&site, &writer, line, rows[i].body)->status, 200u);
        client_close(&writer);
        for (size_t k = 0; k < N; k++) {
            ROW("%s, for %s", rows[i].body, targets[k]);
            CHECK_EQ(c[k].n, rows[i].woken >> k & 1u);
            client_close(&c[k]);
        }
        ROW("%s", "");
    }
    site_close(&site);
}

static void a_service_that_is_not_there_can_be_waited_for(void)
{
    struct site site;
    struct client c;
    site_open(&site, (struct api_options){0});
    CHECK_EQ(index_of(&site, "/v1/health/service/es"), 1u);
    wait_for(&site, &c, "/v1/health/service/es?passing");
    register_body(&site,
                  "{\"Node\":\"n\",\"Address\":\"x\",\"Service\":{\"Service\":\"other\"}}");
    CHECK_EQ(c.n, 0u);
    register_body(&site, "{\"Node\":\"n\",\"Address\":\"x\",\"Service\":{\"Service\":\"es\"}}");
    CHECK_EQ(c.n, 1u);
    CHECK_EQ(reply_number(&c.replies[0], "X-Consul-Index"), 3u);
    client_close(&c);
    site_close(&site);
}

static void without_a_leader_stale_reads_are_answered_and_others_are_not(void)
{
    struct site site;
    struct client c;
    populate(&site);
    site.node.status.raft.leader = 0;
    struct reply *r = ask_once(&site, &c, "/v1/health/service/es?dc=dc1&passing=1&stale");
    CHECK_EQ(r->status, 200u);
    CHECK(reply_has(r, "\"ID\":\"es1\""));
    CHECK(reply_has(r, "X-Consul-Knownleader: false\n"));
    client_close(&c);
    site.node.read_end = COR_ENOLEADER;
    r = ask_once(&site, &c, "/v1/health/service/es");
    CHECK_EQ(r->status, 500u);
    CHECK(reply_has(r, "No cluster leader"));
    client_close(&c);
    site.node.write_end = COR_ENOLEADER;
    r = ask_row(&site, &c, "PUT /v1/catalog/deregister", "{\"Node\":\"foo\"}");
    CHECK_EQ(r->status, 500u);
    CHECK(reply_has(r, "No cluster leader"));
    client_close(&c);
    site_close(&site);
}

static void a_change_wakes_one_of_many_who_wait(void)
{
    struct site site;
    static struct client c[300];
    populate(&site);
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        char text[128];
        format_to(
            text, sizeof text,
            "GET /v1/health/service/s%zu?index=9&wait=5m HTTP/1.1\r\nHost: localhost\r\n\r\n",
            i);
        client_open(&c[i], &site);
        client_say(&c[i], text);
    }
    site_run(&site, SIM_S);
    struct node_stats stats;
    node_get_stats(&site.node, &stats);
    CHECK_EQ(stats.waiters, ARRAY_LEN(c));
    for (unsigned i = 0; i < 6; i++) { /* pass index 9 */
        char body[128];
        format_to(body, sizeof body,
                  "{\"Node\":\"n\",\"Address\":\"%u\",\"Service\":{\"Service\":\"s7\"}}", i);
        register_body(&site, body);
    }
    size_t woken = 0;
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        woken += c[i].n;
    }
    CHECK_EQ(woken, 1u);
    CHECK_EQ(c[7].n, 1u);
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        client_close(&c[i]);
    }
    site_close(&site);
}

TEST_MAIN(TEST(health_is_that_of_the_node_and_of_the_instance),
          TEST(one_check_of_the_node_makes_every_instance_fail),
          TEST(checks_show_the_service_as_it_is), TEST(a_change_wakes_those_whom_it_concerns),
          TEST(a_service_that_is_not_there_can_be_waited_for),
          TEST(without_a_leader_stale_reads_are_answered_and_others_are_not),
          TEST(a_change_wakes_one_of_many_who_wait))
