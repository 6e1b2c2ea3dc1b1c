/* SPDX-License-Identifier: MIT */
#include "data/arrow/source.h"

#include <stdlib.h>

static int stream_failed(struct ce_arrow_source *source, int r, struct ce_error *err)
{
    const char *why = source->stream.get_last_error(&source->stream);
    return ce_fail(err, r > 0 ? r : EIO, "%s", why && *why ? why : strerror(r > 0 ? r : EIO));
}

int ce_arrow_source_open(struct ce_arrow_source *source, struct ArrowArrayStream *stream,
                         struct ce_error *err)
{
    *source = (struct ce_arrow_source){.stream = *stream};
    stream->release = NULL;
    int r = source->stream.get_schema(&source->stream, &source->schema);
    if (r != 0)
        return stream_failed(source, r, err);
    CE_TRY(ce_arrow_type_new(&source->schema, &source->table, err));
    if (source->table->shape != CE_SHAPE_STRUCT)
        return ce_fail(err, EINVAL, "the stream is of type \"%s\"; batches of columns are \"+s\"",
                       source->table->format);
    source->column_count = source->table->child_count;
    return 0;
}

void ce_arrow_source_done(struct ce_arrow_source *source)
{
    ce_arrow_type_free(source->table);
    ce_arrow_schema_done(&source->schema);
    ce_arrow_stream_done(&source->stream);
    *source = (struct ce_arrow_source){0};
}

static int check_batch(const struct ce_arrow_source *source, const struct ArrowArray *batch,
                       struct ce_error *err)
{
    CE_TRY(ce_arrow_array_check(source->table, batch, "", err));
    for (int64_t i = 0; batch->buffers[0] && batch->null_count != 0 && i < batch->length; i++)
        if (!ce_bit(batch->buffers[0], batch->offset + i))
            return ce_fail(err, EOPNOTSUPP, "a batch has rows that are null as a whole");
    return 0;
}

int ce_arrow_source_next(struct ce_arrow_source *source, struct ArrowArray *ret_batch,
                         struct ce_error *err)
{
    struct ArrowArray batch = {0};
    int r = source->stream.get_next(&source->stream, &batch);
    if (r != 0)
        return stream_failed(source, r, err);
    if (!batch.release)
        return 0;
    r = check_batch(source, &batch, err);
    if (r < 0) {
        batch.release(&batch);
        return r;
    }
    *ret_batch = batch;
    return 1;
}

/* ---- streams of our own ---- */

struct own_stream {
    struct ArrowSchema schema;
    void *ctx;
    int (*next)(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err);
    void (*done)(void *ctx);
    struct ce_error err;
};

static int own_schema(struct ArrowArrayStream *stream, struct ArrowSchema *ret_schema)
{
    struct own_stream *own = stream->private_data;
    return -ce_arrow_schema_copy(&own->schema, ret_schema, &own->err);
}

static int own_next(struct ArrowArrayStream *stream, struct ArrowArray *ret_batch)
{
    struct own_stream *own = stream->private_data;
    ret_batch->release = NULL;
    int r = own->next(own->ctx, ret_batch, &own->err);
    return r < 0 ? -r : 0;
}

static const char *own_error(struct ArrowArrayStream *stream)
{
    return ((struct own_stream *)stream->private_data)->err.message;
}

static void own_release(struct ArrowArrayStream *stream)
{
    struct own_stream *own = stream->private_data;
    ce_arrow_schema_done(&own->schema);
    own->done(own->ctx);
    free(own);
    stream->release = NULL;
}

int ce_arrow_stream_make(struct ArrowSchema *schema, void *ctx,
                         int (*next)(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err),
                         void (*done)(void *ctx), struct ArrowArrayStream *ret_stream,
                         struct ce_error *err)
{
    struct own_stream *own = calloc(1, sizeof *own);
    if (!own) {
        ce_arrow_schema_done(schema);
        done(ctx);
        return ce_fail_memory(err);
    }
    *own = (struct own_stream){.schema = *schema, .ctx = ctx, .next = next, .done = done};
    schema->release = NULL;
    *ret_stream = (struct ArrowArrayStream){
        .get_schema = own_schema,
        .get_next = own_next,
        .get_last_error = own_error,
        .release = own_release,
        .private_data = own,
    };
    return 0;
}
