/* SPDX-License-Identifier: MIT */
/* Comparing two CSV files, row by row and cell by cell, by position. */
#include "base/cleanup.h"
#include "data/csv_internal.h"
#include "data/inject.h"

CE_DEFINE_CLEANUP(struct ce_csv_reader, ce_csv_close);

/* How many cells differ in value; a cell that only one of the rows has does. */
static uint64_t differing_cells(const struct ce_csv_record *a, const struct ce_csv_record *b)
{
    size_t common = a->cell_count < b->cell_count ? a->cell_count : b->cell_count;
    uint64_t count = a->cell_count + b->cell_count - 2 * common;
    for (size_t i = 0; i < common; i++)
        count += !ce_csv_same(&a->cells[i], &b->cells[i]);
    return count;
}

int ce_data_diff(const char *a, const char *b, struct ce_diff *ret_diff, struct ce_error *err)
{
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader_a = NULL, *reader_b = NULL;
    CE_TRY(ce_csv_open(a, &reader_a, err));
    CE_TRY(ce_csv_open(b, &reader_b, err));
    struct ce_diff diff = {0};
    int more_a = 1, more_b = 1;
    while (more_a > 0 || more_b > 0) {
        struct ce_csv_record record_a, record_b;
        if (more_a > 0)
            CE_TRY(more_a = ce_csv_next(reader_a, &record_a, err));
        if (more_b > 0)
            CE_TRY(more_b = ce_csv_next(reader_b, &record_b, err));
        diff.rows_a += more_a > 0;
        diff.rows_b += more_b > 0;
        if (more_a > 0 && more_b > 0)
            diff.cells_changed += differing_cells(&record_a, &record_b);
    }
    *ret_diff = diff;
    return 0;
}
