/* SPDX-License-Identifier: MIT */
/* The open loop: requests that are due at fixed times.
 *
 * One thread owns everything but the queue of outcomes: schedule, connections, operations in
 * flight. Callers tell it what to do through one command at a time and wait until it has been
 * taken, so after a pause nothing becomes due any more, and everything that was due
 * before has been sent.
 *
 * An operation that finds no connection at the limit waits, its latency counting. Since all
 * operations have the same time, the list of those in flight, which is in the order in which they
 * were due, is in the order of deadlines too. */
#include "pipeline/workload.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "pipeline/workload_connection.h"
#include "pipeline/workload_form.h"

enum {
    CONNECTIONS_MAX = 4096,
    EVENTS_MAX = 64, /* taken in one go */
};

/* Within these, no due time and no deadline leaves int64_t. */
#define RATE_MIN    0.001
#define RATE_MAX    1e6
#define TIMEOUT_MAX (86400 * CE_SECOND)

/* An operation from when it is due until its outcome is taken. */
struct flight {
    TAILQ_ENTRY(flight) link; /* in flight, or done */
    TAILQ_ENTRY(flight) waiting_link;
    bool waiting;                     /* for a connection */
    bool resent;                      /* on a new connection, after an idle one proved dead */
    struct ce_connection *connection; /* NULL while waiting, and once done */
    struct ce_outcome outcome;
};
TAILQ_HEAD(flight_list, flight);
TAILQ_HEAD(connection_list, ce_connection);

enum command {
    COMMAND_NONE = 0,
    COMMAND_BEGIN,
    COMMAND_PAUSE,
    COMMAND_STOP,
};

struct schedule {
    bool running;
    enum ce_phase phase;
    int64_t start;
    uint64_t count;
};

struct requests {
    struct ce_workload base;
    struct ce_workload_config config;
    char host[128]; /* the Host field's value */
    int epoll, timer, wake, outcomes_ready;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* guards the next four */
    pthread_cond_t taken; /* the command has been carried out */
    enum command command;
    struct schedule next; /* of COMMAND_BEGIN and COMMAND_PAUSE: what is to be from next.start on */
    struct flight_list done;

    _Atomic uint64_t due; /* operations of the current phase */
    _Atomic size_t in_flight_count;
    _Atomic int64_t oldest_due;

    /* The thread's own. */
    struct schedule now;
    struct flight_list in_flight, waiting;
    struct connection_list idle, busy, closed;
    size_t connection_count;
    bool starved; /* there was no memory for the operation that is due */
};

/* ---- the schedule ---- */

static int64_t due_time(const struct requests *workload, uint64_t number)
{
    return workload->now.start +
           (int64_t)((double)(number + 1) * (double)CE_SECOND / workload->config.rate);
}

/* When the next operation will be due; INT64_MAX when there is none. */
static int64_t next_due(const struct requests *workload)
{
    uint64_t number = atomic_load(&workload->due);
    bool any = workload->now.running && number < workload->now.count;
    return any ? due_time(workload, number) : INT64_MAX;
}

/* After every change to what is in flight or to the schedule. */
static void note_oldest(struct requests *workload)
{
    const struct flight *first = TAILQ_FIRST(&workload->in_flight);
    atomic_store(&workload->oldest_due, first ? first->outcome.due : next_due(workload));
}

/* ---- outcomes ---- */

static void judge(const struct requests *workload, struct ce_outcome *outcome,
                  const struct ce_connection *answered)
{
    const struct ce_operations *operations = workload->config.operations;
    const struct ce_operation *operation = &operations->items[outcome->number % operations->count];
    if (outcome->latency_ns >= workload->config.timeout_ns) {
        outcome->error = ETIMEDOUT;
        return;
    }
    if (outcome->status != 200)
        return;
    const struct ce_bytes *payload = &answered->payload;
    struct ce_prediction prediction = {0};
    struct ce_reply answer = {
        .content_type = answered->content_type,
        .json_length = ce_slice_of(answered->json_length),
        .body = payload->size > 0 ? payload->data : "",
        .size = payload->size,
    };
    if (operations->read_prediction(operations->ctx, &answer, &prediction) < 0) {
        outcome->error = EBADMSG;
        return;
    }
    outcome->ok = true;
    outcome->prediction = prediction.number;
    outcome->right = operations->is_right(operations->ctx, &prediction, operation);
}

