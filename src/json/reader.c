/*
 * reader.c - see reader.h. A json_value is json-c's object under another name.
 */
#include "json/reader.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"
#include "json/scan.h"

#include <json-c/json_object.h>
#include <json-c/json_object_iterator.h>
#include <json-c/json_tokener.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct json_object *object_of(const struct json_value *v)
{
    union {
        const struct json_value *value;
        struct json_object *object;
    } u = {.value = v};
    return u.object;
}

static const struct json_value *value_of(struct json_object *o)
{
    return (const struct json_value *)o;
}

/* @at: where json-c stopped; @len: of the text, and one more is the NUL behind it. */
static enum cor_status explain(enum json_tokener_error e, size_t at, size_t len,
                               struct cor_error *err)
{
    if (e == json_tokener_error_depth) {
        return error_set(err, COR_ETOOBIG, "byte %zu: nested deeper than %d", at,
                         JSON_READ_DEPTH_MAX);
    }
    if (e == json_tokener_continue || e == json_tokener_error_parse_eof) {
        return error_set(err, COR_EPROTO, "byte %zu: the text ends early", len);
    }
    return error_set(err, COR_EPROTO, "byte %zu: %s", at, json_tokener_error_desc(e));
}

enum cor_status json_read(struct cor_bytes in, size_t memory_max, struct json_value **out,
                          struct cor_error *err)
{
    struct json_scan scan = json_scan(in);
    if (scan.wrong != NULL) {
        return error_set(err, COR_EPROTO, "byte %zu: %s", scan.at, scan.wrong);
    }
    if (scan.memory_bytes > memory_max || in.len > INT_MAX / 2) {
        return error_set(err, COR_ETOOBIG,
                         "%zu bytes of JSON may need more memory than %zu bytes", in.len,
                         memory_max);
    }
    struct json_tokener *t = json_tokener_new_ex(JSON_READ_DEPTH_MAX);
    if (t == NULL) {
        return error_set(err, COR_ENOMEM, "no memory to read JSON");
    }
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *v = NULL;
    if (in.len > 0) {
        v = json_tokener_parse_ex(t, (const char *)in.ptr, (int)in.len);
    }
    size_t at = in.len > 0 ? json_tokener_get_parse_end(t) : 0;
    if (in.len == 0 || json_tokener_get_error(t) == json_tokener_continue) {
        v = json_tokener_parse_ex(t, "", 1); /* its end: a number may go on until there */
    }
    enum json_tokener_error e = json_tokener_get_error(t);
    json_tokener_free(t);
    if (e != json_tokener_success) {
        return explain(e, at, in.len, err);
    }
    *out = (struct json_value *)v;
    return COR_OK;
}

struct json_value *json_parse(struct cor_bytes in)
{
    struct json_value *v = NULL;
    return json_read(in, JSON_READ_MEMORY_MAX, &v, NULL) == COR_OK ? v : NULL;
}

void json_free(struct json_value *document)
{
    (void)json_object_put(object_of(document));
}

const struct json_value *json_member(const struct json_value *object, const char *name)
{
    struct json_object *found = NULL;
    if (!json_object_is_type(object_of(object), json_type_object) ||
        !json_object_object_get_ex(object_of(object), name, &found)) {
        return NULL;
    }
    return value_of(found);
}

bool json_each(const struct json_value *object,
               bool (*each)(void *arg, struct cor_bytes name, const struct json_value *v),
               void *arg)
{
    if (!json_object_is_type(object_of(object), json_type_object)) {
        return false;
    }
    struct json_object_iterator at = json_object_iter_begin(object_of(object));
    struct json_object_iterator end = json_object_iter_end(object_of(object));
    bool more = true;
    while (more && json_object_iter_equal(&at, &end) == 0) {
        const char *name = json_object_iter_peek_name(&at);
        more = each(arg, (struct cor_bytes){(const unsigned char *)name, strlen(name)},
                    value_of(json_object_iter_peek_value(&at)));
        json_object_iter_next(&at);
    }
    return more;
}

