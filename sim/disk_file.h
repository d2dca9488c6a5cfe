/*
 * disk_file.h - the content of one simulated file: durable chunks, and writes that are not
 * durable yet.
 *
 * Place in the system: below sim/disk.c alone, which knows names, switches and handles.
 *
 * Chunks are shared between copies of a disk and copied when written to; a chunk of zeros is
 * NULL. So segments full of zeros cost nothing and cloning a disk costs a pointer per 4 KiB.
 */
#ifndef SIM_DISK_FILE_H
#define SIM_DISK_FILE_H

#include "sim/disk.h"

#define DISK_CHUNK 4096u

struct disk_chunk {
    unsigned refs;
    unsigned char bytes[DISK_CHUNK];
};

/* A change of content that no sync has covered yet. */
struct disk_pending {
    struct disk_pending *next;
    bool is_truncate; /* to @len bytes */
    bool doomed;      /* a sync that should have made it durable failed */
    uint64_t offset;
    uint64_t len;
    unsigned char *data; /* NULL: zeros */
};

struct disk_file {
    unsigned refs;
    uint64_t size;     /* durable */
    uint64_t size_now; /* with what is pending */
    struct disk_chunk **chunks;
    size_t n_chunks;
    struct disk_pending *pending, **pending_end; /* in order of their making */
};

struct disk_file *disk_file_new(void);
struct disk_file *disk_file_copy(const struct disk_file *f);
void disk_file_unref(struct disk_file *f);

/* Read what is visible; returns the bytes got. */
size_t disk_file_read(const struct disk_file *f, uint64_t offset, unsigned char *out,
                      size_t len);
void disk_file_write(struct disk_file *f, uint64_t offset, struct cor_bytes data);
void disk_file_truncate(struct disk_file *f, uint64_t size);
/* Durable at once, past the cache. */
void disk_file_write_through(struct disk_file *f, uint64_t offset, struct cor_bytes data);
/* All that is pending (and not doomed) becomes durable. */
void disk_file_sync(struct disk_file *f);
void disk_file_doom(struct disk_file *f);
/* What a crash leaves. */
void disk_file_crash(struct disk_file *f, const struct sim_fate *fate);
/* Past all of that: straight into the durable bytes. */
void disk_file_poke(struct disk_file *f, uint64_t offset, struct cor_bytes data);
void disk_file_resize(struct disk_file *f, uint64_t size);

#endif
