/* SPDX-License-Identifier: MIT */
/* batch_processing_failure: whole batches of predictions fail, as when one bad record or a worker
 * that dies takes all the others with it.
 *
 * A batch is a request with at least `min_rows` rows; it fails before the model server sees it, and
 * as a whole. Nothing outside this process is touched, so there is nothing to note in the journal.
 *
 * Of a pipeline that is a batch job a trial is the batch: it is killed as soon as it has started.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/seam.h"
#include "faults/model/failure.h"
#include "faults/sample.h"

struct batch {
    struct ce_traffic_params traffic;
    double failure_rate;
    int64_t min_rows, status;
    int mode;
};

struct batch_state {
    struct ce_traffic traffic;
    const struct batch *params;
    struct ce_failure failure;
    /* of trials */
    struct ce_recipe recipe;
    _Atomic double intensity;
    _Atomic uint64_t trials, killed;
};

/* How the names of trials begin that verification runs. */
static const char probe_name[] = "probe-";

static const struct ce_choice modes[] = {
    {"error", CE_FAILURE_ERROR, "answered with `status`, in the shape of the protocol"},
    {"reset", CE_FAILURE_RESET, "the connection is reset"},
    {"hang", CE_FAILURE_HANG, "the batch is taken and never answered"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_RATE(struct batch, failure_rate, .def = "0.2", .doc = "Share of the batches that fail."),
    CE_INTEGER(struct batch, min_rows, .min = 1, .max = 1e9, .def = "1",
               .doc = "Rows that make a request a batch."),
    CE_CHOICE(struct batch, mode, .choices = modes, .def = "error", .doc = "How they fail."),
    CE_INTEGER(struct batch, status, .min = 400, .max = 599, .def = "500",
               .doc = "HTTP status of mode error."),
    CE_TRAFFIC_PARAMS(struct batch),
    CE_END_PARAMS,
};

static int batch_check(const void *p, struct ce_error *err)
{
    const struct batch *batch = p;
    return ce_traffic_check(&batch->traffic, err);
}

static bool batch_is_control(const void *p)
{
    const struct batch *batch = p;
    return batch->failure_rate == 0 || batch->traffic.share == 0;
}

static bool hits_at(const struct batch_state *state, const char *id, double intensity)
{
    return ce_traffic_hits(&state->traffic, id, 0, state->params->failure_rate * intensity);
}

/* NULL: it is a batch; else why not. */
static const char *why_no_batch(const struct batch *batch, const struct ce_visit *visit)
{
    if (batch->min_rows == 1)
        return NULL;
    if (visit->exchange->body_encoded)
        return "encoded";
    struct ce_message message = ce_visit_message(visit);
    size_t rows = ce_message_rows(&message);
    if (rows == 0)
        return "unreadable";
    return rows < (uint64_t)batch->min_rows ? "fewer rows" : NULL;
}

static void batch_on_request(void *ctx, const struct ce_visit *visit, struct ce_action *action)
{
    const struct batch_state *state = ctx;
    const struct batch *batch = state->params;
    const char *why = why_no_batch(batch, visit);
    if (why)
        ce_visit_skip(visit, why);
    else if (ce_visit_select(visit, 0, batch->failure_rate * state->traffic.intensity))
        ce_failure_act(&state->failure, visit, action);
}

/* A target whose own requests are smaller has no batch to fail. */
static int check_rows(const struct batch_state *state, struct ce_error *err)
{
    const struct ce_traffic *traffic = &state->traffic;
    struct ce_sample sample;
    if (state->params->min_rows == 1 || !traffic->target->sample_request)
        return 0;
    CE_TRY(ce_sample_find(traffic, traffic->first_row, &sample, err));
    struct ce_message message = ce_sample_message(traffic->target, &sample);
    size_t rows = ce_message_rows(&message);
    free(sample.body);
    if (rows >= (uint64_t)state->params->min_rows)
        return 0;
    return ce_fail(err, ENODATA, "min_rows: a request of %s has %zu rows, and %lld make a batch",
                   traffic->target->name, rows, (long long)state->params->min_rows);
}

/* ---- trials ---- */

static bool is_of_trials(const struct ce_injection *injection)
{
    return injection->target->fail_trials;
}

static bool trial_fails(void *ctx, const char *trial)
{
    struct batch_state *state = ctx;
    const struct batch *batch = state->params;
    bool fails = ce_recipe_shares(&state->recipe, trial, batch->traffic.share) &&
                 ce_recipe_hits(&state->recipe, trial, 0, batch->failure_rate * state->intensity);
    if (strncmp(trial, probe_name, strlen(probe_name)) != 0) {
        state->trials++;
        state->killed += fails;
    }
    return fails;
}

static int trials_inject(struct ce_injection *injection, struct ce_error *err)
{
    struct batch_state *state = injection->state;
    const struct batch *batch = state->params = injection->params;
    const struct ce_traffic_params *traffic = &batch->traffic;
    const struct ce_target *target = injection->target;
    if (batch->min_rows > 1 || batch->mode != CE_FAILURE_ERROR || traffic->path ||
        traffic->header || traffic->model || traffic->where)
        return ce_fail(err, EINVAL,
                       "%s is run as trials, which are killed: min_rows, mode and the filters are "
                       "for requests",
                       target->name);
    state->recipe = ce_recipe_init(injection->seed, injection->fault->name, "trials", NULL);
    state->intensity = 1;
    return ce_seam_no_effect() ? 0 : target->fail_trials(target->pipeline, trial_fails, state);
}

/* A trial that nothing counts, of a name that is to fail: it is killed before it can do much. */
static int trials_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence)
{
    enum { NAMES = 100000 };
    struct batch_state *state = injection->state;
    const struct ce_target *target = injection->target;
    struct ce_error how = {0};
    char name[32] = "";
    bool found = false;
    for (int i = 0; i < NAMES && !found; i++) {
        snprintf(name, sizeof name, "%s%d", probe_name, i);
        found = trial_fails(state, name);
    }
    int r = found ? target->try_trial(target->pipeline, name, &how) : 0;
    snprintf(ret_evidence->text, sizeof ret_evidence->text, "trial %s, which was to fail, %s%.200s",
             name, r < 0 ? "did: " : "ended well", how.message);
    return r < 0;
}

