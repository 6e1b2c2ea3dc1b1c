/* SPDX-License-Identifier: MIT */
/* latency_injection: the dataset is slow to load, as from a store that has to fetch it first.
 *
 * Whoever opens the dataset waits: `delay_ms`, and as long as it would take to fetch all of it at
 * `bytes_per_second`. The pipeline is told to train again and meets that. The file itself is not
 * touched; slow_file.h has how it is done, and why there is nothing to undo. The intensity scales
 * the wait. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "faults/data/slow_file.h"
#include "faults/fault.h"

struct latency {
    double delay_ms;
    int64_t bytes_per_second;
};

static const struct ce_param params[] = {
    CE_NUMBER(struct latency, delay_ms, .min = 0, .max = 40000, .def = "1000", .unit = "ms",
              .doc = "How long it takes to open the dataset."),
    CE_INTEGER(struct latency, bytes_per_second, .min = 0, .max = 1e15, .def = "0", .unit = "B/s",
               .doc = "How fast it is fetched before it is open; 0 is at once."),
    CE_END_PARAMS,
};

struct state {
    struct ce_slow_file *slow;
    int64_t delay;                /* in ns, at full intensity */
    int64_t before, reload;       /* how long a read took without the fault; the reload with it */
    struct ce_error reload_error; /* why the pipeline did not take the dataset in; code 0: it did */
    uint64_t count;               /* opens that were held back, after the end */
};

static bool latency_is_control(const void *p)
{
    const struct latency *latency = p;
    return latency->delay_ms == 0 && latency->bytes_per_second == 0;
}

/* ---- a second reader ---- */

static int read_all(void *path)
{
    char hex[CE_SHA256_HEX];
    return ce_sha256_file(path, hex, NULL) < 0;
}

/* Has another process read the file, and measures how long it takes. */
static int time_read(const char *path, int64_t timeout, int64_t *ret_took, struct ce_error *err)
{
    struct ce_spawn reader = {.function = read_all, .ctx = (void *)path};
    struct ce_process_id id;
    int gate, status = 0;
    CE_TRY(ce_spawn(&reader, &id, &gate, err));
    int64_t start = ce_now();
    int r = ce_spawn_go(gate, err);
    if (r == 0 && ce_process_reap(&id, timeout, &status) < 0)
        r = ce_fail(err, ETIMEDOUT, "reading '%s' took another process more than %.1f s", path,
                    (double)timeout / (double)CE_SECOND);
    int64_t took = ce_now() - start;
    if (r < 0) {
        (void)ce_process_end(&id, CE_SECOND, NULL);
        return r;
    }
    if (status != 0)
        return ce_fail(err, EIO, "another process could not read '%s'", path);
    *ret_took = took;
    return 0;
}

/* What is allowed for beyond the delay. */
static const int64_t patience = 20 * CE_SECOND;

/* ---- the callbacks ---- */

static int latency_inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct latency *latency = injection->params;
    const struct ce_target *target = injection->target;
    struct state *state = injection->state;
    struct stat st;
    if (stat(target->dataset, &st) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", target->dataset, strerror(errno));
    double seconds = latency->delay_ms / 1000;
    if (latency->bytes_per_second > 0)
        seconds += (double)st.st_size / (double)latency->bytes_per_second;
    double limit = (double)(ce_slow_file_limit() / CE_SECOND);
    if (seconds >= limit)
        return ce_fail(err, ERANGE,
                       "loading '%s' would take %.1f s; this host holds it back for less than %g s "
                       "(/proc/sys/fs/lease-break-time)",
                       target->dataset, seconds, limit);
    state->delay = (int64_t)(seconds * (double)CE_SECOND);
    CE_TRY(time_read(target->dataset, patience, &state->before, err));
    ce_seam_step("data: slow the dataset");
    if (!ce_seam_no_effect())
        CE_TRY(ce_slow_file_start(target->dataset, state->delay, &state->slow, err));
    ce_seam_step("data: dataset slow");
    int64_t start = ce_now();
    state->reload_error.code = -target->reload(target->pipeline, &state->reload_error);
    state->reload = ce_now() - start;
    return 0;
}

static double milliseconds(int64_t ns)
{
    return (double)ns / (double)CE_MILLISECOND;
}

static int latency_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                          struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    const struct state *state = injection->state;
    int64_t took;
    /* The pipeline has closed the file; the next one to open it is held back again. */
    if (state->slow && ce_slow_file_wait(state->slow, patience) < 0)
        return ce_fail(err, EBUSY, "something keeps '%s' open, so that others open it at once",
                       target->dataset);
    CE_TRY(time_read(target->dataset, state->delay + patience, &took, err));
    int n = snprintf(ret_evidence->text, sizeof ret_evidence->text,
                     "another process read the dataset in %.0f ms, in %.0f ms before; ",
                     milliseconds(took), milliseconds(state->before));
    char *rest = ret_evidence->text + n;
    size_t room = sizeof ret_evidence->text - (size_t)n;
    if (state->reload_error.code != 0)
        snprintf(rest, room, "the pipeline could not take it in: %.180s",
                 state->reload_error.message);
    else
        snprintf(rest, room, "the pipeline took it in within %.0f ms", milliseconds(state->reload));
    return took >= state->delay && state->delay > 0;
}

static int latency_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    const struct state *state = injection->state;
    if (state->slow)
        ce_slow_file_set(state->slow, (int64_t)((double)state->delay * intensity));
    return 0;
}

static int latency_revert(struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    struct state *state = injection->state;
    if (state->slow) {
        state->count = ce_slow_file_count(state->slow);
        ce_slow_file_stop(ce_take(state->slow));
        ce_seam_step("data: dataset fast again");
    }
    if (state->reload_error.code == 0)
        return 0;
    CE_TRY(target->reload(target->pipeline, err));
    state->reload_error = (struct ce_error){0};
    return 0;
}

static int latency_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    const struct state *state = injection->state;
    int64_t took = 0;
    if (state->delay == 0)
        return 0;
    /* A busy host may be slow for once. */
    for (int tries = 0; tries < 3; tries++) {
        CE_TRY(time_read(target->dataset, state->delay + patience, &took, err));
        if (took < state->delay)
            return 0;
    }
    return ce_fail(err, EIO, "reading '%s' still takes %.0f ms", target->dataset,
                   milliseconds(took));
}

static void latency_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct state *state = injection->state;
    uint64_t count = state->slow ? ce_slow_file_count(state->slow) : state->count;
    *ret_counts = (struct ce_fault_counts){.eligible = count, .selected = count, .changed = count};
}

const struct ce_fault ce_fault_latency_injection = {
    .name = "latency_injection",
    .summary = "Make the training data slow to load",
    .layer = CE_LAYER_DATA,
    .needs = CE_NEEDS_DATASET,
    .params = params,
    .params_size = sizeof(struct latency),
    .state_size = sizeof(struct state),
    .example = "{delay_ms: 1500, bytes_per_second: 10000000}",
    .is_control = latency_is_control,
    .inject = latency_inject,
    .verify = latency_verify,
    .adjust = latency_adjust,
    .revert = latency_revert,
    .verify_undo = latency_verify_undo,
    .count = latency_count,
};
