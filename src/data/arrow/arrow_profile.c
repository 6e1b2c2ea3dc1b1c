/* SPDX-License-Identifier: MIT */
/* Statistics of a stream. Parts are of a fixed number of rows, wherever its batches end, so that
 * the same table gives the same bits however it was cut. */
#include <math.h>

#include "data/arrow/arrow.h"
#include "data/arrow/source.h"
#include "data/arrow/typed.h"
#include "data/arrow/work.h"
#include "data/job.h"
#include "data/stats/builder.h"

enum { PART_ROWS = 65536 };

struct feed {
    struct ce_arrow_source source;
    struct ce_part *part;
    struct ce_builder *builder;
    struct ce_buffer scratch;
    bool texts; /* numbers are wanted as texts, too */
    uint64_t rows;
};

static void feed_done(struct feed *feed)
{
    ce_arrow_source_done(&feed->source);
    ce_part_free(feed->part);
    ce_builder_free(feed->builder);
    ce_buffer_done(&feed->scratch);
}

/* Values that are no scalars: by their bytes. */
static int feed_nested(struct feed *feed, size_t column, const struct ArrowArray *array, int64_t at,
                       struct ce_error *err)
{
    feed->scratch.size = 0;
    if (!ce_arrow_encode(feed->source.table->children[column], array, at, &feed->scratch))
        return ce_fail_memory(err);
    ce_part_other(feed->part, column, feed->scratch.data, feed->scratch.size);
    return 0;
}

static int feed_cell(struct feed *feed, size_t column, const struct ArrowArray *array, int64_t at,
                     struct ce_error *err)
{
    const struct ce_arrow_type *type;
    const char *bytes, *text = NULL;
    size_t size, text_size = 0;
    double value;
    if (!ce_arrow_scalar(feed->source.table->children[column], array, at, &type, &bytes, &size) ||
        (bytes && ce_typed_nan(type, bytes))) {
        ce_part_missing(feed->part, column);
        return 0;
    }
    if (!bytes)
        return feed_nested(feed, column, array, at, err);
    if (type->meaning == CE_MEANS_OTHER) {
        ce_part_other(feed->part, column, bytes, size);
        return 0;
    }
    bool number = ce_typed_number(type, bytes, size, &value);
    if (!number || feed->texts) {
        text = ce_typed_text(type, bytes, size, &feed->scratch, &text_size);
        if (!text)
            return ce_fail_memory(err);
    }
    if (number)
        ce_part_number(feed->part, column, value, ce_typed_integer(type), text, text_size);
    else
        ce_part_text(feed->part, column, text, text_size);
    return 0;
}

/* What most columns of numbers are; false: the cell at *at is for feed_cell(). The sums are at hand
 * meanwhile, and not where others could see them: they would be stored for each number. */
static bool feed_doubles(struct feed *feed, size_t column, const struct ArrowArray *array,
                         int64_t *at, int64_t end)
{
    const void *valid = array->buffers[0];
    const char *values = array->buffers[1];
    struct ce_part_column sums = feed->part->columns[column];
    bool more = ce_part_wants_more(feed->part), finite = true;
    for (; *at < end; ++*at) {
        double value;
        if (valid && !ce_bit(valid, *at)) {
            sums.missing++;
            continue;
        }
        memcpy(&value, values + 8 * *at, 8);
        finite = isfinite(value);
        if (!finite)
            break;
        ce_part_column_add(&sums, value, false);
        if (more)
            ce_part_number_more(feed->part, column, value, NULL, 0);
    }
    feed->part->columns[column] = sums;
    return finite;
}

static int feed_column(struct feed *feed, size_t column, const struct ArrowArray *array, int64_t at,
                       int64_t end, struct ce_error *err)
{
    const struct ce_arrow_type *type = feed->source.table->children[column];
    bool doubles = type->meaning == CE_MEANS_FLOAT && type->shape == CE_SHAPE_FIXED &&
                   type->width == 8 && !type->dictionary && !feed->texts;
    while (at < end) {
        if (doubles && feed_doubles(feed, column, array, &at, end))
            break;
        CE_TRY(feed_cell(feed, column, array, at++, err));
    }
    return 0;
}

/* Column by column, as far as sums do not notice; row by row where a row's cells are wanted. */
static int feed_batch(struct feed *feed, const struct ArrowArray *batch, struct ce_error *err)
{
    for (int64_t row = 0, rows; row < batch->length; row += rows) {
        rows = (int64_t)ce_part_room(feed->part);
        rows = rows < batch->length - row ? rows : batch->length - row;
        for (size_t i = 0; i < feed->source.column_count; i++) {
            const struct ArrowArray *child = batch->children[i];
            int64_t at = child->offset + batch->offset + row;
            CE_TRY(feed_column(feed, i, child, at, at + rows, err));
        }
        ce_part_rows(feed->part, (uint64_t)rows);
        feed->rows += (uint64_t)rows;
        if (feed->rows % PART_ROWS == 0) {
            CE_TRY(ce_builder_merge(feed->builder, feed->part, err));
            ce_part_clear(feed->part);
        }
    }
    return 0;
}

