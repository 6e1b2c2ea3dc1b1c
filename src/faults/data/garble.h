/* SPDX-License-Identifier: MIT */
/* The ways in which one cell goes wrong, whatever the format of its table. Each is a pure function
 * of the cell and its random words, and returns as the cell's writers do: NULL when the cell was
 * set, else why it stays as it is (a constant). None is meant for cells that are missing. */
#ifndef CE_FAULTS_DATA_GARBLE_H
#define CE_FAULTS_DATA_GARBLE_H

#include "data/cell.h"
#include "params/params.h"

/* ---- numbers ---- */

/* The number plus a normal deviate with `scale` times the standard deviation of its column. */
const char *ce_garble_noise(struct ce_cell *cell, double scale);
/* The number in another unit. */
const char *ce_garble_unit(struct ce_cell *cell, double factor);

enum ce_mistype {
    CE_MISTYPE_AUTO, /* float for whole numbers, comma for others */
    CE_MISTYPE_FLOAT,
    CE_MISTYPE_COMMA,
};
extern const struct ce_choice ce_mistypes[];
/* 73 as "73.0" or "73,0", 12.5 as "12,5", true as "1". */
const char *ce_garble_type(struct ce_cell *cell, enum ce_mistype as);

/* ---- texts, and what numbers have like it ---- */

/* One key in `period` (at least one in the text) is its neighbour on the keyboard. */
const char *ce_garble_typo(struct ce_cell *cell, int64_t period);
/* UTF-8 that was read as Windows-1252 and written as UTF-8 again. */
const char *ce_garble_encoding(struct ce_cell *cell);
/* The end is missing: of a text from a drawn character on, of a number its last digits. */
const char *ce_garble_end(struct ce_cell *cell);
/* The parts between the separators, in another order. */
const char *ce_garble_order(struct ce_cell *cell, const char *separator);
/* One bit is flipped: of a number's double, such that a number remains that its column has room
 * for; of a text's ASCII character, such that it remains printable. */
const char *ce_garble_bit(struct ce_cell *cell);
/* All letters (of ASCII) in the other case: upper, or lower when all are upper. */
const char *ce_garble_case(struct ce_cell *cell);
/* Without its ASCII punctuation, or with a full stop when it has none. */
const char *ce_garble_punctuation(struct ce_cell *cell);

/* ---- values of other cells ---- */

/* The values of the cell and of that column of its row change places. */
const char *ce_garble_swap(struct ce_cell *cell, size_t with);

enum ce_weighing {
    CE_WEIGH_UNIFORM,
    CE_WEIGH_FREQUENCY,
};
extern const struct ce_choice ce_weighings[];
/* Another of its column's categories; needs CE_STAT_CATEGORIES. */
const char *ce_garble_category(struct ce_cell *cell, enum ce_weighing weighing);
/* Which category it is; -1 and why: it is none, or its column has none. */
int ce_category_of(struct ce_cell *cell, const char **ret_why);
const char *ce_category_set(struct ce_cell *cell, size_t category);

#endif
