/* SPDX-License-Identifier: MIT */
/* storage_bottleneck: the target's disk becomes slow, or fails now and then.
 *
 * Operations and bytes per second are limited, each operation is delayed, or a share of them fails
 * with an error of one's choice. The kernel's own limit (a control group) is used where it can do
 * what is asked; else the folder in which the target keeps its files is mounted over, and
 * everything in it goes through a process of ours; else such a process answers the target's system
 * calls. The proof is a witness in the target's mount namespace that writes (or reads) blocks of
 * 4 KiB there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "faults/infra/storage_effect.h"

enum { BY_AUTO, BY_CGROUP, BY_FUSE, BY_SYSCALLS };
static const char *const means_names[] = {NULL, "cgroup", "fuse", "syscalls"};

struct storage_bottleneck {
    double iops_limit, latency_ms, error_rate;
    char *bytes_per_second, *error;
    int operations, mechanism;
};

static const struct ce_choice kinds[] = {
    {"all", CE_STORAGE_ALL, "each of the three"},
    {"read", CE_STORAGE_READ, "reading from files"},
    {"write", CE_STORAGE_WRITE, "writing to files"},
    {"fsync", CE_STORAGE_FSYNC, "making files durable"},
    {NULL, 0, NULL},
};
static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "cgroup, else fuse, else syscalls"},
    {"cgroup", BY_CGROUP, "io.max, or blkio.throttle: limits only, and only on a disk"},
    {"fuse", BY_FUSE, "the target's folder is mounted over"},
    {"syscalls", BY_SYSCALLS, "system calls are answered: of what ChaosEater starts"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_NUMBER(
        struct storage_bottleneck, iops_limit, .min = 0, .max = 1e9, .def = "100", .unit = "1/s",
        .doc = "Operations per second, of each kind; 0: no limit, and a control run where nothing "
               "else is asked."),
    CE_TEXT(struct storage_bottleneck, bytes_per_second, .def = "",
            .doc = "Bytes per second, such as 1MB or 512KiB, of reads and of writes."),
    CE_NUMBER(struct storage_bottleneck, latency_ms, .min = 0, .max = 600000, .def = "0",
              .unit = "ms", .doc = "Time added to each operation."),
    CE_RATE(struct storage_bottleneck, error_rate, .def = "0",
            .doc = "Share of the operations that fails."),
    {.name = "errno",
     .type = CE_PARAM_TEXT,
     .offset = offsetof(struct storage_bottleneck, error),
     .def = "EIO",
     .doc = "The error with which they fail, by its name."},
    CE_CHOICE(struct storage_bottleneck, operations, .choices = kinds, .def = "all",
              .doc = "Which operations are meant."),
    CE_CHOICE(struct storage_bottleneck, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How it is brought about."),
    CE_END_PARAMS,
};

struct state {
    struct ce_storage_effect effect; /* first: storage_effect.h finds it there */
    double before;                   /* operations per second without the fault; 0: not looked at */
};

/* ---- parameters ---- */

/* "1MB", "512KiB", "1000": bytes; 0 for NULL. */
static int parse_bytes(const char *text, double *ret_bytes, struct ce_error *err)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"kB", 1e3}, {"KB", 1e3},
                 {"MB", 1e6},     {"GB", 1e9},     {"B", 1},        {"", 1}};
    char number[32];
    *ret_bytes = 0;
    if (!text)
        return 0;
    size_t digits = strspn(text, "0123456789.");
    snprintf(number, sizeof number, "%.*s", (int)digits, text);
    const char *unit = text + digits + strspn(text + digits, " ");
    for (size_t i = 0; i < CE_COUNT(units); i++)
        if (strcmp(unit, units[i].name) == 0 && ce_text_number(number, ret_bytes) == 0) {
            *ret_bytes *= units[i].factor;
            return 0;
        }
    return ce_fail(err, EINVAL,
                   "bytes_per_second: '%s' is no number of bytes, such as 1000000, 512KiB or 1MB",
                   text);
}

static int make_deed(const struct storage_bottleneck *want, struct ce_storage_deed *ret_deed,
                     struct ce_error *err)
{
    struct ce_storage_deed deed = {
        .operations = (unsigned)want->operations,
        .iops = want->iops_limit,
        .latency = (int64_t)(want->latency_ms * (double)CE_MILLISECOND),
        .error_rate = want->error_rate,
    };
    CE_TRY(parse_bytes(want->bytes_per_second, &deed.bytes_per_second, err));
    int r = ce_storage_error_parse(want->error, &deed.error, err);
    if (r < 0)
        return ce_fail_context(err, r, "errno");
    *ret_deed = deed;
    return 0;
}

