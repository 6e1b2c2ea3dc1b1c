/* SPDX-License-Identifier: MIT */
/* missing_data: a share of the values is not there any more. In the dataset the cell becomes empty,
 * in a live request the value becomes null. What is missing already is skipped. See data_fault.h
 * for how it is done and undone. */
#include <string.h>

#include "faults/data/data_fault.h"

struct missing {
    double missing_rate;
    struct ce_names columns;
    int stage;
};

static const struct ce_param params[] = {
    CE_RATE(struct missing, missing_rate, .def = "0.2",
            .doc = "Share of the cells that become missing."),
    CE_NAMES(struct missing, columns, .def = "",
             .doc = "Columns that lose values; all but the label when none is named."),
    CE_CHOICE(struct missing, stage, .choices = ce_stages, .def = "train",
              .doc = "Where the values are lost."),
    CE_END_PARAMS,
};

static unsigned missing_needs(const void *p)
{
    const struct missing *missing = p;
    return ce_data_fault_needs(missing->stage);
}

static bool missing_is_control(const void *p)
{
    const struct missing *missing = p;
    return missing->missing_rate == 0;
}

static bool missing_takes_column(const struct ce_column_profile *column)
{
    return true;
}

static int missing_rewrite(void *unused, const struct ce_cell *cell, char *text, size_t size,
                           const char **ret_reason)
{
    if (ce_csv_missing(cell->cell)) {
        *ret_reason = "missing";
        return -1;
    }
    /* Nothing at all would make the row a blank line. */
    return snprintf(text, size, "%s", cell->alone ? "\"\"" : "");
}

static const char *missing_rewrite_live(const struct ce_live_cell *cell, char *text, size_t size)
{
    snprintf(text, size, "null");
    return NULL;
}

static int missing_inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct missing *missing = injection->params;
    struct ce_data_recipe recipe = {
        .rate = missing->missing_rate,
        .columns = &missing->columns,
        .stage = missing->stage,
        .takes_column = missing_takes_column,
        .rewrite = missing_rewrite,
        .rewrite_live = missing_rewrite_live,
    };
    return ce_data_fault_inject(injection, &recipe, err);
}

const struct ce_fault ce_fault_missing_data = {
    .name = "missing_data",
    .summary = "Empty a share of the cells, in the training data or in live requests",
    .layer = CE_LAYER_DATA,
    .needs = CE_NEEDS_DATASET,
    .params = params,
    .params_size = sizeof(struct missing),
    .state_size = sizeof(struct ce_data_fault),
    .example = "{missing_rate: 0.2, stage: serve}",
    .needs_of = missing_needs,
    .is_control = missing_is_control,
    .inject = missing_inject,
    .verify = ce_data_fault_verify,
    .adjust = ce_data_fault_adjust,
    .revert = ce_data_fault_revert,
    .verify_undo = ce_data_fault_verify_undo,
    .count = ce_data_fault_count,
};
