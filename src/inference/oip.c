/* SPDX-License-Identifier: MIT */
/* Open Inference Protocol v2 over REST, as KServe, Triton and MLServer speak it:
 *
 *     POST /v2/models/NAME[/versions/VERSION]/infer
 *     {"inputs":  [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [...]}]}
 *     {"outputs": [{"name": "y", "shape": [2], "datatype": "INT64", "data": [1, 0]}]}
 *
 * Data is flat or nested, row-major. A tensor with parameters.binary_data_size has its values
 * behind the JSON instead, whose length the header Inference-Header-Content-Length then says. */
#include "inference/oip.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"

static bool read_path(struct ce_slice path, struct ce_call *call)
{
    if (!ce_path_enter(&path, "/v2/models/") || !ce_path_take(&path, "/", &call->model))
        return false;
    if (ce_path_skip(&path, "/versions/") && !ce_path_take(&path, "/", &call->version))
        return false;
    return ce_slice_is(path, "/infer");
}

/* How much of the body is JSON. */
static int json_size(const struct ce_message *message, size_t *ret_size, struct ce_error *err)
{
    struct ce_slice text = message->json_length;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9 || size > message->size)
            return ce_fail(err, EINVAL, "Inference-Header-Content-Length is '%.*s', not a length",
                           (int)(text.size < 32 ? text.size : 32), text.data);
        size = 10 * size + digit;
    }
    if (size > message->size)
        return ce_fail(err, EINVAL,
                       "Inference-Header-Content-Length is %zu, but the body has %zu bytes", size,
                       message->size);
    *ret_size = text.size > 0 ? size : message->size;
    return 0;
}

/* ---- tensors ---- */

static int read_shape(const struct ce_spans *spans, struct ce_oip_tensor *tensor,
                      struct ce_error *err)
{
    uint32_t end = spans->spans[tensor->shape].next, first = tensor->shape + 1;
    tensor->dimensions = spans->spans[tensor->shape].count;
    tensor->leading = tensor->dimensions == 0; /* a scalar */
    for (uint32_t i = first; i < end; i = spans->spans[i].next) {
        size_t size;
        if (!ce_span_size(spans, i, &size))
            return ce_fail(err, EINVAL, "at byte %u: a shape holds whole numbers of at least 0",
                           (unsigned)spans->spans[i].start);
        if (i == first)
            tensor->leading = size;
        else if (__builtin_mul_overflow(tensor->width, size, &tensor->width))
            return ce_fail(err, EINVAL, "at byte %u: a shape is too large",
                           (unsigned)spans->spans[i].start);
    }
    tensor->is_empty = tensor->leading == 0 || tensor->width == 0;
    if (tensor->width == 0)
        tensor->width = 1;
    return 0;
}

static int read_tensor(const struct ce_spans *spans, uint32_t i, struct ce_oip_tensor *ret,
                       struct ce_error *err)
{
    struct ce_oip_tensor tensor = {.name = {"", 0}, .type = {"", 0}, .width = 1};
    uint32_t name, type, parameters;
    if (ce_span_kind(spans, i) != CE_SPAN_OBJECT)
        return ce_fail(err, EINVAL, "at byte %u: a tensor has to be an object",
                       (unsigned)spans->spans[i].start);
    CE_TRY(ce_span_member_of(spans, i, "name", CE_SPAN_STRING, &name, err));
    CE_TRY(ce_span_member_of(spans, i, "datatype", CE_SPAN_STRING, &type, err));
    CE_TRY(ce_span_member_of(spans, i, "shape", CE_SPAN_ARRAY, &tensor.shape, err));
    CE_TRY(ce_span_member_of(spans, i, "data", CE_SPAN_ARRAY, &tensor.data, err));
    CE_TRY(ce_span_member(spans, i, "parameters", &parameters, err));
    if (parameters > 0)
        CE_TRY(ce_span_member(spans, parameters, "binary_data_size", &tensor.binary_size, err));
    if (tensor.binary_size > 0 && !ce_span_size(spans, tensor.binary_size, &tensor.raw_size))
        return ce_fail(err, EINVAL, "at byte %u: binary_data_size has to be a whole number",
                       (unsigned)spans->spans[tensor.binary_size].start);
    if (tensor.binary_size > 0 && tensor.data > 0)
        return ce_fail(err, EINVAL, "at byte %u: a tensor has both data and binary_data_size",
                       (unsigned)spans->spans[i].start);
    if (name > 0)
        tensor.name = ce_span_inner(spans, name);
    if (type > 0)
        tensor.type = ce_span_inner(spans, type);
    if (tensor.shape > 0)
        CE_TRY(read_shape(spans, &tensor, err));
    *ret = tensor;
    return 0;
}

