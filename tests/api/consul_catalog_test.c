/*
 * consul_catalog_test.c - /v1/catalog: what is registered, what is answered, what waits for what.
 */
#include "kv/catalog.h"
#include "tests/api/consul_catalog.h"

static void what_was_registered_is_answered(void)
{
    static const struct row rows[] = {
        {"GET /v1/catalog/datacenters", NULL, 200, "[\"dc1\"]"},
        {"GET /v1/catalog/nodes", NULL, 200,
         "[{\"ID\":\"\",\"Node\":\"bar\",\"Address\":\"10.0.0.2\",\"Datacenter\":\"dc1\","
         "\"TaggedAddresses\":null,\"Meta\":{\"rack\":\"2\"},\"CreateIndex\":4,"
         "\"ModifyIndex\":4},{\"ID\":\"\",\"Node\":\"Foo\","},
        {"GET /v1/catalog/nodes?node-meta=rack:1&node-meta=os:linux&near=_agent", NULL, 200,
         "[{\"ID\":\"\",\"Node\":\"Foo\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"dc1\","
         "\"TaggedAddresses\":null,\"Meta\":{\"os\":\"linux\",\"rack\":\"1\"},"
         "\"CreateIndex\":2,\"ModifyIndex\":2}]"},
        {"GET /v1/catalog/nodes?node-meta=rack:1&node-meta=os:bsd", NULL, 200, EMPTY},
        {"GET /v1/catalog/nodes?node-meta=rack", NULL, 200, EMPTY},
        {"GET /v1/catalog/services", NULL, 200, "{\"db\":[],\"es\":[\"p\",\"v1\",\"v2\"]}"},
        {"GET /v1/catalog/services?node-meta=rack:1", NULL, 200,
         "{\"es\":[\"p\",\"v1\",\"v2\"]}"},
        {"GET /v1/catalog/services?node-meta=rack:2", NULL, 200, "{\"db\":[],\"es\":[\"v1\"]}"},
        {"GET /v1/catalog/services?node-meta=rack:3", NULL, 200, EMPTY},
        {"GET /v1/catalog/service/es?node-meta=rack:2", NULL, 200,
         "[{\"ID\":\"\",\"Node\":\"bar\",\"Address\":\"10.0.0.2\",\"Datacenter\":\"dc1\","
         "\"TaggedAddresses\":null,\"NodeMeta\":{\"rack\":\"2\"},\"ServiceKind\":\"\","
         "\"ServiceID\":\"es\",\"ServiceName\":\"es\",\"ServiceTags\":[\"v1\"],"
         "\"ServiceAddress\":\"10.1.1.1\",\"ServiceTaggedAddresses\":{\"lan\":{\"Address\":"
         "\"10.2.2.2\",\"Port\":8}},\"ServiceWeights\":{\"Passing\":3,\"Warning\":2},"
         "\"ServiceMeta\":{\"k\":\"v\"},\"ServicePort\":0,\"ServiceSocketPath\":\"\","
         "\"ServiceEnableTagOverride\":true,\"ServiceProxy\":{\"Mode\":\"\",\"MeshGateway\":{},"
         "\"Expose\":{}},\"ServiceConnect\":{},\"CreateIndex\":4,\"ModifyIndex\":4}]"},
        {"GET /v1/catalog/service/ES?tag=V1&tag=p", NULL, 200, "\"ServiceID\":\"es1\""},
        {"GET /v1/catalog/service/es?tag=p&tag=v2", NULL, 200, EMPTY},
        {"GET /v1/catalog/service/es?tag=v2", NULL, 200, "\"ServiceID\":\"es2\""},
        {"GET /v1/catalog/service/es?tag=", NULL, 200, "\"ServiceID\":\"es\","},
        {"GET /v1/catalog/service/nothing", NULL, 200, EMPTY},
        {"GET /v1/catalog/node/foo", NULL, 200,
         "{\"Node\":{\"ID\":\"\",\"Node\":\"Foo\",\"Address\":\"10.0.0.1\","
         "\"Datacenter\":\"dc1\",\"TaggedAddresses\":null,\"Meta\":{\"os\":\"linux\","
         "\"rack\":\"1\"},\"CreateIndex\":2,\"ModifyIndex\":2},\"Services\":{\"es1\":{"
         "\"ID\":\"es1\",\"Service\":\"es\",\"Tags\":[\"v1\",\"p\"],\"Address\":\"\","
         "\"Meta\":null,\"Port\":9200,\"Weights\":{\"Passing\":1,\"Warning\":1},"
         "\"EnableTagOverride\":false,\"Proxy\":{\"Mode\":\"\",\"MeshGateway\":{},"
         "\"Expose\":{}},\"Connect\":{},\"CreateIndex\":2,\"ModifyIndex\":2},\"es2\":{"},
        {"GET /v1/catalog/node/nobody", NULL, 200, "null"},
        {"GET /v1/catalog/node-services/foo", NULL, 200, "\"Services\":[{\"ID\":\"es1\","},
        {"GET /v1/catalog/node-services/nobody", NULL, 200,
         "{\"Node\":null,\"Services\":null}"},
    };
    struct site site;
    populate(&site);
    check_rows(&site, rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void what_is_wrong_is_said(void)
{
    static const struct row rows[] = {
        {"GET /v1/catalog/node/", NULL, 400, "Missing node name"},
        {"GET /v1/catalog/service/", NULL, 400, "Missing service name"},
        {"GET /v1/catalog/nodes?dc=dc2", NULL, 500, "No path to datacenter"},
        {"GET /v1/catalog/nodes?stale&consistent", NULL, 400, "conflicting semantics"},
        {"GET /v1/catalog/nodes?index=x", NULL, 400, "Invalid index"},
        {"GET /v1/catalog/nodes?filter=a", NULL, 500,
         "Failed to create boolean expression evaluator: "},
        {"POST /v1/catalog/nodes", NULL, 405, "OPTIONS,GET"},
        {"GET /v1/catalog/register", NULL, 405, "OPTIONS,PUT"},
        {"PUT /v1/catalog/register", "", 400, "Request decode failed: "},
        {"PUT /v1/catalog/register", "{\"Node\":", 400, "Request decode failed: "},
        {"PUT /v1/catalog/register", "null", 500, "Must provide node"},
        {"PUT /v1/catalog/register", "[]", 500, "Must provide node"},
        {"PUT /v1/catalog/register", "{}", 500, "Must provide node"},
        {"PUT /v1/catalog/register", "{\"Node\":\"a\"}", 500,
         "Must provide address if SkipNodeUpdate is not set"},
        {"PUT /v1/catalog/register", "{\"Node\":7}", 400,
         "Request decode failed: Node must be a string"},
        {"PUT /v1/catalog/register", "{\"Node\":\"a\\u0001\",\"Address\":\"x\"}", 400,
         "Invalid Node"},
        {"PUT /v1/catalog/register", "{\"Node\":\"a\",\"Address\":\"x\",\"Datacenter\":\"o\"}",
         500, "No path to datacenter"},
        {"PUT /v1/catalog/register",
         "{\"Node\":\"a\",\"Address\":\"x\",\"Service\":{\"ID\":\"s\"}}", 500,
         "Must provide service name with ID"},
        {"PUT /v1/catalog/register",
         "{\"Node\":\"a\",\"Address\":\"x\",\"Service\":{\"Service\":\"s\",\"Address\":\"0.0.0."
         "0\"}}",
         500, "Invalid service address"},
        {"PUT /v1/catalog/register",
         "{\"Node\":\"a\",\"Address\":\"x\",\"Service\":{\"Service\":\"s\",\"Port\":65536}}",
         400, "Port must be"},
        {"PUT /v1/catalog/register",
         "{\"Node\":\"a\",\"Address\":\"x\",\"Service\":{\"Service\":\"s\",\"Tags\":[1]}}", 400,
         "Tags must be"},
        {"PUT /v1/catalog/register",
         "{\"Node\":\"a\",\"Address\":\"x\",\"NodeMeta\":{\"a\":1}}", 400, "NodeMeta must be"},
        {"PUT /v1/catalog/register",
         "{\"Node\":\"a\",\"Address\":\"x\",\"Check\":{\"Name\":\"c\",\"ServiceID\":\"s\"}}",
         500, "Missing service registration"},
        {"PUT /v1/catalog/register",
         "{\"Node\":\"a\",\"Address\":\"x\",\"Check\":{\"Node\":\"b\",\"Name\":\"c\"}}", 500,
         "the node of a check"},
        {"PUT /v1/catalog/register", "{\"Node\":\"a\",\"Address\":\"x\",\"Checks\":[{}]}", 500,
         "CheckID"},
        {"PUT /v1/catalog/register", "{\"Node\":\"a\",\"Address\":\"x\",\"Checks\":[null]}",
         400, "Check must be an object"},
        {"PUT /v1/catalog/register",
         "{\"Node\":\"a\",\"Address\":\"x\",\"Check\":{\"Name\":\"c\",\"Definition\":{"
         "\"Interval\":\"soon\"}}}",
         400, "Interval must be"},
        {"PUT /v1/catalog/deregister", "{}", 500, "Must provide node"},
        {"PUT /v1/catalog/deregister", "{\"Node\":\"nobody\"}", 200, "true"},
        {"PUT /v1/catalog/deregister", "{\"Node\":\"nobody\",\"ServiceID\":\"x\"}", 200,
         "true"},
        {"GET /v1/catalog/nodes", NULL, 200, EMPTY}, /* nothing of all this was done */
    };
    struct site site;
    site_open(&site, (struct api_options){0});
    check_rows(&site, rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void a_name_that_belongs_to_another_id_is_refused(void)
{
    static const struct row rows[] = {
        {"PUT /v1/catalog/register", "{\"ID\":\"A\",\"Node\":\"n\",\"Address\":\"x\"}", 200,
         "true"},
        {"PUT /v1/catalog/register", "{\"ID\":\"b\",\"Node\":\"n\",\"Address\":\"x\"}", 500,
         "Error while renaming Node ID"},
        {"PUT /v1/catalog/register", "{\"ID\":\"a\",\"Node\":\"m\",\"Address\":\"x\"}", 200,
         "true"},
        {"GET /v1/catalog/nodes", NULL, 200, "[{\"ID\":\"a\",\"Node\":\"m\""},
    };
    struct site site;
    site_open(&site, (struct api_options){0});
    check_rows(&site, rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void headers_say_mode_index_and_leader(void)
{
    static const struct {
        const char *target, *mode;
    } rows[] = {
        {"/v1/catalog/nodes", "leader"},
        {"/v1/catalog/services?consistent", "consistent"},
        {"/v1/catalog/service/es?stale", "stale"},
        {"/v1/catalog/node/foo?max_stale=1m", "stale"},
        {"/v1/catalog/node-services/foo?max_stale=1ns", "leader"}, /* the lag is 7 ms */
    };
    struct site site;
    populate(&site);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client c;
        char mode[64];
        ROW("%s", rows[i].target);
        struct reply *r = ask_once(&site, &c, rows[i].target);
        format_to(mode, sizeof mode, "X-Consul-Effective-Consistency: %s\n", rows[i].mode);
        CHECK(reply_has(r, mode));
        CHECK(reply_has(r, "X-Consul-Knownleader: true\n"));
        CHECK_EQ(reply_number(r, "X-Consul-Lastcontact"), 7u);
        CHECK(reply_number(r, "X-Consul-Index") >= 2);
        client_close(&c);
    }
    struct client c;
    struct reply *r = ask_once(&site, &c, "/v1/catalog/datacenters");
    CHECK(!reply_has(r, "X-Consul-Index"));
    client_close(&c);
    site_close(&site);
}

static void a_registration_as_before_moves_no_index_and_wakes_nobody(void)
{
    struct site site;
    struct client nodes, services, service, node;
    const char *same =
        "{\"Node\":\"bar\",\"Address\":\"10.0.0.2\",\"NodeMeta\":{\"rack\":\"2\"},"
        "\"Service\":{\"Service\":\"db\",\"Tags\":[]}}";
    populate(&site);
    wait_for(&site, &nodes, "/v1/catalog/nodes");
    wait_for(&site, &services, "/v1/catalog/services");
    wait_for(&site, &service, "/v1/catalog/service/db");
    wait_for(&site, &node, "/v1/catalog/node/bar");
    uint64_t before = index_of(&site, "/v1/catalog/services");
    register_body(&site, same);
    site_run(&site, SIM_S);
    CHECK_EQ(index_of(&site, "/v1/catalog/services"), before);
    CHECK_EQ(nodes.n + services.n + service.n + node.n, 0u);
    client_close(&nodes);
    client_close(&services);
    client_close(&service);
    client_close(&node);
    site_close(&site);
}

static void a_change_wakes_those_whom_it_concerns(void)
{
    enum {
        NODES,
        SERVICES,
        SERVICES_BY_META,
        ES,
        DB,
        NONE,
        FOO,
        BAR,
        N
    };
    static const char *const targets[N] = {"/v1/catalog/nodes",
                                           "/v1/catalog/services",
                                           "/v1/catalog/services?node-meta=rack:3",
                                           "/v1/catalog/service/es",
                                           "/v1/catalog/service/db",
                                           "/v1/catalog/service/new",
                                           "/v1/catalog/node/foo",
                                           "/v1/catalog/node/bar"};
    static const struct {
        const char *body;
        unsigned woken; /* bits */
    } rows[] = {
        {"{\"Node\":\"foo\",\"SkipNodeUpdate\":true,\"Check\":{\"Name\":\"alive\"}}", 1 << ES},
        {"{\"Node\":\"foo\",\"SkipNodeUpdate\":true,\"Service\":{\"Service\":\"new\"}}",
         1 << SERVICES | 1 << SERVICES_BY_META | 1 << NONE | 1 << FOO},
        {"{\"Node\":\"bar\",\"Address\":\"10.0.0.2\",\"NodeMeta\":{\"rack\":\"3\"}}",
         1 << NODES | 1 << SERVICES_BY_META | 1 << ES | 1 << DB | 1 << BAR},
        {"{\"Node\":\"third\",\"Address\":\"10.0.0.3\"}", 1 << NODES | 1 << SERVICES_BY_META},
    };
    struct site site;
    populate(&site);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client c[N];
        for (size_t k = 0; k < N; k++) {
            wait_for(&site, &c[k], targets[k]);
        }
        register_body(&site, rows[i].body);
        site_run(&site, SIM_S);
        for (size_t k = 0; k < N; k++) {
            ROW("%s, for %s", rows[i].body, targets[k]);
            CHECK_EQ(c[k].n, rows[i].woken >> k & 1u);
            client_close(&c[k]);
        }
        ROW("%s", "");
    }
    site_close(&site);
}

static void the_catalog_and_the_keys_do_not_see_each_other(void)
{
    struct site site;
    struct client key;
    populate(&site);
    client_open(&key, &site);
    client_say(&key, "GET /v1/kv/?recurse&index=1&wait=5m HTTP/1.1\r\nHost: localhost\r\n\r\n");
    site_run(&site, SIM_S);
    deregister_body(&site, "{\"Node\":\"foo\"}");
    site_run(&site, SIM_S);
    CHECK_EQ(key.n, 0u);
    static const struct row rows[] = {
        {"GET /db", NULL, 200, "\"items\":["},
        {"GET /db?prefix=foo", NULL, 200, "\"revision\":1,\"index\":1"},
        {"PUT /v1/kv/a", "1", 200, "true"},
        {"GET /v1/catalog/nodes", NULL, 200, "X-Consul-Index: 6\n"},
    };
    check_rows(&site, rows, ARRAY_LEN(rows));
    client_close(&key);
    site_close(&site);
}

static void a_node_goes_with_everything_on_it(void)
{
    static const struct row rows[] = {
        {"PUT /v1/catalog/deregister", "{\"Node\":\"foo\",\"ServiceID\":\"es1\"}", 200, "true"},
        {"GET /v1/health/node/foo", NULL, 200, "\"CheckID\":\"alive\""},
        {"GET /v1/health/checks/es", NULL, 200, "\"CheckID\":\"es2-http\""},
        {"PUT /v1/catalog/deregister", "{\"Node\":\"FOO\",\"CheckID\":\"alive\"}", 200, "true"},
        {"PUT /v1/catalog/deregister", "{\"node\":\"foo\"}", 200, "true"},
        {"GET /v1/catalog/node/foo", NULL, 200, "null"},
        {"GET /v1/health/node/foo", NULL, 200, EMPTY},
        {"GET /v1/health/checks/es", NULL, 200, EMPTY},
        {"GET /v1/catalog/services", NULL, 200, "{\"db\":[],\"es\":[\"v1\"]}"},
        {"PUT /v1/catalog/deregister", "{\"Node\":\"bar\"}", 200, "true"},
        {"GET /v1/catalog/services", NULL, 200, EMPTY},
        {"GET /v1/health/state/any", NULL, 200, EMPTY},
    };
    struct site site;
    populate(&site);
    check_rows(&site, rows, ARRAY_LEN(rows));
    site_close(&site);
}

static void long_requests_are_answered(void)
{
    static const char *const paths[] = {
        "catalog/service/", "catalog/node/",  "catalog/node-services/", "health/service/",
        "health/node/",     "health/checks/", "health/state/"};
    static char line[6000];
    struct site site;
    struct client c;
    populate(&site);
    size_t len = format_to(line, sizeof line, "GET /v1/catalog/service/es?dc=dc1&stale=");
    for (unsigned i = 0; i < 500; i++) {
        len += format_to(line + len, sizeof line - len, "&tag=v1");
    }
    struct reply *r = ask_row(&site, &c, line, "");
    CHECK_EQ(r->status, 200u);
    CHECK(reply_has(r, "\"ServiceID\":\"es1\"") && !reply_has(r, "\"ServiceID\":\"es2\""));
    client_close(&c);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        for (size_t more = 0; more < 2; more++) {
            ROW("%s and %zu bytes", paths[i], CATALOG_NAME_MAX + more);
            len = format_to(line, sizeof line, "GET /v1/%s", paths[i]);
            memset(line + len, 'x', CATALOG_NAME_MAX + more);
            line[len + CATALOG_NAME_MAX + more] = '\0';
            CHECK_EQ(ask_row(&site, &c, line, "")->status, more == 0 ? 200u : 400u);
            client_close(&c);
        }
    }
    site_close(&site);
}

TEST_MAIN(TEST(what_was_registered_is_answered), TEST(what_is_wrong_is_said),
          TEST(a_name_that_belongs_to_another_id_is_refused),
          TEST(headers_say_mode_index_and_leader),
          TEST(a_registration_as_before_moves_no_index_and_wakes_nobody),
          TEST(a_change_wakes_those_whom_it_concerns),
          TEST(the_catalog_and_the_keys_do_not_see_each_other),
          TEST(a_node_goes_with_everything_on_it), TEST(long_requests_are_answered))
