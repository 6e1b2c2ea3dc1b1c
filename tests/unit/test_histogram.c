/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "check.h"
#include "pipeline/histogram.h"

static struct ce_histogram *histogram_of(const int64_t *values, size_t count)
{
    struct ce_histogram *histogram = calloc(1, sizeof *histogram);
    for (size_t i = 0; i < count; i++)
        ce_histogram_add(histogram, values[i]);
    return histogram;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool is_near(int64_t got, int64_t want)
{
    return fabs((double)got - (double)want) <= 0.01 * (double)want;
}

/* The larger of two values is exact; so the smaller one shows what its bucket says. */
static int64_t seen_as(int64_t value)
{
    struct ce_histogram *histogram = histogram_of((int64_t[]){value, INT64_MAX}, 2);
    int64_t seen = ce_histogram_quantile(histogram, 0.5);
    free(histogram);
    return seen;
}

static void an_empty_histogram_says_zero(void)
{
    struct ce_histogram *histogram = histogram_of(NULL, 0);
    CHECK(ce_histogram_quantile(histogram, 0) == 0);
    CHECK(ce_histogram_quantile(histogram, 0.99) == 0);
    CHECK(ce_histogram_quantile(histogram, 1) == 0);
    free(histogram);
}

static void every_edge_is_within_one_percent(void)
{
    for (int64_t value = 0; value < 4096; value++)
        CHECK(is_near(seen_as(value), value));
    for (int64_t value = 0; value < 128; value++)
        CHECK(seen_as(value) == value);
    for (int bit = 7; bit < 63; bit++)
        for (int64_t off = -1; off <= 1; off++) {
            int64_t power = (int64_t)1 << bit;
            CHECK(is_near(seen_as(power + off), power + off));
            /* The ends of a bucket in the middle of the octave. */
            CHECK(is_near(seen_as(power + power / 2 + off), power + power / 2 + off));
        }
    CHECK(is_near(seen_as(INT64_MAX - 1), INT64_MAX - 1));
}

static void random_values_are_within_one_percent(void)
{
    struct ce_stream stream = ce_stream_init(1, "test", "histogram");
    for (uint64_t n = 0; n < 20000; n++) {
        uint64_t words[2];
        ce_stream_draw(&stream, n, words);
        /* A random number of leading zeros: every order of magnitude gets its share. */
        int64_t value = (int64_t)(words[0] >> (1 + words[1] % 63));
        CHECK(is_near(seen_as(value), value));
    }
}

static void quantiles_are_those_of_the_sorted_samples(void)
{
    enum { N = 5000 };
    static const double quantiles[] = {0, 0.001, 0.07, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
    struct ce_stream stream = ce_stream_init(2, "test", "histogram");
    int64_t *values = calloc(N, sizeof *values);
    for (uint64_t n = 0; n < N; n++)
        values[n] = (int64_t)(exp(3 * ce_stream_normal(&stream, n)) * (double)CE_MILLISECOND);
    struct ce_histogram *histogram = histogram_of(values, N);
    qsort(values, N, sizeof *values, ascending);
    for (size_t i = 0; i < CE_COUNT(quantiles); i++) {
        size_t rank = (size_t)llround(quantiles[i] * N);
        CHECK(is_near(ce_histogram_quantile(histogram, quantiles[i]),
                      values[rank > 0 ? rank - 1 : 0]));
    }
    CHECK(histogram->count == N);
    CHECK(ce_histogram_quantile(histogram, 1) == values[N - 1]);
    free(histogram);
    free(values);
}

static void ranks_are_not_moved_by_rounding(void)
{
    int64_t values[100];
    for (int i = 0; i < 100; i++)
        values[i] = i + 1;
    struct ce_histogram *histogram = histogram_of(values, 100);
    for (int percent = 1; percent <= 100; percent++)
        CHECK(ce_histogram_quantile(histogram, percent / 100.0) == percent);
    free(histogram);
}

static void no_quantile_exceeds_the_largest_sample(void)
{
    int64_t values[] = {1000000, 1000001, 1000002};
    struct ce_histogram *histogram = histogram_of(values, 3);
    CHECK(ce_histogram_quantile(histogram, 0.5) <= 1000002);
    CHECK(ce_histogram_quantile(histogram, 1) == 1000002);
    free(histogram);
}

static void negative_values_count_as_zero(void)
{
    struct ce_histogram *histogram = histogram_of((int64_t[]){-5, INT64_MIN}, 2);
    CHECK(histogram->count == 2);
    CHECK(ce_histogram_quantile(histogram, 0.5) == 0);
    CHECK(histogram->max == 0);
    free(histogram);
}

int main(void)
{
    TEST(an_empty_histogram_says_zero);
    TEST(every_edge_is_within_one_percent);
    TEST(random_values_are_within_one_percent);
    TEST(quantiles_are_those_of_the_sorted_samples);
    TEST(ranks_are_not_moved_by_rounding);
    TEST(no_quantile_exceeds_the_largest_sample);
    TEST(negative_values_count_as_zero);
    return test_done();
}
