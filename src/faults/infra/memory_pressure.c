/* SPDX-License-Identifier: MIT */
/* memory_pressure: there is less memory.
 *
 * hog: a process of our own takes memory away from everything else on the host. It takes what was
 * asked unless the host's available memory would fall below `floor_mb`: pressure, not an outage of
 * the machine. Ending that process gives everything back, so that is all that there is to undo.
 * This is what happens to the pipeline, whatever it runs in.
 *
 * limit: a target that `target:` names loses memory alone. The limit of its control group is set
 * memory_mb below what is in use, but never below what the kernel cannot take back plus
 * `group_floor_mb`: caches go, and whoever asks for more is slowed down (version 2: memory.high) or
 * has to give other memory back first (version 1: the limit itself). The old value is noted and put
 * back. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/fault.h"
#include "faults/infra/inside.h"
#include "host/cgroup.h"
#include "host/hog.h"
#include "host/memory_limit.h"
#include "host/process.h"

enum { BY_AUTO, BY_HOG, BY_LIMIT };
/* The defaults, which are as good as not stated. */
enum { FLOOR_MB = 512, GROUP_FLOOR_MB = 16 };

struct memory_pressure {
    double memory_mb, floor_mb, group_floor_mb;
    int mechanism;
};

static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "limit for a target that is named, else hog"},
    {"hog", BY_HOG, "a process that takes memory of the host"},
    {"limit", BY_LIMIT, "the limit of the target's control group"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_NUMBER(struct memory_pressure, memory_mb, .min = 0, .max = 16777216, .def = "1024",
              .unit = "MiB", .doc = "Memory taken."),
    CE_NUMBER(
        struct memory_pressure, floor_mb, .min = 0, .max = 16777216, .def = "512", .unit = "MiB",
        .doc = "Available memory of the host that is always left; less is taken when needed."),
    CE_NUMBER(struct memory_pressure, group_floor_mb, .min = 0, .max = 16777216, .def = "16",
              .unit = "MiB",
              .doc = "What limit leaves to the group beyond what the kernel cannot take back."),
    CE_CHOICE(struct memory_pressure, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How the memory is taken."),
    CE_END_PARAMS,
};

struct state {
    struct ce_hog *hog;
    struct ce_process_id id;
    uint64_t asked, available_before;
    bool hit;
    /* limit: */
    struct ce_memory_group group;
    int note;
    uint64_t before, usage_before, lowest; /* what it was, what was in use, what it is now */
};

/* What else goes on in the host may hide that much of the effect on its available memory. */
static const uint64_t others_slack = 512 * CE_MIB;
/* The kernel counts in batches, per processor. */
static const uint64_t group_slack = 2 * CE_MIB;
static const int64_t settle_within = 3 * CE_SECOND;

static uint64_t bytes_of(double mib)
{
    return (uint64_t)(mib * (double)CE_MIB);
}

static int check(const void *p, struct ce_error *err)
{
    const struct memory_pressure *want = p;
    if (want->mechanism == BY_HOG && want->group_floor_mb != GROUP_FLOOR_MB)
        return ce_fail(err, EINVAL,
                       "group_floor_mb: %g plays no part with mechanism hog; floor_mb is its floor",
                       want->group_floor_mb);
    if (want->mechanism == BY_LIMIT && want->floor_mb != FLOOR_MB)
        return ce_fail(err, EINVAL,
                       "floor_mb: %g plays no part with mechanism limit; group_floor_mb is its "
                       "floor",
                       want->floor_mb);
    return 0;
}

static bool is_control(const void *p)
{
    const struct memory_pressure *want = p;
    return bytes_of(want->memory_mb) == 0;
}

/* ---- limit ---- */

static int find_group(struct ce_injection *injection, struct ce_memory_group *ret_group,
                      struct ce_error *err)
{
    struct ce_subject subject;
    ce_autofree char *folder = NULL;
    CE_TRY(ce_inside_find(injection->target, NULL, &subject, err));
    if (subject.has & CE_SUBJECT_GROUP)
        return ce_memory_group_find(subject.group, ret_group, err);
    if (!(subject.has & CE_SUBJECT_PROCESS))
        return ce_fail(err, ENOTSUP, "%s has no control group whose memory could be limited",
                       subject.name);
    if (ce_cgroup_find(subject.process.pid, "memory", &folder, NULL, NULL) < 0)
        CE_TRY(ce_cgroup_find(subject.process.pid, NULL, &folder, NULL, err));
    return ce_memory_group_find(folder, ret_group, err);
}

static int press(struct ce_injection *injection, struct ce_error *err)
{
    const struct memory_pressure *want = injection->params;
    struct state *state = injection->state;
    uint64_t limit, usage, reclaimable, page = (uint64_t)sysconf(_SC_PAGESIZE);
    CE_TRY(find_group(injection, &state->group, err));
    CE_TRY(ce_memory_group_look(&state->group, &limit, &usage, err));
    CE_TRY(ce_memory_group_reclaimable(&state->group, &reclaimable, err));
    CE_TRY(ce_memory_press_look(&state->group, &state->before, err));
    uint64_t fixed =
                 (usage > reclaimable ? usage - reclaimable : 0) + bytes_of(want->group_floor_mb),
             wanted = usage > state->asked ? usage - state->asked : 0;
    state->usage_before = usage;
    state->lowest = (wanted > fixed ? wanted : fixed) / page * page;
    if (state->lowest >= state->before || state->lowest >= limit)
        return ce_fail(err, ENODATA,
                       "nothing can be taken from control group '%s': %" PRIu64
                       " MiB cannot be taken back or are left by group_floor_mb, and its limit is "
                       "no more than that",
                       state->group.folder, state->lowest / CE_MIB);
    CE_TRY(ce_memory_press_begin(injection->journal, &state->group, &state->note, &state->before,
                                 err));
    CE_TRY(ce_memory_press_set(&state->group, state->lowest, err));
    state->hit = true;
    return 0;
}

/* What has to go may take a moment; more may be asked for meanwhile. */
static int verify_press(const struct state *state, struct ce_evidence *ret_evidence,
                        struct ce_error *err)
{
    uint64_t limit = 0, usage = 0, ignored;
    bool seen = false;
    for (int64_t until = ce_now() + settle_within; !seen;) {
        CE_TRY(ce_memory_press_look(&state->group, &limit, err));
        CE_TRY(ce_memory_group_look(&state->group, &ignored, &usage, err));
        seen = limit <= state->lowest && usage <= limit + group_slack;
        if (ce_now() >= until)
            break;
        ce_sleep_until(ce_now() + 10 * CE_MILLISECOND);
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "control group '%.120s' used %" PRIu64 " MiB; it may use %" PRIu64
             " MiB now, and uses %" PRIu64 " MiB",
             state->group.folder, state->usage_before / CE_MIB, limit / CE_MIB, usage / CE_MIB);
    return seen;
}

static int adjust_press(struct state *state, double intensity, struct ce_error *err)
{
    uint64_t from = state->before < state->usage_before ? state->before : state->usage_before;
    if (intensity <= 0)
        return ce_memory_press_set(&state->group, state->before, err);
    if (from < state->lowest)
        from = state->lowest;
    uint64_t left = (uint64_t)((1 - intensity) * (double)(from - state->lowest));
    return ce_memory_press_set(&state->group, state->lowest + left, err);
}

/* ---- both ---- */

static bool limits(const struct ce_injection *injection)
{
    const struct memory_pressure *want = injection->params;
    return want->mechanism == BY_LIMIT ||
           (want->mechanism == BY_AUTO && injection->target->is_explicit);
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct memory_pressure *want = injection->params;
    struct state *state = injection->state;
    state->asked = bytes_of(want->memory_mb);
    if (state->asked == 0)
        return 0;
    if (limits(injection))
        return press(injection, err);
    state->available_before = ce_memory_available();
    CE_TRY(ce_hog_start(injection->journal, bytes_of(want->floor_mb), &state->hog, err));
    state->id = ce_hog_id(state->hog);
    struct ce_hog_size size;
    CE_TRY(ce_hog_resize(state->hog, state->asked, &size, err));
    if (size.bytes == 0)
        return ce_fail(err, ENODATA,
                       "no memory could be taken: %" PRIu64 " MiB are available and floor_mb is %g",
                       ce_memory_available() / CE_MIB, want->floor_mb);
    state->hit = true;
    return 0;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    const struct memory_pressure *want = injection->params;
    const struct state *state = injection->state;
    struct ce_hog_size size;
    if (state->note > 0)
        return verify_press(state, ret_evidence, err);
    if (!ce_process_alive(&state->id)) {
        snprintf(ret_evidence->text, sizeof ret_evidence->text, "the memory process %d has ended",
                 (int)state->id.pid);
        return 0;
    }
    CE_TRY(ce_hog_look(state->hog, &size, err));
    uint64_t resident = ce_process_status_bytes(&state->id, "VmRSS");
    uint64_t locked = ce_process_status_bytes(&state->id, "VmLck");
    uint64_t available = ce_memory_available();
    uint64_t wanted = size.limited ? size.bytes : state->asked;
    char limit[80] = "";
    if (size.limited)
        snprintf(limit, sizeof limit, " of the %.0f asked: the floor is %.0f MiB", want->memory_mb,
                 want->floor_mb);
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "process %d holds %" PRIu64 " MiB%s (VmRSS %" PRIu64 " MiB, VmLck %" PRIu64
             " MiB: %s); available memory went from %" PRIu64 " to %" PRIu64 " MiB",
             (int)state->id.pid, size.bytes / CE_MIB, limit, resident / CE_MIB, locked / CE_MIB,
             size.locked ? "locked" : "resident", state->available_before / CE_MIB,
             available / CE_MIB);
    double enough = 0.95 * (double)wanted;
    return wanted > 0 && (double)resident >= enough && (!size.locked || (double)locked >= enough) &&
           available + wanted / 2 <= state->available_before + others_slack;
}

