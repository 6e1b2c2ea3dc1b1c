/* SPDX-License-Identifier: MIT */
/* Quantiles of any number of values in bounded memory.
 *
 * A sketcher takes values one by one, or those of another sketcher; a sketch is what it has seen,
 * for queries. Exact up to CE_SKETCH_EXACT values; beyond, a rank is off by at most 0.5 % of the
 * count. The same values in the same order give the same sketch everywhere. */
#ifndef CE_DATA_STATS_SKETCH_H
#define CE_DATA_STATS_SKETCH_H

#include <stddef.h>
#include <stdint.h>

#define CE_SKETCH_EXACT 4096

struct ce_sketcher;
struct ce_sketcher *ce_sketcher_new(void); /* NULL: no memory */
void ce_sketcher_free(struct ce_sketcher *sketcher);
void ce_sketcher_clear(struct ce_sketcher *sketcher);
/* 0 or -ENOMEM; then it is good for nothing but being freed or cleared. No NaN. */
int ce_sketcher_add(struct ce_sketcher *sketcher, double value);
/* Takes in what `from` has seen, each value through `as` (NULL: as it is). 0 or -ENOMEM. */
int ce_sketcher_merge(struct ce_sketcher *into, const struct ce_sketcher *from,
                      double (*as)(double value));

/* Different values in ascending order, and how many of the `count` are at most each of them. */
struct ce_sketch {
    uint64_t count;
    double min, max;
    size_t size;
    struct ce_sketch_step {
        double value;
        uint64_t upto;
    } steps[];
};
void ce_sketch_free(struct ce_sketch *sketch); /* NULL is fine */
/* Of what has been seen; *ret_sketch is NULL when that is nothing. 0 or -ENOMEM. */
int ce_sketcher_end(const struct ce_sketcher *sketcher, struct ce_sketch **ret_sketch);
/* Of values with how often each occurs (in `upto`, for once), in any order; the array is left
 * sorted. NULL: no memory. count > 0. */
struct ce_sketch *ce_sketch_of(struct ce_sketch_step *values, size_t count);

/* The q-quantile, q in 0..1, between neighbouring values in proportion; 0 and 1 give the exact
 * minimum and maximum. */
double ce_sketch_quantile(const struct ce_sketch *sketch, double q);
/* The share of the values that are at most `value`; below it. */
double ce_sketch_upto(const struct ce_sketch *sketch, double value);
double ce_sketch_below(const struct ce_sketch *sketch, double value);

#endif
