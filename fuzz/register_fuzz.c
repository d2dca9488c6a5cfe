/* room: api
 *
 * register_fuzz.c - bytes nobody vouches for, as bodies of catalog/register and catalog/deregister.
 *
 * The input is bodies, each ended by a zero byte; the first byte of each says which of the two it is. Beyond
 * "does not crash": what a body is turned into can be proposed, so kv_check_ops() accepts it; applied to a store
 * it leaves every invariant of the catalog; and what is in the store then can be written as JSON that
 * can be read back.
 */
#include "api/consul/catalog_write.h"
#include "api/consul/rows.h"
#include "json/writer.h"

#include <string.h>

#define MEMORY_MAX (8u << 20)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static unsigned char entry[ENTRY_HEADER_SIZE_MAX + ENTRY_OPS_MAX];

static void apply(struct kv *kv, uint64_t index, struct cor_bytes ops)
{
    const struct entry_header h = {.dialect = ENTRY_DIALECT_CONSUL};
    size_t n = entry_header_encode(&h, entry);
    COR_ASSERT(n + ops.len <= sizeof entry);
    memcpy(entry + n, ops.ptr, ops.len);
    enum cor_status st =
        kv_apply(kv, index, (struct cor_bytes){entry, n + ops.len}, NULL, NULL);
    COR_ASSERT(st == COR_OK);
}

static void one_body(struct kv *kv, uint64_t index, struct cor_bytes in)
{
    struct json_value *document = NULL;
    struct catalog_body b = {.status = 0};
    bool leaves = in.len > 0 && (in.ptr[0] & 1) != 0;
    struct cor_bytes text = {in.ptr + (in.len > 0), in.len - (in.len > 0)};
    if (json_read(text, MEMORY_MAX, &document, NULL) != COR_OK) {
        return;
    }
    enum cor_status st = leaves ? catalog_deregister_ops(document, text.len, &b)
                                : catalog_register_ops(document, text.len, &b);
    COR_ASSERT(st == COR_OK || st == COR_ETOOBIG);
    if (st == COR_OK && b.status == 0) {
        struct cor_bytes ops = {b.ops.base, b.ops.used};
        COR_ASSERT(kv_check_ops(ops, NULL) == COR_OK);
        apply(kv, index, ops);
    } else if (st == COR_OK) {
        COR_ASSERT(b.status >= 400 && b.text[0] != '\0');
    }
    catalog_body_free(&b);
    json_free(document);
}

/* All there is, as JSON, and back. */
static void write_all(const struct kv *kv)
{
    struct json_writer w = json_writer_growing(64u << 20);
    struct rows_walk walk;
    struct node_found node;
    struct service_found service;
    struct check_found check;
    json_begin_array(&w);
    rows_walk_instances(&walk, kv, (struct cor_bytes){NULL, 0});
    while (rows_next_instance(&walk, &node, &service)) {
        rows_write_node(&w, &node);
        rows_write_service(&w, &service);
        rows_write_service_node(&w, &node, &service);
    }
    rows_walk_all(&walk, kv, KV_TABLE_CHECKS);
    while (rows_next_check(&walk, &check)) {
        rows_write_check(&w, check.row.name, NULL, &check);
    }
    json_end_array(&w);
    if (json_ok(&w)) {
        struct json_value *document = NULL;
        enum cor_status st = json_read(json_text_of(&w), SIZE_MAX, &document, NULL);
        COR_ASSERT(st == COR_OK);
        json_free(document);
    }
    json_writer_free(&w);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct kv *kv = kv_new(&(struct kv_options){0});
    COR_ASSERT(kv != NULL);
    uint64_t index = 0;
    while (size > 0) {
        const unsigned char *zero = memchr(data, 0, size);
        size_t len = zero == NULL ? size : (size_t)(zero - data);
        one_body(kv, ++index, (struct cor_bytes){data, len});
        size_t skip = zero == NULL ? len : len + 1;
        data += skip;
        size -= skip;
    }
    kv_check(kv);
    write_all(kv);
    kv_free(kv);
    return 0;
}
