/* SPDX-License-Identifier: MIT */
/* What values say, whatever their forms. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "inference/protobuf.h"
#include "inference/protocol.h"
#include "inference/types.h"

static int reserve(struct ce_values *values, size_t more, struct ce_error *err)
{
    enum { FIRST = 64 };
    size_t needed = values->count + more, room = values->room > 0 ? 2 * values->room : FIRST;
    if (more > CE_VALUES_MAX - values->count)
        return ce_fail(err, EINVAL, "the message holds more than %zu values", CE_VALUES_MAX);
    if (needed <= values->room)
        return 0;
    room = room > needed ? room : needed;
    room = room < CE_VALUES_MAX ? room : CE_VALUES_MAX;
    struct ce_value *larger = reallocarray(values->values, room, sizeof *larger);
    if (!larger)
        return ce_fail_memory(err);
    values->values = larger;
    values->room = room;
    return 0;
}

int ce_values_append(struct ce_values *values, const struct ce_value *value, struct ce_error *err)
{
    CE_TRY(reserve(values, 1, err));
    values->values[values->count++] = *value;
    return 0;
}

int ce_values_append_all(struct ce_values *values, const struct ce_value *first, size_t count,
                         struct ce_error *err)
{
    if (count == 0)
        return 0;
    CE_TRY(reserve(values, count, err));
    struct ce_value *added = values->values + values->count;
    for (size_t i = 0; i < count; i++) {
        added[i] = *first;
        added[i].index = first->index + i;
    }
    values->count += count;
    return 0;
}

void ce_values_done(struct ce_values *values)
{
    free(values->values);
    free(values->frames);
    *values = (struct ce_values){0};
}

/* ---- numbers ---- */

static void set_integer(struct ce_number *number, bool negative, uint64_t magnitude)
{
    number->is_integer = true;
    number->negative = negative && magnitude > 0;
    number->magnitude = magnitude;
    number->real = number->negative ? -(double)magnitude : (double)magnitude;
}

/* Digits alone, as far as 64 bits go. */
static bool read_integer(struct ce_slice text, struct ce_number *ret_number)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    uint64_t magnitude = 0;
    for (size_t i = negative; i < text.size; i++) {
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(magnitude, (uint64_t)10, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)digit, &magnitude))
            return false;
    }
    set_integer(ret_number, negative, magnitude);
    return text.size > negative;
}

static bool read_json(struct ce_slice text, struct ce_number *ret_number)
{
    char number[400];
    *ret_number = (struct ce_number){0};
    if (read_integer(text, ret_number))
        return true;
    *ret_number = (struct ce_number){0};
    if (ce_slice_is(text, "true") || ce_slice_is(text, "false"))
        set_integer(ret_number, false, text.data[0] == 't');
    else if (ce_slice_is(text, "NaN"))
        ret_number->real = NAN;
    else if (ce_slice_is(text, "Infinity") || ce_slice_is(text, "-Infinity"))
        ret_number->real = text.data[0] == '-' ? -INFINITY : INFINITY;
    else if (text.size == 0 || text.size >= sizeof number || text.data[0] == '"' ||
             text.data[0] == 'n')
        return false;
    else {
        memcpy(number, text.data, text.size);
        number[text.size] = '\0';
        ret_number->real = strtod(number, NULL);
    }
    return true;
}

/* `word` is the value's bits, those of a smaller type in its low ones. */
static bool read_word(const struct ce_type *type, uint64_t word, struct ce_number *ret_number)
{
    int unused = 64 - 8 * (int)type->width;
    *ret_number = (struct ce_number){0};
    switch (type->kind) {
    case CE_TYPE_FLOAT:
    case CE_TYPE_BFLOAT:
        ret_number->real = ce_type_float(type, word);
        return true;
    case CE_TYPE_BOOL:
        set_integer(ret_number, false, word != 0);
        return true;
    case CE_TYPE_UINT:
        set_integer(ret_number, false, word);
        return true;
    case CE_TYPE_INT: {
        int64_t number = (int64_t)(word << unused) >> unused;
        set_integer(ret_number, number < 0, number < 0 ? -(uint64_t)number : (uint64_t)number);
        return true;
    }
    default:
        return false;
    }
}

static bool read_varint(const struct ce_type *type, struct ce_slice text,
                        struct ce_number *ret_number)
{
    struct ce_pb_reader reader = ce_pb_reader_of(text);
    uint64_t word;
    return !ce_type_is_float(type) && ce_pb_varint_read(&reader, &word) &&
           reader.at == reader.end && read_word(type, word, ret_number);
}

bool ce_number_read(const struct ce_value *value, struct ce_number *ret_number)
{
    const struct ce_type *type;
    switch (value->form) {
    case CE_VALUE_JSON:
        return read_json(value->text, ret_number);
    case CE_VALUE_FIXED:
        type = ce_type_find(value->type);
        return type->width > 0 && value->text.size == type->width &&
               read_word(type, ce_bytes_read(value->text.data, type->width), ret_number);
    case CE_VALUE_VARINT:
        return read_varint(ce_type_find(value->type), value->text, ret_number);
    case CE_VALUE_BYTES:
        break;
    }
    return false;
}

bool ce_value_number(const struct ce_value *value, double *ret_number)
{
    struct ce_number number;
    if (!ce_number_read(value, &number))
        return false;
    *ret_number = number.real;
    return true;
}

