/* SPDX-License-Identifier: MIT */
/* Requests and answers: which handler, who may ask, and what every answer says besides.
 *
 * Reading is free for who can reach a loopback address; a page of somebody else's that the same
 * browser shows can reach it too, and is kept out: by the name under which it reached this server
 * (Host), by where it came from (Origin), by JSON, which it may not send, and by the token. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "report/words.h"
#include "web/web_internal.h"

enum { BODY_MAX = 64 << 10 };

#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "              \
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "                  \
    "frame-ancestors 'self'"

/* ---- routes ---- */

enum ce_access { READS, ACTS };

static const struct route {
    const char *method, *path; /* {}: one part of the path, whatever it is */
    ce_web_handler *handler;
    enum ce_access access;
    bool open; /* also for who has no token, wherever this listens: there is nothing to see */
} routes[] = {
    {"GET", "/", ce_api_asset, READS, true},
    {"GET", "/app.css", ce_api_asset, READS, true},
    {"GET", "/app.js", ce_api_asset, READS, true},
    {"GET", "/api.js", ce_api_asset, READS, true},
    {"GET", "/chart.js", ce_api_asset, READS, true},
    {"GET", "/compare.js", ce_api_asset, READS, true},
    {"GET", "/control.js", ce_api_asset, READS, true},
    {"GET", "/dom.js", ce_api_asset, READS, true},
    {"GET", "/history.js", ce_api_asset, READS, true},
    {"GET", "/live.js", ce_api_asset, READS, true},
    {"GET", "/run.js", ce_api_asset, READS, true},
    {"GET", "/scene.js", ce_api_asset, READS, true},
    {"GET", "/trends.js", ce_api_asset, READS, true},
    {"GET", "/health", ce_api_health, READS, true},
    {"GET", "/metrics", ce_api_metrics, READS},
    {"GET", "/api/openapi.json", ce_api_asset, READS, true},
    {"GET", "/api/v1/status", ce_api_status, READS},
    {"GET", "/api/v1/live", ce_api_live, READS},
    {"GET", "/api/v1/events", ce_api_events, READS},
    {"GET", "/api/v1/runs", ce_api_runs, READS},
    {"GET", "/api/v1/runs/{}", ce_api_run, READS},
    {"GET", "/api/v1/runs/{}/document", ce_api_document, READS},
    {"GET", "/api/v1/runs/{}/report", ce_api_report, READS},
    {"GET", "/api/v1/compare", ce_api_compare, READS},
    {"GET", "/api/v1/trends", ce_api_trends, READS},
    {"GET", "/api/v1/summary", ce_api_summary, READS},
    {"POST", "/api/v1/suites", ce_api_start, ACTS},
    {"POST", "/api/v1/suites/{}/abort", ce_api_abort, ACTS},
    {"POST", "/api/v1/stop", ce_api_stop, ACTS},
};

