/* SPDX-License-Identifier: MIT */
#include "host/memory_limit.h"

#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/identity.h"
#include "base/seam.h"
#include "host/cgroup.h"
#include "host/group_claim.h"

enum { TICK_MS = 100 };
static const char controller[] = "memory";

static const char *limit_file(bool v1)
{
    return v1 ? "memory.limit_in_bytes" : "memory.max";
}

static const char *press_file(bool v1)
{
    return v1 ? limit_file(true) : "memory.high";
}

/* ---- which group ---- */

/* Where a path as /proc/PID/cgroup has it leads: memory is in one of the two hierarchies only. */
static int locate(const char *path, char **ret_folder, struct ce_error *err)
{
    static const char mounted[] = "/sys/fs/cgroup";
    const size_t n = sizeof mounted - 1;
    if (strncmp(path, mounted, n) == 0 && (path[n] == '/' || path[n] == '\0')) {
        *ret_folder = strdup(path);
        return *ret_folder ? 0 : ce_fail_memory(err);
    }
    if (ce_cgroup_locate(controller, path, ret_folder, NULL) == 0)
        return 0;
    return ce_cgroup_locate(NULL, path, ret_folder, err);
}

/* A limit binds whoever is in the group or in one below it. */
static int refuse_group_of(pid_t pid, const struct ce_memory_group *group, struct ce_error *err)
{
    ce_autofree char *folder = NULL;
    ce_autofree char *top = NULL;
    int r = ce_cgroup_find(pid, group->v1 ? controller : NULL, &folder, &top, err);
    if (r == -ENOENT) /* outside what can be seen here, so not below this group */
        return 0;
    CE_TRY(r);
    for (size_t n = strlen(top); strlen(folder) >= n;) {
        struct stat st;
        if (stat(folder, &st) == 0 && st.st_dev == group->dev && st.st_ino == group->ino)
            return ce_fail(err, EPERM,
                           "the memory limit of control group '%s' binds process %d%s, so it is "
                           "left alone: name a target in a group without that process",
                           group->folder, (int)pid,
                           pid == getpid() ? ", which is ChaosEater itself" : "");
        char *slash = strrchr(folder, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    return 0;
}

int ce_memory_group_find(const char *path, struct ce_memory_group *ret_group, struct ce_error *err)
{
    ce_autofree char *folder = NULL;
    struct ce_memory_group group = {.v1 = false};
    struct stat st, above;
    struct statfs fs;
    CE_TRY(locate(path, &folder, err));
    ce_autofree char *parent = ce_format("%s/..", folder);
    if (!parent)
        return ce_fail_memory(err);
    if (!realpath(folder, group.folder) || stat(folder, &st) < 0 || statfs(folder, &fs) < 0 ||
        stat(parent, &above) < 0)
        return ce_fail(err, errno, "there is no control group '%s': %s", folder, strerror(errno));
    group.v1 = fs.f_type == CGROUP_SUPER_MAGIC;
    if (!group.v1 && fs.f_type != CGROUP2_SUPER_MAGIC)
        return ce_fail(err, ENOENT, "'%s' is no control group", folder);
    group.dev = st.st_dev;
    group.ino = st.st_ino;
    if (above.st_dev != st.st_dev)
        return ce_fail(err, EPERM, "'%s' is the root of all control groups: name one below it",
                       group.folder);
    CE_TRY(refuse_group_of(getpid(), &group, err));
    CE_TRY(refuse_group_of(1, &group, err));
    ce_autofree char *file = ce_format("%s/%s", group.folder, limit_file(group.v1));
    if (!file)
        return ce_fail_memory(err);
    if (access(file, W_OK) < 0)
        return ce_fail(err, errno, "cannot set a memory limit in '%s': %s", file, strerror(errno));
    CE_TRY(ce_group_claim_check(group.folder, controller, err));
    *ret_group = group;
    return 0;
}

/* ---- its limit ---- */

/* Whether it is that very folder still: 0, -ENOENT, or CE_UNDO_FOREIGN. */
static int check_identity(const char *folder, dev_t dev, ino_t ino)
{
    struct stat st;
    if (stat(folder, &st) < 0)
        return -errno;
    return st.st_dev == dev && st.st_ino == ino ? 0 : CE_UNDO_FOREIGN;
}

static int read_bytes(const char *folder, const char *file, uint64_t *ret_limit)
{
    char text[32];
    int r = ce_cgroup_read(folder, file, text, sizeof text);
    *ret_limit = UINT64_MAX;
    if (r < 0 || strcmp(text, "max") == 0)
        return r;
    return sscanf(text, "%" SCNu64, ret_limit) == 1 ? 0 : -EINVAL;
}

static int read_limit(const char *folder, bool v1, uint64_t *ret_limit)
{
    return read_bytes(folder, limit_file(v1), ret_limit);
}

static int set_limit(const struct ce_memory_group *group, uint64_t limit)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, limit);
    return ce_cgroup_write(group->folder, limit_file(group->v1), text);
}

