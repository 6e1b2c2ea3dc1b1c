/* SPDX-License-Identifier: MIT */
/* disk_full: there is no room left where the target keeps its files.
 *
 * A filesystem that is there for the target alone is really filled up, by a process of ours that
 * holds the space and gives it back when it ends. Elsewhere others would suffer: then writes that
 * need room fail; a folder that is mounted over also shows that nothing is free. Any other
 * filesystem is filled only when `target:` names a folder in it and `i_know` is true. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "faults/infra/storage_effect.h"
#include "host/memory.h"
#include "host/subject.h"

enum { BY_AUTO, BY_BALLAST, BY_FUSE, BY_SYSCALLS };
static const char *const means_names[] = {NULL, "ballast", "fuse", "syscalls"};

struct disk_full {
    double leave_mb;
    char *error;
    bool i_know;
    int mechanism;
};

static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "ballast, else fuse, else syscalls"},
    {"ballast", BY_BALLAST, "the filesystem is filled up"},
    {"fuse", BY_FUSE, "the target's folder is mounted over, and writes fail"},
    {"syscalls", BY_SYSCALLS, "system calls are answered: of what ChaosEater starts"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_NUMBER(struct disk_full, leave_mb, .min = 0, .max = 1e9, .def = "0", .unit = "MiB",
              .doc = "What stays free; only a filesystem that is filled up can do that."),
    {.name = "errno",
     .type = CE_PARAM_TEXT,
     .offset = offsetof(struct disk_full, error),
     .def = "ENOSPC",
     .doc = "The error with which writes fail, by its name."},
    CE_BOOL(struct disk_full, i_know, .def = "false",
            .doc = "Fill up the filesystem of `target:` although others may use it too."),
    CE_CHOICE(struct disk_full, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How it is brought about."),
    CE_END_PARAMS,
};

/* ---- parameters ---- */

static int make_deed(const struct disk_full *want, struct ce_storage_deed *ret_deed,
                     struct ce_error *err)
{
    struct ce_storage_deed deed = {.full = 1, .leave = (uint64_t)(want->leave_mb * (double)CE_MIB)};
    int r = ce_storage_error_parse(want->error, &deed.full_error, err);
    if (r < 0)
        return ce_fail_context(err, r, "errno");
    *ret_deed = deed;
    return 0;
}

static int check(const void *p, struct ce_error *err)
{
    const struct disk_full *want = p;
    struct ce_storage_deed deed = {0};
    CE_TRY(make_deed(want, &deed, err));
    bool fills = want->mechanism == BY_AUTO || want->mechanism == BY_BALLAST;
    if (deed.leave > 0 && !fills)
        return ce_fail(err, EINVAL, "leave_mb: only mechanism ballast leaves some of the space");
    if (deed.full_error != ENOSPC && (want->mechanism == BY_BALLAST || deed.leave > 0))
        return ce_fail(err, EINVAL,
                       "errno: a filesystem that is filled up answers ENOSPC, not %s; mechanism "
                       "fuse or syscalls can",
                       want->error);
    return 0;
}

static unsigned needs_of(const void *p)
{
    const struct disk_full *want = p;
    return CE_NEEDS_FOLDER | (want->mechanism == BY_SYSCALLS ? CE_NEEDS_SYSCALL_HELPER : 0);
}

static unsigned helpers_of(const void *p)
{
    const struct disk_full *want = p;
    return want->mechanism == BY_AUTO && ce_storage_wants_door() ? CE_HELPER_SYSCALLS : 0;
}

static bool available(char *reason, size_t size)
{
    struct ce_storage_deed deed = {.full = 1, .full_error = ENOSPC, .may_fill = true};
    return ce_storage_available(&deed, reason, size);
}

/* ---- inject ---- */

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct disk_full *want = injection->params;
    struct ce_storage_effect *effect = injection->state;
    struct ce_storage_deed deed;
    CE_TRY(make_deed(want, &deed, err));
    deed.seed = injection->seed;
    CE_TRY(ce_storage_effect_locate(injection, effect, err));
    deed.may_fill =
        effect->subject->folder_is_dedicated || (injection->target->is_explicit && want->i_know);
    return ce_storage_effect_begin(injection, effect, &deed, means_names[want->mechanism], err);
}

/* ---- verify ---- */

/* Something is left: no more than was asked, give or take what a filesystem needs for itself. */
static int verify_left(const struct ce_storage_deed *deed, const struct ce_storage_seen *seen,
                       struct ce_evidence *ret_evidence)
{
    uint64_t slack = CE_MIB + deed->leave / 50;
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%.1f MiB are free in the target's folder, %.1f were to be left",
             (double)seen->free / (double)CE_MIB, (double)deed->leave / (double)CE_MIB);
    return seen->free <= deed->leave + slack && seen->free + slack >= deed->leave;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    const struct ce_storage_effect *effect = injection->state;
    const struct ce_storage_deed *deed = &effect->deed;
    struct ce_storage_probe probe = {
        .kind = CE_STORAGE_WRITE, .grow = true, .count = 8, .patience = 2 * CE_SECOND};
    struct ce_storage_seen seen;
    CE_TRY(ce_storage_effect_watch(effect, &probe, &seen, err));
    /* Whoever answers reads and writes does not answer how much is free. */
    bool shows_free = !ce_storage_helpers(effect->storage);
    if (deed->leave > 0)
        return verify_left(deed, &seen, ret_evidence);
    const char *name = seen.failed > 0 ? ce_storage_error_name(seen.error) : NULL;
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%zu of %zu writes of a witness in the target's folder failed%s%s, and %" PRIu64
             " bytes are free there (by %s)",
             seen.failed, seen.done, name ? " with " : "", name ? name : "", seen.free,
             ce_storage_means_name(effect->storage));
    return seen.failed > 0 && seen.failed == seen.done && seen.errors == seen.failed &&
           seen.error == deed->full_error && (seen.free == 0 || !shows_free);
}

const struct ce_fault ce_fault_disk_full = {
    .name = "disk_full",
    .summary = "Leave no room where the target keeps its files",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_FOLDER,
    .params = params,
    .params_size = sizeof(struct disk_full),
    .state_size = sizeof(struct ce_storage_effect),
    .example = "{leave_mb: 0}",
    .available = available,
    .needs_of = needs_of,
    .helpers_of = helpers_of,
    .check = check,
    .inject = inject,
    .verify = verify,
    .adjust = ce_storage_effect_adjust,
    .revert = ce_storage_effect_revert,
    .count = ce_storage_effect_count,
};
