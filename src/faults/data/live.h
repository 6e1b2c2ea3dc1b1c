/* SPDX-License-Identifier: MIT */
/* Data faults on live requests: the values of inference requests are cells of the dataset's columns
 * of the same names, changed by the same mutation, with the statistics of the dataset.
 *
 * A request's id stands for the row, so who is hit depends on no order of arrival; a batch's rows
 * are spread over the same space. */
#ifndef CE_FAULTS_DATA_LIVE_H
#define CE_FAULTS_DATA_LIVE_H

#include "data/selection.h"
#include "faults/traffic.h"

struct ce_live_recipe;

/* All zero: not armed. */
struct ce_live {
    struct ce_traffic traffic;
    struct ce_profile profile;
    _Atomic(struct ce_live_recipe *) recipe; /* at the intensity of now */
    char probe[CE_PROBE_ID_SIZE]; /* one that the recipe selects at full intensity; "": none */
};

int ce_live_inject(struct ce_live *live, struct ce_injection *injection, struct ce_error *err);
int ce_live_verify(const struct ce_live *live, struct ce_evidence *evidence, struct ce_error *err);
int ce_live_adjust(struct ce_live *live, struct ce_injection *injection, double intensity,
                   struct ce_error *err);
void ce_live_revert(struct ce_live *live);
int ce_live_verify_undo(const struct ce_live *live, struct ce_error *err);

#endif
