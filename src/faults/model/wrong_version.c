/* SPDX-License-Identifier: MIT */
/* wrong_version: another model, or another version of it, answers a share of the requests.
 *
 * Where the protocol names model and version in its path (oip, kserve_v1, torchserve) or in the
 * message (oip_grpc), that name is changed on the way to the server. A server that serves one model
 * under one path (mlflow, plain JSON) has no such name: there the fallback is another server, and
 * the chosen requests go to its address. What comes back passes as it is, the version that really
 * answered included. Nothing outside this process is touched, so there is nothing to note in the
 * journal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "faults/traffic.h"
#include "proxy/url.h"

struct wrong_version {
    struct ce_traffic_params traffic;
    char *fallback_model;
};

struct version_state {
    struct ce_traffic traffic;
    const struct wrong_version *params;
    struct ce_url url;              /* zeroed: it is a name */
    struct ce_slice model, version; /* empty: as it was */
};

static const struct ce_param params[] = {
    CE_TEXT(struct wrong_version, fallback_model,
            .doc = "Who answers instead: \"name\", \"name/version\", \"version\" (digits), or the "
                   "URL of another server, such as http://127.0.0.1:8081."),
    CE_TRAFFIC_PARAMS(struct wrong_version),
    CE_END_PARAMS,
};

