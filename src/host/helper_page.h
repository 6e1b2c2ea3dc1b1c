/* SPDX-License-Identifier: MIT */
/* The controller's end of the page by which helpers that a target has loaded are told what to do
 * (host/helper_layout.h). */
#ifndef CE_HOST_HELPER_PAGE_H
#define CE_HOST_HELPER_PAGE_H

#include "base/identity.h"
#include "host/helper_layout.h"
#include "journal/journal.h"

/* Makes the page in that folder, with nothing armed. One that is there stays as it is. */
int ce_helper_page_make(const char *folder, struct ce_error *err);

struct ce_helper_control;
/* -ENOENT: nobody has made one there. */
int ce_helper_control_open(const char *folder, struct ce_helper_control **ret_control,
                           struct ce_error *err);
void ce_helper_control_close(struct ce_helper_control *control); /* NULL is fine */
const struct ce_helper_page *ce_helper_control_page(const struct ce_helper_control *control);

/* Each notes "disarm-helpers" and then arms. *ret_note is set as soon as there is a note, also on
 * failure; ce_undo_now() of it disarms. -EBUSY: somebody else has armed it. */
int ce_helper_arm_gpu(const struct ce_helper_control *control, struct ce_journal *journal,
                      enum ce_gpu_mode mode, int *ret_note, struct ce_error *err);
int ce_helper_arm_clock(const struct ce_helper_control *control, struct ce_journal *journal,
                        const struct ce_clock_skew *skew, int *ret_note, struct ce_error *err);
/* Another skew from now on. For who has armed the clock. */
void ce_helper_set_clock(const struct ce_helper_control *control, const struct ce_clock_skew *skew);

/* Whether that process has mapped a library of that file name. */
bool ce_helper_loaded(const struct ce_process_id *process, const char *library);

extern const struct ce_undo_op ce_undo_disarm_helpers;

#endif
