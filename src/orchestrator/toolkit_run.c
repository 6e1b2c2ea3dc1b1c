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
#include "orchestrator/publisher.h"
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

#define FAULT "chaostoolkit"

struct show {
    const struct ce_toolkit *toolkit;
    const struct ce_suite_options *options;
    const char *id;
    struct ce_publisher publisher;
};

static void show(const struct show *show, const char *phase, double fraction,
                 const struct ce_record *record)
{
    struct ce_progress progress = {
        .run_count = 1,
        .ended = record != NULL,
        .experiment = ce_toolkit_title(show->toolkit),
        .fault = FAULT,
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
    struct show *shown = ctx;
    const struct ce_publisher_news news = {.id = shown->id, .phase = phase, .fraction = fraction};
    show(shown, phase, fraction, NULL);
    ce_publisher_tell(&shown->publisher, 0, &news);
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

static int begin_to_publish(struct show *shown, const char *state_dir, struct ce_error *err)
{
    const struct ce_publisher_config config = {
        .options = shown->options,
        .state_dir = state_dir,
        .parallel = 1,
    };
    struct ce_publisher_run *run = calloc(1, sizeof *run);
    if (run)
        *run = (struct ce_publisher_run){ce_toolkit_title(shown->toolkit), "infrastructure", FAULT};
    return ce_publisher_begin(&shown->publisher, &config, run, 1, err);
}

static int perform(const struct ce_toolkit *toolkit, const char *state_dir, struct show *shown,
                   struct ce_record *ret_record, struct ce_error *err)
{
    const struct ce_toolkit_order order = {
        .state_dir = state_dir,
        .run_id = shown->id,
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
    CE_TRY(begin_to_publish(shown, state_dir, err));
    CE_TRY(ce_toolkit_perform(toolkit, &order, ret_record, err));
    ce_publisher_record(&shown->publisher, 0, ret_record);
    return 0;
}

static int run(const struct ce_toolkit *toolkit, const char *state_dir, struct show *shown,
               struct ce_results *results, struct ce_error *err)
{
    struct ce_record record;
    CE_CLEANUP(ce_recorder_free_p) struct ce_recorder *recorder = NULL;
    CE_TRY(ce_recorder_new(shown->options, state_dir, NULL, &recorder, err));
    CE_TRY(shown->options->dry_run ? plan(toolkit, shown->id, &record, err)
                                   : perform(toolkit, state_dir, shown, &record, err));
    ce_recorder_add(recorder, &record);
    results->history_problem = ce_recorder_problem(recorder);
    show(shown, "ended", 1, &record);
    return ce_results_add(results, &record, err);
}

int ce_toolkit_run(const struct ce_toolkit *toolkit, const struct ce_suite_options *options,
                   struct ce_results **ret_results, struct ce_error *err)
{
    char id[64];
    struct show shown = {.toolkit = toolkit, .options = options, .id = id};
    ce_autofree char *state_dir = options->state_dir ? strdup(options->state_dir) : ce_state_dir();
    CE_CLEANUP(ce_results_free_p) struct ce_results *results = ce_results_new(0);
    if (!state_dir || !results)
        return ce_fail_memory(err);
    ce_run_id_make(id);
    int r = run(toolkit, state_dir, &shown, results, err);
    ce_publisher_end(&shown.publisher, options->signal ? *options->signal : 0,
                     r >= 0 ? ce_results_exit_code(results) : CE_EXIT_FAILED);
    results->events_problem = shown.publisher.events_problem;
    CE_TRY(r);
    *ret_results = ce_take(results);
    return 0;
}
