/* SPDX-License-Identifier: MIT */
/* What a message's body holds, as arrays that look into it. Every size, offset, index and type code
 * is checked here: whoever reads the arrays may rely on them. */
#include <stdlib.h>
#include <zstd.h>

#include "data/arrow/ipc_internal.h"
#include "data/arrow/lz4.h"

enum {
    RATIO_MAX = 32768, /* of a zstd block of one repeated byte; LZ4 stays below */
    CODEC_LZ4 = 0,
    CODEC_ZSTD = 1,
};

struct decoder {
    struct ce_ipc_source *source;
    const struct ce_ipc_body *body;
    struct ce_flat *flat;
    struct ce_flat_vector nodes, buffers, variadic;
    uint32_t next_node, next_buffer, next_variadic;
    enum ce_ipc_codec codec;
    struct ce_arrow_shared *owner; /* of unpacked buffers, and a reference to the body */
    struct unpacked *unpacked;
};

/* Buffers that were unpacked live as long as the arrays do. */
struct unpacked {
    struct ce_arrow_shared *body;
    void **buffers;
    size_t count, capacity;
};

static void free_unpacked(struct ArrowArray *array)
{
    struct unpacked *unpacked = array->private_data;
    for (size_t i = 0; i < unpacked->count; i++)
        free(unpacked->buffers[i]);
    free(unpacked->buffers);
    ce_arrow_shared_unref(unpacked->body);
    free(unpacked);
    array->release = NULL;
}

static int damaged(const struct decoder *decoder, const char *what, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "'%s' is damaged: %s", decoder->source->path, what);
}

/* ---- buffers ---- */

