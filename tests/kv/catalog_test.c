/*
 * catalog_test.c - nodes, services and checks: what follows from a change, what one needs, whom it wakes;
 * and random registrations against a dumb twin of three arrays.
 */
#include "base/format.h"
#include "base/prng.h"
#include "kv/catalog.h"
#include "tests/kv/build.h"
#include "tests/support/test.h"

/* ---- words ----------------------------------------------------------------------------------- */

/* Operations of one entry, with room for their keys and rows. */
struct entry {
    struct kv_op ops[16];
    uint32_t n;
    unsigned char keys[16][CATALOG_KEY_MAX], rows[16][4096];
};

static struct kv_op *add(struct entry *e, uint8_t kind, uint8_t table, struct cor_bytes key,
                         const struct writer *row)
{
    struct kv_op *op = &e->ops[e->n++];
    *op = (struct kv_op){.kind = kind, .range = {.table = table, .key = key}};
    if (row != NULL) {
        op->flags = KV_IF_CHANGED;
        op->value = (struct cor_bytes){row->base, row->used};
    }
    return op;
}

static struct kv_op *node(struct entry *e, const char *name, const char *address,
                          const char *id)
{
    struct writer w = writer_of(e->rows[e->n], sizeof e->rows[0]);
    const struct catalog_node row = {
        .id = text(id), .name = text(name), .address = text(address)};
    catalog_encode_node(&w, &row);
    return add(e, KV_OP_PUT, KV_TABLE_NODES, catalog_key(e->keys[e->n], row.name), &w);
}

static struct kv_op *service(struct entry *e, const char *node_name, const char *id,
                             const char *name, const char *tag)
{
    unsigned char tags[64];
    struct writer t = writer_of(tags, sizeof tags);
    writer_blob(&t, text(tag));
    struct writer w = writer_of(e->rows[e->n], sizeof e->rows[0]);
    const struct catalog_service row = {
        .id = text(id), .name = text(name), .tags = {1, {tags, t.used}}, .port = 80};
    catalog_encode_service(&w, &row);
    return add(e, KV_OP_PUT, KV_TABLE_SERVICES,
               catalog_key_on(e->keys[e->n], text(node_name), row.id), &w);
}

static struct kv_op *check(struct entry *e, const char *node_name, const char *id,
                           const char *service_id, const char *status)
{
    struct writer w = writer_of(e->rows[e->n], sizeof e->rows[0]);
    const struct catalog_check row = {.id = text(id),
                                      .name = text(id),
                                      .status = text(status),
                                      .service_id = text(service_id)};
    catalog_encode_check(&w, &row);
    return add(e, KV_OP_PUT, KV_TABLE_CHECKS,
               catalog_key_on(e->keys[e->n], text(node_name), row.id), &w);
}

static struct kv_op *gone(struct entry *e, uint8_t table, const char *node_name, const char *id)
{
    unsigned char *out = e->keys[e->n];
    struct cor_bytes key = table == KV_TABLE_NODES
                               ? catalog_key(out, text(node_name))
                               : catalog_key_on(out, text(node_name), text(id));
    return add(e, KV_OP_DELETE, table, key, NULL);
}

/* Apply @e and begin anew. Returns what became of it. */
static enum cor_status run(struct world *w, struct entry *e)
{
    struct writer out = writer_of(w->ops, WORLD_SCRATCH);
    kv_encode_stepwise_begin(&out, e->n);
    for (uint32_t i = 0; i < e->n; i++) {
        kv_encode_op(&out, &e->ops[i]);
    }
    e->n = 0;
    enum cor_status st = apply_ops(w, (struct cor_bytes){w->ops, out.used});
    kv_check(w->kv);
    return st == COR_OK ? w->result.status : st;
}

