/* SPDX-License-Identifier: MIT */
/* The data types of tensors, and the numbers that their values are. */
#ifndef CE_INFERENCE_TYPES_H
#define CE_INFERENCE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "inference/inference.h"

enum ce_type_kind {
    CE_TYPE_UNKNOWN = 0, /* or not said */
    CE_TYPE_BOOL,
    CE_TYPE_INT,
    CE_TYPE_UINT,
    CE_TYPE_FLOAT, /* IEEE 754: FP16, FP32, FP64, by width */
    CE_TYPE_BFLOAT,
    CE_TYPE_TEXT,
};

struct ce_type {
    const char *name;
    enum ce_type_kind kind;
    size_t width; /* bytes of a value in FIXED form; 0: it has no fixed width */
};
/* Never NULL: that of CE_TYPE_UNKNOWN when there is none of that name. */
const struct ce_type *ce_type_find(struct ce_slice name);
static inline bool ce_type_is_float(const struct ce_type *type)
{
    return type->kind == CE_TYPE_FLOAT || type->kind == CE_TYPE_BFLOAT;
}

/* Little-endian. */
uint64_t ce_bytes_read(const char *bytes, size_t width);
void ce_bytes_write(char *bytes, size_t width, uint64_t word);

/* The nearest number that the floating-point type has; others: as it is. */
double ce_type_round(const struct ce_type *type, double number);
/* Its bits, and back. */
uint64_t ce_type_float_bits(const struct ce_type *type, double number);
double ce_type_float(const struct ce_type *type, uint64_t bits);

/* A value, to the last digit: integers of 64 bits are more than a double holds. */
struct ce_number {
    double real;
    bool is_integer, negative; /* then real is the nearest to what these say */
    uint64_t magnitude;
};
bool ce_number_read(const struct ce_value *value, struct ce_number *ret_number);

/* What a value of text says, byte by byte, its escapes undone. */
struct ce_text_reader {
    const char *at, *end;
    bool escapes;
    char ready[4];
    int ready_count, ready_at;
};
/* false: the value is no text. */
bool ce_text_reader_init(struct ce_text_reader *reader, const struct ce_value *value);
int ce_text_read(struct ce_text_reader *reader); /* -1 at the end */

/* How a byte is written between the quotes of JSON: NULL: as it is. */
const char *ce_json_escape(char c, char buffer[8]);

#endif
