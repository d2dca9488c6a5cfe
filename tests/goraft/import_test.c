/*
 * import_test.c - goraft directories in and out: the article's own, damaged ones, those with snapshots.
 *
 * Names in parentheses (D1, D2...) are defects of goraft that leave traces in its files; docs/goraft.md lists them.
 */
#include "tests/goraft/world.h"

/* ---- the article --------------------------------------------------------------------------------------- */

struct article {
    struct bytes_out log, conf, name;
};

static bool open_article(struct world *w, struct article *a)
{
    world_open(w);
    bool ok = read_file("tests/golden/goraft-article/log", &a->log) &&
              read_file("tests/golden/goraft-article/conf", &a->conf) &&
              read_file("tests/golden/goraft-article/name", &a->name);
    add_file(w, "log", bytes_of(&a->log));
    add_file(w, "conf", bytes_of(&a->conf));
    add_file(w, "name", bytes_of(&a->name));
    return ok;
}

static void close_article(struct world *w, struct article *a)
{
    world_forget(w);
    free(a->log.base);
    free(a->conf.base);
    free(a->name.base);
}

static void the_articles_listing_is_thirteen_entries_and_four_keys(void)
{
    struct world w;
    struct article a;
    REQUIRE(open_article(&w, &a));
    CHECK_EQ(a.log.len, 656);
    CHECK_EQ(import(&w), COR_OK);
    CHECK_EQ(w.n_said, 0);
    CHECK_EQ(w.imported.first, 1);
    CHECK_EQ(w.imported.last, 13);
    CHECK_EQ(w.imported.writes, 6);
    CHECK_EQ(w.imported.others, 7);
    CHECK_EQ(keys_of(&w), 4);
    CHECK_BYTES(value_of(&w, "foo"), text("bar"));
    CHECK_BYTES(value_of(&w, "aaa"), text("bbb"));
    CHECK_BYTES(value_of(&w, "bbb"), text("ccc"));
    CHECK_BYTES(value_of(&w, "ddd"), text("eee"));
    close_article(&w, &a);
}

/* The lines of the article's listing, mended: what the blog lost of the bytes is not in it. */
static void its_log_is_what_the_article_prints(void)
{
    static const char *const names[] = {
        "raft:join", "raft:nop", "raft:join", "raft:join", "raft:nop", "write", "write",
        "write",     "write",    "raft:nop",  "raft:nop",  "write",    "write"};
    static const char *const commands[] = {
        "{\"name\":\"2832bfa\",\"connectionString\":\"http://localhost:4001\"}\n",
        NULL,
        "{\"name\":\"3320b68\",\"connectionString\":\"http://localhost:4002\"}\n",
        "{\"name\":\"7bd5bdc\",\"connectionString\":\"http://localhost:4003\"}\n",
        NULL,
        "{\"key\":\"foo\",\"value\":\"bar\"}\n",
        "{\"key\":\"aaa\",\"value\":\"bbb\"}\n",
        "{\"key\":\"bbb\",\"value\":\"ccc\"}\n",
        "{\"key\":\"ddd\",\"value\":\"eee\"}\n",
        NULL,
        NULL,
        "{\"key\":\"foo\",\"value\":\"bar\"}\n",
        "{\"key\":\"foo\",\"value\":\"bar\"}\n"};
    static const uint64_t terms[] = {0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 3, 3};
    struct bytes_out log, made = {NULL, 0};
    REQUIRE(read_file("tests/golden/goraft-article/log", &log));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        add_record(&made, i + 1, terms[i], names[i], commands[i]);
    }
    CHECK_BYTES(bytes_of(&made), bytes_of(&log));
    free(made.base);
    free(log.base);
}

