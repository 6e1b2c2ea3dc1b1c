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
    d->exponent_plus = *p < end && **p == '+';
    if (*p < end && (**p == '-' || **p == '+'))
        ++*p;
    if (*p == end || !is_digit(**p))
        return false;
    const char *digits = *p;
    for (; *p < end && is_digit(**p); ++*p)
        if (d->exponent < EXPONENT_CLAMP)
            d->exponent = d->exponent * 10 + (**p - '0');
    d->exponent_digits = *p - digits < 4 ? (int)(*p - digits) : 4;
    if (minus)
        d->exponent = -d->exponent;
    return true;
}

/* ---- digits, eight at a time ---- */

/* Eight characters in a register, the first one lowest. */
static uint64_t load8(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* The 1 to 8 characters of `text` at the high end, digits 0 before them. */
static inline uint64_t load_short(const char *text, size_t size)
{
    const uint64_t zeros = UINT64_C(0x3030303030303030);
    if (size == 8)
        return load8(text);
    if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, text, sizeof first);
        memcpy(&last, text + size - 4, sizeof last);
        return (uint64_t)last << 32 | (uint32_t)((uint64_t)first << (8 * (8 - size))) |
               zeros >> (8 * size);
    }
    uint64_t first = (unsigned char)text[0], middle = (unsigned char)text[size / 2],
             last = (unsigned char)text[size - 1];
    return first << (8 * (8 - size)) | middle << (8 * (8 - size + size / 2)) | last << 56 |
           zeros >> (8 * size);
}

/* The 9 to 16 characters of `text` at the high end of two words, digits 0 before them. */
static inline void load_long(const char *text, size_t size, uint64_t *ret_low, uint64_t *ret_high)
{
    const uint64_t zeros = UINT64_C(0x3030303030303030);
    size_t absent = 16 - size;
    *ret_high = load8(text + size - 8);
    *ret_low = load8(text) << (8 * absent) | zeros >> 8 >> (56 - 8 * absent);
}

/* The high bit of each byte that is no digit, given characters XOR '0'; those above may get it too.
 */
static inline uint64_t non_digits(uint64_t digits)
{
    return ((digits + UINT64_C(0x7676767676767676)) | digits) & UINT64_C(0x8080808080808080);
}

/* Pairs of digits, then pairs of those, then both halves. */
static inline uint64_t digits_value(uint64_t digits)
{
    digits = digits * (10 * 256 + 1) >> 8;
    digits = (digits & UINT64_C(0x00ff00ff00ff00ff)) * (100 * 65536 + 1) >> 16;
    return (digits & UINT64_C(0x0000ffff0000ffff)) * ((UINT64_C(10000) << 32) + 1) >> 32;
}

/* The lowest byte that is `c` gets its high bit set; bytes above it may as well. */
static inline uint64_t find_byte(uint64_t word, char c)
{
    word ^= UINT64_C(0x0101010101010101) * (unsigned char)c;
    return (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
}

/* Takes out the byte that `found` is the lowest bit of, and moves those before it up, with the byte
 * `first` in front. Returns how many come after it. */
static inline int take_out(uint64_t *word, uint64_t found, uint64_t first)
{
    int at = __builtin_ctzll(found) & ~7;
    uint64_t before = (UINT64_C(1) << at) - 1, after = ~before << 8;
    *word = (*word & after) | (*word & before) << 8 | first;
    return 7 - at / 8;
}

/* digits[.digits] of 1 to 16 characters, eight at a time. False: it is something else, or too long
 * to be exact. */
static inline __attribute__((always_inline)) bool short_mantissa(const char *text, size_t size,
                                                                 char mark, uint64_t *ret_mantissa,
                                                                 int *ret_decimals,
                                                                 bool *ret_marked)
{
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || size - 1 > 15 || (size == 1 && *text == mark))
        return false;
    const uint64_t zeros = UINT64_C(0x3030303030303030);
    uint64_t low = zeros, high, mantissa, found;
    int decimals = 0;
    if (size <= 8) {
        high = load_short(text, size);
        found = find_byte(high, mark);
        if (found != 0)
            decimals = take_out(&high, found, '0');
        high ^= zeros;
        if (non_digits(high) != 0)
            return false;
        mantissa = digits_value(high);
    } else {
        load_long(text, size, &low, &high);
        found = find_byte(high, mark);
        if (found != 0) {
            decimals = take_out(&high, found, low >> 56);
            low = low << 8 | '0';
        } else if ((found = find_byte(low, mark)) != 0) {
            decimals = 8 + take_out(&low, found, '0');
        }
        low ^= zeros;
        high ^= zeros;
        if ((non_digits(low) | non_digits(high)) != 0)
            return false;
        mantissa = digits_value(low) * 100000000 + digits_value(high);
    }
    *ret_mantissa = mantissa;
    *ret_decimals = decimals;
    *ret_marked = found != 0;
    return mantissa <= UINT64_C(1) << 53;
}

