/* SPDX-License-Identifier: MIT */
/* Questions over HTTP: of a server itself, and of a Prometheus about something else.
 *
 * Who is asked about itself and is silent has answered, too: that is not as expected. A Prometheus
 * is asked about others: unless it yields one number, nothing is known. */
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "net/client.h"
#include "net/url.h"
#include "probe/probe_internal.h"

/* ---- addresses ---- */

/* What is asked for on the server; "": nothing, that is "/". */
static const char *path_of(const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return strncmp(url, "unix:", 5) == 0 ? "" : host + strcspn(host, "/?#");
}

static int parse_server(const char *text, struct ce_url *ret_url, struct ce_error *err)
{
    ce_autofree char *server = strndup(text, (size_t)(path_of(text) - text));
    if (strncmp(text, "unix:", 5) == 0)
        return ce_url_parse(text, ret_url, err);
    if (!server)
        return ce_fail_memory(err);
    CE_TRY(ce_url_parse(server, ret_url, err));
    if (!ret_url->http2)
        return 0;
    ce_url_done(ret_url);
    return ce_fail(err, EINVAL, "'%.80s' is not asked over HTTP/2; http:// and https:// are", text);
}

static int check_url(const struct ce_probe_spec *spec, struct ce_error *err)
{
    CE_CLEANUP(ce_url_done) struct ce_url url = {0};
    const char *path = path_of(spec->url);
    CE_TRY(parse_server(spec->url, &url, err));
    for (const char *p = path; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || *p == '#')
            return ce_fail(err, EINVAL, "'%.80s' holds characters that a URL has to escape",
                           spec->url);
    if (spec->kind == CE_PROBE_PROMETHEUS && strchr(path, '?'))
        return ce_fail(err, EINVAL, "'%.80s' has a query; it is the server alone", spec->url);
    return 0;
}

static bool is_token(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", text[i]))
            return false;
    return size > 0;
}

static int check_header(const char *line, struct ce_error *err)
{
    static const char *const own[] = {"host", "content-length", "transfer-encoding", "connection"};
    size_t name = strcspn(line, ":");
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(line, shown);
    if (line[name] != ':' || !is_token(line, name) || strpbrk(line, "\r\n"))
        return ce_fail(err, EINVAL, "headers: '%s' is not 'Name: value'", shown);
    for (size_t i = 0; i < CE_COUNT(own); i++)
        if (strlen(own[i]) == name && strncasecmp(own[i], line, name) == 0)
            return ce_fail(err, EINVAL, "headers: '%s' is written by the probe itself", shown);
    return 0;
}

int ce_probe_check_http(const struct ce_probe_spec *spec, const char **ret_key,
                        struct ce_error *err)
{
    *ret_key = "url";
    int r = check_url(spec, err);
    if (r < 0)
        return ce_fail_context(err, r, "url");
    *ret_key = "method";
    if (spec->method && !is_token(spec->method, strlen(spec->method)))
        return ce_fail(err, EINVAL, "method: '%.40s' is no method such as GET", spec->method);
    *ret_key = "headers";
    for (size_t i = 0; i < spec->headers.count; i++)
        CE_TRY(check_header(spec->headers.names[i], err));
    *ret_key = NULL;
    return 0;
}

/* ---- one call ---- */

/* Keeps a copy of the socket: whoever gives the question up shuts that down, and it stays this one
 * even when the call has closed its own. */
static int make_socket(void *ctx, int family, struct ce_error *err)
{
    struct ce_asking *asking = ctx;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ce_fail(err, errno, "cannot make a socket: %s", strerror(errno));
    (void)pthread_mutex_lock(&asking->lock);
    if (asking->socket >= 0)
        (void)close(asking->socket);
    asking->socket = asking->given_up ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    bool given_up = asking->given_up;
    (void)pthread_mutex_unlock(&asking->lock);
    if (!given_up)
        return fd;
    (void)close(fd);
    return ce_fail(err, ECANCELED, "given up");
}

static void forget_socket(struct ce_asking *asking)
{
    (void)pthread_mutex_lock(&asking->lock);
    if (asking->socket >= 0)
        (void)close(ce_take_fd(asking->socket));
    (void)pthread_mutex_unlock(&asking->lock);
}

static char *header_lines(const struct ce_names *headers)
{
    char *lines = strdup("");
    for (size_t i = 0; lines && i < headers->count; i++) {
        char *more = ce_format("%s%s\r\n", lines, headers->names[i]);
        free(lines);
        lines = more;
    }
    return lines;
}

static bool may_try_next(int r)
{
    return r == -ECONNREFUSED || r == -ENETUNREACH || r == -EHOSTUNREACH || r == -EAFNOSUPPORT;
}

/* A name may stand for addresses of which not every one is served. -EADDRNOTAVAIL: for none. */
static int call_server(const struct ce_url *url, struct ce_http_call *request,
                       const struct ce_probe_spec *spec, struct ce_asking *asking,
                       struct ce_http_answer *ret_answer, struct ce_error *err)
{
    struct ce_addresses addresses;
    if (ce_endpoint_resolve(&url->endpoint, &addresses, err) < 0)
        return -EADDRNOTAVAIL;
    int r = -EADDRNOTAVAIL;
    for (size_t i = 0; i < addresses.count && (i == 0 || may_try_next(r)); i++) {
        struct ce_endpoint endpoint = ce_endpoint_at(&url->endpoint, &addresses, i);
        endpoint.make_socket = make_socket;
        endpoint.ctx = asking;
        int64_t left = asking->begun + spec->timeout - ce_now();
        request->timeout_ns = left > CE_MILLISECOND ? left : CE_MILLISECOND;
        r = ce_http_call(&endpoint, request, ret_answer, err);
    }
    return r;
}

