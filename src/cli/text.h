/*
 * text.h - what the client commands print: keys and values in the form that was asked for; and lines out of a stream.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "json/reader.h"
#include "json/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum text_form {
    FORM_PLAIN = 0,
    FORM_JSON,
    FORM_TABLE,
    FORM_RAW,
};

struct text_item {
    struct cor_bytes key, value;
    uint64_t create_revision, mod_revision, version;
    bool has_value;
    unsigned char *memory[2]; /* of items that were read from JSON */
};

/* An item or event of an answer. False: it has no key. Free it with text_item_free(), also then. */
MUST_USE bool text_item_read(const struct json_value *v, struct text_item *out);
void text_item_free(struct text_item *item);

/* As they are, on stdout. */
void text_print(struct cor_bytes b);
/* On one line, whatever is in it: control characters, and everything that is not UTF-8, as \xNN. Returns how many
 * columns that took, where each character takes one. */
size_t text_print_escaped(struct cor_bytes b);
/* A whole document and a line end. */
void text_print_json(struct json_writer *w);
void text_json_item(struct json_writer *w, const struct text_item *item);

/* "/db/KEY" or "/db?NAME=KEY" into @out; more of the query is added with text_query(). False: too long. */
#define TEXT_TARGET_MAX 32768u
MUST_USE bool text_target(char *out, const char *before, struct cor_bytes key);
/* "?name=value" or "&name=value"; @value NULL: the name alone. */
MUST_USE bool text_query(char *target, const char *name, const struct cor_bytes *value);
MUST_USE bool text_query_number(char *target, const char *name, uint64_t value);

struct cor_bytes text_bytes(const char *text);

/* Cut parts of a stream into lines. */
#define LINES_MAX (8u << 20) /* bytes in a line: a key and a value, every byte escaped */
struct lines {
    char *base;
    size_t used, size;
    /* @line without its end. False: enough. */
    bool (*on_line)(void *arg, struct cor_bytes line);
    void *arg;
};
/* False: on_line said so, or a line is too long for us. */
MUST_USE bool lines_take(struct lines *l, struct cor_bytes part);
/* What is left is a line that was not finished. */
void lines_reset(struct lines *l);
void lines_free(struct lines *l);

#endif
