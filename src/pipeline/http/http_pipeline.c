/* SPDX-License-Identifier: MIT */
/* A model server of the user's under test. One route stands between workload and server; it is
 * request route and model route at once.
 *
 * Before there is a route, the server is asked what it speaks and for one prediction: a server that
 * cannot be understood is no use to a run, and it is better said before anything is broken. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "host/subject.h"
#include "pipeline/helpers.h"
#include "pipeline/http/ask.h"
#include "pipeline/kind.h"
#include "pipeline/started/started.h"

/* Longer than any sensible timeout of an operation, so that the one who gives up is the workload.
 */
static const int64_t route_timeout = 30 * CE_SECOND;
/* Between two looks at a server that is not ready yet. */
static const int64_t look_again = 20 * CE_MILLISECOND;

struct http {
    struct ce_pipeline base;
    const struct ce_pipeline_spec *spec;
    const struct ce_pipeline_site *site;
    struct ce_url url;
    struct ce_labelled labelled; /* until the requests are made */
    struct ce_judge judge;
    struct ce_started_command command;
    struct ce_started *server; /* NULL: it runs without our doing */
    char *name, *log, *run_folder;
    struct ce_names env; /* of the command; borrows its texts */
    struct ce_helpers helpers;
};

/* ---- waiting ---- */

static bool gives_up(const struct http *http)
{
    return http->site && http->site->signal && *http->site->signal;
}

/* Tries until it succeeds, time is up, or it is of no use. A step says -EAGAIN while the server may
 * be on its way, and everything may be so while ChaosEater has just started it. */
static int await(struct http *http, int (*step)(struct http *, struct ce_error *), int64_t until,
                 struct ce_error *err)
{
    for (;;) {
        struct ce_error why = {0}, ended = {0};
        int r = step(http, &why);
        bool dead = r < 0 && http->server && ce_started_alive(http->server, &ended) < 0;
        bool later = r == -EAGAIN || http->server;
        if (r < 0 && gives_up(http))
            return ce_fail(err, ECANCELED, "interrupted while the server was waited for");
        if (r == 0 || dead || !later || ce_now() >= until) {
            if (r < 0 && err)
                *err = dead ? ended : why;
            if (r < 0 && !dead && http->server)
                return ce_started_late(http->server, r, err);
            return dead ? -ended.code : r;
        }
        ce_sleep_until(ce_now() + look_again);
    }
}

static int reach(struct http *http, struct ce_error *err)
{
    int r = ce_ask_reachable(&http->url, http->spec->timeout, err);
    if (r < 0 || !http->spec->health)
        return r == -ECONNREFUSED ? -EAGAIN : r;
    int status = ce_ask_get(&http->url, http->spec->health, http->spec->timeout, NULL, err);
    if (status >= 200 && status < 300)
        return 0;
    if (status > 0)
        (void)ce_fail(err, EAGAIN, "health: %s answers with status %d", http->spec->health, status);
    return -EAGAIN;
}

static int find_protocol(struct http *http, struct ce_error *err)
{
    const char *model = http->spec->model ? http->spec->model : "";
    return ce_ask_protocol(&http->url, model, http->spec->timeout, &http->judge.protocol, err);
}

/* The first row answered, and in a way that can be compared with its label. */
static int understand(struct http *http, struct ce_error *err)
{
    struct ce_prediction prediction;
    CE_TRY(ce_ask_prediction(&http->url, &http->base.operations, 0, http->spec->timeout,
                             &prediction, err));
    return ce_judge_check(&http->judge, &prediction, http->base.operations.items[0].label_text,
                          err);
}

/* ---- start ---- */

static int64_t patience_of(const struct ce_pipeline_spec *spec)
{
    return spec->command.count > 0 ? spec->start_timeout : spec->timeout;
}

static int port_of(const struct ce_endpoint *endpoint)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&endpoint->address;
    if (endpoint->name[0] != '\0')
        return endpoint->port;
    /* The port is in the same place for both families. */
    return in->sin_family == AF_INET || in->sin_family == AF_INET6 ? ntohs(in->sin_port) : 0;
}

static int start_server(struct http *http, struct ce_error *err)
{
    const struct ce_pipeline_spec *spec = http->spec;
    if (spec->command.count == 0)
        return 0;
    struct ce_url url = http->url;
    int r = ce_ask_reachable(&url, CE_SECOND, NULL);
    if (r == 0 || r == -EPROTO)
        return ce_fail(err, EADDRINUSE,
                       "something serves there already: end it, or leave out `command`");
    CE_TRY(ce_helpers_env(http->site->helpers, &spec->env, http->site->run_folder, NULL,
                          &http->helpers, &http->env, err));
    http->log = ce_format("%s/server.log", http->site->run_folder);
    http->run_folder = strdup(http->site->run_folder);
    if (!http->log || !http->run_folder)
        return ce_fail_memory(err);
    http->command = (struct ce_started_command){
        .command = &spec->command,
        .prefix = (const char *const *)http->helpers.prefix,
        .env = &http->env,
        .workdir = spec->workdir,
        .log = http->log,
        .port = port_of(&http->url.endpoint),
        .isolation =
            spec->isolation == CE_ISOLATE_NAMESPACES ? CE_ISOLATION_NAMESPACES : CE_ISOLATION_NONE,
    };
    CE_TRY(ce_started_new(&http->command, http->site->journal, &http->server, err));
    return ce_started_start(http->server, err);
}

