/* SPDX-License-Identifier: MIT */
/* oip_grpc: the messages of inference.GRPCInferenceService/ModelInfer, each without the 5 bytes
 * that gRPC puts before it.
 *
 * An edit that keeps sizes is made in place. One that does not walks the message once more and
 * notes the lengths around each value, which then grow or shrink with it. */
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "inference/oip_grpc_walk.h"
#include "inference/types.h"

static bool path_read(struct ce_slice path, struct ce_call *call)
{
    (void)call; /* the model is named in the body */
    return ce_slice_is(path, "/inference.GRPCInferenceService/ModelInfer");
}

/* ---- reading ---- */

/* The values; their `frames` tell whether the message is a request or a response. */
static int message_read(const struct ce_message *message, unsigned raw_field,
                        struct ce_values *values, struct ce_error *err)
{
    struct ce_grpc_walk walk = {
        .message = message, .raw_field = raw_field, .values = values, .err = err};
    int r = ce_grpc_walk_run(&walk);
    ce_grpc_walk_done(&walk);
    CE_TRY(r);
    unsigned *side = malloc(sizeof *side);
    if (!side)
        return ce_fail_memory(err);
    *side = raw_field;
    values->frames = side;
    return 0;
}

static int outputs_read(const struct ce_message *message, struct ce_values *values,
                        struct ce_error *err)
{
    return message_read(message, CE_GRPC_RAW_OUTPUTS, values, err);
}

static int inputs_read(const struct ce_message *message, struct ce_values *values,
                       struct ce_error *err)
{
    return message_read(message, CE_GRPC_RAW_INPUTS, values, err);
}

/* The last field of that number, which is the one that counts. 1, 0 (there is none), or -EINVAL. */
static int name_find(const struct ce_message *message, uint64_t number,
                     struct ce_pb_field *ret_field)
{
    struct ce_pb_reader reader = ce_pb_reader_of((struct ce_slice){message->body, message->size});
    struct ce_pb_field field;
    int r, found = 0;
    while ((r = ce_pb_next(&reader, &field)) > 0) {
        if (field.number != number || field.wire != CE_PB_BYTES)
            continue;
        *ret_field = field;
        found = 1;
    }
    return r < 0 ? r : found;
}

static void model_read(const struct ce_message *message, struct ce_slice *ret_model,
                       struct ce_slice *ret_version)
{
    struct ce_pb_field field;
    if (name_find(message, CE_GRPC_MODEL_NAME, &field) > 0)
        *ret_model = field.value;
    if (name_find(message, CE_GRPC_MODEL_VERSION, &field) > 0)
        *ret_version = field.value;
}

/* ---- edits ---- */

static int patched(const struct ce_message *message, const struct ce_pb_frame *frames,
                   size_t frame_count, const struct ce_pb_patch *patches, size_t patch_count,
                   struct ce_remade *ret, struct ce_error *err)
{
    struct ce_remade made = {0};
    int r = ce_pb_patch((struct ce_slice){message->body, message->size}, frames, frame_count,
                        patches, patch_count, &made.body, &made.size);
    if (r == -ENOMEM)
        return ce_fail_memory(err);
    if (r < 0)
        return ce_fail(err, -r, "a tensor of strings would need a length of more than 4 bytes");
    *ret = made;
    return 0;
}

static bool sizes_stay(const struct ce_values *values, const struct ce_edit *edits, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (edits[i].size != values->values[edits[i].value].text.size)
            return false;
    return true;
}

static int edits_in_place(const struct ce_message *message, const struct ce_values *values,
                          const struct ce_edit *edits, size_t count, struct ce_remade *ret,
                          struct ce_error *err)
{
    CE_CLEANUP(ce_patches_done) struct ce_patches patches = {0};
    CE_TRY(ce_patches_add_edits(&patches, message, values, edits, count, err));
    return ce_patches_make(&patches, message, 0, ret, err);
}

/* The message, walked once more with the lengths around its values. */
struct again {
    struct ce_values values;
    struct ce_grpc_layout layout;
    struct ce_grpc_walk walk;
};

