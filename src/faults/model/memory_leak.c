/* SPDX-License-Identifier: MIT */
/* memory_leak: the process that serves predictions leaks memory.
 *
 * A helper that the process loaded when it was started takes pages in it and writes to them. It
 * gives them back when this process closes its end, or dies; so there is nothing to note in the
 * journal. What the leak may take is bounded by limit_mb, and by floor_mb of the host.
 *
 * The witness is the kernel's list of the process's mappings: it tells leaked memory from what the
 * process takes for itself meanwhile.
 *
 * Into a server that somebody else started nothing can be loaded. There, with `cgroup`, the memory
 * is taken away from outside: the limit of the server's control group sinks at the rate at which
 * the process would leak. A leak fills the room from inside, the squeeze makes the room smaller;
 * the end is the same, caches go first, and who asks for more than there is gets killed. The old
 * limit is noted in the journal, and the witness is the limit as the kernel has it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/seam.h"
#include "faults/fault.h"
#include "host/leak.h"
#include "host/memory.h"
#include "host/memory_limit.h"
#include "host/process.h"

struct memory_leak {
    double leak_rate_mb, limit_mb, floor_mb;
    char *cgroup;
};

struct leak_state {
    struct ce_process_id process;
    int leak;     /* descriptor */
    bool leaking; /* it is open */
    struct ce_leak_order order;
    uint64_t held_before; /* of what looks like leaked memory */
    int64_t begun;
    bool seen;

    struct ce_memory_group group; /* from here on, for the squeeze */
    struct ce_squeeze_order down;
    struct ce_squeeze *squeeze;
    uint64_t limit_before;
    int note;
};

static const struct ce_param params[] = {
    CE_NUMBER(struct memory_leak, leak_rate_mb, .min = 0, .max = 65536, .def = "10",
              .unit = "MiB per second", .doc = "Memory that the serving process leaks."),
    CE_NUMBER(struct memory_leak, limit_mb, .min = 1, .max = 16777216, .def = "1024", .unit = "MiB",
              .doc = "It stops leaking at that much."),
    CE_NUMBER(struct memory_leak, floor_mb, .min = 0, .max = 16777216, .def = "512", .unit = "MiB",
              .doc = "While the host has less than that available, it leaks no further."),
    CE_TEXT(struct memory_leak, cgroup, .def = "",
            .doc = "Control group of a server that ChaosEater did not start: its memory limit then "
                   "starts limit_mb above what is in use, or where it is if that is less, and "
                   "sinks at leak_rate_mb by limit_mb at most, which takes memory away from "
                   "outside instead of leaking it inside. A folder below /sys/fs/cgroup, or a path "
                   "as in /proc/PID/cgroup."),
    CE_END_PARAMS,
};

static bool squeezes(const struct memory_leak *want)
{
    return want->cgroup && want->cgroup[0] != '\0';
}

static unsigned leak_needs(const void *p)
{
    return squeezes(p) ? 0 : CE_NEEDS_PROCESS | CE_NEEDS_LEAK_HELPER;
}

static int leak_check(const void *p, struct ce_error *err)
{
    const struct memory_leak *want = p;
    if (squeezes(want) && want->cgroup[0] != '/')
        return ce_fail(err, EINVAL,
                       "cgroup is '%s'; it must be a path that begins with '/', such as "
                       "/sys/fs/cgroup/NAME",
                       want->cgroup);
    return 0;
}

static bool leak_is_control(const void *p)
{
    const struct memory_leak *want = p;
    return want->leak_rate_mb == 0;
}