static bool has(const struct world *w, uint8_t table, const char *node_name, const char *id)
{
    unsigned char out[CATALOG_KEY_MAX];
    struct kv_item item;
    struct cor_bytes key = table == KV_TABLE_NODES
                               ? catalog_key(out, text(node_name))
                               : catalog_key_on(out, text(node_name), text(id));
    return kv_get(w->kv, table, key, 0, &item) == COR_OK;
}

static uint64_t mark_revision(const struct world *w, enum catalog_mark mark, const char *name)
{
    unsigned char out[CATALOG_KEY_MAX];
    struct kv_range range = {.table = KV_TABLE_SERVICES,
                             .key = catalog_mark_key(out, mark, text(name))};
    return kv_range_revision(w->kv, &range);
}

static uint64_t rows(const struct world *w, uint8_t table)
{
    struct kv_range range = {.table = table, .to_end = true, .key = CATALOG_FIRST};
    uint64_t n = 0;
    CHECK_EQ(kv_count(w->kv, &range, 0, &n), COR_OK);
    return n;
}

/* Two nodes; "web" on both, "db" on the first; a check of node one, of each web, of db. */
static struct entry *populate(struct world *w)
{
    struct entry *e = calloc(1, sizeof *e);
    if (e == NULL) {
        abort();
    }
    world_open(w);
    node(e, "One", "10.0.0.1", "");
    service(e, "One", "web-1", "web", "a");
    service(e, "One", "db-1", "db", "b");
    check(e, "One", "alive", "", "passing");
    check(e, "One", "web-1-http", "web-1", "passing");
    check(e, "One", "db-1-tcp", "db-1", "passing");
    node(e, "two", "10.0.0.2", "");
    service(e, "two", "web-2", "web", "a");
    check(e, "two", "web-2-http", "web-2", "passing");
    CHECK_EQ(run(w, e), COR_OK);
    return e;
}

static void leave(struct world *w, struct entry *e)
{
    free(e);
    world_close(w);
}

/* ---- cascades ----------------------------------------------------------------------------------- */

static void a_node_takes_its_services_and_checks_along(void)
{
    struct world w;
    struct entry *e = populate(&w);
    CHECK_EQ(info_of(&w).system_revision, 2);
    CHECK_EQ(info_of(&w).revision, 1);
    gone(e, KV_TABLE_NODES, "one", "");
    CHECK_EQ(run(&w, e), COR_OK);
    CHECK_EQ(w.result.ops[0].count, 1);
    CHECK_EQ(rows(&w, KV_TABLE_NODES), 1);
    CHECK_EQ(rows(&w, KV_TABLE_SERVICES), 1);
    CHECK_EQ(rows(&w, KV_TABLE_CHECKS), 1);
    CHECK(has(&w, KV_TABLE_SERVICES, "TWO", "Web-2"));
    CHECK_EQ(mark_revision(&w, CATALOG_SERVICE, "web"), 3);
    CHECK(mark_revision(&w, CATALOG_SERVICE, "db") >= 3);
    gone(e, KV_TABLE_NODES, "two", "");
    CHECK_EQ(run(&w, e), COR_OK);
    for (uint32_t table = 0; table < KV_N_TABLES; table++) {
        ROW("table %u", table);
        CHECK_EQ(info_of(&w).keys[table], 0);
    }
    leave(&w, e);
}

static void a_service_takes_its_checks_along_and_no_others(void)
{
    struct world w;
    struct entry *e = populate(&w);
    gone(e, KV_TABLE_SERVICES, "one", "web-1");
    CHECK_EQ(run(&w, e), COR_OK);
    CHECK(!has(&w, KV_TABLE_CHECKS, "one", "web-1-http"));
    CHECK(has(&w, KV_TABLE_CHECKS, "one", "alive"));
    CHECK(has(&w, KV_TABLE_CHECKS, "one", "db-1-tcp"));
    CHECK(has(&w, KV_TABLE_CHECKS, "two", "web-2-http"));
    leave(&w, e);
}

