/*
 * event.h - what the pure rooms have to say, without printing it.
 *
 * raft/, wal/, kv/, peer/ and node/ do not log: they emit events, values with a stable name and
 * up to EVENT_FIELDS_MAX fields. server/ turns them into lines (logfmt or JSON), the simulator
 * into a trace, tests into expectations. Names are lower_snake and listed in docs/operations.md.
 */
#ifndef BASE_EVENT_H
#define BASE_EVENT_H

#include "coracle/bytes.h"

#include <stdint.h>

#define EVENT_FIELDS_MAX 8u

enum event_level {
    EVENT_DEBUG = 1, /* development */
    EVENT_INFO,      /* a few per minute in a healthy node */
    EVENT_WARN,      /* degraded, heals by itself */
    EVENT_ERROR,     /* someone must act */
};

enum event_kind {
    EVENT_U64 = 1,
    EVENT_HEX,
    EVENT_TEXT
};

struct event_field {
    const char *name;
    enum event_kind kind;
    uint64_t number;       /* EVENT_U64, EVENT_HEX */
    struct cor_bytes text; /* EVENT_TEXT; bytes from outside are escaped by the sink */
};

struct event {
    enum event_level level;
    const char *room; /* "raft", "wal", ... */
    const char *name; /* "became_leader" */
    uint32_t n_fields;
    struct event_field fields[EVENT_FIELDS_MAX];
};

/* Where events go. @emit borrows the event for the call. A sink with emit == NULL drops all. */
struct event_sink {
    void (*emit)(struct event_sink *sink, const struct event *event);
};

/* Fields, for use inside event_emit(). */
struct event_field event_u64(const char *name, uint64_t v);
struct event_field event_hex(const char *name, uint64_t v);
struct event_field event_text(const char *name, const char *text); /* @text may be NULL: "" */
struct event_field event_bytes(const char *name, struct cor_bytes b);

/* Emit to @sink (NULL is fine). */
void event_emit_n(struct event_sink *sink, enum event_level level, const char *room,
                  const char *name, const struct event_field *fields, uint32_t n);

/* event_emit(sink, EVENT_INFO, "raft", "became_leader", event_u64("term", t)): one field or more */
#define event_emit(sink, level, room, name, ...)                                               \
    event_emit_n((sink), (level), (room), (name), (const struct event_field[]){__VA_ARGS__},   \
                 sizeof((const struct event_field[]){__VA_ARGS__}) /                           \
                     sizeof(struct event_field))

#endif
