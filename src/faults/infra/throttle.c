/* SPDX-License-Identifier: MIT */
#include "faults/infra/throttle.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/infra/whom.h"
#include "host/agent.h"
#include "host/cgroup.h"
#include "host/group.h"
#include "host/process.h"
#include "host/processor/cpu_quota.h"
#include "host/processor/duty.h"
#include "host/processor/spinner.h"

/* A whole number of a quota's periods. */
static const int64_t window = CE_SECOND, usage_window = 200 * CE_MILLISECOND,
                     glance_every = 700 * CE_MICROSECOND;
static const double accuracy = 0.02; /* of the share, or of one processor if that is more */
static const double late = 0.1;
enum { ATTEMPTS = 3, SPINNERS_MAX = 64 };

const struct ce_choice ce_throttle_choices[] = {
    {"auto", CE_THROTTLE_AUTO, "the first of those below that works"},
    {"cgroup_v2", CE_THROTTLE_V2, "cpu.max of a control group of version 2"},
    {"cgroup_v1", CE_THROTTLE_V1, "cpu.cfs_quota_us of a control group of version 1"},
    {"duty", CE_THROTTLE_DUTY, "SIGSTOP and SIGCONT, a hundred times a second"},
    {NULL, 0, NULL},
};

struct ce_throttle {
    struct ce_journal *journal;
    struct ce_process_list processes; /* grows */
    struct ce_cpu_quota *quota;       /* else: */
    struct ce_duty *duty;
    enum ce_throttle_means means;
    double processors, taken;
};

/* ---- which means ---- */

static enum ce_cpu_quota_kind kind_of(enum ce_throttle_means means)
{
    return means == CE_THROTTLE_V2 ? CE_CPU_QUOTA_V2 : CE_CPU_QUOTA_V1;
}

static int begin_by(struct ce_throttle *throttle, const struct ce_subject *subject,
                    enum ce_throttle_means means, struct ce_error *err)
{
    int r = -ENOENT;
    if (means == CE_THROTTLE_DUTY)
        return ce_duty_begin(throttle->journal, &throttle->processes, &throttle->duty, err);
    if (subject->has & CE_SUBJECT_GROUP)
        r = ce_cpu_quota_begin_group(throttle->journal, kind_of(means), subject->group,
                                     &throttle->quota, err);
    if (r == -ENOENT) /* the target is no group, or one of another hierarchy */
        r = ce_cpu_quota_begin(throttle->journal, kind_of(means), &throttle->processes,
                               &throttle->quota, err);
    return r;
}

/* Nothing else can help when these are what is wrong. */
static bool is_final(int r)
{
    return r == -ESRCH || r == -ECANCELED || r == -ENOMEM || r == -EBUSY;
}

static int begin_any(struct ce_throttle *throttle, const struct ce_subject *subject,
                     enum ce_throttle_means only, struct ce_error *err)
{
    char reasons[sizeof err->message] = "";
    int r = -ENOTSUP;
    for (enum ce_throttle_means means = CE_THROTTLE_V2; means <= CE_THROTTLE_DUTY; means++) {
        struct ce_error why = {0};
        if (only != CE_THROTTLE_AUTO && only != means)
            continue;
        r = begin_by(throttle, subject, means, &why);
        if (r == 0 || is_final(r)) {
            throttle->means = means;
            if (r < 0 && err)
                *err = why;
            return r;
        }
        size_t n = strlen(reasons);
        snprintf(reasons + n, sizeof reasons - n, "%s%s: %.100s", n > 0 ? "; " : "",
                 ce_throttle_choices[means].name, why.message);
    }
    return ce_fail(err, -r, "the processor time of %s cannot be limited (%s)", subject->name,
                   reasons);
}

/* As many as it keeps busy, for a moment. */
static double processors_in_use(const struct ce_process_list *processes)
{
    int64_t before = ce_whom_cpu_time(processes), begun = ce_now();
    ce_sleep_until(begun + usage_window);
    double used = (double)(ce_whom_cpu_time(processes) - before) / (double)(ce_now() - begun);
    return fmax(1, round(used));
}

