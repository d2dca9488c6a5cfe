/* batch.c - gathering and sealing one group commit; see batch.h. */
#include "wal/batch.h"

#include "base/assert.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define RAW_MIN   (8u * WAL_PAGE)
#define TABLE_MIN 512u

_Static_assert(BATCH_HEADER_SIZE + WAL_ENTRY_SIZE_MAX + 2 * BATCH_TABLE_MAX <=
                   (size_t)BATCH_PAGES_MAX * WAL_PAGE_DATA,
               "a batch of one entry is within the limit of readers");
_Static_assert(BATCH_PAYLOAD_MAX <= WAL_ENTRY_SIZE_MAX, "a batch of many is, too");

void batch_free(struct batch *b)
{
    if (b != NULL) {
        free(b->raw);
        free(b->table);
        free(b);
    }
}

size_t batch_content(const struct batch *b)
{
    return BATCH_HEADER_SIZE + b->fill.payload_len + b->fill.table_len + b->prev_table_len;
}

uint32_t batch_pages(const struct batch *b)
{
    return wal_content_pages(batch_content(b));
}

bool batch_takes(const struct batch *b, size_t len)
{
    const struct batch_fill *f = &b->fill;
    return f->n_records < BATCH_RECORDS_MAX &&
           f->table_len + RECORD_SIZE_MAX <= BATCH_TABLE_MAX &&
           (f->n_records == 0 || f->payload_len + len <= BATCH_PAYLOAD_MAX);
}

static bool grow_raw(struct batch *b, size_t content)
{
    size_t need = (size_t)wal_content_pages(content) * WAL_PAGE;
    if (need <= b->raw_size) {
        return true;
    }
    size_t size = b->raw_size == 0 ? RAW_MIN : b->raw_size;
    while (size < need) {
        size *= 2;
    }
    unsigned char *raw = aligned_alloc(WAL_PAGE, size);
    if (raw == NULL) {
        return false;
    }
    if (b->raw_size > 0) {
        memcpy(raw, b->raw, b->raw_size);
    }
    free(b->raw);
    b->raw = raw;
    b->raw_size = size;
    return true;
}

struct batch *batch_new(struct batch *spare, uint64_t next_index, size_t prev_table_len)
{
    struct batch *b = spare != NULL ? spare : calloc(1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->next = NULL;
    b->begin_index = next_index;
    b->prev_table_len = prev_table_len;
    b->flags = 0;
    b->fill = (struct batch_fill){.next_index = next_index, .lowest = UINT64_MAX};
    if (!grow_raw(b, batch_content(b))) {
        batch_free(b);
        return NULL;
    }
    return b;
}

static bool grow_table(struct batch *b)
{
    size_t need = b->fill.table_len + RECORD_SIZE_MAX;
    if (need <= b->table_size) {
        return true;
    }
    size_t size = b->table_size < TABLE_MIN ? TABLE_MIN : 2 * b->table_size;
    unsigned char *table = realloc(b->table, size);
    if (table == NULL) {
        return false;
    }
    b->table = table;
    b->table_size = size;
    return true;
}

/* Room for @len bytes of payload and one more record; sealing will then need no memory. */
static bool reserve(struct batch *b, size_t len)
{
    return grow_table(b) && grow_raw(b, batch_content(b) + len + RECORD_SIZE_MAX);
}

bool batch_add_entry(struct batch *b, const struct wal_entry *e)
{
    struct batch_fill *f = &b->fill;
    COR_ASSERT(batch_takes(b, e->payload.len));
    COR_ASSERT(e->index == f->next_index && e->term > 0);
    if (!reserve(b, e->payload.len)) {
        return false;
    }
    struct record r = {.index = e->index,
                       .term = e->term,
                       .type = e->type,
                       .len = (uint32_t)e->payload.len,
                       .checksum = e->checksum};
    wal_content_put(b->raw, BATCH_HEADER_SIZE + f->payload_len, e->payload);
    f->payload_len += e->payload.len;
    f->table_len += record_encode(&r, &f->term, b->table + f->table_len);
    f->n_records++;
    f->n_entries++;
    f->lowest = e->index < f->lowest ? e->index : f->lowest;
    f->next_index = e->index + 1;
    return true;
}

bool batch_add_truncate(struct batch *b, uint64_t index)
{
    struct batch_fill *f = &b->fill;
    COR_ASSERT(batch_takes(b, 0));
    COR_ASSERT(index > 0 && index <= f->next_index);
    if (!reserve(b, 0)) {
        return false;
    }
    struct record r = {.is_truncate = true, .index = index};
    f->table_len += record_encode(&r, &f->term, b->table + f->table_len);
    f->n_records++;
    f->lowest = index < f->lowest ? index : f->lowest;
    f->next_index = index;
    f->cuts = true;
    return true;
}

static void zero_content(unsigned char *raw, size_t from, size_t to)
{
    static const unsigned char zeros[WAL_SECTOR_DATA];
    while (from < to) {
        size_t n = to - from < sizeof zeros ? to - from : sizeof zeros;
        wal_content_put(raw, from, (struct cor_bytes){zeros, n});
        from += n;
    }
}

void batch_seal(struct batch *b, struct batch_header *h, const unsigned char *prev_table,
                unsigned char *encoded)
{
    const struct batch_fill *f = &b->fill;
    struct cor_bytes table = {b->table, f->table_len};
    struct cor_bytes previous = {prev_table, b->prev_table_len};
    size_t at = BATCH_HEADER_SIZE + f->payload_len;
    h->flags = b->flags;
    h->n_pages = batch_pages(b);
    h->n_records = f->n_records;
    h->payload_len = (uint32_t)f->payload_len;
    h->table_len = (uint32_t)f->table_len;
    h->prev_table_len = (uint32_t)b->prev_table_len;
    h->table_sum = hash64(table);
    h->prev_table_sum = hash64(previous);
    h->next_index = b->begin_index;
    h->last_index = f->next_index - 1;
    h->hard_state = f->hard_state;
    COR_ASSERT((size_t)h->n_pages * WAL_PAGE <= b->raw_size);
    COR_ASSERT(h->n_pages <= BATCH_PAGES_MAX);
    batch_header_encode(h, encoded);
    wal_content_put(b->raw, 0, (struct cor_bytes){encoded, BATCH_HEADER_SIZE});
    wal_content_put(b->raw, at, table);
    wal_content_put(b->raw, at + table.len, previous);
    zero_content(b->raw, at + table.len + previous.len, (size_t)h->n_pages * WAL_PAGE_DATA);
}

void batch_stamp(struct batch *b, uint32_t from, uint32_t n, uint64_t salt, uint64_t sector)
{
    unsigned char *raw = b->raw + (size_t)from * WAL_PAGE;
    for (uint32_t i = 0; i < n * WAL_PAGE_SECTORS; i++) {
        enum wal_sector kind = from + i == 0 ? WAL_SECTOR_HEAD : WAL_SECTOR_BODY;
        wal_sector_stamp(raw + (size_t)i * WAL_SECTOR, salt, sector + i, kind);
    }
}
