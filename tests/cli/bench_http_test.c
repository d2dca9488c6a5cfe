/*
 * The generator's requests are what they should be, and its reader takes replies apart wherever they are cut.
 */
#include "cli/bench_http.h"

#include "coracle/bytes.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

static void a_put_carries_its_key_and_its_time(void)
{
    struct bench_template t;
    REQUIRE(bench_template_put(&t, "h:1", 30));
    unsigned char out[256];
    REQUIRE(t.len <= sizeof out);
    bench_template_fill(&t, 42, 1234567890123, out);
    CHECK_BYTES(((struct cor_bytes){out, t.len}),
                COR_BYTES_LIT("POST /db/bench000000000042 HTTP/1.1\r\nHost: h:1\r\n"
                              "Content-Length: 30\r\n\r\n00000001234567890123vvvvvvvvvv"));
    bench_template_free(&t);
}

static void a_short_value_has_no_room_for_the_time(void)
{
    struct bench_template t;
    REQUIRE(bench_template_put(&t, "h:1", 3));
    unsigned char out[256];
    bench_template_fill(&t, 999999999999, 7, out);
    CHECK_BYTES(((struct cor_bytes){out, t.len}),
                COR_BYTES_LIT("POST /db/bench999999999999 HTTP/1.1\r\nHost: h:1\r\n"
                              "Content-Length: 3\r\n\r\nvvv"));
    bench_template_free(&t);
}

static void gets_name_their_mode_unless_it_is_the_default(void)
{
    static const struct {
        const char *mode, *target;
    } rows[] = {{"default", "GET /db/bench000000000000 HTTP"},
                {"stale", "GET /db/bench000000000000?stale HTTP"},
                {"consistent", "GET /db/bench000000000000?consistent HTTP"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].mode);
        struct bench_template t;
        REQUIRE(bench_template_get(&t, "h:1", rows[i].mode));
        CHECK(memcmp(t.bytes, rows[i].target, strlen(rows[i].target)) == 0);
        bench_template_free(&t);
    }
}

static const char reply[] = "HTTP/1.1 201 Created\r\nX-A: b\r\ncontent-LENGTH:  5\r\n\r\nhello";

static void a_reply_is_read_wherever_it_is_cut(void)
{
    size_t whole = sizeof reply - 1;
    for (size_t n = 0; n <= whole; n++) {
        ROW("%zu bytes", n);
        unsigned char *exact = malloc(n + 1); /* so that ASan sees a step too far */
        REQUIRE(exact != NULL);
        memcpy(exact, reply, n);
        unsigned char *view = realloc(exact, n > 0 ? n : 1);
        unsigned status = 0;
        size_t len = 0;
        enum bench_reply r = bench_reply_read(view, n, &status, &len);
        CHECK_EQ(r, n < whole ? BENCH_REPLY_MORE : BENCH_REPLY_WHOLE);
        if (r == BENCH_REPLY_WHOLE) {
            CHECK_EQ(status, 201);
            CHECK_EQ(len, whole);
        }
        free(view);
    }
}

static void odd_replies(void)
{
    static const struct {
        const char *text;
        enum bench_reply want;
        unsigned status;
        size_t len;
    } rows[] = {
        {"HTTP/1.1 204 No Content\r\n\r\nHTTP", BENCH_REPLY_WHOLE, 204, 27},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", BENCH_REPLY_WHOLE, 404, 45},
        {"HTTP/1.1 200 OK\r\n\r\n", BENCH_REPLY_BAD, 0, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", BENCH_REPLY_BAD, 0, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", BENCH_REPLY_BAD, 0,
         0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello", BENCH_REPLY_BAD, 0, 0},
        {"HTTP/1.1 200 OK\r\nContent\rLength: 0\r\n\r\n", BENCH_REPLY_BAD, 0, 0},
        {"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n", BENCH_REPLY_BAD, 0, 0},
        {"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", BENCH_REPLY_BAD, 0, 0},
        {"HTTP/1.1 200\r\n\r\n", BENCH_REPLY_BAD, 0, 0},
        {"HTTP/1.1 204\r\n\r\n", BENCH_REPLY_WHOLE, 204, 16},
        {"SSH-2.0-Open\r\n\r\n", BENCH_REPLY_BAD, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].text);
        unsigned status = 0;
        size_t len = 0;
        CHECK_EQ(bench_reply_read((const unsigned char *)rows[i].text, strlen(rows[i].text),
                                  &status, &len),
                 rows[i].want);
        if (rows[i].want == BENCH_REPLY_WHOLE) {
            CHECK_EQ(status, rows[i].status);
            CHECK_EQ(len, rows[i].len);
        }
    }
}

TEST_MAIN(TEST(a_put_carries_its_key_and_its_time),
          TEST(a_short_value_has_no_room_for_the_time),
          TEST(gets_name_their_mode_unless_it_is_the_default),
          TEST(a_reply_is_read_wherever_it_is_cut), TEST(odd_replies))
