/* SPDX-License-Identifier: MIT */
/* Documents of the Chaos Toolkit: read, checked, and run with this project's guarantees.
 *
 * A document is read whole and everything in it is resolved before anything runs: configuration and
 * secrets put in, programs found, patterns compiled. What is left are activities that can only be
 * done. docs/chaos-toolkit.md says what differs from the tool whose format it is. */
#ifndef CE_TOOLKIT_TOOLKIT_H
#define CE_TOOLKIT_TOOLKIT_H

#include <signal.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "experiment/node.h"
#include "journal/journal.h"
#include "observers/record.h"

/* Whether a document is one of these: a mapping with "title" and "method". */
bool ce_toolkit_is(const struct ce_node *root);
/* Reads it. `vars`: "name=value" or "name:type=value", in the place of what the configuration says.
 * Processes, calls: none yet. -EINVAL or another negative errno with the place. */
int ce_toolkit_parse(const struct ce_node *root, const char *const *vars, size_t var_count,
                     struct ce_toolkit **ret_toolkit, struct ce_error *err);
CE_DEFINE_CLEANUP(struct ce_toolkit, ce_toolkit_free);

struct ce_toolkit_order {
    const char *state_dir; /* its lever ends the run */
    const char *run_id;
    const struct ce_undo_op *const *ops;
    const volatile sig_atomic_t *signal; /* may be NULL */
    void (*phase)(void *ctx, const char *phase, double fraction);
    void *phase_ctx;
};
/* Runs it. Fails only when there is no memory for a record; all else is in the record. Call it from
 * a process without other threads: it forks the guard. */
int ce_toolkit_perform(const struct ce_toolkit *toolkit, const struct ce_toolkit_order *options,
                       struct ce_record *ret_record, struct ce_error *err);
/* The record of a run that has not begun. */
int ce_toolkit_plan(const struct ce_toolkit *toolkit, const char *run_id,
                    struct ce_record *ret_record, struct ce_error *err);

/* Does an activity of the rollbacks: {"name", "provider", "pauses": [before, after]}. For when the
 * process that was to do it has died. */
extern const struct ce_undo_op ce_undo_run_activity;
/* Waits until a program of the run has ended, as it does when its run has died: rollbacks come
 * after what they roll back. */
extern const struct ce_undo_op ce_undo_end_activity;

#endif