static void an_import_keeps_the_index_of_every_entry_and_terms_begin_at_one(void)
{
    struct world w;
    struct article a;
    REQUIRE(open_article(&w, &a));
    CHECK_EQ(import(&w), COR_OK);
    CHECK_EQ(w.n_entries, 13 + 2); /* conf and name */
    CHECK_EQ(w.entries[0].term, 1);
    CHECK_EQ(w.entries[12].term, 4);
    char json[512];
    struct json_writer out = json_writer_of(json, sizeof json);
    json_begin_object(&out);
    goraft_json_entry(&out, &w.entries[11]);
    json_end_object(&out);
    CHECK_BYTES(json_text_of(&out),
                text("{\"Index\":12,\"Term\":4,\"CommandName\":\"write\",\"Command\":"
                     "\"eyJrZXkiOiJmb28iLCJ2YWx1ZSI6ImJhciJ9Cg==\"}"));
    json_restart(&out);
    json_begin_object(&out);
    goraft_json_entry(&out, &w.entries[1]);
    json_end_object(&out);
    CHECK_BYTES(json_text_of(&out),
                text("{\"Index\":2,\"Term\":1,\"CommandName\":\"raft:nop\"}"));
    close_article(&w, &a);
}

static void import_then_export_gives_back_every_byte(void)
{
    struct world w;
    struct article a;
    REQUIRE(open_article(&w, &a));
    CHECK_EQ(import(&w), COR_OK);
    struct goraft_export x = export_to(&w, false);
    CHECK_EQ(export_all(&w, &x), COR_OK);
    CHECK_BYTES(bytes_of(&w.log), bytes_of(&a.log));
    CHECK_BYTES(exported(&w, "conf"), bytes_of(&a.conf));
    CHECK_BYTES(exported(&w, "name"), bytes_of(&a.name));
    CHECK_EQ(w.n_out, 2);
    close_article(&w, &a);
}

/* The article's message of chapter 2.3, as an entry of ours. */
static void the_articles_command_is_base64_of_json_with_a_line_end(void)
{
    struct world w;
    struct bytes_out log = {NULL, 0};
    world_open(&w);
    for (uint64_t i = 1; i < 27; i++) {
        add_record(&log, i, 16, "raft:nop", NULL);
    }
    add_record(&log, 27, 16, "write", "{\"key\":\"aae\",\"value\":\"bbb\"}\n");
    add_file(&w, "log", bytes_of(&log));
    CHECK_EQ(import(&w), COR_OK);
    char json[512];
    struct json_writer out = json_writer_of(json, sizeof json);
    json_begin_object(&out);
    goraft_json_entry(&out, &w.entries[26]);
    json_end_object(&out);
    CHECK_BYTES(json_text_of(&out),
                text("{\"Index\":27,\"Term\":17,\"CommandName\":\"write\",\"Command\":"
                     "\"eyJrZXkiOiJhYWUiLCJ2YWx1ZSI6ImJiYiJ9Cg==\"}"));
    world_forget(&w);
    free(log.base);
}

/* ---- damage ---------------------------------------------------------------------------------------------- */

/* A log of five writes with @damage in front of entry 6, which may be there. */
static void log_with(struct bytes_out *log, struct cor_bytes damage, uint64_t after)
{
    *log = (struct bytes_out){NULL, 0};
    add_writes(log, 1, 5);
    append(log, damage);
    if (after != 0) {
        add_writes(log, after, after);
    }
}

static void a_torn_end_is_cut_at_every_byte_and_said(void)
{
    struct bytes_out whole = {NULL, 0};
    add_writes(&whole, 1, 5);
    size_t good = whole.len;
    add_writes(&whole, 6, 6);
    for (size_t len = good + 1; len < whole.len; len++) {
        ROW("%zu bytes of the last record", len - good);
        struct world w;
        world_open(&w);
        add_file(&w, "log", (struct cor_bytes){whole.base, len});
        CHECK_EQ(import(&w), COR_OK);
        CHECK_EQ(w.imported.last, 5);
        CHECK_EQ(keys_of(&w), 5);
        CHECK_EQ(w.n_said, 2); /* and that conf is not there */
        CHECK_EQ(w.said[0].verdict, GORAFT_CUT);
        CHECK_EQ(w.said[0].index, 6);
        CHECK_EQ(w.said[0].offset, good);
        struct goraft_export x = export_to(&w, false);
        CHECK_EQ(export_all(&w, &x), COR_OK);
        CHECK_BYTES(bytes_of(&w.log), ((struct cor_bytes){whole.base, good}));
        world_forget(&w);
    }
    free(whole.base);
}

