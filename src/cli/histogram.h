/*
 * histogram.h - latencies in a few kilobytes: log-linear buckets, percentiles within 1.6 %.
 *
 * Place in the system: `coracle bench`. Each power of two is cut into HISTOGRAM_STEPS equal buckets, so the
 * relative error is bounded at every scale and adding a value is a shift and an increment.
 */
#ifndef CLI_HISTOGRAM_H
#define CLI_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS    6u /* of a bucket's index inside its power of two */
#define HISTOGRAM_STEPS   (1u << HISTOGRAM_BITS)
#define HISTOGRAM_BUCKETS ((64u - HISTOGRAM_BITS + 1u) * HISTOGRAM_STEPS)

struct histogram {
    uint64_t n, sum, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Start from all zeros. */
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *h, const struct histogram *more);
/* The smallest value that at least @per_million of all values do not exceed, rounded up to the end of its
 * bucket, and never above the maximum; 0 when empty. */
uint64_t histogram_at(const struct histogram *h, uint64_t per_million);
uint64_t histogram_mean(const struct histogram *h);

#endif