/* Ends an operation and queues its outcome. `answered` is NULL when it failed with `error`. */
static void finish(struct requests *workload, struct flight *flight,
                   const struct ce_connection *answered, int error)
{
    struct ce_outcome *outcome = &flight->outcome;
    outcome->latency_ns = ce_now() - outcome->due;
    outcome->error = error;
    if (answered) {
        outcome->status = answered->status;
        judge(workload, outcome, answered);
    }
    flight->connection = NULL;
    TAILQ_REMOVE(&workload->in_flight, flight, link);
    if (flight->waiting)
        TAILQ_REMOVE(&workload->waiting, flight, waiting_link);

    /* Under the lock: who sees nothing in flight finds all outcomes in the queue, and who has taken
     * the last one sees nothing in flight. */
    pthread_mutex_lock(&workload->lock);
    if (TAILQ_EMPTY(&workload->done))
        (void)eventfd_write(workload->outcomes_ready, 1);
    TAILQ_INSERT_TAIL(&workload->done, flight, link);
    atomic_fetch_sub(&workload->in_flight_count, 1);
    note_oldest(workload);
    pthread_mutex_unlock(&workload->lock);
}

/* ---- connections ---- */

static void move(struct connection_list *from, struct connection_list *to,
                 struct ce_connection *connection)
{
    TAILQ_REMOVE(from, connection, link);
    TAILQ_INSERT_HEAD(to, connection, link);
}

/* Its memory stays until the events at hand have been dealt with: one of them may be about it. */
static void close_connection(struct requests *workload, struct ce_connection *connection)
{
    move(connection->owner ? &workload->busy : &workload->idle, &workload->closed, connection);
    connection->owner = NULL;
    ce_connection_close(connection);
    workload->connection_count--;
}

static void free_connections(struct connection_list *list)
{
    struct ce_connection *connection;
    while ((connection = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, connection, link);
        ce_connection_free(connection);
    }
}

static int send_request(struct requests *workload, struct flight *flight)
{
    const struct ce_operations *operations = workload->config.operations;
    const struct ce_operation *operation =
        &operations->items[flight->outcome.number % operations->count];
    char id[32];
    snprintf(id, sizeof id, "%c-%" PRIu64, ce_phase_letter(flight->outcome.phase),
             flight->outcome.number);
    const struct ce_connection_request request = {
        .path = operations->path,
        .host = operations->host ? operations->host : workload->host,
        .content_type = operations->content_type ? operations->content_type : "application/json",
        .id = id,
        .body = operation->body,
        .body_size = operation->body_size,
    };
    return ce_connection_request(flight->connection, &request);
}

static int open_connection(struct requests *workload, struct ce_connection **ret_connection)
{
    struct ce_connection *connection;
    if (workload->connection_count >= CONNECTIONS_MAX)
        return -EMFILE;
    CE_TRY(ce_connection_open(&workload->config.endpoint, workload->epoll,
                              workload->config.operations->grpc, &connection, NULL));
    TAILQ_INSERT_HEAD(&workload->busy, connection, link);
    workload->connection_count++;
    *ret_connection = connection;
    return 0;
}

/* A busy connection for an operation: an idle one, or a new one if there is none or `fresh` would
 * rather have one. Returns 0, -EMFILE when all that the workload or the process may have are in
 * use, or why it cannot connect. */
static int acquire(struct requests *workload, bool fresh, struct ce_connection **ret_connection)
{
    struct ce_connection *idle = TAILQ_FIRST(&workload->idle);
    if (fresh || !idle) {
        int r = open_connection(workload, ret_connection);
        if (r != -EMFILE || !idle)
            return r;
    }
    move(&workload->idle, &workload->busy, idle);
    *ret_connection = idle;
    return 0;
}