static void what_is_as_it_was_moves_no_index(void)
{
    struct world w;
    struct entry *e = populate(&w);
    uint64_t hash = info_of(&w).hash;
    node(e, "One", "10.0.0.1", "");
    service(e, "One", "web-1", "web", "a");
    check(e, "One", "web-1-http", "web-1", "passing");
    check(e, "One", "alive", "", "passing");
    gone(e, KV_TABLE_SERVICES, "one", "nothing");
    gone(e, KV_TABLE_NODES, "three", "");
    CHECK_EQ(run(&w, e), COR_OK);
    CHECK_EQ(info_of(&w).system_revision, 2);
    CHECK_EQ(info_of(&w).hash, hash);
    leave(&w, e);
}

static void a_service_with_new_tags_changes_its_checks(void)
{
    struct world w;
    struct entry *e = populate(&w);
    struct kv_item item;
    unsigned char key[CATALOG_KEY_MAX];
    service(e, "One", "web-1", "web", "other");
    CHECK_EQ(run(&w, e), COR_OK);
    CHECK_EQ(kv_get(w.kv, KV_TABLE_CHECKS, catalog_key_on(key, text("one"), text("web-1-http")),
                    0, &item),
             COR_OK);
    CHECK_EQ(item.mod_revision, 3);
    CHECK_EQ(item.create_revision, 2);
    CHECK_EQ(kv_get(w.kv, KV_TABLE_CHECKS, catalog_key_on(key, text("one"), text("alive")), 0,
                    &item),
             COR_OK);
    CHECK_EQ(item.mod_revision, 2);
    leave(&w, e);
}

static void a_node_with_the_id_of_another_is_that_node_renamed(void)
{
    struct world w;
    struct entry *e = populate(&w);
    node(e, "one", "10.0.0.1", "ID-1");
    CHECK_EQ(run(&w, e), COR_OK); /* a node without an ID may get one */
    node(e, "uno", "10.0.0.1", "id-1");
    service(e, "uno", "web-1", "web", "a");
    CHECK_EQ(run(&w, e), COR_OK);
    CHECK(!has(&w, KV_TABLE_NODES, "one", ""));
    CHECK(!has(&w, KV_TABLE_SERVICES, "one", "db-1"));
    CHECK(!has(&w, KV_TABLE_CHECKS, "one", "alive"));
    CHECK(has(&w, KV_TABLE_SERVICES, "uno", "web-1"));

    ROW("a name that has another ID");
    node(e, "uno", "10.0.0.9", "id-2");
    CHECK_EQ(run(&w, e), COR_ECONFLICT);
    ROW("a rename to a name that is taken, if only by a node without ID");
    node(e, "two", "10.0.0.1", "id-1");
    CHECK_EQ(run(&w, e), COR_ECONFLICT);
    CHECK(has(&w, KV_TABLE_NODES, "uno", ""));
    ROW("unless its node has failed");
    check(e, "uno", "serfHealth", "", "critical");
    node(e, "uno", "10.0.0.9", "id-2");
    CHECK_EQ(run(&w, e), COR_OK);
    ROW("without an ID the name keeps its node");
    node(e, "uno", "10.0.0.9", "");
    CHECK_EQ(run(&w, e), COR_OK);
    node(e, "tres", "10.0.0.3", "id-2");
    CHECK_EQ(run(&w, e), COR_OK);
    CHECK(has(&w, KV_TABLE_NODES, "uno", ""));
    leave(&w, e);
}

/* ---- needs ---------------------------------------------------------------------------------------- */

static void nothing_stands_on_what_is_not_there(void)
{
    struct world w;
    struct entry *e = populate(&w);
    uint64_t hash = info_of(&w).hash;
    node(e, "three", "10.0.0.3", "");
    service(e, "four", "x", "x", "a");
    check(e, "four", "x", "", "passing");
    check(e, "three", "x", "x", "passing");
    check(e, "three", "y", "", "passing");
    CHECK_EQ(run(&w, e), COR_ECONFLICT);
    static const enum cor_status want[] = {COR_OK, COR_ENOTFOUND, COR_ENOTFOUND, COR_ENOTFOUND,
                                           COR_OK};
    REQUIRE(w.result.n_ops == 5);
    for (uint32_t i = 0; i < 5; i++) {
        ROW("operation %u", i);
        CHECK_EQ(w.result.ops[i].status, want[i]);
    }
    CHECK_EQ(info_of(&w).hash, hash); /* all undone */
    CHECK(!has(&w, KV_TABLE_NODES, "three", ""));
    leave(&w, e);
}

