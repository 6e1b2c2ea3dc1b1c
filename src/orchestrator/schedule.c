/* SPDX-License-Identifier: MIT */
/* Waits in the foreground and runs what is due.
 *
 * Runs of schedules that do not overlap take place right here, one after the other, as those of
 * `run` do; only when one says `overlap: true` do they get threads of their own. The wait is a
 * timer at an absolute time of the wall clock, which the kernel wakes when that clock is set. */
#include "orchestrator/schedule.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/seam.h"
#include "journal/lever.h"
#include "schedule/line.h"

#define TICK      CE_SECOND
#define SEAM_TICK (20 * CE_MILLISECOND) /* how soon a clock that a test shifts is looked at */

static const char while_running[] = "the run before it was still going on";
static const char while_others[] = "another run was going on";
static const char while_away[] = "the clock had gone on beyond it";

struct run {
    struct runner *runner;
    size_t line;
    int64_t due, started;
    pthread_t thread;
    atomic_bool ended;
    int r;
    struct ce_results *results;
    struct ce_error err;
    struct run *next;
};

struct runner {
    const struct ce_document *doc;
    const struct ce_schedule_options *options;
    char *state_dir;
    bool stopped; /* the lever was engaged when it was last looked at */
    struct ce_schedule_plan plan;
    struct ce_line *lines; /* one for each of the plan */
    bool threaded;
    struct run *running;      /* threads that have not been joined */
    int64_t busy_until;       /* when the last run here ended */
    pthread_mutex_t callback; /* threads take turns */
    int timer, wake;          /* `wake`: a thread has ended */
    int64_t shift;            /* of a test's clock, when it was last looked at */
    json_t *occurrences;
    int exit_code;
};

static int stop_signal(const struct runner *runner)
{
    const volatile sig_atomic_t *signal = runner->options->suite->signal;
    return signal ? *signal : 0;
}

/* ---- telling ---- */

static void call(struct runner *runner, const struct ce_schedule_event *event)
{
    if (!runner->options->event)
        return;
    pthread_mutex_lock(&runner->callback);
    runner->options->event(runner->options->event_ctx, event);
    pthread_mutex_unlock(&runner->callback);
}

static void tell(struct runner *runner, struct ce_schedule_event event, size_t line, int64_t due)
{
    char text[CE_SCHEDULE_TIME_SIZE];
    ce_schedule_time(runner->plan.lines[line].schedule, due, text);
    event.experiment = runner->plan.lines[line].experiment;
    event.due = text;
    call(runner, &event);
}

static void look_at_lever(struct runner *runner)
{
    bool engaged = ce_lever_is_engaged(runner->state_dir);
    struct ce_schedule_event event = {.what = engaged ? CE_SCHEDULE_STOPPED : CE_SCHEDULE_RELEASED};
    if (engaged != runner->stopped)
        call(runner, &event);
    runner->stopped = engaged;
}

/* Once a second at most, or when it changes. */
static void tell_wait(struct runner *runner, size_t next, bool changed)
{
    const struct ce_line *line = &runner->lines[next];
    if (line->start == INT64_MAX || (!changed && !runner->options->tick))
        return;
    struct ce_schedule_event event = {
        .what = CE_SCHEDULE_WAITS,
        .seconds = fmax(0, (double)(line->start - ce_schedule_now()) / CE_SECOND),
    };
    tell(runner, event, next, line->due);
}

static void tell_missed(struct runner *runner, size_t line, const struct ce_missed *missed,
                        const char *reason)
{
    char first[CE_TIMESTAMP_SIZE], last[CE_TIMESTAMP_SIZE];
    if (missed->count == 0)
        return;
    ce_timestamp(missed->first, first);
    ce_timestamp(missed->last, last);
    (void)json_array_append_new(runner->occurrences,
                                json_pack("{s:s?, s:s, s:b, s:I, s:s, s:s}", "experiment",
                                          runner->plan.lines[line].experiment, "due", first,
                                          "missed", 1, "count", (json_int_t)missed->count,
                                          "last_due", last, "reason", reason));
    struct ce_schedule_event event = {
        .what = CE_SCHEDULE_MISSED, .missed = missed->count, .reason = reason};
    tell(runner, event, line, missed->first);
}

