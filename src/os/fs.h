/* fs.h - what fs.c (files) and fs_dir.c (the directory and its lock) share. */
#ifndef OS_FS_H
#define OS_FS_H

#include "io/fs.h"

struct os_fs {
    struct io_fs fs; /* first */
    int fd;          /* of the directory; its flock is the lock */
    bool read_only;
    char path[]; /* as given; for error texts */
};

static inline struct os_fs *os_fs_of(struct io_fs *fs)
{
    return CONTAINER_OF(fs, struct os_fs, fs);
}

/* Fill @err: "cannot VERB DIR/NAME: reason", from @error (an errno). @name NULL: the directory. */
enum cor_status os_fs_error(struct cor_error *err, int error, const struct os_fs *fs,
                            const char *verb, const char *name);

extern const struct io_fs_ops os_fs_ops;

#endif
