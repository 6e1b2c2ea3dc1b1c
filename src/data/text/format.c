/* SPDX-License-Identifier: MIT */
#include "data/text/format.h"

void ce_text_table_done(struct ce_text_table *table)
{
    for (size_t i = 0; i < table->column_count; i++)
        free(table->names[i]);
    free(table->names);
    free(table->index);
    table->names = NULL;
    table->index = NULL;
    table->column_count = 0;
}

int ce_text_column(const struct ce_text_table *table, const char *name, size_t size)
{
    for (size_t i = 0; i < table->column_count; i++)
        if (strlen(table->names[i]) == size && memcmp(table->names[i], name, size) == 0)
            return (int)i;
    return -1;
}

void ce_text_scan_done(struct ce_text_scan *scan)
{
    free(scan->cells);
    free(scan->special);
    scan->cells = NULL;
    scan->special = NULL;
    scan->window = NULL;
    scan->cell_capacity = 0;
}

/* A cell more in cells[]; NULL: no memory. */
static struct ce_made_cell *add_made(struct ce_text_row *row, size_t column)
{
    if (row->count == row->capacity) {
        size_t capacity = 2 * row->capacity + 16;
        struct ce_made_cell *larger = realloc(row->cells, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        row->cells = larger;
        row->capacity = capacity;
    }
    if (column < row->slot_count)
        row->slots[column] = (uint32_t)row->count;
    row->marks |= UINT64_C(1) << column % 64;
    return &row->cells[row->count++];
}

const char *ce_text_row_set(struct ce_text_row *row, size_t column, size_t size, bool quoted)
{
    struct ce_made_cell *before = ce_text_row_made(row, column);
    struct ce_made_cell *cell = before ? before : add_made(row, column);
    if (!cell)
        return "out of memory";
    *cell = (struct ce_made_cell){
        .column = column,
        .at = row->made->size - size,
        .size = size,
        .step = row->step,
        .quoted = quoted,
        .again = before != NULL,
    };
    return NULL;
}
