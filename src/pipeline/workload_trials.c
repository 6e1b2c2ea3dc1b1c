/* SPDX-License-Identifier: MIT */
/* The closed loop: trials of a batch job, one after the other.
 *
 * A thread runs them. All that callers and the thread share is under one lock; what the thread
 * waits for, a phase with trials left or the time of the next one, is a condition. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "pipeline/workload_form.h"

struct ended {
    TAILQ_ENTRY(ended) link;
    struct ce_outcome outcome;
};
TAILQ_HEAD(ended_list, ended);

struct trials {
    struct ce_workload base;
    const struct ce_trials *job;
    int give_up, outcomes_ready; /* eventfds */
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* guards all that follows */
    pthread_cond_t changed;
    bool stopping;
    /* the phase */
    bool running;
    enum ce_phase phase;
    uint64_t count, due;
    int64_t until;    /* trials may begin beyond `count`, until then */
    int64_t earliest; /* when the next one may begin */
    int64_t begun;    /* the one in flight; INT64_MAX: none */
    struct ended_list done;
    struct ce_error failure; /* of the last that failed */
};

static void lock(const struct trials *trials)
{
    pthread_mutex_lock((pthread_mutex_t *)&trials->lock);
}

static void unlock(const struct trials *trials)
{
    pthread_mutex_unlock((pthread_mutex_t *)&trials->lock);
}

static bool any_left(const struct trials *trials)
{
    return trials->running && (trials->due < trials->count || ce_now() < trials->until);
}

/* ---- the thread; the lock is held ---- */

static void wait_until(struct trials *trials, int64_t at)
{
    struct timespec time = {.tv_sec = at / CE_SECOND, .tv_nsec = at % CE_SECOND};
    (void)pthread_cond_timedwait(&trials->changed, &trials->lock, &time);
}

/* False: the thread is to end. */
static bool await_turn(struct trials *trials)
{
    while (!trials->stopping) {
        if (!any_left(trials))
            pthread_cond_wait(&trials->changed, &trials->lock);
        else if (ce_now() < trials->earliest)
            wait_until(trials, trials->earliest);
        else
            return true;
    }
    return false;
}

static void queue(struct trials *trials, const struct ce_outcome *outcome)
{
    struct ended *ended = calloc(1, sizeof *ended);
    if (!ended) {
        json_decref(outcome->metrics);
        return;
    }
    ended->outcome = *outcome;
    if (TAILQ_EMPTY(&trials->done))
        (void)eventfd_write(trials->outcomes_ready, 1);
    TAILQ_INSERT_TAIL(&trials->done, ended, link);
}

/* Lets go of the lock while it runs. */
static void run_one(struct trials *trials)
{
    struct ce_trial_figures figures = {.accuracy = NAN};
    struct ce_error err = {0};
    struct ce_outcome outcome = {
        .phase = trials->phase,
        .number = trials->due++,
        .due = ce_now(),
        .prediction = NAN,
    };
    char name[32];
    snprintf(name, sizeof name, "%c-%" PRIu64, ce_phase_letter(outcome.phase), outcome.number);
    trials->begun = outcome.due;
    trials->earliest = outcome.due + CE_TRIAL_SPACING;
    unlock(trials);
    int r = trials->job->run(trials->job->ctx, name, trials->give_up, &figures, &err);
    lock(trials);
    outcome.latency_ns = figures.took;
    outcome.ok = r == 0;
    outcome.error = -r;
    outcome.accuracy = figures.accuracy;
    outcome.metrics = figures.metrics;
    if (r == -ECANCELED)
        json_decref(outcome.metrics);
    else
        queue(trials, &outcome);
    if (r < 0 && r != -ECANCELED) {
        trials->failure = err;
        trials->running = trials->running && trials->phase != CE_PHASE_BASELINE;
    }
    trials->begun = INT64_MAX;
    pthread_cond_broadcast(&trials->changed);
}

static void *run(void *ctx)
{
    struct trials *trials = ctx;
    lock(trials);
    while (await_turn(trials))
        run_one(trials);
    unlock(trials);
    return NULL;
}

/* ---- callers ---- */

static void trials_begin(struct ce_workload *base, enum ce_phase phase, uint64_t count,
                         int64_t duration)
{
    struct trials *trials = (struct trials *)base;
    lock(trials);
    if (!trials->running || trials->phase != phase)
        trials->due = 0;
    trials->running = true;
    trials->phase = phase;
    trials->count = count;
    trials->until = ce_now() + duration;
    pthread_cond_broadcast(&trials->changed);
    unlock(trials);
}

static void trials_pause(struct ce_workload *base)
{
    struct trials *trials = (struct trials *)base;
    lock(trials);
    trials->running = false;
    unlock(trials);
}

