/*
 * The reader of JSON: what is strict, what is bounded, and that bytes come back as the writer took them.
 */
#include "json/reader.h"

#include "base/attr.h"
#include "json/writer.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX (1u << 20)

static struct cor_bytes bytes_of(const char *text)
{
    return (struct cor_bytes){(const unsigned char *)text, strlen(text)};
}

static void members_are_found_by_name_and_kind(void)
{
    struct json_value *d = json_parse(bytes_of("{\"n\":18446744073709551615,\"s\":\"a\\u00e9\","
                                               "\"b\":true,\"a\":[1,{\"x\":2}],\"z\":null}"));
    REQUIRE(d != NULL);
    CHECK_EQ(json_get_u64(json_member(d, "n")), UINT64_MAX);
    CHECK(strcmp(json_get_text(json_member(d, "s")), "a\xc3\xa9") == 0);
    CHECK(json_get_bool(json_member(d, "b")));
    CHECK_EQ(json_length(json_member(d, "a")), 2);
    CHECK_EQ(json_get_u64(json_member(json_at(json_member(d, "a"), 1), "x")), 2);
    /* What is not there, or of another kind. */
    CHECK(json_member(d, "m") == NULL);
    CHECK_EQ(json_get_u64(json_member(d, "s")), 0);
    CHECK(strcmp(json_get_text(json_member(d, "n")), "") == 0);
    CHECK(!json_get_bool(json_member(d, "z")));
    CHECK_EQ(json_length(d), 0);
    CHECK(json_at(json_member(d, "a"), 2) == NULL);
    json_free(d);
}

static void what_is_not_json_is_refused(void)
{
    static const char *const texts[] = {"",     "{",   "{\"a\":1}x", "{\"a\":1,}",
                                        "[01]", "nan", "\"\xff\"",   "{\"a\" 1}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        ROW("%s", texts[i]);
        CHECK(json_parse(bytes_of(texts[i])) == NULL);
    }
}

/* Every length, so that each padding occurs; 0xff first, so that it is not UTF-8. */
static void bytes_come_back_as_the_writer_took_them(void)
{
    for (size_t len = 0; len < 20; len++) {
        for (unsigned first = 'a'; first <= 0xff; first += 0xff - 'a') {
            ROW("%zu bytes, the first %02x", len, first);
            unsigned char data[20];
            char text[128];
            for (size_t i = 0; i < sizeof data; i++) {
                data[i] = (unsigned char)(i == 0 ? first : (first == 0xff ? i * 37 : 'b'));
            }
            struct json_writer w = json_writer_of(text, sizeof text);
            json_begin_object(&w);
            json_field_bytes(&w, "value", (struct cor_bytes){data, len});
            json_end_object(&w);
            struct json_value *d = json_parse(json_text_of(&w));
            REQUIRE(d != NULL);
            unsigned char *memory;
            struct cor_bytes back;
            REQUIRE(json_get_bytes(d, "value", &memory, &back));
            CHECK_BYTES(back, ((struct cor_bytes){data, len}));
            free(memory);
            json_free(d);
        }
    }
}

static void members_of_bad_base64_are_refused(void)
{
    static const char *const texts[] = {"{\"v_base64\":\"a\"}",    "{\"v_base64\":\"ab=c\"}",
                                        "{\"v_base64\":\"a===\"}", "{\"v_base64\":\"ab c\"}",
                                        "{\"v_base64\":1}",        "{\"w\":\"\"}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        ROW("%s", texts[i]);
        struct json_value *d = json_parse(bytes_of(texts[i]));
        REQUIRE(d != NULL);
        unsigned char *memory;
        struct cor_bytes back;
        CHECK(!json_get_bytes(d, "v", &memory, &back));
        json_free(d);
    }
}

/* Parse a copy that ends where it ends, so that ASan sees a step too far. */
static enum cor_status read_copy(struct cor_bytes text, struct json_value **out,
                                 struct cor_error *err)
{
    unsigned char *copy = malloc(text.len > 0 ? text.len : 1);
    memcpy(copy, text.ptr, text.len);
    enum cor_status st = json_read((struct cor_bytes){copy, text.len}, MEMORY_MAX, out, err);
    free(copy);
    return st;
}

