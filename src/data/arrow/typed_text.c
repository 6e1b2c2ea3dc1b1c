/* SPDX-License-Identifier: MIT */
/* Typed values as text and back. Locale-free: a library may find itself in a program that writes
 * 3,14. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "data/arrow/typed.h"

/* ---- dates ---- */

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back. The algorithm counts years
 * from March, so that leap days come last. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void date_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day = days - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    *ret_day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1);
    *ret_month = (unsigned)(month < 10 ? month + 3 : month - 9);
    *ret_year = year + era * 400 + (*ret_month <= 2);
}

/* ---- writing ---- */

enum { TEXT_MAX = 96 };

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int write_clock(char *text, size_t size, int64_t units, int64_t per_second)
{
    int64_t seconds = units / per_second, fraction = units % per_second;
    int n = snprintf(text, size, "%02lld:%02lld:%02lld", (long long)(seconds / 3600),
                     (long long)(seconds / 60 % 60), (long long)(seconds % 60));
    if (fraction != 0) {
        int digits = per_second == 1000 ? 3 : per_second == 1000000 ? 6 : 9;
        n += snprintf(text + n, size - (size_t)n, ".%0*lld", digits, (long long)fraction);
    }
    return n;
}

static int write_time(const struct ce_arrow_type *type, int64_t value, char *text, size_t size)
{
    if (type->meaning == CE_MEANS_TIME)
        return value < 0 ? snprintf(text, size, "%lld", (long long)value)
                         : write_clock(text, size, value, type->per_second);
    int64_t year, per_day = 86400 * type->per_second;
    int64_t days = per_day > 0 ? floor_div(value, per_day) : value;
    int64_t rest = per_day > 0 ? value - days * per_day : 0;
    unsigned month, day;
    date_from_days(days, &year, &month, &day);
    int n = snprintf(text, size, "%04lld-%02u-%02u", (long long)year, month, day);
    if (type->meaning == CE_MEANS_STAMP || rest > 0) {
        text[n++] = 'T';
        n += write_clock(text + n, size - (size_t)n, rest, type->per_second);
        if (type->zoned)
            text[n++] = 'Z';
    }
    return n;
}

static int write_wide(ce_wide value, int scale, char *text)
{
    char digits[48];
    int n = 0, size = 0;
    unsigned __int128 rest = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    for (; rest > 0 || n <= scale; rest /= 10)
        digits[n++] = (char)('0' + (int)(rest % 10));
    if (value < 0)
        text[size++] = '-';
    while (n > 0) {
        if (n == scale)
            text[size++] = '.';
        text[size++] = digits[--n];
    }
    return size;
}

/* Numbers of at most 15 digits and 6 decimals, which is nearly all: an integer divided by a power
 * of ten is the double that its text reads as. 0: it is none of them. */
static int write_short(double value, char *text)
{
    double unit = 1, size = fabs(value);
    if (!(size < 1e15))
        return 0;
    for (int scale = 0; scale <= 6 && size * unit < 1e15; scale++, unit *= 10) {
        double scaled = rint(value * unit);
        if (scaled / unit == value && !(scaled == 0 && signbit(value)))
            return write_wide((ce_wide)scaled, scale, text);
    }
    return 0;
}

