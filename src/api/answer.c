/*
 * answer.c - the bytes of answers: heads, bodies, chunks, gathered in one stage and sent together.
 *
 * Place in the system: the render functions of handlers call it while conn.c walks a connection's queue. The
 * stage is the api's, not the connection's: whatever is in it leaves before the walk ends.
 */
#include "api/internal.h"

#include <string.h>

/* ---- the stage ----------------------------------------------------------------------------------- */

#define CHUNK_HEAD 6u /* four digits and CRLF: a chunk in the stage is below 64 KiB */

_Static_assert(API_STAGE_SIZE <= 65536, "four digits are enough");

/* The size of the chunk under way is known now. */
static void end_chunk(struct out *o)
{
    static const char digits[] = "0123456789abcdef";
    if (o->chunk == 0) {
        return;
    }
    unsigned char *stage = o->conn->api->stage;
    unsigned char *head = stage + o->chunk - CHUNK_HEAD;
    size_t len = o->used - o->chunk;
    for (unsigned i = 0; i < 4; i++) {
        head[i] = (unsigned char)digits[len >> (12 - 4 * i) & 15];
    }
    memcpy(head + 4, "\r\n", 2);
    memcpy(stage + o->used, "\r\n", 2);
    o->used += 2;
    o->chunk = 0;
}

void out_flush(struct out *o)
{
    end_chunk(o);
    if (o->used > 0) {
        conn_send(o->conn, (struct cor_bytes){o->conn->api->stage, o->used});
        o->used = 0;
    }
}

/* @n bytes of the stage, to be written to and claimed by adding to o->used. */
static unsigned char *room(struct out *o, size_t n)
{
    COR_ASSERT(n <= API_STAGE_SIZE);
    end_chunk(o);
    if (o->used + n > API_STAGE_SIZE) {
        out_flush(o);
    }
    return o->conn->api->stage + o->used;
}

void out_bytes(struct out *o, struct cor_bytes b)
{
    if (b.len > API_STAGE_SIZE / 4) {
        out_flush(o);
        conn_send(o->conn, b);
    } else if (b.len > 0) {
        memcpy(room(o, b.len), b.ptr, b.len);
        o->used += b.len;
    }
}

/* ---- header lines ----------------------------------------------------------------------------------- */

size_t u64_to_text(uint64_t v, char *out)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    for (size_t i = 0; i < n; i++) {
        out[i] = digits[n - 1 - i];
    }
    return n;
}

void extra_text(struct extra *e, const char *name, struct cor_bytes value)
{
    size_t len = strlen(name);
    COR_ASSERT(e->used + len + value.len + 4 <= sizeof e->text);
    char *at = e->text + e->used;
    memcpy(at, name, len);
    memcpy(at + len, ": ", 2);
    memcpy(at + len + 2, value.ptr, value.len);
    memcpy(at + len + 2 + value.len, "\r\n", 2);
    e->used += len + value.len + 4;
}

void extra_u64(struct extra *e, const char *name, uint64_t v)
{
    char digits[20];
    size_t n = u64_to_text(v, digits);
    extra_text(e, name, (struct cor_bytes){(const unsigned char *)digits, n});
}

/* ---- answers ------------------------------------------------------------------------------------------ */

void answer_head(struct exchange *x, struct out *o, const struct answer *a)
{
    COR_ASSERT(!x->begun && x->conn != NULL);
    x->begun = true;
    x->chunked = a->chunked && !x->minor_0;
    /* Nothing more will be asked, or be answered: say so, or the client would wait for its turn. */
    x->close = x->close || (x->next == NULL && (x->conn->deaf || x->api->stopping)) ||
               (a->chunked && x->minor_0);
    struct http_response r = {
        .status = a->status, .body_len = a->body_len, .chunked = a->chunked, .close = x->close};
    if (a->type != NULL) {
        r.content_type = (struct cor_bytes){(const unsigned char *)a->type, strlen(a->type)};
    }
    if (a->extra != NULL) {
        r.extra = (struct cor_bytes){(const unsigned char *)a->extra->text, a->extra->used};
    }
    char *at = (char *)room(o, API_HEAD_ROOM);
    size_t n = http_response_head(&r, x->minor_0, at, API_HEAD_ROOM);
    COR_ASSERT(n > 0);
    o->used += n;
}

void answer_whole(struct exchange *x, struct out *o, const struct answer *a,
                  struct cor_bytes body)
{
    struct answer whole = *a;
    whole.body_len = body.len;
    answer_head(x, o, &whole);
    if (!x->head) {
        out_bytes(o, body);
    }
}

enum rendered answer_json(struct exchange *x, struct out *o, const struct answer *a,
                          struct json_writer *w)
{
    if (!json_ok(w)) {
        struct extra extra;
        extra.used = 0;
        return exchange_render_failure(x, o, COR_ENOMEM, &extra);
    }
    struct cor_bytes text = json_text_of(w);
    struct answer whole = *a;
    whole.body_len = text.len + 1;
    answer_head(x, o, &whole);
    if (!x->head) {
        out_bytes(o, text);
        out_bytes(o, COR_BYTES_LIT("\n"));
    }
    return RENDER_DONE;
}

void answer_chunk(struct exchange *x, struct out *o, struct cor_bytes b)
{
    if (b.len == 0 || x->head) {
        return;
    }
    if (!x->chunked) {
        out_bytes(o, b);
        return;
    }
    if (b.len > API_STAGE_SIZE / 4) {
        char head[32];
        out_flush(o);
        size_t n = http_chunk_head(b.len, head, sizeof head);
        out_bytes(o, (struct cor_bytes){(const unsigned char *)head, n});
        out_bytes(o, b);
        out_bytes(o, COR_BYTES_LIT("\r\n"));
        return;
    }
    if (o->chunk == 0 || o->used + b.len + 2 > API_STAGE_SIZE) {
        room(o, CHUNK_HEAD + b.len + 2);
        o->used += CHUNK_HEAD;
        o->chunk = o->used;
    }
    memcpy(o->conn->api->stage + o->used, b.ptr, b.len);
    o->used += b.len;
}

void answer_chunks_end(struct exchange *x, struct out *o)
{
    if (x->chunked && !x->head) {
        out_bytes(o, COR_BYTES_LIT("0\r\n\r\n"));
    }
}
