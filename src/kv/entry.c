/* entry.c - the bytes of entries: headers, operations, compares; sticky reader, sticky writer. */
#include "kv/entry.h"

#include "base/assert.h"

#include <string.h>

/* How a range is written: which of its two ends follow. */
enum range_form {
    FORM_KEY = 0,
    FORM_TO_END = 1,
    FORM_KEY_AND_END = 2
};

/* ---- header -------------------------------------------------------------------------------- */

size_t entry_header_encode(const struct entry_header *h, unsigned char *out)
{
    struct writer w = writer_of(out, ENTRY_HEADER_SIZE_MAX);
    writer_u8(&w, ENTRY_FORMAT);
    writer_varint(&w, h->dialect);
    writer_varint(&w, h->flags);
    writer_varint(&w, h->session);
    writer_varint(&w, h->number);
    writer_varint(&w, h->principal);
    writer_varint(&w, h->auth_revision);
    writer_varint(&w, h->deadline);
    writer_varint(&w, h->cluster_time);
    writer_varint(&w, h->wall_ms);
    COR_ASSERT(writer_ok(&w));
    return w.used;
}

enum cor_status entry_header_decode(struct cor_bytes in, struct entry_header *out,
                                    struct cor_bytes *ops)
{
    struct reader r = reader_of(in);
    uint8_t format = reader_u8(&r);
    if (!reader_ok(&r)) {
        return COR_EPROTO;
    }
    if (format != ENTRY_FORMAT) {
        return COR_EFOREIGN;
    }
    struct entry_header h = {0};
    uint64_t dialect = reader_varint(&r);
    h.flags = reader_varint(&r);
    h.session = reader_varint(&r);
    h.number = reader_varint(&r);
    h.principal = reader_varint(&r);
    h.auth_revision = reader_varint(&r);
    h.deadline = reader_varint(&r);
    h.cluster_time = reader_varint(&r);
    h.wall_ms = reader_varint(&r);
    if (!reader_ok(&r)) {
        return COR_EPROTO;
    }
    if (dialect > UINT8_MAX || h.flags != 0) {
        return COR_EFOREIGN; /* a flag may change what the operations mean */
    }
    h.dialect = (uint8_t)dialect;
    *out = h;
    *ops = (struct cor_bytes){r.at, (size_t)(r.end - r.at)};
    return COR_OK;
}

/* ---- ranges and compares ------------------------------------------------------------------------ */

static void encode_range(struct writer *w, const struct kv_range *range)
{
    uint8_t form = FORM_KEY;
    if (range->to_end) {
        form = FORM_TO_END;
    } else if (range->end.len > 0) {
        form = FORM_KEY_AND_END;
    }
    writer_u8(w, range->table);
    writer_u8(w, form);
    writer_blob(w, range->key);
    if (form == FORM_KEY_AND_END) {
        writer_blob(w, range->end);
    }
}

static void decode_range(struct reader *r, struct kv_range *out)
{
    out->table = reader_u8(r);
    uint8_t form = reader_u8(r);
    out->to_end = form == FORM_TO_END;
    out->key = reader_blob(r);
    if (form == FORM_KEY_AND_END) {
        out->end = reader_blob(r);
        r->failed = r->failed || out->end.len == 0; /* there is one way to write a range */
    }
    r->failed = r->failed || form > FORM_KEY_AND_END;
}

void kv_encode_compare(struct writer *w, const struct kv_compare *c)
{
    encode_range(w, &c->range);
    writer_u8(w, c->field);
    writer_u8(w, c->op);
    if (c->field == KV_COMPARE_VALUE) {
        writer_blob(w, c->value);
    } else {
        writer_varint(w, c->number);
    }
}

void kv_decode_compare(struct reader *r, struct kv_compare *out)
{
    *out = (struct kv_compare){.field = 0};
    decode_range(r, &out->range);
    out->field = reader_u8(r);
    out->op = reader_u8(r);
    if (out->field == KV_COMPARE_VALUE) {
        out->value = reader_blob(r);
    } else {
        out->number = reader_varint(r);
    }
}

/* ---- operations ---------------------------------------------------------------------------------- */

