/*
 * What is written is JSON, is what was meant, and stays within its room.
 */
#include "json/writer.h"

#include "base/attr.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#define CHECK_TEXT(w, want) CHECK_BYTES(json_text_of(w), COR_BYTES_LIT(want))

static void fields_come_in_the_order_of_the_calls(void)
{
    char out[256];
    struct json_writer w = json_writer_of(out, sizeof out);
    json_begin_object(&w);
    json_field_text(&w, "z", "last");
    json_field_u64(&w, "a", 1);
    json_name(&w, "list");
    json_begin_array(&w);
    json_begin_array(&w);
    json_end_array(&w);
    json_begin_object(&w);
    json_end_object(&w);
    json_i64(&w, -5);
    json_null(&w);
    json_bool(&w, true);
    json_end_array(&w);
    json_field_bool(&w, "m", false);
    json_name_bytes(&w, COR_BYTES_LIT("k\0y"));
    json_begin_object(&w);
    json_field_i64(&w, "n", 3);
    json_end_object(&w);
    json_end_object(&w);
    CHECK(json_ok(&w));
    CHECK_TEXT(&w, "{\"z\":\"last\",\"a\":1,\"list\":[[],{},-5,null,true],\"m\":false,"
                   "\"k\\u0000y\":{\"n\":3}}");
}

static void pretty_text_has_a_value_on_each_line(void)
{
    char out[256];
    struct json_writer w = json_writer_of(out, sizeof out);
    json_set_pretty(&w, true);
    json_begin_object(&w);
    json_field_u64(&w, "a", 1);
    json_name(&w, "list");
    json_begin_array(&w);
    json_newline(&w);
    json_bool(&w, true);
    json_begin_object(&w);
    json_end_object(&w);
    json_end_array(&w);
    json_name(&w, "none");
    json_begin_array(&w);
    json_end_array(&w);
    json_end_object(&w);
    json_end_line(&w);
    CHECK(json_ok(&w));
    CHECK_TEXT(&w, "{\n    \"a\": 1,\n    \"list\": [\n        true,\n        {}\n    ],\n"
                   "    \"none\": []\n}\n");
    json_restart(&w);
    json_begin_array(&w);
    json_null(&w);
    json_end_array(&w);
    CHECK_TEXT(&w, "[null]");
}

