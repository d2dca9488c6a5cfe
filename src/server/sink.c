/*
 * sink.c - events of the pure rooms as text: logfmt for people, JSON for programs.
 *
 * May be called on any thread of the node: everything is on the stack. Bytes from outside are escaped, so that nobody
 * writes lines of their own into our log.
 */
#include "server/internal.h"

#include "base/format.h"

#include <string.h>

struct text {
    char *out;
    size_t used, size;
    bool full;
};

static void put(struct text *t, const char *s, size_t len)
{
    if (t->full || len >= t->size - t->used) {
        t->full = true;
        return;
    }
    memcpy(t->out + t->used, s, len);
    t->used += len;
    t->out[t->used] = '\0';
}

static void put_text(struct text *t, const char *s)
{
    put(t, s, strlen(s));
}

/* A field that did not fit leaves nothing behind. */
static void end_field(struct text *t, size_t before)
{
    if (t->full) {
        t->used = before;
        t->out[before] = '\0';
    }
}

/* The length of the UTF-8 sequence that @b begins with; 0: none, or one that may not be. RFC 3629. */
static size_t utf8_length(struct cor_bytes b)
{
    unsigned char c = b.ptr[0];
    size_t len = c < 0x80 ? 1 : (c >= 0xc2 && c < 0xe0 ? 2 : (c >= 0xe0 && c < 0xf0 ? 3 : 4));
    if (c > 0xf4 || (c >= 0x80 && c < 0xc2) || len > b.len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((b.ptr[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool too_long = (c == 0xe0 && b.ptr[1] < 0xa0) || (c == 0xf0 && b.ptr[1] < 0x90);
    bool surrogate = c == 0xed && b.ptr[1] >= 0xa0;
    bool too_large = c == 0xf4 && b.ptr[1] >= 0x90;
    return too_long || surrogate || too_large ? 0 : len;
}

/* What may not stand as it is becomes \\xNN in logfmt, \\u00NN in JSON (U+FFFD where it is no character at all). */
static void put_escaped(struct text *t, struct cor_bytes b, bool json)
{
    while (b.len > 0 && !t->full) {
        size_t len = utf8_length(b);
        unsigned char c = b.ptr[0];
        if (c == '"' || c == '\\') {
            put(t, "\\", 1);
            put(t, (const char *)b.ptr, 1);
        } else if (len == 0 || c < 0x20 || c == 0x7f) {
            char code[8];
            format_to(code, sizeof code, json ? "\\u%04x" : "\\x%02x",
                      json && len == 0 ? 0xfffdu : (unsigned)c);
            put_text(t, code);
        } else {
            put(t, (const char *)b.ptr, len);
        }
        len = len == 0 ? 1 : len;
        b.ptr += len;
        b.len -= len;
    }
}

static bool needs_quotes(struct cor_bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        unsigned char c = b.ptr[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) {
            return true;
        }
    }
    return b.len == 0;
}

static void put_logfmt_value(struct text *t, const struct event_field *f)
{
    char number[24];
    switch (f->kind) {
    case EVENT_U64:
    case EVENT_HEX:
        format_to(number, sizeof number, f->kind == EVENT_HEX ? "%016llx" : "%llu",
                  (unsigned long long)f->number);
        put_text(t, number);
        break;
    case EVENT_TEXT:
        if (needs_quotes(f->text)) {
            put(t, "\"", 1);
            put_escaped(t, f->text, false);
            put(t, "\"", 1);
        } else {
            put(t, (const char *)f->text.ptr, f->text.len);
        }
        break;
    }
}

void sink_logfmt(const struct event *e, char *out, size_t size)
{
    struct text t = {.out = out, .size = size};
    put_text(&t, "event=");
    put_text(&t, e->name);
    for (uint32_t i = 0; i < e->n_fields; i++) {
        size_t before = t.used;
        put(&t, " ", 1);
        put_text(&t, e->fields[i].name);
        put(&t, "=", 1);
        put_logfmt_value(&t, &e->fields[i]);
        end_field(&t, before);
    }
}

static void put_json_value(struct text *t, const struct event_field *f)
{
    char number[24];
    switch (f->kind) {
    case EVENT_U64:
        format_to(number, sizeof number, "%llu", (unsigned long long)f->number);
        put_text(t, number);
        break;
    case EVENT_HEX:
        format_to(number, sizeof number, "\"%016llx\"", (unsigned long long)f->number);
        put_text(t, number);
        break;
    case EVENT_TEXT:
        put(t, "\"", 1);
        put_escaped(t, f->text, true);
        put(t, "\"", 1);
        break;
    }
}

void sink_json(const struct event *e, char *out, size_t size)
{
    struct text t = {.out = out, .size = size};
    put_text(&t, "\"event\":\"");
    put_text(&t, e->name);
    put(&t, "\"", 1);
    for (uint32_t i = 0; i < e->n_fields; i++) {
        size_t before = t.used;
        put(&t, ",\"", 2);
        put_text(&t, e->fields[i].name);
        put(&t, "\":", 2);
        put_json_value(&t, &e->fields[i]);
        end_field(&t, before);
    }
}

static void emit(struct event_sink *base, const struct event *e)
{
    struct sink *s = CONTAINER_OF(base, struct sink, base);
    enum cor_log_level level = (enum cor_log_level)e->level;
    if (level < s->level) {
        return;
    }
    char logfmt[SINK_TEXT_MAX], json[SINK_TEXT_MAX];
    sink_logfmt(e, logfmt, sizeof logfmt);
    sink_json(e, json, sizeof json);
    s->log(s->arg, level, e->room, e->name, logfmt, json);
}

_Static_assert((int)EVENT_DEBUG == (int)COR_LOG_DEBUG && (int)EVENT_ERROR == (int)COR_LOG_ERROR,
               "levels of events are levels of the log");

void sink_init(struct sink *s, const struct cor_options *o)
{
    bool off = o->log == NULL || o->log_level == 0 || o->log_level >= COR_LOG_OFF;
    *s = (struct sink){
        .base = {off ? NULL : emit}, .level = o->log_level, .log = o->log, .arg = o->arg};
}
