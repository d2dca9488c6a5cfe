/*
 * wal.c - the log while it is open: units in, batches out, one write at a time.
 *
 * Place in the system: node/ calls it from the loop; the blocking part of a flush runs on
 * IO_QUEUE_LOG. Only flush_run() is off the loop, and touches nothing but its flush and batch.
 */
#include "wal/internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* Entries are also accepted beyond the segments that are ready, to be held in memory until the
 * next one is: as long as the disk has eight times as much free space, and the next segment is not
 * the last that fits. */
#define AHEAD_BYTES_MAX (32u << 20)
#define AHEAD_SHARE     8u
#define AHEAD_SEGMENTS  4u

/* ---- room ---------------------------------------------------------------------------------- */

uint64_t wal_queued_pages(const struct wal *w)
{
    uint64_t pages = 0;
    for (const struct batch *b = w->first; b != NULL; b = b->next) {
        pages += batch_pages(b);
    }
    return pages;
}

/* Pages behind what is written or being written. */
static uint64_t ready_pages(const struct wal *w)
{
    return space_end(&w->space) - w->page;
}

static uint64_t allowed_pages(const struct wal *w)
{
    if (w->full || w->free_bytes < AHEAD_SEGMENTS * w->options.segment_bytes_min) {
        return ready_pages(w);
    }
    uint64_t ahead = w->free_bytes / AHEAD_SHARE;
    ahead = ahead < AHEAD_BYTES_MAX ? ahead : AHEAD_BYTES_MAX;
    return ready_pages(w) + ahead / WAL_PAGE;
}

static size_t last_table_len(const struct wal *w)
{
    if (w->last != NULL) {
        return w->last->fill.table_len;
    }
    bool is_coming = w->flush.batch != NULL && !w->flush.to_reserve;
    return is_coming ? w->flush.batch->fill.table_len : w->prev_table_len;
}

uint64_t wal_room(const struct wal *w)
{
    uint64_t used = wal_queued_pages(w);
    uint64_t allowed = allowed_pages(w);
    uint64_t pages = allowed > used ? allowed - used : 0;
    /* Headers, the rest of last pages, and the repeated table of what is there already. The tables
     * of what is to come are in WAL_ENTRY_OVERHEAD. */
    uint64_t overhead = 3 + wal_content_pages(last_table_len(w)) + pages / 64;
    return pages > overhead ? (pages - overhead) * WAL_PAGE_DATA : 0;
}

bool wal_is_full(const struct wal *w)
{
    return w->full;
}

/* ---- gathering ------------------------------------------------------------------------------ */

static struct batch *add_batch(struct wal *w)
{
    uint64_t next_index = w->last != NULL ? w->last->fill.next_index : w->next_index;
    struct batch *b = batch_new(w->spare, next_index, last_table_len(w));
    w->spare = NULL;
    if (b == NULL) {
        return NULL;
    }
    b->fill.hard_state = w->hard_state;
    if (w->last != NULL) {
        w->last->next = b;
    } else {
        w->first = b;
    }
    w->last = b;
    return b;
}

static struct batch *batch_for(struct wal *w, size_t len)
{
    return w->last != NULL && batch_takes(w->last, len) ? w->last : add_batch(w);
}

/* What to go back to when a unit does not fit. */
struct mark {
    struct batch *last;
    struct batch_fill fill;
    struct cor_raft_hard_state hard_state;
    size_t n_kept;
};

static struct mark mark_of(const struct wal *w)
{
    struct mark m = {.last = w->last, .hard_state = w->hard_state, .n_kept = w->anchors.n_kept};
    if (w->last != NULL) {
        m.fill = w->last->fill;
    }
    return m;
}

static void go_back(struct wal *w, const struct mark *m)
{
    struct batch *b = m->last != NULL ? m->last->next : w->first;
    while (b != NULL) {
        struct batch *next = b->next;
        batch_free(b);
        b = next;
    }
    w->last = m->last;
    if (m->last != NULL) {
        m->last->next = NULL;
        m->last->fill = m->fill;
    } else {
        w->first = NULL;
    }
    w->hard_state = m->hard_state;
    w->anchors.n_kept = m->n_kept;
}

static enum cor_status put_truncate(struct wal *w, uint64_t index)
{
    struct batch *b = batch_for(w, 0);
    if (b == NULL) {
        return COR_ENOMEM;
    }
    bool kept = b->fill.cuts || anchors_keep(&w->anchors);
    return kept && batch_add_truncate(b, index) ? COR_OK : COR_ENOMEM;
}

