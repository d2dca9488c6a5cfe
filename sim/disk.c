/*
 * disk.c - the operations of io/fs.h over names and contents in memory, and the switches that
 * break them. disk_file.c and disk_name.c know what is durable.
 */
#include "sim/disk.h"

#include "base/assert.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/hash.h"
#include "sim/disk_file.h"
#include "sim/disk_name.h"

#include <stdlib.h>
#include <string.h>

#define DIRECT_ALIGN 4096u
/* What free_bytes() says of a disk without bound. */
#define PLENTY (UINT64_C(1) << 40)

struct io_file {
    struct sim_disk *disk;
    struct disk_file *file; /* a reference */
    uint64_t life;          /* of the disk when it was opened */
    bool read_only, direct;
    char name[IO_NAME_MAX + 1];
};

static struct sim_disk *disk_of(struct io_fs *fs)
{
    return CONTAINER_OF(fs, struct sim_disk, fs);
}

/* ---- what becomes of an operation -------------------------------------------------------------- */

enum operation {
    OPERATION_LOOK = 1,
    OPERATION_READ,
    OPERATION_CHANGE,
    OPERATION_WRITE,
    OPERATION_SYNC
};

enum course {
    COURSE_GO = 1, /* do it */
    COURSE_CUT,    /* begin it and say COR_EIO: the power goes */
    COURSE_FAIL,   /* half of it, and COR_EIO */
    COURSE_NOTHING /* none of it, and the status given */
};

struct verdict {
    enum course course;
    enum cor_status st;
};

static bool is_switched_off(const struct sim_disk *d, enum operation op)
{
    return (op == OPERATION_READ && d->fail_reads) ||
           (op == OPERATION_WRITE && d->fail_writes) || (op == OPERATION_SYNC && d->fail_syncs);
}

static struct verdict nothing(struct cor_error *err, enum cor_status st, const char *name,
                              const char *why)
{
    return (struct verdict){COURSE_NOTHING, error_set(err, st, "%s: %s", name, why)};
}

/* Count operation @op on @name and say how it goes. */
static struct verdict begin(struct sim_disk *d, enum operation op, const char *name,
                            struct cor_error *err)
{
    if (d->is_cut) {
        return nothing(err, COR_EIO, name, "the power is gone");
    }
    bool is_change = op >= OPERATION_CHANGE;
    if (is_change && d->read_only) {
        return nothing(err, COR_EPERM, name, "read-only file system");
    }
    bool fails = d->ops == d->fail_at || is_switched_off(d, op);
    d->ops++;
    if (is_change && d->changes == d->cut_at) {
        d->is_cut = true;
    }
    d->changes += is_change ? 1 : 0;
    if (d->is_cut) {
        return (struct verdict){COURSE_CUT, error_set(err, COR_EIO, "%s: power cut", name)};
    }
    if (fails) {
        return (struct verdict){COURSE_FAIL,
                                error_set(err, COR_EIO, "%s: input/output error", name)};
    }
    return (struct verdict){COURSE_GO, COR_OK};
}

static struct verdict begin_on(struct io_file *f, enum operation op, struct cor_error *err)
{
    if (f->life != f->disk->life) {
        return nothing(err, COR_EIO, f->name, "opened before the crash");
    }
    if (f->read_only && op >= OPERATION_CHANGE) {
        return nothing(err, COR_EPERM, f->name, "opened for reading");
    }
    return begin(f->disk, op, f->name, err);
}

/* ---- files ------------------------------------------------------------------------------------------ */

static enum cor_status new_handle(struct sim_disk *d, const char *name, unsigned flags,
                                  struct io_file **out)
{
    struct io_file *f = d->spare != NULL ? d->spare : malloc(sizeof *f);
    COR_ASSERT(f != NULL);
    d->spare = NULL;
    *f = (struct io_file){.disk = d};
    f->file = disk_names_find(d->names, name)->file;
    f->file->refs++;
    f->life = d->life;
    f->read_only = (flags & IO_READ_ONLY) != 0;
    f->direct = (flags & IO_DIRECT) != 0 && !d->no_direct;
    memcpy(f->name, name, strlen(name) + 1);
    d->n_open++;
    *out = f;
    return COR_OK;
}

