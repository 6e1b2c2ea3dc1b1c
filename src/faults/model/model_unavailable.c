/* SPDX-License-Identifier: MIT */
/* model_unavailable: the model server is not there for a share of the requests, in the way that
 * `mode` says.
 *
 * A listening socket refuses all connections or none. So `refused` closes the route's listener when
 * all requests are to fail, with its connections; else it resets the chosen requests before the
 * server sees them, which is as near as TCP comes. A closed listener sees no requests, so that each
 * closing counts as one unit hit.
 *
 * A quota depends on what came before, so it is the one way of failing that the order of arrival
 * plays a part in. Probes stand outside: they come on top of the quota, and are among the first.
 * Nothing outside this process is touched, so there is nothing to note in the journal. */
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/seam.h"
#include "faults/model/failure.h"

enum mode {
    MODE_ERROR = 0,
    MODE_RESET,
    MODE_HANG,
    MODE_REFUSED,
    MODE_PARTIAL,
    MODE_QUOTA,
};

struct unavailable {
    struct ce_traffic_params traffic;
    double failure_rate;
    int mode;
    int64_t status, retry_after, quota, window, first;
};

struct unavailable_state {
    struct ce_traffic traffic;
    const struct unavailable *params;
    struct ce_failure failure;
    bool closed; /* the listener, by us */
    int64_t armed_at;
    _Atomic uint64_t used; /* of the quota: the number of the window, and within it, 32 bits each */
};

