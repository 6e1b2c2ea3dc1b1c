/* SPDX-License-Identifier: MIT */
/* Writing Arrow IPC. Arrays may be slices: their bitmaps and offsets are moved to begin at zero,
 * and everything else is written from where it lies.
 *
 * A dictionary is written before the first batch that needs it. When it has grown since, the new
 * values follow as a delta; in a stream another one may take its place, in a file it may not. */
#include <stdlib.h>
#include <zstd.h>

#include "data/arrow/ipc_internal.h"
#include "data/arrow/lz4.h"

enum { ALIGNMENT = 8, ZSTD_LEVEL = 1, CODEC_LZ4 = 0, CODEC_ZSTD = 1 };

struct block {
    int64_t offset, metadata_size, body_size;
};

struct blocks {
    struct block *list;
    size_t count, capacity;
};

/* The body of a message in the making. */
struct body {
    struct ce_buffer nodes;    /* struct FieldNode: length, null count */
    struct ce_buffer buffers;  /* struct Buffer: offset, size */
    struct ce_buffer variadic; /* numbers of buffers of views */
    struct part {
        const void *data;
        size_t size;
        void *own; /* to be freed */
    } * parts;
    size_t part_count, part_capacity;
    int64_t size;
};

struct writer {
    struct ce_arrow_source source;
    const struct ce_ipc_style *style;
    struct ce_output *output;
    struct ce_flat_writer flat;
    struct body body;
    struct blocks dictionaries, batches;
    struct written {
        struct ce_buffer values; /* all that was written, encoded */
        int64_t count;
        const void *const *buffers; /* of the array in the batch before, which still lives */
        int64_t length;
        bool any;
    } * written;
    size_t written_count;
    int64_t next_id;
    struct ArrowArray before; /* the batch written last: its dictionaries are known by address */
    ZSTD_CCtx *zstd;
};

static void body_clear(struct body *body)
{
    for (size_t i = 0; i < body->part_count; i++)
        free(body->parts[i].own);
    body->part_count = 0;
    body->nodes.size = body->buffers.size = body->variadic.size = 0;
    body->size = 0;
}

static void writer_done(struct writer *writer)
{
    body_clear(&writer->body);
    free(writer->body.parts);
    ce_buffer_done(&writer->body.nodes);
    ce_buffer_done(&writer->body.buffers);
    ce_buffer_done(&writer->body.variadic);
    ce_buffer_done(&writer->flat.out);
    for (size_t i = 0; i < writer->written_count; i++)
        ce_buffer_done(&writer->written[i].values);
    free(writer->written);
    free(writer->dictionaries.list);
    free(writer->batches.list);
    ce_arrow_array_done(&writer->before);
    ce_arrow_source_done(&writer->source);
    ZSTD_freeCCtx(writer->zstd);
}

/* ---- buffers ---- */

/* What the codec makes of the part; 0: nothing smaller. */
static size_t compress(struct writer *writer, const struct part *part, char *out, size_t bound)
{
    if (writer->style->codec == CE_IPC_LZ4)
        return ce_lz4_pack(part->data, part->size, out);
    size_t size = ZSTD_compressCCtx(writer->zstd, out, bound, part->data, part->size, ZSTD_LEVEL);
    return ZSTD_isError(size) ? 0 : size;
}

/* The part, compressed where that pays. */
static int pack(struct writer *writer, struct part *part, struct ce_error *err)
{
    size_t bound = writer->style->codec == CE_IPC_LZ4 ? ce_lz4_bound(part->size)
                                                      : ZSTD_compressBound(part->size);
    int64_t whole = (int64_t)part->size;
    if (!writer->zstd)
        writer->zstd = ZSTD_createCCtx();
    char *packed = malloc(8 + bound);
    if (!writer->zstd || !packed) {
        free(packed);
        return ce_fail_memory(err);
    }
    size_t size = compress(writer, part, packed + 8, bound);
    if (size == 0 || size >= part->size) {
        whole = -1;
        size = part->size;
        memcpy(packed + 8, part->data, size);
    }
    memcpy(packed, &whole, 8);
    free(part->own);
    *part = (struct part){.data = packed, .size = 8 + size, .own = packed};
    return 0;
}

