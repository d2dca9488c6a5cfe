/*
 * space.h - the segments of a log as one row of pages, and reading from it.
 *
 * Place in the system: everything that reads or writes the log thinks in pages of content counted
 * from the beginning of the log; only this file and the last step of writing know files. A batch
 * may lie across segments.
 */
#ifndef WAL_SPACE_H
#define WAL_SPACE_H

#include "base/attr.h"
#include "io/fs.h"
#include "wal/layout.h"

#include <stdbool.h>
#include <stdint.h>

struct segment {
    uint64_t seq, base, n_pages, salt; /* as in struct segment_header */
    struct io_file *file;              /* open for writing, or NULL */
};

struct space {
    struct segment *v; /* ascending, without gaps */
    size_t n, size;
};

/* A place in a file, for people. */
struct place {
    char file[SEGMENT_NAME_SIZE];
    uint64_t offset; /* bytes */
};

/* Whose segments they must be. */
struct wal_identity {
    const unsigned char *cluster_id; /* 16 bytes */
    cor_node_id node_id;
};

/*
 * Read the names and headers of all segments in @fs into @s (zeroed before). @identity may be NULL:
 * anybody's. On COR_ECORRUPT the segments before the damage are there.
 * COR_OK; COR_ECORRUPT; COR_EFOREIGN; COR_EIO; COR_ENOMEM.
 */
MUST_USE enum cor_status space_load(struct io_fs *fs, const struct wal_identity *identity,
                                    struct space *s, struct cor_error *err);
void space_free(struct space *s, struct io_fs *fs); /* closes files, too */
/* Make room for one more segment, so that space_add() cannot fail. */
MUST_USE bool space_reserve(struct space *s);
void space_add(struct space *s, const struct segment *segment);

/* The page after the last. */
uint64_t space_end(const struct space *s);
/* The segment that holds @page, which must be inside. */
struct segment *space_at(const struct space *s, uint64_t page);
/* Where byte @offset of the batch content that starts at @page lies. */
struct place space_place(const struct space *s, uint64_t page, uint64_t offset);
/* The number of @page's first sector in its file. */
static inline uint64_t segment_sector(const struct segment *s, uint64_t page)
{
    return (1 + page - s->base) * WAL_PAGE_SECTORS;
}

/* A moving window on the pages: raw bytes as they are on disk, contiguous in memory. */
struct window {
    struct io_fs *fs;
    const struct space *space;
    uint32_t ahead; /* pages to read at least */
    unsigned char *raw;
    size_t size; /* bytes of raw */
    uint64_t page;
    uint64_t n; /* pages there */
    struct io_file *file;
    uint64_t file_seq;
};

/* Borrow pages [page, page + n), inside of the space; valid until the next call.
 * COR_OK; COR_EIO; COR_ENOMEM. */
MUST_USE enum cor_status window_get(struct window *w, uint64_t page, uint32_t n,
                                    const unsigned char **out, struct cor_error *err);
void window_close(struct window *w);

#endif
