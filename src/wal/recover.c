/*
 * recover.c - from files to a log that can be written to.
 *
 * Reading comes first and changes nothing. Only when the whole log has verified is it settled:
 * what was torn is zeroed, and the last batch is written once more where it stands. Both make sure
 * that what recovery saw is what a later crash leaves: the page cache may show bytes whose sync
 * failed, or was never called, in the process before this one. Writing the same bytes over
 * themselves cannot tear: a sector is the old or the new one, and they are equal.
 */
#include "wal/internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "wal/scan.h"

#include <stdlib.h>
#include <string.h>

#define SETTLE_PAGES 64u

/* ---- reading ------------------------------------------------------------------------------- */

/* Where and what the last whole batch is. */
struct newest {
    struct batch_header header;
    bool is_there;
};

static bool save_table(struct wal *w, const struct scan *s)
{
    struct cor_bytes table = scan_table(s);
    if (table.len == 0) {
        return true;
    }
    w->prev_table = malloc(table.len);
    if (w->prev_table == NULL) {
        return false;
    }
    memcpy(w->prev_table, table.ptr, table.len);
    w->prev_table_len = table.len;
    w->prev_table_size = table.len;
    return true;
}

/* Take the entries of the batch that @s stands behind into the maps. */
static enum cor_status take_batch(struct wal *w, const struct scan *s, struct scan_found *found,
                                  struct cor_error *err)
{
    const struct batch_header *h = &s->header;
    struct table_cursor c = table_open(scan_table(s), h->next_index);
    struct record r;
    uint64_t lowest = UINT64_MAX;
    bool cuts = false;
    while (table_next(&c, &r)) {
        lowest = r.index < lowest ? r.index : lowest;
        if (r.is_truncate) {
            cuts = true;
            runs_cut(&w->runs, r.index);
            continue;
        }
        if (hash64(scan_payload(s, &r)) != r.checksum) {
            *found = scan_rot_at(s, &r, "the payload does not match its checksum");
            return COR_OK;
        }
        if (!runs_reserve(&w->runs, 1)) {
            return error_set(err, COR_ENOMEM, "out of memory");
        }
        runs_note(&w->runs, r.index, r.term);
    }
    if (cuts && !anchors_keep(&w->anchors)) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    if (cuts) {
        anchors_note_cut(&w->anchors, h->page, lowest);
    } else if (h->n_records > 0) {
        anchors_note(&w->anchors, h->page, lowest);
    }
    return COR_OK;
}

static enum cor_status say_rot(const struct wal *w, const struct scan_found *found,
                               struct cor_error *err)
{
    char what[80];
    if (found->lost.index != 0) {
        format_to(what, sizeof what, "entry %llu of term %llu",
                  (unsigned long long)found->lost.index, (unsigned long long)found->lost.term);
    } else {
        format_to(what, sizeof what, "after entry %llu",
                  (unsigned long long)(w->next_index - 1));
    }
    return error_set(err, COR_ECORRUPT,
                     "%s: offset %llu: %s: %s. It was synced and is damaged; nothing was "
                     "changed. Keep this directory, see 'coracle verify', restore a copy or "
                     "replace this member",
                     found->place.file, (unsigned long long)found->place.offset, what,
                     found->text);
}

static void take_position(struct wal *w, const struct scan *s)
{
    w->page = s->page;
    w->batch_seq = s->seq;
    w->chain = s->chain;
    w->prev_page = s->prev_page;
    w->prev_next_index = s->prev_next_index;
    w->next_index = s->next_index;
}

static enum cor_status read_log(struct wal *w, struct scan *s, struct scan_found *found,
                                struct newest *newest, struct cor_error *err)
{
    take_position(w, s);
    for (;;) {
        enum cor_status st = scan_next(s, found, err);
        if (st == COR_OK && found->kind == SCAN_BATCH) {
            st = take_batch(w, s, found, err);
        }
        if (st != COR_OK) {
            return st;
        }
        if (found->kind == SCAN_ROT) {
            return say_rot(w, found, err);
        }
        if (found->kind != SCAN_BATCH) {
            break;
        }
        newest->header = s->header;
        newest->is_there = true;
        w->hard_state = s->header.hard_state;
        take_position(w, s);
    }
    /* The content of the last whole batch is still there. */
    struct batch_header next = s->header;
    s->header = newest->header;
    bool saved = !newest->is_there || save_table(w, s);
    s->header = next;
    return saved ? COR_OK : error_set(err, COR_ENOMEM, "out of memory");
}

/* ---- settling ------------------------------------------------------------------------------ */

