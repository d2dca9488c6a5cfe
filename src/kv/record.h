/*
 * record.h - one version of one key, as the bytes of one slab slot.
 *
 * Place in the system: tree.c finds records by key, history.c drops them, apply.c makes them.
 * Immutable once written, except for the link (slab.h), which names the version before.
 *
 *     u32 link | u8 table and flags | varint key length | key | varint mod revision
 *     [varint sub-revision] | varint mod index
 *     not a tombstone:  varint mod - create | varint version | [varint lease]
 *                       [varint length, attributes] | varint value length | value
 *
 * A key of 8 and a value of 256 bytes cost 17 bytes of this. The key stands in front because
 * searching reads nothing else. A *tombstone* is the version that says "deleted".
 */
#ifndef KV_RECORD_H
#define KV_RECORD_H

#include "coracle/bytes.h"
#include "kv/kv.h"
#include "kv/slab.h"

/* What is written besides the item. */
struct record_meta {
    uint8_t table;
    bool dead;    /* a tombstone */
    uint32_t sub; /* which change of its revision, from 0 */
};

/* Bytes that record_write() needs. */
size_t record_size(const struct kv_item *item, const struct record_meta *meta);
void record_write(unsigned char *at, const struct kv_item *item,
                  const struct record_meta *meta);
/* @item borrows from the record. A tombstone has a key, a mod revision and a mod index only. */
void record_read(const unsigned char *at, struct kv_item *item, struct record_meta *meta);

struct cor_bytes record_key(const unsigned char *at);
bool record_is_dead(const unsigned char *at);
uint64_t record_mod(const unsigned char *at);
/* Of everything but the link: equal on all nodes. */
uint64_t record_hash(const unsigned char *at);

#endif