static int again_walk(struct again *again, const struct ce_message *message,
                      const struct ce_values *values, struct ce_error *err)
{
    again->walk = (struct ce_grpc_walk){.message = message,
                                        .raw_field = *(const unsigned *)values->frames,
                                        .values = &again->values,
                                        .layout = &again->layout,
                                        .err = err};
    return ce_grpc_walk_run(&again->walk);
}

static void again_done(struct again *again)
{
    ce_grpc_walk_done(&again->walk);
    ce_values_done(&again->values);
}

static int again_patch(const struct again *again, const struct ce_pb_patch *patches, size_t count,
                       struct ce_remade *ret)
{
    return patched(again->walk.message, again->layout.frames, again->layout.frame_count, patches,
                   count, ret, again->walk.err);
}

static int edits_reframed(const struct again *again, const struct ce_edit *edits, size_t count,
                          struct ce_remade *ret)
{
    ce_autofree struct ce_pb_patch *patches = calloc(count, sizeof *patches);
    if (!patches)
        return ce_fail_memory(again->walk.err);
    for (size_t i = 0; i < count; i++) {
        size_t value = edits[i].value;
        patches[i] = (struct ce_pb_patch){.old = again->values.values[value].text,
                                          .new = {edits[i].text, edits[i].size},
                                          .frame = again->layout.units[value].value_frame};
    }
    return again_patch(again, patches, count, ret);
}

static int edits_apply(const struct ce_message *message, const struct ce_values *values,
                       const struct ce_edit *edits, size_t count, struct ce_remade *ret,
                       struct ce_error *err)
{
    if (sizes_stay(values, edits, count))
        return edits_in_place(message, values, edits, count, ret, err);
    struct again again = {0};
    int r = again_walk(&again, message, values, err);
    if (r == 0)
        r = edits_reframed(&again, edits, count, ret);
    again_done(&again);
    return r;
}

/* ---- a row less ---- */

/* The shape with one row less, of one tensor. */
struct shrunk {
    char text[CE_PB_VARINT_SIZE];
};

static int patch_compare(const void *a, const void *b)
{
    const struct ce_pb_patch *left = a, *right = b;
    return left->old.data < right->old.data ? -1 : left->old.data > right->old.data;
}

/* Whether every tensor has a last row that can go. */
static bool can_shorten(const struct ce_grpc_walk *walk)
{
    for (size_t i = 0; i < walk->tensor_count; i++) {
        const struct ce_grpc_tensor *tensor = &walk->tensors[i];
        if (tensor->count == 0 || tensor->width == 0 || tensor->count % tensor->width != 0 ||
            tensor->rows != tensor->count / tensor->width)
            return false;
    }
    return true;
}

static size_t shorten_patches(const struct ce_grpc_walk *walk, struct shrunk *shrunk,
                              struct ce_pb_patch *patches)
{
    size_t count = 0;
    for (size_t i = 0; i < walk->tensor_count; i++) {
        const struct ce_grpc_tensor *tensor = &walk->tensors[i];
        size_t size = ce_pb_varint_write(shrunk[i].text, tensor->rows - 1);
        patches[count++] = (struct ce_pb_patch){
            .old = tensor->rows_text, .new = {shrunk[i].text, size}, .frame = tensor->rows_frame};
    }
    for (size_t i = 0; i < walk->values->count; i++) {
        const struct ce_value *value = &walk->values->values[i];
        const struct ce_grpc_tensor *tensor = &walk->tensors[value->ordinal];
        if (value->index >= tensor->count - tensor->width)
            patches[count++] = (struct ce_pb_patch){.old = walk->layout->units[i].bytes,
                                                    .frame = walk->layout->units[i].frame};
    }
    qsort(patches, count, sizeof *patches, patch_compare);
    return count;
}

static int row_drop_walked(const struct again *again, struct ce_remade *ret)
{
    const struct ce_grpc_walk *walk = &again->walk;
    if (!can_shorten(walk))
        return ce_fail(walk->err, ENOTSUP,
                       "the gRPC message cannot lose a row: the shape of a tensor does not tell "
                       "how many values it has");
    ce_autofree struct shrunk *shrunk = calloc(walk->tensor_count, sizeof *shrunk);
    ce_autofree struct ce_pb_patch *patches =
        calloc(walk->tensor_count + walk->values->count, sizeof *patches);
    if (!shrunk || !patches)
        return ce_fail_memory(walk->err);
    size_t count = shorten_patches(walk, shrunk, patches);
    return again_patch(again, patches, count, ret);
}

