/* SPDX-License-Identifier: MIT */
/* How far apart two distributions are, and how likely that is by chance. The same bits on every
 * machine: logarithm and exponential are of this file. */
#ifndef CE_DATA_STATS_DISTANCE_H
#define CE_DATA_STATS_DISTANCE_H

#include "data/stats/sketch.h"

/* Largest difference of the distribution functions. */
double ce_distance_ks(const struct ce_sketch *a, const struct ce_sketch *b);
/* Area between the distribution functions, in the unit of the values. */
double ce_distance_wasserstein(const struct ce_sketch *a, const struct ce_sketch *b);

/* How much lies in one bin, or category, before and after: counts, or anything in proportion. */
struct ce_bin {
    double before, after;
};
/* Population stability index; a bin that is empty on one side counts as CE_PSI_FLOOR there. */
#define CE_PSI_FLOOR 1e-4
double ce_distance_psi(const struct ce_bin *bins, size_t count);
/* Jensen-Shannon distance, base 2: 0 .. 1. */
double ce_distance_js(const struct ce_bin *bins, size_t count);
/* Cramer's V of "before or after" and category, corrected for bias; counts. */
double ce_distance_cramers_v(const struct ce_bin *bins, size_t count);

/* p-values: of a KS distance between samples of these sizes (asymptotic, with Stephens'
 * correction); of a chi-square statistic; that the counts after come from the distribution before
 * (two categories: that both are of one, by the z-test for proportions). */
double ce_p_of_ks(double distance, double n, double m);
double ce_p_of_chi_square(double statistic, size_t degrees);
double ce_p_of_counts(const struct ce_bin *bins, size_t count);

/* Natural logarithm of a positive number; e to the x. */
double ce_ln(double x);
double ce_exp(double x);

#endif
