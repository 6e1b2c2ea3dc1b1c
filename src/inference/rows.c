/* SPDX-License-Identifier: MIT */
#include "inference/rows.h"

#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/random.h"

#define HASH_STEP UINT64_C(0x9E3779B97F4A7C15) /* odd, its bits well mixed */

struct ce_column {
    struct ce_slice name;
    uint32_t object;      /* index + 1 of the last object in which it was met; 0: none */
    size_t row, in_row;   /* the last row with a value of it, and how many that has */
    size_t width, placed; /* values per row; values that have their index */
    bool used, ragged;
};

/* ---- by name ---- */

/* Where the struct happens to be is mixed in, so that nobody can send names that all want the same
 * slot. Columns are numbered in the order in which they come, so nothing else depends on it. */
static size_t slot_of(const struct ce_rows *rows, struct ce_slice name)
{
    uint64_t hash = (ce_hash_name(name.data, name.size) ^ (uintptr_t)rows) * HASH_STEP;
    size_t slot = (hash >> 32) & (rows->slot_count - 1);
    while (rows->slots[slot] > 0 && !ce_slice_same(rows->items[rows->slots[slot] - 1].name, name))
        slot = (slot + 1) & (rows->slot_count - 1);
    return slot;
}

/* Room for twice as many, the slots at most half full. */
static int grow(struct ce_rows *rows, struct ce_error *err)
{
    size_t capacity = rows->capacity > 0 ? 2 * rows->capacity : 16;
    struct ce_column *items = reallocarray(rows->items, capacity, sizeof *items);
    if (!items)
        return ce_fail_memory(err);
    rows->items = items;
    uint32_t *slots = calloc(2 * capacity, sizeof *slots);
    if (!slots)
        return ce_fail_memory(err);
    free(rows->slots);
    rows->slots = slots;
    rows->slot_count = 2 * capacity;
    rows->capacity = capacity;
    for (size_t i = 0; i < rows->count; i++)
        slots[slot_of(rows, items[i].name)] = (uint32_t)i + 1;
    return 0;
}

static int column_find(struct ce_rows *rows, struct ce_slice name, size_t *ret_column,
                       struct ce_error *err)
{
    if (rows->count == rows->capacity)
        CE_TRY(grow(rows, err));
    size_t slot = slot_of(rows, name);
    if (rows->slots[slot] == 0) {
        rows->items[rows->count++] = (struct ce_column){.name = name};
        rows->slots[slot] = (uint32_t)rows->count;
    }
    *ret_column = rows->slots[slot] - 1;
    return 0;
}

/* ---- values ---- */

/* The row that ends has as many values as the first one had. */
static void column_settle(struct ce_column *column)
{
    if (column->width == 0)
        column->width = column->in_row;
    else if (column->width != column->in_row)
        column->ragged = true;
}

/* Until the width of the column is known, a value's `width` holds its row and `index` its place in
 * that. */
static int add(struct ce_rows *rows, uint32_t scalar, size_t at, struct ce_error *err)
{
    struct ce_column *column = &rows->items[at];
    if (column->used && column->row != rows->row) {
        column_settle(column);
        column->in_row = 0;
    }
    column->used = true;
    column->row = rows->row;
    struct ce_value value = {
        .tensor = column->name,
        .class_name = rows->class_name,
        .text = ce_span_text(rows->spans, scalar),
        .form = CE_VALUE_JSON,
        .index = column->in_row++,
        .ordinal = at,
        .width = rows->row,
    };
    return ce_values_append(rows->values, &value, err);
}

static bool is_fraction(const struct ce_spans *spans, uint32_t i)
{
    struct ce_slice text = ce_span_text(spans, i);
    return spans->spans[i].kind == CE_SPAN_NUMBER &&
           (memchr(text.data, '.', text.size) || memchr(text.data, 'e', text.size) ||
            memchr(text.data, 'E', text.size));
}

static bool is_scores(const struct ce_rows *rows, uint32_t object)
{
    const struct ce_spans *spans = rows->spans;
    double sum = 0;
    if (rows->classes == CE_CLASSES_NEVER || spans->spans[object].count < 2)
        return false;
    for (uint32_t i = object + 1; i < spans->spans[object].next; i += 2) {
        struct ce_value value = {.text = ce_span_text(spans, i + 1), .form = CE_VALUE_JSON};
        double score;
        if (!is_fraction(spans, i + 1) || !ce_value_number(&value, &score))
            return false;
        sum += score;
    }
    return rows->classes == CE_CLASSES_ALWAYS || fabs(sum - 1) < 1e-2;
}

