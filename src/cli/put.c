/*
 * put.c - `coracle put` and `coracle del`: one write, sent once; or done once, under a number of a session.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/session.h"
#include "cli/text.h"

#include "coracle/coracle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct write_values {
    struct client_values client;
    const char *prev_revision; /* NULL: whatever it is */
    const char *session;       /* SESSION:NUMBER; NULL: none */
};

static const struct option put_own[] = {
    {"prev-revision", "N", NULL,
     "only if the key's mod revision is N;\n0: only if there is no such key", OPTION_TEXT,
     false, offsetof(struct write_values, prev_revision), 0, 0, NULL},
    {"session", "ID:NUMBER", NULL,
     "do it once, however often it is sent: under this number\nof a session "
     "(coracle session open)",
     OPTION_TEXT, false, offsetof(struct write_values, session), 0, 0, NULL},
    {"output", "FORM", "plain", "plain or json", OPTION_CHOICE, false,
     offsetof(struct write_values, client.form), 0, 0, "plain|json"},
};

/* The same without --prev-revision. */
#define DEL_OWN (&put_own[1])

static enum exit_code print_written(const struct client_reply *reply, bool json,
                                    const uint64_t *deleted)
{
    if (!json && deleted == NULL) {
        (void)printf("revision %llu\n", (unsigned long long)reply->revision);
        return EXIT_OK;
    }
    if (!json) {
        (void)printf("deleted %llu, revision %llu\n", (unsigned long long)*deleted,
                     (unsigned long long)reply->revision);
        return EXIT_OK;
    }
    char memory[128];
    struct json_writer w = json_writer_of(memory, sizeof memory);
    json_begin_object(&w);
    if (deleted != NULL) {
        json_field_u64(&w, "deleted", *deleted);
    }
    json_field_u64(&w, "revision", reply->revision);
    json_end_object(&w);
    text_print_json(&w);
    return EXIT_OK;
}

/* Ask, and if the answer is 200 hand it to @on_done. */
static enum exit_code write_key(const struct invocation *i, const char *target,
                                struct client_request *r,
                                enum exit_code (*on_done)(const struct invocation *i,
                                                          const struct client_reply *reply))
{
    const struct write_values *v = i->values;
    if (v->session != NULL && !session_is_key(v->session)) {
        return command_fail(i, EXIT_USAGE,
                            "--session: '%.60s' is not ID:NUMBER, two whole numbers from 1",
                            v->session);
    }
    r->idempotency_key = v->session;
    struct client *c = client_new(&v->client);
    if (c == NULL) {
        return command_fail(i, EXIT_FAILED, "out of memory");
    }
    r->target = target;
    r->writes = r->timed = true;
    struct client_reply reply;
    struct cor_error err;
    enum cor_status st = client_ask(c, r, 0, &reply, &err);
    enum exit_code code = st == COR_OK && reply.status == 200
                              ? on_done(i, &reply)
                              : client_fail(i, st, &reply, &err);
    client_free(c);
    return code;
}

/* ---- put ------------------------------------------------------------------------------------------- */

static enum exit_code on_put(const struct invocation *i, const struct client_reply *reply)
{
    const struct write_values *v = i->values;
    return print_written(reply, v->client.form == FORM_JSON, NULL);
}

/* Standard input, whole; one byte more than a value may have is enough to be refused. */
static unsigned char *read_input(size_t *len)
{
    unsigned char *value = malloc(COR_VALUE_MAX + 1);
    *len = value == NULL ? 0 : fread(value, 1, COR_VALUE_MAX + 1, stdin);
    if (value == NULL || ferror(stdin) != 0) {
        free(value);
        return NULL;
    }
    return value;
}

static enum exit_code put_value(const struct invocation *i, struct cor_bytes value)
{
    const struct write_values *v = i->values;
    char target[TEXT_TARGET_MAX];
    if (value.len > COR_VALUE_MAX) {
        return command_fail(i, EXIT_USAGE, "a value has at most %u bytes", COR_VALUE_MAX);
    }
    bool fits = text_target(target, "/db/", text_bytes(i->arguments.items[0]));
    uint64_t revision;
    if (v->prev_revision != NULL) {
        if (!parse_number(v->prev_revision, &revision)) {
            return command_fail(i, EXIT_USAGE, "--prev-revision: '%.40s' is not a number",
                                v->prev_revision);
        }
        fits = fits && text_query_number(target, "prev_revision", revision);
    }
    if (!fits) {
        return command_fail(i, EXIT_USAGE, "the key is too long");
    }
    struct client_request r = {.method = "PUT", .body = value};
    return write_key(i, target, &r, on_put);
}

static enum exit_code run_put(const struct invocation *i)
{
    if (i->arguments.items[0][0] == '\0') {
        return command_fail(i, EXIT_USAGE, "the key is empty");
    }
    if (strcmp(i->arguments.items[1], "-") != 0) {
        return put_value(i, text_bytes(i->arguments.items[1]));
    }
    size_t len;
    unsigned char *value = read_input(&len);
    if (value == NULL) {
        return command_fail(i, EXIT_FAILED, "standard input cannot be read: %s",
                            strerror(errno));
    }
    enum exit_code code = put_value(i, (struct cor_bytes){value, len});
    free(value);
    return code;
}

const struct command command_put = {
    .name = "put",
    .arguments = "KEY VALUE|-",
    .arguments_min = 2,
    .arguments_max = 2,
    .summary = "write a key",
    .details =
        "VALUE - is standard input. Done means: durable on a majority. Prints the "
        "revision of the\n"
        "write. If the outcome is unknown (exit code 5) the write was sent and not "
        "answered; it is\n"
        "never sent twice, but with --session, where that is safe, until the time is up.\n"
        "\n"
        "  coracle put foo bar\n"
        "  coracle put config - <config.json\n"
        "  coracle put lock me --prev-revision 0\n"
        "  coracle put counter 1 --session $(coracle session open):1\n",
    .options = {put_own, client_table, ARRAY_LEN(put_own), CLIENT_TABLE_LEN},
    .values_size = sizeof(struct write_values),
    .run = run_put,
};

/* ---- del ------------------------------------------------------------------------------------------- */

static enum exit_code on_deleted(const struct invocation *i, const struct client_reply *reply)
{
    const struct write_values *v = i->values;
    struct json_value *body = json_parse(reply->body);
    uint64_t deleted = json_get_u64(json_member(body, "deleted"));
    json_free(body);
    (void)print_written(reply, v->client.form == FORM_JSON, &deleted);
    return deleted > 0 ? EXIT_OK : EXIT_NO;
}

static enum exit_code run_del(const struct invocation *i)
{
    char target[TEXT_TARGET_MAX];
    if (i->arguments.items[0][0] == '\0') {
        return command_fail(i, EXIT_USAGE, "the key is empty");
    }
    if (!text_target(target, "/db/", text_bytes(i->arguments.items[0]))) {
        return command_fail(i, EXIT_USAGE, "the key is too long");
    }
    struct client_request r = {.method = "DELETE"};
    return write_key(i, target, &r, on_deleted);
}

const struct command command_del = {
    .name = "del",
    .arguments = "KEY",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "delete a key",
    .details = "Prints how many keys were deleted; exit code 1 if there was none.\n"
               "\n"
               "  coracle del foo\n",
    .options = {DEL_OWN, client_table, ARRAY_LEN(put_own) - 1, CLIENT_TABLE_LEN},
    .values_size = sizeof(struct write_values),
    .run = run_del,
};