/* Hard state, truncation and entries, in this order. */
static enum cor_status put_unit(struct wal *w, const struct wal_unit *u)
{
    struct batch *b = w->last;
    if (u->hard_state_changed) {
        w->hard_state = u->hard_state;
    }
    if (b == NULL) {
        b = add_batch(w);
    }
    if (b == NULL) {
        return COR_ENOMEM;
    }
    b->fill.hard_state = w->hard_state;
    enum cor_status st = u->truncate_from > 0 ? put_truncate(w, u->truncate_from) : COR_OK;
    for (size_t i = 0; i < u->n_entries && st == COR_OK; i++) {
        COR_ASSERT(u->entries[i].payload.len <= WAL_ENTRY_SIZE_MAX);
        b = batch_for(w, u->entries[i].payload.len);
        st = b != NULL && batch_add_entry(b, &u->entries[i]) ? COR_OK : COR_ENOMEM;
    }
    return st;
}

static void note_runs(struct wal *w, const struct wal_unit *u)
{
    if (u->truncate_from > 0) {
        runs_cut(&w->runs, u->truncate_from);
        w->next_index = u->truncate_from;
    }
    for (size_t i = 0; i < u->n_entries; i++) {
        runs_note(&w->runs, u->entries[i].index, u->entries[i].term);
        w->next_index = u->entries[i].index + 1;
    }
}

static size_t count_terms(const struct wal_unit *u)
{
    size_t n = u->n_entries > 0 ? 1 : 0;
    for (size_t i = 1; i < u->n_entries; i++) {
        n += u->entries[i].term != u->entries[i - 1].term ? 1 : 0;
    }
    return n;
}

enum cor_status wal_write(struct wal *w, const struct wal_unit *u)
{
    COR_ASSERT(u->seq > 0);
    COR_ASSERT(w->unit_seq == 0 || u->seq == w->unit_seq + 1);
    COR_ASSERT(u->truncate_from <= w->next_index);
    COR_ASSERT_IMPLIES(u->hard_state_changed, u->hard_state.term >= w->hard_state.term);
    if (w->failed) {
        return COR_EIO;
    }
    bool has_records = u->truncate_from > 0 || u->n_entries > 0;
    struct mark mark = mark_of(w);
    enum cor_status st = runs_reserve(&w->runs, count_terms(u)) ? COR_OK : COR_ENOMEM;
    st = st == COR_OK ? put_unit(w, u) : st;
    if (st == COR_OK && has_records && wal_queued_pages(w) > allowed_pages(w)) {
        st = COR_ENOSPACE;
    }
    if (st != COR_OK) {
        go_back(w, &mark);
        return st;
    }
    w->last->fill.seq = u->seq;
    w->last->fill.n_units++;
    w->unit_seq = u->seq;
    note_runs(w, u);
    wal_prepare(w);
    return COR_OK;
}

/* ---- writing: off the loop -------------------------------------------------------------------- */

static enum cor_status write_piece(struct wal *w, struct flush *f, struct piece *p)
{
    const struct io_fs_ops *ops = w->fs->ops;
    struct cor_bytes data = {f->batch->raw + (size_t)p->from * WAL_PAGE,
                             (size_t)p->n_pages * WAL_PAGE};
    batch_stamp(f->batch, p->from, p->n_pages, p->salt, p->sector);
    enum cor_status st = ops->write(p->file, p->sector * WAL_SECTOR, data, &f->err);
    if (st == COR_OK) {
        st = ops->sync(p->file, &f->err);
    }
    if (st == COR_OK && p->fills) {
        ops->close(p->file);
        p->closed = true;
    }
    return st;
}

static void flush_run(struct io_work *work)
{
    struct flush *f = CONTAINER_OF(work, struct flush, work);
    struct wal *w = CONTAINER_OF(f, struct wal, flush); /* of which only the files are used */
    f->st = COR_OK;
    if (f->to_reserve) {
        f->st = reserve_write(w->fs, w->reserve_file, f->batch->raw, &f->err);
    }
    for (uint32_t i = 0; i < f->n_pieces && f->st == COR_OK; i++) {
        f->st = write_piece(w, f, &f->pieces[i]);
    }
}

/* ---- writing: on the loop --------------------------------------------------------------------- */

void wal_fail(struct wal *w, const struct cor_error *err)
{
    if (w->failed) {
        return;
    }
    w->failed = true;
    event_emit(w->options.events, EVENT_ERROR, "wal", "write_failed",
               event_text("error", err->text), event_u64("durable", w->durable_seq));
    w->options.on_failed(w->options.arg, err);
}

static void cut_into_pieces(struct wal *w, uint32_t n_pages)
{
    struct flush *f = &w->flush;
    f->n_pieces = 0;
    for (uint32_t from = 0; from < n_pages;) {
        struct segment *s = space_at(&w->space, w->page + from);
        uint64_t left = s->base + s->n_pages - (w->page + from);
        uint32_t n = n_pages - from < left ? n_pages - from : (uint32_t)left;
        COR_ASSERT(f->n_pieces < WAL_PIECES_MAX);
        COR_ASSERT(s->file != NULL);
        f->pieces[f->n_pieces++] = (struct piece){.file = s->file,
                                                  .seq = s->seq,
                                                  .salt = s->salt,
                                                  .sector = segment_sector(s, w->page + from),
                                                  .from = from,
                                                  .n_pages = n,
                                                  .fills = n == left};
        from += n;
    }
}

