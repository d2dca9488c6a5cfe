/*
 * offline.c - `coracle log dump`, `coracle inspect` and `coracle verify`: a data directory, looked at and not touched.
 *
 * The directory is opened for reading and without its lock, so all three also work beside a running node; what that
 * node is writing at the moment looks like a torn end, which is no damage.
 */
#include "cli/command.h"
#include "cli/entry_text.h"
#include "cli/text.h"

#include "base/format.h"
#include "goraft/goraft.h"
#include "os/os.h"
#include "wal/wal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct offline_values {
    bool json;
};

static const struct option own[] = {
    {"json", NULL, NULL, "JSON, a line for each", OPTION_SWITCH, false,
     offsetof(struct offline_values, json), 0, 0, NULL},
};

static const char *type_name(uint32_t type)
{
    switch ((enum cor_entry_type)type) {
    case COR_ENTRY_COMMAND:
        return "command";
    case COR_ENTRY_NOOP:
        return "noop";
    case COR_ENTRY_CONFIG:
        return "config";
    case COR_ENTRY_SNAPSHOT_MARK:
        return "snapshot-mark";
    case COR_ENTRY_COMPACTION:
        return "compaction";
    case COR_ENTRY_LEVEL:
        return "level";
    }
    return "?";
}

static const char *kind_name(const struct wal_finding *f)
{
    switch (f->kind) {
    case WAL_FOUND_SEGMENT:
        return "segment";
    case WAL_FOUND_ENTRY:
        return "entry";
    case WAL_FOUND_HARD_STATE:
        return "hard-state";
    case WAL_FOUND_TRUNCATE:
        return "truncate";
    case WAL_FOUND_IDLE_MARK:
        return "idle-mark";
    case WAL_FOUND_TORN:
        return "torn";
    case WAL_FOUND_ROT:
        return "rot";
    }
    return "?";
}

/* Counted on the way, whatever is printed. */
struct survey {
    bool json;
    uint64_t segments, bytes, entries, first, last, term, torn, rotten, unreadable;
    struct cor_raft_hard_state hard_state;
};

static void count(struct survey *s, const struct wal_finding *f)
{
    s->segments += f->kind == WAL_FOUND_SEGMENT;
    s->bytes += f->kind == WAL_FOUND_SEGMENT ? f->bytes : 0;
    s->torn += f->kind == WAL_FOUND_TORN ? f->bytes : 0;
    s->rotten += f->kind == WAL_FOUND_ROT;
    if (f->kind == WAL_FOUND_HARD_STATE) {
        s->hard_state = f->hard_state;
    } else if (f->kind == WAL_FOUND_TRUNCATE) {
        s->last = f->index - 1;
    } else if (f->kind == WAL_FOUND_ENTRY) {
        s->entries++;
        s->first = s->first == 0 || f->entry.index < s->first ? f->entry.index : s->first;
        s->last = f->entry.index;
        s->term = f->entry.term;
        s->unreadable +=
            f->entry.type == COR_ENTRY_COMMAND && !entry_is_readable(f->entry.payload);
    }
}

/* Open @i's directory and walk its log. COR_ECORRUPT too means that it was read. */
static enum cor_status survey(const struct invocation *i,
                              void (*each)(void *arg, const struct wal_finding *f),
                              struct survey *s, struct superblock *sb, struct cor_error *err)
{
    const struct offline_values *v = i->values;
    struct io_fs *fs;
    enum cor_status st = os_fs_open(i->arguments.items[0], OS_FS_READ_ONLY, err, &fs);
    if (st != COR_OK) {
        return st;
    }
    s->json = v->json;
    st = superblock_read(fs, sb, err);
    if (st == COR_ENOTFOUND) {
        (void)format_to(err->text, sizeof err->text,
                        "%.150s is not a node's data directory: it has no state file",
                        i->arguments.items[0]);
    } else {
        enum cor_status walked = wal_walk(fs, each, s, err);
        st = st == COR_OK ? walked : st;
    }
    os_fs_close(fs);
    return st;
}

/* ---- log dump -------------------------------------------------------------------------------------- */

static void print_finding(const struct wal_finding *f)
{
    switch (f->kind) {
    case WAL_FOUND_SEGMENT:
        (void)printf("# %s: %" PRIu64 " bytes, from index %" PRIu64 " on\n", f->file, f->bytes,
                     f->index);
        break;
    case WAL_FOUND_ENTRY:
        (void)printf("%" PRIu64 "\t%" PRIu64 "\t%s\t", f->entry.index, f->entry.term,
                     type_name(f->entry.type));
        if (f->entry.type == COR_ENTRY_COMMAND && entry_is_readable(f->entry.payload)) {
            entry_print(f->entry.payload);
        } else {
            (void)printf("%zu bytes", f->entry.payload.len);
        }
        (void)putchar('\n');
        break;
    case WAL_FOUND_HARD_STATE:
        (void)printf("# term %" PRIu64 ", vote for %016" PRIx64 "\n", f->hard_state.term,
                     f->hard_state.vote);
        break;
    case WAL_FOUND_TRUNCATE:
        (void)printf("# everything from index %" PRIu64 " on was replaced\n", f->index);
        break;
    case WAL_FOUND_IDLE_MARK:
        (void)printf("# idle: everything before was synced\n");
        break;
    case WAL_FOUND_TORN:
    case WAL_FOUND_ROT:
        (void)printf("# %s: offset %" PRIu64 ": %s: %s\n", f->file, f->offset,
                     f->kind == WAL_FOUND_TORN ? "torn, never acknowledged" : "DAMAGED",
                     f->text);
        break;
    }
}

