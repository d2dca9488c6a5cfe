/*
 * read.c - durable entries, in order: while the log is written to, and before.
 *
 * Readers go from the anchor before the first index batch by batch, with handles of their own, and
 * verify every sector and every payload. wal_read() runs off the loop on copies of the tables it
 * needs; what it reads was durable before it started and is never written again.
 */
#include "wal/internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "wal/scan.h"

#include <stdlib.h>
#include <string.h>

#define REPLAY_AHEAD  256u /* pages */
#define READ_AHEAD    16u
#define ANCHORS_MAX   64u /* that one wal_read() copies: some megabytes of log */
#define RESULT_GROWTH 64u

/* ---- one batch ------------------------------------------------------------------------------ */

struct batch_reader {
    struct scan scan;
    unsigned char *content;
    size_t content_size;
    struct record *records; /* of the batch at hand, without what it cuts off itself */
    size_t n, size;
    struct batch_header header;
};

static void reader_open(struct batch_reader *r, struct io_fs *fs, const struct space *space,
                        uint32_t ahead)
{
    *r = (struct batch_reader){.content = NULL};
    scan_open(&r->scan, fs, space);
    r->scan.window.ahead = ahead;
}

static void reader_close(struct batch_reader *r)
{
    scan_close(&r->scan);
    free(r->content);
    free(r->records);
}

static enum cor_status say_damaged(const struct batch_reader *r, uint64_t offset,
                                   struct cor_error *err)
{
    struct place place = space_place(r->scan.space, r->scan.page, offset);
    return error_set(
        err, COR_ECORRUPT,
        "%s: offset %llu: an entry that was synced is damaged; see 'coracle verify'",
        place.file, (unsigned long long)place.offset);
}

static bool grow_reader(struct batch_reader *r, size_t content, size_t n_records)
{
    if (content > r->content_size) {
        unsigned char *p = realloc(r->content, content);
        if (p == NULL) {
            return false;
        }
        r->content = p;
        r->content_size = content;
    }
    if (n_records > r->size) {
        struct record *p = realloc(r->records, n_records * sizeof *p);
        if (p == NULL) {
            return false;
        }
        r->records = p;
        r->size = n_records;
    }
    return true;
}

static enum cor_status decode_table(struct batch_reader *r, struct cor_error *err)
{
    const struct batch_header *h = &r->header;
    struct cor_bytes table = {r->content + BATCH_HEADER_SIZE + h->payload_len, h->table_len};
    struct table_cursor c = table_open(table, h->next_index);
    struct record rec;
    r->n = 0;
    while (table_next(&c, &rec)) {
        if (rec.is_truncate) {
            while (r->n > 0 && r->records[r->n - 1].index >= rec.index) {
                r->n--;
            }
        } else if (r->n < r->size) {
            r->records[r->n++] = rec;
        }
    }
    bool ok = reader_done(&c.reader) && hash64(table) == h->table_sum &&
              c.offset == (uint64_t)BATCH_HEADER_SIZE + h->payload_len;
    return ok ? COR_OK : say_damaged(r, BATCH_HEADER_SIZE + h->payload_len, err);
}

/* Read the header of the batch at @page. */
static enum cor_status load_header(struct batch_reader *r, uint64_t page, struct cor_error *err)
{
    unsigned char head[BATCH_HEADER_SIZE];
    struct batch_header *h = &r->header;
    bool ok;
    r->scan.page = page;
    enum cor_status st = scan_salvage(&r->scan, 0, sizeof head, head, &ok, err);
    if (st != COR_OK) {
        return st;
    }
    if (!ok || batch_header_decode((struct cor_bytes){head, sizeof head}, h) != COR_OK ||
        h->page != page) {
        return say_damaged(r, 0, err);
    }
    return COR_OK;
}

/* Read the rest of it. */
static enum cor_status load_content(struct batch_reader *r, struct cor_error *err)
{
    const struct batch_header *h = &r->header;
    size_t len = (size_t)batch_content_len(h);
    bool ok;
    if (!grow_reader(r, len, h->n_records)) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    enum cor_status st = scan_salvage(&r->scan, 0, len, r->content, &ok, err);
    if (st != COR_OK || !ok) {
        return st != COR_OK ? st : say_damaged(r, 0, err);
    }
    return decode_table(r, err);
}

/* ---- many batches ---------------------------------------------------------------------------- */

/* What there is to read; fixed while somebody does. */
struct plan {
    struct space space;
    const struct anchor *anchors; /* the first at or before the first index */
    size_t n_anchors;
    bool cut_short;     /* there are more anchors */
    uint64_t end, last; /* pages; index of the last entry */
};

