/* layout.c - sectors, headers and tables as bytes; layout.h says what they mean. */
#include "wal/layout.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/prng.h"
#include "base/writer.h"

#include <string.h>

#define SEGMENT_MAGIC       0x4c41572d41524f43u /* "CORA-WAL" */
#define SEGMENT_COPY        4u                  /* the sector of the second copy */
#define SEGMENT_HEADER_SIZE 72u
#define BATCH_MAGIC         0x48435442u /* "BTCH" */
#define NAME_DIGITS         10u
#define INDEX_LIMIT         (UINT64_MAX / 2) /* far from wrapping; also of positions */

/* Tags of a record table. Everything from TAG_ENTRY on is an entry of type tag - TAG_ENTRY. */
#define TAG_TRUNCATE 0u
#define TAG_TERM     1u
#define TAG_ENTRY    2u

/* ---- sectors ------------------------------------------------------------------------------- */

static uint64_t mask_of(uint64_t salt, uint64_t number, enum wal_sector kind)
{
    struct prng of_salt = {salt};
    struct prng p = {prng_next(&of_salt) + number * 8 + (uint64_t)kind};
    return prng_next(&p);
}

static uint64_t load_u64(const unsigned char *p)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static void store_u64(unsigned char *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        p[i] = (unsigned char)(v >> (8 * i));
    }
}

bool wal_is_zero(const unsigned char *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

void wal_sector_stamp(unsigned char *sector, uint64_t salt, uint64_t number,
                      enum wal_sector kind)
{
    uint64_t hash = hash64((struct cor_bytes){sector, WAL_SECTOR_DATA});
    store_u64(sector + WAL_SECTOR_DATA, hash ^ mask_of(salt, number, kind));
}

enum wal_sector wal_sector_look(const unsigned char *sector, uint64_t salt, uint64_t number)
{
    uint64_t stamp = load_u64(sector + WAL_SECTOR_DATA);
    if (stamp == 0 && wal_is_zero(sector, WAL_SECTOR)) {
        return WAL_SECTOR_ZERO;
    }
    uint64_t mask = stamp ^ hash64((struct cor_bytes){sector, WAL_SECTOR_DATA});
    for (enum wal_sector kind = WAL_SECTOR_BODY; kind < WAL_SECTOR_BAD; kind++) {
        if (mask == mask_of(salt, number, kind)) {
            return kind;
        }
    }
    return WAL_SECTOR_BAD;
}

void wal_content_put(unsigned char *raw, size_t offset, struct cor_bytes data)
{
    while (data.len > 0) {
        size_t at = offset % WAL_SECTOR_DATA;
        size_t n = WAL_SECTOR_DATA - at < data.len ? WAL_SECTOR_DATA - at : data.len;
        memcpy(raw + offset / WAL_SECTOR_DATA * WAL_SECTOR + at, data.ptr, n);
        offset += n;
        data.ptr += n;
        data.len -= n;
    }
}

void wal_content_get(const unsigned char *raw, size_t offset, void *out, size_t len)
{
    unsigned char *to = out;
    while (len > 0) {
        size_t at = offset % WAL_SECTOR_DATA;
        size_t n = WAL_SECTOR_DATA - at < len ? WAL_SECTOR_DATA - at : len;
        memcpy(to, raw + offset / WAL_SECTOR_DATA * WAL_SECTOR + at, n);
        offset += n;
        to += n;
        len -= n;
    }
}

/* ---- segments ------------------------------------------------------------------------------ */

void segment_header_encode(const struct segment_header *h, unsigned char *page)
{
    memset(page, 0, WAL_PAGE);
    struct writer w = writer_of(page, WAL_SECTOR_DATA);
    writer_u64(&w, SEGMENT_MAGIC);
    writer_u32(&w, WAL_FORMAT);
    writer_u32(&w, 0); /* group */
    writer_bytes(&w, (struct cor_bytes){h->cluster_id, sizeof h->cluster_id});
    writer_u64(&w, h->node_id);
    writer_u64(&w, h->seq);
    writer_u64(&w, h->base);
    writer_u64(&w, h->n_pages);
    writer_u64(&w, h->salt);
    COR_ASSERT(writer_ok(&w) && w.used == SEGMENT_HEADER_SIZE);
    memcpy(page + SEGMENT_COPY * WAL_SECTOR, page, WAL_SECTOR_DATA);
    wal_sector_stamp(page, 0, 0, WAL_SECTOR_SEGMENT);
    wal_sector_stamp(page + SEGMENT_COPY * WAL_SECTOR, 0, SEGMENT_COPY, WAL_SECTOR_SEGMENT);
}

static enum cor_status decode_segment_copy(const unsigned char *sector,
                                           struct segment_header *out)
{
    struct reader r = reader_of((struct cor_bytes){sector, WAL_SECTOR_DATA});
    struct segment_header h;
    uint64_t magic = reader_u64(&r);
    uint32_t format = reader_u32(&r);
    uint32_t group = reader_u32(&r);
    memcpy(h.cluster_id, reader_bytes(&r, sizeof h.cluster_id).ptr, sizeof h.cluster_id);
    h.node_id = reader_u64(&r);
    h.seq = reader_u64(&r);
    h.base = reader_u64(&r);
    h.n_pages = reader_u64(&r);
    h.salt = reader_u64(&r);
    struct cor_bytes rest = reader_bytes(&r, WAL_SECTOR_DATA - SEGMENT_HEADER_SIZE);
    if (magic != SEGMENT_MAGIC) {
        return COR_ECORRUPT;
    }
    /* The stamp holds, so some version of us wrote this. May this one interpret it? */
    if (format != WAL_FORMAT || group != 0 || !wal_is_zero(rest.ptr, rest.len)) {
        return COR_EFOREIGN;
    }
    if (h.seq == 0 || h.n_pages == 0 || h.n_pages > UINT32_MAX || h.base > INDEX_LIMIT) {
        return COR_ECORRUPT;
    }
    *out = h;
    return COR_OK;
}

enum cor_status segment_header_decode(const unsigned char *page, struct segment_header *out)
{
    if (wal_sector_look(page, 0, 0) == WAL_SECTOR_SEGMENT) {
        return decode_segment_copy(page, out);
    }
    const unsigned char *copy = page + SEGMENT_COPY * WAL_SECTOR;
    if (wal_sector_look(copy, 0, SEGMENT_COPY) == WAL_SECTOR_SEGMENT) {
        return decode_segment_copy(copy, out);
    }
    return COR_ECORRUPT;
}

void segment_name(uint64_t seq, char *out)
{
    for (unsigned i = NAME_DIGITS; i > 0; i--) {
        out[i - 1] = (char)('0' + seq % 10);
        seq /= 10;
    }
    COR_ASSERT(seq == 0);
    memcpy(out + NAME_DIGITS, ".wal", 5);
}

uint64_t segment_seq(const char *name)
{
    uint64_t seq = 0;
    if (strlen(name) != NAME_DIGITS + 4 || strcmp(name + NAME_DIGITS, ".wal") != 0) {
        return 0;
    }
    for (unsigned i = 0; i < NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return 0;
        }
        seq = seq * 10 + (uint64_t)(name[i] - '0');
    }
    return seq;
}

