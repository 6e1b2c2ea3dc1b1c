/* SPDX-License-Identifier: MIT */
/* gateway: the application in front of the model server; what the world talks to.
 *
 * naive: looks its server's name up, passes everything on once and whatever comes back through.
 * hardened: makes a request's features complete and plausible, tries twice with short timeouts,
 * compares the prediction with what an older model of its own says, and answers from that one when
 * the server is silent, wrong, nowhere to be found or resting behind the circuit breaker. It keeps
 * the address that it found. The answer names the version that really answered. */
#include <curl/curl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "pipeline/embedded/breaker.h"
#include "pipeline/embedded/impute.h"
#include "pipeline/embedded/names.h"
#include "pipeline/embedded/oip.h"
#include "pipeline/embedded/requests.h"
#include "pipeline/embedded/roles.h"
#include "pipeline/embedded/upstream.h"
#include "pipeline/embedded/web.h"
#include "pipeline/embedded/worker.h"

enum {
    NAIVE_TIMEOUT_MS = 10000,
    HARDENED_TIMEOUT_MS = 250,
    ATTEMPTS = 2,
    BREAKER_FAILURES = 5,
};
static const int64_t retry_pause = 10 * CE_MILLISECOND, breaker_rest = 500 * CE_MILLISECOND;

/* A prediction further than this from the older model's is not believed. */
static const double disagreement_limit = 0.6;

struct gateway {
    bool hardened;
    int upstream_port;
    char *folder;
    struct ce_names *names;
    struct ce_breaker breaker;
    pthread_rwlock_t lock; /* guards the fallback */
    struct ce_model fallback;
};

static void *opened(void *ctx)
{
    const struct gateway *gateway = ctx;
    return ce_upstream_open(gateway->upstream_port);
}

static void closed(void *ctx, void *connection)
{
    ce_upstream_close(connection);
}

static struct ce_upstream_call call_of(const struct ce_web_request *request, int timeout_ms)
{
    return (struct ce_upstream_call){
        .method = request->method,
        .path = request->path,
        .id = request->id,
        .attempt = 1,
        .body = request->body,
        .size = request->size,
        .timeout_ms = timeout_ms,
    };
}

/* One attempt at the address that the server's name stands for now. */
static int call_once(struct gateway *gateway, struct ce_upstream *upstream,
                     struct ce_upstream_call *call, struct ce_upstream_answer *ret_answer)
{
    char address[INET_ADDRSTRLEN];
    CE_TRY(ce_names_resolve(gateway->names, address));
    call->address = address;
    int r = ce_upstream_call(upstream, call, ret_answer);
    call->address = NULL;
    return r;
}

static void pass_through(struct ce_upstream_answer *from, struct ce_web_answer *answer)
{
    answer->status = from->status;
    answer->body = from->body;
    answer->size = from->size;
}

static void refuse(struct ce_web_answer *answer, int error)
{
    if (error == -ETIMEDOUT)
        ce_web_reply(answer, 504, ce_oip_error("the model server did not answer in time"));
    else if (error == -EADDRNOTAVAIL)
        ce_web_reply(answer, 502, ce_oip_error("the model server's name cannot be resolved"));
    else
        ce_web_reply(answer, 502, ce_oip_error("the model server cannot be reached"));
}

/* ---- naive ---- */

static void handle_naively(struct gateway *gateway, struct ce_upstream *upstream,
                           const struct ce_web_request *request, struct ce_web_answer *answer)
{
    struct ce_upstream_call call = call_of(request, NAIVE_TIMEOUT_MS);
    struct ce_upstream_answer from;
    int r = call_once(gateway, upstream, &call, &from);
    if (r < 0)
        refuse(answer, r);
    else
        pass_through(&from, answer);
}

/* ---- hardened ---- */

/* Tries until the server answers with something other than 5xx. 0; or why it did not, -EREMOTEIO
 * for a 5xx. */
static int call_patiently(struct gateway *gateway, struct ce_upstream *upstream,
                          struct ce_upstream_call *call, struct ce_upstream_answer *ret_answer)
{
    int r = -EAGAIN;
    for (call->attempt = 1; call->attempt <= ATTEMPTS && ce_breaker_may_call(&gateway->breaker);
         call->attempt++) {
        if (call->attempt > 1)
            ce_sleep_until(ce_now() + retry_pause);
        r = call_once(gateway, upstream, call, ret_answer);
        if (r == 0 && ret_answer->status >= 500) {
            free(ret_answer->body);
            r = -EREMOTEIO;
        }
        ce_breaker_report(&gateway->breaker, r == 0);
        if (r == 0)
            break;
    }
    return r;
}

/* Whether every prediction is a probability near to what the older model says. */
static bool is_plausible(const struct ce_model *fallback, const struct ce_oip_request *request,
                         const struct ce_upstream_answer *answer)
{
    double predictions[CE_OIP_ROWS_MAX];
    int count = ce_oip_read_answer(answer->body ? answer->body : "", answer->size, predictions,
                                   CE_OIP_ROWS_MAX);
    if (count < 0 || (size_t)count != request->count)
        return false;
    for (int i = 0; i < count; i++) {
        if (!(predictions[i] >= 0 && predictions[i] <= 1))
            return false;
        if (fabs(predictions[i] - ce_model_predict(fallback, &request->samples[i])) >
            disagreement_limit)
            return false;
    }
    return true;
}