static enum cor_status disk_open(struct io_fs *fs, const char *name, unsigned flags,
                                 struct io_file **out, struct cor_error *err)
{
    struct sim_disk *d = disk_of(fs);
    COR_ASSERT(strlen(name) > 0 && strlen(name) <= IO_NAME_MAX && strchr(name, '/') == NULL);
    bool exists = disk_names_find(d->names, name) != NULL;
    bool makes = !exists && (flags & IO_CREATE) != 0;
    struct verdict v = begin(d, makes ? OPERATION_CHANGE : OPERATION_LOOK, name, err);
    if (v.course == COURSE_FAIL || v.course == COURSE_NOTHING) {
        return v.st;
    }
    if (!exists && !makes) {
        return error_set(err, COR_ENOTFOUND, "%s: no such file", name);
    }
    if (exists && (flags & IO_CREATE) != 0 && (flags & IO_EXCLUSIVE) != 0) {
        return error_set(err, COR_EEXIST, "%s: file exists", name);
    }
    if (makes) {
        struct disk_file *file = disk_file_new();
        disk_names_change(d, "", name, file);
        disk_file_unref(file);
    }
    return v.course == COURSE_CUT ? v.st : new_handle(d, name, flags, out);
}

static void disk_close(struct io_file *f)
{
    struct sim_disk *d = f->disk;
    d->n_open--;
    disk_file_unref(f->file);
    if (d->reuse_handles) {
        free(d->spare);
        d->spare = f;
    } else {
        free(f);
    }
}

static enum cor_status disk_size(struct io_file *f, uint64_t *out, struct cor_error *err)
{
    struct verdict v = begin_on(f, OPERATION_LOOK, err);
    if (v.course == COURSE_GO) {
        *out = f->file->size_now;
    }
    return v.st;
}

static enum cor_status disk_read(struct io_file *f, uint64_t offset, void *out, size_t len,
                                 size_t *got, struct cor_error *err)
{
    struct verdict v = begin_on(f, OPERATION_READ, err);
    if (v.course == COURSE_GO) {
        *got = disk_file_read(f->file, offset, out, len);
    }
    return v.st;
}

/* Bytes of a write that extends the file beyond what the disk can hold: 0 if all fits. */
static uint64_t excess(const struct sim_disk *d, const struct disk_file *f, uint64_t end)
{
    if (end <= f->size_now || d->capacity == UINT64_MAX) {
        return 0;
    }
    uint64_t growth = end - f->size_now;
    uint64_t used = sim_disk_used(d);
    uint64_t left = used < d->capacity ? d->capacity - used : 0;
    return growth > left ? growth - left : 0;
}

static void write_direct(struct io_file *f, uint64_t offset, struct cor_bytes data)
{
    if (f->disk->lies) {
        disk_file_write(f->file, offset, data);
    } else {
        disk_file_write_through(f->file, offset, data);
    }
}

static enum cor_status disk_write(struct io_file *f, uint64_t offset, struct cor_bytes data,
                                  struct cor_error *err)
{
    if (f->direct) {
        COR_ASSERT(offset % DIRECT_ALIGN == 0 && data.len % DIRECT_ALIGN == 0);
        COR_ASSERT((uintptr_t)data.ptr % DIRECT_ALIGN == 0);
    }
    struct verdict v = begin_on(f, OPERATION_WRITE, err);
    if (v.course == COURSE_NOTHING) {
        return v.st;
    }
    struct sim_disk *d = f->disk;
    d->n_writes++;
    uint64_t lacking = excess(d, f->file, offset + data.len);
    if (v.course == COURSE_FAIL) {
        data.len = data.len / 2 / SIM_DISK_SECTOR * SIM_DISK_SECTOR;
    } else if (lacking > 0) {
        data.len = lacking < data.len ? data.len - (size_t)lacking : 0;
        v.st = error_set(err, COR_ENOSPACE, "%s: no space left on device", f->name);
    }
    d->bytes_written += data.len;
    if (f->direct && v.st == COR_OK) {
        write_direct(f, offset, data);
    } else {
        disk_file_write(f->file, offset, data);
    }
    return v.st;
}

static enum cor_status disk_sync(struct io_file *f, struct cor_error *err)
{
    struct verdict v = begin_on(f, OPERATION_SYNC, err);
    if (v.course == COURSE_GO) {
        f->disk->n_syncs++;
        if (!f->disk->lies) {
            disk_file_sync(f->file);
        }
    } else if (v.course == COURSE_FAIL) {
        disk_file_doom(f->file);
    }
    return v.st;
}

static enum cor_status disk_truncate(struct io_file *f, uint64_t size, struct cor_error *err)
{
    struct verdict v = begin_on(f, OPERATION_CHANGE, err);
    if (v.course != COURSE_GO && v.course != COURSE_CUT) {
        return v.st;
    }
    if (excess(f->disk, f->file, size) > 0) {
        return error_set(err, COR_ENOSPACE, "%s: no space left on device", f->name);
    }
    disk_file_truncate(f->file, size);
    return v.st;
}