static int walk(struct ce_rows *rows, uint32_t value, size_t column, struct ce_error *err);

/* *ret_column: of the member whose name stands at `i`. */
static int member_column(struct ce_rows *rows, uint32_t object, uint32_t i, size_t *ret_column,
                         struct ce_error *err)
{
    CE_TRY(column_find(rows, ce_span_inner(rows->spans, i), ret_column, err));
    struct ce_column *column = &rows->items[*ret_column];
    if (column->object == object + 1)
        return ce_fail(err, EINVAL, "at byte %u: '%.*s' is there twice",
                       (unsigned)rows->spans->spans[i].start,
                       (int)(column->name.size < 64 ? column->name.size : 64), column->name.data);
    column->object = object + 1;
    return 0;
}

/* Names are looked up too, so that one that is there twice is refused. */
static int read_scores(struct ce_rows *rows, uint32_t object, size_t column, struct ce_error *err)
{
    const struct ce_spans *spans = rows->spans;
    for (uint32_t i = object + 1; i < spans->spans[object].next; i += 2) {
        size_t named;
        CE_TRY(member_column(rows, object, i, &named, err));
        rows->class_name = ce_span_inner(spans, i);
        CE_TRY(add(rows, i + 1, column, err));
    }
    rows->class_name = (struct ce_slice){"", 0};
    return 0;
}

static int walk_object(struct ce_rows *rows, uint32_t object, struct ce_error *err)
{
    const struct ce_span *spans = rows->spans->spans;
    for (uint32_t i = object + 1; i < spans[object].next; i = spans[i + 1].next) {
        size_t column;
        CE_TRY(member_column(rows, object, i, &column, err));
        CE_TRY(walk(rows, i + 1, column, err));
    }
    return 0;
}

/* All values in `value`, as part of the present row. Recursion ends at CE_JSON_NESTING_MAX. */
static int walk(struct ce_rows *rows, uint32_t value, size_t column, struct ce_error *err)
{
    const struct ce_span *spans = rows->spans->spans;
    if (spans[value].kind == CE_SPAN_OBJECT)
        return is_scores(rows, value) ? read_scores(rows, value, column, err)
                                      : walk_object(rows, value, err);
    if (spans[value].kind != CE_SPAN_ARRAY)
        return add(rows, value, column, err);
    for (uint32_t i = value + 1; i < spans[value].next; i = spans[i].next)
        CE_TRY(walk(rows, i, column, err));
    return 0;
}

/* Each element of an array is a row; anything else is the only one. */
static int read_rows(struct ce_rows *rows, uint32_t value, size_t column, struct ce_error *err)
{
    const struct ce_span *spans = rows->spans->spans;
    size_t first = rows->row;
    if (spans[value].kind != CE_SPAN_ARRAY) {
        CE_TRY(walk(rows, value, column, err));
        rows->row++;
    } else {
        for (uint32_t i = value + 1; i < spans[value].next; i = spans[i].next, rows->row++)
            CE_TRY(walk(rows, i, column, err));
    }
    if (rows->values->rows < rows->row - first)
        rows->values->rows = rows->row - first;
    return 0;
}

/* ---- shapes ---- */

static int read_columns(struct ce_rows *rows, uint32_t object, struct ce_error *err)
{
    const struct ce_span *spans = rows->spans->spans;
    size_t first = rows->row, last = first;
    for (uint32_t i = object + 1; i < spans[object].next; i = spans[i + 1].next) {
        size_t column;
        rows->row = first;
        CE_TRY(member_column(rows, object, i, &column, err));
        CE_TRY(read_rows(rows, i + 1, column, err));
        last = rows->row > last ? rows->row : last;
    }
    rows->row = last;
    return 0;
}

int ce_rows_read(struct ce_rows *rows, uint32_t value, struct ce_error *err)
{
    size_t column;
    if (ce_span_kind(rows->spans, value) == CE_SPAN_OBJECT && !is_scores(rows, value))
        return read_columns(rows, value, err);
    CE_TRY(column_find(rows, rows->unnamed, &column, err));
    return read_rows(rows, value, column, err);
}

