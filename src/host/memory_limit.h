/* SPDX-License-Identifier: MIT */
/* The memory limit of a control group, lowered step by step and put back.
 *
 * To the processes in the group it is as if memory leaked: the kernel takes caches away first, then
 * it kills. Only the hard limit is touched: memory.max (version 2), memory.limit_in_bytes (version
 * 1). Version 1 refuses a limit below what is in use; then it stays where it is until less is in
 * use, and whoever asks for more is killed all the same. */
#ifndef CE_HOST_MEMORY_LIMIT_H
#define CE_HOST_MEMORY_LIMIT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "journal/journal.h"

struct ce_memory_group {
    char folder[PATH_MAX];
    dev_t dev;
    ino_t ino;
    bool v1;
};

/* The group at `path`: a folder below /sys/fs/cgroup, or a path as /proc/PID/cgroup has it. Refuses
 * one whose limit this user cannot write (-EACCES, -EROFS), and with -EPERM one whose limit binds
 * this process or pid 1, which that of the root group and of every group above theirs does; with
 * -EBUSY one whose limit another fault has lowered (host/group_claim.h). */
int ce_memory_group_find(const char *path, struct ce_memory_group *ret_group, struct ce_error *err);
/* The limit, UINT64_MAX for none, and what is in use. -ENOENT when that very group is gone. */
int ce_memory_group_look(const struct ce_memory_group *group, uint64_t *ret_limit,
                         uint64_t *ret_usage, struct ce_error *err);

/* What of that use the kernel can take back without swapping: caches. */
int ce_memory_group_reclaimable(const struct ce_memory_group *group, uint64_t *ret_bytes,
                                struct ce_error *err);

/* Pressure, without the hard limit of version 2: memory.high, above which whoever asks for more is
 * slowed down and caches are taken away; in version 1 the limit itself. Notes
 * "restore-memory-limit"; sets *ret_before to what it allows now, UINT64_MAX for no limit. */
int ce_memory_press_begin(struct ce_journal *journal, const struct ce_memory_group *group,
                          int *ret_note, uint64_t *ret_before, struct ce_error *err);
/* UINT64_MAX: no limit. -EBUSY: version 1 cannot take that much away. */
int ce_memory_press_set(const struct ce_memory_group *group, uint64_t bytes, struct ce_error *err);
/* As the kernel has it. */
int ce_memory_press_look(const struct ce_memory_group *group, uint64_t *ret_bytes,
                         struct ce_error *err);

/* From `from` down to `to`, bytes, both whole pages. */
struct ce_squeeze_order {
    uint64_t from, to, per_second;
};
struct ce_squeeze;

/* Notes "restore-memory-limit", sets the limit to `from`, and starts the thread that lowers it. The
 * thread gives up when it meets a limit that it did not set: that is an undo, or somebody else's.
 * *ret_note is set as soon as there is one, also on failure. */
int ce_squeeze_begin(struct ce_journal *journal, const struct ce_memory_group *group,
                     const struct ce_squeeze_order *order, int *ret_note,
                     struct ce_squeeze **ret_squeeze, struct ce_error *err);
/* How fast it sinks from now on. */
void ce_squeeze_set(struct ce_squeeze *squeeze, uint64_t per_second);
/* Ends the thread and frees it; the limit stays as it is. NULL is fine. */
void ce_squeeze_end(struct ce_squeeze *squeeze);

extern const struct ce_undo_op ce_undo_restore_memory_limit;

#endif
