/* SPDX-License-Identifier: MIT */
/* Latency histogram: log-linear buckets, relative error of a quantile at most 1 %. Fixed memory, no
 * allocation. */
#ifndef CE_PIPELINE_HISTOGRAM_H
#define CE_PIPELINE_HISTOGRAM_H

#include <stdint.h>

/* 64 linear steps in every power of two: half a step is 0.8 %. Values from 0 to 2^63 - 1 ns. */
#define CE_HISTOGRAM_BUCKETS (64 * 58)

struct ce_histogram {
    uint64_t count;
    int64_t max; /* exact */
    uint32_t buckets[CE_HISTOGRAM_BUCKETS];
};

void ce_histogram_add(struct ce_histogram *histogram, int64_t ns);
/* Adds the samples of `from`, which is empty afterwards. */
void ce_histogram_move(struct ce_histogram *into, struct ce_histogram *from);
/* The value below or at which a share q (0..1) of the samples lies; 0 when there are none. */
int64_t ce_histogram_quantile(const struct ce_histogram *histogram, double q);
/* How many of the samples are at most `ns`, as exactly as quantiles are. */
uint64_t ce_histogram_within(const struct ce_histogram *histogram, int64_t ns);

#endif
