/* txn_test.c - what transactions mean, rule by rule: etcd's pre-state and Consul's stepwise. */
#include "tests/kv/build.h"
#include "tests/support/test.h"

#define OPS_SIZE 65536u

static unsigned char ops_bytes[OPS_SIZE];

static struct cor_bytes txn_of(const struct kv_op *ops, uint32_t n)
{
    struct writer w = writer_of(ops_bytes, sizeof ops_bytes);
    kv_encode_txn_begin(&w, 0, n, 0);
    for (uint32_t i = 0; i < n; i++) {
        kv_encode_op(&w, &ops[i]);
    }
    return (struct cor_bytes){ops_bytes, w.used};
}

static struct cor_bytes steps_of(const struct kv_op *ops, uint32_t n)
{
    struct writer w = writer_of(ops_bytes, sizeof ops_bytes);
    kv_encode_stepwise_begin(&w, n);
    for (uint32_t i = 0; i < n; i++) {
        kv_encode_op(&w, &ops[i]);
    }
    return (struct cor_bytes){ops_bytes, w.used};
}

static struct kv_item item_of(const struct world *w, const char *key)
{
    struct kv_item item = {.version = 0};
    if (kv_get(w->kv, KV_TABLE_KEYS, text(key), 0, &item) != COR_OK) {
        item = (struct kv_item){.version = 0};
    }
    return item;
}

/* ---- revisions -------------------------------------------------------------------------------- */

static void a_revision_is_an_entry_that_changed_something(void)
{
    struct world w;
    world_open(&w);
    CHECK_EQ(info_of(&w).revision, 1);
    put(&w, "a", "1");
    CHECK_EQ(info_of(&w).revision, 2);
    put(&w, "a", "1"); /* the same again is a change, too */
    CHECK_EQ(info_of(&w).revision, 3);
    erase(&w, "nothing", "");
    CHECK_EQ(info_of(&w).revision, 3);
    struct kv_op two[] = {put_of("b", ""), put_of("c", "")};
    CHECK_EQ(apply_ops(&w, txn_of(two, 2)), COR_OK);
    CHECK_EQ(info_of(&w).revision, 4);
    CHECK_EQ(item_of(&w, "b").mod_revision, item_of(&w, "c").mod_revision);
    kv_skip(w.kv, ++w.index);
    CHECK_EQ(info_of(&w).revision, 4);
    CHECK_EQ(info_of(&w).applied, w.index);
    struct kv_op session = put_of("s", "");
    session.range.table = KV_TABLE_SESSIONS;
    CHECK_EQ(apply_one(&w, &session), COR_OK);
    CHECK_EQ(info_of(&w).revision, 4);
    CHECK_EQ(info_of(&w).system_revision, 2);
    world_close(&w);
}

static void a_key_lives_through_versions_and_begins_anew_after_deletion(void)
{
    struct world w;
    world_open(&w);
    put(&w, "k", "1");
    put(&w, "k", "2");
    CHECK_EQ(item_of(&w, "k").version, 2);
    CHECK_EQ(item_of(&w, "k").create_revision, 2);
    CHECK_EQ(item_of(&w, "k").mod_revision, 3);
    CHECK_EQ(item_of(&w, "k").mod_index, 2);
    erase(&w, "k", "");
    CHECK_EQ(w.result.ops[0].count, 1);
    put(&w, "k", "3");
    CHECK_EQ(item_of(&w, "k").version, 1);
    CHECK_EQ(item_of(&w, "k").create_revision, 5);
    CHECK_BYTES(value_at(&w, "k", 2), text("1"));
    CHECK_BYTES(value_at(&w, "k", 3), text("2"));
    CHECK_BYTES(value_at(&w, "k", 4), text("-"));
    world_close(&w);
}

/* ---- flags -------------------------------------------------------------------------------------- */

