/*
 * catalog_row.c - keys and rows of the catalog as bytes.
 *
 * Place in the system: see catalog.h. Rows come in entries of the log, so they are bytes from outside:
 * catalog_check_op() looks at all of them, once, before an entry is proposed and again when it is
 * applied; who reads rows from the store afterwards may trust them.
 */
#include "kv/catalog.h"

#include "base/assert.h"
#include "base/error.h"
#include "kv/tree.h"

#include <string.h>

#define ROW_FORMAT 1u

/* ---- names ---------------------------------------------------------------------------------- */

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

bool catalog_is_name(struct cor_bytes name)
{
    if (name.len == 0 || name.len > CATALOG_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] < 0x20 || name.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

bool catalog_same_name(struct cor_bytes a, struct cor_bytes b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static size_t add_name(unsigned char *out, size_t at, struct cor_bytes name)
{
    COR_ASSERT(at + name.len <= CATALOG_KEY_MAX);
    for (size_t i = 0; i < name.len; i++) {
        out[at + i] = lower(name.ptr[i]);
    }
    return at + name.len;
}

struct cor_bytes catalog_key(unsigned char *out, struct cor_bytes node)
{
    return (struct cor_bytes){out, add_name(out, 0, node)};
}

struct cor_bytes catalog_key_on(unsigned char *out, struct cor_bytes node, struct cor_bytes id)
{
    size_t at = add_name(out, 0, node);
    out[at++] = 0;
    return (struct cor_bytes){out, add_name(out, at, id)};
}

struct cor_bytes catalog_mark_key(unsigned char *out, enum catalog_mark mark,
                                  struct cor_bytes name)
{
    out[0] = (unsigned char)mark;
    size_t at = add_name(out, 1, name);
    if (mark == CATALOG_INSTANCE) {
        out[at++] = 0;
    }
    return (struct cor_bytes){out, at};
}

struct cor_bytes catalog_check_key(unsigned char *out, struct cor_bytes node,
                                   struct cor_bytes service_id, struct cor_bytes id)
{
    out[0] = CATALOG_CHECK;
    size_t at = add_name(out, 1, node);
    out[at++] = 0;
    at = add_name(out, at, service_id);
    out[at++] = 0;
    return (struct cor_bytes){out, add_name(out, at, id)};
}

/* What stands before the first 0 of @key; @rest: what comes after it. */
static struct cor_bytes first_part(struct cor_bytes key, struct cor_bytes *rest)
{
    const unsigned char *zero = key.len == 0 ? NULL : memchr(key.ptr, 0, key.len);
    size_t len = zero == NULL ? key.len : (size_t)(zero - key.ptr);
    size_t skip = zero == NULL ? len : len + 1;
    *rest = (struct cor_bytes){key.ptr + skip, key.len - skip};
    return (struct cor_bytes){key.ptr, len};
}

void catalog_split(struct cor_bytes key, struct cor_bytes *second, struct cor_bytes *third)
{
    struct cor_bytes rest;
    (void)first_part(key, &rest);
    *second = first_part(rest, third);
}

struct cor_bytes catalog_node_of(struct cor_bytes key)
{
    struct cor_bytes rest;
    return first_part(key, &rest);
}

struct kv_range catalog_below(uint8_t table, struct cor_bytes key, unsigned char *end)
{
    COR_ASSERT(key.len > 0 && key.ptr[key.len - 1] == 0);
    size_t len = kv_prefix_end(key, end);
    return (struct kv_range){.table = table, .key = key, .end = {end, len}};
}

/* ---- rows -------------------------------------------------------------------------------------- */

static void write_list(struct writer *w, const struct catalog_list *list)
{
    writer_varint(w, list->n);
    writer_blob(w, list->bytes);
}

static struct catalog_list read_list(struct reader *r)
{
    struct catalog_list list;
    list.n = reader_varint(r);
    list.bytes = reader_blob(r);
    return list;
}

void catalog_encode_node(struct writer *w, const struct catalog_node *row)
{
    writer_u8(w, ROW_FORMAT);
    writer_blob(w, row->id);
    writer_blob(w, row->name);
    writer_blob(w, row->address);
    write_list(w, &row->tagged_addresses);
    write_list(w, &row->meta);
}

void catalog_encode_service(struct writer *w, const struct catalog_service *row)
{
    writer_u8(w, ROW_FORMAT);
    writer_blob(w, row->id);
    writer_blob(w, row->name);
    writer_blob(w, row->address);
    write_list(w, &row->tags);
    write_list(w, &row->tagged_addresses);
    write_list(w, &row->meta);
    writer_varint(w, row->port);
    writer_varint(w, row->weight_passing);
    writer_varint(w, row->weight_warning);
    writer_u8(w, row->enable_tag_override);
}

void catalog_encode_check(struct writer *w, const struct catalog_check *row)
{
    writer_u8(w, ROW_FORMAT);
    writer_blob(w, row->id);
    writer_blob(w, row->name);
    writer_blob(w, row->status);
    writer_blob(w, row->notes);
    writer_blob(w, row->output);
    writer_blob(w, row->service_id);
    writer_blob(w, row->type);
    writer_blob(w, row->interval);
    writer_blob(w, row->timeout);
    writer_varint(w, row->exposed_port);
    writer_blob(w, row->definition);
}

/* The start of a row. False: *st says why it is none. */
static bool begin(struct reader *r, enum cor_status *st)
{
    uint8_t format = reader_u8(r);
    *st = !reader_ok(r) || format == 0 ? COR_EPROTO : COR_EFOREIGN;
    return reader_ok(r) && format == ROW_FORMAT;
}

static enum cor_status end(const struct reader *r)
{
    return reader_done(r) ? COR_OK : COR_EPROTO;
}

enum cor_status catalog_decode_node(struct cor_bytes in, struct catalog_node *out)
{
    struct reader r = reader_of(in);
    enum cor_status st;
    if (!begin(&r, &st)) {
        return st;
    }
    out->id = reader_blob(&r);
    out->name = reader_blob(&r);
    out->address = reader_blob(&r);
    out->tagged_addresses = read_list(&r);
    out->meta = read_list(&r);
    return end(&r);
}

enum cor_status catalog_decode_service(struct cor_bytes in, struct catalog_service *out)
{
    struct reader r = reader_of(in);
    enum cor_status st;
    if (!begin(&r, &st)) {
        return st;
    }
    out->id = reader_blob(&r);
    out->name = reader_blob(&r);
    out->address = reader_blob(&r);
    out->tags = read_list(&r);
    out->tagged_addresses = read_list(&r);
    out->meta = read_list(&r);
    out->port = reader_varint(&r);
    out->weight_passing = reader_varint(&r);
    out->weight_warning = reader_varint(&r);
    uint8_t override = reader_u8(&r);
    out->enable_tag_override = override == 1;
    return override > 1 ? COR_EPROTO : end(&r);
}

enum cor_status catalog_decode_check(struct cor_bytes in, struct catalog_check *out)
{
    struct reader r = reader_of(in);
    enum cor_status st;
    if (!begin(&r, &st)) {
        return st;
    }
    out->id = reader_blob(&r);
    out->name = reader_blob(&r);
    out->status = reader_blob(&r);
    out->notes = reader_blob(&r);
    out->output = reader_blob(&r);
    out->service_id = reader_blob(&r);
    out->type = reader_blob(&r);
    out->interval = reader_blob(&r);
    out->timeout = reader_blob(&r);
    out->exposed_port = reader_varint(&r);
    out->definition = reader_blob(&r);
    return end(&r);
}

/* ---- what may be proposed -------------------------------------------------------------------------- */

/* Does @list have as many elements as it says, of @blobs blobs and @numbers varints each? */
static bool is_list(const struct catalog_list *list, unsigned blobs, unsigned numbers)
{
    struct reader r = reader_of(list->bytes);
    for (uint64_t i = 0; i < list->n && reader_ok(&r); i++) {
        for (unsigned j = 0; j < blobs; j++) {
            (void)reader_blob(&r);
        }
        for (unsigned j = 0; j < numbers; j++) {
            (void)reader_varint(&r);
        }
    }
    return reader_done(&r);
}

static bool is_empty_or_name(struct cor_bytes b)
{
    return b.len == 0 || catalog_is_name(b);
}

static enum cor_status check_node(struct cor_bytes value, struct cor_bytes *name)
{
    struct catalog_node row;
    enum cor_status st = catalog_decode_node(value, &row);
    if (st != COR_OK) {
        return st;
    }
    *name = row.name;
    bool ok = catalog_is_name(row.name) && is_empty_or_name(row.id) &&
              is_list(&row.tagged_addresses, 2, 0) && is_list(&row.meta, 2, 0);
    return ok ? COR_OK : COR_EINVAL;
}

static enum cor_status check_service(struct cor_bytes value, struct cor_bytes *id)
{
    struct catalog_service row;
    enum cor_status st = catalog_decode_service(value, &row);
    if (st != COR_OK) {
        return st;
    }
    *id = row.id;
    bool ok = catalog_is_name(row.id) && catalog_is_name(row.name) &&
              is_list(&row.tags, 1, 0) && is_list(&row.tagged_addresses, 2, 1) &&
              is_list(&row.meta, 2, 0);
    return ok ? COR_OK : COR_EINVAL;
}

static enum cor_status check_check(struct cor_bytes value, struct cor_bytes *id)
{
    struct catalog_check row;
    enum cor_status st = catalog_decode_check(value, &row);
    if (st != COR_OK) {
        return st;
    }
    *id = row.id;
    return catalog_is_name(row.id) && is_empty_or_name(row.service_id) ? COR_OK : COR_EINVAL;
}

/* Is @key that of a row of @table whose last part is @last, NULL: whatever it is? */
static bool fits(uint8_t table, struct cor_bytes key, const struct cor_bytes *last)
{
    struct cor_bytes parts[2] = {key, key};
    if (table != KV_TABLE_NODES) {
        parts[0] = first_part(key, &parts[1]);
    }
    unsigned char made[CATALOG_KEY_MAX];
    if (!catalog_is_name(parts[0]) || !catalog_is_name(parts[1]) ||
        (last != NULL && !catalog_same_name(parts[1], *last))) {
        return false;
    }
    struct cor_bytes want = table == KV_TABLE_NODES ? catalog_key(made, parts[0])
                                                    : catalog_key_on(made, parts[0], parts[1]);
    return bytes_compare(key, want) == 0; /* lower case */
}

static enum cor_status check_row(const struct kv_op *op, struct cor_bytes *last)
{
    const uint32_t allowed = KV_IF_CHANGED | KV_IF_ABSENT | KV_WANT_PREV;
    if ((op->flags & ~allowed) != 0 || op->lease != 0 || op->attrs.len != 0) {
        return COR_EINVAL;
    }
    switch (op->range.table) {
    case KV_TABLE_NODES:
        return check_node(op->value, last);
    case KV_TABLE_SERVICES:
        return check_service(op->value, last);
    default:
        return check_check(op->value, last);
    }
}

enum cor_status catalog_check_op(const struct kv_op *op, struct cor_error *err)
{
    struct cor_bytes last = {NULL, 0};
    bool is_put = op->kind == KV_OP_PUT;
    if (!is_put && (op->range.to_end || op->range.end.len != 0)) {
        return error_set(err, COR_EINVAL, "the catalog is deleted row by row");
    }
    enum cor_status st = is_put ? check_row(op, &last) : COR_OK;
    if (st != COR_OK) {
        return error_set(err, st, "not a row of table %u", op->range.table);
    }
    return fits(op->range.table, op->range.key, is_put ? &last : NULL)
               ? COR_OK
               : error_set(err, COR_EINVAL, "not the key of a row of table %u",
                           op->range.table);
}
