/* SPDX-License-Identifier: MIT */
/* The rows of an inference request, as predicates see them: its features are cells, whatever the
 * protocol.
 *
 * A column is called as the request calls its tensor, column or key. Where one tensor holds several
 * features, or they have no name, "NAME[3]" is the fourth value of each of its rows ("[3]" without
 * a name). Rows are read only. */
#ifndef CE_FAULTS_REQUEST_ROW_H
#define CE_FAULTS_REQUEST_ROW_H

#include "data/cell.h"
#include "data/text/buffer.h"
#include "inference/inference.h"

struct ce_request_rows {
    struct ce_row row; /* first: the row at hand; set row.ordinal to the one that is meant */
    size_t count;
    const struct ce_values *values;
    const struct ce_value **cells; /* [row][column]; NULL: the request says nothing there */
    size_t columns;
    struct ce_buffer text; /* of the cell that was asked for last */
};

/* Borrows the values. 0 or -ENOMEM. The struct must stay in place. */
int ce_request_rows_init(struct ce_request_rows *rows, const struct ce_values *values,
                         const char *const *names, size_t count);
void ce_request_rows_done(struct ce_request_rows *rows);

#endif
