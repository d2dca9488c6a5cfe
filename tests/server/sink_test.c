/*
 * Events as text: one line each, whatever bytes are in them.
 */
#include "server/internal.h"

#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

static struct event event_of(struct event_field field)
{
    return (struct event){.level = EVENT_INFO,
                          .room = "raft",
                          .name = "happened",
                          .n_fields = 1,
                          .fields = {field}};
}

static struct cor_bytes bytes_of(const char *text)
{
    return (struct cor_bytes){(const unsigned char *)text, strlen(text)};
}

static void each_kind_of_field_has_its_form(void)
{
    static const struct {
        const char *name, *text, *logfmt, *json;
    } rows[] = {
        {"a word", "n1", "n1", "\"n1\""},
        {"nothing", "", "\"\"", "\"\""},
        {"words", "two words", "\"two words\"", "\"two words\""},
        {"a quote", "say \"x\"", "\"say \\\"x\\\"\"", "\"say \\\"x\\\"\""},
        {"a backslash", "a\\b", "\"a\\\\b\"", "\"a\\\\b\""},
        {"an equals sign", "a=b", "\"a=b\"", "\"a=b\""},
        {"a line break", "a\nlevel=error", "\"a\\x0alevel=error\"", "\"a\\u000alevel=error\""},
        {"an escape", "\x1b[31m", "\"\\x1b[31m\"", "\"\\u001b[31m\""},
        {"UTF-8", "gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"", "\"gr\xc3\xbc\xc3\x9f\""},
        {"no UTF-8", "a\xff", "\"a\\xff\"", "\"a\\ufffd\""},
        {"half a character", "\xe2\x82", "\"\\xe2\\x82\"", "\"\\ufffd\\ufffd\""},
        {"a surrogate", "\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", "\"\\ufffd\\ufffd\\ufffd\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        char logfmt[256], json[256], out[256];
        struct event e = event_of(event_text("f", rows[i].text));
        (void)strcpy(logfmt, "event=happened f=");
        (void)strcat(logfmt, rows[i].logfmt);
        (void)strcpy(json, "\"event\":\"happened\",\"f\":");
        (void)strcat(json, rows[i].json);
        sink_logfmt(&e, out, sizeof out);
        CHECK_BYTES(bytes_of(out), bytes_of(logfmt));
        sink_json(&e, out, sizeof out);
        CHECK_BYTES(bytes_of(out), bytes_of(json));
    }
    char out[256];
    struct event e = event_of(event_u64("f", UINT64_MAX));
    sink_json(&e, out, sizeof out);
    CHECK(strcmp(out, "\"event\":\"happened\",\"f\":18446744073709551615") == 0);
    e = event_of(event_hex("f", 255));
    sink_logfmt(&e, out, sizeof out);
    CHECK(strcmp(out, "event=happened f=00000000000000ff") == 0);
    sink_json(&e, out, sizeof out);
    CHECK(strcmp(out, "\"event\":\"happened\",\"f\":\"00000000000000ff\"") == 0);
}

/* A field is there as a whole or not at all: what is cut is still logfmt, and still JSON. */
static void what_does_not_fit_is_left_out(void)
{
    struct event e = event_of(event_text("f", "0123456789 0123456789"));
    e.n_fields = 2;
    e.fields[1] = event_u64("g", 1);
    char out[256], whole[256];
    for (size_t size = 64; size > 24; size--) {
        ROW("%zu bytes", size);
        sink_json(&e, whole, sizeof whole);
        sink_json(&e, out, size);
        CHECK(strlen(out) < size);
        CHECK(strncmp(out, whole, strlen(out)) == 0);
        char end = out[strlen(out) - 1];
        CHECK(end == '"' || (end >= '0' && end <= '9' && strlen(out) == strlen(whole)));
    }
}

static unsigned n_logged;

static void on_log(void *arg, enum cor_log_level level, const char *room, const char *event,
                   const char *fields_logfmt, const char *fields_json)
{
    (void)arg;
    (void)fields_json;
    CHECK_EQ(level, COR_LOG_WARN);
    CHECK(strcmp(room, "wal") == 0 && strcmp(event, "slow") == 0);
    CHECK(strcmp(fields_logfmt, "event=slow ms=12") == 0);
    n_logged++;
}

static void below_the_level_nothing_is_said(void)
{
    const struct cor_options o = {.log = on_log, .log_level = COR_LOG_WARN};
    struct sink s;
    sink_init(&s, &o);
    event_emit(&s.base, EVENT_INFO, "wal", "slow", event_u64("ms", 12));
    CHECK_EQ(n_logged, 0);
    event_emit(&s.base, EVENT_WARN, "wal", "slow", event_u64("ms", 12));
    CHECK_EQ(n_logged, 1);
    const struct cor_options off = {.log = on_log}; /* level 0: off */
    sink_init(&s, &off);
    event_emit(&s.base, EVENT_ERROR, "wal", "slow", event_u64("ms", 12));
    CHECK_EQ(n_logged, 1);
}

TEST_MAIN(TEST(each_kind_of_field_has_its_form), TEST(what_does_not_fit_is_left_out),
          TEST(below_the_level_nothing_is_said))
