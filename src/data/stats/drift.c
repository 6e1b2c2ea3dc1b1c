/* SPDX-License-Identifier: MIT */
#include "data/stats/drift.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "data/stats/distance.h"

CE_DEFINE_CLEANUP(struct ce_sketch, ce_sketch_free);

/* ---- numbers and times ---- */

/* The distribution of all numbers, from the categories; NULL when one is no plain number. */
static int exact_sketch(const struct ce_column_profile *column, struct ce_sketch **ret_sketch)
{
    size_t count = column->category_count;
    ce_autofree struct ce_sketch_step *steps = calloc(count, sizeof *steps);
    if (!steps)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct ce_category *category = &column->categories[i];
        if (strlen(category->text) != category->size ||
            ce_text_number(category->text, &steps[i].value) < 0)
            return 0;
        steps[i].upto = category->count;
    }
    *ret_sketch = ce_sketch_of(steps, count);
    return *ret_sketch ? 0 : -ENOMEM;
}

/* Where the sketch is an estimate and the categories are not, they are the better source. */
static int distribution(const struct ce_column_profile *column, struct ce_sketch **ret_own,
                        const struct ce_sketch **ret_sketch)
{
    if (column->numeric && column->category_count > 0 && column->sketch->count > CE_SKETCH_EXACT &&
        exact_sketch(column, ret_own) < 0)
        return -ENOMEM;
    bool exact = *ret_own && (*ret_own)->count == column->sketch->count;
    *ret_sketch = exact ? *ret_own : column->sketch;
    return 0;
}

enum { EDGES = 11, BINS = EDGES + 1 };

/* The deciles of the reference, and what lies outside its range. Equal edges make empty bins. */
static void fill_bins(const struct ce_sketch *before, const struct ce_sketch *after,
                      struct ce_bin bins[BINS])
{
    struct ce_bin below = {0}, upto = {0};
    for (size_t i = 0; i < BINS; i++) {
        if (i == 0)
            upto = (struct ce_bin){0, ce_sketch_below(after, before->min)};
        else if (i == BINS - 1)
            upto = (struct ce_bin){1, 1};
        else {
            double edge = ce_sketch_quantile(before, (double)i / (EDGES - 1));
            upto = (struct ce_bin){ce_sketch_upto(before, edge), ce_sketch_upto(after, edge)};
        }
        bins[i] =
            (struct ce_bin){fmax(upto.before - below.before, 0), fmax(upto.after - below.after, 0)};
        below = upto;
    }
}

static double sketch_sd(const struct ce_sketch *sketch)
{
    double mean = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint64_t below = 0;
        for (size_t i = 0; i < sketch->size; i++) {
            double share = (double)(sketch->steps[i].upto - below) / (double)sketch->count;
            double value = sketch->steps[i].value;
            below = sketch->steps[i].upto;
            if (pass == 0)
                mean += share * value;
            else
                squares += share * (value - mean) * (value - mean);
        }
    }
    return sqrt(squares);
}

/* In a constant column one step of a thousandth is the unit: any other would be as good, and none
 * would hide every change. */
static double unit_of(double sd)
{
    return sd > 0 ? sd : 1e-3;
}

static void compare_numbers(const struct ce_sketch *before, const struct ce_sketch *after,
                            struct ce_drift_column *column)
{
    const struct ce_column_profile *b = column->before, *a = column->after;
    double q1 = ce_sketch_quantile(before, 0.25), q3 = ce_sketch_quantile(before, 0.75);
    double reach = 1.5 * (q3 - q1);
    column->outside_fences =
        ce_sketch_below(after, q1 - reach) + (1 - ce_sketch_upto(after, q3 + reach));
    if (b->sd > 0)
        column->max_z = fmax(fabs(a->min - b->mean), fabs(a->max - b->mean)) / b->sd;
    /* The distance of the means is known exactly and never larger. */
    column->wasserstein = fmax(column->wasserstein, fabs(a->mean - b->mean) / unit_of(b->sd));
}

static int compare_distributions(struct ce_drift_column *column)
{
    CE_CLEANUP(ce_sketch_free_p) struct ce_sketch *own_before = NULL, *own_after = NULL;
    const struct ce_sketch *before, *after;
    struct ce_bin bins[BINS];
    if (distribution(column->before, &own_before, &before) < 0 ||
        distribution(column->after, &own_after, &after) < 0)
        return -ENOMEM;
    double sd = column->before->numeric ? column->before->sd : sketch_sd(before);
    column->ks = ce_distance_ks(before, after);
    column->ks_p = ce_p_of_ks(column->ks, (double)(column->before->cells - column->before->missing),
                              (double)(column->after->cells - column->after->missing));
    column->wasserstein = ce_distance_wasserstein(before, after) / unit_of(sd);
    fill_bins(before, after, bins);
    column->psi = ce_distance_psi(bins, BINS);
    column->js = ce_distance_js(bins, BINS);
    if (column->before->numeric)
        compare_numbers(before, after, column);
    return 0;
}

