/* SPDX-License-Identifier: MIT */
/* What a response says about its first row, in one word or number. */
#include <math.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "inference/types.h"

/* The first row of a tensor. */
struct row {
    const struct ce_value *values;
    size_t count;
};

static struct row first_row(const struct ce_values *values, size_t i)
{
    struct row row = {&values->values[i], 1};
    while (row.count < row.values->width && i + row.count < values->count &&
           row.values[row.count].ordinal == row.values->ordinal)
        row.count++;
    return row;
}

/* A label that stands alone; else the first row. A server that answers both a class and its
 * probabilities means the class. */
static struct row choose_row(const struct ce_values *values)
{
    for (size_t i = 0; i < values->count; i++) {
        const struct ce_value *value = &values->values[i];
        if (value->index == 0 && value->width == 1 && ce_value_is_label(value))
            return (struct row){value, 1};
    }
    return first_row(values, 0);
}

static bool is_distribution(struct row row)
{
    double sum = 0;
    for (size_t i = 0; i < row.count; i++) {
        double score;
        if (ce_value_is_label(&row.values[i]) || !ce_value_number(&row.values[i], &score) ||
            !(score >= 0))
            return false;
        sum += score;
    }
    return fabs(sum - 1) < 1e-3;
}

static size_t largest(struct row row)
{
    size_t best = 0;
    double highest = -INFINITY;
    for (size_t i = 0; i < row.count; i++) {
        double score;
        if (ce_value_number(&row.values[i], &score) && score > highest) {
            highest = score;
            best = i;
        }
    }
    return best;
}

/* As much as fits, not ending within a character. */
static void copy_text(struct ce_text_reader *reader, struct ce_prediction *ret)
{
    size_t size = 0;
    for (int c; (c = ce_text_read(reader)) >= 0;) {
        if (size == sizeof ret->text - 1) {
            bool within = (c & 0xc0) == 0x80;
            while (within && size > 0)
                within = ((unsigned char)ret->text[--size] & 0xc0) == 0x80;
            break;
        }
        ret->text[size++] = (char)c;
    }
    ret->text[size] = '\0';
}

static void copy_slice(struct ce_slice text, struct ce_prediction *ret)
{
    snprintf(ret->text, sizeof ret->text, "%.*s", (int)(text.size < 63 ? text.size : 63),
             text.data);
}

static void set_class(struct row row, struct ce_prediction *ret)
{
    size_t class = largest(row);
    struct ce_slice name = row.values[class].class_name;
    ret->is_label = true;
    ret->number = (double)class;
    if (name.size == 0) {
        snprintf(ret->text, sizeof ret->text, "%zu", class);
        return;
    }
    struct ce_text_reader reader = {.at = name.data, .end = name.data + name.size, .escapes = true};
    ret->number = NAN;
    copy_text(&reader, ret);
}

/* Digits for a number in any form. */
static void spell_number(const struct ce_value *value, struct ce_prediction *ret)
{
    const struct ce_value plain = {.type = value->type, .text = {"0", 1}, .form = CE_VALUE_JSON};
    struct ce_edit edit = {.size = 0};
    if (value->form == CE_VALUE_JSON)
        copy_slice(value->text, ret);
    else if (ce_edit_number(&edit, &plain, ret->number, -1) == 0)
        copy_slice((struct ce_slice){edit.text, edit.size}, ret);
}

static void set_value(const struct ce_value *value, struct ce_prediction *ret)
{
    struct ce_text_reader reader;
    ret->is_label = ce_value_is_label(value);
    if (ce_text_reader_init(&reader, value))
        copy_text(&reader, ret);
    else if (ce_value_number(value, &ret->number))
        spell_number(value, ret);
    else
        copy_slice(value->text, ret);
}

int ce_message_prediction(const struct ce_message *message, struct ce_prediction *ret,
                          struct ce_error *err)
{
    CE_CLEANUP(ce_values_done) struct ce_values values = {0};
    struct ce_prediction prediction = {.number = NAN};
    CE_TRY(ce_message_outputs(message, &values, err));
    if (values.count == 0)
        return ce_fail(err, ENOENT, "the answer holds no prediction that can be read");
    struct row row = choose_row(&values);
    if (row.count > 1 && (row.values->class_name.size > 0 || is_distribution(row)))
        set_class(row, &prediction);
    else
        set_value(row.values, &prediction);
    *ret = prediction;
    return 0;
}