static void flags_keep_what_they_name(void)
{
    struct world w;
    world_open(&w);
    struct kv_op op = put_of("k", "v");
    op.lease = 7;
    op.attrs = COR_BYTES_LIT("\1flags");
    (void)apply_one(&w, &op);
    op = put_of("k", "");
    op.flags = KV_KEEP_VALUE | KV_KEEP_LEASE | KV_KEEP_ATTRS;
    (void)apply_one(&w, &op);
    CHECK_BYTES(item_of(&w, "k").value, text("v"));
    CHECK_BYTES(item_of(&w, "k").attrs, COR_BYTES_LIT("\1flags"));
    CHECK_EQ(item_of(&w, "k").lease, 7);
    CHECK_EQ(item_of(&w, "k").version, 2);
    op.flags |= KV_BUMP_LOCK;
    (void)apply_one(&w, &op);
    CHECK_BYTES(item_of(&w, "k").attrs, COR_BYTES_LIT("\2flags"));
    op = put_of("k", "v");
    op.flags = KV_BUMP_LOCK;
    op.attrs = COR_BYTES_LIT("\0other");
    (void)apply_one(&w, &op);
    CHECK_BYTES(item_of(&w, "k").attrs, COR_BYTES_LIT("\3other"));
    CHECK_EQ(item_of(&w, "k").lease, 0);
    op.range.key = text("new");
    op.attrs.len = 0;
    (void)apply_one(&w, &op);
    CHECK_BYTES(item_of(&w, "new").attrs, COR_BYTES_LIT("\1"));
    world_close(&w);
}

