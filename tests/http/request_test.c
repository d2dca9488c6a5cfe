/*
 * Requests come out of the stream as they were sent, wherever the stream is cut, and what is not a
 * request of HTTP/1.1 is refused with the status that says why.
 */
#include "http/http.h"

#include "base/attr.h"
#include "base/format.h"
#include "tests/http/feed.h"
#include "tests/support/test.h"

/* What comes of @in, cut into pieces of @step bytes, or in two at @cut. */
static struct feed run(struct cor_bytes in, size_t cut, size_t step)
{
    struct feed f = feed_new(FEED_BODY_MAX);
    feed_start(&f);
    size_t at = 0;
    bool going = true;
    while (going && at < in.len) {
        size_t n = at < cut ? cut - at : step;
        n = n < in.len - at ? n : in.len - at;
        going = feed_piece(&f, (struct cor_bytes){in.ptr + at, n});
        at += n;
    }
    return f;
}

static void check_everywhere(struct cor_bytes in, struct cor_bytes want)
{
    struct feed whole = run(in, 0, SIZE_MAX);
    CHECK_BYTES(feed_text(&whole), want);
    for (size_t cut = 1; cut < in.len; cut++) {
        struct feed f = run(in, cut, SIZE_MAX);
        bool same = f.n == want.len && memcmp(f.text, want.ptr, want.len) == 0;
        if (!same) {
            ROW("cut at %zu of %zu", cut, in.len);
            CHECK_BYTES(feed_text(&f), want);
            cut = in.len;
        }
        feed_free(&f);
    }
    for (size_t step = 1; step < 4; step++) {
        struct feed f = run(in, 0, step);
        CHECK_BYTES(feed_text(&f), want);
        feed_free(&f);
    }
    feed_free(&whole);
}

struct row {
    const char *name;
    struct cor_bytes in, want;
};

#define H " HTTP/1.1\r\nHost: h\r\n"
/* clang-format off */
#define ROW_OF(name, in, want) {name, COR_BYTES_INIT(in), COR_BYTES_INIT(want)}

