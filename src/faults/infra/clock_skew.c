/* SPDX-License-Identifier: MIT */
/* clock_skew: the target's clocks tell another time than the rest of the world's.
 *
 * A library that the process has loaded adds the skew to what its clocks tell, and takes it off
 * again where the process waits until a point in time. A time namespace would do for the monotonic
 * clocks, for statically linked programs too; but what it adds can be set only before its first
 * process enters, so the skew would have to be there from the start and could go by a restart
 * alone: no fault that comes and goes. So the library is the one mechanism for all clocks.
 *
 * Witnesses: a program that is started in the same environment says what time it is told, and so
 * does the model server itself where it can be asked. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/fault.h"
#include "faults/infra/inside.h"
#include "pipeline/helpers.h"

struct clock_skew {
    char *offset, *target_service;
    int clocks;
    double drift;
};

static const struct ce_choice clocks[] = {
    {"realtime", CE_CLOCK_REALTIME, "the time of day"},
    {"monotonic", CE_CLOCK_MONOTONIC, "the time since the start, which timers go by"},
    {"all", CE_CLOCK_REALTIME | CE_CLOCK_MONOTONIC, "both"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_TEXT(struct clock_skew, offset, .def = "1h",
            .doc = "How far the clocks are ahead, such as 90s or 1h; behind with a sign: -2h."),
    CE_CHOICE(struct clock_skew, clocks, .choices = clocks, .def = "realtime",
              .doc = "Which clocks."),
    CE_NUMBER(struct clock_skew, drift, .min = -0.9, .max = 10, .def = "0",
              .unit = "seconds per second", .doc = "How fast the skew grows from then on."),
    CE_TEXT(struct clock_skew, target_service, .def = "server",
            .doc = "Which of the pipeline's processes is meant."),
    CE_END_PARAMS,
};

struct state {
    struct ce_subject subject;
    struct ce_helper_control *control;
    struct ce_clock_skew skew; /* at full intensity */
    int note;
    bool hit;
};

/* What a witness may be off for reasons of its own: both ask one after the other. */
static const int64_t slack = 20 * CE_MILLISECOND;

static bool available(char *reason, size_t size)
{
    char detail[160];
    bool works = ce_helpers_available(CE_HELPER_CLOCK, detail, sizeof detail);
    snprintf(reason, size, "%s",
             works
                 ? "a library in what ChaosEater starts; no time namespace, whose clocks can only "
                   "be set before its first process enters"
                 : "the library that does it is not installed");
    return works;
}

/* A duration has no sign of its own. */
static int parse_offset(const char *text, int64_t *ret_offset, struct ce_error *err)
{
    struct {
        int64_t offset;
    } length = {0};
    static const struct ce_param row = {
        .name = "offset", .type = CE_PARAM_DURATION, .min = 0, .max = 876000.0 * 3600 * 1e9};
    bool is_behind = text && text[0] == '-';
    const char *unsigned_text = text && (is_behind || text[0] == '+') ? text + 1 : text;
    *ret_offset = 0;
    if (!text)
        return 0;
    CE_TRY(ce_param_set(&row, &length, unsigned_text, err));
    *ret_offset = is_behind ? -length.offset : length.offset;
    return 0;
}

static int check(const void *p, struct ce_error *err)
{
    int64_t offset;
    return parse_offset(((const struct clock_skew *)p)->offset, &offset, err);
}

static bool is_control(const void *p)
{
    const struct clock_skew *want = p;
    int64_t offset;
    return want->drift == 0 && parse_offset(want->offset, &offset, NULL) == 0 && offset == 0;
}

static struct ce_clock_skew scaled(const struct ce_clock_skew *skew, double intensity)
{
    struct ce_clock_skew less = *skew;
    less.offset = (int64_t)((double)skew->offset * intensity);
    less.drift = (int64_t)((double)skew->drift * intensity);
    return less;
}

static int64_t monotonic_now(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * CE_SECOND + now.tv_nsec;
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct clock_skew *want = injection->params;
    struct state *state = injection->state;
    CE_TRY(ce_inside_find(injection->target, want->target_service, &state->subject, err));
    CE_TRY(ce_inside_open(&state->subject, CE_CLOCK_LIBRARY, &state->control, err));
    state->skew = (struct ce_clock_skew){
        .clocks = (unsigned)want->clocks,
        .drift = (int64_t)(want->drift * 1e9),
        .begun = monotonic_now(),
    };
    CE_TRY(parse_offset(want->offset, &state->skew.offset, err));
    if (want->clocks & CE_CLOCK_MONOTONIC && state->skew.offset <= -state->skew.begun)
        return ce_fail(err, ERANGE,
                       "offset: %s would put the monotonic clocks before the start of this host, "
                       "which was %.0f s ago",
                       want->offset, (double)state->skew.begun / 1e9);
    if (is_control(want))
        return 0;
    CE_TRY(
        ce_helper_arm_clock(state->control, injection->journal, &state->skew, &state->note, err));
    state->hit = true;
    return 0;
}

