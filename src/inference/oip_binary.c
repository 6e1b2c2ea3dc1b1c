/* SPDX-License-Identifier: MIT */
/* The binary tensor extension: behind the JSON, in the order of the tensors that have a
 * binary_data_size, their values in row-major order, little-endian, without padding. Text is a
 * length of four bytes and so many bytes.
 *
 * An edit of a number changes no length. One of text changes three that enclose it: its own, its
 * tensor's binary_data_size, and by that perhaps the length of the JSON. */
#include "base/cleanup.h"
#include "inference/oip.h"
#include "inference/types.h"

enum { LENGTH = 4 };

static int fail_size(const struct ce_oip_raw *raw, struct ce_error *err)
{
    struct ce_slice name = raw->tensor.name;
    return ce_fail(err, EINVAL, "tensor '%.*s' has %zu bytes, which is not what its shape says",
                   (int)(name.size < 64 ? name.size : 64), name.data, raw->bytes.size);
}

static int read_fixed(const struct ce_oip_raw *raw, struct ce_value *value, size_t width,
                      struct ce_values *values, struct ce_error *err)
{
    if (raw->bytes.size % width != 0)
        return fail_size(raw, err);
    value->form = CE_VALUE_FIXED;
    for (size_t at = 0; at < raw->bytes.size; at += width, value->index++) {
        value->text = (struct ce_slice){raw->bytes.data + at, width};
        CE_TRY(ce_values_append(values, value, err));
    }
    return 0;
}

static int read_texts(const struct ce_oip_raw *raw, struct ce_value *value,
                      struct ce_values *values, struct ce_error *err)
{
    const char *at = raw->bytes.data, *end = at + raw->bytes.size;
    value->form = CE_VALUE_BYTES;
    for (; at < end; value->index++) {
        if (end - at < LENGTH)
            return fail_size(raw, err);
        size_t size = ce_bytes_read(at, LENGTH);
        at += LENGTH;
        if (size > (size_t)(end - at))
            return fail_size(raw, err);
        value->text = (struct ce_slice){at, size};
        CE_TRY(ce_values_append(values, value, err));
        at += size;
    }
    return 0;
}

int ce_oip_raw_read(const struct ce_oip_raw *raw, struct ce_values *values, struct ce_error *err)
{
    const struct ce_oip_tensor *tensor = &raw->tensor;
    const struct ce_type *type = ce_type_find(tensor->type);
    struct ce_value value = {
        .tensor = tensor->name,
        .type = tensor->type,
        .ordinal = raw->ordinal,
        .width = tensor->width,
    };
    if (type->kind == CE_TYPE_UNKNOWN) {
        values->without_data++;
        return 0;
    }
    CE_TRY(type->kind == CE_TYPE_TEXT ? read_texts(raw, &value, values, err)
                                      : read_fixed(raw, &value, type->width, values, err));
    /* Divided, because the product may not fit. */
    bool fits = tensor->is_empty ? value.index == 0
                                 : value.index % tensor->width == 0 &&
                                       value.index / tensor->width == tensor->leading;
    return tensor->shape == 0 || fits ? 0 : fail_size(raw, err);
}

/* ---- edits ---- */

static int resize(const struct ce_oip_raw *raw, const struct ce_message *message, size_t size,
                  struct ce_patches *patches, struct ce_error *err)
{
    return size == raw->bytes.size
               ? 0
               : ce_patches_add_number(patches, message, raw->binary_size, size, err);
}

int ce_oip_apply(const struct ce_message *message, const struct ce_values *values,
                 const struct ce_edit *edits, size_t count, struct ce_remade *ret,
                 struct ce_error *err)
{
    CE_CLEANUP(ce_patches_done) struct ce_patches patches = {0};
    const struct ce_oip_frames *frames = values->frames;
    size_t i = 0, raw_count = frames ? frames->count : 0;
    CE_TRY(ce_patches_add_edits(&patches, message, values, edits, count, err));
    while (i < count && values->values[edits[i].value].form == CE_VALUE_JSON)
        i++;
    for (size_t k = 0; k < raw_count; k++) {
        const struct ce_oip_raw *raw = &frames->raws[k];
        size_t size = raw->bytes.size;
        for (; i < count && values->values[edits[i].value].ordinal == raw->ordinal; i++) {
            const struct ce_value *value = &values->values[edits[i].value];
            char length[LENGTH];
            if (value->form != CE_VALUE_BYTES || edits[i].size == value->text.size)
                continue;
            size += edits[i].size - value->text.size;
            ce_bytes_write(length, LENGTH, edits[i].size);
            CE_TRY(ce_patches_add(&patches, message,
                                  (struct ce_slice){value->text.data - LENGTH, LENGTH},
                                  (struct ce_slice){length, LENGTH}, err));
        }
        CE_TRY(resize(raw, message, size, &patches, err));
    }
    return ce_patches_make(&patches, message, frames ? frames->json_size : message->size, ret, err);
}

int ce_oip_raw_shorten(const struct ce_oip_raw *raw, const struct ce_message *message,
                       const struct ce_values *values, struct ce_patches *patches,
                       struct ce_error *err)
{
    const char *end = raw->bytes.data + raw->bytes.size, *from = end;
    size_t first = (raw->tensor.leading - 1) * raw->tensor.width;
    for (size_t i = 0; i < values->count; i++) {
        const struct ce_value *value = &values->values[i];
        if (value->ordinal == raw->ordinal && value->index == first)
            from = value->text.data - (value->form == CE_VALUE_BYTES ? LENGTH : 0);
    }
    CE_TRY(ce_patches_add(patches, message, (struct ce_slice){from, (size_t)(end - from)},
                          (struct ce_slice){"", 0}, err));
    return resize(raw, message, (size_t)(from - raw->bytes.data), patches, err);
}
