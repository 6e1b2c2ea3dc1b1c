/* SPDX-License-Identifier: MIT */
/* A value of an Arrow column, given by its bytes, as a number or text, and the other way round.
 *
 * The bytes are those of a fixed-width value (a bool: one byte) or of a text. Writers return NULL,
 * or why the value stays as it is: a constant. */
#ifndef CE_DATA_ARROW_TYPED_H
#define CE_DATA_ARROW_TYPED_H

#include "data/arrow/layout.h"
#include "data/cell.h"
#include "data/text/buffer.h"

#define CE_TYPED_SIZE 16 /* of a fixed-width value that can be written */

/* False: it is no number, or not a finite one. */
bool ce_typed_number(const struct ce_arrow_type *type, const char *bytes, size_t size,
                     double *ret_value);
/* Whether a floating-point value is NaN, which counts as missing. */
bool ce_typed_nan(const struct ce_arrow_type *type, const char *bytes);
/* Whether all numbers of the type are integers. */
bool ce_typed_integer(const struct ce_arrow_type *type);
/* As text: the shortest that reads back as the same number; times as ISO 8601. Texts are given back
 * as they are, others are put into `scratch`. NULL: no memory. */
const char *ce_typed_text(const struct ce_arrow_type *type, const char *bytes, size_t size,
                          struct ce_buffer *scratch, size_t *ret_size);
/* Not a text column. `bytes` is the old value; NULL: there is none. */
const char *ce_typed_set_number(const struct ce_arrow_type *type, const char *bytes, double value,
                                enum ce_fit fit, char ret_bytes[CE_TYPED_SIZE]);
/* Reads what ce_typed_text() writes, and other spellings of the same. Not a text column. */
const char *ce_typed_set_text(const struct ce_arrow_type *type, const char *text, size_t size,
                              char ret_bytes[CE_TYPED_SIZE]);

/* What typed.c and typed_text.c share. */
typedef __int128 ce_wide;
ce_wide ce_typed_decimal(const struct ce_arrow_type *type, const char *bytes);
ce_wide ce_power_of_ten(int exponent); /* up to 38 */
/* NULL, or "no room for it". */
const char *ce_typed_put_int(const struct ce_arrow_type *type, ce_wide value,
                             char ret_bytes[CE_TYPED_SIZE]);
const char *ce_typed_put_double(const struct ce_arrow_type *type, double value,
                                char ret_bytes[CE_TYPED_SIZE]);

extern const char ce_no_room[]; /* "no room for it" */

#endif
