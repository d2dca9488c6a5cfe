/*
 * prepare.c - segments ahead of need: filled with zeros, synced and named before the first use.
 *
 * So the blocks of a segment are allocated and their metadata journaled before: a sync then writes
 * data and nothing else. A full disk shows here and not in a write. And whatever a segment holds
 * that is not zeros was put there by a batch.
 *
 * Work is done in slices on IO_QUEUE_DISK, so reads are not kept waiting for 64 MiB of zeros. On a
 * disk that fills up segments get smaller; below the smallest the log counts as full and looks
 * again every few seconds.
 */
#include "wal/internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_BYTES   (256u << 10)
#define STEP_SLICES   4u /* in one work */
#define DOUBLINGS_MAX 40u

/* ---- off the loop -------------------------------------------------------------------------- */

/* Take at most half of what is free: state files and the next, smaller segment need room, too. */
static enum cor_status choose_size(struct prepare *p)
{
    uint64_t bytes = (p->header.n_pages + 1) * WAL_PAGE;
    if (p->fs->ops->free_bytes(p->fs, &p->free_bytes, NULL) != COR_OK) {
        p->free_bytes = UINT64_MAX;
    }
    while (bytes > p->free_bytes / 2 && bytes / 2 >= p->bytes_min) {
        bytes /= 2;
    }
    if (bytes > p->free_bytes / 2) {
        return error_set(&p->err, COR_ENOSPACE,
                         "the disk is full: %llu bytes are free, the log needs %llu more",
                         (unsigned long long)p->free_bytes, 2ULL * bytes);
    }
    p->header.n_pages = bytes / WAL_PAGE - 1;
    return COR_OK;
}

static enum cor_status begin(struct prepare *p)
{
    enum cor_status st = choose_size(p);
    if (st != COR_OK) {
        return st;
    }
    p->zeros = aligned_alloc(WAL_PAGE, SLICE_BYTES);
    if (p->zeros == NULL) {
        return error_set(&p->err, COR_ENOMEM, "out of memory");
    }
    memset(p->zeros, 0, SLICE_BYTES);
    p->at = WAL_PAGE; /* the header is written last */
    return p->fs->ops->open(p->fs, WAL_TEMP_NAME, p->open_flags, &p->file, &p->err);
}

static enum cor_status fill(struct prepare *p)
{
    uint64_t size = (p->header.n_pages + 1) * WAL_PAGE;
    for (unsigned i = 0; i < STEP_SLICES && p->at < size; i++) {
        uint64_t n = size - p->at < SLICE_BYTES ? size - p->at : SLICE_BYTES;
        enum cor_status st =
            p->fs->ops->write(p->file, p->at, (struct cor_bytes){p->zeros, (size_t)n}, &p->err);
        if (st != COR_OK) {
            return st;
        }
        p->at += n;
    }
    /* Slice by slice, so that the log's own syncs do not meet a mountain of dirty pages. */
    return p->fs->ops->sync(p->file, &p->err);
}

static enum cor_status finish(struct prepare *p)
{
    char name[SEGMENT_NAME_SIZE];
    segment_header_encode(&p->header, p->zeros);
    enum cor_status st =
        p->fs->ops->write(p->file, 0, (struct cor_bytes){p->zeros, WAL_PAGE}, &p->err);
    if (st == COR_OK) {
        st = p->fs->ops->sync(p->file, &p->err);
    }
    if (st == COR_OK) {
        segment_name(p->header.seq, name);
        st = p->fs->ops->rename(p->fs, WAL_TEMP_NAME, name, &p->err);
    }
    if (st == COR_OK) {
        st = p->fs->ops->sync_dir(p->fs, &p->err);
    }
    p->ready = st == COR_OK;
    return st;
}

static void step(struct prepare *p)
{
    p->st = p->file == NULL ? begin(p) : COR_OK;
    if (p->st == COR_OK) {
        p->st = p->at < (p->header.n_pages + 1) * WAL_PAGE ? fill(p) : finish(p);
    }
    if (p->st != COR_OK && p->file != NULL) {
        p->fs->ops->close(p->file);
        p->file = NULL;
        /* What was filled so far would keep the disk full. */
        (void)p->fs->ops->remove(p->fs, WAL_TEMP_NAME, NULL);
    }
    if (p->st != COR_OK || p->ready) {
        free(p->zeros);
        p->zeros = NULL;
    }
}

static void run(struct io_work *work)
{
    step(CONTAINER_OF(work, struct prepare, work));
}

/* ---- on the loop --------------------------------------------------------------------------- */

/* What is free now that the preparation has ended as it did. */
static void note_free(struct wal *w)
{
    const struct prepare *p = &w->prepare;
    uint64_t taken = p->ready ? (p->header.n_pages + 1) * WAL_PAGE : 0;
    w->free_bytes =
        p->free_bytes == UINT64_MAX || p->free_bytes < taken ? 0 : p->free_bytes - taken;
}

