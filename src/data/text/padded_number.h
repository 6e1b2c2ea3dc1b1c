/* SPDX-License-Identifier: MIT */
/* The quick way for most numbers of most files: [-]digits[.digits], at most eight digits on either
 * side of the mark, where at least 16 bytes can be read behind the start, as in a chunk. Same
 * values as ce_decimal_number(). */
#ifndef CE_DATA_TEXT_PADDED_NUMBER_H
#define CE_DATA_TEXT_PADDED_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The value of eight bytes that should be digits, '0' taken off, the first one lowest; *bad gets
 * bits set when they are none. */
static inline uint64_t ce_padded_value(uint64_t digits, uint64_t *bad)
{
    *bad |= ((digits + UINT64_C(0x7676767676767676)) | digits) & UINT64_C(0x8080808080808080);
    /* Pairs of digits, then pairs of those, then both halves. */
    digits = digits * (10 * 256 + 1) >> 8;
    digits = (digits & UINT64_C(0x00ff00ff00ff00ff)) * (100 * 65536 + 1) >> 16;
    return (digits & UINT64_C(0x0000ffff0000ffff)) * ((UINT64_C(10000) << 32) + 1) >> 32;
}

/* The first `count` bytes of `p`, up to eight, '0' taken off, at the high end: the bytes behind
 * them fall out at the top, zeros come in front. */
static inline uint64_t ce_padded_digits(const char *p, size_t count)
{
    uint64_t digits;
    memcpy(&digits, p, 8);
    digits ^= UINT64_C(0x3030303030303030);
    return count > 0 ? digits << (64 - 8 * count) : 0;
}

/* False: it is something else, or not that short. *ret_whole: it is written without a mark. */
static inline bool ce_padded_number(const char *text, size_t size, char mark, double *ret_value,
                                    bool *ret_whole)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || size == 0)
        return false;
    bool negative = *text == '-';
    text += negative;
    size -= negative;
    /* The lowest of these bits is that of the first mark; behind the number it does not count. */
    uint64_t word, bad = 0;
    memcpy(&word, text, 8);
    word ^= UINT64_C(0x0101010101010101) * (unsigned char)mark;
    word = (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
    size_t point = word != 0 ? (size_t)__builtin_ctzll(word) / 8 : 8;
    bool whole = point >= size;
    point = whole ? size : point;
    size_t decimals = whole ? 0 : size - point - 1;
    if (size - 1 > 15 || point > 8 || decimals > 8 || (size == 1 && !whole) ||
        (!whole && point == 8))
        return false;
    uint64_t mantissa, digits = ce_padded_digits(text, point);
    if (whole) {
        mantissa = ce_padded_value(digits, &bad);
    } else if (point + decimals <= 8 && decimals < 8) {
        /* All digits in one word. */
        digits = digits >> 8 * decimals | ce_padded_digits(text + point + 1, decimals);
        mantissa = ce_padded_value(digits, &bad);
    } else {
        uint64_t behind = ce_padded_digits(text + point + 1, decimals);
        mantissa = ce_padded_value(digits, &bad) * (uint64_t)powers[decimals] +
                   ce_padded_value(behind, &bad);
    }
    if (bad != 0 || mantissa > UINT64_C(1) << 53)
        return false;
    double value = (double)(int64_t)mantissa;
    value = whole ? value : value / powers[decimals];
    *ret_value = negative ? -value : value;
    *ret_whole = whole;
    return true;
}

#endif