static void end_row(struct ce_rows *rows)
{
    rows->values->rows = ++rows->row;
}

int ce_rows_row(struct ce_rows *rows, uint32_t value, struct ce_error *err)
{
    size_t column;
    CE_TRY(column_find(rows, rows->unnamed, &column, err));
    CE_TRY(walk(rows, value, column, err));
    end_row(rows);
    return 0;
}

int ce_rows_named_row(struct ce_rows *rows, uint32_t value, uint32_t names, struct ce_error *err)
{
    const struct ce_span *spans = rows->spans->spans;
    uint32_t name = names + 1, end = names > 0 ? spans[names].next : 0;
    if (spans[value].kind != CE_SPAN_ARRAY)
        return ce_fail(err, EINVAL, "at byte %u: a row has to be an array",
                       (unsigned)spans[value].start);
    for (uint32_t i = value + 1; i < spans[value].next; i = spans[i].next) {
        struct ce_slice called = rows->unnamed;
        size_t column;
        if (name < end) {
            called = spans[name].kind == CE_SPAN_STRING ? ce_span_inner(rows->spans, name)
                                                        : ce_span_text(rows->spans, name);
            name = spans[name].next;
        }
        CE_TRY(column_find(rows, called, &column, err));
        CE_TRY(walk(rows, i, column, err));
    }
    end_row(rows);
    return 0;
}

int ce_rows_pairs(struct ce_rows *rows, uint32_t value, struct ce_error *err)
{
    const struct ce_span *spans = rows->spans->spans;
    size_t column;
    CE_TRY(column_find(rows, rows->unnamed, &column, err));
    for (uint32_t i = value + 1; i < spans[value].next; i = spans[i].next) {
        rows->class_name = ce_span_inner(rows->spans, i + 1);
        CE_TRY(add(rows, i + 2, column, err));
    }
    rows->class_name = (struct ce_slice){"", 0};
    end_row(rows);
    return 0;
}

void ce_rows_end(struct ce_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        column_settle(&rows->items[i]);
    for (size_t i = 0; i < rows->values->count; i++) {
        struct ce_value *value = &rows->values->values[i];
        struct ce_column *column = &rows->items[value->ordinal];
        if (column->ragged)
            column->width = 1;
        value->index =
            column->ragged ? column->placed++ : value->width * column->width + value->index;
        value->width = column->width;
    }
    free(rows->items);
    free(rows->slots);
    rows->items = NULL;
    rows->slots = NULL;
    rows->count = rows->capacity = rows->slot_count = 0;
}

/* ---- one row less ---- */

static int drop_last(const struct ce_spans *spans, uint32_t array, const struct ce_message *message,
                     struct ce_patches *patches, struct ce_error *err)
{
    return ce_patches_add(patches, message,
                          ce_span_tail(spans, array, spans->spans[array].count - 1),
                          (struct ce_slice){"", 0}, err);
}

static bool has_rows(const struct ce_spans *spans, uint32_t value, size_t rows)
{
    return ce_span_kind(spans, value) == CE_SPAN_ARRAY && spans->spans[value].count == rows;
}

int ce_rows_shorten(const struct ce_spans *spans, uint32_t value, const struct ce_message *message,
                    const struct ce_values *values, struct ce_remade *ret, struct ce_error *err)
{
    CE_CLEANUP(ce_patches_done) struct ce_patches patches = {0};
    size_t rows = values->rows;
    const struct ce_span *span = &spans->spans[value];
    if (rows > 0 && has_rows(spans, value, rows))
        CE_TRY(drop_last(spans, value, message, &patches, err));
    if (rows > 0 && span->kind == CE_SPAN_OBJECT)
        for (uint32_t i = value + 1; i < span->next; i = spans->spans[i + 1].next)
            if (has_rows(spans, i + 1, rows))
                CE_TRY(drop_last(spans, i + 1, message, &patches, err));
    if (patches.count == 0)
        return ce_fail(err, ENOTSUP, "the answer has no row to leave out");
    return ce_patches_make(&patches, message, message->size, ret, err);
}