static void values_of_all_kinds_are_told_apart(void)
{
    static const char text[] =
        " {\"s\":\"a\\u0000\\ud83d\\uded6\\n\", \"n\":null,\r\n\t\"t\":true,"
        "\"f\":false,\"l\":[1,[],{}],\"o\":{\"x\":-1.5e3}} ";
    struct json_value *root;
    REQUIRE(read_copy(bytes_of(text), &root, NULL) == COR_OK);
    CHECK_EQ(json_kind_of(root), JSON_OBJECT);
    CHECK_BYTES(json_string_of(json_member(root, "s")), COR_BYTES_LIT("a\0\xf0\x9f\x9b\x96\n"));
    CHECK_EQ(json_kind_of(json_member(root, "n")), JSON_NULL);
    CHECK(json_get_bool(json_member(root, "t")));
    CHECK(!json_get_bool(json_member(root, "f")));
    CHECK_EQ(json_kind_of(json_member(root, "f")), JSON_BOOL);
    const struct json_value *list = json_member(root, "l");
    CHECK_EQ(json_kind_of(json_at(list, 0)), JSON_INTEGER);
    CHECK_EQ(json_kind_of(json_at(list, 1)), JSON_ARRAY);
    CHECK_EQ(json_kind_of(json_at(list, 2)), JSON_OBJECT);
    CHECK_EQ(json_kind_of(json_member(json_member(root, "o"), "x")), JSON_FRACTION);
    json_free(root);
}

static void questions_to_the_wrong_kind_are_answered_with_no(void)
{
    static const char *const texts[] = {"null",  "true", "1",        "1.5",
                                        "\"s\"", "[1]",  "{\"a\":1}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        ROW("%s", texts[i]);
        struct json_value *root;
        uint64_t u;
        int64_t n;
        REQUIRE(read_copy(bytes_of(texts[i]), &root, NULL) == COR_OK);
        enum json_kind kind = json_kind_of(root);
        CHECK_EQ(kind, (enum json_kind)(i + 1));
        CHECK_EQ(json_get_bool(root), kind == JSON_BOOL);
        CHECK_EQ(json_u64_of(root, &u), kind == JSON_INTEGER);
        CHECK_EQ(json_i64_of(root, &n), kind == JSON_INTEGER);
        CHECK_EQ(json_string_of(root).len, kind == JSON_STRING);
        CHECK_EQ(json_length(root), kind == JSON_ARRAY);
        CHECK_EQ(json_member(root, "a") != NULL, kind == JSON_OBJECT);
        json_free(root);
    }
}

static void integers_are_exact_to_both_ends(void)
{
    static const struct {
        const char *text;
        bool is_u64, is_i64;
        uint64_t u;
        int64_t i;
    } rows[] = {
        {"0", true, true, 0, 0},
        {"-0", true, true, 0, 0},
        {"9007199254740993", true, true, 9007199254740993, 9007199254740993},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {"9223372036854775808", true, false, 9223372036854775808u, 0},
        {"18446744073709551615", true, false, UINT64_MAX, 0},
        {"-1", false, true, 0, -1},
        {"-9223372036854775808", false, true, 0, INT64_MIN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].text);
        struct json_value *v;
        uint64_t u = 0;
        int64_t n = 0;
        REQUIRE(read_copy(bytes_of(rows[i].text), &v, NULL) == COR_OK);
        CHECK_EQ(json_u64_of(v, &u), rows[i].is_u64);
        CHECK_EQ(json_i64_of(v, &n), rows[i].is_i64);
        CHECK_EQ(u, rows[i].u);
        CHECK_EQ(n, rows[i].i);
        json_free(v);
    }
}

