/* SPDX-License-Identifier: MIT */
/* Two passes over a message: what its tensors are, then their values in the order of their bytes.
 */
#include "inference/oip_grpc_walk.h"

#include <stdlib.h>

#include "inference/types.h"

/* By the number of the field in contents, from 1. */
static const struct kind {
    const char *type;
    const char *narrow[2]; /* types that are sent as that one, too */
    enum ce_pb_wire wire;
    enum ce_value_form form;
} kinds[] = {
    {"BOOL", {NULL, NULL}, CE_PB_VARINT, CE_VALUE_VARINT},
    {"INT32", {"INT8", "INT16"}, CE_PB_VARINT, CE_VALUE_VARINT},
    {"INT64", {NULL, NULL}, CE_PB_VARINT, CE_VALUE_VARINT},
    {"UINT32", {"UINT8", "UINT16"}, CE_PB_VARINT, CE_VALUE_VARINT},
    {"UINT64", {NULL, NULL}, CE_PB_VARINT, CE_VALUE_VARINT},
    {"FP32", {NULL, NULL}, CE_PB_FIXED32, CE_VALUE_FIXED},
    {"FP64", {NULL, NULL}, CE_PB_FIXED64, CE_VALUE_FIXED},
    {"BYTES", {NULL, NULL}, CE_PB_BYTES, CE_VALUE_BYTES},
};

static struct ce_slice body_of(const struct ce_message *message)
{
    return (struct ce_slice){message->body, message->size};
}

static int malformed(const struct ce_grpc_walk *walk, const char *at)
{
    return ce_fail(
        walk->err, EINVAL, "the gRPC message of %zu bytes is malformed at byte %zu: it is not a %s",
        walk->message->size, (size_t)(at - walk->message->body),
        walk->raw_field == CE_GRPC_RAW_OUTPUTS ? "ModelInferResponse" : "ModelInferRequest");
}

static int field_next(const struct ce_grpc_walk *walk, struct ce_pb_reader *reader,
                      struct ce_pb_field *ret_field)
{
    const char *at = reader->at;
    int r = ce_pb_next(reader, ret_field);
    return r < 0 ? malformed(walk, at) : r;
}

/* ---- first pass: the tensors ---- */

static int dimension_read(const struct ce_grpc_walk *walk, struct ce_grpc_tensor *tensor,
                          struct ce_pb_reader *reader)
{
    const char *from = reader->at;
    uint64_t size;
    if (!ce_pb_varint_read(reader, &size) || size > INT64_MAX)
        return malformed(walk, from);
    if (tensor->rows_text.size == 0) {
        tensor->rows = size;
        tensor->rows_text = (struct ce_slice){from, (size_t)(reader->at - from)};
    } else if (__builtin_mul_overflow(tensor->width, size, &tensor->width)) {
        return malformed(walk, from);
    }
    return 0;
}

static int tensor_read(const struct ce_grpc_walk *walk, struct ce_slice body,
                       struct ce_grpc_tensor *tensor)
{
    struct ce_pb_reader reader = ce_pb_reader_of(body);
    struct ce_pb_field field;
    int r;
    while ((r = field_next(walk, &reader, &field)) > 0) {
        if (field.number == CE_GRPC_TENSOR_NAME && field.wire == CE_PB_BYTES)
            tensor->name = field.value;
        else if (field.number == CE_GRPC_TENSOR_TYPE && field.wire == CE_PB_BYTES)
            tensor->type = field.value;
        else if (field.number == CE_GRPC_TENSOR_SHAPE &&
                 (field.wire == CE_PB_BYTES || field.wire == CE_PB_VARINT))
            for (struct ce_pb_reader shape = ce_pb_reader_of(field.value); shape.at < shape.end;)
                CE_TRY(dimension_read(walk, tensor, &shape));
    }
    return r;
}

static bool is_tensor(const struct ce_pb_field *field)
{
    return field->number == CE_GRPC_TENSORS && field->wire == CE_PB_BYTES;
}

static int tensors_read(struct ce_grpc_walk *walk)
{
    struct ce_pb_reader reader = ce_pb_reader_of(body_of(walk->message));
    struct ce_pb_field field;
    size_t count = 0;
    int r;
    while ((r = field_next(walk, &reader, &field)) > 0)
        count += is_tensor(&field);
    CE_TRY(r);
    if (count == 0)
        return ce_fail(walk->err, ENOENT, "the gRPC message of %zu bytes has no %s",
                       walk->message->size,
                       walk->raw_field == CE_GRPC_RAW_OUTPUTS ? "outputs" : "inputs");

    if (count > CE_VALUES_MAX)
        return ce_fail(walk->err, EINVAL, "the gRPC message has %zu tensors; at most %zu are read",
                       count, CE_VALUES_MAX);
    walk->tensors = calloc(count, sizeof *walk->tensors);
    if (!walk->tensors)
        return ce_fail_memory(walk->err);
    reader = ce_pb_reader_of(body_of(walk->message));
    while (walk->tensor_count < count && field_next(walk, &reader, &field) > 0) {
        if (!is_tensor(&field))
            continue;
        struct ce_grpc_tensor *tensor = &walk->tensors[walk->tensor_count++];
        tensor->width = 1;
        tensor->rows_frame = CE_PB_NO_FRAME;
        CE_TRY(tensor_read(walk, field.value, tensor));
    }
    return 0;
}

