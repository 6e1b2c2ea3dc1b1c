/* SPDX-License-Identifier: MIT */
/* outlier_injection: a share of the numbers lies far outside what their column holds.
 *
 * The bounds are those of the data as it was: mean - magnitude * sd and mean + magnitude * sd, or
 * Q1 - magnitude * IQR and Q3 + magnitude * IQR. A number that is hit becomes one of the two,
 * rounded away from the middle to the decimals of its cell, so that it never lies inside. The
 * intensity scales the rate. */
#include "faults/data/data_fault.h"

enum rule {
    RULE_SIGMA,
    RULE_IQR,
};
enum direction {
    DIRECTION_BOTH,
    DIRECTION_UP,
    DIRECTION_DOWN,
};

struct outlier {
    struct ce_scope_params scope;
    double outlier_rate, magnitude;
    int rule, direction;
};

static const struct ce_choice rules[] = {
    {"sigma", RULE_SIGMA, "standard deviations from the mean"},
    {"iqr", RULE_IQR, "interquartile ranges beyond the quartiles"},
    {NULL, 0, NULL},
};
static const struct ce_choice directions[] = {
    {"both", DIRECTION_BOTH, "up or down, by chance"},
    {"up", DIRECTION_UP, "far above"},
    {"down", DIRECTION_DOWN, "far below"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_RATE(struct outlier, outlier_rate, .def = "0.05",
            .doc = "Share of the numbers that become outliers."),
    CE_NUMBER(struct outlier, magnitude, .min = 0.01, .max = 1e6, .def = "3.0",
              .doc = "How far out, in the units of the rule."),
    CE_CHOICE(struct outlier, rule, .choices = rules, .def = "sigma",
              .doc = "What the distance is measured in."),
    CE_CHOICE(struct outlier, direction, .choices = directions, .def = "both",
              .doc = "To which side."),
    CE_SCOPE_COLUMNS(struct outlier,
                     "Columns that are hit; all numeric ones but the label when none is named."),
    CE_SCOPE_UNITS(struct outlier),
    CE_SCOPE_STAGE(struct outlier),
    CE_END_PARAMS,
};

static int outlier_check(const void *p, struct ce_error *err)
{
    const struct outlier *outlier = p;
    return ce_scope_check(&outlier->scope, CE_MUTATE_CELLS, err);
}

static bool outlier_is_control(const void *p)
{
    const struct outlier *outlier = p;
    return outlier->outlier_rate == 0;
}

/* ---- the mutation ---- */

/* False: the numbers are all alike. */
static bool find_bounds(const struct outlier *outlier, const struct ce_column_profile *column,
                        double *ret_low, double *ret_high)
{
    double low = column->mean, high = column->mean, spread = column->sd;
    if (outlier->rule == RULE_IQR) {
        if (!ce_profile_quantile(column, 0.25, &low) || !ce_profile_quantile(column, 0.75, &high))
            return false;
        spread = high - low;
    }
    *ret_low = low - outlier->magnitude * spread;
    *ret_high = high + outlier->magnitude * spread;
    return spread > 0;
}

static const char *outlier_rewrite(const void *ctx, struct ce_cell *cell)
{
    const struct outlier *const *outlier = ctx;
    int direction = (*outlier)->direction;
    double value, low, high;
    uint64_t words[2];
    if (ce_cell_missing(cell))
        return "missing";
    if (!ce_cell_number(cell, &value))
        return "no number";
    if (!find_bounds(*outlier, cell->profile, &low, &high))
        return "no spread";
    ce_cell_draw(cell, words);
    bool up = direction == DIRECTION_BOTH ? words[0] >> 63 : direction == DIRECTION_UP;
    return up ? ce_cell_set_number(cell, high, CE_FIT_UP)
              : ce_cell_set_number(cell, low, CE_FIT_DOWN);
}

static int outlier_mutate(const void *p, const struct ce_dose *dose,
                          struct ce_mutation *ret_mutation, struct ce_error *err)
{
    const struct outlier *outlier = p;
    const struct outlier **context;
    CE_TRY(ce_scope_begin(&outlier->scope, dose, "outlier_injection", CE_MUTATE_CELLS,
                          outlier->outlier_rate * dose->intensity, sizeof *context, ret_mutation,
                          err));
    context = ret_mutation->ctx;
    *context = outlier;
    ret_mutation->needs = outlier->rule == RULE_IQR ? CE_STAT_QUANTILES : CE_STAT_MOMENTS;
    ret_mutation->numbers_only = true;
    ret_mutation->takes = ce_takes_numbers;
    ret_mutation->rewrite = outlier_rewrite;
    return 0;
}

const struct ce_fault ce_fault_outlier_injection = {
    .name = "outlier_injection",
    .summary = "Make outliers of a share of the numbers, in training data or live requests",
    .params = params,
    .params_size = sizeof(struct outlier),
    .example = "{outlier_rate: 0.05, magnitude: 4, columns: [age]}",
    .check = outlier_check,
    .is_control = outlier_is_control,
    .mutate = outlier_mutate,
    CE_DATA_FAULT_CALLBACKS,
};
