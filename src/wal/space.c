/* space.c - segments in a row; see space.h. */
#include "wal/space.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table of segments ----------------------------------------------------------------- */

bool space_reserve(struct space *s)
{
    if (s->n < s->size) {
        return true;
    }
    size_t size = s->size == 0 ? 8 : 2 * s->size;
    struct segment *v = realloc(s->v, size * sizeof *v);
    if (v == NULL) {
        return false;
    }
    s->v = v;
    s->size = size;
    return true;
}

void space_add(struct space *s, const struct segment *segment)
{
    COR_ASSERT(s->n < s->size);
    COR_ASSERT(segment->base == space_end(s));
    s->v[s->n++] = *segment;
}

void space_free(struct space *s, struct io_fs *fs)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].file != NULL) {
            fs->ops->close(s->v[i].file);
        }
    }
    free(s->v);
    *s = (struct space){0};
}

uint64_t space_end(const struct space *s)
{
    return s->n == 0 ? 0 : s->v[s->n - 1].base + s->v[s->n - 1].n_pages;
}

struct segment *space_at(const struct space *s, uint64_t page)
{
    COR_ASSERT(page < space_end(s));
    size_t low = 0;
    size_t high = s->n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (s->v[middle].base <= page) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &s->v[low];
}

struct place space_place(const struct space *s, uint64_t page, uint64_t offset)
{
    page += offset / WAL_PAGE_DATA;
    offset %= WAL_PAGE_DATA;
    const struct segment *segment = space_at(s, page);
    struct place p;
    segment_name(segment->seq, p.file);
    p.offset = segment_sector(segment, page) * WAL_SECTOR +
               offset / WAL_SECTOR_DATA * WAL_SECTOR + offset % WAL_SECTOR_DATA;
    return p;
}

/* ---- loading ------------------------------------------------------------------------------- */

struct listing {
    uint64_t *seqs;
    size_t n, size;
    bool no_memory;
};

static void note_name(void *arg, const char *name)
{
    struct listing *l = arg;
    uint64_t seq = segment_seq(name);
    if (seq == 0 || l->no_memory) {
        return;
    }
    if (l->n == l->size) {
        size_t size = l->size == 0 ? 64 : 2 * l->size;
        uint64_t *seqs = realloc(l->seqs, size * sizeof *seqs);
        if (seqs == NULL) {
            l->no_memory = true;
            return;
        }
        l->seqs = seqs;
        l->size = size;
    }
    l->seqs[l->n++] = seq;
}

