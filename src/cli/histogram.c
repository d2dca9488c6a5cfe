/*
 * histogram.c - see histogram.h.
 *
 * Values below HISTOGRAM_STEPS have a bucket each. A larger one, of b significant bits, is shifted right until
 * HISTOGRAM_BITS + 1 bits are left; the leading one is implied, the rest is the place in its row.
 */
#include "cli/histogram.h"

#include "base/assert.h"

static unsigned significant_bits(uint64_t v)
{
    unsigned n = 0;
    while (v != 0) {
        n++;
        v >>= 1;
    }
    return n;
}

static unsigned bucket_of(uint64_t v)
{
    if (v < HISTOGRAM_STEPS) {
        return (unsigned)v;
    }
    unsigned shift = significant_bits(v) - (HISTOGRAM_BITS + 1);
    return (shift + 1) * HISTOGRAM_STEPS + (unsigned)((v >> shift) - HISTOGRAM_STEPS);
}

/* The largest value that falls into bucket @i. */
static uint64_t bucket_end(unsigned i)
{
    if (i < HISTOGRAM_STEPS) {
        return i;
    }
    unsigned shift = i / HISTOGRAM_STEPS - 1;
    uint64_t first = (uint64_t)(i % HISTOGRAM_STEPS + HISTOGRAM_STEPS) << shift;
    return first + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *h, uint64_t value)
{
    unsigned i = bucket_of(value);
    COR_ASSERT(i < HISTOGRAM_BUCKETS);
    h->buckets[i]++;
    h->n++;
    h->sum += value;
    h->max = value > h->max ? value : h->max;
}

void histogram_merge(struct histogram *h, const struct histogram *more)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        h->buckets[i] += more->buckets[i];
    }
    h->n += more->n;
    h->sum += more->sum;
    h->max = more->max > h->max ? more->max : h->max;
}

uint64_t histogram_at(const struct histogram *h, uint64_t per_million)
{
    /* Rounded up: the 99.9th percentile of ten values is the tenth. */
    uint64_t wanted =
        h->n / 1000000 * per_million + (h->n % 1000000 * per_million + 999999) / 1000000;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && h->n > 0; i++) {
        seen += h->buckets[i];
        if (seen >= wanted && seen > 0) {
            uint64_t end = bucket_end(i);
            return end < h->max ? end : h->max;
        }
    }
    return h->max;
}

uint64_t histogram_mean(const struct histogram *h)
{
    return h->n == 0 ? 0 : h->sum / h->n;
}
