/* SPDX-License-Identifier: MIT */
/* Numbers in and out of typed values. */
#include "data/arrow/typed.h"

#include <math.h>

const char ce_no_room[] = "no room for it";

static double half(const char *bytes)
{
    uint16_t bits;
    memcpy(&bits, bytes, 2);
    int exponent = bits >> 10 & 31;
    double fraction = bits & 1023, value;
    if (exponent == 0)
        value = ldexp(fraction, -24);
    else if (exponent == 31)
        value = fraction > 0 ? (double)NAN : (double)INFINITY;
    else
        value = ldexp(fraction + 1024, exponent - 25);
    return bits >> 15 ? -value : value;
}

static double floating(const struct ce_arrow_type *type, const char *bytes)
{
    double wide;
    float narrow;
    if (type->width == 4) {
        memcpy(&narrow, bytes, 4);
        return (double)narrow;
    }
    memcpy(&wide, bytes, 8);
    return wide;
}

static int64_t integer(const struct ce_arrow_type *type, const char *bytes)
{
    int unused = 64 - 8 * (int)type->width;
    uint64_t value = 0;
    memcpy(&value, bytes, (size_t)type->width);
    return (int64_t)(value << unused) >> unused;
}

static uint64_t natural(const struct ce_arrow_type *type, const char *bytes)
{
    uint64_t value = 0;
    memcpy(&value, bytes, (size_t)type->width);
    return value;
}

ce_wide ce_typed_decimal(const struct ce_arrow_type *type, const char *bytes)
{
    ce_wide value;
    if (type->width < 16)
        return integer(type, bytes);
    memcpy(&value, bytes, 16);
    return value;
}

ce_wide ce_power_of_ten(int exponent)
{
    ce_wide power = 1;
    while (exponent-- > 0)
        power *= 10;
    return power;
}

bool ce_typed_number(const struct ce_arrow_type *type, const char *bytes, size_t size,
                     double *ret_value)
{
    double value;
    switch (type->meaning) {
    case CE_MEANS_INT:
        value = (double)integer(type, bytes);
        break;
    case CE_MEANS_UINT:
        value = (double)natural(type, bytes);
        break;
    case CE_MEANS_HALF:
        value = half(bytes);
        break;
    case CE_MEANS_FLOAT:
        value = floating(type, bytes);
        break;
    case CE_MEANS_DECIMAL:
        value = (double)ce_typed_decimal(type, bytes) / (double)ce_power_of_ten(type->scale);
        break;
    default:
        return false;
    }
    if (!isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

bool ce_typed_nan(const struct ce_arrow_type *type, const char *bytes)
{
    return type->meaning == CE_MEANS_FLOAT && isnan(floating(type, bytes));
}

bool ce_typed_integer(const struct ce_arrow_type *type)
{
    return type->meaning == CE_MEANS_INT || type->meaning == CE_MEANS_UINT ||
           (type->meaning == CE_MEANS_DECIMAL && type->scale == 0);
}

/* ---- writing ---- */

static double fitted(double value, enum ce_fit fit)
{
    return fit == CE_FIT_UP ? ceil(value) : fit == CE_FIT_DOWN ? floor(value) : rint(value);
}

/* The greatest and the least value that the type has. */
static void limits(const struct ce_arrow_type *type, ce_wide *ret_low, ce_wide *ret_high)
{
    int bits = 8 * (int)type->width;
    if (type->meaning == CE_MEANS_DECIMAL) {
        *ret_high = ce_power_of_ten(type->precision) - 1;
        *ret_low = -*ret_high;
    } else if (type->meaning == CE_MEANS_UINT) {
        *ret_low = 0;
        *ret_high = ((ce_wide)1 << bits) - 1;
    } else {
        *ret_high = ((ce_wide)1 << (bits - 1)) - 1;
        *ret_low = -*ret_high - 1;
    }
}

const char *ce_typed_put_int(const struct ce_arrow_type *type, ce_wide value,
                             char ret_bytes[CE_TYPED_SIZE])
{
    ce_wide low, high;
    limits(type, &low, &high);
    if (value < low || value > high)
        return ce_no_room;
    memcpy(ret_bytes, &value, (size_t)type->width);
    return NULL;
}

/* The last place moves by one when the nearest is what was there. */
static const char *set_scaled(const struct ce_arrow_type *type, const ce_wide *old, double value,
                              enum ce_fit fit, char ret_bytes[CE_TYPED_SIZE])
{
    int scale = type->meaning == CE_MEANS_DECIMAL ? type->scale : 0;
    double unit = (double)ce_power_of_ten(scale), target = value * unit;
    if (!(fabs(target) < 1e38))
        return ce_no_room;
    ce_wide scaled = (ce_wide)fitted(target, fit);
    if (old && fit == CE_FIT_NEAREST) {
        /* by the difference: it keeps the digits that a double cannot hold */
        double step = rint(target - (double)*old);
        scaled = fabs(step) < 1e15 ? *old + (ce_wide)step : scaled;
        if (scaled == *old)
            scaled += target < (double)*old ? -1 : 1;
    }
    if (old && scaled == *old)
        return "no change";
    return ce_typed_put_int(type, scaled, ret_bytes);
}

const char *ce_typed_put_double(const struct ce_arrow_type *type, double value,
                                char ret_bytes[CE_TYPED_SIZE])
{
    float narrow = (float)value;
    if (!isfinite(value) || (type->width == 4 && !isfinite(narrow)))
        return ce_no_room;
    if (type->width == 4)
        memcpy(ret_bytes, &narrow, 4);
    else
        memcpy(ret_bytes, &value, 8);
    return NULL;
}

static const char *set_floating(const struct ce_arrow_type *type, const char *bytes, double value,
                                enum ce_fit fit, char ret_bytes[CE_TYPED_SIZE])
{
    const char *reason = ce_typed_put_double(type, value, ret_bytes);
    if (reason)
        return reason;
    double put = floating(type, ret_bytes), old = bytes ? floating(type, bytes) : (double)NAN;
    bool same = fit == CE_FIT_NEAREST && put == old;
    bool up = same ? value >= old : fit == CE_FIT_UP && put < value;
    bool down = same ? value < old : fit == CE_FIT_DOWN && put > value;
    if (type->width == 4 && (up || down))
        put = (double)nextafterf((float)put, up ? INFINITY : -INFINITY);
    else if (up || down)
        put = nextafter(put, up ? (double)INFINITY : -(double)INFINITY);
    return put == old ? "no change" : ce_typed_put_double(type, put, ret_bytes);
}

const char *ce_typed_set_number(const struct ce_arrow_type *type, const char *bytes, double value,
                                enum ce_fit fit, char ret_bytes[CE_TYPED_SIZE])
{
    ce_wide old = 0;
    switch (type->meaning) {
    case CE_MEANS_INT:
    case CE_MEANS_DECIMAL:
        old = bytes ? ce_typed_decimal(type, bytes) : 0;
        return set_scaled(type, bytes ? &old : NULL, value, fit, ret_bytes);
    case CE_MEANS_UINT:
        old = bytes ? (ce_wide)natural(type, bytes) : 0;
        return set_scaled(type, bytes ? &old : NULL, value, fit, ret_bytes);
    case CE_MEANS_FLOAT:
        return set_floating(type, bytes, value, fit, ret_bytes);
    case CE_MEANS_HALF:
        return "half floats are left alone";
    case CE_MEANS_BOOL:
        return "a boolean column holds no number";
    case CE_MEANS_DATE:
    case CE_MEANS_TIME:
    case CE_MEANS_STAMP:
        return "a time column holds no number";
    default:
        return "the column holds no number";
    }
}
