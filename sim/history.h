/*
 * history.h - what clients asked and saw, and whether a single correct store could have told them.
 *
 * Place in the system: client.c writes it, cluster.c has it judged at the end of a run. The check uses
 * revisions as witnesses: every answer carries the revision at which it claims to have happened, so
 * the claimed order is known and only has to be compared with real time and with what was written
 * (reliability.md 3.6, "fast"). It is exact for the claims; a checker that does not trust our
 * revisions is a later one's task and takes the same struct.
 *
 *   writes            an acknowledged write is in the log of changes once, at its revision; one that was refused,
 *                     never; one of unknown outcome, at most once; nothing else is in it;
 *   real time         what began after another had ended comes after it (writes, default and consistent
 *                     reads);
 *   content           a read at revision R shows the newest change of its key up to R;
 *   no prophecy       nobody, stale reads included, sees a write before it was asked for.
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include "coracle/status.h"
#include "node/node.h"
#include "sim/judge.h"

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_KEYS_MAX 256u

enum op_kind {
    OP_PUT = 1,
    OP_PUT_TWO, /* key and key2 in one transaction */
    OP_DELETE,
    OP_GET,
};

struct op {
    uint8_t kind; /* enum op_kind */
    uint8_t mode; /* enum node_read_mode */
    uint32_t client, node;
    uint32_t key, key2;
    uint64_t invoked, returned; /* world time; returned 0: never */
    enum cor_status status;     /* COR_EUNKNOWN until it is answered */
    uint64_t revision;          /* of the write, or of the store that was read */
    uint64_t value;             /* put: its number, which is its place in the history plus one;
                                   get: what was read, 0: no such key */
    uint64_t mod_revision;      /* get */
    bool changed;               /* delete: there was something to delete */
};

struct history {
    struct op *ops;
    size_t n, room;
};

void history_clear(struct history *h);
/* A new record; its address is good until the next call. Returns its place. */
size_t history_add(struct history *h, const struct op *op);
/* True: the status says for sure that a write was not done. */
bool history_is_not_done(enum cor_status st);

/* Hold @h against the changes that @j has seen in the log, which must be complete. */
void history_check(const struct history *h, struct judge *j);

#endif