/* By number: the handle of a segment opened meanwhile may be where the closed one was. */
static void forget_closed(struct wal *w)
{
    for (uint32_t i = 0; i < w->flush.n_pieces; i++) {
        const struct piece *p = &w->flush.pieces[i];
        for (size_t k = w->space.n; p->closed && k > 0; k--) {
            if (w->space.v[k - 1].seq == p->seq) {
                w->space.v[k - 1].file = NULL;
            }
        }
    }
    w->flush.n_pieces = 0;
}

/* The table of the batch that is durable now is repeated by the next one. */
static void keep_table(struct wal *w, struct batch *b)
{
    unsigned char *table = w->prev_table;
    size_t size = w->prev_table_size;
    w->prev_table = b->table;
    w->prev_table_size = b->table_size;
    w->prev_table_len = b->fill.table_len;
    b->table = table;
    b->table_size = size;
}

static void note_durable(struct wal *w, const struct batch *b)
{
    const struct batch_fill *f = &b->fill;
    struct flush *flush = &w->flush;
    uint64_t ns = io_now(w->io) - flush->started;
    uint64_t n_pages = flush->to_reserve ? RESERVE_SIZE / WAL_PAGE : flush->header.n_pages;
    if (f->cuts) {
        anchors_note_cut(&w->anchors, flush->header.page, f->lowest);
    } else if (f->n_records > 0) {
        anchors_note(&w->anchors, flush->header.page, f->lowest);
    }
    w->durable_last = f->next_index - 1;
    w->durable_seq = f->seq != 0 ? f->seq : w->durable_seq;
    w->durable_end = w->page;
    w->marked = flush->to_reserve ? w->marked : (b->flags & BATCH_FLAG_IDLE) != 0;
    w->stats.syncs += flush->to_reserve ? n_pages : flush->n_pieces;
    w->stats.bytes_written += n_pages * WAL_PAGE;
    w->stats.entries_written += f->n_entries;
    w->stats.units_written += f->n_units;
    w->stats.sync_ns_total += ns;
    w->stats.sync_ns_max = ns > w->stats.sync_ns_max ? ns : w->stats.sync_ns_max;
}

static void keep_spare(struct wal *w, struct batch *b)
{
    if (w->spare == NULL) {
        w->spare = b;
    } else {
        batch_free(b);
    }
}

static void flush_done(struct io_work *work)
{
    struct flush *f = CONTAINER_OF(work, struct flush, work);
    struct wal *w = CONTAINER_OF(f, struct wal, flush);
    struct batch *b = f->batch;
    uint64_t seq = b->fill.seq;
    bool was_idle_mark = (b->flags & BATCH_FLAG_IDLE) != 0;
    if (f->st == COR_OK) {
        note_durable(w, b);
    }
    forget_closed(w);
    if (!f->to_reserve) {
        keep_table(w, b);
    }
    f->batch = NULL;
    keep_spare(w, b);
    if (f->st != COR_OK) {
        wal_fail(w, &f->err);
        return;
    }
    if (was_idle_mark && w->first == NULL) {
        batch_free(w->spare); /* an idle node is a small node */
        w->spare = NULL;
    }
    if (w->first != NULL) {
        io_defer(w->io, &w->flush_task);
    }
    if ((seq != 0 || was_idle_mark) && !w->failed) {
        w->options.on_durable(w->options.arg, w->durable_seq);
    }
}

/* Give @b its place behind what was written before. */
static void place_in_log(struct wal *w, struct batch *b)
{
    struct flush *f = &w->flush;
    unsigned char encoded[BATCH_HEADER_SIZE];
    f->header = (struct batch_header){.seq = w->batch_seq,
                                      .page = w->page,
                                      .prev_page = w->prev_page,
                                      .chain = w->chain,
                                      .prev_next_index = w->prev_next_index,
                                      .last_segment = w->space.n};
    COR_ASSERT(b->prev_table_len == w->prev_table_len);
    batch_seal(b, &f->header, w->prev_table, encoded);
    cut_into_pieces(w, f->header.n_pages);
    w->page += f->header.n_pages;
    w->batch_seq++;
    w->prev_page = f->header.page;
    w->prev_next_index = f->header.next_index;
    w->chain = hash64((struct cor_bytes){encoded, sizeof encoded});
}