/* Sends the operations that wait, the oldest first, as far as there are connections for them. */
static void dispatch(struct requests *workload)
{
    struct flight *flight;
    while ((flight = TAILQ_FIRST(&workload->waiting))) {
        int r = acquire(workload, flight->resent, &flight->connection);
        if (r == -EMFILE && workload->connection_count > 0)
            return;
        TAILQ_REMOVE(&workload->waiting, flight, waiting_link);
        flight->waiting = false;
        if (r == 0) {
            flight->connection->owner = flight;
            r = send_request(workload, flight);
            if (r < 0)
                close_connection(workload, flight->connection);
        }
        if (r < 0)
            finish(workload, flight, NULL, -r);
    }
}

static void on_answer(struct requests *workload, struct ce_connection *connection)
{
    finish(workload, connection->owner, connection, 0);
    if (ce_connection_reusable(connection)) {
        connection->owner = NULL;
        move(&workload->busy, &workload->idle, connection);
    } else {
        close_connection(workload, connection);
    }
}

static void on_failure(struct requests *workload, struct ce_connection *connection, int failure)
{
    struct flight *flight = connection->owner;
    bool stale = ce_connection_was_stale(connection, failure);
    close_connection(workload, connection);
    if (!stale) {
        finish(workload, flight, NULL, -failure);
        return;
    }
    flight->resent = true;
    flight->connection = NULL;
    flight->waiting = true;
    TAILQ_INSERT_HEAD(&workload->waiting, flight, waiting_link);
}

static void on_event(struct requests *workload, struct ce_connection *connection)
{
    if (connection->fd < 0)
        return;
    if (!connection->owner) {
        if (ce_connection_rest(connection) < 0)
            close_connection(workload, connection);
        return;
    }
    int r = ce_connection_step(connection);
    if (r > 0)
        on_answer(workload, connection);
    else if (r < 0)
        on_failure(workload, connection, r);
    dispatch(workload);
}

/* ---- the thread ---- */

/* Sends every operation that is due by `until`. */
static void send_due(struct requests *workload, int64_t until)
{
    workload->starved = false;
    for (int64_t due; (due = next_due(workload)) <= until;) {
        struct flight *flight = calloc(1, sizeof *flight);
        if (!flight) {
            workload->starved = true;
            return;
        }
        flight->outcome.phase = workload->now.phase;
        flight->outcome.number = atomic_fetch_add(&workload->due, 1);
        flight->outcome.due = due;
        flight->waiting = true;
        TAILQ_INSERT_TAIL(&workload->waiting, flight, waiting_link);
        TAILQ_INSERT_TAIL(&workload->in_flight, flight, link);
        atomic_fetch_add(&workload->in_flight_count, 1);
        note_oldest(workload);
        dispatch(workload);
    }
}

static void expire(struct requests *workload, int64_t now)
{
    struct flight *flight;
    while ((flight = TAILQ_FIRST(&workload->in_flight)) &&
           flight->outcome.due + workload->config.timeout_ns <= now) {
        if (flight->connection)
            close_connection(workload, flight->connection);
        finish(workload, flight, NULL, ETIMEDOUT);
    }
    dispatch(workload);
}

/* Sets the timer to what comes next: an operation due, a deadline, or nothing. */
static void set_timer(struct requests *workload)
{
    int64_t at = workload->starved ? ce_now() + CE_MILLISECOND : next_due(workload);
    const struct flight *first = TAILQ_FIRST(&workload->in_flight);
    if (first && first->outcome.due + workload->config.timeout_ns < at)
        at = first->outcome.due + workload->config.timeout_ns;
    struct itimerspec timer = {0};
    if (at < INT64_MAX)
        timer.it_value = (struct timespec){.tv_sec = at / CE_SECOND, .tv_nsec = at % CE_SECOND};
    (void)timerfd_settime(workload->timer, TFD_TIMER_ABSTIME, &timer, NULL);
}

