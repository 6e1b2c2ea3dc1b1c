/* SPDX-License-Identifier: MIT */
#include "data/arrow/grow.h"

#include <stdlib.h>

bool ce_grow_takes(const struct ce_arrow_type *type)
{
    if (type->shape == CE_SHAPE_UNION_SPARSE || type->shape == CE_SHAPE_UNION_DENSE ||
        type->shape == CE_SHAPE_RUNS)
        return false;
    for (size_t i = 0; i < type->child_count; i++)
        if (!ce_grow_takes(type->children[i]))
            return false;
    return !type->dictionary || ce_grow_takes(type->dictionary);
}

static bool has_offsets(const struct ce_arrow_type *type)
{
    return type->shape == CE_SHAPE_BYTES32 || type->shape == CE_SHAPE_BYTES64 ||
           type->shape == CE_SHAPE_LIST32 || type->shape == CE_SHAPE_LIST64;
}
static bool is_wide(const struct ce_arrow_type *type)
{
    return type->shape == CE_SHAPE_BYTES64 || type->shape == CE_SHAPE_LIST64 ||
           type->shape == CE_SHAPE_LIST_VIEW64;
}
static bool is_bytes(const struct ce_arrow_type *type)
{
    return type->shape == CE_SHAPE_BYTES32 || type->shape == CE_SHAPE_BYTES64;
}

int ce_grow_init(struct ce_grow *grow, const struct ce_arrow_type *type, struct ce_error *err)
{
    *grow = (struct ce_grow){.type = type};
    if (!ce_grow_takes(type))
        return ce_fail(err, EOPNOTSUPP,
                       "a column of type \"%s\" cannot be put together from pieces", type->format);
    if (type->dictionary)
        return ce_dictionary_new(type->dictionary, &grow->dictionary, err);
    grow->children = calloc(type->child_count + 1, sizeof *grow->children);
    if (!grow->children)
        return ce_fail_memory(err);
    for (size_t i = 0; i < type->child_count; i++)
        CE_TRY(ce_grow_init(&grow->children[i], type->children[i], err));
    return 0;
}

void ce_grow_done(struct ce_grow *grow)
{
    for (size_t i = 0; grow->children && i < grow->type->child_count; i++)
        ce_grow_done(&grow->children[i]);
    free(grow->children);
    ce_dictionary_free(grow->dictionary);
    ce_buffer_done(&grow->valid);
    ce_buffer_done(&grow->values);
    ce_buffer_done(&grow->more);
    *grow = (struct ce_grow){0};
}

void ce_grow_forget(struct ce_grow *grow)
{
    if (grow->dictionary)
        ce_dictionary_forget(grow->dictionary);
    for (size_t i = 0; grow->children && i < grow->type->child_count; i++)
        ce_grow_forget(&grow->children[i]);
}

/* ---- bits ---- */

/* Makes room for bits [at, at + count), where `at` is how many there are; new bytes are zero. */
static bool bits_room(struct ce_buffer *bits, int64_t at, int64_t count)
{
    size_t size = (size_t)((at + count + 7) / 8);
    if (size <= bits->size)
        return true;
    char *room = ce_buffer_room(bits, size - bits->size);
    if (!room)
        return false;
    memset(room, 0, size - bits->size);
    bits->size = size;
    return true;
}

static bool bits_fill(struct ce_buffer *bits, int64_t at, int64_t count, bool value)
{
    if (count == 0)
        return true;
    if (!bits_room(bits, at, count))
        return false;
    for (; count > 0 && at % 8 != 0; count--)
        ce_bit_put(bits->data, at++, value);
    memset(bits->data + at / 8, value ? 0xff : 0, (size_t)(count / 8));
    for (int64_t i = count & ~INT64_C(7); i < count; i++)
        ce_bit_put(bits->data, at + i, value);
    return true;
}