/* Digits and a sign. */
static bool is_integer_text(struct ce_slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((text.data[i] < '0' || text.data[i] > '9') && text.data[i] != '-')
            return false;
    return text.size > 0;
}

bool ce_value_is_label(const struct ce_value *value)
{
    const struct ce_type *type = ce_type_find(value->type);
    char first = value->text.size > 0 ? value->text.data[0] : '\0';
    if (value->form == CE_VALUE_BYTES)
        return true;
    if (value->form != CE_VALUE_JSON)
        return type->kind != CE_TYPE_UNKNOWN && !ce_type_is_float(type);
    if (first == '"' || first == 't' || first == 'f')
        return true;
    if (first == 'n')
        return false;
    return type->kind != CE_TYPE_UNKNOWN ? !ce_type_is_float(type) : is_integer_text(value->text);
}

int ce_value_decimals(const struct ce_value *value)
{
    struct ce_slice text = value->text;
    char last = text.size > 0 ? text.data[text.size - 1] : '\0';
    if (value->form != CE_VALUE_JSON || last < '0' || last > '9' || text.data[0] == '"' ||
        memchr(text.data, 'e', text.size) || memchr(text.data, 'E', text.size))
        return -1;
    const char *point = memchr(text.data, '.', text.size);
    return point ? (int)(text.data + text.size - point - 1) : 0;
}

/* ---- text ---- */

bool ce_text_reader_init(struct ce_text_reader *reader, const struct ce_value *value)
{
    struct ce_slice text = value->text;
    bool json = value->form == CE_VALUE_JSON;
    if (json ? text.size < 2 || text.data[0] != '"' : value->form != CE_VALUE_BYTES)
        return false;
    *reader = (struct ce_text_reader){
        .at = text.data + json, .end = text.data + text.size - json, .escapes = json};
    return true;
}

static unsigned read_hex(const char *digits)
{
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        char c = digits[i];
        code = 16 * code + (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return code;
}

/* The code point of a \u escape, of both if it is the first of a pair. */
static unsigned read_escape(struct ce_text_reader *reader)
{
    unsigned code = read_hex(reader->at);
    reader->at += 4;
    if (code < 0xd800 || code > 0xdbff || reader->end - reader->at < 6 || reader->at[0] != '\\' ||
        reader->at[1] != 'u')
        return code;
    unsigned low = read_hex(reader->at + 2);
    if (low < 0xdc00 || low > 0xdfff)
        return code;
    reader->at += 6;
    return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

static void encode_utf8(unsigned code, struct ce_text_reader *reader)
{
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
    reader->ready[0] = (char)(leads[more] | code >> (6 * more));
    for (int i = 1; i <= more; i++)
        reader->ready[i] = (char)(0x80 | (code >> (6 * (more - i)) & 0x3f));
    reader->ready_count = more + 1;
    reader->ready_at = 0;
}

int ce_text_read(struct ce_text_reader *reader)
{
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    if (reader->ready_at < reader->ready_count)
        return (unsigned char)reader->ready[reader->ready_at++];
    if (reader->at >= reader->end)
        return -1;
    char c = *reader->at++;
    if (c != '\\' || !reader->escapes || reader->at >= reader->end)
        return (unsigned char)c;
    c = *reader->at++;
    if (c == 'u' && reader->end - reader->at >= 4) {
        encode_utf8(read_escape(reader), reader);
        return (unsigned char)reader->ready[reader->ready_at++];
    }
    const char *letter = memchr(letters, c, sizeof letters - 1);
    return (unsigned char)(letter ? meant[letter - letters] : c);
}

const char *ce_json_escape(char c, char buffer[8])
{
    static const char meant[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *known = memchr(meant, c, sizeof meant - 1);
    if (known)
        snprintf(buffer, 8, "\\%c", letters[known - meant]);
    else if ((unsigned char)c < 0x20)
        snprintf(buffer, 8, "\\u%04x", (unsigned)c);
    else
        return NULL;
    return buffer;
}

/* ---- sameness ---- */

static bool same_text(struct ce_text_reader *a, struct ce_text_reader *b)
{
    int x, y;
    do {
        x = ce_text_read(a);
        y = ce_text_read(b);
    } while (x == y && x >= 0);
    return x == y;
}

/* As far as the narrower of both types can tell. */
static bool same_number(const struct ce_value *a, const struct ce_value *b,
                        const struct ce_number *x, const struct ce_number *y)
{
    if (x->is_integer && y->is_integer)
        return x->negative == y->negative && x->magnitude == y->magnitude;
    const struct ce_type *first = ce_type_find(a->type), *second = ce_type_find(b->type);
    double p = ce_type_round(second, ce_type_round(first, x->real));
    double q = ce_type_round(second, ce_type_round(first, y->real));
    return p == q || (isnan(p) && isnan(q));
}

bool ce_value_same(const struct ce_value *a, const struct ce_value *b)
{
    struct ce_number x, y;
    struct ce_text_reader left, right;
    if (a->form == b->form && ce_slice_same(a->text, b->text) && ce_slice_same(a->type, b->type))
        return true;
    if (ce_number_read(a, &x) && ce_number_read(b, &y))
        return same_number(a, b, &x, &y);
    if (ce_text_reader_init(&left, a) && ce_text_reader_init(&right, b))
        return same_text(&left, &right);
    return a->form == b->form && ce_slice_same(a->text, b->text);
}
