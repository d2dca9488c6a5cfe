/*
 * goraft.h - a goraft directory in, a goraft directory out; and what an entry is called in the article.
 *
 * Place in the system: `coracle import-goraft` and `export-goraft` (cli/) read and write the files and the log, and
 * hand bytes to this room; api/ and cli/ print entries with goraft_json_entry(). Pure: no file is touched here.
 * What is kept, and why an export gives back the same bytes: docs/goraft.md.
 */
#ifndef GORAFT_GORAFT_H
#define GORAFT_GORAFT_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"
#include "goraft/note.h"
#include "goraft/record.h"
#include "json/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GORAFT_FILES_MAX 64u /* that a directory may have */

/* ---- files ------------------------------------------------------------------------------------------ */

/* CRC-32 of IEEE 802.3, as in the first line of a snapshot. */
uint32_t goraft_crc32(struct cor_bytes b);

struct goraft_snapshot {
    uint64_t last_index, last_term;
    unsigned char *state; /* of the application; allocated, free() it; NULL: there is none */
    size_t state_len;
};
/* COR_OK; COR_ECORRUPT: the checksum is wrong; COR_EPROTO; COR_ENOMEM. @err says why. */
MUST_USE enum cor_status
goraft_snapshot_read(struct cor_bytes file, struct goraft_snapshot *out, struct cor_error *err);

/* ---- import ------------------------------------------------------------------------------------------ */

/* One file of the directory. Snapshots are called "snapshot/TERM_INDEX.ss". */
struct goraft_file {
    char name[GORAFT_NAME_MAX + 1];
    struct cor_bytes bytes;
};

enum goraft_verdict {
    GORAFT_KEPT = 1, /* an entry that changes nothing here, kept for the export */
    GORAFT_REPAIRED, /* bytes that are no record were passed over, nothing is missing */
    GORAFT_CUT,      /* what stands from here on was left out */
    GORAFT_IGNORED,  /* a file, or what it says */
};

/* Worth telling whoever imports. */
struct goraft_finding {
    enum goraft_verdict verdict;
    uint64_t index;  /* of the entry, 0: none */
    uint64_t offset; /* in @file */
    const char *file, *text;
};

struct goraft_import {
    const struct goraft_file *files;
    size_t n_files;
    bool
        truncate; /* take what stands before damage, as goraft itself would, instead of refusing */
    void *arg;
    void (*say)(void *arg, const struct goraft_finding *f);
    /* The next entry of the log to be: a command, of @term. NULL: only look. */
    enum cor_status (*entry)(void *arg, uint64_t term, struct cor_bytes payload);
};

struct goraft_imported {
    uint64_t first, last, last_term; /* of goraft's entries; last 0: none */
    uint64_t writes, others;         /* of these: changed a key, did not */
    uint64_t entries;                /* that were handed over */
};

/*
 * COR_OK; COR_EINVAL: not a goraft directory, or nothing is in it; COR_ECORRUPT: acknowledged entries are missing (see
 * truncate); COR_EFOREIGN: the state of a program we do not know; COR_ETOOBIG; COR_ENOMEM; what entry() returned.
 */
MUST_USE enum cor_status goraft_import(const struct goraft_import *import,
                                       struct goraft_imported *out, struct cor_error *err);

/* ---- export ------------------------------------------------------------------------------------------- */

/* One entry of our log. */
struct goraft_entry {
    uint64_t index, term;
    uint32_t type; /* enum cor_entry_type */
    struct cor_bytes payload;
};

struct goraft_export {
    const char *name, *address; /* of the node's first raft:join, if the log is our own */
    bool lossy;                 /* skip what goraft cannot express */
    void *arg;
    enum cor_status (*log)(void *arg, struct cor_bytes bytes); /* append to the log file */
    /* A piece of another file, from its beginning to its end. */
    enum cor_status (*file)(void *arg, const struct goraft_note *piece);
    /* From here on private: zero. */
    bool begun, imported;
    uint64_t last, last_term; /* written */
    uint64_t skipped;
};

/* The next entry, in order. COR_OK; COR_EINVAL: goraft has nothing for it (@err names it); COR_ENOMEM; what a callback
 * returned. */
MUST_USE enum cor_status goraft_export_entry(struct goraft_export *x,
                                             const struct goraft_entry *e,
                                             struct cor_error *err);
/* The files conf and name of a log that is our own; nothing for an imported one. */
MUST_USE enum cor_status goraft_export_end(struct goraft_export *x);

/* ---- the article's names -------------------------------------------------------------------------------- */

/* "Index", "Term", "CommandName" and, unless the entry is a no-op, "Command": members of the object that is open.
 * An entry that goraft has no word for is "coracle:TYPE", its command our bytes. */
void goraft_json_entry(struct json_writer *w, const struct goraft_entry *e);

#endif
