/*
 * response.c - the heads of responses, and chunk heads.
 *
 * Place in the system: api/ writes them in front of bodies that it holds.
 */
#include "http/http.h"

#include "base/writer.h"

#include <string.h>

#define NUMBER_MAX 20u /* digits of 2^64 - 1 */

static void put(struct writer *w, const char *s)
{
    writer_bytes(w, (struct cor_bytes){(const unsigned char *)s, strlen(s)});
}

static void put_number(struct writer *w, uint64_t v, unsigned base)
{
    unsigned char digits[NUMBER_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (unsigned char)"0123456789abcdef"[v % base];
        v /= base;
    } while (v > 0);
    writer_bytes(w, (struct cor_bytes){digits + at, sizeof digits - at});
}

static bool has_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

size_t http_response_head(const struct http_response *r, bool minor_0, char *out, size_t size)
{
    struct writer w = writer_of(out, size);
    bool close = r->close || (minor_0 && r->chunked);
    put(&w, "HTTP/1.1 ");
    put_number(&w, r->status, 10);
    put(&w, " ");
    put(&w, http_status_text(r->status));
    put(&w, "\r\n");
    if (r->content_type.len > 0) {
        put(&w, "Content-Type: ");
        writer_bytes(&w, r->content_type);
        put(&w, "\r\n");
    }
    if (has_body(r->status) && !r->chunked) {
        put(&w, "Content-Length: ");
        put_number(&w, r->body_len, 10);
        put(&w, "\r\n");
    } else if (has_body(r->status) && !minor_0) {
        put(&w, "Transfer-Encoding: chunked\r\n");
    }
    if (close || minor_0) {
        put(&w, close ? "Connection: close\r\n" : "Connection: keep-alive\r\n");
    }
    writer_bytes(&w, r->extra);
    put(&w, "\r\n");
    return writer_ok(&w) ? w.used : 0;
}

size_t http_chunk_head(size_t len, char *out, size_t size)
{
    struct writer w = writer_of(out, size);
    put_number(&w, len, 16);
    put(&w, "\r\n");
    return writer_ok(&w) ? w.used : 0;
}

static const struct {
    unsigned status;
    const char *text;
} statuses[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_status_text(unsigned status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        if (statuses[i].status == status) {
            return statuses[i].text;
        }
    }
    return "Unknown";
}
