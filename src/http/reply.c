/*
 * reply.c - replies out of a stream of bytes: the client's side.
 *
 * Place in the system: cli/. Bodies are passed on as they arrive, so a watch that never ends needs no memory;
 * a head that comes in pieces is collected in the parser itself.
 *
 *     HEAD --> LENGTH, CHUNKS or UNTIL_CLOSE --> HEAD (keep-alive) or CLOSED
 *       any of them --> BROKEN
 */
#include "http/internal.h"

#include "base/assert.h"

#include <string.h>

enum state {
    STATE_HEAD = 1,
    STATE_LENGTH,
    STATE_CHUNKS,
    STATE_UNTIL_CLOSE,
    STATE_CLOSED, /* the last reply said that it is the last */
    STATE_BROKEN,
};

struct http_reply_parser {
    struct http_reply_events events;
    void *arg;
    enum state state;
    bool to_head; /* the reply to a HEAD has no body, whatever its headers say */
    size_t filled;
    uint64_t left; /* of a body with Content-Length */
    struct http_chunks chunks;
    struct http_head head;
    struct http_reply reply;
    unsigned char block[HTTP_HEAD_MAX]; /* the head so far, when it comes in pieces */
};

size_t http_reply_parser_size(void)
{
    return sizeof(struct http_reply_parser);
}

static void expect_head(struct http_reply_parser *p)
{
    p->state = STATE_HEAD;
    p->filled = 0;
    http_head_reset(&p->head);
}

struct http_reply_parser *
http_reply_parser_init(void *memory, const struct http_reply_events *events, void *arg)
{
    struct http_reply_parser *p = memory;
    p->events = *events;
    p->arg = arg;
    p->to_head = false;
    expect_head(p);
    return p;
}

void http_reply_parser_expect(struct http_reply_parser *p, bool head)
{
    p->to_head = head;
}

static enum cor_status broken(struct http_reply_parser *p, enum cor_status st)
{
    p->state = STATE_BROKEN;
    return st;
}

static void end_reply(struct http_reply_parser *p)
{
    bool keep_alive = p->reply.keep_alive;
    expect_head(p);
    p->state = keep_alive ? STATE_HEAD : STATE_CLOSED;
    p->events.on_end(p->arg);
}

/* RFC 9112 6.3, for replies: what follows this head. */
static enum state framing_of(const struct http_reply_parser *p)
{
    const struct http_head *h = &p->head;
    unsigned codings = 0, chunked = 0;
    for (uint32_t i = 0; i < p->reply.n_headers; i++) {
        const struct http_header *f = &p->reply.headers[i];
        if (http_is(f->name, "transfer-encoding")) {
            codings++;
            chunked += http_is(f->value, "chunked");
        }
    }
    if (p->to_head || p->reply.status == 204 || p->reply.status == 304) {
        return STATE_HEAD;
    }
    if (codings > 0) {
        return codings == 1 && chunked == 1 ? STATE_CHUNKS : STATE_BROKEN;
    }
    if (h->has_length) {
        return h->content_length > 0 ? STATE_LENGTH : STATE_HEAD;
    }
    return STATE_UNTIL_CLOSE;
}

static enum cor_status begin_reply(struct http_reply_parser *p, const unsigned char *base)
{
    struct http_head *h = &p->head;
    if (!http_head_parse(h, base, HTTP_RESPONSE)) {
        return broken(p, h->status == 431 ? COR_ETOOBIG : COR_EPROTO);
    }
    unsigned status = (unsigned)llhttp_get_status_code(&h->machine);
    if (status < 100 || status == 101) { /* nobody asked to switch */
        return broken(p, COR_EPROTO);
    }
    if (status < 200) {
        expect_head(p);
        return COR_OK;
    }
    p->reply.status = status;
    p->reply.n_headers = h->n_fields;
    http_head_fields(h, base, p->reply.headers);
    enum state next = framing_of(p);
    if (next == STATE_BROKEN) {
        return broken(p, COR_EPROTO);
    }
    p->reply.keep_alive = h->keep_alive && next != STATE_UNTIL_CLOSE;
    p->left = h->content_length;
    p->chunks = (struct http_chunks){0};
    p->state = next;
    p->events.on_head(p->arg, &p->reply);
    if (next == STATE_HEAD) {
        end_reply(p);
    }
    return COR_OK;
}

