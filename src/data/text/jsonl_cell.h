/* SPDX-License-Identifier: MIT */
/* JSON values as cells.
 *
 * Missing is null (also NaN, which is how some writers spell it) and the empty string; other
 * strings such as "NA" are text. A number is a JSON number; digits in quotes are text. What is
 * written keeps the kind of the value: a number that is replaced by the text of a number, or true
 * by the text false, stays bare, and any other text becomes a string. Objects and arrays can become
 * missing; nothing else is made of them. */
#ifndef CE_DATA_TEXT_JSONL_CELL_H
#define CE_DATA_TEXT_JSONL_CELL_H

#include "data/text/format.h"

extern const struct ce_row_form ce_jsonl_row_form; /* rows are struct ce_text_row */

/* Whether the text is a number as JSON spells it, and a double can hold it: 12, -0.5, 1e3; not 007,
 * +1, .5, "1." or 1e999. */
bool ce_json_is_number(const char *text, size_t size);

#endif
