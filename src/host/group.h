/* SPDX-License-Identifier: MIT */
/* A control group of ours, into which a target's processes are moved for as long as a fault lasts.
 * What is written there (a quota, devices that are denied, a rate) holds for them and for their
 * children, and for nobody else.
 *
 * It is made below the group that they are in, so that the limits of that one and of all above stay
 * in force. In version 2 a controller has to be handed down to it. Those that work on threads
 * ("cpu", "cpuset", "pids") may be handed down by a group that has processes: ours becomes a
 * threaded one below it. The others ("io", "memory") may not: then ours stands beside the target's
 * group, below the next one up, whose limits and those above are the ones that stay in force. Where
 * a group on the way hands the controller down only because we asked, an empty group
 * "chaoseater-enabled-NAME" says so; whoever leaves last takes both back.
 *
 * Groups of several faults on one target lie in each other and go in any order: one that still has
 * another below it when it is undone lets its limits go, is marked as left, and is removed by the
 * undo of that other. */
#ifndef CE_HOST_GROUP_H
#define CE_HOST_GROUP_H

#include "host/process_tree.h"
#include "journal/journal.h"

/* Notes "leave-group", makes the group in that hierarchy (a controller of version 1; NULL: version
 * 2) and moves the processes in, children that appear meanwhile too. Version 2: `controller2` is
 * one that must work in there ("cpu"; NULL: none), else -ENOTSUP. *ret_note and *ret_folder (free
 * with free()) are set as soon as there is a note, also on failure: ce_undo_now(*ret_note) takes
 * back what was done: limits in the group are lifted first, then everyone in it goes back to where
 * it came from (who was forked meanwhile: to where its parent came from), and the group is removed.
 * Processes of several groups: it is made at that of the first. -ESRCH: none of them is left. */
int ce_group_make(struct ce_journal *journal, const char *controller, const char *controller2,
                  const struct ce_process_list *processes, int *ret_note, char **ret_folder,
                  struct ce_error *err);
/* Moves a process of ours into the group, as a witness of what holds there. */
int ce_group_join(const char *folder, pid_t pid, struct ce_error *err);
/* Whether this user could, for processes that are where this one is; `detail` says how, or why not.
 */
bool ce_group_available(const char *controller, const char *controller2, char *detail, size_t size);

extern const struct ce_undo_op ce_undo_leave_group;

#endif
