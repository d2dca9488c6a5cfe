/*
 * reader.c - see reader.h. A json_value is json-c's object under another name.
 */
#include "json/reader.h"

#include "base/format.h"

#include <json-c/json_object.h>
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

struct json_value *json_parse(struct cor_bytes in)
{
    struct json_tokener *t = in.len > INT_MAX ? NULL : json_tokener_new_ex(JSON_READ_DEPTH_MAX);
    if (t == NULL) {
        return NULL;
    }
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *o = json_tokener_parse_ex(t, (const char *)in.ptr, (int)in.len);
    bool ok = json_tokener_get_error(t) == json_tokener_success &&
              json_tokener_get_parse_end(t) == in.len;
    json_tokener_free(t);
    if (!ok) {
        (void)json_object_put(o);
        return NULL;
    }
    return (struct json_value *)o;
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

uint64_t json_get_u64(const struct json_value *v)
{
    return json_object_is_type(object_of(v), json_type_int)
               ? json_object_get_uint64(object_of(v))
               : 0;
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

/* ---- base64 ---------------------------------------------------------------------------------------- */

/* RFC 4648 table 1; 64: not a digit. */
static unsigned digit_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26u;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52u;
    }
    return c == '+' ? 62 : (c == '/' ? 63 : 64);
}

/* Padded, without anything between: what our writer makes. @out has 3 bytes for every 4 of @in. */
static bool decode_base64(struct cor_bytes in, unsigned char *out, size_t *len)
{
    size_t used = 0;
    if (in.len % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < in.len; i += 4) {
        size_t pad =
            i + 4 < in.len ? 0 : (in.ptr[i + 3] == '=') + (size_t)(in.ptr[i + 2] == '=');
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            unsigned digit = k < 4 - pad ? digit_of(in.ptr[i + k]) : 0;
            if (digit > 63) {
                return false;
            }
            bits = bits << 6 | digit;
        }
        for (size_t k = 0; k < 3 - pad; k++) {
            out[used++] = (unsigned char)(bits >> (16 - 8 * k));
        }
    }
    *len = used;
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
    const char *text = json_get_text(found);
    size_t len = (size_t)json_object_get_string_len(object_of(found));
    unsigned char *bytes = malloc(len + 1);
    if (bytes == NULL) {
        return false;
    }
    if (plain != NULL) {
        memcpy(bytes, text, len);
    } else if (!decode_base64((struct cor_bytes){(const unsigned char *)text, len}, bytes,
                              &len)) {
        free(bytes);
        return false;
    }
    *memory = bytes;
    *out = (struct cor_bytes){bytes, len};
    return true;
}
