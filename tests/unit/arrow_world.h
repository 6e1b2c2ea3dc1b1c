/* SPDX-License-Identifier: MIT */
/* Typed tables made up for tests: any number of rows, cut into batches of any size, of columns
 * whose cells are a function of column and row. */
#ifndef CE_TESTS_ARROW_WORLD_H
#define CE_TESTS_ARROW_WORLD_H

#include <math.h>
#include <string.h>

#include "check.h"
#include "data/arrow/arrow.h"
#include "data/arrow/grow.h"
#include "data/arrow/source.h"
#include "data/arrow/typed.h"
#include "data/arrow/work.h"

enum world_column {
    W_ID,    /* int64: the row */
    W_AGE,   /* int32: 20 to 69, every 10th null */
    W_SCORE, /* double: row / 8 */
    W_SMALL, /* float */
    W_BYTE,  /* uint8 */
    W_CITY,  /* utf8: some null, some long */
    W_KIND,  /* dictionary of int8 indices: red, green, blue */
    W_FLAG,  /* bool */
    W_DAY,   /* date32 */
    W_SEEN,  /* timestamp in microseconds, UTC */
    W_PRICE, /* decimal128(10, 2) */
    W_VIEW,  /* utf8 view */
    W_TAGS,  /* list of utf8 */
    W_PLACE, /* struct of two doubles */
    W_BLOB,  /* large binary */
    W_COUNT,
};

static const struct world_spec {
    const char *name, *format;
} world_specs[W_COUNT] = {
    {"id", "l"},         {"age", "i"},   {"score", "g"}, {"small", "f"},  {"byte", "C"},
    {"city", "u"},       {"kind", "c"},  {"flag", "b"},  {"day", "tdD"},  {"seen", "tsu:UTC"},
    {"price", "d:10,2"}, {"view", "vu"}, {"tags", "+l"}, {"place", "+s"}, {"blob", "Z"},
};

struct world {
    uint64_t rows, batch_rows, made;
    struct ArrowSchema schema;
    struct ce_arrow_type *table;
    struct ce_grow columns[W_COUNT];
    struct ce_error err;
};

static inline void world_text(struct ce_buffer *out, const char *text)
{
    ce_buffer_put(out, "\1", 1);
    ce_buffer_put(out, text, strlen(text));
}

static inline void world_value(struct ce_buffer *out, const void *value, size_t size)
{
    ce_buffer_put(out, "\1", 1);
    ce_buffer_put(out, value, size);
}

static inline void world_nested(enum world_column column, uint64_t row, struct ce_buffer *out)
{
    char text[32];
    ce_buffer_put(out, "\1", 1);
    for (uint64_t i = 0; i < (column == W_TAGS ? row % 4 : 2); i++) {
        double value = (double)row / (double)(i + 2);
        size_t mark = ce_encode_begin(out);
        snprintf(text, sizeof text, "tag%llu", (unsigned long long)(row % 7 + i));
        if (column == W_TAGS)
            world_text(out, text);
        else
            world_value(out, &value, 8);
        ce_encode_finish(out, mark);
    }
}

/* The cell as encode.h has it. */
static inline void world_cell(enum world_column column, uint64_t row, struct ce_buffer *out)
{
    static const char *const kinds[] = {"red", "green", "blue"};
    char text[64];
    int64_t wide = (int64_t)row, micros = INT64_C(1700000000000000) + wide * 1234567;
    int32_t age = (int32_t)(20 + row * 7 % 50), day = (int32_t)(19000 + row % 400);
    double score = (double)row / 8;
    float narrow = (float)row / 3;
    uint8_t byte = (uint8_t)(row % 256);
    __int128 price = (__int128)row * 25 - 1000;
    switch (column) {
    case W_ID:
        world_value(out, &wide, 8);
        return;
    case W_AGE:
        row % 10 == 3 ? (void)ce_buffer_put(out, "\0", 1) : world_value(out, &age, 4);
        return;
    case W_SCORE:
        world_value(out, &score, 8);
        return;
    case W_SMALL:
        world_value(out, &narrow, 4);
        return;
    case W_BYTE:
        world_value(out, &byte, 1);
        return;
    case W_CITY:
    case W_VIEW:
        snprintf(text, sizeof text, row % 3 ? "city %llu" : "a place with a long name, %llu",
                 (unsigned long long)(row % 97));
        row % 13 == 5 ? (void)ce_buffer_put(out, "\0", 1) : world_text(out, text);
        return;
    case W_KIND:
        world_text(out, kinds[row % 3]);
        return;
    case W_FLAG:
        world_value(out, row % 5 == 0 ? "\1" : "\0", 1);
        return;
    case W_DAY:
        world_value(out, &day, 4);
        return;
    case W_SEEN:
        world_value(out, &micros, 8);
        return;
    case W_PRICE:
        world_value(out, &price, 16);
        return;
    case W_BLOB:
        world_value(out, "\xff\0\x01", 3);
        return;
    default:
        world_nested(column, row, out);
        return;
    }
}

static inline int world_next(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct world *world = ctx;
    uint64_t rows = world->rows - world->made;
    rows = rows < world->batch_rows ? rows : world->batch_rows;
    if (rows == 0)
        return 0;
    struct ce_buffer cell = {0};
    CE_TRY(ce_arrow_array_make((int64_t)rows, 1, W_COUNT, false, ret_batch, err));
    for (int column = 0; column < W_COUNT; column++) {
        for (uint64_t row = 0; row < rows; row++) {
            cell.size = 0;
            world_cell((enum world_column)column, world->made + row, &cell);
            CE_TRY(ce_grow_cell(&world->columns[column], cell.data, cell.size, err));
        }
        CE_TRY(ce_grow_end(&world->columns[column], ret_batch->children[column], err));
    }
    ce_buffer_done(&cell);
    world->made += rows;
    return 1;
}