void kv_encode_op(struct writer *w, const struct kv_op *op)
{
    writer_u8(w, op->kind);
    writer_varint(w, op->flags);
    switch ((enum kv_op_kind)op->kind) {
    case KV_OP_PUT:
        writer_u8(w, op->range.table);
        writer_blob(w, op->range.key);
        writer_blob(w, op->value);
        writer_blob(w, op->attrs);
        writer_varint(w, op->lease);
        break;
    case KV_OP_DELETE:
        encode_range(w, &op->range);
        break;
    case KV_OP_RANGE:
        encode_range(w, &op->range);
        writer_varint(w, op->revision);
        writer_varint(w, op->limit);
        break;
    case KV_OP_TXN:
        writer_blob(w, op->txn);
        break;
    case KV_OP_COMPACT:
        writer_varint(w, op->revision);
        break;
    case KV_OP_CHECK:
        kv_encode_compare(w, &op->check);
        break;
    case KV_OP_NOTE:
        writer_blob(w, op->value);
        break;
    case KV_OP_SESSION:
        writer_u8(w, op->session_do);
        writer_varint(w, op->number);
        break;
    }
}

static void decode_put(struct reader *r, struct kv_op *out)
{
    out->range.table = reader_u8(r);
    out->range.key = reader_blob(r);
    out->value = reader_blob(r);
    out->attrs = reader_blob(r);
    out->lease = reader_varint(r);
}

void kv_decode_op(struct reader *r, struct kv_op *out)
{
    *out = (struct kv_op){.kind = reader_u8(r)};
    uint64_t flags = reader_varint(r);
    out->flags =
        flags > UINT32_MAX ? UINT32_MAX : (uint32_t)flags; /* unknown ones either way */
    switch ((enum kv_op_kind)out->kind) {
    case KV_OP_PUT:
        decode_put(r, out);
        return;
    case KV_OP_DELETE:
        decode_range(r, &out->range);
        return;
    case KV_OP_RANGE:
        decode_range(r, &out->range);
        out->revision = reader_varint(r);
        out->limit = reader_varint(r);
        return;
    case KV_OP_TXN:
        out->txn = reader_blob(r);
        return;
    case KV_OP_COMPACT:
        out->revision = reader_varint(r);
        return;
    case KV_OP_CHECK:
        kv_decode_compare(r, &out->check);
        return;
    case KV_OP_NOTE:
        out->value = reader_blob(r);
        return;
    case KV_OP_SESSION:
        out->session_do = reader_u8(r);
        out->number = reader_varint(r);
        return;
    }
    r->failed = true; /* an unknown kind: nobody knows where it ends */
}

static void encode_counts(struct writer *w, uint32_t n_compares, uint32_t n_then,
                          uint32_t n_else)
{
    writer_varint(w, n_compares);
    writer_varint(w, n_then);
    writer_varint(w, n_else);
}

void kv_encode_nested_begin(struct writer *w, uint32_t n_compares, uint32_t n_then,
                            uint32_t n_else)
{
    encode_counts(w, n_compares, n_then, n_else);
}

void kv_encode_txn_begin(struct writer *w, uint32_t n_compares, uint32_t n_then,
                         uint32_t n_else)
{
    writer_u8(w, KV_PRE_STATE);
    encode_counts(w, n_compares, n_then, n_else);
}

void kv_encode_stepwise_begin(struct writer *w, uint32_t n)
{
    writer_u8(w, KV_STEPWISE);
    writer_varint(w, n);
}

void kv_encode_one(struct writer *w, const struct kv_op *op)
{
    kv_encode_txn_begin(w, 0, 1, 0);
    kv_encode_op(w, op);
}

void kv_decode_txn_head(struct reader *r, struct kv_txn_head *out)
{
    out->n_compares = reader_varint(r);
    out->n_then = reader_varint(r);
    out->n_else = reader_varint(r);
}

size_t kv_prefix_end(struct cor_bytes prefix, unsigned char *out)
{
    size_t len = prefix.len;
    while (len > 0 && prefix.ptr[len - 1] == 0xff) {
        len--;
    }
    if (len > 0) {
        memcpy(out, prefix.ptr, len);
        out[len - 1]++;
    }
    return len;
}