static int check(const void *p, struct ce_error *err)
{
    const struct storage_bottleneck *want = p;
    struct ce_storage_deed deed;
    CE_TRY(make_deed(want, &deed, err));
    if (want->mechanism != BY_CGROUP)
        return 0;
    if (deed.latency > 0 || deed.error_rate > 0)
        return ce_fail(err, EINVAL, "mechanism: cgroup has limits only; %s needs fuse or syscalls",
                       deed.latency > 0 ? "latency_ms" : "error_rate");
    if (deed.operations == CE_STORAGE_FSYNC)
        return ce_fail(err, EINVAL,
                       "mechanism: cgroup limits reads and writes; operations fsync needs fuse or "
                       "syscalls");
    return 0;
}

static bool is_control(const void *p)
{
    struct ce_storage_deed deed;
    return make_deed(p, &deed, NULL) == 0 && ce_storage_deed_is_idle(&deed);
}

static unsigned needs_of(const void *p)
{
    const struct storage_bottleneck *want = p;
    return want->mechanism == BY_SYSCALLS ? CE_NEEDS_FOLDER | CE_NEEDS_SYSCALL_HELPER
           : want->mechanism == BY_CGROUP ? CE_NEEDS_FOLDER | CE_NEEDS_TREE
                                          : CE_NEEDS_FOLDER;
}

static unsigned helpers_of(const void *p)
{
    const struct storage_bottleneck *want = p;
    return want->mechanism == BY_AUTO && ce_storage_wants_door() ? CE_HELPER_SYSCALLS : 0;
}

static bool available(char *reason, size_t size)
{
    struct ce_storage_deed deed = {.operations = CE_STORAGE_ALL, .iops = 100};
    return ce_storage_available(&deed, reason, size);
}

/* ---- what a witness is to see ---- */

static unsigned kind_watched(const struct ce_storage_deed *deed)
{
    return deed->operations & CE_STORAGE_WRITE  ? CE_STORAGE_WRITE
           : deed->operations & CE_STORAGE_READ ? CE_STORAGE_READ
                                                : CE_STORAGE_FSYNC;
}

static const char *kind_name(unsigned kind)
{
    return kind == CE_STORAGE_WRITE ? "writes" : kind == CE_STORAGE_READ ? "reads" : "fsyncs";
}

/* Operations per second that the limits let one client do, one after the other; INFINITY: any. */
static double limit_of(const struct ce_storage_deed *deed)
{
    double limit = deed->iops > 0 ? deed->iops : INFINITY;
    if (deed->bytes_per_second > 0 && kind_watched(deed) != CE_STORAGE_FSYNC)
        limit = fmin(limit, deed->bytes_per_second / CE_STORAGE_PROBE_BLOCK);
    return limit;
}

static double rate_of(const struct ce_storage_seen *seen)
{
    return seen->took > 0 ? (double)seen->done * (double)CE_SECOND / (double)seen->took : 0;
}

/* A limit above what the disk does anyway would be no fault. */
static int look_before(struct state *state, const struct ce_storage_deed *deed,
                       struct ce_error *err)
{
    struct ce_storage_probe probe = {
        .kind = kind_watched(deed), .warm = 2, .count = 64, .patience = CE_SECOND / 2};
    struct ce_storage_seen seen;
    CE_TRY(ce_storage_effect_watch(&state->effect, &probe, &seen, err));
    state->before = rate_of(&seen);
    if (seen.failed > 0)
        return ce_fail(err, seen.error, "'%s' cannot be written to: %s",
                       state->effect.subject->folder, strerror(seen.error));
    if (state->before < limit_of(deed))
        return ce_fail(err, ENODATA,
                       "'%s' takes %.0f %s of 4 KiB per second, so a limit of %.0f changes nothing",
                       state->effect.subject->folder, state->before, kind_name(kind_watched(deed)),
                       limit_of(deed));
    return 0;
}

