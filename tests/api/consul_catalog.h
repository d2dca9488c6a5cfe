/*
 * consul_catalog.h - a small catalog to ask about: two nodes, three instances of "es" and one of "db".
 */
#ifndef TESTS_API_CONSUL_CATALOG_H
#define TESTS_API_CONSUL_CATALOG_H

#include "tests/api/consul.h"

/* "[]" or "{}" and nothing else. */
#define EMPTY "Content-Length: 2\n"

static inline void register_body(struct site *site, const char *body)
{
    struct client c;
    struct reply *r = ask_row(site, &c, "PUT /v1/catalog/register", body);
    ROW("%.200s", body);
    CHECK_EQ(r->status, 200u);
    CHECK(reply_has(r, "true"));
    client_close(&c);
    ROW("%s", "");
}

static inline void deregister_body(struct site *site, const char *body)
{
    struct client c;
    CHECK_EQ(ask_row(site, &c, "PUT /v1/catalog/deregister", body)->status, 200u);
    client_close(&c);
}

static inline void populate(struct site *site)
{
    static const char *const bodies[] = {
        "{\"Node\":\"Foo\",\"Address\":\"10.0.0.1\",\"NodeMeta\":{\"rack\":\"1\",\"os\":"
        "\"linux\"},"
        "\"Service\":{\"ID\":\"es1\",\"Service\":\"es\",\"Tags\":[\"v1\",\"p\"],\"Port\":9200},"
        "\"Checks\":[{\"Name\":\"alive\",\"Status\":\"passing\"},"
        "{\"CheckID\":\"es1-http\",\"Name\":\"http\",\"ServiceID\":\"es1\",\"Status\":"
        "\"passing\"}]}",
        "{\"node\":\"foo\",\"skipnodeupdate\":true,\"service\":{\"id\":\"es2\",\"service\":"
        "\"es\","
        "\"tags\":[\"v2\"]},\"check\":{\"name\":\"es2-http\",\"serviceid\":\"es2\"}}",
        "{\"Node\":\"bar\",\"Address\":\"10.0.0.2\",\"NodeMeta\":{\"rack\":\"2\"},"
        "\"Service\":{\"Service\":\"es\",\"Tags\":[\"v1\"],\"Address\":\"10.1.1.1\","
        "\"Meta\":{\"k\":\"v\"},\"Weights\":{\"Passing\":3,\"Warning\":2},"
        "\"EnableTagOverride\":true,"
        "\"TaggedAddresses\":{\"lan\":{\"Address\":\"10.2.2.2\",\"Port\":8}}}}",
        "{\"Node\":\"bar\",\"Address\":\"10.0.0.2\",\"NodeMeta\":{\"rack\":\"2\"},"
        "\"Service\":{\"Service\":\"db\"},\"Check\":{\"CheckID\":\"db-tcp\",\"Name\":\"tcp\","
        "\"ServiceID\":\"db\",\"Status\":\"warning\",\"Definition\":{\"TCP\":\"x:1\","
        "\"Interval\":\"90s\",\"Timeout\":1500000000,\"Header\":{\"A\":[\"b\",\"c\"]},"
        "\"TLSSkipVerify\":true}}}"};
    site_open(site, (struct api_options){0});
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        register_body(site, bodies[i]);
    }
}

/* The answer to one request, also for a caller who waits for a long time. */
static inline struct reply *ask_once(struct site *site, struct client *c, const char *target)
{
    char line[256];
    format_to(line, sizeof line, "GET %s", target);
    return ask_row(site, c, line, "");
}

static inline uint64_t index_of(struct site *site, const char *target)
{
    struct client c;
    uint64_t index = reply_number(ask_once(site, &c, target), "X-Consul-Index");
    client_close(&c);
    return index;
}

/* A request that waits for a change after the present index. */
static inline void wait_for(struct site *site, struct client *c, const char *target)
{
    char text[256];
    char mark = strchr(target, '?') == NULL ? '?' : '&';
    format_to(text, sizeof text,
              "GET %s%cindex=%llu&wait=5m HTTP/1.1\r\nHost: localhost\r\n\r\n", target, mark,
              (unsigned long long)index_of(site, target));
    client_open(c, site);
    client_say(c, text);
    site_run(site, SIM_S);
    CHECK_EQ(c->n, 0u);
}

#endif
