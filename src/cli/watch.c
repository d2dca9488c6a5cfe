/*
 * watch.c - `coracle watch`: changes, one a line, until the end of time.
 *
 * When the connection breaks it goes on at the next node, from where it stood. Several changes may share a revision,
 * and a connection may break between them: so the place is a revision and how many of its changes were printed. Nothing is
 * lost and nothing is printed twice; if history no longer reaches back that far, it ends and says so.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/text.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_MS_MIN 25u  /* between two connections... */
#define PAUSE_MS_MAX 800u /* ...when nobody can be reached */

struct watch_values {
    struct client_values client;
    bool prefix;
    uint64_t start_revision;
};

static const struct option own[] = {
    {"prefix", NULL, NULL, "all keys that begin with KEY; '' for all there are", OPTION_SWITCH,
     false, offsetof(struct watch_values, prefix), 0, 0, NULL},
    {"start-revision", "N", NULL,
     "from revision N on, from history if it is past;\nnone: from now on", OPTION_NUMBER, false,
     offsetof(struct watch_values, start_revision), 1, 0, NULL},
    {"output", "FORM", "plain",
     "plain: lines REVISION TAB put TAB KEY TAB VALUE, or REVISION\nTAB del TAB KEY; json: a "
     "line "
     "for each",
     OPTION_CHOICE, false, offsetof(struct watch_values, client.form), 0, 0, "plain|json"},
};

struct watching {
    const struct watch_values *v;
    struct lines lines;
    uint64_t revision;      /* the next change wanted is of this one or later; 0: from now on */
    uint64_t printed, seen; /* changes of `revision`: printed in all; seen on this connection */
    bool any;               /* this connection brought something */
    bool established;       /* and so did one before: from then on never give up */
    bool over;              /* the node could not go on; err says why */
    struct cor_error err;
};

static void print_change(const struct watching *w, const struct json_value *d,
                         const struct text_item *item, bool deleted)
{
    uint64_t revision = json_get_u64(json_member(d, "revision"));
    if (w->v->client.form == FORM_PLAIN) {
        (void)printf("%llu\t%s\t", (unsigned long long)revision, deleted ? "del" : "put");
        text_print_escaped(item->key);
        if (!deleted) {
            (void)putchar('\t');
            text_print_escaped(item->value);
        }
        (void)putchar('\n');
        return;
    }
    struct json_writer out = json_writer_growing(LINES_MAX);
    json_begin_object(&out);
    json_field_text(&out, "type", deleted ? "delete" : "put");
    json_field_u64(&out, "revision", revision);
    json_field_bytes(&out, "key", item->key);
    if (!deleted) {
        json_field_bytes(&out, "value", item->value);
        json_field_u64(&out, "create_revision", item->create_revision);
        json_field_u64(&out, "version", item->version);
    }
    json_end_object(&out);
    text_print_json(&out);
    json_writer_free(&out);
}

/* Print it unless an earlier connection brought it. */
static bool take_change(struct watching *w, const struct json_value *d)
{
    uint64_t revision = json_get_u64(json_member(d, "revision"));
    struct text_item item;
    bool ok = text_item_read(d, &item) && revision >= w->revision;
    if (ok) {
        if (revision > w->revision) {
            w->revision = revision;
            w->printed = w->seen = 0;
        }
        w->seen++;
        if (w->seen > w->printed) {
            bool deleted = strcmp(json_get_text(json_member(d, "type")), "delete") == 0;
            print_change(w, d, &item, deleted);
            w->printed++;
            ok = fflush(stdout) == 0;
        }
    }
    text_item_free(&item);
    return ok;
}

/* The last line of a stream. Too slow, or a node that stops: go on elsewhere. */
static void take_end(struct watching *w, const struct json_value *d)
{
    const char *code = json_get_text(json_member(d, "code"));
    w->over = strcmp(code, "slow") != 0 && strcmp(code, "stopping") != 0;
    (void)error_set(&w->err, COR_EIO, "%.200s", json_get_text(json_member(d, "error")));
}

