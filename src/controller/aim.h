/* SPDX-License-Identifier: MIT */
/* What a run's fault acts on, and whether that offers what the fault needs. */
#ifndef CE_CONTROLLER_AIM_H
#define CE_CONTROLLER_AIM_H

#include "experiment/document.h"

/* CE_HELPER_ bits: what a pipeline that is started for the experiment has to load. */
unsigned ce_aim_helpers(const struct ce_experiment *experiment);

/* Looks for what `spec` names, which is `target:` or one of the processes that it means, applies
 * the deny list, and checks that the fault can act on such a thing. Touches nothing. The spec must
 * outlive *ret_found. */
int ce_aim_find(const struct ce_experiment *experiment, const struct ce_target_spec *spec,
                const char *state_dir, struct ce_target_found *ret_found, struct ce_error *err);

/* Whether `target`, filled in from a pipeline that runs, and with `found` when `target:` names
 * something else, offers what the fault needs. */
int ce_aim_check(const struct ce_experiment *experiment, const struct ce_target *target,
                 struct ce_error *err);

/* What a fault would act on and by which mechanism, as one phrase. `available`: what
 * ce_fault_available() said of the mechanisms on this host. */
void ce_aim_describe(const struct ce_experiment *experiment, const char *target,
                     const char *available, char *text, size_t size);

#endif