static void trials_give_up(struct ce_workload *base)
{
    struct trials *trials = (struct trials *)base;
    eventfd_t ignored;
    lock(trials);
    trials->running = false;
    (void)eventfd_write(trials->give_up, 1);
    while (trials->begun != INT64_MAX)
        pthread_cond_wait(&trials->changed, &trials->lock);
    (void)eventfd_read(trials->give_up, &ignored);
    unlock(trials);
}

static uint64_t trials_due(const struct ce_workload *base)
{
    const struct trials *trials = (const struct trials *)base;
    lock(trials);
    uint64_t due = trials->due;
    unlock(trials);
    return due;
}

static bool trials_all_due(const struct ce_workload *base)
{
    const struct trials *trials = (const struct trials *)base;
    lock(trials);
    bool left = any_left(trials);
    unlock(trials);
    return !left;
}

static void trials_last_failure(struct ce_workload *base, struct ce_error *ret_failure)
{
    const struct trials *trials = (const struct trials *)base;
    lock(trials);
    *ret_failure = trials->failure;
    unlock(trials);
}

static size_t trials_in_flight(const struct ce_workload *base)
{
    const struct trials *trials = (const struct trials *)base;
    lock(trials);
    size_t count = trials->begun != INT64_MAX;
    unlock(trials);
    return count;
}

static int64_t trials_oldest_due(const struct ce_workload *base)
{
    const struct trials *trials = (const struct trials *)base;
    lock(trials);
    int64_t now = ce_now(), oldest = trials->begun;
    if (oldest == INT64_MAX && any_left(trials))
        oldest = trials->earliest > now ? trials->earliest : now;
    unlock(trials);
    return oldest;
}

static int trials_fd(const struct ce_workload *base)
{
    return ((const struct trials *)base)->outcomes_ready;
}

static bool take_done(struct trials *trials, struct ce_outcome *ret_outcome)
{
    lock(trials);
    struct ended *ended = TAILQ_FIRST(&trials->done);
    if (ended) {
        eventfd_t ignored;
        TAILQ_REMOVE(&trials->done, ended, link);
        if (TAILQ_EMPTY(&trials->done))
            (void)eventfd_read(trials->outcomes_ready, &ignored);
        *ret_outcome = ended->outcome;
    }
    unlock(trials);
    bool any = ended;
    free(ended);
    return any;
}

static int trials_next(struct ce_workload *base, struct ce_outcome *ret_outcome, int64_t until)
{
    struct trials *trials = (struct trials *)base;
    while (!take_done(trials, ret_outcome))
        if (!ce_workload_await(trials->outcomes_ready, until))
            return 0;
    return 1;
}

static void trials_stop(struct ce_workload *base)
{
    struct trials *trials = (struct trials *)base;
    struct ended *ended;
    if (trials->started) {
        lock(trials);
        trials->stopping = true;
        (void)eventfd_write(trials->give_up, 1);
        pthread_cond_broadcast(&trials->changed);
        unlock(trials);
        pthread_join(trials->thread, NULL);
    }
    while ((ended = TAILQ_FIRST(&trials->done))) {
        TAILQ_REMOVE(&trials->done, ended, link);
        json_decref(ended->outcome.metrics);
        free(ended);
    }
    if (trials->give_up >= 0)
        (void)close(trials->give_up);
    if (trials->outcomes_ready >= 0)
        (void)close(trials->outcomes_ready);
    pthread_cond_destroy(&trials->changed);
    pthread_mutex_destroy(&trials->lock);
    free(trials);
}

static const struct ce_workload_form form = {
    .begin = trials_begin,
    .pause = trials_pause,
    .give_up = trials_give_up,
    .due = trials_due,
    .all_due = trials_all_due,
    .last_failure = trials_last_failure,
    .next = trials_next,
    .in_flight = trials_in_flight,
    .oldest_due = trials_oldest_due,
    .fd = trials_fd,
    .stop = trials_stop,
};

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* Signals are for the caller's threads. */
static int start_thread(struct trials *trials, struct ce_error *err)
{
    sigset_t all, before;
    if (trials->give_up < 0 || trials->outcomes_ready < 0)
        return ce_fail(err, errno, "cannot start the workload: %s", strerror(errno));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&trials->thread, NULL, run, trials);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return ce_fail(err, r, "cannot start the workload's thread: %s", strerror(r));
    trials->started = true;
    return 0;
}

int ce_workload_start_trials(const struct ce_trials *job, struct ce_workload **ret_workload,
                             struct ce_error *err)
{
    struct trials *trials = calloc(1, sizeof *trials);
    if (!trials)
        return ce_fail_memory(err);
    trials->base.form = &form;
    trials->job = job;
    trials->begun = INT64_MAX;
    TAILQ_INIT(&trials->done);
    pthread_mutex_init(&trials->lock, NULL);
    init_condition(&trials->changed);
    trials->give_up = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    trials->outcomes_ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = start_thread(trials, err);
    if (r < 0) {
        trials_stop(&trials->base);
        return r;
    }
    *ret_workload = &trials->base;
    return 0;
}
