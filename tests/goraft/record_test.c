/* record_test.c - records of goraft's log and the commands in them, against bytes of a running raftd. */
#include "goraft/record.h"

#include "json/reader.h"
#include "tests/goraft/world.h"

static const char golden_join[] =
    "      4f\n\x08\x01\x10\x00\x1a\x09raft:join\x22\x3e"
    "{\"name\":\"28fd70a\",\"connectionString\":\"http://localhost:4001\"}\n";
static const char golden_nop[] = "       e\n\x08\x02\x10\x00\x1a\x08raft:nop";
static const char golden_write[] =
    "      29\n\x08\x1b\x10\x11\x1a\x05write\x22\x1c{\"key\":\"aae\",\"value\":\"bbb\"}\n";

static void records_of_a_running_raftd_are_read_and_written_byte_for_byte(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint64_t index, term;
        const char *name;
        size_t command_len;
    } rows[] = {{golden_join, sizeof golden_join - 1, 1, 0, "raft:join", 62},
                {golden_nop, sizeof golden_nop - 1, 2, 0, "raft:nop", 0},
                {golden_write, sizeof golden_write - 1, 27, 17, "write", 28}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct cor_bytes in = {(const unsigned char *)rows[i].bytes, rows[i].len};
        struct goraft_record r;
        size_t size;
        REQUIRE(goraft_record_read(in, &r, &size, NULL) == COR_OK);
        CHECK_EQ(size, rows[i].len);
        CHECK_EQ(r.index, rows[i].index);
        CHECK_EQ(r.term, rows[i].term);
        CHECK_BYTES(r.name, text(rows[i].name));
        CHECK_EQ(r.has_command, rows[i].command_len > 0);
        CHECK_EQ(r.command.len, rows[i].command_len);
        unsigned char out[256];
        struct writer w = writer_of(out, sizeof out);
        goraft_record_write(&w, &r);
        CHECK_BYTES(((struct cor_bytes){out, w.used}), in);
    }
}

static void protobuf_fields_come_in_any_order_unknown_ones_are_skipped_and_the_last_counts(void)
{
    static const char bytes[] = "      1a\n\x1a\x03old\x10\x07\x7a\x02zz\x08\x05\x1a\x05write"
                                "\x79"
                                "8 bytes!"
                                "\x10\x09";
    struct cor_bytes in = {(const unsigned char *)bytes, sizeof bytes - 1};
    unsigned char fixed[sizeof bytes];
    memcpy(fixed, bytes, sizeof bytes);
    format_to((char *)fixed, 10, "%8zx", sizeof bytes - 1 - GORAFT_HEADER_SIZE);
    fixed[8] = '\n';
    in.ptr = fixed;
    struct goraft_record r;
    size_t size;
    REQUIRE(goraft_record_read(in, &r, &size, NULL) == COR_OK);
    CHECK_EQ(r.index, 5);
    CHECK_EQ(r.term, 9);
    CHECK_BYTES(r.name, text("write"));
    CHECK(!r.has_command);
}

