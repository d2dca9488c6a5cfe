/*
 * request.c - requests out of a stream of bytes.
 *
 * Place in the system: api/conn.c calls it with what a read delivered. A request that lies whole in those
 * bytes is handed out as views of them. One that does not is collected in a block the owner
 * lends, head first and the body right behind it; what the parser keeps meanwhile are offsets, so
 * the block may move.
 *
 *     HEAD --> LENGTH or CHUNKS --> DONE --(http_parser_next)--> HEAD
 *       any of them --> REFUSED
 */
#include "http/internal.h"

#include "base/assert.h"

#include <string.h>

#define BLOCK_MIN 1024u /* bytes asked for at first */

enum state {
    STATE_HEAD = 1,
    STATE_LENGTH,
    STATE_CHUNKS,
    STATE_DONE,
    STATE_REFUSED
};

struct http_parser {
    struct http_limits limits;
    struct http_memory mem;
    enum state state;
    bool expects_continue; /* and was not answered yet */
    bool minor_0, chunked;

    unsigned char *block;
    size_t block_size;
    size_t
        filled; /* bytes in the block: 0, or the head so far, or the head and some of the body */
    size_t wanted; /* what filled may come to */

    uint64_t body_len; /* as promised by Content-Length, or collected from chunks */
    struct http_chunks chunks;
    struct http_span method, target;
    struct http_head head;
    struct http_request request;
};

size_t http_parser_size(void)
{
    return sizeof(struct http_parser);
}

static void reset(struct http_parser *p)
{
    p->state = STATE_HEAD;
    p->expects_continue = false;
    p->block = NULL;
    p->block_size = p->filled = 0;
    p->wanted = HTTP_HEAD_MAX;
    http_head_reset(&p->head);
}

struct http_parser *http_parser_init(void *memory, const struct http_limits *limits,
                                     const struct http_memory *mem)
{
    struct http_parser *p = memory;
    COR_ASSERT(limits->body_max <= SIZE_MAX / 4);
    p->limits = *limits;
    p->mem = *mem;
    reset(p);
    return p;
}

static enum http_result refuse(struct http_parser *p, unsigned status, const char *reason)
{
    if (reason != NULL) {
        http_head_refuse(&p->head, status, reason);
    }
    COR_ASSERT(p->head.status >= 400);
    p->state = STATE_REFUSED;
    return HTTP_REFUSED;
}

/* Append to the block. It doubles up to what is known to come, so that a promise costs no memory. */
static bool collect(struct http_parser *p, const unsigned char *bytes, size_t n)
{
    size_t need = p->filled + n;
    COR_ASSERT(need <= p->wanted);
    if (need > p->block_size) {
        size_t size = p->block_size == 0 ? BLOCK_MIN : 2 * p->block_size;
        size = size < need ? need : size;
        size = size > p->wanted ? p->wanted : size;
        unsigned char *block = p->mem.grow(p->mem.arg, p->block, p->filled, size);
        if (block == NULL) {
            return false;
        }
        p->block = block;
        p->block_size = size;
    }
    memcpy(p->block + p->filled, bytes, n);
    p->filled = need;
    return true;
}

static enum http_result no_memory(struct http_parser *p)
{
    return refuse(p, 503, "no memory for the request");
}

/* ---- the request line --------------------------------------------------------------------------- */

static bool is_version(struct cor_bytes line, const char *version)
{
    size_t len = strlen(version);
    return line.len > len && memcmp(line.ptr + line.len - len, version, len) == 0;
}

static bool is_printable(struct cor_bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f || s.ptr[i] == '#') {
            return false;
        }
    }
    return true;
}

/* "http://host" in front of the path: 0 where there is none. */
static size_t authority_len(struct cor_bytes target)
{
    size_t scheme =
        target.len >= 7 && http_is((struct cor_bytes){target.ptr, 7}, "http://") ? 7 : 0;
    if (scheme == 0) {
        scheme =
            target.len >= 8 && http_is((struct cor_bytes){target.ptr, 8}, "https://") ? 8 : 0;
    }
    if (scheme == 0) {
        return 0;
    }
    size_t i = scheme;
    while (i < target.len && target.ptr[i] != '/' && target.ptr[i] != '?') {
        i++;
    }
    return i > scheme ? i : 0;
}

