/* event.c - building events and handing them to the sink. */
#include "base/event.h"

#include "base/assert.h"

#include <string.h>

struct event_field event_u64(const char *name, uint64_t v)
{
    return (struct event_field){.name = name, .kind = EVENT_U64, .number = v};
}

struct event_field event_hex(const char *name, uint64_t v)
{
    return (struct event_field){.name = name, .kind = EVENT_HEX, .number = v};
}

struct event_field event_bytes(const char *name, struct cor_bytes b)
{
    return (struct event_field){.name = name, .kind = EVENT_TEXT, .text = b};
}

struct event_field event_text(const char *name, const char *text)
{
    struct cor_bytes b = {(const unsigned char *)text, text == NULL ? 0 : strlen(text)};
    return event_bytes(name, b);
}

void event_emit_n(struct event_sink *sink, enum event_level level, const char *room,
                  const char *name, const struct event_field *fields, uint32_t n)
{
    COR_ASSERT(n <= EVENT_FIELDS_MAX);
    if (sink == NULL || sink->emit == NULL) {
        return;
    }
    struct event e = {.level = level, .room = room, .name = name, .n_fields = n};
    memcpy(e.fields, fields, n * sizeof *fields);
    sink->emit(sink, &e);
}
