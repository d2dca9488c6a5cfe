/* record.c - see record.h. */
#include "goraft/record.h"

#include "base/assert.h"
#include "base/error.h"
#include "json/reader.h"

#include <stdlib.h>
#include <string.h>

#define WIRE_VARINT 0u
#define WIRE_FIXED8 1u
#define WIRE_BYTES  2u
#define WIRE_FIXED4 5u

static const char hex_digits[] = "0123456789abcdef";

/* ---- reading --------------------------------------------------------------------------------------- */

struct fields {
    const unsigned char *at, *end;
    const char *wrong; /* NULL: nothing so far */
};

static uint64_t fail(struct fields *f, const char *why)
{
    f->wrong = f->wrong == NULL ? why : f->wrong;
    f->at = f->end;
    return 0;
}

/* Protobuf's varint: ten bytes at most, bits beyond the 64th are dropped, needless zeros are taken (base/reader.h
 * refuses both, because our own formats have one way to write a number). */
static uint64_t varint(struct fields *f)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (f->at == f->end) {
            return fail(f, "it ends inside a number");
        }
        unsigned char c = *f->at++;
        v |= shift < 64 ? (uint64_t)(c & 0x7f) << shift : 0;
        if ((c & 0x80) == 0) {
            return v;
        }
    }
    return fail(f, "a number of more than ten bytes");
}

static struct cor_bytes run_of(struct fields *f, uint64_t len)
{
    if (len > (uint64_t)(f->end - f->at)) {
        (void)fail(f, "a field goes beyond the end");
        return (struct cor_bytes){NULL, 0};
    }
    struct cor_bytes out = {f->at, (size_t)len};
    f->at += len;
    return out;
}

static void skip_field(struct fields *f, unsigned wire)
{
    switch (wire) {
    case WIRE_VARINT:
        (void)varint(f);
        return;
    case WIRE_FIXED8:
        (void)run_of(f, 8);
        return;
    case WIRE_BYTES:
        (void)run_of(f, varint(f));
        return;
    case WIRE_FIXED4:
        (void)run_of(f, 4);
        return;
    default:
        (void)fail(f, "a field of no known wire type");
    }
}

/* Fields 1 to 4 have one wire type each. */
static void read_known(struct fields *f, uint64_t number, unsigned wire,
                       struct goraft_record *out)
{
    if (wire != (number <= 2 ? WIRE_VARINT : WIRE_BYTES)) {
        (void)fail(f, "a field has the wrong wire type");
        return;
    }
    switch (number) {
    case 1:
        out->index = varint(f);
        return;
    case 2:
        out->term = varint(f);
        return;
    case 3:
        out->name = run_of(f, varint(f));
        return;
    default:
        out->command = run_of(f, varint(f));
        out->has_command = true;
    }
}

static const char *read_payload(struct cor_bytes payload, struct goraft_record *out)
{
    struct fields f = {payload.ptr, payload.ptr + payload.len, NULL};
    unsigned seen = 0;
    *out = (struct goraft_record){.index = 0};
    while (f.at < f.end) {
        uint64_t tag = varint(&f);
        uint64_t number = tag >> 3;
        if (number == 0) {
            return f.wrong != NULL ? f.wrong : "a field without a number";
        }
        if (number > 4) {
            skip_field(&f, tag & 7);
            continue;
        }
        read_known(&f, number, tag & 7, out);
        seen |= 1u << number;
    }
    if (f.wrong == NULL && (seen & 0xeu) != 0xeu) {
        return "index, term or command name is not there";
    }
    return f.wrong;
}

/* As "%8x\n" is scanned: spaces, then hexadecimal digits, eight characters at most, and a line end. */
static bool read_length(struct cor_bytes in, size_t *header, uint64_t *length)
{
    size_t at = 0, digits = 0;
    *length = 0;
    while (at < in.len && at < 8 && in.ptr[at] == ' ') {
        at++;
    }
    for (; at < in.len && at < 8; at++, digits++) {
        unsigned char c = in.ptr[at];
        unsigned char lower = c >= 'A' && c <= 'F' ? (unsigned char)(c | 0x20) : c;
        const char *digit = lower == '\0' ? NULL : strchr(hex_digits, lower);
        if (digit == NULL) {
            break;
        }
        *length = *length << 4 | (uint64_t)(digit - hex_digits);
    }
    *header = at + 1;
    return digits > 0 && at < in.len && in.ptr[at] == '\n';
}