static void what_is_not_json_is_refused_with_its_place(void)
{
    static const struct {
        struct cor_bytes text;
        const char *want;
    } rows[] = {
        {COR_BYTES_INIT(""), "byte 0: the text ends early"},
        {COR_BYTES_INIT("  "), "byte 2: the text ends early"},
        {COR_BYTES_INIT("[1,2"), "byte 4: the text ends early"},
        {COR_BYTES_INIT("{\"a\":"), "byte 5: the text ends early"},
        {COR_BYTES_INIT("\"abc"), "byte 4: a string without end"},
        {COR_BYTES_INIT("\"abc\\\""), "byte 6: a string without end"},
        {COR_BYTES_INIT("1 2"), "byte 2: unexpected character"},
        {COR_BYTES_INIT("[1]]"), "byte 3: unexpected character"},
        {COR_BYTES_INIT("[1,]"), "byte 3: unexpected character"},
        {COR_BYTES_INIT("[,1]"), "byte 1: unexpected character"},
        {COR_BYTES_INIT("{,}"), "byte 1: quoted object property name expected"},
        {COR_BYTES_INIT("{'a':1}"), "byte 1: an unexpected character"},
        {COR_BYTES_INIT("{a:1}"), "byte 1: an unexpected character"},
        {COR_BYTES_INIT("/*x*/1"), "byte 0: an unexpected character"},
        {COR_BYTES_INIT("[NaN]"), "byte 1: an unexpected character"},
        {COR_BYTES_INIT("[Infinity]"), "byte 1: an unexpected character"},
        {COR_BYTES_INIT("[-Infinity]"), "byte 1: a malformed number"},
        {COR_BYTES_INIT("TRUE"), "byte 0: an unexpected character"},
        {COR_BYTES_INIT("nul"), "byte 0: an unexpected character"},
        {COR_BYTES_INIT("[01]"), "byte 1: a malformed number"},
        {COR_BYTES_INIT("[-]"), "byte 1: a malformed number"},
        {COR_BYTES_INIT("[1.]"), "byte 1: a malformed number"},
        {COR_BYTES_INIT("[1e]"), "byte 1: a malformed number"},
        {COR_BYTES_INIT("[1e+]"), "byte 1: a malformed number"},
        {COR_BYTES_INIT("+1"), "byte 0: an unexpected character"},
        {COR_BYTES_INIT(".5"), "byte 0: an unexpected character"},
        {COR_BYTES_INIT("[18446744073709551616]"), "byte 1: an integer beyond 64 bits"},
        {COR_BYTES_INIT("[-9223372036854775809]"), "byte 1: an integer beyond 64 bits"},
        {COR_BYTES_INIT("99999999999999999999999"), "byte 0: an integer beyond 64 bits"},
        {COR_BYTES_INIT("\"a\nb\""), "byte 2: a control character in a string"},
        {COR_BYTES_INIT("\"a\0b\""), "byte 2: a control character in a string"},
        {COR_BYTES_INIT("1\0"), "byte 1: an unexpected character"},
        {COR_BYTES_INIT("{\"a\\u0000b\" :1}"), "byte 2: NUL in a name"},
        {COR_BYTES_INIT("\xef\xbb\xbf"), "byte 0: an unexpected character"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct json_value *v = NULL;
        struct cor_error err = {0};
        ROW("%zu: %s", i, rows[i].want);
        CHECK_EQ(read_copy(rows[i].text, &v, &err), COR_EPROTO);
        CHECK_BYTES(bytes_of(err.text), bytes_of(rows[i].want));
        CHECK(v == NULL);
    }
}

static void strings_are_utf8(void)
{
    static const struct cor_bytes rows[] = {
        COR_BYTES_INIT("\"\xff\""),     COR_BYTES_INIT("\"\xc3\""),
        COR_BYTES_INIT("\"\xc1\xbc\""), COR_BYTES_INIT("\"\xed\xa0\x80\""),
        COR_BYTES_INIT("\"\\x41\""),    COR_BYTES_INIT("\"\\u12\"")};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%zu", i);
        struct json_value *v;
        CHECK_EQ(read_copy(rows[i], &v, NULL), COR_EPROTO);
    }
}

static void nesting_has_a_limit(void)
{
    for (unsigned depth = JSON_READ_DEPTH_MAX - 2; depth < JSON_READ_DEPTH_MAX + 2; depth++) {
        char text[100];
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        struct json_value *v = NULL;
        struct cor_error err = {0};
        ROW("%u", depth);
        enum cor_status st =
            read_copy((struct cor_bytes){(unsigned char *)text, 2 * (size_t)depth}, &v, &err);
        CHECK_EQ(st, depth <= JSON_READ_DEPTH_MAX ? COR_OK : COR_ETOOBIG);
        json_free(v);
    }
}

/* @n times @unit between brackets or braces. */
static char *many(const char *unit, size_t n, bool fields, size_t *len)
{
    size_t each = strlen(unit);
    char *text = malloc(n * each + 2);
    if (text != NULL) {
        text[0] = fields ? '{' : '[';
        for (size_t i = 0; i < n; i++) {
            memcpy(text + 1 + i * each, unit, each);
        }
        text[n * each] = fields ? '}' : ']'; /* instead of the last comma */
        *len = n * each + 1;
    }
    return text;
}

/* What would cost too much is refused before it costs anything; the room is such that each kind of
 * value must be counted for what it is. */
static void small_values_in_great_number_are_refused(void)
{
    static const struct {
        const char *unit;
        bool fields;
        size_t room; /* bytes for each: too few only if all of its parts are counted */
    } rows[] = {{"{},", false, 700},        {"[],", false, 150},    {"0,", false, 70},
                {"\"\",", false, 80},       {"true,", false, 70},   {"null,", false, 8},
                {"{\"a\":0},", false, 800}, {"\"a\":0,", true, 300}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = 10000, len = 0;
        char *text = many(rows[i].unit, n, rows[i].fields, &len);
        REQUIRE(text != NULL);
        struct cor_bytes in = {(unsigned char *)text, len};
        struct json_value *v = NULL;
        ROW("%s", rows[i].unit);
        CHECK_EQ(json_read(in, n * rows[i].room, &v, NULL), COR_ETOOBIG);
        CHECK_EQ(json_read(in, (size_t)1 << 30, &v, NULL), COR_OK);
        CHECK_EQ(json_length(v), rows[i].fields ? 0 : n);
        json_free(v);
        free(text);
    }
}

