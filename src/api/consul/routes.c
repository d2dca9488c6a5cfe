/*
 * routes.c - the paths under /v1/: which handler answers which method, and what is refused on every path.
 *
 * Place in the system: router.c hands in everything under /v1/. docs/consul.md describes every line of this
 * table. Paths are matched decoded ("%2F" and "/" are the same character); unlike Consul, nothing in
 * them is cleaned up and no client is redirected: a key may begin with "/" or hold "//" and "..".
 */
#include "api/consul/consul.h"

#include "base/format.h"

#include <string.h>

struct route {
    struct cor_bytes path;
    bool below; /* everything that begins with path */
    consul_handler get, put, delete;
};

/* The busiest first. */
static const struct route routes[] = {
    {COR_BYTES_INIT("kv/"), true, consul_kv_get, consul_kv_put, consul_kv_delete},
    {COR_BYTES_INIT("kv"), false, consul_kv_get, consul_kv_put, consul_kv_delete},
    {COR_BYTES_INIT("health/service/"), true, .get = consul_health_service},
    {COR_BYTES_INIT("health/node/"), true, .get = consul_health_node},
    {COR_BYTES_INIT("health/checks/"), true, .get = consul_health_checks},
    {COR_BYTES_INIT("health/state/"), true, .get = consul_health_state},
    {COR_BYTES_INIT("catalog/service/"), true, .get = consul_catalog_service},
    {COR_BYTES_INIT("catalog/services"), false, .get = consul_catalog_services},
    {COR_BYTES_INIT("catalog/nodes"), false, .get = consul_catalog_nodes},
    {COR_BYTES_INIT("catalog/node/"), true, .get = consul_catalog_node},
    {COR_BYTES_INIT("catalog/node-services/"), true, .get = consul_catalog_node_services},
    {COR_BYTES_INIT("catalog/datacenters"), false, .get = consul_catalog_datacenters},
    {COR_BYTES_INIT("catalog/register"), false, .put = consul_catalog_register},
    {COR_BYTES_INIT("catalog/deregister"), false, .put = consul_catalog_deregister},
    {COR_BYTES_INIT("status/leader"), false, .get = consul_status_leader},
    {COR_BYTES_INIT("status/peers"), false, .get = consul_status_peers},
};

#define PREFIX_LEN 4u /* "/v1/" */

static const struct route *find(struct cor_bytes path)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *route = &routes[i];
        if ((path.len == route->path.len || (route->below && path.len > route->path.len)) &&
            memcmp(path.ptr, route->path.ptr, route->path.len) == 0) {
            return route;
        }
    }
    return NULL;
}

/* ---- methods --------------------------------------------------------------------------------------- */

/* The values of Allow, by which of GET, PUT and DELETE there are (bits 0, 1, 2). */
static const char *allow_of(const struct route *route)
{
    static const char *const lists[8] = {
        "OPTIONS",        "OPTIONS,GET",        "OPTIONS,PUT",        "OPTIONS,GET,PUT",
        "OPTIONS,DELETE", "OPTIONS,GET,DELETE", "OPTIONS,PUT,DELETE", "OPTIONS,GET,PUT,DELETE"};
    unsigned get = route->get != NULL, put = route->put != NULL, delete = route->delete != NULL;
    return lists[get | put << 1 | delete << 2];
}

static enum rendered render_options(struct exchange *x, struct out *o)
{
    struct extra e;
    e.used = 0;
    consul_headers(&e);
    extra_text(&e, "Allow",
               (struct cor_bytes){(const unsigned char *)x->allow, strlen(x->allow)});
    const struct answer a = {.status = 200, .extra = &e};
    answer_whole(x, o, &a, (struct cor_bytes){NULL, 0});
    return RENDER_DONE;
}

static void refuse_method(struct exchange *x, struct cor_bytes method)
{
    char text[64];
    int len = (int)(method.len < 16 ? method.len : 16);
    format_to(text, sizeof text, "method %.*s not allowed", len, (const char *)method.ptr);
    consul_fail(x, 405, text);
}

static consul_handler handler_of(const struct route *route, struct cor_bytes method)
{
    if (consul_is(method, "GET")) {
        return route->get;
    }
    if (consul_is(method, "PUT")) {
        return route->put;
    }
    return consul_is(method, "DELETE") ? route->delete : NULL;
}

/* ---- what is refused on every path --------------------------------------------------------------------- */

static bool is_printable(struct cor_bytes path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] < 0x20 || path.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Another datacenter, a namespace, a partition: there are none here. */
static bool is_here(const struct consul_call *c)
{
    static const char *const paid[][2] = {
        {"ns", "Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature"},
        {"partition", "Invalid query parameter: \"partition\" - Partitions are a Consul "
                      "Enterprise feature"}};
    for (size_t i = 0; i < ARRAY_LEN(paid); i++) {
        if (consul_arg(c, paid[i][0]).len > 0) {
            consul_fail(c->x, 400, paid[i][1]);
            return false;
        }
    }
    struct cor_bytes dc = consul_arg(c, "datacenter");
    dc = dc.len > 0 ? dc : consul_arg(c, "dc");
    if (dc.len > 0 && !consul_is(dc, CONSUL_DATACENTER)) {
        consul_fail(c->x, 500, "No path to datacenter");
        return false;
    }
    return true;
}

/* ---- the door -------------------------------------------------------------------------------------------- */

void consul_handle(struct exchange *x, const struct http_request *r)
{
    static const struct exchange_ops options = {.render = render_options};
    struct consul_call c = {.x = x, .r = r};
    COR_ASSERT(r->path.len >= PREFIX_LEN);
    struct cor_bytes raw = {r->path.ptr + PREFIX_LEN, r->path.len - PREFIX_LEN};
    unsigned char *path = ARENA_NEW(&x->arena, unsigned char, raw.len + 1);
    size_t len = 0;
    COR_ASSERT(path != NULL); /* consul_need() saw to it */
    if (!http_percent_decode(raw, path, &len) || !is_printable((struct cor_bytes){path, len})) {
        consul_fail(x, 400, "");
        return;
    }
    const struct route *route = find((struct cor_bytes){path, len});
    if (route == NULL) {
        consul_fail(x, 404, "Invalid URL path: not a recognized HTTP API endpoint");
        return;
    }
    c.rest = (struct cor_bytes){path + route->path.len, len - route->path.len};
    x->allow = allow_of(route);
    if (consul_is(r->method, "OPTIONS")) {
        x->ops = &options;
        exchange_ready(x);
        return;
    }
    consul_handler handle = x->head ? NULL : handler_of(route, r->method);
    if (handle == NULL) {
        refuse_method(x, r->method);
        return;
    }
    x->allow = NULL;
    x->pretty = consul_has(&c, "pretty");
    if (is_here(&c)) {
        handle(&c);
    }
}

/* The path, the values of the query, and both ends of a range of keys, besides a handler's state. */
size_t consul_need(const struct http_request *r)
{
    return CONSUL_ROOM + 3 * r->path.len + r->query.len;
}
