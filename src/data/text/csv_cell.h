/* SPDX-License-Identifier: MIT */
/* What a CSV cell says and how one is written, by the rules of its table. */
#ifndef CE_DATA_TEXT_CSV_CELL_H
#define CE_DATA_TEXT_CSV_CELL_H

#include "data/text/format.h"

/* The same for a cell that is quoted or may hold what a backslash escapes. */
bool ce_csv_cell_unquote(const struct ce_text_cell *cell, bool backslash, const char **ret_text,
                         size_t *ret_size);
/* The cell's bytes without its quotes where that takes no copying: nothing doubled or escaped
 * within, nothing after the closing quote. False: *ret_text is the raw cell, to be decoded. */
static inline bool ce_csv_cell_plain(const struct ce_text_cell *cell, bool backslash,
                                     const char **ret_text, size_t *ret_size)
{
    if (cell->quoted || backslash)
        return ce_csv_cell_unquote(cell, backslash, ret_text, ret_size);
    *ret_text = cell->raw;
    *ret_size = cell->raw_size;
    return true;
}

/* Writes the value, of which as much as fits, always with a NUL when size > 0; returns its length.
 */
size_t ce_csv_cell_value(const struct ce_text_cell *cell, bool backslash, char *text, size_t size);
/* Empty, or one of NA, NaN, null, NULL, None, N/A, \N, unquoted or quoted. */
bool ce_csv_cell_missing(const struct ce_text_cell *cell);
bool ce_csv_cell_number(const struct ce_text_table *table, const struct ce_text_cell *cell,
                        double *ret_value);

/* Whether a cell with that text has to be quoted to be read as it is. */
bool ce_csv_needs_quotes(const struct ce_text_table *table, const char *text, size_t size);
/* Appends the text as a cell; false: no memory. `text` may lie within the buffer. */
bool ce_csv_cell_put(const struct ce_text_table *table, const char *text, size_t size, bool quoted,
                     struct ce_buffer *out);

extern const struct ce_row_form ce_csv_row_form;

#endif
