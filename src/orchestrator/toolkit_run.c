/* SPDX-License-Identifier: MIT */
/* An experiment of the Chaos Toolkit as a suite of one: leftovers and the lever first, then the
 * run, and a record like any other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "controller/controller.h"
#include "experiment/document.h"
#include "journal/journal.h"
#include "journal/lever.h"
#include "orchestrator/recorder.h"
#include "orchestrator/results.h"
#include "toolkit/toolkit.h"

bool ce_document_is_toolkit(const struct ce_document *doc)
{
    return ce_toolkit_is(ce_document_root(doc));
}

int ce_toolkit_read(const struct ce_document *doc, const char *const *vars, size_t var_count,
                    struct ce_toolkit **ret_toolkit, struct ce_error *err)
{
    return ce_toolkit_parse(ce_document_root(doc), vars, var_count, ret_toolkit, err);
}

struct show {
    const struct ce_toolkit *toolkit;
    const struct ce_suite_options *options;
};

static void show(const struct show *show, const char *phase, double fraction,
                 const struct ce_record *record)
{
    struct ce_progress progress = {
        .run_count = 1,
        .ended = record != NULL,
        .experiment = ce_toolkit_title(show->toolkit),
        .fault = "chaostoolkit",
        .phase = phase,
        .fraction = fraction,
        .status = record ? ce_status_name(record->status) : "",
        .verdict = record ? ce_verdict_name(record->verdict) : "",
        .score = -1,
    };
    if (show->options->progress)
        show->options->progress(show->options->progress_ctx, &progress);
}

static void on_phase(void *ctx, const char *phase, double fraction)
{
    show(ctx, phase, fraction, NULL);
}

static int clear_leftovers(const char *state_dir, struct ce_error *err)
{
    struct ce_recovery recovery = {0};
    int r = ce_journal_recover(state_dir, ce_undo_ops, &recovery, err);
    if (r < 0 || recovery.failed > 0)
        return ce_fail_context(err, -EUCLEAN,
                               "an earlier run left something that could not be put back");
    return 0;
}

static int plan(const struct ce_toolkit *toolkit, const char *id, struct ce_record *ret_record,
                struct ce_error *err)
{
    CE_TRY(ce_toolkit_plan(toolkit, id, ret_record, err));
    char *reason = ce_format("dry run: nothing was touched; it would act by %zu activities",
                             ce_toolkit_activity_count(toolkit));
    free(ret_record->reason);
    ret_record->reason = reason;
    ret_record->status = CE_STATUS_SKIPPED;
    ret_record->skip_reason = "dry_run";
    ret_record->ended_at = ret_record->started_at;
    return 0;
}

static int perform(const struct ce_toolkit *toolkit, const char *id, const char *state_dir,
                   struct show *shown, struct ce_record *ret_record, struct ce_error *err)
{
    const struct ce_toolkit_order order = {
        .state_dir = state_dir,
        .run_id = id,
        .ops = ce_undo_ops,
        .signal = shown->options->signal,
        .phase = on_phase,
        .phase_ctx = shown,
    };
    if (ce_lever_is_engaged(state_dir))
        return ce_fail(err, ECANCELED,
                       "`chaoseater stop` was called: nothing is started before `chaoseater stop "
                       "--release`");
    CE_TRY(ce_folder_make(state_dir, err));
    CE_TRY(clear_leftovers(state_dir, err));
    return ce_toolkit_perform(toolkit, &order, ret_record, err);
}

int ce_toolkit_run(const struct ce_toolkit *toolkit, const struct ce_suite_options *options,
                   struct ce_results **ret_results, struct ce_error *err)
{
    char id[64];
    struct ce_record record;
    struct show shown = {toolkit, options};
    ce_autofree char *state_dir = options->state_dir ? strdup(options->state_dir) : ce_state_dir();
    CE_CLEANUP(ce_results_free_p) struct ce_results *results = ce_results_new(0);
    if (!state_dir || !results)
        return ce_fail_memory(err);
    ce_run_id_make(id);
    CE_CLEANUP(ce_recorder_free_p) struct ce_recorder *recorder = NULL;
    CE_TRY(ce_recorder_new(options, state_dir, NULL, &recorder, err));
    CE_TRY(options->dry_run ? plan(toolkit, id, &record, err)
                            : perform(toolkit, id, state_dir, &shown, &record, err));
    ce_recorder_add(recorder, &record);
    results->history_problem = ce_recorder_problem(recorder);
    show(&shown, "ended", 1, &record);
    CE_TRY(ce_results_add(results, &record, err));
    *ret_results = ce_take(results);
    return 0;
}
