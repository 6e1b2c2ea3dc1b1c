/* SPDX-License-Identifier: MIT */
/* node_failure: the process that serves predictions crashes, or hangs.
 *
 * crash: SIGKILL. Clients see connections refused. What is not restarted by a supervisor is
 * restarted by revert. hang: the process stands still but its sockets stay open: clients connect
 * and wait. A control group freezes it where the host allows that, else SIGSTOP stops it. Being
 * thawed, or continued, is noted before; a supervisor that kills the hanging process and starts
 * another is a success of the pipeline and leaves nothing to undo. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/fault.h"
#include "host/freezer.h"
#include "host/process.h"

enum { TYPE_CRASH, TYPE_HANG };
enum { BY_AUTO, BY_FREEZER, BY_STOP };

struct node_failure {
    int failure_type, mechanism;
    char *target_service;
};

static const struct ce_choice types[] = {
    {"crash", TYPE_CRASH, "the process is killed"},
    {"hang", TYPE_HANG, "the process stands still, its sockets stay open"},
    {NULL, 0, NULL},
};
static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "freezer where the host allows it, else stop"},
    {"freezer", BY_FREEZER, "a control group of version 2, else of version 1"},
    {"stop", BY_STOP, "SIGSTOP"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_CHOICE(struct node_failure, failure_type, .choices = types, .def = "crash",
              .doc = "How the node fails."),
    CE_TEXT(
        struct node_failure, target_service, .def = "server",
        .doc = "Which of the pipeline's processes fails: server, the one that serves predictions."),
    CE_CHOICE(struct node_failure, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How a hang is brought about."),
    CE_END_PARAMS,
};

/* How the process was made to stand still. */
enum hung_by { NOT_HUNG = 0, HUNG_V2, HUNG_V1, HUNG_STOPPED };
static const char *const hung_by_names[] = {"", "frozen by cgroup v2",
                                            "frozen by cgroup v1 freezer", "stopped by SIGSTOP"};

struct state {
    struct ce_process_id victim;
    bool hit;
    enum hung_by hung_by;
    int note;
    char *group; /* the freezer's folder */
};

static const int64_t stand_still = 50 * CE_MILLISECOND;

static int check(const void *p, struct ce_error *err)
{
    const struct node_failure *want = p;
    if (want->target_service && strcmp(want->target_service, "server") != 0)
        return ce_fail(err, EINVAL, "target_service: '%s' is not one of server",
                       want->target_service);
    if (want->failure_type == TYPE_CRASH && want->mechanism != BY_AUTO)
        return ce_fail(err, EINVAL, "mechanism: only failure_type hang has a choice of mechanisms");
    return 0;
}

/* ---- inject ---- */

/* One way of hanging. On failure what it began is taken back, so that the next way can be tried. */
static int hang_by(struct ce_injection *injection, enum hung_by way, struct ce_error *err)
{
    struct state *state = injection->state;
    int r;
    if (way == HUNG_STOPPED)
        r = ce_process_stop(injection->journal, &state->victim, &state->note, err);
    else
        r = ce_freezer_freeze(injection->journal, way == HUNG_V2 ? CE_FREEZER_V2 : CE_FREEZER_V1,
                              &state->victim, &state->note, &state->group, err);
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
        if (r == -ECANCELED || !ce_process_alive(&state->victim))
            break; /* no other way would do better */
    }
    if (err)
        *err = why;
    return r;
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct node_failure *want = injection->params;
    const struct ce_target *target = injection->target;
    struct state *state = injection->state;
    if (want->failure_type == TYPE_CRASH && !target->ensure_serving)
        return ce_fail(err, ENOTSUP,
                       "%s cannot be crashed: ChaosEater did not start it and could not restart it",
                       target->name);
    CE_TRY(target->serving_process(target->pipeline, &state->victim, err));
    if (want->failure_type == TYPE_HANG)
        CE_TRY(hang(injection, err));
    else
        CE_TRY(ce_process_kill(&state->victim, err));
    state->hit = true;
    return 0;
}

