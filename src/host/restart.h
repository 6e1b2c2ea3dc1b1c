/* SPDX-License-Identifier: MIT */
/* Programs that were killed, and how they come back: their owner starts them again (a supervisor,
 * systemd), or a command line does. That a program is back is seen by a process of the same
 * executable with the same arguments that was not there before. */
#ifndef CE_HOST_RESTART_H
#define CE_HOST_RESTART_H

#include "base/identity.h"
#include "journal/journal.h"

/* What one process runs, as a note knows it. To be released. */
int ce_program_of(const struct ce_process_id *id, json_t **ret_program, struct ce_error *err);
/* The process that runs it instead; false: there is none, or the old one lives. */
bool ce_program_is_back(const json_t *program, struct ce_process_id *ret_id);
/* Waits for that. -ETIMEDOUT. */
int ce_program_await(const json_t *program, int64_t timeout, struct ce_process_id *ret_id,
                     struct ce_error *err);
/* Notes "restart-program", to be called before the process is killed. Undo runs the command line,
 * unless the program is back or was never killed, and waits until the program is back, or until
 * something that the command has started runs. */
int ce_undo_note_restart(struct ce_journal *journal, const json_t *program, const char *command,
                         struct ce_error *err);

/* Whether systemd says that it starts the process's unit again when it was killed, and how the unit
 * is called. `systemctl`: the program to ask. */
#define CE_SYSTEMCTL "/usr/bin/systemctl"
bool ce_systemd_restarts(const struct ce_process_id *id, const char *systemctl, char *ret_unit,
                         size_t size);

extern const struct ce_undo_op ce_undo_restart_program;

#endif