/* Room that is freed with the arrays. */
static void *keep(struct decoder *decoder, size_t size)
{
    struct unpacked *unpacked = decoder->unpacked;
    if (unpacked->count == unpacked->capacity) {
        size_t capacity = 2 * unpacked->capacity + 16;
        void **larger = realloc(unpacked->buffers, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        unpacked->buffers = larger;
        unpacked->capacity = capacity;
    }
    void *room = malloc(size + 1);
    if (room)
        unpacked->buffers[unpacked->count++] = room;
    return room;
}

/* Its size (i64; -1: it is not compressed after all), and the frame. */
static int unpack(struct decoder *decoder, const char **data, size_t *size, struct ce_error *err)
{
    if (*size == 0)
        return 0;
    int64_t whole = *size >= 8 ? ce_load_i64(*data, 0) : -2;
    size_t packed = *size - 8;
    if (whole == -1) {
        *data += 8;
        *size = packed;
        return 0;
    }
    if (whole < 0 || (uint64_t)whole > (uint64_t)packed * RATIO_MAX)
        return damaged(decoder, "a compressed buffer has no sensible size", err);
    char *room = keep(decoder, (size_t)whole);
    if (!room)
        return ce_fail_memory(err);
    bool unpacked = decoder->codec == CE_IPC_LZ4
                        ? ce_lz4_unpack(*data + 8, packed, room, (size_t)whole)
                        : ZSTD_decompress(room, (size_t)whole, *data + 8, packed) == (size_t)whole;
    if (!unpacked)
        return damaged(decoder, "a compressed buffer cannot be unpacked", err);
    *data = room;
    *size = (size_t)whole;
    return 0;
}

static int next_buffer(struct decoder *decoder, const char **ret_data, size_t *ret_size,
                       struct ce_error *err)
{
    if (decoder->next_buffer == decoder->buffers.count)
        return damaged(decoder, "a batch has too few buffers", err);
    size_t at = decoder->buffers.at + 16 * (size_t)decoder->next_buffer++;
    int64_t offset = ce_flat_load(decoder->flat, at, 8);
    int64_t size = ce_flat_load(decoder->flat, at + 8, 8);
    if (offset < 0 || size < 0 || (uint64_t)offset > decoder->body->size ||
        (uint64_t)size > decoder->body->size - (uint64_t)offset)
        return damaged(decoder, "a buffer lies outside its message", err);
    *ret_data = size > 0 ? decoder->body->data + offset : "";
    *ret_size = (size_t)size;
    return decoder->codec != CE_IPC_PLAIN ? unpack(decoder, ret_data, ret_size, err) : 0;
}

/* One that must hold at least so much. */
static int buffer_of(struct decoder *decoder, struct ArrowArray *array, int index, uint64_t least,
                     size_t *ret_size, struct ce_error *err)
{
    const char *data = NULL;
    size_t size = 0;
    CE_TRY(next_buffer(decoder, &data, &size, err));
    if (size < least)
        return damaged(decoder, "a buffer is too short for its column", err);
    array->buffers[index] = data;
    if (ret_size)
        *ret_size = size;
    return 0;
}

static int validity(struct decoder *decoder, struct ArrowArray *array, struct ce_error *err)
{
    const char *data = NULL;
    size_t size = 0;
    CE_TRY(next_buffer(decoder, &data, &size, err));
    if (size == 0) {
        array->null_count = 0;
        return 0;
    }
    if (size < (uint64_t)(array->length + 7) / 8)
        return damaged(decoder, "a buffer is too short for its column", err);
    if (array->null_count > 0)
        array->buffers[0] = data;
    return 0;
}

/* ---- what buffers point to ---- */

/* Offsets that go up, from 0 or more, to at most `end`. */
static bool offsets_fit(const void *offsets, bool wide, int64_t length, uint64_t end)
{
    int64_t before = 0;
    for (int64_t i = 0; i <= length; i++) {
        int64_t at = wide ? ce_load_i64(offsets, i) : ce_load_i32(offsets, i);
        if (at < before)
            return false;
        before = at;
    }
    return (uint64_t)before <= end;
}

static bool views_fit(const struct ce_arrow_type *type, const struct ArrowArray *array,
                      const size_t *sizes, int64_t count)
{
    for (int64_t i = 0; i < array->length; i++) {
        const char *view = (const char *)array->buffers[1] + 16 * i;
        int64_t size = ce_load_i32(view, 0), in = ce_load_i32(view, 2), at = ce_load_i32(view, 3);
        if (!ce_arrow_valid(type, array, i))
            continue;
        if (size < 0 || (size > 12 && (in < 0 || in >= count || at < 0 ||
                                       (uint64_t)at + (uint64_t)size > sizes[in])))
            return false;
    }
    return true;
}

static bool list_views_fit(const struct ce_arrow_type *type, const struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->length; i++) {
        int64_t start, count;
        ce_arrow_list(type, array, i, &start, &count);
        if (ce_arrow_valid(type, array, i) &&
            (start < 0 || count < 0 || start > array->children[0]->length - count))
            return false;
    }
    return true;
}

static bool indices_fit(const struct ce_arrow_type *type, const struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->length; i++) {
        int64_t at = ce_arrow_valid(type, array, i) ? ce_arrow_index(type, array, i) : -1;
        if (at < -1 || at >= array->dictionary->length ||
            (at < 0 && ce_arrow_valid(type, array, i)))
            return false;
    }
    return true;
}

static bool union_fits(const struct ce_arrow_type *type, const struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->length; i++) {
        int64_t at;
        int child = ce_arrow_union(type, array, i, &at);
        if (child < 0 || at < 0 || at >= array->children[child]->length)
            return false;
    }
    return true;
}

static bool runs_fit(const struct ce_arrow_type *type, const struct ArrowArray *array)
{
    const struct ArrowArray *ends = array->children[0];
    int64_t before = 0;
    for (int64_t i = 0; i < ends->length; i++) {
        int64_t end = ce_arrow_signed(type->children[0], ends, i);
        if (end <= before || ends->buffers[0])
            return false;
        before = end;
    }
    return before >= array->length && array->children[1]->length >= ends->length;
}

/* ---- arrays ---- */

