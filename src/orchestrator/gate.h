/* SPDX-License-Identifier: MIT */
/* What the parts of the gate share. */
#ifndef CE_ORCHESTRATOR_GATE_H
#define CE_ORCHESTRATOR_GATE_H

#include "orchestrator/results.h"

/* Adds a sentence to a list of them. 0 or -ENOMEM. */
int ce_gate_say(json_t *sentences, const char *fmt, ...) CE_PRINTF(2, 3);

/* Holds each experiment against what it was before: fills gate->baseline, and adds to the failures
 * and remarks. 0 or -ENOMEM. */
int ce_gate_compare(const struct ce_results *results, const struct ce_gate_options *options,
                    struct ce_report_gate *gate);

#endif
