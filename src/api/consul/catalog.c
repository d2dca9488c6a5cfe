/*
 * catalog.c - reads of /v1/catalog: nodes, services, and who has which.
 *
 * Place in the system: routes of routes.c; rows.h finds, chooses and writes rows. An answer is made in one go, so
 * it is of one state.
 */
#include "api/consul/rows.h"

#include <stdlib.h>
#include <string.h>

static const struct kv *kv_of(const struct exchange *x)
{
    return node_kv(x->api->node);
}

/* ---- datacenters -------------------------------------------------------------------------------------- */

static enum rendered render_datacenters(struct exchange *x, struct out *o)
{
    struct extra e;
    e.used = 0;
    consul_headers(&e);
    struct json_writer *w = consul_json(x);
    json_begin_array(w);
    json_text(w, CONSUL_DATACENTER);
    json_end_array(w);
    return consul_answer_json(x, o, &e, w);
}

void consul_catalog_datacenters(struct consul_call *c)
{
    static const struct exchange_ops ops = {.render = render_datacenters};
    c->x->ops = &ops;
    exchange_ready(c->x);
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

static enum rendered render_nodes(struct exchange *x, struct out *o)
{
    struct rows_read *r = x->own;
    struct json_writer *w = consul_json(x);
    struct rows_walk walk;
    struct node_found node;
    json_begin_array(w);
    rows_walk_all(&walk, kv_of(x), KV_TABLE_NODES);
    while (rows_next_node(&walk, &node)) {
        if (rows_wants_node(&r->filter, &node.row)) {
            rows_write_node(w, &node);
        }
    }
    json_end_array(w);
    return rows_read_answer(r, o, w);
}

void consul_catalog_nodes(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_nodes, consul_read_gone, consul_read_stop};
    struct rows_read *r = rows_read_new(c, 1, NULL);
    if (r != NULL) {
        rows_read_all(r, KV_TABLE_NODES);
        consul_read_start(&r->read, &ops);
    }
}

/* ---- services ------------------------------------------------------------------------------------------ */

/* The tags of all instances of one service. */
struct tags {
    struct cor_bytes *items;
    size_t n, size;
    bool failed; /* out of memory */
};

static void add_tags(struct tags *t, const struct catalog_list *list)
{
    struct reader r = reader_of(list->bytes);
    for (uint64_t i = 0; i < list->n && !t->failed; i++) {
        if (t->n == t->size) {
            size_t size = t->size == 0 ? 64 : 2 * t->size;
            struct cor_bytes *items = realloc(t->items, size * sizeof *items);
            t->failed = items == NULL;
            t->items = t->failed ? t->items : items;
            t->size = t->failed ? t->size : size;
        }
        if (!t->failed) {
            t->items[t->n++] = reader_blob(&r);
        }
    }
}

static int compare_tags(const void *a, const void *b)
{
    const struct cor_bytes *x = a;
    const struct cor_bytes *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int c = n == 0 ? 0 : memcmp(x->ptr, y->ptr, n);
    return c != 0 ? c : (x->len > y->len) - (x->len < y->len);
}

/* Each of them once; then forget them. */
static void write_tags(struct json_writer *w, struct tags *t)
{
    if (t->n > 1) {
        qsort(t->items, t->n, sizeof t->items[0], compare_tags);
    }
    json_begin_array(w);
    for (size_t i = 0; i < t->n; i++) {
        if (i == 0 || compare_tags(&t->items[i - 1], &t->items[i]) != 0) {
            json_string(w, t->items[i]);
        }
    }
    json_end_array(w);
    t->n = 0;
}

/* Instances come in order of the names of their services. */
static void write_services(struct json_writer *w, const struct kv *kv,
                           const struct rows_filter *filter, struct tags *tags)
{
    struct rows_walk walk;
    struct node_found node;
    struct service_found service;
    struct cor_bytes name = {NULL, 0};
    rows_walk_instances(&walk, kv, name);
    json_begin_object(w);
    while (rows_next_instance(&walk, &node, &service)) {
        if (!rows_wants_node(filter, &node.row)) {
            continue;
        }
        if (!catalog_same_name(name, service.row.name)) {
            if (name.len > 0) {
                write_tags(w, tags);
            }
            name = service.row.name;
            json_name_bytes(w, name);
        }
        add_tags(tags, &service.row.tags);
    }
    if (name.len > 0) {
        write_tags(w, tags);
    }
    json_end_object(w);
}