static enum cor_status open_for_writing(struct wal *w, uint64_t from, struct cor_error *err)
{
    for (size_t i = 0; i < w->space.n; i++) {
        struct segment *s = &w->space.v[i];
        char name[SEGMENT_NAME_SIZE];
        if (s->base + s->n_pages <= from) {
            continue;
        }
        segment_name(s->seq, name);
        enum cor_status st =
            w->fs->ops->open(w->fs, name, w->options.no_direct ? 0 : IO_DIRECT, &s->file, err);
        if (st != COR_OK) {
            return st;
        }
    }
    return COR_OK;
}

/* Write @n pages, wherever they lie. */
static enum cor_status write_pages(struct wal *w, uint64_t page, uint64_t n,
                                   const unsigned char *raw, struct cor_error *err)
{
    while (n > 0) {
        const struct segment *s = space_at(&w->space, page);
        uint64_t left = s->base + s->n_pages - page;
        uint64_t part = n < left ? n : left;
        struct cor_bytes data = {raw, (size_t)part * WAL_PAGE};
        enum cor_status st =
            w->fs->ops->write(s->file, segment_sector(s, page) * WAL_SECTOR, data, err);
        if (st != COR_OK) {
            return st;
        }
        page += part;
        n -= part;
        raw += data.len;
    }
    return COR_OK;
}

static enum cor_status zero_pages(struct wal *w, uint64_t from, uint64_t to,
                                  unsigned char *buffer, struct cor_error *err)
{
    memset(buffer, 0, (size_t)SETTLE_PAGES * WAL_PAGE);
    while (from < to) {
        uint64_t n = to - from < SETTLE_PAGES ? to - from : SETTLE_PAGES;
        enum cor_status st = write_pages(w, from, n, buffer, err);
        if (st != COR_OK) {
            return st;
        }
        from += n;
    }
    return COR_OK;
}

static enum cor_status rewrite_pages(struct wal *w, struct scan *s, uint64_t from, uint64_t to,
                                     unsigned char *buffer, struct cor_error *err)
{
    while (from < to) {
        uint64_t n = to - from < SETTLE_PAGES ? to - from : SETTLE_PAGES;
        const unsigned char *raw;
        enum cor_status st = window_get(&s->window, from, (uint32_t)n, &raw, err);
        if (st == COR_OK) {
            memcpy(buffer, raw, (size_t)n * WAL_PAGE);
            st = write_pages(w, from, n, buffer, err);
        }
        if (st != COR_OK) {
            return st;
        }
        from += n;
    }
    return COR_OK;
}

static enum cor_status sync_all(struct wal *w, struct cor_error *err)
{
    for (size_t i = 0; i < w->space.n; i++) {
        struct segment *s = &w->space.v[i];
        enum cor_status st = s->file == NULL ? COR_OK : w->fs->ops->sync(s->file, err);
        if (st != COR_OK) {
            return st;
        }
    }
    return w->fs->ops->sync_dir(w->fs, err);
}

/* A file that is full already was only opened for this. */
static void close_full(struct wal *w)
{
    for (size_t i = 0; i < w->space.n; i++) {
        struct segment *s = &w->space.v[i];
        if (s->file != NULL && s->base + s->n_pages <= w->page) {
            w->fs->ops->close(s->file);
            s->file = NULL;
        }
    }
}