static unsigned char lower(unsigned char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

struct wanted {
    const char *name;
    const struct json_value *found;
};

static bool compare_name(void *arg, struct cor_bytes name, const struct json_value *v)
{
    struct wanted *w = arg;
    for (size_t i = 0; i < name.len; i++) {
        if (lower(name.ptr[i]) != lower((unsigned char)w->name[i])) {
            return true;
        }
    }
    w->found = w->name[name.len] == '\0' ? v : w->found;
    return true;
}

const struct json_value *json_member_any_case(const struct json_value *object, const char *name)
{
    const struct json_value *found = json_member(object, name);
    if (found != NULL || !json_object_is_type(object_of(object), json_type_object)) {
        return found;
    }
    struct wanted wanted = {.name = name};
    (void)json_each(object, compare_name, &wanted);
    return wanted.found;
}

size_t json_length(const struct json_value *array)
{
    return json_object_is_type(object_of(array), json_type_array)
               ? json_object_array_length(object_of(array))
               : 0;
}

const struct json_value *json_at(const struct json_value *array, size_t i)
{
    return i < json_length(array) ? value_of(json_object_array_get_idx(object_of(array), i))
                                  : NULL;
}

enum json_kind json_kind_of(const struct json_value *v)
{
    switch (json_object_get_type(object_of(v))) {
    case json_type_null:
        return JSON_NULL;
    case json_type_boolean:
        return JSON_BOOL;
    case json_type_int:
        return JSON_INTEGER;
    case json_type_double:
        return JSON_FRACTION;
    case json_type_string:
        return JSON_STRING;
    case json_type_array:
        return JSON_ARRAY;
    case json_type_object:
        return JSON_OBJECT;
    }
    COR_ASSERT(false);
    return JSON_NULL;
}

/* json-c holds an integer as int64 if it fits, else as uint64, and cuts at both ends when asked for the
 * other. */
bool json_u64_of(const struct json_value *v, uint64_t *out)
{
    if (!json_object_is_type(object_of(v), json_type_int) ||
        json_object_get_int64(object_of(v)) < 0) {
        return false;
    }
    *out = json_object_get_uint64(object_of(v));
    return true;
}

bool json_i64_of(const struct json_value *v, int64_t *out)
{
    if (!json_object_is_type(object_of(v), json_type_int) ||
        (json_object_get_int64(object_of(v)) >= 0 &&
         json_object_get_uint64(object_of(v)) > INT64_MAX)) {
        return false;
    }
    *out = json_object_get_int64(object_of(v));
    return true;
}

uint64_t json_get_u64(const struct json_value *v)
{
    uint64_t out;
    return json_u64_of(v, &out) ? out : 0;
}

bool json_get_bool(const struct json_value *v)
{
    return json_object_is_type(object_of(v), json_type_boolean) &&
           json_object_get_boolean(object_of(v));
}

static bool is_string(const struct json_value *v)
{
    return json_object_is_type(object_of(v), json_type_string);
}

const char *json_get_text(const struct json_value *v)
{
    return is_string(v) ? json_object_get_string(object_of(v)) : "";
}

struct cor_bytes json_string_of(const struct json_value *v)
{
    if (!is_string(v)) {
        return (struct cor_bytes){NULL, 0};
    }
    return (struct cor_bytes){(const unsigned char *)json_get_text(v),
                              (size_t)json_object_get_string_len(object_of(v))};
}

/* ---- base64 ---------------------------------------------------------------------------------------- */

static int digit_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool json_base64_decode(struct cor_bytes in, unsigned char *out, size_t *len)
{
    if (in.len % 4 != 0) {
        return false;
    }
    size_t padding = 0;
    while (padding < 2 && padding < in.len && in.ptr[in.len - 1 - padding] == '=') {
        padding++;
    }
    size_t n = 0, digits = in.len - padding;
    uint32_t bits = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = digit_of(in.ptr[i]);
        if (digit < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0) {
            out[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
        }
    }
    if ((bits & (padding == 2 ? 15u : padding == 1 ? 3u : 0u)) != 0) {
        return false; /* one way to write each value */
    }
    *len = n;
    return true;
}

bool json_get_bytes(const struct json_value *object, const char *name, unsigned char **memory,
                    struct cor_bytes *out)
{
    char encoded_name[64];
    format_to(encoded_name, sizeof encoded_name, "%s_base64", name);
    const struct json_value *plain = json_member(object, name);
    const struct json_value *found = plain != NULL ? plain : json_member(object, encoded_name);
    if (!is_string(found)) {
        return false;
    }
    struct cor_bytes text = json_string_of(found);
    size_t len = text.len;
    unsigned char *bytes = malloc(len + 1);
    if (bytes == NULL) {
        return false;
    }
    if (plain != NULL) {
        if (len > 0) {
            memcpy(bytes, text.ptr, len);
        }
    } else if (!json_base64_decode(text, bytes, &len)) {
        free(bytes);
        return false;
    }
    *memory = bytes;
    *out = (struct cor_bytes){bytes, len};
    return true;
}
