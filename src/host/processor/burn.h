/* SPDX-License-Identifier: MIT */
/* Processes that burn processor time beside a target: one on each of some of the processors that it
 * may use, each working for a share of the time. They are moved into the target's control groups
 * where that is allowed, so that they compete for what these may use, and end with the controller.
 */
#ifndef CE_HOST_PROCESSOR_BURN_H
#define CE_HOST_PROCESSOR_BURN_H

#include "base/identity.h"
#include "journal/journal.h"

enum { CE_BURN_MAX = 256 };

struct ce_burn;

/* Notes and starts them, on the first `cores` of the processors that the target may use (0: on
 * all); they do nothing yet. */
int ce_burn_begin(struct ce_journal *journal, const struct ce_process_id *target, unsigned cores,
                  struct ce_burn **ret_burn, struct ce_error *err);
int ce_burn_set(struct ce_burn *burn, double share, struct ce_error *err);
/* The burners, for who wants to look at them from outside; returns how many. */
size_t ce_burn_processes(const struct ce_burn *burn, struct ce_process_id ret_burners[CE_BURN_MAX]);
/* Whether they are in the target's own control group. */
bool ce_burn_is_inside(const struct ce_burn *burn);
/* Ends them and frees `burn`, in every case. After a failure the note is still live. NULL is fine.
 */
int ce_burn_end(struct ce_burn *burn, struct ce_error *err);

#endif
