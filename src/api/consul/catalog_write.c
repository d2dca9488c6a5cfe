/*
 * catalog_write.c - PUT /v1/catalog/register and /v1/catalog/deregister.
 *
 * Place in the system: a body becomes rows (kv/catalog.h), the rows operations of one stepwise entry; what they
 * need and what follows from them is judged where the entry is applied. An identical registration
 * changes nothing: no index moves, nobody is woken.
 */
#include "api/consul/catalog_write.h"

#include "api/consul/consul.h"
#include "api/consul/definition.h"
#include "base/format.h"
#include "kv/catalog.h"

#include <stdlib.h>
#include <string.h>

#define MAP_MAX  256u /* pairs */
#define PORT_MAX 65535u

static struct cor_bytes text_of(const char *s)
{
    return (struct cor_bytes){(const unsigned char *)s, strlen(s)};
}

/* The first problem is the one that is told. */
static void fail(struct catalog_body *b, unsigned status, const char *text)
{
    if (b->status == 0) {
        b->status = status;
        (void)format_to(b->text, sizeof b->text, "%s", text);
    }
}

static void mistyped(struct catalog_body *b, const char *name, const char *type)
{
    char text[128];
    format_to(text, sizeof text, "Request decode failed: %s must be %s", name, type);
    fail(b, 400, text);
}

/* ---- members ------------------------------------------------------------------------------------------ */

/* Some names have a second form with underscores. */
static const struct json_value *member(const struct json_value *object, const char *name,
                                       const char *other)
{
    const struct json_value *v = json_member_any_case(object, name);
    return v != NULL || other == NULL ? v : json_member_any_case(object, other);
}

static struct cor_bytes take_text(struct catalog_body *b, const struct json_value *object,
                                  const char *name)
{
    const struct json_value *v = json_member_any_case(object, name);
    if (v != NULL && json_kind_of(v) != JSON_STRING) {
        mistyped(b, name, "a string");
    }
    return v == NULL ? (struct cor_bytes){NULL, 0} : json_string_of(v);
}

static bool take_flag(struct catalog_body *b, const struct json_value *object, const char *name,
                      const char *other)
{
    const struct json_value *v = member(object, name, other);
    if (v != NULL && json_kind_of(v) != JSON_BOOL) {
        mistyped(b, name, "true or false");
    }
    return json_get_bool(v);
}

static uint64_t take_number(struct catalog_body *b, const struct json_value *object,
                            const char *name, uint64_t max, uint64_t absent)
{
    const struct json_value *v = json_member_any_case(object, name);
    uint64_t n = absent;
    if (v != NULL && (!json_u64_of(v, &n) || n > max)) {
        mistyped(b, name, "a number in its range");
    }
    return n;
}

/* An object, or NULL. */
static const struct json_value *take_object(struct catalog_body *b,
                                            const struct json_value *object, const char *name,
                                            const char *other)
{
    const struct json_value *v = member(object, name, other);
    if (v != NULL && json_kind_of(v) != JSON_OBJECT) {
        mistyped(b, name, "an object");
        return NULL;
    }
    return v;
}

/* A name or an ID, which may be missing. */
static struct cor_bytes take_name(struct catalog_body *b, const struct json_value *object,
                                  const char *name)
{
    struct cor_bytes v = take_text(b, object, name);
    if (v.len > 0 && !catalog_is_name(v)) {
        char text[128];
        format_to(text, sizeof text, "Invalid %s: at most %u bytes, and no control characters",
                  name, CATALOG_NAME_MAX);
        fail(b, 400, text);
    }
    return v;
}

/* ---- lists --------------------------------------------------------------------------------------------- */

struct pair {
    struct cor_bytes key;
    const struct json_value *value;
};

struct pairs {
    size_t n;
    struct pair items[MAP_MAX];
};