static bool bits_copy(struct ce_buffer *bits, int64_t at, const void *from, int64_t start,
                      int64_t count)
{
    if (count == 0)
        return true;
    if (!bits_room(bits, at, count))
        return false;
    for (; count > 0 && at % 8 != 0; count--)
        ce_bit_put(bits->data, at++, ce_bit(from, start++));
    const uint8_t *source = (const uint8_t *)from + start / 8;
    uint8_t *target = (uint8_t *)bits->data + at / 8;
    int shift = (int)(start % 8);
    int64_t whole = count / 8;
    if (shift == 0 && whole > 0)
        memcpy(target, source, (size_t)whole);
    for (int64_t i = 0; shift > 0 && i < whole; i++)
        target[i] = (uint8_t)(source[i] >> shift | source[i + 1] << (8 - shift));
    for (int64_t i = 8 * whole; i < count; i++)
        ce_bit_put(bits->data, at + i, ce_bit(from, start + i));
    return true;
}

static int64_t bits_zero(const void *bits, int64_t start, int64_t count)
{
    int64_t zero = 0;
    for (; count > 0 && start % 8 != 0; count--)
        zero += !ce_bit(bits, start++);
    const uint8_t *bytes = (const uint8_t *)bits + start / 8;
    for (int64_t i = 0; i < count / 8; i++)
        zero += 8 - __builtin_popcount(bytes[i]);
    for (int64_t i = count & ~INT64_C(7); i < count; i++)
        zero += !ce_bit(bits, start + i);
    return zero;
}

/* ---- nothing ---- */

/* What stands below a null: nobody may rely on it, but who knows NaN alone needs not look. */
static void write_nothing(const struct ce_arrow_type *type, char *value)
{
    static const uint64_t nan8 = UINT64_C(0x7ff8000000000000);
    static const uint32_t nan4 = 0x7fc00000;
    if (type->meaning != CE_MEANS_FLOAT)
        memset(value, 0, (size_t)type->width);
    else if (type->width == 8)
        memcpy(value, &nan8, 8);
    else
        memcpy(value, &nan4, 4);
}

/* ---- validity ---- */

static bool valid_fill(struct ce_grow *grow, int64_t count, bool valid)
{
    if (valid && grow->nulls == 0)
        return true;
    if (grow->nulls == 0 && !bits_fill(&grow->valid, 0, grow->length, true))
        return false;
    grow->nulls += valid ? 0 : count;
    return bits_fill(&grow->valid, grow->length, count, valid);
}

static bool valid_copy(struct ce_grow *grow, const struct ArrowArray *array, int64_t start,
                       int64_t count)
{
    const void *bits = ce_arrow_has_validity(grow->type) ? array->buffers[0] : NULL;
    int64_t nulls = bits && array->null_count != 0 ? bits_zero(bits, start, count) : 0;
    if (nulls == 0)
        return valid_fill(grow, count, true);
    if (grow->nulls == 0 && !bits_fill(&grow->valid, 0, grow->length, true))
        return false;
    grow->nulls += nulls;
    return bits_copy(&grow->valid, grow->length, bits, start, count);
}

bool ce_grow_valid(const struct ce_grow *grow, int64_t at)
{
    return grow->nulls == 0 || ce_bit(grow->valid.data, at);
}

int ce_grow_put_null(struct ce_grow *grow, int64_t at, struct ce_error *err)
{
    if (grow->type->shape == CE_SHAPE_FIXED && !grow->dictionary)
        write_nothing(grow->type, grow->values.data + at * grow->type->width);
    if (grow->nulls == 0 && !bits_fill(&grow->valid, 0, grow->length, true))
        return ce_fail_memory(err);
    grow->nulls += ce_bit(grow->valid.data, at);
    ce_bit_put(grow->valid.data, at, false);
    return 0;
}

int ce_grow_put(struct ce_grow *grow, int64_t at, const void *value, struct ce_error *err)
{
    if (!ce_grow_valid(grow, at)) {
        /* the bitmap stays for those before: it is dropped only when the array is finished */
        ce_bit_put(grow->valid.data, at, true);
        grow->nulls--;
        if (grow->nulls == 0)
            ce_buffer_done(&grow->valid);
    }
    if (grow->type->shape == CE_SHAPE_BITS)
        ce_bit_put(grow->values.data, at, *(const char *)value);
    else
        memcpy(grow->values.data + at * grow->type->width, value, (size_t)grow->type->width);
    return 0;
}

