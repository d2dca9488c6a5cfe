/*
 * key.c - one key over HTTP: GET, POST, PUT and DELETE of /db/{key}, as raftd had it, and more.
 *
 * Place in the system: routes of router.c. docs/api.md is the description.
 */
#include "api/raftd/read.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX_LEN 4u   /* "/db/" */
#define OPS_ROOM   128u /* bytes that encoded operations take besides keys and value */

_Static_assert(sizeof(struct raftd_read) + 64 <= API_OWN_ROOM, "a read fits");

/* The key in the path, decoded to @out, which has room for the path. False: the exchange has failed. */
static bool take_key(struct exchange *x, const struct http_request *r, unsigned char *out,
                     struct cor_bytes *key)
{
    COR_ASSERT(r->path.len >= PREFIX_LEN);
    struct cor_bytes raw = {r->path.ptr + PREFIX_LEN, r->path.len - PREFIX_LEN};
    size_t len = 0;
    if (!http_percent_decode(raw, out, &len)) {
        exchange_fail(x, 400, "bad_request",
                      "the key has a '%' without two hexadecimal digits");
        return false;
    }
    if (len == 0) {
        exchange_fail(x, 400, "bad_request", "a key has at least one byte; GET /db lists keys");
        return false;
    }
    if (len > KV_KEY_MAX) {
        exchange_fail(x, 414, "too_big", "a key has at most 8192 bytes");
        return false;
    }
    *key = (struct cor_bytes){out, len};
    return true;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static enum rendered render_get(struct exchange *x, struct out *o)
{
    struct raftd_read *r = x->own;
    const struct kv *kv = node_kv(x->api->node);
    struct extra extra;
    extra.used = 0;
    raftd_read_headers(r, &extra);
    struct kv_item item;
    enum cor_status st = kv_get(kv, KV_TABLE_KEYS, r->range.key, r->revision, &item);
    if (st != COR_OK) {
        struct kv_info info;
        kv_get_info(kv, &info);
        if (st == COR_ECOMPACTED) {
            exchange_error_number(x, "compacted", info.compacted);
        } else if (st == COR_EFUTURE) {
            exchange_error_number(x, "revision", info.revision);
        }
        return exchange_render_failure(x, o, st, &extra);
    }
    extra_u64(&extra, "X-Coracle-Mod-Revision", item.mod_revision);
    extra_u64(&extra, "X-Coracle-Create-Revision", item.create_revision);
    extra_u64(&extra, "X-Coracle-Version", item.version);
    struct answer a = {.status = 200, .type = "application/octet-stream", .extra = &extra};
    answer_whole(x, o, &a, item.value);
    return RENDER_DONE;
}

static void get_gone(struct exchange *x)
{
    raftd_read_gone(x->own);
}

static void get_stop(struct exchange *x)
{
    raftd_read_stop(x->own);
}

static const struct exchange_ops get_ops = {render_get, get_gone, get_stop};

void raftd_get(struct exchange *x, const struct http_request *req)
{
    struct params p;
    struct raftd_read *r = ARENA_NEW(&x->arena, struct raftd_read, 1);
    unsigned char *key = ARENA_NEW(&x->arena, unsigned char, req->path.len);
    COR_ASSERT(r != NULL && key != NULL); /* router_need() saw to it */
    if (!take_key(x, req, key, &r->range.key) ||
        !params_parse(x, req->query, RAFTD_READ_PARAMS, &p) || !raftd_read_init(r, x, &p)) {
        return;
    }
    x->own = r;
    x->ops = &get_ops;
    raftd_read_start(r);
}

/* ---- writing -------------------------------------------------------------------------------------- */

struct written {
    bool delete;
    uint64_t revision, deleted;
};

static enum rendered render_written(struct exchange *x, struct out *o)
{
    const struct written *w = x->own;
    struct extra extra;
    extra.used = 0;
    extra_u64(&extra, "X-Coracle-Revision", w->revision);
    struct answer a = {.status = 200, .extra = &extra};
    if (!w->delete) {
        answer_whole(x, o, &a, (struct cor_bytes){NULL, 0});
        return RENDER_DONE;
    }
    a.type = "application/json";
    answer_whole(x, o, &a,
                 w->deleted > 0 ? COR_BYTES_LIT("{\"deleted\":1}\n")
                                : COR_BYTES_LIT("{\"deleted\":0}\n"));
    return RENDER_DONE;
}

static const struct exchange_ops written_ops = {.render = render_written};

static void on_written(void *arg, enum cor_status st, const struct kv_result *result)
{
    struct exchange *x = arg;
    if (!exchange_back(x)) {
        return;
    }
    st = st == COR_OK ? result->status : st;
    if (st != COR_OK) {
        exchange_fail_as(x, st);
        return;
    }
    COR_ASSERT(result->n_ops == 1);
    const struct kv_op_result *op = &result->ops[0];
    if (!result->succeeded) {
        exchange_error_number(x, "mod_revision",
                              op->n_items > 0 ? op->items[0].mod_revision : 0);
        exchange_fail_as(x, COR_ECONFLICT);
        return;
    }
    struct written *w = x->own;
    w->revision = result->revision;
    w->deleted = op->count;
    exchange_ready(x);
}

/* @op alone; or if the key is at @expected, and otherwise a look at where it is. */
static void encode(struct writer *w, const struct kv_op *op, const uint64_t *expected)
{
    if (expected == NULL) {
        kv_encode_one(w, op);
        return;
    }
    const struct kv_compare compare = {
        .range = op->range, .field = KV_COMPARE_MOD, .op = KV_EQUAL, .number = *expected};
    const struct kv_op look = {.kind = KV_OP_RANGE, .flags = KV_KEYS_ONLY, .range = op->range};
    kv_encode_txn_begin(w, 1, 1, 1);
    kv_encode_compare(w, &compare);
    kv_encode_op(w, op);
    kv_encode_op(w, &look);
}

static enum cor_status propose(struct exchange *x, const struct kv_op *op,
                               const struct params *p, struct node_write *write)
{
    struct api *api = x->api;
    const uint64_t *expected =
        has_param(p, PARAM_PREV_REVISION) ? &p->number[PARAM_PREV_REVISION] : NULL;
    size_t size = 3 * op->range.key.len + op->value.len + OPS_ROOM;
    /* Nothing is being rendered while a request is handled, so the stage is free. */
    unsigned char *bytes = size <= sizeof api->stage ? api->stage : malloc(size);
    if (bytes == NULL) {
        return COR_ENOMEM;
    }
    struct writer w = writer_of(bytes, size);
    encode(&w, op, expected);
    COR_ASSERT(writer_ok(&w));
    write->ops = (struct cor_bytes){bytes, w.used};
    write->timeout = has_param(p, PARAM_TIMEOUT) ? p->number[PARAM_TIMEOUT] : 0;
    enum cor_status st = node_write(api->node, write, on_written, x);
    if (bytes != api->stage) {
        free(bytes);
    }
    return st;
}

static void write_key(struct exchange *x, const struct http_request *r, struct kv_op *op)
{
    struct params p;
    struct node_write write = {.dialect = ENTRY_DIALECT_RAFTD};
    struct written *w = ARENA_NEW(&x->arena, struct written, 1);
    COR_ASSERT(w != NULL);
    if (!take_key(x, r, x->api->scratch, &op->range.key) ||
        !params_parse(x, r->query, PARAM_BIT(PARAM_PREV_REVISION) | PARAM_BIT(PARAM_TIMEOUT),
                      &p) ||
        !session_take_key(x, r, &write)) {
        return;
    }
    w->delete = op->kind == KV_OP_DELETE;
    x->own = w;
    x->ops = &written_ops;
    enum cor_status st = propose(x, op, &p, &write);
    if (st != COR_OK) {
        exchange_fail_as(x, st);
        return;
    }
    x->owed = true;
}

void raftd_put(struct exchange *x, const struct http_request *r)
{
    struct kv_op op = {.kind = KV_OP_PUT, .value = r->body};
    write_key(x, r, &op);
}

void raftd_delete(struct exchange *x, const struct http_request *r)
{
    struct kv_op op = {.kind = KV_OP_DELETE};
    write_key(x, r, &op);
}
