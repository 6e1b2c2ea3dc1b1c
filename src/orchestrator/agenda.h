/* SPDX-License-Identifier: MIT */
/* The runs of a suite, in the order of the report: which wait, which go on, which have ended, and
 * which may be started next. Plain bookkeeping. */
#ifndef CE_ORCHESTRATOR_AGENDA_H
#define CE_ORCHESTRATOR_AGENDA_H

#include "experiment/document.h"
#include "observers/record.h"

enum ce_item_state {
    CE_ITEM_WAITING = 0,
    CE_ITEM_RUNNING,
    CE_ITEM_ENDED,
};

struct ce_item {
    const struct ce_experiment *experiment;
    size_t index; /* of the experiment in the document */
    int profile;  /* of the embedded pipeline */
    int repeat;   /* 1.. when it repeats, else 0 */
    enum ce_item_state state;
    struct ce_record record; /* once it has ended */
    struct ce_names claims;  /* see claims.h */
};

struct ce_agenda {
    const struct ce_document *doc;
    const bool *chosen; /* while it is made */
    struct ce_item *items;
    size_t count, running, ended;
};

/* Every run of every experiment that is not left out, and chosen (NULL: all are): on the pipeline's
 * profile, or first on the naive and then on the hardened one. */
int ce_agenda_make(const struct ce_document *doc, const bool *chosen, bool both_profiles,
                   uint64_t seed, struct ce_agenda *ret_agenda, struct ce_error *err);
void ce_agenda_done(struct ce_agenda *agenda); /* a zeroed one is fine */

/* The first one that waits for nothing: what it depends on has ended, and nothing that runs claims
 * what it claims. NULL: there is none now. */
struct ce_item *ce_agenda_next(const struct ce_agenda *agenda);
/* One of those that it depends on and that ended otherwise than passed; NULL: there is none. */
const struct ce_item *ce_agenda_unmet(const struct ce_agenda *agenda, const struct ce_item *item);

void ce_agenda_begin(struct ce_agenda *agenda, struct ce_item *item);
/* Takes over what the record owns. */
void ce_agenda_end(struct ce_agenda *agenda, struct ce_item *item, const struct ce_record *record);

#endif
