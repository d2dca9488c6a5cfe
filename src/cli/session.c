/*
 * session.c - `coracle session open` and `coracle session close`; and the value of --session, which put and del have.
 */
#include "cli/session.h"

#include "base/format.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/text.h"

#include <stdio.h>
#include <string.h>

#define MS UINT64_C(1000000)

struct session_values {
    struct client_values client;
    uint64_t ttl;
};

/* ---- --session ------------------------------------------------------------------------------------- */

bool session_is_key(const char *text)
{
    char id[24];
    uint64_t session, number;
    const char *colon = strchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof id) {
        return false;
    }
    memcpy(id, text, (size_t)(colon - text));
    id[colon - text] = '\0';
    return parse_number(id, &session) && parse_number(colon + 1, &number) && session != 0 &&
           number != 0;
}

/* ---- session open, session close -------------------------------------------------------------------- */

static const struct option open_own[] = {
    {"ttl", "DURATION", "1h", "it may expire when it was not used for so long", OPTION_DURATION,
     false, offsetof(struct session_values, ttl), 1000 * MS, 86400000 * MS, NULL},
    {"output", "FORM", "plain", "plain or json", OPTION_CHOICE, false,
     offsetof(struct session_values, client.form), 0, 0, "plain|json"},
};

/* Ask; of a good answer print the member @field of its JSON, or all of it. */
static enum exit_code ask(const struct invocation *i, struct client_request *r,
                          const char *field)
{
    const struct session_values *v = i->values;
    struct client *c = client_new(&v->client);
    if (c == NULL) {
        return command_fail(i, EXIT_FAILED, "out of memory");
    }
    r->writes = r->timed = true;
    struct client_reply reply;
    struct cor_error err;
    enum exit_code code = EXIT_OK;
    enum cor_status st = client_ask(c, r, 0, &reply, &err);
    if (st != COR_OK || reply.status != 200) {
        code = client_fail(i, st, &reply, &err);
    } else if (v->client.form == FORM_JSON) {
        (void)fwrite(reply.body.ptr, 1, reply.body.len, stdout);
    } else {
        struct json_value *body = json_parse(reply.body);
        (void)printf("%s\n", json_get_text(json_member(body, field)));
        json_free(body);
    }
    client_free(c);
    return code;
}

static enum exit_code run_open(const struct invocation *i)
{
    const struct session_values *v = i->values;
    char target[48];
    format_to(target, sizeof target, "/session?ttl=%llums", (unsigned long long)(v->ttl / MS));
    return ask(i, &(struct client_request){.method = "POST", .target = target}, "session");
}

static enum exit_code run_close(const struct invocation *i)
{
    char target[48];
    uint64_t id;
    if (!parse_number(i->arguments.items[0], &id) || id == 0) {
        return command_fail(i, EXIT_USAGE, "'%.40s' is not the id of a session",
                            i->arguments.items[0]);
    }
    format_to(target, sizeof target, "/session/%llu", (unsigned long long)id);
    return ask(i, &(struct client_request){.method = "DELETE", .target = target}, "closed");
}

const struct command command_session_open = {
    .name = "session open",
    .arguments = "",
    .summary = "open a session, for writes that are done once",
    .details =
        "Prints its id. A write with --session ID:NUMBER is done once, however often it is\n"
        "sent, to whatever node: repeated under the same number it gets the first answer.\n"
        "\n"
        "  s=$(coracle session open)\n"
        "  coracle put counter 1 --session $s:1\n"
        "  coracle session close $s\n",
    .options = {open_own, client_table, ARRAY_LEN(open_own), CLIENT_TABLE_LEN},
    .values_size = sizeof(struct session_values),
    .run = run_open,
};

const struct command command_session_close = {
    .name = "session close",
    .arguments = "ID",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "close a session and forget its answers",
    .details = "A write that still comes with it is refused.\n"
               "\n"
               "  coracle session close 17\n",
    /* The same without --ttl. */
    .options = {&open_own[1], client_table, ARRAY_LEN(open_own) - 1, CLIENT_TABLE_LEN},
    .values_size = sizeof(struct session_values),
    .run = run_close,
};