/* ---- reading ---- */

bool ce_decimal_parse(const char *text, size_t size, struct ce_decimal *ret)
{
    return ce_decimal_parse_mark(text, size, '.', ret);
}

/* Digit by digit, whatever the form. */
static bool parse_any(const char *text, size_t size, char mark, struct ce_decimal *ret)
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
    if (p < end && *p == mark) {
        d.mark = mark;
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

bool ce_decimal_parse_mark(const char *text, size_t size, char mark, struct ce_decimal *ret)
{
    uint64_t mantissa;
    int decimals;
    bool marked, negative = size > 0 && *text == '-';
    if (!short_mantissa(text + negative, size - negative, mark, &mantissa, &decimals, &marked))
        return parse_any(text, size, mark, ret);
    *ret = (struct ce_decimal){
        .text = text,
        .size = size,
        .negative = negative,
        .mark = marked ? mark : '\0',
        .integer_digits = (int)size - negative - marked - decimals,
        .decimals = decimals,
        .mantissa = mantissa,
    };
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
        /* Digits and an exponent alone read the same in every locale. */
        char copy[512 + 16];
        size_t size = 0;
        if (d->size >= sizeof copy - 16)
            return false;
        for (size_t i = 0; size < (size_t)(d->integer_digits + d->decimals); i++)
            if (is_digit(d->text[i]))
                copy[size++] = d->text[i];
        snprintf(copy + size, sizeof copy - size, "e%d", scale);
        value = strtod(copy, NULL);
        value = d->negative ? -value : value;
    }
    if (!isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

/* ---- short ones ---- */

/* [-]digits[.digits] of up to 16 characters behind the sign. */
static inline __attribute__((always_inline)) bool short_number(const char *text, size_t size,
                                                               char mark, double *ret_value)
{
    uint64_t mantissa;
    int decimals;
    bool marked, negative = size > 0 && *text == '-';
    if (!short_mantissa(text + negative, size - negative, mark, &mantissa, &decimals, &marked))
        return false;
    double value = (double)(int64_t)mantissa / exact_powers[decimals];
    /* No branch: the sign is what nobody can predict. */
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= (uint64_t)negative << 63;
    memcpy(ret_value, &bits, sizeof bits);
    return true;
}

/* On its own, so that short numbers need not save registers for it. */
static __attribute__((noinline)) bool any_number(const char *text, size_t size, char mark,
                                                 double *ret_value)
{
    struct ce_decimal decimal;
    return ce_decimal_parse_mark(text, size, mark, &decimal) &&
           ce_decimal_value(&decimal, ret_value);
}

bool ce_decimal_number(const char *text, size_t size, char mark, double *ret_value)
{
    return short_number(text, size, mark, ret_value) || any_number(text, size, mark, ret_value);
}

/* ---- writing ---- */

/* Ten to the n, |n| within a double's range; the same bits everywhere, and exact up to 22. */
static double power_of_ten(int n)
{
    double power = 1;
    int left = abs(n);
    if (n >= 0 && n <= EXACT_POWER_MAX)
        return exact_powers[n];
    for (; left > EXACT_POWER_MAX; left -= EXACT_POWER_MAX)
        power *= exact_powers[EXACT_POWER_MAX];
    power *= exact_powers[left];
    return n < 0 ? 1 / power : power;
}

/* The eight digits of a number below 10^8, the first one lowest: digits_value() backwards. */
static inline uint64_t value_digits(uint64_t value)
{
    /* Both halves, then pairs of digits, then digits. Multiplying and shifting divides exactly. */
    uint64_t halves = value / 10000 | value % 10000 << 32;
    uint64_t hundreds = (halves * 10486 >> 20) & UINT64_C(0x0000007f0000007f);
    uint64_t pairs = hundreds | (halves - 100 * hundreds) << 16;
    uint64_t tens = (pairs * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return tens | (pairs - 10 * tens) << 8;
}

/* Writes sixteen digits of a number below 10^16 before `end`; returns how many of them are leading
 * zeros. */
static inline int put_sixteen(char *end, uint64_t value)
{
    uint64_t high = value_digits(value / 100000000), low = value_digits(value % 100000000);
    int zeros = high != 0  ? __builtin_ctzll(high) / 8
                : low != 0 ? 8 + __builtin_ctzll(low) / 8
                           : 16;
    high |= UINT64_C(0x3030303030303030);
    low |= UINT64_C(0x3030303030303030);
    memcpy(end - 16, &high, sizeof high);
    memcpy(end - 8, &low, sizeof low);
    return zeros;
}

/* Writes the digits of `value` before `end`, at least `least` of them. */
static inline char *put_digits(char *end, unsigned __int128 value, int least)
{
    char *p = end;
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && value < UINT64_C(10000000000000000)) {
        p = end - 16 + put_sixteen(end, (uint64_t)value);
    } else {
        for (; value > UINT64_MAX; value /= 10)
            *--p = (char)('0' + (int)(value % 10));
        for (uint64_t low = (uint64_t)value; low > 0; low /= 10)
            *--p = (char)('0' + (int)(low % 10));
    }
    while (end - p < least)
        *--p = '0';
    return p;
}

/* Copies a few bytes, most of the time at most sixteen, which both sides have room for. */
static inline char *copy_few(char *to, const char *from, size_t size)
{
    memcpy(to, from, 16);
    if (size > 16)
        memcpy(to, from, size);
    return to + size;
}

/* Writes the digits of `mantissa` with `decimals` of them after the point, in the form of `d`. */
static int print_scaled(const struct ce_decimal *d, bool negative, unsigned __int128 mantissa,
                        char *text, size_t size)
{
    char digits[2 * CE_DECIMAL_DIGITS_MAX + 24], *end = digits + sizeof digits - 16;
    /* Only leading zeros keep the width: 9 + 1 is 10, 009 + 1 is 010, 100 - 1 is 99. */
    bool padded = d->integer_digits > 1 && d->text[d->negative || d->plus] == '0';
    int least = d->decimals + (padded ? d->integer_digits : d->integer_digits > 0);
    memset(end, 0, 16);
    const char *first = put_digits(end, mantissa, least), *point = end - d->decimals;
    if ((size_t)(end - first) + 2 + 16 > size)
        return -1;
    char *p = text;
    if (negative || d->plus)
        *p++ = negative ? '-' : '+';
    p = copy_few(p, first, (size_t)(point - first));
    if (d->mark != '\0')
        *p++ = d->mark;
    p = copy_few(p, point, (size_t)d->decimals);
    *p = '\0';
    return (int)(p - text);
}

/* Whether `text`, read as a double, lies on the wrong side of the value. */
static bool misfits(const struct ce_decimal *d, const char *text, int size, double value,
                    enum ce_fit fit)
{
    double read;
    if (fit == CE_FIT_NEAREST || !ce_decimal_number(text, (size_t)size, d->mark, &read))
        return false;
    return fit == CE_FIT_UP ? read < value : read > value;
}

/* Writes decimal + steps * 10^-decimals. */
static int print_moved(const struct ce_decimal *d, __int128 steps, char *text, size_t size)
{
    __int128 value = (__int128)d->mantissa;
    value = (d->negative ? -value : value) + steps;
    bool negative = value < 0;
    return print_scaled(d, negative, (unsigned __int128)(negative ? -value : value), text, size);
}

/* rint() as long as there are bits for a fraction, without the call. */
static inline double rounded_to_even(double x)
{
    return fabs(x) < 0x1p51 ? x + 0x1.8p52 - 0x1.8p52 : rint(x);
}

static int set_plain(const struct ce_decimal *d, double delta, double value, enum ce_fit fit,
                     char *text, size_t size)
{
    double rounded = rounded_to_even(delta * power_of_ten(d->decimals));
    if (d->integer_digits + d->decimals > CE_DECIMAL_DIGITS_MAX || !(fabs(rounded) < 1e36))
        return -1;
    __int128 steps = fabs(rounded) < 0x1p62 ? (int64_t)rounded : (__int128)rounded;
    if (steps == 0 && fit == CE_FIT_NEAREST)
        steps = delta < 0 ? -1 : 1;
    int n = print_moved(d, steps, text, size);
    /* Where the last place is finer than a double, more than one step may be needed. */
    for (__int128 more = 1; n > 0 && more < (__int128)1 << 100; more *= 2) {
        if (!misfits(d, text, n, value, fit))
            return n;
        steps += fit == CE_FIT_UP ? more : -more;
        n = print_moved(d, steps, text, size);
    }
    return -1;
}

/* Copies what printf wrote, with the number's decimal mark in place of the locale's. */
static char *copy_digits(char *p, const char *printed, const char *end, char mark)
{
    for (; printed < end; printed++)
        if (is_digit(*printed) || *printed == '-')
            *p++ = *printed;
        else if (is_digit(p[-1]))
            *p++ = mark;
    return p;
}

/* With an exponent, the number of decimals stays and the exponent follows the magnitude. */
static int print_scientific(const struct ce_decimal *d, double value, char *text, size_t size)
{
    char printed[CE_DECIMAL_DIGITS_MAX + 32], exponent[16];
    (void)snprintf(printed, sizeof printed, "%.*e", d->decimals, value);
    const char *e = strchr(printed, 'e');
    int power = atoi(e + 1);
    /* 1.5e-07 was most likely written by somebody who writes 1.5e+07. */
    bool plus = d->exponent_plus || (d->exponent < 0 && d->exponent_digits > 1);
    int tail = snprintf(exponent, sizeof exponent, "%c%s%0*d", d->exponent_letter,
                        power < 0 ? "-"
                        : plus    ? "+"
                                  : "",
                        d->exponent_digits, abs(power));
    if ((size_t)(e - printed) + (size_t)tail + 2 > size)
        return -1;
    char *p = text;
    if (d->plus && printed[0] != '-')
        *p++ = '+';
    p = copy_digits(p, printed, e, d->mark);
    if (d->mark != '\0' && d->decimals == 0)
        *p++ = d->mark;
    memcpy(p, exponent, (size_t)tail + 1);
    return (int)(p - text) + tail;
}

static int set_scientific(const struct ce_decimal *d, double value, enum ce_fit fit, char *text,
                          size_t size)
{
    char before[CE_DECIMAL_DIGITS_MAX + 32];
    double old;
    if (d->decimals > CE_DECIMAL_DIGITS_MAX || !ce_decimal_value(d, &old) ||
        print_scientific(d, old, before, sizeof before) < 0)
        return -1;
    int last_place = d->exponent - d->decimals;
    double unit = power_of_ten(last_place < -300 ? -300 : last_place > 300 ? 300 : last_place);
    double sign = fit == CE_FIT_UP ? 1 : fit == CE_FIT_DOWN ? -1 : value < old ? -1 : 1;
    for (double more = 0; isfinite(value + sign * more); more = more > 0 ? 2 * more : unit) {
        int n = print_scientific(d, value + sign * more, text, size);
        if (n < 0)
            return -1;
        bool changed = fit != CE_FIT_NEAREST || strcmp(text, before) != 0;
        if (changed && !misfits(d, text, n, value, fit))
            return n;
    }
    return -1;
}

int ce_decimal_set(const struct ce_decimal *d, double value, enum ce_fit fit, char *text,
                   size_t size)
{
    double old;
    if (!isfinite(value) || !ce_decimal_value(d, &old))
        return -1;
    return d->exponent_letter ? set_scientific(d, value, fit, text, size)
                              : set_plain(d, value - old, value, fit, text, size);
}

int ce_decimal_shift(const struct ce_decimal *d, double delta, char *text, size_t size)
{
    double old;
    if (!isfinite(delta) || !ce_decimal_value(d, &old))
        return -1;
    if (!d->exponent_letter)
        return set_plain(d, delta, 0, CE_FIT_NEAREST, text, size);
    return isfinite(old + delta) ? set_scientific(d, old + delta, CE_FIT_NEAREST, text, size) : -1;
}

int ce_decimal_print(double value, char mark, char *text, size_t size)
{
    char printed[40];
    if (!isfinite(value) || size < sizeof printed)
        return -1;
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(printed, sizeof printed, "%.*g", digits, value);
        if (strtod(printed, NULL) == value)
            break;
    }
    const char *e = strchr(printed, 'e'), *end = printed + strlen(printed);
    char *p = copy_digits(text, printed, e ? e : end, mark);
    memcpy(p, e ? e : end, (size_t)(end - (e ? e : end)) + 1);
    return (int)(p - text + (end - (e ? e : end)));
}
