/* SPDX-License-Identifier: MIT */
/* The labels that a model gives, so that one can be put in the place of another.
 *
 * Either the user has named them, or they are learnt from the first hundred answers that pass, for
 * each tensor by itself. Which ones are known by then depends on the order of the answers; which of
 * the known ones is drawn does not: each gets a rank by its spelling, and the highest wins. So
 * draws are exactly the same again where labels are named, and from the hundredth answer on where
 * they are learnt. */
#ifndef CE_FAULTS_MODEL_LABELS_H
#define CE_FAULTS_MODEL_LABELS_H

#include <pthread.h>

#include "faults/traffic.h"

#define CE_LABELS_MAX     64 /* beyond that it is no classification */
#define CE_LABELS_ANSWERS 100

/* Part of a fault's state. */
struct ce_labels {
    const struct ce_names *named; /* none: they are learnt */
    bool learns;
    _Atomic unsigned answers; /* that were learnt from */
    pthread_mutex_t lock;     /* of whoever adds one; looking takes no lock */
    _Atomic size_t count;
    struct ce_known_label {
        uint64_t tensor;       /* hash of its name */
        struct ce_value value; /* its slices point into this struct */
        char type[16], text[sizeof(((struct ce_edit *)0)->text)];
    } known[CE_LABELS_MAX];
};
/* `named` must outlive it. `drawn`: whether any will be drawn; if not, none need be learnt. */
void ce_labels_init(struct ce_labels *labels, const struct ce_names *named, bool drawn);
void ce_labels_learn(struct ce_labels *labels, const struct ce_values *values);

/* Draws a label for that value of the unit: any (the one that it has, too), or another than it has.
 * NULL: *ret_edit spells it, and it is not what stands there; else why there is none. */
const char *ce_labels_draw(const struct ce_labels *labels, const struct ce_visit *visit,
                           uint64_t unit, const struct ce_value *value, bool another,
                           struct ce_edit *ret_edit);

/* Whether the value says what the edit would put there. */
bool ce_edit_is_none(const struct ce_edit *edit, const struct ce_value *value);

#endif
