/* scan.c - reading the log and judging what does not verify; scan.h has the argument. */
#include "wal/scan.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD_PAGES 256u

void scan_open(struct scan *s, struct io_fs *fs, const struct space *space)
{
    *s = (struct scan){
        .window = {.fs = fs, .space = space, .ahead = AHEAD_PAGES},
        .space = space,
        .seq = 1,
        .chain = space->n > 0 ? space->v[0].salt : 0,
        .next_index = 1,
        .prev_next_index = 1,
        .prev_table_sum = hash64((struct cor_bytes){NULL, 0}),
        .next_head = SCAN_NOWHERE,
    };
}

void scan_close(struct scan *s)
{
    window_close(&s->window);
    free(s->content);
    s->content = NULL;
}

static bool grow_content(struct scan *s, size_t len)
{
    if (len <= s->content_size) {
        return true;
    }
    unsigned char *content = realloc(s->content, len);
    if (content == NULL) {
        return false;
    }
    s->content = content;
    s->content_size = len;
    return true;
}

/* ---- looking ahead ------------------------------------------------------------------------- */

/* What lies from a page on to the end of the space. */
struct prospect {
    struct spot {
        bool is_there;
        uint64_t page;
        unsigned sector;
    } bad,              /* the first sector that is neither zeros nor verified */
        missing;        /* the first of the damaged batch that is zeros */
    bool has_later;     /* something that only a later batch can have written */
    uint64_t next_head; /* first page of a later batch, or SCAN_NOWHERE */
    uint64_t end;       /* behind the last page that is not all zeros */
};

static void note_spot(struct spot *spot, uint64_t page, unsigned sector)
{
    if (!spot->is_there) {
        *spot = (struct spot){true, page, sector};
    }
}

/* Look at one page; the damaged batch begins at @from and ends before @reach at the latest. */
static void look_at_page(struct prospect *p, const struct segment *segment,
                         const unsigned char *raw, uint64_t page, uint64_t from, uint64_t reach)
{
    uint64_t number = segment_sector(segment, page);
    for (unsigned i = 0; i < WAL_PAGE_SECTORS; i++) {
        enum wal_sector kind = wal_sector_look(raw + i * WAL_SECTOR, segment->salt, number + i);
        if (kind == WAL_SECTOR_ZERO) {
            if (page < reach) {
                note_spot(&p->missing, page, i);
            }
            continue;
        }
        p->end = page + 1;
        if (kind == WAL_SECTOR_HEAD && i == 0) {
            if (page != from) {
                p->has_later = true;
                p->next_head = page;
                return;
            }
        } else if (kind != WAL_SECTOR_BODY) {
            note_spot(&p->bad, page, i);
        } else if (page >= reach) {
            p->has_later = true;
        }
    }
}

/* Stops at the next batch: that is proof enough. */
static enum cor_status look_ahead(struct scan *s, uint64_t reach, struct prospect *p,
                                  struct cor_error *err)
{
    uint64_t end = space_end(s->space);
    *p = (struct prospect){.next_head = SCAN_NOWHERE, .end = s->page};
    for (uint64_t page = s->page; page < end && p->next_head == SCAN_NOWHERE;) {
        const unsigned char *raw;
        uint32_t n = end - page < AHEAD_PAGES ? (uint32_t)(end - page) : AHEAD_PAGES;
        enum cor_status st = window_get(&s->window, page, n, &raw, err);
        if (st != COR_OK) {
            return st;
        }
        for (uint32_t i = 0; i < n && p->next_head == SCAN_NOWHERE; i++) {
            look_at_page(p, space_at(s->space, page + i), raw + (size_t)i * WAL_PAGE, page + i,
                         s->page, reach);
        }
        page += n;
    }
    return COR_OK;
}

/* ---- the verdict --------------------------------------------------------------------------- */

static struct place sector_place(const struct scan *s, uint64_t page, unsigned sector)
{
    return space_place(s->space, page, (uint64_t)sector * WAL_SECTOR_DATA);
}

static void say_rot(struct scan_found *found, struct place place, const char *text)
{
    found->kind = SCAN_ROT;
    found->place = place;
    found->text = text;
}