static void what_the_writer_writes_is_read(void)
{
    struct json_writer w = json_writer_growing(4096);
    unsigned char all[128];
    for (unsigned i = 0; i < sizeof all; i++) {
        all[i] = (unsigned char)i;
    }
    json_begin_object(&w);
    json_field_string(&w, "all", (struct cor_bytes){all, sizeof all});
    json_field_u64(&w, "max", UINT64_MAX);
    json_field_i64(&w, "min", INT64_MIN);
    json_end_object(&w);
    struct json_value *root;
    int64_t n = 0;
    REQUIRE(read_copy(json_text_of(&w), &root, NULL) == COR_OK);
    CHECK_BYTES(json_string_of(json_member(root, "all")),
                ((struct cor_bytes){all, sizeof all}));
    CHECK_EQ(json_get_u64(json_member(root, "max")), UINT64_MAX);
    CHECK(json_i64_of(json_member(root, "min"), &n));
    CHECK_EQ(n, INT64_MIN);
    json_free(root);
    json_writer_free(&w);
}

static void base64_goes_both_ways(void)
{
    unsigned char in[64], out[64];
    for (size_t n = 0; n < sizeof in; n++) {
        for (size_t i = 0; i < n; i++) {
            in[i] = (unsigned char)(n * 37 + i * 101);
        }
        struct json_writer w = json_writer_growing(256);
        json_base64(&w, (struct cor_bytes){in, n});
        struct cor_bytes text = json_text_of(&w);
        size_t len = 999;
        ROW("%zu", n);
        CHECK(json_base64_decode((struct cor_bytes){text.ptr + 1, text.len - 2}, out, &len));
        CHECK_BYTES(((struct cor_bytes){out, len}), ((struct cor_bytes){in, n}));
        json_writer_free(&w);
    }
}

static void what_is_not_base64_is_refused(void)
{
    static const char *const rows[] = {
        "A",    "AA",   "AAA",  "====", "A===",     "AA=A", "=AAA",
        "AA A", "AA-_", "Zh==", "Zm9=", "AA==AAAA", "AAA"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char out[16];
        size_t len = 0;
        ROW("%s", rows[i]);
        CHECK(!json_base64_decode(bytes_of(rows[i]), out, &len));
    }
}

static void names_are_found_in_any_case_and_the_exact_one_first(void)
{
    struct json_value *d = json_parse(
        COR_BYTES_LIT("{\"TTL\":1,\"lockdelay\":2,\"name\":3,\"Name\":4,\"NAME\":5,\"n\":6}"));
    REQUIRE(d != NULL);
    CHECK_EQ(json_get_u64(json_member_any_case(d, "ttl")), 1);
    CHECK_EQ(json_get_u64(json_member_any_case(d, "LockDelay")), 2);
    CHECK_EQ(json_get_u64(json_member_any_case(d, "Name")), 4);
    CHECK_EQ(json_get_u64(json_member_any_case(d, "nAmE")), 5); /* the last one */
    CHECK(json_member_any_case(d, "nam") == NULL);
    CHECK(json_member_any_case(d, "names") == NULL);
    CHECK(json_member_any_case(NULL, "name") == NULL);
    CHECK(json_member_any_case(json_member(d, "n"), "n") == NULL);
    json_free(d);
}

TEST_MAIN(TEST(names_are_found_in_any_case_and_the_exact_one_first),
          TEST(members_are_found_by_name_and_kind), TEST(what_is_not_json_is_refused),
          TEST(bytes_come_back_as_the_writer_took_them),
          TEST(members_of_bad_base64_are_refused), TEST(values_of_all_kinds_are_told_apart),
          TEST(questions_to_the_wrong_kind_are_answered_with_no),
          TEST(integers_are_exact_to_both_ends),
          TEST(what_is_not_json_is_refused_with_its_place), TEST(strings_are_utf8),
          TEST(nesting_has_a_limit), TEST(small_values_in_great_number_are_refused),
          TEST(what_the_writer_writes_is_read), TEST(base64_goes_both_ways),
          TEST(what_is_not_base64_is_refused))
