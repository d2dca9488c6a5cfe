/*
 * result.c - results as bytes, for the node that took the request.
 *
 *     result := varint status | u8 succeeded | varint revision, system revision | varint n, ops
 *     op     := u8 kind | varint status, count | u8 more, nested | varint n, items | [result]
 *     item   := blob key, value, attrs | varint create, mod, version, lease, mod index
 *
 * Nesting is recursion bounded by ENTRY_DEPTH_MAX on both sides.
 */
#include "kv/kv.h"

#include "base/reader.h"
#include "base/writer.h"

#define ITEM_SIZE_MIN                                                                          \
    8u /* bytes of an encoded item, so a count cannot promise more than came */
#define OP_SIZE_MIN 6u

/* ---- encode --------------------------------------------------------------------------------- */

static void encode_item(struct writer *w, const struct kv_item *item)
{
    writer_blob(w, item->key);
    writer_blob(w, item->value);
    writer_blob(w, item->attrs);
    writer_varint(w, item->create_revision);
    writer_varint(w, item->mod_revision);
    writer_varint(w, item->version);
    writer_varint(w, item->lease);
    writer_varint(w, item->mod_index);
}

static void encode_result(struct writer *w, const struct kv_result *result);

static void encode_op(struct writer *w, const struct kv_op_result *op)
{
    writer_u8(w, op->kind);
    writer_varint(w, (uint64_t)op->status);
    writer_varint(w, op->count);
    writer_u8(w, op->more);
    writer_u8(w, op->txn != NULL);
    writer_varint(w, op->n_items);
    for (uint32_t i = 0; i < op->n_items; i++) {
        encode_item(w, &op->items[i]);
    }
    if (op->txn != NULL) {
        encode_result(w, op->txn);
    }
}

static void encode_result(struct writer *w, const struct kv_result *result)
{
    writer_varint(w, (uint64_t)result->status);
    writer_u8(w, result->succeeded);
    writer_varint(w, result->revision);
    writer_varint(w, result->system_revision);
    writer_varint(w, result->n_ops);
    for (uint32_t i = 0; i < result->n_ops; i++) {
        encode_op(w, &result->ops[i]);
    }
}

size_t kv_result_encode(const struct kv_result *result, struct writer *w)
{
    size_t before = w->used;
    encode_result(w, result);
    return w->used - before;
}

/* ---- decode ----------------------------------------------------------------------------------- */

struct decoder {
    struct reader r;
    struct arena *arena;
    bool full; /* the arena is */
};

/* A count of things of which each takes at least @size_min bytes of what is left. */
static uint32_t read_count(struct decoder *d, size_t size_min)
{
    uint64_t n = reader_varint(&d->r);
    if (n > (uint64_t)(d->r.end - d->r.at) / size_min) {
        d->r.failed = true;
        return 0;
    }
    return reader_ok(&d->r) ? (uint32_t)n : 0;
}

static struct cor_bytes read_bytes(struct decoder *d)
{
    struct cor_bytes b = reader_blob(&d->r);
    struct cor_bytes copy = arena_dup(d->arena, b);
    d->full = d->full || copy.len != b.len;
    return copy;
}

static const struct kv_item *decode_items(struct decoder *d, uint32_t *n)
{
    *n = read_count(d, ITEM_SIZE_MIN);
    struct kv_item *items = *n == 0 ? NULL : ARENA_NEW(d->arena, struct kv_item, *n);
    d->full = d->full || (*n > 0 && items == NULL);
    for (uint32_t i = 0; i < *n && !d->full && reader_ok(&d->r); i++) {
        items[i].key = read_bytes(d);
        items[i].value = read_bytes(d);
        items[i].attrs = read_bytes(d);
        items[i].create_revision = reader_varint(&d->r);
        items[i].mod_revision = reader_varint(&d->r);
        items[i].version = reader_varint(&d->r);
        items[i].lease = reader_varint(&d->r);
        items[i].mod_index = reader_varint(&d->r);
    }
    return items;
}

static void decode_result(struct decoder *d, struct kv_result *out, uint32_t depth);

static void decode_op(struct decoder *d, struct kv_op_result *op, uint32_t depth)
{
    op->kind = reader_u8(&d->r);
    op->status = (enum cor_status)reader_varint(&d->r);
    op->count = reader_varint(&d->r);
    op->more = reader_u8(&d->r) != 0;
    bool nested = reader_u8(&d->r) != 0;
    op->items = decode_items(d, &op->n_items);
    if (!nested || d->full || !reader_ok(&d->r)) {
        return;
    }
    struct kv_result *txn = ARENA_NEW(d->arena, struct kv_result, 1);
    d->full = txn == NULL;
    op->txn = txn;
    if (txn != NULL) {
        decode_result(d, txn, depth + 1);
    }
}

static void decode_result(struct decoder *d, struct kv_result *out, uint32_t depth)
{
    if (depth >= ENTRY_DEPTH_MAX) {
        d->r.failed = true;
        return;
    }
    *out = (struct kv_result){.status = (enum cor_status)reader_varint(&d->r)};
    out->succeeded = reader_u8(&d->r) != 0;
    out->revision = reader_varint(&d->r);
    out->system_revision = reader_varint(&d->r);
    uint32_t n = read_count(d, OP_SIZE_MIN);
    struct kv_op_result *ops = n == 0 ? NULL : ARENA_NEW(d->arena, struct kv_op_result, n);
    d->full = d->full || (n > 0 && ops == NULL);
    for (uint32_t i = 0; i < n && !d->full && reader_ok(&d->r); i++) {
        decode_op(d, &ops[i], depth);
    }
    out->n_ops = n;
    out->ops = ops;
}

enum cor_status kv_result_decode(struct cor_bytes in, struct arena *arena,
                                 struct kv_result *out)
{
    struct decoder d = {.r = reader_of(in), .arena = arena};
    struct kv_result result;
    decode_result(&d, &result, 0);
    if (d.full) {
        return COR_ENOMEM;
    }
    if (!reader_done(&d.r)) {
        return COR_EPROTO;
    }
    *out = result;
    return COR_OK;
}