/* Returned by an @each that has had enough; never leaves this file. */
#define ENOUGH COR_EBUSY

typedef enum cor_status (*each_entry)(void *arg, const struct wal_entry *e);

static enum cor_status tell(struct batch_reader *r, const struct record *rec, each_entry each,
                            void *arg, struct cor_error *err)
{
    struct wal_entry e = {.index = rec->index,
                          .term = rec->term,
                          .type = rec->type,
                          .checksum = rec->checksum,
                          .payload = {r->content + rec->offset, rec->len}};
    if (hash64(e.payload) != e.checksum) {
        return say_damaged(r, rec->offset, err);
    }
    return each(arg, &e);
}

/* Tell the entries [*next, limit) of the batch that is loaded; *next moves along. */
static enum cor_status tell_batch(struct batch_reader *r, uint64_t *next, uint64_t limit,
                                  each_entry each, void *arg, struct cor_error *err)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct record *rec = &r->records[i];
        if (rec->index != *next || rec->index >= limit) {
            continue;
        }
        enum cor_status st = tell(r, rec, each, arg, err);
        if (st != COR_OK) {
            return st;
        }
        ++*next;
    }
    return COR_OK;
}

static enum cor_status tell_all(struct batch_reader *r, const struct plan *p, uint64_t first,
                                each_entry each, void *arg, struct cor_error *err)
{
    uint64_t next = first;
    for (size_t i = 0; i < p->n_anchors; i++) {
        bool is_last = i + 1 == p->n_anchors;
        uint64_t end = is_last ? p->end : p->anchors[i + 1].page;
        uint64_t limit = is_last ? p->last + 1 : p->anchors[i + 1].index;
        if (is_last && p->cut_short) {
            break;
        }
        for (uint64_t page = p->anchors[i].page; page < end && next < limit;) {
            enum cor_status st = load_header(r, page, err);
            if (st == COR_OK && r->header.last_index >= next) {
                st = load_content(r, err);
                st = st == COR_OK ? tell_batch(r, &next, limit, each, arg, err) : st;
            }
            if (st != COR_OK) {
                return st;
            }
            page += r->header.n_pages;
        }
        if (next < limit) {
            r->scan.page = p->anchors[i].page;
            return say_damaged(r, 0, err);
        }
    }
    return COR_OK;
}

/* ---- before the loop -------------------------------------------------------------------------- */

enum cor_status wal_replay(struct wal *w, uint64_t first,
                           enum cor_status (*each)(void *arg, const struct wal_entry *e),
                           void *arg, struct cor_error *err)
{
    COR_ASSERT(first > 0);
    if (first > w->durable_last) {
        return COR_OK;
    }
    size_t at = anchors_find(&w->anchors, first);
    struct plan p = {.space = w->space,
                     .anchors = w->anchors.v + at,
                     .n_anchors = w->anchors.n - at,
                     .end = w->durable_end,
                     .last = w->durable_last};
    struct batch_reader r;
    reader_open(&r, w->fs, &p.space, REPLAY_AHEAD);
    enum cor_status st = tell_all(&r, &p, first, each, arg, err);
    reader_close(&r);
    return st;
}

/* ---- off the loop ----------------------------------------------------------------------------- */

struct read_state {
    struct read_state *next, **link; /* in wal.reads */
    struct io_fs *fs;
    struct plan plan;
    struct anchor anchors[ANCHORS_MAX + 1];
    uint64_t first;
    uint32_t n_max;
    size_t bytes_max;
    struct wal_entry *entries; /* payload.ptr is an offset until the end */
    size_t n, n_size;
    unsigned char *bytes;
    size_t len, size;
    enum cor_status st;
    struct cor_error err;
};

static bool grow_result(struct read_state *s, size_t len)
{
    if (s->n == s->n_size) {
        size_t n = s->n_size == 0 ? RESULT_GROWTH : 2 * s->n_size;
        struct wal_entry *p = realloc(s->entries, n * sizeof *p);
        if (p == NULL) {
            return false;
        }
        s->entries = p;
        s->n_size = n;
    }
    if (s->len + len > s->size) {
        size_t size = s->len + len + s->size;
        unsigned char *p = realloc(s->bytes, size);
        if (p == NULL) {
            return false;
        }
        s->bytes = p;
        s->size = size;
    }
    return true;
}

