/*
 * The histogram against a sorted array, its dumb twin.
 */
#include "cli/histogram.h"

#include "base/prng.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#define N 10000u

static int compare(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static void percentiles_are_within_a_bucket_of_the_truth(void)
{
    static uint64_t values[N];
    static const uint64_t points[] = {0, 1, 250000, 500000, 900000, 999000, 999900, 1000000};
    for (unsigned scale = 1; scale < 60; scale += 7) {
        ROW("values of up to %u bits", scale + 1);
        struct prng p = {scale};
        static struct histogram h;
        memset(&h, 0, sizeof h);
        for (unsigned i = 0; i < N; i++) {
            values[i] = prng_next(&p) >> (63 - scale);
            histogram_add(&h, values[i]);
        }
        qsort(values, N, sizeof values[0], compare);
        for (size_t k = 0; k < ARRAY_LEN(points); k++) {
            uint64_t place = (N * points[k] + 999999) / 1000000;
            uint64_t want = values[place > 0 ? place - 1 : 0];
            uint64_t got = histogram_at(&h, points[k]);
            CHECK(got >= want);
            CHECK(got - want <= want / HISTOGRAM_STEPS);
        }
        CHECK_EQ(histogram_at(&h, 1000000), values[N - 1]);
        CHECK_EQ(h.n, N);
    }
}

static void an_empty_one_is_zero(void)
{
    static struct histogram h;
    CHECK_EQ(histogram_at(&h, 500000), 0);
    CHECK_EQ(histogram_mean(&h), 0);
}

static void the_largest_number_has_a_bucket(void)
{
    static struct histogram h;
    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, 0);
    CHECK_EQ(histogram_at(&h, 1000000), UINT64_MAX);
    CHECK_EQ(histogram_at(&h, 500000), 0);
}

static void merging_is_adding(void)
{
    static struct histogram a, b, both;
    for (uint64_t i = 0; i < 1000; i++) {
        histogram_add(i % 3 == 0 ? &a : &b, i * i);
        histogram_add(&both, i * i);
    }
    histogram_merge(&a, &b);
    CHECK(memcmp(&a, &both, sizeof a) == 0);
    CHECK_EQ(histogram_mean(&a), histogram_mean(&both));
}

TEST_MAIN(TEST(percentiles_are_within_a_bucket_of_the_truth), TEST(an_empty_one_is_zero),
          TEST(the_largest_number_has_a_bucket), TEST(merging_is_adding))
