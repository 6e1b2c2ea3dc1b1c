/* SPDX-License-Identifier: MIT */
/* What making a group (group.c), leaving it (group_leave.c) and claiming somebody else's
 * (group_claim.c) share: the names that say that a control group is ours, and why it is there. */
#ifndef CE_HOST_GROUP_INTERNAL_H
#define CE_HOST_GROUP_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define CE_GROUP_PREFIX  "chaoseater-group-"   /* and a number that no other has */
#define CE_GROUP_ENABLED "chaoseater-enabled-" /* and the controller that is handed down for us */
/* In a group that was left while another of ours was below it; and the name of the group beside it
 * that its processes came from, if it was not the one above. */
#define CE_GROUP_LEFT "chaoseater-left-"

/* By its name. */
bool ce_group_is_ours(const char *folder);
/* Moves the process there. 0 or -errno. */
int ce_group_move(const char *folder, pid_t pid);
/* Whether a limit of that controller is lowered in a group right below it that is not ours. */
bool ce_group_claimed_below(const char *folder, const char *controller);
/* Has every group above it take back what it hands down for us and for nobody else any more, and
 * removes groups of ours that were left. */
int ce_group_tidy_above(const char *folder, const char *top, struct ce_error *err);
/* Keeps others from claiming, handing down and taking back right below that group: for a moment,
 * and not beyond the end of this process. A descriptor for ce_group_unlock(), to which a failure
 * may be handed too; -EWOULDBLOCK: somebody else does not let go of it. */
int ce_group_lock(const char *folder);
void ce_group_unlock(int lock);

#endif
