/* SPDX-License-Identifier: MIT */
/* Leaving a control group of ours. The limits in it go first, as that is quick and moving processes
 * is not: the kernel waits for all processors before the first of them is moved. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "host/cgroup.h"
#include "host/group.h"
#include "host/group_internal.h"

static const int64_t settle_within = 3 * CE_SECOND;
enum { ANCESTORS_MAX = 64 };

bool ce_group_is_ours(const char *folder)
{
    const char *slash = strrchr(folder, '/');
    return slash && strncmp(slash + 1, CE_GROUP_PREFIX, strlen(CE_GROUP_PREFIX)) == 0;
}

int ce_group_move(const char *folder, pid_t pid)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    return ce_cgroup_write(folder, "cgroup.procs", text);
}

/* ---- lifting what holds in a group ---- */

/* One value that means: no limit. */
static const struct {
    const char *file, *value;
} lifted[] = {
    {"cgroup.freeze", "0"},     {"freezer.state", "THAWED"}, {"cpu.max", "max"},
    {"cpu.cfs_quota_us", "-1"}, {"cpu.weight", "100"},       {"cpu.shares", "1024"},
    {"devices.allow", "a"},
};
/* A line per device, and what follows its number to say: no limit. */
static const struct {
    const char *file, *value;
} lifted_by_device[] = {
    {"io.max", "rbps=max wbps=max riops=max wiops=max"},
    {"blkio.throttle.read_iops_device", "0"},
    {"blkio.throttle.write_iops_device", "0"},
    {"blkio.throttle.read_bps_device", "0"},
    {"blkio.throttle.write_bps_device", "0"},
};

/* What cannot be lifted goes with the group. */
static void lift(const char *folder)
{
    for (size_t i = 0; i < CE_COUNT(lifted); i++)
        (void)ce_cgroup_write(folder, lifted[i].file, lifted[i].value);
    for (size_t i = 0; i < CE_COUNT(lifted_by_device); i++) {
        char text[4096], *rest;
        if (ce_cgroup_read(folder, lifted_by_device[i].file, text, sizeof text) < 0)
            continue;
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            char order[128];
            snprintf(order, sizeof order, "%.*s %s", (int)strcspn(line, " "), line,
                     lifted_by_device[i].value);
            (void)ce_cgroup_write(folder, lifted_by_device[i].file, order);
        }
    }
}

/* ---- sending its processes back ---- */

static const char *noted_origin(const json_t *origins, const struct ce_process_id *id)
{
    size_t i;
    const json_t *origin;
    json_array_foreach(origins, i, origin)
    {
        if (json_integer_value(json_object_get(origin, "pid")) == id->pid &&
            json_integer_value(json_object_get(origin, "start")) == (json_int_t)id->start)
            return json_string_value(json_object_get(origin, "home"));
    }
    return NULL;
}

/* Its own group from before, or that of the nearest process above it that has one. */
static const char *origin_of(pid_t pid, const json_t *origins, const char *home)
{
    struct ce_process_id id;
    for (int i = 0; origins && pid > 1 && i < ANCESTORS_MAX; i++) {
        if (ce_process_identify(pid, &id) < 0)
            break;
        const char *origin = noted_origin(origins, &id);
        if (origin)
            return origin;
        pid = ce_process_parent(&id);
    }
    return home;
}

/* A process that ends meanwhile is fine. Returns the last failure to move one. */
static int send_back(const char *folder, const json_t *origins, const char *home)
{
    int last = 0;
    /* A threaded group tells its threads only; moving one of them moves its process. */
    static const char *const files[] = {"cgroup.procs", "cgroup.threads"};
    for (size_t i = 0; i < CE_COUNT(files); i++) {
        ce_autofree char *path = ce_format("%s/%s", folder, files[i]);
        ce_autofree char *text = NULL;
        size_t size;
        if (!path)
            return -ENOMEM;
        if (ce_file_read(path, 1 << 22, &text, &size, NULL) < 0)
            continue;
        char *rest;
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            int pid = atoi(line);
            int r = pid > 0 ? ce_group_move(origin_of(pid, origins, home), pid) : 0;
            if (r < 0 && r != -ESRCH)
                r = ce_group_move(home, pid); /* its own group has gone */
            if (r < 0 && r != -ESRCH)
                last = r;
        }
        break;
    }
    return last;
}

/* ---- removing it ---- */

/* The first folder in `folder` whose name begins like that. */
static bool find_below(const char *folder, const char *prefix, char ret_name[NAME_MAX + 1])
{
    bool found = false;
    DIR *entries = opendir(folder);
    if (!entries)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(entries));) {
        found = entry->d_type == DT_DIR && strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
        if (found)
            snprintf(ret_name, NAME_MAX + 1, "%s", entry->d_name);
    }
    closedir(entries);
    return found;
}

static bool remove_below(const char *folder, const char *name)
{
    ce_autofree char *path = ce_format("%s/%s", folder, name);
    return path && (rmdir(path) == 0 || errno == ENOENT);
}

