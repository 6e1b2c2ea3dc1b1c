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

#include "base/cleanup.h"
#include "base/log.h"
#include "base/seam.h"
#include "controller/run.h"
#include "journal/lever.h"

/* Between the last request under the fault and rollback: what is in flight may still end, but a
 * fault that hangs requests is not kept waiting for. */
#define DRAIN (250 * CE_MILLISECOND)

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
void ce_run_end_dirty(struct run *run, const char *what, const struct ce_error *err)
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

/* Whether one is due. Its metrics are the caller's. */
static bool take_sample(struct run *run, struct ce_sample *ret_sample)
{
    int64_t now = ce_now();
    if (!run->live || now < run->sampled + CE_SAMPLE_EVERY)
        return false;
    run->sampled = now;
    for (size_t i = 0; i < run->options->observer_count; i++) {
        const struct ce_observer *observer = &run->options->observers[i];
        ce_customs_add(run->customs, observer->name, observer->measure(observer->ctx));
    }
    *ret_sample = ce_live_sample(run->live, now);
    ret_sample->metrics = ce_customs_now(run->customs, ret_sample->metrics);
    ret_sample->elapsed = (double)(now - run->started) / (double)CE_SECOND;
    return true;
}

void ce_run_publish(struct run *run, enum ce_state state, double fraction)
{
    ce_log("%s: %s", run->experiment->name, ce_state_name(state));
    ce_customs_enter(run->customs, state);
    if (!run->options->on_event)
        return;
    struct ce_sample sample = {0};
    bool sampled = take_sample(run, &sample);
    const struct ce_event event = {
        .state = state,
        .fraction = fraction,
        .intensity = ce_series_intensity_now(run->series),
        .guarded = run->guard && ce_guard_alive(run->guard),
        .sample = sampled ? &sample : NULL,
        .record = run->record,
    };
    run->options->on_event(run->options->on_event_ctx, &event);
    json_decref(sample.metrics);
}

/* ---- waiting ---- */

/* Whether the run must go to its rollback at once. */
bool ce_run_interrupted(struct run *run)
{
    int signal = run->options->signal ? *run->options->signal : 0;
    if (signal) {
        run->record->signal = signal;
        end_as(run, CE_STATUS_INTERRUPTED, CE_VERDICT_INCONCLUSIVE,
               signal == SIGINT ? "interrupted by SIGINT" : "interrupted by SIGTERM");
    } else if (ce_lever_is_engaged(run->options->state_dir)) {
        end_as(run, CE_STATUS_ABORTED, CE_VERDICT_INCONCLUSIVE,
               "stopped: `chaoseater stop` was called");
    } else if (run->guard && ce_guard_fired(run->guard)) {
        end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE,
               "the run took too long: the guard has undone it");
    } else if (run->guard && !ce_guard_alive(run->guard)) {
        end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE,
               "the guard has gone: nothing would undo this run if it crashed");
    } else if (ce_hypothesis_poll(run->hypothesis, ce_now())) {
        end_as(run, CE_STATUS_ABORTED, CE_VERDICT_INCONCLUSIVE,
               ce_hypothesis_stopped(run->hypothesis));
    }
    return run->record->reason && (signal || run->record->status == CE_STATUS_FAILED ||
                                   run->record->status == CE_STATUS_ABORTED);
}

/* Takes the outcomes that have arrived, waiting for the first until then. */
void ce_run_take(struct run *run, int64_t until)
{
    struct ce_outcome outcome;
    while (ce_workload_next(run->workload, &outcome, until)) {
        ce_live_add(run->live, &outcome, ce_now());
        ce_roll_back_saw(run, &outcome);
        ce_series_add(run->series, &outcome);
        ce_measure_add(run->measure, &outcome);
        until = 0;
    }
}

/* Lets a phase that has begun go on until its `count` operations are due, at about `planned` ns,
 * and then lets them end for at most `drain`. False: interrupted. */
static bool run_phase(struct run *run, enum ce_state state, int64_t planned, int64_t drain)
{
    int64_t begun = ce_now(), all_due = 0;
    for (;;) {
        if (ce_run_interrupted(run))
            return false;
        int64_t now = ce_now();
        ce_run_take(run, now + 20 * CE_MILLISECOND);
        if (ce_roll_back_due(run))
            return true;
        if (ce_workload_all_due(run->workload)) {
            if (!all_due)
                all_due = now;
            if (ce_workload_oldest_due(run->workload) == INT64_MAX || now >= all_due + drain)
                break;
        }
        ce_run_publish(run, state, fmin(1, (double)(now - begun) / (double)(planned + 1)));
    }
    ce_run_take(run, 0);
    return true;
}

/* Nothing becomes due any more; what is in flight ends, at its timeout at the latest. A trial is
 * not waited for once the run is interrupted. */
