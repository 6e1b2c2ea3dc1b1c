/* SPDX-License-Identifier: MIT */
/* What parser and printers of the tables share: the words for what a row accepts. */
#ifndef CE_PARAMS_PARAMS_INTERNAL_H
#define CE_PARAMS_PARAMS_INTERNAL_H

#include "params/params.h"

/* Both 0 in the row means: none. */
static inline bool ce_param_bounded(const struct ce_param *param)
{
    return param->min != 0 || param->max != 0;
}

/* A bound of an INTEGER row. The largest ones cannot be said as a double, so what is beyond int64_t
 * means its end. */
int64_t ce_param_integer_bound(double bound);

/* "0..1", "1ms..24h", "0..60000 ms"; "" when there are none. */
void ce_param_bounds_text(const struct ce_param *param, char *text, size_t size);
/* "error, reset, hang": the choices that exist in this version. */
void ce_param_choices_text(const struct ce_param *param, char *text, size_t size);

#endif