static int adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct state *state = injection->state;
    struct ce_hog_size size;
    if (state->note > 0)
        return adjust_press(state, intensity, err);
    if (!state->hog)
        return 0;
    return ce_hog_resize(state->hog, (uint64_t)(intensity * (double)state->asked), &size, err);
}

static int revert(struct ce_injection *injection, struct ce_error *err)
{
    struct state *state = injection->state;
    if (state->note > 0)
        CE_TRY(ce_undo_now(injection->journal, state->note, err));
    state->note = 0;
    return ce_hog_stop(ce_take(state->hog), err);
}

static int verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct state *state = injection->state;
    if (state->id.pid > 0 && ce_process_alive(&state->id))
        return ce_fail(err, EBUSY, "the memory process %d is still there", (int)state->id.pid);
    return 0;
}

static void count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct state *state = injection->state;
    *ret_counts = (struct ce_fault_counts){
        .eligible = 1, .selected = state->asked > 0, .changed = state->hit};
}

const struct ce_fault ce_fault_memory_pressure = {
    .name = "memory_pressure",
    .summary = "Take memory from the host or a control group, down to a floor",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = 0,
    .params = params,
    .params_size = sizeof(struct memory_pressure),
    .state_size = sizeof(struct state),
    .example = "{memory_mb: 512}",
    .check = check,
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = adjust,
    .revert = revert,
    .verify_undo = verify_undo,
    .count = count,
};
