/* SPDX-License-Identifier: MIT */
/* Lowering a limit of a control group that is not ours.
 *
 * Whoever lowers it notes what it was, and puts that back. Two that do so at once would each take
 * the other's value for what was there, and leave one of them behind. So a limit is lowered by one
 * fault at a time, whatever run it belongs to: an extended attribute of the group's folder,
 * "chaoseater.CONTROLLER", says so to everyone, and the number in it says to the undo whether that
 * fault still has anything to put back. It goes after the limit is back, or with the group. A
 * controller that is handed down for us stays so for as long as there is a claim that needs it. */
#ifndef CE_HOST_GROUP_CLAIM_H
#define CE_HOST_GROUP_CLAIM_H

#include "journal/journal.h"

/* -EBUSY, and a sentence, where another fault has lowered a limit of that controller in there, or
 * where the group is one of ours. */
int ce_group_claim_check(const char *folder, const char *controller, struct ce_error *err);

/* The only one to be there, and no claim of another is made until it is done. */
struct ce_group_claim {
    const char *folder, *controller; /* borrowed */
    int lock;
};
/* What the limit is may be read from now on. -EBUSY as above. */
int ce_group_claim_begin(const char *folder, const char *controller, struct ce_group_claim *claim,
                         struct ce_error *err);
/* Notes `op` with `args` (which are taken) and with what ce_group_claim_undo() wants to know, and
 * makes the claim. Returns the note's id; after a failure there is none. */
int ce_group_claim_note(const struct ce_group_claim *claim, struct ce_journal *journal,
                        const char *op, json_t *args, struct ce_error *err);
void ce_group_claim_done(struct ce_group_claim *claim);

/* The undo of such a note: restore(folder, args), if that very group is there and the claim is,
 * then the claim and what was handed down for us. restore: 0 also when the group goes meanwhile. */
int ce_group_claim_undo(const json_t *args,
                        int (*restore)(const char *folder, const json_t *args,
                                       struct ce_error *err),
                        struct ce_error *err);

#endif
