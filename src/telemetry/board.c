/* SPDX-License-Identifier: MIT */
/* The board, and the server that shows it at /metrics.
 *
 * The server is a route of a proxy whose one hook answers everything: the same strict parser, and
 * no other server to link. However often somebody asks: what the host has to say is looked up once
 * a second at most, and what has not changed is not written down anew, so that no run waits. */
#include "telemetry/board.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "journal/journal.h"
#include "journal/lever.h"
#include "proxy/proxy.h"

#define HOST_EVERY CE_SECOND

struct ce_metrics {
    pthread_mutex_t lock;
    struct ce_metric_set *set;
    char *texts[CE_METRIC_OPEN + 1]; /* of the set, by format; NULL: not written down */
    char *state_dir;
    int64_t host_at; /* when the host was looked at; 0: never */
    struct ce_proxy *proxy;
    struct ce_route *route;
    struct ce_rule *rule;
    struct ce_hook hook;
};

/* ---- what is said ---- */

struct ce_metric_host ce_metrics_host(const char *state_dir)
{
    size_t i;
    json_t *entry;
    ce_autojson json_t *live = json_array();
    struct ce_metric_host host = {.stopped = ce_lever_is_engaged(state_dir)};
    (void)ce_journal_list(state_dir, live, NULL);
    json_array_foreach(live, i, entry)
    {
        host.live++;
        host.failed += !json_is_true(json_object_get(entry, "owner_alive"));
    }
    return host;
}

static void forget_texts(struct ce_metrics *metrics)
{
    for (size_t i = 0; i < CE_COUNT(metrics->texts); i++)
        free(ce_take(metrics->texts[i]));
}

void ce_metrics_live(struct ce_metrics *metrics, const struct ce_metric_live *live)
{
    (void)pthread_mutex_lock(&metrics->lock);
    if (ce_metric_add_live(metrics->set, live) != 0)
        forget_texts(metrics);
    (void)pthread_mutex_unlock(&metrics->lock);
}

void ce_metrics_record(struct ce_metrics *metrics, const struct ce_record *record)
{
    (void)pthread_mutex_lock(&metrics->lock);
    (void)ce_metric_add_record(metrics->set, record);
    forget_texts(metrics);
    (void)pthread_mutex_unlock(&metrics->lock);
}

static void look_at_host(struct ce_metrics *metrics)
{
    int64_t now = ce_now();
    if (metrics->host_at != 0 && now < metrics->host_at + HOST_EVERY)
        return;
    struct ce_metric_host host = ce_metrics_host(metrics->state_dir);
    (void)ce_metric_add_host(metrics->set, &host);
    forget_texts(metrics);
    metrics->host_at = now;
}

static char *text_of(struct ce_metrics *metrics, enum ce_metric_format format)
{
    (void)pthread_mutex_lock(&metrics->lock);
    look_at_host(metrics);
    if (!metrics->texts[format])
        metrics->texts[format] = ce_metric_text(metrics->set, format);
    char *text = metrics->texts[format] ? strdup(metrics->texts[format]) : NULL;
    (void)pthread_mutex_unlock(&metrics->lock);
    return text;
}

char *ce_metrics_text(struct ce_metrics *metrics, const char *accept, const char **ret_type)
{
    enum ce_metric_format format =
        ce_metric_accepted(accept ? accept : "", accept ? strlen(accept) : 0);
    if (ret_type)
        *ret_type = ce_metric_content_type(format);
    return text_of(metrics, format);
}

/* ---- the server ---- */

static void answer(struct ce_action *action, int status, const char *headers, char *text)
{
    action->kind = CE_ACT_ANSWER;
    action->status = text ? status : 500;
    action->headers = headers;
    action->body = text;
    action->body_size = text ? strlen(text) : 0;
}

static void serve(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    static const char *const headers[] = {
        [CE_METRIC_TEXT] = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
        [CE_METRIC_OPEN] =
            "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
    };
    static const char plain[] = "Content-Type: text/plain; charset=utf-8\r\n";
    struct ce_metrics *metrics = ctx;
    size_t size = strcspn(exchange->path, "?");
    bool reads = strcmp(exchange->method, "GET") == 0 || strcmp(exchange->method, "HEAD") == 0;
    struct ce_slice accept = ce_exchange_header(exchange, "Accept");
    enum ce_metric_format format = ce_metric_accepted(accept.data, accept.size);
    if (size != strlen("/metrics") || strncmp(exchange->path, "/metrics", size) != 0)
        answer(action, 404, plain, strdup("there is /metrics\n"));
    else if (!reads)
        answer(action, 405, "Allow: GET, HEAD\r\nContent-Type: text/plain; charset=utf-8\r\n",
               strdup("not by this method\n"));
    else
        answer(action, 200, headers[format], text_of(metrics, format));
}

int ce_metrics_serve(struct ce_metrics *metrics, const char *listen, char **ret_url,
                     struct ce_error *err)
{
    char address[CE_NAME_MAX + 8];
    struct ce_route_config config = {.name = "metrics", .client_idle_ns = 60 * CE_SECOND};
    if (metrics->proxy)
        return ce_fail(err, EBUSY, "metrics are served already");
    CE_TRY(ce_endpoint_parse(listen, &config.listen, err));
    CE_TRY(ce_proxy_start(1, &metrics->proxy, err));
    metrics->hook = (struct ce_hook){.on_request = serve};
    int r = ce_proxy_add_route(metrics->proxy, &config, &metrics->route, err);
    if (r >= 0)
        r = ce_route_arm(metrics->route, &metrics->hook, metrics, &metrics->rule, err);
    if (r < 0) {
        ce_proxy_stop(ce_take(metrics->proxy));
        return r;
    }
    ce_endpoint_text(ce_route_endpoint(metrics->route), address, sizeof address);
    char *url = ce_format("http://%s/metrics", address);
    if (!url)
        return ce_fail_memory(err);
    *ret_url = url;
    return 0;
}

/* ---- begin and end ---- */

int ce_metrics_new(const char *state_dir, struct ce_metrics **ret_metrics, struct ce_error *err)
{
    struct ce_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return ce_fail_memory(err);
    (void)pthread_mutex_init(&metrics->lock, NULL);
    metrics->state_dir = strdup(state_dir);
    metrics->set = ce_metric_set_new();
    if (!metrics->state_dir || !metrics->set || ce_metric_add_build(metrics->set) < 0) {
        ce_metrics_free(metrics);
        return ce_fail_memory(err);
    }
    *ret_metrics = metrics;
    return 0;
}

void ce_metrics_free(struct ce_metrics *metrics)
{
    if (!metrics)
        return;
    ce_rule_disarm(metrics->rule);
    ce_proxy_stop(metrics->proxy);
    (void)pthread_mutex_destroy(&metrics->lock);
    forget_texts(metrics);
    ce_metric_set_free(metrics->set);
    free(metrics->state_dir);
    free(metrics);
}
