/*
 * catalog.c - what follows from a change of a node, a service or a check. The rules are in catalog.h.
 *
 * Place in the system: exec.c asks catalog_precondition() before a put in a table of the catalog and
 * calls catalog_follow() after each put and deletion there. What is changed here are further changes of
 * the same entry: told to watchers, undone with it.
 *
 * Bytes of rows stay where they are until the entry is committed, also of rows that have gone meanwhile; so
 * views into them may be used throughout.
 */
#include "kv/internal.h"

#include "base/assert.h"
#include "kv/catalog.h"

static struct catalog_node node_row(struct cor_bytes value)
{
    struct catalog_node row;
    enum cor_status st = catalog_decode_node(value, &row);
    COR_ASSERT(st == COR_OK);
    return row;
}

static struct catalog_service service_row(struct cor_bytes value)
{
    struct catalog_service row;
    enum cor_status st = catalog_decode_service(value, &row);
    COR_ASSERT(st == COR_OK);
    return row;
}

static struct catalog_check check_row(struct cor_bytes value)
{
    struct catalog_check row;
    enum cor_status st = catalog_decode_check(value, &row);
    COR_ASSERT(st == COR_OK);
    return row;
}

static bool is_same(struct cor_bytes a, struct cor_bytes b)
{
    return bytes_compare(a, b) == 0;
}

static bool is_same_list(const struct catalog_list *a, const struct catalog_list *b)
{
    return a->n == b->n && is_same(a->bytes, b->bytes);
}

static bool find_service(const struct exec *x, struct cor_bytes node, struct cor_bytes id,
                         struct kv_item *item)
{
    unsigned char key[CATALOG_KEY_MAX];
    return exec_find(x, KV_TABLE_SERVICES, catalog_key_on(key, node, id), item);
}

/* ---- the rows kept here ----------------------------------------------------------------------- */

static void touch(struct exec *x, enum catalog_mark mark, struct cor_bytes name)
{
    unsigned char key[CATALOG_KEY_MAX];
    exec_set(x, KV_TABLE_SERVICES, catalog_mark_key(key, mark, name),
             (struct cor_bytes){NULL, 0});
}

static struct cor_bytes instance_key(unsigned char *out, struct cor_bytes service,
                                     struct cor_bytes node, struct cor_bytes id)
{
    struct cor_bytes head = catalog_mark_key(out, CATALOG_INSTANCE, service);
    struct cor_bytes tail = catalog_key_on(out + head.len, node, id);
    return (struct cor_bytes){out, head.len + tail.len};
}

static bool has_instances(const struct exec *x, struct cor_bytes service)
{
    unsigned char key[CATALOG_KEY_MAX];
    unsigned char end[CATALOG_KEY_MAX];
    struct kv_item item;
    struct kv_range range =
        catalog_below(KV_TABLE_SERVICES, catalog_mark_key(key, CATALOG_INSTANCE, service), end);
    return exec_next(x, &range, NULL, &item);
}

/* The instance @id on @node of the service that @row was is no more. */
static void forget_instance(struct exec *x, struct cor_bytes node,
                            const struct catalog_service *row)
{
    unsigned char key[2 * CATALOG_KEY_MAX];
    exec_erase(x, KV_TABLE_SERVICES, instance_key(key, row->name, node, row->id));
    if (has_instances(x, row->name)) {
        touch(x, CATALOG_SERVICE, row->name);
    } else {
        exec_erase(x, KV_TABLE_SERVICES, catalog_mark_key(key, CATALOG_SERVICE, row->name));
    }
}

/* ---- the rows of one node ----------------------------------------------------------------------- */

/* A walk over the rows of @table that belong to a node, during which they may change. */
struct walk {
    struct kv_range range;
    struct kv_item item;
    bool begun;
    unsigned char key[CATALOG_KEY_MAX], end[CATALOG_KEY_MAX];
};

static void walk_begin(struct walk *w, uint8_t table, struct cor_bytes node)
{
    w->begun = false;
    w->range =
        catalog_below(table, catalog_key_on(w->key, node, (struct cor_bytes){NULL, 0}), w->end);
}

static bool walk_next(const struct exec *x, struct walk *w)
{
    struct cor_bytes after = w->item.key;
    bool more = exec_next(x, &w->range, w->begun ? &after : NULL, &w->item);
    w->begun = true;
    return more;
}

/* Something of @node itself has changed: every service on it shows that. */
static void touch_services_on(struct exec *x, struct cor_bytes node)
{
    struct walk w;
    walk_begin(&w, KV_TABLE_SERVICES, node);
    while (walk_next(x, &w)) {
        touch(x, CATALOG_SERVICE, service_row(w.item.value).name);
    }
}

