/*
 * Replies come out of the stream as they were sent, wherever it is cut; what cannot be trusted breaks
 * the connection.
 */
#include "http/http.h"

#include "base/attr.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096u

struct seen {
    char text[TEXT_MAX];
    size_t n;
    bool in_body;
};

static void put(struct seen *s, const void *bytes, size_t n)
{
    if (n > 0 && n <= TEXT_MAX - s->n) {
        memcpy(s->text + s->n, bytes, n);
        s->n += n;
    }
}

static void put_bytes(struct seen *s, struct cor_bytes b)
{
    put(s, "[", 1);
    put(s, b.ptr, b.len);
    put(s, "]", 1);
}

static void on_head(void *arg, const struct http_reply *r)
{
    struct seen *s = arg;
    char digits[3] = {(char)('0' + r->status / 100), (char)('0' + r->status / 10 % 10),
                      (char)('0' + r->status % 10)};
    put(s, digits, 3);
    for (uint32_t i = 0; i < r->n_headers; i++) {
        put_bytes(s, r->headers[i].name);
        put_bytes(s, r->headers[i].value);
    }
    put(s, r->keep_alive ? " keep " : " close ", r->keep_alive ? 6 : 7);
}

static void on_body(void *arg, struct cor_bytes part)
{
    CHECK(part.len > 0);
    put(arg, part.ptr, part.len);
}

static void on_end(void *arg)
{
    put(arg, "|\n", 2);
}

static const struct http_reply_events events = {on_head, on_body, on_end};

struct run {
    struct seen seen;
    enum cor_status taken, closed;
};

/* @in in pieces of @step bytes, or cut in two at @cut; each piece in memory of its own. */
static void run(struct run *r, struct cor_bytes in, size_t cut, size_t step, bool to_head)
{
    *r = (struct run){.taken = COR_OK};
    struct http_reply_parser *p =
        http_reply_parser_init(malloc(http_reply_parser_size()), &events, &r->seen);
    http_reply_parser_expect(p, to_head);
    for (size_t at = 0; r->taken == COR_OK && at < in.len;) {
        size_t n = at < cut ? cut - at : step;
        n = n < in.len - at ? n : in.len - at;
        unsigned char *piece = malloc(n);
        REQUIRE(piece != NULL);
        memcpy(piece, in.ptr + at, n);
        r->taken = http_reply_parser_take(p, (struct cor_bytes){piece, n});
        free(piece);
        at += n;
    }
    r->closed = http_reply_parser_close(p);
    free(p);
}

struct row {
    const char *name;
    struct cor_bytes in, want;
    bool to_head;
};

/* clang-format off */
#define ROW_OF(name, in, want) {name, COR_BYTES_INIT(in), COR_BYTES_INIT(want), false}
#define OK "HTTP/1.1 200 OK\r\n"

