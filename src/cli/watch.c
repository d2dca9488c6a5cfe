/*
 * watch.c - `coracle watch`: changes, one a line, until the end of time.
 *
 * When the connection breaks it goes on at the next node, from where it stood. Several changes may share a revision,
 * and a connection may break between them: so the place is a revision and how many of its changes were printed. Nothing is
 * lost and nothing is printed twice; if history no longer reaches back that far, it ends and says so.
 */
#include "cli/text.h"
#include "cli/watch.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    {"type", "KIND", "stream",
     "stream, or what to tell the state of: key, keyprefix, service,\nservices, nodes or "
     "checks",
     OPTION_CHOICE, false, offsetof(struct watch_values, kind), 0, 0, WATCH_KINDS},
    {"tag", "TAG,...", NULL, "of a service: instances with all of these", OPTION_LIST, false,
     offsetof(struct watch_values, tags), 0, 0, NULL},
    {"passing", NULL, NULL, "of a service: instances whose checks all pass", OPTION_SWITCH,
     false, offsetof(struct watch_values, passing), 0, 0, NULL},
    {"service", "NAME", NULL, "of checks: those of this service", OPTION_TEXT, false,
     offsetof(struct watch_values, service), 0, 0, NULL},
    {"state", "STATE", NULL, "of checks: any, passing, warning or critical; none: any",
     OPTION_TEXT, false, offsetof(struct watch_values, state), 0, 0, NULL},
    {"stale", NULL, NULL, "with --type: what the asked node has, also without a leader",
     OPTION_SWITCH, false, offsetof(struct watch_values, stale), 0, 0, NULL},
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

void watch_pause(unsigned ms)
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
    unsigned wait = WATCH_PAUSE_MS_MIN;
    for (;;) {
        if (!make_target(w, text_bytes(i->arguments.items[0]), target)) {
            return command_fail(i, EXIT_USAGE, "the key is too long");
        }
        if (!follow(i, c, w, target, &code)) {
            return code;
        }
        unsigned before = wait;
        wait = w->any ? WATCH_PAUSE_MS_MIN : (wait < WATCH_PAUSE_MS_MAX ? 2 * wait : wait);
        if (wait >= WATCH_PAUSE_MS_MAX && before < WATCH_PAUSE_MS_MAX) {
            (void)command_fail(i, EXIT_OK, "nobody can be reached; trying again");
        }
        watch_pause(wait);
    }
}

static enum exit_code check(const struct invocation *i)
{
    const struct watch_values *v = i->values;
    if (i->arguments.n != 1) {
        return command_fail(i, EXIT_USAGE, "%s arguments; usage: coracle watch KEY",
                            i->arguments.n == 0 ? "missing" : "too many");
    }
    if (v->tags.n > 0 || v->passing || v->stale || v->service != NULL || v->state != NULL) {
        return command_fail(i, EXIT_USAGE,
                            "--tag, --passing, --service, --state and --stale need a --type");
    }
    if (!v->prefix && i->arguments.items[0][0] == '\0') {
        return command_fail(i, EXIT_USAGE, "the key is empty; all keys are --prefix ''");
    }
    return EXIT_OK;
}

static enum exit_code run(const struct invocation *i)
{
    const struct watch_values *v = i->values;
    if (v->kind != WATCH_STREAM) {
        return watch_kind_run(i);
    }
    enum exit_code code = check(i);
    if (code != EXIT_OK) {
        return code;
    }
    struct client *c = client_new(&v->client);
    struct watching *w = calloc(1, sizeof *w);
    char *target = malloc(TEXT_TARGET_MAX);
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
    .arguments = "[KEY|NAME] [PROGRAM...]",
    .arguments_min = 0,
    .arguments_max = SIZE_MAX,
    .summary = "print changes as they happen, or run a program for them",
    .details =
        "Runs until it is ended. A lost connection is made again, at another node if need be,\n"
        "and goes on where it stood: no change is lost and none is printed twice.\n"
        "\n"
        "  coracle watch --prefix config/\n"
        "  coracle watch foo --start-revision 17 --output json\n"
        "\n"
        "With --type it tells a state, at first and whenever it has changed, as Consul's "
        "watches\n"
        "do: KEY (null if there is none), keys by PREFIX, the healthy instances of a SERVICE, "
        "all\n"
        "services, nodes or checks. PROGRAM gets it as a line of JSON on standard input, and\n"
        "CONSUL_INDEX in its environment; it is ended when PROGRAM fails. Without one it is\n"
        "printed. What stands behind -- is not taken for a flag.\n"
        "\n"
        "  coracle watch --type service --passing web -- sh -c 'jq . >web.json'\n",
    .options = {own, client_table, ARRAY_LEN(own), CLIENT_TABLE_LEN},
    .values_size = sizeof(struct watch_values),
    .run = run,
};