/* ---- offsets ---- */

static bool put_offset(const struct ce_arrow_type *type, struct ce_buffer *out, int64_t value)
{
    int32_t narrow = (int32_t)value;
    return is_wide(type) ? ce_buffer_put(out, &value, 8) : ce_buffer_put(out, &narrow, 4);
}

/* The first offset, which is 0. */
static bool begin_offsets(struct ce_grow *grow)
{
    return grow->more.size > 0 || put_offset(grow->type, &grow->more, 0);
}

static int check_reach(const struct ce_grow *grow, int64_t end, struct ce_error *err)
{
    return is_wide(grow->type) || end <= INT32_MAX
               ? 0
               : ce_fail(err, EFBIG,
                         "a batch holds more than 2 GiB of text, or elements, in one column");
}

/* ---- ranges ---- */

int ce_grow_reserve(struct ce_grow *grow, int64_t rows, struct ce_error *err)
{
    bool room = ce_buffer_room(&grow->values, (size_t)(rows * grow->type->width)) != NULL;
    return room ? 0 : ce_fail_memory(err);
}

static int bytes_range(struct ce_grow *grow, const struct ArrowArray *array, int64_t start,
                       int64_t count, struct ce_error *err)
{
    const struct ce_arrow_type *type = grow->type;
    bool wide = is_wide(type);
    const void *offsets = array->buffers[1];
    int64_t (*load)(const void *, int64_t) = wide ? ce_load_i64 : ce_load_i32;
    int64_t from = load(offsets, start), size = load(offsets, start + count) - from;
    int64_t move = (int64_t)grow->values.size - from;
    CE_TRY(check_reach(grow, (int64_t)grow->values.size + size, err));
    size_t width = wide ? 8 : 4;
    char *room = begin_offsets(grow) ? ce_buffer_room(&grow->more, (size_t)count * width) : NULL;
    if (!room || (size > 0 && !ce_buffer_put(&grow->values, (const char *)array->buffers[2] + from,
                                             (size_t)size)))
        return ce_fail_memory(err);
    for (int64_t i = 0; i < count; i++) {
        int64_t end = load(offsets, start + i + 1) + move;
        int32_t narrow = (int32_t)end;
        memcpy(room + (size_t)i * width, wide ? (void *)&end : (void *)&narrow, width);
    }
    grow->more.size += (size_t)count * width;
    return 0;
}

static int put_view(struct ce_grow *grow, const char *bytes, size_t size, struct ce_error *err)
{
    char view[16] = {0};
    uint32_t length = (uint32_t)size, at = (uint32_t)grow->more.size;
    if (size > INT32_MAX || (size > 12 && grow->more.size + size > INT32_MAX))
        return ce_fail(err, EFBIG, "a batch holds more than 2 GiB of text in one column");
    memcpy(view, &length, 4);
    memcpy(view + 4, bytes, size < 12 ? size : 12);
    if (size > 12) {
        memcpy(view + 8, "\0\0\0", 4);
        memcpy(view + 12, &at, 4);
    }
    bool put = ce_buffer_put(&grow->values, view, 16) &&
               (size <= 12 || ce_buffer_put(&grow->more, bytes, size));
    return put ? 0 : ce_fail_memory(err);
}

static int views_range(struct ce_grow *grow, const struct ArrowArray *array, int64_t start,
                       int64_t count, struct ce_error *err)
{
    for (int64_t i = start; i < start + count; i++) {
        size_t size = 0;
        bool valid = ce_arrow_valid(grow->type, array, i);
        const char *bytes = valid ? ce_arrow_bytes(grow->type, array, i, &size) : "";
        CE_TRY(put_view(grow, bytes, size, err));
    }
    return 0;
}