static enum cor_status settle(struct wal *w, struct scan *s, const struct newest *newest,
                              uint64_t torn_end, struct cor_error *err)
{
    uint64_t from = newest->is_there ? newest->header.page : w->page;
    unsigned char *buffer = aligned_alloc(WAL_PAGE, (size_t)SETTLE_PAGES * WAL_PAGE);
    if (buffer == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    enum cor_status st = w->fs->ops->remove(w->fs, WAL_TEMP_NAME, err);
    st = st == COR_ENOTFOUND ? COR_OK : st;
    if (st == COR_OK) {
        st = open_for_writing(w, from, err);
    }
    if (st == COR_OK) {
        st = rewrite_pages(w, s, from, w->page, buffer, err);
    }
    if (st == COR_OK) {
        st = zero_pages(w, w->page, torn_end, buffer, err);
    }
    if (st == COR_OK) {
        st = sync_all(w, err);
    }
    free(buffer);
    close_full(w);
    return st;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static void count_disk(struct wal *w)
{
    for (size_t i = 0; i < w->space.n; i++) {
        w->stats.disk_bytes += (w->space.v[i].n_pages + 1) * WAL_PAGE;
    }
    w->stats.segments = w->space.n;
}

static enum cor_status recover_pages(struct wal *w, struct wal_recovered *recovered,
                                     struct cor_error *err)
{
    struct scan s;
    struct scan_found found;
    struct newest newest = {.is_there = false};
    scan_open(&s, w->fs, &w->space);
    enum cor_status st = read_log(w, &s, &found, &newest, err);
    if (st == COR_OK) {
        uint64_t torn_end = found.kind == SCAN_TORN ? found.end : w->page;
        recovered->torn_bytes = (torn_end - w->page) * WAL_PAGE;
        st = settle(w, &s, &newest, torn_end, err);
    }
    w->marked = newest.is_there && (newest.header.flags & BATCH_FLAG_IDLE) != 0;
    recovered->empty = !newest.is_there;
    scan_close(&s);
    return st;
}

static enum cor_status say_what_to_do(struct cor_error *err)
{
    char text[COR_ERROR_TEXT_MAX];
    if (err == NULL) {
        return COR_ECORRUPT;
    }
    memcpy(text, err->text, sizeof text);
    return error_set(err, COR_ECORRUPT,
                     "%s. Nothing was changed. Keep this directory, see 'coracle verify', "
                     "restore a copy or replace this member",
                     text);
}

/* It is made before the first segment, and only then used. */
static enum cor_status load_reserve(struct wal *w, struct reserve *r, bool *whole,
                                    struct cor_error *err)
{
    const struct wal_identity identity = wal_identity_of(w);
    enum cor_status st = reserve_read(w->fs, &identity, r, whole, err);
    if (st == COR_ENOTFOUND && w->space.n > 0) {
        return error_set(err, COR_ECORRUPT, "%s: is missing", WAL_RESERVE_NAME);
    }
    if (st == COR_OK && r->version > 0 && w->space.n == 0) {
        return error_set(err, COR_ECORRUPT, "0000000001.wal: all segments are missing");
    }
    w->reserve_version = r->version;
    return st == COR_ENOTFOUND ? COR_OK : st;
}

static enum cor_status start_log(struct wal *w, struct cor_error *err)
{
    const struct wal_identity identity = wal_identity_of(w);
    unsigned char bytes[RESERVE_SIZE];
    w->batch_seq = 1;
    w->next_index = 1;
    w->prev_next_index = 1;
    reserve_encode(&(struct reserve){.version = 0}, &identity, bytes);
    (void)w->fs->ops->remove(w->fs, WAL_TEMP_NAME, NULL);
    enum cor_status st =
        io_publish(w->fs, WAL_RESERVE_NAME, (struct cor_bytes){bytes, sizeof bytes}, err);
    if (st == COR_OK) {
        st = wal_prepare_now(w, err);
    }
    w->chain = st == COR_OK ? w->space.v[0].salt : 0;
    return st;
}

/* Take what it has, and make both copies good and durable. */
static enum cor_status settle_reserve(struct wal *w, const struct reserve *r, bool whole,
                                      struct cor_error *err)
{
    if (hard_state_is_later(&r->hard_state, &w->hard_state)) {
        w->hard_state = r->hard_state;
    }
    enum cor_status st = w->fs->ops->open(
        w->fs, WAL_RESERVE_NAME, w->options.no_direct ? 0 : IO_DIRECT, &w->reserve_file, err);
    if (st != COR_OK || (r->version == 0 && whole)) {
        return st;
    }
    const struct wal_identity identity = wal_identity_of(w);
    unsigned char *pages = aligned_alloc(WAL_PAGE, RESERVE_SIZE);
    if (pages == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    reserve_encode(r, &identity, pages);
    st = reserve_write(w->fs, w->reserve_file, pages, err);
    free(pages);
    return st;
}

enum cor_status wal_recover(struct wal *w, struct wal_recovered *recovered,
                            struct cor_error *err)
{
    const struct wal_identity identity = wal_identity_of(w);
    struct reserve reserve = {0};
    bool whole = false;
    *recovered = (struct wal_recovered){.empty = true};
    enum cor_status st = space_load(w->fs, &identity, &w->space, err);
    if (st == COR_OK) {
        st = load_reserve(w, &reserve, &whole, err);
    }
    if (st == COR_ECORRUPT) {
        return say_what_to_do(err);
    }
    if (st == COR_OK) {
        count_disk(w);
        st = w->space.n == 0 ? start_log(w, err) : recover_pages(w, recovered, err);
    }
    if (st == COR_OK) {
        st = settle_reserve(w, &reserve, whole, err);
    }
    if (st != COR_OK) {
        return st;
    }
    w->durable_last = w->next_index - 1;
    w->durable_end = w->page;
    recovered->hard_state = w->hard_state;
    recovered->last = w->durable_last;
    recovered->first = w->durable_last > 0 ? 1 : 0;
    if (w->fs->ops->free_bytes(w->fs, &w->free_bytes, NULL) != COR_OK) {
        w->free_bytes = 0;
    }
    if (recovered->torn_bytes > 0) {
        event_emit(w->options.events, EVENT_WARN, "wal", "torn_tail_cut",
                   event_u64("bytes", recovered->torn_bytes),
                   event_u64("last_index", recovered->last));
    }
    return COR_OK;
}
