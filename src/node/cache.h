/*
 * cache.h - the recent entries of the log, in memory, by index.
 *
 * Place in the system: an entry is put here when it enters the log; appends to peers and kv/ are fed from
 * here. What is not here any more is durable and is read from the log file.
 *
 * A ring over contiguous indexes. Payloads are views into shared bufs: one per proposal on the
 * leader, one per append message on a follower. Bytes are bounded by trimming the oldest, but entries that
 * exist nowhere else yet (not durable, not applied) are never dropped, whatever the bound.
 */
#ifndef NODE_CACHE_H
#define NODE_CACHE_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_SLOTS_MIN 1024u
#define CACHE_SLOTS_MAX (1u << 22)
/* Kept free by cache_reserve(): a new leader's first entry never waits for memory. */
#define CACHE_SPARE 64u

struct cache_entry {
    uint64_t term, checksum;
    struct buf *buf; /* a reference; NULL: no payload */
    uint32_t offset, len;
    uint32_t type; /* enum cor_entry_type */
};

struct cache {
    struct cache_entry *ring;
    size_t size;          /* slots; a power of two, or 0 */
    uint64_t first, next; /* entries [first, next) are here */
    uint64_t bytes;       /* of these, with what each costs besides */
};

/* Empty; the next entry will be @next. */
void cache_init(struct cache *c, uint64_t next);
void cache_deinit(struct cache *c);
/* Room for @n more. False: out of memory, or too many. */
MUST_USE bool cache_reserve(struct cache *c, size_t n);
/* Add the entry with index c->next, after cache_reserve(). Takes over the reference. */
void cache_push(struct cache *c, const struct cache_entry *e);
/* Forget entries from @from on; the next one will be @from. */
void cache_truncate(struct cache *c, uint64_t from);
/* Forget the oldest until at most @bytes_max are left, but none from @keep_from on. */
void cache_trim(struct cache *c, uint64_t bytes_max, uint64_t keep_from);
/* NULL: not here. */
const struct cache_entry *cache_get(const struct cache *c, uint64_t index);

static inline struct cor_bytes cache_payload(const struct cache_entry *e)
{
    return (struct cor_bytes){e->buf == NULL ? NULL : e->buf->data + e->offset, e->len};
}

#endif