/* Notes a list of that many elements, which have been or will be added to the child. */
static int put_list(struct ce_grow *grow, int64_t before, int64_t count, struct ce_error *err)
{
    const struct ce_arrow_type *type = grow->type;
    if (type->shape == CE_SHAPE_FIXED_LIST)
        return 0;
    CE_TRY(check_reach(grow, before + count, err));
    bool put =
        has_offsets(type)
            ? begin_offsets(grow) && put_offset(type, &grow->more, before + count)
            : put_offset(type, &grow->more, before) && put_offset(type, &grow->values, count);
    return put ? 0 : ce_fail_memory(err);
}

static int list_range(struct ce_grow *grow, const struct ArrowArray *array, int64_t start,
                      int64_t count, struct ce_error *err)
{
    const struct ArrowArray *child = array->children[0];
    for (int64_t i = start; i < start + count; i++) {
        int64_t from, size;
        ce_arrow_list(grow->type, array, i, &from, &size);
        if (!ce_arrow_valid(grow->type, array, i) && grow->type->shape != CE_SHAPE_FIXED_LIST)
            size = 0;
        CE_TRY(put_list(grow, grow->children[0].length, size, err));
        CE_TRY(ce_grow_range(&grow->children[0], child, child->offset + from, size, err));
    }
    return 0;
}

static int indices_range(struct ce_grow *grow, const struct ArrowArray *array, int64_t start,
                         int64_t count, struct ce_error *err)
{
    size_t width = (size_t)grow->type->width;
    const int64_t *map;
    CE_TRY(ce_dictionary_map(grow->dictionary, array->dictionary, ce_dictionary_max(grow->type),
                             &map, err));
    char *room = ce_buffer_room(&grow->values, (size_t)count * width);
    if (!room)
        return ce_fail_memory(err);
    for (int64_t i = 0; i < count; i++) {
        int64_t index = 0;
        if (ce_arrow_valid(grow->type, array, start + i))
            index = map[ce_arrow_index(grow->type, array, start + i) - array->dictionary->offset];
        memcpy(room + (size_t)i * width, &index, width);
    }
    grow->values.size += (size_t)count * width;
    return 0;
}

static int values_range(struct ce_grow *grow, const struct ArrowArray *array, int64_t start,
                        int64_t count, struct ce_error *err)
{
    const struct ce_arrow_type *type = grow->type;
    if (grow->dictionary)
        return indices_range(grow, array, start, count, err);
    switch (type->shape) {
    case CE_SHAPE_NULLS:
        return 0;
    case CE_SHAPE_BITS:
        return bits_copy(&grow->values, grow->length, array->buffers[1], start, count)
                   ? 0
                   : ce_fail_memory(err);
    case CE_SHAPE_FIXED:
        return ce_buffer_put(&grow->values, (const char *)array->buffers[1] + start * type->width,
                             (size_t)(count * type->width))
                   ? 0
                   : ce_fail_memory(err);
    case CE_SHAPE_BYTES32:
    case CE_SHAPE_BYTES64:
        return bytes_range(grow, array, start, count, err);
    case CE_SHAPE_VIEWS:
        return views_range(grow, array, start, count, err);
    case CE_SHAPE_STRUCT:
        for (size_t i = 0; i < type->child_count; i++)
            CE_TRY(ce_grow_range(&grow->children[i], array->children[i],
                                 array->children[i]->offset + start, count, err));
        return 0;
    default:
        return list_range(grow, array, start, count, err);
    }
}

int ce_grow_range(struct ce_grow *grow, const struct ArrowArray *array, int64_t start,
                  int64_t count, struct ce_error *err)
{
    if (count == 0)
        return 0;
    CE_TRY(values_range(grow, array, start, count, err));
    if (!valid_copy(grow, array, start, count))
        return ce_fail_memory(err);
    grow->length += count;
    return 0;
}

/* ---- single cells ---- */