static void a_cascade_is_undone_with_its_entry(void)
{
    struct world w;
    struct entry *e = populate(&w);
    uint64_t hash = info_of(&w).hash;
    gone(e, KV_TABLE_NODES, "one", "");
    check(e, "one", "x", "", "passing");
    CHECK_EQ(run(&w, e), COR_ECONFLICT);
    CHECK_EQ(info_of(&w).hash, hash);
    CHECK(has(&w, KV_TABLE_CHECKS, "one", "db-1-tcp"));
    leave(&w, e);
}

static void a_put_if_absent_leaves_what_is_there(void)
{
    struct world w;
    struct entry *e = populate(&w);
    node(e, "One", "10.0.0.1", "id-1");
    CHECK_EQ(run(&w, e), COR_OK);
    node(e, "one", "elsewhere", "id-9")->flags = KV_IF_ABSENT;
    node(e, "five", "10.0.0.5", "")->flags = KV_IF_ABSENT;
    CHECK_EQ(run(&w, e), COR_OK);
    unsigned char key[CATALOG_KEY_MAX];
    struct kv_item item;
    struct catalog_node row;
    REQUIRE(kv_get(w.kv, KV_TABLE_NODES, catalog_key(key, text("one")), 0, &item) == COR_OK);
    REQUIRE(catalog_decode_node(item.value, &row) == COR_OK);
    CHECK_BYTES(row.address, text("10.0.0.1"));
    CHECK_BYTES(row.name, text("One"));
    CHECK(has(&w, KV_TABLE_NODES, "five", ""));
    leave(&w, e);
}

/* ---- whom a change wakes ---------------------------------------------------------------------------- */

enum {
    WEB,
    DB,
    ONE,
    TWO,
    NODES,
    SERVICES,
    CHECKS_ONE,
    N_EARS
};

struct ears {
    struct kv_watcher watchers[N_EARS];
    unsigned char keys[N_EARS][CATALOG_KEY_MAX], end[CATALOG_KEY_MAX];
    uint32_t heard; /* bits */
};

static void on_change(void *arg, const struct kv_event *e, struct kv_watcher *watcher)
{
    struct ears *ears = arg;
    (void)e;
    if (watcher != NULL) {
        ears->heard |= 1u << (watcher - ears->watchers);
    }
}

static void listen_to(struct world *w, struct ears *ears)
{
    memset(ears, 0, sizeof *ears);
    struct kv_watcher *all = ears->watchers;
    static const char *const names[] = {"web", "db", "one", "two"};
    for (uint32_t i = WEB; i <= TWO; i++) {
        all[i].range.table = KV_TABLE_SERVICES;
        all[i].range.key = catalog_mark_key(
            ears->keys[i], i <= DB ? CATALOG_SERVICE : CATALOG_NODE, text(names[i]));
    }
    all[NODES].range =
        (struct kv_range){.table = KV_TABLE_NODES, .to_end = true, .key = CATALOG_FIRST};
    all[SERVICES].range =
        (struct kv_range){.table = KV_TABLE_SERVICES, .to_end = true, .key = CATALOG_FIRST};
    all[CHECKS_ONE].range =
        catalog_below(KV_TABLE_CHECKS,
                      catalog_key_on(ears->keys[CHECKS_ONE], text("one"), text("")), ears->end);
    kv_on_change(w->kv, on_change, ears);
    for (uint32_t i = 0; i < N_EARS; i++) {
        kv_watch_add(w->kv, &all[i]);
    }
}

