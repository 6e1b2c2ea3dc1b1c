/* SPDX-License-Identifier: MIT */
/* wrong_version: another model, or another version of it, answers a share of the requests.
 *
 * Where the protocol names model and version in its path (oip, kserve_v1, torchserve) or in the
 * message (oip_grpc; json: its member "model"), that name is changed on the way to the server. A
 * server that serves one model under one path (mlflow, plain JSON) has no such name: there the
 * fallback is another server, and the chosen requests go to its address, with its name in the field
 * Host. What comes back passes as it is, the version that really answered included. Nothing outside
 * this process is touched, so there is nothing to note in the journal.
 *
 * The proof is an answer: a fallback that does not answer, or answers with an error, is not what
 * this fault is about. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "faults/traffic.h"
#include "net/url.h"

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
                   "URL of another server, such as http://127.0.0.1:8081. A path in the URL stands "
                   "before the protocol's own, such as /invocations. Protocol json knows no "
                   "versions, and no path of its own."),
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

/* An address without http:// in front is meant as one, and is no model's name. */
static bool is_address(const char *text)
{
    const char *colon = strchr(text, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    return digits > 0 && (colon[1 + digits] == '\0' || colon[1 + digits] == '/');
}

/* It goes into paths and fields as it is. */
static bool is_plain(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
        if (*p <= ' ' || *p == 0x7f || strchr("?#%\"", *p))
            return false;
    return true;
}

static int read_url(const char *text, struct ce_url *url, struct ce_error *err)
{
    struct ce_action action;
    int r = ce_url_parse(text, url, err);
    if (r < 0)
        return ce_fail_context(err, r, "fallback_model");
    if (strlen(url->authority) < sizeof action.set_value)
        return 0;
    ce_url_done(url);
    return ce_fail(err, EINVAL, "fallback_model: the host of '%.200s' has more than %zu characters",
                   text, sizeof action.set_value - 1);
}

/* Takes the fallback apart; slices point into it. */
static int read_fallback(const char *text, struct version_state *state, struct ce_error *err)
{
    if (!text || text[0] == '\0')
        return ce_fail(err, EINVAL, "fallback_model: must not be empty");
    if (is_url(text))
        return read_url(text, &state->url, err);
    const char *slash = strchr(text, '/');
    if (!is_plain(text) || is_address(text) ||
        (slash && (slash == text || slash[1] == '\0' || strchr(slash + 1, '/')))) {
        char shown[CE_TEXT_SHOWN_SIZE];
        ce_text_show(text, shown);
        return ce_fail(err, EINVAL,
                       "fallback_model: '%s' is none of name, name/version, version and a URL "
                       "(http://host:port)",
                       shown);
    }
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

static bool is_called(const struct ce_protocol *protocol, const char *name)
{
    return protocol && strcmp(ce_protocol_name(protocol), name) == 0;
}

/* Where the protocol's own path begins: what stands before it is the server's, and of json all. */
static const char *protocol_path(const struct ce_visit *visit)
{
    const struct ce_protocol *protocol = visit->call.protocol;
    const char *path = visit->exchange->path, *end = path + strcspn(path, "?#"), *own = path;
    struct ce_call call;
    if (!protocol)
        return path;
    if (is_called(protocol, "json"))
        return end;
    for (const char *at = path; at && at < end; at = strchr(at + 1, '/'))
        if (ce_call_read(protocol, "POST", at, &call) == 1)
            own = at;
    return own;
}

/* The server's name, in the field that HTTP/1.1 or gRPC has for it. */
static void set_host(const struct version_state *state, const struct ce_visit *visit,
                     struct ce_action *action)
{
    const struct ce_exchange *exchange = visit->exchange;
    if (ce_exchange_header(exchange, "Host").size > 0)
        action->set_name = "Host";
    else if (strncasecmp(exchange->content_type, "application/grpc", 16) == 0)
        action->set_name = ":authority";
    else
        return;
    snprintf(action->set_value, sizeof action->set_value, "%s", state->url.authority);
}

static void send_elsewhere(const struct version_state *state, const struct ce_visit *visit,
                           struct ce_action *action)
{
    if (state->url.prefix[0] != '\0') {
        action->path = ce_format("%s%s", state->url.prefix, protocol_path(visit));
        if (!action->path) {
            ce_visit_skip(visit, "no memory");
            return;
        }
    }
    action->upstream = &state->url.endpoint;
    set_host(state, visit, action);
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

static bool is_or_any(struct ce_slice wanted, struct ce_slice is)
{
    return wanted.size == 0 || ce_slice_same(wanted, is);
}

/* NULL: it was changed; else why not. */
static const char *rename_message(const struct version_state *state, const struct ce_visit *visit,
                                  struct ce_remade *ret_remade)
{
    struct ce_message message = ce_visit_message(visit);
    struct ce_slice model, version;
    if (visit->exchange->body_encoded)
        return "encoded";
    ce_message_model(&message, &model, &version);
    int r = ce_message_rename(&message, state->model, state->version, ret_remade, NULL);
    if (r < 0)
        return r == -ENOTSUP ? "no version in this protocol" : "unreadable";
    if (!is_or_any(state->model, model) || !is_or_any(state->version, version))
        return NULL;
    free(ret_remade->body);
    return "no change";
}

static void change_message(const struct version_state *state, const struct ce_visit *visit,
                           struct ce_action *action)
{
    struct ce_remade remade;
    const char *why_not = rename_message(state, visit, &remade);
    if (why_not) {
        ce_visit_skip(visit, why_not);
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

/* Where the name is in the path, bodies need not be waited for. */
static bool may_need_body(const struct version_state *state, const struct ce_protocol *protocol)
{
    return !state->url.authority &&
           (!protocol || is_called(protocol, "oip_grpc") || is_called(protocol, "json"));
}

/* Another server over TLS is checked as the upstream would be. */
static int trust_fallback(const struct ce_injection *injection, struct version_state *state,
                          struct ce_error *err)
{
    const struct ce_route *route = injection->target->model_route;
    int r = ce_url_secure(&state->url, ce_route_authorities(route), err);
    return r < 0 ? ce_fail_context(err, r, "fallback_model") : 0;
}

/* Whether the requests can be sent there, or renamed. */
static int check_protocol(const struct version_state *state, const struct ce_protocol *protocol,
                          struct ce_error *err)
{
    const char *name = ce_protocol_name(protocol), *fallback = state->params->fallback_model;
    bool is_grpc = is_called(protocol, "oip_grpc");
    if (!state->url.authority && !ce_protocol_names_models(protocol))
        return ce_fail(err, EINVAL,
                       "fallback_model: requests of protocol %s name no model or version, so it "
                       "has to be the URL of another server",
                       name);
    if (state->url.http2 && !is_grpc)
        return ce_fail(err, EINVAL,
                       "fallback_model: '%.80s' speaks HTTP/2, and protocol %s HTTP/1.1: it has to "
                       "be an http:// or https:// URL",
                       fallback, name);
    if (is_grpc && strncmp(fallback, "http://", 7) == 0)
        return ce_fail(err, EINVAL,
                       "fallback_model: '%.80s' speaks HTTP/1.1, and protocol %s HTTP/2: it has to "
                       "be an h2c:// or https:// URL",
                       fallback, name);
    return 0;
}

static int version_inject(struct ce_injection *injection, struct ce_error *err)
{
    struct version_state *state = injection->state;
    const struct ce_target *target = injection->target;
    state->params = injection->params;
    CE_TRY(read_fallback(state->params->fallback_model, state, err));
    if (target->protocol)
        CE_TRY(check_protocol(state, target->protocol, err));
    if (is_called(target->protocol, "json")) { /* which knows no versions */
        state->model = ce_slice_of(state->params->fallback_model);
        state->version = (struct ce_slice){0};
    }
    CE_TRY(trust_fallback(injection, state, err));
    const struct ce_traffic_hook hook = {
        .wants = may_need_body(state, target->protocol) ? CE_HOOK_REQUEST_BODY : 0,
        .scope = state->url.authority ? CE_TRAFFIC_CALLS : CE_TRAFFIC_PREDICTIONS,
        .on_request = version_on_request,
    };
    return ce_traffic_arm(&state->traffic, injection, &state->params->traffic, &hook, state, err);
}

/* ---- the proof ---- */

/* Versions of a good model agree on most rows, so it looks at many. */
enum { TRIES = 256, ENOUGH = 3 };
#define PATIENCE (2 * CE_SECOND)

static bool version_hits(const void *ctx, const char *id)
{
    const struct version_state *state = ctx;
    return ce_traffic_hits(&state->traffic, id, 0, 1);
}

static bool same_bytes(const struct ce_http_answer *a, const struct ce_http_answer *b)
{
    return ce_slice_same((struct ce_slice){a->body, a->body_size},
                         (struct ce_slice){b->body, b->body_size});
}

static bool is_answered(const struct ce_witness *witness)
{
    return witness->routed_result == 0 && witness->routed.status >= 200 &&
           witness->routed.status < 300;
}

/* Both ways say what they said before: then it is the model that tells them apart, and no time of
 * day or number of a request. Versions that predict the same may do so by what else they say. */
static bool is_stable(const struct ce_witness *first, const struct ce_witness *again)
{
    struct ce_witness direct = *first, routed = *first;
    direct.routed = again->direct;
    routed.direct = again->routed;
    if (!is_answered(again))
        return false;
    if (same_bytes(&first->direct, &again->direct) && same_bytes(&first->routed, &again->routed))
        return true;
    return !ce_witness_same(first) && ce_witness_same(&direct) && ce_witness_same(&routed);
}

/* Whether another model answered a probe: 1, 0 or -errno. */
static int is_other(const struct version_state *state, const char *id,
                    const struct ce_witness *first, struct ce_error *err)
{
    if (!is_answered(first) || same_bytes(&first->direct, &first->routed))
        return 0;
    struct ce_witness again;
    CE_TRY(ce_witness_ask(&state->traffic, id, first->row, PATIENCE, &again, err));
    bool stable = is_stable(first, &again);
    ce_witness_done(&again);
    return stable;
}

static void note_error(const struct ce_witness *witness, char text[96])
{
    if (witness->routed_result < 0)
        snprintf(text, 96, ", the last error: %s", strerror(-witness->routed_result));
    else if (!is_answered(witness))
        snprintf(text, 96, ", the last error: status %d", witness->routed.status);
}

static int version_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                          struct ce_error *err)
{
    const struct version_state *state = injection->state;
    int64_t next = 0, until = ce_now() + PATIENCE;
    uint64_t row = 0;
    int looked = 0, other = 0;
    char error[96] = "";
    do {
        char id[CE_PROBE_ID_SIZE];
        struct ce_witness witness;
        next = ce_probe_pick(version_hits, state, true, next, id, err);
        if (next < 0)
            return (int)next;
        CE_TRY(ce_witness_ask(&state->traffic, id, row, PATIENCE, &witness, err));
        int r = is_other(state, id, &witness, err);
        row = witness.row + 1;
        note_error(&witness, error);
        ce_witness_done(&witness);
        CE_TRY(r);
        other += r;
    } while (++looked < TRIES && other < ENOUGH && ce_now() < until);
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%d of %d probes that the recipe selects were answered by another model through the "
             "proxy than directly%s",
             other, looked, error);
    if (other == 0)
        return 0;
    return ce_traffic_verify_spared(&state->traffic, version_hits, state, CE_SECOND, ret_evidence,
                                    err);
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
    .spare = ce_traffic_spare,
    .revert = version_revert,
    .verify_undo = version_verify_undo,
    .count = version_count,
};