/* ---- the directory ------------------------------------------------------------------------------ */

static enum cor_status disk_rename(struct io_fs *fs, const char *from, const char *to,
                                   struct cor_error *err)
{
    struct sim_disk *d = disk_of(fs);
    struct verdict v = begin(d, OPERATION_CHANGE, from, err);
    if (v.course != COURSE_GO && v.course != COURSE_CUT) {
        return v.st;
    }
    struct disk_name *n = disk_names_find(d->names, from);
    if (n == NULL) {
        return error_set(err, COR_ENOTFOUND, "%s: no such file", from);
    }
    disk_names_change(d, from, to, n->file);
    return v.st;
}

static enum cor_status disk_remove(struct io_fs *fs, const char *name, struct cor_error *err)
{
    struct sim_disk *d = disk_of(fs);
    struct verdict v = begin(d, OPERATION_CHANGE, name, err);
    if (v.course != COURSE_GO && v.course != COURSE_CUT) {
        return v.st;
    }
    struct disk_name *n = disk_names_find(d->names, name);
    if (n == NULL) {
        return error_set(err, COR_ENOTFOUND, "%s: no such file", name);
    }
    disk_names_change(d, name, "", n->file);
    return v.st;
}

static enum cor_status disk_sync_dir(struct io_fs *fs, struct cor_error *err)
{
    struct sim_disk *d = disk_of(fs);
    struct verdict v = begin(d, OPERATION_SYNC, "directory", err);
    if (v.course == COURSE_GO) {
        d->n_syncs++;
        if (!d->lies) {
            disk_names_sync(d);
        }
    }
    return v.st;
}

static enum cor_status disk_list(struct io_fs *fs, void (*each)(void *arg, const char *name),
                                 void *arg, struct cor_error *err)
{
    struct sim_disk *d = disk_of(fs);
    struct verdict v = begin(d, OPERATION_LOOK, "directory", err);
    if (v.course != COURSE_GO) {
        return v.st;
    }
    /* "In no particular order": the last half first, so that nobody relies on sorted names. */
    size_t n = 0;
    while (sim_disk_name(d, n) != NULL) {
        n++;
    }
    for (size_t i = 0; i < n; i++) {
        each(arg, sim_disk_name(d, (i + n / 2) % n));
    }
    return COR_OK;
}

static enum cor_status disk_free_bytes(struct io_fs *fs, uint64_t *out, struct cor_error *err)
{
    struct sim_disk *d = disk_of(fs);
    struct verdict v = begin(d, OPERATION_LOOK, "directory", err);
    if (v.course != COURSE_GO) {
        return v.st;
    }
    uint64_t used = sim_disk_used(d);
    *out = d->capacity == UINT64_MAX ? PLENTY : used < d->capacity ? d->capacity - used : 0;
    return COR_OK;
}

static const struct io_fs_ops disk_ops = {
    .open = disk_open,
    .size = disk_size,
    .read = disk_read,
    .write = disk_write,
    .sync = disk_sync,
    .truncate = disk_truncate,
    .close = disk_close,
    .rename = disk_rename,
    .remove = disk_remove,
    .sync_dir = disk_sync_dir,
    .list = disk_list,
    .free_bytes = disk_free_bytes,
};

/* ---- life ------------------------------------------------------------------------------------------ */

static struct sim_disk *new_disk(void)
{
    struct sim_disk *d = calloc(1, sizeof *d);
    COR_ASSERT(d != NULL);
    return d;
}

struct sim_disk *sim_disk_new(void)
{
    struct sim_disk *d = new_disk();
    d->fs.ops = &disk_ops;
    d->fail_at = SIM_DISK_NEVER;
    d->cut_at = SIM_DISK_NEVER;
    d->capacity = UINT64_MAX;
    d->changes_end = &d->changes_first;
    return d;
}

struct sim_disk *sim_disk_clone(const struct sim_disk *d)
{
    struct sim_disk *copy = new_disk();
    *copy = *d;
    copy->n_open = 0;
    copy->spare = NULL;
    copy->names = NULL;
    copy->durable_names = NULL;
    copy->changes_first = NULL;
    copy->changes_end = &copy->changes_first;
    disk_names_clone(copy, d);
    return copy;
}

void sim_disk_free(struct sim_disk *d)
{
    if (d != NULL) {
        COR_ASSERT(d->n_open == 0);
        disk_names_free(d);
        free(d->spare);
        free(d);
    }
}

