/* SPDX-License-Identifier: MIT */
/* cpu_throttle: the target gets less processor time.
 *
 * quota: a share of it is taken away: by the quota of a control group, which all processes of the
 * target share, or by stopping and continuing them in turn. That share is one of `cpus` processors'
 * time: a target that uses one gets half of one at 50 %, and so does one that uses four from
 * cpus: 1. burn: nothing is forbidden, but processes of ours want the same processors for that
 * share of the time, like a neighbour that is too loud; how much that takes away is the
 * scheduler's choice.
 *
 * The intensity scales the share. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/infra/throttle.h"
#include "faults/infra/whom.h"
#include "host/processor/burn.h"
#include "host/processor/spinner.h"

enum { MODE_QUOTA, MODE_BURN };

struct cpu_throttle {
    double throttle_percent, cpus;
    int mode, mechanism;
    int64_t cores;
    char *target_service;
};

static const struct ce_choice modes[] = {
    {"quota", MODE_QUOTA, "the target may use no more than the rest"},
    {"burn", MODE_BURN, "other processes use the same processors for that share of the time"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_NUMBER(struct cpu_throttle, throttle_percent, .min = 0, .max = 100, .def = "50", .unit = "%",
              .doc = "Share of the processor time that is taken away; 100 is node_failure's hang."),
    CE_CHOICE(struct cpu_throttle, mode, .choices = modes, .def = "quota",
              .doc = "Whether it is forbidden or fought for."),
    CE_NUMBER(struct cpu_throttle, cpus, .min = 0, .max = 8192, .def = "0",
              .doc = "Of how many processors' time quota takes the share; 0: of as many as the "
                     "target uses when the fault begins, at least one."),
    CE_INTEGER(struct cpu_throttle, cores, .min = 0, .max = CE_BURN_MAX, .def = "0",
               .doc = "On how many of the target's processors burn works; 0: on all."),
    CE_CHOICE(struct cpu_throttle, mechanism, .choices = ce_throttle_choices, .def = "auto",
              .doc = "How quota is brought about."),
    CE_TEXT(struct cpu_throttle, target_service, .def = "server",
            .doc = "Which of the pipeline's services is meant; of the embedded one: server, "
                   "gateway, or pipeline for all of it."),
    CE_END_PARAMS,
};

struct state {
    struct ce_throttle *throttle;
    struct ce_burn *burn;
    struct ce_process_list processes;
    double burned; /* share that the burners work */
};

static const int64_t window = CE_SECOND;
static const double accuracy = 0.02, most_percent = 99;
/* Of what burners want they get that, however busy the host is; an idle one waits too, but works
 * for nothing. */
static const double least_burned = 0.1;
enum { ATTEMPTS = 3 };

static int check(const void *p, struct ce_error *err)
{
    const struct cpu_throttle *want = p;
    if (want->mode == MODE_QUOTA && want->throttle_percent > most_percent)
        return ce_fail(err, EINVAL,
                       "throttle_percent: %g leaves nothing to run with: at most %g can be taken "
                       "away, and node_failure with failure_type hang takes all",
                       want->throttle_percent, most_percent);
    if (want->mode == MODE_QUOTA && want->cores > 0)
        return ce_fail(err, EINVAL, "cores: only mode burn works on cores (quota takes cpus)");
    if (want->mode == MODE_BURN && (want->cpus > 0 || want->mechanism != CE_THROTTLE_AUTO))
        return ce_fail(err, EINVAL, "%s: only mode quota has it (burn takes cores)",
                       want->cpus > 0 ? "cpus" : "mechanism");
    if (want->throttle_percent > 0 && want->cpus > 0 && want->cpus < 0.01)
        return ce_fail(err, EINVAL, "cpus: %g is less than 0.01 (accepted: 0, or 0.01 to 8192)",
                       want->cpus);
    return 0;
}

static bool is_control(const void *p)
{
    return ((const struct cpu_throttle *)p)->throttle_percent == 0;
}

