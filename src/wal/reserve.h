/*
 * reserve.h - room for terms and votes when there is room for nothing else.
 *
 * Place in the system: while the disk is full and the last segment, too, wal.c puts hard states here
 * instead of into batches, so that a member can still vote. The file is made with the log and never
 * grows. It holds the newest such hard state twice, each copy in a page of its own; the second is
 * written when the first is durable, so a crash leaves one of them. Hard states only ever grow (a
 * higher term; in a term, a vote after none): recovery takes the higher of this one and the log's.
 */
#ifndef WAL_RESERVE_H
#define WAL_RESERVE_H

#include "wal/space.h"

#define RESERVE_SIZE (2u * WAL_PAGE)

struct reserve {
    uint64_t version; /* 0: never used */
    struct cor_raft_hard_state hard_state;
};

/* Both pages of @r, at @out (RESERVE_SIZE). */
void reserve_encode(const struct reserve *r, const struct wal_identity *identity,
                    unsigned char *out);
/*
 * Read it back. *whole: both copies are good. @identity may be NULL: anybody's. COR_OK; COR_ECORRUPT:
 * neither is; COR_EFOREIGN.
 */
MUST_USE enum cor_status reserve_decode(const unsigned char *in,
                                        const struct wal_identity *identity,
                                        struct reserve *out, bool *whole);
/* COR_OK; COR_ENOTFOUND; COR_ECORRUPT; COR_EFOREIGN; COR_EIO. */
MUST_USE enum cor_status reserve_read(struct io_fs *fs, const struct wal_identity *identity,
                                      struct reserve *out, bool *whole, struct cor_error *err);
/* Write both pages at @pages, page-aligned memory, one after the other. Blocks. */
MUST_USE enum cor_status reserve_write(struct io_fs *fs, struct io_file *file,
                                       const unsigned char *pages, struct cor_error *err);
/* Is @a later than @b? */
bool hard_state_is_later(const struct cor_raft_hard_state *a,
                         const struct cor_raft_hard_state *b);

#endif
