/* new_log.c - see new_log.h. */
#include "cli/new_log.h"

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "os/os.h"
#include "wal/wal.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY    UINT64_C(2000000) /* ns: preparing a segment tells nobody that it is done */
#define GATHERED_MAX  (4u << 20)        /* bytes that wait in memory */
#define LOOKS_MAX     15000u            /* half a minute without room */
#define FEATURE_LEVEL 1u

struct new_log {
    struct os_loop *loop;
    struct io_fs *fs;
    struct wal *wal;
    struct io_timer look;
    struct superblock sb;
    uint64_t seq, durable, index, term;
    size_t gathered;
    bool failed;
    struct cor_error why;
};

/* ---- waiting --------------------------------------------------------------------------------------- */

static void on_look(struct io_timer *timer)
{
    os_loop_stop(CONTAINER_OF(timer, struct new_log, look)->loop);
}

static void on_durable(void *arg, uint64_t seq)
{
    struct new_log *n = arg;
    n->durable = seq;
    os_loop_stop(n->loop);
}

static void on_failed(void *arg, const struct cor_error *err)
{
    struct new_log *n = arg;
    n->failed = true;
    n->why = *err;
    os_loop_stop(n->loop);
}

/* Let the log work a little. */
static enum cor_status turn(struct new_log *n, struct cor_error *err)
{
    struct io *io = os_loop_io(n->loop);
    wal_flush(n->wal);
    io_timer_set(io, &n->look, io_now(io) + LOOK_EVERY);
    os_loop_run(n->loop);
    if (n->failed) {
        return error_set(err, n->why.status, "%s", n->why.text);
    }
    return wal_is_full(n->wal) ? error_set(err, COR_ENOSPACE, "the disk is full") : COR_OK;
}

static enum cor_status settle(struct new_log *n, struct cor_error *err)
{
    enum cor_status st = COR_OK;
    while (st == COR_OK && (n->durable < n->seq || !wal_is_idle(n->wal))) {
        st = turn(n, err);
    }
    n->gathered = 0;
    return st;
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static void note_file(void *arg, const char *name)
{
    char *found = arg;
    if (strcmp(name, "lost+found") != 0) {
        format_to(found, IO_NAME_MAX + 1, "%s", name);
    }
}

static enum cor_status check_empty(struct io_fs *fs, const char *dir, struct cor_error *err)
{
    char found[IO_NAME_MAX + 1] = "";
    enum cor_status st = fs->ops->list(fs, note_file, found, err);
    if (st != COR_OK || found[0] == '\0') {
        return st;
    }
    return error_set(err, COR_EEXIST,
                     "%.120s is not empty, there is '%s': give a new directory", dir, found);
}

/* Disk and cluster are new, whoever wrote the entries first. */
static void make_identity(struct new_log *n, const char *node_name)
{
    struct superblock *sb = &n->sb;
    struct superblock_member *self = &sb->members[0];
    io_random(os_loop_io(n->loop), sb->disk_id, sizeof sb->disk_id);
    io_random(os_loop_io(n->loop), sb->cluster_id, sizeof sb->cluster_id);
    format_to(sb->name, sizeof sb->name, "%s", node_name);
    sb->level = FEATURE_LEVEL;
    sb->n_members = 1;
    *self = (struct superblock_member){.id = 1, .kind = COR_MEMBER_VOTER};
    memcpy(self->disk_id, sb->disk_id, sizeof self->disk_id);
    format_to(self->name, sizeof self->name, "%s", node_name);
}

static enum cor_status open_parts(struct new_log *n, const char *dir, const char *node_name,
                                  struct cor_error *err)
{
    struct wal_recovered recovered;
    struct wal_options o = {
        .node_id = 1, .arg = n, .on_durable = on_durable, .on_failed = on_failed};
    enum cor_status st = os_fs_open(dir, OS_FS_CREATE, err, &n->fs);
    st = st == COR_OK ? check_empty(n->fs, dir, err) : st;
    st =
        st == COR_OK ? os_loop_open(&(struct os_loop_options){.fs = n->fs}, err, &n->loop) : st;
    if (st != COR_OK) {
        return st;
    }
    make_identity(n, node_name);
    n->look.fire = on_look;
    o.io = os_loop_io(n->loop);
    memcpy(o.cluster_id, n->sb.cluster_id, sizeof o.cluster_id);
    return wal_open(&o, &recovered, err, &n->wal);
}

enum cor_status new_log_open(const char *dir, const char *node_name, struct cor_error *err,
                             struct new_log **out)
{
    struct new_log *n = calloc(1, sizeof *n);
    if (n == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    enum cor_status st = open_parts(n, dir, node_name, err);
    if (st != COR_OK) {
        new_log_free(n);
        return st;
    }
    *out = n;
    return COR_OK;
}

/* Work may be in flight after an error: the loop waits for it before anything is freed. */
void new_log_free(struct new_log *n)
{
    if (n == NULL) {
        return;
    }
    if (n->loop != NULL) {
        os_loop_stop(n->loop);
        os_loop_run(n->loop);
    }
    if (n->wal != NULL) {
        wal_close(n->wal);
    }
    os_loop_free(n->loop);
    os_fs_close(n->fs);
    free(n);
}

/* ---- entries ------------------------------------------------------------------------------------------- */

static enum cor_status write_entry(struct new_log *n, uint64_t term, struct cor_bytes payload)
{
    const struct wal_entry e = {.index = n->index + 1,
                                .term = term,
                                .type = COR_ENTRY_COMMAND,
                                .checksum = hash64(payload),
                                .payload = payload};
    const struct wal_unit unit = {.seq = n->seq + 1,
                                  .hard_state_changed = term != n->term,
                                  .hard_state = {.term = term},
                                  .entries = &e,
                                  .n_entries = 1};
    if (wal_room(n->wal) < payload.len + WAL_ENTRY_OVERHEAD) {
        return COR_ENOSPACE;
    }
    return wal_write(n->wal, &unit);
}

enum cor_status new_log_add(struct new_log *n, uint64_t term, struct cor_bytes payload,
                            struct cor_error *err)
{
    enum cor_status st = write_entry(n, term, payload);
    for (unsigned i = 0; st == COR_ENOSPACE && i < LOOKS_MAX; i++) {
        st = turn(n, err);
        if (st != COR_OK) {
            return st;
        }
        st = write_entry(n, term, payload);
    }
    if (st != COR_OK) {
        return error_set(err, st, "%s", cor_status_text(st));
    }
    n->seq++;
    n->index++;
    n->term = term;
    n->gathered += payload.len + WAL_ENTRY_OVERHEAD;
    return n->gathered > GATHERED_MAX ? settle(n, err) : COR_OK;
}

enum cor_status new_log_finish(struct new_log *n, struct cor_error *err)
{
    enum cor_status st = settle(n, err);
    if (st == COR_OK) {
        wal_mark_idle(n->wal);
        st = settle(n, err);
    }
    if (st != COR_OK) {
        return st;
    }
    n->sb.commit_hint = n->index;
    return superblock_write(n->fs, &n->sb, err);
}
