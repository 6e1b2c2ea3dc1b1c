/* SPDX-License-Identifier: MIT */
/* The life of a run, top to bottom as it happens:
 *
 *   preflight, baseline, injecting, verifying, observing,
 *   rolling back, verifying the undo, recovering, ended
 *
 * run_through() walks these stages. The first one that cannot go on says why in the record and
 * returns false; whatever was begun by then is taken back by the stages below it: once inject was
 * called, the run always goes through rolling_back, and end() undoes what the journal still calls
 * live. A crash skips all of this: then the guard does it.
 *
 * While a stage waits, it takes outcomes from the workload, and looks for a signal and for a guard
 * that has gone or whose time was up. */
#include "controller/controller.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/seam.h"
#include "controller/measure.h"
#include "journal/guard.h"
#include "journal/undo_files.h"

/* Between the last operation under the fault and rollback: what is in flight may still end, but a
 * fault that hangs requests is not kept waiting for. */
#define DRAIN (250 * CE_MILLISECOND)
/* The guard undoes a run that takes this much longer than planned. */
#define GUARD_MARGIN (60 * CE_SECOND)

struct run {
    const struct ce_run_options *options;
    const struct ce_experiment *experiment;
    struct ce_record *record;
    struct ce_journal *journal;
    struct ce_guard *guard;
    struct ce_proxy *proxy;
    struct ce_pipeline *pipeline;
    struct ce_workload *workload;
    struct ce_measure *measure;
    struct ce_operations operations; /* those of the pipeline that the baseline covers */
    struct ce_target target;
    struct ce_injection injection;
    char *run_folder;
    int64_t started; /* monotonic */
    int64_t rollback_at;
    double recovery_time;
    bool undone; /* the undo was verified */
};

/* ---- endings ---- */

/* Says how the run ended. The first word stands, but a dirty end outranks all. */
static void end_as(struct run *run, enum ce_status status, enum ce_verdict verdict,
                   const char *reason)
{
    struct ce_record *record = run->record;
    if (record->reason && status != CE_STATUS_DIRTY)
        return;
    free(record->reason);
    record->status = status;
    record->verdict = verdict;
    record->reason = strdup(reason);
}

/* Something is not as it was: that outranks whatever was measured. */
static void end_dirty(struct run *run, const char *what, const struct ce_error *err)
{
    char reason[sizeof err->message + 64];
    snprintf(reason, sizeof reason, "%s could not be put back: %s", what, err->message);
    end_as(run, CE_STATUS_DIRTY,
           run->record->reason ? run->record->verdict : CE_VERDICT_INCONCLUSIVE, reason);
}

static void set_text(char **field, const char *text)
{
    free(*field);
    *field = strdup(text);
}

static void skip(struct run *run, const char *stage, const char *reason)
{
    run->record->skip_reason = stage;
    end_as(run, CE_STATUS_SKIPPED, CE_VERDICT_INCONCLUSIVE, reason);
}

static void publish(struct run *run, enum ce_state state, double fraction)
{
    ce_log("%s: %s", run->experiment->name, ce_state_name(state));
    if (run->options->on_event) {
        struct ce_event event = {.state = state, .fraction = fraction, .record = run->record};
        run->options->on_event(run->options->on_event_ctx, &event);
    }
}

/* ---- waiting ---- */

/* Whether the run must go to its rollback at once. */
static bool interrupted(struct run *run)
{
    int signal = run->options->signal ? *run->options->signal : 0;
    if (signal) {
        run->record->signal = signal;
        end_as(run, CE_STATUS_INTERRUPTED, CE_VERDICT_INCONCLUSIVE,
               signal == SIGINT ? "interrupted by SIGINT" : "interrupted by SIGTERM");
    } else if (run->guard && ce_guard_fired(run->guard)) {
        end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE,
               "the run took too long: the guard has undone it");
    } else if (run->guard && !ce_guard_alive(run->guard)) {
        end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE,
               "the guard has gone: nothing would undo this run if it crashed");
    }
    return run->record->reason && (signal || run->record->status == CE_STATUS_FAILED);
}

