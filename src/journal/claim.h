/* SPDX-License-Identifier: MIT */
/* What a run lays claim to, held against every other run of the state folder.
 *
 * Different faults may act on one thing at once, each by a run of its own. Of the same fault there
 * is one at a time: the second would be proven by what the first did.
 *
 * The first record of a run's journal names the things. The journal is there until all is undone,
 * whoever undoes it, and so is the claim: it needs no lock and no file of its own. */
#ifndef CE_JOURNAL_CLAIM_H
#define CE_JOURNAL_CLAIM_H

#include "base/text.h"
#include "journal/journal.h"

struct ce_claim {
    const char *experiment, *fault; /* their names */
    const struct ce_names *things;  /* by name; none, and NULL: it is in nobody's way */
};

/* ce_journal_create() for an experiment that acts on these things. -EALREADY, and a sentence that
 * says who it is, when another run brings the same fault upon one of them. */
int ce_journal_create_claiming(const char *state_dir, const char *run_id,
                               const struct ce_undo_op *const *ops, const struct ce_claim *claim,
                               struct ce_journal **ret_journal, struct ce_error *err);
/* Whether another run does that now: 0, or -EALREADY as above. Claims nothing. */
int ce_claim_check(const char *state_dir, const struct ce_claim *claim, struct ce_error *err);

#endif