static int make_operations(struct http *http, struct ce_error *err)
{
    const char *key = NULL;
    CE_TRY(ce_operations_make(http->spec, &http->url, &http->labelled, &http->judge,
                              &http->base.operations, &key, err));
    ce_labelled_done(&http->labelled);
    return 0;
}

static int add_route(struct http *http, struct ce_error *err)
{
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_endpoint_loopback(0),
        .upstream = http->url.endpoint,
        .id_header = "X-Request-Id",
        .upstream_timeout_ns = route_timeout,
        .http2 = http->url.http2,
    };
    struct ce_route *route;
    CE_TRY(ce_proxy_add_route(http->site->proxy, &config, &route, err));
    http->base.request_route = http->base.model_route = route;
    return 0;
}

static int connect_and_understand(struct http *http, struct ce_error *err)
{
    CE_TRY(start_server(http, err));
    int64_t until = ce_now() + patience_of(http->spec);
    CE_TRY(await(http, reach, until, err));
    int protocol = http->url.http2 ? CE_SPEAKS_OIP_GRPC : http->spec->protocol;
    if (protocol == CE_SPEAKS_AUTO)
        CE_TRY(await(http, find_protocol, until, err));
    else
        http->judge.protocol = ce_protocol_find(ce_pipeline_speaks_name(protocol));
    CE_TRY(make_operations(http, err));
    CE_TRY(await(http, understand, until, err));
    return add_route(http, err);
}

static int read_dataset(struct http *http, struct ce_error *err)
{
    const struct ce_pipeline_spec *spec = http->spec;
    const char *key;
    CE_TRY(ce_url_parse(spec->url, &http->url, err));
    CE_TRY(ce_url_secure(&http->url, spec->ca, err));
    /* Over TLS either may be spoken, and it is the protocol that tells. */
    http->url.http2 |= http->url.tls && spec->protocol == CE_SPEAKS_OIP_GRPC;
    CE_TRY(ce_labelled_read(spec->dataset, spec->label, &http->labelled, &key, err));
    return ce_judge_init(&http->judge, spec, &http->labelled, err);
}

/* Where the server lives. */
static const char *isolation_of(const struct http *http)
{
    if (!http->server)
        return "none: the server runs as it was found";
    return http->command.isolation == CE_ISOLATION_NONE
               ? "none: a plain process, started by its command"
               : ce_started_isolation(http->server);
}

static const struct ce_pipeline_acts no_acts;
static const struct ce_pipeline_acts process_acts;

static int start(const struct ce_pipeline_spec *spec, const struct ce_pipeline_site *site,
                 struct ce_pipeline **ret_pipeline, struct ce_error *err)
{
    struct http *http = calloc(1, sizeof *http);
    if (!http)
        return ce_fail_memory(err);
    http->base.kind = &ce_pipeline_http;
    http->spec = spec;
    http->site = site;
    http->name = ce_format("model server at %s", spec->url);
    int r = http->name ? read_dataset(http, err) : ce_fail_memory(err);
    if (r == 0) {
        r = connect_and_understand(http, err);
        if (r < 0 && r != -ENOMEM)
            (void)ce_fail_context(err, r, "%s", http->name);
    }
    http->site = NULL; /* the caller's, and for the start only */
    if (r < 0) {
        ce_pipeline_stop(&http->base);
        return r;
    }
    http->base.acts = http->server ? &process_acts : &no_acts;
    http->base.name = http->name;
    http->base.isolation = isolation_of(http);
    http->base.dataset = spec->dataset;
    http->base.label = spec->label;
    http->base.protocol = http->judge.protocol;
    http->base.locator = spec->prediction;
    *ret_pipeline = &http->base;
    return 0;
}

static void stop(struct ce_pipeline *base)
{
    struct http *http = (struct http *)base;
    ce_started_free(http->server);
    ce_operations_done(&http->base.operations);
    ce_labelled_done(&http->labelled);
    ce_url_done(&http->url);
    free(http->name);
    free(http->log);
    free(http->run_folder);
    free(http->env.names);
    ce_helpers_done(&http->helpers);
    free(http);
}

static int64_t patience(const struct ce_pipeline_spec *spec)
{
    return patience_of(spec) + 10 * spec->timeout + 15 * CE_SECOND;
}