static uint32_t heard(struct world *w, struct entry *e, struct ears *ears)
{
    ears->heard = 0;
    CHECK_EQ(run(w, e), COR_OK);
    return ears->heard;
}

static void a_change_is_heard_by_those_whom_it_concerns(void)
{
    enum {
        BIT_WEB = 1 << WEB,
        BIT_DB = 1 << DB,
        BIT_ONE = 1 << ONE,
        BIT_TWO = 1 << TWO,
        BIT_NODES = 1 << NODES,
        BIT_SERVICES = 1 << SERVICES,
        BIT_CHECKS_ONE = 1 << CHECKS_ONE
    };
    struct world w;
    struct entry *e = populate(&w);
    struct ears ears;
    listen_to(&w, &ears);
    ROW("a check of a service");
    check(e, "one", "web-1-http", "web-1", "critical");
    CHECK_EQ(heard(&w, e, &ears), BIT_WEB | BIT_CHECKS_ONE);
    ROW("a check of a node");
    check(e, "one", "alive", "", "critical");
    CHECK_EQ(heard(&w, e, &ears), BIT_WEB | BIT_DB | BIT_CHECKS_ONE);
    ROW("the same check again");
    check(e, "one", "alive", "", "critical");
    CHECK_EQ(heard(&w, e, &ears), 0);
    ROW("another service");
    service(e, "one", "new", "new", "a");
    CHECK_EQ(heard(&w, e, &ears), BIT_ONE | BIT_SERVICES);
    ROW("another instance");
    service(e, "two", "web-3", "web", "a");
    CHECK_EQ(heard(&w, e, &ears), BIT_WEB | BIT_TWO | BIT_SERVICES);
    ROW("the address of a node");
    node(e, "two", "10.9.9.9", "");
    CHECK_EQ(heard(&w, e, &ears), BIT_WEB | BIT_TWO | BIT_NODES);
    ROW("a service with another name");
    service(e, "one", "web-1", "www", "a");
    CHECK_EQ(heard(&w, e, &ears), BIT_WEB | BIT_ONE | BIT_SERVICES | BIT_CHECKS_ONE);
    ROW("a check that goes from one service to another");
    check(e, "one", "alive", "db-1", "critical");
    CHECK_EQ(heard(&w, e, &ears), BIT_DB | BIT_CHECKS_ONE);
    ROW("the last instance of a service");
    gone(e, KV_TABLE_SERVICES, "one", "db-1");
    CHECK_EQ(heard(&w, e, &ears), BIT_DB | BIT_ONE | BIT_SERVICES | BIT_CHECKS_ONE);
    ROW("the end of a node without web");
    gone(e, KV_TABLE_NODES, "one", "");
    CHECK_EQ(heard(&w, e, &ears), BIT_ONE | BIT_NODES | BIT_SERVICES | BIT_CHECKS_ONE);
    for (uint32_t i = 0; i < N_EARS; i++) {
        kv_watch_remove(w.kv, &ears.watchers[i]);
    }
    leave(&w, e);
}

static void the_index_of_a_service_is_its_own(void)
{
    struct world w;
    struct entry *e = populate(&w);
    CHECK_EQ(mark_revision(&w, CATALOG_SERVICE, "web"), 2);
    service(e, "two", "other", "other", "a");
    CHECK_EQ(run(&w, e), COR_OK);
    gone(e, KV_TABLE_SERVICES, "two", "other");
    CHECK_EQ(run(&w, e), COR_OK);
    CHECK_EQ(mark_revision(&w, CATALOG_SERVICE, "web"), 2);
    CHECK_EQ(mark_revision(&w, CATALOG_NODE, "one"), 2);
    CHECK_EQ(mark_revision(&w, CATALOG_NODE, "two"), 4);
    leave(&w, e);
}

/* ---- what is no operation ----------------------------------------------------------------------------- */

