/* SPDX-License-Identifier: MIT */
#include "host/cgroup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

/* Whether `list`, words between commas, has `word`. */
static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

/* Finds the hierarchy's mount in the text of mountinfo: "36 25 0:30 ROOT POINT opts ... - TYPE
 * source superopts". */
static int find_mount(char *mounts, const char *controller, char **ret_root, char **ret_point)
{
    char *rest;
    for (char *line = strtok_r(mounts, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char root[512], point[512], type[32], options[256];
        char *dash = strstr(line, " - ");
        if (!dash || sscanf(line, "%*s %*s %*s %511s %511s", root, point) != 2 ||
            sscanf(dash, " - %31s %*s %255s", type, options) != 2)
            continue;
        if (controller ? strcmp(type, "cgroup") != 0 || !list_has(options, controller)
                       : strcmp(type, "cgroup2") != 0)
            continue;
        *ret_root = strdup(root);
        *ret_point = strdup(point);
        return *ret_root && *ret_point ? 0 : -ENOMEM;
    }
    return -ENOENT;
}

/* The process's path in the text of /proc/PID/cgroup: "6:freezer:/path", version 2: "0::/path". */
static const char *find_path(char *groups, const char *controller)
{
    char *rest;
    for (char *line = strtok_r(groups, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        if (controller ? list_has(names + 1, controller) : strcmp(line, "0:") == 0)
            return path;
    }
    return NULL;
}

/* The folder of `path` where the hierarchy is mounted, and that place. */
static int find_folder(const char *controller, const char *path, char **ret_folder, char **ret_top,
                       struct ce_error *err)
{
    const char *what = controller ? controller : "version 2";
    ce_autofree char *mounts = NULL;
    ce_autofree char *root = NULL;
    ce_autofree char *point = NULL;
    size_t size;
    CE_TRY(ce_file_read("/proc/self/mountinfo", 16 << 20, &mounts, &size, err));
    int r = find_mount(mounts, controller, &root, &point);
    if (r == -ENOMEM)
        return ce_fail_memory(err);
    if (r < 0 || !path)
        return ce_fail(err, ENOENT, "no control group hierarchy (%s) is mounted", what);
    /* The mount may show a part of the hierarchy only; paths in /proc count from the top, or, in a
     * control group namespace, from that namespace's own root. */
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, "/..", 3) == 0 || strncmp(path, root, n) != 0)
        return ce_fail(err, ENOENT, "control group '%s' (%s) is out of sight", path, what);
    ce_autofree char *folder =
        ce_format("%s%s", point, path[n] == '/' && path[n + 1] == '\0' ? "" : path + n);
    if (!folder)
        return ce_fail_memory(err);
    *ret_folder = ce_take(folder);
    if (ret_top)
        *ret_top = ce_take(point);
    return 0;
}

int ce_cgroup_locate(const char *controller, const char *path, char **ret_folder,
                     struct ce_error *err)
{
    return find_folder(controller, path, ret_folder, NULL, err);
}

int ce_cgroup_find(pid_t pid, const char *controller, char **ret_folder, char **ret_top,
                   struct ce_error *err)
{
    char file[40];
    snprintf(file, sizeof file, "/proc/%d/cgroup", (int)pid);
    ce_autofree char *groups = NULL;
    size_t size;
    CE_TRY(ce_file_read(file, 1 << 20, &groups, &size, err));
    return find_folder(controller, find_path(groups, controller), ret_folder, ret_top, err);
}

static int open_file(const char *folder, const char *file, int flags)
{
    ce_autofree char *path = ce_format("%s/%s", folder, file);
    if (!path)
        return -ENOMEM;
    int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int ce_cgroup_write(const char *folder, const char *file, const char *value)
{
    ce_autofd int fd = open_file(folder, file, O_WRONLY);
    return fd < 0 ? fd : ce_write_all(fd, value, strlen(value));
}

int ce_cgroup_read(const char *folder, const char *file, char *ret_text, size_t size)
{
    ce_autofd int fd = open_file(folder, file, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t n = read(fd, ret_text, size - 1);
    if (n < 0)
        return -errno;
    while (n > 0 && ret_text[n - 1] == '\n')
        n--;
    ret_text[n] = '\0';
    return 0;
}

bool ce_cgroup_number(const char *folder, const char *file, const char *key, uint64_t *ret_value)
{
    char text[4096];
    if (ce_cgroup_read(folder, file, text, sizeof text) < 0)
        return false;
    if (!key)
        return sscanf(text, "%" SCNu64, ret_value) == 1;
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        size_t n = strlen(key);
        if (strncmp(line, key, n) == 0 && line[n] == ' ')
            return sscanf(line + n, "%" SCNu64, ret_value) == 1;
    }
    return false;
}