static bool start(struct wal *w)
{
    struct prepare *p = &w->prepare;
    uint64_t bytes = w->options.segment_bytes_min;
    if (!space_reserve(&w->space)) {
        return false;
    }
    for (size_t i = 0; i < w->space.n && i < DOUBLINGS_MAX; i++) {
        bytes =
            bytes < w->options.segment_bytes_max / 2 ? 2 * bytes : w->options.segment_bytes_max;
    }
    *p = (struct prepare){.fs = w->fs, .bytes_min = w->options.segment_bytes_min};
    p->open_flags = IO_CREATE | (w->options.no_direct ? 0 : IO_DIRECT);
    memcpy(p->header.cluster_id, w->options.cluster_id, sizeof p->header.cluster_id);
    p->header.node_id = w->options.node_id;
    p->header.seq = w->space.n + 1;
    p->header.base = space_end(&w->space);
    p->header.n_pages = bytes / WAL_PAGE - 1;
    io_random(w->io, &p->header.salt, sizeof p->header.salt);
    return true;
}

static void add(struct wal *w)
{
    struct prepare *p = &w->prepare;
    space_add(&w->space, &(struct segment){.seq = p->header.seq,
                                           .base = p->header.base,
                                           .n_pages = p->header.n_pages,
                                           .salt = p->header.salt,
                                           .file = p->file});
    p->file = NULL;
    w->stats.segments++;
    w->stats.disk_bytes += (p->header.n_pages + 1) * WAL_PAGE;
    event_emit(w->options.events, EVENT_DEBUG, "wal", "segment_ready",
               event_u64("segment", p->header.seq),
               event_u64("bytes", (p->header.n_pages + 1) * WAL_PAGE));
}

static void set_full(struct wal *w, bool full)
{
    if (w->full == full) {
        return;
    }
    w->full = full;
    if (full) {
        event_emit(w->options.events, EVENT_WARN, "wal", "disk_full",
                   event_text("reason", w->prepare.err.text),
                   event_u64("free_bytes", w->free_bytes), event_u64("room", wal_room(w)));
    } else {
        event_emit(w->options.events, EVENT_INFO, "wal", "disk_has_room",
                   event_u64("room", wal_room(w)));
    }
    if (w->options.on_room != NULL) {
        w->options.on_room(w->options.arg);
    }
}

static void retry_later(struct wal *w)
{
    w->retrying = true;
    io_timer_set(w->io, &w->retry, io_now(w->io) + WAL_RETRY_NS);
}

static void done(struct io_work *work)
{
    struct prepare *p = CONTAINER_OF(work, struct prepare, work);
    struct wal *w = CONTAINER_OF(p, struct wal, prepare);
    if (p->st == COR_OK && !p->ready) {
        io_submit(w->io, IO_QUEUE_DISK, &p->work);
        return;
    }
    p->busy = false;
    note_free(w);
    if (p->st == COR_ENOSPACE || p->st == COR_ENOMEM) {
        retry_later(w);
        set_full(w, true);
    } else if (p->st != COR_OK) {
        wal_fail(w, &p->err);
        return;
    } else {
        add(w);
        set_full(w, false);
        wal_prepare(w);
    }
    wal_flush(w); /* something may have waited for this */
}

void wal_prepare(struct wal *w)
{
    COR_ASSERT(w->space.n > 0);
    uint64_t planned = w->page + wal_queued_pages(w);
    bool has_ahead = w->space.v[w->space.n - 1].base >= planned;
    if (has_ahead || w->prepare.busy || w->failed || w->retrying) {
        return;
    }
    if (!start(w)) {
        retry_later(w);
        return;
    }
    w->prepare.busy = true;
    w->prepare.work.run = run;
    w->prepare.work.done = done;
    io_submit(w->io, IO_QUEUE_DISK, &w->prepare.work);
}

void wal_prepare_retry(struct io_timer *timer)
{
    struct wal *w = CONTAINER_OF(timer, struct wal, retry);
    w->retrying = false;
    wal_prepare(w);
}

enum cor_status wal_prepare_now(struct wal *w, struct cor_error *err)
{
    struct prepare *p = &w->prepare;
    if (!start(w)) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    while (p->st == COR_OK && !p->ready) {
        step(p);
    }
    note_free(w);
    if (p->st != COR_OK) {
        if (err != NULL) {
            *err = p->err;
        }
        return p->st;
    }
    add(w);
    return COR_OK;
}

void wal_prepare_abandon(struct wal *w)
{
    struct prepare *p = &w->prepare;
    if (p->file != NULL) {
        w->fs->ops->close(p->file);
    }
    free(p->zeros);
}
