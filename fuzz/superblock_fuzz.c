/* room: wal
 *
 * superblock_fuzz.c - any bytes as a state file.
 *
 * What decodes encodes to the same bytes: there is one way to write each superblock. The checksum is
 * made right first, so that the fuzzer gets past it.
 */
#include "base/assert.h"
#include "base/hash.h"
#include "wal/wal.h"

#include <string.h>

#define SUM_SIZE 8u

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(struct cor_bytes in)
{
    unsigned char again[SUPERBLOCK_SIZE_MAX];
    struct superblock sb;
    if (superblock_decode(in, &sb) != COR_OK) {
        return;
    }
    COR_ASSERT(sb.n_members <= COR_RAFT_MEMBERS_MAX);
    COR_ASSERT(memchr(sb.name, 0, sizeof sb.name) != NULL);
    size_t n = superblock_encode(&sb, again);
    COR_ASSERT(n == in.len && memcmp(again, in.ptr, n) == 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    unsigned char fixed[SUPERBLOCK_SIZE_MAX];
    check((struct cor_bytes){data, size});
    if (size < SUM_SIZE || size > sizeof fixed) {
        return 0;
    }
    memcpy(fixed, data, size);
    uint64_t sum = hash64((struct cor_bytes){fixed, size - SUM_SIZE});
    for (size_t i = 0; i < SUM_SIZE; i++) {
        fixed[size - SUM_SIZE + i] = (unsigned char)(sum >> (8 * i));
    }
    check((struct cor_bytes){fixed, size});
    return 0;
}
