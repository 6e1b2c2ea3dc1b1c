/* SPDX-License-Identifier: MIT */
/* Selection by value: a window of ranks of a column, for the mechanisms mar and mnar. */
#ifndef CE_DATA_WINDOW_H
#define CE_DATA_WINDOW_H

#include "data/cell.h"

/* A share of all 64-bit numbers: those below `below`, or all of them. */
struct ce_share {
    bool all;
    uint64_t below;
};
struct ce_share ce_share_of(double share); /* 0 and less: none; 1 and more: all */

/* Values are taken by the steps of the column's sketch: first <= last. Of the rows whose value lies
 * in the first or last step only a share is in, so that the window holds what it should also where
 * many rows have the same value, or where a step is wider than the window. */
struct ce_window {
    size_t column;
    enum ce_column_type type;
    double before_first, first; /* the first step holds values above, up to; -inf: no bound */
    double before_last, last;   /* inf: no bound */
    struct ce_share of_first, of_last;
};

/* A window over the values that column has (missing ones have no rank), wide enough for the share
 * `rate` of all rows, if there are as many. `start` in [0, 1) says where it lies. A wider window of
 * the same start contains a narrower one. */
struct ce_window ce_window_init(const struct ce_profile *profile, size_t column, double rate,
                                double start);
/* What was read of a row for one window, for the next one over the same column. */
struct ce_window_value {
    bool read, some; /* some: it has a rank */
    size_t column;
    double value;
};
/* The share of the rows like this one that the window takes. `seen` is zeroed for each row. */
struct ce_share ce_window_share(const struct ce_window *window, struct ce_row *row,
                                struct ce_window_value *seen);

#endif