/* ---- categories ---- */

static int by_text(const void *a, const void *b)
{
    const struct ce_category *x = *(const struct ce_category *const *)a;
    const struct ce_category *y = *(const struct ce_category *const *)b;
    size_t shorter = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->text, y->text, shorter);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

static const struct ce_category **sorted_categories(const struct ce_column_profile *column)
{
    const struct ce_category **sorted = calloc(column->category_count, sizeof *sorted);
    if (!sorted)
        return NULL;
    for (size_t i = 0; i < column->category_count; i++)
        sorted[i] = &column->categories[i];
    qsort(sorted, column->category_count, sizeof *sorted, by_text);
    return sorted;
}

static int compare_categories(struct ce_drift_column *column)
{
    size_t n = column->before->category_count, m = column->after->category_count, count = 0;
    ce_autofree const struct ce_category **before = sorted_categories(column->before);
    ce_autofree const struct ce_category **after = sorted_categories(column->after);
    ce_autofree struct ce_bin *bins = calloc(n + m, sizeof *bins);
    if (!before || !after || !bins)
        return -ENOMEM;
    for (size_t i = 0, j = 0; i < n || j < m; count++) {
        int order = i == n ? 1 : j == m ? -1 : by_text(&before[i], &after[j]);
        column->new_categories += order > 0;
        if (order <= 0)
            bins[count].before = (double)before[i++]->count;
        if (order >= 0)
            bins[count].after = (double)after[j++]->count;
    }
    column->psi = ce_distance_psi(bins, count);
    column->js = ce_distance_js(bins, count);
    column->counts_p = ce_p_of_counts(bins, count);
    column->cramers_v = ce_distance_cramers_v(bins, count);
    return 0;
}

/* ---- columns ---- */

static double missing_share(const struct ce_profile *profile,
                            const struct ce_column_profile *column)
{
    uint64_t there = column->cells - column->missing;
    if (there >= profile->rows)
        return 0;
    return (double)(profile->rows - there) / (double)profile->rows;
}

/* A profile that was loaded may have only the most frequent ones. */
static bool all_categories(const struct ce_column_profile *column)
{
    return column->category_count > 0 && column->distinct <= column->category_count;
}

static int compare_column(struct ce_drift_column *column)
{
    const struct ce_column_profile *before = column->before, *after = column->after;
    bool ordered = (before->numeric && after->numeric) ||
                   (before->type == CE_TYPE_TIME && after->type == CE_TYPE_TIME);
    if (all_categories(before) && all_categories(after) && compare_categories(column) < 0)
        return -ENOMEM;
    if (!ordered || !before->sketch || !after->sketch)
        return 0;
    column->new_categories = 0; /* among numbers a new one is nothing new */
    return compare_distributions(column);
}

int ce_drift_compare(const struct ce_profile *reference, const struct ce_profile *current,
                     struct ce_drift_column **ret_columns, size_t *ret_count, struct ce_error *err)
{
    size_t count = 0;
    ce_autofree struct ce_drift_column *columns =
        calloc(reference->column_count + 1, sizeof *columns);
    if (!columns)
        return ce_fail_memory(err);
    for (size_t i = 0; i < reference->column_count; i++) {
        const struct ce_column_profile *before = &reference->columns[i];
        const struct ce_column_profile *after = ce_profile_column(current, before->name);
        if (!after)
            continue;
        struct ce_drift_column *column = &columns[count++];
        *column = (struct ce_drift_column){
            .name = before->name,
            .before = before,
            .after = after,
            .type = before->type,
            .ks = NAN,
            .ks_p = NAN,
            .psi = NAN,
            .wasserstein = NAN,
            .js = NAN,
            .max_z = NAN,
            .outside_fences = NAN,
            .missing_before = missing_share(reference, before),
            .missing_after = missing_share(current, after),
            .counts_p = NAN,
            .cramers_v = NAN,
        };
        if (compare_column(column) < 0)
            return ce_fail_memory(err);
    }
    *ret_columns = ce_take(columns);
    *ret_count = count;
    return 0;
}
