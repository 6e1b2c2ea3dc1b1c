/* SPDX-License-Identifier: MIT */
/* missing_data: a share of the values is not there any more.
 *
 * What stands in their place is up to `as`: by default an empty cell, in JSON null; or one of the
 * words that readers take for nothing; or, in JSON lines, not even the key. What is missing already
 * is skipped. The intensity scales the rate. */
#include <string.h>

#include "faults/data/data_fault.h"

struct missing {
    struct ce_scope_params scope;
    double missing_rate;
    char *as;
};

static const struct ce_param params[] = {
    CE_RATE(struct missing, missing_rate, .def = "0.2",
            .doc = "Share of the cells that become missing."),
    CE_SCOPE_COLUMNS(struct missing,
                     "Columns that lose values; all but the label when none is named."),
    CE_TEXT(struct missing, as, .def = "empty",
            .doc = "What is written instead: empty (null in JSON), NA, NaN, null, NULL, None, N/A, "
                   "\\N, or absent (JSON lines: the key is left out)."),
    CE_SCOPE_UNITS(struct missing),
    CE_SCOPE_STAGE(struct missing),
    CE_END_PARAMS,
};

static const char *const spellings[] = {"empty", "NA",  "NaN", "null",  "NULL",
                                        "None",  "N/A", "\\N", "absent"};

static int missing_check(const void *p, struct ce_error *err)
{
    const struct missing *missing = p;
    bool known = false;
    for (size_t i = 0; i < CE_COUNT(spellings); i++)
        known = known || strcmp(missing->as, spellings[i]) == 0;
    if (!known) {
        char shown[CE_TEXT_SHOWN_SIZE];
        ce_text_show(missing->as, shown);
        return ce_fail(err, EINVAL,
                       "as: '%s' is not one of empty, NA, NaN, null, NULL, None, N/A, \\N, absent",
                       shown);
    }
    if (strcmp(missing->as, "absent") == 0 && missing->scope.stage == CE_STAGE_SERVE)
        return ce_fail(err, EINVAL,
                       "as: absent leaves out keys of JSON lines, so it goes with stage: train");
    return ce_scope_check(&missing->scope, CE_MUTATE_CELLS, err);
}

static bool missing_is_control(const void *p)
{
    const struct missing *missing = p;
    return missing->missing_rate == 0;
}

static bool missing_takes(const void *ctx, const struct ce_column_profile *column)
{
    return true;
}

static const char *missing_rewrite(const void *ctx, struct ce_cell *cell)
{
    const char *const *spelling = ctx;
    return ce_cell_missing(cell) ? "missing" : ce_cell_set_missing(cell, *spelling);
}

static int missing_mutate(const void *p, const struct ce_dose *dose,
                          struct ce_mutation *ret_mutation, struct ce_error *err)
{
    const struct missing *missing = p;
    const char **spelling;
    CE_TRY(ce_scope_begin(&missing->scope, dose, "missing_data", CE_MUTATE_CELLS,
                          missing->missing_rate * dose->intensity, sizeof *spelling, ret_mutation,
                          err));
    spelling = ret_mutation->ctx;
    *spelling = strcmp(missing->as, "empty") == 0 ? NULL : missing->as;
    ret_mutation->takes = missing_takes;
    ret_mutation->rewrite = missing_rewrite;
    return 0;
}

const struct ce_fault ce_fault_missing_data = {
    .name = "missing_data",
    .summary = "Empty a share of the cells, in the training data or in live requests",
    .params = params,
    .params_size = sizeof(struct missing),
    .example = "{missing_rate: 0.2, stage: serve}",
    .check = missing_check,
    .is_control = missing_is_control,
    .mutate = missing_mutate,
    CE_DATA_FAULT_CALLBACKS,
};
