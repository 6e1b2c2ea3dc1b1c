/* SPDX-License-Identifier: MIT */
/* A run: the hypothesis, the method, the hypothesis again, the rollbacks.
 *
 * Whatever has to be watched goes on in threads; the one that called waits for them and looks at
 * the signal and the lever meanwhile. When one of these says so, the stopper is pulled: every
 * activity ends, programs with all that they have started. Rollbacks are none of that: they have a
 * stopper that nobody pulls.
 *
 * Before the method begins, the rollbacks are noted in the undo journal, the last one first, as
 * what is noted last is undone first. */
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "journal/lever.h"
#include "toolkit/run.h"

#define FOREVER    INT64_C(4000000000000000000)
#define LOOK_EVERY (20 * CE_MILLISECOND)

/* ---- watched ---- */

typedef void work_fn(struct ce_run_state *run, void *ctx);
struct task {
    struct ce_run_state *run;
    work_fn *work;
    void *ctx;
    pthread_t thread;
};

static void *task_main(void *ctx)
{
    struct task *task = ctx;
    task->work(task->run, task->ctx);
    return NULL;
}

static int task_start(struct task *task, struct ce_error *err)
{
    int r = pthread_create(&task->thread, NULL, task_main, task);
    return r ? ce_fail(err, r, "cannot start a thread: %s", strerror(r)) : 0;
}

static void look_around(struct ce_run_state *run)
{
    const struct ce_toolkit_order *options = run->options;
    int signal = options->signal ? *options->signal : 0;
    if (run->ended || (!signal && !ce_lever_is_engaged(options->state_dir)))
        return;
    run->ended = true;
    run->record->signal = signal;
    ce_stopper_pull(&run->stopper);
}

static void task_wait(struct task *task)
{
    struct timespec at;
    do {
        look_around(task->run);
        (void)clock_gettime(CLOCK_REALTIME, &at);
        at.tv_nsec += LOOK_EVERY;
        if (at.tv_nsec >= CE_SECOND) {
            at.tv_sec++;
            at.tv_nsec -= CE_SECOND;
        }
    } while (pthread_timedjoin_np(task->thread, NULL, &at) == ETIMEDOUT);
}

static int watch(struct ce_run_state *run, work_fn *work, void *ctx, struct ce_error *err)
{
    struct task task = {.run = run, .work = work, .ctx = ctx};
    CE_TRY(task_start(&task, err));
    task_wait(&task);
    return 0;
}

static void tell(const struct ce_run_state *run, const char *phase, double fraction)
{
    if (run->options->phase)
        run->options->phase(run->options->phase_ctx, phase, fraction);
}

/* ---- the hypothesis ---- */

/* Adds one look to the tally. Returns whether it held. */
static bool judge(struct ce_run_state *run, size_t i, const struct ce_outcome *outcome)
{
    const struct ce_activity *probe = &run->toolkit->hypothesis.items[i];
    char why[400] = "";
    bool held = !outcome->failure &&
                ce_tolerance_holds(&probe->tolerance, outcome->output, why, sizeof why);
    (void)pthread_mutex_lock(&run->lock);
    struct ce_tally *tally = &run->tally[i];
    tally->looks++;
    if (!held || tally->failures + tally->errors == 0)
        snprintf(tally->why, sizeof tally->why, "%s", outcome->failure ? outcome->failure : why);
    tally->errors += !held && outcome->unasked;
    tally->failures += !held && !outcome->unasked;
    (void)pthread_mutex_unlock(&run->lock);
    return held;
}

struct look {
    json_t *state; /* {"steady_state_met", "probes"}; the caller's */
    bool met, failed, unasked, given_up;
};

