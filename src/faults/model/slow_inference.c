/* SPDX-License-Identifier: MIT */
/* slow_inference: holds predictions back on their way from the model server to its caller.
 *
 * The delay starts when the head of the server's answer arrives, so that the server's own time and
 * the injected time add up as they would with a slower model. Each request draws its own delay, by
 * its id. Nothing outside this process is touched, so there is nothing to note in the journal. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "faults/traffic.h"

struct slow {
    double latency_ms, variance, share;
};

struct slow_state {
    struct ce_traffic traffic;
    struct ce_recipe recipe;
    const struct slow *params;
};

static const struct ce_param params[] = {
    CE_NUMBER(struct slow, latency_ms, .min = 0, .max = 600000, .def = "500", .unit = "ms",
              .doc = "Time by which a prediction is held back."),
    CE_RATE(struct slow, variance, .def = "0.2",
            .doc = "Spread of it: a delay is latency_ms * (1 + U(-variance, +variance)), drawn for "
                   "each request."),
    CE_RATE(struct slow, share, .def = "1", .doc = "Share of the predictions that are held back."),
    CE_END_PARAMS,
};

static bool slow_is_control(const void *p)
{
    const struct slow *slow = p;
    return slow->latency_ms == 0 || slow->share == 0;
}

static int64_t delay_of(const struct slow_state *state, const char *id)
{
    uint64_t words[2];
    ce_recipe_random(&state->recipe, id, 0, 0, words);
    double spread = state->params->variance * (2 * ce_uniform_from(words[0]) - 1);
    return (int64_t)(state->params->latency_ms * (1 + spread) * CE_MILLISECOND);
}

static void slow_on_response(void *ctx, const struct ce_exchange *exchange,
                             struct ce_action *action)
{
    struct slow_state *state = ctx;
    if (!ce_traffic_is_prediction(exchange))
        return;
    bool counted = ce_traffic_counted(exchange);
    state->traffic.eligible += counted;
    if (!ce_recipe_hits(&state->recipe, exchange->id, 0, state->params->share))
        return;
    state->traffic.selected += counted;
    action->delay_ns = (int64_t)((double)delay_of(state, exchange->id) * state->traffic.intensity);
    if (action->delay_ns > 0)
        state->traffic.changed += counted;
    else if (counted)
        ce_traffic_skip(&state->traffic, "no change");
}

static int slow_inject(struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_hook hook = {.on_response = slow_on_response};
    struct slow_state *state = injection->state;
    state->params = injection->params;
    state->recipe = ce_recipe_init(injection->seed, injection->fault->name, "model");
    return ce_traffic_arm(&state->traffic, injection->target->model_route, &hook, state, err);
}

/* Probes whose delay is at least latency_ms: those that are drawn short prove little. */
static bool slow_hits(const void *ctx, const char *id)
{
    const struct slow_state *state = ctx;
    return ce_recipe_hits(&state->recipe, id, 0, state->params->share) &&
           delay_of(state, id) >= (int64_t)(state->params->latency_ms * CE_MILLISECOND);
}

