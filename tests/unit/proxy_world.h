/* SPDX-License-Identifier: MIT */
/* A proxy with one route, between a client and a server that the test plays itself (wire.h). */
#ifndef CE_TESTS_PROXY_WORLD_H
#define CE_TESTS_PROXY_WORLD_H

#include "proxy/proxy.h"
#include "wire.h"

struct world {
    struct ce_proxy *proxy;
    struct ce_route *route;
    struct ce_endpoint upstream;
    int listener; /* the upstream's */
};

/* `timeout_ns`: for the upstream; 0 is the default. 0 or -1. */
static inline int world_open(struct world *world, int64_t timeout_ns)
{
    struct ce_error err;
    *world = (struct world){.upstream = ce_endpoint_loopback(0)};
    world->listener = wire_listen(&world->upstream);
    if (world->listener < 0 || ce_proxy_start(&world->proxy, &err) < 0)
        return -1;
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_endpoint_loopback(0),
        .upstream = world->upstream,
        .id_header = "X-Request-Id",
        .upstream_timeout_ns = timeout_ns,
    };
    return ce_proxy_add_route(world->proxy, &config, &world->route, &err);
}

static inline void world_close(struct world *world)
{
    ce_proxy_stop(world->proxy);
    close(world->listener);
}

static inline int client_open(const struct world *world)
{
    return wire_connect(ce_route_endpoint(world->route));
}

#endif
