/* SPDX-License-Identifier: MIT */
/* row_drop: a share of the rows is gone, as after a failed load or a filter that was too strict.
 * The rows that are left keep every byte. The intensity scales the rate. */
#include "faults/data/data_fault.h"

struct drop {
    struct ce_scope_params scope;
    double drop_rate;
};

static const struct ce_param params[] = {
    CE_RATE(struct drop, drop_rate, .def = "0.1", .doc = "Share of the rows that disappear."),
    CE_SCOPE_UNITS(struct drop),
    CE_END_PARAMS,
};

static int drop_check(const void *p, struct ce_error *err)
{
    const struct drop *drop = p;
    return ce_scope_check(&drop->scope, CE_MUTATE_ROWS, err);
}

static bool drop_is_control(const void *p)
{
    const struct drop *drop = p;
    return drop->drop_rate == 0;
}

static int drop_mutate(const void *p, const struct ce_dose *dose, struct ce_mutation *ret_mutation,
                       struct ce_error *err)
{
    const struct drop *drop = p;
    CE_TRY(ce_scope_begin(&drop->scope, dose, "row_drop", CE_MUTATE_ROWS,
                          drop->drop_rate * dose->intensity, 0, ret_mutation, err));
    ret_mutation->fate = CE_ROW_DROP;
    return 0;
}

const struct ce_fault ce_fault_row_drop = {
    .name = "row_drop",
    .summary = "Remove a share of the rows of the training data",
    .params = params,
    .params_size = sizeof(struct drop),
    .example = "{drop_rate: 0.2, where: age > 60}",
    .check = drop_check,
    .is_control = drop_is_control,
    .mutate = drop_mutate,
    CE_DATA_FAULT_CALLBACKS,
};