/* RFC 9112 3.2: a path, a whole URI, or the asterisk of OPTIONS. There is no proxy here (CONNECT). */
static bool is_target(struct cor_bytes method, struct cor_bytes target)
{
    if (target.len == 0 || !is_printable(target)) {
        return false;
    }
    if (target.len == 1 && target.ptr[0] == '*') {
        return http_is(method, "options");
    }
    return target.ptr[0] == '/' || authority_len(target) > 0;
}

/* "GET /path HTTP/1.1", with single spaces. Looked at when its line is whole, not when the head is:
 * a client of HTTP/0.9 sends nothing else and would wait forever. */
static enum head_result check_line(struct http_parser *p, const unsigned char *base)
{
    struct http_head *h = &p->head;
    struct cor_bytes line = http_span_of(base, h->first);
    static const char version[] = " HTTP/1.1";
    p->minor_0 = is_version(line, " HTTP/1.0");
    if (!p->minor_0 && !is_version(line, version)) {
        return http_head_refuse(h, 400, "not a request of HTTP/1.1 or 1.0");
    }
    size_t end = line.len - strlen(version);
    const unsigned char *space = memchr(line.ptr, ' ', end);
    if (space == NULL) {
        return http_head_refuse(h, 400, "a request line without method and target");
    }
    size_t method_len = (size_t)(space - line.ptr);
    struct cor_bytes target = {space + 1, end - method_len - 1};
    if (target.len > HTTP_TARGET_MAX) {
        return http_head_refuse(h, 414, "the request's target is too long");
    }
    if (!is_target((struct cor_bytes){line.ptr, method_len}, target)) {
        return http_head_refuse(h, 400,
                                "the request's target is malformed; is it percent-encoded?");
    }
    p->method = (struct http_span){h->first.at, (uint16_t)method_len};
    p->target =
        (struct http_span){(uint16_t)(h->first.at + method_len + 1), (uint16_t)target.len};
    return HEAD_LINE;
}

/* ---- headers with a meaning for us -------------------------------------------------------------- */

struct findings {
    unsigned hosts, codings;
    struct cor_bytes host, coding, expect;
};

static void look_at(struct http_header f, struct findings *out)
{
    if (f.name.len == 4 && http_is(f.name, "host")) {
        out->hosts++;
        out->host = f.value;
    } else if (f.name.len == 6 && http_is(f.name, "expect")) {
        out->expect = f.value;
    } else if (f.name.len == 17 && http_is(f.name, "transfer-encoding")) {
        out->codings++;
        out->coding = f.value;
    }
}

static bool is_host(struct cor_bytes host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = host.ptr[i];
        bool letter =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (c == '\0' || strchr("-._~!$&'()*+,;=:[]%", c) == NULL)) {
            return false;
        }
    }
    return true;
}

/* How the body is framed (RFC 9112 6.3). llhttp has refused repeated and malformed lengths, and both
 * framings together, but takes an empty Transfer-Encoding for none. */
static bool check_framing(struct http_parser *p, const struct findings *f)
{
    struct http_head *h = &p->head;
    p->chunked = f->codings > 0;
    if (p->chunked && p->minor_0) { /* RFC 9112 6.1: "faulty" */
        http_head_refuse(h, 400, "Transfer-Encoding in HTTP/1.0");
    } else if (f->codings > 1 || (p->chunked && h->has_length)) {
        http_head_refuse(h, 400, "more than one framing of the body");
    } else if (p->chunked && !http_is(f->coding, "chunked")) {
        http_head_refuse(h, 501, "a transfer coding other than chunked");
    } else if (h->content_length > p->limits.body_max) {
        http_head_refuse(h, 413, "the request's body is too large");
    }
    return h->status == 0;
}