static int row_drop(const struct ce_message *message, const struct ce_values *values,
                    struct ce_remade *ret, struct ce_error *err)
{
    struct again again = {0};
    int r = again_walk(&again, message, values, err);
    if (r == 0)
        r = row_drop_walked(&again, ret);
    again_done(&again);
    return r;
}

/* ---- other names ---- */

struct renaming {
    struct ce_pb_frame frames[2];
    struct ce_pb_patch patches[2];
    size_t count; /* of both */
    char *field;  /* the bytes of fields that were missing */
    size_t field_size;
};

static void name_append(struct renaming *renaming, uint64_t number, struct ce_slice name)
{
    renaming->field_size +=
        ce_pb_varint_write(renaming->field + renaming->field_size, number << 3 | CE_PB_BYTES);
    renaming->field_size += ce_pb_varint_write(renaming->field + renaming->field_size, name.size);
    memcpy(renaming->field + renaming->field_size, name.data, name.size);
    renaming->field_size += name.size;
}

/* In the place of the old name, or else noted as missing. */
static int name_replace(struct renaming *renaming, const struct ce_message *message,
                        uint64_t number, struct ce_slice name, struct ce_error *err)
{
    struct ce_pb_field field = {0};
    if (name.size == 0)
        return 0;
    int r = name_find(message, number, &field);
    if (r < 0)
        return ce_fail(err, -r, "the gRPC message of %zu bytes is malformed", message->size);
    if (r == 0) {
        name_append(renaming, number, name);
        return 0;
    }
    size_t at = renaming->count;
    if (at > 0 && field.tag < renaming->patches[0].old.data) {
        renaming->patches[1] = renaming->patches[0];
        renaming->patches[1].frame = 1;
        renaming->frames[1] = renaming->frames[0];
        at = 0;
    }
    renaming->frames[at] =
        (struct ce_pb_frame){.length = field.length, .body = field.value, .outer = CE_PB_NO_FRAME};
    renaming->patches[at] = (struct ce_pb_patch){.old = field.value, .new = name, .frame = at};
    renaming->count++;
    return 0;
}

static int message_rename(const struct ce_message *message, struct ce_slice model,
                          struct ce_slice version, struct ce_remade *ret, struct ce_error *err)
{
    struct renaming renaming = {0};
    ce_autofree char *field = malloc(model.size + version.size + (size_t)4 * CE_PB_VARINT_SIZE);
    if (!field)
        return ce_fail_memory(err);
    renaming.field = field;
    CE_TRY(name_replace(&renaming, message, CE_GRPC_MODEL_NAME, model, err));
    CE_TRY(name_replace(&renaming, message, CE_GRPC_MODEL_VERSION, version, err));

    struct ce_remade made = {0};
    CE_TRY(patched(message, renaming.frames, renaming.count, renaming.patches, renaming.count,
                   &made, err));
    /* What was missing goes to the end, where it counts most. */
    char *body = realloc(made.body, made.size + renaming.field_size + 1);
    if (!body) {
        free(made.body);
        return ce_fail_memory(err);
    }
    memcpy(body + made.size, field, renaming.field_size);
    *ret = (struct ce_remade){.body = body, .size = made.size + renaming.field_size};
    return 0;
}

/* ---- writing ---- */

static void number_write(FILE *file, uint64_t number)
{
    char bytes[CE_PB_VARINT_SIZE];
    (void)fwrite(bytes, 1, ce_pb_varint_write(bytes, number), file);
}

static void bytes_write(FILE *file, uint64_t number, struct ce_slice bytes)
{
    number_write(file, number << 3 | CE_PB_BYTES);
    number_write(file, bytes.size);
    (void)fwrite(bytes.data, 1, bytes.size, file);
}

