/* SPDX-License-Identifier: MIT */
/* A duty cycle: processes are stopped and continued a hundred times a second, so that each runs for
 * a share of the time only. For hosts where no control group can limit them; an ordinary user may
 * do it to processes of his own.
 *
 * An agent does it (host/agent.h), to the processes and all that is below them. Beside it stands a
 * twin that does nothing but wait for its end, however that comes, and then continue everyone whom
 * the agent has ever stopped. "continue-processes" is noted before, for the case that both are
 * killed at once. Processes that were stopped before, by somebody else, are left alone.
 *
 * Unlike a quota it can be noticed: the parent of a stopped process is told so if it waits for
 * that, and sleeping system calls of some kinds end early when the process is continued. */
#ifndef CE_HOST_PROCESSOR_DUTY_H
#define CE_HOST_PROCESSOR_DUTY_H

#include "host/process_tree.h"
#include "journal/journal.h"

struct ce_duty;

/* Notes "continue-processes" and starts the agent; everyone runs freely yet. */
int ce_duty_begin(struct ce_journal *journal, const struct ce_process_list *processes,
                  struct ce_duty **ret_duty, struct ce_error *err);
/* From now on they run for that share of the time; 1: freely. */
int ce_duty_set(struct ce_duty *duty, double share, struct ce_error *err);
/* Puts one more process under the same cycle, as a witness. */
int ce_duty_add(struct ce_duty *duty, const struct ce_process_id *id, struct ce_error *err);
struct ce_process_id ce_duty_agent(const struct ce_duty *duty);
/* Continues everyone, ends the agent and frees `duty`, in every case. After a failure its notes are
 * still live. NULL is fine. */
int ce_duty_end(struct ce_duty *duty, struct ce_error *err);

#endif
