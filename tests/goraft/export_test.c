/* export_test.c - logs of our own in goraft's words; what it has no word for is named, or skipped and counted. */
#include "tests/goraft/world.h"

#include "kv/entry.h"

static struct kv_op put_of(const char *key, const char *value)
{
    return (struct kv_op){.kind = KV_OP_PUT, .range = {.key = text(key)}, .value = text(value)};
}

/* Add an entry of @type; a command of @n operations, with a compare in front if @conditional. */
static void add_entry(struct world *w, uint64_t term, uint32_t type, const struct kv_op *ops,
                      uint32_t n, bool conditional)
{
    unsigned char memory[1024];
    const struct entry_header header = {.dialect = ENTRY_DIALECT_NATIVE, .cluster_time = 7};
    struct writer out = writer_of(memory, sizeof memory);
    if (type == COR_ENTRY_COMMAND) {
        out.used = entry_header_encode(&header, memory);
        kv_encode_txn_begin(&out, conditional, n, 0);
        if (conditional) {
            kv_encode_compare(&out, &(struct kv_compare){.range = {.key = text("c")},
                                                         .field = KV_COMPARE_MOD,
                                                         .op = KV_EQUAL});
        }
        for (uint32_t i = 0; i < n; i++) {
            kv_encode_op(&out, &ops[i]);
        }
    }
    COR_ASSERT(writer_ok(&out));
    world_add(w, term, type, (struct cor_bytes){memory, out.used});
}

static void add_put(struct world *w, uint64_t term, const char *key, const char *value)
{
    struct kv_op op = put_of(key, value);
    add_entry(w, term, COR_ENTRY_COMMAND, &op, 1, false);
}

static void a_log_of_ours_begins_with_the_join_that_raftd_would_have_written(void)
{
    struct world w;
    struct bytes_out want = {NULL, 0};
    world_open(&w);
    add_entry(&w, 1, COR_ENTRY_NOOP, NULL, 0, false);
    add_put(&w, 1, "foo", "bar");
    add_entry(&w, 3, COR_ENTRY_NOOP, NULL, 0, false);
    add_put(&w, 3, "aaa", "bbb");
    struct goraft_export x = export_to(&w, false);
    CHECK_EQ(export_all(&w, &x), COR_OK);
    add_record(&want, 1, 0, "raft:join",
               "{\"name\":\"28fd70a\",\"connectionString\":\"http://localhost:4001\"}\n");
    add_record(&want, 2, 0, "raft:nop", NULL);
    add_record(&want, 3, 0, "write", "{\"key\":\"foo\",\"value\":\"bar\"}\n");
    add_record(&want, 4, 2, "raft:nop", NULL);
    add_record(&want, 5, 2, "write", "{\"key\":\"aaa\",\"value\":\"bbb\"}\n");
    CHECK_BYTES(bytes_of(&w.log), bytes_of(&want));
    CHECK_BYTES(exported(&w, "conf"), text("{\"commitIndex\":1,\"peers\":[]}"));
    CHECK_BYTES(exported(&w, "name"), text("28fd70a"));
    world_forget(&w);
    free(want.base);
}

