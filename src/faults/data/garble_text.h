/* SPDX-License-Identifier: MIT */
/* What garble.c and garble_text.c share. */
#ifndef CE_FAULTS_DATA_GARBLE_TEXT_H
#define CE_FAULTS_DATA_GARBLE_TEXT_H

#include "data/cell.h"

/* A cell's text to work on: what the cell gives is lost with its next use. */
struct ce_copy {
    char *text, *memory; /* memory: when `small` does not do */
    size_t size;
    char small[256];
};
/* With room for `more` bytes behind it. NULL, or why not. */
const char *ce_copy_cell(struct ce_cell *cell, size_t more, struct ce_copy *ret_copy);
void ce_copy_done(struct ce_copy *copy);

/* A word as an integer in [0, bound), 0 when the bound is 0. */
uint64_t ce_below(uint64_t word, uint64_t bound);

/* What ce_garble_end() and ce_garble_bit() do with numbers. */
const char *ce_garble_number_end(struct ce_cell *cell, double value);
const char *ce_garble_number_bit(struct ce_cell *cell, double value);

#endif
