/*
 * internal.h - what the files of src/wal/ share: the log while it is open.
 *
 * recover.c fills a struct wal from disk; wal.c takes units and writes batches; prepare.c makes
 * segments ahead; read.c reads what is durable.
 */
#ifndef WAL_INTERNAL_H
#define WAL_INTERNAL_H

#include "wal/batch.h"
#include "wal/map.h"
#include "wal/reserve.h"
#include "wal/space.h"
#include "wal/wal.h"

#define WAL_SEGMENT_MIN         (64u << 10) /* the smallest that options may ask for */
#define WAL_SEGMENT_BYTES_FIRST (256u << 10)
#define WAL_SEGMENT_BYTES_MAX   (64u << 20)
#define WAL_RETRY_NS            UINT64_C(2000000000) /* while the disk is full */
/* A batch lies in at most so many segments. */
#define WAL_PIECES_MAX (BATCH_PAGES_MAX / (WAL_SEGMENT_MIN / WAL_PAGE - 1) + 2)

/* One batch on its way to disk. */
struct flush {
    struct io_work work;
    struct batch *batch; /* NULL: none */
    bool to_reserve;     /* its hard state goes to the reserve file; the batch to nowhere */
    struct batch_header header;
    uint64_t chain;   /* hash of the header */
    uint64_t started; /* io_now() */
    uint32_t n_pieces;
    struct piece {
        struct io_file *file;
        uint64_t seq;           /* of the segment */
        uint64_t salt, sector;  /* where it goes */
        uint32_t from, n_pages; /* which pages of the batch */
        bool fills;             /* the segment is full then: close it */
        bool closed;
    } pieces[WAL_PIECES_MAX];
    enum cor_status st;
    struct cor_error err;
};

/* One segment being made. */
struct prepare {
    struct io_work work;
    bool busy;
    struct io_fs *fs;
    struct segment_header header; /* n_pages: as wanted, then as it fits */
    uint64_t bytes_min;
    unsigned open_flags;
    struct io_file *file;
    unsigned char *zeros;
    uint64_t at; /* bytes filled */
    bool ready;
    uint64_t free_bytes; /* as the file system said before; UINT64_MAX: it did not */
    enum cor_status st;
    struct cor_error err;
};

struct wal {
    struct wal_options options;
    struct io *io;
    struct io_fs *fs;
    struct space space;

    /* What was handed over, durable or not. */
    struct runs runs;
    uint64_t next_index;
    struct cor_raft_hard_state hard_state;
    uint64_t unit_seq; /* of the last unit; 0: none yet */

    /* What is durable. */
    struct anchors anchors;
    uint64_t durable_last;
    uint64_t durable_seq;
    uint64_t durable_end; /* pages */

    /* Where and after what the next batch goes. */
    uint64_t page, batch_seq, chain, prev_page, prev_next_index;
    unsigned char *prev_table;
    size_t prev_table_len, prev_table_size;
    bool marked; /* the last batch is an idle mark */

    struct batch *first, *last; /* gathered; the first is written next */
    struct batch *spare;
    struct flush flush;
    struct io_task flush_task;

    struct io_file *reserve_file;
    uint64_t reserve_version;

    struct read_state *reads; /* started and not done */
    struct prepare prepare;
    struct io_timer retry; /* while the disk is full */
    bool retrying, full, failed;
    uint64_t free_bytes; /* when last asked */

    struct wal_stats stats;
};

/* Fill @w from disk. Changes nothing on disk unless COR_OK, or COR_EIO while settling. */
MUST_USE enum cor_status wal_recover(struct wal *w, struct wal_recovered *recovered,
                                     struct cor_error *err);

struct wal_identity wal_identity_of(const struct wal *w);
/* Pages that are gathered and not yet on their way. */
uint64_t wal_queued_pages(const struct wal *w);
/* Forget reads that will never be done: the world was crashed. */
void wal_reads_free(struct wal *w);
/* Stop for good: a write or sync failed. On the loop. */
void wal_fail(struct wal *w, const struct cor_error *err);

/* Make the next segment if there is none ahead; on the loop. */
void wal_prepare(struct wal *w);
/* Make one now, blocking. COR_OK; COR_ENOSPACE; COR_EIO; COR_ENOMEM. */
MUST_USE enum cor_status wal_prepare_now(struct wal *w, struct cor_error *err);
/* Free what a preparation holds that will not complete. */
void wal_prepare_abandon(struct wal *w);
/* The timer that retries. */
void wal_prepare_retry(struct io_timer *timer);

#endif
