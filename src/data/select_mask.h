/* SPDX-License-Identifier: MIT */
/* The lanes of a block of rows against a threshold: the loop that selection spends its time in.
 * Integers only, so that every variant gives the same bits. */
#ifndef CE_DATA_SELECT_MASK_H
#define CE_DATA_SELECT_MASK_H

#include "base/random.h"
#include "data/selection.h"

#define CE_SELECT_WORDS (CE_SELECT_BLOCK / 64)

/* Row r's lane is the (r % 8)-th 16 bits of draw r / 8 of the stream. Bit r % 64 of word r / 64,
 * counted from the first row of the block, says whether the lane lies below the threshold, or is
 * equal to it. */
typedef void ce_select_mask_fn(const struct ce_stream *stream, uint64_t block, uint16_t threshold,
                               uint64_t ret_below[CE_SELECT_WORDS],
                               uint64_t ret_equal[CE_SELECT_WORDS]);

/* The fastest variant that this processor can run. */
ce_select_mask_fn ce_select_mask;

/* The variants, for tests: the plain one first; NULL past the last that this processor can run. */
ce_select_mask_fn *ce_select_mask_variant(size_t i);

#endif
