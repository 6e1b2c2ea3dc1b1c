/* SPDX-License-Identifier: MIT */
/* What an experiment lays claim to while it runs. Two that claim the same thing never run at once:
 * each would measure what the other did. An embedded pipeline is its run's own, and claims nothing.
 */
#ifndef CE_ORCHESTRATOR_CLAIMS_H
#define CE_ORCHESTRATOR_CLAIMS_H

#include "experiment/document.h"

/* By the name of each thing. What `target:` means is looked for now; one that is not found claims
 * nothing, and the run says why. Ended by ce_names_done(). */
int ce_claims_of(const struct ce_experiment *experiment, const struct ce_pipeline_spec *pipeline,
                 const char *state_dir, struct ce_names *ret_claims, struct ce_error *err);
bool ce_claims_meet(const struct ce_names *a, const struct ce_names *b);

#endif