static void a_lock_is_kept_while_the_rest_changes(void)
{
    static const struct {
        struct cor_bytes old, given, want;
        uint32_t flags;
    } rows[] = {
        {COR_BYTES_INIT(""), COR_BYTES_INIT(""), COR_BYTES_INIT(""), 0},
        {COR_BYTES_INIT(""), COR_BYTES_INIT("\0\0f"), COR_BYTES_INIT("\0\0f"), 0},
        {COR_BYTES_INIT("\3\2me"), COR_BYTES_INIT("\0\0f"), COR_BYTES_INIT("\3\2mef"), 0},
        {COR_BYTES_INIT("\3\2mef"), COR_BYTES_INIT(""), COR_BYTES_INIT("\3\2me"), 0},
        {COR_BYTES_INIT("\3\0f"), COR_BYTES_INIT("\7\3you"), COR_BYTES_INIT("\3"), 0},
        {COR_BYTES_INIT("\3\2mef"), COR_BYTES_INIT("\0\0g"), COR_BYTES_INIT("\4\2meg"),
         KV_BUMP_LOCK},
        {COR_BYTES_INIT("\3flags"), COR_BYTES_INIT("\0\0g"), COR_BYTES_INIT("\3\0g"), 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        ROW("%zu", i);
        world_open(&w);
        struct kv_op op = put_of("k", "v");
        op.attrs = rows[i].old;
        (void)apply_one(&w, &op);
        op.attrs = rows[i].given;
        op.flags = KV_KEEP_LOCK | rows[i].flags;
        (void)apply_one(&w, &op);
        CHECK_BYTES(item_of(&w, "k").attrs, rows[i].want);
        world_close(&w);
    }
    ROW("%s", "");
}

static void attributes_never_outgrow_their_limit(void)
{
    struct world w;
    world_open(&w);
    unsigned char full[KV_ATTRS_MAX];
    memset(full, 'x', sizeof full);
    full[0] = 127; /* the next lock index takes two bytes */
    struct kv_op op = put_of("k", "v");
    op.attrs = (struct cor_bytes){full, sizeof full};
    (void)apply_one(&w, &op);
    op = put_of("k", "v");
    op.flags = KV_KEEP_ATTRS | KV_BUMP_LOCK;
    (void)apply_one(&w, &op);
    CHECK_EQ(item_of(&w, "k").attrs.len, KV_ATTRS_MAX);
    CHECK_EQ(item_of(&w, "k").attrs.ptr[0], 0x80);
    world_close(&w);
}

static void if_changed_makes_an_equal_put_nothing(void)
{
    struct world w;
    world_open(&w);
    struct kv_op op = put_of("k", "v");
    op.flags = KV_IF_CHANGED;
    op.lease = 1;
    (void)apply_one(&w, &op);
    (void)apply_one(&w, &op);
    CHECK_EQ(info_of(&w).revision, 2);
    op.lease = 2;
    (void)apply_one(&w, &op);
    CHECK_EQ(info_of(&w).revision, 3);
    op.attrs = COR_BYTES_LIT("\1");
    (void)apply_one(&w, &op);
    CHECK_EQ(info_of(&w).revision, 4);
    op.value = text("w");
    (void)apply_one(&w, &op);
    CHECK_EQ(info_of(&w).revision, 5);
    world_close(&w);
}

static void what_must_be_there_fails_the_whole_if_it_is_not(void)
{
    struct world w;
    world_open(&w);
    struct kv_op ops[] = {put_of("a", "1"), put_of("k", "")};
    ops[1].flags = KV_KEEP_VALUE;
    CHECK_EQ(apply_ops(&w, txn_of(ops, 2)), COR_OK);
    CHECK_EQ(w.result.status, COR_ENOTFOUND);
    CHECK_EQ(info_of(&w).revision, 1);
    ops[1].flags = KV_MUST_EXIST;
    CHECK_EQ(apply_ops(&w, txn_of(ops, 2)), COR_OK);
    CHECK_EQ(w.result.status, COR_ENOTFOUND);
    ops[1] = range_of("a", "");
    ops[1].revision = 2; /* the future, for the state before */
    CHECK_EQ(apply_ops(&w, txn_of(ops, 2)), COR_OK);
    CHECK_EQ(w.result.status, COR_EFUTURE);
    put(&w, "x", "");
    put(&w, "x", "");
    compact(&w, 3);
    CHECK_EQ(w.result.status, COR_OK);
    ops[1].revision = 2;
    CHECK_EQ(apply_ops(&w, txn_of(ops, 2)), COR_OK);
    CHECK_EQ(w.result.status, COR_ECOMPACTED);
    CHECK_BYTES(value_at(&w, "a", 0), text("-"));
    world_close(&w);
}

/* ---- pre-state ------------------------------------------------------------------------------------ */

static void compares_follow_etcd(void)
{
    struct world w;
    world_open(&w);
    put(&w, "k", "b");
    put(&w, "k", "b"); /* create 2, mod 3, version 2 */
    put(&w, "l", "b");
    static const struct {
        const char *key, *end;
        uint8_t field, op;
        uint64_t number;
        const char *value;
        bool holds;
    } rows[] = {
        {"k", "", KV_COMPARE_VERSION, KV_EQUAL, 2, "", true},
        {"k", "", KV_COMPARE_VERSION, KV_NOT_EQUAL, 2, "", false},
        {"k", "", KV_COMPARE_CREATE, KV_EQUAL, 2, "", true},
        {"k", "", KV_COMPARE_CREATE, KV_LESS, 2, "", false},
        {"k", "", KV_COMPARE_MOD, KV_GREATER, 2, "", true},
        {"k", "", KV_COMPARE_MOD, KV_LESS, 4, "", true},
        {"k", "", KV_COMPARE_LEASE, KV_EQUAL, 0, "", true},
        {"k", "", KV_COMPARE_VALUE, KV_EQUAL, 0, "b", true},
        {"k", "", KV_COMPARE_VALUE, KV_GREATER, 0, "a", true},
        {"k", "", KV_COMPARE_VALUE, KV_LESS, 0, "ba", true},
        {"none", "", KV_COMPARE_CREATE, KV_EQUAL, 0, "", true},
        {"none", "", KV_COMPARE_VERSION, KV_LESS, 1, "", true},
        {"none", "", KV_COMPARE_VALUE, KV_EQUAL, 0, "", false},
        {"none", "", KV_COMPARE_VALUE, KV_NOT_EQUAL, 0, "x", false},
        {"k", "z", KV_COMPARE_VALUE, KV_EQUAL, 0, "b", true},
        {"k", "z", KV_COMPARE_VERSION, KV_EQUAL, 2, "", false},
        {"m", "z", KV_COMPARE_VERSION, KV_EQUAL, 0, "", true},
        {"m", "z", KV_COMPARE_VALUE, KV_NOT_EQUAL, 0, "b", false},
        {"z", "k", KV_COMPARE_VERSION, KV_EQUAL, 0, "", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%zu: %s..%s", i, rows[i].key, rows[i].end);
        struct kv_compare c = {.field = rows[i].field,
                               .op = rows[i].op,
                               .number = rows[i].number,
                               .value = text(rows[i].value)};
        c.range.key = text(rows[i].key);
        c.range.end = text(rows[i].end);
        struct writer out = writer_of(ops_bytes, sizeof ops_bytes);
        kv_encode_txn_begin(&out, 1, 0, 0);
        kv_encode_compare(&out, &c);
        CHECK_EQ(apply_ops(&w, (struct cor_bytes){ops_bytes, out.used}), COR_OK);
        CHECK_EQ(w.result.succeeded, rows[i].holds);
    }
    world_close(&w);
}

static void a_range_in_a_transaction_sees_its_earlier_writes(void)
{
    struct world w;
    world_open(&w);
    put(&w, "a", "old");
    struct kv_op ops[] = {range_of("a", "z"), put_of("a", "new"), put_of("b", "new"),
                          range_of("a", "z"), range_of("a", "z")};
    ops[4].revision = 2;
    CHECK_EQ(apply_ops(&w, txn_of(ops, 5)), COR_OK);
    CHECK(w.result.succeeded);
    CHECK_EQ(w.result.ops[0].count, 1);
    CHECK_BYTES(w.result.ops[0].items[0].value, text("old"));
    CHECK_EQ(w.result.ops[3].count, 2);
    CHECK_BYTES(w.result.ops[3].items[0].value, text("new"));
    CHECK_EQ(w.result.ops[4].count, 1);
    CHECK_BYTES(w.result.ops[4].items[0].value, text("old"));
    world_close(&w);
}

static void nested_compares_see_the_state_before(void)
{
    struct world w;
    world_open(&w);
    struct kv_compare missing = {
        .range.key = text("a"), .field = KV_COMPARE_VERSION, .op = KV_EQUAL};
    unsigned char inner[256];
    struct writer nested = writer_of(inner, sizeof inner);
    struct kv_op yes = put_of("b", "before");
    struct kv_op no = put_of("b", "after");
    kv_encode_nested_begin(&nested, 1, 1, 1);
    kv_encode_compare(&nested, &missing);
    kv_encode_op(&nested, &yes);
    kv_encode_op(&nested, &no);
    struct kv_op ops[] = {put_of("a", "1"), {.kind = KV_OP_TXN, .txn = {inner, nested.used}}};
    CHECK_EQ(apply_ops(&w, txn_of(ops, 2)), COR_OK);
    REQUIRE(w.result.n_ops == 2 && w.result.ops[1].txn != NULL);
    CHECK(w.result.ops[1].txn->succeeded);
    CHECK_BYTES(value_at(&w, "b", 0), text("before"));
    CHECK_EQ(apply_ops(&w, txn_of(ops, 2)), COR_OK);
    CHECK(!w.result.ops[1].txn->succeeded);
    CHECK_BYTES(value_at(&w, "b", 0), text("after"));
    world_close(&w);
}

struct told {
    uint32_t n;
    uint8_t type[8];
    bool has_prev[8];
    char prev[8];
};

static void note(void *arg, const struct kv_event *e)
{
    struct told *t = arg;
    t->type[t->n] = e->type;
    t->has_prev[t->n] = e->has_prev;
    t->prev[t->n++] = e->has_prev ? (char)e->prev.value.ptr[0] : '-';
}

/* The quirk etcd has: a deletion "from key on" beside a put of the same key. */
static void a_key_changed_twice_has_two_events_of_one_revision(void)
{
    struct world w;
    world_open(&w);
    put(&w, "k", "1");
    struct kv_op ops[] = {delete_of("a", ""), put_of("k", "")};
    ops[0].range.to_end = true;
    ops[1].flags = KV_KEEP_VALUE | KV_WANT_PREV;
    CHECK_EQ(apply_ops(&w, txn_of(ops, 2)), COR_OK);
    CHECK_EQ(w.result.status, COR_OK);
    REQUIRE(w.result.n_ops == 2 && w.result.ops[1].n_items == 1);
    CHECK_BYTES(w.result.ops[1].items[0].value, text("1"));
    CHECK_BYTES(value_at(&w, "k", 0), text("1")); /* kept from the state before */
    CHECK_EQ(item_of(&w, "k").version, 1);
    CHECK_EQ(item_of(&w, "k").create_revision, 3);
    struct told told = {.n = 0};
    struct kv_range all = {.to_end = true};
    CHECK_EQ(kv_events(w.kv, &all, 3, note, &told), COR_OK);
    CHECK_EQ(told.n, 2);
    CHECK_EQ(told.type[0], KV_EVENT_DELETE);
    CHECK_EQ(told.type[1], KV_EVENT_PUT);
    CHECK_EQ(told.prev[0], '1');
    CHECK_EQ(told.prev[1], '1');
    for (uint64_t to = 2; to <= 3; to++) {
        compact(&w, to);
        kv_check(w.kv);
    }
    told.n = 0;
    CHECK_EQ(kv_events(w.kv, &all, 3, note, &told), COR_OK);
    CHECK_EQ(told.n, 2);
    CHECK(!told.has_prev[0]);
    put(&w, "x", "");
    compact(&w, 4);
    kv_check(w.kv);
    CHECK_BYTES(value_at(&w, "k", 0), text("1"));
    world_close(&w);
}

/* ---- stepwise -------------------------------------------------------------------------------------- */

static void steps_see_each_other(void)
{
    struct world w;
    world_open(&w);
    struct kv_op ops[] = {
        put_of("a", "1"), {.kind = KV_OP_CHECK}, put_of("a", "2"), range_of("a", "")};
    ops[1].check = (struct kv_compare){
        .range.key = text("a"), .field = KV_COMPARE_VALUE, .op = KV_EQUAL, .value = text("1")};
    CHECK_EQ(apply_ops(&w, steps_of(ops, 4)), COR_OK);
    CHECK(w.result.succeeded);
    CHECK_BYTES(w.result.ops[3].items[0].value, text("2"));
    CHECK_EQ(item_of(&w, "a").version, 2);
    CHECK_EQ(info_of(&w).revision, 2);
    world_close(&w);
}

static void a_note_changes_nothing_and_stands_beside_what_does(void)
{
    struct world w;
    world_open(&w);
    put(&w, "a", "1");
    struct kv_info before = info_of(&w);
    struct kv_op note = {.kind = KV_OP_NOTE, .value = text("what it was")};
    CHECK_EQ(apply_one(&w, &note), COR_OK);
    CHECK_EQ(info_of(&w).revision, before.revision);
    CHECK_EQ(info_of(&w).system_revision, before.system_revision);
    CHECK_EQ(info_of(&w).hash, before.hash);
    CHECK_EQ(info_of(&w).applied, before.applied + 1);
    struct kv_op ops[] = {note, put_of("a", "2"), note};
    CHECK_EQ(apply_ops(&w, steps_of(ops, 3)), COR_OK);
    CHECK_BYTES(value_at(&w, "a", 0), text("2"));
    world_close(&w);
}

static void one_failed_step_undoes_all_and_every_error_is_told(void)
{
    struct world w;
    world_open(&w);
    put(&w, "a", "1");
    put(&w, "b", "1");
    struct kv_info before = info_of(&w);
    struct kv_op ops[] = {put_of("a", "2"),      delete_of("b", ""), put_of("c", ""),
                          {.kind = KV_OP_CHECK}, put_of("none", ""), range_of("a", ""),
                          put_of("s", ""),       delete_of("s", ""), range_of("a", "")};
    ops[3].check = (struct kv_compare){
        .range.key = text("b"), .field = KV_COMPARE_VERSION, .op = KV_EQUAL, .number = 1};
    ops[4].flags = KV_KEEP_VALUE;
    ops[5].revision = 99;
    ops[6].range.table = KV_TABLE_SESSIONS;
    ops[7].range.table = KV_TABLE_SESSIONS;
    CHECK_EQ(apply_ops(&w, steps_of(ops, 9)), COR_OK);
    CHECK_EQ(w.result.status, COR_ECONFLICT);
    CHECK(!w.result.succeeded);
    REQUIRE(w.result.n_ops == 9);
    CHECK_EQ(w.result.ops[0].status, COR_OK);
    CHECK_EQ(w.result.ops[3].status, COR_ECONFLICT); /* b is gone for the steps after */
    CHECK_EQ(w.result.ops[4].status, COR_ENOTFOUND);
    CHECK_EQ(w.result.ops[5].status, COR_EFUTURE);
    CHECK_BYTES(w.result.ops[8].items[0].value, text("2"));
    CHECK_BYTES(value_at(&w, "a", 0), text("1"));
    CHECK_BYTES(value_at(&w, "b", 0), text("1"));
    CHECK_BYTES(value_at(&w, "c", 0), text("-"));
    struct kv_info after = info_of(&w);
    CHECK_EQ(after.revision, before.revision);
    CHECK_EQ(after.system_revision, before.system_revision);
    CHECK_EQ(after.hash, before.hash);
    CHECK_EQ(after.history_bytes, before.history_bytes);
    kv_check(w.kv);
    world_close(&w);
}

/* ---- compaction, deadlines, answers ------------------------------------------------------------------ */

static void compaction_forgets_what_is_older(void)
{
    struct world w;
    world_open(&w);
    put(&w, "k", "1");     /* 2 */
    put(&w, "k", "2");     /* 3 */
    put(&w, "gone", "x");  /* 4 */
    erase(&w, "gone", ""); /* 5 */
    put(&w, "k", "3");     /* 6 */
    struct kv_item item;
    struct told told = {.n = 0};
    struct kv_range all = {.to_end = true};
    compact(&w, 7);
    CHECK_EQ(w.result.status, COR_EFUTURE);
    compact(&w, 5);
    CHECK_EQ(w.result.status, COR_OK);
    compact(&w, 5);
    CHECK_EQ(w.result.status, COR_ECOMPACTED);
    CHECK_EQ(info_of(&w).compacted, 5);
    CHECK_EQ(info_of(&w).revision, 6);
    CHECK_EQ(kv_get(w.kv, 0, text("k"), 4, &item), COR_ECOMPACTED);
    CHECK_EQ(kv_get(w.kv, 0, text("k"), 7, &item), COR_EFUTURE);
    CHECK_BYTES(value_at(&w, "k", 5), text("2"));
    CHECK_BYTES(value_at(&w, "gone", 5), text("-"));
    CHECK_EQ(kv_events(w.kv, &all, 4, note, &told), COR_ECOMPACTED);
    CHECK_EQ(kv_events(w.kv, &all, 5, note, &told), COR_OK);
    CHECK_EQ(told.n,
             1); /* the deletion of revision 5 itself is still told, without a previous one */
    CHECK_EQ(told.type[0], KV_EVENT_DELETE);
    CHECK(!told.has_prev[0]);
    struct kv_range gone = {.key = text("gone")};
    CHECK_EQ(kv_range_revision(w.kv, &gone), 5);
    compact(&w, 6);
    CHECK_EQ(kv_range_revision(w.kv, &gone), 5); /* from the grave */
    CHECK_EQ(info_of(&w).history_bytes, 0);
    kv_check(w.kv);
    world_close(&w);
}

static void an_entry_past_its_deadline_changes_nothing(void)
{
    struct world w;
    world_open(&w);
    struct kv_op op = put_of("k", "v");
    for (uint64_t time = 99; time <= 101; time++) {
        struct entry_header h = {.deadline = 100, .cluster_time = time};
        size_t n = entry_header_encode(&h, ops_bytes);
        struct writer out = writer_of(ops_bytes + n, sizeof ops_bytes - n);
        kv_encode_one(&out, &op);
        arena_reset(&w.arena);
        CHECK_EQ(kv_apply(w.kv, ++w.index, (struct cor_bytes){ops_bytes, n + out.used},
                          &w.arena, &w.result),
                 COR_OK);
        CHECK_EQ(w.result.status, time > 100 ? COR_EEXPIRED : COR_OK);
    }
    CHECK_EQ(info_of(&w).revision, 3);
    CHECK_EQ(info_of(&w).cluster_time, 101);
    world_close(&w);
}

static void an_answer_that_does_not_fit_changes_nothing_about_the_state(void)
{
    struct world w;
    struct world twin;
    world_open(&w);
    world_open(&twin);
    unsigned char *memory = malloc(2048);
    REQUIRE(memory != NULL);
    uint32_t n_small = 0;
    for (size_t size = 0; size < 2048; size += 16) {
        ROW("%zu bytes", size);
        struct kv_op ops[] = {put_of("k", "a value that is rather long"),
                              range_of("a", "z"),
                              delete_of("n", ""),
                              {.kind = KV_OP_TXN}};
        ops[0].flags = KV_WANT_PREV;
        ops[2].flags = KV_WANT_PREV;
        ops[3].txn = COR_BYTES_LIT("\0\1\0\1\0\0\1m\1v\0\0");
        put(&w, "n", "");
        put(&twin, "n", "");
        struct cor_bytes bytes = txn_of(ops, 4);
        struct arena small;
        arena_init(&small, memory, size);
        enum cor_status st = kv_apply(w.kv, ++w.index, entry_of(&w, bytes), &small, &w.result);
        CHECK(st == COR_OK || st == COR_ENOMEM);
        CHECK_EQ(w.result.status, st == COR_OK ? COR_OK : COR_ETOOBIG);
        CHECK_EQ(w.result.n_ops, st == COR_OK ? 4 : 0);
        n_small += st == COR_ENOMEM;
        st = kv_apply(twin.kv, ++twin.index, entry_of(&twin, bytes), NULL, NULL);
        CHECK_EQ(st, COR_OK);
        CHECK_EQ(info_of(&w).hash, info_of(&twin).hash);
    }
    CHECK(n_small > 20);
    free(memory);
    world_close(&w);
    world_close(&twin);
}

static void what_is_not_an_entry_is_refused_without_a_trace(void)
{
    struct world w;
    world_open(&w);
    put(&w, "k", "v");
    struct kv_info before = info_of(&w);
    CHECK_EQ(apply_ops(&w, COR_BYTES_LIT("\1\0\1\0")), COR_EPROTO);
    CHECK_EQ(apply_ops(&w, COR_BYTES_LIT("\5")), COR_EFOREIGN);
    CHECK_EQ(kv_apply(w.kv, w.index + 1, COR_BYTES_LIT("\2"), NULL, NULL), COR_EFOREIGN);
    CHECK_EQ(kv_apply(w.kv, w.index + 1, COR_BYTES_LIT(""), NULL, NULL), COR_EPROTO);
    CHECK_EQ(info_of(&w).hash, before.hash);
    CHECK_EQ(info_of(&w).applied, before.applied);
    world_close(&w);
}

/* ---- results as bytes ------------------------------------------------------------------------------------ */

static void results_travel(void)
{
    struct world w;
    world_open(&w);
    put(&w, "a", "1");
    put(&w, "b", "2");
    struct kv_op ops[] = {
        range_of("a", "z"), put_of("a", "3"), {.kind = KV_OP_TXN}, delete_of("b", "")};
    ops[0].limit = 1;
    ops[1].flags = KV_WANT_PREV;
    ops[2].txn = COR_BYTES_LIT("\0\1\0\1\0\0\1m\1v\0\0");
    CHECK_EQ(apply_ops(&w, txn_of(ops, 4)), COR_OK);
    REQUIRE(w.result.n_ops == 4);
    unsigned char bytes[1024];
    struct writer out = writer_of(bytes, sizeof bytes);
    size_t n = kv_result_encode(&w.result, &out);
    CHECK_EQ(n, out.used);
    unsigned char *memory = malloc(8192);
    REQUIRE(memory != NULL);
    struct arena arena;
    struct kv_result back;
    arena_init(&arena, memory, 8192);
    CHECK_EQ(kv_result_decode((struct cor_bytes){bytes, n}, &arena, &back), COR_OK);
    CHECK_EQ(back.status, w.result.status);
    CHECK_EQ(back.succeeded, true);
    CHECK_EQ(back.revision, w.result.revision);
    REQUIRE(back.n_ops == 4);
    CHECK_EQ(back.ops[0].count, 2);
    CHECK(back.ops[0].more);
    CHECK_EQ(back.ops[0].n_items, 1);
    CHECK_BYTES(back.ops[1].items[0].value, text("1"));
    CHECK_EQ(back.ops[1].items[0].mod_index, 1);
    CHECK(back.ops[2].txn != NULL && back.ops[2].txn->succeeded);
    CHECK_EQ(back.ops[3].count, 1);
    for (size_t cut = 0; cut < n; cut++) {
        ROW("cut at %zu", cut);
        arena_reset(&arena);
        CHECK_EQ(kv_result_decode((struct cor_bytes){bytes, cut}, &arena, &back), COR_EPROTO);
    }
    size_t enough = 0;
    for (size_t size = 0; size <= 8192 && enough == 0; size += 16) {
        arena_reset(&arena);
        arena_init(&arena, memory, size);
        enum cor_status st = kv_result_decode((struct cor_bytes){bytes, n}, &arena, &back);
        CHECK(st == COR_OK || st == COR_ENOMEM);
        enough = st == COR_OK ? size : 0;
    }
    CHECK(enough > 100);
    free(memory);
    world_close(&w);
}

static void a_result_cannot_nest_without_end(void)
{
    unsigned char bytes[256] = {0};
    size_t n = 0;
    for (uint32_t depth = 0; depth < 12; depth++) {
        static const unsigned char head[] = {0, 1, 2, 2, 1, KV_OP_TXN, 0, 0, 0, 1, 0};
        memcpy(bytes + n, head, sizeof head);
        n += sizeof head;
    }
    unsigned char *memory = malloc(4096);
    struct arena arena;
    struct kv_result back;
    REQUIRE(memory != NULL);
    arena_init(&arena, memory, 4096);
    CHECK_EQ(kv_result_decode((struct cor_bytes){bytes, sizeof bytes}, &arena, &back),
             COR_EPROTO);
    free(memory);
}

TEST_MAIN(TEST(a_revision_is_an_entry_that_changed_something),
          TEST(a_key_lives_through_versions_and_begins_anew_after_deletion),
          TEST(flags_keep_what_they_name), TEST(a_lock_is_kept_while_the_rest_changes),
          TEST(attributes_never_outgrow_their_limit),
          TEST(if_changed_makes_an_equal_put_nothing),
          TEST(what_must_be_there_fails_the_whole_if_it_is_not), TEST(compares_follow_etcd),
          TEST(a_range_in_a_transaction_sees_its_earlier_writes),
          TEST(nested_compares_see_the_state_before),
          TEST(a_key_changed_twice_has_two_events_of_one_revision), TEST(steps_see_each_other),
          TEST(a_note_changes_nothing_and_stands_beside_what_does),
          TEST(one_failed_step_undoes_all_and_every_error_is_told),
          TEST(compaction_forgets_what_is_older),
          TEST(an_entry_past_its_deadline_changes_nothing),
          TEST(an_answer_that_does_not_fit_changes_nothing_about_the_state),
          TEST(what_is_not_an_entry_is_refused_without_a_trace), TEST(results_travel),
          TEST(a_result_cannot_nest_without_end))
