/*
 * build.h - say entries in one line: the words of the kv tests.
 *
 *     struct world w; world_open(&w);
 *     put(&w, "a", "1");  apply_ops(&w, ops)...  world_close(&w);
 *
 * A world is a store, the index of its log and an arena for the last answer.
 */
#ifndef TESTS_KV_BUILD_H
#define TESTS_KV_BUILD_H

#include "base/arena.h"
#include "kv/kv.h"

#include <stdlib.h>
#include <string.h>

#define WORLD_ARENA   (4u << 20)
#define WORLD_SCRATCH (2u << 20)

struct world {
    struct kv *kv;
    uint64_t index, now; /* of the log; cluster time, ns */
    struct arena arena;
    unsigned char *memory, *entry, *ops;
    struct kv_result result; /* of the last entry */
    enum cor_status status;
};

static inline struct cor_bytes text(const char *s)
{
    return (struct cor_bytes){(const unsigned char *)s, strlen(s)};
}

static inline void world_open_with(struct world *w, const struct kv_options *options)
{
    *w = (struct world){.kv = kv_new(options)};
    w->memory = malloc(WORLD_ARENA);
    w->entry = malloc(WORLD_SCRATCH);
    w->ops = malloc(WORLD_SCRATCH);
    if (w->kv == NULL || w->memory == NULL || w->entry == NULL || w->ops == NULL) {
        abort();
    }
    arena_init(&w->arena, w->memory, WORLD_ARENA);
}

static inline void world_open(struct world *w)
{
    struct kv_options options = {.memory_max = 0};
    world_open_with(w, &options);
}

static inline void world_close(struct world *w)
{
    kv_free(w->kv);
    free(w->memory);
    free(w->entry);
    free(w->ops);
}

/* The entry of @ops under a header of now. */
static inline struct cor_bytes entry_of(struct world *w, struct cor_bytes ops)
{
    struct entry_header h = {.cluster_time = w->now};
    size_t n = entry_header_encode(&h, w->entry);
    memcpy(w->entry + n, ops.ptr, ops.len);
    return (struct cor_bytes){w->entry, n + ops.len};
}

static inline enum cor_status apply_ops(struct world *w, struct cor_bytes ops)
{
    arena_reset(&w->arena);
    w->status = kv_apply(w->kv, ++w->index, entry_of(w, ops), &w->arena, &w->result);
    if (w->status != COR_OK && w->status != COR_ENOMEM) {
        w->index--; /* refused: it did not take its place in the log */
    }
    return w->status;
}

static inline enum cor_status apply_one(struct world *w, const struct kv_op *op)
{
    struct writer out = writer_of(w->ops, WORLD_SCRATCH);
    kv_encode_one(&out, op);
    return apply_ops(w, (struct cor_bytes){w->ops, out.used});
}

static inline struct kv_op put_of(const char *key, const char *value)
{
    return (struct kv_op){.kind = KV_OP_PUT, .range.key = text(key), .value = text(value)};
}

static inline struct kv_op delete_of(const char *key, const char *end)
{
    struct kv_op op = {.kind = KV_OP_DELETE, .range.key = text(key)};
    op.range.end = text(end);
    return op;
}

static inline struct kv_op range_of(const char *key, const char *end)
{
    struct kv_op op = {.kind = KV_OP_RANGE, .range.key = text(key)};
    op.range.end = text(end);
    return op;
}

static inline void put(struct world *w, const char *key, const char *value)
{
    struct kv_op op = put_of(key, value);
    (void)apply_one(w, &op);
}

static inline void erase(struct world *w, const char *key, const char *end)
{
    struct kv_op op = delete_of(key, end);
    (void)apply_one(w, &op);
}

static inline void compact(struct world *w, uint64_t revision)
{
    struct kv_op op = {.kind = KV_OP_COMPACT, .revision = revision};
    (void)apply_one(w, &op);
}

static inline struct kv_info info_of(const struct world *w)
{
    struct kv_info info;
    kv_get_info(w->kv, &info);
    return info;
}

/* The value of @key in the table of keys, or "-" when there is none. */
static inline struct cor_bytes value_at(const struct world *w, const char *key,
                                        uint64_t revision)
{
    struct kv_item item;
    enum cor_status st = kv_get(w->kv, KV_TABLE_KEYS, text(key), revision, &item);
    return st == COR_OK ? item.value : text("-");
}

#endif