static void list_check(struct exec *x, struct cor_bytes node, const struct catalog_check *row)
{
    unsigned char key[CATALOG_KEY_MAX];
    exec_set(x, KV_TABLE_CHECKS, catalog_check_key(key, node, row->service_id, row->id),
             (struct cor_bytes){NULL, 0});
}

static void unlist_check(struct exec *x, struct cor_bytes node, const struct catalog_check *row)
{
    unsigned char key[CATALOG_KEY_MAX];
    exec_erase(x, KV_TABLE_CHECKS, catalog_check_key(key, node, row->service_id, row->id));
}

enum fate {
    ERASE,
    RENEW
};

/* The checks of the service @id on @node go along with it, or show what it has become. */
static void checks_of(struct exec *x, struct cor_bytes node, struct cor_bytes id,
                      enum fate fate)
{
    struct walk w;
    struct cor_bytes second;
    struct cor_bytes third;
    unsigned char key[CATALOG_KEY_MAX];
    w.begun = false;
    w.range =
        catalog_below(KV_TABLE_CHECKS,
                      catalog_check_key(w.key, node, id, (struct cor_bytes){NULL, 0}), w.end);
    while (walk_next(x, &w)) {
        catalog_split(w.item.key, &second, &third);
        struct cor_bytes check = catalog_key_on(key, node, third);
        struct kv_item item;
        bool found = exec_find(x, KV_TABLE_CHECKS, check, &item);
        COR_ASSERT(found);
        if (fate == ERASE) {
            exec_erase(x, KV_TABLE_CHECKS, item.key);
            exec_erase(x, KV_TABLE_CHECKS, w.item.key);
        } else {
            exec_set(x, KV_TABLE_CHECKS, item.key, item.value);
        }
    }
}

/* ---- nodes ----------------------------------------------------------------------------------------- */

static struct cor_bytes id_key(unsigned char *out, struct cor_bytes id)
{
    return catalog_mark_key(out, CATALOG_NODE_ID, id);
}

static void erase_id(struct exec *x, struct cor_bytes id)
{
    unsigned char key[CATALOG_KEY_MAX];
    if (id.len > 0) {
        exec_erase(x, KV_TABLE_NODES, id_key(key, id));
    }
}

static void node_went(struct exec *x, struct cor_bytes node, const struct catalog_node *was)
{
    unsigned char key[CATALOG_KEY_MAX];
    struct walk w;
    walk_begin(&w, KV_TABLE_CHECKS, node);
    while (walk_next(x, &w)) {
        struct catalog_check row = check_row(w.item.value);
        exec_erase(x, KV_TABLE_CHECKS, w.item.key);
        unlist_check(x, node, &row);
    }
    walk_begin(&w, KV_TABLE_SERVICES, node);
    while (walk_next(x, &w)) {
        struct catalog_service row = service_row(w.item.value);
        exec_erase(x, KV_TABLE_SERVICES, w.item.key);
        forget_instance(x, node, &row);
    }
    exec_erase(x, KV_TABLE_SERVICES, catalog_mark_key(key, CATALOG_NODE, node));
    erase_id(x, was->id);
}

/* The node with the ID of @now, if it has another name, gives way to it. */
static void take_id(struct exec *x, struct cor_bytes node, const struct catalog_node *now)
{
    unsigned char key[CATALOG_KEY_MAX];
    struct kv_item owner;
    struct kv_item old;
    struct cor_bytes id = id_key(key, now->id);
    if (exec_find(x, KV_TABLE_NODES, id, &owner) && !is_same(owner.value, node)) {
        bool found = exec_find(x, KV_TABLE_NODES, owner.value, &old);
        COR_ASSERT(found);
        struct catalog_node was = node_row(old.value);
        exec_erase(x, KV_TABLE_NODES, old.key);
        node_went(x, old.key, &was);
    }
    exec_set(x, KV_TABLE_NODES, id, node);
}

static void follow_node(struct exec *x, struct cor_bytes key, const struct cor_bytes *before,
                        const struct cor_bytes *now)
{
    struct catalog_node was = {.id = {NULL, 0}};
    if (before != NULL) {
        was = node_row(*before);
    }
    if (now == NULL) {
        node_went(x, key, &was);
        return;
    }
    struct catalog_node is = node_row(*now);
    if (!catalog_same_name(was.id, is.id)) {
        erase_id(x, was.id);
    }
    if (is.id.len > 0) {
        take_id(x, key, &is);
    }
    touch(x, CATALOG_NODE, key);
    touch_services_on(x, key);
}