static void what_goraft_leaves_between_records_is_passed_over(void)
{
    static const struct {
        const char *name;
        struct cor_bytes damage;
    } rows[] = {
        {"D1: a hole of zeros", COR_BYTES_INIT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
        {"D2: a header without a record", COR_BYTES_INIT("      29\n")},
        {"D2, twice", COR_BYTES_INIT("      29\n      29\n")},
        {"D10: half a record", COR_BYTES_INIT("      29\n\x08\x06\x10\x00\x1a\x05wri")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct world w;
        struct bytes_out log;
        world_open(&w);
        log_with(&log, rows[i].damage, 6);
        add_file(&w, "log", bytes_of(&log));
        CHECK_EQ(import(&w), COR_OK);
        CHECK_EQ(w.imported.last, 6);
        CHECK_BYTES(value_of(&w, "k6"), text("v6"));
        CHECK_EQ(w.said[0].verdict, GORAFT_REPAIRED);
        CHECK_EQ(w.said[0].index, 6);
        world_forget(&w);
        free(log.base);
    }
}

static void a_missing_entry_is_refused_unless_what_follows_may_be_cut(void)
{
    static const struct {
        const char *name;
        struct cor_bytes damage;
        uint64_t after;
    } rows[] = {
        {"D3, B14: entry 6 is not there", COR_BYTES_INIT(""), 7},
        {"D7: a rotten record in the middle", COR_BYTES_INIT("      29\n\x09\x06\x10"), 7},
        {"an index that was there before", COR_BYTES_INIT(""), 5},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct world w;
        struct bytes_out log;
        world_open(&w);
        log_with(&log, rows[i].damage, rows[i].after);
        add_file(&w, "log", bytes_of(&log));
        CHECK_EQ(import(&w), COR_ECORRUPT);
        CHECK(strstr(w.err.text, "after entry 5") != NULL);
        w.truncate = true;
        CHECK_EQ(import(&w), COR_OK);
        CHECK_EQ(w.imported.last, 5);
        CHECK_EQ(w.said[0].verdict, GORAFT_CUT);
        world_forget(&w);
        free(log.base);
    }
}

static void a_term_that_goes_back_is_refused(void)
{
    struct world w;
    struct bytes_out log = {NULL, 0};
    world_open(&w);
    add_record(&log, 1, 3, "raft:nop", NULL);
    add_record(&log, 2, 2, "raft:nop", NULL);
    add_file(&w, "log", bytes_of(&log));
    CHECK_EQ(import(&w), COR_ECORRUPT);
    world_forget(&w);
    free(log.base);
}

/* B13, D6: goraft skips them too, but forgets that they were there. A2: a join it dies of. */
static void entries_that_mean_nothing_change_nothing_and_come_back(void)
{
    struct world w;
    struct bytes_out log = {NULL, 0};
    world_open(&w);
    add_record(&log, 1, 0, "raft:join",
               "{\"name\":\"a\",\"connectionString\":\"http://[::1\"}\n");
    add_record(&log, 2, 0, "raft:join", "null");
    add_record(&log, 3, 0, "counter:add", "{\"n\":1}");
    add_record(&log, 4, 0, "write", "{\"key\":\"k\"");
    add_record(&log, 5, 0, "write", NULL);
    add_record(&log, 6, 0, "write", "{\"key\":\"\",\"value\":\"v\"}\n");
    add_record(&log, 7, 0, "write", "{ \"value\":\"v\", \"key\":\"k\" }");
    add_record(&log, 8, 0, "raft:leave", "{\"name\":\"a\"}\n");
    add_file(&w, "log", bytes_of(&log));
    add_file(&w, "conf", text("{\"commitIndex\":8,\"peers\":[]}"));
    CHECK_EQ(import(&w), COR_OK);
    CHECK_EQ(w.n_said, 4);
    for (size_t i = 0; i < w.n_said; i++) {
        CHECK_EQ(w.said[i].verdict, GORAFT_KEPT);
        CHECK_EQ(w.said[i].index, i + 3);
    }
    CHECK_EQ(keys_of(&w), 1);
    CHECK_BYTES(value_of(&w, "k"), text("v"));
    struct goraft_export x = export_to(&w, false);
    CHECK_EQ(export_all(&w, &x), COR_OK);
    CHECK_BYTES(bytes_of(&w.log), bytes_of(&log));
    world_forget(&w);
    free(log.base);
}

/* The write is as goraft writes it, the record around it is not: two spaces less, and one field more. */
static void records_that_goraft_would_not_write_come_back_as_they_were(void)
{
    static const struct cor_bytes log = COR_BYTES_INIT(
        "    29\n\x08\x01\x10\x00\x1a\x05write\x22\x1c{\"key\":\"aaa\",\"value\":\"bbb\"}\n"
        "      "
        "2c\n\x08\x02\x10\x00\x1a\x05write\x22\x1c{\"key\":\"bbb\",\"value\":\"ccc\"}"
        "\n\x7a\x01x");
    struct world w;
    world_open(&w);
    add_file(&w, "log", log);
    CHECK_EQ(import(&w), COR_OK);
    CHECK_EQ(w.imported.writes, 2);
    CHECK_BYTES(value_of(&w, "bbb"), text("ccc"));
    struct goraft_export x = export_to(&w, false);
    CHECK_EQ(export_all(&w, &x), COR_OK);
    CHECK_BYTES(bytes_of(&w.log), log);
    world_forget(&w);
}

/* B2, B7, D5. */
static void conf_and_leftovers_decide_nothing_and_are_said(void)
{
    struct world w;
    struct bytes_out log;
    log_with(&log, (struct cor_bytes){NULL, 0}, 0);
    world_open(&w);
    add_file(&w, "log", bytes_of(&log));
    add_file(&w, "conf", text("{\"commitIndex\":9,\"peers\":[]}"));
    add_file(&w, "log.new", text("half a log"));
    add_file(&w, "conf.tmp", text("{"));
    CHECK_EQ(import(&w), COR_OK);
    CHECK_EQ(w.n_said, 3);
    CHECK_EQ(w.said[0].index, 9);
    CHECK_EQ(w.said[1].verdict, GORAFT_IGNORED);
    CHECK_EQ(keys_of(&w), 5);
    w.files[1].bytes = text("{\"commitIndex\":");
    CHECK_EQ(import(&w), COR_OK);
    CHECK_EQ(w.said[0].verdict, GORAFT_IGNORED);
    struct goraft_export x = export_to(&w, false);
    CHECK_EQ(export_all(&w, &x), COR_OK);
    CHECK_BYTES(exported(&w, "conf"), text("{\"commitIndex\":"));
    CHECK_EQ(w.n_out, 1);
    world_forget(&w);
    free(log.base);
}

/* A1: the node that joined through a follower has an empty log. */
static void a_directory_without_entries_is_refused(void)
{
    struct world w;
    world_open(&w);
    CHECK_EQ(import(&w), COR_EINVAL);
    add_file(&w, "log", text(""));
    CHECK_EQ(import(&w), COR_EINVAL);
    CHECK(strstr(w.err.text, "never became a member") != NULL);
    world_forget(&w);
}

static void what_is_larger_than_a_value_may_be_is_refused_and_named(void)
{
    struct world w;
    world_open(&w);
    size_t len = KV_VALUE_MAX + 1;
    unsigned char *value = malloc(len);
    REQUIRE(value != NULL);
    memset(value, 'v', len);
    size_t command_len;
    unsigned char *command =
        goraft_write_new(text("k"), (struct cor_bytes){value, len}, &command_len);
    REQUIRE(command != NULL);
    struct goraft_record r = {.index = 1,
                              .name = COR_BYTES_INIT("write"),
                              .has_command = true,
                              .command = {command, command_len}};
    unsigned char *log = malloc(command_len + 64);
    REQUIRE(log != NULL);
    struct writer out = writer_of(log, command_len + 64);
    goraft_record_write(&out, &r);
    add_file(&w, "log", (struct cor_bytes){log, out.used});
    CHECK_EQ(import(&w), COR_ETOOBIG);
    CHECK(strstr(w.err.text, "entry 1:") != NULL);
    world_forget(&w);
    free(log);
    free(command);
    free(value);
}

/* ---- snapshots --------------------------------------------------------------------------------------------- */

static void snapshot_of(char *out, size_t size, unsigned long long index,
                        unsigned long long term, const char *state)
{
    char body[512];
    size_t n = format_to(body, sizeof body,
                         "{\"lastIndex\":%llu,\"lastTerm\":%llu,\"peers\":null,\"state\":%s,"
                         "\"path\":\"snapshot\"}",
                         index, term, state);
    format_to(out, size, "%08x\n%s",
              goraft_crc32((struct cor_bytes){(const unsigned char *)body, n}), body);
}

/* D9: as text 9_100 comes after 10_200. D12: a log that begins later, read without its snapshot. */
static void the_newest_whole_snapshot_holds_what_came_before_the_log(void)
{
    char old[600], new[600], broken[600];
    struct world w;
    struct bytes_out log = {NULL, 0};
    world_open(&w);
    snapshot_of(old, sizeof old, 100, 9, "\"eyJhIjoib2xkIn0=\""); /* {"a":"old"} */
    snapshot_of(new, sizeof new, 200, 10, "\"eyJhIjoibmV3IiwiYiI6ImIifQ==\"");
    snapshot_of(broken, sizeof broken, 300, 10, "null");
    broken[0] = broken[0] == '0' ? '1' : '0';
    add_record(&log, 199, 10, "write", "{\"key\":\"a\",\"value\":\"earlier\"}\n");
    add_record(&log, 200, 10, "write", "{\"key\":\"b\",\"value\":\"is in the state\"}\n");
    add_record(&log, 201, 10, "write", "{\"key\":\"c\",\"value\":\"later\"}\n");
    add_file(&w, "log", bytes_of(&log));
    add_file(&w, "snapshot/9_100.ss", text(old));
    add_file(&w, "snapshot/10_200.ss", text(new));
    add_file(&w, "snapshot/10_300.ss", text(broken));
    CHECK_EQ(import(&w), COR_OK);
    CHECK_EQ(w.said[0].verdict, GORAFT_IGNORED);
    CHECK_BYTES(value_of(&w, "a"), text("new"));
    CHECK_BYTES(value_of(&w, "b"), text("b"));
    CHECK_BYTES(value_of(&w, "c"), text("later"));
    struct goraft_export x = export_to(&w, false);
    CHECK_EQ(export_all(&w, &x), COR_OK);
    CHECK_BYTES(bytes_of(&w.log), bytes_of(&log));
    CHECK_BYTES(exported(&w, "snapshot/9_100.ss"), text(old));
    CHECK_BYTES(exported(&w, "snapshot/10_200.ss"), text(new));
    CHECK_BYTES(exported(&w, "snapshot/10_300.ss"), text(broken));
    world_forget(&w);
    free(log.base);
}

static void a_log_whose_beginning_no_snapshot_holds_is_refused(void)
{
    struct world w;
    struct bytes_out log = {NULL, 0};
    char snapshot[600];
    world_open(&w);
    add_writes(&log, 202, 203);
    add_file(&w, "log", bytes_of(&log));
    CHECK_EQ(import(&w), COR_ECORRUPT);
    snapshot_of(snapshot, sizeof snapshot, 200, 0, "null");
    add_file(&w, "snapshot/0_200.ss", text(snapshot));
    CHECK_EQ(import(&w), COR_ECORRUPT);
    CHECK(strstr(w.err.text, "begins at entry 202") != NULL);
    snapshot_of(snapshot, sizeof snapshot, 201, 0, "null");
    w.files[1].bytes = text(snapshot);
    CHECK_EQ(import(&w), COR_OK);
    world_forget(&w);
    free(log.base);
}

static void the_state_of_an_unknown_program_is_refused(void)
{
    static const char *const states[] = {"\"Z2FyYmFnZQ==\"", "\"WzEsMl0=\"",
                                         "\"eyJhIjoxfQ==\""}; /* garbage, [1,2], {"a":1} */
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        ROW("%s", states[i]);
        struct world w;
        char snapshot[600];
        world_open(&w);
        snapshot_of(snapshot, sizeof snapshot, 200, 10, states[i]);
        add_file(&w, "log", text(""));
        add_file(&w, "snapshot/10_200.ss", text(snapshot));
        CHECK_EQ(import(&w), COR_EFOREIGN);
        world_forget(&w);
    }
}

static void a_file_larger_than_a_note_comes_back_whole(void)
{
    struct world w;
    struct bytes_out log = {NULL, 0};
    size_t len = (2u << 20) + 5;
    unsigned char *big = malloc(len);
    REQUIRE(big != NULL);
    for (size_t i = 0; i < len; i++) {
        big[i] = (unsigned char)(i * 31 >> 3);
    }
    world_open(&w);
    add_writes(&log, 1, 2);
    add_file(&w, "log", bytes_of(&log));
    add_file(&w, "snapshot/1_2.ss", (struct cor_bytes){big, len});
    add_file(&w, "name", text(""));
    CHECK_EQ(import(&w), COR_OK);
    struct goraft_export x = export_to(&w, false);
    CHECK_EQ(export_all(&w, &x), COR_OK);
    CHECK_BYTES(exported(&w, "snapshot/1_2.ss"), ((struct cor_bytes){big, len}));
    CHECK_BYTES(exported(&w, "name"), text(""));
    world_forget(&w);
    free(log.base);
    free(big);
}

TEST_MAIN(TEST(the_articles_listing_is_thirteen_entries_and_four_keys),
          TEST(its_log_is_what_the_article_prints),
          TEST(an_import_keeps_the_index_of_every_entry_and_terms_begin_at_one),
          TEST(import_then_export_gives_back_every_byte),
          TEST(the_articles_command_is_base64_of_json_with_a_line_end),
          TEST(a_torn_end_is_cut_at_every_byte_and_said),
          TEST(what_goraft_leaves_between_records_is_passed_over),
          TEST(a_missing_entry_is_refused_unless_what_follows_may_be_cut),
          TEST(a_term_that_goes_back_is_refused),
          TEST(entries_that_mean_nothing_change_nothing_and_come_back),
          TEST(records_that_goraft_would_not_write_come_back_as_they_were),
          TEST(conf_and_leftovers_decide_nothing_and_are_said),
          TEST(a_directory_without_entries_is_refused),
          TEST(what_is_larger_than_a_value_may_be_is_refused_and_named),
          TEST(the_newest_whole_snapshot_holds_what_came_before_the_log),
          TEST(a_log_whose_beginning_no_snapshot_holds_is_refused),
          TEST(the_state_of_an_unknown_program_is_refused),
          TEST(a_file_larger_than_a_note_comes_back_whole))