/* ---- batches ------------------------------------------------------------------------------- */

void batch_header_encode(const struct batch_header *h, unsigned char *out)
{
    struct writer w = writer_of(out, BATCH_HEADER_SIZE);
    writer_u32(&w, BATCH_MAGIC);
    writer_u16(&w, WAL_FORMAT);
    writer_u16(&w, h->flags);
    writer_u32(&w, 0); /* group */
    writer_u64(&w, h->seq);
    writer_u64(&w, h->page);
    writer_u64(&w, h->prev_page);
    writer_u64(&w, h->chain);
    writer_u32(&w, h->n_pages);
    writer_u32(&w, h->n_records);
    writer_u32(&w, h->payload_len);
    writer_u32(&w, h->table_len);
    writer_u32(&w, h->prev_table_len);
    writer_u32(&w, 0);
    writer_u64(&w, h->table_sum);
    writer_u64(&w, h->prev_table_sum);
    writer_u64(&w, h->next_index);
    writer_u64(&w, h->prev_next_index);
    writer_u64(&w, h->last_index);
    writer_u64(&w, h->hard_state.term);
    writer_u64(&w, h->hard_state.vote);
    writer_u64(&w, h->last_segment);
    COR_ASSERT(writer_ok(&w) && w.used == BATCH_HEADER_SIZE);
}

uint64_t batch_content_len(const struct batch_header *h)
{
    return (uint64_t)BATCH_HEADER_SIZE + h->payload_len + h->table_len + h->prev_table_len;
}

