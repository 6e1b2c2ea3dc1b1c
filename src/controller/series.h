/* SPDX-License-Identifier: MIT */
/* What a run measured over time, for charts: the operations that were due in slots of one width,
 * the fault's intensity, and when each phase began and ended.
 *
 * A slot lasts 100 ms. When there are CE_SERIES_SLOTS of them, neighbours become one and the width
 * doubles: memory and reports stay bounded however long a run takes. Trials of a batch job have no
 * slots: each is a point of its own, until neighbours have to become one, too. */
#ifndef CE_CONTROLLER_SERIES_H
#define CE_CONTROLLER_SERIES_H

#include <jansson.h>

#include "pipeline/workload.h"

enum { CE_SERIES_SLOTS = 600 }; /* even */

struct ce_series;
struct ce_series *ce_series_new(bool trials);  /* NULL: out of memory */
void ce_series_free(struct ce_series *series); /* NULL is fine, as in all functions below */

/* A phase begins, and the one before it ends; NULL: none begins. The first one begins the series.
 * `name` is borrowed. */
void ce_series_phase(struct ce_series *series, const char *name, int64_t now);
/* How much of the fault there is from now on: 0..1 of what its parameters say. */
void ce_series_intensity(struct ce_series *series, double intensity, int64_t now);
/* How much there is now. */
double ce_series_intensity_now(const struct ce_series *series);
/* Before ce_measure_add(), which takes what the outcome owns. */
void ce_series_add(struct ce_series *series, const struct ce_outcome *outcome);

/* "series" of the documented JSON; NULL: nothing was measured, or no memory. New reference. */
json_t *ce_series_json(const struct ce_series *series);

#endif
