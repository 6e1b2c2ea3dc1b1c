/* SPDX-License-Identifier: MIT */
/* Freezing processes: they are moved into a control group made for the purpose (host/group.h), and
 * that group is frozen. "leave-group" thaws it first of all. A control group of somebody else's can
 * be frozen as it stands.
 *
 * Unlike a stopped process, a frozen one does not know and its parent is not told. In version 2 it
 * can still be killed; in version 1 a kill takes effect when it is thawed. */
#ifndef CE_HOST_FREEZER_H
#define CE_HOST_FREEZER_H

#include "host/process_tree.h"
#include "journal/journal.h"

enum ce_freezer_kind {
    CE_FREEZER_V2 = 0,
    CE_FREEZER_V1,
};

/* Notes "leave-group", then makes the group, moves the processes in and freezes them. *ret_note and
 * *ret_folder (the group; free with free()) are set as soon as there is a note, also on failure:
 * ce_undo_now(*ret_note) takes back what was done. -ENOENT, -EACCES, -EPERM, -EROFS: this way is
 * not open here. */
int ce_freezer_freeze(struct ce_journal *journal, enum ce_freezer_kind kind,
                      const struct ce_process_list *processes, int *ret_note, char **ret_folder,
                      struct ce_error *err);
/* Notes "thaw-group", then freezes that very group, which is not ours. -EBUSY when it is frozen
 * already; -ENOENT when it is none of that kind. */
int ce_freezer_freeze_group(struct ce_journal *journal, enum ce_freezer_kind kind,
                            const char *folder, int *ret_note, struct ce_error *err);
/* What the kernel says of that group: every process in it stands still. */
bool ce_freezer_frozen(enum ce_freezer_kind kind, const char *folder);
/* Whether this user could freeze processes that are in this process's own groups; `detail` says
 * how, or why not. */
bool ce_freezer_available(enum ce_freezer_kind kind, char *detail, size_t size);

extern const struct ce_undo_op ce_undo_thaw_group;

#endif
