/*
 * watch_kind.c - `coracle watch --type`: the state of something, whenever it has changed.
 *
 * A watch of Consul's: a query that blocks until the index has passed the one that was seen, asked again and again
 * (docs/consul.md). The result goes to a program, or is printed; one that is the same as before is not told, because a
 * query may return without a change. An index that goes back, as from an older backup, begins from 0.
 */
#include "cli/handler.h"
#include "cli/text.h"
#include "cli/watch.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT "5m"
#define PATIENCE_NS                                                                            \
    UINT64_C(360000000000) /* of us with the node: the wait, its jitter, and some */

struct kind {
    const char *path; /* what the name is put behind, or all of it */
    const char *name; /* of the argument; NULL: takes none */
};

static const struct kind kinds[] = {
    [WATCH_KEY] = {"/v1/kv/", "KEY"},
    [WATCH_KEYPREFIX] = {"/v1/kv/", "PREFIX"},
    [WATCH_SERVICE] = {"/v1/health/service/", "SERVICE"},
    [WATCH_SERVICES] = {"/v1/catalog/services", NULL},
    [WATCH_NODES] = {"/v1/catalog/nodes", NULL},
    [WATCH_CHECKS] = {"/v1/health/", NULL},
};

struct state {
    const struct invocation *i;
    const struct watch_values *v;
    const char *const *program; /* NULL: print */
    uint64_t index;             /* 0: answer at once */
    bool established;
    unsigned char *last; /* the result that was told */
    size_t last_len;
};

/* ---- the question ------------------------------------------------------------------------------------ */

static bool make_path(const struct watch_values *v, const char *name, char *target)
{
    bool ok = text_target(target, kinds[v->kind].path, text_bytes(name));
    if (v->kind == WATCH_CHECKS) {
        ok = v->service != NULL
                 ? text_target(target, "/v1/health/checks/", text_bytes(v->service))
                 : text_target(target, "/v1/health/state/",
                               text_bytes(v->state != NULL ? v->state : "any"));
    }
    return ok && (v->kind != WATCH_KEYPREFIX || text_query(target, "recurse", NULL));
}

static bool make_target(const struct state *s, char *target)
{
    const struct watch_values *v = s->v;
    const struct cor_bytes wait = text_bytes(WAIT);
    const char *name = kinds[v->kind].name == NULL ? "" : s->i->arguments.items[0];
    bool ok = make_path(v, name, target);
    for (size_t k = 0; k < v->tags.n && ok; k++) {
        const struct cor_bytes tag = text_bytes(v->tags.items[k]);
        ok = text_query(target, "tag", &tag);
    }
    ok = ok && (!v->passing || text_query(target, "passing", NULL));
    ok = ok && (!v->stale || text_query(target, "stale", NULL));
    return ok && (s->index == 0 || (text_query_number(target, "index", s->index) &&
                                    text_query(target, "wait", &wait)));
}

/* ---- the answer ---------------------------------------------------------------------------------------- */

/* In the order in which Consul's own watches give it, and with a session also where there is none. */
static void put_pair(struct json_writer *w, const struct json_value *pair)
{
    static const char *const numbers[] = {"CreateIndex", "ModifyIndex", "LockIndex", "Flags"};
    json_begin_object(w);
    json_field_text(w, "Key", json_get_text(json_member(pair, "Key")));
    for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
        json_field_u64(w, numbers[k], json_get_u64(json_member(pair, numbers[k])));
    }
    const struct json_value *value = json_member(pair, "Value");
    if (json_kind_of(value) == JSON_STRING) {
        json_field_string(w, "Value", json_string_of(value));
    } else {
        json_name(w, "Value");
        json_null(w);
    }
    json_field_text(w, "Session", json_get_text(json_member(pair, "Session")));
    json_end_object(w);
}

static void put_pairs(struct json_writer *w, const struct json_value *pairs, bool one)
{
    if (one) {
        put_pair(w, json_at(pairs, 0));
        return;
    }
    json_begin_array(w);
    for (size_t k = 0; k < json_length(pairs); k++) {
        put_pair(w, json_at(pairs, k));
    }
    json_end_array(w);
}

/* What is told of @reply, as one line. False: out of memory, or not what a node answers. */
static bool render(const struct state *s, const struct client_reply *reply,
                   struct json_writer *w)
{
    bool pairs = s->v->kind == WATCH_KEY || s->v->kind == WATCH_KEYPREFIX;
    if (reply->status == 404) {
        json_null(w);
        return json_ok(w);
    }
    struct json_value *body = json_parse(reply->body);
    bool ok = body != NULL && (!pairs || json_length(body) > 0);
    if (ok && pairs) {
        put_pairs(w, body, s->v->kind == WATCH_KEY);
    }
    json_free(body);
    return ok && json_ok(w);
}

