/*
 * rows.c - finding rows of the catalog, and choosing among them. See rows.h.
 */
#include "api/consul/rows.h"

#include "base/reader.h"
#include "base/writer.h"

#include <string.h>

static bool is_equal(struct cor_bytes a, struct cor_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ---- finding -------------------------------------------------------------------------------------- */

/* What is in the store was looked at by kv_check_ops(). */
static void decoded(enum cor_status st)
{
    COR_ASSERT(st == COR_OK);
}

bool rows_find_node(const struct kv *kv, struct cor_bytes name, struct node_found *out)
{
    unsigned char key[CATALOG_KEY_MAX];
    if (!catalog_is_name(name) ||
        kv_get(kv, KV_TABLE_NODES, catalog_key(key, name), 0, &out->item) != COR_OK) {
        return false;
    }
    decoded(catalog_decode_node(out->item.value, &out->row));
    return true;
}

bool rows_find_service(const struct kv *kv, struct cor_bytes node, struct cor_bytes id,
                       struct service_found *out)
{
    unsigned char key[CATALOG_KEY_MAX];
    if (!catalog_is_name(node) || !catalog_is_name(id) ||
        kv_get(kv, KV_TABLE_SERVICES, catalog_key_on(key, node, id), 0, &out->item) != COR_OK) {
        return false;
    }
    decoded(catalog_decode_service(out->item.value, &out->row));
    return true;
}

/* ---- walking --------------------------------------------------------------------------------------- */

static void open_cursor(struct rows_walk *w, const struct kv *kv, const struct kv_range *range)
{
    enum cor_status st = kv_cursor_open(kv, range, 0, &w->cursor);
    COR_ASSERT(st == COR_OK);
}

void rows_walk_all(struct rows_walk *w, const struct kv *kv, uint8_t table)
{
    const struct kv_range range = {.table = table, .to_end = true, .key = CATALOG_FIRST};
    open_cursor(w, kv, &range);
}

void rows_walk_on(struct rows_walk *w, const struct kv *kv, uint8_t table,
                  struct cor_bytes node)
{
    struct cor_bytes key = catalog_key_on(w->key, node, (struct cor_bytes){NULL, 0});
    struct kv_range range = catalog_below(table, key, w->end);
    open_cursor(w, kv, &range);
}

void rows_walk_instances(struct rows_walk *w, const struct kv *kv, struct cor_bytes name)
{
    struct cor_bytes key = catalog_mark_key(w->key, CATALOG_INSTANCE, name);
    struct kv_range range;
    if (name.len > 0) {
        range = catalog_below(KV_TABLE_SERVICES, key, w->end);
    } else {
        w->end[0] = CATALOG_INSTANCE + 1;
        range = (struct kv_range){
            .table = KV_TABLE_SERVICES, .key = {w->key, 1}, .end = {w->end, 1}};
    }
    open_cursor(w, kv, &range);
}

void rows_walk_checks(struct rows_walk *w, const struct kv *kv, struct cor_bytes node,
                      struct cor_bytes id)
{
    struct cor_bytes key = catalog_check_key(w->key, node, id, (struct cor_bytes){NULL, 0});
    struct kv_range range = catalog_below(KV_TABLE_CHECKS, key, w->end);
    open_cursor(w, kv, &range);
}

bool rows_next_node(struct rows_walk *w, struct node_found *out)
{
    if (!kv_cursor_next(&w->cursor, &out->item)) {
        return false;
    }
    decoded(catalog_decode_node(out->item.value, &out->row));
    return true;
}

bool rows_next_service(struct rows_walk *w, struct service_found *out)
{
    if (!kv_cursor_next(&w->cursor, &out->item)) {
        return false;
    }
    decoded(catalog_decode_service(out->item.value, &out->row));
    return true;
}

bool rows_next_check(struct rows_walk *w, struct check_found *out)
{
    if (!kv_cursor_next(&w->cursor, &out->item)) {
        return false;
    }
    decoded(catalog_decode_check(out->item.value, &out->row));
    return true;
}

bool rows_next_listed(struct rows_walk *w, struct check_found *out)
{
    unsigned char key[CATALOG_KEY_MAX];
    struct kv_item item;
    struct cor_bytes second;
    struct cor_bytes third;
    if (!kv_cursor_next(&w->cursor, &item)) {
        return false;
    }
    catalog_split(item.key, &second, &third);
    struct cor_bytes node = {item.key.ptr + 1, catalog_node_of(item.key).len - 1};
    decoded(
        kv_get(w->cursor.kv, KV_TABLE_CHECKS, catalog_key_on(key, node, third), 0, &out->item));
    decoded(catalog_decode_check(out->item.value, &out->row));
    return true;
}

bool rows_next_instance(struct rows_walk *w, struct node_found *node,
                        struct service_found *service)
{
    struct kv_item item;
    struct cor_bytes name;
    struct cor_bytes id;
    if (!kv_cursor_next(&w->cursor, &item)) {
        return false;
    }
    catalog_split(item.key, &name, &id);
    bool found = rows_find_node(w->cursor.kv, name, node) &&
                 rows_find_service(w->cursor.kv, name, id, service);
    COR_ASSERT(found);
    return true;
}

/* ---- choosing -------------------------------------------------------------------------------------- */

enum want {
    WANT_TAG = 1, /* blob */
    WANT_META,    /* blob: "key:value" */
};

static size_t decode_to(struct cor_bytes in, unsigned char *out)
{
    size_t len = 0;
    return http_query_decode(in, out, &len) ? len : 0;
}

static bool is_want(struct cor_bytes name)
{
    return consul_is(name, "tag") || consul_is(name, "node-meta");
}

static void add_want(struct rows_filter *f, struct writer *w, struct cor_bytes name,
                     struct cor_bytes value, unsigned char *scratch)
{
    bool is_tag = consul_is(name, "tag");
    struct cor_bytes text = {scratch, decode_to(value, scratch)};
    if (is_tag && text.len == 0) {
        return; /* as in Consul: an empty tag is any */
    }
    f->by_node = f->by_node || !is_tag;
    writer_u8(w, is_tag ? WANT_TAG : WANT_META);
    writer_blob(w, text);
}

/* The room that the wants of @query need: never more than they took in it, because a name and its '='
 * are at least 4 bytes. */
static size_t room_for(struct cor_bytes query)
{
    struct cor_bytes name;
    struct cor_bytes value;
    bool has_value;
    size_t room = 0;
    while (http_query_next(&query, &name, &value, &has_value)) {
        room += is_want(name) ? 1 + varint_size(value.len) + value.len : 0;
    }
    return room;
}

bool rows_filter_init(struct rows_filter *f, struct consul_call *c)
{
    *f = (struct rows_filter){.by_node = false};
    if (consul_arg(c, "filter").len > 0) {
        consul_fail(c->x, 500,
                    "Failed to create boolean expression evaluator: filter expressions are "
                    "not supported here");
        return false;
    }
    struct cor_bytes rest = c->r->query;
    struct cor_bytes name;
    struct cor_bytes value;
    bool has_value;
    size_t room = room_for(rest);
    unsigned char *wants = ARENA_NEW(&c->x->arena, unsigned char, room);
    if (wants == NULL) {
        consul_fail(c->x, 400, "too many parameters");
        return false;
    }
    struct writer w = writer_of(wants, room);
    while (http_query_next(&rest, &name, &value, &has_value)) {
        if (is_want(name)) {
            add_want(f, &w, name, value, c->x->api->scratch);
        }
    }
    COR_ASSERT(writer_ok(&w));
    f->wants = (struct cor_bytes){wants, w.used};
    return true;
}

static bool has_tag(const struct catalog_list *tags, struct cor_bytes tag)
{
    struct reader r = reader_of(tags->bytes);
    for (uint64_t i = 0; i < tags->n; i++) {
        if (catalog_same_name(reader_blob(&r), tag)) {
            return true;
        }
    }
    return false;
}

static bool has_meta(const struct catalog_list *meta, struct cor_bytes want)
{
    const unsigned char *colon = want.len == 0 ? NULL : memchr(want.ptr, ':', want.len);
    struct cor_bytes key = want;
    struct cor_bytes value = {NULL, 0};
    if (colon != NULL) {
        key.len = (size_t)(colon - want.ptr);
        value = (struct cor_bytes){colon + 1, want.len - key.len - 1};
    }
    struct reader r = reader_of(meta->bytes);
    for (uint64_t i = 0; i < meta->n; i++) {
        struct cor_bytes k = reader_blob(&r);
        struct cor_bytes v = reader_blob(&r);
        if (is_equal(k, key) && is_equal(v, value)) {
            return true;
        }
    }
    return false;
}

/* The next of @kind among the wants at @r. */
static bool next_want(struct reader *r, enum want kind, struct cor_bytes *out)
{
    while (r->at < r->end) {
        bool found = reader_u8(r) == kind;
        *out = reader_blob(r);
        if (found) {
            return true;
        }
    }
    return false;
}

bool rows_wants_node(const struct rows_filter *f, const struct catalog_node *row)
{
    struct reader r = reader_of(f->wants);
    struct cor_bytes want;
    while (next_want(&r, WANT_META, &want)) {
        if (!has_meta(&row->meta, want)) {
            return false;
        }
    }
    return true;
}

bool rows_wants_service(const struct rows_filter *f, const struct catalog_service *row)
{
    struct reader r = reader_of(f->wants);
    struct cor_bytes want;
    while (next_want(&r, WANT_TAG, &want)) {
        if (!has_tag(&row->tags, want)) {
            return false;
        }
    }
    return true;
}
