/* SPDX-License-Identifier: MIT */
/* Finding records and cells in CSV bytes: hops from one special byte to the next.
 *
 * Special bytes are the delimiter, the quote, CR, LF and, where it escapes, the backslash. They
 * are found for a window at a time, without a branch on what a byte is, and listed; the state
 * machine runs over the list, once per special byte and not once per byte. A cell that starts with
 * a quote is quoted up to the next single quote, what follows that belongs to the cell too; a quote
 * anywhere else opens nothing. */
#ifndef CE_DATA_TEXT_CSV_SCAN_H
#define CE_DATA_TEXT_CSV_SCAN_H

#include "data/text/format.h"

enum ce_csv_found {
    CE_CSV_RECORD,
    CE_CSV_END,      /* no record follows; what is left is in `before` */
    CE_CSV_MORE,     /* the bytes end before the record does */
    CE_CSV_UNCLOSED, /* a quoted cell is not closed; `line` of the record is where it opens */
    CE_CSV_NO_MEMORY,
};

/* Takes the next record, with the blank lines and comments before it, from the scan. `closed`: the
 * bytes end where the file or a record does, so that a last row needs no line end and a CR at the
 * end is one. Only CE_CSV_RECORD and CE_CSV_END move the scan. */
enum ce_csv_found ce_csv_scan(struct ce_text_scan *scan, bool closed,
                              struct ce_text_record *ret_record);

/* Counts what lies between line ends, given bytes that start a line: the lines, and those that are
 * not blank. False, and no counts, when there is a quote. */
bool ce_csv_tally(const char *data, size_t size, uint64_t *ret_records, uint64_t *ret_lines);

#endif
