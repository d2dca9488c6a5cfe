/*
 * fs_dir.c - the data directory: making it, locking it, and saying what to do when it cannot be had.
 *
 * The lock is flock() on the directory itself. A lock file would be simpler to explain, but would be
 * written into whatever directory somebody names by mistake, before anyone knows that it is the
 * wrong one. Who holds the lock is found in /proc/locks, for the message only.
 */
#include "os/fs.h"
#include "os/os.h"

#include "base/error.h"
#include "base/format.h"
#include "os/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 fe:00:4711 0 EOF". Its process, if it is a
 * flock on @s; else 0. */
static long holder_in(const char *line, const struct stat *s)
{
    long pid;
    unsigned long inode;
    unsigned int major_number, minor_number;
    int fields = sscanf(line, "%*s FLOCK %*s %*s %ld %x:%x:%lu", &pid, &major_number,
                        &minor_number, &inode);
    bool is_it = fields == 4 && major_number == major(s->st_dev) &&
                 minor_number == minor(s->st_dev) && inode == s->st_ino;
    return is_it ? pid : 0;
}

/* The process that has the directory @fd locked; 0 if the system does not say. */
static long find_holder(int fd)
{
    struct stat s;
    long pid = 0;
    char line[256];
    FILE *f = fstat(fd, &s) == 0 ? fopen("/proc/locks", "re") : NULL;
    while (f != NULL && pid <= 0 && fgets(line, sizeof line, f) != NULL) {
        pid = holder_in(line, &s);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return pid > 0 ? pid : 0;
}

static enum cor_status lock(const char *path, int fd, struct cor_error *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        return COR_OK;
    }
    if (errno != EWOULDBLOCK) {
        return error_set(err, COR_EIO, "cannot lock %.120s: %s: use a local file system", path,
                         strerror(errno));
    }
    char who[48] = "another process";
    long pid = find_holder(fd);
    if (pid != 0) {
        format_to(who, sizeof who, "another process (pid %ld)", pid);
    }
    return error_set(err, COR_ELOCKED, "%s uses %.120s: stop it, or choose another directory",
                     who, path);
}

static enum cor_status refused(const char *path, int error, struct cor_error *err)
{
    switch (error) {
    case ENOENT:
        return error_set(err, COR_ENOTFOUND, "%.160s: no such directory", path);
    case ENOTDIR:
        return error_set(err, COR_EINVAL, "%.160s is not a directory: choose another", path);
    case EACCES:
    case EPERM:
        return error_set(err, COR_EPERM,
                         "%.120s: permission denied: run as its owner, or chown it", path);
    case EROFS:
        return error_set(err, COR_EPERM,
                         "%.120s is on a read-only file system: choose another directory",
                         path);
    default:
        return os_error(err, error, path);
    }
}

/* The folder that holds @path, in @out. */
static void parent_of(const char *path, char *out, size_t size)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    format_to(out, size, "%.*s", len == 0 ? 1 : (int)len, len == 0 ? "." : path);
}

static enum cor_status refused_to_make(const char *path, int error, struct cor_error *err)
{
    char parent[PATH_MAX];
    parent_of(path, parent, sizeof parent);
    switch (error) {
    case ENOENT:
        return error_set(err, COR_ENOTFOUND, "cannot make %.100s: make %.100s first", path,
                         parent);
    case EACCES:
    case EPERM:
        return error_set(err, COR_EPERM, "cannot make %.100s: no permission to write in %.100s",
                         path, parent);
    default:
        return refused(path, error, err);
    }
}

/* Make the name of the directory durable in its parent: 0, or an errno. */
static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    parent_of(path, parent, sizeof parent);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int error =
        fsync(fd) == 0 || errno == EINVAL ? 0 : errno; /* EINVAL: no such notion there */
    (void)close(fd);
    return error;
}

static enum cor_status make(const char *path, struct cor_error *err)
{
    if (mkdir(path, 0700) != 0) {
        return errno == EEXIST ? COR_OK : refused_to_make(path, errno, err);
    }
    int error = sync_parent(path);
    if (error != 0) {
        (void)rmdir(path);
        return refused_to_make(path, error, err);
    }
    return COR_OK;
}

static enum cor_status open_dir(const char *path, bool read_only, int *out,
                                struct cor_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return refused(path, errno, err);
    }
    /* Asked now, because the first write comes late and its failure would explain less. */
    if (!read_only && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        int error = errno;
        (void)close(fd);
        return refused(path, error, err);
    }
    *out = fd;
    return COR_OK;
}

enum cor_status os_fs_open(const char *path, unsigned flags, struct cor_error *err,
                           struct io_fs **out)
{
    bool read_only = (flags & OS_FS_READ_ONLY) != 0;
    struct os_fs *fs = malloc(sizeof *fs + strlen(path) + 1);
    if (fs == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    *fs = (struct os_fs){.fs.ops = &os_fs_ops, .fd = -1, .read_only = read_only};
    memcpy(fs->path, path, strlen(path) + 1);
    enum cor_status st = open_dir(path, read_only, &fs->fd, err);
    if (st == COR_ENOTFOUND && !read_only && (flags & OS_FS_CREATE) != 0) {
        st = make(path, err);
        if (st == COR_OK) {
            st = open_dir(path, read_only, &fs->fd, err);
        }
    }
    if (st == COR_OK && !read_only) {
        st = lock(path, fs->fd, err);
    }
    if (st == COR_OK && !read_only) {
        /* Somebody's fresh mkdir, perhaps. Made or not, it is there: no reason to refuse it. */
        (void)sync_parent(path);
    }
    if (st != COR_OK) {
        if (fs->fd >= 0) {
            (void)close(fs->fd);
        }
        free(fs);
        return st;
    }
    *out = &fs->fs;
    return COR_OK;
}

void os_fs_close(struct io_fs *fs)
{
    if (fs != NULL) {
        struct os_fs *f = os_fs_of(fs);
        (void)close(f->fd);
        free(f);
    }
}
