/* SPDX-License-Identifier: MIT */
/* Arbitrary bytes as a CSV file: no byte is lost or handed out twice, cells tile their records,
 * wherever the bytes are cut; what is written into a cell reads back; an error always says why. */
#include <stdio.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/csv.h"
#include "data/decimal.h"
#include "data/text/csv_cell.h"

CE_DEFINE_CLEANUP(struct ce_csv_reader, ce_csv_close);

enum { SMALL = 4096, ROWS_MAX = 64 };

static void expect(bool held)
{
    if (!held)
        __builtin_trap();
}

static void check_cells(const struct ce_text_table *table, const struct ce_text_record *record)
{
    const char *at = record->bytes, *end = record->bytes + record->size;
    for (size_t i = 0; i < record->cell_count; i++) {
        const struct ce_text_cell *cell = &record->cells[i];
        char value[16];
        double number, slowly;
        struct ce_decimal decimal;
        expect(cell->raw == at && cell->raw + cell->raw_size <= end);
        expect(cell->quoted == (cell->raw_size > 0 && *cell->raw == '"'));
        expect(ce_csv_cell_value(cell, table->backslash, value, sizeof value) <= cell->raw_size);
        if (ce_csv_cell_number(table, cell, &number))
            expect(!ce_csv_cell_missing(cell) && number == number);
        bool is_number = ce_decimal_number(cell->raw, cell->raw_size, '.', &number);
        expect(is_number == (ce_decimal_parse(cell->raw, cell->raw_size, &decimal) &&
                             ce_decimal_value(&decimal, &slowly)));
        expect(!is_number || memcmp(&number, &slowly, sizeof number) == 0);
        at = cell->raw + cell->raw_size + (i + 1 < record->cell_count);
    }
    expect((size_t)(end - at) == record->end_size && record->end_size <= 2);
}

/* ---- what is written ---- */

/* The cell reads as that text, alone in a file. */
static void check_made(const struct ce_text_table *table, const struct ce_cell *cell,
                       const char *text, size_t size)
{
    CE_CLEANUP(ce_text_scan_done)
    struct ce_text_scan scan = {
        .table = table, .at = cell->raw, .end = cell->raw + cell->raw_size, .line = 1};
    struct ce_text_record record;
    ce_autofree char *value = malloc(size + 1);
    expect(value && ce_csv_format.next(&scan, &record, NULL) == 1 && record.cell_count == 1);
    expect(ce_csv_cell_value(&record.cells[0], table->backslash, value, size + 1) == size);
    expect(memcmp(value, text, size) == 0 && record.cells[0].quoted == cell->quoted);
}

static void rewrite_cells(const struct ce_text_table *table, struct ce_text_record *record,
                          const char *text, size_t size)
{
    CE_CLEANUP(ce_buffer_done) struct ce_buffer made = {0};
    CE_CLEANUP(ce_buffer_done) struct ce_buffer scratch = {0};
    struct ce_text_row row = {.row = {.form = ce_csv_format.form},
                              .table = table,
                              .record = record,
                              .made = &made,
                              .scratch = &scratch};
    for (size_t i = 0; i < record->cell_count && i < 4; i++) {
        struct ce_cell cell;
        double value, read;
        ce_row_cell(&row.row, i, &cell);
        enum ce_fit fit = i % 2 == 0 ? CE_FIT_UP : CE_FIT_DOWN;
        if (ce_cell_number(&cell, &value) && !ce_cell_set_number(&cell, value = value * 1.7, fit)) {
            expect(ce_cell_number(&cell, &read));
            expect(fit == CE_FIT_UP ? read >= value : read <= value);
        }
        if (!ce_cell_set_text(&cell, text, size))
            check_made(table, &cell, text, size);
        if (!ce_cell_set_missing(&cell, NULL))
            expect(ce_cell_missing(&cell) && cell.raw_size + record->cell_count > 1);
    }
    free(row.cells);
}

static void check_layout(const struct ce_text_table *table, const struct ce_text_record *record)
{
    enum { COLUMNS = 64 };
    struct ce_layout_cell same[COLUMNS], turned[COLUMNS];
    size_t count = table->column_count;
    if (count > COLUMNS)
        return;
    for (size_t i = 0; i < count; i++) {
        same[i] = (struct ce_layout_cell){.column = (int)i, .name = table->names[i]};
        turned[count - 1 - i] = same[i];
    }
    CE_CLEANUP(ce_buffer_done) struct ce_buffer out = {0};
    expect(ce_csv_format.lay_out(table, record, false, same, count, &out, NULL) == 0);
    expect(out.size == record->size && memcmp(out.data, record->bytes, out.size) == 0);
    out.size = 0;
    expect(ce_csv_format.lay_out(table, record, false, turned, count, &out, NULL) == 0);
    CE_CLEANUP(ce_text_scan_done)
    struct ce_text_scan scan = {
        .table = table, .at = out.data, .end = out.data + out.size, .line = 1};
    struct ce_text_record again;
    expect(ce_csv_format.next(&scan, &again, NULL) == 1 && scan.at == scan.end);
    expect(again.cell_count == (record->cell_count > count ? record->cell_count : count));
}

