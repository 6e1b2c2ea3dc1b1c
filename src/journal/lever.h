/* SPDX-License-Identifier: MIT */
/* The lever that stops everything: while it is engaged, every run of its state folder is undone
 * and ends, and no new one is started. It is a file, `STATE/stop`: whoever cannot run a program
 * there can still make one. */
#ifndef CE_JOURNAL_LEVER_H
#define CE_JOURNAL_LEVER_H

#include <stdbool.h>

#include "base/error.h"

/* Makes the state folder when it is missing. Doing it again is fine. */
int ce_lever_engage(const char *state_dir, struct ce_error *err);
/* Returns 1, or 0 when it was not engaged. */
int ce_lever_release(const char *state_dir, struct ce_error *err);
/* One look at the file system: cheap enough for every turn of a loop that waits. What cannot be
 * told counts as not engaged. Any process, any thread. */
bool ce_lever_is_engaged(const char *state_dir);

#endif
