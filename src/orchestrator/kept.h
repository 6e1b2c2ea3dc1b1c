/* SPDX-License-Identifier: MIT */
/* What has ended in a suite, kept on disk while the suite goes on, so that `--resume` need not run
 * it again after an interruption. One file per document in the state folder; it goes when the suite
 * has come to its end, or when nobody has resumed it in 30 days or 32 others are newer. */
#ifndef CE_ORCHESTRATOR_KEPT_H
#define CE_ORCHESTRATOR_KEPT_H

#include "experiment/document.h"
#include "observers/record.h"

struct ce_kept;

/* Begins the file of that document. With `resume` what an earlier suite left in it is read first,
 * and its seed goes before *seed; -ENOENT is no error: there is nothing to go on from. -EBUSY: the
 * same document is run by another suite right now; without `resume` nothing is kept then
 * (*ret_kept: NULL). `variant` tells apart what is run on one document in different ways. */
int ce_kept_open(const char *state_dir, const struct ce_document *doc, const char *variant,
                 bool resume, uint64_t *seed, struct ce_kept **ret_kept, struct ce_error *err);
/* The file goes unless the suite is to be resumed. NULL is fine. */
void ce_kept_close(struct ce_kept *kept, bool finished);

/* Whether a run of that name had ended: then its record, which is the caller's. */
bool ce_kept_find(const struct ce_kept *kept, const char *name, const char *profile, int repeat,
                  struct ce_record *ret_record);
/* Keeps one more. What cannot be kept is run again, that is all. NULL is fine. */
void ce_kept_add(struct ce_kept *kept, const struct ce_record *record);

#endif