static void strings_are_escaped(void)
{
    static const struct {
        struct cor_bytes in, want;
    } rows[] = {
        {COR_BYTES_INIT(""), COR_BYTES_INIT("\"\"")},
        {COR_BYTES_INIT("plain </> text"), COR_BYTES_INIT("\"plain </> text\"")},
        {COR_BYTES_INIT("\"\\\b\f\n\r\t"), COR_BYTES_INIT("\"\\\"\\\\\\b\\f\\n\\r\\t\"")},
        {COR_BYTES_INIT("\0\x01\x1f\x7f"), COR_BYTES_INIT("\"\\u0000\\u0001\\u001f\\u007f\"")},
        {COR_BYTES_INIT("\xc3\xbc \xe2\x82\xac \xf0\x9f\x9b\xb6"),
         COR_BYTES_INIT("\"\xc3\xbc \xe2\x82\xac \xf0\x9f\x9b\xb6\"")},
        {COR_BYTES_INIT("a\xff"), COR_BYTES_INIT("\"a\xef\xbf\xbd\"")},
        /* An overlong '/', a surrogate, above the last code point, a cut sequence. */
        {COR_BYTES_INIT("\xc0\xaf"), COR_BYTES_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
        {COR_BYTES_INIT("\xed\xa0\x80"),
         COR_BYTES_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
        {COR_BYTES_INIT("\xf4\x90\x80\x80"),
         COR_BYTES_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
        {COR_BYTES_INIT("\xe2\x82"), COR_BYTES_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
        {COR_BYTES_INIT("\xe2\x82x"), COR_BYTES_INIT("\"\xef\xbf\xbd\xef\xbf\xbdx\"")},
        {COR_BYTES_INIT("\xe0\x9f\xbf"),
         COR_BYTES_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%zu", i);
        char out[128];
        struct json_writer w = json_writer_of(out, sizeof out);
        json_string(&w, rows[i].in);
        CHECK(json_ok(&w));
        CHECK_BYTES(json_text_of(&w), rows[i].want);
    }
}

static void numbers_are_exact(void)
{
    char out[512];
    struct json_writer w = json_writer_of(out, sizeof out);
    json_begin_array(&w);
    json_u64(&w, 0);
    json_u64(&w, UINT64_MAX);
    json_u64(&w, 9007199254740993); /* 2^53 + 1 */
    json_i64(&w, INT64_MIN);
    json_i64(&w, INT64_MAX);
    json_decimal(&w, 1.25, 1);
    json_decimal(&w, -0.001, 3);
    json_decimal(&w, 2, 0);
    double zero = 0;
    json_decimal(&w, 1 / zero, 2);
    json_decimal(&w, zero / zero, 2);
    json_end_array(&w);
    CHECK(json_ok(&w));
    CHECK_TEXT(&w, "[0,18446744073709551615,9007199254740993,-9223372036854775808,"
                   "9223372036854775807,1.2,-0.001,2,null,null]");
}

static void bytes_become_base64(void)
{
    static const struct {
        struct cor_bytes in, want;
    } rows[] = {
        {COR_BYTES_INIT(""), COR_BYTES_INIT("\"\"")},
        {COR_BYTES_INIT("f"), COR_BYTES_INIT("\"Zg==\"")},
        {COR_BYTES_INIT("fo"), COR_BYTES_INIT("\"Zm8=\"")},
        {COR_BYTES_INIT("foo"), COR_BYTES_INIT("\"Zm9v\"")},
        {COR_BYTES_INIT("foob"), COR_BYTES_INIT("\"Zm9vYg==\"")},
        {COR_BYTES_INIT("\xfb\xff\xfe\0"), COR_BYTES_INIT("\"+//+AA==\"")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%zu", i);
        char out[64];
        struct json_writer w = json_writer_of(out, sizeof out);
        json_base64(&w, rows[i].in);
        CHECK_BYTES(json_text_of(&w), rows[i].want);
    }
}

static void write_some_of_everything(struct json_writer *w)
{
    json_begin_object(w);
    json_field_string(w, "s", COR_BYTES_LIT("a\nb\xff c"));
    json_field_base64(w, "b", COR_BYTES_LIT("12345"));
    json_field_u64(w, "u", 12345);
    json_name(w, "d");
    json_decimal(w, 0.5, 3);
    json_name(w, "l");
    json_begin_array(w);
    json_null(w);
    json_bool(w, true);
    json_end_array(w);
    json_end_object(w);
}

/* Whatever the room, nothing is written beyond it, and only the last sizes are enough. */
static void a_buffer_too_small_by_any_number_is_noticed(void)
{
    char whole[256];
    struct json_writer w = json_writer_of(whole, sizeof whole);
    write_some_of_everything(&w);
    REQUIRE(json_ok(&w));
    size_t len = json_text_of(&w).len;
    for (size_t size = 0; size <= len; size++) {
        ROW("%zu of %zu", size, len);
        char *out = malloc(size > 0 ? size : 1);
        REQUIRE(out != NULL);
        struct json_writer small = json_writer_of(out, size);
        write_some_of_everything(&small);
        CHECK_EQ(json_ok(&small), size == len);
        CHECK(json_text_of(&small).len <= size);
        free(out);
        struct json_writer own = json_writer_growing(size);
        write_some_of_everything(&own);
        CHECK_EQ(json_ok(&own), size == len);
        json_writer_free(&own);
    }
}

static void a_growing_buffer_grows(void)
{
    struct json_writer w = json_writer_growing(1 << 20);
    json_begin_array(&w);
    for (unsigned i = 0; i < 10000; i++) {
        json_u64(&w, i);
    }
    json_end_array(&w);
    CHECK(json_ok(&w));
    CHECK_EQ(json_text_of(&w).len, 10 + 90 * 2 + 900 * 3 + 9000 * 4 + 9999 + 2);
    json_writer_free(&w);
    CHECK_EQ(json_text_of(&w).len, 0);
}

static void a_document_may_leave_in_parts(void)
{
    char out[8], all[64];
    size_t n = 0;
    struct json_writer w = json_writer_of(out, sizeof out);
    json_begin_array(&w);
    for (unsigned i = 100; i < 105; i++) {
        json_u64(&w, i);
        memcpy(all + n, out, json_text_of(&w).len);
        n += json_text_of(&w).len;
        json_drain(&w);
    }
    json_end_array(&w);
    memcpy(all + n, out, json_text_of(&w).len);
    n += json_text_of(&w).len;
    CHECK(json_ok(&w));
    CHECK_BYTES(((struct cor_bytes){(unsigned char *)all, n}),
                COR_BYTES_LIT("[100,101,102,103,104]"));
}

static void nesting_goes_to_its_limit(void)
{
    char out[128];
    struct json_writer w = json_writer_of(out, sizeof out);
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++) {
        json_begin_array(&w);
    }
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++) {
        json_end_array(&w);
    }
    CHECK(json_ok(&w));
    CHECK_EQ(json_text_of(&w).len, 2 * JSON_DEPTH_MAX);
}

static void bytes_that_are_not_text_say_so_in_their_name(void)
{
    char out[128];
    struct json_writer w = json_writer_of(out, sizeof out);
    json_begin_object(&w);
    json_field_bytes(&w, "key", COR_BYTES_LIT("b\xc3\xa4r"));
    json_field_bytes(&w, "value", COR_BYTES_LIT("b\xe4r"));
    json_end_object(&w);
    CHECK_TEXT(&w, "{\"key\":\"b\xc3\xa4r\",\"value_base64\":\"YuRy\"}");
}

static void an_array_can_have_a_line_per_value(void)
{
    char out[128];
    struct json_writer w = json_writer_of(out, sizeof out);
    json_begin_array(&w);
    for (unsigned i = 0; i < 2; i++) {
        json_newline(&w);
        json_u64(&w, i);
    }
    json_newline(&w);
    json_end_array(&w);
    CHECK_TEXT(&w, "[\n0,\n1\n]");
}

static void a_buffer_serves_another_document(void)
{
    struct json_writer w = json_writer_growing(64);
    json_begin_array(&w);
    json_newline(&w);
    json_restart(&w);
    json_u64(&w, 7);
    CHECK(json_ok(&w));
    CHECK_TEXT(&w, "7");
    json_writer_free(&w);
}

TEST_MAIN(TEST(fields_come_in_the_order_of_the_calls),
          TEST(pretty_text_has_a_value_on_each_line), TEST(strings_are_escaped),
          TEST(numbers_are_exact), TEST(bytes_become_base64),
          TEST(a_buffer_too_small_by_any_number_is_noticed), TEST(a_growing_buffer_grows),
          TEST(a_document_may_leave_in_parts), TEST(nesting_goes_to_its_limit),
          TEST(bytes_that_are_not_text_say_so_in_their_name),
          TEST(an_array_can_have_a_line_per_value), TEST(a_buffer_serves_another_document))