/* Little-endian. A missing cell is NaN: the protocol has no null. */
static int cell_write(FILE *file, const struct ce_feature *feature, const char *cell,
                      struct ce_error *err)
{
    double number = NAN;
    if (cell && ce_text_number(cell, &number) < 0)
        return ce_fail(err, EINVAL, "column '%s' is of numbers, but a row has '%.80s' there",
                       feature->name, cell);
    char bytes[8];
    ce_bytes_write(bytes, sizeof bytes,
                   ce_type_float_bits(ce_type_find(ce_slice_of("FP64")), number));
    (void)fwrite(bytes, 1, sizeof bytes, file);
    return 0;
}

struct blob {
    char *bytes;
    size_t size;
};

static void blob_done(struct blob *blob)
{
    free(blob->bytes);
}

/* Columns of numbers, one after the other, or one text. */
static int contents_write(const struct ce_feature *features, const char *const *cells, size_t count,
                          struct blob *ret, struct ce_error *err)
{
    FILE *file = open_memstream(&ret->bytes, &ret->size);
    if (!file)
        return ce_fail_memory(err);
    int r = 0;
    if (!features[0].is_number) {
        bytes_write(file, CE_GRPC_CONTENTS_BYTES, ce_slice_of(cells[0] ? cells[0] : ""));
    } else {
        number_write(file, CE_GRPC_CONTENTS_FP64 << 3 | CE_PB_BYTES);
        number_write(file, count * 8);
        for (size_t i = 0; i < count && r == 0; i++)
            r = cell_write(file, &features[i], cells[i], err);
    }
    if (fclose(file) != 0 && r == 0)
        r = ce_fail_memory(err);
    return r;
}

static int tensor_write(FILE *request, const char *name, const struct ce_feature *features,
                        const char *const *cells, size_t count, struct ce_error *err)
{
    CE_CLEANUP(blob_done) struct blob contents = {0}, tensor = {0};
    CE_TRY(contents_write(features, cells, count, &contents, err));
    FILE *file = open_memstream(&tensor.bytes, &tensor.size);
    if (!file)
        return ce_fail_memory(err);
    char shape[1 + CE_PB_VARINT_SIZE] = {1};
    bytes_write(file, CE_GRPC_TENSOR_NAME, ce_slice_of(name));
    bytes_write(file, CE_GRPC_TENSOR_TYPE, ce_slice_of(features[0].is_number ? "FP64" : "BYTES"));
    bytes_write(file, CE_GRPC_TENSOR_SHAPE,
                (struct ce_slice){shape, 1 + ce_pb_varint_write(shape + 1, count)});
    bytes_write(file, CE_GRPC_TENSOR_CONTENTS, (struct ce_slice){contents.bytes, contents.size});
    if (fclose(file) != 0)
        return ce_fail_memory(err);
    bytes_write(request, CE_GRPC_TENSORS, (struct ce_slice){tensor.bytes, tensor.size});
    return 0;
}

static int request_write(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                         struct ce_error *err)
{
    bytes_write(file, CE_GRPC_MODEL_NAME, ce_slice_of(plan->model));
    if (plan->version[0])
        bytes_write(file, CE_GRPC_MODEL_VERSION, ce_slice_of(plan->version));
    bool all_numbers = plan->feature_count > 0;
    for (size_t i = 0; i < plan->feature_count; i++)
        all_numbers = all_numbers && plan->features[i].is_number;
    if (all_numbers)
        return tensor_write(file, "input-0", plan->features, cells, plan->feature_count, err);
    for (size_t i = 0; i < plan->feature_count; i++)
        CE_TRY(tensor_write(file, plan->features[i].name, &plan->features[i], &cells[i], 1, err));
    return 0;
}

static void error_write(FILE *file, int status, const char *sentence)
{
    (void)status;
    (void)fputs(sentence, file);
}

const struct ce_protocol ce_protocol_oip_grpc = {
    .name = "oip_grpc",
    .content_type = "application/grpc",
    .error_headers = "Content-Type: text/plain\r\n",
    .by_path = true,
    .needs_model = true,
    .path = "/inference.GRPCInferenceService/ModelInfer",
    .read_path = path_read,
    .outputs = outputs_read,
    .inputs = inputs_read,
    .apply = edits_apply,
    .shorten = row_drop,
    .rename = message_rename,
    .model = model_read,
    .write_error = error_write,
    .write_request = request_write,
};
