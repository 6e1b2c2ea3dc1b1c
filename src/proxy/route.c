/* SPDX-License-Identifier: MIT */
/* Routes: what belongs to one, and what it counts. */
#include "proxy/h2/h2.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

void ce_route_free(struct ce_route *route)
{
    for (unsigned i = 0; route->lanes && i < route->proxy->worker_count; i++) {
        struct ce_client *client;
        while ((client = LIST_FIRST(&route->lanes[i].clients)))
            ce_client_close(client);
        struct ce_h2_conn *h2;
        while ((h2 = LIST_FIRST(&route->lanes[i].h2_clients)))
            ce_h2_client_close(h2);
        ce_targets_done(&route->lanes[i]);
        ce_chain_done(&route->lanes[i].chain);
    }
    ce_listener_done(route);
    free(route->name);
    free(route->id_header);
    free(route->authorities);
    ce_tls_release(route->tls);
    ce_tls_release(route->upstream.tls);
    free(route->lanes);
    pthread_mutex_destroy(&route->changing);
    free(route);
}

struct route_add {
    struct ce_proxy *proxy;
    struct ce_route *route;
    int fd;
};

static int route_insert(void *arg)
{
    const struct route_add *add = arg;
    CE_TRY(ce_listener_open(add->route, add->fd));
    pthread_mutex_lock(&add->proxy->lock);
    SLIST_INSERT_HEAD(&add->proxy->routes, add->route, link);
    pthread_mutex_unlock(&add->proxy->lock);
    return 0;
}

static int route_new(struct ce_proxy *proxy, const struct ce_route_config *config,
                     struct ce_route **ret_route, struct ce_error *err)
{
    struct ce_addresses addresses;
    CE_TRY(ce_endpoint_resolve(&config->upstream, &addresses, err));
    struct ce_route *route = ce_lines_new(1, sizeof *route);
    if (!route)
        return ce_fail_memory(err);
    *route = (struct ce_route){
        .proxy = proxy,
        .name = strdup(config->name),
        .id_header = config->id_header ? strdup(config->id_header) : NULL,
        .listen = config->listen,
        .upstream = config->upstream,
        .lanes = ce_lines_new(proxy->worker_count, sizeof *route->lanes),
        .timeout_ns =
            config->upstream_timeout_ns > 0 ? config->upstream_timeout_ns : 30 * CE_SECOND,
        .head_timeout_ns = config->head_timeout_ns > 0 ? config->head_timeout_ns : 60 * CE_SECOND,
        .idle_ns = config->client_idle_ns,
        .tls = ce_tls_hold(config->tls),
        .authorities = config->authorities ? strdup(config->authorities) : NULL,
        .http2 = config->http2,
        .mark = config->mark,
        .no_probes = config->no_probes,
        .held = -1,
    };
    pthread_mutex_init(&route->changing, NULL);
    (void)ce_tls_hold(route->upstream.tls);
    if (!route->name || (config->id_header && !route->id_header) ||
        (config->authorities && !route->authorities) || !route->lanes) {
        ce_route_free(route);
        return ce_fail_memory(err);
    }
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        struct ce_lane *lane = &route->lanes[i];
        lane->worker = &proxy->workers[i];
        lane->route = route;
        ce_target_init(&lane->target, lane, &route->upstream);
        lane->target.addresses = addresses;
    }
    *ret_route = route;
    return 0;
}

bool ce_route_is_probe(const struct ce_route *route, struct ce_slice id)
{
    size_t prefix = sizeof CE_PROBE_PREFIX - 1;
    return !route->no_probes && id.size >= prefix && memcmp(id.data, CE_PROBE_PREFIX, prefix) == 0;
}

int ce_proxy_add_route(struct ce_proxy *proxy, const struct ce_route_config *config,
                       struct ce_route **ret_route, struct ce_error *err)
{
    struct ce_route *route = NULL;
    CE_TRY(route_new(proxy, config, &route, err));
    int fd = ce_endpoint_listen(&route->listen, err);
    int r = fd;
    if (fd >= 0) {
        r = ce_worker_call(&proxy->workers[0], route_insert, &(struct route_add){proxy, route, fd});
        if (r < 0)
            (void)ce_fail(err, -r, "cannot watch route '%s': %s", config->name, strerror(-r));
    }
    if (r < 0) {
        ce_route_free(route);
        return r;
    }
    *ret_route = route;
    return 0;
}

const struct ce_endpoint *ce_route_endpoint(const struct ce_route *route)
{
    return &route->listen;
}

const struct ce_endpoint *ce_route_upstream(const struct ce_route *route)
{
    return &route->upstream;
}

const char *ce_route_authorities(const struct ce_route *route)
{
    return route->authorities;
}

struct counting {
    const struct ce_lane *lane;
    struct ce_route_counts *sum;
};

static int count(void *arg)
{
    const struct counting *want = arg;
    const struct ce_route_counts *counts = &want->lane->counts;
    want->sum->requests += counts->requests;
    want->sum->responses += counts->responses;
    want->sum->errors += counts->errors;
    want->sum->connections += counts->connections;
    want->sum->refused += counts->refused;
    return 0;
}

void ce_route_count(const struct ce_route *route, struct ce_route_counts *ret_counts)
{
    *ret_counts = (struct ce_route_counts){0};
    for (unsigned i = 0; i < route->proxy->worker_count; i++) {
        const struct ce_lane *lane = &route->lanes[i];
        (void)ce_worker_call(lane->worker, count, &(struct counting){lane, ret_counts});
    }
}
