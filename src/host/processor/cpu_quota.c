/* SPDX-License-Identifier: MIT */
#include "host/processor/cpu_quota.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/seam.h"
#include "host/cgroup.h"
#include "host/group.h"
#include "host/group_claim.h"
#include "host/group_internal.h"

/* Microseconds. The kernel takes no smaller quota, and no longer period. */
enum { QUOTA_MIN = 1000, PERIOD = 100000, PERIOD_MAX = 1000000 };

static const struct spelling {
    const char *tag;
    const char *controller, *controller2; /* for host/group.h */
    const char *file;                     /* has the quota */
    const char *weight_file, *weight_usual, *weight_most;
} spellings[] = {
    [CE_CPU_QUOTA_V2] = {"v2", NULL, "cpu", "cpu.max", "cpu.weight", "100", "10000"},
    [CE_CPU_QUOTA_V1] = {"v1", "cpu", NULL, "cpu.cfs_quota_us", "cpu.shares", "1024", "262144"},
};
static const char *const period_file_v1 = "cpu.cfs_period_us";

/* ---- reading and writing ---- */

/* Quota and period as version 2 writes them: "max 100000", "25000 100000". */
static int read_quota(enum ce_cpu_quota_kind kind, const char *folder, char *ret_text, size_t size)
{
    if (kind == CE_CPU_QUOTA_V2)
        return ce_cgroup_read(folder, "cpu.max", ret_text, size);
    char quota[32], period[32];
    CE_TRY(ce_cgroup_read(folder, "cpu.cfs_quota_us", quota, sizeof quota));
    CE_TRY(ce_cgroup_read(folder, period_file_v1, period, sizeof period));
    snprintf(ret_text, size, "%s %s", quota[0] == '-' ? "max" : quota, period);
    return 0;
}

static int write_quota(enum ce_cpu_quota_kind kind, const char *folder, const char *text)
{
    if (kind == CE_CPU_QUOTA_V2)
        return ce_cgroup_write(folder, "cpu.max", text);
    char quota[32], period[32];
    if (sscanf(text, "%31s %31s", quota, period) != 2)
        return -EINVAL;
    /* A quota that does not fit the new period, or the groups above, is refused: without one any
     * period is fine. */
    CE_TRY(ce_cgroup_write(folder, "cpu.cfs_quota_us", "-1"));
    CE_TRY(ce_cgroup_write(folder, period_file_v1, period));
    return strcmp(quota, "max") == 0 ? 0 : ce_cgroup_write(folder, "cpu.cfs_quota_us", quota);
}

static double processors_of(const char *text)
{
    double quota, period;
    return sscanf(text, "%lf %lf", &quota, &period) == 2 && period > 0 ? quota / period : HUGE_VAL;
}