/* Whether the name @key may be that of a node with @id: see catalog.h. */
static enum cor_status check_id(const struct exec *x, struct cor_bytes key, struct cor_bytes id)
{
    unsigned char name[CATALOG_KEY_MAX];
    struct kv_item item;
    struct kv_item check;
    if (id.len == 0 || !exec_find(x, KV_TABLE_NODES, key, &item)) {
        return COR_OK;
    }
    struct cor_bytes has = node_row(item.value).id;
    bool renames =
        exec_find(x, KV_TABLE_NODES, id_key(name, id), &item) && !is_same(item.value, key);
    if (catalog_same_name(has, id) || (has.len == 0 && !renames)) {
        return COR_OK;
    }
    struct cor_bytes health = catalog_key_on(name, key, COR_BYTES_LIT("serfHealth"));
    bool failed = exec_find(x, KV_TABLE_CHECKS, health, &check) &&
                  is_same(check_row(check.value).status, COR_BYTES_LIT("critical"));
    return failed ? COR_OK : COR_ECONFLICT;
}

/* ---- services and checks --------------------------------------------------------------------------- */

static void follow_service(struct exec *x, struct cor_bytes key, const struct cor_bytes *before,
                           const struct cor_bytes *now)
{
    unsigned char made[2 * CATALOG_KEY_MAX];
    struct cor_bytes node = catalog_node_of(key);
    struct catalog_service was = {.id = {NULL, 0}};
    struct catalog_service is = {.id = {NULL, 0}};
    if (before != NULL) {
        was = service_row(*before);
    }
    if (now != NULL) {
        is = service_row(*now);
        exec_set(x, KV_TABLE_SERVICES, instance_key(made, is.name, node, is.id),
                 (struct cor_bytes){NULL, 0});
        touch(x, CATALOG_SERVICE, is.name);
    }
    if (before != NULL && !catalog_same_name(was.name, is.name)) {
        forget_instance(x, node, &was);
    }
    touch(x, CATALOG_NODE, node);
    if (now == NULL) {
        checks_of(x, node, was.id, ERASE);
    } else if (before != NULL &&
               !(is_same(was.name, is.name) && is_same_list(&was.tags, &is.tags))) {
        checks_of(x, node, is.id, RENEW);
    }
}

/* The service that the check @row on @node speaks of shows it; all of the node's, if it is the node's. */
static void touch_checked(struct exec *x, struct cor_bytes node,
                          const struct catalog_check *row)
{
    struct kv_item service;
    if (row->service_id.len == 0) {
        touch_services_on(x, node);
    } else if (find_service(x, node, row->service_id, &service)) {
        touch(x, CATALOG_SERVICE, service_row(service.value).name);
    }
}

static void follow_check(struct exec *x, struct cor_bytes key, const struct cor_bytes *before,
                         const struct cor_bytes *now)
{
    struct cor_bytes node = catalog_node_of(key);
    struct catalog_check was = {.id = {NULL, 0}};
    struct catalog_check is = {.id = {NULL, 0}};
    if (now != NULL) {
        is = check_row(*now);
        list_check(x, node, &is);
        touch_checked(x, node, &is);
    }
    if (before != NULL) {
        was = check_row(*before);
        touch_checked(x, node, &was);
    }
    if (before != NULL && (now == NULL || !catalog_same_name(was.service_id, is.service_id))) {
        unlist_check(x, node, &was);
    }
}

/* ---- the doors -------------------------------------------------------------------------------------- */

enum cor_status catalog_precondition(const struct exec *x, const struct kv_op *op)
{
    struct kv_item item;
    struct cor_bytes key = op->range.key;
    struct cor_bytes node = catalog_node_of(key);
    if ((op->flags & KV_IF_ABSENT) != 0 && exec_find(x, op->range.table, key, &item)) {
        return COR_OK;
    }
    if (op->range.table == KV_TABLE_NODES) {
        return check_id(x, key, node_row(op->value).id);
    }
    if (!exec_find(x, KV_TABLE_NODES, node, &item)) {
        return COR_ENOTFOUND;
    }
    if (op->range.table == KV_TABLE_SERVICES) {
        return COR_OK;
    }
    struct cor_bytes service_id = check_row(op->value).service_id;
    return service_id.len == 0 || find_service(x, node, service_id, &item) ? COR_OK
                                                                           : COR_ENOTFOUND;
}

void catalog_follow(struct exec *x, uint8_t table, struct cor_bytes key,
                    const struct cor_bytes *before, const struct cor_bytes *now)
{
    if (table == KV_TABLE_NODES) {
        follow_node(x, key, before, now);
    } else if (table == KV_TABLE_SERVICES) {
        follow_service(x, key, before, now);
    } else {
        COR_ASSERT(table == KV_TABLE_CHECKS);
        follow_check(x, key, before, now);
    }
}

/* ---- invariants ---------------------------------------------------------------------------------------- */

struct census {
    uint64_t nodes, ids, services, checks, listed_checks, marks[CATALOG_INSTANCE + 1];
};

