/* SPDX-License-Identifier: MIT */
/* stale_data: old rows come again, as from a queue that is read twice or a cache that was not
 * cleared. A share of the rows is repeated `lag` rows further down, between newer ones; what would
 * come after the last row stands at the end. The intensity scales the rate. */
#include "faults/data/data_fault.h"

struct stale {
    struct ce_scope_params scope;
    double stale_rate;
    int64_t lag;
};

static const struct ce_param params[] = {
    CE_RATE(struct stale, stale_rate, .def = "0.1",
            .doc = "Share of the rows that come a second time."),
    CE_INTEGER(struct stale, lag, .min = 1, .max = CE_LAG_MAX, .def = "1000", .unit = "rows",
               .doc = "How many rows later."),
    CE_SCOPE_UNITS(struct stale),
    CE_END_PARAMS,
};

static int stale_check(const void *p, struct ce_error *err)
{
    const struct stale *stale = p;
    return ce_scope_check(&stale->scope, CE_MUTATE_ROWS, err);
}

static bool stale_is_control(const void *p)
{
    const struct stale *stale = p;
    return stale->stale_rate == 0;
}

static int stale_mutate(const void *p, const struct ce_dose *dose, struct ce_mutation *ret_mutation,
                        struct ce_error *err)
{
    const struct stale *stale = p;
    CE_TRY(ce_scope_begin(&stale->scope, dose, "stale_data", CE_MUTATE_ROWS,
                          stale->stale_rate * dose->intensity, 0, ret_mutation, err));
    ret_mutation->fate = CE_ROW_COPY;
    ret_mutation->place = CE_PLACE_LATER;
    ret_mutation->lag = (uint64_t)stale->lag;
    return 0;
}

const struct ce_fault ce_fault_stale_data = {
    .name = "stale_data",
    .summary = "Replay old rows of the training data among newer ones",
    .params = params,
    .params_size = sizeof(struct stale),
    .example = "{stale_rate: 0.1, lag: 500}",
    .check = stale_check,
    .is_control = stale_is_control,
    .mutate = stale_mutate,
    CE_DATA_FAULT_CALLBACKS,
};