static void json_finding(const struct wal_finding *f)
{
    struct json_writer w = json_writer_growing(LINES_MAX);
    json_begin_object(&w);
    json_field_text(&w, "kind", kind_name(f));
    json_field_text(&w, "file", f->file);
    json_field_u64(&w, "offset", f->offset);
    json_field_u64(&w, "bytes", f->bytes);
    if (f->kind == WAL_FOUND_ROT) {
        json_field_u64(&w, "index", f->entry.index);
        json_field_u64(&w, "term", f->entry.term);
    }
    if (f->kind == WAL_FOUND_ENTRY) {
        const struct goraft_entry e = {f->entry.index, f->entry.term, f->entry.type,
                                       f->entry.payload};
        goraft_json_entry(&w, &e);
        json_field_text(&w, "type", type_name(f->entry.type));
        if (f->entry.type == COR_ENTRY_COMMAND) {
            entry_json(&w, f->entry.payload);
        }
    }
    if (f->kind == WAL_FOUND_HARD_STATE) {
        char vote[24];
        format_to(vote, sizeof vote, "%016" PRIx64, f->hard_state.vote);
        json_field_u64(&w, "term", f->hard_state.term);
        json_field_text(&w, "vote", vote);
    }
    if (f->kind == WAL_FOUND_TRUNCATE || f->kind == WAL_FOUND_SEGMENT) {
        json_field_u64(&w, "index", f->index);
    }
    if (f->text != NULL) {
        json_field_text(&w, "text", f->text);
    }
    json_end_object(&w);
    text_print_json(&w);
    json_writer_free(&w);
}

static void dump_finding(void *arg, const struct wal_finding *f)
{
    struct survey *s = arg;
    count(s, f);
    if (s->json) {
        json_finding(f);
    } else {
        print_finding(f);
    }
}

static enum exit_code run_dump(const struct invocation *i)
{
    struct survey s = {0};
    struct superblock sb = {0};
    struct cor_error err = {0};
    enum cor_status st = survey(i, dump_finding, &s, &sb, &err);
    if (st != COR_OK) {
        return command_fail(i, st == COR_ECORRUPT ? EXIT_NO : EXIT_FAILED, "%s", err.text);
    }
    return s.rotten > 0 ? EXIT_NO : EXIT_OK;
}

const struct command command_log_dump = {
    .name = "log dump",
    .arguments = "DIR",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "print the log of a data directory, entry by entry",
    .details =
        "Lines INDEX TAB TERM TAB TYPE TAB what it does; lines that begin with # say "
        "what else\n"
        "is in the files. --json calls entries as goraft does: Index, Term, CommandName,\n"
        "Command (in base64). Changes nothing; works beside a running node.\n"
        "\n"
        "  coracle log dump coracle.data\n",
    .options = {.own = own, .n_own = ARRAY_LEN(own)},
    .values_size = sizeof(struct offline_values),
    .run = run_dump,
};

/* ---- inspect --------------------------------------------------------------------------------------- */

static void count_finding(void *arg, const struct wal_finding *f)
{
    count(arg, f);
}

static void hex_of(const unsigned char *id, char *out)
{
    for (size_t i = 0; i < 16; i++) {
        format_to(out + 2 * i, 3, "%02x", id[i]);
    }
}

static void print_survey(const struct survey *s, const struct superblock *sb)
{
    char disk[33], cluster[33];
    hex_of(sb->disk_id, disk);
    hex_of(sb->cluster_id, cluster);
    (void)printf("name          %s\n"
                 "disk id       %s\n"
                 "cluster id    %s\n"
                 "incarnation   %" PRIu64 "\n"
                 "term          %" PRIu64 "\n"
                 "entries       %" PRIu64 " to %" PRIu64 ", the last of term %" PRIu64 "\n"
                 "committed     at least to %" PRIu64 "\n"
                 "segments      %" PRIu64 ", %" PRIu64 " bytes\n",
                 sb->name, disk, sb->n_members == 0 ? "none: not formed yet" : cluster,
                 sb->incarnation, s->hard_state.term, s->first, s->last, s->term,
                 sb->commit_hint, s->segments, s->bytes);
    for (uint32_t i = 0; i < sb->n_members; i++) {
        const char *address = sb->members[i].address;
        (void)printf("member        %s, id %016" PRIx64 "%s%s\n", sb->members[i].name,
                     sb->members[i].id, address[0] == '\0' ? "" : ", ", address);
    }
    if (s->torn > 0) {
        (void)printf("torn end      %" PRIu64
                     " bytes, never acknowledged; the next start cuts it\n",
                     s->torn);
    }
    if (s->rotten > 0) {
        (void)printf("DAMAGED       in %" PRIu64 " places: coracle verify\n", s->rotten);
    }
}