static bool is_url(const char *text)
{
    return strstr(text, "://") || strncmp(text, "unix:", 5) == 0;
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* Takes the fallback apart; slices point into it. */
static int read_fallback(const char *text, struct version_state *state, struct ce_error *err)
{
    if (!text || text[0] == '\0')
        return ce_fail(err, EINVAL, "fallback_model: must not be empty");
    if (is_url(text)) {
        int r = ce_url_parse(text, &state->url, err);
        return r < 0 ? ce_fail_context(err, r, "fallback_model") : 0;
    }
    const char *slash = strchr(text, '/');
    if (strpbrk(text, " ?#%\"") ||
        (slash && (slash == text || slash[1] == '\0' || strchr(slash + 1, '/'))))
        return ce_fail(err, EINVAL,
                       "fallback_model: '%.80s' is none of name, name/version, version and a URL",
                       text);
    if (slash) {
        state->model = (struct ce_slice){text, (size_t)(slash - text)};
        state->version = ce_slice_of(slash + 1);
    } else if (is_number(text)) {
        state->version = ce_slice_of(text);
    } else {
        state->model = ce_slice_of(text);
    }
    return 0;
}

static int version_check(const void *p, struct ce_error *err)
{
    const struct wrong_version *want = p;
    struct version_state state = {0};
    CE_TRY(read_fallback(want->fallback_model, &state, err));
    ce_url_done(&state.url);
    return ce_traffic_check(&want->traffic, err);
}

static bool version_is_control(const void *p)
{
    const struct wrong_version *want = p;
    return want->traffic.share == 0;
}

/* ---- the three ways ---- */

static void send_elsewhere(const struct version_state *state, const struct ce_visit *visit,
                           struct ce_action *action)
{
    action->upstream = &state->url.endpoint;
    ce_visit_did(visit, action, 1, "sent to %s", state->params->fallback_model);
}

/* The request's target with another name in it. False: the protocol has none there. */
static bool change_path(const struct version_state *state, const struct ce_visit *visit,
                        struct ce_action *action)
{
    const char *path = visit->exchange->path;
    char *changed = ce_call_repath(&visit->call, path, state->model, state->version);
    if (!changed)
        return false;
    if (strcmp(changed, path) == 0) {
        free(changed);
        ce_visit_skip(visit, "no change");
        return true;
    }
    action->path = changed;
    ce_visit_did(visit, action, 1, "asked %s", changed);
    return true;
}

static void change_message(const struct version_state *state, const struct ce_visit *visit,
                           struct ce_action *action)
{
    struct ce_message message = ce_visit_message(visit);
    struct ce_remade remade;
    if (ce_message_rename(&message, state->model, state->version, &remade, NULL) < 0) {
        ce_visit_skip(visit, "no version in this protocol");
        return;
    }
    ce_visit_replace(visit, action, &remade);
    ce_visit_did(visit, action, 1, "asked for %s", state->params->fallback_model);
}

static void version_on_request(void *ctx, const struct ce_visit *visit, struct ce_action *action)
{
    struct version_state *state = ctx;
    if (!ce_visit_select(visit, 0, state->traffic.intensity))
        return;
    if (state->url.authority)
        send_elsewhere(state, visit, action);
    else if (!change_path(state, visit, action))
        change_message(state, visit, action);
}

/* Only gRPC has the name in the message; bodies of other requests need not be waited for. */
static bool may_need_body(const struct version_state *state, const struct ce_protocol *protocol)
{
    return !state->url.authority &&
           (!protocol || strcmp(ce_protocol_name(protocol), "oip_grpc") == 0);
}

/* Another server over TLS is checked as the upstream would be. */
static int trust_fallback(const struct ce_injection *injection, struct version_state *state,
                          struct ce_error *err)
{
    const struct ce_route *route = injection->target->model_route;
    int r = ce_url_secure(&state->url, ce_route_authorities(route), err);
    return r < 0 ? ce_fail_context(err, r, "fallback_model") : 0;
}

static int version_inject(struct ce_injection *injection, struct ce_error *err)
{
    struct version_state *state = injection->state;
    state->params = injection->params;
    CE_TRY(read_fallback(state->params->fallback_model, state, err));
    CE_TRY(trust_fallback(injection, state, err));
    const struct ce_protocol *protocol = injection->target->protocol;
    if (protocol && !state->url.authority && !ce_protocol_names_models(protocol))
        return ce_fail(err, EINVAL,
                       "fallback_model: requests of protocol %s name no model or version, so it "
                       "has to be the URL of another server",
                       ce_protocol_name(protocol));
    const struct ce_traffic_hook hook = {
        .wants = may_need_body(state, protocol) ? CE_HOOK_REQUEST_BODY : 0,
        .scope = CE_TRAFFIC_PREDICTIONS,
        .on_request = version_on_request,
    };
    return ce_traffic_arm(&state->traffic, injection, &state->params->traffic, &hook, state, err);
}

static bool version_hits(const void *ctx, const char *id)
{
    const struct version_state *state = ctx;
    return ce_traffic_hits(&state->traffic, id, 0, 1);
}

static int version_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                          struct ce_error *err)
{
    struct version_state *state = injection->state;
    return ce_traffic_verify_changed(&state->traffic, version_hits, state,
                                     "that the recipe selects", ret_evidence, err);
}

static int version_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct version_state *state = injection->state;
    state->traffic.intensity = intensity;
    return 0;
}

static int version_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct version_state *state = injection->state;
    ce_traffic_disarm(&state->traffic);
    ce_url_done(&state->url);
    return 0;
}

static int version_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct version_state *state = injection->state;
    return ce_traffic_verify_undo(&state->traffic,
                                  version_is_control(injection->params) ? NULL : version_hits,
                                  state, CE_SECOND, err);
}

static void version_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct version_state *state = injection->state;
    ce_traffic_count(&state->traffic, ret_counts);
}

const struct ce_fault ce_fault_wrong_version = {
    .name = "wrong_version",
    .summary = "Let another model or version answer a share of the requests",
    .layer = CE_LAYER_MODEL,
    .needs = CE_NEEDS_MODEL_ROUTE,
    .params = params,
    .params_size = sizeof(struct wrong_version),
    .state_size = sizeof(struct version_state),
    .example = "{fallback_model: \"1\"}",
    .check = version_check,
    .is_control = version_is_control,
    .inject = version_inject,
    .verify = version_verify,
    .adjust = version_adjust,
    .revert = version_revert,
    .verify_undo = version_verify_undo,
    .count = version_count,
};