static void what_goraft_cannot_express_is_refused_by_name_and_skipped_when_told(void)
{
    struct kv_op deletion = {.kind = KV_OP_DELETE, .range = {.key = text("a")}};
    struct kv_op leased = put_of("a", "b"), attributes = put_of("a", "b"),
                 kept = put_of("a", ""), binary = put_of("a", "\xff"),
                 elsewhere = put_of("a", "b");
    struct kv_op two[] = {put_of("a", "1"), put_of("b", "2")};
    leased.lease = 7;
    attributes.attrs = COR_BYTES_LIT("\1");
    kept.flags = KV_KEEP_VALUE;
    elsewhere.range.table = KV_TABLE_USERS;
    const struct {
        const char *why;
        const struct kv_op *ops;
        uint32_t n, type;
        bool conditional;
    } rows[] = {
        {"it deletes", &deletion, 1, COR_ENTRY_COMMAND, false},
        {"lease or attributes", &leased, 1, COR_ENTRY_COMMAND, false},
        {"lease or attributes", &attributes, 1, COR_ENTRY_COMMAND, false},
        {"what was there before", &kept, 1, COR_ENTRY_COMMAND, false},
        {"not UTF-8", &binary, 1, COR_ENTRY_COMMAND, false},
        {"something other than keys", &elsewhere, 1, COR_ENTRY_COMMAND, false},
        {"several keys", two, 2, COR_ENTRY_COMMAND, false},
        {"conditions", two, 1, COR_ENTRY_COMMAND, true},
        {"our own cluster", NULL, 0, COR_ENTRY_CONFIG, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].why);
        struct world w;
        world_open(&w);
        add_put(&w, 1, "foo", "bar");
        add_entry(&w, 1, rows[i].type, rows[i].ops, rows[i].n, rows[i].conditional);
        add_put(&w, 1, "z", "end");
        struct goraft_export strict = export_to(&w, false);
        CHECK_EQ(export_all(&w, &strict), COR_EINVAL);
        CHECK(strstr(w.err.text, "entry 2 cannot be expressed") != NULL);
        CHECK(strstr(w.err.text, rows[i].why) != NULL);
        free(w.log.base);
        w.log = (struct bytes_out){NULL, 0};
        struct goraft_export lossy = export_to(&w, true);
        CHECK_EQ(export_all(&w, &lossy), COR_OK);
        CHECK_EQ(lossy.skipped, 1);
        CHECK_EQ(lossy.last, 3); /* the join and two writes: no index is left out */
        world_forget(&w);
    }
}

static void what_may_not_count_is_refused(void)
{
    static const struct entry_header headers[] = {{.deadline = 1}, {.session = 1, .number = 1}};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        ROW("header %zu", i);
        struct world w;
        unsigned char memory[256];
        struct kv_op op = put_of("a", "b");
        struct writer out = writer_of(memory, sizeof memory);
        out.used = entry_header_encode(&headers[i], memory);
        kv_encode_one(&out, &op);
        world_open(&w);
        world_add(&w, 1, COR_ENTRY_COMMAND, (struct cor_bytes){memory, out.used});
        struct goraft_export x = export_to(&w, false);
        CHECK_EQ(export_all(&w, &x), COR_EINVAL);
        CHECK(strstr(w.err.text, "whether it counts") != NULL);
        world_forget(&w);
    }
}

static void notes_of_others_and_malformed_ones_are_not_ours(void)
{
    static const struct {
        const char *name;
        struct cor_bytes in;
    } rows[] = {
        {"nothing", COR_BYTES_INIT("")},
        {"another's", COR_BYTES_INIT("etcd")},
        {"a later version", COR_BYTES_INIT("goraft\2\1\1\1")},
        {"kind 0", COR_BYTES_INIT("goraft\1\0")},
        {"a kind that is not known", COR_BYTES_INIT("goraft\1\5")},
        {"bytes behind a put", COR_BYTES_INIT("goraft\1\1\1\1x")},
        {"an empty record", COR_BYTES_INIT("goraft\1\2")},
        {"a state of bytes", COR_BYTES_INIT("goraft\1\3x")},
        {"a file without a name", COR_BYTES_INIT("goraft\1\4\0\0\1x")},
        {"a piece beyond its file", COR_BYTES_INIT("goraft\1\4\1f\0\1xx")},
        {"a piece behind its file", COR_BYTES_INIT("goraft\1\4\1f\2\1")},
        {"a cut one", COR_BYTES_INIT("goraft\1\4\1")},
    };
    struct goraft_note note;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        CHECK(!goraft_note_read(rows[i].in, &note));
    }
    CHECK(goraft_note_read(COR_BYTES_LIT("goraft\1\4\1f\1\2x"), &note));
}