/* Says in the group that whoever is below it has to remove it. */
static int mark_left(const char *folder, const char *home)
{
    const char *slash = strrchr(folder, '/');
    bool below_home = strncmp(folder, home, (size_t)(slash - folder)) == 0 &&
                      strlen(home) == (size_t)(slash - folder);
    ce_autofree char *mark =
        ce_format("%s/" CE_GROUP_LEFT "%s", folder, below_home ? "" : strrchr(home, '/') + 1);
    if (!mark)
        return -ENOMEM;
    return mkdir(mark, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* Empties the group and removes it, or marks it as left. A group that is gone is fine. */
static int dissolve(const char *folder, const json_t *origins, const char *home,
                    struct ce_error *err)
{
    char name[NAME_MAX + 1];
    if (access(folder, F_OK) < 0 && errno == ENOENT)
        return 0;
    lift(folder);
    ce_seam_step("group: limits lifted");
    for (int64_t until = ce_now() + settle_within;;) {
        int moved = send_back(folder, origins, home);
        ce_seam_step("group: processes sent back");
        bool others = find_below(folder, CE_GROUP_PREFIX, name);
        if (!others && find_below(folder, CE_GROUP_LEFT, name))
            (void)remove_below(folder, name);
        if (rmdir(folder) == 0 || errno == ENOENT)
            break;
        int code = moved < 0 ? -moved : errno;
        if (others && moved == 0) {
            int r = mark_left(folder, home);
            /* It may have gone since, before it could see the mark. */
            if (r == 0 && find_below(folder, CE_GROUP_PREFIX, name))
                return 0;
        }
        if (ce_now() >= until)
            return ce_fail(err, code, "cannot remove control group '%s': %s", folder,
                           strerror(code));
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    }
    ce_seam_step("group: removed");
    return 0;
}

/* ---- what lies above it ---- */

/* Where a group that was left by its own fault sends its processes; NULL: it was not left. */
static char *left_for(const char *folder, const char *above)
{
    char name[NAME_MAX + 1];
    if (!find_below(folder, CE_GROUP_LEFT, name))
        return NULL;
    const char *beside = name + strlen(CE_GROUP_LEFT);
    return ce_format("%s%s%s", above, *beside ? "/" : "", beside);
}

/* Has the group no longer hand a controller down. Somebody who needs it (-EBUSY) is another fault
 * further down, whose undo comes here too. */
static int take_back(const char *at, const char *mark, struct ce_error *err)
{
    const char *controller = mark + strlen(CE_GROUP_ENABLED);
    ce_autofree char *order = ce_format("-%s", controller);
    if (!order)
        return ce_fail_memory(err);
    if (ce_group_claimed_below(at, controller))
        return 0;
    int r = ce_cgroup_write(at, "cgroup.subtree_control", order);
    ce_seam_step("group: controller taken back");
    if (r == -EBUSY || r == -ENOENT)
        return 0;
    if (r < 0)
        return ce_fail(err, -r, "cannot have control group '%s' take back '%s': %s", at, order + 1,
                       strerror(-r));
    (void)remove_below(at, mark);
    ce_seam_step("group: mark removed");
    return 0;
}

static int take_unused_back(const char *at, struct ce_error *err)
{
    char name[NAME_MAX + 1];
    if (find_below(at, CE_GROUP_PREFIX, name))
        return 0;
    DIR *entries = opendir(at);
    if (!entries)
        return ce_fail(err, errno, "cannot read control group '%s': %s", at, strerror(errno));
    int r = 0;
    for (const struct dirent *entry; r == 0 && (entry = readdir(entries));)
        if (strncmp(entry->d_name, CE_GROUP_ENABLED, strlen(CE_GROUP_ENABLED)) == 0)
            r = take_back(at, entry->d_name, err);
    closedir(entries);
    return r;
}

/* All that it hands down only because we asked, unless a group of ours there needs it still, or a
 * limit of ours in a group that is not. */
static int take_all_back(const char *at, struct ce_error *err)
{
    char name[NAME_MAX + 1];
    if (!find_below(at, CE_GROUP_ENABLED, name))
        return 0;
    int lock = ce_group_lock(at); /* without one it is done all the same */
    int r = take_unused_back(at, err);
    ce_group_unlock(lock);
    return r;
}

int ce_group_tidy_above(const char *folder, const char *top, struct ce_error *err)
{
    ce_autofree char *at = strdup(folder);
    ce_autofree char *above = strdup(folder);
    if (!at || !above)
        return ce_fail_memory(err);
    *strrchr(above, '/') = '\0';
    while (strlen(above) >= strlen(top)) {
        strcpy(at, above);
        *strrchr(above, '/') = '\0';
        CE_TRY(take_all_back(at, err));
        ce_autofree char *home = ce_group_is_ours(at) ? left_for(at, above) : NULL;
        if (home)
            CE_TRY(dissolve(at, NULL, home, err));
    }
    return 0;
}

static int leave_group(const json_t *args, struct ce_error *err)
{
    const char *noted, *folder, *home, *top;
    if (json_unpack((json_t *)args, "{s:s, s:s, s:s, s:s}", "boot", &noted, "folder", &folder,
                    "home", &home, "top", &top) < 0 ||
        !ce_group_is_ours(folder) || home[0] != '/' || top[0] != '/')
        return ce_fail(err, EINVAL, "the note does not say which control group is meant");
    if (ce_boot_is_another(noted))
        return 0;
    CE_TRY(dissolve(folder, json_object_get(args, "origins"), home, err));
    return ce_group_tidy_above(folder, top, err);
}

const struct ce_undo_op ce_undo_leave_group = {.name = "leave-group", .undo = leave_group};
