/*
 * router.c - the table of routes: which handler answers which method of which path.
 *
 * Place in the system: conn.c hands in each request that the door let through. docs/api.md describes every
 * line of this table. Paths are compared as sent: nothing in them is decoded or resolved before.
 */
#include "api/consul/consul.h"

#include <string.h>

typedef void (*handler)(struct exchange *x, const struct http_request *r);

struct route {
    struct cor_bytes path;
    bool below; /* everything that begins with path */
    handler get, post, put, delete;
    const char *allow;
    handler any; /* not NULL: it knows its methods itself */
};

#define READ_ONLY "GET, HEAD"

/* The busiest first. */
static const struct route routes[] = {
    {COR_BYTES_INIT("/db/"), true, raftd_get, raftd_put, raftd_put, raftd_delete,
     "GET, HEAD, POST, PUT, DELETE", NULL},
    {COR_BYTES_INIT("/db"), false, .get = raftd_list, .allow = READ_ONLY},
    {COR_BYTES_INIT("/v1/"), true, .any = consul_handle},
    {COR_BYTES_INIT("/session"), false, .post = session_open, .allow = "POST"},
    {COR_BYTES_INIT("/session/"), true, .delete = session_close, .allow = "DELETE"},
    {COR_BYTES_INIT("/health"), false, .get = ops_health, .allow = READ_ONLY},
    {COR_BYTES_INIT("/livez"), false, .get = ops_livez, .allow = READ_ONLY},
    {COR_BYTES_INIT("/readyz"), false, .get = ops_readyz, .allow = READ_ONLY},
    {COR_BYTES_INIT("/status"), false, .get = ops_status, .allow = READ_ONLY},
    {COR_BYTES_INIT("/metrics"), false, .get = ops_metrics, .allow = READ_ONLY},
    {COR_BYTES_INIT("/debug/trace"), false, .get = ops_trace, .allow = READ_ONLY},
    {COR_BYTES_INIT("/version"), false, .get = ops_version, .allow = READ_ONLY},
    {COR_BYTES_INIT("/"), false, .get = ops_index, .allow = READ_ONLY},
};

static bool is(struct cor_bytes b, const char *text)
{
    return b.len == strlen(text) && memcmp(b.ptr, text, b.len) == 0;
}

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

static handler handler_of(const struct route *route, struct cor_bytes method)
{
    if (route->any != NULL) {
        return route->any;
    }
    if (is(method, "GET") || is(method, "HEAD")) {
        return route->get;
    }
    if (is(method, "POST")) {
        return route->post;
    }
    if (is(method, "PUT")) {
        return route->put;
    }
    return is(method, "DELETE") ? route->delete : NULL;
}

void router_handle(struct exchange *x, const struct http_request *r)
{
    const struct route *route = find(r->path);
    if (route == NULL) {
        exchange_fail(x, 404, "no_such_path",
                      "there is nothing at this path; GET / lists what there is");
        return;
    }
    handler handle = handler_of(route, r->method);
    if (handle == NULL) {
        x->allow = route->allow;
        exchange_fail(x, 405, "method_not_allowed", "this path does not have this method");
        return;
    }
    handle(x, r);
}

size_t router_need(const struct http_request *r)
{
    static const struct cor_bytes consul = COR_BYTES_INIT("/v1/");
    if (r->path.len >= consul.len && memcmp(r->path.ptr, consul.ptr, consul.len) == 0) {
        return consul_need(r);
    }
    size_t need = API_OWN_ROOM + r->target.len;
    return is(r->path, "/db") ? need + r->target.len + raftd_list_room() : need;
}
