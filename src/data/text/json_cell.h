/* SPDX-License-Identifier: MIT */
/* One JSON value of a live request as a cell, in a row of its own.
 *
 *     struct ce_json_value_row row;
 *     ce_json_value_init(&row, profile, ordinal, text, size);
 *     ce_row_cell(&row.text.row, 0, &cell);
 *     ... cell.draws, a fault's rewrite() ...
 *     if (ce_json_value_made(&row, &text, &size))
 *         ... the bytes to write instead ...
 *     ce_json_value_done(&row); */
#ifndef CE_DATA_TEXT_JSON_CELL_H
#define CE_DATA_TEXT_JSON_CELL_H

#include "data/text/format.h"

struct ce_json_value_row {
    struct ce_text_row text; /* first; points into the rest, so the struct must stay in place */
    struct ce_text_record record;
    struct ce_text_cell cell;
    struct ce_profile profile;
    struct ce_buffer made, scratch;
};

/* `text` is the value as the request has it, a string with its quotes, and well-formed; borrowed,
 * as is `column`, which may be NULL. */
void ce_json_value_init(struct ce_json_value_row *row, const struct ce_column_profile *column,
                        uint64_t ordinal, const char *text, size_t size);
/* False: the value stays. *ret_text NULL: it is to be left out, with its key (CE_SPELL_ABSENT).
 * Valid until the row is set again or done. */
bool ce_json_value_made(const struct ce_json_value_row *row, const char **ret_text,
                        size_t *ret_size);
void ce_json_value_done(struct ce_json_value_row *row);

#endif
