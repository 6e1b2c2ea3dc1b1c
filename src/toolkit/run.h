/* SPDX-License-Identifier: MIT */
/* A run under way: what run.c does, and conclude.c makes a record of. */
#ifndef CE_TOOLKIT_RUN_H
#define CE_TOOLKIT_RUN_H

#include "journal/guard.h"
#include "toolkit/toolkit_internal.h"

/* What the looks at a probe of the hypothesis came to. */
struct ce_tally {
    int looks, failures, errors;
    char why[400]; /* of the last one that did not hold, else of the last one */
};

struct ce_run_state {
    const struct ce_toolkit *toolkit;
    const struct ce_toolkit_order *options;
    struct ce_record *record;
    struct ce_stopper stopper, rollback_stopper;
    struct ce_journal *journal;
    struct ce_guard *guard;
    int *notes; /* of the rollbacks; 0: none */
    struct ce_tally *tally;
    json_t *done, *undone, *during; /* entries of the method, of the rollbacks, states */
    json_t *before, *after;         /* states; NULL: not looked */
    bool probe_failed;              /* one that ended the look before or after */
    bool begun, deviated, unasked;
    bool ended;           /* early: by the signal or the lever */
    char *refused;        /* the first action that did not take effect */
    char *dirty;          /* the first rollback that failed */
    pthread_mutex_t lock; /* of the above, and of the tally */
};

/* Whether such a look is asked for, and there is something to look at. */
bool ce_run_has_look(const struct ce_run_state *run, unsigned which);
/* Once all has been done: fills the record. `failed`: why it could not go on; NULL: it could. */
int ce_run_conclude(struct ce_run_state *run, const char *failed, struct ce_error *err);

#endif
