/* SPDX-License-Identifier: MIT */
/* What bench/proxy.sh runs: an origin server, and the proxy in front of one.
 *
 *     proxy_bench port                       prints a free port
 *     proxy_bench origin PORT                answers every request with 1 KiB of JSON
 *     proxy_bench proxy PORT ORIGIN          no rule armed
 *     proxy_bench inspect PORT ORIGIN        one rule that reads every response's body and changes
 * nothing proxy_bench delay PORT ORIGIN MS       one rule that holds every request back
 *
 * Serves until it is killed. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/proxy.h"

enum { BODY_SIZE = 1024 };

static int fail(const struct ce_error *err)
{
    fprintf(stderr, "proxy_bench: %s\n", err->message);
    return 1;
}

/* Requests have no body and come one at a time, so one read is one request. */
static int serve_origin(int port)
{
    struct ce_endpoint endpoint = ce_endpoint_loopback(port);
    struct ce_error err;
    int listener = ce_endpoint_listen(&endpoint, &err);
    if (listener < 0)
        return fail(&err);
    char response[BODY_SIZE + 256];
    int head = snprintf(response, sizeof response,
                        "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: "
                        "application/json\r\nContent-Length: %d\r\n"
                        "\r\n",
                        BODY_SIZE);
    memset(response + head, ' ', BODY_SIZE);
    memcpy(response + head, "{\"outputs\":[{\"name\":\"probability\",\"data\":[0.5]}]}", 50);
    size_t size = (size_t)head + BODY_SIZE;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char request[4096];
            if (fd == listener) {
                event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (event.data.fd >= 0)
                    epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
            } else if (recv(fd, request, sizeof request, 0) <= 0 ||
                       send(fd, response, size, MSG_NOSIGNAL) != (ssize_t)size) {
                close(fd);
            }
        }
    }
}

static void inspect(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    if (memmem(exchange->body, exchange->body_size, "\"no such name\"", 14))
        action->kind = CE_ACT_RESET;
}

static void delay(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    action->delay_ns = *(const int64_t *)ctx;
}

static int serve_proxy(int port, int origin, const struct ce_hook *hook, int64_t delay_ns)
{
    struct ce_proxy *proxy;
    struct ce_route *route;
    struct ce_rule *rule;
    struct ce_error err;
    const struct ce_route_config config = {
        .name = "bench",
        .listen = ce_endpoint_loopback(port),
        .upstream = ce_endpoint_loopback(origin),
        .id_header = "X-Request-Id",
    };
    if (ce_proxy_start(&proxy, &err) < 0 || ce_proxy_add_route(proxy, &config, &route, &err) < 0)
        return fail(&err);
    if (hook && ce_route_arm(route, hook, &delay_ns, &rule, &err) < 0)
        return fail(&err);
    for (;;)
        pause();
}

static int print_port(void)
{
    struct ce_endpoint endpoint = ce_endpoint_loopback(0);
    struct ce_error err;
    int fd = ce_endpoint_listen(&endpoint, &err);
    if (fd < 0)
        return fail(&err);
    char text[64];
    ce_endpoint_text(&endpoint, text, sizeof text);
    puts(strrchr(text, ':') + 1);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct ce_hook inspecting = {.wants = CE_HOOK_RESPONSE_BODY,
                                              .on_response = inspect};
    static const struct ce_hook delaying = {.on_request = delay};
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "port") == 0)
        return print_port();
    if (strcmp(what, "origin") == 0 && argc == 3)
        return serve_origin(atoi(argv[2]));
    if (strcmp(what, "proxy") == 0 && argc == 4)
        return serve_proxy(atoi(argv[2]), atoi(argv[3]), NULL, 0);
    if (strcmp(what, "inspect") == 0 && argc == 4)
        return serve_proxy(atoi(argv[2]), atoi(argv[3]), &inspecting, 0);
    if (strcmp(what, "delay") == 0 && argc == 5)
        return serve_proxy(atoi(argv[2]), atoi(argv[3]), &delaying, atoi(argv[4]) * CE_MILLISECOND);
    fprintf(stderr, "usage: proxy_bench port | origin PORT | proxy|inspect PORT ORIGIN | delay "
                    "PORT ORIGIN MS\n");
    return 2;
}
