/* SPDX-License-Identifier: MIT */
/* A route's listening socket: it belongs to the first worker, which deals the clients out to all.
 *
 * When descriptors run out, a spare one is given up to accept and close the next client: it would
 * else be reported for ever, and wait without an answer. Where even that fails, nothing is accepted
 * for a moment. Both end by themselves. */
#include "proxy/h2/h2.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { ACCEPT_MAX = 64 }; /* clients of one route before others come first */

#define RETRY_NS (100 * CE_MILLISECOND)
#define EPISODE_NS                                                                                 \
    (10 * CE_SECOND) /* without a refusal: the next one is worth a line in the log                 \
                      */

/* A peer that vanished without a word is found out after two minutes. Clients inherit it. */
static void watch_for_the_dead(int fd)
{
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){60}, sizeof(int));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){10}, sizeof(int));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){6}, sizeof(int));
}

/* ---- accepting ---- */

static void listener_watch(struct ce_listener *listener, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = &listener->conn};
    (void)epoll_ctl(listener->route->proxy->workers[0].epoll, EPOLL_CTL_MOD, listener->conn.fd,
                    &event);
}

static void accept_again(struct ce_timer *timer)
{
    listener_watch(
        (struct ce_listener *)(void *)((char *)timer - offsetof(struct ce_listener, retry)),
        EPOLLIN);
}

static void pause_accepting(struct ce_listener *listener)
{
    struct ce_worker *worker = &listener->route->proxy->workers[0];
    listener->retry.fire = accept_again;
    if (ce_timer_set(&worker->timers, &listener->retry, worker->now + RETRY_NS) == 0)
        listener_watch(listener, 0);
}

/* False: there is not even a descriptor for that. */
static bool refuse_client(struct ce_listener *listener)
{
    struct ce_proxy *proxy = listener->route->proxy;
    if (proxy->spare < 0)
        proxy->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (proxy->spare < 0)
        return false;
    (void)close(proxy->spare);
    int fd = accept4(listener->conn.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    proxy->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

static void note_refusal(struct ce_route *route)
{
    int64_t now = route->proxy->workers[0].now;
    if (route->refused_at == 0 || now - route->refused_at > EPISODE_NS)
        ce_log("route '%s': out of file descriptors; clients are refused until some are free",
               route->name);
    route->refused_at = now;
}

/* Clients are dealt out in turn. */
static void hand_over(struct ce_route *route, int fd)
{
    uint64_t number = ++route->accepted;
    unsigned turn = (unsigned)((number - 1) % route->proxy->worker_count);
    struct ce_client *client = ce_client_new(&route->lanes[turn], fd, number);
    if (client && turn == 0) {
        (void)ce_client_start(client);
    } else if (!client || ce_worker_post(client->lane->worker, ce_client_start, client) < 0) {
        free(client);
        (void)close(fd);
        route->lanes[0].counts.refused++;
    }
}

void ce_listener_accept(struct ce_listener *listener)
{
    struct ce_route *route = listener->route;
    for (int i = 0; i < ACCEPT_MAX; i++) {
        int fd = accept4(listener->conn.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_over(route, fd);
            continue;
        }
        if (errno == EAGAIN)
            return;
        bool out_of_descriptors = errno == EMFILE || errno == ENFILE;
        if (out_of_descriptors)
            note_refusal(route);
        if (out_of_descriptors && refuse_client(listener)) {
            route->lanes[0].counts.refused++;
        } else if (out_of_descriptors || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(listener);
            return;
        } /* else that one client has gone already */
    }
}

/* ---- opening and closing ---- */

int ce_listener_open(struct ce_route *route, int fd)
{
    struct ce_listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        (void)close(fd);
        return -ENOMEM;
    }
    if (route->listen.address.ss_family != AF_UNIX)
        watch_for_the_dead(fd);
    int r = ce_conn_open(&route->proxy->workers[0], &listener->conn, CE_CONN_LISTENER, fd);
    if (r < 0) {
        free(listener);
        return r;
    }
    listener->route = route;
    route->listener = listener;
    return 0;
}

static void listener_close(struct ce_route *route)
{
    struct ce_worker *worker = &route->proxy->workers[0];
    ce_timer_clear(&worker->timers, &route->listener->retry);
    ce_conn_close(worker, &route->listener->conn);
    route->listener = NULL;
}

void ce_listener_done(struct ce_route *route)
{
    if (!route->listener && route->held < 0)
        return;
    if (route->listener)
        listener_close(route);
    if (route->held >= 0)
        (void)close(route->held);
    route->held = -1;
    if (route->listen.address.ss_family == AF_UNIX)
        (void)unlink(((struct sockaddr_un *)&route->listen.address)->sun_path);
}

void ce_listener_drain(struct ce_route *route)
{
    if (route->listener)
        ce_listener_accept(route->listener); /* those who wait already are served */
    ce_listener_done(route);
}

struct listening {
    struct ce_route *route;
    struct ce_error *err;
};

static int listening_stop(void *arg)
{
    const struct listening *want = arg;
    struct ce_route *route = want->route;
    if (!route->listener)
        return 0;
    listener_close(route);
    /* Without this another program might be given the port meanwhile. If it fails, that is all that
     * is lost. */
    route->held = ce_endpoint_bind(&route->listen, NULL);
    return 0;
}

static int drop_clients(void *arg)
{
    struct ce_lane *lane = arg;
    struct ce_client *client;
    while ((client = LIST_FIRST(&lane->clients)))
        ce_client_reset(client);
    struct ce_h2_conn *h2;
    while ((h2 = LIST_FIRST(&lane->h2_clients)))
        ce_h2_client_reset(h2);
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
    int r = ce_listener_open(route, fd);
    return r < 0 ? ce_fail(want->err, -r, "cannot watch route '%s': %s", route->name, strerror(-r))
                 : 0;
}

int ce_route_listening(struct ce_route *route, bool listening, bool drop_existing,
                       struct ce_error *err)
{
    struct ce_proxy *proxy = route->proxy;
    pthread_mutex_lock(&route->changing);
    int r = ce_worker_call(&proxy->workers[0], listening ? listening_start : listening_stop,
                           &(struct listening){route, err});
    for (unsigned i = 0; !listening && drop_existing && i < proxy->worker_count; i++)
        (void)ce_worker_call(&proxy->workers[i], drop_clients, &route->lanes[i]);
    pthread_mutex_unlock(&route->changing);
    return r;
}
