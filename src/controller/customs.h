/* SPDX-License-Identifier: MIT */
/* Metrics besides the workload's own: what probes answer in numbers, and what the caller's
 * observers measure. Of each its last value, and its mean in each phase. */
#ifndef CE_CONTROLLER_CUSTOMS_H
#define CE_CONTROLLER_CUSTOMS_H

#include "observers/events.h"

struct ce_customs;
struct ce_customs *ce_customs_new(void);          /* NULL: out of memory */
void ce_customs_free(struct ce_customs *customs); /* NULL is fine */

/* To which phase belongs what is added from now on. */
void ce_customs_enter(struct ce_customs *customs, enum ce_state state);
/* What is not finite is not known, and left out. Beyond CE_CUSTOMS_MAX names no more are taken. */
enum { CE_CUSTOMS_MAX = 64 };
void ce_customs_add(struct ce_customs *customs, const char *name, double value);

/* Adds {name: last value} to `metrics`, which has those that it has already; made when it is NULL
 * and there are some. */
json_t *ce_customs_now(const struct ce_customs *customs, json_t *metrics);
/* Adds {name: {phase: mean}}, likewise. */
json_t *ce_customs_means(const struct ce_customs *customs, json_t *means);

#endif
