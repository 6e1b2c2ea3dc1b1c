/* SPDX-License-Identifier: MIT */
/* What a row of measurements says: where it lies, where it goes, where it broke. Pure. */
#ifndef CE_HISTORY_STATISTICS_H
#define CE_HISTORY_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>

struct ce_moments {
    size_t count;
    double mean, sd, min, max; /* NaN: too few; sd is the sample's (n - 1) */
};
void ce_moments_of(const double *values, size_t count, struct ce_moments *ret_moments);

/* The line through points by least squares, and the interval in which its slope lies with that
 * confidence if the errors are normal and independent. All NaN with fewer than three points, or
 * when all have the same place. */
struct ce_slope {
    double slope, low, high;
};
void ce_slope_of(const double *places, const double *values, size_t count, double confidence,
                 struct ce_slope *ret_slope);

/* Student's t: the value that a share of all deviates lies below. `share` in (0.5, 1), degrees of
 * freedom >= 1. */
double ce_student_quantile(double share, double degrees);

/* Where the mean of a row changed for good: the first index of each new level, ascending. At most
 * `most` of them are written; returns how many. -1: no memory.
 *
 * The row is cut into levels so that the sum of squares about their means, plus a price for each
 * cut, is least (optimal partitioning with the pruning of PELT: Killick, Fearnhead, Eckley, 2012).
 * The price is 4 s^2 log n, where s is the noise from one value to the next (without the largest
 * steps, so that the changes themselves do not count), but at least `least_noise`. A level has at
 * least three values. Before, every value is replaced by the median of itself and its neighbours:
 * one that is alone is no level. Of very long rows first a grid is looked at, then the
 * neighbourhood of what was found. */
long ce_changes_of(const double *values, size_t count, double least_noise, size_t *ret_changes,
                   size_t most);

#endif
