/* entry_test.c - entries as bytes: round trips, limits, the rule of duplicates, golden bytes. */
#include "tests/kv/build.h"
#include "tests/support/test.h"

#include <stdio.h>

#define SCRATCH (3u << 20)

static unsigned char scratch[SCRATCH];

/* ---- header ------------------------------------------------------------------------------------ */

static void a_header_comes_back_as_it_was(void)
{
    struct entry_header h = {.dialect = ENTRY_DIALECT_CONSUL,
                             .session = 7,
                             .number = 300,
                             .principal = UINT64_MAX,
                             .auth_revision = 5,
                             .deadline = 1u << 30,
                             .cluster_time = 123456789012345u,
                             .wall_ms = 1700000000000u};
    unsigned char bytes[ENTRY_HEADER_SIZE_MAX + 3];
    size_t n = entry_header_encode(&h, bytes);
    memcpy(bytes + n, "ops", 3);
    struct entry_header back;
    struct cor_bytes ops;
    CHECK_EQ(entry_header_decode((struct cor_bytes){bytes, n + 3}, &back, &ops), COR_OK);
    CHECK_EQ(back.dialect, h.dialect);
    CHECK_EQ(back.session, h.session);
    CHECK_EQ(back.number, h.number);
    CHECK_EQ(back.principal, h.principal);
    CHECK_EQ(back.auth_revision, h.auth_revision);
    CHECK_EQ(back.deadline, h.deadline);
    CHECK_EQ(back.cluster_time, h.cluster_time);
    CHECK_EQ(back.wall_ms, h.wall_ms);
    CHECK_BYTES(ops, text("ops"));
    for (size_t cut = 0; cut < n; cut++) {
        ROW("cut at %zu", cut);
        CHECK_EQ(entry_header_decode((struct cor_bytes){bytes, cut}, &back, &ops), COR_EPROTO);
    }
}

static void a_newer_header_is_foreign_and_stops_the_member(void)
{
    struct entry_header h = {.cluster_time = 1};
    struct cor_bytes ops;
    unsigned char bytes[ENTRY_HEADER_SIZE_MAX];
    size_t n = entry_header_encode(&h, bytes);
    bytes[0] = ENTRY_FORMAT + 1;
    CHECK_EQ(entry_header_decode((struct cor_bytes){bytes, n}, &h, &ops), COR_EFOREIGN);
    h.flags = 1;
    n = entry_header_encode(&h, bytes);
    CHECK_EQ(entry_header_decode((struct cor_bytes){bytes, n}, &h, &ops), COR_EFOREIGN);
}

/* ---- operations ---------------------------------------------------------------------------------- */

static void check_range(const struct kv_range *got, const struct kv_range *want)
{
    CHECK_EQ(got->table, want->table);
    CHECK_EQ(got->to_end, want->to_end);
    CHECK_BYTES(got->key, want->key);
    CHECK_BYTES(got->end, want->end);
}

static void operations_come_back_as_they_were(void)
{
    struct kv_range one = {.table = 3, .key = COR_BYTES_INIT("k")};
    struct kv_range two = {.key = COR_BYTES_INIT("a"), .end = COR_BYTES_INIT("b")};
    struct kv_range all = {.to_end = true};
    struct kv_op ops[] = {
        {.kind = KV_OP_PUT,
         .flags = KV_WANT_PREV | KV_MUST_EXIST,
         .range = one,
         .value = COR_BYTES_INIT("v"),
         .attrs = COR_BYTES_INIT("\1a"),
         .lease = UINT64_MAX},
        {.kind = KV_OP_DELETE, .range = two},
        {.kind = KV_OP_RANGE, .flags = KV_KEYS_ONLY, .range = all, .revision = 9, .limit = 500},
        {.kind = KV_OP_TXN, .txn = COR_BYTES_INIT("\0\0\0")},
        {.kind = KV_OP_COMPACT, .revision = 77},
        {.kind = KV_OP_CHECK,
         .check = {.range = two,
                   .field = KV_COMPARE_VALUE,
                   .op = KV_LESS,
                   .value = COR_BYTES_INIT("x")}},
        {.kind = KV_OP_CHECK,
         .check = {.range = one, .field = KV_COMPARE_MOD, .op = KV_EQUAL, .number = 4}},
        {.kind = KV_OP_NOTE, .value = COR_BYTES_INIT("what it was")},
        {.kind = KV_OP_SESSION, .session_do = KV_SESSION_CLOSE, .number = 300},
    };
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        ROW("operation %zu", i);
        struct writer w = writer_of(scratch, sizeof scratch);
        kv_encode_op(&w, &ops[i]);
        struct reader r = reader_of((struct cor_bytes){scratch, w.used});
        struct kv_op back;
        kv_decode_op(&r, &back);
        CHECK(reader_done(&r));
        CHECK_EQ(back.kind, ops[i].kind);
        CHECK_EQ(back.flags, ops[i].flags);
        check_range(&back.range, &ops[i].range);
        CHECK_BYTES(back.value, ops[i].value);
        CHECK_BYTES(back.attrs, ops[i].attrs);
        CHECK_EQ(back.lease, ops[i].lease);
        CHECK_EQ(back.revision, ops[i].revision);
        CHECK_EQ(back.limit, ops[i].limit);
        CHECK_EQ(back.session_do, ops[i].session_do);
        CHECK_EQ(back.number, ops[i].number);
        CHECK_BYTES(back.txn, ops[i].txn);
        check_range(&back.check.range, &ops[i].check.range);
        CHECK_EQ(back.check.number, ops[i].check.number);
        CHECK_BYTES(back.check.value, ops[i].check.value);
    }
}