static int feed_all(struct feed *feed, struct ce_error *err)
{
    struct ArrowArray batch;
    int r;
    while ((r = ce_arrow_source_next(&feed->source, &batch, err)) > 0) {
        r = feed_batch(feed, &batch, err);
        batch.release(&batch);
        CE_TRY(r);
    }
    CE_TRY(r);
    return ce_builder_merge(feed->builder, feed->part, err);
}

static int profile_stream(struct feed *feed, struct ArrowArrayStream *in, unsigned stats,
                          struct ce_profile *ret_profile, struct ce_error *err)
{
    CE_TRY(ce_arrow_source_open(&feed->source, in, err));
    size_t columns = feed->source.column_count;
    feed->texts = stats & (CE_STAT_CATEGORIES | CE_STAT_DISTINCT | CE_STAT_DUPLICATES);
    CE_TRY(ce_part_new(columns, stats, &feed->part, err));
    CE_TRY(ce_builder_new(columns, stats, &feed->builder, err));
    CE_TRY(feed_all(feed, err));
    ce_autofree const char **names = calloc(columns + 1, sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    for (size_t i = 0; i < columns; i++)
        names[i] = ce_arrow_source_name(&feed->source, i);
    return ce_builder_end(feed->builder, names, ret_profile, err);
}

int ce_arrow_profile(struct ArrowArrayStream *in, const char *name, unsigned stats,
                     struct ce_profile *ret_profile, struct ce_error *err)
{
    struct feed feed = {0};
    int r = profile_stream(&feed, in, stats, ret_profile, err);
    feed_done(&feed);
    return r < 0 && name ? ce_fail_context(err, r, "%s", name) : r;
}

static enum ce_column_type column_type(const struct ce_arrow_type *type)
{
    switch (type->meaning) {
    case CE_MEANS_BOOL:
        return CE_TYPE_BOOLEAN;
    case CE_MEANS_INT:
    case CE_MEANS_UINT:
        return CE_TYPE_INTEGER;
    case CE_MEANS_HALF:
    case CE_MEANS_FLOAT:
        return CE_TYPE_NUMBER;
    case CE_MEANS_DECIMAL:
        return type->scale > 0 ? CE_TYPE_NUMBER : CE_TYPE_INTEGER;
    case CE_MEANS_TEXT:
    case CE_MEANS_TIME: /* of a day: profiles know points in time */
        return CE_TYPE_TEXT;
    case CE_MEANS_DATE:
    case CE_MEANS_STAMP:
        return CE_TYPE_TIME;
    default:
        return CE_TYPE_OTHER;
    }
}

static int name_column(const struct ArrowSchema *field, struct ce_column_profile *column,
                       struct ce_error *err)
{
    CE_CLEANUP(ce_arrow_type_free_p) struct ce_arrow_type *type = NULL;
    CE_TRY(ce_arrow_type_new(field, &type, err));
    column->type = column_type(type->dictionary ? type->dictionary : type);
    column->numeric = column->type == CE_TYPE_INTEGER || column->type == CE_TYPE_NUMBER;
    column->uncertain = true;
    column->name = strdup(field->name ? field->name : "");
    return column->name ? 0 : ce_fail_memory(err);
}

int ce_arrow_profile_types(struct ArrowArrayStream *in, struct ce_profile *ret_profile,
                           struct ce_error *err)
{
    struct ArrowSchema schema = {0};
    struct ce_profile profile = {.partial = true, .duplicate_share = -1};
    int r = in->get_schema(in, &schema);
    if (r != 0)
        return ce_fail(err, r, "%s", in->get_last_error(in));
    profile.columns = calloc((size_t)schema.n_children + 1, sizeof *profile.columns);
    r = profile.columns ? 0 : ce_fail_memory(err);
    for (int64_t i = 0; i < schema.n_children && r == 0; i++) {
        profile.column_count++;
        r = name_column(schema.children[i], &profile.columns[i], err);
    }
    schema.release(&schema);
    if (r < 0)
        ce_profile_done(&profile);
    else
        *ret_profile = profile;
    return r;
}

int ce_arrow_needs(const struct ce_arrow_mutate *how, unsigned *ret_stats, bool *ret_any,
                   struct ce_error *err)
{
    unsigned stats = 0;
    bool any = how->options->shard_count > 0;
    for (size_t i = 0; i < how->count; i++) {
        const struct ce_mutation *mutation = &how->mutations[i];
        unsigned needed = 0;
        CE_TRY(ce_job_add_needs(mutation, &needed, err));
        stats |= ce_job_idle(mutation) ? 0 : needed;
        any |= mutation->scope.exact || mutation->scope.radius; /* of so many rows, though none */
    }
    *ret_stats = stats | CE_STAT_MOMENTS;
    *ret_any = any || stats != 0;
    return 0;
}