static bool check_headers(struct http_parser *p, const unsigned char *base)
{
    struct http_head *h = &p->head;
    struct findings f = {0};
    for (uint32_t i = 0; i < h->n_fields; i++) {
        look_at((struct http_header){http_span_of(base, h->fields[i].name),
                                     http_span_of(base, h->fields[i].value)},
                &f);
    }
    if (f.hosts > 1 || (f.hosts == 0 && !p->minor_0) || !is_host(f.host)) {
        http_head_refuse(h, 400,
                         "HTTP/1.1 needs one well-formed Host header"); /* RFC 9112 3.2 */
        return false;
    }
    if (!check_framing(p, &f)) {
        return false;
    }
    p->expects_continue = false;
    if (f.expect.len > 0 && !p->minor_0) { /* RFC 9110 10.1.1 */
        if (!http_is(f.expect, "100-continue")) {
            http_head_refuse(h, 417, "an expectation other than 100-continue");
            return false;
        }
        p->expects_continue = p->chunked || h->content_length > 0;
    }
    return true;
}

/* ---- the result ----------------------------------------------------------------------------------- */

static void split_target(struct http_request *r)
{
    struct cor_bytes rest = r->target;
    size_t skip = rest.ptr[0] == '/' ? 0 : authority_len(rest);
    rest.ptr += skip;
    rest.len -= skip;
    const unsigned char *mark = rest.len > 0 ? memchr(rest.ptr, '?', rest.len) : NULL;
    size_t path_len = mark != NULL ? (size_t)(mark - rest.ptr) : rest.len;
    r->path = path_len > 0 ? (struct cor_bytes){rest.ptr, path_len} : COR_BYTES_LIT("/");
    r->query = (struct cor_bytes){NULL, 0};
    if (mark != NULL) {
        r->query = (struct cor_bytes){mark + 1, rest.len - path_len - 1};
    }
}

static enum http_result publish(struct http_parser *p, const unsigned char *base,
                                struct cor_bytes body)
{
    struct http_request *r = &p->request;
    r->method = http_span_of(base, p->method);
    r->target = http_span_of(base, p->target);
    split_target(r);
    r->n_headers = p->head.n_fields;
    http_head_fields(&p->head, base, r->headers);
    r->body = body;
    r->keep_alive = p->head.keep_alive;
    r->head = r->method.len == 4 && memcmp(r->method.ptr, "HEAD", 4) == 0;
    r->minor_0 = p->minor_0;
    p->state = STATE_DONE;
    return HTTP_REQUEST;
}

/* ---- taking bytes --------------------------------------------------------------------------------- */

static enum head_result scan(struct http_parser *p, struct cor_bytes all)
{
    enum head_result r = http_head_scan(&p->head, all);
    if (r == HEAD_LINE) {
        r = check_line(p, all.ptr);
    }
    return r == HEAD_LINE ? http_head_scan(&p->head, all) : r;
}

/* The head is whole at @base. */
static bool begin_body(struct http_parser *p, const unsigned char *base)
{
    struct http_head *h = &p->head;
    if (!http_head_parse(h, base, HTTP_TYPE_REQUEST) || !check_headers(p, base)) {
        return false;
    }
    p->body_len = h->content_length;
    p->chunks = (struct http_chunks){0};
    p->state = p->chunked ? STATE_CHUNKS : STATE_LENGTH;
    p->wanted = h->end + (p->chunked ? p->limits.body_max : (size_t)p->body_len);
    return true;
}

/* Either all of the head so far lies in @in, or in the block, where @in is added to it. */
static enum http_result take_head(struct http_parser *p, struct cor_bytes in, size_t *at)
{
    size_t before = p->filled;
    struct cor_bytes all = in;
    if (before > 0) {
        size_t room = HTTP_HEAD_MAX - before;
        if (!collect(p, in.ptr, in.len < room ? in.len : room)) {
            return no_memory(p);
        }
        all = (struct cor_bytes){p->block, p->filled};
    }
    enum head_result r = scan(p, all);
    if (r == HEAD_MORE) {
        *at = in.len;
        return before > 0 || collect(p, in.ptr, in.len) ? HTTP_NEED_MORE : no_memory(p);
    }
    if (r == HEAD_BAD) {
        return refuse(p, 0, NULL);
    }
    *at = p->head.end - before;
    p->filled = before > 0 ? p->head.end : 0;
    return begin_body(p, all.ptr) ? HTTP_REQUEST : refuse(p, 0, NULL);
}

