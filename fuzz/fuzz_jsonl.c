/* SPDX-License-Identifier: MIT */
/* Arbitrary bytes as JSON lines: no byte is lost or handed out twice, wherever the chunks end; what
 * jansson takes is taken here; and whatever is made of a record that jansson takes, it still takes.
 */
#include <stdint.h>

#include "base/cleanup.h"
#include "data/text/format.h"

enum { SPARE = 64 };

static void expect(bool held)
{
    if (!held)
        __builtin_trap();
}

/* Integers of any length are JSON. */
static json_t *load(const char *data, size_t size)
{
    return json_loadb(data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
}

static bool is_json(const char *data, size_t size)
{
    ce_autojson json_t *json = load(data, size);
    return json != NULL;
}

static int64_t split(const struct ce_text_table *table, const char *data, size_t size, bool last,
                     uint64_t *ret_records)
{
    uint64_t lines;
    int64_t whole = ce_jsonl_format.split(table, data, size, last, 1, ret_records, &lines, NULL);
    expect(whole >= 0 && (size_t)whole <= size && (!last || (size_t)whole == size));
    return whole;
}

/* ---- one record ---- */

static void identity(const struct ce_text_table *table, struct ce_layout_cell *cells)
{
    for (size_t i = 0; i < table->column_count; i++)
        cells[i] = (struct ce_layout_cell){.column = (int)i, .name = table->names[i]};
}

static void lay_out(const struct ce_text_table *table, const struct ce_text_record *record,
                    const struct ce_layout_cell *cells, size_t count, struct ce_buffer *out)
{
    out->size = 0;
    expect(ce_jsonl_format.lay_out(table, record, false, cells, count, out, NULL) == 0);
}

static void check_layouts(const struct ce_text_table *table, const struct ce_text_record *record,
                          struct ce_layout_cell *cells, struct ce_buffer *out)
{
    size_t count = table->column_count;
    ce_autojson json_t *before = load(record->bytes, record->size);
    identity(table, cells);
    lay_out(table, record, cells, count, out);
    expect(out->size == record->size && memcmp(out->data, record->bytes, out->size) == 0);

    /* Reversed, with one more. */
    for (size_t i = 0; i < count; i++)
        cells[i] = (struct ce_layout_cell){.column = (int)(count - 1 - i),
                                           .name = table->names[count - 1 - i]};
    cells[count] = (struct ce_layout_cell){
        .column = -1, .name = "a name that no file has", .text = "7", .text_size = 1};
    lay_out(table, record, cells, count + 1, out);
    ce_autojson json_t *after = load(out->data, out->size);
    expect((after != NULL) == (before != NULL));
    expect(!after || json_object_size(after) == json_object_size(before) + 1);

    /* Without the first column. */
    if (count == 0)
        return;
    identity(table, cells);
    lay_out(table, record, cells + 1, count - 1, out);
    ce_autojson json_t *less = load(out->data, out->size);
    if (before)
        expect(less &&
               json_object_size(less) == json_object_size(before) - (record->cells[0].raw != NULL));
}

/* Sets some of the cells in turn to nothing, to a number, to some of the input's own bytes. */
static void set_cells(struct ce_text_row *row, const char *text, size_t size)
{
    for (size_t i = row->record->row % 2; i < row->record->cell_count; i += 2) {
        struct ce_cell cell = {0};
        double number = 0, again = 0;
        size_t text_size;
        ce_row_cell(&row->row, i, &cell);
        expect(ce_cell_text(&cell, &text_size) != NULL);
        bool numeric = ce_cell_number(&cell, &number);
        expect(!numeric || !ce_cell_missing(&cell));
        const char *why = i % 3 == 0   ? ce_cell_set_missing(&cell, NULL)
                          : i % 3 == 1 ? ce_cell_set_number(&cell, 3 * number + 1, CE_FIT_NEAREST)
                                       : ce_cell_set_text(&cell, text, size);
        if (why)
            continue;
        expect(i % 3 != 0 || ce_cell_missing(&cell));
        expect(i % 3 != 1 || ce_cell_number(&cell, &again));
        expect(i % 3 != 2 || ce_cell_text(&cell, &text_size) != NULL);
    }
}

static void check_rewrite(const struct ce_text_table *table, struct ce_text_record *record,
                          const char *data, size_t size, struct ce_buffer *out)
{
    struct ce_buffer made = {0}, scratch = {0};
    struct ce_text_row row = {.row = {.form = ce_jsonl_format.form, .ordinal = record->row},
                              .table = table,
                              .record = record,
                              .made = &made,
                              .scratch = &scratch};
    set_cells(&row, data + size / 2, size - size / 2 < 32 ? size - size / 2 : 32);
    ce_autofree struct ce_text_cell *old = malloc((record->cell_count + 1) * sizeof *old);
    expect(old != NULL);
    if (record->cell_count > 0)
        memcpy(old, record->cells, record->cell_count * sizeof *old);
    for (size_t i = 0; i < row.count; i++) {
        const struct ce_made_cell *cell = &row.cells[i];
        expect(is_json(made.data + cell->at, cell->size));
        record->cells[cell->column] =
            (struct ce_text_cell){made.data + cell->at, cell->size, cell->quoted};
    }
    ce_autofree struct ce_layout_cell *cells = calloc(table->column_count + 1, sizeof *cells);
    expect(cells != NULL);
    identity(table, cells);
    lay_out(table, record, cells, table->column_count, out);
    expect(is_json(out->data, out->size) || !is_json(record->bytes, record->size));
    if (record->cell_count > 0)
        memcpy(record->cells, old, record->cell_count * sizeof *old);
    free(row.cells);
    ce_buffer_done(&made);
    ce_buffer_done(&scratch);
}

static void check_cells(const struct ce_text_record *record)
{
    bool whole = is_json(record->bytes, record->size);
    for (size_t i = 0; i < record->cell_count; i++) {
        const struct ce_text_cell *cell = &record->cells[i];
        expect(!cell->raw || (cell->raw > record->bytes && cell->raw_size > 0 &&
                              cell->raw + cell->raw_size < record->bytes + record->size));
        expect(!cell->raw || !whole || is_json(cell->raw, cell->raw_size));
    }
}

/* ---- all of them ---- */

/* Scans a chunk; returns how that ended, and a hash of all cells. */
static int scan_chunk(const struct ce_text_table *table, const char *data, size_t size, bool last,
                      bool rewrite, uint64_t *records, uint64_t *hash)
{
    struct ce_text_scan scan = {
        .table = table, .at = data, .end = data + size, .last = last, .row = *records, .line = 1};
    struct ce_text_record record;
    struct ce_error err = {0};
    struct ce_buffer out = {0};
    ce_autofree struct ce_layout_cell *cells = calloc(table->column_count + 1, sizeof *cells);
    expect(cells != NULL);
    const char *at = data;
    int r;
    while ((r = ce_jsonl_format.next(&scan, &record, &err)) > 0) {
        expect(record.before == at && at + record.before_size == record.bytes && record.size > 0);
        expect(record.row == *records && record.end_size <= 2);
        at = record.bytes + record.size;
        expect(at <= data + size && scan.at == at);
        for (size_t i = 0; i < record.cell_count; i++)
            *hash = (*hash * 31 + record.cells[i].raw_size) * 31 + (record.cells[i].raw != NULL);
        if (rewrite) {
            check_cells(&record);
            check_layouts(table, &record, cells, &out);
            check_rewrite(table, &record, data, size, &out);
        }
        ++*records;
    }
    expect((r < 0) == (err.message[0] != '\0'));
    if (r == 0)
        expect(record.before == at && at + record.before_size == data + size);
    ce_buffer_done(&out);
    ce_text_scan_done(&scan);
    return r;
}

/* jansson takes a line feed as a blank, so lines are given to it one by one. */
static bool every_line_is_an_object(const char *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        const char *lf = memchr(data + at, '\n', size - at);
        size_t line = lf ? (size_t)(lf - data) - at : size - at;
        ce_autojson json_t *json = load(data + at, line);
        size_t blanks = 0;
        while (blanks < line && memchr(" \t\r", data[at + blanks], 3))
            blanks++;
        if (blanks < line && !json_is_object(json))
            return false;
        at += line + 1;
    }
    return true;
}

