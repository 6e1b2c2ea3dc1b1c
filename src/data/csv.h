/* SPDX-License-Identifier: MIT */
/* Reading a CSV file record by record (RFC 4180 and what people really write): every byte of the
 * file belongs to the head, a record or the blank lines before one.
 *
 * Handled: quoted cells with separators and line ends inside, doubled quotes, a quote in the middle
 * of an unquoted cell (literal), LF, CRLF and CR mixed, a last row without line end, UTF-8 BOM
 * (kept, not part of the first name), ragged rows, blank lines (no records), non-UTF-8 and NUL
 * bytes, rows up to 32 MiB, delimiter , ; tab | and the control bytes 0x1f and 0x01, Excel's first
 * line sep=;, gzip and zstd. Refused: UTF-16, a header with NUL bytes, a quoted cell that is never
 * closed. */
#ifndef CE_DATA_CSV_H
#define CE_DATA_CSV_H

#include "data/text/format.h"

struct ce_csv_reader;

/* Opens a file for reading ("-": standard input), sniffs its delimiter, reads the header (the first
 * line that is not blank). The file is read through a window: memory stays bounded by the longest
 * row, and a file cut short meanwhile is an error, no signal. */
int ce_csv_open(const char *path, struct ce_csv_reader **ret_reader, struct ce_error *err);
void ce_csv_close(struct ce_csv_reader *reader); /* NULL is fine */
size_t ce_csv_column_count(const struct ce_csv_reader *reader);
/* Column names, unquoted. NULL past the last one. ce_csv_column() gives the index, or -1. */
const char *ce_csv_column_name(const struct ce_csv_reader *reader, size_t column);
int ce_csv_column(const struct ce_csv_reader *reader, const char *name);
/* The file's first bytes: BOM, blank lines, header and its line end. Valid until the first
 * ce_csv_next(). */
const char *ce_csv_head(const struct ce_csv_reader *reader, size_t *ret_size);
/* The next data record: 1, 0 at the end, or -errno ("data.csv:17: a quoted cell is not closed").
 * Valid until the next call. At the end, the record has no cells and its `before` holds the blank
 * lines that close the file. */
int ce_csv_next(struct ce_csv_reader *reader, struct ce_text_record *ret_record,
                struct ce_error *err);

/* The value of a cell: without enclosing quotes, doubled quotes undone. Writes as much as fits,
 * always with a NUL when size > 0; returns the value's length. */
size_t ce_csv_value(const struct ce_text_cell *cell, char *text, size_t size);
/* Whether the cell is missing: empty, or one of NA, NaN, null, NULL, None, N/A, \N, unquoted or
 * quoted. */
bool ce_csv_missing(const struct ce_text_cell *cell);
/* The cell as a number; false when it is none (surrounding blanks are fine; infinities and NaN are
 * none). */
bool ce_csv_number(const struct ce_text_cell *cell, double *ret_value);

#endif
