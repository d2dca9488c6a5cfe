/*
 * wal.h - the write-ahead log: what survives a crash, and the proof that it does.
 *
 * Place in the system: node/ hands over each ordered write of the consensus core (term and vote,
 * truncation, entries) and learns when it is durable; after a restart wal_open() gives back what
 * was. Format and recovery argument: docs/storage.md (segments, pages, batches, record tables,
 * chain, evidence of what was synced).
 *
 * Group commit: units gather in memory while one write is in flight; the next write takes all
 * of them, in whole 4 KiB pages that are written once, and syncs once. Writes run as io_work on
 * IO_QUEUE_LOG; preparing (zero-filling) the next segment runs on IO_QUEUE_DISK.
 *
 * A unit is durable all together or not at all? No: as a prefix. Units are durable in order, and a
 * unit's hard state comes before its truncation, before its entries.
 *
 * Errors after wal_open(): a write or sync that fails is final. on_failed is called once, nothing
 * is reported durable afterwards, and the node must stop. Running out of room is not that: segments
 * are filled with zeros before they are used, so "disk full" shows when the next one cannot be
 * prepared, while wal_room() still says what fits; a reserve is kept for terms and votes.
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include "base/attr.h"
#include "base/event.h"
#include "coracle/bytes.h"
#include "coracle/raft.h"
#include "coracle/status.h"
#include "io/io.h"

#include <stdbool.h>
#include <stdint.h>

#define WAL_ENTRY_SIZE_MAX (2u << 20) /* bytes of one entry's payload */
#define WAL_ENTRY_OVERHEAD 64u        /* that wal_room() wants added for each entry */

struct wal;

struct wal_options {
    struct io *io; /* with its fs; the directory is this node's alone */
    struct event_sink *events;
    unsigned char cluster_id[16]; /* stamped into segments: foreign files are refused */
    cor_node_id node_id;
    uint64_t segment_bytes_min; /* 0: 256 KiB: the first one; each next doubles up to... */
    uint64_t segment_bytes_max; /* 0: 64 MiB. Multiples of 4096; at least 64 KiB */
    bool no_direct;             /* never ask for IO_DIRECT */
    void *arg;
    /* Every unit up to @seq is durable (0: none was written yet); also when only an idle mark was
     * written, for those who wait for it. On the loop, never from inside wal_*(). */
    void (*on_durable)(void *arg, uint64_t seq);
    /* A write or sync failed: stop the node. Called once. */
    void (*on_failed)(void *arg, const struct cor_error *err);
    /* Room came back or ran out (see wal_is_full). May be NULL. */
    void (*on_room)(void *arg);
};

/* One entry as it stands in the log. @checksum is hash64 of @payload, made by the proposer and
 * verified at every hop. */
struct wal_entry {
    uint64_t index, term;
    uint32_t type; /* enum cor_entry_type */
    uint64_t checksum;
    struct cor_bytes payload;
};

struct wal_unit {
    uint64_t seq; /* one more than that of the unit before; the first after open is any */
    bool hard_state_changed;
    struct cor_raft_hard_state hard_state;
    uint64_t truncate_from;          /* 0: none */
    const struct wal_entry *entries; /* contiguous indexes; borrowed for the call */
    size_t n_entries;
};

/* What wal_open() found. */
struct wal_recovered {
    bool empty; /* a new log: nothing was ever written */
    struct cor_raft_hard_state hard_state;
    uint64_t first, last; /* entries there; last 0: none */
    uint64_t torn_bytes;  /* cut from the end: an append that the crash interrupted */
};

/*
 * Open the log in io->fs, making it if there is none, and recover. Blocks; before the loop runs.
 *
 * COR_OK; COR_ECORRUPT: a record that had been synced fails its checksum: nothing was changed,
 * and @err names file, offset, index and what to do; COR_EFOREIGN: another cluster's, node's or
 * a newer version's files; COR_ENOSPACE; COR_EIO; COR_ENOMEM.
 */
MUST_USE enum cor_status wal_open(const struct wal_options *options,
                                  struct wal_recovered *recovered, struct cor_error *err,
                                  struct wal **out);
/* Free. No write (wal_is_idle) or read may be in flight, unless the world was crashed (simulator). */
void wal_close(struct wal *w);

/*
 * Queue @unit; payloads are copied. Written by the next flush. COR_OK; COR_ENOSPACE: entries do
 * not fit (ask wal_room() first; a unit of hard state alone always fits); COR_ENOMEM; COR_EIO: after
 * on_failed. Unless COR_OK nothing was queued.
 */
MUST_USE enum cor_status wal_write(struct wal *w, const struct wal_unit *unit);
/* Start writing what is queued, if no write is in flight; otherwise that one's completion will.
 * Called once at the end of each turn. */
void wal_flush(struct wal *w);
/* Nothing is on its way to disk, preparation of segments included. */
bool wal_is_idle(const struct wal *w);
/* Entries are sure to fit whose payloads and WAL_ENTRY_OVERHEADs add up to so many bytes. */
uint64_t wal_room(const struct wal *w);
/* The next segment cannot be prepared for want of space; retried every few seconds. */
bool wal_is_full(const struct wal *w);
/* After some idle time: append evidence that everything before is synced. on_durable says when; then
 * wal_is_idle() again. At once if there is nothing to prove. */
