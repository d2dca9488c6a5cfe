/*
 * get.c - `coracle get`: one key, or all that begin with a prefix.
 *
 * A listing is printed as it comes. When its connection breaks it is continued behind the last key that was printed,
 * at another node if need be, and at the same revision: what is printed is one state of the store.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/text.h"

#include "base/error.h"
#include "coracle/coracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct get_values {
    struct client_values client;
    bool prefix, consistent, stale, keys_only;
    uint64_t revision, limit;
};

#define AT(field) offsetof(struct get_values, field)

static const struct option own[] = {
    {"prefix", NULL, NULL, "all keys that begin with KEY; '' for all there are", OPTION_SWITCH,
     false, AT(prefix), 0, 0, NULL},
    {"consistent", NULL, NULL, "confirmed by a majority: linearizable whatever clocks do",
     OPTION_SWITCH, false, AT(consistent), 0, 0, NULL},
    {"stale", NULL, NULL, "what the asked node has, at once, also without a leader",
     OPTION_SWITCH, false, AT(stale), 0, 0, NULL},
    {"revision", "N", NULL, "as of revision N", OPTION_NUMBER, false, AT(revision), 1, 0, NULL},
    {"limit", "N", NULL, "with --prefix: at most N keys", OPTION_NUMBER, false, AT(limit), 1, 0,
     NULL},
    {"keys-only", NULL, NULL, "with --prefix: no values", OPTION_SWITCH, false, AT(keys_only),
     0, 0, NULL},
    {"output", "FORM", "plain",
     "plain: the value, or lines KEY TAB VALUE; table; json: a line\nfor each; raw: the value "
     "of "
     "one key and nothing else",
     OPTION_CHOICE, false, AT(client.form), 0, 0, "plain|json|table|raw"},
};

static void print_head(const struct get_values *v)
{
    if (v->client.form == FORM_TABLE) {
        (void)printf("%-28s %10s %8s%s\n", "KEY", "REVISION", "VERSION",
                     v->keys_only ? "" : "  VALUE");
    }
}

static void print_row(const struct text_item *item)
{
    size_t width = text_print_escaped(item->key);
    (void)printf("%*s %10llu %8llu", width < 28 ? (int)(28 - width) : 0, "",
                 (unsigned long long)item->mod_revision, (unsigned long long)item->version);
    if (item->has_value) {
        (void)fputs("  ", stdout);
        text_print_escaped(item->value);
    }
    (void)putchar('\n');
}

static void print_item(const struct get_values *v, const struct text_item *item)
{
    if (v->client.form == FORM_JSON) {
        struct json_writer w = json_writer_growing(LINES_MAX);
        json_begin_object(&w);
        text_json_item(&w, item);
        json_end_object(&w);
        text_print_json(&w);
        json_writer_free(&w);
    } else if (v->client.form == FORM_TABLE) {
        print_row(item);
    } else if (v->prefix) {
        text_print_escaped(item->key);
        if (item->has_value) {
            (void)putchar('\t');
            text_print_escaped(item->value);
        }
        (void)putchar('\n');
    } else {
        text_print(item->value);
        if (v->client.form == FORM_PLAIN) {
            (void)putchar('\n');
        }
    }
}

/* What a single read and a listing have in common. */
static bool add_mode(char *target, const struct get_values *v)
{
    return (!v->consistent || text_query(target, "consistent", NULL)) &&
           (!v->stale || text_query(target, "stale", NULL));
}

/* ---- one key --------------------------------------------------------------------------------------- */

