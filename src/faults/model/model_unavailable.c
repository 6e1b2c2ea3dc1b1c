/* SPDX-License-Identifier: MIT */
/* model_unavailable: the model server is not there for a share of the requests, in the way that
 * `mode` says.
 *
 * A listening socket refuses all connections or none. So `refused` closes the route's listener at
 * failure_rate 1, with its connections; below 1 it resets the chosen requests before the server
 * sees them, which is as near as TCP comes. A closed listener sees no requests, so that each
 * closing counts as one unit hit. Nothing outside this process is touched, so there is nothing to
 * note in the journal. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/seam.h"
#include "faults/traffic.h"

enum mode {
    MODE_ERROR = 0,
    MODE_RESET,
    MODE_HANG,
    MODE_REFUSED,
};

struct unavailable {
    double failure_rate;
    int mode;
    int64_t status;
};

struct unavailable_state {
    struct ce_traffic traffic;
    struct ce_recipe recipe;
    const struct unavailable *params;
    bool closed; /* the listener, by us */
};

static const struct ce_choice modes[] = {
    {"error", MODE_ERROR, "answers with `status` and Retry-After: 1"},
    {"reset", MODE_RESET, "the connection is reset"},
    {"hang", MODE_HANG, "the request is taken and never answered"},
    {"refused", MODE_REFUSED,
     "connections are refused; with failure_rate < 1 the chosen requests find their connection "
     "reset instead"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_RATE(struct unavailable, failure_rate, .def = "1",
            .doc = "Share of the requests that fail."),
    CE_CHOICE(struct unavailable, mode, .choices = modes, .def = "error", .doc = "How they fail."),
    CE_INTEGER(struct unavailable, status, .min = 400, .max = 599, .def = "503",
               .doc = "HTTP status of mode error."),
    CE_END_PARAMS,
};

static bool unavailable_is_control(const void *p)
{
    const struct unavailable *unavailable = p;
    return unavailable->failure_rate == 0;
}

static double rate_now(const struct unavailable_state *state)
{
    return state->params->failure_rate * state->traffic.intensity;
}

static void unavailable_on_request(void *ctx, const struct ce_exchange *exchange,
                                   struct ce_action *action)
{
    static const char body[] = "{\"error\":\"the model is unavailable\"}";
    struct unavailable_state *state = ctx;
    bool counted = ce_traffic_counted(exchange);
    state->traffic.eligible += counted;
    if (!ce_recipe_hits(&state->recipe, exchange->id, 0, rate_now(state)))
        return;
    state->traffic.selected += counted;
    switch ((enum mode)state->params->mode) {
    case MODE_ERROR:
        action->kind = CE_ACT_ANSWER;
        action->status = (int)state->params->status;
        action->headers = "Content-Type: application/json\r\nRetry-After: 1\r\n";
        action->body = strdup(body);
        action->body_size = action->body ? strlen(body) : 0;
        break;
    case MODE_HANG:
        action->kind = CE_ACT_HANG;
        break;
    case MODE_RESET:
    case MODE_REFUSED:
        action->kind = CE_ACT_RESET;
        break;
    }
    state->traffic.changed += counted;
}

static int set_closed(struct unavailable_state *state, struct ce_route *route, bool closed,
                      struct ce_error *err)
{
    if (closed == state->closed)
        return 0;
    ce_seam_step(closed ? "close listener" : "open listener");
    bool act = !ce_seam_no_effect();
    if (act)
        CE_TRY(ce_route_listening(route, !closed, closed, err));
    state->closed = closed;
    ce_seam_step(closed ? "listener closed" : "listener opened");
    if (closed) {
        state->traffic.eligible++;
        state->traffic.selected++;
        state->traffic.changed += act;
    }
    return 0;
}

static int unavailable_adjust(struct ce_injection *injection, double intensity,
                              struct ce_error *err)
{
    struct unavailable_state *state = injection->state;
    state->traffic.intensity = intensity;
    bool closed = state->params->mode == MODE_REFUSED && rate_now(state) >= 1;
    return set_closed(state, injection->target->model_route, closed, err);
}

static int unavailable_inject(struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_hook hook = {.on_request = unavailable_on_request};
    struct unavailable_state *state = injection->state;
    state->params = injection->params;
    state->recipe = ce_recipe_init(injection->seed, injection->fault->name, "model");
    CE_TRY(ce_traffic_arm(&state->traffic, injection->target->model_route, &hook, state, err));
    return unavailable_adjust(injection, 1, err);
}

static bool hits_now(const void *ctx, const char *id)
{
    const struct unavailable_state *state = ctx;
    return ce_recipe_hits(&state->recipe, id, 0, rate_now(state));
}

static bool hits_at_full_intensity(const void *ctx, const char *id)
{
    const struct unavailable_state *state = ctx;
    return ce_recipe_hits(&state->recipe, id, 0, state->params->failure_rate);
}

/* How long a probe waits for an answer that should not come. */
#define HANG_PATIENCE (300 * CE_MILLISECOND)

/* Whether the answer through the route is the one that the mode promises. */
static bool failed_as_asked(const struct unavailable_state *state, const struct ce_witness *witness)
{
    int r = witness->routed_result;
    switch ((enum mode)state->params->mode) {
    case MODE_ERROR:
        return r == 0 && witness->routed.status == state->params->status &&
               witness->direct.status != witness->routed.status;
    case MODE_HANG:
        return r == -ETIMEDOUT && witness->direct.total_ns < HANG_PATIENCE / 2;
    case MODE_REFUSED:
        if (state->closed)
            return r == -ECONNREFUSED;
        break;
    case MODE_RESET:
        break;
    }
    return r == -ECONNRESET || r == -EPIPE;
}

static void describe(const char *id, int64_t timeout, const struct ce_witness *witness,
                     struct ce_evidence *ret_evidence)
{
    char routed[96];
    if (witness->routed_result == -ETIMEDOUT)
        snprintf(routed, sizeof routed, "no answer within %.0f ms", (double)timeout / 1e6);
    else if (witness->routed_result < 0)
        snprintf(routed, sizeof routed, "%s", strerror(-witness->routed_result));
    else
        snprintf(routed, sizeof routed, "status %d", witness->routed.status);
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%s through the proxy: %s; directly: status %d after %.1f ms", id, routed,
             witness->direct.status, (double)witness->direct.total_ns / 1e6);
}