static const struct row good[] = {
    ROW_OF("the smallest", "GET /" H "\r\n", "[GET][/][/][][Host][h][] keep\n"),
    ROW_OF("a query", "GET /a/b?c=d&e?f" H "\r\n", "[GET][/a/b?c=d&e?f][/a/b][c=d&e?f][Host][h][] keep\n"),
    ROW_OF("an empty query", "GET /a?" H "\r\n", "[GET][/a?][/a][][Host][h][] keep\n"),
    ROW_OF("escapes stay", "GET /a%2Fb%zz" H "\r\n", "[GET][/a%2Fb%zz][/a%2Fb%zz][][Host][h][] keep\n"),
    ROW_OF("a whole URI", "GET http://x:1/a?b" H "\r\n", "[GET][http://x:1/a?b][/a][b][Host][h][] keep\n"),
    ROW_OF("a URI without path", "GET HTTPS://x?b" H "\r\n", "[GET][HTTPS://x?b][/][b][Host][h][] keep\n"),
    ROW_OF("the asterisk", "OPTIONS *" H "\r\n", "[OPTIONS][*][*][][Host][h][] keep\n"),
    ROW_OF("an empty line first", "\r\nGET /" H "\r\n", "[GET][/][/][][Host][h][] keep\n"),
    ROW_OF("white space around values", "GET / HTTP/1.1\r\nHost: \t h \t \r\nA:\r\nB: \r\nC:d e\r\n\r\n",
           "[GET][/][/][][Host][h][A][][B][][C][d e][] keep\n"),
    ROW_OF("bytes above ASCII in values", "GET / HTTP/1.1\r\nhOST: h\r\nA: \xc3\xbc\xff\r\n\r\n",
           "[GET][/][/][][hOST][h][A][\xc3\xbc\xff][] keep\n"),
    ROW_OF("a body", "PUT /k" H "Content-Length: 5\r\n\r\nhello", "[PUT][/k][/k][][Host][h][Content-Length][5][hello] keep\n"),
    ROW_OF("a body of any bytes", "PUT /k" H "Content-Length: 4\r\n\r\n\0\r\n\xff",
           "[PUT][/k][/k][][Host][h][Content-Length][4][\0\r\n\xff] keep\n"),
    ROW_OF("an empty body", "PUT /k" H "Content-Length: 0\r\n\r\n", "[PUT][/k][/k][][Host][h][Content-Length][0][] keep\n"),
    ROW_OF("chunks", "PUT /k" H "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n00A;x=\"y\";z\r\n0123456789\r\n0\r\n\r\n",
           "[PUT][/k][/k][][Host][h][Transfer-Encoding][CHUNKED][abc0123456789] keep\n"),
    ROW_OF("trailers", "PUT /k" H "Transfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\nA: b\r\nC:\td\r\n\r\n",
           "[PUT][/k][/k][][Host][h][Transfer-Encoding][chunked][\n] keep\n"),
    ROW_OF("no chunks", "PUT /k" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "[PUT][/k][/k][][Host][h][Transfer-Encoding][chunked][] keep\n"),
    ROW_OF("HEAD", "HEAD /" H "\r\n", "[HEAD][/][/][][Host][h][] keep HEAD\n"),
    ROW_OF("close", "GET /" H "Connection: x, close\r\n\r\n", "[GET][/][/][][Host][h][Connection][x, close][] close\n"),
    ROW_OF("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "[GET][/][/][][] close 1.0\n"),
    ROW_OF("HTTP/1.0, keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
           "[GET][/][/][][Connection][Keep-Alive][] keep 1.0\n"),
    ROW_OF("HTTP/1.0 with an expectation", "PUT / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\n!",
           "[PUT][/][/][][Expect][x][Content-Length][1][!] close 1.0\n"),
    ROW_OF("an upgrade is ignored", "GET /" H "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /b" H "\r\n",
           "[GET][/][/][][Host][h][Connection][Upgrade][Upgrade][h2c][] keep\n[GET][/b][/b][][Host][h][] keep\n"),
    ROW_OF("an upgrade with a body", "POST /" H "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhiGET /b" H "\r\n",
           "[POST][/][/][][Host][h][Connection][Upgrade][Upgrade][x][Content-Length][2][hi] keep\n[GET][/b][/b][][Host][h][] keep\n"),
    ROW_OF("three in a row", "PUT /a" H "Content-Length: 1\r\n\r\n1PUT /b" H "Transfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\nGET /c" H "\r\n",
           "[PUT][/a][/a][][Host][h][Content-Length][1][1] keep\n"
           "[PUT][/b][/b][][Host][h][Transfer-Encoding][chunked][2] keep\n"
           "[GET][/c][/c][][Host][h][] keep\n"),
    ROW_OF("an expectation, and the body at once", "PUT /k" H "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\nhi",
           "[PUT][/k][/k][][Host][h][Expect][100-Continue][Content-Length][2][hi] keep\n"),
    ROW_OF("Hosts", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n",
           "[GET][/][/][][Host][[::1]:80][] keep\n[GET][/][/][][Host][][] keep\n"),
};

static const struct row bad[] = {
    ROW_OF("HTTP/0.9", "GET /\r\n", "400 not a request of HTTP/1.1 or 1.0"),
    ROW_OF("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 not a request of HTTP/1.1 or 1.0"),
    ROW_OF("HTTP/1.2", "GET / HTTP/1.2\r\n", "400 not a request of HTTP/1.1 or 1.0"),
    ROW_OF("lower case", "GET / http/1.1\r\n", "400 not a request of HTTP/1.1 or 1.0"),
    ROW_OF("a TLS hello", "\x16\x03\x01\x02", "400 a control character"),
    ROW_OF("a NUL", "GET /\0 HTTP/1.1\r\n", "400 a control character"),
    ROW_OF("garbage", "garbage\r\n", "400 not a request of HTTP/1.1 or 1.0"),
    ROW_OF("a version alone", " HTTP/1.1\r\n", "400 not a request of HTTP/1.1 or 1.0"),
    ROW_OF("no target", "GET HTTP/1.1\r\n", "400 a request line without method and target"),
    ROW_OF("two empty lines first", "\r\n\r\nGET /" H "\r\n", "400 empty lines before the request"),
    ROW_OF("two spaces", "GET  / HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("a space behind the target", "GET /  HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("a space in the target", "GET /a b HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("a tab in the target", "GET /a\tb HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("a fragment", "GET /a#b HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("raw UTF-8", "GET /\xc3\xbc HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("a relative path", "GET a HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("the asterisk for GET", "GET * HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("another scheme", "GET ftp://x/ HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("a URI without host", "GET http:///a HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("CONNECT", "CONNECT x:1 HTTP/1.1\r\n", "400 the request's target is malformed; is it percent-encoded?"),
    ROW_OF("an unknown method", "FOO /" H "\r\n", "501 Invalid method encountered"),
    ROW_OF("a method in lower case", "get /" H "\r\n", "501 Invalid method encountered"),
    ROW_OF("a bare LF in the line", "GET / HTTP/1.1\nHost: h\r\n\r\n", "400 a line ends in a bare LF"),
    ROW_OF("a bare LF in a header", "GET / HTTP/1.1\r\nHost: h\n\r\n", "400 a line ends in a bare LF"),
    ROW_OF("a bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n", "400 a line ends in a bare LF"),
    ROW_OF("a bare CR", "GET / HTTP/1.1\r\nHost: h\rA: b\r\n\r\n", "400 a bare CR"),
    ROW_OF("two CRs", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", "400 a bare CR"),
    ROW_OF("a folded header", "GET / HTTP/1.1\r\nHost: h\r\n x\r\n\r\n", "400 a folded header line"),
    ROW_OF("a first header folded", "GET / HTTP/1.1\r\n\tHost: h\r\n\r\n", "400 a folded header line"),
    ROW_OF("a space before the colon", "GET /" H "A : b\r\n\r\n", "400 Invalid header token"),
    ROW_OF("no colon", "GET /" H "Ab\r\n\r\n", "400 Invalid header token"),
    ROW_OF("no name", "GET /" H ": b\r\n\r\n", "400 a header without a name"),
    ROW_OF("a name in quotes", "GET /" H "\"a\": b\r\n\r\n", "400 Invalid header token"),
    ROW_OF("a name above ASCII", "GET /" H "\xc3\xbc: b\r\n\r\n", "400 Invalid header token"),
    ROW_OF("a DEL in a value", "GET /" H "A: b\x7f\r\n\r\n", "400 Invalid header value char"),
    ROW_OF("no Host", "GET / HTTP/1.1\r\n\r\n", "400 HTTP/1.1 needs one well-formed Host header"),
    ROW_OF("two Hosts", "GET /" H "Host: h\r\n\r\n", "400 HTTP/1.1 needs one well-formed Host header"),
    ROW_OF("two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", "400 HTTP/1.1 needs one well-formed Host header"),
    ROW_OF("a Host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 HTTP/1.1 needs one well-formed Host header"),
    ROW_OF("a Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 HTTP/1.1 needs one well-formed Host header"),
    ROW_OF("both framings", "PUT /" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Content-Length can't be present with Transfer-Encoding"),
    ROW_OF("both framings, turned", "PUT /" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "400 Content-Length can't be present with Transfer-Encoding"),
    ROW_OF("two lengths", "PUT /" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", "400 Duplicate Content-Length"),
    ROW_OF("a list of lengths", "PUT /" H "Content-Length: 3, 3\r\n\r\n", "400 Invalid character in Content-Length"),
    ROW_OF("a signed length", "PUT /" H "Content-Length: +3\r\n\r\n", "400 Invalid character in Content-Length"),
    ROW_OF("a negative length", "PUT /" H "Content-Length: -3\r\n\r\n", "400 Invalid character in Content-Length"),
    ROW_OF("a length in hex", "PUT /" H "Content-Length: 0x3\r\n\r\n", "400 Invalid character in Content-Length"),
    ROW_OF("a length in two parts", "PUT /" H "Content-Length: 3 3\r\n\r\n", "400 Invalid character in Content-Length"),
    ROW_OF("an empty length", "PUT /" H "Content-Length:\r\n\r\n", "400 Empty Content-Length"),
    ROW_OF("a length of blanks", "PUT /" H "Content-Length:  \r\n\r\n", "400 Empty Content-Length"),
    ROW_OF("a length beyond 64 bits", "PUT /" H "Content-Length: 18446744073709551616\r\n\r\n", "400 Content-Length overflow"),
    ROW_OF("a length over the limit", "PUT /" H "Content-Length: 1001\r\n\r\n", "413 the request's body is too large"),
    ROW_OF("the largest length", "PUT /" H "Content-Length: 18446744073709551615\r\n\r\n", "413 the request's body is too large"),
    ROW_OF("a large length, expected", "PUT /" H "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n", "413 the request's body is too large"),
    ROW_OF("another coding", "PUT /" H "Transfer-Encoding: gzip\r\n\r\n", "501 a transfer coding other than chunked"),
    ROW_OF("another coding first", "PUT /" H "Transfer-Encoding: gzip, chunked\r\n\r\n", "501 a transfer coding other than chunked"),
    ROW_OF("another coding last", "PUT /" H "Transfer-Encoding: chunked, gzip\r\n\r\n", "400 Invalid `Transfer-Encoding` header value"),
    ROW_OF("nearly chunked", "PUT /" H "Transfer-Encoding: xchunked\r\n\r\n", "501 a transfer coding other than chunked"),
    ROW_OF("an empty coding", "PUT /" H "Transfer-Encoding:\r\n\r\n", "501 a transfer coding other than chunked"),
    ROW_OF("two codings", "PUT /" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Invalid `Transfer-Encoding` header value"),
    ROW_OF("an empty coding and another", "PUT /" H "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n\r\n", "400 more than one framing of the body"),
    ROW_OF("a length and an empty coding", "PUT /" H "Content-Length: 3\r\nTransfer-Encoding:\r\n\r\n", "400 more than one framing of the body"),
    ROW_OF("chunks in HTTP/1.0", "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Transfer-Encoding in HTTP/1.0"),
    ROW_OF("another expectation", "PUT /" H "Expect: a-miracle\r\nContent-Length: 1\r\n\r\n", "417 an expectation other than 100-continue"),
};

#define C "PUT /" H "Transfer-Encoding: chunked\r\n\r\n"
static const struct row chunks[] = {
    ROW_OF("no size", C "\r\n", "400 a malformed chunk"),
    ROW_OF("a sign", C "-1\r\n", "400 a malformed chunk"),
    ROW_OF("0x", C "0x1\r\na\r\n", "400 a malformed chunk"),
    ROW_OF("a blank before the size", C " 1\r\n", "400 a malformed chunk"),
    ROW_OF("a blank behind the size", C "1 \r\n", "400 a malformed chunk"),
    ROW_OF("a size beyond 64 bits", C "10000000000000000\r\n", "400 a malformed chunk"),
    ROW_OF("the largest size", C "ffffffffffffffff\r\n", "413 the request's body is too large"),
    ROW_OF("one over the limit", C "3e9\r\n", "413 the request's body is too large"),
    ROW_OF("over the limit together", C "1\r\na\r\n3e8\r\n", "413 the request's body is too large"),
    ROW_OF("a bare LF behind the size", C "1\na\r\n", "400 a malformed chunk"),
    ROW_OF("a bare CR behind the size", C "1\ra", "400 a malformed chunk"),
    ROW_OF("a bare LF in an extension", C "1;a\n", "400 a malformed chunk"),
    ROW_OF("a bare LF behind the data", C "1\r\na\n", "400 a malformed chunk"),
    ROW_OF("too much data", C "1\r\nab", "400 a malformed chunk"),
    ROW_OF("a bare CR behind the data", C "1\r\na\rb", "400 a malformed chunk"),
    ROW_OF("a bare LF at the end", C "0\r\n\n", "400 a malformed chunk"),
    ROW_OF("a bare CR at the end", C "0\r\n\ra", "400 a malformed chunk"),
    ROW_OF("a bare LF behind a trailer", C "0\r\nA: b\n", "400 a malformed chunk"),
    ROW_OF("a folded trailer", C "0\r\nA: b\r\n c\r\n", "400 a malformed chunk"),
    ROW_OF("a control character in a trailer", C "0\r\nA: \x01", "400 a malformed chunk"),
};
/* clang-format on */

static void what_was_sent_comes_out_wherever_it_is_cut(void)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ROW("%s", good[i].name);
        check_everywhere(good[i].in, good[i].want);
    }
}

static void what_is_wrong_is_refused_wherever_it_is_cut(void)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ROW("%s", bad[i].name);
        check_everywhere(bad[i].in, bad[i].want);
    }
}

static void malformed_chunks_are_refused_wherever_they_are_cut(void)
{
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        ROW("%s", chunks[i].name);
        check_everywhere(chunks[i].in, chunks[i].want);
    }
}

/* Every byte in every place of a small request: a token, a target or a value takes what its grammar
 * takes (RFC 9110 5.5, 5.6.2; RFC 3986), and nothing else. */
static void each_byte_is_allowed_where_the_grammar_allows_it(void)
{
    static const char base[] = "GET /a HTTP/1.1\r\nHost: h\r\nA-b: c\r\n\r\n";
    static const struct {
        const char *name;
        size_t at;
        const char *also; /* besides letters and digits; a colon ends a name earlier */
    } rows[] = {
        {"target", 5, "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
        {"header name", 27, ":!#$%&'*+-.^_`|~"},
        {"host", 23, "!$%&'()*+,-.:;=[]_~ \t"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (unsigned c = 0; c < 256; c++) {
            char in[sizeof base];
            memcpy(in, base, sizeof base);
            in[rows[i].at] = (char)c;
            struct feed f = run((struct cor_bytes){(unsigned char *)in, sizeof in - 1}, 0, 40);
            bool letter =
                (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            bool want = letter || (c != 0 && strchr(rows[i].also, (int)c) != NULL);
            ROW("%s: byte %u", rows[i].name, c);
            CHECK_EQ(f.text[0] == '[', want);
            CHECK(f.n > 4);
            feed_free(&f);
        }
    }
}

/* The scan goes by words of eight bytes: a control character is seen in every place of one. */
static void no_control_character_passes_anywhere(void)
{
    static const char base[] = "GET / HTTP/1.1\r\nHost: h\r\nA: aaaaaaaaaaaaaaaaaaaaaaa";
    for (unsigned c = 0; c < 0x20; c++) {
        for (size_t at = sizeof base - 20; at < sizeof base - 1; at++) {
            char in[sizeof base];
            memcpy(in, base, sizeof base);
            in[at] = (char)c;
            struct feed f = run((struct cor_bytes){(unsigned char *)in, sizeof in - 1}, 0, 64);
            bool end_of_input = c == '\r' && at == sizeof base - 2;
            ROW("byte %u at %zu", c, at);
            CHECK_EQ(f.n > 4,
                     c != '\t' && !end_of_input); /* refused, before the head is whole */
            feed_free(&f);
        }
    }
}

/* A head of exactly @len bytes: a target or a header made as long as needed. */
static char *head_of(size_t len, bool target)
{
    char *out = malloc(len + 1);
    if (out != NULL) {
        const char *front = target ? "GET /" : "GET / HTTP/1.1\r\nHost: h\r\nA: ";
        const char *end = target ? " HTTP/1.1\r\nHost: h\r\n\r\n" : "\r\n\r\n";
        memset(out, 'a', len);
        memcpy(out, front, strlen(front));
        memcpy(out + len - strlen(end), end, strlen(end) + 1);
    }
    return out;
}

static void heads_and_targets_go_to_their_limits(void)
{
    size_t target = HTTP_TARGET_MAX + sizeof "GET  HTTP/1.1\r\nHost: h\r\n\r\n" - 1;
    struct {
        size_t len;
        bool target;
        const char *want;
    } rows[] = {{HTTP_HEAD_MAX, false, "[GET]"},    {HTTP_HEAD_MAX + 1, false, "431 "},
                {2 * HTTP_HEAD_MAX, false, "431 "}, {target, true, "[GET]"},
                {target + 1, true, "414 "},         {target + 1000, true, "414 "},
                {4 * HTTP_HEAD_MAX, true, "414 "}};
    static const size_t steps[] = {SIZE_MAX, 1, 1000, HTTP_HEAD_MAX - 1};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *in = head_of(rows[i].len, rows[i].target);
        REQUIRE(in != NULL);
        for (size_t j = 0; j < ARRAY_LEN(steps); j++) {
            ROW("%zu, steps of %zu", rows[i].len, steps[j]);
            struct cor_bytes bytes = {(unsigned char *)in, rows[i].len};
            struct feed f = run(bytes, 0, steps[j]);
            REQUIRE(f.n >= strlen(rows[i].want));
            CHECK(memcmp(f.text, rows[i].want, strlen(rows[i].want)) == 0);
            CHECK(f.block_size <= HTTP_HEAD_MAX);
            feed_free(&f);
        }
        free(in);
    }
}

static void headers_are_counted(void)
{
    for (size_t n = HTTP_HEADERS_MAX; n <= HTTP_HEADERS_MAX + 1; n++) {
        char in[1024] = "GET / HTTP/1.1\r\nHost: h\r\n";
        for (size_t i = 1; i < n; i++) {
            memcpy(in + strlen(in), "a: b\r\n", 7);
        }
        memcpy(in + strlen(in), "\r\n", 3);
        struct feed f = run((struct cor_bytes){(unsigned char *)in, strlen(in)}, 0, SIZE_MAX);
        bool refused = f.n > 3 && memcmp(f.text, "431", 3) == 0;
        CHECK_EQ(refused, n > HTTP_HEADERS_MAX);
        feed_free(&f);
    }
}

static void feed_string(struct feed *f, const char *s)
{
    CHECK(feed_piece(f, (struct cor_bytes){(const unsigned char *)s, strlen(s)}));
}

static void a_body_of_the_limit_is_taken(void)
{
    char body[FEED_BODY_MAX];
    memset(body, 'b', sizeof body);
    struct feed f = feed_new(FEED_BODY_MAX);
    feed_start(&f);
    feed_string(&f, "PUT /" H "Content-Length: 1000\r\n\r\n");
    CHECK(feed_piece(&f, (struct cor_bytes){(unsigned char *)body, sizeof body}));
    feed_string(&f, "PUT /" H "Transfer-Encoding: chunked\r\n\r\n3e8\r\n");
    CHECK(feed_piece(&f, (struct cor_bytes){(unsigned char *)body, sizeof body}));
    feed_string(&f, "\r\n0\r\n\r\n");
    CHECK(f.n > 2 * FEED_BODY_MAX);
    feed_free(&f);
}

static void a_body_may_come_in_many_chunks(void)
{
    struct feed f = feed_new(FEED_BODY_MAX);
    feed_start(&f);
    feed_string(&f, "PUT /" H "Transfer-Encoding: chunked\r\n\r\n");
    for (unsigned i = 0; i < FEED_BODY_MAX; i++) {
        feed_string(&f, "1;extension\r\nb\r\n");
    }
    feed_string(&f, "0\r\n\r\n");
    CHECK(f.n > FEED_BODY_MAX);
    feed_free(&f);
}

/* A client may fill a size line or trailers with what we skip, but not forever. */
static void what_is_skipped_in_chunks_is_bounded(void)
{
    static const struct {
        const char *head;
        size_t limit;
    } rows[] = {{"PUT /" H "Transfer-Encoding: chunked\r\n\r\n1;", 300},
                {"PUT /" H "Transfer-Encoding: chunked\r\n\r\n0", 300},
                {"PUT /" H "Transfer-Encoding: chunked\r\n\r\n0\r\nA: ", HTTP_HEAD_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct feed f = feed_new(FEED_BODY_MAX);
        feed_start(&f);
        feed_string(&f, rows[i].head);
        size_t n = 0;
        while (n <= rows[i].limit && feed_piece(&f, COR_BYTES_LIT("0"))) {
            n++;
        }
        ROW("%zu", i);
        CHECK(n <= rows[i].limit);
        REQUIRE(f.n > 3);
        CHECK(memcmp(f.text, "431", 3) == 0);
        feed_free(&f);
    }
}

static void a_whole_request_is_not_copied(void)
{
    static const char in[] = "PUT /key?q" H "Content-Length: 3\r\n\r\nabcGET /" H "\r\n";
    const unsigned char *at = (const unsigned char *)in;
    struct feed f = feed_new(FEED_BODY_MAX);
    feed_start(&f);
    size_t used;
    REQUIRE(http_parser_take(f.parser, COR_BYTES_LIT(in), &used) == HTTP_REQUEST);
    const struct http_request *r = http_parser_request(f.parser);
    CHECK(r->path.ptr == at + 4);
    CHECK(r->headers[1].value.ptr == at + 46);
    CHECK(r->body.ptr == at + used - 3);
    CHECK_EQ(f.grown, 0);
    http_parser_next(f.parser);
    feed_free(&f);
}

static void a_block_is_lent_once_and_grows_with_what_arrives(void)
{
    struct feed f = feed_new(1 << 20);
    feed_start(&f);
    feed_string(&f, "PUT /" H "Content-Length: 1000000\r\n\r\n");
    CHECK_EQ(f.grown, 1);
    CHECK(f.block_size <= 4096); /* not the megabyte that was promised */
    char piece[1000];
    memset(piece, 'b', sizeof piece);
    for (unsigned i = 0; i < 1000; i++) {
        CHECK(feed_piece(&f, (struct cor_bytes){(unsigned char *)piece, sizeof piece}));
    }
    CHECK(f.grown <= 12);
    CHECK(http_parser_is_idle(f.parser));
    feed_free(&f);
}

static void no_memory_is_answered_with_503(void)
{
    static const char *const rows[] = {
        "GET /",
        "PUT /" H "Content-Length: 5\r\n\r\n",
        "PUT /" H "Content-Length: 5\r\n\r\nabc",
        "PUT /" H "Transfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i]);
        struct feed f = feed_new(FEED_BODY_MAX);
        feed_start(&f);
        f.starve = true;
        CHECK(!feed_piece(&f,
                          (struct cor_bytes){(const unsigned char *)rows[i], strlen(rows[i])}));
        CHECK_EQ(http_parser_status(f.parser), 503);
        size_t used;
        CHECK_EQ(http_parser_take(f.parser, COR_BYTES_LIT("GET"), &used), HTTP_REFUSED);
        feed_free(&f);
    }
}

static void starve_later(struct cor_bytes in, size_t step, unsigned k, bool *starved)
{
    struct feed f = feed_new(FEED_BODY_MAX);
    feed_start(&f);
    bool going = true;
    for (size_t at = 0; going && at < in.len; at += step) {
        f.starve = f.grown >= k;
        size_t n = step < in.len - at ? step : in.len - at;
        going = feed_piece(&f, (struct cor_bytes){in.ptr + at, n});
    }
    *starved = !going;
    CHECK_EQ(going || http_parser_status(f.parser) == 503, true);
    feed_free(&f);
}

static void any_growth_may_fail(void)
{
    char in[1200] = "PUT /" H "Transfer-Encoding: chunked\r\n\r\n384\r\n";
    size_t n = strlen(in);
    memset(in + n, 'c', 900);
    memcpy(in + n + 900, "\r\n0\r\n\r\n", 8);
    bool starved = true;
    unsigned k = 0;
    for (; starved; k++) {
        REQUIRE(k < 20);
        starve_later((struct cor_bytes){(unsigned char *)in, n + 907}, 7, k, &starved);
    }
    CHECK(k > 1);
}

static void the_client_is_told_to_go_on_once(void)
{
    static const char *const heads[] = {
        "PUT /" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        "PUT /" H "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    static const char *const bodies[] = {"hi", "2\r\nhi\r\n0\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct feed f = feed_new(FEED_BODY_MAX);
        feed_start(&f);
        feed_string(&f, heads[i]);
        CHECK_EQ(f.continues, 1);
        for (const char *at = bodies[i]; *at != '\0'; at++) {
            CHECK(feed_piece(&f, (struct cor_bytes){(const unsigned char *)at, 1}));
        }
        CHECK_EQ(f.continues, 1);
        REQUIRE(f.n > 10);
        CHECK(memcmp(f.text + f.n - 10, "[hi] keep\n", 10) == 0);
        feed_free(&f);
    }
}

static void nobody_waits_for_a_body_that_is_there_or_is_none(void)
{
    static const char *const rows[] = {
        "PUT /" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nh",
        "PUT /" H "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n2",
        "PUT /" H "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "GET /" H "Expect: 100-continue\r\n\r\n",
        "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i]);
        struct feed f = feed_new(FEED_BODY_MAX);
        feed_start(&f);
        feed_string(&f, rows[i]);
        CHECK_EQ(f.continues, 0);
        feed_free(&f);
    }
}

static void idle_is_before_the_first_byte_of_a_request(void)
{
    static const struct {
        const char *in;
        bool idle;
    } rows[] = {{"", true},
                {"\r\n", true},
                {"\r", false},
                {"G", false},
                {"GET /" H "\r\n", true},
                {"GET /" H "\r\nG", false},
                {"PUT /" H "Content-Length: 1\r\n\r\n", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].in);
        struct feed f = feed_new(FEED_BODY_MAX);
        feed_start(&f);
        feed_string(&f, rows[i].in);
        CHECK_EQ(http_parser_is_idle(f.parser), rows[i].idle);
        feed_free(&f);
    }
}

static void headers_are_found_without_case(void)
{
    struct feed f = feed_new(FEED_BODY_MAX);
    feed_start(&f);
    size_t used;
    REQUIRE(http_parser_take(f.parser, COR_BYTES_LIT("GET /" H "X-a: 1\r\nx-A: 2\r\n\r\n"),
                             &used) == HTTP_REQUEST);
    const struct http_request *r = http_parser_request(f.parser);
    CHECK_BYTES(http_find_header(r, "X-A"), COR_BYTES_LIT("1"));
    CHECK_BYTES(http_find_header(r, "host"), COR_BYTES_LIT("h"));
    CHECK(http_find_header(r, "hos").ptr == NULL);
    CHECK(http_find_header(r, "hosts").ptr == NULL);
    feed_free(&f);
}

TEST_MAIN(TEST(what_was_sent_comes_out_wherever_it_is_cut),
          TEST(what_is_wrong_is_refused_wherever_it_is_cut),
          TEST(malformed_chunks_are_refused_wherever_they_are_cut),
          TEST(each_byte_is_allowed_where_the_grammar_allows_it),
          TEST(no_control_character_passes_anywhere), TEST(a_body_may_come_in_many_chunks),
          TEST(heads_and_targets_go_to_their_limits), TEST(headers_are_counted),
          TEST(a_body_of_the_limit_is_taken), TEST(what_is_skipped_in_chunks_is_bounded),
          TEST(a_whole_request_is_not_copied),
          TEST(a_block_is_lent_once_and_grows_with_what_arrives),
          TEST(no_memory_is_answered_with_503), TEST(any_growth_may_fail),
          TEST(the_client_is_told_to_go_on_once),
          TEST(nobody_waits_for_a_body_that_is_there_or_is_none),
          TEST(idle_is_before_the_first_byte_of_a_request),
          TEST(headers_are_found_without_case))
