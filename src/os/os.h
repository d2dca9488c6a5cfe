/*
 * os.h - the world behind io/: a loop on libuv, sockets, threads, one directory of real files.
 *
 * Place in the system: server/ and cli/ open a directory (os_fs_open) and a loop (os_loop_open) and
 * hand os_loop_io() to the rooms above; those see io/io.h and io/fs.h and never this header. sim/ is
 * the other implementation.
 *
 * Threads: a loop belongs to the thread that calls os_loop_run(). Everything here and in io.h is
 * called on that thread (or before it runs), except os_loop_post() and os_loop_stop(). No globals: several
 * loops live side by side in a process.
 *
 * A loop without anything to do sleeps without a timeout: it has no tick.
 */
#ifndef OS_OS_H
#define OS_OS_H

#include "base/attr.h"
#include "base/event.h"
#include "coracle/status.h"
#include "io/fs.h"
#include "io/io.h"

#include <stdbool.h>
#include <stddef.h>

/* ---- the data directory ------------------------------------------------------------------- */

enum os_fs_flags {
    OS_FS_CREATE = 1u << 0,    /* make the directory (mode 0700) if it is not there */
    OS_FS_READ_ONLY = 1u << 1, /* for looking on: takes no lock, changes nothing */
};

/*
 * Open the directory @path. Unless OS_FS_READ_ONLY it is locked against other processes until
 * os_fs_close(), also across a crash (the lock is the kernel's, on the directory itself: no lock
 * file is left behind, and a directory that is refused has not been touched).
 *
 * COR_OK; else *out is untouched and @err says what to do: COR_ELOCKED: another process uses it;
 * COR_ENOTFOUND: not there (or, with OS_FS_CREATE, its parent is not); COR_EPERM: may not be
 * read or written; COR_EINVAL: not a directory; COR_ENOSPACE; COR_ENOMEM; COR_EIO.
 */
MUST_USE enum cor_status os_fs_open(const char *path, unsigned flags, struct cor_error *err,
                                    struct io_fs **out);
/* All files must be closed. NULL is fine. */
void os_fs_close(struct io_fs *fs);

/* ---- the loop -------------------------------------------------------------------------------- */

struct os_loop;

struct os_loop_options {
    struct io_fs *fs;          /* becomes io->fs; borrowed until os_loop_free(); may be NULL */
    struct event_sink *events; /* room "os"; called on the loop; may be NULL */
};

/* COR_OK; COR_ENOMEM; COR_EIO: no more descriptors, most likely. */
MUST_USE enum cor_status os_loop_open(const struct os_loop_options *options,
                                      struct cor_error *err, struct os_loop **out);
struct io *os_loop_io(struct os_loop *loop);

/*
 * Turn until os_loop_stop(). When it returns, no work (io_submit) is running and none will be
 * started: what the loop's users own may be freed now, before os_loop_free(). May be called again.
 */
void os_loop_run(struct os_loop *loop);
/* Let os_loop_run() return at the end of its turn (or of its first, if it does not run yet). From
 * any thread, and from a signal handler; the loop must live until the call returns. */
void os_loop_stop(struct os_loop *loop);

/* Close what is still open, without any callback, end the threads, free. NULL is fine. Waits for
 * names that are being looked up. */
void os_loop_free(struct os_loop *loop);

/* A call to make on the loop, embedded in its owner. */
struct os_post {
    void (*run)(struct os_post *post); /* set by the owner; may free or reuse the post */
    struct os_post *next;              /* private */
};

/*
 * Have @post->run called on the loop, as an event of its next turn, in the order of posting. From
 * any thread, while the loop exists. Posts that were not run when the loop is freed never will be.
 */
void os_loop_post(struct os_loop *loop, struct os_post *post);

/*
 * Have @on_signal called on the loop whenever the process gets @signo, until os_loop_free(). For
 * main programs: a signal handler is the process's, not the loop's.
 */
MUST_USE enum cor_status os_loop_signal(struct os_loop *loop, int signo,
                                        void (*on_signal)(void *arg, int signo), void *arg,
                                        struct cor_error *err);

/* ---- addresses ------------------------------------------------------------------------------- */

/* Does @address ("host:port", "[v6]:port") stay within this machine? False for names other than
 * localhost, whatever they resolve to, and for what is malformed. */
bool os_address_is_loopback(const char *address);

#endif