int ce_memory_group_look(const struct ce_memory_group *group, uint64_t *ret_limit,
                         uint64_t *ret_usage, struct ce_error *err)
{
    const char *usage = group->v1 ? "memory.usage_in_bytes" : "memory.current";
    int r = check_identity(group->folder, group->dev, group->ino);
    if (r == CE_UNDO_FOREIGN)
        r = -ENOENT;
    if (r == 0)
        r = read_limit(group->folder, group->v1, ret_limit);
    if (r == 0 && !ce_cgroup_number(group->folder, usage, NULL, ret_usage))
        r = -ENOENT;
    return r < 0 ? ce_fail(err, -r, "cannot read the memory limit of control group '%s': %s",
                           group->folder, strerror(-r))
                 : 0;
}

/* ---- putting it back ---- */

static int note_limit(struct ce_journal *journal, const struct ce_memory_group *group,
                      const char *file, struct ce_error *err)
{
    CE_CLEANUP(ce_group_claim_done) struct ce_group_claim claim = {.lock = -1};
    char limit[32];
    CE_TRY(ce_group_claim_begin(group->folder, controller, &claim, err));
    int r = ce_cgroup_read(group->folder, file, limit, sizeof limit);
    if (r < 0)
        return ce_fail(err, -r, "cannot read the memory limit of control group '%s': %s",
                       group->folder, strerror(-r));
    return ce_group_claim_note(
        &claim, journal, "restore-memory-limit",
        json_pack("{s:s, s:b, s:s}", "file", file, "v1", group->v1, "limit", limit), err);
}

static int restore_in(const char *folder, const json_t *args, struct ce_error *err)
{
    const char *file = NULL, *limit;
    int v1;
    char now[32];
    if (json_unpack((json_t *)args, "{s?s, s:b, s:s}", "file", &file, "v1", &v1, "limit", &limit) <
        0)
        return ce_fail(err, EINVAL, "the note does not say which memory limit is meant");
    if (!file)
        file = limit_file(v1);
    int r = ce_cgroup_write(folder, file, limit);
    ce_seam_step("memory limit: restored");
    if (r == 0)
        r = ce_cgroup_read(folder, file, now, sizeof now);
    if (r == -ENOENT || r == -ENODEV) /* the group has gone, and its limit with it */
        return 0;
    if (r < 0)
        return ce_fail(err, -r, "cannot restore the memory limit of control group '%s': %s", folder,
                       strerror(-r));
    if (strcmp(now, limit) != 0)
        return ce_fail(err, EBUSY, "the memory limit of control group '%s' is %s and was %s",
                       folder, now, limit);
    return 0;
}

static int restore_memory_limit(const json_t *args, struct ce_error *err)
{
    return ce_group_claim_undo(args, restore_in, err);
}

const struct ce_undo_op ce_undo_restore_memory_limit = {.name = "restore-memory-limit",
                                                        .undo = restore_memory_limit};

/* ---- pressure ---- */

int ce_memory_group_reclaimable(const struct ce_memory_group *group, uint64_t *ret_bytes,
                                struct ce_error *err)
{
    static const char *const fields[][2] = {
        {"active_file", "total_active_file"},
        {"inactive_file", "total_inactive_file"},
        {"slab_reclaimable", NULL}, /* version 1 does not tell */
    };
    *ret_bytes = 0;
    for (size_t i = 0; i < CE_COUNT(fields); i++) {
        uint64_t bytes = 0;
        const char *field = fields[i][group->v1];
        if (field && !ce_cgroup_number(group->folder, "memory.stat", field, &bytes))
            return ce_fail(err, ENODATA, "memory.stat of control group '%s' lacks %s",
                           group->folder, field);
        *ret_bytes += bytes;
    }
    return 0;
}

