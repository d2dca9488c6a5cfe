/*
 * reader.h - JSON in, bounded and exact: a document as a tree, or an error with its place.
 *
 * Place in the system: cli/ reads the answers of nodes with it, dialects the bodies of requests. The work is
 * json-c's; in front of it goes a pass of our own (scan.h) that refuses what json-c forgives (integers
 * beyond 64 bits, which it cuts; NaN; names in single quotes; NUL in names) and adds up what the
 * values will cost before any memory is taken.
 *
 * A JSON null, and what is not there, is NULL. Of a name that stands twice in one object the last value counts.
 */
#ifndef JSON_READER_H
#define JSON_READER_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_READ_DEPTH_MAX  32
#define JSON_READ_MEMORY_MAX (64u << 20)

struct json_value; /* part of a document; lives as long as it does */

/*
 * Read the one value in @in, if it takes at most @memory_max bytes once it is in memory: for small
 * values that is many times what the text has. On COR_OK *out is the caller's: json_free().
 * COR_EPROTO: not JSON; COR_ETOOBIG: too deep, or over @memory_max; COR_ENOMEM. @err may be NULL; it
 * names the byte, counted from 0.
 */
MUST_USE enum cor_status json_read(struct cor_bytes in, size_t memory_max,
                                   struct json_value **out, struct cor_error *err);
/* As above, within JSON_READ_MEMORY_MAX. NULL: refused for any reason, or a null. */
struct json_value *json_parse(struct cor_bytes in);
void json_free(struct json_value *document); /* NULL is fine */

enum json_kind {
    JSON_NULL = 1,
    JSON_BOOL,
    JSON_INTEGER,
    JSON_FRACTION, /* a number with a point or an exponent */
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};
enum json_kind json_kind_of(const struct json_value *v);
/* False: not an integer, or not within the type. */
MUST_USE bool json_u64_of(const struct json_value *v, uint64_t *out);
MUST_USE bool json_i64_of(const struct json_value *v, int64_t *out);
/* The bytes of a string; {NULL, 0} for what is none. */
struct cor_bytes json_string_of(const struct json_value *v);

/* The rest takes NULL for what is not there, and answers with NULL, false or 0 for what is of another
 * kind (a negative number is not a u64). */
const struct json_value *json_member(const struct json_value *object, const char *name);
/* Call @each for every member of @object, in their order, until it returns false. False: it did, or this is no
 * object. */
bool json_each(const struct json_value *object,
               bool (*each)(void *arg, struct cor_bytes name, const struct json_value *v),
               void *arg);
/* The same without regard to the case of ASCII letters, as Consul reads names; the exact one first. */
const struct json_value *json_member_any_case(const struct json_value *object,
                                              const char *name);
size_t json_length(const struct json_value *array);
const struct json_value *json_at(const struct json_value *array, size_t i);
uint64_t json_get_u64(const struct json_value *v);
bool json_get_bool(const struct json_value *v);
/* Ended by a zero byte; "" for what is no string. */
const char *json_get_text(const struct json_value *v);

/* Bytes of users as json_field_bytes() writes them: the member @name, or "@name_base64" decoded. The bytes are @memory's,
 * freed by the caller. False: neither is there, not base64, or out of memory. */
MUST_USE bool json_get_bytes(const struct json_value *object, const char *name,
                             unsigned char **memory, struct cor_bytes *out);
/* Decode padded base64 (RFC 4648 4) to @out, which has room for in.len / 4 * 3 bytes. False: not
 * base64, or with bits that mean nothing. */
MUST_USE bool json_base64_decode(struct cor_bytes in, unsigned char *out, size_t *len);

#endif
