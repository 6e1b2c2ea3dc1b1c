/* SPDX-License-Identifier: MIT */
/* A labelled dataset: the rows that requests are made of, in file order. CSV, TSV or JSON lines, by
 * the readers of src/data. */
#ifndef CE_PIPELINE_HTTP_LABELLED_H
#define CE_PIPELINE_HTTP_LABELLED_H

#include <stdint.h>

#include "inference/inference.h"

/* The workload walks no more rows than the baseline covers; a dataset may be larger than that. */
#define CE_LABELLED_MAX 100000

struct ce_labelled_row {
    char *label;        /* its text */
    double number;      /* the same as a number; NaN when it is none */
    const char **cells; /* of the features; NULL: missing. Numbers as JSON spells them. One block
                           with their texts */
    size_t cell_count;  /* there may be fewer than features: the rest is missing */
};

struct ce_labelled {
    struct ce_feature *features; /* every column but the label */
    size_t feature_count;
    struct ce_labelled_row *rows;
    size_t row_count;
    bool numbers; /* every label is a number */
};

/* Reads the first CE_LABELLED_MAX rows. -ENOENT: the file, or its label column (the message names
 * the columns and the nearest); -EINVAL: no rows, a row without a label, a cell that no request can
 * carry, an unreadable file. *ret_key: "label" when that column is what is missing, else "dataset";
 * only on failure. */
int ce_labelled_read(const char *path, const char *label, struct ce_labelled *ret_labelled,
                     const char **ret_key, struct ce_error *err);
void ce_labelled_done(struct ce_labelled *labelled); /* a zeroed one is fine */

/* The cell of that row, NULL when missing. */
static inline const char *ce_labelled_cell(const struct ce_labelled_row *row, size_t feature)
{
    return feature < row->cell_count ? row->cells[feature] : NULL;
}

#endif