static int compare_seqs(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static enum cor_status check_header(const struct wal_identity *identity, const char *name,
                                    const struct segment_header *h, struct cor_error *err)
{
    if (identity != NULL && memcmp(h->cluster_id, identity->cluster_id, 16) != 0) {
        return error_set(err, COR_EFOREIGN,
                         "%s: this log belongs to another cluster; give this node its own "
                         "data directory",
                         name);
    }
    if (identity != NULL && h->node_id != identity->node_id) {
        return error_set(err, COR_EFOREIGN,
                         "%s: this log belongs to another node (%llx, not %llx); give each "
                         "node its own data directory",
                         name, (unsigned long long)h->node_id,
                         (unsigned long long)identity->node_id);
    }
    return COR_OK;
}

static enum cor_status read_header(struct io_fs *fs, const char *name, uint64_t *size,
                                   struct segment_header *out, struct cor_error *err)
{
    struct io_file *file;
    unsigned char page[WAL_PAGE];
    size_t got = 0;
    enum cor_status st = fs->ops->open(fs, name, IO_READ_ONLY, &file, err);
    if (st != COR_OK) {
        return st;
    }
    st = fs->ops->size(file, size, err);
    if (st == COR_OK) {
        st = fs->ops->read(file, 0, page, sizeof page, &got, err);
    }
    fs->ops->close(file);
    if (st != COR_OK) {
        return st;
    }
    st = got < sizeof page ? COR_ECORRUPT : segment_header_decode(page, out);
    if (st == COR_EFOREIGN) {
        return error_set(err, st, "%s: written by a newer version of this program", name);
    }
    if (st != COR_OK) {
        return error_set(err, st, "%s: offset 0: the header of this segment is damaged", name);
    }
    return COR_OK;
}

static enum cor_status load_segment(struct io_fs *fs, const struct wal_identity *identity,
                                    uint64_t seq, struct space *s, struct cor_error *err)
{
    char name[SEGMENT_NAME_SIZE];
    struct segment_header h = {.seq = 0};
    uint64_t size = 0;
    segment_name(s->n + 1, name);
    if (seq != s->n + 1) {
        return error_set(err, COR_ECORRUPT, "%s: this segment is missing", name);
    }
    enum cor_status st = read_header(fs, name, &size, &h, err);
    if (st == COR_OK) {
        st = check_header(identity, name, &h, err);
    }
    if (st != COR_OK) {
        return st;
    }
    if (h.seq != seq || h.base != space_end(s)) {
        return error_set(err, COR_ECORRUPT,
                         "%s: offset 0: this is the header of another segment", name);
    }
    if (size != (h.n_pages + 1) * WAL_PAGE) {
        return error_set(
            err, COR_ECORRUPT, "%s: has %llu bytes and not %llu as when it was made", name,
            (unsigned long long)size, (unsigned long long)(h.n_pages + 1) * WAL_PAGE);
    }
    if (!space_reserve(s)) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    space_add(s, &(struct segment){
                     .seq = h.seq, .base = h.base, .n_pages = h.n_pages, .salt = h.salt});
    return COR_OK;
}

enum cor_status space_load(struct io_fs *fs, const struct wal_identity *identity,
                           struct space *s, struct cor_error *err)
{
    struct listing l = {0};
    enum cor_status st = fs->ops->list(fs, note_name, &l, err);
    if (st == COR_OK && l.no_memory) {
        st = error_set(err, COR_ENOMEM, "out of memory");
    }
    if (st == COR_OK && l.n > 0) {
        qsort(l.seqs, l.n, sizeof *l.seqs, compare_seqs);
    }
    for (size_t i = 0; i < l.n && st == COR_OK; i++) {
        st = load_segment(fs, identity, l.seqs[i], s, err);
    }
    free(l.seqs);
    return st;
}

/* ---- the window ---------------------------------------------------------------------------- */

static enum cor_status switch_file(struct window *w, uint64_t seq, struct cor_error *err)
{
    if (w->file != NULL && w->file_seq == seq) {
        return COR_OK;
    }
    char name[SEGMENT_NAME_SIZE];
    if (w->file != NULL) {
        w->fs->ops->close(w->file);
        w->file = NULL;
    }
    segment_name(seq, name);
    w->file_seq = seq;
    return w->fs->ops->open(w->fs, name, IO_READ_ONLY, &w->file, err);
}

/* Read pages [page, page + n) to @to. */
static enum cor_status read_pages(struct window *w, uint64_t page, uint64_t n,
                                  unsigned char *to, struct cor_error *err)
{
    while (n > 0) {
        const struct segment *s = space_at(w->space, page);
        uint64_t left = s->base + s->n_pages - page;
        uint64_t part = n < left ? n : left;
        size_t len = (size_t)part * WAL_PAGE;
        size_t got = 0;
        enum cor_status st = switch_file(w, s->seq, err);
        if (st == COR_OK) {
            st = w->fs->ops->read(w->file, segment_sector(s, page) * WAL_SECTOR, to, len, &got,
                                  err);
        }
        if (st != COR_OK) {
            return st;
        }
        if (got < len) {
            char name[SEGMENT_NAME_SIZE];
            segment_name(s->seq, name);
            return error_set(err, COR_EIO, "%s: became shorter while it was read", name);
        }
        page += part;
        n -= part;
        to += len;
    }
    return COR_OK;
}

enum cor_status window_get(struct window *w, uint64_t page, uint32_t n,
                           const unsigned char **out, struct cor_error *err)
{
    COR_ASSERT(n > 0 && page + n <= space_end(w->space));
    if (page < w->page || page + n > w->page + w->n) {
        uint64_t want = n > w->ahead ? n : w->ahead;
        uint64_t there = space_end(w->space) - page;
        want = want < there ? want : there;
        if (want * WAL_PAGE > w->size) {
            unsigned char *raw = realloc(w->raw, (size_t)want * WAL_PAGE);
            if (raw == NULL) {
                return error_set(err, COR_ENOMEM, "out of memory");
            }
            w->raw = raw;
            w->size = (size_t)want * WAL_PAGE;
        }
        w->n = 0;
        enum cor_status st = read_pages(w, page, want, w->raw, err);
        if (st != COR_OK) {
            return st;
        }
        w->page = page;
        w->n = want;
    }
    *out = w->raw + (page - w->page) * WAL_PAGE;
    return COR_OK;
}

void window_close(struct window *w)
{
    if (w->file != NULL) {
        w->fs->ops->close(w->file);
    }
    free(w->raw);
    *w = (struct window){0};
}
