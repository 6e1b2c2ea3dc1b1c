/* SPDX-License-Identifier: MIT */
/* A worker's thread: events, time, and calls from other threads. */
#include "proxy/h2/h2.h"

#include <signal.h>
#include <stdlib.h>
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
    bool posted; /* nobody waits for it */
    bool done;
    STAILQ_ENTRY(ce_call) link;
};

/* Under the lock. */
static void call_add(struct ce_worker *worker, struct ce_call *call)
{
    bool is_first = STAILQ_EMPTY(&worker->calls);
    STAILQ_INSERT_TAIL(&worker->calls, call, link);
    if (is_first)
        (void)eventfd_write(worker->wake.fd, 1);
}

int ce_worker_call(struct ce_worker *worker, int (*function)(void *arg), void *arg)
{
    struct ce_call call = {.function = function, .arg = arg};
    pthread_mutex_lock(&worker->lock);
    call_add(worker, &call);
    while (!call.done)
        pthread_cond_wait(&worker->called, &worker->lock);
    pthread_mutex_unlock(&worker->lock);
    return call.result;
}

int ce_worker_post(struct ce_worker *worker, int (*function)(void *arg), void *arg)
{
    struct ce_call *call = malloc(sizeof *call);
    if (!call)
        return -ENOMEM;
    *call = (struct ce_call){.function = function, .arg = arg, .posted = true};
    pthread_mutex_lock(&worker->lock);
    call_add(worker, call);
    pthread_mutex_unlock(&worker->lock);
    return 0;
}

static void run_calls(struct ce_worker *worker)
{
    eventfd_t ignored;
    (void)eventfd_read(worker->wake.fd, &ignored);
    pthread_mutex_lock(&worker->lock);
    struct ce_call *call;
    while ((call = STAILQ_FIRST(&worker->calls))) {
        STAILQ_REMOVE_HEAD(&worker->calls, link);
        pthread_mutex_unlock(&worker->lock);
        int result = call->function(call->arg);
        pthread_mutex_lock(&worker->lock);
        if (call->posted) {
            free(call);
            continue;
        }
        call->result = result;
        call->done = true;
        pthread_cond_broadcast(&worker->called);
    }
    pthread_mutex_unlock(&worker->lock);
}

/* ---- rounds of events ---- */

static void dispatch(struct ce_worker *worker, struct ce_conn *conn, unsigned events)
{
    if (conn->fd < 0)
        return; /* closed earlier in this round */
    switch (conn->kind) {
    case CE_CONN_WAKE:
        run_calls(worker);
        return;
    case CE_CONN_CLOCK:
        worker->armed = 0;
        return;
    case CE_CONN_LISTENER:
        ce_listener_accept((struct ce_listener *)conn);
        return;
    case CE_CONN_CLIENT:
        ce_conn_note(conn, events);
        ce_client_run((struct ce_client *)conn);
        return;
    case CE_CONN_UPSTREAM:
        ce_upstream_event((struct ce_upstream *)conn, events);
        return;
    case CE_CONN_H2:
        ce_h2_event(conn, events);
        return;
    }
}

/* Goes on with those who were put off, once each. */
static void run_again(struct ce_worker *worker)
{
    const struct ce_client *last = TAILQ_LAST(&worker->again, ce_client_queue);
    for (bool more = last != NULL; more;) {
        struct ce_client *client = TAILQ_FIRST(&worker->again);
        more = client != last;
        TAILQ_REMOVE(&worker->again, client, again);
        client->is_again = false;
        ce_client_run(client);
    }
}

