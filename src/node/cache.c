/* cache.c - the recent entries of the log: a ring that grows while entries must be kept. */
#include "node/cache.h"

#include "base/assert.h"

#include <stdlib.h>

static struct cache_entry *slot(const struct cache *c, uint64_t index)
{
    return &c->ring[index & (c->size - 1)];
}

static uint64_t cost(const struct cache_entry *e)
{
    return e->len + sizeof *e + sizeof(struct buf);
}

void cache_init(struct cache *c, uint64_t next)
{
    *c = (struct cache){.first = next, .next = next};
}

static void drop(struct cache *c, uint64_t index)
{
    struct cache_entry *e = slot(c, index);
    COR_ASSERT(c->bytes >= cost(e));
    c->bytes -= cost(e);
    buf_unref(e->buf);
    e->buf = NULL;
}

void cache_deinit(struct cache *c)
{
    for (uint64_t i = c->first; i < c->next; i++) {
        drop(c, i);
    }
    free(c->ring);
    *c = (struct cache){0};
}

bool cache_reserve(struct cache *c, size_t n)
{
    size_t want = (size_t)(c->next - c->first) + n + CACHE_SPARE;
    if (want <= c->size) {
        return true;
    }
    size_t size = c->size == 0 ? CACHE_SLOTS_MIN : c->size;
    while (size < want) {
        size *= 2;
    }
    struct cache bigger = *c;
    bigger.size = size;
    bigger.ring = size > CACHE_SLOTS_MAX ? NULL : calloc(size, sizeof *bigger.ring);
    if (bigger.ring == NULL) {
        return false;
    }
    for (uint64_t i = c->first; i < c->next; i++) {
        *slot(&bigger, i) = *slot(c, i);
    }
    free(c->ring);
    *c = bigger;
    return true;
}

void cache_push(struct cache *c, const struct cache_entry *e)
{
    COR_ASSERT(c->next - c->first < c->size);
    COR_ASSERT(e->buf == NULL ? e->len == 0 : e->offset + e->len <= e->buf->len);
    *slot(c, c->next++) = *e;
    c->bytes += cost(e);
}

void cache_truncate(struct cache *c, uint64_t from)
{
    COR_ASSERT(from <= c->next);
    while (c->next > from && c->next > c->first) {
        drop(c, --c->next);
    }
    c->next = from;
    c->first = c->first < from ? c->first : from;
}

void cache_trim(struct cache *c, uint64_t bytes_max, uint64_t keep_from)
{
    while (c->bytes > bytes_max && c->first < c->next && c->first < keep_from) {
        drop(c, c->first++);
    }
}

const struct cache_entry *cache_get(const struct cache *c, uint64_t index)
{
    return index >= c->first && index < c->next ? slot(c, index) : NULL;
}
