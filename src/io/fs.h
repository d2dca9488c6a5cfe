/*
 * fs.h - the file operations a replica needs, and the promises it relies on.
 *
 * Two implementations: os/fs.c for the world, sim/disk.c for the simulator. Storage code
 * includes this header and never <unistd.h>, so the code that runs in production is the code
 * that is crashed, torn and starved ten thousand times a night.
 *
 * What an implementation promises, and nothing more:
 *   - bytes written are durable only after sync() of that file returned COR_OK;
 *   - a name made by open(IO_CREATE) or rename(), or ended by remove(), is durable only after
 *     sync_dir();
 *   - rename() is atomic: after a crash the target is the old file or the new one.
 * Writes that were not synced may survive a crash in any combination, each torn at any multiple
 * of 512 bytes.
 *
 * A failed sync() is final. The kernel may have dropped the dirty pages and will report success
 * next time, so the caller must treat the file's unsynced bytes as lost, and stop.
 *
 * Threads: calls block, so after start-up they are made from an io_work (io/io.h), never from
 * the loop. One file is used by one thread at a time; different files may be used concurrently.
 * Names are relative to the one directory that the io_fs was opened on; no sub-directories.
 *
 * Errors: COR_ENOSPACE (disk or quota full), COR_ENOTFOUND, COR_EEXIST, COR_EPERM, COR_EIO
 * (everything else). @err, when not NULL, gets the text with file name and the system's reason.
 */
#ifndef IO_FS_H
#define IO_FS_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stdint.h>

#define IO_NAME_MAX 63u /* bytes in a file name */

enum io_open_flags {
    IO_CREATE = 1u << 0,    /* make it if it is not there */
    IO_EXCLUSIVE = 1u << 1, /* with IO_CREATE: COR_EEXIST if it is there */
    IO_READ_ONLY = 1u << 2,
    IO_DIRECT =
        1u << 3, /* a wish: bypass the page cache, each write durable on return. The caller
                            keeps address, offset and length of every write a multiple of 4096;
                            reads may be of any size. Ignored where it cannot be had. */
};

struct io_file;

struct io_fs {
    const struct io_fs_ops *ops;
};

struct io_fs_ops {
    enum cor_status (*open)(struct io_fs *fs, const char *name, unsigned flags,
                            struct io_file **out, struct cor_error *err);
    enum cor_status (*size)(struct io_file *file, uint64_t *out, struct cor_error *err);
    /* Read up to @len bytes; *got < len only at the end of the file. */
    enum cor_status (*read)(struct io_file *file, uint64_t offset, void *out, size_t len,
                            size_t *got, struct cor_error *err);
    /* All of @data, or an error (and then any part of it may have been written). */
    enum cor_status (*write)(struct io_file *file, uint64_t offset, struct cor_bytes data,
                             struct cor_error *err);
    /* Every write to @file that returned before this call is durable once this returns OK. */
    enum cor_status (*sync)(struct io_file *file, struct cor_error *err);
    enum cor_status (*truncate)(struct io_file *file, uint64_t size, struct cor_error *err);
    void (*close)(struct io_file *file);
    enum cor_status (*rename)(struct io_fs *fs, const char *from, const char *to,
                              struct cor_error *err);
    enum cor_status (*remove)(struct io_fs *fs, const char *name, struct cor_error *err);
    enum cor_status (*sync_dir)(struct io_fs *fs, struct cor_error *err);
    /* Call @each for every file, in no particular order; "." and ".." are left out. */
    enum cor_status (*list)(struct io_fs *fs, void (*each)(void *arg, const char *name),
                            void *arg, struct cor_error *err);
    /* Bytes a writer could still use, after reserves of the file system. */
    enum cor_status (*free_bytes)(struct io_fs *fs, uint64_t *out, struct cor_error *err);
};

/*
 * Replace the file @name by one holding @data, all or nothing: after a crash at any moment a
 * reader finds either the old content or the new, and the new once this returned COR_OK. On
 * failure the old content is intact and the temporary file ("@name.tmp") is gone or swept at the
 * next start. Blocks for two syncs.
 */
MUST_USE enum cor_status io_publish(struct io_fs *fs, const char *name, struct cor_bytes data,
                                    struct cor_error *err);

/* Read the whole file @name, at most @size bytes, into @out. COR_ETOOBIG if it is longer. */
MUST_USE enum cor_status io_read_whole(struct io_fs *fs, const char *name, void *out,
                                       size_t size, size_t *got, struct cor_error *err);

#endif
