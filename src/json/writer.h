/*
 * writer.h - JSON out: text into a buffer, fields in the order in which they are written.
 *
 * Place in the system: api/ answers with it, cli/ prints with it. Written by us and not by a library because clients
 * of other stores expect their fields in their order, and 64-bit numbers must arrive as they left.
 *
 *     struct json_writer w = json_writer_growing(1 << 20);
 *     json_begin_object(&w);
 *     json_field_text(&w, "role", "leader");
 *     json_name(&w, "peers");
 *     json_begin_array(&w);
 *     json_u64(&w, 7);
 *     json_end_array(&w);
 *     json_end_object(&w);
 *     if (json_ok(&w)) ... json_text_of(&w) ...
 *     json_writer_free(&w);
 *
 * Like base/writer.h it remembers that it ran out of room and writes nothing from then on, so there is one
 * question at the end. Nesting that does not fit together is a bug of the caller and asserted.
 */
#ifndef JSON_WRITER_H
#define JSON_WRITER_H

#include "base/attr.h"
#include "coracle/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32u

struct json_writer {
    char *base;
    size_t used, size, max; /* bytes; the buffer grows up to @max if it is the writer's own */
    bool owned, failed;
    bool comma;      /* a value stands in front of the next one */
    bool named;      /* a name waits for its value */
    bool newline;    /* a line break waits for what comes next */
    bool pretty;     /* every value on a line of its own, indented */
    uint32_t arrays; /* bit d: depth d + 1 is an array, else an object */
    unsigned depth;
};

/* Into @size bytes at @base, the caller's. */
struct json_writer json_writer_of(void *base, size_t size);
/* Into a buffer of its own that grows up to @max bytes; free it with json_writer_free(). */
struct json_writer json_writer_growing(size_t max);
void json_writer_free(struct json_writer *w);

/* Everything was written: there was room. */
MUST_USE bool json_ok(const struct json_writer *w);
/* What has been written so far, until the next call on @w. */
struct cor_bytes json_text_of(const struct json_writer *w);
/* Forget the text so far, not the nesting: a long document leaves in parts. */
void json_drain(struct json_writer *w);
/* Forget everything but the buffer: another document begins. */
void json_restart(struct json_writer *w);

void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
/* The next value of an array, or the end of the array, begins a line. */
void json_newline(struct json_writer *w);

/* Before the first value: each value of an array or object on a line of its own, indented by four spaces
 * per level, as people like to read it. json_newline() then does nothing. Until json_restart(). */
void json_set_pretty(struct json_writer *w, bool pretty);
/* A line break behind the document. */
void json_end_line(struct json_writer *w);

/* The name of the next value of an object. */
void json_name(struct json_writer *w, const char *name);
void json_name_bytes(struct json_writer *w, struct cor_bytes name);

/* Text. What is not UTF-8 becomes U+FFFD, a byte at a time: use json_base64() for bytes. */
void json_string(struct json_writer *w, struct cor_bytes s);
void json_text(struct json_writer *w, const char *s);
void json_base64(struct json_writer *w, struct cor_bytes b); /* RFC 4648 4, padded */
bool json_is_utf8(struct cor_bytes s);
void json_u64(struct json_writer *w, uint64_t v);
void json_i64(struct json_writer *w, int64_t v);
/* @decimals digits behind the point, at most 9; null if @v is not finite. */
void json_decimal(struct json_writer *w, double v, unsigned decimals);
void json_bool(struct json_writer *w, bool v);
void json_null(struct json_writer *w);

/* A name and its value. */
void json_field_string(struct json_writer *w, const char *name, struct cor_bytes s);
void json_field_text(struct json_writer *w, const char *name, const char *s);
void json_field_base64(struct json_writer *w, const char *name, struct cor_bytes b);
/* Bytes of users: UTF-8 as a string under @name, anything else in base64 under "@name_base64". */
void json_field_bytes(struct json_writer *w, const char *name, struct cor_bytes b);
void json_field_u64(struct json_writer *w, const char *name, uint64_t v);
void json_field_i64(struct json_writer *w, const char *name, int64_t v);
void json_field_bool(struct json_writer *w, const char *name, bool v);

#endif
