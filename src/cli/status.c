/*
 * status.c - `coracle status`: every member, as it sees itself.
 *
 * The endpoints are asked, then the members they name that were not among them. What a member says of itself counts;
 * one that cannot be asked is shown as its leader sees it.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/text.h"

#include "base/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX    32u
#define ASK_NS_MAX  UINT64_C(2000000000) /* one that hangs must not hide the others */
#define NAME_ROOM   64u
#define ADDRESS_MAX 280u

struct status_values {
    struct client_values client;
};

static const struct option own[] = {
    {"output", "FORM", "table", "table, plain (without its head), or json: a line for each",
     OPTION_CHOICE, false, offsetof(struct status_values, client.form), 0, 0,
     "plain|json|table"},
};

struct row {
    char endpoint[ADDRESS_MAX], name[NAME_ROOM];
    struct json_value *status; /* NULL: not to be had; err says why */
    struct cor_error err;
};

struct table {
    struct row rows[ROWS_MAX];
    size_t n;
};

static struct row *find_endpoint(struct table *t, const char *endpoint)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->rows[i].endpoint, endpoint) == 0) {
            return &t->rows[i];
        }
    }
    return NULL;
}

static bool has_name(const struct table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->rows[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static struct row *add_row(struct table *t, const char *endpoint, const char *name)
{
    if (t->n == ROWS_MAX) {
        return NULL;
    }
    struct row *r = &t->rows[t->n++];
    format_to(r->endpoint, sizeof r->endpoint, "%s", endpoint);
    format_to(r->name, sizeof r->name, "%s", name);
    return r;
}

static void ask(struct client *c, struct row *r, uint64_t timeout)
{
    const struct client_request request = {.method = "GET", .target = "/status"};
    struct client_reply reply = {0};
    enum cor_status st = client_ask_one(
        c, r->endpoint, &request, timeout < ASK_NS_MAX ? timeout : ASK_NS_MAX, &reply, &r->err);
    r->status = st == COR_OK ? json_parse(reply.body) : NULL;
    if (r->status != NULL) {
        format_to(r->name, sizeof r->name, "%s", json_get_text(json_member(r->status, "name")));
    } else if (st == COR_OK) {
        format_to(r->err.text, sizeof r->err.text, "%s: answers %u, not with a status",
                  r->endpoint, reply.status);
    }
}

/* The members that row @at names and that are not in the table yet. */
static void add_peers(struct client *c, struct table *t, size_t at, uint64_t timeout)
{
    const struct json_value *peers = json_member(t->rows[at].status, "peers");
    for (size_t i = 0; i < json_length(peers); i++) {
        const struct json_value *p = json_at(peers, i);
        const char *name = json_get_text(json_member(p, "name"));
        const char *endpoint = json_get_text(json_member(p, "client_address"));
        struct row *known = endpoint[0] != '\0' ? find_endpoint(t, endpoint) : NULL;
        if (known != NULL && known->name[0] == '\0') {
            format_to(known->name, sizeof known->name, "%s",
                      name); /* it cannot say so itself */
        }
        if (known != NULL || has_name(t, name)) {
            continue;
        }
        struct row *r = add_row(t, endpoint, name);
        if (r != NULL && endpoint[0] != '\0') {
            ask(c, r, timeout);
        } else if (r != NULL) {
            format_to(r->err.text, sizeof r->err.text, "its client address is not known");
        }
    }
}

static const struct row *find_leader(const struct table *t)
{
    const struct row *leader = NULL;
    uint64_t term = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct json_value *s = t->rows[i].status;
        uint64_t at = json_get_u64(json_member(s, "term"));
        if (strcmp(json_get_text(json_member(s, "role")), "Leader") == 0 && at >= term) {
            leader = &t->rows[i];
            term = at;
        }
    }
    return leader;
}

/* ---- printing -------------------------------------------------------------------------------------- */

static void print_row(const struct row *r, const struct row *leader, int name_width,
                      int endpoint_width)
{
    const struct json_value *s = r->status;
    const char *name = r->name[0] != '\0' ? r->name : "?";
    const char *endpoint = r->endpoint[0] != '\0' ? r->endpoint : "?";
    (void)printf("%-*s  %-*s  ", name_width, name, endpoint_width, endpoint);
    if (s == NULL) {
        (void)printf("unreachable: %s\n", r->err.text);
        return;
    }
    uint64_t applied = json_get_u64(json_member(s, "applied"));
    uint64_t commit = json_get_u64(json_member(leader != NULL ? leader->status : s, "commit"));
    const char *leads = json_get_text(json_member(s, "leader"));
    const char *waits = json_get_text(json_member(s, "waiting_for"));
    (void)printf(
        "%-9s  %4llu  %-*s  %9llu  %9llu  %6llu  %9llu", json_get_text(json_member(s, "role")),
        (unsigned long long)json_get_u64(json_member(s, "term")), name_width,
        leads[0] != '\0' ? leads : "-",
        (unsigned long long)json_get_u64(json_member(s, "commit")), (unsigned long long)applied,
        (unsigned long long)(commit > applied ? commit - applied : 0),
        (unsigned long long)json_get_u64(json_member(s, "revision")));
    if (waits[0] != '\0') {
        (void)printf("  waiting for %s", waits);
    } else if (json_get_bool(json_member(s, "disk_full"))) {
        (void)printf("  disk full");
    } else if (json_get_bool(json_member(s, "memory_full"))) {
        (void)printf("  memory full");
    }
    (void)putchar('\n');
}

static void print_table(const struct table *t, bool head)
{
    int name_width = 6, endpoint_width = 8;
    for (size_t i = 0; i < t->n; i++) {
        int name = (int)strlen(t->rows[i].name), endpoint = (int)strlen(t->rows[i].endpoint);
        name_width = name > name_width ? name : name_width;
        endpoint_width = endpoint > endpoint_width ? endpoint : endpoint_width;
    }
    if (head) {
        (void)printf("%-*s  %-*s  %-9s  %4s  %-*s  %9s  %9s  %6s  %9s\n", name_width, "NAME",
                     endpoint_width, "ENDPOINT", "ROLE", "TERM", name_width, "LEADER", "COMMIT",
                     "APPLIED", "LAG", "REVISION");
    }
    for (size_t i = 0; i < t->n; i++) {
        print_row(&t->rows[i], find_leader(t), name_width, endpoint_width);
    }
}

static void print_json(const struct table *t)
{
    static const char *const texts[] = {"role", "leader", "phase", "version", "state_hash"};
    static const char *const numbers[] = {"term", "commit", "applied", "revision"};
    for (size_t i = 0; i < t->n; i++) {
        const struct row *r = &t->rows[i];
        struct json_writer w = json_writer_growing(1 << 20);
        json_begin_object(&w);
        json_field_text(&w, "endpoint", r->endpoint);
        json_field_text(&w, "name", r->name);
        json_field_bool(&w, "reachable", r->status != NULL);
        for (size_t k = 0; r->status != NULL && k < ARRAY_LEN(texts); k++) {
            json_field_text(&w, texts[k], json_get_text(json_member(r->status, texts[k])));
        }
        for (size_t k = 0; r->status != NULL && k < ARRAY_LEN(numbers); k++) {
            json_field_u64(&w, numbers[k], json_get_u64(json_member(r->status, numbers[k])));
        }
        if (r->status != NULL) {
            json_field_bool(&w, "ready", json_get_bool(json_member(r->status, "ready")));
        } else {
            json_field_text(&w, "error", r->err.text);
        }
        json_end_object(&w);
        text_print_json(&w);
        json_writer_free(&w);
    }
}

/* ---- the command ----------------------------------------------------------------------------------- */

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static enum exit_code verdict(const struct table *t)
{
    bool answers = false, leads = false;
    for (size_t i = 0; i < t->n; i++) {
        answers = answers || t->rows[i].status != NULL;
        leads = leads || json_get_text(json_member(t->rows[i].status, "leader"))[0] != '\0';
    }
    return !answers ? EXIT_FAILED : (leads ? EXIT_OK : EXIT_NO);
}

static enum exit_code run(const struct invocation *i)
{
    const struct status_values *v = i->values;
    struct client *c = client_new(&v->client);
    struct table *t = calloc(1, sizeof *t);
    enum exit_code code;
    if (c == NULL || t == NULL) {
        code = command_fail(i, EXIT_FAILED, "out of memory");
    } else {
        for (size_t k = 0; k < v->client.endpoints.n; k++) {
            struct row *r = add_row(t, v->client.endpoints.items[k], "");
            if (r != NULL) {
                ask(c, r, v->client.timeout);
            }
        }
        for (size_t k = 0; k < t->n; k++) {
            add_peers(c, t, k, v->client.timeout);
        }
        qsort(t->rows, t->n, sizeof t->rows[0], compare_rows);
        if (v->client.form == FORM_JSON) {
            print_json(t);
        } else {
            print_table(t, v->client.form == FORM_TABLE);
        }
        code = verdict(t);
        for (size_t k = 0; k < t->n; k++) {
            json_free(t->rows[k].status);
        }
    }
    free(t);
    client_free(c);
    return code;
}

const struct command command_status = {
    .name = "status",
    .arguments = "",
    .summary = "show every member: role, term, leader, how far it is",
    .details = "Asks the endpoints, and the members they know. LAG: entries committed by the "
               "leader and\n"
               "not applied there. Exit code 1 if nobody knows a leader, 3 if nobody answers.\n"
               "\n"
               "  coracle status --endpoints 127.0.0.1:4001,127.0.0.1:4002,127.0.0.1:4003\n",
    .options = {own, client_table, ARRAY_LEN(own), CLIENT_TABLE_LEN},
    .values_size = sizeof(struct status_values),
    .run = run,
};
