/* SPDX-License-Identifier: MIT */
/* Which cells are hit, and what each of them draws: pure functions of (seed, fault, column name,
 * row). A cell is hit when its own uniform draw lies below the rate, so the cells of a lower rate
 * are among those of a higher one. */
#include "data/select.h"

#include <stdio.h>

#include "data/inject.h"

struct ce_cell_streams ce_cell_streams_init(uint64_t seed, const char *fault, const char *column)
{
    char purpose[96];
    struct ce_cell_streams streams;
    snprintf(purpose, sizeof purpose, "%s/select", fault);
    streams.select = ce_stream_init(seed, purpose, column);
    snprintf(purpose, sizeof purpose, "%s/value", fault);
    streams.value = ce_stream_init(seed, purpose, column);
    return streams;
}

bool ce_cell_selected(uint64_t seed, const char *fault, const char *column, uint64_t row,
                      double rate)
{
    struct ce_cell_streams streams = ce_cell_streams_init(seed, fault, column);
    return ce_stream_uniform(&streams.select, row) < rate;
}

void ce_cell_random(uint64_t seed, const char *fault, const char *column, uint64_t row,
                    uint64_t ret_words[2])
{
    struct ce_cell_streams streams = ce_cell_streams_init(seed, fault, column);
    ce_stream_draw(&streams.value, row, ret_words);
}
