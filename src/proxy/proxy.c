/* SPDX-License-Identifier: MIT */
/* Starting and stopping the proxy: its workers, and what they share. */
#include "proxy/h2/h2.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { WORKERS_MAX = 1024 };

void *ce_lines_new(size_t count, size_t size)
{
    void *lines = aligned_alloc(CE_LINE, count * size);
    return lines ? memset(lines, 0, count * size) : NULL;
}

static void proxy_free(struct ce_proxy *proxy)
{
    if (proxy->resolver)
        ce_resolver_stop(proxy->resolver);
    /* The first one accepts clients for all: when it has ended, no more come to the others. */
    for (unsigned i = 0; i < proxy->worker_count; i++)
        ce_worker_stop(&proxy->workers[i]);
    struct ce_route *route;
    while ((route = SLIST_FIRST(&proxy->routes))) {
        SLIST_REMOVE_HEAD(&proxy->routes, link);
        ce_route_free(route);
    }
    for (unsigned i = 0; i < proxy->worker_count; i++)
        ce_worker_done(&proxy->workers[i]);
    free(proxy->workers);
    pthread_mutex_destroy(&proxy->lock);
    if (proxy->spare >= 0)
        (void)close(proxy->spare);
    free(proxy);
}

/* The processors that this process may run on. */
static unsigned count_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more of them than a set has room for */
    return online > 0 ? (unsigned)online : 1;
}

static int start_workers(struct ce_proxy *proxy, unsigned count)
{
    proxy->resolver = ce_resolver_new();
    proxy->workers = ce_lines_new(count, sizeof *proxy->workers);
    if (!proxy->resolver || !proxy->workers)
        return -ENOMEM;
    while (proxy->worker_count < count)
        CE_TRY(ce_worker_start(&proxy->workers[proxy->worker_count++], proxy));
    proxy->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return proxy->spare < 0 ? -errno : 0;
}

int ce_proxy_start(unsigned workers, struct ce_proxy **ret_proxy, struct ce_error *err)
{
    if (workers == 0)
        workers = count_processors();
    if (workers > WORKERS_MAX)
        return ce_fail(err, EINVAL, "the proxy cannot have %u threads: at most %d", workers,
                       WORKERS_MAX);
    struct ce_proxy *proxy = calloc(1, sizeof *proxy);
    if (!proxy)
        return ce_fail_memory(err);
    proxy->spare = -1;
    pthread_mutex_init(&proxy->lock, NULL);
    int r = start_workers(proxy, workers);
    if (r < 0) {
        proxy_free(proxy);
        return ce_fail(err, -r, "cannot start the proxy: %s", strerror(-r));
    }
    *ret_proxy = proxy;
    return 0;
}

/* ---- draining ---- */

static int drain_listeners(void *arg)
{
    struct ce_proxy *proxy = arg;
    struct ce_route *route;
    pthread_mutex_lock(&proxy->lock);
    SLIST_FOREACH(route, &proxy->routes, link)
    ce_listener_drain(route);
    pthread_mutex_unlock(&proxy->lock);
    return 0;
}

static int drain_clients(void *arg)
{
    struct ce_worker *worker = arg;
    struct ce_proxy *proxy = worker->proxy;
    worker->draining = true;
    struct ce_route *route;
    pthread_mutex_lock(&proxy->lock);
    SLIST_FOREACH(route, &proxy->routes, link)
    {
        struct ce_lane *lane = &route->lanes[worker - proxy->workers];
        struct ce_client *next;
        for (struct ce_client *client = LIST_FIRST(&lane->clients); client; client = next) {
            next = LIST_NEXT(client, link); /* it may close, but no other one */
            ce_client_retire(client);
        }
        struct ce_h2_conn *h2;
        LIST_FOREACH(h2, &lane->h2_clients, entry)
        ce_h2_client_drain(h2);
    }
    pthread_mutex_unlock(&proxy->lock);
    return 0;
}

int ce_proxy_drain(struct ce_proxy *proxy, int64_t timeout_ns)
{
    int64_t deadline = ce_now() + timeout_ns;
    (void)ce_worker_call(&proxy->workers[0], drain_listeners, proxy);
    for (unsigned i = 0; i < proxy->worker_count; i++)
        (void)ce_worker_call(&proxy->workers[i], drain_clients, &proxy->workers[i]);
    int r = 0;
    for (unsigned i = 0; i < proxy->worker_count && r == 0; i++)
        r = ce_worker_await_drained(&proxy->workers[i], deadline);
    return r;
}

void ce_proxy_stop(struct ce_proxy *proxy)
{
    if (proxy)
        proxy_free(proxy);
}