static int write_floating(double value, bool narrow, char *text)
{
    if (!isfinite(value))
        return sprintf(text, "%s", isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
    int n = narrow ? 0 : write_short(value, text);
    bool few = fabs(value) < (narrow ? 1.2e-38 : 2.3e-308); /* subnormal: may have few digits */
    for (int digits = few ? 1 : narrow ? 6 : 15; n == 0 && digits <= 17; digits++) {
        n = snprintf(text, TEXT_MAX, "%.*g", digits, value);
        if (narrow ? strtof(text, NULL) != (float)value : strtod(text, NULL) != value)
            n = 0;
    }
    char *mark = text + strspn(text, "+-0123456789");
    if (mark < text + n && *mark != 'e')
        *mark = '.'; /* whatever the locale writes there: one byte, as in all locales of glibc */
    return n;
}

static int write_value(const struct ce_arrow_type *type, const char *bytes, char *text)
{
    double value;
    int64_t wide = 0;
    switch (type->meaning) {
    case CE_MEANS_BOOL:
        return sprintf(text, "%s", bytes[0] ? "true" : "false");
    case CE_MEANS_INT:
    case CE_MEANS_DECIMAL:
        return write_wide(ce_typed_decimal(type, bytes),
                          type->meaning == CE_MEANS_INT ? 0 : type->scale, text);
    case CE_MEANS_UINT:
        memcpy(&wide, bytes, (size_t)type->width);
        return write_wide((ce_wide)(uint64_t)wide, 0, text);
    case CE_MEANS_HALF:
        return ce_typed_number(type, bytes, 2, &value) ? write_floating(value, true, text)
                                                       : sprintf(text, "NaN");
    case CE_MEANS_FLOAT:
        if (type->width == 4) {
            float narrow;
            memcpy(&narrow, bytes, 4);
            return write_floating((double)narrow, true, text);
        }
        memcpy(&value, bytes, 8);
        return write_floating(value, false, text);
    case CE_MEANS_DATE:
    case CE_MEANS_TIME:
    case CE_MEANS_STAMP:
        return write_time(type, (int64_t)ce_typed_decimal(type, bytes), text, TEXT_MAX);
    default:
        return -1;
    }
}

static const char *write_hex(const char *bytes, size_t size, struct ce_buffer *scratch,
                             size_t *ret_size)
{
    char *text = ce_buffer_room(scratch, 2 * size + 1);
    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = "0123456789abcdef"[(unsigned char)bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    *ret_size = 2 * size;
    return text;
}

const char *ce_typed_text(const struct ce_arrow_type *type, const char *bytes, size_t size,
                          struct ce_buffer *scratch, size_t *ret_size)
{
    scratch->size = 0;
    if (type->meaning == CE_MEANS_TEXT) {
        *ret_size = size;
        return bytes;
    }
    char *text = ce_buffer_room(scratch, TEXT_MAX);
    if (!text)
        return NULL;
    int n = write_value(type, bytes, text);
    if (n < 0)
        return write_hex(bytes, size, scratch, ret_size);
    *ret_size = (size_t)n;
    return text;
}

/* ---- reading ---- */

/* [+-]digits[.digits] as an integer of that scale; false: something else. */
static bool read_wide(const char *text, int scale, ce_wide *ret_value, bool *ret_fits)
{
    bool negative = *text == '-', any = false;
    ce_wide value = 0;
    int decimals = -1;
    *ret_fits = true;
    for (text += *text == '-' || *text == '+'; *text; text++) {
        if (*text == '.' && decimals < 0) {
            decimals = 0;
            continue;
        }
        if (*text < '0' || *text > '9')
            return false;
        any = true;
        if (decimals >= scale && *text == '0')
            continue;
        if (decimals >= scale || value >= ce_power_of_ten(37)) {
            *ret_fits = false;
            continue;
        }
        value = 10 * value + (*text - '0');
        decimals += decimals >= 0;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < scale; i++) {
        *ret_fits = *ret_fits && value < ce_power_of_ten(37);
        value = *ret_fits ? 10 * value : value;
    }
    *ret_value = negative ? -value : value;
    return any;
}

/* Up to `max` digits, at least `min`; false: they are not there. */
static bool read_digits(const char **at, int min, int max, int64_t *ret_value)
{
    int n = 0;
    *ret_value = 0;
    for (; n < max && **at >= '0' && **at <= '9'; n++, (*at)++)
        *ret_value = 10 * *ret_value + (**at - '0');
    return n >= min;
}

static bool read_mark(const char **at, char mark)
{
    bool there = **at == mark;
    *at += there;
    return there;
}

/* HH:MM[:SS[.fraction]] in units; digits beyond the unit must be zeros. */
static bool read_clock(const char **at, int64_t per_second, int64_t *ret_units)
{
    int64_t hours, minutes, seconds = 0, units = 0;
    if (!read_digits(at, 2, 2, &hours) || !read_mark(at, ':') || !read_digits(at, 2, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    if (read_mark(at, ':') && (!read_digits(at, 2, 2, &seconds) || seconds > 59))
        return false;
    if (read_mark(at, '.')) {
        int64_t unit = per_second;
        for (; **at >= '0' && **at <= '9'; (*at)++) {
            unit /= 10;
            if (unit == 0 && **at != '0')
                return false;
            units += unit * (**at - '0');
        }
    }
    *ret_units = ((hours * 60 + minutes) * 60 + seconds) * per_second + units;
    return true;
}

static bool read_time(const struct ce_arrow_type *type, const char *text, ce_wide *ret_value)
{
    int64_t year, month, day, units = 0;
    const char *at = text;
    if (type->meaning == CE_MEANS_TIME) {
        bool read = read_clock(&at, type->per_second, &units);
        *ret_value = units;
        return read && *at == '\0';
    }
    if (!read_digits(&at, 4, 4, &year) || !read_mark(&at, '-') || !read_digits(&at, 2, 2, &month) ||
        !read_mark(&at, '-') || !read_digits(&at, 2, 2, &day) || month < 1 || month > 12 ||
        day < 1 || day > 31)
        return false;
    int64_t days = days_from_date(year, (unsigned)month, (unsigned)day), back_year;
    unsigned back_month, back_day;
    date_from_days(days, &back_year, &back_month, &back_day);
    if (back_day != day) /* 30 February */
        return false;
    if (type->per_second > 0 && (*at == 'T' || *at == ' ')) {
        at++;
        if (!read_clock(&at, type->per_second, &units))
            return false;
        if (type->zoned)
            (void)read_mark(&at, 'Z');
    }
    *ret_value = type->per_second > 0 ? (ce_wide)days * 86400 * type->per_second + units : days;
    return *at == '\0' && *ret_value >= INT64_MIN && *ret_value <= INT64_MAX;
}

static const char *wants(const struct ce_arrow_type *type)
{
    switch (type->meaning) {
    case CE_MEANS_BOOL:
        return "a boolean column holds no such text";
    case CE_MEANS_INT:
    case CE_MEANS_UINT:
        return "an integer column holds no text";
    case CE_MEANS_FLOAT:
    case CE_MEANS_DECIMAL:
        return "a number column holds no text";
    case CE_MEANS_HALF:
        return "half floats are left alone";
    case CE_MEANS_DATE:
    case CE_MEANS_TIME:
    case CE_MEANS_STAMP:
        return "a time column holds no such text";
    default:
        return "the column holds no text";
    }
}

static const char *set_number_text(const struct ce_arrow_type *type, const char *text,
                                   char ret_bytes[CE_TYPED_SIZE])
{
    ce_wide wide;
    bool fits;
    double value;
    if (type->meaning != CE_MEANS_FLOAT)
        return !read_wide(text, type->meaning == CE_MEANS_DECIMAL ? type->scale : 0, &wide, &fits)
                   ? wants(type)
               : fits ? ce_typed_put_int(type, wide, ret_bytes)
                      : ce_no_room;
    if (ce_text_number(text, &value) < 0)
        return wants(type);
    return ce_typed_put_double(type, value, ret_bytes);
}

const char *ce_typed_set_text(const struct ce_arrow_type *type, const char *text, size_t size,
                              char ret_bytes[CE_TYPED_SIZE])
{
    char word[64];
    ce_wide value;
    if (size == 0 || size >= sizeof word || memchr(text, 0, size))
        return wants(type);
    memcpy(word, text, size);
    word[size] = '\0';
    switch (type->meaning) {
    case CE_MEANS_BOOL:
        if (strcmp(word, "true") != 0 && strcmp(word, "false") != 0)
            return wants(type);
        ret_bytes[0] = word[0] == 't';
        return NULL;
    case CE_MEANS_INT:
    case CE_MEANS_UINT:
    case CE_MEANS_FLOAT:
    case CE_MEANS_DECIMAL:
        return set_number_text(type, word, ret_bytes);
    case CE_MEANS_DATE:
    case CE_MEANS_TIME:
    case CE_MEANS_STAMP:
        if (!read_time(type, word, &value))
            return wants(type);
        memcpy(ret_bytes, &value, (size_t)type->width);
        return NULL;
    default:
        return wants(type);
    }
}