/* Deeper than what is taken here. */
static bool is_deep(const char *data, size_t size)
{
    size_t opened = 0;
    for (size_t i = 0; i < size; i++)
        opened += data[i] == '{' || data[i] == '[';
    return opened >= 512;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The bytes behind the end must not matter: they would go on with a number or a blank. */
    ce_autofree char *copy = malloc(size + SPARE);
    expect(copy != NULL);
    memset(copy, size % 2 ? '1' : ' ', size + SPARE);
    if (size > 0)
        memcpy(copy, data, size);
    struct ce_text_table table = {.format = &ce_jsonl_format, .path = "data.jsonl"};
    struct ce_error err = {0};
    int r = ce_jsonl_format.open(&table, copy, size, true, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    const char *body = copy + table.head_size;
    size_t body_size = size - table.head_size;
    /* jansson passes over a NUL byte behind a number. */
    if (r < 0 && !memchr(copy, '\0', size))
        expect(is_deep(copy, size) || !every_line_is_an_object(body, body_size));
    if (r == 0) {
        uint64_t records = 0, first = 0, whole = 0, pieces = 0, told;
        expect(split(&table, body, body_size, true, &told) >= 0);
        expect(scan_chunk(&table, body, body_size, true, true, &records, &whole) == 0);
        expect(records == told);
        size_t cut = (size_t)split(&table, body, body_size / 2, false, &told);
        expect(scan_chunk(&table, body, cut, false, false, &first, &pieces) == 0 && first == told);
        expect(scan_chunk(&table, body + cut, body_size - cut, true, false, &first, &pieces) == 0);
        expect(first == records && pieces == whole);
    }
    ce_text_table_done(&table);
    return 0;
}