void ce_run_let_end(struct run *run)
{
    ce_workload_pause(run->workload);
    int64_t give_up = ce_now() + ce_run_drain(run);
    while (ce_workload_oldest_due(run->workload) != INT64_MAX && ce_now() < give_up) {
        if (run->trials && ce_run_interrupted(run))
            ce_workload_give_up(run->workload);
        ce_run_take(run, ce_now() + 20 * CE_MILLISECOND);
    }
    ce_run_take(run, 0);
}

/* Asks the probes that are due in this round, until each has settled. False: interrupted. */
static bool ask(struct run *run, enum ce_round round)
{
    struct ce_error err = {0};
    if (ce_hypothesis_begin(run->hypothesis, round, &err) < 0)
        end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, err.message);
    for (;;) {
        if (ce_run_interrupted(run))
            return false;
        if (ce_hypothesis_settled(run->hypothesis))
            return true;
        ce_run_take(run, ce_now() + 20 * CE_MILLISECOND);
    }
}

/* Whether all is as it has to be before anything is injected. */
static bool ask_first(struct run *run, enum ce_round round)
{
    const char *stage;
    if (!ask(run, round))
        return false;
    const char *reason = ce_hypothesis_refuses(run->hypothesis, &stage);
    if (reason)
        skip(run, stage, reason);
    return !reason;
}

/* ---- preflight and baseline ---- */

static bool preflight(struct run *run)
{
    const struct ce_fault *fault = run->experiment->fault;
    char reason[256];
    ce_run_publish(run, CE_STATE_PREFLIGHT, 0);
    if (!ce_fault_available(fault, reason, sizeof reason)) {
        skip(run, "preflight", reason);
        return false;
    }
    struct ce_error err = {0};
    int r = ce_run_prepare(run, &err);
    if (r < 0) {
        if (r == -EALREADY && !run->journal)
            skip(run, "preflight", err.message);
        else if (!ce_run_interrupted(run))
            end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, err.message);
        return false;
    }
    if (ce_roll_back_prepare(run, &err) < 0) {
        if (!ce_run_interrupted(run))
            skip(run, "preflight", err.message);
        return false;
    }
    return ask_first(run, CE_ROUND_PREFLIGHT);
}

/* A pipeline that is not healthy is said to be so, with the words of a trial that failed. */
static void skip_unhealthy(struct run *run, const char *reason)
{
    struct ce_error failure;
    ce_workload_last_failure(run->workload, &failure);
    char whole[sizeof failure.message + 320];
    snprintf(whole, sizeof whole, "%s%s%s", reason, failure.message[0] ? "; " : "",
             failure.message);
    skip(run, "baseline", whole);
}

static bool baseline(struct run *run)
{
    char reason[256];
    int64_t planned = run->experiment->baseline;
    ce_live_begin(run->live, ce_now());
    ce_series_phase(run->series, "baseline", ce_now());
    ce_workload_begin(run->workload, CE_PHASE_BASELINE, ce_run_operations(run, planned), 0);
    if (!run_phase(run, CE_STATE_BASELINE, planned, ce_run_drain(run)))
        return false;
    ce_series_phase(run->series, NULL, ce_now());
    if (!ce_measure_baseline(run->measure, reason, sizeof reason)) {
        skip_unhealthy(run, reason);
        return false;
    }
    return ask_first(run, CE_ROUND_BEFORE);
}

/* ---- the fault ---- */

/* Nothing is injected before the stop conditions are watched. */
static bool armed(struct run *run)
{
    struct ce_error err = {0};
    if (ce_hypothesis_begin(run->hypothesis, CE_ROUND_CHAOS, &err) == 0)
        return true;
    end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, err.message);
    return false;
}

/* Nothing is injected without a guard. The time that preflight took (training a model may take
 * minutes) is none of the fault's. */
static bool guarded(struct run *run)
{
    struct ce_error err = {0};
    if (ce_guard_deadline(run->guard, ce_now() + ce_run_longest(run), &err) == 0)
        return true;
    end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, err.message);
    return false;
}

/* True when the fault was done. False: not, and the reason is in the record; rollback follows all
 * the same. */
static bool inject(struct run *run)
{
    struct ce_error err = {0};
    ce_run_publish(run, CE_STATE_INJECTING, 0);
    ce_measure_injected(run->measure, ce_now()); /* also when it fails: rollback is measured */
    ce_series_phase(run->series, "injection", ce_now());
    int r = ce_blast_inject(run, &err);
    if (r >= 0)
        ce_series_intensity(run->series, 1, ce_now());
    if (r >= 0)
        r = ce_hypothesis_injected(run->hypothesis, &err);
    if (r == -ENODATA)
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_INCONCLUSIVE, err.message);
    else if (r < 0 && !ce_run_interrupted(run))
        end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, err.message);
    return r >= 0;
}

