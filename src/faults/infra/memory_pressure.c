/* SPDX-License-Identifier: MIT */
/* memory_pressure: a process of our own takes memory away from everything else on the host.
 *
 * It takes what was asked unless the host's available memory would fall below `floor_mb`: pressure,
 * not an outage of the machine. Ending that process gives everything back, so that is all that
 * there is to undo. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/fault.h"
#include "host/hog.h"
#include "host/process.h"

struct memory_pressure {
    double memory_mb, floor_mb;
};

static const struct ce_param params[] = {
    CE_NUMBER(struct memory_pressure, memory_mb, .min = 0, .max = 16777216, .def = "1024",
              .unit = "MiB", .doc = "Memory taken."),
    CE_NUMBER(
        struct memory_pressure, floor_mb, .min = 0, .max = 16777216, .def = "512", .unit = "MiB",
        .doc = "Available memory of the host that is always left; less is taken when needed."),
    CE_END_PARAMS,
};

struct state {
    struct ce_hog *hog;
    struct ce_process_id id;
    uint64_t asked, available_before;
    bool hit;
};

/* What else goes on in the host may hide that much of the effect on its available memory. */
static const uint64_t others_slack = 512 * CE_MIB;

static uint64_t bytes_of(double mib)
{
    return (uint64_t)(mib * (double)CE_MIB);
}

static bool is_control(const void *p)
{
    const struct memory_pressure *want = p;
    return bytes_of(want->memory_mb) == 0;
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct memory_pressure *want = injection->params;
    struct state *state = injection->state;
    state->asked = bytes_of(want->memory_mb);
    if (state->asked == 0)
        return 0;
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
    if (!state->hog)
        return 0;
    return ce_hog_resize(state->hog, (uint64_t)(intensity * (double)state->asked), &size, err);
}

static int revert(struct ce_injection *injection, struct ce_error *err)
{
    struct state *state = injection->state;
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
    .summary = "Take memory away from the host, down to a floor",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = 0,
    .params = params,
    .params_size = sizeof(struct memory_pressure),
    .state_size = sizeof(struct state),
    .example = "{memory_mb: 512}",
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = adjust,
    .revert = revert,
    .verify_undo = verify_undo,
    .count = count,
};
