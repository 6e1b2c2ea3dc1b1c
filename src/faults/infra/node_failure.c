/* SPDX-License-Identifier: MIT */
/* node_failure: a node crashes, hangs, or is slow. The node is a service of the pipeline, or what
 * `target:` names, with all processes below it.
 *
 * crash: SIGKILL. Clients see connections refused. What ChaosEater started is started again by
 * rollback if no supervisor has; of another target `restart` says who does it, and without a word
 * it is not killed at all (crash.h). hang: the processes stand still but their sockets stay open:
 * clients connect and wait. A control group freezes them where the host allows that, else SIGSTOP
 * stops them. A supervisor that kills the hanging process and starts another is a success of the
 * pipeline and leaves nothing to undo. slow: most of their processor time is taken away
 * (throttle.h).
 *
 * The intensity scales what slow takes. A crash and a hang are there or not: at 0 they are over. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/infra/crash.h"
#include "faults/infra/throttle.h"
#include "faults/infra/whom.h"
#include "host/freezer.h"
#include "host/process.h"
#include "host/standstill.h"

enum { TYPE_CRASH, TYPE_HANG, TYPE_SLOW };
enum { SLOW_PERCENT = 90 }; /* the default, which is as good as not stated */
enum { BY_AUTO, BY_FREEZER, BY_STOP, BY_V2, BY_V1, BY_DUTY };

struct node_failure {
    int failure_type, mechanism;
    double slow_percent;
    char *target_service, *restart;
};

