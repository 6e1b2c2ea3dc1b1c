/* SPDX-License-Identifier: MIT */
/* One cell as a fault sees it, whatever the format of the table: a CSV file, JSON lines, an Arrow
 * batch, the values of a live request.
 *
 * A fault asks what the cell says and says what it is to become; the format spells it. What is not
 * asked for costs nothing: a number is parsed, a text decoded and a random word drawn only then. */
#ifndef CE_DATA_CELL_H
#define CE_DATA_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "data/profile.h"

struct ce_cell;
struct ce_row;

/* How a written number is fitted to the decimals, or the integer type, of the cell. */
enum ce_fit {
    CE_FIT_NEAREST, /* but never to what it was: then the last place moves by one, the way the new
                       value lies */
    CE_FIT_UP,      /* not below the value */
    CE_FIT_DOWN,    /* not above it */
};

/* The writers return NULL, or why the cell stays as it is (a constant: "no change", "no room for
 * it", "an integer column holds no text"). */
struct ce_row_form {
    void (*cell)(struct ce_row *row, size_t column, struct ce_cell *ret_cell);
    bool (*missing)(const struct ce_cell *cell);
    bool (*number)(const struct ce_cell *cell, double *ret_value);
    const char *(*text)(struct ce_cell *cell, size_t *ret_size);
    const char *(*set_missing)(struct ce_cell *cell, const char *spelling);
    const char *(*set_number)(struct ce_cell *cell, double value, enum ce_fit fit);
    const char *(*set_text)(struct ce_cell *cell, const char *text, size_t size);
};

/* A row at work. Formats embed it as the first member of theirs. */
struct ce_row {
    const struct ce_row_form *form;
    uint64_t ordinal; /* data record from 0; in live requests a hash of the request's id */
};

struct ce_cell {
    struct ce_row *row;
    size_t column;                           /* index among the input's columns */
    const struct ce_column_profile *profile; /* of that column of the input, before any fault */
    const struct ce_stream *draws;           /* its random words; set by whoever selected it */
    /* Of the form: where the cell lies. */
    const char *raw; /* NULL in a row that has no such cell ("absent") */
    size_t raw_size;
    bool quoted;
};

/* The cell of that column, also one that was not selected. draws is inherited by the caller. */
static inline void ce_row_cell(struct ce_row *row, size_t column, struct ce_cell *ret_cell)
{
    row->form->cell(row, column, ret_cell);
}

/* Whether it is empty or one of the spellings of nothing (NA, NaN, null, NULL, None, N/A, \N). */
static inline bool ce_cell_missing(const struct ce_cell *cell)
{
    return cell->row->form->missing(cell);
}

/* The cell as a number; false when it is none. Infinities and NaN are none. */
static inline bool ce_cell_number(const struct ce_cell *cell, double *ret_value)
{
    return cell->row->form->number(cell, ret_value);
}

/* The cell as text without quotes or escapes, a number as it is spelled. Valid until the row's next
 * cell is asked for its text or set. NULL: no memory. */
static inline const char *ce_cell_text(struct ce_cell *cell, size_t *ret_size)
{
    return cell->row->form->text(cell, ret_size);
}

/* Two random words of this cell alone: the same for every format, thread and shard. */
static inline void ce_cell_draw(const struct ce_cell *cell, uint64_t ret_words[2])
{
    ce_stream_draw(cell->draws, cell->row->ordinal, ret_words);
}

/* `spelling` NULL: the format's own (an empty cell, null). */
static inline const char *ce_cell_set_missing(struct ce_cell *cell, const char *spelling)
{
    return cell->row->form->set_missing(cell, spelling);
}

/* Keeps the form of the number that is there: decimals, leading zeros, exponent, quotes. */
static inline const char *ce_cell_set_number(struct ce_cell *cell, double value, enum ce_fit fit)
{
    return cell->row->form->set_number(cell, value, fit);
}

/* Quoted and escaped as the format needs it. In a typed column of another type: refused. */
static inline const char *ce_cell_set_text(struct ce_cell *cell, const char *text, size_t size)
{
    return cell->row->form->set_text(cell, text, size);
}

#endif