static uint64_t bytes_of(double mib)
{
    return (uint64_t)(mib * (double)CE_MIB);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- from inside ---- */

static int leak_begin(struct ce_injection *injection, struct ce_error *err)
{
    const struct memory_leak *want = injection->params;
    const struct ce_target *target = injection->target;
    struct leak_state *state = injection->state;
    uint64_t available = ce_memory_available(), floor = bytes_of(want->floor_mb);
    state->order = (struct ce_leak_order){
        .per_second = bytes_of(want->leak_rate_mb),
        .limit = least(bytes_of(want->limit_mb), available > floor ? available - floor : 0),
        .floor = floor,
    };
    if (state->order.per_second > 0 && state->order.limit == 0)
        return ce_fail(err, ENODATA,
                       "nothing may leak: %" PRIu64 " MiB are available and floor_mb is %g",
                       available / CE_MIB, want->floor_mb);
    CE_TRY(target->serving_process(target->pipeline, &state->process, err));
    CE_TRY(ce_leak_held(&state->process, &state->held_before, err));
    ce_seam_step("leak: open");
    state->leak = ce_leak_open(target->run_folder, &state->process, err);
    if (state->leak < 0)
        return state->leak;
    state->leaking = true;
    state->begun = ce_now();
    ce_seam_step("leak: begin");
    return ce_seam_no_effect() ? 0 : ce_leak_set(state->leak, &state->order, err);
}

/* The share of what should have leaked that counts as seen, and for how long to look at least. */
static const double enough = 0.5;
#define PATIENCE (3 * CE_SECOND)
#define LOOK_NS  (50 * CE_MILLISECOND)

/* A slow leak takes its time to show, for which there may be no more than the fault's. */
static int64_t patience(const struct ce_injection *injection, uint64_t per_second)
{
    double pieces = 2 * (double)CE_LEAK_PIECE / (double)per_second;
    return (int64_t)fmax((double)PATIENCE,
                         fmin(pieces * (double)CE_SECOND, (double)injection->duration));
}

static double expected_after(const struct leak_state *state, int64_t passed)
{
    return fmin((double)state->order.limit,
                (double)state->order.per_second * (double)passed / (double)CE_SECOND);
}

static int leak_look(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                     struct ce_error *err)
{
    struct leak_state *state = injection->state;
    for (;;) {
        int64_t passed = ce_now() - state->begun;
        double expected = expected_after(state, passed);
        uint64_t held = 0;
        int r = ce_leak_held(&state->process, &held, err);
        if (r < 0 && r != -ESRCH)
            return r;
        double leaked = (double)held - (double)least(state->held_before, held);
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "serving process %d %s %.1f MiB of leaked memory after %.2f s (its VmRSS is %.1f "
                 "MiB); the recipe leaks %.1f",
                 (int)state->process.pid, r < 0 ? "has ended, with" : "holds",
                 leaked / (double)CE_MIB, (double)passed / 1e9,
                 (double)ce_process_status_bytes(&state->process, "VmRSS") / (double)CE_MIB,
                 expected / (double)CE_MIB);
        state->seen = leaked > 0 && leaked >= enough * expected;
        if (state->seen && (passed >= CE_SECOND / 2 || expected >= (double)state->order.limit))
            return 1;
        if (r < 0 || passed > patience(injection, state->order.per_second))
            return 0;
        ce_sleep_until(ce_now() + LOOK_NS);
    }
}

/* ---- from outside ---- */

/* A server that may have less than that, or than half of what it has, would not end by a leak but
 * at once. */
#define LEAST_LIMIT (16 * CE_MIB)

static uint64_t whole_pages(uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return bytes / page * page;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int squeeze_begin(struct ce_injection *injection, struct ce_error *err)
{
    const struct memory_leak *want = injection->params;
    struct leak_state *state = injection->state;
    uint64_t room = bytes_of(want->limit_mb), usage;
    CE_TRY(ce_memory_group_find(want->cgroup, &state->group, err));
    CE_TRY(ce_memory_group_look(&state->group, &state->limit_before, &usage, err));
    if (want->leak_rate_mb == 0)
        return 0;
    uint64_t from = least(state->limit_before, usage + room);
    uint64_t lowest = most(LEAST_LIMIT, usage / 2);
    state->down = (struct ce_squeeze_order){
        .from = whole_pages(from),
        .to = whole_pages(most(lowest, from - least(room, from))),
        .per_second = bytes_of(want->leak_rate_mb),
    };
    if (state->down.to >= state->down.from)
        return ce_fail(err, ENODATA,
                       "nothing may be squeezed: control group '%s' would begin with %" PRIu64
                       " MiB and must keep %" PRIu64 " MiB; more limit_mb gives more room",
                       state->group.folder, from / CE_MIB, lowest / CE_MIB);
    state->begun = ce_now();
    return ce_squeeze_begin(injection->journal, &state->group, &state->down, &state->note,
                            &state->squeeze, err);
}

/* Seen: the limit has come down as it should have, or as far as what is in use lets it. */
static int squeeze_look(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                        struct ce_error *err)
{
    struct leak_state *state = injection->state;
    const struct ce_squeeze_order *down = &state->down;
    double deepest = (double)(down->from - down->to);
    for (;;) {
        uint64_t limit, usage;
        int64_t passed = ce_now() - state->begun;
        double expected =
            fmin(deepest, (double)down->per_second * (double)passed / (double)CE_SECOND);
        int r = ce_memory_group_look(&state->group, &limit, &usage, err);
        if (r == -ENOENT) { /* as happens when the server was killed: what was seen before holds */
            snprintf(ret_evidence->text, sizeof ret_evidence->text,
                     "the control group is gone after %.2f s; its memory limit began at %.1f MiB: "
                     "'%s'",
                     (double)passed / 1e9, (double)down->from / (double)CE_MIB,
                     state->group.folder);
            return state->seen;
        }
        CE_TRY(r);
        double squeezed = (double)down->from - (double)limit;
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "the memory limit is %.1f MiB after %.2f s and began at %.1f; the recipe takes "
                 "%.1f away; %.1f MiB are in use in control group '%s'",
                 (double)limit / (double)CE_MIB, (double)passed / 1e9,
                 (double)down->from / (double)CE_MIB, expected / (double)CE_MIB,
                 (double)usage / (double)CE_MIB, state->group.folder);
        state->seen = squeezed > 0 && (squeezed >= enough * expected || usage + CE_MIB >= limit);
        if (state->seen && (passed >= CE_SECOND / 2 || expected >= deepest))
            return 1;
        if (passed > patience(injection, down->per_second))
            return 0;
        ce_sleep_until(ce_now() + LOOK_NS);
    }
}