/* ---- second pass: the values ---- */

/* `items` with room for one more; NULL: no memory, and they are as they were. */
static void *grown(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity > 0 ? *capacity * 2 : 64;
    void *larger = reallocarray(items, wanted, size);
    if (larger)
        *capacity = wanted;
    return larger;
}

static int frame_add(struct ce_grpc_walk *walk, struct ce_pb_frame frame, size_t *ret_index)
{
    struct ce_grpc_layout *layout = walk->layout;
    *ret_index = CE_PB_NO_FRAME;
    if (!layout)
        return 0;
    struct ce_pb_frame *frames =
        grown(layout->frames, layout->frame_count, &layout->frame_capacity, sizeof frame);
    if (!frames)
        return ce_fail_memory(walk->err);
    layout->frames = frames;
    *ret_index = layout->frame_count;
    frames[layout->frame_count++] = frame;
    return 0;
}

static int field_frame_add(struct ce_grpc_walk *walk, const struct ce_pb_field *field, size_t outer,
                           size_t *ret_index)
{
    return frame_add(
        walk, (struct ce_pb_frame){.length = field->length, .body = field->value, .outer = outer},
        ret_index);
}

static int value_add(struct ce_grpc_walk *walk, struct ce_grpc_tensor *tensor,
                     struct ce_value value, struct ce_grpc_unit unit)
{
    struct ce_grpc_layout *layout = walk->layout;
    if (layout) {
        struct ce_grpc_unit *units =
            grown(layout->units, walk->values->count, &layout->unit_capacity, sizeof unit);
        if (!units)
            return ce_fail_memory(walk->err);
        layout->units = units;
        units[walk->values->count] = unit;
    }
    value.tensor = tensor->name;
    value.index = tensor->count++;
    value.ordinal = (size_t)(tensor - walk->tensors);
    value.width = tensor->width > 0 ? tensor->width : 1;
    return ce_values_append(walk->values, &value, walk->err);
}

/* The tensor's own type if that is sent in such a field; else the field's. */
static struct ce_slice type_of(const struct ce_grpc_tensor *tensor, const struct kind *kind)
{
    for (size_t i = 0; i < CE_COUNT(kind->narrow) && kind->narrow[i]; i++)
        if (ce_slice_is(tensor->type, kind->narrow[i]))
            return tensor->type;
    return ce_slice_of(kind->type);
}

static int packed_read(struct ce_grpc_walk *walk, struct ce_grpc_tensor *tensor,
                       const struct kind *kind, const struct ce_pb_field *field, size_t outer)
{
    size_t frame;
    CE_TRY(field_frame_add(walk, field, outer, &frame));
    struct ce_value value = {.type = type_of(tensor, kind), .form = kind->form};
    for (struct ce_pb_reader reader = ce_pb_reader_of(field->value); reader.at < reader.end;) {
        const char *from = reader.at;
        size_t size = kind->wire == CE_PB_FIXED64 ? 8 : 4;
        uint64_t number;
        if (kind->wire == CE_PB_VARINT) {
            if (!ce_pb_varint_read(&reader, &number))
                return malformed(walk, from);
        } else {
            if ((size_t)(reader.end - from) < size)
                return malformed(walk, from);
            reader.at += size;
        }
        value.text = (struct ce_slice){from, (size_t)(reader.at - from)};
        CE_TRY(value_add(walk, tensor, value, (struct ce_grpc_unit){value.text, frame, frame}));
    }
    return 0;
}

static int contents_read(struct ce_grpc_walk *walk, struct ce_grpc_tensor *tensor,
                         struct ce_slice body, size_t outer)
{
    struct ce_pb_reader reader = ce_pb_reader_of(body);
    struct ce_pb_field field;
    int r;
    while ((r = field_next(walk, &reader, &field)) > 0) {
        if (field.number > CE_COUNT(kinds))
            continue;
        const struct kind *kind = &kinds[field.number - 1];
        if (field.wire == CE_PB_BYTES && kind->wire != CE_PB_BYTES) {
            CE_TRY(packed_read(walk, tensor, kind, &field, outer));
            continue;
        }
        if (field.wire != kind->wire)
            continue;
        struct ce_grpc_unit unit = {{field.tag, (size_t)(reader.at - field.tag)}, outer, outer};
        if (field.wire == CE_PB_BYTES)
            CE_TRY(field_frame_add(walk, &field, outer, &unit.value_frame));
        struct ce_value value = {
            .type = type_of(tensor, kind), .form = kind->form, .text = field.value};
        CE_TRY(value_add(walk, tensor, value, unit));
    }
    return r;
}