static void json_survey(const struct survey *s, const struct superblock *sb)
{
    char disk[33], cluster[33], id[24];
    hex_of(sb->disk_id, disk);
    hex_of(sb->cluster_id, cluster);
    struct json_writer w = json_writer_growing(1 << 20);
    json_begin_object(&w);
    json_field_text(&w, "name", sb->name);
    json_field_text(&w, "disk_id", disk);
    json_field_text(&w, "cluster_id", cluster);
    json_field_u64(&w, "incarnation", sb->incarnation);
    json_field_u64(&w, "term", s->hard_state.term);
    json_field_u64(&w, "first", s->first);
    json_field_u64(&w, "last", s->last);
    json_field_u64(&w, "commit_hint", sb->commit_hint);
    json_field_u64(&w, "segments", s->segments);
    json_field_u64(&w, "bytes", s->bytes);
    json_field_u64(&w, "torn_bytes", s->torn);
    json_field_u64(&w, "damaged", s->rotten);
    json_name(&w, "members");
    json_begin_array(&w);
    for (uint32_t i = 0; i < sb->n_members; i++) {
        format_to(id, sizeof id, "%016" PRIx64, sb->members[i].id);
        json_begin_object(&w);
        json_field_text(&w, "name", sb->members[i].name);
        json_field_text(&w, "id", id);
        json_field_text(&w, "address", sb->members[i].address);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    text_print_json(&w);
    json_writer_free(&w);
}

static enum exit_code run_inspect(const struct invocation *i)
{
    struct survey s = {0};
    struct superblock sb = {0};
    struct cor_error err = {0};
    enum cor_status st = survey(i, count_finding, &s, &sb, &err);
    if (st != COR_OK && st != COR_ECORRUPT) {
        return command_fail(i, EXIT_FAILED, "%s", err.text);
    }
    if (s.json) {
        json_survey(&s, &sb);
    } else {
        print_survey(&s, &sb);
    }
    return st == COR_OK ? EXIT_OK : command_fail(i, EXIT_NO, "%s", err.text);
}

const struct command command_inspect = {
    .name = "inspect",
    .arguments = "DIR",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "say whose a data directory is, and what it holds",
    .details = "Changes nothing; works beside a running node.\n"
               "\n"
               "  coracle inspect coracle.data\n",
    .options = {.own = own, .n_own = ARRAY_LEN(own)},
    .values_size = sizeof(struct offline_values),
    .run = run_inspect,
};

/* ---- verify ---------------------------------------------------------------------------------------- */

static void verify_finding(void *arg, const struct wal_finding *f)
{
    struct survey *s = arg;
    count(s, f);
    if (f->kind == WAL_FOUND_ROT) {
        (void)printf("%s: offset %" PRIu64 ": index %" PRIu64 ": %s\n", f->file, f->offset,
                     f->entry.index, f->text);
    } else if (f->kind == WAL_FOUND_ENTRY && f->entry.type == COR_ENTRY_COMMAND &&
               !entry_is_readable(f->entry.payload)) {
        (void)printf("%s: offset %" PRIu64 ": index %" PRIu64
                     ": intact, but not understood by this version\n",
                     f->file, f->offset, f->entry.index);
    }
}

static enum exit_code run_verify(const struct invocation *i)
{
    struct survey s = {0};
    struct superblock sb = {0};
    struct cor_error err = {0};
    enum cor_status st = survey(i, verify_finding, &s, &sb, &err);
    if (st != COR_OK && st != COR_ECORRUPT) {
        return command_fail(i, EXIT_FAILED, "%s", err.text);
    }
    if (st == COR_ECORRUPT) {
        (void)printf("%s\n", err.text);
    }
    (void)printf("%" PRIu64 " entries, %" PRIu64 " to %" PRIu64 ", in %" PRIu64
                 " segments: %" PRIu64 " damaged, %" PRIu64 " not understood\n",
                 s.entries, s.first, s.last, s.segments, s.rotten + (st == COR_ECORRUPT),
                 s.unreadable);
    if (s.rotten > 0 || st == COR_ECORRUPT) {
        return command_fail(
            i, EXIT_NO,
            "what was synced is damaged: keep this directory as it is, check the "
            "disk, and restore a copy or replace this member; the others have "
            "what it acknowledged");
    }
    if (s.unreadable > 0) {
        return command_fail(i, EXIT_NO, "written by a newer version: use that one");
    }
    return EXIT_OK;
}

const struct command command_verify = {
    .name = "verify",
    .arguments = "DIR",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "check every byte of a data directory that was ever synced",
    .details =
        "Exit code 1, and a line with file, offset and index for each place, if something is\n"
        "damaged. A torn end is not: it was never acknowledged. Changes nothing.\n"
        "\n"
        "  coracle verify coracle.data\n",
    .options = {0},
    .values_size = sizeof(struct offline_values),
    .run = run_verify,
};
