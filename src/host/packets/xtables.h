/* SPDX-License-Identifier: MIT */
/* Chains of ours in the tables that the iptables programs keep, made in one go and removed so that
 * all other rules stay as they were, byte for byte. (A table that the kernel makes when it is first
 * looked at stays, empty, as long as its network namespace.) */
#ifndef CE_HOST_PACKETS_XTABLES_H
#define CE_HOST_PACKETS_XTABLES_H

#include "host/place.h"
#include "journal/journal.h"

enum { CE_CHAIN_SIZE = 20, CE_XTABLES_TEXT = 16384 };

/* A call of one of the programs: "iptables-legacy", "ip6tables-nft", ... */
struct ce_xtables {
    const char *program;
    /* Which of its tools: "restore" reads `text`, "save" answers with the lines in which `chain`
     * stands. */
    const char *tool;
    bool counters;              /* of "save" */
    const char *chain;          /* whose lines are wanted */
    char text[CE_XTABLES_TEXT]; /* rules, or the answer */
};
/* Calls it in that network namespace. -ENOENT: no such program. -ENOTSUP with the program's own
 * words. */
int ce_xtables_run_there(const struct ce_place *place, struct ce_xtables *xtables,
                         struct ce_error *err);

/* "remove-chains": all whose names begin with `chain`, and the jumps to them. */
int ce_undo_note_chains(struct ce_journal *journal, const struct ce_place *place,
                        const char *variant, const char *chain, struct ce_error *err);
extern const struct ce_undo_op ce_undo_remove_chains;

#endif
