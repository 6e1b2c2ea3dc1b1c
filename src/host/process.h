/* SPDX-License-Identifier: MIT */
/* Processes: ending them in a way that can be undone, and seeing from outside what they do.
 *
 * Notes about processes carry {pid, start, boot}. After a reboot, or when the process is gone,
 * there is nothing to undo; when another process has its pid by then, undo reports it as foreign
 * and leaves it alone. */
#ifndef CE_HOST_PROCESS_H
#define CE_HOST_PROCESS_H

#include "base/identity.h"
#include "journal/journal.h"

/* {"pid", "start", "boot"}. NULL: no memory. */
json_t *ce_process_args(const struct ce_process_id *id);
/* Who a note's process is: 0 and *ret_id; 1 when nothing is left to undo (other boot, or gone);
 * CE_PROCESS_FOREIGN when another process has its pid; -EINVAL when the note makes no sense. */
enum { CE_PROCESS_GONE = 1, CE_PROCESS_FOREIGN = 2 };
int ce_process_from_args(const json_t *args, struct ce_process_id *ret_id, struct ce_error *err);

/* "end-process": note it before a child is let go (base/spawn.h). Undo is SIGKILL, and waiting
 * until it is gone. Returns the note. */
int ce_undo_note_process(struct ce_journal *journal, const struct ce_process_id *id,
                         struct ce_error *err);
extern const struct ce_undo_op ce_undo_end_process;

/* Waits until all threads of the process are stopped, or none is any more. False when that takes
 * too long; a process that has ended is not stopped. */
bool ce_process_await_stopped(const struct ce_process_id *id, bool stopped);

/* SIGKILL. The process is not reaped: that is its parent's affair. -ETIMEDOUT when it is not gone
 * within two seconds. */
int ce_process_kill(const struct ce_process_id *id, struct ce_error *err);

/* Processor time that all its threads have used, ns. 0 when it cannot be told. */
int64_t ce_process_cpu_time(const struct ce_process_id *id);
/* A "VmRSS"-like figure of /proc/PID/status, in bytes; 0 when absent. */
uint64_t ce_process_status_bytes(const struct ce_process_id *id, const char *field);

#endif
