/* SPDX-License-Identifier: MIT */
/* How a drift takes its course over the predictions, which are counted from 0. The words are those
 * of the stream-mining tools, MOA above all.
 *
 *     gradual       degradation = min(rate, growth * (n - position)): a little worse with each one
 *     gradual, with a width
 *                   a mixture: the n-th prediction is of the new concept with the probability
 *                   1 / (1 + exp(-4 (n - position) / width)), and then fully
 *     sudden        of the new concept from `position` on
 *     incremental   degradation grows evenly from 0 at `position` to the rate at position + width
 *     recurring     from `position` on, in the first half of each `period`
 *
 * So the n-th prediction is hit with a probability (share) and then by an amount (degradation); one
 * of the two is constant. */
#ifndef CE_FAULTS_MODEL_DRIFT_SHAPE_H
#define CE_FAULTS_MODEL_DRIFT_SHAPE_H

#include <stdint.h>

enum ce_drift_type {
    CE_DRIFT_GRADUAL = 0,
    CE_DRIFT_SUDDEN,
    CE_DRIFT_INCREMENTAL,
    CE_DRIFT_RECURRING,
};

struct ce_drift_shape {
    enum ce_drift_type type;
    double rate, growth;
    int64_t position, width, period; /* in predictions */
};

/* 0..rate, if it is hit. */
double ce_drift_degradation(const struct ce_drift_shape *shape, uint64_t n);
/* Probability that it is. */
double ce_drift_share(const struct ce_drift_shape *shape, uint64_t n);
/* The number of a prediction from which on the drift is at its height, again and again. */
int64_t ce_drift_height(const struct ce_drift_shape *shape);

#endif