int ce_memory_press_look(const struct ce_memory_group *group, uint64_t *ret_bytes,
                         struct ce_error *err)
{
    int r = check_identity(group->folder, group->dev, group->ino);
    if (r == CE_UNDO_FOREIGN)
        r = -ENOENT;
    if (r == 0)
        r = read_bytes(group->folder, press_file(group->v1), ret_bytes);
    return r < 0 ? ce_fail(err, -r, "cannot read %s of control group '%s': %s",
                           press_file(group->v1), group->folder, strerror(-r))
                 : 0;
}

int ce_memory_press_begin(struct ce_journal *journal, const struct ce_memory_group *group,
                          int *ret_note, uint64_t *ret_before, struct ce_error *err)
{
    int note = note_limit(journal, group, press_file(group->v1), err);
    CE_TRY(note);
    *ret_note = note;
    return ce_memory_press_look(group, ret_before, err);
}

int ce_memory_press_set(const struct ce_memory_group *group, uint64_t bytes, struct ce_error *err)
{
    char text[32];
    if (bytes == UINT64_MAX)
        snprintf(text, sizeof text, "%s", group->v1 ? "-1" : "max");
    else
        snprintf(text, sizeof text, "%" PRIu64, bytes);
    int r = ce_seam_no_effect() ? 0 : ce_cgroup_write(group->folder, press_file(group->v1), text);
    ce_seam_step("memory limit: pressed");
    return r < 0 ? ce_fail(err, -r, "cannot set %s of control group '%s' to %s: %s",
                           press_file(group->v1), group->folder, text, strerror(-r))
                 : 0;
}

/* ---- the squeeze ---- */

struct ce_squeeze {
    struct ce_memory_group group;
    uint64_t from, to;
    _Atomic uint64_t per_second;
    int stop;
    pthread_t thread;
};

static bool stopped(const struct ce_squeeze *squeeze)
{
    struct pollfd wait = {.fd = squeeze->stop, .events = POLLIN};
    return poll(&wait, 1, TICK_MS) > 0;
}

static void *squeeze_main(void *arg)
{
    const struct ce_squeeze *squeeze = arg;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), set = squeeze->from;
    double wanted = (double)set, lowest = (double)squeeze->to;
    for (int64_t last = ce_now(); !stopped(squeeze);) {
        int64_t now = ce_now();
        wanted -= (double)squeeze->per_second * (double)(now - last) / (double)CE_SECOND;
        if (wanted < lowest)
            wanted = lowest;
        last = now;
        uint64_t next = (uint64_t)wanted / page * page, found;
        if (next == set)
            continue;
        if (read_limit(squeeze->group.folder, squeeze->group.v1, &found) < 0 || found != set)
            return NULL;
        if (set_limit(&squeeze->group, next) == 0)
            set = next;
        else /* more is in use: goes on from here when there is less */
            wanted = (double)set;
    }
    return NULL;
}

int ce_squeeze_begin(struct ce_journal *journal, const struct ce_memory_group *group,
                     const struct ce_squeeze_order *order, int *ret_note,
                     struct ce_squeeze **ret_squeeze, struct ce_error *err)
{
    int note = note_limit(journal, group, limit_file(group->v1), err);
    CE_TRY(note);
    *ret_note = note;
    if (ce_seam_no_effect())
        return 0;
    int r = set_limit(group, order->from);
    ce_seam_step("memory limit: set");
    if (r < 0)
        return ce_fail(err, -r, "cannot lower the memory limit of control group '%s': %s",
                       group->folder, strerror(-r));
    struct ce_squeeze *squeeze = calloc(1, sizeof *squeeze);
    if (!squeeze)
        return ce_fail_memory(err);
    squeeze->group = *group;
    squeeze->from = order->from;
    squeeze->to = order->to;
    squeeze->per_second = order->per_second;
    squeeze->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = squeeze->stop < 0 ? errno : 0;
    if (code == 0)
        code = pthread_create(&squeeze->thread, NULL, squeeze_main, squeeze);
    if (code == 0) {
        *ret_squeeze = squeeze;
        return 0;
    }
    if (squeeze->stop >= 0)
        (void)close(squeeze->stop);
    free(squeeze);
    return ce_fail(err, code, "cannot start a thread: %s", strerror(code));
}

void ce_squeeze_set(struct ce_squeeze *squeeze, uint64_t per_second)
{
    squeeze->per_second = per_second;
}

void ce_squeeze_end(struct ce_squeeze *squeeze)
{
    if (!squeeze)
        return;
    (void)eventfd_write(squeeze->stop, 1);
    pthread_join(squeeze->thread, NULL);
    (void)close(squeeze->stop);
    free(squeeze);
}