/* ---- the callbacks ---- */

static int batch_inject(struct ce_injection *injection, struct ce_error *err)
{
    struct batch_state *state = injection->state;
    const struct batch *batch = state->params = injection->params;
    if (is_of_trials(injection))
        return trials_inject(injection, err);
    struct ce_traffic_hook hook = {.wants = batch->min_rows > 1 ? CE_HOOK_REQUEST_BODY : 0,
                                   .scope = CE_TRAFFIC_PREDICTIONS,
                                   .on_request = batch_on_request};
    CE_TRY(ce_failure_init(&state->failure, (enum ce_failure_way)batch->mode, (int)batch->status,
                           "the batch could not be processed", -1, err));
    CE_TRY(ce_traffic_arm(&state->traffic, injection, &batch->traffic, &hook, state, err));
    return check_rows(state, err);
}

static bool hits_now(const void *ctx, const char *id)
{
    const struct batch_state *state = ctx;
    return hits_at(state, id, state->traffic.intensity);
}

static bool hits_at_full_intensity(const void *ctx, const char *id)
{
    return hits_at(ctx, id, 1);
}

static int batch_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                        struct ce_error *err)
{
    const struct batch_state *state = injection->state;
    if (is_of_trials(injection))
        return trials_verify(injection, ret_evidence);
    return ce_failure_verify(&state->failure, false, &state->traffic, hits_now, state, ret_evidence,
                             err);
}

static int batch_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct batch_state *state = injection->state;
    state->traffic.intensity = intensity;
    state->intensity = intensity;
    return 0;
}

static int batch_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct batch_state *state = injection->state;
    const struct ce_target *target = injection->target;
    if (is_of_trials(injection))
        return target->fail_trials(target->pipeline, NULL, NULL);
    ce_traffic_disarm(&state->traffic);
    ce_failure_done(&state->failure);
    return 0;
}

static int batch_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct batch_state *state = injection->state;
    if (is_of_trials(injection))
        return 0; /* revert has taken the whole of it away */
    bool control = batch_is_control(injection->params);
    return ce_traffic_verify_undo(&state->traffic, control ? NULL : hits_at_full_intensity, state,
                                  CE_SECOND, err);
}

static void batch_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct batch_state *state = injection->state;
    if (is_of_trials(injection)) {
        uint64_t killed = state->killed;
        *ret_counts = (struct ce_fault_counts){
            .eligible = state->trials, .selected = killed, .changed = killed};
        return;
    }
    ce_traffic_count(&state->traffic, ret_counts);
}

const struct ce_fault ce_fault_batch_processing_failure = {
    .name = "batch_processing_failure",
    .summary = "Fail a share of the batches of predictions as a whole",
    .layer = CE_LAYER_MODEL,
    .needs = CE_NEEDS_BATCHES,
    .params = params,
    .params_size = sizeof(struct batch),
    .state_size = sizeof(struct batch_state),
    .example = "{failure_rate: 0.3, mode: error, status: 500}",
    .check = batch_check,
    .is_control = batch_is_control,
    .inject = batch_inject,
    .verify = batch_verify,
    .adjust = batch_adjust,
    .spare = ce_traffic_spare,
    .revert = batch_revert,
    .verify_undo = batch_verify_undo,
    .count = batch_count,
};
