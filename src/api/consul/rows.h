/*
 * rows.h - nodes, services and checks of the catalog as Consul writes them in JSON, and which of them a
 * request wants.
 *
 * Place in the system: catalog.c and health.c walk the tables (kv/catalog.h) and write what they find with this. All
 * views are into the store: they live as long as one rendering.
 */
#ifndef API_CONSUL_ROWS_H
#define API_CONSUL_ROWS_H

#include "api/consul/consul.h"
#include "kv/catalog.h"

/* Rows as found: decoded, and with their revisions. */
struct node_found {
    struct kv_item item;
    struct catalog_node row;
};
struct service_found {
    struct kv_item item;
    struct catalog_service row;
};
struct check_found {
    struct kv_item item;
    struct catalog_check row;
};

/* False: there is none. Keys and names may be in any case. */
bool rows_find_node(const struct kv *kv, struct cor_bytes name, struct node_found *out);
bool rows_find_service(const struct kv *kv, struct cor_bytes node, struct cor_bytes id,
                       struct service_found *out);

/* A walk over the rows of a range. */
struct rows_walk {
    struct kv_cursor cursor;
    unsigned char key[CATALOG_KEY_MAX], end[CATALOG_KEY_MAX];
};
/* All rows of @table. */
void rows_walk_all(struct rows_walk *w, const struct kv *kv, uint8_t table);
/* Those of SERVICES or CHECKS that belong to @node. */
void rows_walk_on(struct rows_walk *w, const struct kv *kv, uint8_t table,
                  struct cor_bytes node);
/* The instances of the service @name, by node and ID; empty: of all services, by name. */
void rows_walk_instances(struct rows_walk *w, const struct kv *kv, struct cor_bytes name);
/* The checks of the service @id on @node; with an empty @id those of the node itself. */
void rows_walk_checks(struct rows_walk *w, const struct kv *kv, struct cor_bytes node,
                      struct cor_bytes id);
bool rows_next_node(struct rows_walk *w, struct node_found *out);
bool rows_next_service(struct rows_walk *w, struct service_found *out);
/* After rows_walk_all() or rows_walk_on(). */
bool rows_next_check(struct rows_walk *w, struct check_found *out);
/* After rows_walk_checks(). */
bool rows_next_listed(struct rows_walk *w, struct check_found *out);
bool rows_next_instance(struct rows_walk *w, struct node_found *node,
                        struct service_found *service);

/* ---- JSON ------------------------------------------------------------------------------------------ */

void rows_write_node(struct json_writer *w, const struct node_found *node);
/* As it stands in a node and in an answer about health. */
void rows_write_service(struct json_writer *w, const struct service_found *service);
/* As catalog/service has it, together with its node. */
void rows_write_service_node(struct json_writer *w, const struct node_found *node,
                             const struct service_found *service);
/* @service: whose check it is; NULL: the node's. */
void rows_write_check(struct json_writer *w, struct cor_bytes node_name,
                      const struct service_found *service, const struct check_found *check);

/* ---- what is wanted ----------------------------------------------------------------------------------- */

/* All tags and node metadata that a request names must be there. */
struct rows_filter {
    struct cor_bytes wants; /* encoded, in the arena of the exchange */
    bool by_node;           /* metadata of nodes is among them */
};

/* Take "tag" and "node-meta" from the query. False: the exchange has failed. */
MUST_USE bool rows_filter_init(struct rows_filter *f, struct consul_call *c);
bool rows_wants_node(const struct rows_filter *f, const struct catalog_node *row);
bool rows_wants_service(const struct rows_filter *f, const struct catalog_service *row);

/* ---- reads ----------------------------------------------------------------------------------------------- */

struct rows_read {
    struct consul_read read; /* first: x->own */
    struct cor_bytes name;   /* in the path; in the arena of the exchange */
    struct rows_filter filter;
    bool passing; /* only instances that are well */
};

/* A read of up to @n_ranges; @missing: what to say when the path ends without a name, NULL: it has none. NULL:
 * the exchange has failed. */
struct rows_read *rows_read_new(struct consul_call *c, unsigned n_ranges, const char *missing);
/* What it is of: all rows of a table; those of CHECKS that belong to the node of its name; what catalog.c
 * keeps of its name. False: the exchange has failed. */
void rows_read_all(struct rows_read *r, uint8_t table);
MUST_USE bool rows_read_checks_on(struct rows_read *r);
MUST_USE bool rows_read_mark(struct rows_read *r, enum catalog_mark mark);
/* 200 and what @w holds. */
enum rendered rows_read_answer(struct rows_read *r, struct out *o, struct json_writer *w);

#endif