static bool is_consistent(const struct batch_header *h)
{
    return h->seq > 0 && h->next_index > 0 && h->next_index < INDEX_LIMIT &&
           h->prev_next_index > 0 && h->prev_next_index < INDEX_LIMIT &&
           h->n_records <= BATCH_RECORDS_MAX && h->table_len <= BATCH_TABLE_MAX &&
           h->prev_table_len <= BATCH_TABLE_MAX && h->n_pages <= BATCH_PAGES_MAX &&
           h->n_pages == wal_content_pages((size_t)batch_content_len(h));
}

enum cor_status batch_header_decode(struct cor_bytes in, struct batch_header *out)
{
    struct reader r = reader_of(in);
    struct batch_header h;
    uint32_t magic = reader_u32(&r);
    uint16_t format = reader_u16(&r);
    h.flags = reader_u16(&r);
    uint32_t group = reader_u32(&r);
    h.seq = reader_u64(&r);
    h.page = reader_u64(&r);
    h.prev_page = reader_u64(&r);
    h.chain = reader_u64(&r);
    h.n_pages = reader_u32(&r);
    h.n_records = reader_u32(&r);
    h.payload_len = reader_u32(&r);
    h.table_len = reader_u32(&r);
    h.prev_table_len = reader_u32(&r);
    uint32_t reserved = reader_u32(&r);
    h.table_sum = reader_u64(&r);
    h.prev_table_sum = reader_u64(&r);
    h.next_index = reader_u64(&r);
    h.prev_next_index = reader_u64(&r);
    h.last_index = reader_u64(&r);
    h.hard_state.term = reader_u64(&r);
    h.hard_state.vote = reader_u64(&r);
    h.last_segment = reader_u64(&r);
    if (!reader_ok(&r) || magic != BATCH_MAGIC) {
        return COR_ECORRUPT;
    }
    if (format != WAL_FORMAT || group != 0 || reserved != 0 ||
        (h.flags & ~BATCH_FLAG_IDLE) != 0) {
        return COR_EFOREIGN;
    }
    if (!is_consistent(&h)) {
        return COR_ECORRUPT;
    }
    *out = h;
    return COR_OK;
}

/* ---- record tables ------------------------------------------------------------------------- */

size_t record_encode(const struct record *r, uint64_t *term, unsigned char *out)
{
    struct writer w = writer_of(out, RECORD_SIZE_MAX);
    if (r->is_truncate) {
        writer_varint(&w, TAG_TRUNCATE);
        writer_varint(&w, r->index);
    } else {
        if (r->term != *term) {
            writer_varint(&w, TAG_TERM);
            writer_varint(&w, r->term);
            *term = r->term;
        }
        writer_varint(&w, (uint64_t)TAG_ENTRY + r->type);
        writer_varint(&w, r->len);
        writer_u64(&w, r->checksum);
    }
    COR_ASSERT(writer_ok(&w));
    return w.used;
}

struct table_cursor table_open(struct cor_bytes table, uint64_t next_index)
{
    return (struct table_cursor){
        .reader = reader_of(table), .index = next_index, .offset = BATCH_HEADER_SIZE};
}

bool table_next(struct table_cursor *c, struct record *out)
{
    struct reader *r = &c->reader;
    if (r->failed || r->at == r->end) {
        return false;
    }
    uint64_t tag = reader_varint(r);
    if (tag == TAG_TERM) {
        c->term = reader_varint(r);
        tag = reader_varint(r);
        r->failed = r->failed || tag < TAG_ENTRY; /* a term without its entry */
    }
    struct record rec = {.is_truncate = tag == TAG_TRUNCATE, .index = c->index};
    if (rec.is_truncate) {
        rec.index = reader_varint(r);
        r->failed = r->failed || rec.index == 0 || rec.index > c->index;
        c->index = rec.index;
    } else {
        uint64_t len = reader_varint(r);
        rec.checksum = reader_u64(r);
        rec.term = c->term;
        rec.offset = c->offset;
        r->failed = r->failed || tag < TAG_ENTRY || tag - TAG_ENTRY > UINT32_MAX ||
                    len > UINT32_MAX || c->term == 0;
        rec.type = (uint32_t)(tag - TAG_ENTRY);
        rec.len = (uint32_t)len;
        c->index++;
        c->offset += len;
    }
    if (r->failed) {
        return false;
    }
    *out = rec;
    return true;
}
