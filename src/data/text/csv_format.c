/* SPDX-License-Identifier: MIT */
/* CSV and its dialects as the text engine sees them: where records are, and records with their
 * columns in another order. */
#include "base/cleanup.h"
#include "base/error.h"
#include "data/text/csv_cell.h"
#include "data/text/csv_open.h"
#include "data/text/csv_scan.h"

static int fail_unclosed(const struct ce_text_table *table, uint64_t line, struct ce_error *err)
{
    return ce_csv_fail_at(table->path, line, EINVAL, "a quoted cell is not closed", err);
}

/* ---- records ---- */

static int csv_next(struct ce_text_scan *scan, struct ce_text_record *ret_record,
                    struct ce_error *err)
{
    switch (ce_csv_scan(scan, true, ret_record)) {
    case CE_CSV_RECORD:
        return 1;
    case CE_CSV_END:
        return 0;
    case CE_CSV_UNCLOSED:
        return fail_unclosed(scan->table, ret_record->line, err);
    default:
        return ce_fail_memory(err);
    }
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

/* Where the last line that is not blank ends, when no cell is quoted; 0: there is none. */
static size_t last_record_end(const char *data, size_t size)
{
    size_t at = size;
    /* A CR may be half of a line end. */
    at -= at > 0 && data[at - 1] == '\r';
    while (at > 0 && !is_line_end(data[at - 1]))
        at--;
    size_t first = at;
    while (first > 0 && is_line_end(data[first - 1]))
        first--;
    if (first == 0)
        return 0;
    return first + 1 + (data[first] == '\r' && first + 1 < at && data[first + 1] == '\n');
}

static bool split_quickly(const char *data, size_t size, bool last, int64_t *ret_size,
                          uint64_t *ret_records, uint64_t *ret_lines)
{
    size_t whole = last ? size : last_record_end(data, size);
    uint64_t records, lines;
    if (!ce_csv_tally(data, whole, &records, &lines))
        return false;
    if (whole > 0 && !is_line_end(data[whole - 1]))
        records++;
    *ret_size = (int64_t)whole;
    *ret_records = records;
    *ret_lines = lines;
    return true;
}

static int64_t csv_split(const struct ce_text_table *table, const char *data, size_t size,
                         bool last, uint64_t line, uint64_t *ret_records, uint64_t *ret_lines,
                         struct ce_error *err)
{
    int64_t whole = 0;
    if (!table->backslash && !table->comment &&
        split_quickly(data, size, last, &whole, ret_records, ret_lines))
        return whole;
    CE_CLEANUP(ce_text_scan_done)
    struct ce_text_scan scan = {.table = table, .at = data, .end = data + size, .line = line};
    uint64_t lines = 0;
    struct ce_text_record record;
    enum ce_csv_found found;
    while ((found = ce_csv_scan(&scan, last, &record)) == CE_CSV_RECORD) {
        whole = scan.at - data;
        lines = scan.line - line;
    }
    if (found == CE_CSV_NO_MEMORY)
        return ce_fail_memory(err);
    if (found == CE_CSV_UNCLOSED)
        return fail_unclosed(table, record.line, err);
    *ret_records = scan.row;
    *ret_lines = last ? scan.line - line : lines;
    return last ? (int64_t)size : whole;
}

/* ---- other columns ---- */

static bool put_name(const struct ce_text_table *table, const struct ce_layout_cell *cell,
                     bool quoted, struct ce_buffer *out)
{
    size_t size = strlen(cell->name);
    return ce_csv_cell_put(table, cell->name, size,
                           quoted || ce_csv_needs_quotes(table, cell->name, size), out);
}

static bool put_added(const struct ce_text_table *table, const struct ce_layout_cell *cell,
                      struct ce_buffer *out)
{
    if (!cell->text)
        return true;
    bool quoted = ce_csv_needs_quotes(table, cell->text, cell->text_size);
    return ce_csv_cell_put(table, cell->text, cell->text_size, quoted, out);
}

/* For a cell that reads differently where it goes. */
static bool put_quoted(const struct ce_text_table *table, const struct ce_text_cell *cell,
                       struct ce_buffer *out)
{
    size_t most = 2 * cell->raw_size + 2;
    char *room = ce_buffer_room(out, most + cell->raw_size + 1);
    if (!room)
        return false;
    size_t size = ce_csv_cell_value(cell, table->backslash, room + most, cell->raw_size + 1);
    return ce_csv_cell_put(table, room + most, size, true, out);
}

/* Whether a backslash, the last byte of the file, would come before more bytes. */
static bool ends_in_backslash(const struct ce_text_cell *cell)
{
    size_t count = 0;
    while (count < cell->raw_size && cell->raw[cell->raw_size - 1 - count] == '\\')
        count++;
    return count % 2 == 1;
}

static bool put_cell(const struct ce_text_table *table, const struct ce_text_record *record,
                     bool header, const struct ce_layout_cell *cell, bool first, bool last,
                     struct ce_buffer *out)
{
    const struct ce_text_cell *old = NULL;
    if (cell->column >= 0 && (size_t)cell->column < record->cell_count)
        old = &record->cells[cell->column];
    if (header && (!old || strcmp(cell->name, table->names[cell->column]) != 0))
        return put_name(table, cell, old && old->quoted, out);
    if (cell->column < 0)
        return put_added(table, cell, out);
    if (!old)
        return true;
    bool comment =
        first && table->comment != '\0' && old->raw_size > 0 && old->raw[0] == table->comment;
    if (comment || (!last && table->backslash && ends_in_backslash(old)))
        return put_quoted(table, old, out);
    return ce_buffer_put(out, old->raw, old->raw_size);
}

static bool has_cell(const struct ce_text_record *record, const struct ce_layout_cell *cell)
{
    return cell->column < 0 || (size_t)cell->column < record->cell_count;
}

static int csv_lay_out(const struct ce_text_table *table, const struct ce_text_record *record,
                       bool header, const struct ce_layout_cell *cells, size_t count,
                       struct ce_buffer *out, struct ce_error *err)
{
    size_t start = out->size, columns = table->column_count;
    /* A short row stays short: what would be missing at its end is not written. */
    while (count > 0 && record->cell_count < columns && !has_cell(record, &cells[count - 1]))
        count--;
    bool fits = true;
    for (size_t i = 0; i < count; i++)
        fits = fits && (i == 0 || ce_buffer_put(out, &table->delimiter, 1)) &&
               put_cell(table, record, header, &cells[i], i == 0,
                        i + 1 == count && record->cell_count <= columns, out);
    for (size_t i = columns; i < record->cell_count; i++)
        fits = fits && ce_buffer_put(out, &table->delimiter, 1) &&
               ce_buffer_put(out, record->cells[i].raw, record->cells[i].raw_size);
    /* Nothing at all would be a blank line. */
    if (fits && out->size == start)
        fits = ce_buffer_put(out, "\"\"", 2);
    const char *line_end = record->bytes + record->size - record->end_size;
    fits = fits && ce_buffer_put(out, line_end, record->end_size);
    return fits ? 0 : ce_fail_memory(err);
}

const struct ce_text_format ce_csv_format = {
    .name = "csv",
    .form = &ce_csv_row_form,
    .open = ce_csv_open_table,
    .split = csv_split,
    .next = csv_next,
    .lay_out = csv_lay_out,
};
