/*
 * kv.c - one key through Consul's API: GET, PUT and DELETE of /v1/kv/{key}.
 *
 * Place in the system: routes of routes.c; kv_list.c has what concerns many keys. A key is the rest of the path,
 * decoded, as it stands: the same key as in /db/{key}. Indexes are revisions of the store.
 */
#include "api/consul/kv.h"

#include "api/consul/attrs.h"
#include "base/format.h"

#include <stdlib.h>
#include <string.h>

#define OPS_ROOM 160u /* bytes that encoded operations take besides keys and value */

/* ---- keys --------------------------------------------------------------------------------------- */

bool consul_kv_key(struct consul_call *c, bool may_be_empty)
{
    if (c->rest.len == 0 && !may_be_empty) {
        consul_fail(c->x, 400, "Missing key name");
        return false;
    }
    if (c->rest.len > KV_KEY_MAX) {
        consul_fail(c->x, 400, "Key name too long: at most 8192 bytes");
        return false;
    }
    return true;
}

struct kv_range consul_kv_prefix(struct consul_call *c)
{
    unsigned char *end = ARENA_NEW(&c->x->arena, unsigned char, c->rest.len + 1);
    COR_ASSERT(end != NULL); /* consul_need() saw to it */
    size_t len = kv_prefix_end(c->rest, end);
    return (struct kv_range){
        .table = KV_TABLE_KEYS, .to_end = len == 0, .key = c->rest, .end = {end, len}};
}

/* Two parameters that exclude each other: the query, in order of names. */
static void fail_conflict(struct consul_call *c)
{
    struct cor_bytes names[16], values[16], rest = c->r->query;
    size_t n = 0;
    bool has_value;
    while (n < ARRAY_LEN(names) && http_query_next(&rest, &names[n], &values[n], &has_value)) {
        size_t at = n++;
        for (; at > 0; at--) { /* few, so by insertion; equal names keep their order */
            size_t len = names[at].len < names[at - 1].len ? names[at].len : names[at - 1].len;
            int order = len == 0 ? 0 : memcmp(names[at].ptr, names[at - 1].ptr, len);
            if (order > 0 || (order == 0 && names[at].len >= names[at - 1].len)) {
                break;
            }
            struct cor_bytes name = names[at], value = values[at];
            names[at] = names[at - 1];
            values[at] = values[at - 1];
            names[at - 1] = name;
            values[at - 1] = value;
        }
    }
    char text[400];
    size_t used = format_to(text, sizeof text, "Conflicting flags: ");
    for (size_t i = 0; i < n; i++) {
        used +=
            format_to(text + used, sizeof text - used, "%s%.*s=%.*s", i > 0 ? "&" : "",
                      (int)(names[i].len < 64 ? names[i].len : 64), (const char *)names[i].ptr,
                      (int)(values[i].len < 64 ? values[i].len : 64),
                      values[i].len > 0 ? (const char *)values[i].ptr : "");
    }
    consul_fail(c->x, 400, text);
}

/* ---- reading -------------------------------------------------------------------------------------- */

void consul_kv_entry(struct json_writer *w, const struct kv_item *item)
{
    struct consul_attrs attrs = consul_attrs_decode(item->attrs);
    json_begin_object(w);
    json_field_u64(w, "LockIndex", attrs.lock_index);
    json_field_string(w, "Key", item->key);
    json_field_u64(w, "Flags", attrs.flags);
    json_name(w, "Value");
    if (item->value.len > 0) {
        json_base64(w, item->value);
    } else {
        json_null(w);
    }
    if (attrs.session.len > 0) {
        char text[CONSUL_SESSION_TEXT];
        consul_session_text(attrs.session, text);
        json_field_string(w, "Session",
                          (struct cor_bytes){(const unsigned char *)text, sizeof text});
    }
    json_field_u64(w, "CreateIndex", item->create_revision);
    json_field_u64(w, "ModifyIndex", item->mod_revision);
    json_end_object(w);
}

