/* SPDX-License-Identifier: MIT */
/* What the worlds of data_world.h and model_world.h have in common: a fault that is injected and
 * taken out again, and a server behind the real proxy. */
#ifndef CE_TESTS_FAULT_WORLD_H
#define CE_TESTS_FAULT_WORLD_H

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "check.h"
#include "faults/traffic.h"
#include "net/http1.h"

#define PATH "/v2/models/churn/infer"

/* ---- a server that answers everything alike, a connection for each ---- */

struct server {
    const char *status, *fields;
    const char *body; /* NULL: the request's own */
    unsigned workers; /* of the proxy; 0: one */

    bool running; /* from here on server_start() fills it */
    struct ce_endpoint endpoint;
    int fd;
    pthread_t thread;
    struct ce_proxy *proxy; /* before the server, with one route */
};

static inline void server_answer(const struct server *server, int fd)
{
    char data[8192];
    size_t size = 0, gone = 0; /* gone: of a body that is too large for `data` */
    for (ssize_t n; (n = recv(fd, data + size, sizeof data - size, 0)) > 0;) {
        struct ce_http_head head;
        size += (size_t)n;
        if (ce_http_parse_request(data, size, &head, NULL) != 1)
            continue;
        if (gone + size < head.size + head.length) {
            gone += size == sizeof data ? size - head.size : 0;
            size = size == sizeof data ? head.size : size;
            continue;
        }
        const char *body = server->body ? server->body : data + head.size;
        size_t length = server->body ? strlen(server->body) : (size_t)head.length;
        dprintf(fd, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n%.*s",
                server->status, length, server->fields, (int)length, body);
        return;
    }
}

static inline void *server_run(void *arg)
{
    const struct server *server = arg;
    for (;;) {
        struct pollfd wait = {.fd = server->fd, .events = POLLIN};
        (void)poll(&wait, 1, -1);
        ce_autofd int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno == EINVAL)
            return NULL; /* shut down */
        if (fd >= 0)
            server_answer(server, fd);
    }
}

static inline int server_start(struct server *server, const char *route,
                               struct ce_route **ret_route, struct ce_error *err)
{
    server->endpoint = ce_endpoint_loopback(0);
    server->fd = ce_endpoint_listen(&server->endpoint, err);
    CE_TRY(server->fd);
    if (pthread_create(&server->thread, NULL, server_run, server) != 0)
        exit(99);
    server->running = true;
    CE_TRY(ce_proxy_start(server->workers > 0 ? server->workers : 1, &server->proxy, err));
    struct ce_route_config config = {
        .name = route,
        .listen = ce_endpoint_loopback(0),
        .upstream = server->endpoint,
        .id_header = "X-Request-Id",
    };
    return ce_proxy_add_route(server->proxy, &config, ret_route, err);
}

static inline void server_stop(struct server *server)
{
    if (!server->running)
        return;
    ce_proxy_stop(server->proxy);
    (void)shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    (void)close(server->fd);
}

/* ---- the fault ---- */

/* Prepares it; `assignments`: "name=value", or "name=a,b" for lists, up to NULL. */
static inline int injection_arm(struct ce_injection *injection, const struct ce_target *target,
                                struct ce_journal *journal, const char *fault_name,
                                const char *const *assignments, struct ce_error *err)
{
    const struct ce_fault *fault = ce_fault_find(fault_name);
    void *params = calloc(1, fault->params_size);
    *injection = (struct ce_injection){
        .fault = fault,
        .params = params,
        .state = calloc(1, fault->state_size),
        .target = target,
        .journal = journal,
        .seed = 42,
        .duration = 2 * CE_SECOND,
    };
    CE_TRY(ce_params_init(fault->params, params, err));
    for (; *assignments; assignments++) {
        char name[64];
        const char *value = strchr(*assignments, '=') + 1;
        snprintf(name, sizeof name, "%.*s", (int)(value - 1 - *assignments), *assignments);
        CE_TRY(ce_param_set(ce_param_find(fault->params, name), params, value, err));
    }
    return 0;
}

/* Takes it out, twice: that must do no harm. */
static inline int injection_revert(struct ce_injection *injection, struct ce_error *err)
{
    CE_TRY(injection->fault->revert(injection, err));
    return injection->fault->revert(injection, err);
}

/* Takes it out and gives it up, so that another may be injected. */
static inline void injection_forget(struct ce_injection *injection)
{
    void *params = (void *)injection->params;
    if (injection->fault) {
        (void)injection->fault->revert(injection, NULL);
        ce_params_done(injection->fault->params, params);
    }
    free(params);
    free(injection->state);
    *injection = (struct ce_injection){0};
}

static inline struct ce_fault_counts injection_counts(const struct ce_injection *injection)
{
    struct ce_fault_counts counts;
    injection->fault->count(injection, &counts);
    return counts;
}

#endif
