/*
 * head.c - the start line and headers of a message: where they end, and what is in them.
 *
 * Place in the system: request.c and reply.c. See internal.h for the two steps.
 */
#include "http/internal.h"

#include "base/assert.h"

#include <string.h>

void http_head_reset(struct http_head *h)
{
    h->at = h->start = h->line = h->end = 0;
    h->first = (struct http_span){0};
    h->n_fields = 0;
    h->status = 0;
    h->reason = NULL;
}

enum head_result http_head_refuse(struct http_head *h, unsigned status, const char *reason)
{
    h->status = status;
    h->reason = reason;
    return HEAD_BAD;
}

/* The first control character in @in, or @n. */
static size_t find_control(const unsigned char *in, size_t n)
{
    const uint64_t ones = 0x0101010101010101u;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t w;
        memcpy(&w, in + i, 8);
        /* Some byte below 0x20: borrows into its top bit, which was clear. */
        if (((w - ones * 0x20) & ~w & ones * 0x80) != 0) {
            break;
        }
    }
    while (i < n && in[i] >= 0x20) {
        i++;
    }
    return i;
}

/* A line ends at @cr: 0 when it is one header of many. */
static enum head_result end_line(struct http_head *h, const unsigned char *in, uint32_t cr)
{
    uint32_t line = h->line;
    bool empty = cr == line;
    h->line = h->at = cr + 2;
    if (h->first.len == 0) {
        if (!empty) {
            h->first = (struct http_span){(uint16_t)line, (uint16_t)(cr - line)};
            return HEAD_LINE;
        }
        /* RFC 9112 2.2: "ignore at least one empty line received prior to the request-line". */
        if (line != 0) {
            return http_head_refuse(h, 400, "empty lines before the request");
        }
        h->start = cr + 2;
        return 0;
    }
    if (empty) {
        h->end = cr + 2;
        return HEAD_WHOLE;
    }
    if (in[line] == ' ' || in[line] == '\t') { /* RFC 9112 5.2 */
        return http_head_refuse(h, 400, "a folded header line");
    }
    return 0;
}

/* Through in[h->at..n): nothing is decided by what lies behind the deciding byte. */
static enum head_result scan_to(struct http_head *h, const unsigned char *in, uint32_t n)
{
    while (h->at < n) {
        uint32_t i = h->at + (uint32_t)find_control(in + h->at, n - h->at);
        h->at = i;
        if (i == n || (in[i] == '\r' && i + 1 == n)) {
            return HEAD_MORE;
        }
        if (in[i] == '\t') {
            h->at = i + 1;
            continue;
        }
        if (in[i] != '\r' || in[i + 1] != '\n') {
            return http_head_refuse(h, 400,
                                    in[i] == '\n'   ? "a line ends in a bare LF"
                                    : in[i] == '\r' ? "a bare CR"
                                                    : "a control character");
        }
        enum head_result r = end_line(h, in, i);
        if (r != 0) {
            return r;
        }
    }
    return HEAD_MORE;
}

enum head_result http_head_scan(struct http_head *h, struct cor_bytes in)
{
    COR_ASSERT(h->end == 0);
    COR_ASSERT(h->at <= in.len);
    bool in_first = h->first.len == 0;
    size_t limit = in_first ? HTTP_LINE_MAX : HTTP_HEAD_MAX;
    enum head_result r = scan_to(h, in.ptr, (uint32_t)(in.len < limit ? in.len : limit));
    if (r == HEAD_MORE && in.len >= limit) {
        return in_first ? http_head_refuse(h, 414, "the request's target is too long")
                        : http_head_refuse(h, 431, "the request's head is too long");
    }
    return r;
}

/* ---- llhttp ------------------------------------------------------------------------------------ */

static struct http_span span_at(const struct http_head *h, const char *at, size_t len)
{
    size_t offset = (size_t)((const unsigned char *)at - h->base);
    COR_ASSERT(offset + len <= h->end);
    return (struct http_span){(uint16_t)offset, (uint16_t)len};
}

static int on_field(llhttp_t *m, const char *at, size_t len)
{
    struct http_head *h = m->data;
    if (len == 0) {
        http_head_refuse(h, 400, "a header without a name"); /* llhttp takes it */
        return HPE_USER;
    }
    if (h->n_fields == HTTP_HEADERS_MAX) {
        http_head_refuse(h, 431, "too many headers");
        return HPE_USER;
    }
    h->fields[h->n_fields++] = (struct http_field){.name = span_at(h, at, len)};
    return 0;
}

/* Without the white space behind the value, which is not part of it (RFC 9112 5.1). */
static int on_value(llhttp_t *m, const char *at, size_t len)
{
    struct http_head *h = m->data;
    COR_ASSERT(h->n_fields > 0);
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t')) {
        len--;
    }
    h->fields[h->n_fields - 1].value = span_at(h, at, len);
    return 0;
}

/* Stops the machine here: bodies are not its business. */
static int on_headers_complete(llhttp_t *m)
{
    struct http_head *h = m->data;
    h->whole = true;
    h->has_length = (m->flags & F_CONTENT_LENGTH) != 0;
    h->content_length = h->has_length ? m->content_length : 0;
    h->keep_alive = m->http_minor > 0 ? (m->flags & F_CONNECTION_CLOSE) == 0
                                      : (m->flags & F_CONNECTION_KEEP_ALIVE) != 0;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
};

bool http_head_parse(struct http_head *h, const unsigned char *base, llhttp_type_t type)
{
    COR_ASSERT(h->end > h->start && h->end <= HTTP_HEAD_MAX);
    h->base = base;
    h->whole = false;
    h->n_fields = 0;
    llhttp_init(&h->machine, type, &settings);
    h->machine.data = h;
    const char *start = (const char *)base + h->start;
    llhttp_errno_t e = llhttp_execute(&h->machine, start, h->end - h->start);
    if (h->whole && e == HPE_PAUSED &&
        llhttp_get_error_pos(&h->machine) == (const char *)base + h->end) {
        return true;
    }
    if (h->status == 0) {
        http_head_refuse(h, e == HPE_INVALID_METHOD ? 501 : 400,
                         llhttp_get_error_reason(&h->machine));
    }
    return false;
}

/* ---- views ------------------------------------------------------------------------------------- */

struct cor_bytes http_span_of(const unsigned char *base, struct http_span s)
{
    return (struct cor_bytes){base + s.at, s.len};
}

void http_head_fields(const struct http_head *h, const unsigned char *base,
                      struct http_header *out)
{
    for (uint32_t i = 0; i < h->n_fields; i++) {
        out[i].name = http_span_of(base, h->fields[i].name);
        out[i].value = http_span_of(base, h->fields[i].value);
    }
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

bool http_is(struct cor_bytes a, const char *b)
{
    for (size_t i = 0; i < a.len; i++) {
        if (b[i] == '\0' || lower(a.ptr[i]) != lower((unsigned char)b[i])) {
            return false;
        }
    }
    return b[a.len] == '\0';
}
