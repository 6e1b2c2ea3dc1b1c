/* SPDX-License-Identifier: MIT */
#include "controller/roll_back.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/seam.h"
#include "controller/run.h"
#include "faults/traffic.h"

/* ---- the standby ---- */

/* The same pipeline once more, or the server that the document names; it needs nothing that a fault
 * would. */
static int start_standby(struct run *run, struct ce_error *err)
{
    struct ce_roll_back *roll = &run->roll;
    const char *url = run->experiment->rollback.standby;
    ce_autofree char *folder = ce_format("%s/standby", run->run_folder);
    if (!folder)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(folder, err));
    roll->standby_spec = *run->options->pipeline;
    if (url) {
        roll->standby_spec.url = run->experiment->rollback.standby;
        roll->standby_spec.command = (struct ce_names){0};
        roll->standby_spec.isolation = CE_ISOLATE_NONE;
    }
    const struct ce_pipeline_site site = {
        .run_folder = folder,
        .journal = run->journal,
        .proxy = run->proxy,
        .signal = run->options->signal,
    };
    CE_TRY(ce_pipeline_start(&roll->standby_spec, &site, &roll->standby, err));
    const char *path = ce_pipeline_operations(run->pipeline)->path;
    const char *other = ce_pipeline_operations(roll->standby)->path;
    if (strcmp(path, other) != 0)
        return ce_fail(err, EINVAL, "it is asked at %s, and the pipeline at %s", other, path);
    return 0;
}

int ce_roll_back_prepare(struct run *run, struct ce_error *err)
{
    const struct ce_rollback_spec *spec = &run->experiment->rollback;
    if (run->trials)
        return 0;
    if (spec->strategy == CE_STRATEGY_CIRCUIT_BREAKER)
        ce_breaker_init(&run->roll.breaker, spec->failure_threshold, spec->window);
    if (spec->strategy != CE_STRATEGY_BLUE_GREEN)
        return 0;
    int r = start_standby(run, err);
    return r < 0 ? ce_fail_context(err, r, "the standby cannot be used") : 0;
}

static bool is_traffic(void *ctx, const struct ce_exchange *exchange)
{
    return !exchange->is_probe; /* which is to see what the fault is in */
}

static void send_to_standby(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    const struct ce_roll_back *roll = ctx;
    action->upstream = ce_route_endpoint(ce_pipeline_request_route(roll->standby));
}

/* A fault in the route itself would hit what goes to the standby, too. */
static int switch_away(struct run *run, struct ce_error *err)
{
    static const struct ce_hook hook = {
        .name = "standby", .concerns = is_traffic, .on_request = send_to_standby};
    const struct ce_fault *fault = run->experiment->fault;
    struct ce_roll_back *roll = &run->roll;
    CE_TRY(ce_route_arm(run->target.request_route, &hook, roll, &roll->switched, err));
    if (!fault->spare || ce_blast_spare(run, 0, NULL) < 0)
        return 0;
    int r = ce_blast_spare(run, 1, err);
    if (r < 0)
        ce_rule_disarm(ce_take(roll->switched));
    return r;
}

void ce_roll_back_done(struct run *run)
{
    ce_rule_disarm(ce_take(run->roll.switched));
    ce_pipeline_stop(ce_take(run->roll.standby));
}

/* ---- health ---- */

void ce_roll_back_saw(struct run *run, const struct ce_outcome *outcome)
{
    struct ce_roll_back *roll = &run->roll;
    if (outcome->phase == CE_PHASE_FAULT && roll->breaker.window > 0)
        (void)ce_breaker_add(&roll->breaker, outcome->due + outcome->latency_ns, outcome->ok);
    if (roll->since == 0 || outcome->phase != CE_PHASE_ROLLBACK || outcome->due < roll->since)
        return;
    char id[32];
    snprintf(id, sizeof id, "%c-%llu", ce_phase_letter(outcome->phase),
             (unsigned long long)outcome->number);
    if (roll->share > 0 && !ce_spared(run->injection.seed, id, roll->share))
        return;
    roll->ended++;
    roll->failed += !outcome->ok;
}

bool ce_roll_back_due(const struct run *run)
{
    return run->roll.breaker.opened;
}

static double fault_errors(const struct run *run)
{
    const struct ce_phase_tally *tally = &run->measure->phases[CE_PHASE_FAULT];
    return tally->operations ? 1 - (double)tally->ok / (double)tally->operations : NAN;
}

/* Traffic is at the standby, so what stands behind it is asked straight. */
static void ask_behind(struct run *run, int64_t until)
{
    struct ce_roll_back *roll = &run->roll;
    int64_t rest = until - ce_now(), timeout = run->options->pipeline->timeout;
    if (rest < CE_MILLISECOND)
        return;
    int r = ce_target_answers(&run->target, roll->ended, timeout < rest ? timeout : rest, NULL);
    roll->ended++;
    roll->failed += r < 0;
}

