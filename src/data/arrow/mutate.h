/* SPDX-License-Identifier: MIT */
/* The pass over a typed table: what mutate.c, which changes a batch, and write.c, which writes what
 * came of it, share. */
#ifndef CE_DATA_ARROW_MUTATE_H
#define CE_DATA_ARROW_MUTATE_H

#include "data/arrow/arrow_plan.h"
#include "data/arrow/digest.h"
#include "data/arrow/work.h"

/* Rows of the output: a run of the batch's, or a copied one. */
struct ce_arrow_piece {
    int64_t start, count; /* a copied row: count is 0, */
    size_t at, size;      /* its cells, in `placed`, */
    uint64_t ordinal;     /* and what row it is a copy of */
};

struct ce_arrow_pass {
    struct ce_arrow_mutate how;
    struct ce_data_result *result;
    struct ce_arrow_source source;
    struct ce_arrow_plan plan;
    struct ce_work work;
    struct ce_work_row row;
    struct ce_fault_counts *counts, other_counts;
    struct ce_arrow_digest *digest_in, *digest_out;
    uint64_t rows_in;  /* of the batches before */
    uint64_t own_in;   /* of them, that are written */
    uint64_t rows_out; /* written */
    bool rested;       /* the input is at its end */
    bool ended;

    /* Of the batch: */
    struct ce_buffer gone;   /* for each row the step that dropped it, from 1 */
    struct ce_buffer copies; /* rows that were copied */
    struct ce_buffer pieces; /* struct ce_arrow_piece */
    struct ce_buffer placed;
    struct ArrowArray *made; /* for each column of the input: as it is now, where it was touched */

    struct ce_grow *join; /* for each place: puts pieces together */
    int64_t *values;      /* for each place: how many the key says that its dictionary has */
    struct ce_buffer entries, cell;
    uint64_t entry_in, entry_out; /* rows of the input and the output where the last entry is */
};

/* A row of the batch that a step copied. */
struct ce_arrow_copy {
    int64_t row;
    size_t at, size; /* in `copies` */
};

int ce_arrow_pass_write_init(struct ce_arrow_pass *pass, struct ce_error *err);
void ce_arrow_pass_write_done(struct ce_arrow_pass *pass);
/* Makes the output of a batch that has been worked on, and its entries in the key. 1, or 0: no row
 * is left of it. */
int ce_arrow_pass_write(struct ce_arrow_pass *pass, struct ce_arrow_shared *batch,
                        struct ArrowArray *ret_batch, struct ce_error *err);
/* What comes after the last batch: 1, or 0 when that is all. */
int ce_arrow_pass_write_rest(struct ce_arrow_pass *pass, struct ArrowArray *ret_batch,
                             struct ce_error *err);

#endif