/* Takes the outcomes that have arrived, waiting for the first until then. */
static void take_outcomes(struct run *run, int64_t until)
{
    struct ce_outcome outcome;
    while (ce_workload_next(run->workload, &outcome, until)) {
        ce_measure_add(run->measure, &outcome);
        until = 0;
    }
}

/* Runs a phase of `count` operations and then lets them end for at most `drain`. False:
 * interrupted. */
static bool run_phase(struct run *run, enum ce_state state, uint64_t count, int64_t drain)
{
    int64_t planned = (int64_t)((double)count / run->options->pipeline->rate * (double)CE_SECOND);
    int64_t begun = ce_now(), all_due = 0;
    for (;;) {
        if (interrupted(run))
            return false;
        int64_t now = ce_now();
        take_outcomes(run, now + 20 * CE_MILLISECOND);
        if (ce_workload_due(run->workload) >= count) {
            if (!all_due)
                all_due = now;
            if (ce_workload_oldest_due(run->workload) == INT64_MAX || now >= all_due + drain)
                break;
        }
        publish(run, state, fmin(1, (double)(now - begun) / (double)(planned + 1)));
    }
    take_outcomes(run, 0);
    return true;
}

/* Nothing becomes due any more; what is in flight ends, at its timeout at the latest. */
static void let_end(struct run *run)
{
    ce_workload_pause(run->workload);
    int64_t give_up = ce_now() + run->options->pipeline->timeout + CE_SECOND;
    while (ce_workload_oldest_due(run->workload) != INT64_MAX && ce_now() < give_up)
        take_outcomes(run, ce_now() + 20 * CE_MILLISECOND);
    take_outcomes(run, 0);
}

/* ---- preflight and baseline ---- */

void ce_run_id_make(char id[64])
{
    char text[CE_TIMESTAMP_SIZE];
    uint32_t random = 0;
    ce_timestamp(ce_wall_now(), text);
    (void)!getrandom(&random, sizeof random, 0);
    /* 2026-11-22T10:00:00.123Z becomes 20261122T100000 */
    snprintf(id, 64, "%.4s%.2s%.5s%.2s%.2s-%08x", text, text + 5, text + 8, text + 14, text + 17,
             random);
}

static void fill_target(struct run *run)
{
    const struct ce_pipeline_acts *acts = ce_pipeline_acts(run->pipeline);
    const struct ce_operations *operations = ce_pipeline_operations(run->pipeline);
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
        .pipeline = run->pipeline,
        .reload = acts->reload,
        .trained_on = acts->trained_on,
        .serving_process = acts->serving_process,
        .ensure_serving = acts->ensure_serving,
        .sample_request = ce_pipeline_sample_request,
    };
}

static int64_t longest_run(const struct run *run)
{
    const struct ce_experiment *x = run->experiment;
    return x->baseline + x->duration + x->recovery_timeout + 3 * run->options->pipeline->timeout +
           (ce_seam_hurry() ? 0 : GUARD_MARGIN);
}

/* How many operations are due in that time; a phase has at least one. */
static uint64_t operations_in(const struct run *run, int64_t duration)
{
    double n = (double)duration / (double)CE_SECOND * run->options->pipeline->rate;
    return n < 1 ? 1 : (uint64_t)n;
}

static unsigned needs_of(const struct run *run)
{
    const struct ce_fault *fault = run->experiment->fault;
    return fault->needs_of ? fault->needs_of(run->experiment->params) : fault->needs;
}

