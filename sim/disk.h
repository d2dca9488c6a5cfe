/*
 * disk.h - a disk that can be crashed, torn, filled, broken and copied: one directory in memory that
 * implements io/fs.h to the letter and not one promise more.
 *
 * Place in the system: the simulator gives one to each host; storage tests use it alone (it needs
 * nothing but base/ and io/). Storage code gets disk->fs and cannot tell it from a real one.
 *
 * What was written is visible at once and durable after a sync. In between it is a list of pending
 * writes; a crash decides the fate of each: kept, lost, or torn at multiples of 512 bytes. Names
 * work the same way, with sync_dir(). Files opened with IO_DIRECT skip the list: a write is durable
 * when it returns, and only the one that the power cut hits can be torn.
 *
 * To try every crash point: set cut_at to k, run; operation k is begun (its effect is pending) and
 * it and everything after it fails; then sim_disk_crash() and look at what is left. To try many
 * fates from one state: clone it first.
 *
 * Deterministic, not thread-safe, and it asserts that memory never runs out: it is test equipment.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "base/prng.h"
#include "io/fs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_DISK_NEVER  UINT64_MAX
#define SIM_DISK_SECTOR 512u

struct disk_name;
struct disk_name_change;

struct sim_disk {
    struct io_fs fs; /* first: what storage code sees */

    /* Switches; set them at any time. Operations and changes are numbered from 0. */
    uint64_t fail_at;  /* this operation fails with COR_EIO: a write half done, a sync that
                           dooms what it was to make durable */
    uint64_t cut_at;   /* the power goes while this change is made */
    uint64_t capacity; /* bytes of all files together; UINT64_MAX: no bound */
    bool fail_reads;   /* COR_EIO */
    bool fail_writes;  /* COR_EIO */
    bool fail_syncs;   /* COR_EIO; what was to be synced is doomed */
    bool read_only;    /* COR_EPERM for whatever would change something */
    bool no_direct;    /* IO_DIRECT is ignored, as some file systems do */
    bool
        reuse_handles; /* what was closed last is opened next, as descriptors are; set it before
                            the first use */
    bool lies;         /* sync and IO_DIRECT say COR_OK and make nothing durable */

    /* Counters. */
    uint64_t ops;     /* all operations that can fail */
    uint64_t changes; /* those that change something: write, sync, truncate, open that creates,
                         rename, remove, sync_dir */
    uint64_t n_writes, n_syncs, bytes_written;
    size_t n_open; /* handles: 0 when nobody leaks */
    bool is_cut;   /* the power is gone: everything fails until sim_disk_crash() */

    /* Private. */
    uint64_t life;         /* handles of an earlier one fail */
    struct io_file *spare; /* closed last */
    struct disk_name *names, *durable_names;
    struct disk_name_change *changes_first, **changes_end; /* of names, not yet durable */
};

struct sim_disk *sim_disk_new(void);
/* A deep copy (what is equal is shared until it differs, so it is cheap). Handles stay with
 * the original; switches and counters are copied. */
struct sim_disk *sim_disk_clone(const struct sim_disk *d);
void sim_disk_free(struct sim_disk *d);

enum sim_fate_kind {
    SIM_FATE_RANDOM = 1, /* anything that io/fs.h allows, drawn from @random */
    SIM_FATE_LOST,       /* everything that was not synced is gone */
    SIM_FATE_KEPT,       /* everything happens to be there */
    SIM_FATE_TORN,       /* all kept; of the last write to a file the first @sectors only */
};

struct sim_fate {
    enum sim_fate_kind kind;
    struct prng *random;
    uint64_t sectors;
};

/* The power goes (if it has not) and comes back: what was pending meets its fate. Open handles are
 * dead: all they can do is be closed. Power-cut and single-failure switches are reset. */
void sim_disk_crash(struct sim_disk *d, struct sim_fate fate);
/* The process dies and the machine does not: nothing is lost, handles are dead. */
void sim_disk_kill(struct sim_disk *d);

/* ---- tampering: on durable and visible content at once, at no cost and without counting ------- */

bool sim_disk_has(const struct sim_disk *d, const char *name);
uint64_t sim_disk_size(const struct sim_disk *d, const char *name); /* 0 if it is not there */
void sim_disk_peek(const struct sim_disk *d, const char *name, uint64_t offset, void *out,
                   size_t len); /* zeros beyond the end */
void sim_disk_poke(struct sim_disk *d, const char *name, uint64_t offset,
                   struct cor_bytes data); /* makes or extends the file if need be */
void sim_disk_flip(struct sim_disk *d, const char *name, uint64_t offset, unsigned char mask);
void sim_disk_zero(struct sim_disk *d, const char *name, uint64_t offset, uint64_t len);
void sim_disk_cut_file(struct sim_disk *d, const char *name, uint64_t size);
void sim_disk_drop(struct sim_disk *d, const char *name);
void sim_disk_move(struct sim_disk *d, const char *from, const char *to);
/* Names in order: the @i-th, or NULL. Valid until something changes. */
const char *sim_disk_name(const struct sim_disk *d, size_t i);
uint64_t sim_disk_used(const struct sim_disk *d);
/* Of names and contents as they are visible: equal disks hash equal. */
uint64_t sim_disk_hash(const struct sim_disk *d);

#endif
