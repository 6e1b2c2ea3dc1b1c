/* SPDX-License-Identifier: MIT */
/* One trial of a batch job: the command is run, and says how well it went. */
#ifndef CE_PIPELINE_COMMAND_TRIAL_H
#define CE_PIPELINE_COMMAND_TRIAL_H

#include "pipeline/spec.h"
#include "pipeline/started/started.h"
#include "pipeline/workload.h"

struct ce_trial {
    const struct ce_pipeline_spec *spec;
    struct ce_started *started;
    const char *log;
    bool killed; /* it is killed before it can do anything */
};

/* See struct ce_trials. Good is: it ended in time with exit code 0, and what it reports can be
 * read, if it was to report anything. */
int ce_trial_run(const struct ce_trial *trial, int give_up, struct ce_trial_figures *ret_figures,
                 struct ce_error *err);

#endif