static int check_needs(const struct run *run, struct ce_error *err)
{
    const struct ce_target *target = &run->target;
    const struct ce_fault *fault = run->experiment->fault;
    unsigned offers = (target->dataset && target->reload ? CE_NEEDS_DATASET : 0) |
                      (target->dataset ? CE_NEEDS_COLUMNS : 0) |
                      (target->request_route ? CE_NEEDS_REQUEST_ROUTE : 0) |
                      (target->model_route ? CE_NEEDS_MODEL_ROUTE : 0) |
                      (target->serving_process ? CE_NEEDS_PROCESS | CE_NEEDS_LEAK_HELPER : 0);
    unsigned lacks = needs_of(run) & ~offers;
    if (lacks & CE_NEEDS_DATASET)
        return ce_fail(err, ENOTSUP,
                       "%s is not trained by ChaosEater, so %s cannot act on what it learns from; "
                       "data faults that take `stage: serve` act on its requests",
                       target->name, fault->name);
    if (lacks & CE_NEEDS_PROCESS)
        return ce_fail(err, ENOTSUP,
                       "%s was not started by ChaosEater, so %s has no process to act on; "
                       "pipeline.command would start it",
                       target->name, fault->name);
    if (lacks)
        return ce_fail(err, ENOTSUP, "%s has nothing that %s could act on", target->name,
                       fault->name);
    return 0;
}

/* Whatever can go wrong before the pipeline has served one request. */
static int prepare(struct run *run, struct ce_error *err)
{
    const struct ce_run_options *options = run->options;
    ce_autofree char *runs = ce_format("%s/run", options->state_dir);
    run->run_folder = ce_format("%s/run/%s", options->state_dir, run->record->id);
    if (!runs || !run->run_folder)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(runs, err));
    CE_TRY(ce_journal_create(options->state_dir, run->record->id, ce_undo_ops, &run->journal, err));
    run->injection.journal = run->journal;
    CE_TRY(ce_guard_start(run->journal, &run->guard, err));
    int64_t patience = ce_pipeline_patience(options->pipeline);
    CE_TRY(ce_guard_deadline(run->guard, ce_now() + patience + longest_run(run), err));
    CE_TRY(ce_undo_note_tree(run->journal, run->run_folder, err));
    CE_TRY(ce_folder_make(run->run_folder, err));
    CE_TRY(ce_proxy_start(1, &run->proxy, err));
    const struct ce_pipeline_site site = {
        .run_folder = run->run_folder,
        .journal = run->journal,
        .proxy = run->proxy,
        .signal = options->signal,
        .leak_helper = needs_of(run) & CE_NEEDS_LEAK_HELPER,
    };
    CE_TRY(ce_pipeline_start(options->pipeline, &site, &run->pipeline, err));
    set_text(&run->record->isolation, ce_pipeline_isolation(run->pipeline));
    fill_target(run);
    if (run->target.protocol)
        run->record->protocol = ce_protocol_name(run->target.protocol);
    CE_TRY(check_needs(run, err));

    /* The workload walks only the rows that the baseline covers, so that every later operation has
     * its pair. */
    uint64_t rows = operations_in(run, run->experiment->baseline);
    run->operations = *ce_pipeline_operations(run->pipeline);
    if (run->operations.count > rows)
        run->operations.count = rows;
    run->measure = ce_measure_new(run->operations.count);
    if (!run->measure)
        return ce_fail_memory(err);
    struct ce_workload_config config = {
        .endpoint = *ce_route_endpoint(run->target.request_route),
        .operations = &run->operations,
        .rate = options->pipeline->rate,
        .timeout_ns = options->pipeline->timeout,
    };
    return ce_workload_start(&config, &run->workload, err);
}

static bool preflight(struct run *run)
{
    const struct ce_fault *fault = run->experiment->fault;
    char reason[256];
    publish(run, CE_STATE_PREFLIGHT, 0);
    if (!ce_fault_available(fault, reason, sizeof reason)) {
        skip(run, "preflight", reason);
        return false;
    }
    struct ce_error err = {0};
    if (prepare(run, &err) < 0) {
        if (!interrupted(run))
            end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, err.message);
        return false;
    }
    return !interrupted(run);
}