static enum exit_code get_one(const struct invocation *i, struct client *c, char *target)
{
    const struct get_values *v = i->values;
    struct cor_bytes key = text_bytes(i->arguments.items[0]);
    if (key.len == 0) {
        return command_fail(i, EXIT_USAGE, "the key is empty; all keys are --prefix ''");
    }
    if (!text_target(target, "/db/", key) || !add_mode(target, v) ||
        (v->revision != 0 && !text_query_number(target, "revision", v->revision))) {
        return command_fail(i, EXIT_USAGE, "the key is too long");
    }
    const struct client_request r = {.method = "GET", .target = target, .timed = true};
    struct client_reply reply;
    struct cor_error err;
    enum cor_status st = client_ask(c, &r, 0, &reply, &err);
    if (st != COR_OK || reply.status != 200) {
        return client_fail(i, st, &reply, &err);
    }
    const struct text_item item = {.key = key,
                                   .value = reply.body,
                                   .has_value = true,
                                   .create_revision = reply.create_revision,
                                   .mod_revision = reply.mod_revision,
                                   .version = reply.version};
    print_head(v);
    print_item(v, &item);
    return EXIT_OK;
}

/* ---- many ------------------------------------------------------------------------------------------ */

struct listing {
    const struct get_values *v;
    struct lines lines;
    uint64_t revision, n; /* of the state that is listed; printed */
    bool fresh;           /* something was printed since the last request */
    bool whole, nonsense;
    struct cor_error err; /* the node could not go on */
    size_t last_len;
    unsigned char last[COR_KEY_MAX]; /* the key printed last */
};

/* @line between @before and @after, as JSON. */
static struct json_value *parse_between(const char *before, struct cor_bytes line,
                                        const char *after)
{
    size_t n = strlen(before), m = strlen(after);
    unsigned char *text = malloc(n + line.len + m + 1);
    if (text == NULL) {
        return NULL;
    }
    memcpy(text, before, n);
    memcpy(text + n, line.ptr, line.len);
    memcpy(text + n + line.len, after, m);
    struct json_value *v = json_parse((struct cor_bytes){text, n + line.len + m});
    free(text);
    return v;
}

/* The first line, `{"revision":9,"index":7,"items":[`, and the last, `],"more":false}`; one line for both when there is
 * nothing between. */
static bool take_frame(struct listing *l, struct cor_bytes line)
{
    bool first = line.ptr[0] == '{', last = line.ptr[line.len - 1] == '}';
    struct json_value *d = parse_between(first ? "" : "{\"items\":[", line, last ? "" : "]}");
    l->nonsense = d == NULL;
    if (first) {
        l->revision = json_get_u64(json_member(d, "revision"));
        l->nonsense = l->revision == 0;
    }
    if (last && !l->nonsense) {
        const char *error = json_get_text(json_member(d, "error"));
        l->whole = error[0] == '\0';
        (void)error_set(&l->err, COR_EIO, "%s", error);
    }
    json_free(d);
    return !l->nonsense;
}

static bool take_item(struct listing *l, struct cor_bytes line)
{
    if (line.len > 0 && line.ptr[line.len - 1] == ',') {
        line.len--;
    }
    struct json_value *d = json_parse(line);
    struct text_item item;
    bool ok = text_item_read(d, &item) && item.key.len <= sizeof l->last;
    if (ok) {
        print_item(l->v, &item);
        memcpy(l->last, item.key.ptr, item.key.len);
        l->last_len = item.key.len;
        l->n++;
        l->fresh = true;
    }
    l->nonsense = !ok;
    text_item_free(&item);
    json_free(d);
    return ok;
}

static bool on_line(void *arg, struct cor_bytes line)
{
    struct listing *l = arg;
    static const char first[] = "{\"revision\":";
    if (line.len == 0) {
        return true;
    }
    bool begins = line.len >= sizeof first && memcmp(line.ptr, first, sizeof first - 1) == 0;
    return begins || line.ptr[0] == ']' ? take_frame(l, line) : take_item(l, line);
}

static bool on_part(void *arg, struct cor_bytes part)
{
    struct listing *l = arg;
    bool ok = lines_take(&l->lines, part);
    l->nonsense = l->nonsense || !ok;
    return ok;
}

