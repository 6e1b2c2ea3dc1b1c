/* SPDX-License-Identifier: MIT */
/* How an edit is spelled, so that it looks like what it replaces. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "inference/protobuf.h"
#include "inference/protocol.h"
#include "inference/types.h"

#define EDIT_SIZE sizeof(((struct ce_edit *)0)->text)

static int set_text(struct ce_edit *edit, const char *text, size_t size)
{
    if (size > EDIT_SIZE)
        return -ENOBUFS;
    memcpy(edit->text, text, size);
    edit->size = size;
    return 0;
}

/* ---- decimal digits ---- */

/* The shortest digits that the type reads back as the same number. Fifteen always survive the way
 * into a double and back, unless it is subnormal, and trailing zeros are not written: so fewer need
 * not be tried. */
static void write_shortest(char text[EDIT_SIZE], const struct ce_type *type, double number)
{
    bool whole = !ce_type_is_float(type) || type->width == 8;
    double wanted = ce_type_round(type, number);
    for (int digits = whole && fabs(number) >= DBL_MIN ? 15 : 1; digits <= 17; digits++) {
        snprintf(text, EDIT_SIZE, "%.*g", digits, wanted);
        if (ce_type_round(type, strtod(text, NULL)) == wanted)
            return;
    }
}

/* At most so many digits behind the point: 1 - 0.8312 is 0.1688 to whoever reads it, not
 * 0.16880000000000001. */
static void write_decimals(char text[EDIT_SIZE], const struct ce_type *type, double number,
                           int decimals)
{
    int n = decimals < 0 ? (int)EDIT_SIZE
                         : snprintf(text, EDIT_SIZE, "%.*f", decimals, ce_type_round(type, number));
    if (n >= (int)EDIT_SIZE) {
        write_shortest(text, type, number);
        return;
    }
    if (!memchr(text, '.', (size_t)n))
        return;
    while (text[n - 1] == '0')
        n--;
    n -= text[n - 1] == '.';
    text[n] = '\0';
}

static int spell_float(struct ce_edit *edit, const struct ce_type *type, double number,
                       int decimals)
{
    char text[EDIT_SIZE];
    if (isnan(number))
        return set_text(edit, "NaN", 3);
    if (isinf(number))
        return number > 0 ? set_text(edit, "Infinity", 8) : set_text(edit, "-Infinity", 9);
    write_decimals(text, type, number, decimals);
    return set_text(edit, text, strlen(text));
}

/* ---- integers ---- */

/* Rounds to an integer that the type can hold. Its bits, those of a negative one with the sign in
 * all of the upper ones. */
static int to_integer(const struct ce_type *type, double number, uint64_t *ret_word)
{
    double rounded = rint(number), limit = 1;
    int bits = type->kind == CE_TYPE_BOOL ? 1 : 8 * (int)type->width - (type->kind == CE_TYPE_INT);
    for (int i = 0; i < bits; i++)
        limit *= 2;
    if (!(rounded < limit && rounded >= (type->kind == CE_TYPE_INT ? -limit : 0)))
        return -ERANGE;
    *ret_word = rounded < 0 ? (uint64_t)(int64_t)rounded : (uint64_t)rounded;
    return 0;
}

static bool is_integer_type(const struct ce_type *type)
{
    return type->kind == CE_TYPE_BOOL || type->kind == CE_TYPE_INT || type->kind == CE_TYPE_UINT;
}

/* An integer of that type, in the value's form. */
static int spell_word(struct ce_edit *edit, const struct ce_value *value,
                      const struct ce_type *type, uint64_t word)
{
    char text[EDIT_SIZE];
    bool is_word = value->text.size > 0 && strchr("tf", value->text.data[0]);
    int n;
    switch (value->form) {
    case CE_VALUE_JSON:
        if (type->kind == CE_TYPE_BOOL && is_word)
            return set_text(edit, word ? "true" : "false", word ? 4 : 5);
        n = type->kind == CE_TYPE_INT ? snprintf(text, sizeof text, "%" PRId64, (int64_t)word)
                                      : snprintf(text, sizeof text, "%" PRIu64, word);
        return set_text(edit, text, (size_t)n);
    case CE_VALUE_FIXED:
        ce_bytes_write(edit->text, type->width, word);
        edit->size = type->width;
        return 0;
    case CE_VALUE_VARINT:
        edit->size = ce_pb_varint_write(edit->text, word);
        return 0;
    case CE_VALUE_BYTES:
        break;
    }
    return -ENOTSUP;
}

/* ---- numbers ---- */

/* The type that a value's spelling makes it, where the protocol does not say. */
static const struct ce_type *type_of(const struct ce_value *value)
{
    const struct ce_type *type = ce_type_find(value->type);
    bool is_word =
        value->form == CE_VALUE_JSON && value->text.size > 0 && strchr("tf", value->text.data[0]);
    return type->kind == CE_TYPE_UNKNOWN && is_word ? ce_type_find(ce_slice_of("BOOL")) : type;
}

