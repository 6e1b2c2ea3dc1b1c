/* SPDX-License-Identifier: MIT */
/* Comparing two text tables, row by row: which rows belong together is up to data/align.h, and a
 * pair's cells are compared by value. */
#include <string.h>

#include "base/cleanup.h"
#include "data/align.h"
#include "data/text/text_internal.h"

struct row {
    uint64_t ordinal;
    struct ce_buffer texts;
    size_t *ends; /* of each common column's text */
};

struct side {
    struct ce_chunk_reader *reader;
    const struct ce_text_table *table;
    struct ce_chunk chunk;
    struct ce_text_scan scan;
    struct ce_text_row at_work;
    struct ce_buffer made, scratch;
    bool scanning, ended;
    size_t *columns; /* of this table, for each common one */
    size_t common;
    struct row *rows; /* row n lies in n % CE_ALIGN_RING */
    uint64_t row_count;
};

struct comparison {
    struct side a, b;
    size_t common;
    void (*cell)(void *ctx, const struct ce_diff_cell *cell);
    void *ctx;
    struct ce_diff diff;
    struct ce_align align; /* hash 0: the row has no such cell */
};

static void side_done(struct side *side)
{
    for (size_t i = 0; side->rows && i < CE_ALIGN_RING; i++) {
        ce_buffer_done(&side->rows[i].texts);
        free(side->rows[i].ends);
    }
    free(side->rows);
    free(side->columns);
    free(side->at_work.cells);
    ce_text_scan_done(&side->scan);
    ce_buffer_done(&side->made);
    ce_buffer_done(&side->scratch);
    ce_chunk_done(&side->chunk);
    ce_chunk_reader_close(side->reader);
}

static void comparison_done(struct comparison *c)
{
    side_done(&c->a);
    side_done(&c->b);
    ce_align_done(&c->align);
    ce_diff_done(&c->diff);
}

/* ---- columns ---- */

/* Reads a table whose records name its columns once through. */
static int learn_columns(const char *path, struct ce_text_table *table, struct ce_error *err)
{
    static const struct ce_chunk_options none;
    CE_CLEANUP(ce_chunk_reader_close_p) struct ce_chunk_reader *reader = NULL;
    CE_CLEANUP(ce_chunk_done) struct ce_chunk chunk = {0};
    CE_TRY(ce_chunk_reader_open(path, &none, &reader, err));
    int got;
    while ((got = ce_chunk_reader_next(reader, &chunk, err)) > 0)
        CE_TRY(table->format->learn(table, chunk.data, chunk.size, err));
    return got;
}

static int side_open(struct side *side, const char *path, struct ce_error *err)
{
    static const struct ce_chunk_options none;
    CE_TRY(ce_chunk_reader_open(path, &none, &side->reader, err));
    struct ce_text_table *table = ce_chunk_reader_table(side->reader);
    side->table = table;
    if (!table->format->learn)
        return 0;
    if (!ce_input_repeatable(ce_chunk_reader_input(side->reader)))
        return ce_fail(err, EINVAL, "'%s' must be a file: it is read twice", path);
    return learn_columns(path, table, err);
}

/* The nth column of that name, or -1. */
static int find_nth(const struct ce_text_table *table, const char *name, size_t nth)
{
    for (size_t i = 0; i < table->column_count; i++)
        if (strcmp(table->names[i], name) == 0 && nth-- == 0)
            return (int)i;
    return -1;
}

/* The column in `other` that is called like column `i`: of columns that share a name, the nth is
 * the nth. */
static int counterpart(const struct ce_text_table *table, size_t i,
                       const struct ce_text_table *other)
{
    size_t nth = 0;
    for (size_t k = 0; k < i; k++)
        nth += strcmp(table->names[k], table->names[i]) == 0;
    return find_nth(other, table->names[i], nth);
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

static int align_columns(struct comparison *c, struct ce_error *err)
{
    const struct ce_text_table *a = c->a.table, *b = c->b.table;
    c->a.columns = calloc(a->column_count + 1, sizeof *c->a.columns);
    c->b.columns = calloc(a->column_count + 1, sizeof *c->b.columns);
    c->diff.columns = calloc(a->column_count + 1, sizeof *c->diff.columns);
    if (!c->a.columns || !c->b.columns || !c->diff.columns)
        return ce_fail_memory(err);
    for (size_t i = 0; i < a->column_count; i++) {
        int in_b = counterpart(a, i, b);
        if (in_b < 0) {
            CE_TRY(add_name(&c->diff.columns_removed, a->names[i], err));
            continue;
        }
        c->a.columns[c->common] = i;
        c->b.columns[c->common] = (size_t)in_b;
        c->diff.columns[c->common].name = strdup(a->names[i]);
        if (!c->diff.columns[c->common].name)
            return ce_fail_memory(err);
        c->diff.column_count = ++c->common;
    }
    for (size_t i = 0; i < b->column_count; i++)
        if (counterpart(b, i, a) < 0)
            CE_TRY(add_name(&c->diff.columns_added, b->names[i], err));
    c->a.common = c->b.common = c->common;
    return 0;
}

/* ---- rows ---- */

static int side_start(struct side *side, struct ce_error *err)
{
    side->rows = calloc(CE_ALIGN_RING, sizeof *side->rows);
    if (!side->rows)
        return ce_fail_memory(err);
    side->at_work = (struct ce_text_row){
        .row = {.form = side->table->format->form},
        .table = side->table,
        .made = &side->made,
        .scratch = &side->scratch,
    };
    return 0;
}

static int next_chunk(struct side *side, struct ce_error *err)
{
    int got = ce_chunk_reader_next(side->reader, &side->chunk, err);
    if (got <= 0) {
        side->ended = got == 0;
        return got;
    }
    const struct ce_chunk *chunk = &side->chunk;
    side->scanning = true;
    side->scan = (struct ce_text_scan){
        .table = side->table,
        .at = chunk->data + chunk->head_size,
        .end = chunk->data + chunk->size,
        .last = chunk->last,
        .row = chunk->row,
        .line = chunk->line,
        .cells = side->scan.cells,
        .cell_capacity = side->scan.cell_capacity,
        .special = side->scan.special,
    };
    return 1;
}

/* 64 bits of a value; never 0. A text in JSON is no number, however it looks. */
static uint64_t hash_value(const char *text, size_t size, bool kind)
{
    uint64_t hash = UINT64_C(0x9E3779B97F4A7C15) ^ size ^ (uint64_t)kind << 63;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, text + i, size - i < 8 ? size - i : 8);
        hash = (hash ^ word) * UINT64_C(0xBF58476D1CE4E5B9);
        hash ^= hash >> 29;
    }
    hash = (hash ^ hash >> 32) * UINT64_C(0x94D049BB133111EB);
    return (hash ^ hash >> 31) | 1;
}