static int decode(struct decoder *decoder, const struct ce_arrow_type *type,
                  const struct ce_ipc_field *field, struct ArrowArray *ret_array,
                  struct ce_error *err);

static int decode_children(struct decoder *decoder, const struct ce_arrow_type *type,
                           const struct ce_ipc_field *field, struct ArrowArray *array,
                           struct ce_error *err)
{
    for (size_t i = 0; i < type->child_count; i++)
        CE_TRY(decode(decoder, type->children[i], &field->children[i], array->children[i], err));
    return 0;
}

static int decode_bytes(struct decoder *decoder, const struct ce_arrow_type *type,
                        struct ArrowArray *array, struct ce_error *err)
{
    static const char zeroes[8];
    bool wide = type->shape == CE_SHAPE_BYTES64;
    size_t size, offsets;
    uint64_t least = array->length > 0 ? (uint64_t)(array->length + 1) * (wide ? 8 : 4) : 0;
    CE_TRY(buffer_of(decoder, array, 1, least, &offsets, err));
    if (offsets < (wide ? 8 : 4)) /* an empty array need not have any */
        array->buffers[1] = zeroes;
    CE_TRY(buffer_of(decoder, array, 2, 0, &size, err));
    return offsets_fit(array->buffers[1], wide, array->length, size)
               ? 0
               : damaged(decoder, "a text lies outside its buffer", err);
}

static int decode_views(struct decoder *decoder, const struct ce_arrow_type *type,
                        struct ArrowArray *array, struct ce_error *err)
{
    int64_t count = array->n_buffers - 3;
    size_t *sizes = keep(decoder, (size_t)count * sizeof *sizes);
    if (!sizes)
        return ce_fail_memory(err);
    CE_TRY(buffer_of(decoder, array, 1, (uint64_t)array->length * 16, NULL, err));
    for (int64_t i = 0; i < count; i++)
        CE_TRY(buffer_of(decoder, array, (int)(2 + i), 0, &sizes[i], err));
    array->buffers[2 + count] = sizes; /* on every machine that Arrow runs on, these are 64 bits */
    return views_fit(type, array, sizes, count)
               ? 0
               : damaged(decoder, "a text lies outside its buffer", err);
}

static int decode_list(struct decoder *decoder, const struct ce_arrow_type *type,
                       const struct ce_ipc_field *field, struct ArrowArray *array,
                       struct ce_error *err)
{
    static const char zeroes[8];
    bool wide = type->shape == CE_SHAPE_LIST64;
    size_t size;
    uint64_t least = array->length > 0 ? (uint64_t)(array->length + 1) * (wide ? 8 : 4) : 0;
    CE_TRY(buffer_of(decoder, array, 1, least, &size, err));
    if (size < (wide ? 8 : 4))
        array->buffers[1] = zeroes;
    CE_TRY(decode_children(decoder, type, field, array, err));
    return offsets_fit(array->buffers[1], wide, array->length, (uint64_t)array->children[0]->length)
               ? 0
               : damaged(decoder, "a list lies outside its elements", err);
}

