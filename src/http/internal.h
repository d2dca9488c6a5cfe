/*
 * internal.h - what requests and replies have in common: heads and chunks.
 *
 * A head is parsed once it lies in one piece, so every field is a span of one buffer and a cut can
 * make no difference. http_head_scan() walks the bytes as they come and finds the end, refusing on the way
 * what llhttp 8 lets through or treats differently from others on the path (bare LF, bare CR, folded
 * lines); http_head_parse() then hands the whole to llhttp.
 */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include "http/http.h"

/* One of llhttp's message types has the name of a result of ours. */
#define HTTP_REQUEST HTTP_TYPE_REQUEST
#include <llhttp/llhttp.h>
#undef HTTP_REQUEST

/* The longest start line: a target, and room for method, version and spaces. */
#define HTTP_LINE_MAX (HTTP_TARGET_MAX + 64u)

struct http_span {
    uint16_t at, len; /* from the first byte that was scanned */
};

_Static_assert(HTTP_HEAD_MAX <= UINT16_MAX, "a span reaches everywhere in a head");

struct http_field {
    struct http_span name, value;
};

struct http_head {
    uint32_t at;            /* scanned so far */
    uint32_t start;         /* of the start line: 2 behind an empty line, else 0 */
    uint32_t line;          /* start of the line being scanned */
    uint32_t end;           /* behind the empty line; 0: not seen yet */
    struct http_span first; /* the start line, without its CRLF */

    /* Set by http_head_parse(). */
    struct http_field fields[HTTP_HEADERS_MAX];
    uint32_t n_fields;
    bool whole, keep_alive, has_length;
    uint64_t content_length;

    unsigned status; /* of the refusal; 0: none */
    const char *reason;

    const unsigned char *base; /* during http_head_parse() */
    llhttp_t machine;
};

enum head_result {
    HEAD_MORE = 1,
    HEAD_LINE,  /* the start line is whole: look at it, then scan on */
    HEAD_WHOLE, /* head->end is set */
    HEAD_BAD,   /* head->status and reason are set */
};

void http_head_reset(struct http_head *h);
enum head_result http_head_refuse(struct http_head *h, unsigned status, const char *reason);
/* Scan @in, which holds all bytes of the head so far, from where the last call ended. */
enum head_result http_head_scan(struct http_head *h, struct cor_bytes in);
/* Parse the whole head at @base, of head->end bytes. False: refused. */
MUST_USE bool http_head_parse(struct http_head *h, const unsigned char *base,
                              llhttp_type_t type);
struct cor_bytes http_span_of(const unsigned char *base, struct http_span s);
/* The spans as views from @base. */
void http_head_fields(const struct http_head *h, const unsigned char *base,
                      struct http_header *out);

/* Equal without regard to case. */
bool http_is(struct cor_bytes a, const char *b);

/* ---- chunks ----------------------------------------------------------------------------------- */

#define HTTP_CHUNK_LINE_MAX 256u /* a chunk's size and its extensions, which are ignored */

/*
 * A chunked body (RFC 9112 7.1), byte by byte.
 *
 *     SIZE -> [EXTENSION] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE
 *                                    -> TRAILER_START (size 0) <-> TRAILER, TRAILER_LF -> END_LF -> done
 *
 * Not llhttp's: version 8 ends a trailer at a bare LF and bounds neither extensions nor trailers.
 */
struct http_chunks {
    unsigned char state; /* 0: at the start */
    uint32_t line;       /* bytes of this size line */
    uint32_t trailers;   /* bytes of trailers */
    uint64_t left;       /* of the chunk */
};

enum chunk_result {
    CHUNK_MORE = 1, /* everything was consumed */
    CHUNK_SIZE,     /* chunks->left bytes will follow */
    CHUNK_DATA,     /* *data is part of the body */
    CHUNK_DONE,     /* consumed up to the end of the body */
    CHUNK_BAD,
    CHUNK_TOO_LONG, /* a size line or the trailers */
};

/* Goes through in[*at..] up to the next event, and moves *at behind it. */
enum chunk_result http_chunks_take(struct http_chunks *c, struct cor_bytes in, size_t *at,
                                   struct cor_bytes *data);

#endif