static enum rendered render_services(struct exchange *x, struct out *o)
{
    struct rows_read *r = x->own;
    struct tags tags = {.n = 0};
    struct json_writer *w = consul_json(x);
    write_services(w, kv_of(x), &r->filter, &tags);
    free(tags.items);
    w->failed = w->failed || tags.failed;
    return rows_read_answer(r, o, w);
}

void consul_catalog_services(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_services, consul_read_gone,
                                            consul_read_stop};
    struct rows_read *r = rows_read_new(c, 2, NULL);
    if (r == NULL) {
        return;
    }
    rows_read_all(r, KV_TABLE_SERVICES);
    if (r->filter.by_node) {
        rows_read_all(r, KV_TABLE_NODES);
    }
    consul_read_start(&r->read, &ops);
}

/* ---- one service --------------------------------------------------------------------------------------- */

static enum rendered render_service(struct exchange *x, struct out *o)
{
    struct rows_read *r = x->own;
    struct json_writer *w = consul_json(x);
    struct rows_walk walk;
    struct node_found node;
    struct service_found service;
    rows_walk_instances(&walk, kv_of(x), r->name);
    json_begin_array(w);
    while (rows_next_instance(&walk, &node, &service)) {
        if (rows_wants_node(&r->filter, &node.row) &&
            rows_wants_service(&r->filter, &service.row)) {
            rows_write_service_node(w, &node, &service);
        }
    }
    json_end_array(w);
    return rows_read_answer(r, o, w);
}

void consul_catalog_service(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_service, consul_read_gone, consul_read_stop};
    struct rows_read *r = rows_read_new(c, 1, "Missing service name");
    if (r != NULL && rows_read_mark(r, CATALOG_SERVICE)) {
        consul_read_start(&r->read, &ops);
    }
}

/* ---- one node ------------------------------------------------------------------------------------------ */

/* @by_id: as an object by ID; else as an array. */
static void write_services_on(struct json_writer *w, const struct kv *kv, struct cor_bytes node,
                              bool by_id)
{
    struct rows_walk walk;
    struct service_found service;
    rows_walk_on(&walk, kv, KV_TABLE_SERVICES, node);
    if (!by_id) {
        json_begin_array(w);
    } else {
        json_begin_object(w);
    }
    while (rows_next_service(&walk, &service)) {
        if (by_id) {
            json_name_bytes(w, service.row.id);
        }
        rows_write_service(w, &service);
    }
    if (!by_id) {
        json_end_array(w);
    } else {
        json_end_object(w);
    }
}

static void write_node(struct json_writer *w, const struct kv *kv,
                       const struct node_found *node, bool by_id)
{
    json_begin_object(w);
    json_name(w, "Node");
    rows_write_node(w, node);
    json_name(w, "Services");
    write_services_on(w, kv, node->row.name, by_id);
    json_end_object(w);
}

static enum rendered render_node(struct exchange *x, struct out *o)
{
    struct rows_read *r = x->own;
    struct json_writer *w = consul_json(x);
    struct node_found node;
    if (rows_find_node(kv_of(x), r->name, &node)) {
        write_node(w, kv_of(x), &node, true);
    } else {
        json_null(w);
    }
    return rows_read_answer(r, o, w);
}

static enum rendered render_node_services(struct exchange *x, struct out *o)
{
    struct rows_read *r = x->own;
    struct json_writer *w = consul_json(x);
    struct node_found node;
    if (rows_find_node(kv_of(x), r->name, &node)) {
        write_node(w, kv_of(x), &node, false);
        return rows_read_answer(r, o, w);
    }
    json_begin_object(w);
    json_name(w, "Node");
    json_null(w);
    json_name(w, "Services");
    json_null(w);
    json_end_object(w);
    return rows_read_answer(r, o, w);
}

static void start_node(struct consul_call *c, const struct exchange_ops *ops)
{
    struct rows_read *r = rows_read_new(c, 1, "Missing node name");
    if (r != NULL && rows_read_mark(r, CATALOG_NODE)) {
        consul_read_start(&r->read, ops);
    }
}

void consul_catalog_node(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_node, consul_read_gone, consul_read_stop};
    start_node(c, &ops);
}

void consul_catalog_node_services(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_node_services, consul_read_gone,
                                            consul_read_stop};
    start_node(c, &ops);
}