static int keep_row(struct side *side, const struct ce_text_record *record, uint64_t *ret_hashes,
                    struct ce_error *err)
{
    struct row *row = &side->rows[side->row_count % CE_ALIGN_RING];
    if (!row->ends) {
        row->ends = calloc(side->common + 1, sizeof *row->ends);
        if (!row->ends)
            return ce_fail_memory(err);
    }
    row->ordinal = record->row;
    row->texts.size = 0;
    for (size_t i = 0; i < side->common; i++) {
        size_t column = side->columns[i], size;
        struct ce_cell cell = {0};
        ret_hashes[i] = 0;
        if (column < record->cell_count && record->cells[column].raw) {
            ce_row_cell(&side->at_work.row, column, &cell);
            cell.row = &side->at_work.row;
            const char *text = ce_cell_text(&cell, &size);
            if (!text || !ce_buffer_put(&row->texts, text, size))
                return ce_fail_memory(err);
            ret_hashes[i] =
                hash_value(text, size, side->table->format->learn && record->cells[column].quoted);
        }
        row->ends[i] = row->texts.size;
    }
    side->row_count++;
    return 0;
}

static int next_row(void *ctx, uint64_t *ret_hashes, struct ce_error *err)
{
    struct side *side = ctx;
    struct ce_text_record record;
    side->at_work.record = &record;
    while (!side->ended) {
        int got = side->scanning ? side->table->format->next(&side->scan, &record, err) : 0;
        if (got < 0)
            return got;
        side->scanning = got > 0;
        if (got > 0) {
            CE_TRY(keep_row(side, &record, ret_hashes, err));
            return 1;
        }
        CE_TRY(next_chunk(side, err));
    }
    return 0;
}

/* ---- pairs ---- */

static void show(const struct row *row, size_t column, uint64_t hash, char ret_text[CE_DIFF_SHOWN],
                 bool *ret_missing)
{
    size_t at = column > 0 ? row->ends[column - 1] : 0, size = row->ends[column] - at;
    size = size < CE_DIFF_SHOWN - 1 ? size : CE_DIFF_SHOWN - 1;
    if (size > 0)
        memcpy(ret_text, row->texts.data + at, size);
    ret_text[size] = '\0';
    *ret_missing = hash == 0;
}

static void compare_pair(struct comparison *c)
{
    uint64_t row_a = c->align.a.begin - 1, row_b = c->align.b.begin - 1;
    const struct row *a = &c->a.rows[row_a % CE_ALIGN_RING], *b = &c->b.rows[row_b % CE_ALIGN_RING];
    const uint64_t *hashes_a = ce_align_row(&c->align, &c->align.a, row_a);
    const uint64_t *hashes_b = ce_align_row(&c->align, &c->align.b, row_b);
    for (size_t i = 0; i < c->common; i++) {
        if (hashes_a[i] == hashes_b[i])
            continue;
        c->diff.cells_changed++;
        c->diff.columns[i].changed++;
        if (c->cell) {
            struct ce_diff_cell cell = {.row = a->ordinal, .column = c->diff.columns[i].name};
            show(a, i, hashes_a[i], cell.a, &cell.a_missing);
            show(b, i, hashes_b[i], cell.b, &cell.b_missing);
            c->cell(c->ctx, &cell);
        }
    }
}

/* ---- the whole ---- */

static int compare_rows(struct comparison *c, struct ce_error *err)
{
    uint64_t removed, added;
    int r;
    c->align.a = (struct ce_align_side){.ctx = &c->a, .next = next_row};
    c->align.b = (struct ce_align_side){.ctx = &c->b, .next = next_row};
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

int ce_text_diff(const char *a, const char *b,
                 void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                 struct ce_diff *ret_diff, struct ce_error *err)
{
    CE_CLEANUP(comparison_done) struct comparison c = {.cell = cell, .ctx = ctx};
    CE_TRY(side_open(&c.a, a, err));
    CE_TRY(side_open(&c.b, b, err));
    CE_TRY(align_columns(&c, err));
    CE_TRY(side_start(&c.a, err));
    CE_TRY(side_start(&c.b, err));
    CE_TRY(compare_rows(&c, err));
    *ret_diff = c.diff;
    c.diff = (struct ce_diff){0};
    return 0;
}