static int call(const struct ce_probe_spec *spec, const char *path, struct ce_asking *asking,
                struct ce_http_answer *ret_answer, struct ce_error *err)
{
    CE_CLEANUP(ce_url_done) struct ce_url url = {0};
    ce_autofree char *headers = header_lines(&spec->headers);
    if (!headers)
        return ce_fail_memory(err);
    CE_TRY(parse_server(spec->url, &url, err));
    CE_TRY(ce_url_secure(&url, NULL, err));
    struct ce_http_call request = {
        .method = spec->method ? spec->method : "GET",
        .path = path,
        .host = url.authority,
        .headers = headers,
        .body = spec->body,
        .body_size = spec->body ? strlen(spec->body) : 0,
    };
    int r = call_server(&url, &request, spec, asking, ret_answer, err);
    forget_socket(asking);
    return r;
}

/* ---- a server about itself ---- */

void ce_probe_ask_http(const struct ce_probe_spec *spec, struct ce_asking *asking,
                       struct ce_probe_answer *answer)
{
    struct ce_error err = {0};
    struct ce_http_answer said = {0};
    const char *path = path_of(spec->url);
    ce_autofree char *whole = ce_format("%s%s", *path == '/' ? "" : "/", path);
    int r = whole ? call(spec, whole, asking, &said, &err) : ce_fail_memory(&err);
    answer->took = ce_now() - asking->begun;
    if (r < 0) {
        ce_probe_say(spec, ce_probe_is_ours(r) ? CE_PROBE_ERROR : CE_PROBE_FAILED, answer, "%s",
                     err.message);
        return;
    }
    struct ce_heard heard = {
        .status = said.status,
        .text = said.body,
        .size = said.body_size < CE_HEARD_MAX ? said.body_size : CE_HEARD_MAX,
        .cut = said.body_size > CE_HEARD_MAX,
    };
    ce_expect_judge(spec, &heard, answer);
    ce_http_answer_done(&said);
}

/* ---- a Prometheus about others ---- */

static char *query_path(const struct ce_probe_spec *spec)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const char *path = path_of(spec->url);
    size_t size = strlen(path);
    while (size > 0 && path[size - 1] == '/')
        size--;
    ce_autofree char *query = malloc(3 * strlen(spec->query) + 1);
    if (!query)
        return NULL;
    char *to = query;
    for (const unsigned char *p = (const unsigned char *)spec->query; *p; p++) {
        if (strchr(plain, *p)) {
            *to++ = (char)*p;
            continue;
        }
        *to++ = '%';
        *to++ = hex[*p >> 4];
        *to++ = hex[*p & 15];
    }
    *to = '\0';
    return ce_format("%.*s/api/v1/query?query=%s", (int)size, path, query);
}

/* A sample is [time, "value"]. */
static double sample_value(const json_t *sample)
{
    const char *text = json_string_value(json_array_get(sample, 1));
    double number;
    if (!text)
        return NAN;
    if (strcmp(text, "+Inf") == 0 || strcmp(text, "-Inf") == 0)
        return text[0] == '-' ? -INFINITY : INFINITY;
    return ce_text_number(text, &number) == 0 ? number : NAN;
}

/* The number that the query yields, or NaN and why there is none. */
static double query_value(const json_t *said, char *why, size_t size)
{
    const json_t *data = json_object_get(said, "data"), *result = json_object_get(data, "result");
    const char *status = json_string_value(json_object_get(said, "status"));
    const char *type = json_string_value(json_object_get(data, "resultType"));
    const char *error = json_string_value(json_object_get(said, "error"));
    double value = NAN;
    if (error)
        snprintf(why, size, "the server says '%.100s'", error);
    else if (!status || strcmp(status, "success") != 0 || !type)
        snprintf(why, size, "the answer is none of a Prometheus");
    else if (strcmp(type, "scalar") == 0)
        value = sample_value(result);
    else if (strcmp(type, "vector") != 0)
        snprintf(why, size, "the query yields a %.20s; it has to yield one number", type);
    else if (json_array_size(result) == 0)
        snprintf(why, size, "the query yields nothing");
    else if (json_array_size(result) > 1)
        snprintf(why, size, "the query yields %zu series; it has to yield one",
                 json_array_size(result));
    else
        value = sample_value(json_object_get(json_array_get(result, 0), "value"));
    if (isnan(value) && !why[0])
        snprintf(why, size, "the query yields no number");
    return value;
}

void ce_probe_ask_prometheus(const struct ce_probe_spec *spec, struct ce_asking *asking,
                             struct ce_probe_answer *answer)
{
    struct ce_error err = {0};
    struct ce_http_answer said = {0};
    char why[160] = "";
    ce_autofree char *path = query_path(spec);
    int r = path ? call(spec, path, asking, &said, &err) : ce_fail_memory(&err);
    if (r < 0) {
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "%s", err.message);
        return;
    }
    bool cut = said.body_size > CE_HEARD_MAX;
    ce_autojson json_t *json =
        cut ? NULL : json_loadb(said.body, said.body_size, JSON_REJECT_DUPLICATES, NULL);
    double value = json ? query_value(json, why, sizeof why) : NAN;
    if (!json)
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "answered %d and %s", said.status,
                     cut ? "more than 1 MiB" : "no JSON");
    else if (isnan(value))
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "%s", why);
    else
        ce_expect_judge_number(spec, value, answer);
    ce_http_answer_done(&said);
}