/* What is nested stands in the flat list of spans in just the order that is wanted. */
static int read_data(const struct ce_spans *spans, const struct ce_oip_tensor *tensor,
                     size_t ordinal, struct ce_values *values, struct ce_error *err)
{
    const struct ce_value first = {
        .tensor = tensor->name,
        .class_name = {"", 0},
        .type = tensor->type,
        .form = CE_VALUE_JSON,
        .ordinal = ordinal,
        .width = tensor->width,
    };
    uint32_t begin = tensor->data + 1, end = spans->spans[tensor->data].next;
    size_t at = values->count, count = 0;
    for (uint32_t i = begin; i < end; i++) {
        if (ce_span_kind(spans, i) == CE_SPAN_OBJECT)
            return ce_fail(err, EINVAL, "at byte %u: an object among a tensor's data",
                           (unsigned)spans->spans[i].start);
        count += ce_span_is_scalar(spans, i);
    }
    CE_TRY(ce_values_append_all(values, &first, count, err));
    for (uint32_t i = begin; i < end; i++)
        if (ce_span_is_scalar(spans, i))
            values->values[at++].text = ce_span_text(spans, i);
    return 0;
}

/* Notes where the tensor's bytes are: behind those of the ones before it. */
static int note_raw(const struct ce_message *message, const struct ce_spans *spans,
                    const struct ce_oip_tensor *tensor, size_t ordinal,
                    struct ce_oip_frames *frames, struct ce_error *err)
{
    size_t at = frames->json_size;
    if (frames->count > 0) {
        struct ce_slice before = frames->raws[frames->count - 1].bytes;
        at = (size_t)(before.data + before.size - message->body);
    }
    if (tensor->raw_size > message->size - at)
        return ce_fail(err, EINVAL, "binary_data_size is %zu, but only %zu bytes are left",
                       tensor->raw_size, message->size - at);
    frames->raws[frames->count++] = (struct ce_oip_raw){
        .tensor = *tensor,
        .binary_size = ce_span_text(spans, tensor->binary_size),
        .bytes = {message->body + at, tensor->raw_size},
        .ordinal = ordinal,
    };
    return 0;
}

static struct ce_oip_frames *frames_new(size_t json, size_t tensors)
{
    struct ce_oip_frames *frames = malloc(sizeof *frames + tensors * sizeof frames->raws[0]);
    if (frames)
        *frames = (struct ce_oip_frames){.json_size = json};
    return frames;
}

static int read_raws(const struct ce_message *message, size_t json, struct ce_values *values,
                     struct ce_error *err)
{
    const struct ce_oip_frames *frames = values->frames;
    size_t left = message->size - json;
    for (size_t i = 0; frames && i < frames->count; i++) {
        CE_TRY(ce_oip_raw_read(&frames->raws[i], values, err));
        left -= frames->raws[i].bytes.size;
    }
    return left == 0 ? 0 : ce_fail(err, EINVAL, "%zu bytes follow the message", left);
}

