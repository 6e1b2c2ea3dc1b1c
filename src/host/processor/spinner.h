/* SPDX-License-Identifier: MIT */
/* A witness of how much processor time there is: a process of ours that takes all that it gets, and
 * is looked at from outside. */
#ifndef CE_HOST_PROCESSOR_SPINNER_H
#define CE_HOST_PROCESSOR_SPINNER_H

#include "base/identity.h"
#include "journal/journal.h"

struct ce_agent;

/* Notes and starts it; it spins at once. End it with ce_agent_stop(). */
int ce_spinner_start(struct ce_journal *journal, struct ce_agent **ret_spinner,
                     struct ce_error *err);
/* For how long the process has been ready to run and others did, ns; 0 when the kernel does not
 * tell. */
int64_t ce_spinner_waited(const struct ce_process_id *id);
/* Whether it may not run now: it is stopped, or is to be as soon as it gets a processor. */
bool ce_spinner_is_held(const struct ce_process_id *id);

#endif