/* The disk is full to the last page: @b has nothing but a hard state, which goes to the reserve. */
static void place_in_reserve(struct wal *w, struct batch *b)
{
    const struct wal_identity identity = wal_identity_of(w);
    struct reserve r = {++w->reserve_version, b->fill.hard_state};
    COR_ASSERT(b->fill.n_records == 0 && b->raw_size >= RESERVE_SIZE);
    COR_ASSERT(b->next == NULL); /* it would take more, so nothing was begun behind it */
    reserve_encode(&r, &identity, b->raw);
    w->flush.n_pieces = 0;
}

void wal_flush(struct wal *w)
{
    struct flush *f = &w->flush;
    struct batch *b = w->first;
    if (b == NULL || f->batch != NULL || w->failed) {
        return;
    }
    bool fits = batch_pages(b) <= ready_pages(w);
    if (!fits && (!w->full || b->fill.n_records > 0)) {
        wal_prepare(w); /* its completion comes back here */
        return;
    }
    w->first = b->next;
    w->last = w->first == NULL ? NULL : w->last;
    f->batch = b;
    f->to_reserve = !fits;
    if (fits) {
        place_in_log(w, b);
    } else {
        place_in_reserve(w, b);
    }
    f->started = io_now(w->io);
    f->work.run = flush_run;
    f->work.done = flush_done;
    io_submit(w->io, IO_QUEUE_LOG, &f->work);
}
static void flush_later(struct io_task *task)
{
    wal_flush(CONTAINER_OF(task, struct wal, flush_task));
}

bool wal_is_idle(const struct wal *w)
{
    bool is_stuck = w->failed || (w->full && w->first != NULL);
    return w->flush.batch == NULL && !w->prepare.busy && (w->first == NULL || is_stuck);
}

void wal_mark_idle(struct wal *w)
{
    if (w->failed || w->first != NULL || w->flush.batch != NULL) {
        return; /* not idle */
    }
    if (w->marked || w->batch_seq == 1 || ready_pages(w) == 0) {
        batch_free(w->spare);
        w->spare = NULL;
        return; /* nothing to prove, or nowhere to write it */
    }
    struct batch *b = add_batch(w);
    if (b != NULL) {
        b->flags = BATCH_FLAG_IDLE;
        wal_flush(w);
    }
}

struct wal_identity wal_identity_of(const struct wal *w)
{
    return (struct wal_identity){w->options.cluster_id, w->options.node_id};
}

/* ---- life ------------------------------------------------------------------------------------- */

static bool are_usable(const struct wal_options *o)
{
    return o->segment_bytes_min >= WAL_SEGMENT_MIN && o->segment_bytes_min % WAL_PAGE == 0 &&
           o->segment_bytes_max >= o->segment_bytes_min &&
           o->segment_bytes_max % WAL_PAGE == 0 && o->segment_bytes_max / WAL_PAGE < UINT32_MAX;
}

enum cor_status wal_open(const struct wal_options *options, struct wal_recovered *recovered,
                         struct cor_error *err, struct wal **out)
{
    struct wal *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    w->options = *options;
    if (options->segment_bytes_min == 0) {
        w->options.segment_bytes_min = WAL_SEGMENT_BYTES_FIRST;
    }
    if (options->segment_bytes_max == 0) {
        w->options.segment_bytes_max = WAL_SEGMENT_BYTES_MAX;
    }
    COR_ASSERT(are_usable(&w->options));
    w->io = options->io;
    w->fs = options->io->fs;
    w->retry.fire = wal_prepare_retry;
    w->flush_task.run = flush_later;
    struct wal_recovered found;
    enum cor_status st = anchors_init(&w->anchors)
                             ? wal_recover(w, &found, err)
                             : error_set(err, COR_ENOMEM, "out of memory");
    if (st != COR_OK) {
        wal_close(w);
        return st;
    }
    *recovered = found;
    *out = w;
    return COR_OK;
}

void wal_close(struct wal *w)
{
    io_timer_clear(w->io, &w->retry);
    io_cancel(w->io, &w->flush_task);
    forget_closed(w);
    wal_prepare_abandon(w);
    wal_reads_free(w);
    if (w->reserve_file != NULL) {
        w->fs->ops->close(w->reserve_file);
    }
    space_free(&w->space, w->fs);
    while (w->first != NULL) {
        struct batch *next = w->first->next;
        batch_free(w->first);
        w->first = next;
    }
    batch_free(w->flush.batch);
    batch_free(w->spare);
    free(w->prev_table);
    anchors_free(&w->anchors);
    runs_free(&w->runs);
    free(w);
}

size_t wal_runs(const struct wal *w, uint64_t first, uint64_t last, struct cor_raft_run *out,
                size_t n_max)
{
    return runs_find(&w->runs, first, last, out, n_max);
}

void wal_get_stats(const struct wal *w, struct wal_stats *out)
{
    *out = w->stats;
}