static bool add_pair(void *arg, struct cor_bytes key, const struct json_value *v)
{
    struct pairs *pairs = arg;
    if (pairs->n == MAP_MAX) {
        return false;
    }
    pairs->items[pairs->n++] = (struct pair){key, v};
    return true;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a;
    const struct pair *y = b;
    size_t n = x->key.len < y->key.len ? x->key.len : y->key.len;
    int c = memcmp(x->key.ptr, y->key.ptr, n);
    return c != 0 ? c : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

/* The members of the map @name, in order of their keys. */
static void take_pairs(struct catalog_body *b, const struct json_value *object,
                       const char *name, const char *other, struct pairs *out)
{
    out->n = 0;
    const struct json_value *map = take_object(b, object, name, other);
    if (map == NULL) {
        return;
    }
    if (!json_each(map, add_pair, out)) {
        mistyped(b, name, "an object of at most 256 members");
    }
    qsort(out->items, out->n, sizeof out->items[0], compare_pairs);
}

static struct catalog_list list_since(const struct catalog_body *b, size_t begin, uint64_t n)
{
    return (struct catalog_list){n, {b->rows.base + begin, b->rows.used - begin}};
}

static struct catalog_list take_map(struct catalog_body *b, const struct json_value *object,
                                    const char *name, const char *other)
{
    struct pairs pairs;
    size_t begin = b->rows.used;
    take_pairs(b, object, name, other, &pairs);
    for (size_t i = 0; i < pairs.n; i++) {
        const struct json_value *v = pairs.items[i].value;
        if (v == NULL || json_kind_of(v) != JSON_STRING) {
            mistyped(b, name, "an object of strings");
            break;
        }
        writer_blob(&b->rows, pairs.items[i].key);
        writer_blob(&b->rows, json_string_of(v));
    }
    return list_since(b, begin, pairs.n);
}

static struct catalog_list take_addresses(struct catalog_body *b,
                                          const struct json_value *object)
{
    struct pairs pairs;
    size_t begin = b->rows.used;
    take_pairs(b, object, "TaggedAddresses", "tagged_addresses", &pairs);
    for (size_t i = 0; i < pairs.n; i++) {
        const struct json_value *v = pairs.items[i].value;
        if (v == NULL || json_kind_of(v) != JSON_OBJECT) {
            mistyped(b, "TaggedAddresses", "an object of objects");
            break;
        }
        writer_blob(&b->rows, pairs.items[i].key);
        writer_blob(&b->rows, take_text(b, v, "Address"));
        writer_varint(&b->rows, take_number(b, v, "Port", PORT_MAX, 0));
    }
    return list_since(b, begin, pairs.n);
}

static struct catalog_list take_tags(struct catalog_body *b, const struct json_value *object)
{
    const struct json_value *tags = json_member_any_case(object, "Tags");
    size_t begin = b->rows.used;
    size_t n = json_length(tags);
    bool ok = tags == NULL || json_kind_of(tags) == JSON_ARRAY;
    for (size_t i = 0; i < n && ok; i++) {
        const struct json_value *tag = json_at(tags, i);
        ok = tag != NULL && json_kind_of(tag) == JSON_STRING;
        writer_blob(&b->rows, ok ? json_string_of(tag) : (struct cor_bytes){NULL, 0});
    }
    if (!ok) {
        mistyped(b, "Tags", "an array of strings");
    }
    return list_since(b, begin, n);
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

static void put(struct catalog_body *b, uint8_t table, struct cor_bytes id, size_t row_at,
                uint32_t flags)
{
    unsigned char key[CATALOG_KEY_MAX];
    if (b->status != 0) {
        return;
    }
    const struct kv_op op = {.kind = KV_OP_PUT,
                             .flags = flags,
                             .range = {.table = table,
                                       .key = table == KV_TABLE_NODES
                                                  ? catalog_key(key, b->node)
                                                  : catalog_key_on(key, b->node, id)},
                             .value = {b->rows.base + row_at, b->rows.used - row_at}};
    kv_encode_op(&b->ops, &op);
}

static void take_node(struct catalog_body *b, const struct json_value *body)
{
    struct catalog_node row = {.id = take_name(b, body, "ID"),
                               .name = b->node,
                               .address = take_text(b, body, "Address")};
    bool skip = take_flag(b, body, "SkipNodeUpdate", NULL);
    row.tagged_addresses = take_map(b, body, "TaggedAddresses", "tagged_addresses");
    row.meta = take_map(b, body, "NodeMeta", NULL);
    if (row.address.len == 0 && !skip) {
        fail(b, 500, "Must provide address if SkipNodeUpdate is not set");
    }
    size_t at = b->rows.used;
    catalog_encode_node(&b->rows, &row);
    put(b, KV_TABLE_NODES, row.id, at, skip ? KV_IF_ABSENT : KV_IF_CHANGED);
}

/* An address that means "all of them" is nowhere to connect to. */
static bool is_any_address(struct cor_bytes a)
{
    return consul_is(a, "0.0.0.0") || consul_is(a, "::") || consul_is(a, "[::]");
}

static void take_service(struct catalog_body *b, const struct json_value *service)
{
    struct catalog_service row = {.id = take_name(b, service, "ID"),
                                  .name = take_name(b, service, "Service"),
                                  .address = take_text(b, service, "Address")};
    if (row.name.len == 0) {
        fail(b, 500, "Must provide service name with ID");
    }
    if (is_any_address(row.address)) {
        fail(b, 500, "Invalid service address");
    }
    row.id = row.id.len == 0 ? row.name : row.id;
    row.tags = take_tags(b, service);
    row.tagged_addresses = take_addresses(b, service);
    row.meta = take_map(b, service, "Meta", NULL);
    row.port = take_number(b, service, "Port", PORT_MAX, 0);
    const struct json_value *weights = take_object(b, service, "Weights", NULL);
    row.weight_passing = take_number(b, weights, "Passing", PORT_MAX, 1);
    row.weight_warning = take_number(b, weights, "Warning", PORT_MAX, 1);
    row.enable_tag_override = take_flag(b, service, "EnableTagOverride", "enable_tag_override");
    size_t at = b->rows.used;
    catalog_encode_service(&b->rows, &row);
    put(b, KV_TABLE_SERVICES, row.id, at, KV_IF_CHANGED);
}

static void take_definition(struct catalog_body *b, const struct json_value *check,
                            struct catalog_check *row)
{
    size_t begin = b->rows.used;
    const char *wrong = definition_encode(&b->rows, json_member_any_case(check, "Definition"));
    row->definition = (struct cor_bytes){b->rows.base + begin, b->rows.used - begin};
    if (wrong != NULL) {
        mistyped(b, wrong, "of its type");
    }
}

static void take_check(struct catalog_body *b, const struct json_value *check)
{
    if (check == NULL || json_kind_of(check) != JSON_OBJECT) {
        mistyped(b, "Check", "an object");
        return;
    }
    struct catalog_check row = {
        .id = take_name(b, check, "CheckID"),
        .name = take_text(b, check, "Name"),
        .status = take_text(b, check, "Status"),
        .notes = take_text(b, check, "Notes"),
        .output = take_text(b, check, "Output"),
        .service_id = take_name(b, check, "ServiceID"),
        .type = take_text(b, check, "Type"),
        .interval = take_text(b, check, "Interval"),
        .timeout = take_text(b, check, "Timeout"),
        .exposed_port = take_number(b, check, "ExposedPort", PORT_MAX, 0),
    };
    struct cor_bytes node = take_text(b, check, "Node");
    if (node.len > 0 && !catalog_same_name(node, b->node)) {
        fail(b, 500, "the node of a check is not the node that is registered");
    }
    row.id = row.id.len == 0 ? row.name : row.id;
    if (!catalog_is_name(row.id)) {
        fail(b, 500, "Must provide a CheckID or a name for a check");
    }
    row.status = row.status.len == 0 ? text_of("critical") : row.status;
    take_definition(b, check, &row);
    size_t at = b->rows.used;
    catalog_encode_check(&b->rows, &row);
    put(b, KV_TABLE_CHECKS, row.id, at, KV_IF_CHANGED);
}

static void take_body(struct catalog_body *b, const struct json_value *body)
{
    struct cor_bytes dc = take_text(b, body, "Datacenter");
    if (dc.len > 0 && !consul_is(dc, CONSUL_DATACENTER)) {
        fail(b, 500, "No path to datacenter");
    }
    b->node = take_name(b, body, "Node");
    if (b->node.len == 0) {
        fail(b, 500, "Must provide node");
    }
}

/* Room for what a body of @len bytes with @n rows comes to. */
static bool body_begin(struct catalog_body *b, size_t len, size_t n)
{
    size_t rows = 2 * len + 512 * (n + 1);
    size_t ops = rows + (CATALOG_KEY_MAX + 64) * (n + 1);
    *b = (struct catalog_body){.status = 0};
    b->memory = malloc(rows + ops);
    if (b->memory == NULL) {
        return false;
    }
    b->rows = writer_of(b->memory, rows);
    b->ops = writer_of(b->memory + rows, ops < ENTRY_OPS_MAX ? ops : ENTRY_OPS_MAX);
    return true;
}

static void body_end(struct catalog_body *b)
{
    if (!writer_ok(&b->rows) || !writer_ok(&b->ops)) {
        fail(b, 413, "Request body too large");
    }
}

enum cor_status catalog_register_ops(const struct json_value *body, size_t len,
                                     struct catalog_body *b)
{
    const struct json_value *service = json_member_any_case(body, "Service");
    const struct json_value *check = json_member_any_case(body, "Check");
    const struct json_value *checks = json_member_any_case(body, "Checks");
    size_t n = 1u + (service != NULL) + (check != NULL) + json_length(checks);
    if (n > KV_OPS_MAX || !body_begin(b, len, n)) {
        return n > KV_OPS_MAX ? COR_ETOOBIG : COR_ENOMEM;
    }
    take_body(b, body);
    kv_encode_stepwise_begin(&b->ops, (uint32_t)n);
    if (b->status == 0) {
        take_node(b, body);
    }
    if (service != NULL && json_kind_of(service) != JSON_OBJECT) {
        mistyped(b, "Service", "an object");
    } else if (service != NULL) {
        take_service(b, service);
    }
    if (checks != NULL && json_kind_of(checks) != JSON_ARRAY) {
        mistyped(b, "Checks", "an array");
    }
    if (check != NULL) {
        take_check(b, check);
    }
    for (size_t i = 0; i < json_length(checks) && b->status == 0; i++) {
        take_check(b, json_at(checks, i));
    }
    body_end(b);
    return COR_OK;
}

enum cor_status catalog_deregister_ops(const struct json_value *body, size_t len,
                                       struct catalog_body *b)
{
    unsigned char key[CATALOG_KEY_MAX];
    if (!body_begin(b, len, 1)) {
        return COR_ENOMEM;
    }
    take_body(b, body);
    struct cor_bytes service = take_name(b, body, "ServiceID");
    struct cor_bytes check = take_name(b, body, "CheckID");
    struct kv_op op = {.kind = KV_OP_DELETE};
    if (b->status != 0) {
        return COR_OK;
    }
    if (service.len > 0) {
        op.range = (struct kv_range){.table = KV_TABLE_SERVICES,
                                     .key = catalog_key_on(key, b->node, service)};
    } else if (check.len > 0) {
        op.range = (struct kv_range){.table = KV_TABLE_CHECKS,
                                     .key = catalog_key_on(key, b->node, check)};
    } else {
        op.range = (struct kv_range){.table = KV_TABLE_NODES, .key = catalog_key(key, b->node)};
    }
    kv_encode_stepwise_begin(&b->ops, 1);
    kv_encode_op(&b->ops, &op);
    body_end(b);
    return COR_OK;
}

void catalog_body_free(struct catalog_body *b)
{
    free(b->memory);
}

/* ---- the calls -------------------------------------------------------------------------------------------- */

static enum rendered render_true(struct exchange *x, struct out *o)
{
    return consul_answer_bool(x, o, true);
}

/* Why an entry was not executed: the first operation that says so. */
static const char *why(const struct kv_result *result)
{
    for (uint32_t i = 0; i < result->n_ops; i++) {
        if (result->ops[i].status == COR_ECONFLICT) {
            return "failed inserting node: Error while renaming Node ID: the name belongs to a "
                   "node with another ID";
        }
        if (result->ops[i].status == COR_ENOTFOUND) {
            return "Missing service registration";
        }
    }
    return "the catalog has changed meanwhile; nothing was done, retry";
}

static void on_written(void *arg, enum cor_status st, const struct kv_result *result)
{
    struct exchange *x = arg;
    if (!exchange_back(x)) {
        return;
    }
    st = st == COR_OK ? result->status : st;
    if (st == COR_ECONFLICT) {
        consul_fail(x, 500, why(result));
    } else if (st != COR_OK) {
        consul_fail_as(x, st);
    } else {
        exchange_ready(x);
    }
}

typedef enum cor_status (*ops_maker)(const struct json_value *body, size_t len,
                                     struct catalog_body *b);

static void write_catalog(struct consul_call *c, ops_maker make)
{
    static const struct exchange_ops ops = {.render = render_true};
    struct catalog_body b = {.status = 0};
    struct json_value *body = NULL;
    if (!consul_body(c, &body)) {
        return;
    }
    enum cor_status st = make(body, c->r->body.len, &b);
    if (st != COR_OK) {
        consul_fail_as(c->x, st);
    } else if (b.status != 0) {
        consul_fail(c->x, b.status, b.text);
    } else {
        c->x->ops = &ops;
        consul_write(c->x, (struct cor_bytes){b.ops.base, b.ops.used}, on_written);
    }
    catalog_body_free(&b);
    json_free(body);
}

void consul_catalog_register(struct consul_call *c)
{
    write_catalog(c, catalog_register_ops);
}

void consul_catalog_deregister(struct consul_call *c)
{
    write_catalog(c, catalog_deregister_ops);
}