static bool baseline(struct run *run)
{
    char reason[256];
    uint64_t count = operations_in(run, run->experiment->baseline);
    ce_workload_begin(run->workload, CE_PHASE_BASELINE, count);
    if (!run_phase(run, CE_STATE_BASELINE, count, run->options->pipeline->timeout + CE_SECOND))
        return false;
    if (!ce_measure_baseline(run->measure, reason, sizeof reason)) {
        skip(run, "baseline", reason);
        return false;
    }
    return true;
}

/* ---- the fault ---- */

/* Nothing is injected without a guard. The time that preflight took (training a model may take
 * minutes) is none of the fault's. */
static bool guarded(struct run *run)
{
    struct ce_error err = {0};
    if (ce_guard_deadline(run->guard, ce_now() + longest_run(run), &err) == 0)
        return true;
    end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, err.message);
    return false;
}

/* True when the fault was done. False: not, and the reason is in the record; rollback follows all
 * the same. */
static bool inject(struct run *run)
{
    struct ce_error err = {0};
    publish(run, CE_STATE_INJECTING, 0);
    ce_measure_injected(run->measure, ce_now()); /* also when it fails: rollback is measured */
    int r = run->experiment->fault->inject(&run->injection, &err);
    if (r == -ENODATA)
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_INCONCLUSIVE, err.message);
    else if (r < 0 && !interrupted(run))
        end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, err.message);
    return r >= 0;
}

/* Looks from outside whether the fault took effect. False: it did not, so there is nothing to
 * observe. */
static bool verify(struct run *run)
{
    struct ce_evidence evidence = {{0}};
    struct ce_error err = {0};
    publish(run, CE_STATE_VERIFYING, 0);
    if (run->record->control) {
        set_text(&run->record->verification,
                 "control run: these parameters change nothing, so there is nothing to see");
        return true;
    }
    int seen = run->experiment->fault->verify(&run->injection, &evidence, &err);
    run->record->verified = seen > 0;
    set_text(&run->record->verification, seen < 0 ? err.message : evidence.text);
    if (seen > 0)
        return true;
    if (interrupted(run))
        return false;
    char reason[512];
    snprintf(reason, sizeof reason, "the fault was not seen to take effect: %s",
             run->record->verification);
    end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_INVALID, reason);
    return false;
}

static void observe(struct run *run)
{
    uint64_t count = operations_in(run, run->experiment->duration);
    /* Nothing was due while the fault was injected. The slots begin with the operations, so that
     * the time that the injection took moves none of them. */
    ce_measure_injected(run->measure, ce_now());
    ce_workload_begin(run->workload, CE_PHASE_FAULT, count);
    if (verify(run))
        (void)run_phase(run, CE_STATE_OBSERVING, count, DRAIN);
}

/* A fault that was armed and found nothing to hit measured nothing. */
static void count(struct run *run)
{
    struct ce_fault_counts counts = {0};
    if (!run->experiment->fault->count)
        return;
    run->experiment->fault->count(&run->injection, &counts);
    json_decref(run->record->fault_counts);
    run->record->fault_counts = ce_fault_counts_json(&counts);
    if (counts.selected == 0 && !run->record->control) {
        char reason[192];
        int n =
            snprintf(reason, sizeof reason, "the fault found nothing to hit among %llu eligible",
                     (unsigned long long)counts.eligible);
        if (counts.skipped[0].reason)
            snprintf(reason + n, sizeof reason - (size_t)n, "; skipped: %llu, %s",
                     (unsigned long long)counts.skipped[0].count, counts.skipped[0].reason);
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_INCONCLUSIVE, reason);
    }
}

/* ---- undo and recovery ---- */

static int put_back(struct run *run, struct ce_error *err)
{
    const struct ce_fault *fault = run->experiment->fault;
    CE_TRY(fault->revert(&run->injection, err));
    publish(run, CE_STATE_VERIFYING_UNDO, 0);
    return fault->verify_undo ? fault->verify_undo(&run->injection, err) : 0;
}