static bool make_target(const struct listing *l, struct cor_bytes prefix, char *target)
{
    const struct get_values *v = l->v;
    const struct cor_bytes after = {l->last, l->last_len};
    uint64_t revision = l->revision != 0 ? l->revision : v->revision;
    return text_target(target, "/db?prefix=", prefix) && add_mode(target, v) &&
           (!v->keys_only || text_query(target, "keys", NULL)) &&
           (v->limit == 0 || text_query_number(target, "limit", v->limit - l->n)) &&
           (revision == 0 || text_query_number(target, "revision", revision)) &&
           (l->n == 0 || text_query(target, "after", &after));
}

/* One request for what is still missing. */
static enum cor_status ask_rest(struct client *c, struct listing *l, const char *target,
                                struct client_reply *reply, struct cor_error *err)
{
    lines_reset(&l->lines);
    l->fresh = false;
    const struct client_request r = {.method = "GET",
                                     .target = target,
                                     .timed = true,
                                     .streams = true,
                                     .on_part = on_part,
                                     .arg = l};
    enum cor_status st = client_ask(c, &r, 0, reply, err);
    if (l->nonsense) {
        return error_set(err, COR_EPROTO,
                         "%s: what answers there does not speak as a node does",
                         client_endpoint(c));
    }
    return st;
}

static enum exit_code list(const struct invocation *i, struct client *c, struct listing *l,
                           char *target)
{
    struct client_reply reply;
    struct cor_error err;
    print_head(l->v);
    for (;;) {
        if (!make_target(l, text_bytes(i->arguments.items[0]), target)) {
            return command_fail(i, EXIT_USAGE, "the prefix is too long");
        }
        enum cor_status st = ask_rest(c, l, target, &reply, &err);
        if (st == COR_OK && (reply.status != 200 || l->whole)) {
            return reply.status == 200 ? EXIT_OK : client_fail(i, st, &reply, &err);
        }
        if (l->v->limit != 0 && l->n >= l->v->limit) {
            return EXIT_OK;
        }
        if (l->err.text[0] != '\0' || !l->fresh || st == COR_EPROTO) {
            return client_fail(i, st == COR_EPROTO ? st : COR_ENOTDONE, &reply,
                               l->err.text[0] != '\0' ? &l->err : &err);
        }
    }
}

static enum exit_code run(const struct invocation *i)
{
    const struct get_values *v = i->values;
    if (v->consistent && v->stale) {
        return command_fail(i, EXIT_USAGE, "--consistent or --stale, not both");
    }
    if (!v->prefix && (v->limit != 0 || v->keys_only)) {
        return command_fail(i, EXIT_USAGE, "--limit and --keys-only go with --prefix");
    }
    if (v->prefix && v->client.form == FORM_RAW) {
        return command_fail(i, EXIT_USAGE,
                            "--output raw is for one key; lines are --output plain or json");
    }
    struct client *c = client_new(&v->client);
    struct listing *l = calloc(1, sizeof *l);
    char *target = malloc(TEXT_TARGET_MAX);
    enum exit_code code;
    if (c == NULL || l == NULL || target == NULL) {
        code = command_fail(i, EXIT_FAILED, "out of memory");
    } else if (v->prefix) {
        l->v = v;
        l->lines.on_line = on_line;
        l->lines.arg = l;
        code = list(i, c, l, target);
        lines_free(&l->lines);
    } else {
        code = get_one(i, c, target);
    }
    free(target);
    free(l);
    client_free(c);
    return code;
}

const struct command command_get = {
    .name = "get",
    .arguments = "KEY",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "read a key, or all with a prefix",
    .details = "Exit code 1 if there is no such key. Without --consistent or --stale the "
               "leader answers\n"
               "under its lease.\n"
               "\n"
               "  coracle get foo\n"
               "  coracle get --prefix config/ --output json\n"
               "  coracle get image --output raw >image.png\n",
    .options = {own, client_table, ARRAY_LEN(own), CLIENT_TABLE_LEN},
    .values_size = sizeof(struct get_values),
    .run = run,
};
