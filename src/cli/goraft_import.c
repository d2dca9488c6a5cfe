/*
 * goraft_import.c - `coracle import-goraft`: the data of a raftd node becomes that of a single Coracle node.
 *
 * The directory is looked at as a whole before anything is made, so what is refused leaves nothing behind.
 */
#include "cli/command.h"
#include "cli/goraft_files.h"
#include "cli/new_log.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>

struct import_values {
    const char *data_dir, *name;
    bool truncate;
};

static const struct option own[] = {
    {"data-dir", "DIR", "coracle.data", "the new node's directory, which must be new or empty",
     OPTION_TEXT, false, offsetof(struct import_values, data_dir), 0, 0, NULL},
    {"name", "NAME", "default", "the new node's name", OPTION_TEXT, false,
     offsetof(struct import_values, name), 0, 0, NULL},
    {"truncate", NULL, NULL,
     "take what stands before the first missing entry,\nas goraft itself would, instead of "
     "refusing",
     OPTION_SWITCH, false, offsetof(struct import_values, truncate), 0, 0, NULL},
};

static const char *verdict_name(enum goraft_verdict v)
{
    switch (v) {
    case GORAFT_KEPT:
        return "kept";
    case GORAFT_REPAIRED:
        return "repaired";
    case GORAFT_CUT:
        return "cut";
    case GORAFT_IGNORED:
        return "ignored";
    }
    return "?";
}

static void print_finding(void *arg, const struct goraft_finding *f)
{
    (void)arg;
    (void)printf("%s: ", f->file);
    if (f->verdict != GORAFT_IGNORED) {
        (void)printf("offset %" PRIu64 ": ", f->offset);
    }
    if (f->index != 0) {
        (void)printf("entry %" PRIu64 ": ", f->index);
    }
    (void)printf("%s: %s\n", verdict_name(f->verdict), f->text);
}

static void say_nothing(void *arg, const struct goraft_finding *f)
{
    (void)arg;
    (void)f;
}

/* ---- the second pass ----------------------------------------------------------------------------------- */

struct target {
    struct new_log *log;
    struct cor_error *err;
};

static enum cor_status add_entry(void *arg, uint64_t term, struct cor_bytes payload)
{
    struct target *t = arg;
    return new_log_add(t->log, term, payload, t->err);
}

static enum cor_status make(const struct import_values *v, struct goraft_import *import,
                            struct cor_error *err)
{
    struct target t = {.err = err};
    struct goraft_imported out;
    enum cor_status st = new_log_open(v->data_dir, v->name, err, &t.log);
    if (st != COR_OK) {
        return st;
    }
    import->arg = &t;
    import->say = say_nothing;
    import->entry = add_entry;
    st = goraft_import(import, &out, err);
    st = st == COR_OK ? new_log_finish(t.log, err) : st;
    new_log_free(t.log);
    return st;
}

/* ---- the command --------------------------------------------------------------------------------------- */

static enum cor_status import_files(const struct import_values *v, const struct goraft_files *f,
                                    struct goraft_imported *out, struct cor_error *err)
{
    struct goraft_import import = {
        .files = f->v, .n_files = f->n, .truncate = v->truncate, .say = print_finding};
    enum cor_status st = goraft_import(&import, out, err);
    return st == COR_OK ? make(v, &import, err) : st;
}

static enum exit_code run_import(const struct invocation *i)
{
    const struct import_values *v = i->values;
    struct goraft_files files;
    struct goraft_imported out;
    struct cor_error err = {0};
    enum cor_status st = goraft_files_read(i->arguments.items[0], &files, &err);
    if (st == COR_OK) {
        st = import_files(v, &files, &out, &err);
    }
    goraft_files_free(&files);
    if (st != COR_OK) {
        return command_fail(i, st == COR_ECORRUPT ? EXIT_NO : EXIT_FAILED, "%s", err.text);
    }
    (void)printf("%" PRIu64 " writes and %" PRIu64 " other entries, %" PRIu64 " to %" PRIu64
                 " of terms up to %" PRIu64 ", are in %s now\n",
                 out.writes, out.others, out.first, out.last, out.last_term, v->data_dir);
    return EXIT_OK;
}

const struct command command_import_goraft = {
    .name = "import-goraft",
    .arguments = "DIR",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "make a node from the data directory of a goraft or raftd node",
    .details =
        "Reads log, conf and snapshots, and says, entry by entry, what was found wrong and "
        "what\n"
        "became of it. Stop every raftd first; take the directory whose last entry has the\n"
        "highest term, then the highest index. DIR is not changed; what is in it can be had\n"
        "back, byte by byte, with export-goraft.\n"
        "\n"
        "  coracle import-goraft /var/lib/raftd --data-dir d1\n"
        "  coracle serve --data-dir d1\n",
    .options = {.own = own, .n_own = ARRAY_LEN(own)},
    .values_size = sizeof(struct import_values),
    .run = run_import,
};