static void reboot(struct sim_disk *d)
{
    d->life++;
    d->is_cut = false;
    d->cut_at = SIM_DISK_NEVER;
    d->fail_at = SIM_DISK_NEVER;
}

void sim_disk_crash(struct sim_disk *d, struct sim_fate fate)
{
    disk_names_crash(d, &fate);
    reboot(d);
}

void sim_disk_kill(struct sim_disk *d)
{
    reboot(d);
}

/* ---- tampering --------------------------------------------------------------------------------------- */

static struct disk_file *find(const struct sim_disk *d, const char *name)
{
    struct disk_name *n = disk_names_find(d->names, name);
    return n == NULL ? NULL : n->file;
}

bool sim_disk_has(const struct sim_disk *d, const char *name)
{
    return find(d, name) != NULL;
}

uint64_t sim_disk_size(const struct sim_disk *d, const char *name)
{
    const struct disk_file *f = find(d, name);
    return f == NULL ? 0 : f->size_now;
}

void sim_disk_peek(const struct sim_disk *d, const char *name, uint64_t offset, void *out,
                   size_t len)
{
    const struct disk_file *f = find(d, name);
    size_t got = f == NULL ? 0 : disk_file_read(f, offset, out, len);
    memset((unsigned char *)out + got, 0, len - got);
}

void sim_disk_poke(struct sim_disk *d, const char *name, uint64_t offset, struct cor_bytes data)
{
    struct disk_file *f = find(d, name);
    if (f == NULL) {
        f = disk_file_new();
        disk_names_set(&d->names, name, f);
        disk_names_set(&d->durable_names, name, f);
        disk_file_unref(f);
    }
    disk_file_sync(f);
    disk_file_poke(f, offset, data);
}

void sim_disk_flip(struct sim_disk *d, const char *name, uint64_t offset, unsigned char mask)
{
    COR_ASSERT(offset < sim_disk_size(d, name));
    unsigned char byte;
    sim_disk_peek(d, name, offset, &byte, 1);
    byte ^= mask;
    sim_disk_poke(d, name, offset, (struct cor_bytes){&byte, 1});
}

void sim_disk_zero(struct sim_disk *d, const char *name, uint64_t offset, uint64_t len)
{
    static const unsigned char zeros[SIM_DISK_SECTOR];
    for (uint64_t done = 0; done < len;) {
        size_t n = len - done < sizeof zeros ? (size_t)(len - done) : sizeof zeros;
        sim_disk_poke(d, name, offset + done, (struct cor_bytes){zeros, n});
        done += n;
    }
}

void sim_disk_cut_file(struct sim_disk *d, const char *name, uint64_t size)
{
    struct disk_file *f = find(d, name);
    COR_ASSERT(f != NULL);
    disk_file_sync(f);
    disk_file_resize(f, size);
}

void sim_disk_drop(struct sim_disk *d, const char *name)
{
    disk_names_sync(d);
    disk_names_unset(&d->names, name);
    disk_names_unset(&d->durable_names, name);
}

void sim_disk_move(struct sim_disk *d, const char *from, const char *to)
{
    struct disk_file *f = find(d, from);
    COR_ASSERT(f != NULL);
    disk_names_sync(d);
    disk_names_set(&d->names, to, f);
    disk_names_set(&d->durable_names, to, f);
    disk_names_unset(&d->names, from);
    disk_names_unset(&d->durable_names, from);
}

const char *sim_disk_name(const struct sim_disk *d, size_t i)
{
    const struct disk_name *n = d->names;
    while (n != NULL && i > 0) {
        n = n->next;
        i--;
    }
    return n == NULL ? NULL : n->name;
}

uint64_t sim_disk_used(const struct sim_disk *d)
{
    uint64_t used = 0;
    for (const struct disk_name *n = d->names; n != NULL; n = n->next) {
        used += n->file->size_now;
    }
    return used;
}

uint64_t sim_disk_hash(const struct sim_disk *d)
{
    uint64_t hash = 0;
    unsigned char buf[DISK_CHUNK];
    for (const struct disk_name *n = d->names; n != NULL; n = n->next) {
        hash = hash64_seed((struct cor_bytes){(const unsigned char *)n->name, strlen(n->name)},
                           hash ^ n->file->size_now);
        for (uint64_t at = 0; at < n->file->size_now; at += sizeof buf) {
            size_t got = disk_file_read(n->file, at, buf, sizeof buf);
            hash = hash64_seed((struct cor_bytes){buf, got}, hash);
        }
    }
    return hash;
}
