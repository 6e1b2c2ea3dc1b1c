/* SPDX-License-Identifier: MIT */
#include "pipeline/http/ask.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "net/line.h"
#include "proxy/h2/call.h"
#include "proxy/h2/grpc.h"

/* ---- whether it is there ---- */

int ce_ask_reachable(struct ce_url *url, int64_t timeout, struct ce_error *err)
{
    const char *speaks = url->http2 ? CE_TLS_HTTP2 : CE_TLS_HTTP1;
    struct ce_addresses addresses;
    int r = 0;
    CE_TRY(ce_endpoint_resolve(&url->endpoint, &addresses, err));
    for (size_t i = 0; i < addresses.count; i++) {
        struct ce_endpoint at = ce_endpoint_at(&url->endpoint, &addresses, i);
        struct ce_line line;
        r = ce_line_open(&line, &at, speaks, timeout, err);
        ce_line_close(&line);
        if (r == 0) {
            url->endpoint = at;
            return 0;
        }
    }
    return r;
}

int ce_ask_get(const struct ce_url *url, const char *path, int64_t timeout,
               struct ce_http_answer *ret_answer, struct ce_error *err)
{
    CE_CLEANUP(ce_http_answer_done) struct ce_http_answer answer = {0};
    struct ce_http_call call = {
        .method = "GET", .path = path, .host = url->authority, .timeout_ns = timeout};
    CE_TRY(ce_http_call(&url->endpoint, &call, &answer, err));
    int status = answer.status;
    if (ret_answer) {
        *ret_answer = answer;
        answer = (struct ce_http_answer){0};
    }
    return status;
}

/* ---- what it speaks ---- */

struct questions {
    const struct ce_url *url;
    const char *model;
    int64_t timeout;
};

/* Below the url's prefix. The status; negative: no answer. */
static int get(const struct questions *q, const char *path, struct ce_http_answer *ret_answer)
{
    ce_autofree char *whole = ce_format("%s%s", q->url->prefix, path);
    return whole ? ce_ask_get(q->url, whole, q->timeout, ret_answer, NULL) : -ENOMEM;
}

