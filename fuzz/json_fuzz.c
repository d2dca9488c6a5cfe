/* room: json
 *
 * json_fuzz.c - bytes nobody vouches for, as JSON and as base64, and as what the writer is given.
 *
 * What is read and written again is read again, and the second text is the first but for what
 * Unicode and white space allow: so writing that once more changes nothing. What the writer makes of any
 * bytes is JSON. Base64 that is taken is what encoding gives.
 */
#include "base/assert.h"
#include "json/reader.h"
#include "json/writer.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX (16u << 20)
#define TEXT_MAX   (4u << 20)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Fractions, and what is in an object, cannot be asked for: they become null, and []. */
static void rewrite(struct json_writer *w, const struct json_value *v, int depth)
{
    uint64_t u;
    int64_t n;
    COR_ASSERT(depth <= JSON_READ_DEPTH_MAX);
    switch (json_kind_of(v)) {
    case JSON_NULL:
    case JSON_FRACTION:
        json_null(w);
        break;
    case JSON_BOOL:
        json_bool(w, json_get_bool(v));
        break;
    case JSON_INTEGER:
        if (json_u64_of(v, &u)) {
            json_u64(w, u);
        } else {
            COR_ASSERT(json_i64_of(v, &n));
            json_i64(w, n);
        }
        break;
    case JSON_STRING:
        COR_ASSERT(json_is_utf8(json_string_of(v)));
        json_string(w, json_string_of(v));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        json_begin_array(w);
        for (size_t i = 0; i < json_length(v); i++) {
            rewrite(w, json_at(v, i), depth + 1);
        }
        json_end_array(w);
        break;
    }
}

static void read_and_write(struct cor_bytes in)
{
    struct json_value *v, *again;
    struct cor_error err = {0};
    enum cor_status st = json_read(in, MEMORY_MAX, &v, &err);
    if (st != COR_OK) {
        COR_ASSERT(st == COR_EPROTO || st == COR_ETOOBIG);
        COR_ASSERT(err.status == st && err.text[0] != '\0');
        return;
    }
    struct json_writer w[2] = {json_writer_growing(TEXT_MAX), json_writer_growing(TEXT_MAX)};
    rewrite(&w[0], v, 0);
    COR_ASSERT(json_ok(&w[0]));
    struct cor_bytes text = json_text_of(&w[0]);
    COR_ASSERT(json_read(text, (size_t)-1, &again, NULL) == COR_OK);
    rewrite(&w[1], again, 0);
    COR_ASSERT(json_text_of(&w[1]).len == text.len);
    COR_ASSERT(memcmp(json_text_of(&w[1]).ptr, text.ptr, text.len) == 0);
    json_free(v);
    json_free(again);
    json_writer_free(&w[0]);
    json_writer_free(&w[1]);
}

static void write_and_read(struct cor_bytes in)
{
    struct json_writer w = json_writer_growing(TEXT_MAX);
    struct json_value *root;
    json_begin_object(&w);
    json_field_bytes(&w, "b", in);
    json_field_string(&w, "s", in);
    json_field_base64(&w, "x", in);
    json_end_object(&w);
    COR_ASSERT(json_ok(&w));
    COR_ASSERT(json_is_utf8(json_text_of(&w)));
    COR_ASSERT(json_read(json_text_of(&w), (size_t)-1, &root, NULL) == COR_OK);
    unsigned char *bytes, *decoded = malloc(in.len + 3);
    struct cor_bytes back, text = json_string_of(json_member(root, "x"));
    size_t len;
    COR_ASSERT(decoded != NULL);
    COR_ASSERT(json_get_bytes(root, "b", &bytes, &back));
    COR_ASSERT(back.len == in.len && memcmp(back.ptr, in.ptr, in.len) == 0);
    COR_ASSERT(json_base64_decode(text, decoded, &len));
    COR_ASSERT(len == in.len && memcmp(decoded, in.ptr, len) == 0);
    free(bytes);
    free(decoded);
    json_free(root);
    json_writer_free(&w);
}

static void decode_and_encode(struct cor_bytes in)
{
    size_t len;
    unsigned char *out = malloc(in.len / 4 * 3 + 1);
    COR_ASSERT(out != NULL);
    if (json_base64_decode(in, out, &len)) {
        struct json_writer w = json_writer_growing(TEXT_MAX);
        json_base64(&w, (struct cor_bytes){out, len});
        struct cor_bytes text = json_text_of(&w);
        COR_ASSERT(text.len == in.len + 2 && memcmp(text.ptr + 1, in.ptr, in.len) == 0);
        json_writer_free(&w);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct cor_bytes in = {data, size};
    if (size > 0 && size < TEXT_MAX / 16) {
        read_and_write(in);
        write_and_read(in);
        decode_and_encode(in);
    }
    return 0;
}
