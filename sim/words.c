/* words.c - see words.h. */
#include "sim/words.h"

#include "base/assert.h"
#include "base/format.h"

#include <inttypes.h>
#include <string.h>

void word_key(uint32_t key, char *out)
{
    COR_ASSERT(key < 1000);
    (void)format_to(out, WORD_KEY_SIZE + 1, "k%03u", key);
}

/* Digits up to the end or a '.'; UINT64_MAX: something else. */
static uint64_t read_digits(struct cor_bytes in)
{
    uint64_t n = 0;
    for (size_t i = 0; i < in.len && in.ptr[i] != '.'; i++) {
        if (in.ptr[i] < '0' || in.ptr[i] > '9' || i >= 19) {
            return UINT64_MAX;
        }
        n = 10 * n + (uint64_t)(in.ptr[i] - '0');
    }
    return n;
}

bool word_read_key(struct cor_bytes in, uint32_t *out)
{
    if (in.len != WORD_KEY_SIZE || in.ptr[0] != 'k') {
        return false;
    }
    uint64_t n = read_digits((struct cor_bytes){in.ptr + 1, in.len - 1});
    *out = (uint32_t)n;
    return n < 1000;
}

size_t word_value(uint64_t value, size_t len, unsigned char *out)
{
    char digits[WORD_VALUE_SIZE];
    size_t n = format_to(digits, sizeof digits, "%" PRIu64, value);
    memcpy(out, digits, n);
    if (len <= n) {
        return n;
    }
    memset(out + n, 'x', len - n);
    out[n] = '.';
    return len;
}

uint64_t word_read_value(struct cor_bytes in)
{
    uint64_t n = in.len == 0 ? UINT64_MAX : read_digits(in);
    return n == UINT64_MAX ? 0 : n;
}
