/*
 * Heads of responses say what follows them; escapes of targets go both ways.
 */
#include "http/http.h"

#include "base/attr.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#define TYPE .content_type = COR_BYTES_INIT("text/plain")

static const struct {
    const char *name;
    struct http_response r;
    bool minor_0;
    struct cor_bytes want;
} heads[] = {
    {"a body",
     {.status = 200, TYPE, .body_len = 1234567890123},
     false,
     COR_BYTES_INIT("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
                    "1234567890123\r\n\r\n")},
    {"no body",
     {.status = 404},
     false,
     COR_BYTES_INIT("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")},
    {"extra headers",
     {.status = 201, .extra = COR_BYTES_INIT("A: b\r\nC: d\r\n")},
     false,
     COR_BYTES_INIT("HTTP/1.1 201 Created\r\nContent-Length: 0\r\nA: b\r\nC: d\r\n\r\n")},
    {"close",
     {.status = 400, .close = true},
     false,
     COR_BYTES_INIT(
         "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")},
    {"chunks",
     {.status = 200, .chunked = true},
     false,
     COR_BYTES_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")},
    {"no content",
     {.status = 204, .body_len = 0},
     false,
     COR_BYTES_INIT("HTTP/1.1 204 No Content\r\n\r\n")},
    {"not modified",
     {.status = 304},
     false,
     COR_BYTES_INIT("HTTP/1.1 304 Not Modified\r\n\r\n")},
    {"to HTTP/1.0, kept",
     {.status = 200, .body_len = 1},
     true,
     COR_BYTES_INIT("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n")},
    {"to HTTP/1.0, closed",
     {.status = 200, .body_len = 1, .close = true},
     true,
     COR_BYTES_INIT("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n")},
    {"to HTTP/1.0, of unknown length",
     {.status = 200, .chunked = true},
     true,
     COR_BYTES_INIT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")},
    {"an odd status",
     {.status = 299},
     false,
     COR_BYTES_INIT("HTTP/1.1 299 Unknown\r\nContent-Length: 0\r\n\r\n")},
};

static void heads_say_what_follows(void)
{
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        ROW("%s", heads[i].name);
        char out[256];
        size_t n = http_response_head(&heads[i].r, heads[i].minor_0, out, sizeof out);
        CHECK_BYTES(((struct cor_bytes){(unsigned char *)out, n}), heads[i].want);
        for (size_t size = 0; size <= n; size++) {
            char *exact = malloc(size > 0 ? size : 1);
            size_t got = http_response_head(&heads[i].r, heads[i].minor_0, exact, size);
            CHECK_EQ(got, size < n ? 0 : n);
            free(exact);
        }
    }
}

static void chunk_heads_are_hex(void)
{
    char out[32];
    CHECK_EQ(http_chunk_head(0x1a2, out, sizeof out), 5);
    CHECK(memcmp(out, "1a2\r\n", 5) == 0);
    CHECK_EQ(http_chunk_head(SIZE_MAX, out, sizeof out), 18);
    CHECK_EQ(http_chunk_head(0x1a2, out, 4), 0);
}

/* What the parser of the client's side reads is what was written. */
static void on_head(void *arg, const struct http_reply *r)
{
    *(unsigned *)arg = r->status;
}

static void on_body(void *arg, struct cor_bytes part)
{
    (void)arg;
    (void)part;
}

static void on_end(void *arg)
{
    *(unsigned *)arg += 1000;
}

static void our_client_reads_our_heads(void)
{
    static const struct http_reply_events events = {on_head, on_body, on_end};
    struct http_reply_parser *p;
    unsigned seen = 0;
    for (unsigned status = 200; status < 600; status++) {
        struct http_response r = {.status = status, TYPE, .extra = COR_BYTES_INIT("A: b\r\n")};
        char out[256];
        size_t n = http_response_head(&r, false, out, sizeof out);
        void *memory = malloc(http_reply_parser_size());
        p = http_reply_parser_init(memory, &events, &seen);
        ROW("%u", status);
        CHECK_EQ(http_reply_parser_take(p, (struct cor_bytes){(unsigned char *)out, n}),
                 COR_OK);
        CHECK_EQ(seen, status + 1000);
        free(memory);
    }
}

static void escapes_are_decoded(void)
{
    static const struct {
        struct cor_bytes in, path, query;
        bool ok;
    } rows[] = {
        {COR_BYTES_INIT(""), COR_BYTES_INIT(""), COR_BYTES_INIT(""), true},
        {COR_BYTES_INIT("a%2Fb%2fc"), COR_BYTES_INIT("a/b/c"), COR_BYTES_INIT("a/b/c"), true},
        {COR_BYTES_INIT("%00%ff"), COR_BYTES_INIT("\0\xff"), COR_BYTES_INIT("\0\xff"), true},
        {COR_BYTES_INIT("a+b%2B"), COR_BYTES_INIT("a+b+"), COR_BYTES_INIT("a b+"), true},
        {COR_BYTES_INIT("%2525"), COR_BYTES_INIT("%25"), COR_BYTES_INIT("%25"), true},
        {.in = COR_BYTES_INIT("%")},
        {.in = COR_BYTES_INIT("a%4")},
        {.in = COR_BYTES_INIT("%4g")},
        {.in = COR_BYTES_INIT("%g4")},
        {.in = COR_BYTES_INIT("%%41")},
        {.in = COR_BYTES_INIT("%+1")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%zu", i);
        unsigned char out[16];
        size_t len = 99;
        CHECK_EQ(http_percent_decode(rows[i].in, out, &len), rows[i].ok);
        CHECK_EQ(len == 99, !rows[i].ok);
        if (rows[i].ok) {
            CHECK_BYTES(((struct cor_bytes){out, len}), rows[i].path);
            CHECK(http_query_decode(rows[i].in, out, &len));
            CHECK_BYTES(((struct cor_bytes){out, len}), rows[i].query);
        }
    }
}

static void any_key_survives_being_encoded(void)
{
    unsigned char key[256], back[768];
    char out[768];
    for (unsigned i = 0; i < 256; i++) {
        key[i] = (unsigned char)i;
    }
    size_t n = http_percent_encode((struct cor_bytes){key, sizeof key}, out, sizeof out), len;
    REQUIRE(n != SIZE_MAX);
    CHECK_EQ(n, 256 + 2 * (256 - 67));
    CHECK(http_percent_decode((struct cor_bytes){(unsigned char *)out, n}, back, &len));
    CHECK_BYTES(((struct cor_bytes){back, len}), ((struct cor_bytes){key, sizeof key}));
    CHECK(http_query_decode((struct cor_bytes){(unsigned char *)out, n}, back, &len));
    CHECK_BYTES(((struct cor_bytes){back, len}), ((struct cor_bytes){key, sizeof key}));
    CHECK_EQ(http_percent_encode((struct cor_bytes){key, sizeof key}, out, n - 1), SIZE_MAX);
    CHECK_EQ(http_percent_encode(COR_BYTES_LIT("a/b c\xc3"), out, sizeof out), 10);
    CHECK(memcmp(out, "a/b%20c%C3", 10) == 0);
}

static void queries_are_walked(void)
{
    struct cor_bytes rest = COR_BYTES_LIT("&a=1&b&&c=&=d&e=f=g&"), name, value;
    static const struct {
        struct cor_bytes name, value;
        bool has_value;
    } want[] = {{COR_BYTES_INIT("a"), COR_BYTES_INIT("1"), true},
                {COR_BYTES_INIT("b"), COR_BYTES_INIT(""), false},
                {COR_BYTES_INIT("c"), COR_BYTES_INIT(""), true},
                {COR_BYTES_INIT(""), COR_BYTES_INIT("d"), true},
                {COR_BYTES_INIT("e"), COR_BYTES_INIT("f=g"), true}};
    bool has_value;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        ROW("%zu", i);
        REQUIRE(http_query_next(&rest, &name, &value, &has_value));
        CHECK_BYTES(name, want[i].name);
        CHECK_BYTES(value, want[i].value);
        CHECK_EQ(has_value, want[i].has_value);
    }
    CHECK(!http_query_next(&rest, &name, &value, &has_value));
    CHECK(!http_query_next(&rest, &name, &value, &has_value));
}

TEST_MAIN(TEST(heads_say_what_follows), TEST(chunk_heads_are_hex),
          TEST(our_client_reads_our_heads), TEST(escapes_are_decoded),
          TEST(any_key_survives_being_encoded), TEST(queries_are_walked))
