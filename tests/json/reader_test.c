/*
 * The reader of JSON: what is strict, what is bounded, and that bytes come back as the writer took them.
 */
#include "json/reader.h"

#include "json/writer.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

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
    char deep[2 * 40 + 1];
    memset(deep, '[', 40);
    memset(deep + 40, ']', 40);
    deep[80] = '\0';
    CHECK(json_parse(bytes_of(deep)) == NULL);
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

static void what_is_not_base64_is_refused(void)
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

TEST_MAIN(TEST(members_are_found_by_name_and_kind), TEST(what_is_not_json_is_refused),
          TEST(bytes_come_back_as_the_writer_took_them), TEST(what_is_not_base64_is_refused))
