/*
 * text.c - see text.h.
 */
#include "cli/text.h"

#include "base/format.h"
#include "http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cor_bytes text_bytes(const char *text)
{
    return (struct cor_bytes){(const unsigned char *)text, strlen(text)};
}

/* ---- items ----------------------------------------------------------------------------------------- */

bool text_item_read(const struct json_value *v, struct text_item *out)
{
    *out = (struct text_item){
        .create_revision = json_get_u64(json_member(v, "create_revision")),
        .mod_revision = json_get_u64(json_member(v, "mod_revision")),
        .version = json_get_u64(json_member(v, "version")),
    };
    out->has_value = json_get_bytes(v, "value", &out->memory[1], &out->value);
    return json_get_bytes(v, "key", &out->memory[0], &out->key);
}

void text_item_free(struct text_item *item)
{
    free(item->memory[0]);
    free(item->memory[1]);
}

void text_json_item(struct json_writer *w, const struct text_item *item)
{
    json_field_bytes(w, "key", item->key);
    if (item->has_value) {
        json_field_bytes(w, "value", item->value);
    }
    json_field_u64(w, "create_revision", item->create_revision);
    json_field_u64(w, "mod_revision", item->mod_revision);
    json_field_u64(w, "version", item->version);
}

/* ---- printing -------------------------------------------------------------------------------------- */

void text_print(struct cor_bytes b)
{
    if (b.len > 0) {
        (void)fwrite(b.ptr, 1, b.len, stdout);
    }
}

/* How many bytes at @b are to be printed as \xNN; 0: the first is printed as it is. Besides what no terminal shows:
 * U+0080 to U+009F, which some terminals obey. */
static size_t escape_at(struct cor_bytes b, bool utf8)
{
    unsigned char c = b.ptr[0];
    if (c == 0xc2 && utf8 && b.ptr[1] < 0xa0) {
        return 2;
    }
    return c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8) ? 1 : 0;
}

size_t text_print_escaped(struct cor_bytes b)
{
    bool utf8 = json_is_utf8(b);
    size_t width = 0;
    while (b.len > 0) {
        size_t n = escape_at(b, utf8);
        size_t used = n > 0 ? n : 1;
        for (size_t i = 0; i < n; i++) {
            (void)printf("\\x%02x", b.ptr[i]);
        }
        if (n == 0 && b.ptr[0] == '\\') {
            (void)putchar('\\');
            width++;
        }
        if (n == 0) {
            (void)putchar(b.ptr[0]);
            width += (b.ptr[0] & 0xc0) != 0x80; /* the rest of a character takes no place */
        }
        width += 4 * n;
        b.ptr += used;
        b.len -= used;
    }
    return width;
}

void text_print_json(struct json_writer *w)
{
    text_print(json_text_of(w));
    (void)putchar('\n');
}

/* ---- targets --------------------------------------------------------------------------------------- */

static bool append(char *target, struct cor_bytes b)
{
    size_t used = strlen(target);
    size_t n = http_percent_encode(b, target + used, TEXT_TARGET_MAX - used - 1);
    if (n == SIZE_MAX) {
        return false;
    }
    target[used + n] = '\0';
    return true;
}

bool text_target(char *out, const char *before, struct cor_bytes key)
{
    format_to(out, TEXT_TARGET_MAX, "%s", before);
    return append(out, key);
}

bool text_query(char *target, const char *name, const struct cor_bytes *value)
{
    size_t used = strlen(target);
    size_t room = TEXT_TARGET_MAX - used;
    size_t n = format_to(target + used, room, "%c%s%s", strchr(target, '?') == NULL ? '?' : '&',
                         name, value == NULL ? "" : "=");
    return n + 1 < room && (value == NULL || append(target, *value));
}

bool text_query_number(char *target, const char *name, uint64_t value)
{
    char digits[24];
    format_to(digits, sizeof digits, "%llu", (unsigned long long)value);
    struct cor_bytes b = text_bytes(digits);
    return text_query(target, name, &b);
}

/* ---- lines ----------------------------------------------------------------------------------------- */

static bool keep(struct lines *l, struct cor_bytes b)
{
    if (b.len > LINES_MAX - l->used) {
        return false;
    }
    size_t need = l->used + b.len;
    if (need > l->size) {
        char *more = realloc(l->base, 2 * need);
        if (more == NULL) {
            return false;
        }
        l->base = more;
        l->size = 2 * need;
    }
    if (b.len > 0) {
        memcpy(l->base + l->used, b.ptr, b.len);
    }
    l->used = need;
    return true;
}

bool lines_take(struct lines *l, struct cor_bytes part)
{
    while (part.len > 0) {
        const unsigned char *end = memchr(part.ptr, '\n', part.len);
        size_t len = end == NULL ? part.len : (size_t)(end - part.ptr);
        if (!keep(l, (struct cor_bytes){part.ptr, len})) {
            return false;
        }
        if (end == NULL) {
            return true;
        }
        struct cor_bytes line = {(const unsigned char *)l->base, l->used};
        l->used = 0;
        if (!l->on_line(l->arg, line)) {
            return false;
        }
        part.ptr += len + 1;
        part.len -= len + 1;
    }
    return true;
}

void lines_reset(struct lines *l)
{
    l->used = 0;
}

void lines_free(struct lines *l)
{
    free(l->base);
}