static bool on_line(void *arg, struct cor_bytes line)
{
    struct watching *w = arg;
    if (line.len == 0) {
        return true; /* the node is alive */
    }
    struct json_value *d = json_parse(line);
    bool go_on = true;
    w->any = true;
    if (json_member(d, "error") != NULL) {
        take_end(w, d);
        go_on = false;
    } else if (json_member(d, "type") != NULL) {
        go_on = take_change(w, d);
    } else if (d != NULL && w->revision == 0) {
        w->revision = json_get_u64(json_member(d, "revision")) + 1; /* "from now on", fixed */
    } else {
        go_on = d != NULL;
    }
    json_free(d);
    return go_on;
}

static bool on_part(void *arg, struct cor_bytes part)
{
    struct watching *w = arg;
    return lines_take(&w->lines, part);
}

static bool make_target(const struct watching *w, struct cor_bytes key, char *target)
{
    return text_target(target, w->v->prefix ? "/db?watch&prefix=" : "/db?watch&key=", key) &&
           (w->revision == 0 || text_query_number(target, "start_revision", w->revision));
}

static void pause_ms(unsigned ms)
{
    const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

/* One connection, for as long as it lasts. Returns whether another one should be made. */
static bool follow(const struct invocation *i, struct client *c, struct watching *w,
                   const char *target, enum exit_code *code)
{
    const struct client_request r = {
        .method = "GET", .target = target, .streams = true, .on_part = on_part, .arg = w};
    struct client_reply reply;
    struct cor_error err;
    lines_reset(&w->lines);
    w->seen = 0;
    w->any = false;
    enum cor_status st = client_ask(c, &r, 0, &reply, &err);
    w->established = w->established || w->any;
    if (ferror(stdout) != 0) {
        *code = EXIT_FAILED; /* main says why */
        return false;
    }
    if (st == COR_OK && reply.status != 200) {
        *code = client_fail(i, st, &reply, &err);
        return false;
    }
    if (w->over) {
        *code = command_fail(i, EXIT_FAILED, "%s; changes from revision %llu on were not seen",
                             w->err.text, (unsigned long long)w->revision);
        return false;
    }
    if (st == COR_EINVAL || st == COR_ETOOBIG || !w->established) {
        *code = client_fail(i, st == COR_OK ? COR_ENOTDONE : st, &reply, &err);
        return false;
    }
    return true;
}

static enum exit_code watch(const struct invocation *i, struct client *c, struct watching *w,
                            char *target)
{
    enum exit_code code = EXIT_OK;
    unsigned wait = PAUSE_MS_MIN;
    for (;;) {
        if (!make_target(w, text_bytes(i->arguments.items[0]), target)) {
            return command_fail(i, EXIT_USAGE, "the key is too long");
        }
        if (!follow(i, c, w, target, &code)) {
            return code;
        }
        unsigned before = wait;
        wait = w->any ? PAUSE_MS_MIN : (wait < PAUSE_MS_MAX ? 2 * wait : wait);
        if (wait >= PAUSE_MS_MAX && before < PAUSE_MS_MAX) {
            (void)command_fail(i, EXIT_OK, "nobody can be reached; trying again");
        }
        pause_ms(wait);
    }
}

static enum exit_code run(const struct invocation *i)
{
    const struct watch_values *v = i->values;
    if (!v->prefix && i->arguments.items[0][0] == '\0') {
        return command_fail(i, EXIT_USAGE, "the key is empty; all keys are --prefix ''");
    }
    struct client *c = client_new(&v->client);
    struct watching *w = calloc(1, sizeof *w);
    char *target = malloc(TEXT_TARGET_MAX);
    enum exit_code code;
    if (c == NULL || w == NULL || target == NULL) {
        code = command_fail(i, EXIT_FAILED, "out of memory");
    } else {
        w->v = v;
        w->revision = v->start_revision;
        w->lines.on_line = on_line;
        w->lines.arg = w;
        code = watch(i, c, w, target);
        lines_free(&w->lines);
    }
    free(target);
    free(w);
    client_free(c);
    return code;
}

const struct command command_watch = {
    .name = "watch",
    .arguments = "KEY",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "print changes as they happen",
    .details =
        "Runs until it is ended. A lost connection is made again, at another node if need be,\n"
        "and goes on where it stood: no change is lost and none is printed twice.\n"
        "\n"
        "  coracle watch --prefix config/\n"
        "  coracle watch foo --start-revision 17 --output json\n",
    .options = {own, client_table, ARRAY_LEN(own), CLIENT_TABLE_LEN},
    .values_size = sizeof(struct watch_values),
    .run = run,
};
