/* SPDX-License-Identifier: MIT */
/* Decimal numbers as text, changed without losing their form: sign, leading zeros, number of
 * decimals, exponent.
 *
 * Numbers are scaled integers here: the digits that come out are the same on every machine. */
#ifndef CE_DATA_DECIMAL_H
#define CE_DATA_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>

/* Longer numbers are numbers, but cannot be shifted. */
#define CE_DECIMAL_DIGITS_MAX 36

struct ce_decimal {
    const char *text; /* the number without surrounding blanks; borrowed */
    size_t size;
    bool negative, plus;
    bool point;
    char exponent_letter; /* 'e', 'E', or 0 */
    int integer_digits, decimals;
    int exponent; /* as written; out of range for a double: clamped */
    unsigned __int128
        mantissa; /* all digits as one integer, when they are not more than CE_DECIMAL_DIGITS_MAX */
};

/* [blanks][+-]digits[.digits][e[+-]digits][blanks]. False when it is no number; infinities and NaN
 * are none. */
bool ce_decimal_parse(const char *text, size_t size, struct ce_decimal *ret);
/* The nearest double; false when it overflows. */
bool ce_decimal_value(const struct ce_decimal *decimal, double *ret_value);

/* Writes decimal + delta in the form of the original, without its blanks. A delta that rounds to
 * nothing moves the last place by one, up or down as `delta` says (0 goes up). Returns the length,
 * or -1 when it does not fit: too many digits, no finite delta. */
int ce_decimal_shift(const struct ce_decimal *decimal, double delta, char *text, size_t size);

#endif