static bool is_there(const struct kv *kv, uint8_t table, struct cor_bytes key)
{
    struct kv_item item;
    return kv_get(kv, table, key, 0, &item) == COR_OK;
}

static void check_service(const struct kv *kv, const struct kv_item *item)
{
    unsigned char key[2 * CATALOG_KEY_MAX];
    struct cor_bytes node = catalog_node_of(item->key);
    struct catalog_service row = service_row(item->value);
    COR_ASSERT(is_there(kv, KV_TABLE_NODES, node));
    COR_ASSERT(is_there(kv, KV_TABLE_SERVICES, catalog_key_on(key, node, row.id)));
    COR_ASSERT(is_there(kv, KV_TABLE_SERVICES, instance_key(key, row.name, node, row.id)));
    COR_ASSERT(
        is_there(kv, KV_TABLE_SERVICES, catalog_mark_key(key, CATALOG_SERVICE, row.name)));
}

static void check_check(const struct kv *kv, const struct kv_item *item, struct census *c)
{
    unsigned char key[CATALOG_KEY_MAX];
    if (item->key.ptr[0] == CATALOG_CHECK) {
        c->listed_checks++;
        return;
    }
    struct cor_bytes node = catalog_node_of(item->key);
    struct catalog_check row = check_row(item->value);
    c->checks++;
    COR_ASSERT(
        is_there(kv, KV_TABLE_CHECKS, catalog_check_key(key, node, row.service_id, row.id)));
    COR_ASSERT(is_there(kv, KV_TABLE_NODES, node));
    COR_ASSERT_IMPLIES(
        row.service_id.len > 0,
        is_there(kv, KV_TABLE_SERVICES, catalog_key_on(key, node, row.service_id)));
}

static void check_mark(const struct kv *kv, const struct kv_item *item, struct census *c)
{
    unsigned char key[CATALOG_KEY_MAX];
    unsigned char end[CATALOG_KEY_MAX];
    unsigned mark = item->key.ptr[0];
    COR_ASSERT(mark >= CATALOG_SERVICE && mark <= CATALOG_INSTANCE);
    c->marks[mark]++;
    if (mark == CATALOG_SERVICE) {
        struct cor_bytes name = {item->key.ptr + 1, item->key.len - 1};
        struct kv_range range = catalog_below(
            KV_TABLE_SERVICES, catalog_mark_key(key, CATALOG_INSTANCE, name), end);
        uint64_t n = 0;
        enum cor_status st = kv_count(kv, &range, 0, &n);
        COR_ASSERT(st == COR_OK && n > 0);
    }
}

static void check_node(const struct kv *kv, const struct kv_item *item, struct census *c)
{
    unsigned char key[CATALOG_KEY_MAX];
    if (item->key.ptr[0] == CATALOG_NODE_ID) {
        c->marks[0]++;
        COR_ASSERT(is_there(kv, KV_TABLE_NODES, item->value));
        return;
    }
    struct catalog_node row = node_row(item->value);
    struct kv_item id;
    c->nodes++;
    COR_ASSERT(is_there(kv, KV_TABLE_SERVICES, catalog_mark_key(key, CATALOG_NODE, item->key)));
    if (row.id.len > 0) {
        c->ids++;
        enum cor_status st = kv_get(kv, KV_TABLE_NODES, id_key(key, row.id), 0, &id);
        COR_ASSERT(st == COR_OK && is_same(id.value, item->key));
    }
}

static void check_table(const struct kv *kv, uint8_t table, struct census *c)
{
    const struct kv_range all = {.table = table, .to_end = true};
    struct kv_cursor cursor;
    struct kv_item item;
    enum cor_status st = kv_cursor_open(kv, &all, 0, &cursor);
    COR_ASSERT(st == COR_OK);
    while (kv_cursor_next(&cursor, &item)) {
        if (table == KV_TABLE_NODES) {
            check_node(kv, &item, c);
        } else if (table == KV_TABLE_CHECKS) {
            check_check(kv, &item, c);
        } else if (item.key.ptr[0] <= CATALOG_INSTANCE) {
            check_mark(kv, &item, c);
        } else {
            check_service(kv, &item);
            c->services++;
        }
    }
}

void catalog_check(const struct kv *kv)
{
    struct census c = {0};
    check_table(kv, KV_TABLE_NODES, &c);
    check_table(kv, KV_TABLE_SERVICES, &c);
    check_table(kv, KV_TABLE_CHECKS, &c);
    COR_ASSERT(c.marks[0] == c.ids);
    COR_ASSERT(c.marks[CATALOG_NODE] == c.nodes);
    COR_ASSERT(c.marks[CATALOG_INSTANCE] == c.services);
    COR_ASSERT(c.listed_checks == c.checks);
}
