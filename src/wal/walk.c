/*
 * walk.c - what a directory holds, for people: log dump, inspect, verify.
 *
 * Reads like recovery does, but goes on behind damage and tells of every entry that it can still
 * tell of. Of a damaged batch it uses the table, its own or the one the next batch repeats.
 */
#include "wal/wal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "wal/scan.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    struct scan scan;
    struct space space;
    void (*each)(void *arg, const struct wal_finding *f);
    void *arg;
    struct cor_raft_hard_state hard_state;
    size_t n_segments_told;
    struct place place; /* that the finding points to */
    unsigned char *table, *payload;
};

static void tell(struct walk *k, struct wal_finding f, struct place place)
{
    k->place = place;
    f.file = k->place.file;
    f.offset = k->place.offset;
    k->each(k->arg, &f);
}

/* Segments that begin before @page. */
static void tell_segments(struct walk *k, uint64_t page, uint64_t index)
{
    while (k->n_segments_told < k->space.n && k->space.v[k->n_segments_told].base <= page) {
        const struct segment *s = &k->space.v[k->n_segments_told++];
        struct place place = {.offset = 0};
        segment_name(s->seq, place.file);
        tell(k,
             (struct wal_finding){.kind = WAL_FOUND_SEGMENT,
                                  .bytes = (s->n_pages + 1) * WAL_PAGE,
                                  .index = index},
             place);
    }
}

static void tell_record(struct walk *k, const struct record *r, struct cor_bytes payload,
                        uint64_t page)
{
    struct place place = space_place(&k->space, page, r->is_truncate ? 0 : r->offset);
    struct wal_finding f = {
        .kind = r->is_truncate ? WAL_FOUND_TRUNCATE : WAL_FOUND_ENTRY,
        .bytes = r->len,
        .index = r->index,
        .entry = {r->index, r->term, r->type, r->checksum, payload},
    };
    if (r->is_truncate) {
        f.entry = (struct wal_entry){.index = 0};
    } else if (hash64(payload) != r->checksum) {
        f.kind = WAL_FOUND_ROT;
        f.entry.payload = (struct cor_bytes){NULL, 0};
        f.text = "the payload does not match its checksum";
    }
    tell(k, f, place);
}

static void tell_batch(struct walk *k)
{
    const struct batch_header *h = &k->scan.header;
    struct place place = space_place(&k->space, h->page, 0);
    tell_segments(k, h->page, h->next_index);
    if (h->hard_state.term != k->hard_state.term || h->hard_state.vote != k->hard_state.vote) {
        k->hard_state = h->hard_state;
        tell(k, (struct wal_finding){.kind = WAL_FOUND_HARD_STATE, .hard_state = h->hard_state},
             place);
    }
    struct table_cursor c = table_open(scan_table(&k->scan), h->next_index);
    struct record r;
    while (table_next(&c, &r)) {
        tell_record(k, &r,
                    r.is_truncate ? (struct cor_bytes){NULL, 0} : scan_payload(&k->scan, &r),
                    h->page);
    }
    if ((h->flags & BATCH_FLAG_IDLE) != 0) {
        tell(k,
             (struct wal_finding){.kind = WAL_FOUND_IDLE_MARK,
                                  .bytes = (uint64_t)h->n_pages * WAL_PAGE},
             place);
    }
}

/* An entry of the damaged batch: told if it can still be read. */
static enum cor_status tell_remains(struct walk *k, const struct record *r, const char *text,
                                    struct cor_error *err)
{
    struct scan *s = &k->scan;
    bool ok = false;
    enum cor_status st = COR_OK;
    if (r->is_truncate) {
        tell_record(k, r, (struct cor_bytes){NULL, 0}, s->page);
        return COR_OK;
    }
    if (r->len <= WAL_ENTRY_SIZE_MAX) {
        st = scan_salvage(s, r->offset, r->len, k->payload, &ok, err);
    }
    if (st != COR_OK) {
        return st;
    }
    if (ok) {
        tell_record(k, r, (struct cor_bytes){k->payload, r->len}, s->page);
        return COR_OK;
    }
    bool inside = s->page + r->offset / WAL_PAGE_DATA < space_end(&k->space);
    tell(k,
         (struct wal_finding){.kind = WAL_FOUND_ROT,
                              .bytes = r->len,
                              .entry = {.index = r->index, .term = r->term, .type = r->type},
                              .text = text},
         space_place(&k->space, s->page, inside ? r->offset : 0));
    return COR_OK;
}

static enum cor_status tell_rot(struct walk *k, const struct scan_found *found,
                                struct cor_error *err)
{
    struct scan *s = &k->scan;
    struct scan_remains remains = {0};
    enum cor_status st = COR_ENOTFOUND;
    tell_segments(k, s->page, s->next_index);
    tell(k, (struct wal_finding){.kind = WAL_FOUND_ROT, .text = found->text}, found->place);
    if (s->page < space_end(&k->space)) {
        st = scan_find_table(s, k->table, &remains, err);
    }
    struct table_cursor c =
        table_open((struct cor_bytes){k->table, remains.table_len}, remains.next_index);
    struct record r;
    while (st == COR_OK && table_next(&c, &r)) {
        st = tell_remains(k, &r, found->text, err);
    }
    return st == COR_ENOTFOUND ? COR_OK : st;
}

static enum cor_status walk(struct walk *k, struct cor_error *err)
{
    for (;;) {
        struct scan_found found;
        enum cor_status st = scan_next(&k->scan, &found, err);
        if (st != COR_OK) {
            return st;
        }
        switch (found.kind) {
        case SCAN_BATCH:
            tell_batch(k);
            break;
        case SCAN_TORN:
            tell(k,
                 (struct wal_finding){.kind = WAL_FOUND_TORN,
                                      .bytes = (found.end - k->scan.page) * WAL_PAGE,
                                      .text =
                                          "an append that a crash interrupted; it was never "
                                          "acknowledged"},
                 space_place(&k->space, k->scan.page, 0));
            return COR_OK;
        case SCAN_ROT:
            st = tell_rot(k, &found, err);
            if (st != COR_OK || k->scan.next_head == SCAN_NOWHERE) {
                return st;
            }
            scan_resume(&k->scan);
            break;
        case SCAN_END:
            return COR_OK;
        }
    }
}

enum cor_status wal_walk(struct io_fs *fs, void (*each)(void *arg, const struct wal_finding *f),
                         void *arg, struct cor_error *err)
{
    struct walk k = {.each = each, .arg = arg};
    struct cor_error damage = {.status = COR_OK};
    enum cor_status st = space_load(fs, NULL, &k.space, &damage);
    if (st != COR_OK && st != COR_ECORRUPT) {
        if (err != NULL) {
            *err = damage;
        }
        space_free(&k.space, fs);
        return st;
    }
    k.table = malloc(BATCH_TABLE_MAX);
    k.payload = malloc(WAL_ENTRY_SIZE_MAX);
    scan_open(&k.scan, fs, &k.space);
    bool has_memory = k.table != NULL && k.payload != NULL;
    st = has_memory ? walk(&k, err) : error_set(err, COR_ENOMEM, "out of memory");
    if (st == COR_OK) {
        tell_segments(&k, space_end(&k.space), k.scan.next_index);
    }
    if (st == COR_OK && damage.status != COR_OK) {
        struct place place = {.offset = 0};
        segment_name(k.space.n + 1, place.file);
        tell(&k, (struct wal_finding){.kind = WAL_FOUND_ROT, .text = damage.text}, place);
    }
    scan_close(&k.scan);
    free(k.table);
    free(k.payload);
    space_free(&k.space, fs);
    return st;
}