/* Looking changes nothing, nor does forgetting history that goraft does not have. */
static void reads_and_compactions_become_no_ops(void)
{
    struct world w;
    struct bytes_out want = {NULL, 0};
    struct kv_op compaction = {.kind = KV_OP_COMPACT, .revision = 3};
    struct kv_op look = {.kind = KV_OP_RANGE, .range = {.key = text("a")}};
    struct kv_op both[] = {look, put_of("a", "b")};
    world_open(&w);
    add_entry(&w, 1, COR_ENTRY_COMMAND, &compaction, 1, false);
    add_entry(&w, 1, COR_ENTRY_COMMAND, &look, 1, false);
    add_entry(&w, 1, COR_ENTRY_COMMAND, both, 2, false);
    struct goraft_export x = export_to(&w, false);
    x.begun = true; /* no join */
    CHECK_EQ(export_all(&w, &x), COR_OK);
    add_record(&want, 1, 0, "raft:nop", NULL);
    add_record(&want, 2, 0, "raft:nop", NULL);
    add_record(&want, 3, 0, "write", "{\"key\":\"a\",\"value\":\"b\"}\n");
    CHECK_BYTES(bytes_of(&w.log), bytes_of(&want));
    world_forget(&w);
    free(want.base);
}

static void what_was_written_after_an_import_follows_under_the_next_indexes(void)
{
    struct world w;
    struct bytes_out log = {NULL, 0};
    world_open(&w);
    add_writes(&log, 1, 3);
    add_file(&w, "log", bytes_of(&log));
    CHECK_EQ(import(&w), COR_OK);
    w.n_files = 0;
    add_entry(&w, 2, COR_ENTRY_NOOP, NULL, 0, false);
    add_put(&w, 2, "k4", "v4");
    struct goraft_export x = export_to(&w, false);
    CHECK_EQ(export_all(&w, &x), COR_OK);
    add_record(&log, 4, 1, "raft:nop", NULL);
    add_record(&log, 5, 1, "write", "{\"key\":\"k4\",\"value\":\"v4\"}\n");
    CHECK_BYTES(bytes_of(&w.log), bytes_of(&log));
    CHECK_EQ(w.n_out, 0);
    world_forget(&w);
    free(log.base);
}

/* What leaves as a goraft directory can come back as one, and means the same. */
static void an_export_can_be_imported(void)
{
    struct world w, back;
    world_open(&w);
    world_open(&back);
    add_put(&w, 1, "foo", "<bar>");
    add_put(&w, 2, "\xe2\x80\xa8", "\"\\");
    struct goraft_export x = export_to(&w, false);
    CHECK_EQ(export_all(&w, &x), COR_OK);
    add_file(&back, "log", bytes_of(&w.log));
    add_file(&back, "conf", exported(&w, "conf"));
    CHECK_EQ(import(&back), COR_OK);
    CHECK_EQ(back.n_said, 0);
    CHECK_BYTES(value_of(&back, "foo"), text("<bar>"));
    CHECK_BYTES(value_of(&back, "\xe2\x80\xa8"), text("\"\\"));
    world_forget(&back);
    world_forget(&w);
}

static void entries_without_a_goraft_name_are_named_as_ours_in_the_article_form(void)
{
    struct world w;
    struct kv_op deletion = {.kind = KV_OP_DELETE, .range = {.key = text("a")}};
    char json[512];
    world_open(&w);
    add_entry(&w, 1, COR_ENTRY_COMMAND, &deletion, 1, false);
    add_entry(&w, 1, COR_ENTRY_CONFIG, NULL, 0, false);
    struct json_writer out = json_writer_of(json, sizeof json);
    json_begin_array(&out);
    for (size_t i = 0; i < w.n_entries; i++) {
        json_begin_object(&out);
        goraft_json_entry(&out, &w.entries[i]);
        json_end_object(&out);
    }
    json_end_array(&out);
    REQUIRE(json_ok(&out));
    json[out.used] = '\0';
    CHECK(strstr(json, "\"CommandName\":\"coracle:command\",\"Command\":\"") != NULL);
    CHECK(strstr(json, "\"CommandName\":\"coracle:config\"") != NULL);
    world_forget(&w);
}

TEST_MAIN(TEST(a_log_of_ours_begins_with_the_join_that_raftd_would_have_written),
          TEST(what_goraft_cannot_express_is_refused_by_name_and_skipped_when_told),
          TEST(what_may_not_count_is_refused),
          TEST(notes_of_others_and_malformed_ones_are_not_ours),
          TEST(reads_and_compactions_become_no_ops),
          TEST(what_was_written_after_an_import_follows_under_the_next_indexes),
          TEST(an_export_can_be_imported),
          TEST(entries_without_a_goraft_name_are_named_as_ours_in_the_article_form))