/* Whether the value is a number, or could be one. */
static bool takes_number(const struct ce_value *value, const struct ce_type *type)
{
    switch (value->form) {
    case CE_VALUE_JSON:
        return type->kind != CE_TYPE_TEXT && value->text.size > 0 && value->text.data[0] != '"';
    case CE_VALUE_FIXED:
        return type->width > 0 && value->text.size == type->width;
    case CE_VALUE_VARINT:
        return is_integer_type(type);
    case CE_VALUE_BYTES:
        break;
    }
    return false;
}

int ce_edit_number(struct ce_edit *edit, const struct ce_value *value, double number, int decimals)
{
    const struct ce_type *type = type_of(value);
    uint64_t word;
    if (!takes_number(value, type))
        return -ENOTSUP;
    if (is_integer_type(type)) {
        int r = to_integer(type, number, &word);
        return r < 0 ? r : spell_word(edit, value, type, word);
    }
    if (isfinite(number) && isinf(ce_type_round(type, number)))
        return -ERANGE;
    if (value->form == CE_VALUE_JSON)
        return spell_float(edit, type, number, decimals);
    ce_bytes_write(edit->text, type->width, ce_type_float_bits(type, number));
    edit->size = type->width;
    return 0;
}

int ce_edit_copy(struct ce_edit *edit, const struct ce_value *value, const struct ce_value *other)
{
    bool alike = value->form == other->form &&
                 (value->form == CE_VALUE_JSON || value->form == CE_VALUE_BYTES ||
                  ce_slice_same(value->type, other->type));
    if (!alike || (value->form == CE_VALUE_FIXED && value->text.size != other->text.size))
        return -ENOTSUP;
    return set_text(edit, other->text.data, other->text.size);
}

/* ---- what users write ---- */

static int spell_quoted(struct ce_edit *edit, const char *text)
{
    size_t size = 0;
    edit->text[size++] = '"';
    for (; *text; text++) {
        char buffer[8];
        const char *escape = ce_json_escape(*text, buffer);
        size_t n = escape ? strlen(escape) : 1;
        if (size + n + 1 > EDIT_SIZE)
            return -ENOBUFS;
        memcpy(edit->text + size, escape ? escape : text, n);
        size += n;
    }
    edit->text[size++] = '"';
    edit->size = size;
    return 0;
}

/* Exact where a double would not be. -ENOTSUP: not digits. */
static int spell_digits(struct ce_edit *edit, const struct ce_value *value,
                        const struct ce_type *type, const char *text)
{
    struct ce_value written = {.text = ce_slice_of(text), .form = CE_VALUE_JSON};
    struct ce_number number;
    bool is_word = *text == 't' || *text == 'f';
    if (!ce_number_read(&written, &number) || !number.is_integer ||
        (is_word && type->kind != CE_TYPE_BOOL))
        return -ENOTSUP;
    if (number.negative && type->kind != CE_TYPE_INT)
        return -ERANGE;
    int bits = type->kind == CE_TYPE_BOOL ? 1 : 8 * (int)type->width - (type->kind == CE_TYPE_INT);
    uint64_t limit = (bits == 64 ? 0 : UINT64_C(1) << bits) - 1 + (number.negative ? 1 : 0);
    if (number.magnitude > limit)
        return -ERANGE;
    return spell_word(edit, value, type, number.negative ? -number.magnitude : number.magnitude);
}

static int word_number(const char *text, double *ret_number)
{
    if (strcmp(text, "NaN") == 0)
        *ret_number = NAN;
    else if (strcmp(text, "Infinity") == 0)
        *ret_number = INFINITY;
    else if (strcmp(text, "-Infinity") == 0)
        *ret_number = -INFINITY;
    else
        return ce_text_number(text, ret_number);
    return 0;
}

int ce_edit_text(struct ce_edit *edit, const struct ce_value *value, const char *text)
{
    const struct ce_type *type = type_of(value);
    bool is_null = value->form == CE_VALUE_JSON && ce_slice_is(value->text, "null");
    double number;
    if (value->form == CE_VALUE_BYTES)
        return set_text(edit, text, strlen(text));
    if (value->form == CE_VALUE_JSON &&
        (type->kind == CE_TYPE_TEXT || (value->text.size > 0 && value->text.data[0] == '"')))
        return spell_quoted(edit, text);
    if (!takes_number(value, type))
        return -ENOTSUP;
    if (is_integer_type(type)) {
        int r = spell_digits(edit, value, type, text);
        if (r != -ENOTSUP)
            return r;
    }
    if (word_number(text, &number) < 0)
        return is_null && type->kind == CE_TYPE_UNKNOWN ? spell_quoted(edit, text) : -ENOTSUP;
    int r = ce_edit_number(edit, value, number, -1);
    if (r == 0 && value->form == CE_VALUE_JSON && !is_integer_type(type) &&
        ce_json_spells_number(text))
        return set_text(edit, text, strlen(text));
    return r;
}
