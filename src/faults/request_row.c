/* SPDX-License-Identifier: MIT */
#include "faults/request_row.h"

#include <math.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "data/text/json_string.h"

/* ---- cells ---- */

static void row_cell(struct ce_row *row, size_t column, struct ce_cell *ret_cell)
{
    const struct ce_request_rows *rows = (const struct ce_request_rows *)row;
    const struct ce_value *value = rows->cells[row->ordinal * rows->columns + column];
    *ret_cell = (struct ce_cell){
        .row = row,
        .column = column,
        .raw = value ? value->text.data : NULL,
        .raw_size = value ? value->text.size : 0,
        .quoted = value && value->form == CE_VALUE_JSON && value->text.data[0] == '"',
    };
}

static const struct ce_value *value_of(const struct ce_cell *cell)
{
    const struct ce_request_rows *rows = (const struct ce_request_rows *)cell->row;
    return rows->cells[cell->row->ordinal * rows->columns + cell->column];
}

static bool cell_number(const struct ce_cell *cell, double *ret_value)
{
    const struct ce_value *value = value_of(cell);
    double number;
    if (!value || !ce_value_number(value, &number) || !isfinite(number))
        return false;
    *ret_value = number;
    return true;
}

static bool cell_missing(const struct ce_cell *cell)
{
    const struct ce_value *value = value_of(cell);
    double number;
    if (!value || (value->form == CE_VALUE_JSON && ce_slice_is(value->text, "null")))
        return true;
    return ce_value_number(value, &number) && isnan(number);
}

/* A number that is not spelled in decimal. */
static bool put_number(const struct ce_value *value, struct ce_buffer *out)
{
    char text[32];
    double number;
    if (!ce_value_number(value, &number))
        return false;
    if (ce_slice_is(value->type, "BOOL"))
        return ce_buffer_put(out, number != 0 ? "true" : "false", number != 0 ? 4 : 5);
    int n = snprintf(text, sizeof text, "%.17g", number);
    return ce_buffer_put(out, text, (size_t)n);
}

static const char *cell_text(struct ce_cell *cell, size_t *ret_size)
{
    struct ce_request_rows *rows = (struct ce_request_rows *)cell->row;
    const struct ce_value *value = value_of(cell);
    rows->text.size = 0;
    *ret_size = 0;
    if (!value)
        return "";
    if (cell->quoted) {
        char *room = ce_buffer_room(&rows->text, value->text.size);
        if (room)
            *ret_size = ce_json_decode(value->text.data + 1, value->text.size - 2, false, room);
        return room;
    }
    if (value->form == CE_VALUE_FIXED || value->form == CE_VALUE_VARINT) {
        if (!put_number(value, &rows->text))
            return NULL;
        *ret_size = rows->text.size;
        return rows->text.data;
    }
    *ret_size = value->text.size;
    return value->text.data;
}

static const struct ce_row_form request_row_form = {
    .cell = row_cell,
    .missing = cell_missing,
    .number = cell_number,
    .text = cell_text,
};

/* ---- which value is which cell ---- */

struct column {
    struct ce_slice name; /* as it was asked for */
    struct ce_slice base; /* without the position, if it has one */
    size_t position;
    bool has_position;
};

static struct column read_column(const char *name)
{
    struct column column = {.name = ce_slice_of(name)};
    const char *open = strrchr(name, '[');
    char *end;
    if (!open || open[1] < '0' || open[1] > '9')
        return column;
    column.position = strtoull(open + 1, &end, 10);
    column.has_position = strcmp(end, "]") == 0;
    column.base = (struct ce_slice){name, (size_t)(open - name)};
    return column;
}

static size_t width_of(const struct ce_value *value)
{
    return value->width > 0 ? value->width : 1;
}

static bool column_means(const struct column *column, const struct ce_value *value)
{
    if (ce_slice_same(column->name, value->tensor))
        return width_of(value) == 1;
    return column->has_position && ce_slice_same(column->base, value->tensor) &&
           value->index % width_of(value) == column->position;
}

static void place(struct ce_request_rows *rows, const char *name, size_t at)
{
    struct column column = read_column(name);
    for (size_t i = 0; i < rows->values->count; i++) {
        const struct ce_value *value = &rows->values->values[i];
        if (column_means(&column, value))
            rows->cells[value->index / width_of(value) * rows->columns + at] = value;
    }
}

int ce_request_rows_init(struct ce_request_rows *rows, const struct ce_values *values,
                         const char *const *names, size_t count)
{
    *rows = (struct ce_request_rows){
        .row = {.form = &request_row_form}, .values = values, .columns = count};
    for (size_t i = 0; i < values->count; i++) {
        const struct ce_value *value = &values->values[i];
        size_t row = value->index / width_of(value);
        rows->count = row >= rows->count ? row + 1 : rows->count;
    }
    rows->cells = calloc(rows->count * count + 1, sizeof(*rows->cells));
    if (!rows->cells)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        place(rows, names[i], i);
    return 0;
}

void ce_request_rows_done(struct ce_request_rows *rows)
{
    free(rows->cells);
    ce_buffer_done(&rows->text);
}
