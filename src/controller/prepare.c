/* SPDX-License-Identifier: MIT */
/* What a run needs before its baseline can begin, in the order in which it is taken down again by
 * controller.c: journal and guard, proxy, pipeline, workload. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/seam.h"
#include "controller/run.h"
#include "journal/claim.h"
#include "journal/undo_files.h"

/* The guard undoes a run that takes this much longer than planned. */
#define GUARD_MARGIN (60 * CE_SECOND)
/* How long a trial may take to be gone after it was killed. */
#define TRIAL_END (10 * CE_SECOND)

static void set_text(char **field, const char *text)
{
    free(*field);
    *field = strdup(text);
}

static void fill_target(struct run *run)
{
    const struct ce_pipeline_acts *acts = ce_pipeline_acts(run->pipeline);
    const struct ce_operations *operations = ce_pipeline_operations(run->pipeline);
    bool is_explicit = ce_target_is_explicit(&run->experiment->target);
    run->target = (struct ce_target){
        .name = ce_pipeline_name(run->pipeline),
        .hits = run->options->hits,
        .run = run->record->id,
        .run_folder = run->run_folder,
        .dataset = ce_pipeline_dataset(run->pipeline),
        .label = ce_pipeline_label(run->pipeline),
        .request_route = ce_pipeline_request_route(run->pipeline),
        .model_route = ce_pipeline_model_route(run->pipeline),
        .protocol = ce_pipeline_protocol(run->pipeline),
        .locator = ce_pipeline_locator(run->pipeline),
        .sample_type = operations->content_type,
        .sample_host = operations->host,
        .is_explicit = is_explicit,
        .locate = is_explicit ? ce_target_locate : acts->locate,
        .located = is_explicit ? (void *)&run->blast.found.aims[0].found : run->pipeline,
        .pipeline = run->pipeline,
        .reload = acts->reload,
        .trained_on = acts->trained_on,
        .serving_process = acts->serving_process,
        .ensure_serving = acts->ensure_serving,
        .sample_request = run->trials ? NULL : ce_pipeline_sample_request,
        .fail_trials = acts->fail_trials,
        .try_trial = acts->try_trial,
    };
}

int64_t ce_run_drain(const struct run *run)
{
    return run->options->pipeline->timeout + (run->trials ? TRIAL_END : CE_SECOND);
}

int64_t ce_run_longest(const struct run *run)
{
    const struct ce_experiment *x = run->experiment;
    const struct ce_pipeline_spec *spec = run->options->pipeline;
    int64_t phases = x->baseline + x->duration;
    /* Those that the baseline has, as many under the fault at least, and one that is begun last. */
    if (spec->kind == CE_PIPELINE_COMMAND)
        phases = x->duration + (2 * spec->trials + 1) * (spec->timeout + TRIAL_END);
    phases += 3 * ce_hypothesis_longest(x); /* at preflight, before and after */
    phases += ce_rollback_longest(&x->rollback);
    return phases + x->recovery_timeout + 3 * spec->timeout + (ce_seam_hurry() ? 0 : GUARD_MARGIN);
}

uint64_t ce_run_operations(const struct run *run, int64_t duration)
{
    if (run->trials)
        return (uint64_t)run->options->pipeline->trials;
    double n = (double)duration / (double)CE_SECOND * run->options->pipeline->rate;
    return n < 1 ? 1 : (uint64_t)n;
}

/* The workload walks only the rows that the baseline covers, so that every later operation has its
 * pair. */
static int start_requests(struct run *run, struct ce_error *err)
{
    uint64_t rows = ce_run_operations(run, run->experiment->baseline);
    run->operations = *ce_pipeline_operations(run->pipeline);
    if (run->operations.count > rows)
        run->operations.count = rows;
    run->measure = ce_measure_new(run->operations.count);
    run->series = ce_series_new(false);
    if (!run->measure || !run->series)
        return ce_fail_memory(err);
    struct ce_workload_config config = {
        .endpoint = *ce_route_endpoint(run->target.request_route),
        .operations = &run->operations,
        .rate = run->options->pipeline->rate,
        .timeout_ns = run->options->pipeline->timeout,
    };
    return ce_workload_start(&config, &run->workload, err);
}