static int read_tensors(const struct ce_message *message, const struct ce_spans *spans, size_t json,
                        uint32_t tensors, struct ce_values *values, struct ce_error *err)
{
    size_t ordinal = 0;
    for (uint32_t i = tensors + 1; i < spans->spans[tensors].next;
         i = spans->spans[i].next, ordinal++) {
        struct ce_oip_tensor tensor;
        size_t count = values->count;
        CE_TRY(read_tensor(spans, i, &tensor, err));
        if (tensor.binary_size > 0) {
            if (!values->frames &&
                !(values->frames = frames_new(json, spans->spans[tensors].count)))
                return ce_fail_memory(err);
            CE_TRY(note_raw(message, spans, &tensor, ordinal, values->frames, err));
        } else if (tensor.data > 0) {
            CE_TRY(read_data(spans, &tensor, ordinal, values, err));
        } else {
            values->without_data++;
        }
        size_t rows = tensor.shape > 0 ? tensor.leading : values->count - count;
        values->rows = rows > values->rows ? rows : values->rows;
    }
    return read_raws(message, json, values, err);
}

static int read_message(const struct ce_message *message, const char *member,
                        struct ce_values *values, struct ce_error *err)
{
    size_t json = 0;
    uint32_t tensors;
    CE_TRY(json_size(message, &json, err));
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    CE_TRY(ce_spans_scan(&spans, message->body, json, err));
    if (ce_span_kind(&spans, 0) != CE_SPAN_OBJECT)
        return ce_fail(err, EINVAL, "the message has to be an object");
    CE_TRY(ce_span_member_of(&spans, 0, member, CE_SPAN_ARRAY, &tensors, err));
    if (tensors == 0)
        return ce_fail(err, ENOENT, "the message has no '%s'", member);
    return read_tensors(message, &spans, json, tensors, values, err);
}

static int read_outputs(const struct ce_message *message, struct ce_values *values,
                        struct ce_error *err)
{
    return read_message(message, "outputs", values, err);
}

static int read_inputs(const struct ce_message *message, struct ce_values *values,
                       struct ce_error *err)
{
    return read_message(message, "inputs", values, err);
}

/* ---- one row less ---- */

static int shorten_tensor(const struct ce_message *message, const struct ce_spans *spans,
                          const struct ce_oip_tensor *tensor, struct ce_patches *patches,
                          struct ce_error *err)
{
    const struct ce_span *data = &spans->spans[tensor->data];
    size_t rows = tensor->leading - 1;
    if (tensor->data > 0) {
        bool nested = data->count == tensor->leading;
        struct ce_slice tail =
            ce_span_tail(spans, tensor->data, nested ? rows : rows * tensor->width);
        CE_TRY(ce_patches_add(patches, message, tail, (struct ce_slice){"", 0}, err));
    }
    return ce_patches_add_number(patches, message, ce_span_text(spans, tensor->shape + 1), rows,
                                 err);
}

static const struct ce_oip_raw *raw_find(const struct ce_values *values, size_t ordinal)
{
    const struct ce_oip_frames *frames = values->frames;
    for (size_t i = 0; frames && i < frames->count; i++)
        if (frames->raws[i].ordinal == ordinal)
            return &frames->raws[i];
    return NULL;
}