/* Carries out the command that waits, if any. False: the thread is to end. */
static bool obey(struct requests *workload)
{
    pthread_mutex_lock(&workload->lock);
    enum command command = workload->command;
    struct schedule next = workload->next;
    pthread_mutex_unlock(&workload->lock);
    if (command == COMMAND_STOP)
        return false;
    if (command == COMMAND_NONE)
        return true;

    send_due(workload, next.start);
    if (command == COMMAND_BEGIN)
        atomic_store(&workload->due, 0);
    workload->now = next;
    note_oldest(workload);

    pthread_mutex_lock(&workload->lock);
    workload->command = COMMAND_NONE;
    pthread_cond_signal(&workload->taken);
    pthread_mutex_unlock(&workload->lock);
    return true;
}

static void drain(int fd)
{
    uint64_t ticks;
    (void)!read(fd, &ticks, sizeof ticks);
}

static void *run(void *ctx)
{
    struct requests *workload = ctx;
    do {
        send_due(workload, ce_now());
        expire(workload, ce_now());
        free_connections(&workload->closed);
        set_timer(workload);

        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(workload->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &workload->timer)
                drain(workload->timer);
            else if (events[i].data.ptr == &workload->wake)
                drain(workload->wake);
            else
                on_event(workload, events[i].data.ptr);
        }
    } while (obey(workload));
    return NULL;
}

/* ---- callers ---- */

/* Hands the thread a command and waits until it has carried it out. */
static void tell(struct requests *workload, enum command command, struct schedule next)
{
    pthread_mutex_lock(&workload->lock);
    workload->command = command;
    workload->next = next;
    (void)eventfd_write(workload->wake, 1);
    while (workload->command != COMMAND_NONE && command != COMMAND_STOP)
        pthread_cond_wait(&workload->taken, &workload->lock);
    pthread_mutex_unlock(&workload->lock);
}

static void requests_begin(struct ce_workload *base, enum ce_phase phase, uint64_t count,
                           int64_t duration)
{
    tell((struct requests *)base, COMMAND_BEGIN,
         (struct schedule){.running = true, .phase = phase, .start = ce_now(), .count = count});
}

static void requests_pause(struct ce_workload *base)
{
    tell((struct requests *)base, COMMAND_PAUSE,
         (struct schedule){.running = false, .start = ce_now()});
}

static uint64_t requests_due(const struct ce_workload *base)
{
    return atomic_load(&((const struct requests *)base)->due);
}

static bool requests_all_due(const struct ce_workload *base)
{
    const struct requests *workload = (const struct requests *)base;
    /* The schedule changes only while a caller waits for that. */
    return atomic_load(&workload->due) >= workload->now.count;
}

static size_t requests_in_flight(const struct ce_workload *base)
{
    return atomic_load(&((const struct requests *)base)->in_flight_count);
}

static int64_t requests_oldest_due(const struct ce_workload *base)
{
    return atomic_load(&((const struct requests *)base)->oldest_due);
}

static int requests_fd(const struct ce_workload *base)
{
    return ((const struct requests *)base)->outcomes_ready;
}

static struct flight *take_done(struct requests *workload)
{
    pthread_mutex_lock(&workload->lock);
    struct flight *flight = TAILQ_FIRST(&workload->done);
    if (flight) {
        TAILQ_REMOVE(&workload->done, flight, link);
        eventfd_t ignored;
        if (TAILQ_EMPTY(&workload->done))
            (void)eventfd_read(workload->outcomes_ready, &ignored);
    }
    pthread_mutex_unlock(&workload->lock);
    return flight;
}

static int requests_next(struct ce_workload *base, struct ce_outcome *ret_outcome, int64_t until)
{
    struct requests *workload = (struct requests *)base;
    struct flight *flight;
    while (!(flight = take_done(workload))) {
        if (!ce_workload_await(workload->outcomes_ready, until))
            return 0;
    }
    *ret_outcome = flight->outcome;
    free(flight);
    return 1;
}

static void free_flights(struct flight_list *list)
{
    struct flight *flight;
    while ((flight = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, flight, link);
        free(flight);
    }
}

