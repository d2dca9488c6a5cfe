/* record.c - records are our own bytes: read without bounds, written by the sticky writer. */
#include "kv/record.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/writer.h"

#define LINK_SIZE  sizeof(slab_ref)
#define TABLE_LOW  0x07u
#define FLAG_DEAD  0x08u
#define FLAG_SUB   0x10u
#define FLAG_LEASE 0x20u
#define FLAG_ATTRS 0x40u
#define TABLE_HIGH 0x80u /* 8 more tables */

_Static_assert(KV_N_TABLES <= 2 * (TABLE_LOW + 1), "the table fits beside the flags");

static uint8_t flags_of(const struct kv_item *item, const struct record_meta *meta)
{
    unsigned flags = meta->table & TABLE_LOW;
    flags |= meta->table > TABLE_LOW ? TABLE_HIGH : 0;
    flags |= meta->dead ? FLAG_DEAD : 0;
    flags |= meta->sub != 0 ? FLAG_SUB : 0;
    flags |= !meta->dead && item->lease != 0 ? FLAG_LEASE : 0;
    flags |= !meta->dead && item->attrs.len != 0 ? FLAG_ATTRS : 0;
    return (uint8_t)flags;
}

static void write_fields(struct writer *w, const struct kv_item *item,
                         const struct record_meta *meta)
{
    writer_u8(w, flags_of(item, meta));
    writer_blob(w, item->key);
    writer_varint(w, item->mod_revision);
    if (meta->sub != 0) {
        writer_varint(w, meta->sub);
    }
    writer_varint(w, item->mod_index);
    if (meta->dead) {
        return;
    }
    writer_varint(w, item->mod_revision - item->create_revision);
    writer_varint(w, item->version);
    if (item->lease != 0) {
        writer_varint(w, item->lease);
    }
    if (item->attrs.len != 0) {
        writer_blob(w, item->attrs);
    }
    writer_blob(w, item->value);
}

size_t record_size(const struct kv_item *item, const struct record_meta *meta)
{
    struct writer w = writer_counting();
    write_fields(&w, item, meta);
    return LINK_SIZE + w.used;
}

void record_write(unsigned char *at, const struct kv_item *item, const struct record_meta *meta)
{
    struct writer w = writer_of(at + LINK_SIZE, record_size(item, meta) - LINK_SIZE);
    write_fields(&w, item, meta);
    COR_ASSERT(writer_ok(&w));
}

static uint64_t read_varint(const unsigned char **at)
{
    const unsigned char *p = *at;
    uint64_t v = 0;
    unsigned shift = 0;
    while (*p >= 0x80) {
        v |= (uint64_t)(*p++ & 0x7f) << shift;
        shift += 7;
    }
    v |= (uint64_t)*p++ << shift;
    *at = p;
    return v;
}

static struct cor_bytes read_blob(const unsigned char **at)
{
    size_t len = (size_t)read_varint(at);
    struct cor_bytes b = {*at, len};
    *at += len;
    return b;
}

/* Returns where the record ends. */
static const unsigned char *read_fields(const unsigned char *at, struct kv_item *item,
                                        struct record_meta *meta)
{
    const unsigned char *p = at + LINK_SIZE;
    unsigned flags = *p++;
    *item = (struct kv_item){.version = 0};
    item->key = read_blob(&p);
    item->mod_revision = read_varint(&p);
    meta->table =
        (uint8_t)((flags & TABLE_LOW) + ((flags & TABLE_HIGH) != 0 ? TABLE_LOW + 1 : 0));
    meta->dead = (flags & FLAG_DEAD) != 0;
    meta->sub = (flags & FLAG_SUB) != 0 ? (uint32_t)read_varint(&p) : 0;
    item->mod_index = read_varint(&p);
    if (meta->dead) {
        return p;
    }
    item->create_revision = item->mod_revision - read_varint(&p);
    item->version = read_varint(&p);
    if ((flags & FLAG_LEASE) != 0) {
        item->lease = read_varint(&p);
    }
    if ((flags & FLAG_ATTRS) != 0) {
        item->attrs = read_blob(&p);
    }
    item->value = read_blob(&p);
    return p;
}

void record_read(const unsigned char *at, struct kv_item *item, struct record_meta *meta)
{
    (void)read_fields(at, item, meta);
}

struct cor_bytes record_key(const unsigned char *at)
{
    const unsigned char *p = at + LINK_SIZE + 1;
    return read_blob(&p);
}

bool record_is_dead(const unsigned char *at)
{
    return (at[LINK_SIZE] & FLAG_DEAD) != 0;
}

uint64_t record_mod(const unsigned char *at)
{
    const unsigned char *p = at + LINK_SIZE + 1;
    (void)read_blob(&p);
    return read_varint(&p);
}

uint64_t record_hash(const unsigned char *at)
{
    struct kv_item item;
    struct record_meta meta;
    const unsigned char *end = read_fields(at, &item, &meta);
    return hash64((struct cor_bytes){at + LINK_SIZE, (size_t)(end - at) - LINK_SIZE});
}
