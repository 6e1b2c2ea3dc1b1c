/* SPDX-License-Identifier: MIT */
/* The guard: a process of its own session that holds the other end of a pipe.
 *
 * When the controller dies, however it dies, the pipe ends and the guard undoes everything that the
 * journal calls live. The same when the deadline passes: then the notes stay live, because a
 * controller that hangs may still do the deed it has noted; whoever ends the run undoes them once
 * more. The guard is forked before the controller starts any thread, and uses no memory of the
 * controller but the journal's path and the table of operations. */
#ifndef CE_JOURNAL_GUARD_H
#define CE_JOURNAL_GUARD_H

#include <stdint.h>

#include "journal/journal.h"

struct ce_guard;

/* Forks the guard. Must be called while the process has one thread, or from a thread that forks
 * safely. */
int ce_guard_start(struct ce_journal *journal, struct ce_guard **ret_guard, struct ce_error *err);
/* Everything is undone at the latest at this ce_now() time (0: no deadline). Time that the machine
 * sleeps counts. A controller that is stuck within the journal's lock ten seconds after that is
 * killed. */
int ce_guard_deadline(struct ce_guard *guard, int64_t at, struct ce_error *err);
pid_t ce_guard_pid(const struct ce_guard *guard);
/* Whether the guard has undone the run because its deadline passed. From now on ce_undo_note() is
 * refused (ECANCELED). */
bool ce_guard_fired(const struct ce_guard *guard);
/* Whether the guard is still there. */
bool ce_guard_alive(const struct ce_guard *guard);
/* Lets the guard go: nothing is live any more. Waits until it has ended. NULL is fine. */
void ce_guard_stop(struct ce_guard *guard);

#endif
