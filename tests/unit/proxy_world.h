/* SPDX-License-Identifier: MIT */
/* A proxy with one route, between a client and a server that the test plays itself (wire.h). */
#ifndef CE_TESTS_PROXY_WORLD_H
#define CE_TESTS_PROXY_WORLD_H

#include "base/cleanup.h"
#include "check.h"
#include "proxy/proxy.h"
#include "wire.h"

static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct world {
    struct ce_proxy *proxy;
    struct ce_route *route;
    struct ce_endpoint upstream;
    int listener; /* the upstream's */
};

/* `timeout_ns`: for the upstream; 0 is the default. 0 or -1. */
static inline int world_open(struct world *world, unsigned workers, int64_t timeout_ns)
{
    struct ce_error err;
    *world = (struct world){.upstream = ce_endpoint_loopback(0)};
    world->listener = wire_listen(&world->upstream);
    if (world->listener < 0 || ce_proxy_start(workers, &world->proxy, &err) < 0)
        return -1;
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_endpoint_loopback(0),
        .upstream = world->upstream,
        .id_header = "X-Request-Id",
        .upstream_timeout_ns = timeout_ns,
        .mark = true,
    };
    return ce_proxy_add_route(world->proxy, &config, &world->route, &err);
}

/* May be called twice. */
static inline void world_close(struct world *world)
{
    ce_proxy_stop(ce_take(world->proxy));
    if (world->listener >= 0)
        close(ce_take_fd(world->listener));
}
#define WORLD_OF(workers, name, timeout_ns)                                                        \
    CE_CLEANUP(world_close) struct world name;                                                     \
    REQUIRE(world_open(&name, workers, timeout_ns) == 0)
#define WORLD(name, timeout_ns) WORLD_OF(1, name, timeout_ns)

static inline int client_open(const struct world *world)
{
    return wire_connect(ce_route_endpoint(world->route));
}

/* ---- the two halves of an exchange; `..._as`: something else arrives than what was sent ---- */

/* Sends a request, which arrives over a new connection; that connection. */
static inline int forward_as(const struct world *world, int client, const char *request,
                             const char *sent_on)
{
    CHECK(wire_send(client, request));
    int server = wire_accept(world->listener);
    CHECK(wire_gets(server, sent_on));
    return server;
}

static inline int forward(const struct world *world, int client, const char *request)
{
    return forward_as(world, client, request, request);
}

static inline void reply_as(int server, int client, const char *response, const char *returned)
{
    CHECK(wire_send(server, response));
    CHECK(wire_gets(client, returned));
}

static inline void reply(int server, int client, const char *response)
{
    reply_as(server, client, response, response);
}

/* One whole exchange on open connections; *server is opened when it is -1. */
static inline void pass(const struct world *world, int client, int *server, const char *request,
                        const char *response, const char *returned)
{
    CHECK(wire_send(client, request));
    if (*server < 0)
        *server = wire_accept(world->listener);
    CHECK(wire_gets(*server, request));
    reply_as(*server, client, response, returned);
}

#endif