/* An empty answer lacks the prediction, whatever its path is; unless that is none. */
static int check_locator(const struct ce_pipeline_spec *spec, const struct ce_protocol *protocol,
                         struct ce_error *err)
{
    const struct ce_message empty = {.protocol = protocol,
                                     .content_type = "",
                                     .body = "{}",
                                     .size = 2,
                                     .locator = spec->prediction};
    struct ce_prediction ignored;
    struct ce_error why = {0};
    if (!spec->prediction || ce_message_prediction(&empty, &ignored, &why) != -EINVAL)
        return 0;
    return ce_fail(err, EINVAL, "prediction: %s", why.message);
}

static int check(const struct ce_pipeline_spec *spec, const char **ret_key, struct ce_error *err)
{
    CE_CLEANUP(ce_labelled_done) struct ce_labelled labelled = {0};
    struct ce_judge judge;
    CE_TRY(ce_labelled_read(spec->dataset, spec->label, &labelled, ret_key, err));
    *ret_key = spec->labels.count > 0 ? "labels" : "label";
    CE_TRY(ce_judge_init(&judge, spec, &labelled, err));
    *ret_key = NULL;
    if (spec->protocol == CE_SPEAKS_AUTO)
        return 0;
    const struct ce_protocol *protocol = ce_protocol_find(ce_pipeline_speaks_name(spec->protocol));
    CE_TRY(ce_operations_check(spec, &labelled, protocol, ret_key, err));
    *ret_key = "prediction";
    return check_locator(spec, protocol, err);
}

const struct ce_pipeline_kind ce_pipeline_http = {
    .check = check,
    .patience = patience,
    .start = start,
    .stop = stop,
};

/* ---- what a fault's target can do ---- */

static int serving_process(void *pipeline, struct ce_process_id *ret_id, struct ce_error *err)
{
    return ce_started_process(((struct http *)pipeline)->server, ret_id, err);
}

/* The command is started again if it has ended, however long that takes to show. */
static int serve_again(struct http *http, struct ce_error *err)
{
    struct ce_prediction ignored;
    CE_TRY(ce_started_start(http->server, err));
    CE_TRY(reach(http, err));
    return ce_ask_prediction(&http->url, &http->base.operations, 0, http->spec->timeout, &ignored,
                             err);
}

/* A command that lives and does not serve gets the time of one operation to think better of it. */
static int ensure_serving(void *pipeline, struct ce_error *err)
{
    struct http *http = pipeline;
    if (await(http, serve_again, ce_now() + http->spec->timeout, NULL) == 0)
        return 0;
    CE_TRY(ce_started_restart(http->server, err));
    int r = await(http, serve_again, ce_now() + http->spec->start_timeout, err);
    return r < 0 ? ce_fail_context(err, r, "%s does not come back", http->name) : 0;
}

/* Which packets are the server's: those to its port, wherever it listens. */
static void locate_network(const struct http *http, struct ce_subject *subject)
{
    uint16_t port = (uint16_t)http->command.port;
    struct ce_packet_filter *packets = &subject->packets;
    if (port == 0)
        return; /* a unix socket */
    packets->protocol = IPPROTO_TCP;
    packets->ports[0].first = packets->ports[0].last = port;
    packets->port_count = 1;
    if (http->url.endpoint.name[0] == '\0')
        subject->probe = http->url.endpoint.address;
    subject->has |= CE_SUBJECT_NETWORK;
}

static int locate(void *pipeline, const char *service, struct ce_subject *ret_subject,
                  struct ce_error *err)
{
    struct http *http = pipeline;
    struct ce_subject *subject = ret_subject;
    if (service && strcmp(service, "server") != 0)
        return ce_fail(err, ENOENT, "a model server has no service '%s'; it has server", service);
    memset(subject, 0, sizeof *subject);
    CE_TRY(serving_process(http, &subject->process, err));
    CE_TRY(ce_place_of_process(&subject->process, &subject->place, err));
    subject->has = CE_SUBJECT_PROCESS;
    snprintf(subject->name, sizeof subject->name, "%.140s (process %d)", http->name,
             (int)subject->process.pid);
    locate_network(http, subject);
    if (http->spec->workdir && realpath(http->spec->workdir, subject->folder))
        subject->has |= CE_SUBJECT_FOLDER;
    if (http->helpers.count > 0 && realpath(http->run_folder, subject->helpers))
        subject->has |= CE_SUBJECT_HELPERS;
    return 0;
}

static const struct ce_pipeline_acts process_acts = {
    .serving_process = serving_process,
    .ensure_serving = ensure_serving,
    .locate = locate,
};

static int locate_nothing(void *pipeline, const char *service, struct ce_subject *ret_subject,
                          struct ce_error *err)
{
    (void)service;
    (void)ret_subject;
    return ce_fail(err, ENOTSUP,
                   "%s was not started by ChaosEater, which does not know where it runs: say it "
                   "with `target:` (its pid, unit, container, peer ...), or let pipeline.command "
                   "start it",
                   ((const struct http *)pipeline)->name);
}

static const struct ce_pipeline_acts no_acts = {.locate = locate_nothing};
