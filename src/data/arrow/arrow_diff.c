/* SPDX-License-Identifier: MIT */
/* Comparing two typed tables. Columns of the same type are compared by value, others by their text.
 */
#include <stdlib.h>

#include "data/align.h"
#include "data/arrow/arrow.h"
#include "data/arrow/source.h"
#include "data/arrow/typed.h"
#include "data/arrow/work.h"

/* Batches that are within the aligner's reach. */
struct kept {
    struct ce_arrow_shared *batch;
    uint64_t row; /* the first */
};

struct side {
    struct ce_arrow_source source;
    size_t *columns; /* for each common one */
    const bool *by_text;
    size_t common;
    struct kept *kept;
    size_t first, count, capacity; /* kept[first .. first + count) */
    int64_t at, rows;              /* in the last one */
    uint64_t row;                  /* the next */
    struct ce_buffer cell, scratch;
};

struct comparison {
    struct side a, b;
    struct ce_align align;
    bool *by_text;
    size_t common;
    struct ce_diff diff;
    void (*cell)(void *ctx, const struct ce_diff_cell *cell);
    void *ctx;
};

static void side_done(struct side *side)
{
    for (size_t i = 0; i < side->count; i++)
        ce_arrow_shared_unref(side->kept[side->first + i].batch);
    free(side->kept);
    free(side->columns);
    ce_buffer_done(&side->cell);
    ce_buffer_done(&side->scratch);
    ce_arrow_source_done(&side->source);
}

static void comparison_done(struct comparison *c)
{
    side_done(&c->a);
    side_done(&c->b);
    ce_align_done(&c->align);
    free(c->by_text);
    ce_diff_done(&c->diff);
}

/* ---- columns ---- */

/* The column in `other` that is called like column `i`: of columns that share a name, the nth is
 * the nth. -1: there is none. */
static int counterpart(const struct ce_arrow_source *source, size_t i,
                       const struct ce_arrow_source *other)
{
    const char *name = ce_arrow_source_name(source, i);
    size_t nth = 0;
    for (size_t k = 0; k < i; k++)
        nth += strcmp(ce_arrow_source_name(source, k), name) == 0;
    for (size_t k = 0; k < other->column_count; k++)
        if (strcmp(ce_arrow_source_name(other, k), name) == 0 && nth-- == 0)
            return (int)k;
    return -1;
}

static int add_name(struct ce_names *names, const char *name, struct ce_error *err)
{
    char **larger = realloc(names->names, (names->count + 1) * sizeof *larger);
    if (!larger)
        return ce_fail_memory(err);
    names->names = larger;
    larger[names->count] = strdup(name);
    if (!larger[names->count])
        return ce_fail_memory(err);
    names->count++;
    return 0;
}

/* Whether values are the same when their bytes are. */
static bool same_values(const struct ce_arrow_type *a, const struct ce_arrow_type *b)
{
    a = a->dictionary ? a->dictionary : a;
    b = b->dictionary ? b->dictionary : b;
    bool texts = a->meaning == CE_MEANS_TEXT && b->meaning == CE_MEANS_TEXT;
    bool same = texts || (strcmp(a->format, b->format) == 0 && a->child_count == b->child_count);
    for (size_t i = 0; same && i < a->child_count; i++)
        same = same_values(a->children[i], b->children[i]);
    return same;
}

static int pair_column(struct comparison *c, size_t in_a, size_t in_b, struct ce_error *err)
{
    size_t i = c->common;
    c->a.columns[i] = in_a;
    c->b.columns[i] = in_b;
    c->by_text[i] =
        !same_values(c->a.source.table->children[in_a], c->b.source.table->children[in_b]);
    c->diff.columns[i].name = strdup(ce_arrow_source_name(&c->a.source, in_a));
    if (!c->diff.columns[i].name)
        return ce_fail_memory(err);
    c->diff.column_count = ++c->common;
    return 0;
}