static int set_share(struct state *state, double share, struct ce_error *err)
{
    if (!state->burn)
        return state->throttle ? ce_throttle_set(state->throttle, share, err) : 0;
    state->burned = share;
    return ce_burn_set(state->burn, share, err);
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct cpu_throttle *want = injection->params;
    struct state *state = injection->state;
    struct ce_subject subject;
    if (is_control(want))
        return 0;
    CE_TRY(ce_whom_find(injection->target, want->target_service, &subject, &state->processes, err));
    if (want->mode == MODE_BURN)
        CE_TRY(ce_burn_begin(injection->journal, &state->processes.items[0], (unsigned)want->cores,
                             &state->burn, err));
    else
        CE_TRY(ce_throttle_begin(injection->journal, &subject, &state->processes,
                                 (enum ce_throttle_means)want->mechanism, want->cpus,
                                 &state->throttle, err));
    return set_share(state, want->throttle_percent / 100, err);
}

/* What the burners have used and, as others did, only wanted, shares of their processors' time. */
static void look_at_burners(const struct ce_process_list *burners, double *ret_used,
                            double *ret_wanted)
{
    int64_t begun = ce_now(), used = -ce_whom_cpu_time(burners), waited = 0;
    for (size_t i = 0; i < burners->count; i++)
        waited -= ce_spinner_waited(&burners->items[i]);
    ce_sleep_until(begun + window);
    used += ce_whom_cpu_time(burners);
    for (size_t i = 0; i < burners->count; i++)
        waited += ce_spinner_waited(&burners->items[i]);
    double most = (double)(ce_now() - begun) * (double)burners->count;
    *ret_used = (double)used / most;
    *ret_wanted = (double)(used + waited) / most;
}

static int verify_burn(const struct state *state, struct ce_evidence *ret_evidence)
{
    struct ce_process_id ids[CE_BURN_MAX];
    struct ce_process_list burners = {.items = ids, .count = ce_burn_processes(state->burn, ids)};
    bool seen = false;
    double used = 0, wanted = 0;
    for (int i = 0; i < ATTEMPTS && !seen; i++) {
        look_at_burners(&burners, &used, &wanted);
        seen = used <= state->burned + accuracy && wanted >= state->burned - accuracy &&
               used >= least_burned * state->burned;
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%zu processes of ours want %.1f %% of a processor each%s: they used %.1f %%, and "
             "waited for others %.1f %%, in %.1f s",
             burners.count, 100 * state->burned,
             ce_burn_is_inside(state->burn) ? ", in the target's control group" : "", 100 * used,
             100 * (wanted - used), (double)window / (double)CE_SECOND);
    return seen;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    const struct state *state = injection->state;
    return state->burn ? verify_burn(state, ret_evidence)
                       : ce_throttle_verify(state->throttle, ret_evidence, err);
}

static int adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    const struct cpu_throttle *want = injection->params;
    return set_share(injection->state, intensity * want->throttle_percent / 100, err);
}

static int revert(struct ce_injection *injection, struct ce_error *err)
{
    struct state *state = injection->state;
    int r = ce_throttle_end(ce_take(state->throttle), err);
    int r2 = ce_burn_end(ce_take(state->burn), r == 0 ? err : NULL);
    ce_process_list_done(&state->processes);
    return r < 0 ? r : r2;
}

static void count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct state *state = injection->state;
    size_t n = state->processes.count, hit = state->throttle || state->burn ? n : 0;
    *ret_counts = (struct ce_fault_counts){.eligible = n, .selected = n, .changed = hit};
}

const struct ce_fault ce_fault_cpu_throttle = {
    .name = "cpu_throttle",
    .summary = "Take a share of the processor time away from the target",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_TREE,
    .params = params,
    .params_size = sizeof(struct cpu_throttle),
    .state_size = sizeof(struct state),
    .example = "{throttle_percent: 80}",
    .check = check,
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = adjust,
    .revert = revert,
    .count = count,
};
