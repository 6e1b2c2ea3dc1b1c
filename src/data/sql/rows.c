/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "data/sql/sql_internal.h"

static bool begin_cell(struct ce_sql_rows *rows, bool quoted)
{
    if (rows->count == rows->capacity) {
        size_t capacity = 2 * rows->capacity + 16;
        struct ce_sql_cell *larger = realloc(rows->cells, capacity * sizeof *larger);
        if (!larger)
            return false;
        rows->cells = larger;
        rows->capacity = capacity;
    }
    rows->cells[rows->count++] = (struct ce_sql_cell){.at = rows->bytes.size, .quoted = quoted};
    return true;
}

static bool put(struct ce_sql_rows *rows, int c)
{
    char byte = (char)c;
    rows->next_line += c == '\n';
    return ce_buffer_put(&rows->bytes, &byte, 1);
}

/* The inside of a quoted cell, its closing quote included. */
static int read_quoted(struct ce_sql_rows *rows, struct ce_error *err)
{
    for (;;) {
        int c = getc_unlocked(rows->file);
        if (c == EOF)
            return ce_fail(err, EINVAL, "%s:%llu: a quoted cell is not closed", rows->path,
                           (unsigned long long)rows->line);
        if (c == '"') {
            int next = getc_unlocked(rows->file);
            if (next != '"') {
                (void)ungetc(next, rows->file);
                return 0;
            }
        }
        if (!put(rows, c))
            return ce_fail_memory(err);
    }
}

/* One cell, up to what ends it: a comma, a line end or the end of the file. */
static int read_cell(struct ce_sql_rows *rows, int *ret_end, struct ce_error *err)
{
    int c = getc_unlocked(rows->file);
    if (!begin_cell(rows, c == '"'))
        return ce_fail_memory(err);
    if (c == '"') {
        CE_TRY(read_quoted(rows, err));
        c = getc_unlocked(rows->file);
    }
    for (; c != ',' && c != '\n' && c != EOF; c = getc_unlocked(rows->file)) {
        if (c == '\r') {
            int next = getc_unlocked(rows->file);
            if (next == '\n') {
                c = next;
                break;
            }
            (void)ungetc(next, rows->file);
        }
        if (!put(rows, c))
            return ce_fail_memory(err);
    }
    struct ce_sql_cell *cell = &rows->cells[rows->count - 1];
    cell->size = rows->bytes.size - cell->at;
    *ret_end = c;
    return put(rows, '\0') ? 0 : ce_fail_memory(err);
}

int ce_sql_rows_next(struct ce_sql_rows *rows, struct ce_error *err)
{
    rows->count = 0;
    rows->bytes.size = 0;
    rows->line = ++rows->next_line;
    int end = getc_unlocked(rows->file);
    if (end != EOF)
        (void)ungetc(end, rows->file);
    while (end != EOF) {
        CE_TRY(read_cell(rows, &end, err));
        if (end == '\n' || end == EOF)
            break;
    }
    if (ferror(rows->file))
        return ce_fail(err, EIO, "cannot read '%s'", rows->path);
    return rows->count > 0;
}

void ce_sql_rows_done(struct ce_sql_rows *rows)
{
    ce_buffer_done(&rows->bytes);
    free(rows->cells);
    rows->cells = NULL;
}
