/*
 * layout.h - the bytes of the log: sectors, segment headers, batch headers, record tables.
 *
 * Place in the system: the writer (batch.c), recovery (scan.c) and readers (fetch.c) share these
 * and nothing else about bytes. docs/storage.md has the drawing and the argument.
 *
 * A file is a row of 512-byte sectors. Each holds 504 bytes of content and an 8-byte stamp: the hash
 * of the content, masked with the segment's salt, the sector's number and its kind. A disk tears
 * writes at sectors, so each sector is the old one or the new one, and the stamp says which. What
 * is neither zeros nor carries its stamp was changed by something other than a crash.
 */
#ifndef WAL_LAYOUT_H
#define WAL_LAYOUT_H

#include "base/attr.h"
#include "base/reader.h"
#include "coracle/bytes.h"
#include "coracle/raft.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stdint.h>

#define WAL_FORMAT       1u
#define WAL_SECTOR       ((size_t)512)
#define WAL_SECTOR_DATA  ((size_t)504)
#define WAL_PAGE         ((size_t)4096)
#define WAL_PAGE_SECTORS (WAL_PAGE / WAL_SECTOR)
#define WAL_PAGE_DATA    (WAL_PAGE_SECTORS * WAL_SECTOR_DATA)

/* ---- sectors ------------------------------------------------------------------------------- */

enum wal_sector {
    WAL_SECTOR_ZERO = 0, /* never written */
    WAL_SECTOR_BODY = 1,
    WAL_SECTOR_HEAD = 2,    /* the first of a batch: payloads cannot pass for one */
    WAL_SECTOR_SEGMENT = 3, /* in the first page of a file; salt 0 */
    WAL_SECTOR_TERMS = 4,   /* of the reserve file; salt 0 */
    WAL_SECTOR_BAD = 5,     /* none of these: rot */
};

/* Stamp @sector (512 bytes, content in place), the @number-th of its file. */
void wal_sector_stamp(unsigned char *sector, uint64_t salt, uint64_t number,
                      enum wal_sector kind);
enum wal_sector wal_sector_look(const unsigned char *sector, uint64_t salt, uint64_t number);
bool wal_is_zero(const unsigned char *p, size_t len);

/* Content is addressed as if stamps were not there. Copy @len bytes of it at @offset into or out of
 * the sectors that start at @raw. */
void wal_content_put(unsigned char *raw, size_t offset, struct cor_bytes data);
void wal_content_get(const unsigned char *raw, size_t offset, void *out, size_t len);
/* Pages that @len bytes of content take. */
static inline uint32_t wal_content_pages(size_t len)
{
    return (uint32_t)((len + WAL_PAGE_DATA - 1) / WAL_PAGE_DATA);
}

/* ---- segments ------------------------------------------------------------------------------ */

#define WAL_TEMP_NAME    "segment.tmp"
#define WAL_RESERVE_NAME "reserve.wal"

/* In the first page of a segment, twice: in its first and fifth sector. */
struct segment_header {
    unsigned char cluster_id[16];
    cor_node_id node_id;
    uint64_t seq;     /* 1, 2, 3...; the file's name */
    uint64_t base;    /* pages of content in all segments before */
    uint64_t n_pages; /* of content here: the file is one page longer */
    uint64_t salt;    /* random, for this use of the file */
};

void segment_header_encode(const struct segment_header *h, unsigned char *page);
/* COR_OK; COR_EFOREIGN: a later format; COR_ECORRUPT: neither copy is whole. */
MUST_USE enum cor_status segment_header_decode(const unsigned char *page,
                                               struct segment_header *out);
/* "0000000001.wal" */
#define SEGMENT_NAME_SIZE 16u
void segment_name(uint64_t seq, char *out);
/* The number in @name, or 0 if it is not the name of a segment. */
uint64_t segment_seq(const char *name);

/* ---- batches ------------------------------------------------------------------------------- */

#define BATCH_HEADER_SIZE 132u
#define BATCH_PAGES_MAX   1024u /* no batch is longer; bounds what a reader allocates */
#define BATCH_RECORDS_MAX 4096u
#define BATCH_TABLE_MAX   ((size_t)65536) /* bytes */

#define BATCH_FLAG_IDLE 1u /* written only as evidence that what stands before it was synced */

/* A batch is: header, payloads, table, the previous batch's table; then zeros up to the page. */
struct batch_header {
    uint16_t flags;
    uint64_t seq;       /* 1, 2, 3... over the life of the log */
    uint64_t page;      /* where it begins, in pages of content from the beginning of the log */
    uint64_t prev_page; /* where the batch before begins */
    uint64_t chain;     /* hash of the header before; of the first batch, the salt */
    uint32_t n_pages;   /* that it takes */
    uint32_t n_records; /* entries and truncations in the table */
    uint32_t payload_len, table_len, prev_table_len; /* bytes */
    uint64_t table_sum, prev_table_sum;              /* hash64 */
    uint64_t next_index;      /* before this batch: the index of the next entry */
    uint64_t prev_next_index; /* before the batch before: makes its table readable */
    uint64_t last_index;      /* after this batch */
    struct cor_raft_hard_state hard_state; /* after this batch */
    uint64_t last_segment; /* the newest segment that was ready when this was written */
};

void batch_header_encode(const struct batch_header *h, unsigned char *out);
/* COR_OK; COR_EFOREIGN: a later format; COR_ECORRUPT: contradicts itself. */
MUST_USE enum cor_status batch_header_decode(struct cor_bytes in, struct batch_header *out);
/* Bytes of content of @h's batch. */
uint64_t batch_content_len(const struct batch_header *h);

/* ---- record tables ------------------------------------------------------------------------- */

/* One record at most: tag, length, checksum, and a new term before it. */
#define RECORD_SIZE_MAX 32u

struct record {
    bool is_truncate; /* entries from @index on are void; else an entry */
    uint64_t index, term;
    uint32_t type;
    uint32_t len; /* bytes of payload */
    uint64_t checksum;
    uint64_t offset; /* of the payload, in the batch's content */
};

/* Append @r to a table at @out (RECORD_SIZE_MAX bytes of room); *term is that of the entry
 * before it in this table, 0 at the beginning. Returns the bytes used. */
size_t record_encode(const struct record *r, uint64_t *term, unsigned char *out);

struct table_cursor {
    struct reader reader;
    uint64_t index, term, offset;
};

struct table_cursor table_open(struct cor_bytes table, uint64_t next_index);
/* The next record. False: at the end, or malformed (then reader_done() is false, too). */
bool table_next(struct table_cursor *c, struct record *out);

#endif
