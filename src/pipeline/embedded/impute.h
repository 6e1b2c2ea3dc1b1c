/* SPDX-License-Identifier: MIT */
/* Making a customer's features complete and plausible, by what a model saw in training. */
#ifndef CE_PIPELINE_EMBEDDED_IMPUTE_H
#define CE_PIPELINE_EMBEDDED_IMPUTE_H

#include "pipeline/embedded/model.h"

/* Fills in what is missing. True when anything was. */
bool ce_impute(const struct ce_model *model, struct ce_sample *sample);
/* Brings numbers into the range seen in training, widened by a tenth of its width on either side.
 * True when anything changed. */
bool ce_clip(const struct ce_model *model, struct ce_sample *sample);

#endif