/* Up to the first probe that does not hold. */
static void look(struct ce_run_state *run, void *ctx)
{
    struct look *look = ctx;
    json_t *probes = json_array();
    look->met = true;
    look->state = json_pack("{s:n, s:o}", "steady_state_met", "probes", probes);
    for (size_t i = 0; look->met && i < run->toolkit->hypothesis.count; i++) {
        struct ce_outcome outcome;
        json_t *entry = ce_activity_run(&run->toolkit->hypothesis.items[i], &run->stopper, FOREVER,
                                        probes, NULL, &outcome);
        look->given_up = outcome.given_up;
        if (!look->given_up) {
            look->met = judge(run, i, &outcome);
            look->failed = outcome.failure != NULL;
            look->unasked = outcome.unasked;
            json_object_set_new(entry, "tolerance_met", json_boolean(look->met));
        } else {
            look->met = false;
        }
        ce_outcome_done(&outcome);
    }
    if (!look->given_up)
        json_object_set_new(look->state, "steady_state_met", json_boolean(look->met));
}

/* Again and again, until the stopper is pulled: the run's, or that of the method's end. */
struct continuous {
    struct ce_stopper over;
};
static void look_again(struct ce_run_state *run, void *ctx)
{
    struct continuous *continuous = ctx;
    do {
        struct look now = {0};
        look(run, &now);
        (void)json_array_append_new(run->during, now.state);
        if (now.given_up)
            break;
        (void)pthread_mutex_lock(&run->lock);
        run->deviated = run->deviated || (!now.met && !now.unasked);
        run->unasked = run->unasked || now.unasked;
        (void)pthread_mutex_unlock(&run->lock);
    } while (ce_stopper_pause(&continuous->over, run->toolkit->frequency));
}

/* ---- the method ---- */

struct deed {
    const struct ce_activity *activity;
    sem_t begun; /* so that the entries keep the order of the document */
};

static void do_activity(struct ce_run_state *run, void *ctx)
{
    struct deed *deed = ctx;
    const struct ce_activity *activity = deed->activity;
    struct ce_outcome outcome;
    (void)ce_activity_run(activity, &run->stopper, FOREVER, run->done, &deed->begun, &outcome);
    char *refused =
        activity->is_action && !outcome.given_up ? ce_activity_refused(activity, &outcome) : NULL;
    (void)pthread_mutex_lock(&run->lock);
    if (!run->refused)
        run->refused = ce_take(refused);
    (void)pthread_mutex_unlock(&run->lock);
    free(refused);
    ce_outcome_done(&outcome);
}

static int begin_beside(struct task *task, struct deed *deed, struct ce_error *err)
{
    CE_TRY(task_start(task, err));
    while (sem_wait(&deed->begun) < 0)
        ;
    return 0;
}

static int do_method(struct ce_run_state *run, struct ce_error *err)
{
    const struct ce_activities *method = &run->toolkit->method;
    ce_autofree struct task *tasks = calloc(method->count + 1, sizeof *tasks);
    ce_autofree struct deed *deeds = calloc(method->count + 1, sizeof *deeds);
    size_t beside = 0;
    int r = tasks && deeds ? 0 : ce_fail_memory(err);
    for (size_t i = 0; r == 0 && i < method->count && !run->ended; i++) {
        tell(run, "injecting", (double)i / (double)method->count);
        deeds[i].activity = &method->items[i];
        (void)sem_init(&deeds[i].begun, 0, 0);
        if (!method->items[i].background) {
            r = watch(run, do_activity, &deeds[i], err);
            continue;
        }
        tasks[beside] = (struct task){.run = run, .work = do_activity, .ctx = &deeds[i]};
        r = begin_beside(&tasks[beside], &deeds[i], err);
        beside += r == 0;
    }
    if (r < 0)
        ce_stopper_pull(&run->stopper);
    for (size_t i = 0; i < beside; i++)
        task_wait(&tasks[i]);
    return r;
}

/* With the hypothesis looked at beside it, if that is asked for. */
static int do_method_watched(struct ce_run_state *run, struct ce_error *err)
{
    struct continuous continuous;
    struct task task = {.run = run, .work = look_again, .ctx = &continuous};
    if (!ce_run_has_look(run, CE_LOOK_DURING))
        return do_method(run, err);
    CE_TRY(ce_stopper_init(&continuous.over, err));
    int r = task_start(&task, err);
    if (r == 0) {
        r = do_method(run, err);
        ce_stopper_pull(&continuous.over);
        task_wait(&task);
    }
    ce_stopper_done(&continuous.over);
    return r;
}

