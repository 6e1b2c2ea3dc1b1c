/* SPDX-License-Identifier: MIT */
/* Which rows of two tables belong together: rows are known by the hashes of their cells.
 *
 * Rows are paired as they come. Where the pairs that follow agree clearly less than those before
 * did, some rows may be in one of the tables alone: the smallest shift, up to a window of rows,
 * under which they agree clearly better says how many. A search that finds none is not repeated at
 * once, so tables that differ everywhere cost little more than others. */
#ifndef CE_DATA_ARROW_ALIGN_H
#define CE_DATA_ARROW_ALIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CE_ALIGN_WINDOW 4096                  /* the longest shift */
#define CE_ALIGN_RING   (2 * CE_ALIGN_WINDOW) /* rows that are kept of a table */

struct ce_align_side {
    void *ctx;
    /* The hashes of the next row's cells: 1, or 0 at the end. The last CE_ALIGN_RING rows must stay
     * within reach of who is asked about them. */
    int (*next)(void *ctx, uint64_t *ret_hashes, struct ce_error *err);

    uint64_t *hashes; /* of the aligner: row n lies in n % CE_ALIGN_RING */
    uint64_t begin, end;
    bool ended;
};

struct ce_align {
    struct ce_align_side a, b;
    size_t cells;              /* in a row */
    double usual;              /* share of equal cells, of late */
    uint64_t no_search_before; /* row of a */
    uint64_t patience;         /* rows without a search after one that failed */
};

/* Zero all but the sides' ctx and next. Undo with ce_align_done() in every case. */
int ce_align_init(struct ce_align *align, size_t cells, struct ce_error *err);
void ce_align_done(struct ce_align *align);

/* What comes next: 1 and a pair (rows a.begin - 1 and b.begin - 1), or rows that one of the tables
 * has alone; 0: both are at their end. */
int ce_align_next(struct ce_align *align, uint64_t *ret_removed, uint64_t *ret_added,
                  struct ce_error *err);
const uint64_t *ce_align_row(const struct ce_align *align, const struct ce_align_side *side,
                             uint64_t row);

#endif
