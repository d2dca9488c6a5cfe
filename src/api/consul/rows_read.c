/*
 * rows_read.c - what reads of the catalog and of health share: names in paths, filters, what to wait for.
 *
 * Place in the system: rows.h; consul_read does the waiting. A change of the catalog touches the row that catalog.c
 * keeps of a service or a node, so reads of one of them wait for one key.
 */
#include "api/consul/rows.h"

#include <string.h>

_Static_assert(sizeof(struct rows_read) + 2 * sizeof(struct node_wait) + 64 <= CONSUL_ROOM,
               "a read of two ranges fits");

static bool no_room(struct exchange *x)
{
    consul_fail(x, 400, "the request is too long");
    return false;
}

struct rows_read *rows_read_new(struct consul_call *c, unsigned n_ranges, const char *missing)
{
    struct rows_read *r = ARENA_NEW(&c->x->arena, struct rows_read, 1);
    COR_ASSERT(r != NULL); /* CONSUL_ROOM */
    r->name = c->rest;
    if (missing != NULL && r->name.len == 0) {
        consul_fail(c->x, 400, missing);
        return NULL;
    }
    if (r->name.len > CATALOG_NAME_MAX) {
        consul_fail(c->x, 400, "a name has at most 1024 bytes");
        return NULL;
    }
    if (!consul_read_init(&r->read, c, n_ranges) || !rows_filter_init(&r->filter, c)) {
        return NULL;
    }
    r->read.keeps_bound = r->read.says_mode = true;
    return r;
}

void rows_read_all(struct rows_read *r, uint8_t table)
{
    const struct kv_range range = {.table = table, .to_end = true, .key = CATALOG_FIRST};
    consul_read_of(&r->read, &range);
}

bool rows_read_checks_on(struct rows_read *r)
{
    struct arena *arena = &r->read.x->arena;
    unsigned char *key = ARENA_NEW(arena, unsigned char, r->name.len + 1);
    unsigned char *end = ARENA_NEW(arena, unsigned char, r->name.len + 1);
    if (key == NULL || end == NULL) {
        return no_room(r->read.x);
    }
    struct kv_range range = catalog_below(
        KV_TABLE_CHECKS, catalog_key_on(key, r->name, (struct cor_bytes){NULL, 0}), end);
    consul_read_of(&r->read, &range);
    return true;
}

bool rows_read_mark(struct rows_read *r, enum catalog_mark mark)
{
    unsigned char *key = ARENA_NEW(&r->read.x->arena, unsigned char, r->name.len + 1);
    if (key == NULL) {
        return no_room(r->read.x);
    }
    const struct kv_range range = {.table = KV_TABLE_SERVICES,
                                   .key = catalog_mark_key(key, mark, r->name)};
    consul_read_of(&r->read, &range);
    return true;
}

enum rendered rows_read_answer(struct rows_read *r, struct out *o, struct json_writer *w)
{
    return consul_read_json(&r->read, o, consul_read_revision(&r->read), w);
}