static void roll_back(struct run *run)
{
    struct ce_error err = {0};
    publish(run, CE_STATE_ROLLING_BACK, 0);
    count(run);
    run->rollback_at = ce_now();
    run->record->rolled_back_by = ce_strategy_name(CE_STRATEGY_IMMEDIATE);
    ce_measure_rolling_back(run->measure, run->rollback_at);
    ce_workload_begin(run->workload, CE_PHASE_ROLLBACK, UINT64_MAX);

    int r = put_back(run, &err);
    if (r < 0 && !ce_guard_fired(run->guard)) {
        /* A pipeline that hangs may have filled the workload and the proxy with connections until
         * no descriptor was left to undo with. */
        let_end(run);
        r = put_back(run, &err);
    }
    run->undone = r >= 0;
    run->record->rollback_verified = run->undone;
    run->record->rollback_seconds = (double)(ce_now() - run->rollback_at) / (double)CE_SECOND;
    run->record->steps = calloc(1, sizeof *run->record->steps);
    if (run->record->steps) {
        run->record->step_count = 1;
        run->record->steps[0].healthy = run->undone;
    }
    /* The guard took the pipeline along with the fault; end() says whether anything is live. */
    if (r < 0 && !ce_guard_fired(run->guard))
        end_dirty(run, "what the fault changed", &err);
}

/* Waits until the pipeline is back within tolerance, or the time for that is up. */
static void recover(struct run *run)
{
    int64_t limit = run->experiment->recovery_timeout;
    /* A row of slots that begins in time may end later. */
    int64_t give_up = run->rollback_at + limit + CE_RECOVERY_SLOTS * CE_SLOT;
    ce_workload_begin(run->workload, CE_PHASE_RECOVERY, UINT64_MAX);
    while (isnan(run->recovery_time) && ce_now() < give_up && !interrupted(run)) {
        int64_t now = ce_now();
        publish(run, CE_STATE_RECOVERING,
                fmin(1, (double)(now - run->rollback_at) / (double)limit));
        int64_t settled = ce_workload_oldest_due(run->workload);
        take_outcomes(run, now + 20 * CE_MILLISECOND);
        run->recovery_time = ce_measure_recovery(run->measure, settled < now ? settled : now);
    }
    int64_t paused = ce_now();
    let_end(run);
    if (isnan(run->recovery_time))
        run->recovery_time = ce_measure_recovery(run->measure, paused);
    if (run->recovery_time * (double)CE_SECOND > (double)limit)
        run->recovery_time = NAN;
}

static void judge(struct run *run)
{
    struct ce_record *record = run->record;
    if (record->phases[CE_PHASE_FAULT].operations < CE_MINIMUM_OPERATIONS) {
        char reason[128];
        snprintf(
            reason, sizeof reason,
            "too few operations under the fault to measure anything: %llu, at least %d are needed",
            (unsigned long long)record->phases[CE_PHASE_FAULT].operations, CE_MINIMUM_OPERATIONS);
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_INCONCLUSIVE, reason);
    } else if (isnan(record->recovery_time)) {
        char reason[128];
        snprintf(reason, sizeof reason,
                 "the pipeline was not back within tolerance %g s after rollback began",
                 (double)run->experiment->recovery_timeout / (double)CE_SECOND);
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_DEVIATED, reason);
    } else {
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_PASSED, "");
    }
}

/* ---- the whole ---- */

static void run_through(struct run *run)
{
    if (!preflight(run) || !baseline(run) || !guarded(run))
        return;
    if (inject(run))
        observe(run);
    roll_back(run);
    recover(run);
    ce_measure_record(run->measure, run->recovery_time, run->record);
    if (run->measure->out_of_memory)
        end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, "out of memory while measuring");
    judge(run);
    /* A fault that was not there has nothing to be scored for. */
    if (run->record->verdict == CE_VERDICT_PASSED || run->record->verdict == CE_VERDICT_DEVIATED)
        ce_score(run->record);
}