static void requests_stop(struct ce_workload *base)
{
    struct requests *workload = (struct requests *)base;
    if (workload->started) {
        tell(workload, COMMAND_STOP, (struct schedule){0});
        pthread_join(workload->thread, NULL);
    }
    free_connections(&workload->idle);
    free_connections(&workload->busy);
    free_connections(&workload->closed);
    free_flights(&workload->in_flight);
    free_flights(&workload->done);
    int *fds[] = {&workload->epoll, &workload->timer, &workload->wake, &workload->outcomes_ready};
    for (size_t i = 0; i < CE_COUNT(fds); i++)
        if (*fds[i] >= 0)
            (void)close(*fds[i]);
    pthread_cond_destroy(&workload->taken);
    pthread_mutex_destroy(&workload->lock);
    free(workload);
}

static int watch(struct requests *workload, int *fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};
    return epoll_ctl(workload->epoll, EPOLL_CTL_ADD, *fd, &event);
}

static int open_descriptors(struct requests *workload, struct ce_error *err)
{
    workload->epoll = epoll_create1(EPOLL_CLOEXEC);
    workload->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    workload->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    workload->outcomes_ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (workload->epoll < 0 || workload->timer < 0 || workload->wake < 0 ||
        workload->outcomes_ready < 0 || watch(workload, &workload->timer) < 0 ||
        watch(workload, &workload->wake) < 0)
        return ce_fail(err, errno, "cannot start the workload: %s", strerror(errno));
    return 0;
}

/* Signals are for the caller's threads. */
static int start_thread(struct requests *workload, struct ce_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&workload->thread, NULL, run, workload);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return ce_fail(err, r, "cannot start the workload's thread: %s", strerror(r));
    workload->started = true;
    return 0;
}

static void host_of(const struct ce_endpoint *endpoint, char *host, size_t size)
{
    if (endpoint->address.ss_family == AF_UNIX)
        snprintf(host, size, "localhost");
    else
        ce_endpoint_text(endpoint, host, size);
}

static const struct ce_workload_form form = {
    .begin = requests_begin,
    .pause = requests_pause,
    .due = requests_due,
    .all_due = requests_all_due,
    .next = requests_next,
    .in_flight = requests_in_flight,
    .oldest_due = requests_oldest_due,
    .fd = requests_fd,
    .stop = requests_stop,
};

int ce_workload_start(const struct ce_workload_config *config, struct ce_workload **ret_workload,
                      struct ce_error *err)
{
    if (!(config->rate >= RATE_MIN && config->rate <= RATE_MAX))
        return ce_fail(err, EINVAL, "rate: %g is outside %g..%g operations per second",
                       config->rate, RATE_MIN, RATE_MAX);
    if (config->timeout_ns <= 0 || config->timeout_ns > TIMEOUT_MAX)
        return ce_fail(err, EINVAL, "timeout: %g s is not between 0 and %g s",
                       (double)config->timeout_ns / (double)CE_SECOND,
                       (double)TIMEOUT_MAX / (double)CE_SECOND);
    if (config->operations->count == 0)
        return ce_fail(err, EINVAL, "there are no labelled rows that the workload could send");

    struct requests *workload = calloc(1, sizeof *workload);
    if (!workload)
        return ce_fail_memory(err);
    workload->base.form = &form;
    workload->config = *config;
    workload->epoll = workload->timer = workload->wake = workload->outcomes_ready = -1;
    pthread_mutex_init(&workload->lock, NULL);
    pthread_cond_init(&workload->taken, NULL);
    atomic_init(&workload->oldest_due, INT64_MAX);
    TAILQ_INIT(&workload->done);
    TAILQ_INIT(&workload->in_flight);
    TAILQ_INIT(&workload->waiting);
    TAILQ_INIT(&workload->idle);
    TAILQ_INIT(&workload->busy);
    TAILQ_INIT(&workload->closed);
    host_of(&config->endpoint, workload->host, sizeof workload->host);
    int r = open_descriptors(workload, err);
    if (r == 0)
        r = start_thread(workload, err);
    if (r < 0) {
        requests_stop(&workload->base);
        return r;
    }
    *ret_workload = &workload->base;
    return 0;
}