static void set_clock(struct ce_worker *worker)
{
    if (worker->timers.count == 0)
        return;
    int64_t at = worker->timers.heap[0]->at;
    if (worker->armed != 0 && worker->armed <= at)
        return; /* it fires early enough; a round for nothing is cheaper than setting it each time
                 */
    if (at < 1)
        at = 1; /* 0 would stop the clock */
    struct itimerspec spec = {.it_value = {.tv_sec = at / CE_SECOND, .tv_nsec = at % CE_SECOND}};
    if (timerfd_settime(worker->clock.fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
        worker->armed = at;
}

static void free_dead(struct ce_worker *worker)
{
    struct ce_conn *conn;
    while ((conn = SLIST_FIRST(&worker->dead))) {
        SLIST_REMOVE_HEAD(&worker->dead, dead);
        free(conn); /* the first member of whatever it is part of */
    }
}

static void note_drained(struct ce_worker *worker)
{
    if (!worker->draining || worker->client_count > 0)
        return;
    pthread_mutex_lock(&worker->lock);
    worker->drained = true;
    pthread_cond_broadcast(&worker->called);
    pthread_mutex_unlock(&worker->lock);
}

int ce_worker_await_drained(struct ce_worker *worker, int64_t deadline)
{
    const struct timespec until = {.tv_sec = deadline / CE_SECOND, .tv_nsec = deadline % CE_SECOND};
    int code = 0;
    pthread_mutex_lock(&worker->lock);
    while (!worker->drained && code == 0)
        code = pthread_cond_timedwait(&worker->called, &worker->lock, &until);
    bool drained = worker->drained;
    pthread_mutex_unlock(&worker->lock);
    return drained ? 0 : -ETIMEDOUT;
}

static void *run(void *arg)
{
    struct ce_worker *worker = arg;
    struct epoll_event events[EVENTS_MAX];
    while (!worker->stopping) {
        set_clock(worker);
        bool waits = TAILQ_EMPTY(&worker->again) && TAILQ_EMPTY(&worker->h2);
        int n = epoll_wait(worker->epoll, events, EVENTS_MAX, waits ? -1 : 0);
        worker->now = ce_now();
        for (struct ce_timer *timer; (timer = ce_timers_due(&worker->timers, worker->now));)
            timer->fire(timer);
        for (int i = 0; i < n; i++)
            dispatch(worker, events[i].data.ptr, events[i].events);
        run_again(worker);
        ce_h2_run(worker);
        note_drained(worker);
        free_dead(worker);
    }
    return NULL;
}

/* ---- start and stop ---- */

/* Signals are for the program's other threads. */
static int start_thread(struct ce_worker *worker)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code == 0)
        (void)pthread_setname_np(worker->thread, "ce-proxy");
    worker->started = code == 0;
    return -code;
}

static int open_descriptors(struct ce_worker *worker)
{
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll < 0)
        return -errno;
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0)
        return -errno;
    CE_TRY(ce_conn_open(worker, &worker->wake, CE_CONN_WAKE, wake));
    int clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (clock < 0)
        return -errno;
    return ce_conn_open(worker, &worker->clock, CE_CONN_CLOCK, clock);
}

int ce_worker_start(struct ce_worker *worker, struct ce_proxy *proxy)
{
    worker->proxy = proxy;
    worker->epoll = worker->wake.fd = worker->clock.fd = -1;
    pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->called, &attr);
    pthread_condattr_destroy(&attr);
    STAILQ_INIT(&worker->calls);
    TAILQ_INIT(&worker->again);
    TAILQ_INIT(&worker->h2);
    CE_TRY(open_descriptors(worker));
    return start_thread(worker);
}

static int stop(void *arg)
{
    ((struct ce_worker *)arg)->stopping = true;
    return 0;
}

void ce_worker_stop(struct ce_worker *worker)
{
    if (!worker->started)
        return;
    (void)ce_worker_call(worker, stop, worker);
    pthread_join(worker->thread, NULL);
    worker->started = false;
}

void ce_worker_done(struct ce_worker *worker)
{
    free_dead(worker);
    free(worker->timers.heap);
    ce_blocks_done(&worker->blocks);
    const int fds[] = {worker->epoll, worker->wake.fd, worker->clock.fd};
    for (size_t i = 0; i < CE_COUNT(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    pthread_mutex_destroy(&worker->lock);
    pthread_cond_destroy(&worker->called);
}