/* ---- verify ---- */

static int verify_crash(const struct ce_injection *injection, struct ce_evidence *ret_evidence)
{
    const struct state *state = injection->state;
    const struct ce_target *target = injection->target;
    int pid = (int)state->victim.pid;
    if (ce_process_alive(&state->victim)) {
        snprintf(ret_evidence->text, sizeof ret_evidence->text, "process %d is still alive", pid);
        return 0;
    }
    struct ce_process_id now;
    if (target->serving_process(target->pipeline, &now, NULL) == 0)
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "process %d is gone from /proc; process %d has been started in its place", pid,
                 (int)now.pid);
    else
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "process %d is gone from /proc and nothing serves", pid);
    return 1;
}

static bool stands(const struct state *state)
{
    switch (state->hung_by) {
    case HUNG_V2:
        return ce_freezer_frozen(CE_FREEZER_V2, state->group);
    case HUNG_V1:
        return ce_freezer_frozen(CE_FREEZER_V1, state->group);
    default:
        return ce_process_state(&state->victim) == 'T';
    }
}

static int verify_hang(const struct ce_injection *injection, struct ce_evidence *ret_evidence)
{
    const struct state *state = injection->state;
    int pid = (int)state->victim.pid;
    int64_t before = ce_process_cpu_time(&state->victim);
    bool stood = stands(state);
    ce_sleep_until(ce_now() + stand_still);
    int64_t used = ce_process_cpu_time(&state->victim) - before;
    if (ce_process_signal(&state->victim, 0) < 0) {
        /* A process that hung when it was looked at and was then killed by its supervisor did hang.
         */
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "process %d %s and has been ended since by its supervisor", pid,
                 stood ? "stood still" : "was not seen to stand still");
        return stood;
    }
    if (!stood || !stands(state) || used != 0) {
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "process %d does not stand still: state %c, %" PRId64
                 " us of processor time in %d ms",
                 pid, ce_process_state(&state->victim), used / CE_MICROSECOND,
                 (int)(stand_still / CE_MILLISECOND));
        return 0;
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "process %d is there but stands still: %s, no processor time in %d ms", pid,
             hung_by_names[state->hung_by], (int)(stand_still / CE_MILLISECOND));
    return 1;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    const struct node_failure *want = injection->params;
    return want->failure_type == TYPE_CRASH ? verify_crash(injection, ret_evidence)
                                            : verify_hang(injection, ret_evidence);
}

/* ---- revert ---- */

static int revert(struct ce_injection *injection, struct ce_error *err)
{
    struct state *state = injection->state;
    const struct ce_target *target = injection->target;
    if (state->note > 0)
        CE_TRY(ce_undo_now(injection->journal, state->note, err));
    state->note = 0;
    free(ce_take(state->group));
    return state->hit && target->ensure_serving ? target->ensure_serving(target->pipeline, err) : 0;
}

static int verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    struct ce_process_id now;
    CE_TRY(target->serving_process(target->pipeline, &now, err));
    if (ce_process_state(&now) == 'T')
        return ce_fail(err, EBUSY, "process %d is still stopped", (int)now.pid);
    return 0;
}

static void count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct state *state = injection->state;
    *ret_counts = (struct ce_fault_counts){.eligible = 1, .selected = 1, .changed = state->hit};
}

const struct ce_fault ce_fault_node_failure = {
    .name = "node_failure",
    .summary = "Crash or hang the process that serves predictions",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_PROCESS,
    .params = params,
    .params_size = sizeof(struct node_failure),
    .state_size = sizeof(struct state),
    .example = "{failure_type: hang}",
    .check = check,
    .inject = inject,
    .verify = verify,
    .revert = revert,
    .verify_undo = verify_undo,
    .count = count,
};