/* ---- one run ---- */

static int exit_code_of(const struct run *run)
{
    switch (run->r) {
    case 0:
        return ce_results_exit_code(run->results);
    case -ECANCELED:
        return CE_EXIT_ABORTED;
    case -EUCLEAN:
        return CE_EXIT_DIRTY;
    case -EINVAL:
        return CE_EXIT_USAGE;
    default:
        return CE_EXIT_FAILED;
    }
}

/* The results' own summary; null when there are none. */
static json_t *summary_of(const struct ce_results *results)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = results ? open_memstream(&text, &size) : NULL;
    json_t *summary = NULL;
    if (!out)
        return json_null();
    int r = ce_results_write(results, "json", out, false, NULL);
    if (fclose(out) == 0 && r >= 0) {
        ce_autojson json_t *json = json_loadb(text, size, 0, NULL);
        summary = json_incref(json_object_get(json, "summary"));
    }
    free(text);
    return summary ? summary : json_null();
}

/* The gravest ending of all so far: as for the runs of one suite, 5 before all. */
static void note_exit(struct runner *runner, int exit_code)
{
    static const int gravity[] = {CE_EXIT_PASSED,   CE_EXIT_DEVIATED, CE_EXIT_ABORTED,
                                  CE_EXIT_BASELINE, CE_EXIT_USAGE,    CE_EXIT_FAILED,
                                  CE_EXIT_SIGTERM,  CE_EXIT_SIGINT,   CE_EXIT_DIRTY};
    size_t before = 0, now = 0;
    for (size_t i = 0; i < CE_COUNT(gravity); i++) {
        before = gravity[i] == runner->exit_code ? i : before;
        now = gravity[i] == exit_code ? i : now;
    }
    if (now > before)
        runner->exit_code = exit_code;
}

static void end_run(struct runner *runner, struct run *run)
{
    char due[CE_TIMESTAMP_SIZE], started[CE_TIMESTAMP_SIZE], ended[CE_TIMESTAMP_SIZE];
    int exit_code = exit_code_of(run);
    const char *error = run->r < 0 ? run->err.message : NULL;
    ce_timestamp(run->due, due);
    ce_timestamp(run->started, started);
    ce_timestamp(ce_schedule_now(), ended);
    note_exit(runner, exit_code);
    (void)json_array_append_new(runner->occurrences,
                                json_pack("{s:s?, s:s, s:b, s:s, s:s, s:i, s:s?, s:o}",
                                          "experiment", runner->plan.lines[run->line].experiment,
                                          "due", due, "missed", 0, "started", started, "ended",
                                          ended, "exit_code", exit_code, "error", error, "summary",
                                          summary_of(run->results)));
    struct ce_schedule_event event = {.what = CE_SCHEDULE_ENDED,
                                      .results = run->results,
                                      .exit_code = exit_code,
                                      .reason = error};
    tell(runner, event, run->line, run->due);
    ce_results_free(run->results);
    free(run);
}

static void on_progress(void *ctx, const struct ce_progress *progress)
{
    struct runner *runner = ctx;
    const struct ce_suite_options *suite = runner->options->suite;
    pthread_mutex_lock(&runner->callback);
    suite->progress(suite->progress_ctx, progress);
    pthread_mutex_unlock(&runner->callback);
}

static void *run_suite(void *ctx)
{
    struct run *run = ctx;
    struct runner *runner = run->runner;
    struct ce_suite_options options = *runner->options->suite;
    options.chosen = runner->plan.lines[run->line].chosen;
    if (options.progress) {
        options.progress = on_progress;
        options.progress_ctx = runner;
    }
    run->r = ce_suite_run(runner->doc, &options, &run->results, &run->err);
    run->ended = true;
    if (runner->threaded)
        (void)eventfd_write(runner->wake, 1);
    return NULL;
}

