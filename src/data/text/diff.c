/* SPDX-License-Identifier: MIT */
/* Comparing two text tables, row by row.
 *
 * Rows are paired as they come, and a pair's cells are compared by value. Where the pairs that
 * follow agree clearly less than those before did, some rows may be in one of the files alone: the
 * smallest shift, up to a window of rows, under which they agree clearly better says how many. A
 * search that finds none is not repeated at once, so files that differ everywhere cost little more
 * than others. */
#include <string.h>

#include "base/cleanup.h"
#include "data/text/text_internal.h"

enum {
    WINDOW = 4096, /* the longest shift */
    NEAR = 64,
    RUN = 16,    /* pairs that tell whether a shift is right */
    MEMORY = 64, /* pairs over which the usual agreement is averaged */
    RING = 8192, /* rows that are kept of a file; more than WINDOW + RUN */
};
#define CLEARLY  0.25 /* a difference in the share of equal cells that means something */
#define STRONG   0.5  /* ... that does after EVIDENCE cells: the next shift may be near */
#define EVIDENCE 8
#define HALF     0.5

struct row {
    uint64_t ordinal;
    struct ce_buffer texts;
    size_t *ends;     /* of each common column's text */
    uint64_t *hashes; /* 0: the row has no such cell */
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
    struct row *rows; /* row n lies in n % RING */
    uint64_t begin, end;
};

struct comparison {
    struct side a, b;
    size_t common;
    void (*cell)(void *ctx, const struct ce_diff_cell *cell);
    void *ctx;
    struct ce_diff diff;
    double usual;              /* share of equal cells, of late */
    uint64_t no_search_before; /* row of a */
    uint64_t patience;         /* rows without a search after one that failed */
};