/* The JSON object that a GET is answered with; NULL: it is not, or not with 200. */
static json_t *get_object(const struct questions *q, const char *path)
{
    CE_CLEANUP(ce_http_answer_done) struct ce_http_answer answer = {0};
    if (get(q, path, &answer) != 200)
        return NULL;
    json_t *json = json_loadb(answer.body, answer.body_size, 0, NULL);
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

static bool is_oip(const struct questions *q)
{
    return get(q, "/v2/health/ready", NULL) == 200;
}

/* Its metadata say what it is called. */
static bool has_oip_model(const struct questions *q)
{
    ce_autofree char *path = ce_format("/v2/models/%s", q->model);
    ce_autojson json_t *metadata = path ? get_object(q, path) : NULL;
    return json_is_string(json_object_get(metadata, "name"));
}

/* KServe answers {"name", "ready"}, TensorFlow Serving the states of the versions. */
static bool has_v1_model(const struct questions *q)
{
    ce_autofree char *path = ce_format("/v1/models/%s", q->model);
    ce_autojson json_t *state = path ? get_object(q, path) : NULL;
    return json_object_get(state, "ready") || json_object_get(state, "model_version_status");
}

static bool is_torchserve(const struct questions *q)
{
    ce_autojson json_t *health = get_object(q, "/ping");
    return json_is_string(json_object_get(health, "status"));
}

/* /ping alone is answered by many; the version is a bare number. */
static bool is_mlflow(const struct questions *q)
{
    CE_CLEANUP(ce_http_answer_done) struct ce_http_answer version = {0};
    return get(q, "/ping", NULL) == 200 && get(q, "/version", &version) == 200 &&
           version.body_size > 0 && isdigit((unsigned char)version.body[0]);
}

static int fail_model(const struct questions *q, const char *protocol, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    if (q->model[0] == '\0')
        return ce_fail(err, ENOENT,
                       "it speaks %s, which asks for a model by its name: name it by `model`",
                       protocol);
    ce_text_show(q->model, shown);
    return ce_fail(err, ENOENT, "it speaks %s, but has no model '%s'", protocol, shown);
}

int ce_ask_protocol(const struct ce_url *url, const char *model, int64_t timeout,
                    const struct ce_protocol **ret_protocol, struct ce_error *err)
{
    struct questions q = {url, model, timeout};
    const char *found = NULL;
    bool named = model[0] != '\0';
    if (named && has_oip_model(&q))
        found = "oip";
    else if (named && has_v1_model(&q))
        found = "kserve_v1";
    else if (is_oip(&q))
        return fail_model(&q, "oip", err);
    else if (is_torchserve(&q))
        found = "torchserve";
    else if (is_mlflow(&q))
        found = "mlflow";
    if (!found)
        return ce_fail(err, ENOENT,
                       "it is not to be told what it speaks: name its `protocol` (oip, kserve_v1, "
                       "mlflow, torchserve or json)%s",
                       named ? "" : ", or its `model`");
    if (strcmp(found, "torchserve") == 0 && !named)
        return fail_model(&q, found, err);
    *ret_protocol = ce_protocol_find(found);
    return 0;
}

/* ---- what it predicts ---- */

/* Wrong for now, or for good: of a server that is still loading its model one hears 404 and 5xx. */
static int fail_status(int http_status, const char *what, const char *path, const char *said,
                       struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    bool later = http_status == 404 || http_status >= 500;
    ce_text_show(said, shown);
    return ce_fail(err, later ? EAGAIN : EINVAL, "it answers a request to %s with %s%s%s%s", path,
                   what, shown[0] ? ": '" : "", shown, shown[0] ? "'" : "");
}

/* No answer, which may come later. */
static int fail_call(struct ce_error *err)
{
    if (err)
        err->code = EAGAIN;
    return -EAGAIN;
}

/* The body of a successful answer, malloc'ed. */
static int post(const struct ce_url *url, const struct ce_operations *operations,
                const struct ce_operation *operation, int64_t timeout, char **ret_body,
                size_t *ret_size, struct ce_error *err)
{
    CE_CLEANUP(ce_http_answer_done) struct ce_http_answer answer = {0};
    ce_autofree char *type = ce_format("Content-Type: %s\r\n", operations->content_type);
    if (!type)
        return ce_fail_memory(err);
    struct ce_http_call call = {
        .method = "POST",
        .path = operations->path,
        .host = url->authority,
        .headers = type,
        .body = operation->body,
        .body_size = operation->body_size,
        .timeout_ns = timeout,
    };
    char what[24];
    if (ce_http_call(&url->endpoint, &call, &answer, err) < 0)
        return fail_call(err);
    snprintf(what, sizeof what, "status %d", answer.status);
    if (answer.status != 200)
        return fail_status(answer.status, what, operations->path, answer.body, err);
    *ret_body = ce_take(answer.body);
    *ret_size = answer.body_size;
    return 0;
}

static int call_grpc(const struct ce_url *url, const struct ce_operations *operations,
                     const struct ce_operation *operation, int64_t timeout, char **ret_body,
                     size_t *ret_size, struct ce_error *err)
{
    CE_CLEANUP(ce_grpc_answer_done) struct ce_grpc_answer answer = {0};
    struct ce_grpc_call call = {
        .path = operations->path,
        .authority = url->authority,
        .message = {operation->body, operation->body_size},
        .timeout_ns = timeout,
    };
    char what[24];
    if (ce_grpc_call(&url->endpoint, &call, &answer, err) < 0)
        return fail_call(err);
    snprintf(what, sizeof what, "grpc-status %d", answer.status);
    if (answer.status != CE_GRPC_OK)
        return fail_status(ce_grpc_http_of(answer.status), what, operations->path, answer.reason,
                           err);
    *ret_body = ce_take(answer.message);
    *ret_size = answer.message_size;
    return 0;
}

int ce_ask_prediction(const struct ce_url *url, const struct ce_operations *operations, size_t row,
                      int64_t timeout, struct ce_prediction *ret_prediction, struct ce_error *err)
{
    const struct ce_operation *operation = &operations->items[row];
    ce_autofree char *body = NULL;
    size_t size = 0;
    CE_TRY((operations->grpc ? call_grpc : post)(url, operations, operation, timeout, &body, &size,
                                                 err));
    struct ce_reply reply = {
        .content_type = operations->grpc ? "application/grpc" : "application/json",
        .body = body,
        .size = size,
    };
    int r = ce_judge_explain(operations->ctx, &reply, ret_prediction, err);
    if (r == 0)
        return 0;
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(operations->grpc ? "(a message)" : body, shown);
    (void)ce_fail_context(err, r, "no prediction can be read from its answer '%s'", shown);
    return -EINVAL;
}