/* Signals are for the thread that waits. */
static int start_thread(struct run *run)
{
    sigset_t stops, before;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stops, &before);
    int r = pthread_create(&run->thread, NULL, run_suite, run);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

static int start(struct runner *runner, size_t line, int64_t due, struct ce_error *err)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return ce_fail_memory(err);
    run->runner = runner;
    run->line = line;
    run->due = due;
    run->started = ce_schedule_now();
    struct ce_schedule_event event = {.what = CE_SCHEDULE_STARTS};
    tell(runner, event, line, due);
    if (runner->threaded) {
        int r = start_thread(run);
        if (r < 0) {
            free(run);
            return ce_fail(err, -r, "cannot start a thread: %s", strerror(-r));
        }
        run->next = runner->running;
        runner->running = run;
        return 0;
    }
    struct ce_missed missed;
    (void)run_suite(run);
    end_run(runner, run);
    if (runner->options->once)
        return 0;
    runner->busy_until = ce_schedule_now();
    ce_line_pass(&runner->lines[line], runner->busy_until, &missed);
    tell_missed(runner, line, &missed, while_running);
    return 0;
}

/* Joins the threads that have ended; with `all`, waits for each. */
static void join_ended(struct runner *runner, bool all)
{
    for (struct run **at = &runner->running; *at;) {
        struct run *run = *at;
        if (!all && !run->ended) {
            at = &run->next;
            continue;
        }
        *at = run->next;
        (void)pthread_join(run->thread, NULL);
        end_run(runner, run);
    }
}

/* ---- what is due ---- */

static bool is_running(const struct runner *runner, size_t line)
{
    for (const struct run *run = runner->running; run; run = run->next)
        if (run->line == line)
            return true;
    return false;
}

/* Returns whether it started one. */
static int start_if_due(struct runner *runner, size_t i, struct ce_error *err)
{
    struct ce_missed missed;
    int64_t due;
    if (is_running(runner, i) && !runner->plan.lines[i].schedule->overlap) {
        ce_line_pass(&runner->lines[i], ce_schedule_now(), &missed);
        tell_missed(runner, i, &missed, while_running);
        return 0;
    }
    bool is_due = ce_line_take(&runner->lines[i], ce_schedule_now(), &due, &missed);
    tell_missed(runner, i, &missed, missed.first <= runner->busy_until ? while_others : while_away);
    if (!is_due)
        return 0;
    CE_TRY(start(runner, i, due, err));
    return 1;
}

/* Returns how many it started. */
static int start_due(struct runner *runner, struct ce_error *err)
{
    int started = 0;
    for (size_t i = 0; i < runner->plan.count && !stop_signal(runner); i++) {
        int r = start_if_due(runner, i, err);
        CE_TRY(r);
        started += r;
    }
    return started;
}

static size_t next_line(const struct runner *runner)
{
    size_t next = 0;
    for (size_t i = 1; i < runner->plan.count; i++)
        if (runner->lines[i].start < runner->lines[next].start)
            next = i;
    return next;
}

/* ---- waiting ---- */

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / CE_SECOND, .tv_nsec = ns % CE_SECOND};
}

/* Whether the wall clock has been set since the timer was. */
static bool clock_was_set(struct runner *runner)
{
    uint64_t expirations;
    bool set = read(runner->timer, &expirations, sizeof expirations) < 0 && errno == ECANCELED;
    int64_t shift = ce_seam_wall_shift();
    set = set || shift != runner->shift;
    runner->shift = shift;
    return set;
}

/* Until the time has come, a thread has ended, a signal comes, or a tick is over, for a look at the
 * lever. */
