/*
 * health.c - /v1/health: checks, and services with theirs.
 *
 * Place in the system: routes of routes.c; rows.h finds, chooses and writes rows.
 *
 * The checks of an instance are those of its node and its own. Health of a service, and its checks, wait for
 * the one key that catalog.c touches with all of them; health of a node for the checks on it; a
 * state for all checks.
 */
#include "api/consul/rows.h"

#include <string.h>

static const struct kv *kv_of(const struct exchange *x)
{
    return node_kv(x->api->node);
}

/* ---- checks of an instance ---------------------------------------------------------------------------- */

/* Every check of @id on @node says "passing"; with an empty @id every check of the node itself. */
static bool all_pass(const struct kv *kv, const struct node_found *node, struct cor_bytes id)
{
    struct rows_walk walk;
    struct check_found check;
    rows_walk_checks(&walk, kv, node->row.name, id);
    while (rows_next_listed(&walk, &check)) {
        if (!consul_is(check.row.status, "passing")) {
            return false;
        }
    }
    return true;
}

static bool is_passing(const struct kv *kv, const struct node_found *node,
                       const struct service_found *service)
{
    return all_pass(kv, node, (struct cor_bytes){NULL, 0}) &&
           all_pass(kv, node, service->row.id);
}

/* The checks of @service, or with NULL of the node itself. */
static void write_checks_of(struct json_writer *w, const struct kv *kv,
                            const struct node_found *node, const struct service_found *service)
{
    struct rows_walk walk;
    struct check_found check;
    struct cor_bytes id = service == NULL ? (struct cor_bytes){NULL, 0} : service->row.id;
    rows_walk_checks(&walk, kv, node->row.name, id);
    while (rows_next_listed(&walk, &check)) {
        rows_write_check(w, node->row.name, service, &check);
    }
}

/* ---- service ------------------------------------------------------------------------------------------- */

static void write_instance(struct json_writer *w, const struct kv *kv,
                           const struct node_found *node, const struct service_found *service)
{
    json_begin_object(w);
    json_name(w, "Node");
    rows_write_node(w, node);
    json_name(w, "Service");
    rows_write_service(w, service);
    json_name(w, "Checks");
    json_begin_array(w);
    write_checks_of(w, kv, node, NULL);
    write_checks_of(w, kv, node, service);
    json_end_array(w);
    json_end_object(w);
}

static enum rendered render_service(struct exchange *x, struct out *o)
{
    struct rows_read *r = x->own;
    const struct kv *kv = kv_of(x);
    struct json_writer *w = consul_json(x);
    struct rows_walk walk;
    struct node_found node;
    struct service_found service;
    rows_walk_instances(&walk, kv, r->name);
    json_begin_array(w);
    while (rows_next_instance(&walk, &node, &service)) {
        if (rows_wants_node(&r->filter, &node.row) &&
            rows_wants_service(&r->filter, &service.row) &&
            (!r->passing || is_passing(kv, &node, &service))) {
            write_instance(w, kv, &node, &service);
        }
    }
    json_end_array(w);
    return rows_read_answer(r, o, w);
}

/* The words of a Go boolean. */
static bool read_bool(struct cor_bytes text, bool *out)
{
    static const char *const words[2][6] = {{"0", "f", "F", "false", "FALSE", "False"},
                                            {"1", "t", "T", "true", "TRUE", "True"}};
    for (unsigned v = 0; v < 2; v++) {
        for (size_t i = 0; i < ARRAY_LEN(words[v]); i++) {
            if (consul_is(text, words[v][i])) {
                *out = v == 1;
                return true;
            }
        }
    }
    return false;
}

/* False: the exchange has failed. */
static bool take_passing(struct rows_read *r, struct consul_call *c)
{
    struct cor_bytes text = consul_arg(c, "passing");
    r->passing = consul_has(c, "passing");
    if (text.len > 0 && !read_bool(text, &r->passing)) {
        consul_fail(c->x, 400, "Invalid value for ?passing");
        return false;
    }
    return true;
}