/* ---- rollbacks ---- */

static json_t *note_of(const struct ce_activity *activity, const char *folder)
{
    ce_autojson json_t *provider = json_deep_copy(activity->provider);
    if (!provider || json_object_set_new(provider, "folder", json_string(folder)) < 0)
        return NULL;
    return json_pack("{s:s, s:O, s:[f, f]}", "name", activity->name, "provider", provider, "pauses",
                     (double)activity->pause_before / (double)CE_SECOND,
                     (double)activity->pause_after / (double)CE_SECOND);
}

static int note_rollbacks(struct ce_run_state *run, struct ce_error *err)
{
    const struct ce_activities *rollbacks = &run->toolkit->rollbacks;
    ce_autofree char *folder = getcwd(NULL, 0);
    if (!folder)
        return ce_fail(err, errno, "cannot tell the folder that this runs in: %s", strerror(errno));
    for (size_t i = rollbacks->count; run->journal && i-- > 0;) {
        if (rollbacks->items[i].secret)
            continue;
        json_t *note = note_of(&rollbacks->items[i], folder);
        if (!note)
            return ce_fail_memory(err);
        int id = ce_undo_note(run->journal, ce_undo_run_activity.name, note, err);
        if (id < 0)
            return id;
        run->notes[i] = id;
    }
    return 0;
}

static void settle(struct ce_run_state *run, size_t i, struct ce_error *err)
{
    if (run->notes[i] > 0)
        (void)ce_undo_settled(run->journal, run->notes[i], err);
}

static void do_rollback(struct ce_run_state *run, void *ctx)
{
    size_t i = (size_t)(uintptr_t)ctx;
    const struct ce_activity *activity = &run->toolkit->rollbacks.items[i];
    struct ce_outcome outcome;
    (void)ce_activity_run(activity, &run->rollback_stopper, CE_ROLLBACK_LIMIT, run->undone, NULL,
                          &outcome);
    (void)pthread_mutex_lock(&run->lock);
    if (!outcome.failure)
        settle(run, i, NULL);
    else if (!run->dirty)
        run->dirty = ce_format("rollback '%.100s' failed: %.300s", activity->name, outcome.failure);
    (void)pthread_mutex_unlock(&run->lock);
    ce_outcome_done(&outcome);
}

static void do_rollbacks(struct ce_run_state *run)
{
    const struct ce_activities *rollbacks = &run->toolkit->rollbacks;
    ce_autofree struct task *tasks = calloc(rollbacks->count + 1, sizeof *tasks);
    size_t beside = 0;
    int64_t began = ce_now();
    tell(run, "rolling_back", 1);
    for (size_t i = 0; i < rollbacks->count; i++) {
        struct task *task = tasks ? &tasks[beside] : NULL;
        void *ctx = (void *)(uintptr_t)i;
        if (task)
            *task = (struct task){.run = run, .work = do_rollback, .ctx = ctx};
        if (task && rollbacks->items[i].background && task_start(task, NULL) == 0)
            beside++;
        else
            do_rollback(run, ctx);
    }
    for (size_t i = 0; i < beside; i++)
        (void)pthread_join(tasks[i].thread, NULL);
    run->record->rollback_seconds = (double)(ce_now() - began) / (double)CE_SECOND;
    run->record->rollback_verified = !run->dirty;
}

static bool wants_rollbacks(const struct ce_run_state *run, bool failed)
{
    switch (run->toolkit->strategy) {
    case CE_ROLLBACKS_NEVER:
        return false;
    case CE_ROLLBACKS_ALWAYS:
        return true;
    case CE_ROLLBACKS_DEVIATED:
        return run->begun && (run->deviated || run->ended || failed);
    case CE_ROLLBACKS_DEFAULT:
        break;
    }
    return run->begun;
}

/* ---- the whole ---- */

static int look_once(struct ce_run_state *run, json_t **ret_state, bool *ret_met,
                     struct ce_error *err)
{
    struct look now = {0};
    CE_TRY(watch(run, look, &now, err));
    *ret_state = now.state;
    *ret_met = now.met;
    run->probe_failed = run->probe_failed || now.failed;
    run->unasked = run->unasked || now.unasked;
    return 0;
}