static const struct ce_choice types[] = {
    {"crash", TYPE_CRASH, "the processes are killed"},
    {"hang", TYPE_HANG, "the processes stand still, their sockets stay open"},
    {"slow", TYPE_SLOW, "the processes get little processor time"},
    {NULL, 0, NULL},
};
static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "the first that works of those for the failure_type"},
    {"freezer", BY_FREEZER, "hang: a control group of version 2, else of version 1"},
    {"stop", BY_STOP, "hang: SIGSTOP"},
    {"cgroup_v2", BY_V2, "slow: cpu.max of a control group of version 2"},
    {"cgroup_v1", BY_V1, "slow: cpu.cfs_quota_us of a control group of version 1"},
    {"duty", BY_DUTY, "slow: SIGSTOP and SIGCONT, a hundred times a second"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_CHOICE(struct node_failure, failure_type, .choices = types, .def = "crash",
              .doc = "How the node fails."),
    CE_TEXT(struct node_failure, target_service, .def = "server",
            .doc = "Which of the pipeline's services fails; of the embedded one: server, which "
                   "serves predictions, gateway, or (hang, slow) pipeline for all of it."),
    CE_TEXT(struct node_failure, restart, .def = "",
            .doc = "Who starts again what crashed, if ChaosEater had not started it: owner (a "
                   "supervisor, systemd), none (it stays dead), or a command line."),
    CE_NUMBER(struct node_failure, slow_percent, .min = 0, .max = 99, .def = "90", .unit = "%",
              .doc = "Share of the processor time that slow takes away."),
    CE_CHOICE(struct node_failure, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How a hang or slowness is brought about."),
    CE_END_PARAMS,
};

/* How the processes were made to stand still. */
enum hung_by { NOT_HUNG = 0, HUNG_V2, HUNG_V1, HUNG_STOPPED };
static const char *const hung_by_names[] = {"", "frozen by cgroup v2",
                                            "frozen by cgroup v1 freezer", "stopped by SIGSTOP"};

struct state {
    struct ce_subject subject;
    struct ce_process_list victims;
    size_t count; /* of them, for the record */
    bool hit;
    enum hung_by hung_by;
    int note;
    char *group; /* the freezer's folder */
    struct ce_crash *crash;
    struct ce_throttle *throttle;
};

static const int64_t stand_still = 50 * CE_MILLISECOND;

static bool has_service(const char *service)
{
    static const char *const services[] = {"server", "gateway", "command", "pipeline", "all"};
    for (size_t i = 0; service && i < CE_COUNT(services); i++)
        if (strcmp(service, services[i]) == 0)
            return true;
    return !service;
}

static int check(const void *p, struct ce_error *err)
{
    const struct node_failure *want = p;
    int mechanism = want->mechanism, type = want->failure_type;
    const char *service = want->target_service;
    if (!has_service(service))
        return ce_fail(err, EINVAL,
                       "target_service: '%s' is not one of server, gateway, command, pipeline, all",
                       service);
    if (type == TYPE_CRASH && service &&
        (strcmp(service, "pipeline") == 0 || strcmp(service, "all") == 0))
        return ce_fail(err, EINVAL,
                       "target_service: failure_type crash takes one service at a time, not '%s'",
                       service);
    bool fits = mechanism == BY_AUTO || (type == TYPE_HANG && mechanism <= BY_STOP) ||
                (type == TYPE_SLOW && mechanism >= BY_V2);
    if (!fits)
        return ce_fail(err, EINVAL,
                       "mechanism: '%s' does not go with failure_type %s (accepted: %s)",
                       mechanisms[mechanism].name, types[type].name,
                       type == TYPE_HANG   ? "auto, freezer, stop"
                       : type == TYPE_SLOW ? "auto, cgroup_v2, cgroup_v1, duty"
                                           : "auto");
    if (want->restart && type != TYPE_CRASH)
        return ce_fail(err, EINVAL, "restart: only failure_type crash has something to restart");
    if (want->slow_percent != SLOW_PERCENT && type != TYPE_SLOW)
        return ce_fail(err, EINVAL,
                       "slow_percent: %g plays no part with failure_type %s; only slow takes it",
                       want->slow_percent, types[type].name);
    return 0;
}

static bool is_control(const void *p)
{
    const struct node_failure *want = p;
    return want->failure_type == TYPE_SLOW && want->slow_percent == 0;
}

/* ---- hang ---- */

static int freeze(struct ce_injection *injection, enum hung_by way, struct ce_error *err)
{
    struct state *state = injection->state;
    enum ce_freezer_kind kind = way == HUNG_V2 ? CE_FREEZER_V2 : CE_FREEZER_V1;
    int r = -ENOENT;
    if (state->subject.has & CE_SUBJECT_GROUP)
        r = ce_freezer_freeze_group(injection->journal, kind, state->subject.group, &state->note,
                                    err);
    if (r == 0) {
        state->group = strdup(state->subject.group);
        return state->group ? 0 : ce_fail_memory(err);
    }
    if (r != -ENOENT)
        return r;
    return ce_freezer_freeze(injection->journal, kind, &state->victims, &state->note, &state->group,
                             err);
}

/* One way of hanging. On failure what it began is taken back, so that the next way can be tried. */
static int hang_by(struct ce_injection *injection, enum hung_by way, struct ce_error *err)
{
    struct state *state = injection->state;
    int r = way == HUNG_STOPPED
                ? ce_standstill_begin(injection->journal, &state->victims, &state->note, err)
                : freeze(injection, way, err);
    if (r == 0) {
        state->hung_by = way;
        return 0;
    }
    if (state->note > 0)
        CE_TRY(ce_undo_now(injection->journal, state->note, err));
    state->note = 0;
    free(ce_take(state->group));
    return r;
}

static int hang(struct ce_injection *injection, struct ce_error *err)
{
    const struct node_failure *want = injection->params;
    const struct state *state = injection->state;
    struct ce_error why = {0};
    int r = -ENOTSUP;
    for (enum hung_by way = HUNG_V2; way <= HUNG_STOPPED; way++) {
        bool fits =
            want->mechanism == BY_AUTO || (want->mechanism == BY_STOP) == (way == HUNG_STOPPED);
        if (!fits)
            continue;
        r = hang_by(injection, way, &why);
        if (r == 0)
            return 0;
        if (r == -ECANCELED || !ce_process_alive(&state->victims.items[0]))
            break; /* no other way would do better */
    }
    if (err)
        *err = why;
    return r;
}

static int end_hang(struct ce_injection *injection, struct ce_error *err)
{
    struct state *state = injection->state;
    if (state->note > 0)
        CE_TRY(ce_undo_now(injection->journal, state->note, err));
    state->note = 0;
    state->hung_by = NOT_HUNG;
    free(ce_take(state->group));
    return 0;
}

/* ---- inject ---- */

static int slow_down(struct ce_injection *injection, struct ce_error *err)
{
    static const enum ce_throttle_means means[] = {
        [BY_AUTO] = CE_THROTTLE_AUTO,
        [BY_V2] = CE_THROTTLE_V2,
        [BY_V1] = CE_THROTTLE_V1,
        [BY_DUTY] = CE_THROTTLE_DUTY,
    };
    const struct node_failure *want = injection->params;
    struct state *state = injection->state;
    CE_TRY(ce_throttle_begin(injection->journal, &state->subject, &state->victims,
                             means[want->mechanism], 0, &state->throttle, err));
    return ce_throttle_set(state->throttle, want->slow_percent / 100, err);
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct node_failure *want = injection->params;
    const struct ce_target *target = injection->target;
    struct state *state = injection->state;
    int r = 0;
    if (is_control(want))
        return 0;
    if (want->failure_type == TYPE_CRASH)
        CE_TRY(ce_crash_check(target, want->restart, err));
    CE_TRY(ce_whom_find(target, want->target_service, &state->subject, &state->victims, err));
    state->count = state->victims.count;
    switch (want->failure_type) {
    case TYPE_CRASH:
        r = ce_crash_begin(injection, want->target_service, want->restart, &state->subject,
                           &state->victims, &state->crash, err);
        break;
    case TYPE_HANG:
        r = hang(injection, err);
        break;
    default:
        r = slow_down(injection, err);
    }
    state->hit = r == 0;
    return r;
}

/* ---- verify ---- */

static bool stands(const struct state *state)
{
    bool all = true;
    switch (state->hung_by) {
    case HUNG_V2:
        return ce_freezer_frozen(CE_FREEZER_V2, state->group);
    case HUNG_V1:
        return ce_freezer_frozen(CE_FREEZER_V1, state->group);
    default:
        for (size_t i = 0; all && i < state->victims.count; i++)
            all = ce_process_state(&state->victims.items[i]) == 'T' ||
                  !ce_process_alive(&state->victims.items[i]);
        return all;
    }
}

static int verify_hang(const struct ce_injection *injection, struct ce_evidence *ret_evidence)
{
    const struct state *state = injection->state;
    const struct ce_process_id *first = &state->victims.items[0];
    size_t others = state->victims.count - 1;
    char who[64];
    if (others == 0)
        snprintf(who, sizeof who, "process %d", (int)first->pid);
    else
        snprintf(who, sizeof who, "process %d, with %zu more,", (int)first->pid, others);
    int64_t before = ce_whom_cpu_time(&state->victims);
    bool stood = stands(state);
    ce_sleep_until(ce_now() + stand_still);
    int64_t used = ce_whom_cpu_time(&state->victims) - before;
    if (ce_process_signal(first, 0) < 0) {
        /* A process that hung when it was looked at and was then killed by its supervisor did hang.
         */
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "%s %s and has been ended since by its supervisor", who,
                 stood ? "stood still" : "was not seen to stand still");
        return stood;
    }
    if (!stood || !stands(state) || used != 0) {
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "%s does not stand still: state %c, %" PRId64 " us of processor time in %d ms",
                 who, ce_process_state(first), used / CE_MICROSECOND,
                 (int)(stand_still / CE_MILLISECOND));
        return 0;
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%s is there but stands still: %s, no processor time in %d ms", who,
             hung_by_names[state->hung_by], (int)(stand_still / CE_MILLISECOND));
    return 1;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    const struct state *state = injection->state;
    if (state->crash)
        return ce_crash_verify(state->crash, ret_evidence);
    return state->throttle ? ce_throttle_verify(state->throttle, ret_evidence, err)
                           : verify_hang(injection, ret_evidence);
}