static inline void world_done(void *ctx)
{
    struct world *world = ctx;
    for (int i = 0; i < W_COUNT; i++)
        ce_grow_done(&world->columns[i]);
    ce_arrow_type_free(world->table);
    ce_arrow_schema_done(&world->schema);
    free(world);
}

static inline int world_schema(struct ArrowSchema *ret_schema, struct ce_error *err)
{
    static const char metadata[] = "\1\0\0\0\3\0\0\0who\4\0\0\0test";
    CE_TRY(ce_arrow_schema_make("+s", "", 0, ret_schema, err));
    CE_TRY(ce_arrow_schema_set_metadata(ret_schema, metadata, err));
    CE_TRY(ce_arrow_schema_widen(ret_schema, W_COUNT, err));
    for (int i = 0; i < W_COUNT; i++) {
        struct ArrowSchema *field = ret_schema->children[i];
        CE_TRY(ce_arrow_schema_make(world_specs[i].format, world_specs[i].name,
                                    i == W_ID ? 0 : ARROW_FLAG_NULLABLE, field, err));
        size_t nested = i == W_TAGS ? 1 : i == W_PLACE ? 2 : 0;
        CE_TRY(ce_arrow_schema_widen(field, nested, err));
        for (size_t k = 0; k < nested; k++)
            CE_TRY(ce_arrow_schema_make(i == W_TAGS ? "u" : "g", k ? "y" : "x", ARROW_FLAG_NULLABLE,
                                        field->children[k], err));
        if (i != W_KIND)
            continue;
        field->dictionary = calloc(1, sizeof *field->dictionary);
        CE_TRY(ce_arrow_schema_make("u", "", ARROW_FLAG_NULLABLE, field->dictionary, err));
    }
    return 0;
}

static inline int world_stream(uint64_t rows, uint64_t batch_rows,
                               struct ArrowArrayStream *ret_stream, struct ce_error *err)
{
    struct world *world = calloc(1, sizeof *world);
    struct ArrowSchema schema;
    world->rows = rows;
    world->batch_rows = batch_rows;
    CE_TRY(world_schema(&world->schema, err));
    CE_TRY(ce_arrow_type_new(&world->schema, &world->table, err));
    for (int i = 0; i < W_COUNT; i++)
        CE_TRY(ce_grow_init(&world->columns[i], world->table->children[i], err));
    CE_TRY(ce_arrow_schema_copy(&world->schema, &schema, err));
    return ce_arrow_stream_make(&schema, world, world_next, world_done, ret_stream, err);
}

/* ---- looking at a stream ---- */

/* All cells as text; "-" is a null, "?" what is nested. */
struct seen {
    size_t columns;
    uint64_t rows;
    char **names, **formats;
    bool *nullable;
    char **cells;
};

static char *seen_text(const char *text, size_t size)
{
    char *copy = calloc(size + 1, 1);
    memcpy(copy, text, size);
    return copy;
}

static char *seen_cell(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at,
                       struct ce_buffer *scratch)
{
    const struct ce_arrow_type *value;
    const char *bytes, *text;
    size_t size;
    if (!ce_arrow_scalar(type, array, at, &value, &bytes, &size))
        return seen_text("-", 1);
    if (!bytes)
        return seen_text("?", 1);
    text = ce_typed_text(value, bytes, size, scratch, &size);
    return seen_text(text, size);
}

static inline int see(struct ArrowArrayStream *stream, struct seen *ret_seen, struct ce_error *err)
{
    struct ce_arrow_source source;
    struct ce_buffer scratch = {0}, cells = {0};
    struct ArrowArray batch;
    *ret_seen = (struct seen){0};
    int r = ce_arrow_source_open(&source, stream, err);
    size_t n = r == 0 ? source.column_count : 0;
    ret_seen->columns = n;
    ret_seen->names = calloc(n + 1, sizeof(char *));
    ret_seen->formats = calloc(n + 1, sizeof(char *));
    ret_seen->nullable = calloc(n + 1, 1);
    for (size_t i = 0; i < n; i++) {
        ret_seen->names[i] = strdup(source.schema.children[i]->name);
        ret_seen->formats[i] = strdup(source.schema.children[i]->format);
        ret_seen->nullable[i] = source.schema.children[i]->flags & ARROW_FLAG_NULLABLE;
    }
    while (r == 0 && (r = ce_arrow_source_next(&source, &batch, err)) > 0) {
        for (int64_t row = 0; row < batch.length; row++)
            for (size_t i = 0; i < n; i++) {
                struct ArrowArray *child = batch.children[i];
                char *text = seen_cell(source.table->children[i], child,
                                       child->offset + batch.offset + row, &scratch);
                ce_buffer_put(&cells, &text, sizeof text);
            }
        ret_seen->rows += (uint64_t)batch.length;
        batch.release(&batch);
        r = 0;
    }
    ret_seen->cells = (char **)(void *)cells.data;
    ce_buffer_done(&scratch);
    ce_arrow_source_done(&source);
    return r;
}

static inline const char *seen_at(const struct seen *seen, uint64_t row, size_t column)
{
    return seen->cells[row * seen->columns + column];
}

static inline void seen_done(struct seen *seen)
{
    for (uint64_t i = 0; i < seen->rows * seen->columns; i++)
        free(seen->cells[i]);
    for (size_t i = 0; i < seen->columns; i++) {
        free(seen->names[i]);
        free(seen->formats[i]);
    }
    free(seen->names);
    free(seen->formats);
    free(seen->nullable);
    free(seen->cells);
    *seen = (struct seen){0};
}

#endif