/* ---- the format ---- */

/* The records that end within the first `size` bytes are those that split() finds in them. */
static void check_split(const struct ce_text_table *table, const char *data, size_t size,
                        const size_t *ends, size_t count)
{
    size_t whole = table->head_size;
    uint64_t records = 0, got_records, got_lines;
    for (size_t i = 0; i < count; i++)
        if (ends[i] < size || (ends[i] == size && data[size - 1] == '\n')) {
            whole = ends[i];
            records++;
        }
    if (size < table->head_size)
        return;
    int64_t got = ce_csv_format.split(table, data + table->head_size, size - table->head_size,
                                      false, 1, &got_records, &got_lines, NULL);
    expect(got == (int64_t)(whole - table->head_size) && got_records == records);
}

static void check_records(const struct ce_text_table *table, const char *data, size_t size)
{
    CE_CLEANUP(ce_text_scan_done)
    struct ce_text_scan scan = {.table = table,
                                .at = data + table->head_size,
                                .end = data + size,
                                .last = true,
                                .line = 1 + table->head_lines};
    struct ce_text_record record;
    struct ce_error err = {0};
    size_t ends[ROWS_MAX], count = 0, at = table->head_size;
    int r;
    while ((r = ce_csv_format.next(&scan, &record, &err)) == 1) {
        expect(record.before == data + at && record.bytes == record.before + record.before_size);
        at += record.before_size + record.size;
        check_cells(table, &record);
        if (count < ROWS_MAX) /* one without a line end is whole only at the end of the file */
            ends[count] = record.end_size > 0 ? at : SIZE_MAX;
        if (count++ < ROWS_MAX) {
            check_layout(table, &record);
            rewrite_cells(table, &record, data, size < 40 ? size : 40);
        }
    }
    expect((r < 0) == (err.message[0] != '\0'));
    if (r < 0 || count > ROWS_MAX)
        return;
    expect(record.before == data + at && at + record.before_size == size);
    check_split(table, data, size / 2, ends, count);
    check_split(table, data, at > 0 ? at - 1 : 0, ends, count);
    check_split(table, data, at, ends, count);
    uint64_t records, lines;
    expect(ce_csv_format.split(table, data + table->head_size, size - table->head_size, true, 1,
                               &records, &lines, &err) == (int64_t)(size - table->head_size));
    expect(records == count && lines == scan.line - 1 - table->head_lines);
}

static void check_format(const uint8_t *bytes, size_t size)
{
    static const struct ce_text_table dialects[] = {
        {.delimiter = '\0'}, {.backslash = true}, {.comment = '#'}, {.headerless = true}};
    /* No byte to spare, so that reading beyond the end shows. */
    ce_autofree char *data = malloc(size + (size == 0));
    if (!data)
        return;
    memcpy(data, bytes, size);
    for (size_t i = 0; i < CE_COUNT(dialects); i++) {
        CE_CLEANUP(ce_text_table_done) struct ce_text_table table = dialects[i];
        struct ce_error err = {0};
        table.path = "data.csv";
        int r = ce_csv_format.open(&table, data, size, true, &err);
        expect((r < 0) == (err.message[0] != '\0') && r != -EAGAIN);
        if (r == 0)
            check_records(&table, data, size);
    }
}

/* ---- the reader ---- */

static void check_reader(const char *path, const uint8_t *data, size_t size)
{
    static const struct ce_text_table ordinary = {.delimiter = ','};
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader = NULL;
    struct ce_error err = {0};
    int r = ce_csv_open(path, &reader, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    if (r < 0)
        return;
    size_t at;
    const char *head = ce_csv_head(reader, &at);
    expect(at <= size && memcmp(head, data, at) == 0);
    struct ce_text_record record;
    uint64_t row = 0;
    while ((r = ce_csv_next(reader, &record, &err)) > 0) {
        size_t whole = record.before_size + record.size;
        expect(record.row == row++ && record.cell_count > 0);
        expect(record.before + record.before_size == record.bytes);
        expect(whole <= size - at && memcmp(record.before, data + at, whole) == 0);
        check_cells(&ordinary, &record);
        at += whole;
    }
    expect((r < 0) == (err.message[0] != '\0'));
    if (r == 0)
        expect(at + record.before_size == size &&
               memcmp(record.before, data + at, record.before_size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ce_autofd int fd = memfd_create("data.csv", MFD_CLOEXEC);
    ce_autofree char *path = ce_format("/proc/self/fd/%d", fd);
    if (fd < 0 || !path || ce_write_all(fd, data, size) < 0)
        return 0;
    check_reader(path, data, size);
    if (size < SMALL)
        check_format(data, size);
    return 0;
}
