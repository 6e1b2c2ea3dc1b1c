/* SPDX-License-Identifier: MIT */
/* Routes: a listening socket, an upstream, and what belongs to them. */
#include "proxy/proxy_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum { ACCEPT_MAX = 64 }; /* clients of one route before others come first */

static int listener_open(struct ce_route *route, int fd)
{
    struct ce_listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        (void)close(fd);
        return -ENOMEM;
    }
    int r = ce_conn_open(route->proxy, &listener->conn, CE_CONN_LISTENER, fd);
    if (r < 0) {
        free(listener);
        return r;
    }
    listener->route = route;
    route->listener = listener;
    return 0;
}

/* Out of descriptors: the one kept for this is given up to refuse a client, who would else stay in
 * the queue, and the event loop spin. False: not even that. */
static bool refuse_client(struct ce_proxy *proxy, int listener)
{
    if (proxy->spare < 0)
        return false;
    (void)close(proxy->spare);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    proxy->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

void ce_route_accept(struct ce_route *route)
{
    for (int i = 0; i < ACCEPT_MAX; i++) {
        int listener = route->listener->conn.fd;
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (ce_client_new(route, fd))
                route->counts.connections++;
        } else if (errno == EMFILE || errno == ENFILE) {
            if (!refuse_client(route->proxy, listener))
                return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

void ce_route_free(struct ce_route *route)
{
    struct ce_client *client;
    while ((client = LIST_FIRST(&route->clients)))
        ce_client_close(client);
    ce_pool_close(route);
    if (route->listener)
        ce_conn_close(route->proxy, &route->listener->conn);
    if (route->held >= 0)
        (void)close(route->held);
    if (route->listen.address.ss_family == AF_UNIX && (route->listener || route->held >= 0))
        (void)unlink(((struct sockaddr_un *)&route->listen.address)->sun_path);
    free(route->name);
    free(route->id_header);
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
    CE_TRY(listener_open(add->route, add->fd));
    SLIST_INSERT_HEAD(&add->proxy->routes, add->route, link);
    return 0;
}

static int route_new(struct ce_proxy *proxy, const struct ce_route_config *config,
                     struct ce_route **ret_route, struct ce_error *err)
{
    struct ce_route *route = calloc(1, sizeof *route);
    if (!route)
        return ce_fail_memory(err);
    *route = (struct ce_route){
        .proxy = proxy,
        .name = strdup(config->name),
        .id_header = config->id_header ? strdup(config->id_header) : NULL,
        .listen = config->listen,
        .upstream = config->upstream,
        .timeout_ns =
            config->upstream_timeout_ns > 0 ? config->upstream_timeout_ns : 30 * CE_SECOND,
        .held = -1,
    };
    TAILQ_INIT(&route->rules);
    if (!route->name || (config->id_header && !route->id_header)) {
        ce_route_free(route);
        return ce_fail_memory(err);
    }
    *ret_route = route;
    return 0;
}

int ce_proxy_add_route(struct ce_proxy *proxy, const struct ce_route_config *config,
                       struct ce_route **ret_route, struct ce_error *err)
{
    struct ce_route *route = NULL;
    CE_TRY(route_new(proxy, config, &route, err));
    int fd = ce_endpoint_listen(&route->listen, err);
    int r = fd;
    if (fd >= 0) {
        r = ce_proxy_call(proxy, route_insert, &(struct route_add){proxy, route, fd});
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

struct listening {
    struct ce_route *route;
    bool drop_existing;
    struct ce_error *err;
};

static int listening_stop(void *arg)
{
    const struct listening *want = arg;
    struct ce_route *route = want->route;
    if (route->listener) {
        ce_conn_close(route->proxy, &route->listener->conn);
        route->listener = NULL;
        /* Without this another program might be given the port meanwhile. If it fails, that is all
         * that is lost. */
        route->held = ce_endpoint_bind(&route->listen, NULL);
    }
    struct ce_client *client;
    while (want->drop_existing && (client = LIST_FIRST(&route->clients)))
        ce_client_reset(client);
    return 0;
}

static int listening_start(void *arg)
{
    const struct listening *want = arg;
    struct ce_route *route = want->route;
    if (route->listener)
        return 0;
    int fd = route->held;
    route->held = -1;
    if (fd >= 0 && listen(fd, SOMAXCONN) < 0) {
        (void)close(fd);
        fd = -1;
    }
    if (fd < 0)
        fd = ce_endpoint_listen(&route->listen, want->err);
    if (fd < 0)
        return fd;
    int r = listener_open(route, fd);
    return r < 0 ? ce_fail(want->err, -r, "cannot watch route '%s': %s", route->name, strerror(-r))
                 : 0;
}

int ce_route_listening(struct ce_route *route, bool listening, bool drop_existing,
                       struct ce_error *err)
{
    return ce_proxy_call(route->proxy, listening ? listening_start : listening_stop,
                         &(struct listening){route, drop_existing, err});
}

struct counting {
    const struct ce_route *route;
    struct ce_route_counts *counts;
};

static int count(void *arg)
{
    const struct counting *want = arg;
    *want->counts = want->route->counts;
    return 0;
}

void ce_route_count(const struct ce_route *route, struct ce_route_counts *ret_counts)
{
    (void)ce_proxy_call(route->proxy, count, &(struct counting){route, ret_counts});
}