/* The first entry that the damage took, if a table tells. */
static enum cor_status find_lost(struct scan *s, struct scan_found *found,
                                 struct cor_error *err)
{
    unsigned char *table = malloc(BATCH_TABLE_MAX);
    struct scan_remains remains;
    if (table == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    enum cor_status st = scan_find_table(s, table, &remains, err);
    if (st == COR_OK) {
        struct table_cursor c =
            table_open((struct cor_bytes){table, remains.table_len}, remains.next_index);
        struct record r;
        bool ok = true;
        while (st == COR_OK && ok && table_next(&c, &r)) {
            if (!r.is_truncate) {
                st = scan_salvage(s, r.offset, r.len, NULL, &ok, err);
                found->lost = ok ? found->lost : (struct cor_logid){r.term, r.index};
            }
        }
    }
    free(table);
    return st == COR_ENOTFOUND ? COR_OK : st;
}

/* The batch at s->page is not whole; it ends before @reach. @what if it cannot be a torn write. */
static enum cor_status judge(struct scan *s, uint64_t reach, const char *what,
                             struct scan_found *found, struct cor_error *err)
{
    struct prospect p;
    enum cor_status st = look_ahead(s, reach, &p, err);
    if (st != COR_OK) {
        return st;
    }
    s->next_head = p.next_head;
    if (what != NULL) {
        say_rot(found, sector_place(s, s->page, 0), what);
    } else if (p.bad.is_there) {
        say_rot(found, sector_place(s, p.bad.page, p.bad.sector),
                "a sector is neither what was written nor empty");
    } else if (p.has_later) {
        say_rot(found, sector_place(s, p.missing.page, p.missing.sector),
                "a sector is missing before the end of the log");
    } else {
        found->kind = p.end == s->page ? SCAN_END : SCAN_TORN;
        found->end = p.end;
        return COR_OK;
    }
    return find_lost(s, found, err);
}

struct scan_found scan_rot_at(const struct scan *s, const struct record *r, const char *text)
{
    struct scan_found found = {.lost = {r->term, r->index}};
    say_rot(&found, space_place(s->space, s->header.page, r->offset), text);
    return found;
}

/* ---- one batch ----------------------------------------------------------------------------- */

/* What is wrong with a header that verifies; NULL: nothing. */
static const char *check_header(const struct scan *s, const struct batch_header *h)
{
    if (h->page != s->page || h->n_pages > space_end(s->space) - s->page) {
        return h->page == s->page ? "the batch goes on in a segment that is missing"
                                  : "this batch belongs to another place";
    }
    if (s->any_chain) {
        return NULL;
    }
    if (h->seq != s->seq || h->chain != s->chain) {
        return "this batch does not follow the one before it";
    }
    if (h->next_index != s->next_index || h->prev_next_index != s->prev_next_index ||
        h->prev_page != s->prev_page) {
        return "the header does not agree with the batch before it";
    }
    if (h->hard_state.term < s->hard_state.term) {
        return "the term goes back";
    }
    return NULL;
}

/* Are all sectors of the batch as they were written? */
static bool is_whole(const struct scan *s, const unsigned char *raw)
{
    for (uint32_t i = 0; i < s->header.n_pages; i++) {
        const struct segment *segment = space_at(s->space, s->page + i);
        uint64_t number = segment_sector(segment, s->page + i);
        for (unsigned k = 0; k < WAL_PAGE_SECTORS; k++) {
            enum wal_sector want = i + k == 0 ? WAL_SECTOR_HEAD : WAL_SECTOR_BODY;
            if (wal_sector_look(raw + k * WAL_SECTOR, segment->salt, number + k) != want) {
                return false;
            }
        }
        raw += WAL_PAGE;
    }
    return true;
}

struct cor_bytes scan_table(const struct scan *s)
{
    return (struct cor_bytes){s->content + BATCH_HEADER_SIZE + s->header.payload_len,
                              s->header.table_len};
}

/* What is wrong with the tables; NULL: nothing. */
static const char *check_tables(const struct scan *s)
{
    const struct batch_header *h = &s->header;
    struct cor_bytes table = scan_table(s);
    struct cor_bytes prev = {table.ptr + table.len, h->prev_table_len};
    if (hash64(table) != h->table_sum || hash64(prev) != h->prev_table_sum) {
        return "a record table does not match its checksum";
    }
    if (!s->any_chain && h->prev_table_sum != s->prev_table_sum) {
        return "the table of the batch before is not repeated";
    }
    struct table_cursor c = table_open(table, h->next_index);
    struct record r;
    uint32_t n = 0;
    while (table_next(&c, &r)) {
        n++;
    }
    if (!reader_done(&c.reader) || n != h->n_records || c.index != h->last_index + 1 ||
        c.offset != (uint64_t)BATCH_HEADER_SIZE + h->payload_len) {
        return "the record table contradicts its header";
    }
    return NULL;
}

static void step_over(struct scan *s)
{
    const struct batch_header *h = &s->header;
    s->page = h->page + h->n_pages;
    s->seq = h->seq + 1;
    s->chain = hash64((struct cor_bytes){s->content, BATCH_HEADER_SIZE});
    s->prev_page = h->page;
    s->prev_next_index = h->next_index;
    s->next_index = h->last_index + 1;
    s->prev_table_sum = h->table_sum;
    s->hard_state = h->hard_state;
    s->last_segment = s->last_segment > h->last_segment ? s->last_segment : h->last_segment;
    s->any_chain = false;
}

static enum cor_status read_batch(struct scan *s, struct scan_found *found,
                                  struct cor_error *err)
{
    const unsigned char *raw;
    uint64_t reach = s->page + s->header.n_pages;
    const char *what = check_header(s, &s->header);
    if (what != NULL) {
        return judge(s, s->page + 1, what, found, err);
    }
    enum cor_status st = window_get(&s->window, s->page, s->header.n_pages, &raw, err);
    if (st != COR_OK) {
        return st;
    }
    if (!is_whole(s, raw)) {
        return judge(s, reach, NULL, found, err);
    }
    size_t len = (size_t)s->header.n_pages * WAL_PAGE_DATA;
    if (!grow_content(s, len)) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    wal_content_get(raw, 0, s->content, len);
    what = check_tables(s);
    if (what != NULL) {
        return judge(s, reach, what, found, err);
    }
    found->kind = SCAN_BATCH;
    step_over(s);
    return COR_OK;
}

/* Nothing more can be seen: but are there segments that should be? */
static void check_end(const struct scan *s, struct scan_found *found)
{
    if (found->kind == SCAN_END && s->last_segment > s->space->n) {
        struct place place = {.offset = 0};
        segment_name(s->space->n + 1, place.file);
        say_rot(found, place, "this segment is missing");
    }
}

enum cor_status scan_next(struct scan *s, struct scan_found *found, struct cor_error *err)
{
    const unsigned char *raw;
    *found = (struct scan_found){.kind = SCAN_END, .end = s->page};
    s->next_head = SCAN_NOWHERE;
    if (s->page == space_end(s->space)) {
        check_end(s, found);
        return COR_OK;
    }
    enum cor_status st = window_get(&s->window, s->page, 1, &raw, err);
    if (st != COR_OK) {
        return st;
    }
    const struct segment *segment = space_at(s->space, s->page);
    switch (wal_sector_look(raw, segment->salt, segment_sector(segment, s->page))) {
    case WAL_SECTOR_ZERO:
        st = judge(s, s->page + BATCH_PAGES_MAX, NULL, found, err);
        break;
    case WAL_SECTOR_HEAD:
        st = batch_header_decode((struct cor_bytes){raw, WAL_SECTOR_DATA}, &s->header);
        if (st == COR_EFOREIGN) {
            return error_set(err, st, "%s: written by a newer version of this program",
                             sector_place(s, s->page, 0).file);
        }
        st = st == COR_OK ? read_batch(s, found, err)
                          : judge(s, s->page + 1, "a header contradicts itself", found, err);
        break;
    case WAL_SECTOR_BODY:
    case WAL_SECTOR_SEGMENT:
    case WAL_SECTOR_TERMS:
    case WAL_SECTOR_BAD:
        st =
            judge(s, s->page + BATCH_PAGES_MAX, "the header of a batch is damaged", found, err);
        break;
    }
    if (st == COR_OK) {
        check_end(s, found);
    }
    return st;
}

void scan_resume(struct scan *s)
{
    COR_ASSERT(s->next_head != SCAN_NOWHERE && s->next_head > s->page);
    s->page = s->next_head;
    s->any_chain = true;
}

/* ---- what remains of a damaged batch --------------------------------------------------------- */

enum cor_status scan_salvage(struct scan *s, uint64_t offset, size_t len, unsigned char *out,
                             bool *ok, struct cor_error *err)
{
    uint64_t first = offset / WAL_PAGE_DATA;
    uint64_t last = (offset + (len == 0 ? 0 : len - 1)) / WAL_PAGE_DATA;
    const unsigned char *raw;
    *ok = s->page + last < space_end(s->space);
    if (!*ok || len == 0) {
        return COR_OK;
    }
    enum cor_status st =
        window_get(&s->window, s->page + first, (uint32_t)(last - first + 1), &raw, err);
    if (st != COR_OK) {
        return st;
    }
    offset -= first * WAL_PAGE_DATA;
    for (uint64_t i = offset / WAL_SECTOR_DATA; i <= (offset + len - 1) / WAL_SECTOR_DATA;
         i++) {
        uint64_t page = s->page + first + i / WAL_PAGE_SECTORS;
        const struct segment *segment = space_at(s->space, page);
        uint64_t number = segment_sector(segment, page) + i % WAL_PAGE_SECTORS;
        enum wal_sector kind = wal_sector_look(raw + i * WAL_SECTOR, segment->salt, number);
        if (kind != (first + i == 0 ? WAL_SECTOR_HEAD : WAL_SECTOR_BODY)) {
            *ok = false;
            return COR_OK;
        }
    }
    if (out != NULL) {
        wal_content_get(raw, (size_t)offset, out, len);
    }
    return COR_OK;
}

/* Read the header at @page and, if it and the part of the batch's content that it names are whole,
 * a table to @out. */
static enum cor_status read_table(struct scan *s, uint64_t page, bool previous,
                                  unsigned char *out, struct batch_header *h,
                                  struct cor_error *err)
{
    unsigned char head[BATCH_HEADER_SIZE];
    uint64_t damaged = s->page;
    bool ok;
    s->page = page;
    enum cor_status st = scan_salvage(s, 0, sizeof head, head, &ok, err);
    if (st == COR_OK && ok) {
        ok = batch_header_decode((struct cor_bytes){head, sizeof head}, h) == COR_OK &&
             h->page == page && h->n_pages <= space_end(s->space) - page;
        if (ok) {
            uint64_t at = (uint64_t)BATCH_HEADER_SIZE + h->payload_len;
            size_t len = previous ? h->prev_table_len : h->table_len;
            at += previous ? h->table_len : 0;
            st = scan_salvage(s, at, len, out, &ok, err);
            ok = ok && hash64((struct cor_bytes){out, len}) ==
                           (previous ? h->prev_table_sum : h->table_sum);
        }
    }
    s->page = damaged;
    return st == COR_OK && !ok ? COR_ENOTFOUND : st;
}

enum cor_status scan_find_table(struct scan *s, unsigned char *out,
                                struct scan_remains *remains, struct cor_error *err)
{
    struct batch_header h;
    enum cor_status st = read_table(s, s->page, false, out, &h, err);
    if (st == COR_OK) {
        *remains = (struct scan_remains){h.table_len, h.next_index};
        return COR_OK;
    }
    if (st != COR_ENOTFOUND || s->next_head == SCAN_NOWHERE) {
        return st;
    }
    st = read_table(s, s->next_head, true, out, &h, err);
    if (st == COR_OK && h.prev_page != s->page) {
        return COR_ENOTFOUND;
    }
    if (st == COR_OK) {
        *remains = (struct scan_remains){h.prev_table_len, h.prev_next_index};
    }
    return st;
}