/* `own`: is freed when it has been written; taken over in every case. */
static int put_buffer(struct writer *writer, const void *data, size_t size, void *own,
                      struct ce_error *err)
{
    struct body *body = &writer->body;
    struct part part = {.data = data, .size = size, .own = own};
    if (body->part_count == body->part_capacity) {
        size_t capacity = 2 * body->part_capacity + 64;
        struct part *larger = realloc(body->parts, capacity * sizeof *larger);
        if (!larger) {
            free(own);
            return ce_fail_memory(err);
        }
        body->parts = larger;
        body->part_capacity = capacity;
    }
    int r = writer->style->codec != CE_IPC_PLAIN && size > 0 ? pack(writer, &part, err) : 0;
    if (r < 0) {
        free(own);
        return r;
    }
    body->parts[body->part_count++] = part;
    int64_t where[] = {body->size, (int64_t)part.size};
    body->size += ((int64_t)part.size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return ce_buffer_put(&body->buffers, where, sizeof where) ? 0 : ce_fail_memory(err);
}

static int put_bits(struct writer *writer, const void *bits, int64_t start, int64_t count,
                    struct ce_error *err)
{
    size_t size = (size_t)((count + 7) / 8);
    if (start % 8 == 0)
        return put_buffer(writer, (const char *)bits + start / 8, size, NULL, err);
    uint8_t *moved = calloc(size + 1, 1);
    if (!moved)
        return ce_fail_memory(err);
    for (int64_t i = 0; i < count; i++)
        moved[i / 8] |= (uint8_t)(ce_bit(bits, start + i) << (i % 8));
    return put_buffer(writer, moved, size, moved, err);
}

/* Offsets that begin at zero. */
static int put_offsets(struct writer *writer, const void *offsets, bool wide, int64_t start,
                       int64_t count, struct ce_error *err)
{
    size_t width = wide ? 8 : 4, size = (size_t)(count + 1) * width;
    int64_t (*load)(const void *, int64_t) = wide ? ce_load_i64 : ce_load_i32;
    int64_t first = count > 0 ? load(offsets, start) : 0;
    if (count > 0 && first == 0)
        return put_buffer(writer, (const char *)offsets + (size_t)start * width, size, NULL, err);
    char *moved = calloc(size, 1);
    if (!moved)
        return ce_fail_memory(err);
    for (int64_t i = 0; i <= count && count > 0; i++) {
        int64_t at = load(offsets, start + i) - first;
        int32_t narrow = (int32_t)at;
        memcpy(moved + (size_t)i * width, wide ? (void *)&at : (void *)&narrow, width);
    }
    return put_buffer(writer, moved, size, moved, err);
}

static int64_t count_nulls(const struct ce_arrow_type *type, const struct ArrowArray *array,
                           int64_t start, int64_t length)
{
    if (type->shape == CE_SHAPE_NULLS)
        return length;
    if (!ce_arrow_has_validity(type) || !array->buffers[0] || array->null_count == 0)
        return 0;
    if (array->null_count > 0 && start == array->offset && length == array->length)
        return array->null_count;
    int64_t nulls = 0;
    for (int64_t i = start; i < start + length; i++)
        nulls += !ce_bit(array->buffers[0], i);
    return nulls;
}

/* ---- arrays ---- */

static int put_array(struct writer *writer, const struct ce_arrow_type *type,
                     const struct ArrowArray *array, int64_t start, int64_t length,
                     struct ce_error *err);

static int put_child(struct writer *writer, const struct ce_arrow_type *type,
                     const struct ArrowArray *array, size_t child, int64_t start, int64_t length,
                     struct ce_error *err)
{
    const struct ArrowArray *nested = array->children[child];
    return put_array(writer, type->children[child], nested, nested->offset + start, length, err);
}

/* Children as they are, which views, unions and runs point into. */
static int put_whole_children(struct writer *writer, const struct ce_arrow_type *type,
                              const struct ArrowArray *array, struct ce_error *err)
{
    for (size_t i = 0; i < type->child_count; i++)
        CE_TRY(put_child(writer, type, array, i, 0, array->children[i]->length, err));
    return 0;
}

static int put_bytes(struct writer *writer, const struct ce_arrow_type *type,
                     const struct ArrowArray *array, int64_t start, int64_t length,
                     struct ce_error *err)
{
    bool wide = type->shape == CE_SHAPE_BYTES64;
    int64_t (*load)(const void *, int64_t) = wide ? ce_load_i64 : ce_load_i32;
    int64_t from = length > 0 ? load(array->buffers[1], start) : 0;
    int64_t to = length > 0 ? load(array->buffers[1], start + length) : 0;
    CE_TRY(put_offsets(writer, array->buffers[1], wide, start, length, err));
    return put_buffer(writer, to > from ? (const char *)array->buffers[2] + from : NULL,
                      (size_t)(to - from), NULL, err);
}

static int put_views(struct writer *writer, const struct ArrowArray *array, int64_t start,
                     int64_t length, struct ce_error *err)
{
    int64_t count = array->n_buffers - 3;
    const int64_t *sizes = count > 0 ? array->buffers[2 + count] : NULL;
    CE_TRY(put_buffer(writer, (const char *)array->buffers[1] + 16 * start, (size_t)length * 16,
                      NULL, err));
    for (int64_t i = 0; i < count; i++)
        CE_TRY(put_buffer(writer, array->buffers[2 + i], (size_t)sizes[i], NULL, err));
    return ce_buffer_put(&writer->body.variadic, &count, 8) ? 0 : ce_fail_memory(err);
}

static int put_list(struct writer *writer, const struct ce_arrow_type *type,
                    const struct ArrowArray *array, int64_t start, int64_t length,
                    struct ce_error *err)
{
    int64_t from = 0, first = 0, size = 0;
    if (length > 0) {
        ce_arrow_list(type, array, start, &first, &size);
        ce_arrow_list(type, array, start + length - 1, &from, &size);
    }
    CE_TRY(
        put_offsets(writer, array->buffers[1], type->shape == CE_SHAPE_LIST64, start, length, err));
    return put_child(writer, type, array, 0, first, from + size - first, err);
}

static int put_other(struct writer *writer, const struct ce_arrow_type *type,
                     const struct ArrowArray *array, int64_t start, int64_t length,
                     struct ce_error *err)
{
    size_t width = type->shape == CE_SHAPE_LIST_VIEW32 ? 4 : 8;
    switch (type->shape) {
    case CE_SHAPE_LIST_VIEW32:
    case CE_SHAPE_LIST_VIEW64:
        for (int i = 1; i <= 2; i++)
            CE_TRY(put_buffer(writer, (const char *)array->buffers[i] + (size_t)start * width,
                              (size_t)length * width, NULL, err));
        return put_whole_children(writer, type, array, err);
    case CE_SHAPE_UNION_DENSE:
        CE_TRY(
            put_buffer(writer, (const char *)array->buffers[0] + start, (size_t)length, NULL, err));
        CE_TRY(put_buffer(writer, (const char *)array->buffers[1] + 4 * start, (size_t)length * 4,
                          NULL, err));
        return put_whole_children(writer, type, array, err);
    case CE_SHAPE_RUNS:
        if (start != 0)
            return ce_fail(err, EOPNOTSUPP,
                           "a part of a run-end-encoded column cannot be written to Arrow IPC");
        return put_whole_children(writer, type, array, err);
    default: /* structs, sparse unions, lists of a fixed size */
        if (type->shape == CE_SHAPE_UNION_SPARSE)
            CE_TRY(put_buffer(writer, (const char *)array->buffers[0] + start, (size_t)length, NULL,
                              err));
        int64_t each = type->shape == CE_SHAPE_FIXED_LIST ? type->width : 1;
        for (size_t i = 0; i < type->child_count; i++)
            CE_TRY(put_child(writer, type, array, i, start * each, length * each, err));
        return 0;
    }
}

/* Rows [start, start + length) of the array's buffers. */
static int put_array(struct writer *writer, const struct ce_arrow_type *type,
                     const struct ArrowArray *array, int64_t start, int64_t length,
                     struct ce_error *err)
{
    int64_t node[] = {length, count_nulls(type, array, start, length)};
    if (!ce_buffer_put(&writer->body.nodes, node, sizeof node))
        return ce_fail_memory(err);
    if (ce_arrow_has_validity(type))
        CE_TRY(node[1] > 0 ? put_bits(writer, array->buffers[0], start, length, err)
                           : put_buffer(writer, NULL, 0, NULL, err));
    switch (type->shape) {
    case CE_SHAPE_NULLS:
        return 0;
    case CE_SHAPE_BITS:
        return put_bits(writer, array->buffers[1], start, length, err);
    case CE_SHAPE_FIXED:
        return put_buffer(writer, (const char *)array->buffers[1] + start * type->width,
                          (size_t)(length * type->width), NULL, err);
    case CE_SHAPE_BYTES32:
    case CE_SHAPE_BYTES64:
        return put_bytes(writer, type, array, start, length, err);
    case CE_SHAPE_VIEWS:
        return put_views(writer, array, start, length, err);
    case CE_SHAPE_LIST32:
    case CE_SHAPE_LIST64:
        return put_list(writer, type, array, start, length, err);
    default:
        return put_other(writer, type, array, start, length, err);
    }
}

/* ---- messages ---- */

static int put_padding(struct writer *writer, size_t size, struct ce_error *err)
{
    static const char zeroes[ALIGNMENT];
    size_t more = (ALIGNMENT - size % ALIGNMENT) % ALIGNMENT;
    return more > 0 ? ce_output_put(writer->output, zeroes, more, err) : 0;
}

/* What `flat` holds, and the body. */
static int put_message(struct writer *writer, struct blocks *blocks, struct ce_error *err)
{
    struct block block = {.offset = (int64_t)ce_output_total(writer->output),
                          .body_size = writer->body.size};
    size_t size = writer->flat.out.size, whole = (size + 7) / 8 * 8;
    int32_t head[] = {-1, (int32_t)whole};
    if (writer->flat.failed)
        return ce_fail_memory(err);
    block.metadata_size = (int64_t)whole + 8;
    CE_TRY(ce_output_put(writer->output, head, sizeof head, err));
    CE_TRY(ce_output_put(writer->output, writer->flat.out.data, size, err));
    CE_TRY(put_padding(writer, size, err));
    for (size_t i = 0; i < writer->body.part_count; i++) {
        const struct part *part = &writer->body.parts[i];
        if (part->size > 0)
            CE_TRY(ce_output_put(writer->output, part->data, part->size, err));
        CE_TRY(put_padding(writer, part->size, err));
    }
    body_clear(&writer->body);
    if (!blocks || !writer->style->file)
        return 0;
    if (blocks->count == blocks->capacity) {
        size_t capacity = 2 * blocks->capacity + 64;
        void *larger = realloc(blocks->list, capacity * sizeof *blocks->list);
        if (!larger)
            return ce_fail_memory(err);
        blocks->list = larger;
        blocks->capacity = capacity;
    }
    blocks->list[blocks->count++] = block;
    return 0;
}

static void put_elements(struct writer *writer, size_t table, unsigned field,
                         const struct ce_buffer *elements, size_t size)
{
    struct ce_flat_writer *flat = &writer->flat;
    size_t at = ce_flat_put_vector(flat, ce_flat_field(flat, table, field),
                                   (uint32_t)(elements->size / size), size);
    if (!flat->failed && elements->size > 0)
        memcpy(flat->out.data + at, elements->data, elements->size);
}

/* A RecordBatch table about the body. */
static void put_batch_table(struct writer *writer, size_t from, int64_t length)
{
    static const uint8_t method[] = {1, 1};
    struct ce_flat_writer *flat = &writer->flat;
    const struct body *body = &writer->body;
    uint8_t sizes[] = {8, 4, 4, writer->style->codec != CE_IPC_PLAIN ? 4 : 0,
                       body->variadic.size > 0 ? 4 : 0};
    size_t table = ce_flat_put_table(flat, from, sizes, 5);
    ce_flat_set(flat, ce_flat_field(flat, table, 0), length, 8);
    put_elements(writer, table, 1, &body->nodes, 16);
    put_elements(writer, table, 2, &body->buffers, 16);
    if (sizes[3]) {
        size_t compression = ce_flat_put_table(flat, ce_flat_field(flat, table, 3), method, 2);
        ce_flat_set(flat, ce_flat_field(flat, compression, 0),
                    writer->style->codec == CE_IPC_ZSTD ? CODEC_ZSTD : CODEC_LZ4, 1);
    }
    if (sizes[4])
        put_elements(writer, table, 4, &body->variadic, 8);
}

static size_t begin_message(struct writer *writer, int header)
{
    writer->flat.out.size = 0;
    return ce_ipc_message_begin(&writer->flat, header, writer->body.size);
}

static int put_schema(struct writer *writer, struct ce_error *err)
{
    static const char magic[8] = CE_IPC_MAGIC;
    if (writer->style->file)
        CE_TRY(ce_output_put(writer->output, magic, sizeof magic, err));
    size_t from = begin_message(writer, IPC_HEADER_SCHEMA);
    CE_TRY(ce_ipc_schema_write(&writer->flat, from, &writer->source.schema, err));
    return put_message(writer, NULL, err);
}

/* ---- dictionaries ---- */

static int put_values(struct writer *writer, int64_t id, const struct ce_arrow_type *type,
                      const struct ArrowArray *values, int64_t start, bool delta,
                      struct ce_error *err)
{
    static const uint8_t sizes[] = {8, 4, 1};
    struct ce_flat_writer *flat = &writer->flat;
    int64_t length = values->length - start;
    CE_TRY(put_array(writer, type, values, values->offset + start, length, err));
    size_t from = begin_message(writer, IPC_HEADER_DICTIONARY);
    size_t table = ce_flat_put_table(flat, from, sizes, 3);
    ce_flat_set(flat, ce_flat_field(flat, table, 0), id, 8);
    ce_flat_set(flat, ce_flat_field(flat, table, 2), delta, 1);
    put_batch_table(writer, ce_flat_field(flat, table, 1), length);
    return put_message(writer, &writer->dictionaries, err);
}

/* Whether it is the very array that the batch before had. */
static bool is_known(const struct written *written, const struct ArrowArray *values)
{
    bool known = written->buffers && written->length == values->length && values->n_buffers > 0;
    for (int64_t i = 0; known && i < values->n_buffers; i++)
        known = written->buffers[i] == values->buffers[i];
    return known;
}

static int encode_values(const struct ce_arrow_type *type, const struct ArrowArray *values,
                         struct ce_buffer *out, struct ce_error *err)
{
    for (int64_t i = 0; i < values->length; i++) {
        size_t mark = ce_encode_begin(out);
        if (mark == SIZE_MAX || !ce_arrow_encode(type, values, values->offset + i, out) ||
            !ce_encode_finish(out, mark))
            return ce_fail_memory(err);
    }
    return 0;
}

static int put_changed(struct writer *writer, int64_t id, const struct ce_arrow_type *type,
                       const struct ArrowArray *values, struct ce_buffer *encoded,
                       struct ce_error *err)
{
    struct written *written = &writer->written[id];
    const struct ce_buffer *old = &written->values;
    size_t common = encoded->size < old->size ? encoded->size : old->size;
    bool same = common == 0 || memcmp(encoded->data, old->data, common) == 0;
    if (written->any && same && encoded->size <= old->size)
        return 0; /* the first of those that are there */
    bool delta = written->any && same;
    if (written->any && !delta && writer->style->file)
        return ce_fail(err, EOPNOTSUPP,
                       "a column's dictionary changes from batch to batch, which an Arrow file "
                       "cannot hold; a stream can");
    CE_TRY(put_values(writer, id, type, values, delta ? written->count : 0, delta, err));
    ce_buffer_done(&written->values);
    written->values = *encoded;
    *encoded = (struct ce_buffer){0};
    written->count = values->length;
    written->any = true;
    return 0;
}

static int put_dictionaries(struct writer *writer, const struct ce_arrow_type *type,
                            const struct ArrowArray *array, struct ce_error *err);

/* The values' own dictionaries come before them. */
static int put_dictionary(struct writer *writer, const struct ce_arrow_type *type,
                          const struct ArrowArray *values, struct ce_error *err)
{
    int64_t id = writer->next_id++;
    struct written *written = &writer->written[id];
    struct ce_buffer encoded = {0};
    CE_TRY(put_dictionaries(writer, type, values, err));
    if (!is_known(written, values)) {
        int r = encode_values(type, values, &encoded, err);
        if (r == 0)
            r = put_changed(writer, id, type, values, &encoded, err);
        ce_buffer_done(&encoded);
        CE_TRY(r);
    }
    written->buffers = (const void *const *)values->buffers;
    written->length = values->length;
    return 0;
}

static int put_dictionaries(struct writer *writer, const struct ce_arrow_type *type,
                            const struct ArrowArray *array, struct ce_error *err)
{
    if (type->dictionary)
        return put_dictionary(writer, type->dictionary, array->dictionary, err);
    for (size_t i = 0; i < type->child_count; i++)
        CE_TRY(put_dictionaries(writer, type->children[i], array->children[i], err));
    return 0;
}

static size_t count_dictionaries(const struct ce_arrow_type *type)
{
    size_t count = type->dictionary ? 1 + count_dictionaries(type->dictionary) : 0;
    for (size_t i = 0; i < type->child_count; i++)
        count += count_dictionaries(type->children[i]);
    return count;
}

/* ---- all ---- */

static int put_batch(struct writer *writer, const struct ArrowArray *batch, struct ce_error *err)
{
    writer->next_id = 0;
    CE_TRY(put_dictionaries(writer, writer->source.table, batch, err));
    for (size_t i = 0; i < writer->source.column_count; i++)
        CE_TRY(put_array(writer, writer->source.table->children[i], batch->children[i],
                         batch->children[i]->offset + batch->offset, batch->length, err));
    size_t from = begin_message(writer, IPC_HEADER_BATCH);
    put_batch_table(writer, from, batch->length);
    return put_message(writer, &writer->batches, err);
}

static void put_blocks(struct ce_flat_writer *flat, size_t from, const struct blocks *blocks)
{
    size_t at = ce_flat_put_vector(flat, from, (uint32_t)blocks->count, 24);
    for (size_t i = 0; i < blocks->count; i++, at += 24) {
        ce_flat_set(flat, at, blocks->list[i].offset, 8);
        ce_flat_set(flat, at + 8, blocks->list[i].metadata_size, 4);
        ce_flat_set(flat, at + 16, blocks->list[i].body_size, 8);
    }
}

static int put_footer(struct writer *writer, struct ce_error *err)
{
    struct ce_flat_writer *flat = &writer->flat;
    const char *metadata = writer->style->footer_metadata;
    uint8_t sizes[] = {2, 4, 4, 4, metadata ? 4 : 0};
    flat->out.size = 0;
    size_t table = ce_flat_put_table(flat, SIZE_MAX, sizes, 5);
    ce_flat_set(flat, ce_flat_field(flat, table, 0), IPC_V5, 2);
    CE_TRY(ce_ipc_schema_write(flat, ce_flat_field(flat, table, 1), &writer->source.schema, err));
    put_blocks(flat, ce_flat_field(flat, table, 2), &writer->dictionaries);
    put_blocks(flat, ce_flat_field(flat, table, 3), &writer->batches);
    if (metadata)
        ce_ipc_metadata_write(flat, ce_flat_field(flat, table, 4), metadata);
    if (flat->failed)
        return ce_fail_memory(err);
    int32_t size = (int32_t)flat->out.size;
    CE_TRY(ce_output_put(writer->output, flat->out.data, flat->out.size, err));
    CE_TRY(ce_output_put(writer->output, &size, 4, err));
    return ce_output_put(writer->output, CE_IPC_MAGIC, CE_IPC_MAGIC_SIZE, err);
}

static int write_all(struct writer *writer, struct ce_error *err)
{
    static const int32_t end[] = {-1, 0};
    struct ArrowArray batch;
    writer->written_count = count_dictionaries(writer->source.table);
    writer->written = calloc(writer->written_count + 1, sizeof *writer->written);
    if (!writer->written)
        return ce_fail_memory(err);
    CE_TRY(put_schema(writer, err));
    int r;
    while ((r = ce_arrow_source_next(&writer->source, &batch, err)) > 0) {
        r = put_batch(writer, &batch, err);
        ce_arrow_array_done(&writer->before);
        writer->before = batch;
        CE_TRY(r);
    }
    CE_TRY(r);
    CE_TRY(ce_output_put(writer->output, end, sizeof end, err));
    return writer->style->file ? put_footer(writer, err) : 0;
}

int ce_ipc_write(struct ArrowArrayStream *stream, const struct ce_ipc_style *style,
                 struct ce_output *output, struct ce_error *err)
{
    struct writer writer = {.style = style, .output = output};
    int r = ce_arrow_source_open(&writer.source, stream, err);
    if (r == 0)
        r = write_all(&writer, err);
    writer_done(&writer);
    return r;
}