int ce_throttle_begin(struct ce_journal *journal, const struct ce_subject *subject,
                      const struct ce_process_list *processes, enum ce_throttle_means means,
                      double processors, struct ce_throttle **ret_throttle, struct ce_error *err)
{
    struct ce_throttle *throttle = calloc(1, sizeof *throttle);
    struct ce_process_id *items = calloc(processes->count, sizeof *items);
    if (!throttle || !items) {
        free(throttle);
        free(items);
        return ce_fail_memory(err);
    }
    memcpy(items, processes->items, processes->count * sizeof *items);
    throttle->journal = journal;
    throttle->processes = (struct ce_process_list){.items = items, .count = processes->count};
    throttle->processors = processors > 0 ? processors : processors_in_use(processes);
    int r = begin_any(throttle, subject, means, err);
    if (r < 0) {
        ce_process_list_done(&throttle->processes);
        free(throttle);
        return r;
    }
    if (throttle->quota)
        throttle->processors = fmin(throttle->processors, ce_cpu_quota_room(throttle->quota));
    else
        throttle->processors = 1;
    *ret_throttle = throttle;
    return 0;
}

int ce_throttle_set(struct ce_throttle *throttle, double taken, struct ce_error *err)
{
    throttle->taken = taken;
    if (throttle->duty)
        return ce_duty_set(throttle->duty, 1 - taken, err);
    return ce_cpu_quota_set(throttle->quota,
                            taken > 0 ? (1 - taken) * throttle->processors : HUGE_VAL, err);
}

/* ---- looking from outside ---- */

struct spinners {
    struct ce_agent *agents[SPINNERS_MAX];
    struct ce_process_list ids;
    struct ce_process_id room[SPINNERS_MAX];
};

/* What was used of what may be used, and what was forbidden: a quota by itself, or time in a cycle.
 * What others on the host take is neither. */
struct look {
    double share;
    struct ce_cpu_quota_view quota; /* .throttled: meanwhile */
    double held;                    /* of the looks at a cycle */
};

/* Waits, and looks meanwhile, out of step with the cycle. Returns how often it was held. */
static double held_until(int64_t until, const struct ce_process_list *spinners)
{
    unsigned held = 0, all = 0;
    do {
        if (spinners->count > 0)
            held += ce_spinner_is_held(&spinners->items[all++ % spinners->count]);
        ce_sleep_until(spinners->count > 0 ? ce_now() + glance_every : until);
    } while (ce_now() < until);
    return all > 0 ? (double)held / all : 0;
}

/* A process's share of its own time in a duty cycle; all together in a quota. */
static struct look look_at(const struct ce_throttle *throttle,
                           const struct ce_process_list *spinners)
{
    const struct ce_process_list *all = &throttle->processes, none = {0};
    const struct ce_process_list *others = throttle->duty ? &none : all;
    struct look look = {0};
    if (throttle->quota)
        look.quota = ce_cpu_quota_look(throttle->quota);
    uint64_t throttled = look.quota.throttled;
    int64_t begun = ce_now(), used = ce_whom_cpu_time(others) + ce_whom_cpu_time(spinners);
    if (throttle->duty)
        look.held = held_until(begun + window, spinners);
    else
        ce_sleep_until(begun + window);
    used = ce_whom_cpu_time(others) + ce_whom_cpu_time(spinners) - used;
    look.share = (double)used / ((double)(ce_now() - begun) * throttle->processors);
    if (throttle->quota)
        look.quota.throttled = ce_cpu_quota_look(throttle->quota).throttled - throttled;
    return look;
}

/* Puts one where the target's processes are. */
static int admit(struct ce_throttle *throttle, const struct ce_process_id *id, struct ce_error *err)
{
    if (throttle->duty)
        return ce_duty_add(throttle->duty, id, err);
    ce_autofree char *folder = NULL;
    const char *controller = throttle->means == CE_THROTTLE_V2 ? NULL : "cpu";
    int r = ce_fail(err, ESRCH, "the target has gone: none of its processes is left");
    for (size_t i = 0; r < 0 && i < throttle->processes.count; i++)
        if (ce_process_alive(&throttle->processes.items[i]))
            r = ce_cgroup_find(throttle->processes.items[i].pid, controller, &folder, NULL, err);
    return r < 0 ? r : ce_group_join(folder, id->pid, err);
}

static int start_spinners(struct ce_throttle *throttle, struct spinners *spinners,
                          struct ce_error *err)
{
    /* More than may be used, or it would not show that no more may be. */
    double wanted = throttle->duty ? 1 : floor((1 - throttle->taken) * throttle->processors) + 1;
    spinners->ids.items = spinners->room;
    for (size_t i = 0; i < SPINNERS_MAX && (double)i < wanted; i++) {
        CE_TRY(ce_spinner_start(throttle->journal, &spinners->agents[i], err));
        spinners->ids.items[i] = ce_agent_id(spinners->agents[i]);
        spinners->ids.count = i + 1;
        CE_TRY(admit(throttle, &spinners->ids.items[i], err));
    }
    return 0;
}