/* Ends everything that was begun, in the opposite order, and undoes what is still live. */
static void end(struct run *run)
{
    ce_workload_stop(run->workload);
    ce_pipeline_stop(run->pipeline);
    ce_proxy_stop(run->proxy);
    ce_measure_free(run->measure);
    if (run->journal) {
        struct ce_error err = {0};
        if (ce_undo_all(run->journal, NULL, &err) < 0)
            end_dirty(run, "something", &err);
    }
    /* The guard goes last: until then it takes care of whatever is left. */
    ce_journal_close(run->journal);
    ce_guard_stop(run->guard);
    free(run->injection.state);
    free(run->run_folder);
}

int ce_run_plan(const struct ce_run_options *options, struct ce_record *ret_record,
                struct ce_error *err)
{
    const struct ce_experiment *x = options->experiment;
    const struct ce_pipeline_spec *pipeline = options->pipeline;
    bool embedded = pipeline->kind == CE_PIPELINE_EMBEDDED;
    struct ce_record record = (struct ce_record){
        .name = strdup(x->name),
        .layer = strdup(ce_layer_name(x->fault->layer)),
        .fault_type = strdup(x->fault->name),
        .strategy = strdup(ce_strategy_name(x->strategy)),
        .parameters = ce_params_values(x->fault->params, x->params),
        .duration = (double)x->duration / (double)CE_SECOND,
        .pipeline = ce_pipeline_kind_name(pipeline->kind),
        .profile =
            embedded ? strdup(ce_profile_kind_name((enum ce_profile_kind)pipeline->profile)) : NULL,
        .url = embedded ? NULL : strdup(pipeline->url),
        .seed = options->seed,
        .repeat = options->repeat,
        .control = x->fault->is_control && x->fault->is_control(x->params),
        .verification = strdup("not looked at: the fault was not injected"),
        .recovery_time = NAN,
        .accuracy_degradation = NAN,
        .pipeline_downtime = NAN,
        .baseline_accuracy = NAN,
        .fault_accuracy = NAN,
        .score = NAN,
        .started_at = ce_wall_now(),
        .isolation = strdup(""),
    };
    for (int i = 0; i < CE_RECORD_PHASES; i++)
        record.phases[i] =
            (struct ce_phase_summary){.p50_ms = NAN, .p90_ms = NAN, .p99_ms = NAN, .max_ms = NAN};
    ce_run_id_make(record.id);
    if (!record.name || !record.layer || !record.fault_type || !record.strategy ||
        !record.parameters || !(record.profile || record.url) || !record.verification ||
        !record.isolation) {
        ce_record_done(&record);
        return ce_fail_memory(err);
    }
    *ret_record = record;
    return 0;
}

int ce_run(const struct ce_run_options *options, struct ce_record *ret_record, struct ce_error *err)
{
    const struct ce_experiment *x = options->experiment;
    struct ce_record record;
    CE_TRY(ce_run_plan(options, &record, err));
    struct run run = {
        .options = options,
        .experiment = x,
        .record = &record,
        .started = ce_now(),
        .recovery_time = NAN,
    };
    run.injection = (struct ce_injection){
        .fault = x->fault,
        .params = x->params,
        .state = calloc(1, x->fault->state_size + 1),
        .target = &run.target,
        .seed = options->seed,
        .duration = x->duration,
    };
    if (!run.injection.state) {
        ce_record_done(&record);
        return ce_fail_memory(err);
    }
    run_through(&run);
    end(&run);
    record.ended_at = ce_wall_now();
    record.total_seconds = (double)(ce_now() - run.started) / (double)CE_SECOND;
    publish(&run, CE_STATE_ENDED, 1);
    *ret_record = record;
    return 0;
}
