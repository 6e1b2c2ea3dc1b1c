/* SPDX-License-Identifier: MIT */
/* Runs on their way to the history: each as it ends. What cannot be recorded is missing there, and
 * nowhere else: a suite goes on, and its result is what it is. */
#ifndef CE_ORCHESTRATOR_RECORDER_H
#define CE_ORCHESTRATOR_RECORDER_H

#include "base/cleanup.h"
#include "chaoseater.h"
#include "observers/record.h"
#include "orchestrator/results.h"

struct ce_recorder;

/* NULL when nothing is to be recorded. `document`: the text of what is run, or NULL; takes it over,
 * in every case. Fails when a database that the caller named is of no use, before anything was run:
 * -EINVAL. */
int ce_recorder_new(const struct ce_suite_options *options, const char *state_dir, char *document,
                    struct ce_recorder **ret_recorder, struct ce_error *err);
void ce_recorder_free(struct ce_recorder *recorder); /* NULL is fine */
CE_DEFINE_CLEANUP(struct ce_recorder, ce_recorder_free);
/* NULL is fine. */
void ce_recorder_add(struct ce_recorder *recorder, const struct ce_record *record);
/* Looks up, for each of the results, how its experiment did before. NULL is fine. */
void ce_recorder_look_back(const struct ce_recorder *recorder, struct ce_results *results);
/* Why some are missing, as one sentence; NULL: none is, or no memory. The caller's. */
char *ce_recorder_problem(const struct ce_recorder *recorder);

#endif
