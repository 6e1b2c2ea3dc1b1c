/* SPDX-License-Identifier: MIT */
/* Control groups: where a process is in each hierarchy, and small reads and writes there. */
#ifndef CE_HOST_CGROUP_H
#define CE_HOST_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* The folder of the process's group in the hierarchy that has `controller` (version 1), or in the
 * version 2 hierarchy (NULL). `ret_top` (may be NULL) is where the hierarchy is mounted. Free both
 * with free(). -ENOENT when there is no such hierarchy, or when the group lies outside what this
 * process can see of it. */
int ce_cgroup_find(pid_t pid, const char *controller, char **ret_folder, char **ret_top,
                   struct ce_error *err);
/* The folder of a group whose path is written as /proc/PID/cgroup has it; it need not exist. */
int ce_cgroup_locate(const char *controller, const char *path, char **ret_folder,
                     struct ce_error *err);

/* Writes one value to FOLDER/FILE. Returns 0 or a negative errno. */
int ce_cgroup_write(const char *folder, const char *file, const char *value);
/* Reads FOLDER/FILE, cut to `size`; without the newline at its end. Returns 0 or a negative errno.
 */
int ce_cgroup_read(const char *folder, const char *file, char *ret_text, size_t size);
/* The number after `key` in FOLDER/FILE ("frozen 1"), or the number it starts with (key NULL).
 * False when there is none. */
bool ce_cgroup_number(const char *folder, const char *file, const char *key, uint64_t *ret_value);

#endif