static int tensor_walk(struct ce_grpc_walk *walk, struct ce_grpc_tensor *tensor,
                       const struct ce_pb_field *message)
{
    size_t frame;
    CE_TRY(field_frame_add(walk, message, CE_PB_NO_FRAME, &frame));
    struct ce_pb_reader reader = ce_pb_reader_of(message->value);
    struct ce_pb_field field;
    int r;
    while ((r = field_next(walk, &reader, &field)) > 0) {
        size_t inner;
        if (field.number == CE_GRPC_TENSOR_CONTENTS && field.wire == CE_PB_BYTES) {
            CE_TRY(field_frame_add(walk, &field, frame, &inner));
            CE_TRY(contents_read(walk, tensor, field.value, inner));
        } else if (field.number == CE_GRPC_TENSOR_SHAPE &&
                   field.value.data == tensor->rows_text.data) {
            tensor->rows_frame = frame;
            if (field.wire == CE_PB_BYTES)
                CE_TRY(field_frame_add(walk, &field, frame, &tensor->rows_frame));
        }
    }
    return r;
}

static int strings_read(struct ce_grpc_walk *walk, struct ce_grpc_tensor *tensor,
                        struct ce_slice raw, size_t frame)
{
    struct ce_value value = {.type = tensor->type, .form = CE_VALUE_BYTES};
    for (const char *at = raw.data, *end = raw.data + raw.size; at < end;) {
        if (end - at < 4)
            return malformed(walk, at);
        size_t size = (size_t)ce_bytes_read(at, 4);
        if (size > (size_t)(end - at) - 4)
            return malformed(walk, at);
        value.text = (struct ce_slice){at + 4, size};
        struct ce_grpc_unit unit = {{at, size + 4}, frame, CE_PB_NO_FRAME};
        CE_TRY(frame_add(
            walk,
            (struct ce_pb_frame){
                .length = at, .body = value.text, .outer = frame, .is_little_endian = true},
            &unit.value_frame));
        CE_TRY(value_add(walk, tensor, value, unit));
        at += size + 4;
    }
    return 0;
}

/* Of a type that is not known the values cannot be told apart: it counts as without data. */
static int raw_read(struct ce_grpc_walk *walk, size_t ordinal, const struct ce_pb_field *field)
{
    if (ordinal >= walk->tensor_count)
        return ce_fail(walk->err, EINVAL,
                       "the gRPC message has more raw contents than its %zu tensors",
                       walk->tensor_count);
    struct ce_grpc_tensor *tensor = &walk->tensors[ordinal];
    size_t frame;
    CE_TRY(field_frame_add(walk, field, CE_PB_NO_FRAME, &frame));
    if (ce_slice_is(tensor->type, "BYTES"))
        return strings_read(walk, tensor, field->value, frame);
    size_t width = ce_type_find(tensor->type)->width;
    if (width == 0)
        return 0;
    if (field->value.size % width != 0)
        return ce_fail(walk->err, EINVAL,
                       "tensor %zu of the gRPC message is of %.*s, %zu bytes each, but has %zu "
                       "bytes of raw contents",
                       ordinal, (int)tensor->type.size, tensor->type.data, width,
                       field->value.size);
    struct ce_value value = {.type = tensor->type, .form = CE_VALUE_FIXED};
    for (size_t at = 0; at < field->value.size; at += width) {
        value.text = (struct ce_slice){field->value.data + at, width};
        CE_TRY(value_add(walk, tensor, value, (struct ce_grpc_unit){value.text, frame, frame}));
    }
    return 0;
}

static int values_read(struct ce_grpc_walk *walk)
{
    struct ce_pb_reader reader = ce_pb_reader_of(body_of(walk->message));
    struct ce_pb_field field;
    size_t tensors = 0, raws = 0;
    int r;
    while ((r = field_next(walk, &reader, &field)) > 0) {
        if (is_tensor(&field))
            CE_TRY(tensor_walk(walk, &walk->tensors[tensors++], &field));
        else if (field.number == walk->raw_field && field.wire == CE_PB_BYTES)
            CE_TRY(raw_read(walk, raws++, &field));
    }
    for (size_t i = 0; i < walk->tensor_count; i++) {
        const struct ce_grpc_tensor *tensor = &walk->tensors[i];
        walk->values->without_data += tensor->count == 0;
        if (tensor->rows > walk->values->rows)
            walk->values->rows = (size_t)tensor->rows;
    }
    return r;
}

int ce_grpc_walk_run(struct ce_grpc_walk *walk)
{
    CE_TRY(tensors_read(walk));
    return values_read(walk);
}

void ce_grpc_walk_done(struct ce_grpc_walk *walk)
{
    free(walk->tensors);
    if (walk->layout) {
        free(walk->layout->frames);
        free(walk->layout->units);
    }
}