/* Waits; false: the run has to end. */
static bool wait_until(struct run *run, int64_t until, bool asks)
{
    enum { QUESTIONS = 10 };
    int64_t begun = ce_now(), ask_at = begun, every = (until - begun) / QUESTIONS + 1;
    for (int64_t now = begun; now < until; now = ce_now()) {
        if (ce_run_interrupted(run)) {
            ce_rollback_hurry(&run->roll.rollback, CE_HURRY_STOPPED);
            return false;
        }
        if (asks && now >= ask_at) {
            ask_behind(run, until);
            ask_at += every;
        }
        int64_t soon = now + 20 * CE_MILLISECOND;
        ce_run_take(run, soon < until ? soon : until);
        ce_run_publish(
            run, CE_STATE_ROLLING_BACK,
            fmin(1, (double)(now - run->rollback_at) / (double)run->experiment->rollback.timeout));
    }
    return true;
}

/* What the hypothesis says of the whole counts once nothing is left of the fault: before that it
 * may well fail, and more of the fault would not help it. */
static bool check(struct run *run, const struct ce_move *move)
{
    struct ce_roll_back *roll = &run->roll;
    roll->ended = roll->failed = 0;
    roll->share = move->share;
    roll->since = roll->switched ? 0 : ce_now();
    bool waited = wait_until(run, ce_now() + move->wait, roll->switched);
    roll->since = 0;
    ce_seam_step("rollback: health checked");
    return waited && (move->intensity > 0 || ce_hypothesis_holds(run->hypothesis)) &&
           ce_rollback_healthy(roll->ended, roll->failed,
                               run->experiment->rollback.failure_threshold, move->intensity,
                               roll->share > 0 ? 0 : fault_errors(run));
}

/* ---- the moves ---- */

static int put_back_once(struct run *run, struct ce_error *err)
{
    CE_TRY(ce_blast_revert(run, err));
    ce_run_publish(run, CE_STATE_VERIFYING_UNDO, 0);
    ce_journal_release_reserve(run->journal);
    int r = ce_blast_verify_undo(run, err);
    ce_journal_take_reserve(run->journal);
    return r;
}

static bool put_back(struct run *run)
{
    struct ce_error err = {0};
    int r = put_back_once(run, &err);
    if (r < 0 && !ce_guard_fired(run->guard)) {
        /* A pipeline that hangs may have filled the workload and the proxy with connections until
         * no descriptor was left to undo with. */
        ce_run_let_end(run);
        r = put_back_once(run, &err);
    }
    run->undone = r >= 0;
    /* The guard took the pipeline along with the fault; end() says whether anything is live. */
    if (r < 0 && !ce_guard_fired(run->guard))
        ce_run_end_dirty(run, "what the fault changed", &err);
    return run->undone;
}

/* Whether it could be done; of a check, whether the pipeline is healthy. */
static bool carry_out(struct run *run, const struct ce_move *move)
{
    struct ce_roll_back *roll = &run->roll;
    int r = 0;
    switch (move->kind) {
    case CE_MOVE_ADJUST:
        r = ce_blast_adjust(run, move->intensity, &roll->err);
        break;
    case CE_MOVE_SPARE:
        r = ce_blast_spare(run, move->share, &roll->err);
        break;
    case CE_MOVE_SWITCH:
        r = switch_away(run, &roll->err);
        break;
    case CE_MOVE_REVERT:
        return put_back(run);
    case CE_MOVE_SWITCH_BACK:
        ce_rule_disarm(ce_take(roll->switched));
        break;
    case CE_MOVE_REST:
        return wait_until(run, ce_now() + move->wait, false);
    case CE_MOVE_CHECK:
        return check(run, move) && !move->cut;
    case CE_MOVE_END:
        break;
    }
    ce_seam_step("rollback: move made");
    return r >= 0;
}

static bool changes_intensity(enum ce_move_kind kind)
{
    return kind == CE_MOVE_ADJUST || kind == CE_MOVE_SPARE || kind == CE_MOVE_REVERT;
}

/* ---- the record ---- */

/* A run must not fail for want of a line in its report. */
static void add_step(struct run *run, int64_t at, double intensity, bool healthy, const char *event)
{
    struct ce_record *record = run->record;
    struct ce_rollback_step *steps =
        realloc(record->steps, (record->step_count + 1) * sizeof *steps);
    if (!steps)
        return;
    record->steps = steps;
    steps[record->step_count++] = (struct ce_rollback_step){
        .at = (double)(at - run->rollback_at) / (double)CE_SECOND,
        .intensity = intensity,
        .healthy = healthy,
        .event = event ? ce_rollback_event(event) : NULL,
    };
}

/* A check says how healthy the step before it was; one that says something else than the last is a
 * step of its own. */
static void note_check(struct run *run, int64_t at, const struct ce_move *move, bool good,
                       bool first)
{
    struct ce_record *record = run->record;
    bool breaker = run->roll.rollback.plan.strategy == CE_STRATEGY_CIRCUIT_BREAKER;
    if (breaker) {
        add_step(run, at, 0, good, "half_open");
        if (run->roll.rollback.hurry == CE_HURRY_NONE)
            add_step(run, ce_now(), 0, good, good ? "closed" : "opened");
    } else if (first && record->step_count > 0) {
        record->steps[record->step_count - 1].healthy = good;
        if (!good && run->roll.rollback.hurry == CE_HURRY_NONE)
            add_step(run, ce_now(), move->intensity, false, "paused");
    } else if (good) {
        add_step(run, ce_now(), move->intensity, true, NULL);
    }
}

