/* hash.c - XXH3-64 from libxxhash's header. */
#include "base/hash.h"

/* One translation unit holds the inlined library: smaller binary, one place to vectorize. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(struct cor_bytes b)
{
    return XXH3_64bits(b.ptr, b.len);
}

uint64_t hash64_seed(struct cor_bytes b, uint64_t seed)
{
    return XXH3_64bits_withSeed(b.ptr, b.len, seed);
}