static int decode_nested(struct decoder *decoder, const struct ce_arrow_type *type,
                         const struct ce_ipc_field *field, struct ArrowArray *array,
                         struct ce_error *err)
{
    uint64_t length = (uint64_t)array->length;
    bool fits = true;
    switch (type->shape) {
    case CE_SHAPE_LIST_VIEW32:
    case CE_SHAPE_LIST_VIEW64:
        for (int i = 1; i <= 2; i++)
            CE_TRY(buffer_of(decoder, array, i,
                             length * (type->shape == CE_SHAPE_LIST_VIEW32 ? 4 : 8), NULL, err));
        CE_TRY(decode_children(decoder, type, field, array, err));
        fits = list_views_fit(type, array);
        break;
    case CE_SHAPE_UNION_SPARSE:
    case CE_SHAPE_UNION_DENSE:
        if (decoder->source->old_unions)
            return ce_fail(err, EOPNOTSUPP,
                           "'%s' has a union of metadata version V4, which is "
                           "not read; V5 is",
                           decoder->source->path);
        CE_TRY(buffer_of(decoder, array, 0, length, NULL, err));
        if (type->shape == CE_SHAPE_UNION_DENSE)
            CE_TRY(buffer_of(decoder, array, 1, length * 4, NULL, err));
        CE_TRY(decode_children(decoder, type, field, array, err));
        fits = union_fits(type, array);
        break;
    case CE_SHAPE_RUNS:
        CE_TRY(decode_children(decoder, type, field, array, err));
        fits = runs_fit(type, array);
        break;
    default:
        CE_TRY(decode_children(decoder, type, field, array, err));
        for (size_t i = 0; i < type->child_count; i++) {
            uint64_t each = type->shape == CE_SHAPE_FIXED_LIST ? (uint64_t)type->width : 1;
            uint64_t there = (uint64_t)array->children[i]->length;
            fits = fits && (each == 0 || there / each >= length);
        }
        break;
    }
    return fits ? 0 : damaged(decoder, "a nested column does not fit its parent", err);
}

static int attach_dictionary(struct decoder *decoder, const struct ce_arrow_type *type,
                             const struct ce_ipc_field *field, struct ArrowArray *array,
                             struct ce_error *err)
{
    const struct ce_ipc_source *source = decoder->source;
    for (size_t i = 0; i < source->dictionary_count; i++) {
        struct ce_arrow_shared *values = source->dictionaries[i].values;
        if (source->dictionaries[i].id != field->id || !values)
            continue;
        const struct ArrowArray *known = ce_arrow_shared_array(values);
        CE_TRY(ce_arrow_view(values, known, 0, known->length, array->dictionary, err));
        return indices_fit(type, array)
                   ? 0
                   : damaged(decoder, "an index is none of its dictionary", err);
    }
    return damaged(decoder, "a batch comes before its dictionary", err);
}

static int decode_parts(struct decoder *decoder, const struct ce_arrow_type *type,
                        const struct ce_ipc_field *field, struct ArrowArray *array,
                        struct ce_error *err)
{
    if (ce_arrow_has_validity(type))
        CE_TRY(validity(decoder, array, err));
    switch (type->shape) {
    case CE_SHAPE_NULLS:
        array->null_count = array->length;
        return 0;
    case CE_SHAPE_BITS:
        return buffer_of(decoder, array, 1, (uint64_t)(array->length + 7) / 8, NULL, err);
    case CE_SHAPE_FIXED:
        if (type->width > 0 && array->length > INT64_MAX / 64 / type->width)
            return damaged(decoder, "a column is too long", err);
        CE_TRY(buffer_of(decoder, array, 1, (uint64_t)(array->length * type->width), NULL, err));
        return type->dictionary ? attach_dictionary(decoder, type, field, array, err) : 0;
    case CE_SHAPE_BYTES32:
    case CE_SHAPE_BYTES64:
        return decode_bytes(decoder, type, array, err);
    case CE_SHAPE_VIEWS:
        return decode_views(decoder, type, array, err);
    case CE_SHAPE_LIST32:
    case CE_SHAPE_LIST64:
        return decode_list(decoder, type, field, array, err);
    default:
        return decode_nested(decoder, type, field, array, err);
    }
}

static int variadic_count(struct decoder *decoder, int64_t *ret_count, struct ce_error *err)
{
    if (decoder->next_variadic == decoder->variadic.count)
        return damaged(decoder, "a batch does not say how many buffers its texts have", err);
    *ret_count =
        ce_flat_load(decoder->flat, decoder->variadic.at + 8 * (size_t)decoder->next_variadic++, 8);
    return *ret_count < 0 || *ret_count > decoder->buffers.count
               ? damaged(decoder, "a batch has too few buffers", err)
               : 0;
}