static const struct ce_choice modes[] = {
    {"error", MODE_ERROR, "answers with `status` and Retry-After"},
    {"reset", MODE_RESET, "the connection is reset"},
    {"hang", MODE_HANG, "the request is taken and never answered"},
    {"refused", MODE_REFUSED,
     "connections are refused; when only some requests are to fail, they find their connection "
     "reset instead"},
    {"partial", MODE_PARTIAL, "half of the answer's body comes, then the connection is reset"},
    {"quota", MODE_QUOTA,
     "answers with 429 and Retry-After what goes beyond `quota` requests in each `window`"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_RATE(struct unavailable, failure_rate, .def = "1",
            .doc = "Share of the requests that fail."),
    CE_CHOICE(struct unavailable, mode, .choices = modes, .def = "error", .doc = "How they fail."),
    CE_INTEGER(struct unavailable, status, .min = 400, .max = 599, .def = "503",
               .doc = "HTTP status of mode error."),
    CE_DURATION(struct unavailable, retry_after, .min = 0, .max = 86400e9, .def = "1s",
                .doc = "What the Retry-After field of modes error and quota says, in whole "
                       "seconds."),
    CE_INTEGER(struct unavailable, quota, .min = 0, .max = 1e9, .def = "10",
               .doc = "Requests that mode quota lets through in each window."),
    CE_DURATION(struct unavailable, window, .min = 1e6, .max = 86400e9, .def = "1s",
                .doc = "Window of mode quota; the first one begins with the fault."),
    CE_INTEGER(struct unavailable, first, .min = 0, .max = 1e12, .def = "0",
               .doc = "Only that many requests at the beginning may fail, then the model is there "
                      "again; 0 is no limit."),
    CE_TRAFFIC_PARAMS(struct unavailable),
    CE_END_PARAMS,
};

static int unavailable_check(const void *p, struct ce_error *err)
{
    const struct unavailable *unavailable = p;
    return ce_traffic_check(&unavailable->traffic, err);
}

static bool unavailable_is_control(const void *p)
{
    const struct unavailable *unavailable = p;
    return unavailable->failure_rate == 0 || unavailable->traffic.share == 0;
}

static double rate_now(const struct unavailable_state *state)
{
    return state->params->failure_rate * state->traffic.intensity;
}

/* ---- requests that are let through ---- */

static bool within_quota(struct unavailable_state *state)
{
    uint64_t window = (uint64_t)((ce_now() - state->armed_at) / state->params->window);
    uint64_t used = state->used, next;
    do {
        /* Another thread may be in the next window already. */
        uint64_t latest = used >> 32 > window ? used >> 32 : window;
        uint64_t count = used >> 32 == latest ? used & UINT32_MAX : 0;
        if (count >= (uint64_t)state->params->quota)
            return false;
        next = latest << 32 | (count + 1);
    } while (!atomic_compare_exchange_weak(&state->used, &used, next));
    return true;
}

/* Whether a request is let through that would be hit. */
static bool is_exempt(struct unavailable_state *state, const struct ce_visit *visit)
{
    const struct unavailable *unavailable = state->params;
    if (visit->exchange->is_probe)
        return false;
    if (unavailable->first > 0 && ce_visit_index(visit) >= (uint64_t)unavailable->first)
        return true;
    return unavailable->mode == MODE_QUOTA &&
           ce_traffic_hits(&state->traffic, visit->exchange->id, 0, rate_now(state)) &&
           within_quota(state);
}

/* ---- the rule ---- */

static void unavailable_on_message(void *ctx, const struct ce_visit *visit,
                                   struct ce_action *action)
{
    struct unavailable_state *state = ctx;
    double rate = is_exempt(state, visit) ? 0 : rate_now(state);
    if (ce_visit_select(visit, 0, rate))
        ce_failure_act(&state->failure, visit, action);
}

static bool hits_everything(const struct unavailable_state *state)
{
    const struct unavailable *unavailable = state->params;
    const struct ce_traffic_params *t = &unavailable->traffic;
    return rate_now(state) >= 1 && state->traffic.spared == 0 && t->share == 1 && unavailable->first == 0 && !t->path &&
           !t->header && !t->model && !t->where;
}

static int set_closed(struct unavailable_state *state, bool closed, struct ce_error *err)
{
    if (closed == state->closed)
        return 0;
    ce_seam_step(closed ? "close listener" : "open listener");
    bool act = !ce_seam_no_effect();
    if (act)
        CE_TRY(ce_route_listening(state->traffic.route, !closed, closed, err));
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
    return set_closed(state, state->params->mode == MODE_REFUSED && hits_everything(state), err);
}

/* A listener that is closed would spare nobody. */
static int unavailable_spare(struct ce_injection *injection, double share, struct ce_error *err)
{
    struct unavailable_state *state = injection->state;
    state->traffic.spared = share;
    return unavailable_adjust(injection, state->traffic.intensity, err);
}

static int failure_init(struct unavailable_state *state, struct ce_error *err)
{
    static const enum ce_failure_way ways[] = {
        [MODE_ERROR] = CE_FAILURE_ERROR, [MODE_RESET] = CE_FAILURE_RESET,
        [MODE_HANG] = CE_FAILURE_HANG,   [MODE_REFUSED] = CE_FAILURE_RESET,
        [MODE_PARTIAL] = CE_FAILURE_CUT, [MODE_QUOTA] = CE_FAILURE_ERROR,
    };
    const struct unavailable *unavailable = state->params;
    bool quota = unavailable->mode == MODE_QUOTA;
    return ce_failure_init(
        &state->failure, ways[unavailable->mode], quota ? 429 : (int)unavailable->status,
        quota ? "the quota is used up" : "the model is unavailable", unavailable->retry_after, err);
}

static int unavailable_inject(struct ce_injection *injection, struct ce_error *err)
{
    struct unavailable_state *state = injection->state;
    const struct unavailable *unavailable = state->params = injection->params;
    struct ce_traffic_hook hook = {.scope = CE_TRAFFIC_ALL};
    if (unavailable->mode == MODE_PARTIAL) {
        hook.wants = CE_HOOK_RESPONSE_BODY;
        hook.on_response = unavailable_on_message;
    } else {
        hook.on_request = unavailable_on_message;
    }
    state->armed_at = ce_now();
    CE_TRY(failure_init(state, err));
    CE_TRY(ce_traffic_arm(&state->traffic, injection, &unavailable->traffic, &hook, state, err));
    return unavailable_adjust(injection, 1, err);
}

/* ---- the proof ---- */

static bool hits_now(const void *ctx, const char *id)
{
    const struct unavailable_state *state = ctx;
    return ce_traffic_hits(&state->traffic, id, 0, rate_now(state));
}

static bool hits_at_full_intensity(const void *ctx, const char *id)
{
    const struct unavailable_state *state = ctx;
    return ce_traffic_hits(&state->traffic, id, 0, state->params->failure_rate);
}

static int unavailable_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                              struct ce_error *err)
{
    const struct unavailable_state *state = injection->state;
    return ce_failure_verify(&state->failure, state->closed, &state->traffic, hits_now, state,
                             ret_evidence, err);
}

/* The rule goes even when the listener cannot be opened again; a second call tries that once more.
 */
static int unavailable_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct unavailable_state *state = injection->state;
    int r = set_closed(state, false, err);
    ce_traffic_disarm(&state->traffic);
    ce_failure_done(&state->failure);
    return r;
}

static int unavailable_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct unavailable_state *state = injection->state;
    bool control = unavailable_is_control(injection->params);
    return ce_traffic_verify_undo(&state->traffic, control ? NULL : hits_at_full_intensity, state,
                                  CE_SECOND, err);
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
    .check = unavailable_check,
    .is_control = unavailable_is_control,
    .inject = unavailable_inject,
    .verify = unavailable_verify,
    .adjust = unavailable_adjust,
    .spare = unavailable_spare,
    .revert = unavailable_revert,
    .verify_undo = unavailable_verify_undo,
    .count = unavailable_count,
};
