/*
 * goraft_files.h - a goraft directory on disk: read whole, or written.
 *
 * Place in the system: `coracle import-goraft` and `export-goraft`. What the bytes mean is src/goraft/'s business.
 */
#ifndef CLI_GORAFT_FILES_H
#define CLI_GORAFT_FILES_H

#include "base/attr.h"
#include "goraft/goraft.h"
#include "io/fs.h"

/* ---- reading --------------------------------------------------------------------------------------- */

/* Every file of the directory and of its snapshot/; those that are not goraft's without their bytes. */
struct goraft_files {
    struct goraft_file v[GORAFT_FILES_MAX];
    size_t n;
    unsigned char *memory[GORAFT_FILES_MAX];
};
MUST_USE enum cor_status goraft_files_read(const char *dir, struct goraft_files *out,
                                           struct cor_error *err);
void goraft_files_free(struct goraft_files *f);

/* ---- writing --------------------------------------------------------------------------------------- */

/* The log gets its name at the end: without one this is no goraft directory. */
struct goraft_out {
    struct io_fs *fs, *snapshots;
    struct io_file *log; /* NULL: nothing is written, only looked at */
    uint64_t log_size;
    unsigned char *buffer;
    size_t buffered;
    struct cor_error *err;
};

/* COR_EEXIST: @dir is not empty. Close it, also then. */
MUST_USE enum cor_status goraft_out_open(const char *dir, struct goraft_out *out,
                                         struct cor_error *err);
/* As callbacks of struct goraft_export, with a goraft_out. */
enum cor_status goraft_out_log(void *arg, struct cor_bytes bytes);
enum cor_status goraft_out_file(void *arg, const struct goraft_note *piece);
MUST_USE enum cor_status goraft_out_finish(struct goraft_out *out);
void goraft_out_close(struct goraft_out *out);

#endif