enum cor_status goraft_record_read(struct cor_bytes in, struct goraft_record *out, size_t *size,
                                   struct cor_error *err)
{
    size_t header;
    uint64_t length;
    if (!read_length(in, &header, &length)) {
        return error_set(err, COR_EPROTO,
                         in.len < GORAFT_HEADER_SIZE ? "a header that is cut off"
                                                     : "no header of a record");
    }
    if (length > in.len - header) {
        return error_set(err, COR_EPROTO, "a record of %llu bytes, of which %zu are there",
                         (unsigned long long)length, in.len - header);
    }
    const char *wrong = read_payload((struct cor_bytes){in.ptr + header, (size_t)length}, out);
    if (wrong != NULL) {
        return error_set(err, COR_EPROTO, "not a log entry: %s", wrong);
    }
    *size = header + (size_t)length;
    return COR_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static size_t blob_size(struct cor_bytes b)
{
    return 1 + varint_size(b.len) + b.len;
}

static void write_header(struct writer *w, size_t length)
{
    for (unsigned shift = 32; shift > 0; shift -= 4) {
        size_t rest = length >> (shift - 4);
        writer_u8(w, rest == 0 ? (uint8_t)' ' : (uint8_t)hex_digits[rest & 15]);
    }
    writer_u8(w, '\n');
}

void goraft_record_write(struct writer *w, const struct goraft_record *r)
{
    write_header(w, 2 + varint_size(r->index) + varint_size(r->term) + blob_size(r->name) +
                        (r->has_command ? blob_size(r->command) : 0));
    writer_u8(w, 1 << 3 | WIRE_VARINT);
    writer_varint(w, r->index);
    writer_u8(w, 2 << 3 | WIRE_VARINT);
    writer_varint(w, r->term);
    writer_u8(w, 3 << 3 | WIRE_BYTES);
    writer_blob(w, r->name);
    if (r->has_command) {
        writer_u8(w, 4 << 3 | WIRE_BYTES);
        writer_blob(w, r->command);
    }
}

bool goraft_name_is(struct cor_bytes name, const char *what)
{
    return name.len == strlen(what) && memcmp(name.ptr, what, name.len) == 0;
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static void write_text(struct writer *w, const char *text)
{
    writer_bytes(w, (struct cor_bytes){(const unsigned char *)text, strlen(text)});
}

/* Go's encoder escapes what would be markup in HTML, control characters (three of them by name), and the two line
 * ends of Unicode that JavaScript does not take in strings. */
static void write_string(struct writer *w, struct cor_bytes s)
{
    writer_u8(w, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = s.ptr[i];
        bool separator = c == 0xe2 && s.len - i >= 3 && s.ptr[i + 1] == 0x80 &&
                         (s.ptr[i + 2] & 0xfe) == 0xa8;
        if (separator) {
            write_text(w, s.ptr[i + 2] == 0xa8 ? "\\u2028" : "\\u2029");
            i += 2;
        } else if (c == '"' || c == '\\') {
            writer_u8(w, '\\');
            writer_u8(w, c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            writer_u8(w, '\\');
            writer_u8(w, c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        } else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
            write_text(w, "\\u00");
            writer_u8(w, (uint8_t)hex_digits[c >> 4]);
            writer_u8(w, (uint8_t)hex_digits[c & 15]);
        } else {
            writer_u8(w, c);
        }
    }
    writer_u8(w, '"');
}

void goraft_write_encode(struct writer *w, struct cor_bytes key, struct cor_bytes value)
{
    write_text(w, "{\"key\":");
    write_string(w, key);
    write_text(w, ",\"value\":");
    write_string(w, value);
    write_text(w, "}\n");
}

unsigned char *goraft_write_new(struct cor_bytes key, struct cor_bytes value, size_t *len)
{
    struct writer size = writer_counting();
    goraft_write_encode(&size, key, value);
    unsigned char *memory = malloc(size.used);
    if (memory != NULL) {
        struct writer w = writer_of(memory, size.used);
        goraft_write_encode(&w, key, value);
        COR_ASSERT(writer_ok(&w));
    }
    *len = size.used;
    return memory;
}

void goraft_join_encode(struct writer *w, struct cor_bytes name, struct cor_bytes address)
{
    write_text(w, "{\"name\":");
    write_string(w, name);
    write_text(w, ",\"connectionString\":");
    write_string(w, address);
    write_text(w, "}\n");
}

enum cor_status goraft_write_decode(struct cor_bytes command, struct goraft_write *out,
                                    struct cor_error *err)
{
    struct json_value *document = NULL;
    enum cor_status st = json_read(command, JSON_READ_MEMORY_MAX, &document, err);
    if (st != COR_OK) {
        return st;
    }
    const struct json_value *key = json_member(document, "key");
    const struct json_value *value = json_member(document, "value");
    if (json_kind_of(key) != JSON_STRING || json_kind_of(value) != JSON_STRING) {
        json_free(document);
        return error_set(err, COR_EPROTO, "key or value is not there, or not a string");
    }
    *out = (struct goraft_write){document, json_string_of(key), json_string_of(value)};
    return COR_OK;
}
