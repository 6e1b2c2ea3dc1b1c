/* SPDX-License-Identifier: MIT */
/* A matrix of labels that are given in the place of others, in one line: "a>b:0.3, a>c:0.1, b>a".
 * Each entry says which label becomes which, and with which probability (1 when left out); what is
 * left of a label's probability stays with it. */
#ifndef CE_FAULTS_MODEL_LABEL_SWAPS_H
#define CE_FAULTS_MODEL_LABEL_SWAPS_H

#include <stddef.h>

#include "base/error.h"

#define CE_LABEL_SWAPS_MAX 64

struct ce_label_swaps {
    struct ce_label_swap {
        char from[64], to[64];
        double probability;
    } swaps[CE_LABEL_SWAPS_MAX];
    size_t count;
};

/* -EINVAL with a sentence about the entry that is wrong; it begins with "matrix: ". */
int ce_label_swaps_parse(const char *text, struct ce_label_swaps *ret, struct ce_error *err);

#endif