static void what_is_no_record_is_refused(void)
{
    static const struct {
        const char *name;
        struct cor_bytes in;
    } rows[] = {
        {"nothing", COR_BYTES_INIT("")},
        {"a header and no more", COR_BYTES_INIT("       e\n")},
        {"a cut payload", COR_BYTES_INIT("       e\n\x08\x02\x10")},
        {"no line end", COR_BYTES_INIT("       ee\x08\x02\x10\x00\x1a\x08raft:nop")},
        {"no digits", COR_BYTES_INIT("        \n\x08\x02\x10\x00\x1a\x08raft:nop")},
        {"four gigabytes", COR_BYTES_INIT("ffffffff\n\x08\x02\x10\x00\x1a\x08raft:nop")},
        {"a negative length", COR_BYTES_INIT("      -1\n\x08\x02\x10\x00\x1a\x08raft:nop")},
        {"no index", COR_BYTES_INIT("       c\n\x10\x00\x1a\x08raft:nop")},
        {"no term", COR_BYTES_INIT("       c\n\x08\x00\x1a\x08raft:nop")},
        {"no name", COR_BYTES_INIT("       4\n\x08\x02\x10\x00")},
        {"a name beyond the end", COR_BYTES_INIT("       e\n\x08\x02\x10\x00\x1a\x09raft:nop")},
        {"a group", COR_BYTES_INIT("       f\n\x08\x02\x10\x00\x1a\x08raft:nop\x7b")},
        {"field 0", COR_BYTES_INIT("       f\n\x08\x02\x10\x00\x1a\x08raft:nop\x00")},
        {"an index of bytes", COR_BYTES_INIT("       f\n\x0a\x01x\x10\x00\x1a\x08raft:nop")},
        {"eleven bytes of number",
         COR_BYTES_INIT(
             "      "
             "18\n\x08\x82\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x10\x00\x1a\x08raft:nop")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct goraft_record r;
        struct cor_error err = {0};
        size_t size;
        CHECK_EQ(goraft_record_read(rows[i].in, &r, &size, &err), COR_EPROTO);
        CHECK(err.text[0] != '\0');
    }
}

static void a_header_with_fewer_spaces_is_read_as_goraft_reads_it(void)
{
    static const struct cor_bytes in = COR_BYTES_INIT("E\n\x08\x02\x10\x00\x1a\x08raft:nop");
    struct goraft_record r;
    size_t size;
    REQUIRE(goraft_record_read(in, &r, &size, NULL) == COR_OK);
    CHECK_EQ(size, in.len);
    CHECK_EQ(r.index, 2);
}

static void strings_are_escaped_as_go_does(void)
{
    size_t len;
    unsigned char *got =
        goraft_write_new(text("<a>&\"\\/\n\r\t\x01\x7f"),
                         text("h\xc3\xb6\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"), &len);
    REQUIRE(got != NULL);
    CHECK_BYTES(((struct cor_bytes){got, len}),
                text("{\"key\":\"\\u003ca\\u003e\\u0026\\\"\\\\/\\n\\r\\t\\u0001\x7f\","
                     "\"value\":\"h\xc3\xb6\\u2028\\u2029\xe2\x80\xaa\"}\n"));
    struct goraft_write back;
    REQUIRE(goraft_write_decode((struct cor_bytes){got, len}, &back, NULL) == COR_OK);
    CHECK_BYTES(back.key, text("<a>&\"\\/\n\r\t\x01\x7f"));
    CHECK_BYTES(back.value, text("h\xc3\xb6\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"));
    json_free(back.document);
    free(got);
}

static void a_command_of_any_valid_json_is_read(void)
{
    struct goraft_write w;
    REQUIRE(
        goraft_write_decode(text(" {\"x\":1, \"value\" : \"\\ud83d\\ude00\", \"key\":\"k\"} "),
                            &w, NULL) == COR_OK);
    CHECK_BYTES(w.key, text("k"));
    CHECK_BYTES(w.value, text("\xf0\x9f\x98\x80"));
    json_free(w.document);
    static const char *const bad[] = {
        "", "null", "{}", "{\"key\":\"k\"}", "{\"key\":1,\"value\":\"v\"}", "{\"key\":\"k\""};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ROW("%s", bad[i]);
        CHECK_EQ(goraft_write_decode(text(bad[i]), &w, NULL), COR_EPROTO);
    }
}

/* ---- snapshots ------------------------------------------------------------------------------------------- */

static const char golden_snapshot[] =
    "b3ce82a9\n{\"lastIndex\":200,\"lastTerm\":10,\"peers\":null,\"state\":\"bmV3IHQxMA==\","
    "\"path\":\"/var/lib/raftd/snapshot/10_200.ss\"}";

static void the_golden_snapshot_is_read(void)
{
    struct goraft_snapshot s;
    REQUIRE(goraft_snapshot_read(text(golden_snapshot), &s, NULL) == COR_OK);
    CHECK_EQ(s.last_index, 200);
    CHECK_EQ(s.last_term, 10);
    CHECK_BYTES(((struct cor_bytes){s.state, s.state_len}), text("new t10"));
    free(s.state);
}

/* D9: goraft does not truncate the file that it writes over, nor make it durable in one step. */
static void a_snapshot_with_any_bit_flipped_or_any_byte_missing_is_refused(void)
{
    unsigned char bytes[sizeof golden_snapshot];
    size_t len = sizeof golden_snapshot - 1;
    struct goraft_snapshot s;
    for (size_t i = 0; i < len; i++) {
        memcpy(bytes, golden_snapshot, sizeof bytes);
        CHECK(goraft_snapshot_read((struct cor_bytes){bytes, i}, &s, NULL) != COR_OK);
        bytes[i] ^= 1;
        CHECK(goraft_snapshot_read((struct cor_bytes){bytes, len}, &s, NULL) != COR_OK);
    }
}

TEST_MAIN(TEST(records_of_a_running_raftd_are_read_and_written_byte_for_byte),
          TEST(protobuf_fields_come_in_any_order_unknown_ones_are_skipped_and_the_last_counts),
          TEST(what_is_no_record_is_refused),
          TEST(a_header_with_fewer_spaces_is_read_as_goraft_reads_it),
          TEST(strings_are_escaped_as_go_does), TEST(a_command_of_any_valid_json_is_read),
          TEST(the_golden_snapshot_is_read),
          TEST(a_snapshot_with_any_bit_flipped_or_any_byte_missing_is_refused))