/* Looks from outside whether the fault took effect. False: it did not, so there is nothing to
 * observe. */
static bool verify(struct run *run)
{
    struct ce_evidence evidence = {{0}};
    struct ce_error err = {0};
    ce_run_publish(run, CE_STATE_VERIFYING, 0);
    if (run->record->control) {
        set_text(&run->record->verification,
                 "control run: these parameters change nothing, so there is nothing to see");
        return true;
    }
    int seen = ce_blast_verify(run, &evidence, &err);
    run->record->verified = seen > 0;
    set_text(&run->record->verification, seen < 0 ? err.message : evidence.text);
    if (seen > 0)
        return true;
    if (ce_run_interrupted(run))
        return false;
    char reason[512];
    bool nothing = seen == -ENODATA;
    const char *before = nothing ? "" : "the fault was not seen to take effect: ";
    if (!nothing || !ce_blast_is_empty(run, reason, sizeof reason))
        snprintf(reason, sizeof reason, "%s%s", before, run->record->verification);
    end_as(run, CE_STATUS_COMPLETED, nothing ? CE_VERDICT_INCONCLUSIVE : CE_VERDICT_INVALID,
           reason);
    return false;
}

/* Requests are driven while the fault is looked at. Trials are not: none is to run half with the
 * fault, and what a fault is looked at by is apart from them. */
static void observe(struct run *run)
{
    int64_t duration = run->experiment->duration;
    if (run->trials && !verify(run))
        return;
    /* Nothing was due while the fault was injected. The slots begin with the operations, so that
     * the time that the injection took moves none of them. */
    ce_measure_injected(run->measure, ce_now());
    ce_live_begin(run->live, ce_now());
    ce_series_phase(run->series, "fault", ce_now());
    ce_workload_begin(run->workload, CE_PHASE_FAULT, ce_run_operations(run, duration), duration);
    if (run->trials || verify(run))
        (void)run_phase(run, CE_STATE_OBSERVING, duration, run->trials ? ce_run_drain(run) : DRAIN);
}

/* A fault that was armed and found nothing to hit measured nothing. */
static void count(struct run *run)
{
    struct ce_fault_counts counts = {0};
    if (!run->experiment->fault->count)
        return;
    ce_blast_count(run, &counts);
    json_decref(run->record->fault_counts);
    run->record->fault_counts = ce_fault_counts_json(&counts);
    if (counts.selected == 0 && !run->record->control) {
        char reason[192];
        bool outside = ce_blast_is_empty(run, reason, sizeof reason);
        int n = 0;
        if (!outside)
            n = snprintf(reason, sizeof reason,
                         "the fault found nothing to hit among %llu eligible",
                         (unsigned long long)counts.eligible);
        if (!outside && counts.skipped[0].reason)
            snprintf(reason + n, sizeof reason - (size_t)n, "; skipped: %llu, %s",
                     (unsigned long long)counts.skipped[0].count, counts.skipped[0].reason);
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_INCONCLUSIVE, reason);
    }
}

/* ---- undo and recovery ---- */

static void roll_back(struct run *run)
{
    ce_run_publish(run, CE_STATE_ROLLING_BACK, 0);
    count(run);
    ce_blast_record(run);
    ce_roll_back(run);
}

/* A strategy that takes its time is given it. */
static int64_t recovery_limit(const struct run *run)
{
    return run->experiment->recovery_timeout + run->roll.extra;
}

/* Waits until the pipeline is back within tolerance, or the time for that is up. Requests come all
 * the time; trials one by one, so that none is begun in vain after a good one. */
static void recover(struct run *run)
{
    int64_t limit = recovery_limit(run);
    /* A row of slots that begins in time may end later. */
    int64_t give_up = run->rollback_at + limit + (run->trials ? 0 : CE_RECOVERY_SLOTS * CE_SLOT);
    /* Clients may be back within tolerance long before a strategy is done, and at a standby: what
     * they get afterwards is looked at, too. */
    int64_t least = run->roll.extra > 0 ? ce_now() + CE_RECOVERY_SLOTS * CE_SLOT : 0;
    ce_series_phase(run->series, "recovery", ce_now());
    ce_workload_begin(run->workload, CE_PHASE_RECOVERY, run->trials ? 1 : UINT64_MAX, 0);
    while ((isnan(run->recovery_time) ? ce_now() < give_up : ce_now() < least) &&
           !ce_run_interrupted(run)) {
        int64_t now = ce_now();
        ce_run_publish(run, CE_STATE_RECOVERING,
                       fmin(1, (double)(now - run->rollback_at) / (double)limit));
        int64_t settled = ce_workload_oldest_due(run->workload);
        ce_run_take(run, now + 20 * CE_MILLISECOND);
        run->recovery_time = ce_measure_recovery(run->measure, settled < now ? settled : now);
        if (run->trials && settled == INT64_MAX && isnan(run->recovery_time))
            ce_workload_begin(run->workload, CE_PHASE_RECOVERY, ce_workload_due(run->workload) + 1,
                              0);
    }
    int64_t paused = ce_now();
    if (!run->record->reason)
        (void)ask(run, CE_ROUND_AFTER); /* while requests still come */
    ce_run_let_end(run);
    ce_series_phase(run->series, NULL, ce_now());
    if (isnan(run->recovery_time))
        run->recovery_time = ce_measure_recovery(run->measure, paused);
    if (run->recovery_time * (double)CE_SECOND > (double)limit)
        run->recovery_time = NAN;
}