/* "HTTP/1.1 200 ...": looked at as soon as the line is whole. */
static bool is_status_line(struct cor_bytes line)
{
    static const char form[] = "HTTP/1.v ddd";
    for (size_t i = 0; i < sizeof form - 1; i++) {
        unsigned char c = i < line.len ? line.ptr[i] : '\0';
        bool ok = form[i] == 'd'   ? c >= '0' && c <= '9'
                  : form[i] == 'v' ? c == '0' || c == '1'
                                   : c == (unsigned char)form[i];
        if (!ok) {
            return false;
        }
    }
    return line.len == sizeof form - 1 || line.ptr[sizeof form - 1] == ' ';
}

static enum cor_status take_head(struct http_reply_parser *p, struct cor_bytes in, size_t *at)
{
    size_t before = p->filled, rest = in.len - *at;
    struct cor_bytes all = {in.ptr + *at, rest};
    if (before > 0) {
        size_t room = sizeof p->block - before;
        size_t n = rest < room ? rest : room;
        memcpy(p->block + before, in.ptr + *at, n);
        all = (struct cor_bytes){p->block, before + n};
    }
    enum head_result r = http_head_scan(&p->head, all);
    if (r == HEAD_LINE) {
        r = is_status_line(http_span_of(all.ptr, p->head.first))
                ? http_head_scan(&p->head, all)
                : http_head_refuse(&p->head, 400, "not a status line of HTTP/1.1 or 1.0");
    }
    if (r == HEAD_BAD) {
        return broken(p, p->head.status == 400 ? COR_EPROTO : COR_ETOOBIG);
    }
    if (r == HEAD_MORE) {
        if (before == 0) {
            memcpy(p->block, all.ptr, all.len);
        }
        p->filled = all.len;
        *at = in.len;
        return COR_OK;
    }
    *at += p->head.end - before;
    return begin_reply(p, all.ptr);
}

static void take_length(struct http_reply_parser *p, struct cor_bytes in, size_t *at)
{
    size_t rest = in.len - *at;
    struct cor_bytes part = {in.ptr + *at, p->left < rest ? (size_t)p->left : rest};
    *at += part.len;
    p->left -= part.len;
    p->events.on_body(p->arg, part);
    if (p->left == 0) {
        end_reply(p);
    }
}

static enum cor_status take_chunks(struct http_reply_parser *p, struct cor_bytes in, size_t *at)
{
    struct cor_bytes data;
    switch (http_chunks_take(&p->chunks, in, at, &data)) {
    case CHUNK_MORE:
    case CHUNK_SIZE:
        break;
    case CHUNK_DATA:
        p->events.on_body(p->arg, data);
        break;
    case CHUNK_DONE:
        end_reply(p);
        break;
    case CHUNK_BAD:
        return broken(p, COR_EPROTO);
    case CHUNK_TOO_LONG:
        return broken(p, COR_ETOOBIG);
    }
    return COR_OK;
}

enum cor_status http_reply_parser_take(struct http_reply_parser *p, struct cor_bytes in)
{
    enum cor_status st = COR_OK;
    size_t at = 0;
    while (st == COR_OK && at < in.len) {
        switch (p->state) {
        case STATE_HEAD:
            st = take_head(p, in, &at);
            break;
        case STATE_LENGTH:
            take_length(p, in, &at);
            break;
        case STATE_CHUNKS:
            st = take_chunks(p, in, &at);
            break;
        case STATE_UNTIL_CLOSE:
            p->events.on_body(p->arg, (struct cor_bytes){in.ptr + at, in.len - at});
            at = in.len;
            break;
        case STATE_CLOSED:
        case STATE_BROKEN:
            st = broken(p, COR_EPROTO);
            break;
        }
    }
    return st;
}

enum cor_status http_reply_parser_close(struct http_reply_parser *p)
{
    bool between = p->state == STATE_CLOSED || (p->state == STATE_HEAD && p->filled == 0);
    if (p->state == STATE_UNTIL_CLOSE) {
        end_reply(p);
        return COR_OK;
    }
    return between ? COR_OK : broken(p, COR_EPROTO);
}