/* The least that the group and those above it allow. */
static double room_at(enum ce_cpu_quota_kind kind, const char *folder)
{
    double room = HUGE_VAL;
    char text[64];
    ce_autofree char *at = strdup(folder);
    while (at && read_quota(kind, at, text, sizeof text) == 0) {
        room = fmin(room, processors_of(text));
        char *slash = strrchr(at, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    return room;
}

/* ---- a quota ---- */

struct ce_cpu_quota {
    struct ce_journal *journal;
    enum ce_cpu_quota_kind kind;
    char *folder;
    char before[64];
    double room;
    int note;
};

static void quota_free(struct ce_cpu_quota *quota)
{
    free(quota->folder);
    free(quota);
}

int ce_cpu_quota_begin(struct ce_journal *journal, enum ce_cpu_quota_kind kind,
                       const struct ce_process_list *processes, struct ce_cpu_quota **ret_quota,
                       struct ce_error *err)
{
    const struct spelling *spelling = &spellings[kind];
    struct ce_cpu_quota *quota = calloc(1, sizeof *quota);
    if (!quota)
        return ce_fail_memory(err);
    quota->journal = journal;
    quota->kind = kind;
    int r = ce_group_make(journal, spelling->controller, spelling->controller2, processes,
                          &quota->note, &quota->folder, err);
    if (r == 0)
        r = read_quota(kind, quota->folder, quota->before, sizeof quota->before);
    if (r == -ENOENT)
        r = ce_fail(err, ENOTSUP, "control groups limit no processor time here: '%s' lacks %s",
                    quota->folder ? quota->folder : "", spelling->file);
    if (r < 0) {
        if (quota->note > 0 && ce_undo_now(journal, quota->note, NULL) < 0)
            r = -EBUSY; /* no other way may be tried on top of that */
        quota_free(quota);
        return r;
    }
    quota->room = room_at(kind, quota->folder);
    *ret_quota = quota;
    return 0;
}

int ce_cpu_quota_begin_group(struct ce_journal *journal, enum ce_cpu_quota_kind kind,
                             const char *folder, struct ce_cpu_quota **ret_quota,
                             struct ce_error *err)
{
    CE_CLEANUP(ce_group_claim_done) struct ce_group_claim claim = {.lock = -1};
    CE_TRY(ce_group_claim_begin(folder, "cpu", &claim, err));
    ce_autofree char *file = ce_format("%s/%s", folder, spellings[kind].file);
    struct ce_cpu_quota *quota = calloc(1, sizeof *quota);
    if (!file || !quota || !(quota->folder = strdup(folder))) {
        free(quota);
        return ce_fail_memory(err);
    }
    quota->journal = journal;
    quota->kind = kind;
    int r = read_quota(kind, folder, quota->before, sizeof quota->before);
    if (r < 0)
        r = ce_fail(err, -r, "cannot read '%s': %s", file, strerror(-r));
    else if (access(file, W_OK) < 0)
        r = ce_fail(err, errno, "cannot write '%s': %s", file, strerror(errno));
    else
        r = quota->note = ce_group_claim_note(
            &claim, journal, "restore-cpu-quota",
            json_pack("{s:s, s:s}", "kind", spellings[kind].tag, "quota", quota->before), err);
    if (r < 0) {
        quota_free(quota);
        return r;
    }
    quota->room = room_at(kind, folder);
    *ret_quota = quota;
    return 0;
}

double ce_cpu_quota_room(const struct ce_cpu_quota *quota)
{
    return quota->room;
}

int ce_cpu_quota_set(struct ce_cpu_quota *quota, double processors, struct ce_error *err)
{
    char text[64];
    double period = fmin(fmax(PERIOD, ceil(QUOTA_MIN / processors)), PERIOD_MAX);
    double allowed = fmax(QUOTA_MIN, round(processors * period));
    if (isinf(processors))
        snprintf(text, sizeof text, "%s", quota->before);
    else
        snprintf(text, sizeof text, "%.0f %.0f", allowed, period);
    int r = ce_seam_no_effect() ? 0 : write_quota(quota->kind, quota->folder, text);
    ce_seam_step("cpu quota: set");
    return r < 0 ? ce_fail(err, -r, "cannot set %s of control group '%s' to '%s': %s",
                           spellings[quota->kind].file, quota->folder, text, strerror(-r))
                 : 0;
}

struct ce_cpu_quota_view ce_cpu_quota_look(const struct ce_cpu_quota *quota)
{
    struct ce_cpu_quota_view view = {.processors = HUGE_VAL};
    char text[64];
    double period;
    if (read_quota(quota->kind, quota->folder, text, sizeof text) < 0)
        return view;
    view.processors = processors_of(text);
    if (sscanf(text, "%*s %lf", &period) == 1)
        view.period = (int64_t)(period * 1e3);
    (void)ce_cgroup_number(quota->folder, "cpu.stat", "nr_throttled", &view.throttled);
    return view;
}

void ce_cpu_quota_prefer(const struct ce_cpu_quota *quota, bool prefer)
{
    const struct spelling *spelling = &spellings[quota->kind];
    if (!ce_group_is_ours(quota->folder))
        return;
    (void)ce_cgroup_write(quota->folder, spelling->weight_file,
                          prefer ? spelling->weight_most : spelling->weight_usual);
    ce_seam_step(prefer ? "cpu quota: preferred" : "cpu quota: no longer preferred");
}

const char *ce_cpu_quota_folder(const struct ce_cpu_quota *quota)
{
    return quota->folder;
}

int ce_cpu_quota_end(struct ce_cpu_quota *quota, struct ce_error *err)
{
    if (!quota)
        return 0;
    int r = ce_undo_now(quota->journal, quota->note, err);
    quota_free(quota);
    return r;
}

/* ---- putting somebody else's back ---- */

static int restore_in(const char *folder, const json_t *args, struct ce_error *err)
{
    const char *tag, *before;
    char now[64] = "";
    if (json_unpack((json_t *)args, "{s:s, s:s}", "kind", &tag, "quota", &before) < 0)
        return ce_fail(err, EINVAL, "the note does not say which quota is meant");
    enum ce_cpu_quota_kind kind = strcmp(tag, "v1") == 0 ? CE_CPU_QUOTA_V1 : CE_CPU_QUOTA_V2;
    int r = write_quota(kind, folder, before);
    ce_seam_step("cpu quota: restored");
    if (r == 0)
        r = read_quota(kind, folder, now, sizeof now);
    if (r == -ENOENT || r == -ENODEV) /* the group has gone just now */
        return 0;
    if (r == 0 && strcmp(now, before) != 0)
        r = -EBUSY;
    return r < 0 ? ce_fail(err, -r, "%s of control group '%s' is '%s' and was '%s': %s",
                           spellings[kind].file, folder, now, before, strerror(-r))
                 : 0;
}

static int restore_cpu_quota(const json_t *args, struct ce_error *err)
{
    return ce_group_claim_undo(args, restore_in, err);
}

const struct ce_undo_op ce_undo_restore_cpu_quota = {.name = "restore-cpu-quota",
                                                     .undo = restore_cpu_quota};

/* ---- what the host offers ---- */

bool ce_cpu_quota_available(enum ce_cpu_quota_kind kind, char *detail, size_t size)
{
    return ce_group_available(spellings[kind].controller, spellings[kind].controller2, detail,
                              size);
}