static void judge_measured(struct run *run)
{
    unsigned needed = run->trials ? 1 : CE_MINIMUM_OPERATIONS;
    uint64_t count = run->record->phases[CE_PHASE_FAULT].operations;
    char reason[128];
    if (count < needed) {
        snprintf(reason, sizeof reason,
                 "too few operations under the fault to measure anything: %llu, at least %u are "
                 "needed",
                 (unsigned long long)count, needed);
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_INCONCLUSIVE, reason);
    } else if (isnan(run->record->recovery_time)) {
        snprintf(reason, sizeof reason,
                 "the pipeline was not back within tolerance %g s after rollback began",
                 (double)recovery_limit(run) / (double)CE_SECOND);
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_DEVIATED, reason);
    } else if (ce_hypothesis_deviated(run->hypothesis)) {
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_DEVIATED,
               ce_hypothesis_deviated(run->hypothesis));
    } else if (ce_hypothesis_unknown(run->hypothesis)) {
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_INCONCLUSIVE,
               ce_hypothesis_unknown(run->hypothesis));
    } else {
        end_as(run, CE_STATUS_COMPLETED, CE_VERDICT_PASSED, "");
    }
}

/* ---- the whole ---- */

static void run_through(struct run *run)
{
    if (!preflight(run) || !baseline(run) || !armed(run) || !guarded(run))
        return;
    if (inject(run))
        observe(run);
    (void)ce_hypothesis_begin(run->hypothesis, CE_ROUND_ROLLBACK, NULL);
    roll_back(run);
    (void)ce_hypothesis_begin(run->hypothesis, CE_ROUND_RECOVERY, NULL);
    recover(run);
    ce_measure_record(run->measure, run->recovery_time, run->record);
    run->record->custom_metrics = ce_customs_means(run->customs, run->record->custom_metrics);
    if (run->measure->out_of_memory)
        end_as(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, "out of memory while measuring");
    judge_measured(run);
    /* A fault that was not there has nothing to be scored for. */
    if (run->record->verdict == CE_VERDICT_PASSED || run->record->verdict == CE_VERDICT_DEVIATED)
        ce_score(run->record);
}

/* Ends everything that was begun, in the opposite order, and undoes what is still live. */
static void end(struct run *run)
{
    ce_workload_stop(run->workload);
    ce_roll_back_done(run);
    ce_pipeline_stop(run->pipeline);
    ce_proxy_stop(run->proxy);
    if (run->journal) {
        struct ce_error err = {0};
        if (ce_undo_all(run->journal, NULL, &err) < 0)
            ce_run_end_dirty(run, "something", &err);
    }
    ce_hypothesis_record(run->hypothesis, run->record);
    ce_hypothesis_free(run->hypothesis);
    ce_live_free(ce_take(run->live)); /* nothing is sampled any more */
    ce_series_phase(run->series, NULL, ce_now());
    run->record->series = ce_series_json(run->series);
    ce_series_free(ce_take(run->series));
    ce_customs_free(ce_take(run->customs));
    ce_measure_free(run->measure);
    /* The guard goes last: until then it takes care of whatever is left. */
    ce_journal_close(run->journal);
    ce_guard_stop(ce_take(run->guard));
    ce_blast_done(&run->blast);
    free(run->injection.state);
    free(run->run_folder);
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
        .customs = ce_customs_new(),
    };
    run.injection = (struct ce_injection){
        .fault = x->fault,
        .params = x->params,
        .state = calloc(1, x->fault->state_size + 1),
        .target = &run.target,
        .seed = options->seed,
        .duration = x->duration,
    };
    if (!run.injection.state || !run.customs) {
        free(run.injection.state);
        ce_customs_free(run.customs);
        ce_record_done(&record);
        return ce_fail_memory(err);
    }
    run_through(&run);
    end(&run);
    record.ended_at = ce_wall_now();
    record.total_seconds = (double)(ce_now() - run.started) / (double)CE_SECOND;
    ce_run_publish(&run, CE_STATE_ENDED, 1);
    *ret_record = record;
    return 0;
}
