/*
 * goraft_export.c - `coracle export-goraft`: a data directory as one that raftd can start from.
 *
 * The node's directory is locked, so that it cannot run meanwhile, and walked three times: which of the entries
 * under one index counts (a later leader may have replaced some), whether goraft has words for all, and the writing.
 */
#include "cli/command.h"
#include "cli/goraft_files.h"

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "os/os.h"
#include "wal/wal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct export_values {
    const char *connection;
    bool lossy;
};

static const struct option own[] = {
    {"connection", "URL", "http://localhost:4001",
     "how raftd joins itself to its new cluster,\nif the log is not an imported one",
     OPTION_TEXT, false, offsetof(struct export_values, connection), 0, 0, NULL},
    {"lossy", NULL, NULL, "skip entries that goraft cannot express, and count them",
     OPTION_SWITCH, false, offsetof(struct export_values, lossy), 0, 0, NULL},
};

/* ---- which entries count --------------------------------------------------------------------------------- */

struct walk {
    uint64_t *place; /* of each index, from 1 on: which of the entries in the files it is */
    size_t last, size;
    uint64_t n; /* entries seen in this walk */
    bool damaged;
    enum cor_status st;
    struct goraft_export *export;
    struct cor_error *err;
};

static bool make_room(struct walk *w, uint64_t index)
{
    size_t size = w->size == 0 ? 1024 : w->size;
    while (size <= index && size < SIZE_MAX / 4 / sizeof *w->place) {
        size *= 2;
    }
    if (size <= index) {
        return false;
    }
    uint64_t *grown = size == w->size ? w->place : realloc(w->place, size * sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    w->place = grown;
    w->size = size;
    return true;
}

static void note_place(void *arg, const struct wal_finding *f)
{
    struct walk *w = arg;
    if (f->kind == WAL_FOUND_TRUNCATE) {
        w->last = f->index - 1 < w->last ? (size_t)(f->index - 1) : w->last;
    }
    w->damaged = w->damaged || f->kind == WAL_FOUND_ROT;
    if (f->kind != WAL_FOUND_ENTRY) {
        return;
    }
    w->n++;
    if (f->entry.index == 0 || f->entry.index > w->last + 1 || !make_room(w, f->entry.index)) {
        w->damaged = true;
        return;
    }
    w->last = (size_t)f->entry.index;
    w->place[w->last] = w->n;
}

/* ---- each of them -------------------------------------------------------------------------------------------- */

static void export_entry(void *arg, const struct wal_finding *f)
{
    struct walk *w = arg;
    if (f->kind != WAL_FOUND_ENTRY || w->st != COR_OK) {
        return;
    }
    w->n++;
    if (f->entry.index <= w->last && w->place[f->entry.index] == w->n) {
        const struct goraft_entry e = {f->entry.index, f->entry.term, f->entry.type,
                                       f->entry.payload};
        w->st = goraft_export_entry(w->export, &e, w->err);
    }
}

static enum cor_status export_all(struct io_fs *fs, struct walk *w, struct goraft_export *x)
{
    w->n = 0;
    w->st = COR_OK;
    w->export = x;
    enum cor_status st = wal_walk(fs, export_entry, w, w->err);
    st = st == COR_OK ? w->st : st;
    return st == COR_OK ? goraft_export_end(x) : st;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

struct job {
    const struct export_values *values;
    const char *out_dir;
    char name[8]; /* as raftd names its nodes: seven hexadecimal digits */
    struct goraft_export export;
};

static struct goraft_export new_export(const struct job *j, struct goraft_out *to)
{
    return (struct goraft_export){.name = j->name,
                                  .address = j->values->connection,
                                  .lossy = j->values->lossy,
                                  .arg = to,
                                  .log = goraft_out_log,
                                  .file = goraft_out_file};
}

static enum cor_status export_to(struct job *j, struct io_fs *fs, struct walk *w)
{
    struct goraft_out out = {.err = w->err}; /* without a log: only look */
    j->export = new_export(j, &out);
    enum cor_status st = export_all(fs, w, &j->export);
    if (st != COR_OK) {
        return st;
    }
    st = goraft_out_open(j->out_dir, &out, w->err);
    if (st == COR_OK) {
        j->export = new_export(j, &out);
        st = export_all(fs, w, &j->export);
    }
    st = st == COR_OK ? goraft_out_finish(&out) : st;
    goraft_out_close(&out);
    return st;
}

static enum cor_status export_directory(struct job *j, const char *dir, struct cor_error *err)
{
    struct io_fs *fs;
    struct superblock sb;
    struct walk w = {.err = err};
    enum cor_status st = os_fs_open(dir, 0, err, &fs);
    if (st != COR_OK) {
        return st;
    }
    st = superblock_read(fs, &sb, err);
    if (st == COR_OK) {
        char hex[24];
        struct cor_bytes name = {(const unsigned char *)sb.name, strlen(sb.name)};
        format_to(hex, sizeof hex, "%016" PRIx64, hash64(name));
        format_to(j->name, sizeof j->name, "%.7s", hex);
        st = wal_walk(fs, note_place, &w, err);
    } else if (st == COR_ENOTFOUND) {
        (void)error_set(err, st, "%.150s is not a node's data directory: it has no state file",
                        dir);
    }
    if (st == COR_OK && w.damaged) {
        st = error_set(err, COR_ECORRUPT, "the log is damaged: run coracle verify");
    }
    st = st == COR_OK ? export_to(j, fs, &w) : st;
    os_fs_close(fs);
    free(w.place);
    return st;
}

static enum exit_code run_export(const struct invocation *i)
{
    struct cor_error err = {0};
    struct job j = {.values = i->values, .out_dir = i->arguments.items[1]};
    enum cor_status st = export_directory(&j, i->arguments.items[0], &err);
    if (st != COR_OK) {
        bool no = st == COR_ECORRUPT || st == COR_EINVAL;
        return command_fail(i, no ? EXIT_NO : EXIT_FAILED, "%s",
                            err.text[0] != '\0' ? err.text : cor_status_text(st));
    }
    (void)printf("entries up to %" PRIu64 " of term %" PRIu64 " are in %s now", j.export.last,
                 j.export.last_term, j.out_dir);
    if (j.export.skipped > 0) {
        (void)printf("; %" PRIu64 " that goraft cannot express were skipped", j.export.skipped);
    }
    (void)putchar('\n');
    return EXIT_OK;
}

const struct command command_export_goraft = {
    .name = "export-goraft",
    .arguments = "DIR OUT",
    .arguments_min = 2,
    .arguments_max = 2,
    .summary = "write a data directory as one that goraft and raftd read",
    .details =
        "Of an imported directory every byte comes back as it was; what was written since "
        "follows.\n"
        "Stops at the first entry that goraft cannot express (a deletion, a condition, bytes\n"
        "that are no text), and names it; then OUT is not made. The node must not run.\n"
        "\n"
        "  coracle export-goraft coracle.data /var/lib/raftd\n",
    .options = {.own = own, .n_own = ARRAY_LEN(own)},
    .values_size = sizeof(struct export_values),
    .run = run_export,
};
