/* SPDX-License-Identifier: MIT */
/* What making a group (group.c) and leaving it (group_leave.c) share: the names that say that a
 * control group is ours, and why it is there. */
#ifndef CE_HOST_GROUP_INTERNAL_H
#define CE_HOST_GROUP_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

#define CE_GROUP_PREFIX  "chaoseater-group-"   /* and a number that no other has */
#define CE_GROUP_ENABLED "chaoseater-enabled-" /* and the controller that is handed down for us */
/* In a group that was left while another of ours was below it; and the name of the group beside it
 * that its processes came from, if it was not the one above. */
#define CE_GROUP_LEFT "chaoseater-left-"

/* By its name. */
bool ce_group_is_ours(const char *folder);
/* Moves the process there. 0 or -errno. */
int ce_group_move(const char *folder, pid_t pid);

#endif