static int pair_columns(struct comparison *c, struct ce_error *err)
{
    const struct ce_arrow_source *a = &c->a.source, *b = &c->b.source;
    c->a.columns = calloc(a->column_count + 1, sizeof *c->a.columns);
    c->b.columns = calloc(a->column_count + 1, sizeof *c->b.columns);
    c->by_text = calloc(a->column_count + 1, sizeof *c->by_text);
    c->diff.columns = calloc(a->column_count + 1, sizeof *c->diff.columns);
    if (!c->a.columns || !c->b.columns || !c->by_text || !c->diff.columns)
        return ce_fail_memory(err);
    for (size_t i = 0; i < a->column_count; i++) {
        int in_b = counterpart(a, i, b);
        CE_TRY(in_b < 0 ? add_name(&c->diff.columns_removed, ce_arrow_source_name(a, i), err)
                        : pair_column(c, i, (size_t)in_b, err));
    }
    for (size_t i = 0; i < b->column_count; i++)
        if (counterpart(b, i, a) < 0)
            CE_TRY(add_name(&c->diff.columns_added, ce_arrow_source_name(b, i), err));
    c->a.common = c->b.common = c->common;
    c->a.by_text = c->b.by_text = c->by_text;
    return 0;
}

/* ---- rows ---- */

static void forget_batches(struct side *side)
{
    while (side->count > 1 && side->kept[side->first + 1].row + CE_ALIGN_RING <= side->row) {
        ce_arrow_shared_unref(side->kept[side->first++].batch);
        side->count--;
    }
    if (side->first > side->count) {
        memmove(side->kept, side->kept + side->first, side->count * sizeof *side->kept);
        side->first = 0;
    }
}

/* 1, or 0 at the end. */
static int next_batch(struct side *side, struct ce_error *err)
{
    struct ArrowArray batch;
    int r = ce_arrow_source_next(&side->source, &batch, err);
    if (r <= 0)
        return r;
    forget_batches(side);
    if (side->first + side->count == side->capacity) {
        size_t capacity = 2 * side->capacity + 16;
        void *larger = realloc(side->kept, capacity * sizeof *side->kept);
        if (larger) {
            side->kept = larger;
            side->capacity = capacity;
        }
    }
    int64_t rows = batch.length;
    bool room = side->first + side->count < side->capacity;
    struct ce_arrow_shared *shared = room ? ce_arrow_shared_new(&batch) : NULL;
    if (!shared) {
        batch.release(&batch);
        return ce_fail_memory(err);
    }
    side->kept[side->first + side->count++] = (struct kept){shared, side->row};
    side->at = 0;
    side->rows = rows;
    return 1;
}

static const char nested[] = "[...]"; /* what is shown of lists and structs */

/* The cell as text, into the scratch or where it lies; NULL: it is null (or no memory). */
static const char *cell_text(struct side *side, const struct ArrowArray *batch, int64_t at,
                             size_t column, size_t *ret_size)
{
    const struct ArrowArray *array = batch->children[column];
    const struct ce_arrow_type *type;
    const char *bytes;
    *ret_size = 0;
    if (!ce_arrow_scalar(side->source.table->children[column], array,
                         array->offset + batch->offset + at, &type, &bytes, ret_size))
        return NULL;
    if (bytes)
        return ce_typed_text(type, bytes, *ret_size, &side->scratch, ret_size);
    *ret_size = strlen(nested);
    return nested;
}

/* 64 bits of a value. */
static uint64_t hash_bytes(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(0x9E3779B97F4A7C15) ^ size;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, text + i, size - i < 8 ? size - i : 8);
        hash = (hash ^ word) * UINT64_C(0xBF58476D1CE4E5B9);
        hash ^= hash >> 29;
    }
    hash = (hash ^ hash >> 32) * UINT64_C(0x94D049BB133111EB);
    return (hash ^ hash >> 31) | 1;
}

