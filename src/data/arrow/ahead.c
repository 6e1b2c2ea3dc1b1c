/* SPDX-License-Identifier: MIT */
#include "data/arrow/ahead.h"

#include <stdlib.h>

#include "data/arrow/source.h"

struct ce_arrow_ahead {
    struct ce_arrow_source source;
    struct ce_arrow_shared **batches;
    size_t count, capacity, next; /* next: to be handed out */
};

void ce_arrow_ahead_free(struct ce_arrow_ahead *ahead)
{
    if (!ahead)
        return;
    for (size_t i = 0; i < ahead->count; i++)
        ce_arrow_shared_unref(ahead->batches[i]);
    free(ahead->batches);
    ce_arrow_source_done(&ahead->source);
    free(ahead);
}

/* About how many bytes the values are. */
static size_t size_of(const struct ce_arrow_type *type, const struct ArrowArray *array)
{
    size_t size = (size_t)array->length * (type->shape == CE_SHAPE_FIXED ? (size_t)type->width : 8);
    int64_t end = array->offset + array->length;
    if (type->shape == CE_SHAPE_BYTES32 && array->length > 0)
        size += (size_t)ce_load_i32(array->buffers[1], end);
    if (type->shape == CE_SHAPE_BYTES64 && array->length > 0)
        size += (size_t)ce_load_i64(array->buffers[1], end);
    for (size_t i = 0; i < type->child_count; i++)
        size += size_of(type->children[i], array->children[i]);
    return size;
}

/* 1, or 0 at the end. */
static int read_batch(struct ce_arrow_ahead *ahead, size_t *size, struct ce_error *err)
{
    struct ArrowArray batch;
    int r = ce_arrow_source_next(&ahead->source, &batch, err);
    if (r <= 0)
        return r;
    *size += size_of(ahead->source.table, &batch);
    if (ahead->count == ahead->capacity) {
        size_t capacity = 2 * ahead->capacity + 16;
        void *larger = realloc(ahead->batches, capacity * sizeof *ahead->batches);
        if (larger) {
            ahead->batches = larger;
            ahead->capacity = capacity;
        }
    }
    struct ce_arrow_shared *shared =
        ahead->count < ahead->capacity ? ce_arrow_shared_new(&batch) : NULL;
    if (!shared) {
        batch.release(&batch);
        return ce_fail_memory(err);
    }
    ahead->batches[ahead->count++] = shared;
    return 1;
}

int ce_arrow_ahead_new(struct ArrowArrayStream *stream, size_t size,
                       struct ce_arrow_ahead **ret_ahead, bool *ret_whole, struct ce_error *err)
{
    struct ce_arrow_ahead *ahead = calloc(1, sizeof *ahead);
    size_t read = 0;
    if (!ahead) {
        ce_arrow_stream_done(stream);
        return ce_fail_memory(err);
    }
    int r = ce_arrow_source_open(&ahead->source, stream, err);
    for (int more = r == 0; more && read<size; more = r> 0)
        r = read_batch(ahead, &read, err);
    if (r < 0) {
        ce_arrow_ahead_free(ahead);
        return r;
    }
    *ret_whole = r == 0 && read < size;
    *ret_ahead = ahead;
    return 0;
}

static int hand_out(struct ce_arrow_ahead *ahead, struct ArrowArray *ret_batch,
                    struct ce_error *err)
{
    struct ce_arrow_shared *shared = ahead->batches[ahead->next];
    const struct ArrowArray *batch = ce_arrow_shared_array(shared);
    CE_TRY(ce_arrow_view(shared, batch, batch->offset, batch->length, ret_batch, err));
    ahead->next++;
    return 1;
}

static int peek_next(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct ce_arrow_ahead *ahead = ctx;
    return ahead->next < ahead->count ? hand_out(ahead, ret_batch, err) : 0;
}

static void peek_done(void *ctx)
{
    struct ce_arrow_ahead *ahead = ctx;
    ahead->next = 0;
}

/* What was handed out for good lives on in the views alone. */
static int all_next(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct ce_arrow_ahead *ahead = ctx;
    if (ahead->next == ahead->count)
        return ce_arrow_source_next(&ahead->source, ret_batch, err);
    CE_TRY(hand_out(ahead, ret_batch, err));
    ce_arrow_shared_unref(ahead->batches[ahead->next - 1]);
    ahead->batches[ahead->next - 1] = NULL;
    return 1;
}

static void all_done(void *ctx)
{
    ce_arrow_ahead_free(ctx);
}

int ce_arrow_ahead_peek(struct ce_arrow_ahead *ahead, struct ArrowArrayStream *ret_stream,
                        struct ce_error *err)
{
    struct ArrowSchema schema;
    CE_TRY(ce_arrow_schema_copy(&ahead->source.schema, &schema, err));
    return ce_arrow_stream_make(&schema, ahead, peek_next, peek_done, ret_stream, err);
}

int ce_arrow_ahead_all(struct ce_arrow_ahead *ahead, struct ArrowArrayStream *ret_stream,
                       struct ce_error *err)
{
    struct ArrowSchema schema;
    int r = ce_arrow_schema_copy(&ahead->source.schema, &schema, err);
    if (r < 0) {
        ce_arrow_ahead_free(ahead);
        return r;
    }
    return ce_arrow_stream_make(&schema, ahead, all_next, all_done, ret_stream, err);
}