void consul_health_service(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_service, consul_read_gone, consul_read_stop};
    struct rows_read *r = rows_read_new(c, 1, "Missing service name");
    if (r != NULL && take_passing(r, c) && rows_read_mark(r, CATALOG_SERVICE)) {
        consul_read_start(&r->read, &ops);
    }
}

static enum rendered render_checks(struct exchange *x, struct out *o)
{
    struct rows_read *r = x->own;
    struct json_writer *w = consul_json(x);
    struct rows_walk walk;
    struct node_found node;
    struct service_found service;
    rows_walk_instances(&walk, kv_of(x), r->name);
    json_begin_array(w);
    while (rows_next_instance(&walk, &node, &service)) {
        if (rows_wants_node(&r->filter, &node.row)) {
            write_checks_of(w, kv_of(x), &node, &service);
        }
    }
    json_end_array(w);
    return rows_read_answer(r, o, w);
}

void consul_health_checks(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_checks, consul_read_gone, consul_read_stop};
    struct rows_read *r = rows_read_new(c, 1, "Missing service name");
    if (r != NULL && rows_read_mark(r, CATALOG_SERVICE)) {
        consul_read_start(&r->read, &ops);
    }
}

/* ---- node, state ----------------------------------------------------------------------------------------- */

/* With the service that it belongs to, if any. */
static void write_check(struct json_writer *w, const struct kv *kv,
                        const struct node_found *node, const struct check_found *check)
{
    struct service_found service;
    bool has = check->row.service_id.len > 0;
    bool found = !has || rows_find_service(kv, node->row.name, check->row.service_id, &service);
    COR_ASSERT(found);
    rows_write_check(w, node->row.name, has ? &service : NULL, check);
}

static enum rendered render_node(struct exchange *x, struct out *o)
{
    struct rows_read *r = x->own;
    struct json_writer *w = consul_json(x);
    struct rows_walk walk;
    struct node_found node;
    struct check_found check;
    json_begin_array(w);
    if (rows_find_node(kv_of(x), r->name, &node)) {
        rows_walk_on(&walk, kv_of(x), KV_TABLE_CHECKS, r->name);
        while (rows_next_check(&walk, &check)) {
            write_check(w, kv_of(x), &node, &check);
        }
    }
    json_end_array(w);
    return rows_read_answer(r, o, w);
}

void consul_health_node(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_node, consul_read_gone, consul_read_stop};
    struct rows_read *r = rows_read_new(c, 1, "Missing node name");
    if (r != NULL && rows_read_checks_on(r)) {
        consul_read_start(&r->read, &ops);
    }
}

static enum rendered render_state(struct exchange *x, struct out *o)
{
    struct rows_read *r = x->own;
    const struct kv *kv = kv_of(x);
    struct json_writer *w = consul_json(x);
    bool any = consul_is(r->name, "any");
    struct rows_walk walk;
    struct node_found node;
    struct check_found check;
    json_begin_array(w);
    rows_walk_all(&walk, kv, KV_TABLE_CHECKS);
    while (rows_next_check(&walk, &check)) {
        if (!any && !catalog_same_name(check.row.status, r->name)) {
            continue;
        }
        bool found = rows_find_node(kv, catalog_node_of(check.item.key), &node);
        COR_ASSERT(found);
        if (rows_wants_node(&r->filter, &node.row)) {
            write_check(w, kv, &node, &check);
        }
    }
    json_end_array(w);
    return rows_read_answer(r, o, w);
}

void consul_health_state(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_state, consul_read_gone, consul_read_stop};
    struct rows_read *r = rows_read_new(c, 2, "Missing check state");
    if (r == NULL) {
        return;
    }
    rows_read_all(r, KV_TABLE_CHECKS);
    if (r->filter.by_node) {
        rows_read_all(r, KV_TABLE_NODES);
    }
    consul_read_start(&r->read, &ops);
}
