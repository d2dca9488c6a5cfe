/* goraft_files.c - see goraft_files.h. */
#include "cli/goraft_files.h"

#include "base/error.h"
#include "base/format.h"
#include "os/os.h"

#include <stdlib.h>
#include <string.h>

#define SNAPSHOTS   "snapshot/"
#define BUFFER_SIZE ((size_t)256 << 10)
#define LOG_NAME    "log"
#define LOG_PART    "log.part"

/* ---- reading --------------------------------------------------------------------------------------- */

struct listing {
    struct goraft_files *files;
    const char *before; /* put in front of each name */
    bool too_many;
};

static void note_file(void *arg, const char *name)
{
    struct listing *l = arg;
    if (l->files->n == GORAFT_FILES_MAX) {
        l->too_many = true;
        return;
    }
    struct goraft_file *f = &l->files->v[l->files->n];
    if (strlen(l->before) + strlen(name) >= sizeof f->name || strcmp(name, "snapshot") == 0) {
        return; /* goraft has no such long names; a folder is looked into by itself */
    }
    format_to(f->name, sizeof f->name, "%s%s", l->before, name);
    l->files->n++;
}

static bool is_wanted(const char *name)
{
    return strcmp(name, LOG_NAME) == 0 || strcmp(name, "conf") == 0 ||
           strcmp(name, "name") == 0 || strncmp(name, SNAPSHOTS, strlen(SNAPSHOTS)) == 0;
}

static enum cor_status read_file(struct io_fs *fs, const char *name, struct goraft_files *out,
                                 size_t i, struct cor_error *err)
{
    struct io_file *file;
    uint64_t size = 0;
    enum cor_status st = fs->ops->open(fs, name, IO_READ_ONLY, &file, err);
    if (st != COR_OK) {
        return st;
    }
    st = fs->ops->size(file, &size, err);
    if (st == COR_OK) {
        out->memory[i] = malloc((size_t)size + 1);
        size_t got = 0;
        st = out->memory[i] == NULL
                 ? error_set(err, COR_ENOMEM, "%s: not enough memory for %llu bytes", name,
                             (unsigned long long)size)
                 : fs->ops->read(file, 0, out->memory[i], (size_t)size, &got, err);
        out->v[i].bytes = (struct cor_bytes){out->memory[i], got};
    }
    fs->ops->close(file);
    return st;
}

/* The files of @dir, with @before in front of their names. */
static enum cor_status read_folder(const char *dir, const char *before,
                                   struct goraft_files *out, struct cor_error *err)
{
    struct io_fs *fs;
    struct listing l = {.files = out, .before = before};
    size_t first = out->n;
    enum cor_status st = os_fs_open(dir, OS_FS_READ_ONLY, err, &fs);
    if (st != COR_OK) {
        return st;
    }
    st = fs->ops->list(fs, note_file, &l, err);
    if (st == COR_OK && l.too_many) {
        st = error_set(err, COR_EINVAL, "%.150s has more than %u files: not a goraft directory",
                       dir, GORAFT_FILES_MAX);
    }
    for (size_t i = first; i < out->n && st == COR_OK; i++) {
        if (is_wanted(out->v[i].name)) {
            st = read_file(fs, out->v[i].name + strlen(before), out, i, err);
        }
    }
    os_fs_close(fs);
    return st;
}

enum cor_status goraft_files_read(const char *dir, struct goraft_files *out,
                                  struct cor_error *err)
{
    char inner[4096];
    *out = (struct goraft_files){.n = 0};
    enum cor_status st = read_folder(dir, "", out, err);
    if (st != COR_OK) {
        return st;
    }
    if (format_to(inner, sizeof inner, "%s/snapshot", dir) + 1 >= sizeof inner) {
        return error_set(err, COR_EINVAL, "the path is too long");
    }
    st = read_folder(inner, SNAPSHOTS, out, err);
    return st == COR_ENOTFOUND ? COR_OK : st;
}

void goraft_files_free(struct goraft_files *f)
{
    for (size_t i = 0; i < GORAFT_FILES_MAX; i++) {
        free(f->memory[i]);
    }
}

/* ---- writing --------------------------------------------------------------------------------------- */

static void note_any(void *arg, const char *name)
{
    format_to(arg, IO_NAME_MAX + 1, "%s", name);
}