static int run_stages(struct ce_run_state *run, struct ce_error *err)
{
    bool met = true;
    look_around(run);
    if (ce_run_has_look(run, CE_LOOK_BEFORE) && !run->ended) {
        tell(run, "baseline", 0);
        CE_TRY(look_once(run, &run->before, &met, err));
    }
    if (run->ended || !met)
        return 0;
    CE_TRY(note_rollbacks(run, err));
    run->stopper.journal = run->journal;
    run->begun = true;
    CE_TRY(do_method_watched(run, err));
    if (run->ended || !ce_run_has_look(run, CE_LOOK_AFTER))
        return 0;
    tell(run, "observing", 1);
    CE_TRY(look_once(run, &run->after, &met, err));
    /* Their word for it covers a probe that failed; ours does not when it could not be asked. */
    run->deviated = run->deviated || (!met && !run->ended);
    return 0;
}

/* The guard is forked here, before there is any thread. */
static int open_journal(struct ce_run_state *run, struct ce_error *err)
{
    const struct ce_toolkit_order *options = run->options;
    if (run->toolkit->rollbacks.count == 0 || run->toolkit->strategy == CE_ROLLBACKS_NEVER)
        return 0;
    CE_TRY(
        ce_journal_create(options->state_dir, options->run_id, options->ops, &run->journal, err));
    return ce_guard_start(run->journal, &run->guard, err);
}

static int prepare(struct ce_run_state *run, struct ce_error *err)
{
    run->notes = calloc(run->toolkit->rollbacks.count + 1, sizeof *run->notes);
    run->tally = calloc(run->toolkit->hypothesis.count + 1, sizeof *run->tally);
    run->done = json_array();
    run->undone = json_array();
    run->during = json_array();
    if (!run->notes || !run->tally || !run->done || !run->undone || !run->during)
        return ce_fail_memory(err);
    return open_journal(run, err);
}

static void run_done(struct ce_run_state *run)
{
    ce_guard_stop(run->guard);
    ce_journal_close(run->journal);
    ce_stopper_done(&run->stopper);
    ce_stopper_done(&run->rollback_stopper);
    (void)pthread_mutex_destroy(&run->lock);
    free(run->notes);
    free(run->tally);
    free(run->refused);
    free(run->dirty);
    json_decref(run->done);
    json_decref(run->undone);
    json_decref(run->during);
    json_decref(run->before);
    json_decref(run->after);
}

static int run_all(struct ce_run_state *run, struct ce_error *err)
{
    struct ce_error why = {0};
    int64_t began = ce_now();
    int r = prepare(run, &why);
    if (r == 0)
        r = run_stages(run, &why);
    if (run->notes && wants_rollbacks(run, r < 0))
        do_rollbacks(run);
    else
        for (size_t i = 0; run->notes && i < run->toolkit->rollbacks.count; i++)
            settle(run, i, NULL);
    run->record->ended_at = ce_wall_now();
    run->record->total_seconds = (double)(ce_now() - began) / (double)CE_SECOND;
    if (r == -ENOMEM)
        return ce_fail_memory(err);
    return ce_run_conclude(run, r < 0 ? why.message : NULL, err);
}

int ce_toolkit_perform(const struct ce_toolkit *toolkit, const struct ce_toolkit_order *options,
                       struct ce_record *ret_record, struct ce_error *err)
{
    struct ce_record record;
    struct ce_run_state run = {.toolkit = toolkit, .options = options, .record = &record};
    CE_TRY(ce_toolkit_plan(toolkit, options->run_id, &record, err));
    (void)pthread_mutex_init(&run.lock, NULL);
    int r = ce_stopper_init(&run.stopper, err);
    if (r == 0 && (r = ce_stopper_init(&run.rollback_stopper, err)) < 0)
        ce_stopper_done(&run.stopper);
    if (r == 0) {
        r = run_all(&run, err);
        run_done(&run);
    }
    if (r < 0)
        ce_record_done(&record);
    else
        *ret_record = record;
    return r;
}