static int hash_cell(struct side *side, const struct ArrowArray *batch, size_t i,
                     uint64_t *ret_hash, struct ce_error *err)
{
    size_t column = side->columns[i], size;
    const struct ArrowArray *array = batch->children[column];
    const struct ce_arrow_type *type = side->source.table->children[column], *scalar;
    int64_t at = array->offset + batch->offset + side->at;
    const char *bytes;
    *ret_hash = 0; /* of nulls alone */
    if (!ce_arrow_scalar(type, array, at, &scalar, &bytes, &size))
        return 0;
    if (side->by_text[i]) {
        bytes = cell_text(side, batch, side->at, column, &size);
    } else if (!bytes) {
        side->cell.size = 0;
        bytes = ce_arrow_encode(type, array, at, &side->cell) ? side->cell.data : NULL;
        size = side->cell.size;
    }
    if (!bytes)
        return ce_fail_memory(err);
    *ret_hash = hash_bytes(bytes, size);
    return 0;
}

static int next_row(void *ctx, uint64_t *ret_hashes, struct ce_error *err)
{
    struct side *side = ctx;
    int r = 1;
    while (side->at == side->rows && r > 0)
        r = next_batch(side, err);
    if (r <= 0)
        return r;
    const struct ArrowArray *batch =
        ce_arrow_shared_array(side->kept[side->first + side->count - 1].batch);
    for (size_t i = 0; i < side->common; i++)
        CE_TRY(hash_cell(side, batch, i, &ret_hashes[i], err));
    side->at++;
    side->row++;
    return 1;
}

/* ---- pairs ---- */

static void show(struct side *side, uint64_t row, size_t i, char ret_text[CE_DIFF_SHOWN],
                 bool *ret_missing)
{
    size_t at = side->first + side->count - 1, size = 0;
    while (side->kept[at].row > row)
        at--;
    const struct ArrowArray *batch = ce_arrow_shared_array(side->kept[at].batch);
    const char *text =
        cell_text(side, batch, (int64_t)(row - side->kept[at].row), side->columns[i], &size);
    size = size < CE_DIFF_SHOWN - 1 ? size : CE_DIFF_SHOWN - 1;
    if (size > 0)
        memcpy(ret_text, text, size);
    ret_text[size] = '\0';
    *ret_missing = !text;
}

static void compare_pair(struct comparison *c)
{
    uint64_t row_a = c->align.a.begin - 1, row_b = c->align.b.begin - 1;
    const uint64_t *a = ce_align_row(&c->align, &c->align.a, row_a);
    const uint64_t *b = ce_align_row(&c->align, &c->align.b, row_b);
    for (size_t i = 0; i < c->common; i++) {
        if (a[i] == b[i])
            continue;
        c->diff.cells_changed++;
        c->diff.columns[i].changed++;
        if (!c->cell)
            continue;
        struct ce_diff_cell cell = {.row = row_a, .column = c->diff.columns[i].name};
        show(&c->a, row_a, i, cell.a, &cell.a_missing);
        show(&c->b, row_b, i, cell.b, &cell.b_missing);
        c->cell(c->ctx, &cell);
    }
}

static int compare(struct comparison *c, struct ce_error *err)
{
    uint64_t removed, added;
    int r;
    CE_TRY(pair_columns(c, err));
    CE_TRY(ce_align_init(&c->align, c->common, err));
    while ((r = ce_align_next(&c->align, &removed, &added, err)) > 0) {
        c->diff.rows_removed += removed;
        c->diff.rows_added += added;
        if (removed == 0 && added == 0)
            compare_pair(c);
    }
    c->diff.rows_a = c->align.a.end;
    c->diff.rows_b = c->align.b.end;
    return r;
}

int ce_arrow_diff(struct ArrowArrayStream *a, struct ArrowArrayStream *b,
                  void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                  struct ce_diff *ret_diff, struct ce_error *err)
{
    struct comparison c = {.cell = cell, .ctx = ctx};
    c.align.a = (struct ce_align_side){.ctx = &c.a, .next = next_row};
    c.align.b = (struct ce_align_side){.ctx = &c.b, .next = next_row};
    int r = ce_arrow_source_open(&c.a.source, a, err);
    int r_b = ce_arrow_source_open(&c.b.source, b, r < 0 ? NULL : err);
    if (r == 0)
        r = r_b < 0 ? r_b : compare(&c, err);
    if (r == 0) {
        *ret_diff = c.diff;
        c.diff = (struct ce_diff){0};
    }
    comparison_done(&c);
    return r;
}