/* ---- verify ---- */

/* How far two clocks are off, and how exactly that is known. */
struct reading {
    int64_t realtime, monotonic, spread;
};

static struct reading difference(int64_t realtime, int64_t monotonic, int64_t wall_before,
                                 int64_t before)
{
    int64_t took = monotonic_now() - before;
    return (struct reading){
        .realtime = realtime - wall_before - took / 2,
        .monotonic = monotonic - before - took / 2,
        .spread = took / 2,
    };
}

static int64_t wall_clock(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * CE_SECOND + now.tv_nsec;
}

static int read_bystander(const struct state *state, struct reading *ret, struct ce_error *err)
{
    static const char *const args[] = {"clock", NULL};
    char text[64];
    int64_t wall = wall_clock(), before = monotonic_now(), realtime, monotonic;
    CE_TRY(ce_inside_bystander(&state->subject, CE_HELPER_CLOCK, args, text, sizeof text, err));
    if (sscanf(text, "%" SCNd64 " %" SCNd64, &realtime, &monotonic) != 2)
        return ce_fail(err, EPROTO, "the witness says '%.40s'", text);
    *ret = difference(realtime, monotonic, wall, before);
    return 0;
}

/* False: the server says nothing of the kind. */
static bool read_server(const struct ce_injection *injection, struct reading *ret)
{
    int64_t wall = wall_clock(), before = monotonic_now();
    ce_autojson json_t *json = ce_inside_ask(injection->target, "/v2/clock");
    json_int_t realtime, monotonic;
    if (!json ||
        json_unpack(json, "{s:I, s:I}", "realtime_ns", &realtime, "monotonic_ns", &monotonic) < 0)
        return false;
    *ret = difference(realtime, monotonic, wall, before);
    return true;
}

static bool is_near(int64_t got, int64_t want, int64_t spread)
{
    return llabs(got - want) <= spread + slack;
}

static bool is_skewed(const struct ce_clock_skew *skew, const struct reading *reading)
{
    int64_t by = ce_clock_skew_at(skew, monotonic_now());
    int64_t spread =
        reading->spread + (int64_t)(fabs((double)skew->drift) / 1e9 * (double)reading->spread * 2);
    return is_near(reading->realtime, skew->clocks & CE_CLOCK_REALTIME ? by : 0, spread) &&
           is_near(reading->monotonic, skew->clocks & CE_CLOCK_MONOTONIC ? by : 0, spread);
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    const struct state *state = injection->state;
    struct reading bystander = {0}, server;
    CE_TRY(read_bystander(state, &bystander, err));
    bool is_seen = is_skewed(&state->skew, &bystander), is_said = true;
    char said[128] = "";
    if (read_server(injection, &server)) {
        is_said = is_skewed(&state->skew, &server);
        snprintf(said, sizeof said, ", and to the model server %+.3f s and %+.3f s",
                 (double)server.realtime / 1e9, (double)server.monotonic / 1e9);
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "to a process in the target's environment the time of day is off by %+.3f s and the "
             "monotonic clock by %+.3f s%s; asked were %+.3f s",
             (double)bystander.realtime / 1e9, (double)bystander.monotonic / 1e9, said,
             (double)ce_clock_skew_at(&state->skew, monotonic_now()) / 1e9);
    return is_seen && is_said;
}

/* ---- the rest ---- */

static int adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    const struct state *state = injection->state;
    if (!state->hit)
        return 0;
    struct ce_clock_skew less = scaled(&state->skew, intensity);
    ce_helper_set_clock(state->control, &less);
    return 0;
}

static int revert(struct ce_injection *injection, struct ce_error *err)
{
    struct state *state = injection->state;
    int r = state->note > 0 ? ce_undo_now(injection->journal, state->note, err) : 0;
    state->note = 0;
    ce_helper_control_close(ce_take(state->control));
    return r;
}

static int verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_clock_skew none = {.clocks = 0};
    const struct state *state = injection->state;
    struct reading server;
    if (state->hit && read_server(injection, &server) && !is_skewed(&none, &server))
        return ce_fail(err, EBUSY, "the clocks of %s are still off by %+.3f s and %+.3f s",
                       state->subject.name, (double)server.realtime / 1e9,
                       (double)server.monotonic / 1e9);
    return 0;
}

static void count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct state *state = injection->state;
    *ret_counts = (struct ce_fault_counts){.eligible = 1, .selected = 1, .changed = state->hit};
}

const struct ce_fault ce_fault_clock_skew = {
    .name = "clock_skew",
    .summary = "Let the clocks of the process that serves predictions tell another time",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_PROCESS | CE_NEEDS_CLOCK_HELPER,
    .params = params,
    .params_size = sizeof(struct clock_skew),
    .state_size = sizeof(struct state),
    .example = "{offset: -2h}",
    .available = available,
    .check = check,
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = adjust,
    .revert = revert,
    .verify_undo = verify_undo,
    .count = count,
};
