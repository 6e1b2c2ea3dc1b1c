/* SPDX-License-Identifier: MIT */
#include "inference/types.h"

#include <math.h>
#include <string.h>

const struct ce_type *ce_type_find(struct ce_slice name)
{
    static const struct ce_type types[] = {
        {"FP64", CE_TYPE_FLOAT, 8},  {"FP32", CE_TYPE_FLOAT, 4},  {"INT64", CE_TYPE_INT, 8},
        {"INT32", CE_TYPE_INT, 4},   {"BYTES", CE_TYPE_TEXT, 0},  {"BOOL", CE_TYPE_BOOL, 1},
        {"INT16", CE_TYPE_INT, 2},   {"INT8", CE_TYPE_INT, 1},    {"UINT64", CE_TYPE_UINT, 8},
        {"UINT32", CE_TYPE_UINT, 4}, {"UINT16", CE_TYPE_UINT, 2}, {"UINT8", CE_TYPE_UINT, 1},
        {"FP16", CE_TYPE_FLOAT, 2},  {"BF16", CE_TYPE_BFLOAT, 2},
    };
    static const struct ce_type unknown = {"", CE_TYPE_UNKNOWN, 0};
    for (size_t i = 0; i < CE_COUNT(types); i++)
        if (ce_slice_is(name, types[i].name))
            return &types[i];
    return &unknown;
}

uint64_t ce_bytes_read(const char *bytes, size_t width)
{
    uint64_t word = 0;
    for (size_t i = width; i-- > 0;)
        word = word << 8 | (unsigned char)bytes[i];
    return word;
}

void ce_bytes_write(char *bytes, size_t width, uint64_t word)
{
    for (size_t i = 0; i < width; i++, word >>= 8)
        bytes[i] = (char)(word & 0xff);
}

/* ---- 16-bit floating point ---- */

struct narrow {
    int mantissa_bits, bias;
};

static const struct narrow half = {10, 15}, brain = {7, 127};

static double bits_to_double(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static uint64_t double_to_bits(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* 2^exponent, of a normal double. */
static double power_of_two(int exponent)
{
    return bits_to_double((uint64_t)(exponent + 1023) << 52);
}

static double widen(const struct narrow *format, uint64_t bits)
{
    uint64_t mantissa = bits & ((UINT64_C(1) << format->mantissa_bits) - 1);
    int exponent = (int)(bits >> format->mantissa_bits) & (2 * format->bias + 1);
    double number;
    if (exponent == 2 * format->bias + 1)
        number = mantissa > 0 ? NAN : INFINITY;
    else if (exponent == 0)
        number = (double)mantissa * power_of_two(1 - format->bias - format->mantissa_bits);
    else
        number = (double)(mantissa | UINT64_C(1) << format->mantissa_bits) *
                 power_of_two(exponent - format->bias - format->mantissa_bits);
    return bits >> 15 & 1 ? -number : number;
}

/* To the nearest, ties to even, in one step from the double: by way of a float it would round
 * twice. */
static uint64_t narrow_bits(const struct narrow *format, double number)
{
    uint64_t bits = double_to_bits(number), sign = bits >> 63 << 15;
    uint64_t infinity = (uint64_t)(2 * format->bias + 1) << format->mantissa_bits;
    int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
    if (isnan(number))
        return sign | infinity | UINT64_C(1) << (format->mantissa_bits - 1);
    if (isinf(number))
        return sign | infinity;
    int lowest = 1 - format->bias;
    int shift = 52 - format->mantissa_bits + (exponent < lowest ? lowest - exponent : 0);
    if (shift > 53) /* less than half of the smallest there is */
        return sign;
    uint64_t significand = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    uint64_t kept = significand >> shift, rest = significand & ((UINT64_C(1) << shift) - 1);
    uint64_t middle = UINT64_C(1) << (shift - 1);
    kept += rest > middle || (rest == middle && (kept & 1));
    /* A carry out of the mantissa raises the exponent, as it should. */
    if (exponent >= lowest)
        kept += (uint64_t)(exponent - lowest) << format->mantissa_bits;
    return sign | (kept < infinity ? kept : infinity);
}

/* ---- numbers ---- */

uint64_t ce_type_float_bits(const struct ce_type *type, double number)
{
    if (type->kind == CE_TYPE_BFLOAT)
        return narrow_bits(&brain, number);
    if (type->width == 2)
        return narrow_bits(&half, number);
    if (type->width == 8)
        return double_to_bits(number);
    float single = (float)number;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    return bits;
}

double ce_type_float(const struct ce_type *type, uint64_t bits)
{
    if (type->kind == CE_TYPE_BFLOAT)
        return widen(&brain, bits);
    if (type->width == 2)
        return widen(&half, bits);
    if (type->width == 8)
        return bits_to_double(bits);
    uint32_t word = (uint32_t)bits;
    float single;
    memcpy(&single, &word, sizeof single);
    return (double)single;
}

double ce_type_round(const struct ce_type *type, double number)
{
    return ce_type_is_float(type) ? ce_type_float(type, ce_type_float_bits(type, number)) : number;
}