static int start_trials(struct run *run, struct ce_error *err)
{
    run->measure = ce_measure_new_trials();
    run->series = ce_series_new(true);
    if (!run->measure || !run->series)
        return ce_fail_memory(err);
    return ce_workload_start_trials(ce_pipeline_trials(run->pipeline), &run->workload, err);
}

/* For `status`, as long as anything of the run is live: what it does, and to what. */
static int tell_status(const struct run *run, struct ce_error *err)
{
    const struct ce_record *record = run->record;
    ce_autofree char *path = ce_format("%s/%s", run->run_folder, CE_RUN_ABOUT);
    ce_autojson json_t *about =
        json_pack("{s:s, s:s, s:s}", "experiment", record->name, "fault", record->fault_type,
                  "target", record->target ? record->target : "pipeline under test");
    ce_autofree char *text = about ? ce_json_text(about) : NULL;
    if (!path || !text)
        return ce_fail_memory(err);
    return ce_file_replace(path, text, strlen(text), err);
}

static int prepare_hypothesis(struct run *run, struct ce_error *err)
{
    if (!(run->live = ce_live_new(run->measure)))
        return ce_fail_memory(err);
    run->hypothesis = ce_hypothesis_new(run->experiment, run->live, run->customs,
                                        run->options->pipeline->timeout);
    return run->hypothesis ? 0 : ce_fail_memory(err);
}

static int open_journal(struct run *run, struct ce_error *err)
{
    const struct ce_run_options *options = run->options;
    const struct ce_claim claim = {run->experiment->name, run->experiment->fault->name,
                                   options->claims};
    return ce_journal_create_claiming(options->state_dir, run->record->id, ce_undo_ops, &claim,
                                      &run->journal, err);
}

int ce_run_prepare(struct run *run, struct ce_error *err)
{
    const struct ce_run_options *options = run->options;
    CE_TRY(
        ce_blast_find(run->experiment, options->seed, options->state_dir, &run->blast.found, err));
    if (run->blast.found.count > 0)
        set_text(&run->record->target, run->blast.found.name);
    ce_autofree char *runs = ce_format("%s/run", options->state_dir);
    run->run_folder = ce_format("%s/run/%s", options->state_dir, run->record->id);
    if (!runs || !run->run_folder)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(runs, err));
    CE_TRY(open_journal(run, err));
    run->injection.journal = run->journal;
    CE_TRY(ce_guard_start(run->journal, &run->guard, err));
    bool twice = run->experiment->strategy == CE_STRATEGY_BLUE_GREEN; /* and its standby */
    int64_t patience = (twice ? 2 : 1) * ce_pipeline_patience(options->pipeline);
    CE_TRY(ce_guard_deadline(run->guard, ce_now() + patience + ce_run_longest(run), err));
    CE_TRY(ce_undo_note_tree(run->journal, run->run_folder, err));
    CE_TRY(ce_folder_make(run->run_folder, err));
    CE_TRY(tell_status(run, err));
    CE_TRY(ce_proxy_start(1, &run->proxy, err));
    const struct ce_pipeline_site site = {
        .run_folder = run->run_folder,
        .journal = run->journal,
        .proxy = run->proxy,
        .signal = options->signal,
        .helpers = ce_aim_helpers(run->experiment),
    };
    CE_TRY(ce_pipeline_start(options->pipeline, &site, &run->pipeline, err));
    run->trials = ce_pipeline_trials(run->pipeline);
    set_text(&run->record->isolation, ce_pipeline_isolation(run->pipeline));
    fill_target(run);
    if (run->target.protocol)
        run->record->protocol = ce_protocol_name(run->target.protocol);
    CE_TRY(ce_aim_check(run->experiment, &run->target, err));
    CE_TRY(ce_blast_prepare(run, err));
    CE_TRY(run->trials ? start_trials(run, err) : start_requests(run, err));
    return prepare_hypothesis(run, err);
}
