/* SPDX-License-Identifier: MIT */
/* Values below 128 have a bucket each. Above, a value is known by the position of its highest bit
 * and the six bits below that one: 64 steps in every power of two. A bucket speaks with the value
 * in its middle, which is at most half a step, 1/128, away from any value in it. */
#include "pipeline/histogram.h"

#include <math.h>
#include <stddef.h>

enum { STEP_BITS = 6 };

/* How many low bits the bucket of `value` does not tell apart. */
static int shift_of(uint64_t value)
{
    int highest = 63 - __builtin_clzll(value | 1);
    return highest > STEP_BITS ? highest - STEP_BITS : 0;
}

void ce_histogram_add(struct ce_histogram *histogram, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    int shift = shift_of(value);
    histogram->buckets[((size_t)shift << STEP_BITS) + (size_t)(value >> shift)]++;
    histogram->count++;
    if (histogram->max < (int64_t)value)
        histogram->max = (int64_t)value;
}

/* Buckets that hold nothing are not written: memory that was never touched stays so. */
void ce_histogram_move(struct ce_histogram *into, struct ce_histogram *from)
{
    for (size_t i = 0; i < CE_HISTOGRAM_BUCKETS && from->count > 0; i++)
        if (from->buckets[i] > 0) {
            into->buckets[i] += from->buckets[i];
            from->buckets[i] = 0;
        }
    into->count += from->count;
    if (into->max < from->max)
        into->max = from->max;
    from->count = 0;
    from->max = 0;
}

static int64_t middle_of(size_t bucket)
{
    if (bucket < 2u << STEP_BITS)
        return (int64_t)bucket;
    int shift = (int)(bucket >> STEP_BITS) - 1;
    uint64_t step = bucket - ((size_t)shift << STEP_BITS);
    return (int64_t)((step << shift) + (UINT64_C(1) << shift >> 1));
}

int64_t ce_histogram_quantile(const struct ce_histogram *histogram, double q)
{
    /* Less than one part in 10^12 off, so that 0.07 of 100 samples, 7.000000000000001 in doubles,
     * are 7. */
    double rank = ceil(q * (double)histogram->count * (1 - 1e-12));
    if (rank >= (double)histogram->count)
        return histogram->max;

    uint64_t seen = 0;
    for (size_t i = 0; i < CE_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= rank)
            return middle_of(i) < histogram->max ? middle_of(i) : histogram->max;
    }
    return histogram->max;
}

uint64_t ce_histogram_within(const struct ce_histogram *histogram, int64_t ns)
{
    uint64_t within = 0;
    for (size_t i = 0; i < CE_HISTOGRAM_BUCKETS && middle_of(i) <= ns; i++)
        within += histogram->buckets[i];
    return within;
}