static bool slow_selects(const void *ctx, const char *id)
{
    const struct slow_state *state = ctx;
    return ce_recipe_hits(&state->recipe, id, 0, state->params->share);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What an answer that is not held back may take longer through the proxy, on a busy machine. */
static int64_t slack(const struct slow *slow)
{
    int64_t half = (int64_t)(slow->latency_ms * CE_MILLISECOND / 2);
    return half < 5 * CE_MILLISECOND ? 5 * CE_MILLISECOND : least(half, 100 * CE_MILLISECOND);
}

/* The probe that came closest to its draw. */
struct best {
    char id[CE_PROBE_ID_SIZE];
    int64_t routed, expected;
    int64_t direct;  /* the shortest of all */
    bool unanswered; /* within `routed`, which is less than expected */
};

/* Asks once; 1: took it, 0: the evidence says what happened instead. */
static int slow_look(const struct ce_injection *injection, const char *id, uint64_t row,
                     int64_t patience, struct best *best, struct ce_evidence *evidence,
                     struct ce_error *err)
{
    const struct slow_state *state = injection->state;
    int64_t expected = (int64_t)((double)delay_of(state, id) * state->traffic.intensity);
    bool too_long = expected > patience;
    int64_t timeout = too_long ? patience : expected + CE_SECOND;
    struct ce_witness witness;
    CE_TRY(ce_witness_ask(injection->target, injection->target->model_route, id, row, timeout,
                          &witness, err));
    int r = witness.routed_result;
    int64_t direct = witness.direct.total_ns, routed = r < 0 ? timeout : witness.routed.total_ns;
    ce_witness_done(&witness);
    best->direct = least(best->direct, direct);
    if (r < 0 && !(too_long && r == -ETIMEDOUT)) {
        snprintf(evidence->text, sizeof evidence->text, "%s got no answer through the proxy: %s",
                 id, strerror(-r));
        return 0;
    }
    if (best->id[0] == '\0' || routed - expected < best->routed - best->expected) {
        memcpy(best->id, id, sizeof best->id);
        best->routed = routed;
        best->expected = expected;
        best->unanswered = r < 0;
    }
    return 1;
}

/* Held back at least as long as the recipe asks, and not because the server is slow: it answers
 * much sooner directly. */
static bool slow_seen(const struct best *best)
{
    int64_t tolerance = least(CE_MILLISECOND, best->expected / 4);
    bool held = best->unanswered || best->routed >= best->expected - tolerance;
    return held && best->routed - best->direct >= least(best->expected, best->routed) / 2;
}

static int slow_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                       struct ce_error *err)
{
    enum { PROBES = 3 };
    const struct slow_state *state = injection->state;
    int64_t patience = injection->duration / 2 > 300 * CE_MILLISECOND ? injection->duration / 2
                                                                      : 300 * CE_MILLISECOND;
    int64_t next = 0, started = ce_now();
    struct best best = {.direct = INT64_MAX};
    patience = least(patience, 2 * CE_SECOND);
    for (int i = 0; i < PROBES && ce_now() - started < CE_SECOND; i++) {
        char id[CE_PROBE_ID_SIZE];
        next = ce_probe_pick(slow_hits, state, true, next, id, err);
        if (next < 0)
            return (int)next;
        int r = slow_look(injection, id, (uint64_t)i, patience, &best, ret_evidence, err);
        if (r <= 0)
            return r;
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%s %s %.1f ms through the proxy, %.1f ms directly; the recipe adds %.1f ms", best.id,
             best.unanswered ? "had no answer within" : "took", (double)best.routed / 1e6,
             (double)best.direct / 1e6, (double)best.expected / 1e6);
    if (!slow_seen(&best))
        return 0;
    if (state->params->share == 1)
        return 1;
    return ce_traffic_verify_spared(injection->target, injection->target->model_route, slow_selects,
                                    state, slack(state->params), ret_evidence, err);
}

static int slow_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct slow_state *state = injection->state;
    state->traffic.intensity = intensity;
    return 0;
}

static int slow_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct slow_state *state = injection->state;
    ce_traffic_disarm(&state->traffic);
    return 0;
}

static int slow_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct slow_state *state = injection->state;
    return ce_traffic_verify_undo(injection->target, injection->target->model_route,
                                  slow_is_control(injection->params) ? NULL : slow_hits, state,
                                  slack(injection->params), err);
}

static void slow_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct slow_state *state = injection->state;
    ce_traffic_count(&state->traffic, ret_counts);
}

const struct ce_fault ce_fault_slow_inference = {
    .name = "slow_inference",
    .summary = "Delay a share of the predictions",
    .layer = CE_LAYER_MODEL,
    .needs = CE_NEEDS_MODEL_ROUTE,
    .params = params,
    .params_size = sizeof(struct slow),
    .state_size = sizeof(struct slow_state),
    .example = "{latency_ms: 200, variance: 0.2}",
    .is_control = slow_is_control,
    .inject = slow_inject,
    .verify = slow_verify,
    .adjust = slow_adjust,
    .revert = slow_revert,
    .verify_undo = slow_verify_undo,
    .count = slow_count,
};
