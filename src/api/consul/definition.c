/* definition.c - see definition.h. */
#include "api/consul/definition.h"

#include "api/consul/consul.h"
#include "base/format.h"
#include "base/reader.h"

enum kind {
    TEXT,
    FLAG,
    DURATION,
    HEADERS, /* an object of arrays of strings */
    WORDS    /* an array of strings */
};

/* New fields at the end: their numbers are in logs. */
static const struct field {
    const char *name;
    enum kind kind;
} fields[] = {
    {"HTTP", TEXT},
    {"TLSServerName", TEXT},
    {"TLSSkipVerify", FLAG},
    {"Header", HEADERS},
    {"Method", TEXT},
    {"Body", TEXT},
    {"DisableRedirects", FLAG},
    {"TCP", TEXT},
    {"TCPUseTLS", FLAG},
    {"UDP", TEXT},
    {"OSService", TEXT},
    {"Interval", DURATION},
    {"Timeout", DURATION},
    {"DeregisterCriticalServiceAfter", DURATION},
    {"ScriptArgs", WORDS},
    {"DockerContainerID", TEXT},
    {"Shell", TEXT},
    {"H2PING", TEXT},
    {"H2PingUseTLS", FLAG},
    {"GRPC", TEXT},
    {"GRPCUseTLS", FLAG},
    {"AliasNode", TEXT},
    {"AliasService", TEXT},
    {"TTL", DURATION},
};

/* ---- durations -------------------------------------------------------------------------------------- */

size_t duration_to_text(uint64_t ns, char *out)
{
    const size_t size = 33;
    if (ns == 0) {
        return format_to(out, size, "0s");
    }
    if (ns < API_MS) {
        return ns % 1000 == 0 ? format_to(out, size, "%lluus", (unsigned long long)ns / 1000)
                              : format_to(out, size, "%lluns", (unsigned long long)ns);
    }
    if (ns < API_S && ns % API_MS == 0) {
        return format_to(out, size, "%llums", (unsigned long long)(ns / API_MS));
    }
    unsigned long long s = ns / API_S;
    size_t len = 0;
    if (s >= 3600) {
        len += format_to(out, size, "%lluh", s / 3600);
    }
    if (s >= 60) {
        len += format_to(out + len, size - len, "%llum", s / 60 % 60);
    }
    len += format_to(out + len, size - len, "%llu", s % 60);
    if (ns % API_S != 0) {
        len += format_to(out + len, size - len, ".%09llu", (unsigned long long)(ns % API_S));
        while (out[len - 1] == '0') {
            len--;
        }
    }
    return len + format_to(out + len, size - len, "s");
}

/* ---- from a request --------------------------------------------------------------------------------- */

static bool encode_text(struct writer *w, uint8_t number, const struct json_value *v)
{
    struct cor_bytes text = json_string_of(v);
    if (text.len > 0) {
        writer_u8(w, number);
        writer_blob(w, text);
    }
    return json_kind_of(v) == JSON_STRING;
}

static bool encode_flag(struct writer *w, uint8_t number, const struct json_value *v)
{
    if (json_get_bool(v)) {
        writer_u8(w, number);
    }
    return json_kind_of(v) == JSON_BOOL;
}

/* "10s", or nanoseconds. */
static bool encode_duration(struct writer *w, uint8_t number, const struct json_value *v)
{
    char text[33];
    int64_t ns = 0;
    struct cor_bytes s = json_string_of(v);
    bool ok = json_kind_of(v) == JSON_STRING ? s.len == 0 || consul_duration(s, &ns)
                                             : json_i64_of(v, &ns);
    if (!ok || ns < 0) {
        return false;
    }
    if (ns > 0) {
        writer_u8(w, number);
        writer_blob(w, (struct cor_bytes){(const unsigned char *)text,
                                          duration_to_text((uint64_t)ns, text)});
    }
    return true;
}

static bool encode_words(struct writer *w, const struct json_value *v)
{
    size_t n = json_length(v);
    bool ok = json_kind_of(v) == JSON_ARRAY;
    writer_varint(w, n);
    for (size_t i = 0; i < n && ok; i++) {
        ok = json_kind_of(json_at(v, i)) == JSON_STRING;
        writer_blob(w, json_string_of(json_at(v, i)));
    }
    return ok;
}

static bool count_member(void *arg, struct cor_bytes name, const struct json_value *v)
{
    size_t *n = arg;
    (void)name, (void)v;
    ++*n;
    return true;
}

static bool encode_header(void *arg, struct cor_bytes name, const struct json_value *v)
{
    struct writer *w = arg;
    writer_blob(w, name);
    return encode_words(w, v);
}

static bool encode_headers(struct writer *w, uint8_t number, const struct json_value *v)
{
    size_t n = 0;
    if (!json_each(v, count_member, &n)) {
        return false;
    }
    if (n == 0) {
        return true;
    }
    writer_u8(w, number);
    writer_varint(w, n);
    return json_each(v, encode_header, w);
}

static bool encode_field(struct writer *w, uint8_t number, enum kind kind,
                         const struct json_value *v)
{
    switch (kind) {
    case TEXT:
        return encode_text(w, number, v);
    case FLAG:
        return encode_flag(w, number, v);
    case DURATION:
        return encode_duration(w, number, v);
    case HEADERS:
        return encode_headers(w, number, v);
    case WORDS:
        writer_u8(w, number);
        return encode_words(w, v);
    }
    return false;
}

const char *definition_encode(struct writer *w, const struct json_value *object)
{
    if (object != NULL && json_kind_of(object) != JSON_OBJECT) {
        return "Definition";
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const struct json_value *v = json_member_any_case(object, fields[i].name);
        if (v != NULL && !encode_field(w, (uint8_t)(i + 1), fields[i].kind, v)) {
            return fields[i].name;
        }
    }
    return NULL;
}

/* ---- to an answer ------------------------------------------------------------------------------------- */

static void write_words(struct json_writer *w, struct reader *r)
{
    uint64_t n = reader_varint(r);
    json_begin_array(w);
    for (uint64_t i = 0; i < n && reader_ok(r); i++) {
        json_string(w, reader_blob(r));
    }
    json_end_array(w);
}

static void write_headers(struct json_writer *w, struct reader *r)
{
    uint64_t n = reader_varint(r);
    json_begin_object(w);
    for (uint64_t i = 0; i < n && reader_ok(r); i++) {
        json_name_bytes(w, reader_blob(r));
        write_words(w, r);
    }
    json_end_object(w);
}

/* The definition is bytes of an entry: a field that this version does not know ends it. */
void definition_write_json(struct json_writer *w, struct cor_bytes definition)
{
    struct reader r = reader_of(definition);
    json_begin_object(w);
    while (r.at < r.end && reader_ok(&r)) {
        uint8_t number = reader_u8(&r);
        if (number == 0 || number > ARRAY_LEN(fields)) {
            break;
        }
        const struct field *field = &fields[number - 1];
        json_name(w, field->name);
        switch (field->kind) {
        case TEXT:
        case DURATION:
            json_string(w, reader_blob(&r));
            break;
        case FLAG:
            json_bool(w, true);
            break;
        case HEADERS:
            write_headers(w, &r);
            break;
        case WORDS:
            write_words(w, &r);
            break;
        }
    }
    json_end_object(w);
}