static int wait_a_while(struct runner *runner, int64_t at, struct ce_error *err)
{
    int64_t tick = ce_seam_shifts_wall() ? SEAM_TICK : TICK;
    struct itimerspec timer = {.it_value = timespec_of(at < INT64_MAX ? at - runner->shift : 0)};
    struct timespec timeout = timespec_of(tick);
    struct pollfd fds[] = {{.fd = runner->timer, .events = POLLIN},
                           {.fd = runner->wake, .events = POLLIN}};
    sigset_t stops, before;
    eventfd_t ended;
    const int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    /* ECANCELED: the clock was set before this call; the timer is set nevertheless. */
    if (timerfd_settime(runner->timer, flags, &timer, NULL) < 0 && errno != ECANCELED)
        return ce_fail(err, errno, "cannot set a timer: %s", strerror(errno));
    /* A signal between the look at its flag and the wait would be slept over. */
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stops, &before);
    if (!stop_signal(runner))
        (void)ppoll(fds, CE_COUNT(fds), &timeout, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (fds[1].revents & POLLIN)
        (void)eventfd_read(runner->wake, &ended);
    if (clock_was_set(runner))
        for (size_t i = 0; i < runner->plan.count; i++)
            ce_line_rewind(&runner->lines[i], ce_schedule_now());
    return 0;
}

/* ---- all of it ---- */

static int loop(struct runner *runner, struct ce_error *err)
{
    int64_t told = INT64_MAX; /* the time that was last said to be waited for */
    while (!stop_signal(runner)) {
        join_ended(runner, false);
        look_at_lever(runner);
        int started = start_due(runner, err);
        CE_TRY(started);
        if (started > 0 && runner->options->once)
            return 0;
        size_t next = next_line(runner);
        int64_t at = runner->lines[next].start;
        if (at == INT64_MAX && !runner->running)
            return 0;
        tell_wait(runner, next, at != told);
        told = at;
        if (at > ce_schedule_now())
            CE_TRY(wait_a_while(runner, at, err));
    }
    return 0;
}

static int prepare(struct runner *runner, struct ce_error *err)
{
    const struct ce_suite_options *suite = runner->options->suite;
    int64_t now = ce_schedule_now();
    runner->state_dir = suite->state_dir ? strdup(suite->state_dir) : ce_state_dir();
    if (!runner->state_dir)
        return ce_fail_memory(err);
    CE_TRY(ce_schedule_plan_make(runner->doc, suite->state_dir, now, &runner->plan, err));
    runner->lines = calloc(runner->plan.count, sizeof *runner->lines);
    if (!runner->lines)
        return ce_fail_memory(err);
    for (size_t i = 0; i < runner->plan.count; i++) {
        const struct ce_schedule *schedule = runner->plan.lines[i].schedule;
        ce_line_init(&runner->lines[i], schedule, suite->seed, now);
        runner->threaded = runner->threaded || schedule->overlap;
    }
    runner->shift = ce_seam_wall_shift();
    runner->timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    runner->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (runner->timer < 0 || runner->wake < 0)
        return ce_fail(err, errno, "cannot wait: %s", strerror(errno));
    return 0;
}

static void finish(struct runner *runner)
{
    join_ended(runner, true);
    if (stop_signal(runner))
        note_exit(runner, 128 + stop_signal(runner));
    if (runner->timer >= 0)
        (void)close(runner->timer);
    if (runner->wake >= 0)
        (void)close(runner->wake);
    (void)pthread_mutex_destroy(&runner->callback);
    ce_schedule_plan_done(&runner->plan);
    free(runner->lines);
    free(runner->state_dir);
}

int ce_schedule_run(const struct ce_document *doc, const struct ce_schedule_options *options,
                    int *ret_exit_code, char **ret_json, struct ce_error *err)
{
    struct runner runner = {.doc = doc, .options = options, .timer = -1, .wake = -1};
    char *text = NULL;
    (void)pthread_mutex_init(&runner.callback, NULL);
    runner.occurrences = ret_json ? json_array() : NULL; /* nobody wants them: they are not kept */
    int r = prepare(&runner, err);
    if (r >= 0)
        r = loop(&runner, err);
    finish(&runner);
    ce_autojson json_t *json = json_pack("{s:s, s:o}", "version", ce_version(), "occurrences",
                                         runner.occurrences ? runner.occurrences : json_null());
    CE_TRY(r);
    if (ret_json && !(text = json ? ce_json_text(json) : NULL))
        return ce_fail_memory(err);
    if (ret_json)
        *ret_json = text;
    *ret_exit_code = runner.exit_code;
    return 0;
}
