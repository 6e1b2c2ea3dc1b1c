/* SPDX-License-Identifier: MIT */
/* Which rows of two tables belong together: rows are known by the hashes of their cells.
 *
 * Rows are paired as they come. Where the pairs that follow agree clearly less than those before
 * did, the rows ahead are aligned: pairs, and rows that are in one of the tables alone, such that
 * as much as possible agrees. A block of rows that is longer than what is aligned is looked for by
 * trying shifts. A search that finds nothing is not repeated at once, so tables that differ
 * everywhere cost little more than others.
 *
 * A cell that is like its neighbours in the column says little about which row it belongs to: cells
 * weigh as much as their column varies nearby. */
#ifndef CE_DATA_ALIGN_H
#define CE_DATA_ALIGN_H

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
    double *weights;           /* of the cells of a row; their sum is 1 */
    uint64_t weighed_until;    /* row of a */
    float *scores;             /* of the alignment at work */
    double usual;              /* how much pairs agreed, of late */
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
