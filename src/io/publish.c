/* publish.c - whole-file replacement and reading, over the contract of io/fs.h. */
#include "io/fs.h"

#include "base/assert.h"

#include <stddef.h>
#include <string.h>

static enum cor_status write_temp(struct io_fs *fs, const char *temp, struct cor_bytes data,
                                  struct cor_error *err)
{
    struct io_file *file;
    enum cor_status st = fs->ops->open(fs, temp, IO_CREATE, &file, err);
    if (st != COR_OK) {
        return st;
    }
    /* A longer leftover of an earlier attempt must not show through. */
    st = fs->ops->truncate(file, 0, err);
    if (st == COR_OK) {
        st = fs->ops->write(file, 0, data, err);
    }
    if (st == COR_OK) {
        /* Before the rename: otherwise the name could become durable ahead of the bytes. */
        st = fs->ops->sync(file, err);
    }
    fs->ops->close(file);
    return st;
}

enum cor_status io_publish(struct io_fs *fs, const char *name, struct cor_bytes data,
                           struct cor_error *err)
{
    static const char suffix[] = ".tmp";
    char temp[IO_NAME_MAX + 1];
    size_t len = strlen(name);
    COR_ASSERT(len > 0 && len + sizeof suffix <= sizeof temp);
    memcpy(temp, name, len);
    memcpy(temp + len, suffix, sizeof suffix);

    enum cor_status st = write_temp(fs, temp, data, err);
    if (st == COR_OK) {
        st = fs->ops->rename(fs, temp, name, err);
    }
    if (st != COR_OK) {
        /* Best effort: a leftover is swept at start-up, and the first error is the one worth
         * reporting. */
        (void)fs->ops->remove(fs, temp, NULL);
        return st;
    }
    return fs->ops->sync_dir(fs, err);
}

enum cor_status io_read_whole(struct io_fs *fs, const char *name, void *out, size_t size,
                              size_t *got, struct cor_error *err)
{
    struct io_file *file;
    enum cor_status st = fs->ops->open(fs, name, IO_READ_ONLY, &file, err);
    if (st != COR_OK) {
        return st;
    }
    uint64_t bytes = 0;
    st = fs->ops->size(file, &bytes, err);
    if (st == COR_OK && bytes > size) {
        st = COR_ETOOBIG;
    }
    if (st == COR_OK) {
        st = fs->ops->read(file, 0, out, (size_t)bytes, got, err);
    }
    fs->ops->close(file);
    return st;
}