void wal_mark_idle(struct wal *w);

/*
 * Read entries from @first on, at most @n_max and about @bytes_max (at least one): off the loop. Only
 * durable entries can be read. The result is handed to @done on the loop; entries and payloads
 * are borrowed for that call. COR_OK; COR_ENOTFOUND; COR_ECORRUPT (@err says where); COR_EIO.
 */
struct wal_read {
    struct io_work work; /* private */
    uint64_t first;
    uint32_t n_max;
    size_t bytes_max;
    void (*done)(struct wal_read *read, enum cor_status st, const struct wal_entry *entries,
                 size_t n, const struct cor_error *err);
    struct wal *wal; /* from here on private */
    void *state;
};
void wal_read_start(struct wal *w, struct wal_read *read);

/* Blocking, before the loop runs: call @each for every entry from @first on, in order, until it
 * returns other than COR_OK. Payload borrowed for the call. */
MUST_USE enum cor_status wal_replay(struct wal *w, uint64_t first,
                                    enum cor_status (*each)(void *arg,
                                                            const struct wal_entry *e),
                                    void *arg, struct cor_error *err);

/* The runs of terms that cover [first, last], ascending, at most @n_max: returns how many. From
 * memory: the log keeps all of its runs. */
size_t wal_runs(const struct wal *w, uint64_t first, uint64_t last, struct cor_raft_run *out,
                size_t n_max);

struct wal_stats {
    uint64_t syncs, bytes_written, entries_written, units_written; /* since open */
    uint64_t sync_ns_total, sync_ns_max; /* time in write + sync, as the loop saw it */
    uint64_t segments, disk_bytes;
};
void wal_get_stats(const struct wal *w, struct wal_stats *out);

/* ---- the superblock: the state file -------------------------------------------------------- */

#define WAL_NAME_MAX    63u /* bytes in a member's name */
#define WAL_ADDRESS_MAX 255u

/*
 * Files "state-a" and "state-b", written one after the other, each with version number and checksum: a
 * crash while one is written leaves the other, and rot of one leaves an equal one. Apart from
 * identity, safety never needs it.
 */
struct superblock {
    uint64_t version; /* of this content: the higher valid one counts */
    unsigned char disk_id[16];
    unsigned char cluster_id[16]; /* all zero: not formed yet */
    uint64_t incarnation;         /* starts of this directory */
    uint64_t commit_hint;
    uint32_t level; /* feature level this directory was last opened with */
    char name[WAL_NAME_MAX + 1];
    uint32_t n_members; /* 0 until formed */
    struct superblock_member {
        cor_node_id id;
        unsigned char disk_id[16];
        uint8_t kind; /* enum cor_member_kind */
        char name[WAL_NAME_MAX + 1];
        char address[WAL_ADDRESS_MAX + 1]; /* as last known; soft */
    } members[COR_RAFT_MEMBERS_MAX];
};

/* COR_OK; COR_ENOTFOUND: a new directory; COR_ECORRUPT: both are unreadable: refuse to start;
 * COR_EFOREIGN: written by a newer version. Blocks. */
MUST_USE enum cor_status superblock_read(struct io_fs *fs, struct superblock *out,
                                         struct cor_error *err);
/* Write @sb with the next version number (also set in @sb), durable on return. Blocks. */
MUST_USE enum cor_status superblock_write(struct io_fs *fs, struct superblock *sb,
                                          struct cor_error *err);
/* Pure halves of the above, for tests, fuzzing and `coracle inspect`. */
#define SUPERBLOCK_SIZE_MAX 8192u
size_t superblock_encode(const struct superblock *sb, unsigned char *out);
MUST_USE enum cor_status superblock_decode(struct cor_bytes in, struct superblock *out);

/* ---- offline: log dump, inspect, verify ------------------------------------------------------- */

/* What the reader of a directory meets, in order of the files. */
struct wal_finding {
    enum wal_finding_kind {
        WAL_FOUND_SEGMENT = 1, /* name, size, first index */
        WAL_FOUND_ENTRY,
        WAL_FOUND_HARD_STATE,
        WAL_FOUND_TRUNCATE,
        WAL_FOUND_IDLE_MARK,
        WAL_FOUND_TORN, /* bytes cut at recovery: never acknowledged */
        WAL_FOUND_ROT,  /* synced and now wrong */
    } kind;
    const char *file;
    uint64_t offset, bytes;
    struct wal_entry entry; /* ENTRY; ROT: index and term if they are known, else 0 */
    struct cor_raft_hard_state hard_state;
    uint64_t index;   /* TRUNCATE: from here on; SEGMENT: first index */
    const char *text; /* TORN, ROT: what is wrong */
};

/* Walk the log in @fs without changing anything. Blocks. COR_OK also when rot was found (it was
 * reported to @each); COR_EIO; COR_EFOREIGN. */
MUST_USE enum cor_status wal_walk(struct io_fs *fs,
                                  void (*each)(void *arg, const struct wal_finding *f),
                                  void *arg, struct cor_error *err);

#endif