static int unavailable_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                              struct ce_error *err)
{
    enum { TRIES = 3 }; /* a busy server may once be too slow to tell from a hanging one */
    const struct unavailable_state *state = injection->state;
    const struct ce_target *target = injection->target;
    int64_t timeout = state->params->mode == MODE_HANG ? HANG_PATIENCE : 2 * CE_SECOND;
    int64_t next = 0;
    bool seen = false;
    for (int i = 0; i < TRIES && !seen; i++) {
        char id[CE_PROBE_ID_SIZE];
        struct ce_witness witness;
        next = ce_probe_pick(hits_now, state, true, next, id, err);
        if (next < 0)
            return (int)next;
        CE_TRY(
            ce_witness_ask(target, target->model_route, id, (uint64_t)i, timeout, &witness, err));
        seen = failed_as_asked(state, &witness);
        describe(id, timeout, &witness, ret_evidence);
        ce_witness_done(&witness);
    }
    if (!seen || rate_now(state) >= 1)
        return seen;
    return ce_traffic_verify_spared(target, target->model_route, hits_now, state, CE_SECOND,
                                    ret_evidence, err);
}

/* The rule goes even when the listener cannot be opened again; a second call tries that once more.
 */
static int unavailable_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct unavailable_state *state = injection->state;
    int r = set_closed(state, injection->target->model_route, false, err);
    ce_traffic_disarm(&state->traffic);
    return r;
}

static int unavailable_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct unavailable_state *state = injection->state;
    const struct ce_target *target = injection->target;
    return ce_traffic_verify_undo(target, target->model_route,
                                  unavailable_is_control(state->params) ? NULL
                                                                        : hits_at_full_intensity,
                                  state, CE_SECOND, err);
}

static void unavailable_count(const struct ce_injection *injection,
                              struct ce_fault_counts *ret_counts)
{
    const struct unavailable_state *state = injection->state;
    ce_traffic_count(&state->traffic, ret_counts);
}

const struct ce_fault ce_fault_model_unavailable = {
    .name = "model_unavailable",
    .summary = "Fail a share of the requests to the model server",
    .layer = CE_LAYER_MODEL,
    .needs = CE_NEEDS_MODEL_ROUTE,
    .params = params,
    .params_size = sizeof(struct unavailable),
    .state_size = sizeof(struct unavailable_state),
    .example = "{failure_rate: 0.5, mode: error, status: 503}",
    .is_control = unavailable_is_control,
    .inject = unavailable_inject,
    .verify = unavailable_verify,
    .adjust = unavailable_adjust,
    .revert = unavailable_revert,
    .verify_undo = unavailable_verify_undo,
    .count = unavailable_count,
};
