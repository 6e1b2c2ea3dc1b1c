/* SPDX-License-Identifier: MIT */
/* Freezing one process: it is moved into a control group made for the purpose, below its own, and
 * that group is frozen.
 *
 * Unlike a stopped process, a frozen one does not know and its parent is not told. In version 2 it
 * can still be killed; in version 1 a kill takes effect when it is thawed. */
#ifndef CE_HOST_FREEZER_H
#define CE_HOST_FREEZER_H

#include "base/identity.h"
#include "journal/journal.h"

enum ce_freezer_kind {
    CE_FREEZER_V2 = 0,
    CE_FREEZER_V1,
};
const char *ce_freezer_kind_name(enum ce_freezer_kind kind); /* "cgroup v2", "cgroup v1 freezer" */

/* Notes "thaw-process", then makes the group, moves the process in and freezes it. *ret_note and
 * *ret_folder (the group; free with free()) are set as soon as there is a note, also on failure:
 * ce_undo_now(*ret_note) takes back what was done. -ENOENT, -EACCES, -EPERM, -EROFS: this way is
 * not open here. */
int ce_freezer_freeze(struct ce_journal *journal, enum ce_freezer_kind kind,
                      const struct ce_process_id *id, int *ret_note, char **ret_folder,
                      struct ce_error *err);
/* What the kernel says of that group: every process in it stands still. */
bool ce_freezer_frozen(enum ce_freezer_kind kind, const char *folder);
/* Whether this user could freeze processes that are in this process's own groups; `detail` says
 * how, or why not. */
bool ce_freezer_available(enum ce_freezer_kind kind, char *detail, size_t size);

/* Thaws, moves whatever is in the group back to where it came from, removes the group. */
extern const struct ce_undo_op ce_undo_thaw_process;

#endif
