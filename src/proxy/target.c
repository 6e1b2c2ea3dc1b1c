/* SPDX-License-Identifier: MIT */
/* Where requests of a lane may be sent: the upstream's addresses, and how they are found again.
 *
 * A name is looked up when its route is added. When no address of it can be connected to, it is
 * looked up once more, by a thread that the proxy keeps for that: an event loop must not wait. The
 * clients wait in CE_STAGE_FORWARD meanwhile. */
#include "proxy/h2/h2.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* An upstream that is down must not make a look-up of every request. */
#define ASK_AFTER_NS CE_SECOND

/* ---- the thread that looks names up ---- */

struct question {
    struct ce_target *target;
    struct ce_endpoint endpoint;
    struct ce_addresses addresses;
    int result;
    struct ce_error err;
    STAILQ_ENTRY(question) link;
};

/* A look-up may outlive the proxy, which cannot cut it short: so the thread is detached, and the
 * last of the two frees this. */
struct ce_resolver {
    pthread_mutex_t lock;
    pthread_cond_t asked;
    STAILQ_HEAD(, question) questions;
    bool running, stopped;
};

struct ce_resolver *ce_resolver_new(void)
{
    struct ce_resolver *resolver = calloc(1, sizeof *resolver);
    if (!resolver)
        return NULL;
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->asked, NULL);
    STAILQ_INIT(&resolver->questions);
    return resolver;
}

static void resolver_free(struct ce_resolver *resolver)
{
    pthread_mutex_destroy(&resolver->lock);
    pthread_cond_destroy(&resolver->asked);
    free(resolver);
}

static int answer(void *arg);

static void *run(void *arg)
{
    struct ce_resolver *resolver = arg;
    pthread_mutex_lock(&resolver->lock);
    while (!resolver->stopped) {
        struct question *question = STAILQ_FIRST(&resolver->questions);
        if (!question) {
            pthread_cond_wait(&resolver->asked, &resolver->lock);
            continue;
        }
        STAILQ_REMOVE_HEAD(&resolver->questions, link);
        pthread_mutex_unlock(&resolver->lock);
        question->result =
            ce_endpoint_resolve(&question->endpoint, &question->addresses, &question->err);
        pthread_mutex_lock(&resolver->lock);
        /* Under the lock: the worker is there as long as the proxy has not stopped. */
        if (resolver->stopped ||
            ce_worker_post(question->target->lane->worker, answer, question) < 0)
            free(question);
    }
    pthread_mutex_unlock(&resolver->lock);
    resolver_free(resolver);
    return NULL;
}

/* Signals are for the program's other threads. */
static bool start_thread(struct ce_resolver *resolver)
{
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(&thread, NULL, run, resolver) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (started) {
        (void)pthread_setname_np(thread, "ce-resolver");
        pthread_detach(thread);
    }
    return started;
}

void ce_resolver_stop(struct ce_resolver *resolver)
{
    pthread_mutex_lock(&resolver->lock);
    resolver->stopped = true;
    struct question *question;
    while ((question = STAILQ_FIRST(&resolver->questions))) {
        STAILQ_REMOVE_HEAD(&resolver->questions, link);
        free(question);
    }
    bool running = resolver->running;
    pthread_cond_signal(&resolver->asked);
    pthread_mutex_unlock(&resolver->lock);
    if (!running)
        resolver_free(resolver);
}

static bool ask(struct ce_resolver *resolver, struct question *question)
{
    pthread_mutex_lock(&resolver->lock);
    if (!resolver->running && !resolver->stopped)
        resolver->running = start_thread(resolver);
    bool asked = resolver->running && !resolver->stopped;
    if (asked) {
        STAILQ_INSERT_TAIL(&resolver->questions, question, link);
        pthread_cond_signal(&resolver->asked);
    }
    pthread_mutex_unlock(&resolver->lock);
    return asked;
}

/* ---- targets ---- */

bool ce_target_ask(struct ce_target *target)
{
    struct ce_worker *worker = target->lane->worker;
    if (target->asking)
        return true;
    if (target->endpoint.name[0] == '\0' || worker->now - target->asked < ASK_AFTER_NS)
        return false;
    struct question *question = calloc(1, sizeof *question);
    if (!question)
        return false;
    question->target = target;
    question->endpoint = target->endpoint;
    target->asking = ask(worker->proxy->resolver, question);
    if (!target->asking)
        free(question);
    return target->asking;
}

/* The look-up is done: whoever waited for it tries again, or hears why that is of no use. */
static int answer(void *arg)
{
    struct question *question = arg;
    struct ce_target *target = question->target;
    target->asking = false;
    target->asked = target->lane->worker->now;
    if (question->result >= 0) {
        target->addresses = question->addresses;
        target->first = 0;
    }
    struct ce_client *next;
    for (struct ce_client *client = LIST_FIRST(&target->lane->clients); client; client = next) {
        next = LIST_NEXT(client, link); /* it may close, but no other one */
        if (client->waits_for_name && client->target == target)
            ce_request_found(client, question->result, &question->err);
    }
    ce_h2_upstream_found(target, question->result);
    free(question);
    return 0;
}

int ce_target_connect(struct ce_target *target, struct ce_conn *conn)
{
    struct ce_error err;
    int r = ce_conn_connect(conn, &err);
    if (r < 0 && conn->tls)
        snprintf(target->refusal, sizeof target->refusal, "%.*s", (int)sizeof target->refusal - 1,
                 err.message);
    return r;
}

const char *ce_target_refusal(const struct ce_target *target, int code)
{
    return target->refusal[0] != '\0' ? target->refusal : strerror(code);
}

void ce_target_init(struct ce_target *target, struct ce_lane *lane,
                    const struct ce_endpoint *endpoint)
{
    *target = (struct ce_target){.lane = lane, .endpoint = *endpoint};
    (void)ce_tls_hold(endpoint->tls);
    if (endpoint->name[0] == '\0')
        (void)ce_endpoint_resolve(endpoint, &target->addresses, NULL);
    else
        target->asked = -ASK_AFTER_NS;
}

struct ce_target *ce_target_find(struct ce_lane *lane, const struct ce_endpoint *endpoint)
{
    if (ce_endpoint_same(&lane->target.endpoint, endpoint))
        return &lane->target;
    struct ce_target *target;
    SLIST_FOREACH(target, &lane->others, link)
    if (ce_endpoint_same(&target->endpoint, endpoint))
        return target;
    target = malloc(sizeof *target);
    if (!target)
        return NULL;
    ce_target_init(target, lane, endpoint);
    SLIST_INSERT_HEAD(&lane->others, target, link);
    return target;
}

void ce_pool_close_others(struct ce_lane *lane)
{
    struct ce_target *target;
    SLIST_FOREACH(target, &lane->others, link)
    {
        ce_pool_close(target);
        ce_h2_upstreams_drain(target);
    }
}

void ce_targets_done(struct ce_lane *lane)
{
    ce_pool_close(&lane->target);
    ce_pool_close_others(lane);
    ce_h2_upstreams_done(&lane->target);
    ce_tls_release(lane->target.endpoint.tls);
    struct ce_target *target;
    while ((target = SLIST_FIRST(&lane->others))) {
        SLIST_REMOVE_HEAD(&lane->others, link);
        ce_h2_upstreams_done(target);
        ce_tls_release(target->endpoint.tls);
        free(target);
    }
}
