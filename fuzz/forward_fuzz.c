/* room: node
 *
 * forward_fuzz.c - what another member sends: a write to pass on, and the answer to one.
 *
 * The same bytes are tried as both. What forward_decode() accepts must be operations that the store will
 * accept, inside of the input; what kv_result_decode() accepts must encode to the same bytes.
 */
#include "node/internal.h"

#include <string.h>

#define ROOM 65536u

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void try_as_request(struct cor_bytes in)
{
    struct node_write write;
    if (forward_decode(in, &write) != COR_OK) {
        return;
    }
    COR_ASSERT(write.ops.len <= in.len && write.ops.ptr >= in.ptr);
    COR_ASSERT(write.ops.ptr + write.ops.len == in.ptr + in.len);
    COR_ASSERT(write.ops.len <= NODE_REQUEST_MAX);
    COR_ASSERT(kv_check_ops(write.ops, NULL) == COR_OK);
}

static void try_as_answer(struct cor_bytes in)
{
    static unsigned char memory[16 * ROOM], encoded[ROOM];
    struct arena arena;
    struct kv_result result;
    arena_init(&arena, memory, sizeof memory);
    if (in.len > ROOM || kv_result_decode(in, &arena, &result) != COR_OK) {
        return;
    }
    struct writer w = writer_of(encoded, sizeof encoded);
    (void)kv_result_encode(&result, &w);
    struct kv_result again;
    COR_ASSERT(writer_ok(&w) && w.used <= in.len);
    COR_ASSERT(kv_result_decode((struct cor_bytes){encoded, w.used}, &arena, &again) ==
                   COR_OK ||
               arena.used > sizeof memory / 2);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct cor_bytes in = {data, size};
    try_as_request(in);
    try_as_answer(in);
    return 0;
}
