/* SPDX-License-Identifier: MIT */
#include "data/decimal.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { EXACT_POWER_MAX = 22, EXPONENT_CLAMP = 9999 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits into the mantissa; returns how many there were. */
static int read_digits(const char **p, const char *end, uint64_t *low, unsigned __int128 *mantissa,
                       int before)
{
    int count = before;
    for (; *p < end && is_digit(**p); ++*p, count++) {
        unsigned digit = (unsigned)(**p - '0');
        if (count < 19)
            *low = *low * 10 + digit; /* 64 bits hold 19 digits, and most numbers are shorter */
        else if (count < CE_DECIMAL_DIGITS_MAX)
            *mantissa = (count == 19 ? *low : *mantissa) * 10 + digit;
    }
    return count - before;
}

static bool read_exponent(const char **p, const char *end, struct ce_decimal *d)
{
    d->exponent_letter = *(*p)++;
    bool minus = *p < end && **p == '-';
    if (*p < end && (**p == '-' || **p == '+'))
        ++*p;
    if (*p == end || !is_digit(**p))
        return false;
    for (; *p < end && is_digit(**p); ++*p)
        if (d->exponent < EXPONENT_CLAMP)
            d->exponent = d->exponent * 10 + (**p - '0');
    if (minus)
        d->exponent = -d->exponent;
    return true;
}

bool ce_decimal_parse(const char *text, size_t size, struct ce_decimal *ret)
{
    const char *p = text, *end = text + size;
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    struct ce_decimal d = {.text = p, .size = (size_t)(end - p)};
    if (p == end)
        return false;
    d.negative = *p == '-';
    d.plus = *p == '+';
    p += d.negative || d.plus;
    uint64_t low = 0;
    d.integer_digits = read_digits(&p, end, &low, &d.mantissa, 0);
    if (p < end && *p == '.') {
        d.point = true;
        p++;
        d.decimals = read_digits(&p, end, &low, &d.mantissa, d.integer_digits);
    }
    int digits = d.integer_digits + d.decimals;
    if (digits == 0)
        return false;
    if (digits <= 19)
        d.mantissa = low;
    if (p < end && (*p == 'e' || *p == 'E') && !read_exponent(&p, end, &d))
        return false;
    if (p != end)
        return false;
    *ret = d;
    return true;
}

bool ce_decimal_value(const struct ce_decimal *d, double *ret_value)
{
    int scale = d->exponent - d->decimals;
    double value;
    if (d->integer_digits + d->decimals <= 19 && d->mantissa <= UINT64_C(1) << 53 &&
        abs(scale) <= EXACT_POWER_MAX) {
        /* Both operands are exact, so the one rounding gives the nearest double. */
        value = (double)(uint64_t)d->mantissa;
        value = scale < 0 ? value / exact_powers[-scale] : value * exact_powers[scale];
        value = d->negative ? -value : value;
    } else {
        char copy[512];
        if (d->size >= sizeof copy)
            return false;
        memcpy(copy, d->text, d->size);
        copy[d->size] = '\0';
        value = strtod(copy, NULL);
    }
    if (!isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

/* Ten to the n, |n| within a double's range; the same bits everywhere, and exact up to 22. */
static double power_of_ten(int n)
{
    double power = 1;
    int left = abs(n);
    for (; left > EXACT_POWER_MAX; left -= EXACT_POWER_MAX)
        power *= exact_powers[EXACT_POWER_MAX];
    power *= exact_powers[left];
    return n < 0 ? 1 / power : power;
}

/* Writes the digits of `mantissa` with `decimals` of them after the point, in the form of `d`. */
static int print_scaled(const struct ce_decimal *d, bool negative, unsigned __int128 mantissa,
                        char *text, size_t size)
{
    char reversed[CE_DECIMAL_DIGITS_MAX + 8];
    int digits = 0, least = d->integer_digits + d->decimals;
    /* Only leading zeros keep the width: 9 + 1 is 10, 009 + 1 is 010, 100 - 1 is 99. */
    bool padded = d->integer_digits > 1 && d->text[d->negative || d->plus] == '0';
    if (!padded)
        least = d->decimals + (d->integer_digits > 0);
    for (; mantissa > 0 || digits < least; mantissa /= 10)
        reversed[digits++] = (char)('0' + (int)(mantissa % 10));
    if ((size_t)digits + 3 > size)
        return -1;
    char *p = text;
    if (negative || d->plus)
        *p++ = negative ? '-' : '+';
    while (digits > d->decimals)
        *p++ = reversed[--digits];
    if (d->point)
        *p++ = '.';
    while (digits > 0)
        *p++ = reversed[--digits];
    *p = '\0';
    return (int)(p - text);
}

static int shift_plain(const struct ce_decimal *d, double delta, char *text, size_t size)
{
    double steps = rint(delta * power_of_ten(d->decimals));
    if (d->integer_digits + d->decimals > CE_DECIMAL_DIGITS_MAX || !(fabs(steps) < 1e36))
        return -1;
    if (steps == 0)
        steps = delta < 0 ? -1 : 1;
    __int128 value = (__int128)d->mantissa;
    value = (d->negative ? -value : value) + (__int128)steps;
    bool negative = value < 0;
    return print_scaled(d, negative, (unsigned __int128)(negative ? -value : value), text, size);
}

/* With an exponent, the number of decimals stays and the exponent follows the magnitude. */
static int shift_scientific(const struct ce_decimal *d, double delta, char *text, size_t size)
{
    char before[CE_DECIMAL_DIGITS_MAX + 32];
    double value;
    if (d->decimals > CE_DECIMAL_DIGITS_MAX || !ce_decimal_value(d, &value))
        return -1;
    const char *form = d->exponent_letter == 'E' ? "%.*E" : "%.*e";
    (void)snprintf(before, sizeof before, form, d->decimals, value);
    double unit = power_of_ten(d->exponent - d->decimals < -300 ? -300 : d->exponent - d->decimals);
    if (!(fabs(delta) >= unit))
        delta = delta < 0 ? -unit : unit;
    for (; isfinite(value + delta); delta *= 2) {
        int n = snprintf(text, size, form, d->decimals, value + delta);
        if (n < 0 || (size_t)n >= size)
            return -1;
        if (strcmp(text, before) != 0)
            return n;
    }
    return -1;
}

int ce_decimal_shift(const struct ce_decimal *d, double delta, char *text, size_t size)
{
    if (!isfinite(delta))
        return -1;
    return d->exponent_letter ? shift_scientific(d, delta, text, size)
                              : shift_plain(d, delta, text, size);
}