/* ---- adjust and revert ---- */

static int adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    const struct node_failure *want = injection->params;
    struct state *state = injection->state;
    if (state->throttle)
        return ce_throttle_set(state->throttle, intensity * want->slow_percent / 100, err);
    if (intensity > 0 && want->failure_type == TYPE_HANG && state->hit &&
        state->hung_by == NOT_HUNG)
        return hang(injection, err);
    if (intensity > 0)
        return 0;
    CE_TRY(end_hang(injection, err));
    return ce_crash_undo(state->crash, err);
}

/* A supervisor may have ended a node that hung: then the pipeline is asked to serve again. */
static int serve_again(const struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    const struct state *state = injection->state;
    if (!state->hit || target->is_explicit || !target->ensure_serving)
        return 0;
    /* A pipeline that somebody has ended took along whatever hung in it: nothing is left to undo,
     * and that it does not come back is for whoever watches it recover to say. */
    int r = target->ensure_serving(target->pipeline, err);
    return r == -ESRCH ? 0 : r;
}

static int revert(struct ce_injection *injection, struct ce_error *err)
{
    struct state *state = injection->state;
    CE_TRY(end_hang(injection, err));
    int r = ce_throttle_end(ce_take(state->throttle), err);
    if (r == 0)
        r = ce_crash_undo(state->crash, err);
    CE_TRY(r);
    ce_crash_free(ce_take(state->crash));
    ce_process_list_done(&state->victims);
    return serve_again(injection, err);
}

static int verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    const struct state *state = injection->state;
    struct ce_process_id now = state->subject.process;
    if (!target->is_explicit) {
        int r = target->serving_process(target->pipeline, &now, err);
        if (r < 0)
            return r == -ESRCH ? 0 : r; /* nobody is there who could still be held */
    }
    if (now.pid > 0 && ce_process_state(&now) == 'T')
        return ce_fail(err, EBUSY, "process %d is still stopped", (int)now.pid);
    return 0;
}

static void count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct state *state = injection->state;
    *ret_counts = (struct ce_fault_counts){
        .eligible = state->count, .selected = state->count, .changed = state->hit * state->count};
}

const struct ce_fault ce_fault_node_failure = {
    .name = "node_failure",
    .summary = "Crash, hang or slow down a service's processes",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_PROCESS,
    .params = params,
    .params_size = sizeof(struct node_failure),
    .state_size = sizeof(struct state),
    .example = "{failure_type: hang}",
    .check = check,
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = adjust,
    .revert = revert,
    .verify_undo = verify_undo,
    .count = count,
};