/* A group that is gone has no limit to be put back. */
static int squeeze_verify_undo(const struct leak_state *state, struct ce_error *err)
{
    uint64_t limit, usage;
    int r = ce_memory_group_look(&state->group, &limit, &usage, err);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    return limit == state->limit_before
               ? 0
               : ce_fail(err, EBUSY,
                         "the memory limit of control group '%s' is %" PRIu64 " and was %" PRIu64,
                         state->group.folder, limit, state->limit_before);
}

/* ---- the fault ---- */

static int leak_inject(struct ce_injection *injection, struct ce_error *err)
{
    return squeezes(injection->params) ? squeeze_begin(injection, err) : leak_begin(injection, err);
}

static int leak_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                       struct ce_error *err)
{
    return squeezes(injection->params) ? squeeze_look(injection, ret_evidence, err)
                                       : leak_look(injection, ret_evidence, err);
}

static int leak_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct leak_state *state = injection->state;
    if (state->squeeze)
        ce_squeeze_set(state->squeeze, (uint64_t)((double)state->down.per_second * intensity));
    struct ce_leak_order order = state->order;
    /* In a process that has ended nothing leaks, whatever the rate. */
    if (!state->leaking || !ce_process_alive(&state->process))
        return 0;
    order.per_second = (uint64_t)((double)order.per_second * intensity);
    return ce_leak_set(state->leak, &order, err);
}

static int leak_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct leak_state *state = injection->state;
    ce_squeeze_end(ce_take(state->squeeze));
    if (state->note > 0)
        return ce_undo_now(injection->journal, state->note, err);
    if (!state->leaking)
        return 0;
    ce_seam_step("leak: end");
    (void)close(state->leak);
    state->leaking = false;
    ce_seam_step("leak: ended");
    return 0;
}

/* The memory is given back by a thread of the process itself, which takes a moment. */
static int leak_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct leak_state *state = injection->state;
    int64_t give_up = ce_now() + PATIENCE;
    if (state->note > 0)
        return squeeze_verify_undo(state, err);
    if (state->process.pid == 0)
        return 0;
    for (;;) {
        uint64_t held;
        int r = ce_leak_held(&state->process, &held, err);
        if (r < 0) /* a process that has ended holds nothing */
            return r == -ESRCH ? 0 : r;
        if (held <= state->held_before)
            return 0;
        if (ce_now() > give_up)
            return ce_fail(err, EBUSY, "serving process %d still holds %.1f MiB of leaked memory",
                           (int)state->process.pid,
                           (double)(held - state->held_before) / (double)CE_MIB);
        ce_sleep_until(ce_now() + LOOK_NS);
    }
}

static void leak_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct leak_state *state = injection->state;
    bool hit = state->process.pid > 0 || state->note > 0;
    *ret_counts =
        (struct ce_fault_counts){.eligible = hit, .selected = hit, .changed = state->seen};
}

const struct ce_fault ce_fault_memory_leak = {
    .name = "memory_leak",
    .summary = "Leak memory in the process that serves predictions",
    .layer = CE_LAYER_MODEL,
    .needs = CE_NEEDS_PROCESS | CE_NEEDS_LEAK_HELPER,
    .needs_of = leak_needs,
    .check = leak_check,
    .params = params,
    .params_size = sizeof(struct memory_leak),
    .state_size = sizeof(struct leak_state),
    .example = "{leak_rate_mb: 50, limit_mb: 200}",
    .is_control = leak_is_control,
    .inject = leak_inject,
    .verify = leak_verify,
    .adjust = leak_adjust,
    .revert = leak_revert,
    .verify_undo = leak_verify_undo,
    .count = leak_count,
};