static int null_value(struct ce_grow *grow, struct ce_error *err)
{
    const struct ce_arrow_type *type = grow->type;
    bool put = true;
    switch (type->shape) {
    case CE_SHAPE_NULLS:
        return 0;
    case CE_SHAPE_BITS:
        put = bits_fill(&grow->values, grow->length, 1, false);
        break;
    case CE_SHAPE_FIXED:
        put = ce_buffer_room(&grow->values, (size_t)type->width) != NULL;
        if (put)
            write_nothing(type, grow->values.data + grow->values.size);
        grow->values.size += put ? (size_t)type->width : 0;
        break;
    case CE_SHAPE_BYTES32:
    case CE_SHAPE_BYTES64:
        put = begin_offsets(grow) && put_offset(type, &grow->more, (int64_t)grow->values.size);
        break;
    case CE_SHAPE_VIEWS:
        return put_view(grow, "", 0, err);
    case CE_SHAPE_STRUCT:
        for (size_t i = 0; i < type->child_count; i++)
            CE_TRY(ce_grow_null(&grow->children[i], err));
        return 0;
    case CE_SHAPE_FIXED_LIST:
        for (int64_t i = 0; i < type->width; i++)
            CE_TRY(ce_grow_null(&grow->children[0], err));
        return 0;
    default:
        return put_list(grow, grow->children[0].length, 0, err);
    }
    return put ? 0 : ce_fail_memory(err);
}

int ce_grow_null(struct ce_grow *grow, struct ce_error *err)
{
    CE_TRY(null_value(grow, err));
    if (grow->type->shape == CE_SHAPE_NULLS)
        grow->nulls++;
    else if (!valid_fill(grow, 1, false))
        return ce_fail_memory(err);
    grow->length++;
    return 0;
}

static int no_such_cell(const struct ce_grow *grow, struct ce_error *err)
{
    return ce_fail(err, EBADMSG, "a kept value is none of type \"%s\"", grow->type->format);
}

static int list_cell(struct ce_grow *grow, const char *at, size_t size, struct ce_error *err)
{
    const char *end = at + size, *part;
    size_t part_size;
    int64_t before = grow->children[0].length;
    while (ce_encoded_next(&at, end, &part, &part_size))
        CE_TRY(ce_grow_cell(&grow->children[0], part, part_size, err));
    int64_t count = grow->children[0].length - before;
    if (at != end || (grow->type->shape == CE_SHAPE_FIXED_LIST && count != grow->type->width))
        return no_such_cell(grow, err);
    return put_list(grow, before, count, err);
}

static int struct_cell(struct ce_grow *grow, const char *at, size_t size, struct ce_error *err)
{
    const char *end = at + size, *part;
    size_t part_size;
    for (size_t i = 0; i < grow->type->child_count; i++) {
        if (!ce_encoded_next(&at, end, &part, &part_size))
            return no_such_cell(grow, err);
        CE_TRY(ce_grow_cell(&grow->children[i], part, part_size, err));
    }
    return at == end ? 0 : no_such_cell(grow, err);
}

static int index_cell(struct ce_grow *grow, const char *cell, size_t size, struct ce_error *err)
{
    int64_t index =
        ce_dictionary_add(grow->dictionary, cell, size, ce_dictionary_max(grow->type), err);
    if (index == -EOVERFLOW)
        return ce_fail(err, EOVERFLOW, "a dictionary has no room for another value");
    CE_TRY((int)(index < 0 ? index : 0));
    return ce_buffer_put(&grow->values, &index, (size_t)grow->type->width) ? 0
                                                                           : ce_fail_memory(err);
}

static int cell_value(struct ce_grow *grow, const char *value, size_t size, struct ce_error *err)
{
    switch (grow->type->shape) {
    case CE_SHAPE_BITS:
        if (size != 1)
            return no_such_cell(grow, err);
        return bits_fill(&grow->values, grow->length, 1, value[0] != 0) ? 0 : ce_fail_memory(err);
    case CE_SHAPE_FIXED:
        if (size != (size_t)grow->type->width)
            return no_such_cell(grow, err);
        return ce_buffer_put(&grow->values, value, size) ? 0 : ce_fail_memory(err);
    case CE_SHAPE_BYTES32:
    case CE_SHAPE_BYTES64:
        CE_TRY(check_reach(grow, (int64_t)(grow->values.size + size), err));
        return begin_offsets(grow) && ce_buffer_put(&grow->values, value, size) &&
                       put_offset(grow->type, &grow->more, (int64_t)grow->values.size)
                   ? 0
                   : ce_fail_memory(err);
    case CE_SHAPE_VIEWS:
        return put_view(grow, value, size, err);
    case CE_SHAPE_STRUCT:
        return struct_cell(grow, value, size, err);
    case CE_SHAPE_NULLS:
        return no_such_cell(grow, err);
    default:
        return list_cell(grow, value, size, err);
    }
}