/* Tell it, unless it is what was told before. */
static enum cor_status tell(struct state *s, struct cor_bytes text, uint64_t index,
                            struct cor_error *err)
{
    if (s->last != NULL && text.len == s->last_len &&
        memcmp(text.ptr, s->last, text.len) == 0) {
        return COR_OK;
    }
    unsigned char *line = malloc(text.len + 1);
    if (line == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    memcpy(line, text.ptr, text.len);
    line[text.len] = '\n';
    free(s->last);
    s->last = line;
    s->last_len = text.len;
    const struct cor_bytes input = {line, text.len + 1};
    if (s->program != NULL) {
        return handler_run(s->program, index, input, err);
    }
    text_print(input);
    return fflush(stdout) == 0 ? COR_OK : COR_EIO;
}

static enum cor_status take(struct state *s, const struct client_reply *reply,
                            struct cor_error *err)
{
    struct json_writer w = json_writer_growing(LINES_MAX);
    enum cor_status st = COR_OK;
    if (!render(s, reply, &w)) {
        st = error_set(err, COR_EPROTO, "the answer is not one of a node's");
    } else {
        st = tell(s, w.used > 0 ? json_text_of(&w) : reply->body, reply->consul_index, err);
    }
    json_writer_free(&w);
    s->established = true;
    s->index = reply->consul_index < s->index ? 0 : reply->consul_index;
    return st;
}

/* ---- the loop ------------------------------------------------------------------------------------------- */

static bool is_answer(const struct state *s, enum cor_status st,
                      const struct client_reply *reply)
{
    bool pairs = s->v->kind == WATCH_KEY || s->v->kind == WATCH_KEYPREFIX;
    return st == COR_OK && reply->consul_index > 0 &&
           (reply->status == 200 || (pairs && reply->status == 404));
}

static enum exit_code refused(const struct state *s, enum cor_status st,
                              const struct client_reply *reply, const struct cor_error *err)
{
    if (st != COR_OK) {
        return client_fail(s->i, st, reply, err);
    }
    return command_fail(s->i, EXIT_FAILED, "%u: %.*s", reply->status,
                        (int)(reply->body.len < 200 ? reply->body.len : 200),
                        (const char *)reply->body.ptr);
}

static enum exit_code follow(struct state *s, struct client *c, char *target)
{
    unsigned wait = WATCH_PAUSE_MS_MIN;
    for (;;) {
        struct client_reply reply;
        struct cor_error err = {0};
        if (!make_target(s, target)) {
            return command_fail(s->i, EXIT_USAGE, "the name is too long");
        }
        const struct client_request r = {.method = "GET", .target = target};
        enum cor_status st = client_ask(c, &r, s->index == 0 ? 0 : PATIENCE_NS, &reply, &err);
        if (is_answer(s, st, &reply)) {
            if (take(s, &reply, &err) != COR_OK) {
                return command_fail(s->i, EXIT_FAILED, "%s", err.text);
            }
            wait = WATCH_PAUSE_MS_MIN;
            continue;
        }
        if (!s->established || (st == COR_OK && reply.status < 500)) {
            return refused(s, st, &reply, &err);
        }
        wait = wait < WATCH_PAUSE_MS_MAX ? 2 * wait : wait;
        watch_pause(wait);
    }
}

static enum exit_code check(const struct invocation *i)
{
    const struct watch_values *v = i->values;
    const struct kind *kind = &kinds[v->kind];
    if (kind->name != NULL && (i->arguments.n == 0 || (v->kind != WATCH_KEYPREFIX &&
                                                       i->arguments.items[0][0] == '\0'))) {
        return command_fail(i, EXIT_USAGE, "missing arguments: which %s?", kind->name);
    }
    if (v->prefix || v->start_revision != 0) {
        return command_fail(i, EXIT_USAGE,
                            "--prefix and --start-revision are of streams: give no --type, or "
                            "--type keyprefix");
    }
    if (v->kind != WATCH_SERVICE && (v->tags.n > 0 || v->passing)) {
        return command_fail(i, EXIT_USAGE, "--tag and --passing are of --type service");
    }
    if (v->kind != WATCH_CHECKS && (v->service != NULL || v->state != NULL)) {
        return command_fail(i, EXIT_USAGE, "--service and --state are of --type checks");
    }
    if (v->service != NULL && v->state != NULL) {
        return command_fail(i, EXIT_USAGE, "--service or --state, not both");
    }
    return EXIT_OK;
}

enum exit_code watch_kind_run(const struct invocation *i)
{
    const struct watch_values *v = i->values;
    enum exit_code code = check(i);
    if (code != EXIT_OK) {
        return code;
    }
    size_t used = kinds[v->kind].name != NULL;
    COR_ASSERT(i->arguments.n >= used && i->arguments.n < SIZE_MAX);
    size_t n = i->arguments.n - used;
    const char **program = calloc(n + 1, sizeof *program);
    struct client *c = client_new(&v->client);
    char *target = malloc(TEXT_TARGET_MAX);
    if (c == NULL || target == NULL || program == NULL) {
        code = command_fail(i, EXIT_FAILED, "out of memory");
    } else {
        for (size_t k = 0; k < n; k++) {
            program[k] = i->arguments.items[used + k];
        }
        struct state s = {.i = i, .v = v, .program = n > 0 ? program : NULL};
        code = follow(&s, c, target);
        free(s.last);
    }
    free(target);
    free(program);
    client_free(c);
    return code;
}
