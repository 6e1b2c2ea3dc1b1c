/* SPDX-License-Identifier: MIT */
#include "data/arrow/encode.h"

size_t ce_encode_begin(struct ce_buffer *out)
{
    size_t mark = out->size;
    return ce_buffer_put(out, "\0\0\0", 4) ? mark : SIZE_MAX;
}

bool ce_encode_finish(struct ce_buffer *out, size_t mark)
{
    size_t size = out->size - mark - 4;
    uint32_t written = (uint32_t)size;
    memcpy(out->data + mark, &written, 4);
    return size <= UINT32_MAX;
}

bool ce_encoded_next(const char **at, const char *end, const char **ret_cell, size_t *ret_size)
{
    uint32_t size;
    *ret_cell = NULL;
    if (*at == end || end - *at < 4)
        return false;
    memcpy(&size, *at, 4);
    if (size == 0 || size > (size_t)(end - *at) - 4)
        return false;
    *ret_cell = *at + 4;
    *ret_size = size;
    *at += 4 + size;
    return true;
}

static bool encode_part(const struct ce_arrow_type *type, const struct ArrowArray *array,
                        int64_t at, struct ce_buffer *out)
{
    size_t mark = ce_encode_begin(out);
    return mark != SIZE_MAX && ce_arrow_encode(type, array, array->offset + at, out) &&
           ce_encode_finish(out, mark);
}

static bool encode_list(const struct ce_arrow_type *type, const struct ArrowArray *array,
                        int64_t at, struct ce_buffer *out)
{
    int64_t start, count;
    ce_arrow_list(type, array, at, &start, &count);
    for (int64_t i = 0; i < count; i++)
        if (!encode_part(type->children[0], array->children[0], start + i, out))
            return false;
    return true;
}

static bool encode_struct(const struct ce_arrow_type *type, const struct ArrowArray *array,
                          int64_t at, struct ce_buffer *out)
{
    for (size_t i = 0; i < type->child_count; i++)
        if (!encode_part(type->children[i], array->children[i], at, out))
            return false;
    return true;
}

int64_t ce_arrow_run(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at)
{
    const struct ArrowArray *ends = array->children[0];
    int64_t low = 0, high = ends->length - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (ce_arrow_signed(type->children[0], ends, ends->offset + middle) > at)
            high = middle;
        else
            low = middle + 1;
    }
    return array->children[1]->offset + low;
}

int ce_arrow_union(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at,
                   int64_t *ret_at)
{
    int8_t code = ((const int8_t *)array->buffers[0])[at];
    int child = code < 0 ? -1 : type->union_child[code];
    if (child < 0)
        return -1;
    *ret_at = array->children[child]->offset +
              (type->shape == CE_SHAPE_UNION_DENSE ? ce_load_i32(array->buffers[1], at) : at);
    return child;
}

static bool encode_union(const struct ce_arrow_type *type, const struct ArrowArray *array,
                         int64_t at, struct ce_buffer *out)
{
    int64_t there;
    int child = ce_arrow_union(type, array, at, &there);
    if (child < 0)
        return true;
    return ce_buffer_put(out, (const int8_t *)array->buffers[0] + at, 1) &&
           ce_arrow_encode(type->children[child], array->children[child], there, out);
}

bool ce_arrow_encode(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at,
                     struct ce_buffer *out)
{
    if (!ce_arrow_valid(type, array, at))
        return ce_buffer_put(out, "\0", 1);
    if (type->dictionary)
        return ce_arrow_encode(type->dictionary, array->dictionary, ce_arrow_index(type, array, at),
                               out);
    if (type->shape == CE_SHAPE_RUNS)
        return ce_arrow_encode(type->children[1], array->children[1], ce_arrow_run(type, array, at),
                               out);
    if (!ce_buffer_put(out, "\1", 1))
        return false;
    size_t size;
    const char *bytes;
    switch (type->shape) {
    case CE_SHAPE_BITS:
        return ce_buffer_put(out, ce_bit(array->buffers[1], at) ? "\1" : "\0", 1);
    case CE_SHAPE_FIXED:
    case CE_SHAPE_BYTES32:
    case CE_SHAPE_BYTES64:
    case CE_SHAPE_VIEWS:
        bytes = ce_arrow_bytes(type, array, at, &size);
        return ce_buffer_put(out, bytes, size);
    case CE_SHAPE_STRUCT:
        return encode_struct(type, array, at, out);
    case CE_SHAPE_UNION_SPARSE:
    case CE_SHAPE_UNION_DENSE:
        return encode_union(type, array, at, out);
    default:
        return encode_list(type, array, at, out);
    }
}
