/* SPDX-License-Identifier: MIT */
/* Texts are read without any library that knows a locale or a time zone: a profile must not depend
 * on where it is taken. */
#include "data/stats/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ce_value_boolean(const char *text, size_t size)
{
    static const char *const words[] = {"true", "false"};
    if (size != 4 && size != 5)
        return false;
    const char *word = words[size - 4];
    for (size_t i = 0; i < size; i++)
        if ((text[i] | 0x20) != word[i])
            return false;
    return true;
}

/* ---- time ---- */

struct reader {
    const char *at, *end;
};

static bool read_byte(struct reader *r, char byte)
{
    if (r->at == r->end || *r->at != byte)
        return false;
    r->at++;
    return true;
}

static bool read_digits(struct reader *r, int count, int max, int *ret_number)
{
    if (r->end - r->at < count)
        return false;
    int number = 0;
    for (int i = 0; i < count; i++) {
        unsigned digit = (unsigned char)*r->at++ - '0';
        if (digit > 9)
            return false;
        number = number * 10 + (int)digit;
    }
    *ret_number = number;
    return number <= max;
}

static bool leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && leap(year));
}

/* Days between 1970-01-01 and the first of March of a year, in the Gregorian calendar. Years are
 * taken from March on, so that the leap day comes last. */
static int64_t days_to_march(int64_t year)
{
    return 365 * year + year / 4 - year / 100 + year / 400 - 719468;
}

static int64_t days_from_date(int year, int month, int day)
{
    int from_march = (month + 9) % 12;
    return days_to_march(year - (month < 3)) + (153 * from_march + 2) / 5 + day - 1;
}

static bool read_date(struct reader *r, int64_t *ret_days)
{
    int year, month, day;
    if (!read_digits(r, 4, 9999, &year) || !read_byte(r, '-') || !read_digits(r, 2, 12, &month) ||
        !read_byte(r, '-') || !read_digits(r, 2, 31, &day))
        return false;
    /* Year 0 would need days of a year before it. */
    if (year < 1 || month < 1 || day < 1 || day > days_of_month(year, month))
        return false;
    *ret_days = days_from_date(year, month, day);
    return true;
}

static bool read_fraction(struct reader *r, double *ret_fraction)
{
    uint64_t digits = 0, unit = 1;
    const char *start = r->at;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        if (unit < UINT64_C(1000000000)) {
            digits = digits * 10 + (uint64_t)(*r->at - '0');
            unit *= 10;
        }
    }
    *ret_fraction = (double)digits / (double)unit;
    return r->at > start;
}

static bool read_clock(struct reader *r, double *ret_seconds)
{
    int hours, minutes, seconds = 0;
    double fraction = 0;
    if (!read_digits(r, 2, 23, &hours) || !read_byte(r, ':') || !read_digits(r, 2, 59, &minutes))
        return false;
    /* 60: a leap second. */
    if (read_byte(r, ':') && !read_digits(r, 2, 60, &seconds))
        return false;
    if (read_byte(r, '.') && !read_fraction(r, &fraction))
        return false;
    *ret_seconds = hours * 3600 + minutes * 60 + seconds + fraction;
    return true;
}

/* "", "Z", "+02", "+0200", "+02:00". */
static bool read_offset(struct reader *r, int *ret_seconds)
{
    int hours, minutes = 0;
    *ret_seconds = 0;
    if (r->at == r->end || read_byte(r, 'Z'))
        return true;
    int sign = *r->at == '-' ? -1 : 1;
    if (!read_byte(r, '+') && !read_byte(r, '-'))
        return false;
    if (!read_digits(r, 2, 23, &hours))
        return false;
    if ((read_byte(r, ':') || r->at < r->end) && !read_digits(r, 2, 59, &minutes))
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool ce_value_time(const char *text, size_t size, double *ret_seconds)
{
    struct reader r = {.at = text, .end = text + size};
    int64_t days;
    double clock = 0;
    int offset = 0;
    if (size < 10 || !read_date(&r, &days))
        return false;
    if (r.at < r.end) {
        if ((!read_byte(&r, 'T') && !read_byte(&r, ' ')) || !read_clock(&r, &clock) ||
            !read_offset(&r, &offset) || r.at < r.end)
            return false;
    }
    *ret_seconds = (double)(days * 86400 - offset) + clock;
    return true;
}

void ce_value_time_text(double seconds, char ret_text[CE_VALUE_TIME_SIZE])
{
    int64_t micros = (int64_t)rint(seconds * 1e6), day = INT64_C(86400000000);
    int64_t days = micros / day - (micros % day < 0);
    int64_t rest = micros - days * day;
    int64_t year = (days + 719468) * 400 / 146097 + 1;
    while (days_to_march(year) > days)
        year--;
    int from_start = (int)(days - days_to_march(year));
    int from_march = (5 * from_start + 2) / 153;
    int month = from_march < 10 ? from_march + 3 : from_march - 9;
    int date = from_start - (153 * from_march + 2) / 5 + 1;
    int second = (int)(rest / 1000000), fraction = (int)(rest % 1000000);
    int n = snprintf(ret_text, CE_VALUE_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d",
                     (int)(year + (month < 3)), month, date, second / 3600, second / 60 % 60,
                     second % 60);
    if (fraction > 0) {
        n += snprintf(ret_text + n, CE_VALUE_TIME_SIZE - (size_t)n, ".%06d", fraction);
        while (ret_text[n - 1] == '0')
            n--;
    }
    snprintf(ret_text + n, CE_VALUE_TIME_SIZE - (size_t)n, "Z");
}

/* ---- numbers ---- */

static size_t integer_text(int64_t value, char ret_text[CE_VALUE_NUMBER_SIZE])
{
    char digits[CE_VALUE_NUMBER_SIZE];
    size_t count = 0, size = 0;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        digits[count++] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        ret_text[size++] = '-';
    while (count > 0)
        ret_text[size++] = digits[--count];
    ret_text[size] = '\0';
    return size;
}

size_t ce_value_number_text(double value, char ret_text[CE_VALUE_NUMBER_SIZE])
{
    if (fabs(value) < 1e15 && value == rint(value))
        return integer_text((int64_t)value, ret_text);
    for (int digits = 15;; digits++) {
        snprintf(ret_text, CE_VALUE_NUMBER_SIZE, "%.*g", digits, value);
        if (digits == 17 || strtod(ret_text, NULL) == value)
            break;
    }
    /* A locale may have put its own sign there. */
    char *comma = strchr(ret_text, ',');
    if (comma)
        *comma = '.';
    return strlen(ret_text);
}

/* ---- order and hash ---- */

double ce_value_order(const char *text, size_t size)
{
    uint64_t order = 0;
    for (size_t i = 0; i < 6; i++)
        order = order << 8 | (i < size ? (unsigned char)text[i] : 0);
    return (double)order;
}

/* The two halves of a 128-bit product, folded: every bit of the input reaches every bit of it. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word_at(const unsigned char *bytes, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, bytes, size);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

uint64_t ce_value_hash(const void *bytes, size_t size)
{
    static const uint64_t a = UINT64_C(0x9E3779B97F4A7C15), b = UINT64_C(0xD1B54A32D192ED03);
    const unsigned char *at = bytes;
    uint64_t hash = (uint64_t)size * b;
    for (; size >= 8; at += 8, size -= 8)
        hash = fold(hash ^ word_at(at, 8), a) + b;
    if (size > 0)
        hash = fold(hash ^ word_at(at, size), a) + b;
    return fold(hash ^ a, b);
}
