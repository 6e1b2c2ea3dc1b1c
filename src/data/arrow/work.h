/* SPDX-License-Identifier: MIT */
/* A batch at work: cells of it are read and set, and the columns that were touched are made anew.
 *
 * Nothing is copied before a cell of a column is set. Then columns of fixed width are copied once
 * and patched in place; of texts, the new ones are kept apart and the column is put together at the
 * end. Rows are struct ce_work_row. */
#ifndef CE_DATA_ARROW_WORK_H
#define CE_DATA_ARROW_WORK_H

#include "data/arrow/grow.h"
#include "data/cell.h"

#define CE_WORK_FAULTS_MAX 255

struct ce_work_column {
    const struct ce_arrow_type *in;   /* of the input; borrowed */
    const struct ce_arrow_type *type; /* as faults see it: `in`, or a text */
    bool hit;                         /* takes part in a mutation of cells */

    /* Of the batch: */
    const struct ArrowArray *input, *array; /* the column, and what faults see of it */
    int64_t input_start, start;
    struct ArrowArray text; /* the column as text, where it is retyped */
    struct ce_grow edit;    /* with `edited`: the column as it is now, all but texts */
    bool edited;
    uint8_t *by;     /* for each row: which mutation set the cell last, from 1; NULL: none */
    uint32_t *patch; /* texts: for each row the new one, from 1 */
};

struct ce_work {
    size_t column_count;
    struct ce_work_column *columns;
    const struct ce_profile *profile;
    int64_t rows, reach;      /* edited columns are made up to row `reach` */
    bool marks;               /* whether the following is wanted, and `by` of the columns */
    struct ce_buffer touched; /* bits: rows of which a cell was set */
    bool any_touched;

    struct work_patch {
        size_t at, size;
        bool missing;
    } * patches;
    uint32_t patch_count, patch_capacity;
    struct ce_buffer patched, scratch, cell;
    struct ce_error *err; /* where a writer that ran out of memory says so */
    int failed;
};

struct ce_work_row {
    struct ce_row row; /* first */
    struct ce_work *work;
    int64_t at;    /* in the batch */
    uint8_t fault; /* who sets cells, from 1 */
};
extern const struct ce_row_form ce_arrow_row_form;

/* `types` and `texts` are borrowed: texts[i] is the type that column i is turned into, or NULL. */
int ce_work_init(struct ce_work *work, struct ce_arrow_type *const *types,
                 const struct ce_arrow_type *const *texts, size_t columns,
                 const struct ce_profile *profile, struct ce_error *err);
void ce_work_done(struct ce_work *work); /* a zeroed one is fine */

/* Rows [start, start + rows) of a batch, which stays until ce_work_end(). */
int ce_work_begin(struct ce_work *work, const struct ArrowArray *batch, int64_t start, int64_t rows,
                  struct ce_error *err);
/* Cells before row `end` alone are asked for and set from now on, until the next call; at last it
 * must be called with all rows. So columns are copied piece by piece, while the pieces are at hand
 * anyway. */
int ce_work_reach(struct ce_work *work, int64_t end, struct ce_error *err);
static inline struct ce_work_row ce_work_row(struct ce_work *work)
{
    return (struct ce_work_row){.row.form = &ce_arrow_row_form, .work = work};
}
/* Makes a column that was touched. 1, or 0: it was not (ret_array is untouched). To be called once
 * for each column after the last cell is set. */
int ce_work_finish(struct ce_work *work, size_t column, struct ArrowArray *ret_array,
                   struct ce_error *err);
void ce_work_end(struct ce_work *work);

/* What a cell was before something is done to it that is to be undone. */
struct ce_work_saved {
    uint8_t by;
    bool touched;
    uint32_t patch;
    struct ce_buffer cell; /* ce_buffer_done() */
};
int ce_work_save(struct ce_work *work, size_t column, int64_t at, struct ce_work_saved *ret_saved,
                 struct ce_error *err);
int ce_work_restore(struct ce_work *work, size_t column, int64_t at,
                    const struct ce_work_saved *saved, struct ce_error *err);

/* Appends the row as it is now to `out`, as encode.h has it. */
int ce_work_encode_row(struct ce_work *work, int64_t at, struct ce_buffer *out,
                       struct ce_error *err);
/* Appends the row as it was in the input. */
int ce_work_encode_input(const struct ce_work *work, int64_t at, struct ce_buffer *out,
                         struct ce_error *err);

/* The bytes of a scalar value, and their type: that of a dictionary's or a run's value where there
 * is one. False: it is null. Of nested columns *ret_bytes is NULL. */
bool ce_arrow_scalar(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at,
                     const struct ce_arrow_type **ret_type, const char **ret_bytes,
                     size_t *ret_size);
bool ce_arrow_is_scalar(const struct ce_arrow_type *type);

#endif