static void side_done(struct side *side)
{
    for (size_t i = 0; side->rows && i < RING; i++) {
        ce_buffer_done(&side->rows[i].texts);
        free(side->rows[i].ends);
        free(side->rows[i].hashes);
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
    side->rows = calloc(RING, sizeof *side->rows);
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

static int keep_row(struct side *side, const struct ce_text_record *record, struct ce_error *err)
{
    struct row *row = &side->rows[side->end % RING];
    if (!row->ends) {
        row->ends = calloc(side->common + 1, sizeof *row->ends);
        row->hashes = calloc(side->common + 1, sizeof *row->hashes);
        if (!row->ends || !row->hashes)
            return ce_fail_memory(err);
    }
    row->ordinal = record->row;
    row->texts.size = 0;
    for (size_t i = 0; i < side->common; i++) {
        size_t column = side->columns[i], size;
        struct ce_cell cell = {0};
        row->hashes[i] = 0;
        if (column < record->cell_count && record->cells[column].raw) {
            ce_row_cell(&side->at_work.row, column, &cell);
            cell.row = &side->at_work.row;
            const char *text = ce_cell_text(&cell, &size);
            if (!text || !ce_buffer_put(&row->texts, text, size))
                return ce_fail_memory(err);
            row->hashes[i] =
                hash_value(text, size, side->table->format->learn && record->cells[column].quoted);
        }
        row->ends[i] = row->texts.size;
    }
    side->end++;
    return 0;
}

/* Makes sure that `count` rows are there, if the file has them; *ret_count: how many are. */
static int look(struct side *side, uint64_t count, uint64_t *ret_count, struct ce_error *err)
{
    struct ce_text_record record;
    while (side->end - side->begin < count && !side->ended) {
        int got = 0;
        side->at_work.record = &record;
        if (side->scanning)
            got = side->table->format->next(&side->scan, &record, err);
        if (got < 0)
            return got;
        side->scanning = got > 0;
        if (got > 0)
            CE_TRY(keep_row(side, &record, err));
        else
            CE_TRY(next_chunk(side, err));
    }
    *ret_count = side->end - side->begin;
    return 0;
}

static const struct row *row_at(const struct side *side, uint64_t ahead)
{
    return &side->rows[(side->begin + ahead) % RING];
}

/* ---- pairs ---- */

static size_t equal_cells(const struct comparison *c, uint64_t ahead_a, uint64_t ahead_b)
{
    const uint64_t *a = row_at(&c->a, ahead_a)->hashes, *b = row_at(&c->b, ahead_b)->hashes;
    size_t equal = 0;
    for (size_t i = 0; i < c->common; i++)
        equal += a[i] == b[i];
    return equal;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How many pairs of a run there are under a shift. */
static int count_pairs(struct comparison *c, uint64_t ahead_a, uint64_t ahead_b,
                       uint64_t *ret_pairs, struct ce_error *err)
{
    uint64_t count_a, count_b;
    CE_TRY(look(&c->a, ahead_a + RUN, &count_a, err));
    CE_TRY(look(&c->b, ahead_b + RUN, &count_b, err));
    *ret_pairs = count_a <= ahead_a || count_b <= ahead_b
                     ? 0
                     : least(RUN, least(count_a - ahead_a, count_b - ahead_b));
    return 0;
}

/* Whether the pairs that follow agree clearly less than usual, or less than pairs should. */
static int agree_badly(struct comparison *c, bool *ret_badly, struct ce_error *err)
{
    uint64_t pairs;
    size_t equal = 0;
    CE_TRY(count_pairs(c, 0, 0, &pairs, err));
    for (uint64_t i = 0; i < pairs; i++)
        equal += equal_cells(c, i, i);
    double least_share = c->usual - CLEARLY > HALF ? c->usual - CLEARLY : HALF;
    *ret_badly = (double)equal < least_share * (double)(pairs * c->common);
    return 0;
}

/* Whether the row is like none of those that follow it in its file. */
static bool is_distinctive(const struct comparison *c, const struct side *side, uint64_t ahead)
{
    const uint64_t *row = row_at(side, ahead)->hashes;
    uint64_t count = least(side->end - side->begin, ahead + RUN);
    for (uint64_t other = ahead + 1; other < count; other++)
        if (memcmp(row_at(side, other)->hashes, row, c->common * sizeof *row) == 0)
            return false;
    return true;
}

/* Whether leaving out that many rows makes the rest agree clearly better. */
static int try_shift(struct comparison *c, uint64_t shift_a, uint64_t shift_b, bool *ret_better,
                     struct ce_error *err)
{
    uint64_t count_a, count_b, pairs;
    *ret_better = false;
    CE_TRY(look(&c->a, shift_a + 1, &count_a, err));
    CE_TRY(look(&c->b, shift_b + 1, &count_b, err));
    if (count_a <= shift_a || count_b <= shift_b ||
        2 * equal_cells(c, shift_a, shift_b) < c->common)
        return 0;
    CE_TRY(count_pairs(c, shift_a, shift_b, &pairs, err));
    *ret_better = equal_cells(c, shift_a, shift_b) == c->common &&
                  is_distinctive(c, &c->a, shift_a) && is_distinctive(c, &c->b, shift_b);
    double gain = 0, cells = 0;
    for (uint64_t i = 0; i < pairs && !*ret_better; i++) {
        gain += (double)equal_cells(c, shift_a + i, shift_b + i) - (double)equal_cells(c, i, i);
        cells += (double)c->common;
        *ret_better = cells >= EVIDENCE && gain >= STRONG * cells;
    }
    *ret_better |= cells >= EVIDENCE && gain >= CLEARLY * cells; /* to the end of the run */
    return 0;
}

/* How many rows are in one of the files alone before the next pair. */
static int find_shift(struct comparison *c, uint64_t *ret_removed, uint64_t *ret_added,
                      struct ce_error *err)
{
    bool badly, better;
    *ret_removed = *ret_added = 0;
    size_t equal = c->common > 0 ? equal_cells(c, 0, 0) : 0;
    if (equal == c->common || c->a.begin < c->no_search_before)
        return 0;
    /* A pair that agrees halfway may still be a pair: it is not worth a long search. */
    uint64_t window = 2 * equal < c->common ? WINDOW : NEAR;
    CE_TRY(agree_badly(c, &badly, err));
    if (!badly) {
        c->patience = 0;
        return 0;
    }
    for (uint64_t shift = 1; shift <= window; shift++) {
        CE_TRY(try_shift(c, 0, shift, &better, err));
        if (better) {
            *ret_added = shift;
            return 0;
        }
        CE_TRY(try_shift(c, shift, 0, &better, err));
        if (better) {
            *ret_removed = shift;
            return 0;
        }
    }
    if (window < WINDOW)
        return 0;
    c->patience = least(2 * c->patience + 1, WINDOW);
    c->no_search_before = c->a.begin + c->patience;
    return 0;
}

static void show(const struct row *row, size_t column, char ret_text[CE_DIFF_SHOWN],
                 bool *ret_missing)
{
    size_t at = column > 0 ? row->ends[column - 1] : 0, size = row->ends[column] - at;
    size = size < CE_DIFF_SHOWN - 1 ? size : CE_DIFF_SHOWN - 1;
    if (size > 0)
        memcpy(ret_text, row->texts.data + at, size);
    ret_text[size] = '\0';
    *ret_missing = row->hashes[column] == 0;
}

static void compare_pair(struct comparison *c)
{
    const struct row *a = row_at(&c->a, 0), *b = row_at(&c->b, 0);
    if (c->common > 0)
        c->usual += ((double)equal_cells(c, 0, 0) / (double)c->common - c->usual) / MEMORY;
    for (size_t i = 0; i < c->common; i++) {
        if (a->hashes[i] == b->hashes[i])
            continue;
        c->diff.cells_changed++;
        c->diff.columns[i].changed++;
        if (c->cell) {
            struct ce_diff_cell cell = {.row = a->ordinal, .column = c->diff.columns[i].name};
            show(a, i, cell.a, &cell.a_missing);
            show(b, i, cell.b, &cell.b_missing);
            c->cell(c->ctx, &cell);
        }
    }
    c->a.begin++;
    c->b.begin++;
}

/* ---- the whole ---- */

static int compare_rows(struct comparison *c, struct ce_error *err)
{
    for (;;) {
        uint64_t count_a, count_b, removed, added;
        CE_TRY(look(&c->a, 1, &count_a, err));
        CE_TRY(look(&c->b, 1, &count_b, err));
        if (count_a == 0 && count_b == 0)
            return 0;
        if (count_a == 0 || count_b == 0) {
            removed = count_a;
            added = count_b;
        } else {
            CE_TRY(find_shift(c, &removed, &added, err));
        }
        c->diff.rows_removed += removed;
        c->diff.rows_added += added;
        c->a.begin += removed;
        c->b.begin += added;
        if (removed == 0 && added == 0)
            compare_pair(c);
    }
}

int ce_text_diff(const char *a, const char *b,
                 void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                 struct ce_diff *ret_diff, struct ce_error *err)
{
    CE_CLEANUP(comparison_done) struct comparison c = {.cell = cell, .ctx = ctx, .usual = 1};
    CE_TRY(side_open(&c.a, a, err));
    CE_TRY(side_open(&c.b, b, err));
    CE_TRY(align_columns(&c, err));
    CE_TRY(side_start(&c.a, err));
    CE_TRY(side_start(&c.b, err));
    CE_TRY(compare_rows(&c, err));
    c.diff.rows_a = c.a.end;
    c.diff.rows_b = c.b.end;
    *ret_diff = c.diff;
    c.diff = (struct ce_diff){0};
    return 0;
}