/* ---- inject ---- */

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct storage_bottleneck *want = injection->params;
    struct state *state = injection->state;
    struct ce_storage_deed deed;
    CE_TRY(make_deed(want, &deed, err));
    deed.seed = injection->seed;
    if (ce_storage_deed_is_idle(&deed))
        return 0;
    CE_TRY(ce_storage_effect_locate(injection, &state->effect, err));
    if (isfinite(limit_of(&deed)) && state->effect.subject->has & CE_SUBJECT_FOLDER)
        CE_TRY(look_before(state, &deed, err));
    return ce_storage_effect_begin(injection, &state->effect, &deed, means_names[want->mechanism],
                                   err);
}

/* ---- verify ---- */

/* So many that they take about a second; more for a share that is to be seen. */
static size_t operations_for(const struct ce_storage_deed *deed)
{
    double rate = limit_of(deed);
    if (deed->latency > 0)
        rate = fmin(rate, (double)CE_SECOND / (double)deed->latency);
    bool drawn = deed->error_rate > 0 && deed->error_rate < 1;
    return (size_t)fmin(fmax(rate, 4), drawn ? 1000 : 400);
}

/* By 5 %; and the kernel counts in tenths of a second. */
static bool keeps_limit(const struct ce_storage_seen *seen, double limit)
{
    double seconds = (double)seen->took / (double)CE_SECOND;
    return (double)seen->done <= limit * (1.05 * seconds + 0.1);
}

/* Whether so many of n are what is to be expected of a rate, by four standard deviations. */
static bool fits_rate(size_t hit, size_t n, double rate)
{
    return fabs((double)hit - (double)n * rate) <= 4 * sqrt((double)n * rate * (1 - rate)) + 1e-9;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    const struct state *state = injection->state;
    const struct ce_storage_deed *deed = &state->effect.deed;
    struct ce_storage_probe probe = {
        .kind = kind_watched(deed), .count = operations_for(deed), .patience = 4 * CE_SECOND};
    /* Until what a limit lets through at first is through. */
    probe.warm = 2 + (size_t)(isfinite(limit_of(deed)) ? fmin(limit_of(deed) / 25, 500) : 0);
    struct ce_storage_seen seen;
    CE_TRY(ce_storage_effect_watch(&state->effect, &probe, &seen, err));

    const char *what = kind_name(probe.kind);
    bool ok = true;
    int n = snprintf(ret_evidence->text, sizeof ret_evidence->text,
                     "a witness did %zu %s of 4 KiB by %s:", seen.done, what,
                     ce_storage_means_name(state->effect.storage));
    char *text = ret_evidence->text + n;
    size_t size = sizeof ret_evidence->text - (size_t)n;
    if (isfinite(limit_of(deed))) {
        double rate = rate_of(&seen);
        ok = ok && seen.done >= 2 && keeps_limit(&seen, limit_of(deed));
        n = snprintf(
            text, size,
            " %.1f per second (limit %.1f, which the target's count for, too; %.0f without);", rate,
            limit_of(deed), state->before);
        text += n;
        size -= (size_t)n;
    }
    if (deed->latency > 0) {
        ok = ok && (seen.p50 >= deed->latency || seen.failed == seen.done);
        n = snprintf(text, size, " median %.2f ms (asked %.2f%s);",
                     (double)seen.p50 / (double)CE_MILLISECOND,
                     (double)deed->latency / (double)CE_MILLISECOND,
                     isfinite(limit_of(deed)) ? " besides the wait for the limit" : "");
        text += n;
        size -= (size_t)n;
    }
    const char *name = seen.failed > 0 ? ce_storage_error_name(seen.error) : NULL;
    ok = ok && fits_rate(seen.failed, seen.done, deed->error_rate) &&
         (seen.failed == 0 || (seen.error == deed->error && seen.errors == seen.failed));
    snprintf(text, size, " %zu failed%s%s (asked %.1f %%)", seen.failed, name ? " with " : "",
             name ? name : "", 100 * deed->error_rate);
    return ok;
}

const struct ce_fault ce_fault_storage_bottleneck = {
    .name = "storage_bottleneck",
    .summary = "Slow down the target's reads and writes, or let some fail",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_FOLDER,
    .params = params,
    .params_size = sizeof(struct storage_bottleneck),
    .state_size = sizeof(struct state),
    .example = "{iops_limit: 50, latency_ms: 5}",
    .available = available,
    .needs_of = needs_of,
    .helpers_of = helpers_of,
    .check = check,
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = ce_storage_effect_adjust,
    .revert = ce_storage_effect_revert,
    .count = ce_storage_effect_count,
};
