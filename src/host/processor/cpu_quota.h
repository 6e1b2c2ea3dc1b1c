/* SPDX-License-Identifier: MIT */
/* How much processor time a control group may use: cpu.max (version 2), cpu.cfs_quota_us (version
 * 1). The group is one of ours, into which the target's processes are moved (host/group.h), or the
 * target itself, whose own quota is put back exactly. */
#ifndef CE_HOST_PROCESSOR_CPU_QUOTA_H
#define CE_HOST_PROCESSOR_CPU_QUOTA_H

#include "host/process_tree.h"
#include "journal/journal.h"

enum ce_cpu_quota_kind {
    CE_CPU_QUOTA_V2 = 0,
    CE_CPU_QUOTA_V1,
};

struct ce_cpu_quota;
/* Notes "leave-group", makes the group and moves the processes in, without a quota yet. -ENOENT,
 * -EACCES, -ENOTSUP ...: this way is not open here, and nothing is left. */
int ce_cpu_quota_begin(struct ce_journal *journal, enum ce_cpu_quota_kind kind,
                       const struct ce_process_list *processes, struct ce_cpu_quota **ret_quota,
                       struct ce_error *err);
/* Notes "restore-cpu-quota" with the quota that this group of somebody else's has. -ENOENT when
 * nothing in it sets one; -EBUSY when another fault has lowered it (host/group_claim.h). */
int ce_cpu_quota_begin_group(struct ce_journal *journal, enum ce_cpu_quota_kind kind,
                             const char *folder, struct ce_cpu_quota **ret_quota,
                             struct ce_error *err);
/* How many processors' time the group could use at most when it had no quota of ours: what it and
 * those above it allow. HUGE_VAL: no limit. */
double ce_cpu_quota_room(const struct ce_cpu_quota *quota);
/* From now on it may use that many processors' time (at least a thousandth). HUGE_VAL: as before.
 */
int ce_cpu_quota_set(struct ce_cpu_quota *quota, double processors, struct ce_error *err);
/* What the kernel says of it: processors' time that the group may use, in periods of which length
 * (ns), and how many of these it has used up so far, so that it was made to wait for the next. */
struct ce_cpu_quota_view {
    double processors;
    int64_t period;
    uint64_t throttled;
};
struct ce_cpu_quota_view ce_cpu_quota_look(const struct ce_cpu_quota *quota);
/* Lets the group go before others that lie beside it, up to its quota, so that it is the quota that
 * it comes up against; or no longer. Only where the group is ours; goes with it. */
void ce_cpu_quota_prefer(const struct ce_cpu_quota *quota, bool prefer);
const char *ce_cpu_quota_folder(const struct ce_cpu_quota *quota);
/* Undoes it and frees `quota`, in every case. After a failure its note is still live. NULL is fine.
 */
int ce_cpu_quota_end(struct ce_cpu_quota *quota, struct ce_error *err);

bool ce_cpu_quota_available(enum ce_cpu_quota_kind kind, char *detail, size_t size);

extern const struct ce_undo_op ce_undo_restore_cpu_quota;

#endif