/* Fills the parts that stand for {}. */
static bool matches(const char *pattern, const char *path, char parts[3][128])
{
    size_t n = 0;
    while (*pattern) {
        if (strncmp(pattern, "{}", 2) == 0) {
            size_t size = strcspn(path, "/");
            if (size == 0 || size >= 128 || n == 3)
                return false;
            memcpy(parts[n], path, size);
            parts[n++][size] = '\0';
            pattern += 2;
            path += size;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

/* NULL: there is none; `allowed` then says which methods there are for that path, or stays empty.
 */
static const struct route *find_route(const char *method, const char *path, char parts[3][128],
                                      char allowed[64])
{
    bool head = strcmp(method, "HEAD") == 0;
    for (size_t i = 0; i < CE_COUNT(routes); i++) {
        const struct route *route = &routes[i];
        if (!matches(route->path, path, parts))
            continue;
        if (strcmp(route->method, head ? "GET" : method) == 0)
            return route;
        snprintf(allowed, 64, "%s", strcmp(route->method, "GET") == 0 ? "GET, HEAD" : "POST");
    }
    return NULL;
}

/* ---- a request ---- */

/* What is kept of a request between the calls of its handler. */
struct state {
    char *body;
    size_t size;
    bool too_large;
    uint64_t launch; /* that it waits for */
};

const char *ce_web_request_parameter(const struct ce_web_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *ce_web_request_header(const struct ce_web_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static bool is_token(const struct ce_server *web, const char *given)
{
    return given && strlen(given) == CE_TOKEN_SIZE - 1 &&
           CRYPTO_memcmp(given, web->token, CE_TOKEN_SIZE - 1) == 0;
}

/* In the header; of events, which a browser asks for without headers of ours, also in the query. */
static bool is_authorized(const struct ce_web_request *request)
{
    static const char scheme[] = "Bearer ";
    const char *given = ce_web_request_header(request, MHD_HTTP_HEADER_AUTHORIZATION);
    if (given && strncasecmp(given, scheme, strlen(scheme)) == 0)
        return is_token(request->web, given + strlen(scheme));
    return strcmp(request->path, "/api/v1/events") == 0 &&
           is_token(request->web, ce_web_request_parameter(request, "token"));
}

/* Names that mean the host itself, with whatever port: a tunnel has another one at its other end. A
 * page of somebody else's comes by a name of theirs, even if they let it stand for this address. */
static bool is_own_name(const struct ce_server *web, const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    if (strcasecmp(host, web->authority) == 0)
        return true;
    for (size_t i = 0; i < CE_COUNT(names); i++) {
        size_t size = strlen(names[i]);
        if (strncasecmp(host, names[i], size) == 0 && (host[size] == '\0' || host[size] == ':'))
            return true;
    }
    return false;
}

/* Beyond loopback nothing is free, and the name is of no matter. */
static int check_origin(const struct ce_web_request *request, struct ce_error *err)
{
    const struct ce_server *web = request->web;
    const char *host = ce_web_request_header(request, MHD_HTTP_HEADER_HOST);
    const char *origin = ce_web_request_header(request, MHD_HTTP_HEADER_ORIGIN);
    if (web->loopback && (!host || !is_own_name(web, host)))
        return ce_fail(err, EPERM, "this server is not called '%.80s'", host ? host : "");
    if (!origin)
        return 0;
    const char *name = strstr(origin, "://");
    if (!name || !host || strcasecmp(name + 3, host) != 0)
        return ce_fail(err, EPERM, "a page of '%.80s' has no business here", origin);
    return 0;
}

static int check_access(const struct ce_web_request *request, const struct route *route,
                        struct ce_error *err)
{
    CE_TRY(check_origin(request, err));
    bool free_to_read = route->access == READS && (route->open || request->web->loopback);
    if (!free_to_read && !request->authorized)
        return ce_fail(err, EACCES, "the token is missing or wrong: `chaoseater serve` prints it");
    return 0;
}

static int read_body(struct ce_web_request *request, const struct state *state,
                     struct ce_error *err)
{
    const char *type = ce_web_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    static const char json[] = "application/json";
    if (state->too_large)
        return ce_fail(err, EFBIG, "the body is longer than %d bytes", BODY_MAX);
    if (!type || strncasecmp(type, json, strlen(json)) != 0)
        return ce_fail(err, EPROTONOSUPPORT, "the body has to be %s", json);
    request->body = ce_json_parse(state->body ? state->body : "", state->size, "the body", err);
    if (!request->body)
        return ce_fail_context(err, -EINVAL, "the body");
    if (!json_is_object(request->body))
        return ce_fail(err, EINVAL, "the body is no JSON object");
    return 0;
}

/* ---- an answer ---- */

static int status_of(int r)
{
    static const struct {
        int code, status;
    } statuses[] = {
        {EINVAL, 400}, {ERANGE, 400},          {EACCES, 401},    {EPERM, 403},
        {ENOENT, 404}, {ENOTTY, 405},          {ECANCELED, 409}, {EBUSY, 503},
        {EFBIG, 413},  {EPROTONOSUPPORT, 415}, {EBADMSG, 500},   {ENOTSUP, 500},
    };
    for (size_t i = 0; i < CE_COUNT(statuses); i++)
        if (statuses[i].code == -r)
            return statuses[i].status;
    return 500;
}

int ce_response_json(struct ce_response *reply, json_t *json, struct ce_error *err)
{
    ce_autojson json_t *owned = json;
    reply->text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    return reply->text ? 0 : ce_fail_memory(err);
}

static void fail_with(struct ce_response *reply, int r, const struct ce_error *err)
{
    struct ce_error none = {0};
    int status = status_of(r);
    /* A sentence quotes what it was sent, and may have cut it anywhere. */
    ce_autofree char *message = ce_text_clean(err->message), *where = ce_text_clean(err->where);
    free(reply->text);
    *reply = (struct ce_response){.status = status};
    (void)ce_response_json(reply,
                           json_pack("{s:{s:s, s:s, s:i}}", "error", "message", message, "where",
                                     where, "status", status),
                           &none);
}

static struct MHD_Response *make_response(struct ce_response *reply)
{
    if (reply->stream)
        return reply->stream;
    const char *fixed = reply->fixed ? reply->fixed : "";
    if (!reply->text)
        return MHD_create_response_from_buffer(strlen(fixed), (void *)fixed,
                                               MHD_RESPMEM_PERSISTENT);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(reply->text), reply->text, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(reply->text);
    return response;
}

static enum MHD_Result send_reply(struct MHD_Connection *connection, struct ce_response *reply,
                                  const char *allowed)
{
    const char *headers[][2] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, reply->type ? reply->type : "application/json"},
        {"Content-Security-Policy", reply->policy ? reply->policy : POLICY},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
    };
    struct MHD_Response *response = make_response(reply);
    if (!response)
        return MHD_NO;
    for (size_t i = 0; i < CE_COUNT(headers); i++)
        (void)MHD_add_response_header(response, headers[i][0], headers[i][1]);
    int status = reply->status ? reply->status : MHD_HTTP_OK;
    if (status == MHD_HTTP_UNAUTHORIZED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allowed);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- both ---- */

static int handle(struct ce_web_request *request, const struct route *route, struct state *state,
                  struct ce_response *reply, struct ce_error *err)
{
    CE_TRY(check_access(request, route, err));
    if (route->access == ACTS)
        CE_TRY(read_body(request, state, err));
    request->launch = &state->launch;
    return route->handler(request, reply, err);
}

static enum MHD_Result answer(struct ce_server *web, struct MHD_Connection *connection,
                              const char *path, const char *method, struct state *state)
{
    char allowed[64] = "";
    struct ce_error err = {0};
    struct ce_response reply = {0};
    struct ce_web_request request = {.web = web, .connection = connection, .path = path};
    const struct route *route = find_route(method, path, request.parts, allowed);
    request.authorized = is_authorized(&request);
    int r;
    if (route)
        r = handle(&request, route, state, &reply, &err);
    else if (allowed[0])
        r = ce_fail(&err, ENOTTY, "this takes %s, and no %.20s", allowed, method);
    else
        r = ce_fail(&err, ENOENT, "there is no '%.80s'", path);
    json_decref(request.body);
    if (reply.waits)
        return MHD_YES;
    if (r < 0)
        fail_with(&reply, r, &err);
    return send_reply(connection, &reply, allowed);
}

static enum MHD_Result take_piece(struct state *state, const char *data, size_t *size)
{
    char *body = NULL;
    if (state->size + *size > BODY_MAX)
        state->too_large = true;
    else
        body = realloc(state->body, state->size + *size);
    if (body) {
        state->body = body;
        memcpy(body + state->size, data, *size);
        state->size += *size;
    } else if (!state->too_large) {
        return MHD_NO;
    }
    *size = 0;
    return MHD_YES;
}

enum MHD_Result ce_web_on_request(void *web, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    (void)version;
    if (!*state) {
        *state = calloc(1, sizeof(struct state));
        return *state ? MHD_YES : MHD_NO;
    }
    if (*size > 0)
        return take_piece(*state, data, size);
    return answer(web, connection, path, method, *state);
}

void ce_web_on_end(void *ctx, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode how)
{
    (void)connection, (void)how;
    struct ce_server *web = ctx;
    struct state *of = *state;
    struct ce_launch_outcome outcome;
    if (!of)
        return;
    if (of->launch) { /* the client has gone before it was told */
        (void)pthread_mutex_lock(&web->lock);
        ce_launch_take(web->launches, of->launch, &outcome);
        (void)pthread_mutex_unlock(&web->lock);
    }
    free(of->body);
    free(ce_take(*state));
}
