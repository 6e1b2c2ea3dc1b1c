/* SPDX-License-Identifier: MIT */
/* Arbitrary bytes as a CSV file: no byte is lost or handed out twice, cells tile their records,
 * whatever the window; and an error always says why. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/csv_internal.h"

CE_DEFINE_CLEANUP(struct ce_csv_reader, ce_csv_close);

enum { SMALL = 4096 };

static void expect(bool held)
{
    if (!held)
        __builtin_trap();
}

static void check_cells(const struct ce_csv_record *record)
{
    const char *at = record->bytes, *end = record->bytes + record->size;
    for (size_t i = 0; i < record->cell_count; i++) {
        const struct ce_csv_cell *cell = &record->cells[i];
        char value[16];
        double number;
        expect(cell->raw == at && cell->raw + cell->raw_size <= end);
        expect(ce_csv_value(cell, value, sizeof value) <= cell->raw_size);
        if (ce_csv_number(cell, &number))
            expect(!ce_csv_missing(cell) && number == number);
        at = cell->raw + cell->raw_size + (i + 1 < record->cell_count);
    }
    expect(end - at <= 2); /* the line end */
}

/* Returns how the reading ended, with a hash of all cells. */
static int read_all(const char *path, const uint8_t *data, size_t size, size_t window,
                    uint64_t *ret_hash)
{
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader = NULL;
    struct ce_error err = {0};
    int r = ce_csv_open_window(path, window, NULL, &reader, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    if (r < 0)
        return r;
    size_t at;
    const char *head = ce_csv_head(reader, &at);
    expect(at <= size && memcmp(head, data, at) == 0);
    struct ce_csv_record record;
    uint64_t hash = ce_csv_column_count(reader), row = 0;
    while ((r = ce_csv_next(reader, &record, &err)) > 0) {
        size_t whole = record.before_size + record.size;
        expect(record.row == row++ && record.cell_count > 0 &&
               record.offset == at + record.before_size);
        expect(record.before + record.before_size == record.bytes);
        expect(whole <= size - at && memcmp(record.before, data + at, whole) == 0);
        check_cells(&record);
        at += whole;
        hash = hash * 31 + record.cell_count;
        hash = hash * 31 + record.line;
        hash = hash * 31 + record.cells[record.cell_count / 2].raw_size;
    }
    expect((r < 0) == (err.message[0] != '\0'));
    if (r == 0)
        expect(at + record.before_size == size &&
               memcmp(record.before, data + at, record.before_size) == 0);
    *ret_hash = hash;
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ce_autofd int fd = memfd_create("data.csv", MFD_CLOEXEC);
    ce_autofree char *path = ce_format("/proc/self/fd/%d", fd);
    if (fd < 0 || !path || ce_write_all(fd, data, size) < 0)
        return 0;
    uint64_t whole = 0, same = 0, pieces = 0;
    int r = read_all(path, data, size, 0, &whole);
    if (size >= SMALL)
        return 0;
    /* A window that holds it all too, and so the rows from which the delimiter is guessed, must
     * agree. */
    expect(read_all(path, data, size, SMALL, &same) == r && same == whole);
    (void)read_all(path, data, size, 64, &pieces);
    return 0;
}