static enum cor_status fit(const struct kv_op *op, bool stepwise)
{
    static unsigned char bytes[32768];
    struct writer w = writer_of(bytes, sizeof bytes);
    if (stepwise) {
        kv_encode_stepwise_begin(&w, 1);
        kv_encode_op(&w, op);
    } else {
        kv_encode_one(&w, op);
    }
    return kv_check_ops((struct cor_bytes){bytes, w.used}, NULL);
}

static void what_catalog_c_could_not_follow_is_refused(void)
{
    static struct entry e;
    static char longest[CATALOG_NAME_MAX + 2];
    struct kv_op op = *node(&e, "one", "a", "");
    CHECK_EQ(fit(&op, true), COR_OK);
    CHECK_EQ(fit(&op, false), COR_EINVAL);
    op.range.key = text("One");
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op.range.key = text("two");
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op.range.key = text("\001one");
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op.range.key = text("one");
    op.lease = 1;
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op.lease = 0;
    op.flags = KV_BUMP_LOCK;
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op.flags = 0;
    op.value.len--;
    CHECK_EQ(fit(&op, true), COR_EPROTO);
    e.rows[0][0] = 2;
    CHECK_EQ(fit(&op, true), COR_EFOREIGN);
    e.n = 0;
    memset(longest, 'x', CATALOG_NAME_MAX + 1);
    longest[CATALOG_NAME_MAX] = '\0';
    op = *node(&e, longest, "a", longest);
    CHECK_EQ(fit(&op, true), COR_OK);
    op = *service(&e, longest, longest, longest, "a");
    CHECK_EQ(fit(&op, true), COR_OK);
    op = *service(&e, "one", "x\ny", "x", "a");
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op = *check(&e, "one", "x", "\x7f", "passing");
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op = *service(&e, "one", "", "x", "a");
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op = *gone(&e, KV_TABLE_SERVICES, "one", "x");
    CHECK_EQ(fit(&op, true), COR_OK);
    CHECK_EQ(fit(&op, false), COR_EINVAL);
    op.range.key = text("one");
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op.range.end = text("two");
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    op.range = (struct kv_range){.table = KV_TABLE_NODES, .to_end = true};
    CHECK_EQ(fit(&op, true), COR_EINVAL);
    /* A list that says it has more than it has. */
    const struct catalog_node row = {.name = text("one"), .meta = {7, text("")}};
    struct writer w = writer_of(e.rows[0], sizeof e.rows[0]);
    catalog_encode_node(&w, &row);
    op = (struct kv_op){.kind = KV_OP_PUT,
                        .range = {.table = KV_TABLE_NODES, .key = text("one")},
                        .value = {w.base, w.used}};
    CHECK_EQ(fit(&op, true), COR_EINVAL);
}

/* ---- the twin -------------------------------------------------------------------------------------------- */

#define T_NODES    4u
#define T_IDS      5u
#define T_SERVICES 3u
#define T_CHECKS   4u
#define T_ENTRIES  1500u

struct twin {
    struct {
        bool there;
        uint32_t address, id;          /* id 0: none */
        uint32_t services[T_SERVICES]; /* 0: none; else its name */
        struct {
            bool there;
            uint32_t service, status; /* service 0: of the node; else its number + 1 */
        } checks[T_CHECKS];
    } nodes[T_NODES];
};

static const char *name_of(const char *stem, uint32_t i)
{
    static char names[32][16];
    static uint32_t at;
    char *out = names[at++ % 32];
    format_to(out, sizeof names[0], i % 2 == 0 ? "%s%u" : "%s-%u", stem, i);
    return out;
}

static const char *const statuses[] = {"passing", "critical"};

