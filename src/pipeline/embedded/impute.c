/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/impute.h"

#include <math.h>

bool ce_impute(const struct ce_model *model, struct ce_sample *sample)
{
    bool changed = false;
    for (size_t i = 0; i < CE_NUMBERS; i++)
        if (isnan(sample->numbers[i])) {
            sample->numbers[i] = model->numbers[i].fill;
            changed = true;
        }
    for (size_t i = 0; i < CE_CATEGORIES; i++)
        if (sample->categories[i] == CE_CATEGORY_UNKNOWN) {
            sample->categories[i] = model->category_fill[i];
            changed = true;
        }
    return changed;
}

bool ce_clip(const struct ce_model *model, struct ce_sample *sample)
{
    bool changed = false;
    for (size_t i = 0; i < CE_NUMBERS; i++) {
        const struct ce_number_stats *stats = &model->numbers[i];
        double margin = (stats->max - stats->min) / 10;
        double clipped = fmin(fmax(sample->numbers[i], stats->min - margin), stats->max + margin);
        changed = changed || clipped < sample->numbers[i] || clipped > sample->numbers[i];
        sample->numbers[i] = clipped;
    }
    return changed;
}
