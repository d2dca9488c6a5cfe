/*
 * fs.c - real files: io/fs.h on POSIX, its promises kept one by one.
 *
 * IO_DIRECT: O_DIRECT and O_DSYNC, so that one pwrite is the whole of a durable append (on a file
 * that was filled before, one device write with FUA: half of what write and fdatasync cost). Where a
 * file system has no O_DIRECT, O_DSYNC alone keeps "durable on return". Reads of any size go through
 * the page cache: O_DIRECT is switched off for them and on again for the next write; the kernel
 * keeps the two views of a file coherent.
 *
 * sync() after direct writes has nothing left to do and costs nothing. The first one of a handle is
 * always made, because an earlier process may have left unsynced bytes behind.
 */
#include "os/fs.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"
#include "os/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PAGE 4096u

struct io_file {
    struct os_fs *fs;
    int fd;
    bool read_only;
    bool is_wish;   /* opened with IO_DIRECT: held to its rules wherever it runs */
    bool direct;    /* O_DIRECT can be had here */
    bool direct_on; /* and is in force now */
    bool durable_writes;
    bool dirty;  /* there may be something for sync() to do */
    bool broken; /* a sync failed: no later one may say otherwise */
    char name[IO_NAME_MAX + 1];
};

enum cor_status os_fs_error(struct cor_error *err, int error, const struct os_fs *fs,
                            const char *verb, const char *name)
{
    char what[COR_ERROR_TEXT_MAX];
    format_to(what, sizeof what, "cannot %s %.120s%s%.63s", verb, fs->path, name ? "/" : "",
              name ? name : "");
    return os_error(err, error, what);
}

static enum cor_status fail(const struct io_file *f, int error, const char *verb,
                            struct cor_error *err)
{
    return os_fs_error(err, error, f->fs, verb, f->name);
}

static bool is_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= IO_NAME_MAX && strchr(name, '/') == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* A directory opened for looking on lets nobody change it. */
static enum cor_status refuse_change(const struct os_fs *fs, const char *verb, const char *name,
                                     struct cor_error *err)
{
    return fs->read_only ? os_fs_error(err, EROFS, fs, verb, name) : COR_OK;
}

/* ---- opening and closing ------------------------------------------------------------------- */