struct get {
    struct consul_read read;
    bool raw;
};

static enum rendered answer_raw(struct get *g, struct out *o, const struct kv_item *item)
{
    struct extra e;
    e.used = 0;
    consul_read_headers(&g->read, item->mod_revision, &e);
    extra_text(&e, "X-Content-Type-Options", COR_BYTES_LIT("nosniff"));
    extra_text(&e, "Content-Security-Policy", COR_BYTES_LIT("sandbox"));
    const struct answer a = {.status = 200, .type = "text/plain", .extra = &e};
    answer_whole(g->read.x, o, &a, item->value);
    return RENDER_DONE;
}

static enum rendered render_get(struct exchange *x, struct out *o)
{
    struct get *g = x->own;
    struct kv_item item;
    enum cor_status st =
        kv_get(node_kv(x->api->node), KV_TABLE_KEYS, g->read.waits[0].range.key, 0, &item);
    if (st != COR_OK) {
        uint64_t index = consul_table_revision(x->api, KV_TABLE_KEYS);
        return consul_read_absent(&g->read, o, index);
    }
    if (g->raw) {
        return answer_raw(g, o, &item);
    }
    struct json_writer *w = consul_json(x);
    json_begin_array(w);
    consul_kv_entry(w, &item);
    json_end_array(w);
    return consul_read_json(&g->read, o, item.mod_revision, w);
}

void consul_kv_get(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_get, consul_read_gone, consul_read_stop};
    if (consul_has(c, "recurse") || consul_has(c, "keys")) {
        consul_kv_list(c);
        return;
    }
    struct get *g = ARENA_NEW(&c->x->arena, struct get, 1);
    COR_ASSERT(g != NULL); /* consul_need() saw to it */
    if (!consul_kv_key(c, false) || !consul_read_init(&g->read, c, 1)) {
        return;
    }
    g->raw = consul_has(c, "raw");
    consul_read_of(&g->read, &(struct kv_range){.table = KV_TABLE_KEYS, .key = c->rest});
    consul_read_start(&g->read, &ops);
}

/* ---- writing -------------------------------------------------------------------------------------- */

struct write {
    bool absent_is_fine; /* what was to be deleted is not there */
    bool done;           /* true or false */
};

static enum rendered render_written(struct exchange *x, struct out *o)
{
    const struct write *w = x->own;
    return consul_answer_bool(x, o, w->done);
}

static const struct exchange_ops written_ops = {.render = render_written};

static void on_written(void *arg, enum cor_status st, const struct kv_result *result)
{
    struct exchange *x = arg;
    struct write *w = x->own;
    if (!exchange_back(x)) {
        return;
    }
    st = st == COR_OK ? result->status : st;
    if (st != COR_OK) {
        consul_fail_as(x, st);
        return;
    }
    COR_ASSERT(result->n_ops == 1);
    w->done = result->succeeded || (w->absent_is_fine && result->ops[0].count == 0);
    exchange_ready(x);
}

/* @op alone; or if the key is at revision @cas, and otherwise a look at whether it is there. */
static void encode(struct writer *w, const struct kv_op *op, const uint64_t *cas)
{
    if (cas == NULL) {
        kv_encode_one(w, op);
        return;
    }
    const struct kv_compare compare = {
        .range = op->range, .field = KV_COMPARE_MOD, .op = KV_EQUAL, .number = *cas};
    const struct kv_op look = {.kind = KV_OP_RANGE, .flags = KV_COUNT_ONLY, .range = op->range};
    kv_encode_txn_begin(w, 1, 1, 1);
    kv_encode_compare(w, &compare);
    kv_encode_op(w, op);
    kv_encode_op(w, &look);
}