static void note(struct run *run, int64_t at, const struct ce_move *move, bool good, bool first)
{
    bool breaker = run->roll.rollback.plan.strategy == CE_STRATEGY_CIRCUIT_BREAKER;
    switch (move->kind) {
    case CE_MOVE_CHECK:
        note_check(run, at, move, good, first);
        break;
    case CE_MOVE_ADJUST:
        add_step(run, at, move->intensity, good, NULL);
        break;
    case CE_MOVE_SPARE:
        add_step(run, at, move->intensity, good, "spared");
        break;
    case CE_MOVE_SWITCH:
        add_step(run, at, move->intensity, good, "switched");
        break;
    case CE_MOVE_REVERT:
        add_step(run, at, move->intensity, good, breaker ? "opened" : NULL);
        break;
    case CE_MOVE_SWITCH_BACK:
        add_step(run, at, move->intensity, good, "switched_back");
        break;
    case CE_MOVE_REST:
    case CE_MOVE_END:
        break;
    }
}

/* Which strategy it was, and why not another. */
static void say_why(struct run *run)
{
    const struct ce_rollback *rollback = &run->roll.rollback;
    const struct ce_rollback_plan *plan = &rollback->plan;
    struct ce_record *record = run->record;
    const char *name = ce_strategy_name(plan->strategy), *sep = plan->reason[0] ? "; " : "";
    char *why = NULL;
    bool gave_way = plan->strategy != CE_STRATEGY_IMMEDIATE && rollback->hurry != CE_HURRY_NONE;
    if (gave_way && rollback->hurry == CE_HURRY_LATE)
        why = ce_format("%s%snot done within %g s: immediate from there on", plan->reason, sep,
                        (double)plan->timeout / (double)CE_SECOND);
    else if (gave_way && rollback->hurry == CE_HURRY_STOPPED)
        why = ce_format("%s%s%s gave way to immediate, since the run had to end", plan->reason, sep,
                        name);
    else if (gave_way)
        why = ce_format("%s%s%s gave way to immediate: %s", plan->reason, sep, name,
                        run->roll.err.message);
    else if (plan->strategy == CE_STRATEGY_CIRCUIT_BREAKER)
        why = ce_format("the circuit breaker opened: %.0f %% of the operations had failed",
                        100 * run->roll.breaker.ratio);
    else if (plan->reason[0])
        why = strdup(plan->reason);
    free(record->rollback_reason);
    record->rollback_reason = why;
    record->rolled_back_by = name;
}

/* ---- the whole ---- */

static struct ce_rollback_plan make_plan(struct run *run)
{
    const struct ce_fault *fault = run->experiment->fault;
    bool ended = run->record->reason;
    bool spares = !ended && fault->spare && ce_blast_spare(run, 0, NULL) >= 0;
    const struct ce_rollback_means means = {
        .fault = fault->name,
        .adjusts = fault->adjust,
        .spares = spares,
        .standby = run->roll.standby,
        .trials = run->trials,
        .trains = fault->layer == CE_LAYER_DATA && !spares,
        .opened = run->roll.breaker.opened,
        .ended = ended,
        .errors = fault_errors(run),
    };
    return ce_rollback_plan(&run->experiment->rollback, &means);
}

void ce_roll_back(struct run *run)
{
    struct ce_rollback *rollback = &run->roll.rollback;
    const struct ce_rollback_plan plan = make_plan(run);
    run->rollback_at = ce_now();
    ce_measure_rolling_back(run->measure, run->rollback_at);
    ce_series_phase(run->series, "rollback", run->rollback_at);
    if (run->trials)
        ce_workload_give_up(run->workload); /* one that runs still is one of an interrupted run */
    else
        ce_workload_begin(run->workload, CE_PHASE_ROLLBACK, UINT64_MAX, 0);

    ce_rollback_begin(rollback, &plan, run->rollback_at);
    struct ce_move move;
    enum ce_move_kind before = CE_MOVE_END;
    for (bool good = true;;) {
        int64_t at = ce_now();
        move = ce_rollback_next(rollback, at, good);
        if (move.kind == CE_MOVE_END)
            break;
        good = carry_out(run, &move);
        if (good && changes_intensity(move.kind))
            ce_series_intensity(run->series, move.intensity, ce_now());
        note(run, at, &move, good, before != CE_MOVE_CHECK);
        before = move.kind;
    }
    int64_t took = ce_now() - run->rollback_at;
    run->roll.extra = plan.strategy == CE_STRATEGY_IMMEDIATE ? 0 : took;
    run->record->rollback_verified = run->undone;
    run->record->rollback_seconds = (double)took / (double)CE_SECOND;
    say_why(run);
}
