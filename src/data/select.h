/* SPDX-License-Identifier: MIT */
/* The streams behind ce_cell_selected() and ce_cell_random(), for loops that ask for many rows of
 * one column. */
#ifndef CE_DATA_SELECT_H
#define CE_DATA_SELECT_H

#include "base/random.h"

struct ce_cell_streams {
    struct ce_stream select, value;
};
struct ce_cell_streams ce_cell_streams_init(uint64_t seed, const char *fault, const char *column);

#endif