/* Outputs that have no row for each of the batch stay as they are. */
static int shorten(const struct ce_message *message, const struct ce_values *values,
                   struct ce_remade *ret, struct ce_error *err)
{
    CE_CLEANUP(ce_patches_done) struct ce_patches patches = {0};
    size_t json = 0, ordinal = 0;
    uint32_t tensors;
    CE_TRY(json_size(message, &json, err));
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    CE_TRY(ce_spans_scan(&spans, message->body, json, err));
    CE_TRY(ce_span_member_of(&spans, 0, "outputs", CE_SPAN_ARRAY, &tensors, err));
    for (uint32_t i = tensors + 1; tensors > 0 && i < spans.spans[tensors].next;
         i = spans.spans[i].next, ordinal++) {
        struct ce_oip_tensor tensor;
        const struct ce_oip_raw *raw = raw_find(values, ordinal);
        CE_TRY(read_tensor(&spans, i, &tensor, err));
        if (tensor.dimensions == 0 || tensor.is_empty || tensor.leading != values->rows ||
            (!raw && tensor.data == 0))
            continue;
        CE_TRY(shorten_tensor(message, &spans, &tensor, &patches, err));
        if (raw)
            CE_TRY(ce_oip_raw_shorten(raw, message, values, &patches, err));
    }
    if (patches.count == 0)
        return ce_fail(err, ENOTSUP, "the answer has no row to leave out");
    return ce_patches_make(&patches, message, json, ret, err);
}

/* ---- model names ---- */

/* Requests name no model over REST, answers do. */
static int rename_member(const struct ce_message *message, const struct ce_spans *spans,
                         const char *member, struct ce_slice name, struct ce_patches *patches,
                         struct ce_error *err)
{
    uint32_t value;
    if (name.size == 0)
        return 0;
    CE_TRY(ce_span_member_of(spans, 0, member, CE_SPAN_STRING, &value, err));
    if (value == 0)
        return ce_fail(err, ENOTSUP, "the message has no '%s'", member);
    return ce_patches_add_escaped(patches, message, ce_span_inner(spans, value), name, err);
}

static int rename_model(const struct ce_message *message, struct ce_slice model,
                        struct ce_slice version, struct ce_remade *ret, struct ce_error *err)
{
    CE_CLEANUP(ce_patches_done) struct ce_patches patches = {0};
    size_t json = 0;
    CE_TRY(json_size(message, &json, err));
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    CE_TRY(ce_spans_scan(&spans, message->body, json, err));
    CE_TRY(rename_member(message, &spans, "model_name", model, &patches, err));
    CE_TRY(rename_member(message, &spans, "model_version", version, &patches, err));
    return ce_patches_make(&patches, message, json, ret, err);
}

/* ---- requests ---- */

static int write_tensor(FILE *file, const struct ce_feature *feature, const char *cell,
                        struct ce_error *err)
{
    fputs("{\"name\":", file);
    ce_write_quoted(file, feature->name);
    fprintf(file, ",\"shape\":[1,1],\"datatype\":\"%s\",\"data\":[",
            feature->is_number ? "FP64" : "BYTES");
    CE_TRY(ce_write_cell(file, feature, cell, err));
    fputs("]}", file);
    return 0;
}

static int write_request(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                         struct ce_error *err)
{
    bool numbers = true;
    for (size_t i = 0; i < plan->feature_count; i++)
        numbers = numbers && plan->features[i].is_number;
    fputs("{\"inputs\":[", file);
    if (numbers) {
        fprintf(file, "{\"name\":\"input-0\",\"shape\":[1,%zu],\"datatype\":\"FP64\",\"data\":",
                plan->feature_count);
        CE_TRY(ce_write_array(file, plan, cells, err));
        fputs("}", file);
    }
    for (size_t i = 0; i < plan->feature_count && !numbers; i++) {
        fputs(i > 0 ? "," : "", file);
        CE_TRY(write_tensor(file, &plan->features[i], cells[i], err));
    }
    fputs("]}", file);
    return 0;
}

const struct ce_protocol ce_protocol_oip = {
    .name = "oip",
    .content_type = "application/json",
    .error_headers = "Content-Type: application/json\r\n",
    .by_path = true,
    .needs_model = true,
    .is_json = true,
    .path = "/v2/models/",
    .version_mark = "/versions/",
    .verb = "/infer",
    .read_path = read_path,
    .outputs = read_outputs,
    .inputs = read_inputs,
    .apply = ce_oip_apply,
    .shorten = shorten,
    .rename = rename_model,
    .write_error = ce_write_error,
    .write_request = write_request,
};