/* Each of these says what the operation ends with and does it to the twin. */
static enum cor_status twin_node(struct twin *t, uint32_t n, uint32_t address, uint32_t id)
{
    uint32_t owner = T_NODES;
    for (uint32_t i = 0; i < T_NODES && id != 0; i++) {
        owner = t->nodes[i].there && t->nodes[i].id == id ? i : owner;
    }
    bool failed = t->nodes[n].checks[0].there && t->nodes[n].checks[0].status == 1;
    if (t->nodes[n].there && id != 0 && t->nodes[n].id != id && !failed &&
        (t->nodes[n].id != 0 || owner != T_NODES)) {
        return COR_ECONFLICT;
    }
    if (owner != T_NODES && owner != n) {
        memset(&t->nodes[owner], 0, sizeof t->nodes[owner]);
    }
    t->nodes[n].there = true;
    t->nodes[n].address = address;
    t->nodes[n].id = id;
    return COR_OK;
}

static enum cor_status twin_service(struct twin *t, uint32_t n, uint32_t s, uint32_t name)
{
    if (!t->nodes[n].there) {
        return COR_ENOTFOUND;
    }
    t->nodes[n].services[s] = name;
    return COR_OK;
}

static enum cor_status twin_check(struct twin *t, uint32_t n, uint32_t c, uint32_t service_no,
                                  uint32_t status)
{
    if (!t->nodes[n].there || (service_no != 0 && t->nodes[n].services[service_no - 1] == 0)) {
        return COR_ENOTFOUND;
    }
    t->nodes[n].checks[c].there = true;
    t->nodes[n].checks[c].service = service_no;
    t->nodes[n].checks[c].status = status;
    return COR_OK;
}

static void twin_gone(struct twin *t, uint8_t table, uint32_t n, uint32_t i)
{
    if (table == KV_TABLE_NODES) {
        memset(&t->nodes[n], 0, sizeof t->nodes[n]);
    } else if (table == KV_TABLE_CHECKS) {
        memset(&t->nodes[n].checks[i], 0, sizeof t->nodes[n].checks[i]);
    } else {
        t->nodes[n].services[i] = 0;
        for (uint32_t c = 0; c < T_CHECKS; c++) {
            if (t->nodes[n].checks[c].service == i + 1) {
                memset(&t->nodes[n].checks[c], 0, sizeof t->nodes[n].checks[c]);
            }
        }
    }
}

/* Check 0 is the one that says whether its node has failed. */
static const char *check_name(uint32_t c)
{
    return c == 0 ? "serfHealth" : name_of("check", c);
}

static enum cor_status random_op(struct prng *p, struct entry *e, struct twin *t)
{
    uint32_t n = (uint32_t)prng_below(p, T_NODES);
    const char *on = name_of("node", n);
    uint32_t s = (uint32_t)prng_below(p, T_SERVICES);
    uint32_t c = (uint32_t)prng_below(p, T_CHECKS);
    uint32_t v = (uint32_t)prng_below(p, 3);
    switch (prng_below(p, 10)) {
    case 0:
    case 1: {
        uint32_t id = prng_below(p, 3) == 0 ? (uint32_t)prng_below(p, T_IDS) : t->nodes[n].id;
        node(e, on, name_of("10.0.0.", v), id == 0 ? "" : name_of("id", id));
        return twin_node(t, n, v, id);
    }
    case 2:
    case 3:
    case 4:
        service(e, on, name_of("id", s), name_of("service", v), "a");
        return twin_service(t, n, s, v + 1);
    case 5:
    case 6:
    case 7: {
        uint32_t of = (uint32_t)prng_below(p, T_SERVICES + 1);
        check(e, on, check_name(c), of == 0 ? "" : name_of("id", of - 1), statuses[v % 2]);
        return twin_check(t, n, c, of, v % 2);
    }
    case 8:
        if (prng_below(p, 4) == 0) {
            gone(e, KV_TABLE_NODES, on, "");
            twin_gone(t, KV_TABLE_NODES, n, 0);
            return COR_OK;
        }
        gone(e, KV_TABLE_SERVICES, on, name_of("id", s));
        twin_gone(t, KV_TABLE_SERVICES, n, s);
        return COR_OK;
    default:
        gone(e, KV_TABLE_CHECKS, on, check_name(c));
        twin_gone(t, KV_TABLE_CHECKS, n, c);
        return COR_OK;
    }
}

