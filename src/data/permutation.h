/* SPDX-License-Identifier: MIT */
/* A keyed permutation of [0, n) that is computed point by point, so that k of n things can be
 * chosen without a list of them: those whose image is less than k. */
#ifndef CE_DATA_PERMUTATION_H
#define CE_DATA_PERMUTATION_H

#include "base/random.h"

#define CE_PERMUTATION_TURNS 6

struct ce_permutation {
    uint64_t size;        /* n */
    uint64_t left, right; /* left * right >= n: a point is a pair of such numbers */
    uint64_t keys[CE_PERMUTATION_TURNS];
};

/* `size` below 2^62; the keys are the first draws of the stream. */
struct ce_permutation ce_permutation_init(const struct ce_stream *key, uint64_t size);
/* The image of a point below the size. */
uint64_t ce_permutation_at(const struct ce_permutation *permutation, uint64_t point);

#endif
