/* SPDX-License-Identifier: MIT */
/* memory_leak: the process that serves predictions leaks memory.
 *
 * A helper that the process loaded when it was started takes pages in it and writes to them. It
 * gives them back when this process closes its end, or dies; so there is nothing to note in the
 * journal. What the leak may take is bounded by limit_mb, and by floor_mb of the host.
 *
 * The witness is the kernel's list of the process's mappings: it tells leaked memory from what the
 * process takes for itself meanwhile. */
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
#include "host/process.h"

struct memory_leak {
    double leak_rate_mb, limit_mb, floor_mb;
};

struct leak_state {
    struct ce_process_id process;
    int leak;     /* descriptor */
    bool leaking; /* it is open */
    struct ce_leak_order order;
    uint64_t held_before; /* of what looks like leaked memory */
    int64_t begun;
    bool seen;
};

static const struct ce_param params[] = {
    CE_NUMBER(struct memory_leak, leak_rate_mb, .min = 0, .max = 65536, .def = "10",
              .unit = "MiB per second", .doc = "Memory that the serving process leaks."),
    CE_NUMBER(struct memory_leak, limit_mb, .min = 1, .max = 16777216, .def = "1024", .unit = "MiB",
              .doc = "It stops leaking at that much."),
    CE_NUMBER(struct memory_leak, floor_mb, .min = 0, .max = 16777216, .def = "512", .unit = "MiB",
              .doc = "While the host has less than that available, it leaks no further."),
    CE_END_PARAMS,
};

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

static int leak_inject(struct ce_injection *injection, struct ce_error *err)
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
static int64_t patience(const struct ce_injection *injection)
{
    const struct leak_state *state = injection->state;
    double pieces = 2 * (double)CE_LEAK_PIECE / (double)state->order.per_second;
    return (int64_t)fmax((double)PATIENCE,
                         fmin(pieces * (double)CE_SECOND, (double)injection->duration));
}

static double expected_after(const struct leak_state *state, int64_t passed)
{
    return fmin((double)state->order.limit,
                (double)state->order.per_second * (double)passed / (double)CE_SECOND);
}

static int leak_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
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
        if (r < 0 || passed > patience(injection))
            return 0;
        ce_sleep_until(ce_now() + LOOK_NS);
    }
}

static int leak_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct leak_state *state = injection->state;
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
    bool hit = state->process.pid > 0;
    *ret_counts =
        (struct ce_fault_counts){.eligible = hit, .selected = hit, .changed = state->seen};
}

const struct ce_fault ce_fault_memory_leak = {
    .name = "memory_leak",
    .summary = "Leak memory in the process that serves predictions",
    .layer = CE_LAYER_MODEL,
    .needs = CE_NEEDS_PROCESS | CE_NEEDS_LEAK_HELPER,
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