enum cor_status goraft_out_open(const char *dir, struct goraft_out *out, struct cor_error *err)
{
    char inner[4096], found[IO_NAME_MAX + 1] = "";
    *out = (struct goraft_out){.err = err};
    if (format_to(inner, sizeof inner, "%s/snapshot", dir) + 1 >= sizeof inner) {
        return error_set(err, COR_EINVAL, "the path is too long");
    }
    enum cor_status st = os_fs_open(dir, OS_FS_CREATE, err, &out->fs);
    st = st == COR_OK ? out->fs->ops->list(out->fs, note_any, found, err) : st;
    if (st == COR_OK && found[0] != '\0') {
        st = error_set(err, COR_EEXIST,
                       "%.120s is not empty, there is '%s': give a new directory", dir, found);
    }
    st = st == COR_OK ? os_fs_open(inner, OS_FS_CREATE, err, &out->snapshots) : st;
    st = st == COR_OK ? out->fs->ops->open(out->fs, LOG_PART, IO_CREATE, &out->log, err) : st;
    out->buffer = st == COR_OK ? malloc(BUFFER_SIZE) : NULL;
    if (st == COR_OK && out->buffer == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    return st;
}

static enum cor_status write_log(struct goraft_out *out, struct cor_bytes bytes)
{
    enum cor_status st = out->fs->ops->write(out->log, out->log_size, bytes, out->err);
    out->log_size += bytes.len;
    return st;
}

static enum cor_status flush(struct goraft_out *out)
{
    struct cor_bytes bytes = {out->buffer, out->buffered};
    out->buffered = 0;
    return bytes.len == 0 ? COR_OK : write_log(out, bytes);
}

enum cor_status goraft_out_log(void *arg, struct cor_bytes bytes)
{
    struct goraft_out *out = arg;
    if (out->log == NULL) {
        return COR_OK;
    }
    if (bytes.len > BUFFER_SIZE - out->buffered) {
        enum cor_status st = flush(out);
        if (st != COR_OK) {
            return st;
        }
    }
    if (bytes.len > BUFFER_SIZE) {
        return write_log(out, bytes);
    }
    memcpy(out->buffer + out->buffered, bytes.ptr, bytes.len);
    out->buffered += bytes.len;
    return COR_OK;
}

/* Only where goraft keeps files: the name comes from a log. */
static struct io_fs *folder_of(struct goraft_out *out, const char **name)
{
    if (strcmp(*name, "conf") == 0 || strcmp(*name, "name") == 0) {
        return out->fs;
    }
    if (strncmp(*name, SNAPSHOTS, strlen(SNAPSHOTS)) != 0) {
        return NULL;
    }
    *name += strlen(SNAPSHOTS);
    return (*name)[0] == '.' || strchr(*name, '/') != NULL ? NULL : out->snapshots;
}

enum cor_status goraft_out_file(void *arg, const struct goraft_note *piece)
{
    struct goraft_out *out = arg;
    char copy[GORAFT_NAME_MAX + 1];
    const char *name = copy;
    struct io_file *file;
    format_to(copy, sizeof copy, "%.*s", (int)piece->name.len, (const char *)piece->name.ptr);
    if (out->log == NULL) {
        return COR_OK;
    }
    struct io_fs *fs = folder_of(out, &name);
    if (fs == NULL) {
        return error_set(out->err, COR_ECORRUPT, "'%s' is not a file of goraft's", copy);
    }
    enum cor_status st = fs->ops->open(fs, name, IO_CREATE, &file, out->err);
    if (st != COR_OK) {
        return st;
    }
    st = fs->ops->write(file, piece->offset, piece->bytes, out->err);
    st = st == COR_OK ? fs->ops->sync(file, out->err) : st;
    fs->ops->close(file);
    return st;
}

enum cor_status goraft_out_finish(struct goraft_out *out)
{
    struct io_fs *fs = out->fs;
    enum cor_status st = flush(out);
    st = st == COR_OK ? fs->ops->sync(out->log, out->err) : st;
    st = st == COR_OK ? fs->ops->rename(fs, LOG_PART, LOG_NAME, out->err) : st;
    st = st == COR_OK ? out->snapshots->ops->sync_dir(out->snapshots, out->err) : st;
    return st == COR_OK ? fs->ops->sync_dir(fs, out->err) : st;
}

void goraft_out_close(struct goraft_out *out)
{
    if (out->log != NULL) {
        out->fs->ops->close(out->log);
    }
    os_fs_close(out->snapshots);
    os_fs_close(out->fs);
    free(out->buffer);
}