/* Completes the features; the body is written anew only when that changed any. NULL: no memory. */
static const char *plausible_body(const struct gateway *gateway, struct ce_oip_request *parsed,
                                  const char *body, size_t *size, char **ret_owned)
{
    bool changed = false;
    for (size_t row = 0; row < parsed->count; row++) {
        changed |= ce_impute(&gateway->fallback, &parsed->samples[row]);
        changed |= ce_clip(&gateway->fallback, &parsed->samples[row]);
    }
    if (!changed)
        return body;
    *ret_owned = ce_request_write(parsed->id, parsed->samples, parsed->count, size);
    return *ret_owned;
}

static void infer(struct gateway *gateway, struct ce_upstream *upstream,
                  const struct ce_web_request *request, struct ce_web_answer *answer)
{
    struct ce_error err = {0};
    CE_CLEANUP(ce_oip_request_done) struct ce_oip_request parsed = {0};
    if (ce_oip_read(request->body, request->size, true, &parsed, &err) < 0) {
        ce_web_reply(answer, err.code == ENOMEM ? 500 : 400, ce_oip_error(err.message));
        return;
    }
    struct ce_upstream_call call = call_of(request, HARDENED_TIMEOUT_MS);
    ce_autofree char *owned = NULL;
    (void)pthread_rwlock_rdlock(&gateway->lock);
    struct ce_model fallback = gateway->fallback;
    call.body = plausible_body(gateway, &parsed, request->body, &call.size, &owned);
    (void)pthread_rwlock_unlock(&gateway->lock);

    struct ce_upstream_answer from;
    if (call.body && call_patiently(gateway, upstream, &call, &from) == 0) {
        /* What the server refuses is the client's to know. */
        if (from.status != 200 || is_plausible(&fallback, &parsed, &from)) {
            pass_through(&from, answer);
            return;
        }
        free(from.body);
    }
    ce_web_reply(answer, 200, ce_oip_answer(&fallback, &parsed, &answer->size));
}

/* Whatever is no prediction of churn has no fallback. */
static void handle_other(struct gateway *gateway, struct ce_upstream *upstream,
                         const struct ce_web_request *request, struct ce_web_answer *answer)
{
    struct ce_upstream_call call = call_of(request, HARDENED_TIMEOUT_MS);
    struct ce_upstream_answer from;
    int r = call_patiently(gateway, upstream, &call, &from);
    if (r < 0)
        refuse(answer, r);
    else
        pass_through(&from, answer);
}

static void handle(void *ctx, const struct ce_web_request *request, struct ce_web_answer *answer)
{
    struct gateway *gateway = ctx;
    struct ce_upstream *upstream = request->connection;
    struct ce_oip_path path = ce_oip_path_parse(request->path);
    if (!upstream)
        ce_web_reply(answer, 500, ce_oip_error("out of memory"));
    else if (strcmp(request->path, "/v2/health/live") == 0)
        ce_web_reply(answer, 200, strdup("{\"live\":true}")); /* this process is */
    else if (!gateway->hardened)
        handle_naively(gateway, upstream, request, answer);
    else if (path.model == CE_MODEL_CHURN_2 && strcmp(path.verb, "infer") == 0 &&
             strcmp(request->method, "POST") == 0)
        infer(gateway, upstream, request, answer);
    else
        handle_other(gateway, upstream, request, answer);
}

/* ---- the process ---- */

static int reload(void *ctx, struct ce_error *err)
{
    struct gateway *gateway = ctx;
    struct ce_model fallback;
    CE_TRY(ce_model_load(CE_MODEL_CHURN_1, gateway->folder, &fallback, err));
    (void)pthread_rwlock_wrlock(&gateway->lock);
    gateway->fallback = fallback;
    (void)pthread_rwlock_unlock(&gateway->lock);
    return 0;
}

static const struct ce_web_handler handler = {
    .thread_per_connection = true,
    .handle = handle,
    .opened = opened,
    .closed = closed,
};

int ce_gateway_run(const struct ce_role *role)
{
    struct ce_error err = {0};
    int port = 0;
    struct gateway gateway = {
        .hardened = role->hardened,
        .upstream_port = role->upstream_port,
        .folder = ce_format("%s/models", role->run_folder),
    };
    ce_breaker_init(&gateway.breaker, BREAKER_FAILURES, breaker_rest);
    (void)pthread_rwlock_init(&gateway.lock, NULL);
    int r = gateway.folder ? reload(&gateway, &err) : ce_fail_memory(&err);
    if (r == 0)
        r = ce_names_open(role->model_host, role->upstream_port, role->hardened, &gateway.names,
                          &err);
    if (r == 0 && curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
        r = ce_fail(&err, EIO, "cannot set up the HTTP client");
    if (r == 0)
        r = ce_web_start(role->port, &handler, &gateway, &port, &err);
    ce_worker_serve(r, &err, port, reload, &gateway);
}
