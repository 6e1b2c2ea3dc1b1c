/* SPDX-License-Identifier: MIT */
/* The proxy's thread: events, time, and calls from other threads. */
#include "proxy/proxy_internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

enum { EVENTS_MAX = 32 }; /* in one round: few, so that what is due does not wait long */

/* ---- calls ---- */

struct ce_call {
    int (*function)(void *arg);
    void *arg;
    int result;
    bool done;
    STAILQ_ENTRY(ce_call) link;
};

int ce_proxy_call(struct ce_proxy *proxy, int (*function)(void *arg), void *arg)
{
    struct ce_call call = {.function = function, .arg = arg};
    pthread_mutex_lock(&proxy->lock);
    STAILQ_INSERT_TAIL(&proxy->calls, &call, link);
    (void)eventfd_write(proxy->wake.fd, 1);
    while (!call.done)
        pthread_cond_wait(&proxy->called, &proxy->lock);
    pthread_mutex_unlock(&proxy->lock);
    return call.result;
}

static void run_calls(struct ce_proxy *proxy)
{
    eventfd_t ignored;
    (void)eventfd_read(proxy->wake.fd, &ignored);
    pthread_mutex_lock(&proxy->lock);
    struct ce_call *call;
    while ((call = STAILQ_FIRST(&proxy->calls))) {
        STAILQ_REMOVE_HEAD(&proxy->calls, link);
        pthread_mutex_unlock(&proxy->lock);
        int result = call->function(call->arg);
        pthread_mutex_lock(&proxy->lock);
        call->result = result;
        call->done = true;
        pthread_cond_broadcast(&proxy->called);
    }
    pthread_mutex_unlock(&proxy->lock);
}

/* ---- rounds of events ---- */

static void dispatch(struct ce_proxy *proxy, struct ce_conn *conn, unsigned events)
{
    if (conn->fd < 0)
        return; /* closed earlier in this round */
    switch (conn->kind) {
    case CE_CONN_WAKE:
        run_calls(proxy);
        return;
    case CE_CONN_CLOCK:
        proxy->armed = 0;
        return;
    case CE_CONN_LISTENER:
        ce_route_accept(((struct ce_listener *)conn)->route);
        return;
    case CE_CONN_CLIENT:
        ce_conn_note(conn, events);
        ce_client_run((struct ce_client *)conn);
        return;
    case CE_CONN_UPSTREAM:
        ce_upstream_event((struct ce_upstream *)conn, events);
        return;
    }
}

/* Goes on with those who were put off, once each. */
static void run_again(struct ce_proxy *proxy)
{
    const struct ce_client *last = TAILQ_LAST(&proxy->again, ce_client_queue);
    for (bool more = last != NULL; more;) {
        struct ce_client *client = TAILQ_FIRST(&proxy->again);
        more = client != last;
        TAILQ_REMOVE(&proxy->again, client, again);
        client->is_again = false;
        ce_client_run(client);
    }
}

static void set_clock(struct ce_proxy *proxy)
{
    if (proxy->timers.count == 0)
        return;
    int64_t at = proxy->timers.heap[0]->at;
    if (proxy->armed != 0 && proxy->armed <= at)
        return; /* it fires early enough; a round for nothing is cheaper than setting it each time
                 */
    if (at < 1)
        at = 1; /* 0 would stop the clock */
    struct itimerspec spec = {.it_value = {.tv_sec = at / CE_SECOND, .tv_nsec = at % CE_SECOND}};
    if (timerfd_settime(proxy->clock.fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
        proxy->armed = at;
}

static void free_dead(struct ce_proxy *proxy)
{
    struct ce_conn *conn;
    while ((conn = SLIST_FIRST(&proxy->dead))) {
        SLIST_REMOVE_HEAD(&proxy->dead, dead);
        free(conn); /* the first member of whatever it is part of */
    }
}

static void *run(void *arg)
{
    struct ce_proxy *proxy = arg;
    struct epoll_event events[EVENTS_MAX];
    while (!proxy->stopping) {
        set_clock(proxy);
        int n = epoll_wait(proxy->epoll, events, EVENTS_MAX, TAILQ_EMPTY(&proxy->again) ? -1 : 0);
        proxy->now = ce_now();
        for (struct ce_timer *timer; (timer = ce_timers_due(&proxy->timers, proxy->now));)
            ce_client_timer(timer);
        for (int i = 0; i < n; i++)
            dispatch(proxy, events[i].data.ptr, events[i].events);
        run_again(proxy);
        free_dead(proxy);
    }
    return NULL;
}

/* ---- start and stop ---- */

static void proxy_free(struct ce_proxy *proxy)
{
    struct ce_route *route;
    while ((route = SLIST_FIRST(&proxy->routes))) {
        SLIST_REMOVE_HEAD(&proxy->routes, link);
        ce_route_free(route);
    }
    free_dead(proxy);
    free(proxy->timers.heap);
    ce_blocks_done(&proxy->blocks);
    const int fds[] = {proxy->epoll, proxy->wake.fd, proxy->clock.fd, proxy->spare};
    for (size_t i = 0; i < CE_COUNT(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    pthread_mutex_destroy(&proxy->lock);
    pthread_cond_destroy(&proxy->called);
    free(proxy);
}

/* Signals are for the program's other threads. */
static int start_thread(struct ce_proxy *proxy)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(&proxy->thread, NULL, run, proxy);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code == 0)
        (void)pthread_setname_np(proxy->thread, "ce-proxy");
    return -code;
}

static int open_descriptors(struct ce_proxy *proxy)
{
    proxy->epoll = epoll_create1(EPOLL_CLOEXEC);
    proxy->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (proxy->epoll < 0 || proxy->spare < 0 || wake < 0) {
        int code = errno;
        if (wake >= 0)
            (void)close(wake);
        return -code;
    }
    CE_TRY(ce_conn_open(proxy, &proxy->wake, CE_CONN_WAKE, wake));
    int clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (clock < 0)
        return -errno;
    return ce_conn_open(proxy, &proxy->clock, CE_CONN_CLOCK, clock);
}

int ce_proxy_start(struct ce_proxy **ret_proxy, struct ce_error *err)
{
    struct ce_proxy *proxy = calloc(1, sizeof *proxy);
    if (!proxy)
        return ce_fail_memory(err);
    proxy->epoll = proxy->spare = proxy->wake.fd = proxy->clock.fd = -1;
    pthread_mutex_init(&proxy->lock, NULL);
    pthread_cond_init(&proxy->called, NULL);
    STAILQ_INIT(&proxy->calls);
    TAILQ_INIT(&proxy->again);
    int r = open_descriptors(proxy);
    if (r >= 0)
        r = start_thread(proxy);
    if (r < 0) {
        proxy_free(proxy);
        return ce_fail(err, -r, "cannot start the proxy: %s", strerror(-r));
    }
    *ret_proxy = proxy;
    return 0;
}

static int stop(void *arg)
{
    ((struct ce_proxy *)arg)->stopping = true;
    return 0;
}

void ce_proxy_stop(struct ce_proxy *proxy)
{
    if (!proxy)
        return;
    (void)ce_proxy_call(proxy, stop, proxy);
    pthread_join(proxy->thread, NULL);
    proxy_free(proxy);
}
