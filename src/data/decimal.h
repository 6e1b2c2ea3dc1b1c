/* SPDX-License-Identifier: MIT */
/* Decimal numbers as text, changed without losing their form: sign, leading zeros, number of
 * decimals, exponent, decimal comma.
 *
 * Numbers are scaled integers here: the digits that come out are the same on every machine, and in
 * every locale. */
#ifndef CE_DATA_DECIMAL_H
#define CE_DATA_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>

#include "data/cell.h"

/* Longer numbers are numbers, but cannot be changed. */
#define CE_DECIMAL_DIGITS_MAX 36
/* Room for any number that is written here. */
#define CE_DECIMAL_TEXT 64

struct ce_decimal {
    const char *text; /* the number without surrounding blanks; borrowed */
    size_t size;
    bool negative, plus;
    char mark;            /* between integer digits and decimals: '.' or ','; 0: there is none */
    char exponent_letter; /* 'e', 'E', or 0 */
    bool exponent_plus;
    int integer_digits, decimals, exponent_digits;
    int exponent; /* as written; out of range for a double: clamped */
    unsigned __int128
        mantissa; /* all digits as one integer, when they are not more than CE_DECIMAL_DIGITS_MAX */
};

/* [blanks][+-]digits[.digits][e[+-]digits][blanks]. False when it is no number; infinities and NaN
 * are none. */
bool ce_decimal_parse(const char *text, size_t size, struct ce_decimal *ret);
/* The same with another decimal mark: ','. */
bool ce_decimal_parse_mark(const char *text, size_t size, char mark, struct ce_decimal *ret);
/* The nearest double; false when it overflows. */
bool ce_decimal_value(const struct ce_decimal *decimal, double *ret_value);
/* Both at once, and quicker for numbers of up to 16 characters. */
bool ce_decimal_number(const char *text, size_t size, char mark, double *ret_value);

/* Writes the value in the form of the number, without its blanks. CE_FIT_UP and CE_FIT_DOWN hold
 * for what a reader of doubles makes of the result. Returns the length, or -1 when it does not fit:
 * too many digits, no finite value. */
int ce_decimal_set(const struct ce_decimal *decimal, double value, enum ce_fit fit, char *text,
                   size_t size);
/* Writes decimal + delta in the form of the number. A delta that rounds to nothing moves the last
 * place by one, up or down as `delta` says (0 goes up). */
int ce_decimal_shift(const struct ce_decimal *decimal, double delta, char *text, size_t size);
/* Writes the shortest of 15, 16, 17 digits that reads back as the value. */
int ce_decimal_print(double value, char mark, char *text, size_t size);

#endif