static enum cor_status take_entry(void *arg, const struct wal_entry *e)
{
    struct read_state *s = arg;
    if (s->n > 0 && (s->n >= s->n_max || s->len + e->payload.len > s->bytes_max)) {
        return ENOUGH;
    }
    if (!grow_result(s, e->payload.len)) {
        return s->n > 0 ? ENOUGH : COR_ENOMEM;
    }
    if (e->payload.len > 0) {
        memcpy(s->bytes + s->len, e->payload.ptr, e->payload.len);
    }
    s->entries[s->n++] = *e;
    s->len += e->payload.len;
    return COR_OK;
}

static void read_run(struct io_work *work)
{
    struct read_state *s = CONTAINER_OF(work, struct wal_read, work)->state;
    if (s == NULL || s->st != COR_OK) {
        return;
    }
    struct batch_reader r;
    reader_open(&r, s->fs, &s->plan.space, READ_AHEAD);
    enum cor_status st = tell_all(&r, &s->plan, s->first, take_entry, s, &s->err);
    reader_close(&r);
    /* What came before the damage is good. */
    s->st = st == ENOUGH || s->n > 0 ? COR_OK : st;
    if (s->st == COR_ENOMEM) {
        (void)error_set(&s->err, COR_ENOMEM, "out of memory");
    }
    size_t at = 0;
    for (size_t i = 0; i < s->n; i++) {
        s->entries[i].payload.ptr = s->bytes + at;
        at += s->entries[i].payload.len;
    }
}

static void free_state(struct read_state *s)
{
    if (s != NULL) {
        if (s->link != NULL) {
            *s->link = s->next;
        }
        if (s->next != NULL) {
            s->next->link = s->link;
        }
        free(s->plan.space.v);
        free(s->entries);
        free(s->bytes);
        free(s);
    }
}

void wal_reads_free(struct wal *w)
{
    for (struct read_state *s = w->reads, *next; s != NULL; s = next) {
        next = s->next;
        free_state(s);
    }
}

static void read_done(struct io_work *work)
{
    struct wal_read *read = CONTAINER_OF(work, struct wal_read, work);
    struct read_state *s = read->state;
    read->state = NULL;
    if (s == NULL) {
        struct cor_error err;
        (void)error_set(&err, COR_ENOMEM, "out of memory");
        read->done(read, COR_ENOMEM, NULL, 0, &err);
        return;
    }
    /* @read may be gone after this. */
    read->done(read, s->st, s->entries, s->st == COR_OK ? s->n : 0, &s->err);
    free_state(s);
}

static bool copy_segments(const struct wal *w, struct space *out)
{
    out->v = malloc(w->space.n * sizeof *out->v);
    if (out->v == NULL) {
        return false;
    }
    memcpy(out->v, w->space.v, w->space.n * sizeof *out->v);
    out->n = w->space.n;
    out->size = w->space.n;
    for (size_t i = 0; i < out->n; i++) {
        out->v[i].file = NULL; /* the writer's */
    }
    return true;
}

static struct read_state *new_state(struct wal *w, const struct wal_read *read)
{
    struct read_state *s = calloc(1, sizeof *s);
    if (s == NULL || !copy_segments(w, &s->plan.space)) {
        free_state(s);
        return NULL;
    }
    s->link = &w->reads;
    s->next = w->reads;
    if (s->next != NULL) {
        s->next->link = &s->next;
    }
    w->reads = s;
    s->fs = w->fs;
    s->first = read->first;
    s->n_max = read->n_max;
    s->bytes_max = read->bytes_max;
    s->plan.end = w->durable_end;
    s->plan.last = w->durable_last;
    s->plan.anchors = s->anchors;
    if (read->first == 0 || read->first > w->durable_last) {
        s->st = error_set(&s->err, COR_ENOTFOUND, "entry %llu is not in the log",
                          (unsigned long long)read->first);
        return s;
    }
    size_t at = anchors_find(&w->anchors, read->first);
    size_t n = w->anchors.n - at;
    s->plan.cut_short = n > ANCHORS_MAX;
    s->plan.n_anchors = s->plan.cut_short ? ANCHORS_MAX + 1 : n;
    memcpy(s->anchors, w->anchors.v + at, s->plan.n_anchors * sizeof *s->anchors);
    return s;
}

void wal_read_start(struct wal *w, struct wal_read *read)
{
    read->wal = w;
    read->state = new_state(w, read);
    read->work.run = read_run;
    read->work.done = read_done;
    io_submit(w->io, IO_QUEUE_DISK, &read->work);
}
