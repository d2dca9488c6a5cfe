/* room: kv
 *
 * entry_fuzz.c - bytes nobody vouches for, as entries of the log.
 *
 * The input is a list of pieces, each a length (one byte, times 4) and that many bytes of operations. Every
 * piece is checked and applied to a small store, and again to a second one that also holds roots. Every third one
 * is numbered, in the session that the first entry opens, and applied twice: the second time must change nothing.
 * Beyond "does not crash": what kv_check_ops() accepts, kv_apply() accepts, and what it refuses leaves no
 * trace; both stores stay equal; every invariant holds; the memory stays within what the input can
 * account for; and an answer survives being encoded and decoded.
 */
#include "base/assert.h"
#include "kv/kv.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_SIZE    65536u
#define MEMORY_BASE   (4u << 20) /* an empty store, and first slabs of all classes */
#define MEMORY_FACTOR 64u        /* bytes of store per byte of input */

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

struct pair {
    struct kv *kv[2];
    struct kv_root *root;
    uint64_t index;
    unsigned char entry[ENTRY_HEADER_SIZE_MAX + 4 * 255];
    unsigned char memory[ARENA_SIZE], encoded[ARENA_SIZE], decoded[ARENA_SIZE];
};

static void check_answer(struct pair *p, const struct kv_result *result)
{
    struct writer w = writer_of(p->encoded, sizeof p->encoded);
    size_t n = kv_result_encode(result, &w);
    if (!writer_ok(&w)) {
        return;
    }
    struct arena arena;
    struct kv_result back;
    arena_init(&arena, p->decoded, sizeof p->decoded);
    enum cor_status st = kv_result_decode((struct cor_bytes){p->encoded, n}, &arena, &back);
    COR_ASSERT(st == COR_OK || st == COR_ENOMEM);
    if (st == COR_OK) {
        COR_ASSERT(back.n_ops == result->n_ops);
        COR_ASSERT(back.revision == result->revision);
    }
    arena_init(&arena, p->decoded, 0);
}

static void apply(struct pair *p, uint64_t number, struct cor_bytes ops)
{
    struct entry_header h = {
        .cluster_time = p->index, .session = number == 0 ? 0 : 1, .number = number};
    size_t n = entry_header_encode(&h, p->entry);
    memcpy(p->entry + n, ops.ptr, ops.len);
    struct cor_bytes entry = {p->entry, n + ops.len};
    struct kv_info before, after[2];
    struct arena arena;
    struct kv_result result;
    kv_get_info(p->kv[0], &before);
    arena_init(&arena, p->memory, sizeof p->memory);
    enum cor_status fit = kv_check_ops(ops, NULL);
    p->index++;
    enum cor_status st = kv_apply(p->kv[0], p->index, entry, &arena, &result);
    enum cor_status other = kv_apply(p->kv[1], p->index, entry, NULL, NULL);
    kv_get_info(p->kv[0], &after[0]);
    kv_get_info(p->kv[1], &after[1]);
    COR_ASSERT(after[0].hash == after[1].hash);
    if (fit == COR_OK) {
        COR_ASSERT(st == COR_OK || st == COR_ENOMEM);
        COR_ASSERT(other == COR_OK);
        check_answer(p, &result);
    } else {
        COR_ASSERT(st == (fit == COR_EFOREIGN ? COR_EFOREIGN : COR_EPROTO));
        COR_ASSERT(after[0].hash == before.hash);
        COR_ASSERT(after[0].applied == before.applied);
    }
}

static void apply_twice(struct pair *p, uint64_t number, struct cor_bytes ops)
{
    struct kv_info before, after;
    apply(p, number, ops);
    kv_get_info(p->kv[0], &before);
    apply(p, number, ops);
    kv_get_info(p->kv[0], &after);
    COR_ASSERT(after.revision == before.revision);
    COR_ASSERT(after.system_revision == before.system_revision);
    COR_ASSERT(after.compacted == before.compacted);
}

static void open_session(struct pair *p)
{
    unsigned char bytes[64];
    struct writer w = writer_of(bytes, sizeof bytes);
    kv_encode_one(&w, &(struct kv_op){.kind = KV_OP_SESSION,
                                      .session_do = KV_SESSION_OPEN,
                                      .number = KV_SESSION_IDLE_MAX});
    COR_ASSERT(writer_ok(&w));
    apply(p, 0, (struct cor_bytes){bytes, w.used});
}

static void shuffle_root(struct pair *p, unsigned char length)
{
    if (length % 4 != 0) {
        return;
    }
    if (p->root != NULL) {
        kv_root_release(p->kv[1], p->root);
        p->root = NULL;
    } else {
        p->root = kv_root_hold(p->kv[1]);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct entry_header header;
    struct cor_bytes ops;
    enum cor_status st = entry_header_decode((struct cor_bytes){data, size}, &header, &ops);
    COR_ASSERT(st != COR_OK || ops.ptr + ops.len == data + size);
    struct pair *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return 0;
    }
    struct kv_options options = {.memory_max = 1u << 20};
    p->kv[0] = kv_new(&options);
    p->kv[1] = kv_new(&options);
    COR_ASSERT(p->kv[0] != NULL && p->kv[1] != NULL);
    open_session(p);
    size_t at = 0;
    while (at < size) {
        unsigned char length = data[at++];
        size_t len = (size_t)length * 4 < size - at ? (size_t)length * 4 : size - at;
        struct cor_bytes piece = {data + at, len};
        if (length % 3 == 0) {
            apply_twice(p, p->index, piece);
        } else {
            apply(p, 0, piece);
        }
        shuffle_root(p, length);
        at += len;
    }
    struct kv_info info;
    kv_get_info(p->kv[0], &info);
    COR_ASSERT(info.memory_bytes <= MEMORY_BASE + MEMORY_FACTOR * (uint64_t)size);
    kv_check(p->kv[0]);
    kv_check(p->kv[1]);
    kv_free(p->kv[0]);
    kv_free(p->kv[1]);
    free(p);
    return 0;
}
