/* SPDX-License-Identifier: MIT */
/* The workload's own measurements as they are now: over a window that slides along with time. */
#ifndef CE_CONTROLLER_LIVE_H
#define CE_CONTROLLER_LIVE_H

#include "controller/measure.h"
#include "observers/events.h"

/* So many operations say something before the window has passed once. */
#define CE_LIVE_LEAST 10

struct ce_live;
/* `measure` is borrowed: what counts from the injection on is its. NULL: out of memory. */
struct ce_live *ce_live_new(const struct ce_measure *measure);
void ce_live_free(struct ce_live *live); /* NULL is fine, as in all functions below */

/* Operations are due from now on, after a pause: what was before counts no more. */
void ce_live_begin(struct ce_live *live, int64_t now);
/* Before ce_measure_add(), which takes what the outcome owns. */
void ce_live_add(struct ce_live *live, const struct ce_outcome *outcome, int64_t now);
/* The metric over the last `window` ns, or since the beginning (INT64_MAX); where the window holds
 * no operation it is that of the last one. NaN: not known, or not yet. error_count and downtime
 * (s) count since the beginning. */
double ce_live_value(const struct ce_live *live, const char *metric, int64_t window, int64_t now);
/* What ended in the last CE_SAMPLE_WINDOW: the means of what trials report are the caller's, to be
 * freed with json_decref(). */
struct ce_sample ce_live_sample(const struct ce_live *live, int64_t now);
/* Whether trials are measured, which take as long as they take. */
bool ce_live_has_trials(const struct ce_live *live);

#endif