static const struct row good[] = {
    ROW_OF("nothing", "", ""),
    ROW_OF("a length", OK "Content-Length: 2\r\n\r\nhi", "200[Content-Length][2] keep hi|\n"),
    ROW_OF("a length of none", OK "Content-Length: 0\r\n\r\n", "200[Content-Length][0] keep |\n"),
    ROW_OF("no reason", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", "404[Content-Length][0] keep |\n"),
    ROW_OF("an empty reason", "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", "404[Content-Length][0] keep |\n"),
    ROW_OF("chunks", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x\r\n!\r\n0\r\nA: b\r\n\r\n",
           "200[Transfer-Encoding][chunked] keep hi!|\n"),
    ROW_OF("until the end", OK "\r\nhi", "200 close hi|\n"),
    ROW_OF("until the end of nothing", OK "\r\n", "200 close |\n"),
    ROW_OF("no content", "HTTP/1.1 204 No Content\r\n\r\n" OK "Content-Length: 1\r\n\r\n!", "204 keep |\n200[Content-Length][1] keep !|\n"),
    ROW_OF("not modified, with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" OK "Content-Length: 1\r\n\r\n!",
           "304[Content-Length][9] keep |\n200[Content-Length][1] keep !|\n"),
    ROW_OF("interim replies", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" OK "Content-Length: 1\r\n\r\n!",
           "200[Content-Length][1] keep !|\n"),
    ROW_OF("close", OK "Connection: close\r\nContent-Length: 1\r\n\r\n!", "200[Connection][close][Content-Length][1] close !|\n"),
    ROW_OF("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n!", "200[Content-Length][1] close !|\n"),
    ROW_OF("HTTP/1.0, kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n!",
           "200[Connection][keep-alive][Content-Length][1] keep !|\n"),
    ROW_OF("two in a row", OK "Content-Length: 1\r\n\r\naHTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\nb",
           "200[Content-Length][1] keep a|\n500[Content-Length][1] keep b|\n"),
    {"to a HEAD", COR_BYTES_INIT(OK "Content-Length: 5\r\n\r\n"), COR_BYTES_INIT("200[Content-Length][5] keep |\n"), true},
    {"to a HEAD, chunked", COR_BYTES_INIT(OK "Transfer-Encoding: chunked\r\n\r\n"), COR_BYTES_INIT("200[Transfer-Encoding][chunked] keep |\n"), true},
};

static const struct row bad[] = {
    ROW_OF("not HTTP", "SSH-2.0-x\r\n", ""),
    ROW_OF("HTTP/1.2", "HTTP/1.2 200 OK\r\n", ""),
    ROW_OF("no status", "HTTP/1.1\r\n", ""),
    ROW_OF("half a status", "HTTP/1.1 20\r\n", ""),
    ROW_OF("HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", ""),
    ROW_OF("a status of letters", "HTTP/1.1 abc OK\r\n\r\n", ""),
    ROW_OF("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", ""),
    ROW_OF("a status below 100", "HTTP/1.1 99 OK\r\n\r\n", ""),
    ROW_OF("a switch nobody asked for", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", ""),
    ROW_OF("a bare LF", "HTTP/1.1 200 OK\n\r\n", ""),
    ROW_OF("both framings", OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
    ROW_OF("a length and an empty coding", OK "Content-Length: 1\r\nTransfer-Encoding:\r\n\r\n", ""),
    ROW_OF("two lengths", OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", ""),
    ROW_OF("another coding", OK "Transfer-Encoding: gzip\r\n\r\n", ""),
    ROW_OF("a bad chunk", OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab", "200[Transfer-Encoding][chunked] keep a"),
    ROW_OF("bytes behind the last reply", OK "Connection: close\r\nContent-Length: 1\r\n\r\n!x",
           "200[Connection][close][Content-Length][1] close !|\n"),
};
/* clang-format on */

static void check_everywhere(const struct row *row, enum cor_status taken)
{
    for (size_t i = 0; i < row->in.len + 4; i++) {
        static struct run r;
        bool stepping = i >= row->in.len;
        run(&r, row->in, stepping ? 0 : i, stepping ? i - row->in.len + 1 : SIZE_MAX,
            row->to_head);
        ROW("%s, cut %zu", row->name, i);
        CHECK_EQ(r.taken, taken);
        CHECK_EQ(r.closed, taken);
        CHECK_BYTES(((struct cor_bytes){(unsigned char *)r.seen.text, r.seen.n}), row->want);
    }
}

static void replies_come_out_wherever_they_are_cut(void)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        check_everywhere(&good[i], COR_OK);
    }
}

static void what_cannot_be_trusted_breaks_the_connection(void)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        check_everywhere(&bad[i], COR_EPROTO);
    }
}

/* Every proper prefix of a reply with a known end is the middle of one. */
static void an_end_in_the_middle_is_noticed(void)
{
    static const struct cor_bytes rows[] = {
        COR_BYTES_INIT(OK "Content-Length: 2\r\n\r\nhi"),
        COR_BYTES_INIT(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t n = 1; n <= rows[i].len; n++) {
            static struct run r;
            run(&r, (struct cor_bytes){rows[i].ptr, n}, 0, SIZE_MAX, false);
            ROW("%zu: %zu bytes", i, n);
            CHECK_EQ(r.taken, COR_OK);
            CHECK_EQ(r.closed, n < rows[i].len ? COR_EPROTO : COR_OK);
        }
    }
}

static void a_head_over_the_limit_is_too_big(void)
{
    size_t len = HTTP_HEAD_MAX + 100;
    char *in = malloc(len);
    REQUIRE(in != NULL);
    memset(in, 'a', len);
    memcpy(in, OK "A: ", sizeof OK + 2);
    for (size_t step = 1000; step < 2 * len; step += len) {
        static struct run r;
        run(&r, (struct cor_bytes){(unsigned char *)in, len}, 0, step, false);
        CHECK_EQ(r.taken, COR_ETOOBIG);
    }
    free(in);
}

TEST_MAIN(TEST(replies_come_out_wherever_they_are_cut),
          TEST(what_cannot_be_trusted_breaks_the_connection),
          TEST(an_end_in_the_middle_is_noticed), TEST(a_head_over_the_limit_is_too_big))
