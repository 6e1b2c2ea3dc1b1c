/* SPDX-License-Identifier: MIT */
/* One run: a fault is injected into the pipeline, seen to take effect, measured, undone, verified,
 * scored. */
#ifndef CE_CONTROLLER_CONTROLLER_H
#define CE_CONTROLLER_CONTROLLER_H

#include <signal.h>

#include "experiment/document.h"
#include "observers/events.h"

struct ce_run_options {
    const char *state_dir;
    const struct ce_experiment *experiment;
    const struct ce_pipeline_spec *pipeline; /* its profile included */
    const struct ce_names *claims; /* what it acts on (orchestrator/claims.h); may be NULL */
    uint64_t seed;
    struct ce_hits *hits;                /* where hits on live requests are noted; may be NULL */
    int repeat;                          /* 1.. when the experiment repeats, else 0 */
    const volatile sig_atomic_t *signal; /* may be NULL */
    const struct ce_observer *observers; /* measured along with the workload */
    size_t observer_count;
    ce_event_fn *on_event; /* may be NULL */
    void *on_event_ctx;
};

/* Runs one experiment to its end and says in *ret_record how it ended; free that with
 * ce_record_done(). Whatever goes wrong is an ending, so there is nothing else to return but
 * -ENOMEM. Starts a process, threads and the pipeline, and has ended them all when it returns. Call
 * it from a process without other threads, or at least from one in which fork() is safe. */
int ce_run(const struct ce_run_options *options, struct ce_record *ret_record,
           struct ce_error *err);

/* The file in a run's folder that says what it does: {"experiment", "fault", "target"}. */
#define CE_RUN_ABOUT "about.json"

/* A name that no other run has, and that tells when it began. */
void ce_run_id_make(char ret_id[64]);

/* The record of a run that has not begun: what is planned, and nothing measured. */
int ce_run_plan(const struct ce_run_options *options, struct ce_record *ret_record,
                struct ce_error *err);

/* Every undo operation that a journal may name; NULL-terminated. */
extern const struct ce_undo_op *const ce_undo_ops[];

#endif
