/* SPDX-License-Identifier: MIT */
/* Of pass.c, which says what happens to a row, and pass_write.c, which writes what came of it. */
#ifndef CE_DATA_TEXT_PASS_INTERNAL_H
#define CE_DATA_TEXT_PASS_INTERNAL_H

#include "data/text/pass.h"

/* Masks of a block of rows; see selection.h. */
struct ce_mask_block {
    bool valid;
    uint64_t number;
    uint64_t *masks; /* of all units */
};

struct ce_pass_worker {
    const struct ce_pass *pass;
    const struct ce_plan *plan;
    const struct ce_text_table *table;

    struct ce_mask_block *blocks; /* block n lies in n % block_capacity */
    size_t block_capacity;
    uint32_t *hits; /* of 64 rows: for each as many as there are units, in their order */
    uint32_t hit_count[64];
    bool *value_hits;
    struct ce_fault_counts *other_counts; /* of rows that are not written */

    struct ce_text_scan scan;
    struct ce_text_row row;
    struct ce_buffer made, scratch;
    uint32_t *slots;
    struct made_place {
        const char *raw; /* where the cell was */
        const struct ce_made_cell *made;
    } * order; /* row.cells, as they follow in the record */
    size_t order_capacity;
    struct ce_made_cell *saved;
    struct ce_text_cell *cells; /* of a record with its new cells */
    size_t cell_capacity;
    struct ce_layout_cell *layout; /* with the texts of added cells */
    struct ce_buffer texts;
    struct ce_buffer composed;
    struct ce_buffer next; /* copies of the row at work that come right behind it */
    struct next_row {
        size_t step;
        struct ce_text_slice row;
    } * next_rows;
    size_t next_count, next_capacity;

    /* Of the chunk at work. */
    const struct ce_chunk *chunk;
    struct ce_pass_result *result;
    struct ce_fault_counts *counts; /* of the row at work */
    bool own;
    bool dropped;
    size_t dropped_by;
    const char *copied; /* how far the chunk's bytes have been copied or left out */
    struct ce_piece piece;
};

/* The record as it is now, with its line end: in `composed`, or where it was. */
int ce_pass_compose(struct ce_pass_worker *w, const char **ret_bytes, size_t *ret_size,
                    struct ce_error *err);
/* The chunk's head. */
int ce_pass_write_head(struct ce_pass_worker *w, struct ce_error *err);
/* The record at work, or its absence, and the copies that come right behind it. */
int ce_pass_write_row(struct ce_pass_worker *w, struct ce_error *err);
int ce_pass_copy_to(struct ce_pass_worker *w, const char *to, struct ce_error *err);
/* Ends the piece at work behind the row; NULL: behind the head, or the end of the chunk. */
int ce_pass_end_piece(struct ce_pass_worker *w, const struct ce_text_record *record,
                      struct ce_error *err);

/* Room for one more element; false: no memory. */
bool ce_pass_grow(void *array, size_t *capacity, size_t count, size_t element_size);

#endif