int ce_grow_cell(struct ce_grow *grow, const char *cell, size_t size, struct ce_error *err)
{
    if (size == 0 || (cell[0] != 0 && cell[0] != 1) || (cell[0] == 0 && size > 1))
        return no_such_cell(grow, err);
    if (cell[0] == 0)
        return ce_grow_null(grow, err);
    CE_TRY(grow->dictionary ? index_cell(grow, cell, size, err)
                            : cell_value(grow, cell + 1, size - 1, err));
    if (!valid_fill(grow, 1, true))
        return ce_fail_memory(err);
    grow->length++;
    return 0;
}

/* ---- the array ---- */

static void *give(struct ce_buffer *buffer)
{
    /* consumers like an address even where there is nothing */
    void *data = ce_buffer_room(buffer, 1) ? buffer->data : NULL;
    *buffer = (struct ce_buffer){0};
    return data;
}

static bool give_buffers(struct ce_grow *grow, const void **buffers)
{
    const struct ce_arrow_type *type = grow->type;
    int64_t more_size = (int64_t)grow->more.size;
    bool listed = type->shape == CE_SHAPE_LIST_VIEW32 || type->shape == CE_SHAPE_LIST_VIEW64;
    if (type->shape == CE_SHAPE_NULLS)
        return true;
    if (grow->nulls > 0)
        buffers[0] = give(&grow->valid);
    ce_buffer_done(&grow->valid);
    if (type->shape == CE_SHAPE_STRUCT || type->shape == CE_SHAPE_FIXED_LIST)
        return true;
    if (type->shape == CE_SHAPE_BITS || type->shape == CE_SHAPE_FIXED)
        return (buffers[1] = give(&grow->values)) != NULL;
    if (type->shape == CE_SHAPE_VIEWS) {
        int64_t *sizes = malloc(sizeof *sizes);
        buffers[1] = give(&grow->values);
        buffers[2] = give(&grow->more);
        buffers[3] = sizes;
        if (sizes)
            *sizes = more_size;
        return buffers[1] && buffers[2] && sizes;
    }
    if (!listed && !begin_offsets(grow))
        return false;
    buffers[1] = give(&grow->more);
    if (listed || is_bytes(type))
        buffers[2] = give(&grow->values);
    return buffers[1] && (buffers[2] || !(listed || is_bytes(type)));
}

static int give_parts(struct ce_grow *grow, struct ArrowArray *array, struct ce_error *err)
{
    if (!give_buffers(grow, array->buffers))
        return ce_fail_memory(err);
    if (grow->dictionary)
        return ce_dictionary_array(grow->dictionary, array->dictionary, err);
    for (size_t i = 0; i < grow->type->child_count; i++)
        CE_TRY(ce_grow_end(&grow->children[i], array->children[i], err));
    return 0;
}

int ce_grow_end(struct ce_grow *grow, struct ArrowArray *ret_array, struct ce_error *err)
{
    struct ArrowArray array;
    bool views = grow->type->shape == CE_SHAPE_VIEWS;
    size_t buffers = (size_t)ce_arrow_buffer_count(grow->type) + (views ? 2 : 0);
    CE_TRY(ce_arrow_array_make(grow->length, buffers, grow->type->child_count,
                               grow->dictionary != NULL, &array, err));
    array.null_count = grow->nulls;
    int r = give_parts(grow, &array, err);
    grow->length = grow->nulls = 0;
    if (r < 0)
        array.release(&array);
    else
        *ret_array = array;
    return r;
}
