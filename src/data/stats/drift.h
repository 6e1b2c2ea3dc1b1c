/* SPDX-License-Identifier: MIT */
/* How far a table has moved from a reference, in the statistics that drift monitors test, with
 * their usual thresholds: whether a check would have seen it.
 *
 * Two columns of numbers, or of times, are compared as distributions: from the sketches, or exactly
 * where there are few enough rows or values. Others are compared by their categories, if both have
 * them. */
#ifndef CE_DATA_STATS_DRIFT_H
#define CE_DATA_STATS_DRIFT_H

#include <jansson.h>

#include "data/profile.h"

struct ce_drift_column {
    const char *name; /* borrowed from the reference's profile, as are the next two */
    const struct ce_column_profile *before, *after;
    enum ce_column_type type; /* of the reference */
    /* NAN where it has no meaning for the column */
    double ks, ks_p; /* Kolmogorov-Smirnov: largest distance of the distribution functions, and its
                        p-value (numbers, times) */
    double psi; /* population stability index: of the reference's deciles and what lies outside its
                   range, or of the categories; empty bins count as CE_PSI_FLOOR */
    double wasserstein;    /* of numbers and times, divided by the reference's sd */
    double js;             /* Jensen-Shannon distance, base 2; bins as for psi */
    double max_z;          /* largest |z| of the current values, by the reference's mean and sd */
    double outside_fences; /* share of the current values outside Q1 - 1.5 IQR .. Q3 + 1.5 IQR of
                              the reference */
    double missing_before, missing_after; /* shares of the rows; absent cells are missing */
    double counts_p, cramers_v; /* of categories: p-value (chi-square; two of them: z-test), and
                                   association with the table */
    uint64_t new_categories;
};
/* The columns that both have, in the reference's order. free() *ret_columns. */
int ce_drift_compare(const struct ce_profile *reference, const struct ce_profile *current,
                     struct ce_drift_column **ret_columns, size_t *ret_count, struct ce_error *err);

/* As JSON: what `data profile --json` prints. NULL: no memory. Drift comes with the checks of
 * monitoring tools that look at it; a check "fires" when it does on the current table and would not
 * have on the reference. */
json_t *ce_profile_json(const struct ce_profile *profile);
json_t *ce_drift_json(const struct ce_profile *reference, const struct ce_profile *current);
/* What concerns the table as a whole: rows, columns and their order, duplicates. */
json_t *ce_drift_table_json(const struct ce_profile *reference, const struct ce_profile *current);

/* What ce_profile_json() wrote, read again: for `--stats FILE`. Of quantiles and categories it has
 * those that were written: quantiles between them are interpolated. */
int ce_profile_load(const char *path, struct ce_profile *ret_profile, struct ce_error *err);

#endif