/* The body goes behind the head: so the head must be in the block. */
static bool keep_head(struct http_parser *p, struct cor_bytes in)
{
    return p->filled > 0 || collect(p, in.ptr, p->head.end);
}

static enum http_result wait(struct http_parser *p)
{
    enum http_result r = p->expects_continue ? HTTP_CONTINUE : HTTP_NEED_MORE;
    p->expects_continue = false;
    return r;
}

static enum http_result take_length(struct http_parser *p, struct cor_bytes in, size_t *at)
{
    size_t rest = in.len - *at;
    if (p->filled <= p->head.end && rest >= p->body_len) {
        struct cor_bytes body = {in.ptr + *at, (size_t)p->body_len};
        *at += body.len;
        return publish(p, p->filled > 0 ? p->block : in.ptr, body);
    }
    if (!keep_head(p, in)) {
        return no_memory(p);
    }
    if (rest == 0) {
        return wait(p);
    }
    size_t need = p->wanted - p->filled;
    size_t n = rest < need ? rest : need;
    if (!collect(p, in.ptr + *at, n)) {
        return no_memory(p);
    }
    *at += n;
    p->expects_continue = false;
    if (n < need) {
        return HTTP_NEED_MORE;
    }
    struct cor_bytes body = {p->block + p->head.end, (size_t)p->body_len};
    return publish(p, p->block, body);
}

static enum http_result take_chunks(struct http_parser *p, struct cor_bytes in, size_t *at)
{
    if (!keep_head(p, in)) {
        return no_memory(p);
    }
    if (*at == in.len) {
        return wait(p);
    }
    p->expects_continue = false;
    for (;;) {
        struct cor_bytes data;
        switch (http_chunks_take(&p->chunks, in, at, &data)) {
        case CHUNK_MORE:
            return HTTP_NEED_MORE;
        case CHUNK_SIZE:
            if (p->chunks.left > p->limits.body_max - p->body_len) {
                return refuse(p, 413, "the request's body is too large");
            }
            break;
        case CHUNK_DATA:
            if (!collect(p, data.ptr, data.len)) {
                return no_memory(p);
            }
            p->body_len += data.len;
            break;
        case CHUNK_DONE:
            data = (struct cor_bytes){p->block + p->head.end, (size_t)p->body_len};
            return publish(p, p->block, data);
        case CHUNK_BAD:
            return refuse(p, 400, "a malformed chunk");
        case CHUNK_TOO_LONG:
            return refuse(p, 431, "a chunk's size line or the trailers are too long");
        }
    }
}

enum http_result http_parser_take(struct http_parser *p, struct cor_bytes in, size_t *used)
{
    COR_ASSERT(p->state != STATE_DONE);
    *used = 0;
    if (p->state == STATE_REFUSED) {
        return HTTP_REFUSED;
    }
    if (in.len == 0) {
        return HTTP_NEED_MORE;
    }
    if (p->state == STATE_HEAD) {
        enum http_result r = take_head(p, in, used);
        if (r != HTTP_REQUEST) {
            return r;
        }
    }
    return p->state == STATE_LENGTH ? take_length(p, in, used) : take_chunks(p, in, used);
}

const struct http_request *http_parser_request(const struct http_parser *p)
{
    COR_ASSERT(p->state == STATE_DONE);
    return &p->request;
}

void http_parser_next(struct http_parser *p)
{
    COR_ASSERT(p->state == STATE_DONE);
    reset(p);
}

unsigned http_parser_status(const struct http_parser *p)
{
    return p->head.status;
}

const char *http_parser_reason(const struct http_parser *p)
{
    return p->head.reason;
}

bool http_parser_in_body(const struct http_parser *p)
{
    return p->state == STATE_LENGTH || p->state == STATE_CHUNKS;
}

bool http_parser_is_idle(const struct http_parser *p)
{
    return p->state == STATE_HEAD && p->filled == p->head.start;
}

struct cor_bytes http_find_header(const struct http_request *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_headers; i++) {
        if (http_is(r->headers[i].name, name)) {
            return r->headers[i].value;
        }
    }
    return (struct cor_bytes){NULL, 0};
}
