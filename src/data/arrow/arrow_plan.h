/* SPDX-License-Identifier: MIT */
/* The mutations of one pass over a typed table, made ready: columns found, statistics looked at,
 * the new schema put together. */
#ifndef CE_DATA_ARROW_PLAN_H
#define CE_DATA_ARROW_PLAN_H

#include "data/arrow/arrow.h"
#include "data/arrow/placer.h"
#include "data/arrow/source.h"
#include "data/steps.h"

#define CE_ARROW_MASK_WORDS (CE_SELECT_BLOCK / 64)

/* What a pass keeps of a step. */
struct ce_arrow_step {
    const struct ce_step *made;
    struct ce_placer
        *placer; /* of copied rows; those that come at the end share that of the first */
    bool borrows_placer;
    struct ce_buffer copied; /* struct ce_arrow_copy, of the batch at hand */
    size_t copied_next;
    /* The masks of block `block`; those of places follow. UINT64_MAX: none yet. */
    uint64_t block, *masks;
    bool *hits; /* by_value: of the row at hand */
};

/* A column of the result. */
struct ce_arrow_place {
    int input;                       /* -1: an added one */
    const struct ce_mutation *added; /* that adds it */
    const char *name;
    struct ce_arrow_type *type; /* borrowed; of added ones from the plan */
    struct ce_stream draws;
};

struct ce_arrow_plan {
    const struct ce_arrow_mutate *how;
    const struct ce_arrow_source *source;
    struct ce_step *made;
    struct ce_arrow_step *steps; /* one for each */
    size_t step_count;
    struct ce_arrow_place *places;
    size_t place_count;
    struct ce_arrow_type *text, *number; /* of retyped and of added columns */
    const struct ce_arrow_type **texts;  /* of each column of the input: `text`, or NULL */
    uint8_t *retyped_by;                 /* which step does that, from 1 */
    bool *hit;                           /* takes part in a mutation of cells */
    uint8_t *removed_by;                 /* from 1 */
    size_t hit_columns;
    bool moves_rows;                /* some step drops or copies rows */
    struct ArrowSchema schema;      /* of the result */
    struct ce_fault_counts *counts; /* borrowed: those of layout steps are filled in */
    uint64_t first, end;            /* rows that are written */
    bool tail_own;                  /* and what comes after the last row */
};

int ce_arrow_plan_make(const struct ce_arrow_mutate *how, const struct ce_arrow_source *source,
                       struct ce_fault_counts *counts, struct ce_arrow_plan *ret_plan,
                       struct ce_error *err);
void ce_arrow_plan_done(struct ce_arrow_plan *plan); /* a zeroed one is fine */
/* The masks of the block that the row is in. */
const uint64_t *ce_arrow_step_masks(struct ce_arrow_step *step, uint64_t row);

#endif
