/*
 * http.h - HTTP/1.1 as a pure function of bytes: requests in, responses out.
 *
 * Place in the system: api/conn.c feeds it what a stream delivers and takes from it whole requests;
 * it knows no socket, no route, no store. Heads are parsed by llhttp in strict mode, after a pass of
 * our own that finds their end and refuses what llhttp lets through; limits are ours. The result does
 * not depend on where the bytes are cut. No allocation: the owner gives the parser its memory, and
 * lends a block when a request comes in pieces. One that comes whole is never copied.
 *
 * Limits (each answered with its status, then the connection closes): request line and headers
 * together HTTP_HEAD_MAX bytes (431; 414 if the target alone is too long), HTTP_HEADERS_MAX fields
 * (431), body http_limits.body_max (413, before it is buffered where Content-Length says so). Both
 * Content-Length and Transfer-Encoding, repeated Content-Length, bad chunks, bare LF or CR, folded
 * headers, no or two Hosts, HTTP/0.9 and 2: 400 (RFC 9112 6.1, 6.3: request smuggling). Unknown
 * methods and transfer codings: 501; unknown expectations: 417. Upgrade is ignored.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX    16384u
#define HTTP_TARGET_MAX  12288u
#define HTTP_HEADERS_MAX 64u

struct http_header {
    struct cor_bytes name, value; /* name as sent; compare without case */
};

struct http_request {
    struct cor_bytes method; /* "GET" */
    struct cor_bytes target; /* as sent: path and query */
    struct cor_bytes path;   /* as sent, still percent-encoded; without "http://host" */
    struct cor_bytes query;  /* after '?', without it; empty if none */
    struct http_header headers[HTTP_HEADERS_MAX];
    uint32_t n_headers;
    struct cor_bytes body;
    bool keep_alive;
    bool head;    /* HEAD: the response has no body */
    bool minor_0; /* HTTP/1.0 */
};

enum http_result {
    HTTP_NEED_MORE = 1, /* everything was consumed; no whole request yet */
    HTTP_REQUEST,       /* http_parser_request() has one; consumed up to its end */
    HTTP_CONTINUE, /* everything was consumed; the client waits for HTTP_CONTINUE_TEXT before its body */
    HTTP_REFUSED, /* answer http_parser_status() with http_parser_reason(), close */
};
#define HTTP_CONTINUE_TEXT "HTTP/1.1 100 Continue\r\n\r\n"

struct http_parser; /* in the owner's memory */

/* Bytes of memory for a parser, aligned as malloc's. */
size_t http_parser_size(void);

struct http_limits {
    size_t body_max;
};

/* Where the bytes of a request that comes in pieces are collected, head and body. @grow returns a
 * block of at least @need bytes that holds the @used first bytes of the old one (which may be NULL), or
 * NULL: answered with 503. The block is the owner's throughout: http_parser_next() forgets it, and
 * the owner keeps it for the next @grow or frees it, as it does when the connection ends. */
struct http_memory {
    void *(*grow)(void *arg, void *old, size_t used, size_t need);
    void *arg;
};

struct http_parser *http_parser_init(void *memory, const struct http_limits *limits,
                                     const struct http_memory *mem);
/* Take @in; *used says how many bytes were consumed (on HTTP_REQUEST, the rest belongs to the next
 * request: pipelining). Views in the request point into @in or the block: they live until
 * http_parser_next(), as long as @in stays in place. After HTTP_NEED_MORE nothing points into @in. */
enum http_result http_parser_take(struct http_parser *p, struct cor_bytes in, size_t *used);
const struct http_request *http_parser_request(const struct http_parser *p);
/* Done with the request: ready for the next. The parser no longer holds the block. */
void http_parser_next(struct http_parser *p);
unsigned http_parser_status(const struct http_parser *p);
const char *http_parser_reason(const struct http_parser *p);
/* Nothing of a request has arrived yet: the connection is idle. */
bool http_parser_is_idle(const struct http_parser *p);
/* A head is complete and its body is not. */
bool http_parser_in_body(const struct http_parser *p);

/* The first value of header @name (without case); {NULL, 0} if absent. */
struct cor_bytes http_find_header(const struct http_request *r, const char *name);

/* ---- responses ------------------------------------------------------------------------------ */

/* Write status line and headers (Content-Length, Connection as needed, Date left out) into @out of
 * @size bytes. @extra: more header lines, each ending in CRLF, checked by the caller. @minor_0: the
 * request was HTTP/1.0; there are no chunks there: a chunked body then goes out without chunk heads, and
 * the connection closes behind it. 1xx, 204 and 304 have no body. Returns the length; 0: does not fit. */
struct http_response {
    unsigned status;
    struct cor_bytes content_type; /* empty: no body type */
    struct cor_bytes extra;
    uint64_t body_len;
    bool
        chunked; /* body of unknown length: chunks follow (http_chunk_head), then "0\r\n\r\n" */
    bool close;
};
size_t http_response_head(const struct http_response *r, bool minor_0, char *out, size_t size);
/* "1A2\r\n" before a chunk; "\r\n" follows it. */
size_t http_chunk_head(size_t len, char *out, size_t size);
const char *http_status_text(unsigned status);

/* ---- targets ---------------------------------------------------------------------------------- */

/* Percent-decode @in into @out (at least in.len bytes). '+' stays. False: "%" without two hex digits. */
MUST_USE bool http_percent_decode(struct cor_bytes in, unsigned char *out, size_t *len);
/* As above, for query values: '+' is a space. */
MUST_USE bool http_query_decode(struct cor_bytes in, unsigned char *out, size_t *len);
/* Percent-encode everything outside unreserved characters and '/'. Returns the length; SIZE_MAX: no room. */
size_t http_percent_encode(struct cor_bytes in, char *out, size_t size);
/* Step through "a=1&b&c=": false at the end. Names and values still encoded; @has_value: there was
 * a '='. */
MUST_USE bool http_query_next(struct cor_bytes *rest, struct cor_bytes *name,
                              struct cor_bytes *value, bool *has_value);

/* ---- client side (coracle put/get/watch, bench) ------------------------------------------------- */

struct http_reply {
    unsigned status;
    struct http_header headers[HTTP_HEADERS_MAX];
    uint32_t n_headers;
    bool keep_alive;
};
/* Headers live until on_head returns. */
struct http_reply_events {
    void (*on_head)(void *arg, const struct http_reply *reply);
    void (*on_body)(void *arg, struct cor_bytes part);
    void (*on_end)(void *arg);
};
struct http_reply_parser;
size_t http_reply_parser_size(void);
struct http_reply_parser *
http_reply_parser_init(void *memory, const struct http_reply_events *events, void *arg);
/* Tell, before the reply begins, that the request was a HEAD. */
void http_reply_parser_expect(struct http_reply_parser *p, bool head);
/* Takes all of @in, which may hold several replies, and reports through the events; parts point into
 * @in. Interim replies (1xx) are skipped. COR_EPROTO: malformed, COR_ETOOBIG: a head over the limit; the
 * connection is then of no use. The parser must not be freed from within an event. */
MUST_USE enum cor_status http_reply_parser_take(struct http_reply_parser *p,
                                                struct cor_bytes in);
/* The stream has ended: the end of a body without length (on_end is called), or between two replies.
 * COR_EPROTO: in the middle of one. */
MUST_USE enum cor_status http_reply_parser_close(struct http_reply_parser *p);

#endif