static int open_retrying(int dir, const char *name, int flags)
{
    int fd;
    do {
        fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int open_flags(unsigned flags)
{
    int f = (flags & IO_READ_ONLY) != 0 ? O_RDONLY : O_RDWR;
    f |= (flags & IO_CREATE) != 0 ? O_CREAT : 0;
    f |= (flags & IO_EXCLUSIVE) != 0 ? O_EXCL : 0;
    f |= (flags & IO_DIRECT) != 0 ? O_DSYNC : 0;
    return f;
}

/* Switch O_DIRECT. False: it cannot be had (tmpfs and others say EINVAL). */
static bool set_direct(struct io_file *f, bool on)
{
    if (f->direct_on != on) {
        int flags = fcntl(f->fd, F_GETFL);
        flags = on ? flags | O_DIRECT : flags & ~O_DIRECT;
        if (fcntl(f->fd, F_SETFL, flags) != 0) {
            return false;
        }
        f->direct_on = on;
    }
    return true;
}

static enum cor_status file_open(struct io_fs *io_fs, const char *name, unsigned flags,
                                 struct io_file **out, struct cor_error *err)
{
    struct os_fs *fs = os_fs_of(io_fs);
    COR_ASSERT(is_name(name));
    if (fs->read_only && (flags & IO_CREATE) != 0) {
        return refuse_change(fs, "make", name, err);
    }
    flags |= fs->read_only ? IO_READ_ONLY : 0;
    struct io_file *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    int fd = open_retrying(fs->fd, name, open_flags(flags));
    if (fd < 0) {
        enum cor_status st = os_fs_error(err, errno, fs, "open", name);
        free(f);
        return st;
    }
    f->fs = fs;
    f->fd = fd;
    f->read_only = (flags & IO_READ_ONLY) != 0;
    f->is_wish = f->durable_writes = (flags & IO_DIRECT) != 0 && !f->read_only;
    f->dirty = true;
    f->direct = f->is_wish && set_direct(f, true);
    format_to(f->name, sizeof f->name, "%s", name);
    *out = f;
    return COR_OK;
}

static void file_close(struct io_file *f)
{
    (void)close(f->fd); /* what was to be durable was synced, and that was looked at */
    free(f);
}

/* ---- contents ------------------------------------------------------------------------------ */

static enum cor_status file_size(struct io_file *f, uint64_t *out, struct cor_error *err)
{
    struct stat s;
    if (fstat(f->fd, &s) != 0) {
        return fail(f, errno, "look at", err);
    }
    *out = (uint64_t)s.st_size;
    return COR_OK;
}

static enum cor_status file_read(struct io_file *f, uint64_t offset, void *out, size_t len,
                                 size_t *got, struct cor_error *err)
{
    COR_ASSERT(offset <= INT64_MAX && len <= INT64_MAX - offset);
    size_t done = 0;
    if (!set_direct(f, false)) {
        return fail(f, errno, "read", err);
    }
    while (done < len) {
        ssize_t n =
            pread(f->fd, (unsigned char *)out + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR) {
            return fail(f, errno, "read", err);
        }
        if (n == 0) {
            break;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    *got = done;
    return COR_OK;
}

/* One pwrite; without O_DIRECT where the first try shows that it does not work. */
static ssize_t write_some(struct io_file *f, const unsigned char *at, size_t len,
                          uint64_t offset)
{
    for (;;) {
        ssize_t n = pwrite(f->fd, at, len, (off_t)offset);
        if (n >= 0) {
            return n;
        }
        if (errno == EINVAL && f->direct) {
            f->direct = false;
            if (set_direct(f, false)) {
                continue;
            }
        }
        if (errno != EINTR) {
            return -1;
        }
    }
}

static enum cor_status file_write(struct io_file *f, uint64_t offset, struct cor_bytes data,
                                  struct cor_error *err)
{
    COR_ASSERT(!f->is_wish ||
               (offset % PAGE == 0 && data.len % PAGE == 0 && (uintptr_t)data.ptr % PAGE == 0));
    COR_ASSERT(offset <= INT64_MAX && data.len <= INT64_MAX - offset);
    if (f->read_only) {
        return fail(f, f->fs->read_only ? EROFS : EBADF, "write to", err);
    }
    if (f->direct && !set_direct(f, true)) {
        f->direct = false;
    }
    f->dirty = f->dirty || !f->durable_writes;
    while (data.len > 0) {
        ssize_t n = write_some(f, data.ptr, data.len, offset);
        if (n <= 0) {
            return fail(f, n == 0 ? EIO : errno, "write to", err);
        }
        offset += (size_t)n;
        data.ptr += n;
        data.len -= (size_t)n;
    }
    return COR_OK;
}

static enum cor_status file_sync(struct io_file *f, struct cor_error *err)
{
    if (f->broken) {
        return fail(f, EIO, "sync, after an earlier failure,", err);
    }
    if (!f->dirty) {
        return COR_OK;
    }
    int failed;
    do {
        failed = fdatasync(f->fd);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0) {
        int error = errno;
        f->broken = true;
        return fail(f, error, "sync", err);
    }
    f->dirty = !f->durable_writes;
    return COR_OK;
}

static enum cor_status file_truncate(struct io_file *f, uint64_t size, struct cor_error *err)
{
    COR_ASSERT(size <= INT64_MAX);
    if (f->read_only) {
        return fail(f, f->fs->read_only ? EROFS : EBADF, "cut", err);
    }
    f->dirty = true;
    int failed;
    do {
        failed = ftruncate(f->fd, (off_t)size);
    } while (failed != 0 && errno == EINTR);
    return failed == 0 ? COR_OK : fail(f, errno, "cut", err);
}

/* ---- names --------------------------------------------------------------------------------- */

static enum cor_status fs_rename(struct io_fs *io_fs, const char *from, const char *to,
                                 struct cor_error *err)
{
    struct os_fs *fs = os_fs_of(io_fs);
    COR_ASSERT(is_name(from) && is_name(to));
    enum cor_status st = refuse_change(fs, "rename", from, err);
    if (st == COR_OK && renameat(fs->fd, from, fs->fd, to) != 0) {
        st = os_fs_error(err, errno, fs, "rename", from);
    }
    return st;
}

static enum cor_status fs_remove(struct io_fs *io_fs, const char *name, struct cor_error *err)
{
    struct os_fs *fs = os_fs_of(io_fs);
    COR_ASSERT(is_name(name));
    enum cor_status st = refuse_change(fs, "remove", name, err);
    if (st == COR_OK && unlinkat(fs->fd, name, 0) != 0) {
        st = os_fs_error(err, errno, fs, "remove", name);
    }
    return st;
}

static enum cor_status fs_sync_dir(struct io_fs *io_fs, struct cor_error *err)
{
    struct os_fs *fs = os_fs_of(io_fs);
    enum cor_status st = refuse_change(fs, "sync", NULL, err);
    while (st == COR_OK && fsync(fs->fd) != 0) {
        if (errno != EINTR) {
            st = os_fs_error(err, errno, fs, "sync", NULL);
        }
    }
    return st;
}

static bool is_directory(int dir, const struct dirent *e)
{
    struct stat s;
    if (e->d_type != DT_UNKNOWN) {
        return e->d_type == DT_DIR;
    }
    return fstatat(dir, e->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode);
}

static enum cor_status fs_list(struct io_fs *io_fs, void (*each)(void *arg, const char *name),
                               void *arg, struct cor_error *err)
{
    struct os_fs *fs = os_fs_of(io_fs);
    int fd =
        openat(fs->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own */
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int error = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return os_fs_error(err, error, fs, "list", NULL);
    }
    struct dirent *e;
    errno = 0;
    while ((e = readdir(dir)) != NULL) {
        if (!is_directory(fd, e)) { /* lost+found, say */
            each(arg, e->d_name);
        }
        errno = 0;
    }
    int error = errno;
    (void)closedir(dir);
    return error == 0 ? COR_OK : os_fs_error(err, error, fs, "list", NULL);
}

static enum cor_status fs_free_bytes(struct io_fs *io_fs, uint64_t *out, struct cor_error *err)
{
    struct os_fs *fs = os_fs_of(io_fs);
    struct statvfs s;
    if (fstatvfs(fs->fd, &s) != 0) {
        return os_fs_error(err, errno, fs, "ask the free space of", NULL);
    }
    *out = (uint64_t)s.f_bavail * s.f_frsize;
    return COR_OK;
}

const struct io_fs_ops os_fs_ops = {
    .open = file_open,
    .size = file_size,
    .read = file_read,
    .write = file_write,
    .sync = file_sync,
    .truncate = file_truncate,
    .close = file_close,
    .rename = fs_rename,
    .remove = fs_remove,
    .sync_dir = fs_sync_dir,
    .list = fs_list,
    .free_bytes = fs_free_bytes,
};