static int decode(struct decoder *decoder, const struct ce_arrow_type *type,
                  const struct ce_ipc_field *field, struct ArrowArray *ret_array,
                  struct ce_error *err)
{
    if (decoder->next_node == decoder->nodes.count)
        return damaged(decoder, "a batch has too few columns", err);
    size_t at = decoder->nodes.at + 16 * (size_t)decoder->next_node++;
    int64_t length = ce_flat_load(decoder->flat, at, 8), more = 0;
    int64_t nulls = ce_flat_load(decoder->flat, at + 8, 8);
    if (length < 0 || length > INT64_MAX / 64 || nulls < 0 || nulls > length)
        return damaged(decoder, "a column has no sensible length", err);
    if (type->shape == CE_SHAPE_VIEWS)
        CE_TRY(variadic_count(decoder, &more, err));
    size_t buffers = (size_t)ce_arrow_buffer_count(type);
    buffers += type->shape == CE_SHAPE_VIEWS ? (size_t)more + 1 : 0;
    CE_TRY(ce_arrow_array_make_in(decoder->owner, length, buffers, type->child_count,
                                  type->dictionary != NULL, ret_array, err));
    ret_array->null_count = nulls;
    return decode_parts(decoder, type, field, ret_array, err);
}

/* ---- batches ---- */

static int decoder_open(struct decoder *decoder, const struct ce_flat_table *batch,
                        struct ce_error *err)
{
    struct ce_flat_table compression;
    decoder->flat = batch->flat;
    decoder->nodes = ce_flat_vector(batch, 1, 16);
    decoder->buffers = ce_flat_vector(batch, 2, 16);
    decoder->variadic = ce_flat_vector(batch, 4, 8);
    if (ce_flat_child(batch, 3, &compression)) {
        int64_t codec = ce_flat_number(&compression, 0, 1, CODEC_LZ4);
        if (codec != CODEC_LZ4 && codec != CODEC_ZSTD)
            return ce_fail(err, EOPNOTSUPP,
                           "'%s' is compressed in an unknown way, %d; LZ4, zstd and none are read",
                           decoder->source->path, (int)codec);
        decoder->codec = codec == CODEC_ZSTD ? CE_IPC_ZSTD : CE_IPC_LZ4;
        decoder->source->codec = decoder->codec;
    }
    if (batch->flat->bad)
        return damaged(decoder, "a batch cannot be read", err);
    decoder->unpacked = calloc(1, sizeof *decoder->unpacked);
    if (!decoder->unpacked)
        return ce_fail_memory(err);
    decoder->unpacked->body = ce_arrow_shared_ref(decoder->body->owner);
    struct ArrowArray holder = {.release = free_unpacked, .private_data = decoder->unpacked};
    decoder->owner = ce_arrow_shared_new(&holder);
    if (decoder->owner)
        return 0;
    holder.release(&holder);
    return ce_fail_memory(err);
}

static int decode_columns(struct decoder *decoder, const struct ce_arrow_type *table,
                          const struct ce_ipc_field *root, struct ArrowArray *out,
                          struct ce_error *err)
{
    CE_TRY(decode_children(decoder, table, root, out, err));
    for (int64_t i = 0; i < out->n_children; i++)
        if (out->children[i]->length != out->length)
            return damaged(decoder, "columns of a batch differ in length", err);
    return 0;
}

int ce_ipc_batch_read(struct ce_ipc_source *source, const struct ce_arrow_type *table,
                      const struct ce_ipc_field *root, const struct ce_flat_table *batch,
                      const struct ce_ipc_body *body, struct ArrowArray *ret_batch,
                      struct ce_error *err)
{
    struct decoder decoder = {.source = source, .body = body};
    struct ArrowArray out = {0};
    int64_t length = ce_flat_number(batch, 0, 8, 0);
    CE_TRY(decoder_open(&decoder, batch, err));
    int r = length < 0 ? damaged(&decoder, "a batch has no sensible length", err)
                       : ce_arrow_array_make(length, 1, table->child_count, false, &out, err);
    if (r == 0)
        r = decode_columns(&decoder, table, root, &out, err);
    ce_arrow_shared_unref(decoder.owner);
    if (r < 0)
        ce_arrow_array_done(&out);
    else
        *ret_batch = out;
    return r;
}

