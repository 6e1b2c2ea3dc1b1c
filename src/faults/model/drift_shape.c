/* SPDX-License-Identifier: MIT */
#include "faults/model/drift_shape.h"

#include <math.h>

#include "data/stats/distance.h"

/* Further than any run counts. */
#define FAR 1e15

static double least(double a, double b)
{
    return a < b ? a : b;
}

double ce_drift_degradation(const struct ce_drift_shape *shape, uint64_t n)
{
    double since = (double)n - (double)shape->position;
    switch (shape->type) {
    case CE_DRIFT_GRADUAL:
        if (shape->width > 0)
            return shape->rate;
        return since > 0 ? least(shape->rate, shape->growth * since) : 0;
    case CE_DRIFT_INCREMENTAL:
        return since > 0 ? shape->rate * least(1, since / (double)shape->width) : 0;
    case CE_DRIFT_RECURRING:
        if (since >= 0 && (n - (uint64_t)shape->position) % (uint64_t)shape->period >=
                              ((uint64_t)shape->period + 1) / 2)
            return 0;
        break;
    case CE_DRIFT_SUDDEN:
        break;
    }
    return since >= 0 ? shape->rate : 0;
}

double ce_drift_share(const struct ce_drift_shape *shape, uint64_t n)
{
    if (shape->type != CE_DRIFT_GRADUAL || shape->width == 0)
        return 1;
    double since = (double)n - (double)shape->position;
    return 1 / (1 + ce_exp(-4 * since / (double)shape->width));
}

/* Of the mixture: where all but one in 3000 are of the new concept. */
int64_t ce_drift_height(const struct ce_drift_shape *shape)
{
    double after = 0;
    if (shape->type == CE_DRIFT_INCREMENTAL)
        after = (double)shape->width;
    else if (shape->type == CE_DRIFT_GRADUAL && shape->width > 0)
        after = 2 * (double)shape->width;
    else if (shape->type == CE_DRIFT_GRADUAL && shape->growth > 0)
        after = ceil(shape->rate / shape->growth);
    return shape->position + (int64_t)least(after, FAR);
}
