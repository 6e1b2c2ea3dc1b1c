/* SPDX-License-Identifier: MIT */
/* Aligned columns and wrapped sentences for terminals: what the text report is made of.
 *
 * Texts come from documents and from the outside world: control characters are written as question
 * marks, so that no terminal obeys them. Widths are counted in characters. */
#ifndef CE_REPORT_TABLE_H
#define CE_REPORT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

enum {
    CE_TABLE_WIDTH = 120,
    CE_TABLE_COLUMNS_MAX = 20,
    CE_CELL_SIZE = 160,
};

enum ce_color {
    CE_COLOR_NONE = 0,
    CE_COLOR_BOLD,
    CE_COLOR_GOOD,
    CE_COLOR_DOUBTFUL,
    CE_COLOR_BAD,
};

struct ce_table_column {
    const char *title; /* NULL in all columns: the table has no head */
    const char *group; /* stands above the first of several columns; NULL for all others */
    bool right;        /* numbers line up at their ends */
    bool shrinks;      /* is cut when the table is too wide; the first such column first */
    size_t gap;        /* blanks before it */
};

struct ce_table_cell {
    char text[CE_CELL_SIZE];
    enum ce_color color;
};

struct ce_table {
    struct ce_table_column columns[CE_TABLE_COLUMNS_MAX];
    size_t column_count;
    struct ce_table_cell *cells; /* row by row */
    size_t row_count, row_capacity;
};

void ce_table_add_column(struct ce_table *table, struct ce_table_column column);
/* A row of empty cells, one for each column; NULL: no memory. Valid until the next one is added. */
struct ce_table_cell *ce_table_add_row(struct ce_table *table);
void ce_table_write(const struct ce_table *table, FILE *out, bool color);
void ce_table_done(struct ce_table *table);

void ce_cell_set(struct ce_table_cell *cell, enum ce_color color, const char *fmt, ...)
    CE_PRINTF(3, 4);

/* A line of its own. */
void ce_write_heading(FILE *out, const char *text, bool color);
/* A paragraph: wrapped at CE_TABLE_WIDTH, indented by two, and by four from the second line on. A
 * word that no line holds is broken. */
void ce_write_wrapped(FILE *out, const char *text);

#endif