static int stop_spinners(struct spinners *spinners, struct ce_error *err)
{
    int r = 0;
    for (size_t i = 0; i < SPINNERS_MAX; i++) {
        int r2 = ce_agent_stop(ce_take(spinners->agents[i]), r == 0 ? err : NULL);
        r = r < 0 ? r : r2;
    }
    return r;
}

/* It is the quota that was asked for that the group has come up against. In a period that it used
 * up it had all that it may; in one that others left it too little of, less. */
static bool quota_is_right(const struct ce_throttle *throttle, const struct look *look,
                           bool witnessed)
{
    double most = 1 - throttle->taken, tolerance = accuracy / fmin(1, throttle->processors);
    double cut = (double)look->quota.period / (double)window,
           used_up = (double)look->quota.throttled * cut;
    bool always = used_up > 1 - cut / 2;
    double least = always ? most : most * fmax(0, used_up - cut);
    return look->quota.throttled > 0 && (always || witnessed) &&
           fabs(look->quota.processors / throttle->processors - most) <= tolerance / 2 &&
           look->share <= most + tolerance && look->share >= least - tolerance;
}

/* Never more than asked, and held for as long as asked: a signal may come late. */
static bool duty_is_right(const struct ce_throttle *throttle, const struct look *look)
{
    return look->share <= 1 - throttle->taken + accuracy && look->held > throttle->taken / 2 &&
           look->held <= throttle->taken + late;
}

static int look_until_right(struct ce_throttle *throttle, const struct ce_process_list *spinners,
                            struct look *ret_look)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        *ret_look = look_at(throttle, spinners);
        if (throttle->duty ? duty_is_right(throttle, ret_look)
                           : quota_is_right(throttle, ret_look, spinners->count > 0))
            return 1;
        /* A target that has other things to do needs no second look, but a witness. */
        if (spinners->count == 0 && ret_look->share < 1 - throttle->taken)
            break;
    }
    return 0;
}

static void describe(const struct ce_throttle *throttle, const struct look *look,
                     size_t spinner_count, struct ce_evidence *ret_evidence)
{
    size_t count = throttle->processes.count;
    char who[96] = "they", more[80] = "";
    if (throttle->duty)
        snprintf(who, sizeof who, "a busy process of ours under the same cycle");
    else if (spinner_count > 0)
        snprintf(who, sizeof who, "they and %zu busy process%s of ours", spinner_count,
                 spinner_count == 1 ? "" : "es");
    if (throttle->quota)
        snprintf(more, sizeof more, "; the kernel made them wait %" PRIu64 " times",
                 look->quota.throttled);
    else
        snprintf(more, sizeof more, ", and was held for %.1f %%", 100 * look->held);
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%zu process%s may use %.1f %% of %.4g processor%s (%s): %s used %.1f %% in %.1f s%s",
             count, count == 1 ? "" : "es", 100 * (1 - throttle->taken), throttle->processors,
             throttle->processors == 1 ? "" : "s", ce_throttle_choices[throttle->means].name, who,
             100 * look->share, (double)window / (double)CE_SECOND, more);
}

int ce_throttle_verify(struct ce_throttle *throttle, struct ce_evidence *ret_evidence,
                       struct ce_error *err)
{
    struct spinners spinners = {0};
    struct look look;
    int seen = 0, r = 0;
    CE_TRY(ce_process_list_grow(&throttle->processes, err));
    if (!throttle->duty)
        seen = look_until_right(throttle, &spinners.ids, &look);
    if (!seen) {
        r = start_spinners(throttle, &spinners, err);
        if (throttle->quota)
            ce_cpu_quota_prefer(throttle->quota, true);
        if (r == 0)
            seen = look_until_right(throttle, &spinners.ids, &look);
        if (throttle->quota)
            ce_cpu_quota_prefer(throttle->quota, false);
    }
    int r2 = stop_spinners(&spinners, r == 0 ? err : NULL);
    CE_TRY(r < 0 ? r : r2);
    describe(throttle, &look, spinners.ids.count, ret_evidence);
    return seen;
}

int ce_throttle_end(struct ce_throttle *throttle, struct ce_error *err)
{
    if (!throttle)
        return 0;
    int r =
        throttle->duty ? ce_duty_end(throttle->duty, err) : ce_cpu_quota_end(throttle->quota, err);
    ce_process_list_done(&throttle->processes);
    free(throttle);
    return r;
}