static void the_end_of_a_prefix_is_the_next_string_of_its_length(void)
{
    static const struct {
        const char *prefix;
        size_t len;
        const char *end;
        size_t end_len;
    } rows[] = {
        {"a", 1, "b", 1},       {"ab", 2, "ac", 2}, {"a\xff", 2, "b", 1},
        {"\xff\xff", 2, "", 0}, {"", 0, "", 0},     {"a\0", 2, "a\1", 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%zu", i);
        unsigned char out[8];
        size_t n = kv_prefix_end(
            (struct cor_bytes){(const unsigned char *)rows[i].prefix, rows[i].len}, out);
        CHECK_BYTES(((struct cor_bytes){out, n}),
                    ((struct cor_bytes){(const unsigned char *)rows[i].end, rows[i].end_len}));
    }
}

/* ---- limits ------------------------------------------------------------------------------------------ */

static enum cor_status check_op(const struct kv_op *op, struct cor_error *err)
{
    struct writer w = writer_of(scratch, sizeof scratch);
    kv_encode_one(&w, op);
    return kv_check_ops((struct cor_bytes){scratch, w.used}, err);
}

static enum cor_status check_step(const struct kv_op *op)
{
    struct writer w = writer_of(scratch, sizeof scratch);
    kv_encode_stepwise_begin(&w, 1);
    kv_encode_op(&w, op);
    return kv_check_ops((struct cor_bytes){scratch, w.used}, NULL);
}

static unsigned char big[KV_VALUE_MAX + 1];

static void limits_are_met_to_the_byte(void)
{
    struct kv_op op = {.kind = KV_OP_PUT};
    struct cor_error err;
    CHECK_EQ(check_op(&op, &err), COR_EINVAL);
    CHECK(strstr(err.text, "empty") != NULL);
    op.range.key = (struct cor_bytes){big, KV_KEY_MAX};
    CHECK_EQ(check_op(&op, NULL), COR_OK);
    op.range.key.len++;
    CHECK_EQ(check_op(&op, &err), COR_ETOOBIG);
    CHECK(strstr(err.text, "8193") != NULL);
    op.range.key.len = 1;
    op.value = (struct cor_bytes){big, KV_VALUE_MAX};
    CHECK_EQ(check_op(&op, NULL), COR_OK);
    op.value.len++;
    CHECK_EQ(check_op(&op, NULL), COR_ETOOBIG);
    op.value.len = 0;
    op.attrs = (struct cor_bytes){big, KV_ATTRS_MAX};
    CHECK_EQ(check_op(&op, NULL), COR_OK);
    op.attrs.len++;
    CHECK_EQ(check_op(&op, NULL), COR_ETOOBIG);
    op = delete_of("a", "b");
    op.range.key = (struct cor_bytes){big, KV_KEY_MAX + 1};
    CHECK_EQ(check_op(&op, NULL), COR_ETOOBIG);
    op = delete_of("a", "b");
    op.range.end = (struct cor_bytes){big, KV_KEY_MAX + 1};
    CHECK_EQ(check_op(&op, NULL), COR_ETOOBIG);
    op = delete_of("", "b");
    CHECK_EQ(check_op(&op, NULL), COR_OK); /* from the first key on */
    op.range.end.len = 0;
    CHECK_EQ(check_op(&op, NULL), COR_EINVAL);
    CHECK_EQ(kv_check_ops((struct cor_bytes){scratch, ENTRY_OPS_MAX + 1}, NULL), COR_ETOOBIG);
}

static void contradictions_are_refused(void)
{
    struct kv_op op = put_of("a", "v");
    op.flags = KV_KEEP_VALUE;
    CHECK_EQ(check_op(&op, NULL), COR_EINVAL);
    op = put_of("a", "v");
    op.flags = KV_KEEP_LEASE;
    op.lease = 1;
    CHECK_EQ(check_op(&op, NULL), COR_EINVAL);
    op = (struct kv_op){.kind = KV_OP_CHECK,
                        .check = {.range.key = text("a"), .field = 1, .op = 1}};
    CHECK_EQ(check_op(&op, NULL), COR_EINVAL);
    CHECK_EQ(check_step(&op), COR_OK);
    op = (struct kv_op){.kind = KV_OP_TXN, .txn = COR_BYTES_INIT("\0\0\0")};
    CHECK_EQ(check_op(&op, NULL), COR_OK);
    CHECK_EQ(check_step(&op), COR_EINVAL);
}

static void what_a_newer_version_may_mean_is_foreign(void)
{
    struct kv_op op = put_of("a", "v");
    op.range.table = KV_N_TABLES;
    CHECK_EQ(check_op(&op, NULL), COR_EFOREIGN);
    op.kind = KV_OP_DELETE;
    CHECK_EQ(check_op(&op, NULL), COR_EFOREIGN);
    op = put_of("a", "v");
    op.flags = KV_OP_FLAGS_KNOWN + 1;
    CHECK_EQ(check_op(&op, NULL), COR_EFOREIGN);
    op = (struct kv_op){.kind = KV_OP_SESSION + 1};
    CHECK_EQ(check_op(&op, NULL), COR_EFOREIGN);
    op = (struct kv_op){.kind = KV_OP_CHECK,
                        .check = {.range.key = text("a"), .field = 9, .op = 1}};
    CHECK_EQ(check_step(&op), COR_EFOREIGN);
    CHECK_EQ(kv_check_ops(COR_BYTES_LIT("\3\0"), NULL), COR_EFOREIGN);
}

static void malformed_operations_are_refused(void)
{
    static const struct {
        const char *name;
        struct cor_bytes ops;
    } rows[] = {
        {"nothing", COR_BYTES_INIT("")},
        {"mode 0", COR_BYTES_INIT("\0")},
        {"no counts", COR_BYTES_INIT("\1")},
        {"an op that is not there", COR_BYTES_INIT("\1\0\1\0")},
        {"kind 0", COR_BYTES_INIT("\1\0\1\0\0\0")},
        {"bytes left over", COR_BYTES_INIT("\1\0\0\0x")},
        {"a compare that is not there", COR_BYTES_INIT("\1\1\0\0")},
        {"a range form nobody knows", COR_BYTES_INIT("\1\0\1\0\2\0\0\7\1a")},
        {"an empty end", COR_BYTES_INIT("\1\0\1\0\2\0\0\2\1a\0")},
        {"bytes left over in a nested one", COR_BYTES_INIT("\1\0\1\0\4\0\4\0\0\0x")},
        {"stepwise with an op missing", COR_BYTES_INIT("\2\1")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        CHECK_EQ(kv_check_ops(rows[i].ops, NULL), COR_EPROTO);
    }
    CHECK_EQ(kv_check_ops(COR_BYTES_LIT("\1\0\0\0"), NULL), COR_OK);
    CHECK_EQ(kv_check_ops(COR_BYTES_LIT("\2\0"), NULL), COR_OK);
}

static void nesting_and_numbers_are_bounded(void)
{
    unsigned char inner[256] = {0};
    size_t len = 3;
    for (uint32_t depth = 1; depth <= ENTRY_DEPTH_MAX; depth++) {
        struct kv_op op = {.kind = KV_OP_TXN, .txn = {inner, len}};
        ROW("depth %u", depth);
        CHECK_EQ(check_op(&op, NULL), depth < ENTRY_DEPTH_MAX ? COR_OK : COR_ETOOBIG);
        unsigned char next[256];
        struct writer w = writer_of(next, sizeof next);
        kv_encode_nested_begin(&w, 0, 1, 0);
        kv_encode_op(&w, &op);
        memcpy(inner, next, w.used);
        len = w.used;
    }
    for (uint32_t n = KV_OPS_MAX; n <= KV_OPS_MAX + 1; n++) {
        struct writer w = writer_of(scratch, sizeof scratch);
        kv_encode_txn_begin(&w, 0, n, 0);
        for (uint32_t i = 0; i < n; i++) {
            char key[8];
            snprintf(key, sizeof key, "%u", i);
            struct kv_op op = put_of(key, "");
            kv_encode_op(&w, &op);
        }
        CHECK_EQ(kv_check_ops((struct cor_bytes){scratch, w.used}, NULL),
                 n == KV_OPS_MAX ? COR_OK : COR_ETOOBIG);
        w = writer_of(scratch, sizeof scratch);
        kv_encode_txn_begin(&w, n, 0, 0);
        for (uint32_t i = 0; i < n; i++) {
            struct kv_compare c = {.range.key = text("a"), .field = 1, .op = 1};
            kv_encode_compare(&w, &c);
        }
        CHECK_EQ(kv_check_ops((struct cor_bytes){scratch, w.used}, NULL),
                 n == KV_COMPARES_MAX ? COR_OK : COR_ETOOBIG);
    }
}

/* ---- duplicates ---------------------------------------------------------------------------------------- */

/*
 * Transactions in a word: a lower-case letter puts that key, "-x" deletes it, "-x~y" deletes [x, y), "-x*"
 * deletes from x on, "(then|else)" nests, "|" at the top begins the else-branch, "1" before
 * a letter moves it to table 1.
 */
static const char *write_branch(struct writer *w, const char *at, uint32_t *n);

static const char *write_nested(struct writer *w, const char *at)
{
    unsigned char bytes[2][512];
    struct writer branch[2] = {writer_of(bytes[0], 512), writer_of(bytes[1], 512)};
    uint32_t n[2] = {0, 0};
    at = write_branch(&branch[0], at, &n[0]);
    if (*at == '|') {
        at = write_branch(&branch[1], at + 1, &n[1]);
    }
    unsigned char whole[1100];
    struct writer nested = writer_of(whole, sizeof whole);
    kv_encode_nested_begin(&nested, 0, n[0], n[1]);
    writer_bytes(&nested, (struct cor_bytes){bytes[0], branch[0].used});
    writer_bytes(&nested, (struct cor_bytes){bytes[1], branch[1].used});
    struct kv_op op = {.kind = KV_OP_TXN, .txn = {whole, nested.used}};
    kv_encode_op(w, &op);
    return at + 1; /* the closing parenthesis */
}

static const char *write_branch(struct writer *w, const char *at, uint32_t *n)
{
    while (*at != 0 && *at != '|' && *at != ')') {
        ++*n;
        if (*at == '(') {
            at = write_nested(w, at + 1);
            continue;
        }
        struct kv_op op = {.kind = KV_OP_PUT};
        if (*at == '-') {
            op.kind = KV_OP_DELETE;
            at++;
        }
        if (*at == '1') {
            op.range.table = 1;
            at++;
        }
        op.range.key = (struct cor_bytes){(const unsigned char *)at++, 1};
        if (*at == '~') {
            op.range.end = (struct cor_bytes){(const unsigned char *)at + 1, 1};
            at += 2;
        } else if (*at == '*') {
            op.range.to_end = true;
            at++;
        }
        kv_encode_op(w, &op);
    }
    return at;
}

static enum cor_status check_word(const char *word)
{
    unsigned char bytes[2][2048];
    struct writer branch[2] = {writer_of(bytes[0], 2048), writer_of(bytes[1], 2048)};
    uint32_t n[2] = {0, 0};
    const char *rest = write_branch(&branch[0], word, &n[0]);
    if (*rest == '|') {
        (void)write_branch(&branch[1], rest + 1, &n[1]);
    }
    struct writer w = writer_of(scratch, sizeof scratch);
    kv_encode_txn_begin(&w, 0, n[0], n[1]);
    writer_bytes(&w, (struct cor_bytes){bytes[0], branch[0].used});
    writer_bytes(&w, (struct cor_bytes){bytes[1], branch[1].used});
    return kv_check_ops((struct cor_bytes){scratch, w.used}, NULL);
}

static void a_key_is_changed_once_in_a_transaction(void)
{
    static const struct {
        const char *word;
        bool ok;
    } rows[] = {
        {"ab", true},           {"aa", false},       {"a|a", true},
        {"a1a", true},          {"1a1a", false},     {"-a-a", true},
        {"a-a", false},         {"-aa", false},      {"-a~cb", false},
        {"-a~cc", true},        {"-a*b", true},      {"b-a*", true},
        {"a(a)", false},        {"(a)a", false},     {"(a|a)", true},
        {"(a|a)a", false},      {"(a)(a)", false},   {"(a|b)(b)", false},
        {"((a)|a)", true},      {"((a)|(a))", true}, {"(a(a|b))", false},
        {"(a)(-a)", true},      {"(-a)(a)", false},  {"a(-a)", false},
        {"(-a)a", false},       {"(a)-a", false},    {"-a(a)", false},
        {"(a-a)", false},       {"(-a|a)", true},    {"(a|-a)", true},
        {"(-a|b)(c|a)", false}, {"a|-a", true},      {"(a((-a)))", false},
        {"((a))((-a))", true},  {"-1aa", true},      {"ab-c~da-b", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].word);
        CHECK_EQ(check_word(rows[i].word), rows[i].ok ? COR_OK : COR_EINVAL);
    }
}

static void a_compaction_stands_alone(void)
{
    struct kv_op compaction = {.kind = KV_OP_COMPACT, .revision = 1};
    struct kv_op other = put_of("a", "");
    CHECK_EQ(check_op(&compaction, NULL), COR_OK);
    struct writer w = writer_of(scratch, sizeof scratch);
    kv_encode_txn_begin(&w, 0, 2, 0);
    kv_encode_op(&w, &compaction);
    kv_encode_op(&w, &other);
    CHECK_EQ(kv_check_ops((struct cor_bytes){scratch, w.used}, NULL), COR_EINVAL);
}

/* ---- golden --------------------------------------------------------------------------------------------- */

/* The first entry ever written, kept as bytes: later versions must read it and mean the same. */
static void the_golden_entry_still_means_what_it_meant(void)
{
    unsigned char bytes[512];
    FILE *f = fopen("tests/golden/entry-1.bin", "rb");
    REQUIRE(f != NULL);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    struct entry_header h = {.dialect = ENTRY_DIALECT_ETCD,
                             .session = 1,
                             .number = 2,
                             .cluster_time = 1000000000,
                             .wall_ms = 1700000000000u};
    size_t used = entry_header_encode(&h, scratch);
    struct writer w = writer_of(scratch + used, sizeof scratch - used);
    struct kv_compare missing = {
        .range.key = text("key"), .field = KV_COMPARE_CREATE, .op = KV_EQUAL};
    struct kv_op first = put_of("key", "value");
    first.lease = 300;
    first.attrs = COR_BYTES_LIT("\1");
    struct kv_op second = range_of("a", "z");
    second.limit = 10;
    kv_encode_txn_begin(&w, 1, 1, 1);
    kv_encode_compare(&w, &missing);
    kv_encode_op(&w, &first);
    kv_encode_op(&w, &second);
    CHECK_BYTES(((struct cor_bytes){scratch, used + w.used}), ((struct cor_bytes){bytes, n}));
    struct world world;
    world_open(&world);
    struct kv_op session = {
        .kind = KV_OP_SESSION, .session_do = KV_SESSION_OPEN, .number = KV_SESSION_IDLE_MIN};
    CHECK_EQ(apply_one(&world, &session), COR_OK); /* the one that the entry belongs to */
    CHECK_EQ(kv_apply(world.kv, 2, (struct cor_bytes){bytes, n}, NULL, NULL), COR_OK);
    CHECK_BYTES(value_at(&world, "key", 0), text("value"));
    CHECK_EQ(info_of(&world).cluster_time, 1000000000);
    CHECK_EQ(info_of(&world).hash, 0x39621f0906d3aa6au);
    world_close(&world);
}

TEST_MAIN(TEST(a_header_comes_back_as_it_was),
          TEST(a_newer_header_is_foreign_and_stops_the_member),
          TEST(operations_come_back_as_they_were),
          TEST(the_end_of_a_prefix_is_the_next_string_of_its_length),
          TEST(limits_are_met_to_the_byte), TEST(contradictions_are_refused),
          TEST(what_a_newer_version_may_mean_is_foreign),
          TEST(malformed_operations_are_refused), TEST(nesting_and_numbers_are_bounded),
          TEST(a_key_is_changed_once_in_a_transaction), TEST(a_compaction_stands_alone),
          TEST(the_golden_entry_still_means_what_it_meant))