static void propose(struct consul_call *c, const struct kv_op *op, const uint64_t *cas)
{
    struct api *api = c->x->api;
    struct write *write = ARENA_NEW(&c->x->arena, struct write, 1);
    COR_ASSERT(write != NULL);
    write->absent_is_fine = op->kind == KV_OP_DELETE;
    c->x->own = write;
    c->x->ops = &written_ops;
    size_t size = 3 * (op->range.key.len + op->range.end.len) + op->value.len + OPS_ROOM;
    /* Nothing is being rendered while a request is handled, so the stage is free. */
    unsigned char *bytes = size <= sizeof api->stage ? api->stage : malloc(size);
    if (bytes == NULL) {
        consul_fail_as(c->x, COR_ENOMEM);
        return;
    }
    struct writer w = writer_of(bytes, size);
    encode(&w, op, cas);
    COR_ASSERT(writer_ok(&w));
    consul_write(c->x, (struct cor_bytes){bytes, w.used}, on_written);
    if (bytes != api->stage) {
        free(bytes);
    }
}

/* The parameter @name as Go reads a number; what is wrong with it is 500, as there. */
static bool take_number(struct consul_call *c, const char *name, uint64_t *out)
{
    struct cor_bytes text = consul_arg(c, name);
    char why[160];
    if (consul_number(text, out)) {
        return true;
    }
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    format_to(why, sizeof why, "strconv.ParseUint: parsing \"%.*s\": %s",
              (int)(text.len < 64 ? text.len : 64), (const char *)text.ptr,
              text.len > 0 && digits == text.len ? "value out of range" : "invalid syntax");
    consul_fail(c->x, 500, why);
    return false;
}

static bool is_too_big(struct consul_call *c)
{
    char text[160];
    if (c->r->body.len <= CONSUL_VALUE_MAX) {
        return false;
    }
    format_to(text, sizeof text,
              "Request body(%zu bytes) too large, max size: %u bytes. Coracle keeps larger "
              "values through its other interfaces.",
              c->r->body.len, CONSUL_VALUE_MAX);
    c->x->close = c->x->linger = true;
    conn_deafen(c->x->conn);
    consul_fail(c->x, 413, text);
    return true;
}

void consul_kv_put(struct consul_call *c)
{
    unsigned char bytes[CONSUL_ATTRS_MAX];
    struct consul_attrs attrs = {.lock_index = 0};
    uint64_t cas = 0;
    bool has_cas = consul_has(c, "cas");
    bool acquires = consul_has(c, "acquire"), releases = consul_has(c, "release");
    if (!consul_kv_key(c, false)) {
        return;
    }
    if (has_cas + acquires + releases > 1) {
        fail_conflict(c);
        return;
    }
    if ((consul_has(c, "flags") && !take_number(c, "flags", &attrs.flags)) ||
        (has_cas && !take_number(c, "cas", &cas)) || is_too_big(c)) {
        return;
    }
    if (acquires || releases) {
        consul_fail(c->x, 501, "acquire and release: this server has no sessions yet");
        return;
    }
    const struct kv_op op = {.kind = KV_OP_PUT,
                             .flags = KV_IF_CHANGED | KV_KEEP_LOCK,
                             .range = {.table = KV_TABLE_KEYS, .key = c->rest},
                             .value = c->r->body,
                             .attrs = {bytes, consul_attrs_encode(&attrs, bytes)}};
    propose(c, &op, has_cas ? &cas : NULL);
}

void consul_kv_delete(struct consul_call *c)
{
    uint64_t cas = 0;
    bool has_cas = consul_has(c, "cas"), recurse = consul_has(c, "recurse");
    if (!consul_kv_key(c, recurse)) {
        return;
    }
    if (recurse && has_cas) {
        fail_conflict(c);
        return;
    }
    if (has_cas && !take_number(c, "cas", &cas)) {
        return;
    }
    struct kv_op op = {.kind = KV_OP_DELETE, .range = {.table = KV_TABLE_KEYS, .key = c->rest}};
    if (recurse) {
        op.range = consul_kv_prefix(c);
    }
    propose(c, &op, has_cas ? &cas : NULL);
}
