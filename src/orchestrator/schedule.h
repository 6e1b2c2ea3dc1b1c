/* SPDX-License-Identifier: MIT */
/* The schedules of a document: which experiments each of them runs. */
#ifndef CE_ORCHESTRATOR_SCHEDULE_H
#define CE_ORCHESTRATOR_SCHEDULE_H

#include "experiment/document.h"
#include "schedule/schedule.h"

struct ce_plan_line {
    const struct ce_schedule *schedule;
    const char *experiment; /* whose key it is; NULL: the document's */
    bool *chosen;           /* for each experiment of the document: whether it runs */
};

struct ce_schedule_plan {
    const struct ce_document *doc;
    struct ce_plan_line *lines; /* the document's first */
    size_t count;
};

/* Who runs when. -EINVAL: nothing is scheduled, or an experiment is not, or two that act on the
 * same thing are due at the same time, as seen from `now`. */
int ce_schedule_plan_make(const struct ce_document *doc, const char *state_dir, int64_t now,
                          struct ce_schedule_plan *ret_plan, struct ce_error *err);
void ce_schedule_plan_done(struct ce_schedule_plan *plan); /* a zeroed one is fine */

/* The wall clock, which tests may shift. */
int64_t ce_schedule_now(void);

#endif