static void compare_node(const struct world *w, const struct twin *t, uint32_t n)
{
    unsigned char key[CATALOG_KEY_MAX];
    struct cor_bytes on = text(name_of("node", n));
    struct kv_item item;
    enum cor_status st = kv_get(w->kv, KV_TABLE_NODES, catalog_key(key, on), 0, &item);
    CHECK_EQ(st == COR_OK, t->nodes[n].there);
    struct catalog_node row;
    if (st == COR_OK && catalog_decode_node(item.value, &row) == COR_OK) {
        CHECK_BYTES(row.address, text(name_of("10.0.0.", t->nodes[n].address)));
        CHECK_EQ(row.id.len == 0, t->nodes[n].id == 0);
    }
    for (uint32_t s = 0; s < T_SERVICES; s++) {
        struct catalog_service service_row;
        st = kv_get(w->kv, KV_TABLE_SERVICES, catalog_key_on(key, on, text(name_of("id", s))),
                    0, &item);
        CHECK_EQ(st == COR_OK, t->nodes[n].services[s] != 0);
        if (st == COR_OK && catalog_decode_service(item.value, &service_row) == COR_OK) {
            CHECK_BYTES(service_row.name,
                        text(name_of("service", t->nodes[n].services[s] - 1)));
        }
    }
    for (uint32_t c = 0; c < T_CHECKS; c++) {
        struct catalog_check check_row;
        st = kv_get(w->kv, KV_TABLE_CHECKS, catalog_key_on(key, on, text(check_name(c))), 0,
                    &item);
        CHECK_EQ(st == COR_OK, t->nodes[n].checks[c].there);
        if (st == COR_OK && catalog_decode_check(item.value, &check_row) == COR_OK) {
            CHECK_BYTES(check_row.status, text(statuses[t->nodes[n].checks[c].status]));
        }
    }
}

static void random_entries_leave_what_a_dumb_twin_has(void)
{
    struct world w;
    struct entry *e = calloc(1, sizeof *e);
    struct twin twin = {0};
    struct prng p = {7};
    REQUIRE(e != NULL);
    world_open(&w);
    for (uint32_t i = 0; i < T_ENTRIES; i++) {
        struct twin next = twin;
        enum cor_status want[4];
        uint32_t n = 1 + (uint32_t)prng_below(&p, 4);
        bool failed = false;
        for (uint32_t k = 0; k < n; k++) {
            want[k] = random_op(&p, e, &next);
            failed = failed || want[k] != COR_OK;
        }
        ROW("entry %u", i);
        CHECK_EQ(run(&w, e), failed ? COR_ECONFLICT : COR_OK);
        REQUIRE(w.result.n_ops == n);
        for (uint32_t k = 0; k < n; k++) {
            CHECK_EQ(w.result.ops[k].status, want[k]);
        }
        twin = failed ? twin : next;
        for (uint32_t k = 0; k < T_NODES; k++) {
            compare_node(&w, &twin, k);
        }
    }
    leave(&w, e);
}

TEST_MAIN(TEST(a_node_takes_its_services_and_checks_along),
          TEST(a_service_takes_its_checks_along_and_no_others),
          TEST(what_is_as_it_was_moves_no_index),
          TEST(a_service_with_new_tags_changes_its_checks),
          TEST(a_node_with_the_id_of_another_is_that_node_renamed),
          TEST(nothing_stands_on_what_is_not_there), TEST(a_cascade_is_undone_with_its_entry),
          TEST(a_put_if_absent_leaves_what_is_there),
          TEST(a_change_is_heard_by_those_whom_it_concerns),
          TEST(the_index_of_a_service_is_its_own),
          TEST(what_catalog_c_could_not_follow_is_refused),
          TEST(random_entries_leave_what_a_dumb_twin_has))
