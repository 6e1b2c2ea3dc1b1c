/* SPDX-License-Identifier: MIT */
/* Rows of texts in memory, for tests that need cells but no format. NULL is a missing cell. */
#ifndef CE_TESTS_MEMORY_ROWS_H
#define CE_TESTS_MEMORY_ROWS_H

#include "base/text.h"
#include "data/cell.h"

struct memory_row {
    struct ce_row row;
    const char *const *cells;
};

static inline void memory_cell(struct ce_row *row, size_t column, struct ce_cell *ret_cell)
{
    const char *text = ((struct memory_row *)row)->cells[column];
    *ret_cell = (struct ce_cell){
        .row = row, .column = column, .raw = text, .raw_size = text ? strlen(text) : 0};
}

static inline bool memory_missing(const struct ce_cell *cell)
{
    return !cell->raw;
}

static inline bool memory_number(const struct ce_cell *cell, double *ret_value)
{
    return ce_text_number(cell->raw, ret_value) == 0;
}

static inline const char *memory_text(struct ce_cell *cell, size_t *ret_size)
{
    *ret_size = cell->raw_size;
    return cell->raw;
}

static const struct ce_row_form memory_form = {
    .cell = memory_cell,
    .missing = memory_missing,
    .number = memory_number,
    .text = memory_text,
};

static inline struct memory_row memory_row_of(const char *const *cells, uint64_t ordinal)
{
    return (struct memory_row){.row = {.form = &memory_form, .ordinal = ordinal}, .cells = cells};
}

#endif
