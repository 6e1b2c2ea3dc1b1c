/* SPDX-License-Identifier: MIT */
/* Processes that are stopped by SIGSTOP, all of a tree together, and continued. Those that somebody
 * else had stopped before are left alone. */
#ifndef CE_HOST_STANDSTILL_H
#define CE_HOST_STANDSTILL_H

#include "host/process_tree.h"
#include "journal/journal.h"

/* "continue-processes": for whoever will stop them, or any that they fork. Undo continues all of
 * them and all below them. Returns the note. */
int ce_undo_note_standstill(struct ce_journal *journal, const struct ce_process_list *processes,
                            struct ce_error *err);
/* Notes that, stops them and all whom they have forked meanwhile, whom it adds to the list, and
 * waits until all stand. -EBUSY: the first of them was stopped already. *ret_note is set as soon as
 * there is one, also on failure. */
int ce_standstill_begin(struct ce_journal *journal, struct ce_process_list *processes,
                        int *ret_note, struct ce_error *err);

extern const struct ce_undo_op ce_undo_continue_processes;

#endif