/* ---- dictionaries ---- */

static int find_in(struct ce_ipc_source *source, const struct ce_arrow_type *type,
                   const struct ce_ipc_field *field, struct ce_error *err)
{
    const struct ce_arrow_type *values = type->dictionary ? type->dictionary : type;
    if (type->dictionary) {
        size_t count = source->dictionary_count;
        void *larger = realloc(source->dictionaries, (count + 1) * sizeof *source->dictionaries);
        if (!larger)
            return ce_fail_memory(err);
        source->dictionaries = larger;
        source->dictionaries[source->dictionary_count++] =
            (struct ce_ipc_dictionary){.id = field->id, .type = values, .field = field};
    }
    for (size_t i = 0; i < values->child_count; i++)
        CE_TRY(find_in(source, values->children[i], &field->children[i], err));
    return 0;
}

int ce_ipc_dictionaries_find(struct ce_ipc_source *source, const struct ce_arrow_type *table,
                             const struct ce_ipc_field *root, struct ce_error *err)
{
    return find_in(source, table, root, err);
}

void ce_ipc_dictionaries_done(struct ce_ipc_source *source)
{
    for (size_t i = 0; i < source->dictionary_count; i++)
        ce_arrow_shared_unref(source->dictionaries[i].values);
    free(source->dictionaries);
    source->dictionaries = NULL;
    source->dictionary_count = 0;
}

/* The values that are known and those that came. */
static int join(const struct ce_ipc_dictionary *dictionary, const struct ArrowArray *more,
                struct ArrowArray *ret_values, struct ce_error *err)
{
    struct ce_grow grow;
    int r = ce_grow_init(&grow, dictionary->type, err);
    const struct ArrowArray *known = ce_arrow_shared_array(dictionary->values);
    if (r == 0)
        r = ce_grow_range(&grow, known, known->offset, known->length, err);
    if (r == 0)
        r = ce_grow_range(&grow, more, more->offset, more->length, err);
    if (r == 0)
        r = ce_grow_end(&grow, ret_values, err);
    ce_grow_done(&grow);
    return r;
}

static int take_values(struct ce_ipc_dictionary *dictionary, struct ArrowArray *values, bool delta,
                       struct ce_error *err)
{
    struct ArrowArray joined;
    if (delta && dictionary->values) {
        CE_TRY(join(dictionary, values, &joined, err));
        values->release(values);
        *values = joined;
    }
    struct ce_arrow_shared *shared = ce_arrow_shared_new(values);
    if (!shared)
        return ce_fail_memory(err);
    ce_arrow_shared_unref(dictionary->values);
    dictionary->values = shared;
    return 0;
}

int ce_ipc_dictionary_read(struct ce_ipc_source *source, int64_t id,
                           const struct ce_flat_table *batch, const struct ce_ipc_body *body,
                           bool delta, struct ce_error *err)
{
    bool any = false;
    for (size_t i = 0; i < source->dictionary_count; i++) {
        struct ce_ipc_dictionary *dictionary = &source->dictionaries[i];
        struct decoder decoder = {.source = source, .body = body};
        struct ArrowArray values = {0};
        if (dictionary->id != id)
            continue;
        any = true;
        CE_TRY(decoder_open(&decoder, batch, err));
        int r = decode(&decoder, dictionary->type, dictionary->field, &values, err);
        ce_arrow_shared_unref(decoder.owner);
        if (r == 0)
            r = take_values(dictionary, &values, delta, err);
        ce_arrow_array_done(&values);
        CE_TRY(r);
    }
    return any ? 0
               : ce_fail(err, EINVAL, "'%s' is damaged: no column has a dictionary %lld",
                         source->path, (long long)id);
}
