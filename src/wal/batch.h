/*
 * batch.h - one group commit, gathered in memory in the shape it will have on disk.
 *
 * Payloads are copied once, to where they are written from. The header, the tables and the stamps
 * are added when the batch is sealed.
 */
#ifndef WAL_BATCH_H
#define WAL_BATCH_H

#include "wal/layout.h"
#include "wal/wal.h"

#include <stdbool.h>

/* Payload bytes after which a batch takes no more entries: one entry always fits. */
#define BATCH_PAYLOAD_MAX (1u << 20)

/* How far a batch is filled: copied to undo a write that turns out not to fit. */
struct batch_fill {
    size_t payload_len, table_len;
    uint32_t n_records, n_entries, n_units;
    uint64_t term;       /* of the last entry in the table */
    uint64_t next_index; /* after it */
    uint64_t lowest;     /* index of its records; UINT64_MAX: none */
    bool cuts;           /* it has truncations */
    uint64_t seq;        /* of the last unit that ends in it; 0: none does */
    struct cor_raft_hard_state hard_state;
};

struct batch {
    struct batch *next;
    unsigned char *raw; /* page-aligned sectors; content in place, stamps missing */
    size_t raw_size;
    unsigned char *table;
    size_t table_size;
    uint64_t begin_index;  /* the next index before this batch */
    size_t prev_table_len; /* of the batch before, which is complete */
    uint16_t flags;
    struct batch_fill fill;
};

/* A batch to begin at @next_index, in the memory of @spare, if that is not NULL, which is taken. A
 * batch can always be sealed: that needs no more memory. NULL: out of memory. */
MUST_USE struct batch *batch_new(struct batch *spare, uint64_t next_index,
                                 size_t prev_table_len);
void batch_free(struct batch *b); /* NULL is fine */
/* Can it take an entry with @len bytes? */
bool batch_takes(const struct batch *b, size_t len);
/* False: out of memory, nothing changed. */
MUST_USE bool batch_add_entry(struct batch *b, const struct wal_entry *e);
MUST_USE bool batch_add_truncate(struct batch *b, uint64_t index);
/* Bytes and pages that the sealed batch takes. */
size_t batch_content(const struct batch *b);
uint32_t batch_pages(const struct batch *b);

/*
 * Put @h (whose place and chain are set) and both tables where they belong, and complete @h's counts.
 * Encodes the header to @encoded, too: the next batch's chain is its hash.
 */
void batch_seal(struct batch *b, struct batch_header *h, const unsigned char *prev_table,
                unsigned char *encoded);
/* Stamp the sealed batch's pages [from, from + n), which go to a file with @salt where @sector is
 * the number of the first. Off the loop. */
void batch_stamp(struct batch *b, uint32_t from, uint32_t n, uint64_t salt, uint64_t sector);

#endif
