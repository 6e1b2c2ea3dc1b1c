/* SPDX-License-Identifier: MIT */
/* One value of an Arrow column as bytes of its own: what answer keys keep of a cell or a row, what
 * dictionaries are looked up by, and what is compared.
 *
 *   cell     00 for a null; else 01 and the value:
 *   bool     one byte, 0 or 1
 *   fixed    the value's bytes: numbers are little endian; decimals, times, binaries of one size
 *   bytes    text and binary: as they are
 *   list     its elements, one after the other: size (u32) and cell of each
 *   struct   its fields, likewise; a map is a list of structs
 *   union    its type code (one byte), and the cell
 *
 * A dictionary's index is encoded as what it stands for, a run as its value. A row is the cells of
 * its columns in the order of the input, written as the fields of a struct. */
#ifndef CE_DATA_ARROW_ENCODE_H
#define CE_DATA_ARROW_ENCODE_H

#include "data/arrow/layout.h"
#include "data/text/buffer.h"

/* Appends the cell at `at` (the array's offset is in it). False: no memory, or above 4 GiB. */
bool ce_arrow_encode(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at,
                     struct ce_buffer *out);
/* Appends a part of a list, struct or row: what `cell` bytes were put since `mark`. */
size_t ce_encode_begin(struct ce_buffer *out); /* SIZE_MAX: no memory */
bool ce_encode_finish(struct ce_buffer *out, size_t mark);
/* The next part of a list, struct or row. False at the end, and when it is cut short (*ret_cell is
 * NULL). */
bool ce_encoded_next(const char **at, const char *end, const char **ret_cell, size_t *ret_size);
/* Where the value of a row lies in an array of runs, and in its buffers. */
int64_t ce_arrow_run(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at);
/* The nested array that a union's row is in, as the index of the child, and its place there. -1:
 * an unknown type code. */
int ce_arrow_union(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at,
                   int64_t *ret_at);

#endif
