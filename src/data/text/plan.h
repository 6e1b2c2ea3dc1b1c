/* SPDX-License-Identifier: MIT */
/* The mutations of one pass, made ready: columns found, statistics looked at, the new layout put
 * together. Read-only while the pass runs; threads share it. */
#ifndef CE_DATA_TEXT_PLAN_H
#define CE_DATA_TEXT_PLAN_H

#include "data/steps.h"
#include "data/text/format.h"

#define CE_MASK_WORDS (CE_SELECT_BLOCK / 64)

/* Something that a mask tells of: a column of a cell mutation, the rows of a row mutation, or the
 * places where rows of a shuffled one come to lie. */
struct ce_unit {
    size_t step;
    const struct ce_mutation *mutation; /* the step's */
    size_t column;                      /* of cells */
    const struct ce_stream *draws;      /* of cells and rows */
    bool place;
};

struct ce_plan {
    const struct ce_text_table *table;
    const struct ce_profile *profile; /* its columns are those of the table */
    struct ce_step *steps;
    size_t step_count;
    struct ce_unit *units;
    size_t unit_count;
    size_t hit_columns; /* that some cell mutation may hit */

    struct ce_layout_cell *layout; /* the new columns; of added ones, text is filled in by row */
    struct ce_new_column *added;   /* the same ones: where the added ones come from */
    size_t layout_count;
    size_t layout_step;      /* the last layout mutation: whose changes these are */
    bool new_head;           /* the header changes */
    bool new_records;        /* each record does */
    bool by_value;           /* some step asks each row */
    bool moves;              /* rows are put in further down */
    bool delays;             /* ... by a fixed number of rows */
    uint64_t first, end;     /* rows that are written */
    bool head_own, tail_own; /* whether what lies before the first and after the last row is */
};

/* `name` is what messages call the input. */
int ce_plan_make(const struct ce_text_table *table, const struct ce_profile *profile,
                 const char *name, const struct ce_mutation *mutations, size_t count,
                 struct ce_plan *ret_plan, struct ce_error *err);
void ce_plan_done(struct ce_plan *plan);
/* The shard-th (from 1) of `shard_count` parts of the profile's rows is written. */
void ce_plan_shard(struct ce_plan *plan, unsigned shard, unsigned shard_count);

#endif
