/* SPDX-License-Identifier: MIT */
/* The CSV reader: the scan of the CSV format over one window on the file.
 *
 * A record that does not end within the window is scanned again from its start once more of the
 * file is there; the window grows when a record fills it. */
#include "base/cleanup.h"
#include "data/csv_internal.h"
#include "data/stream/stream.h"
#include "data/text/csv_cell.h"
#include "data/text/csv_open.h"
#include "data/text/csv_scan.h"

enum {
    WINDOW_DEFAULT = 256 * 1024,
    WINDOW_MAX = 32 * 1024 * 1024,
};

struct ce_csv_reader {
    struct ce_input *input;
    char *path;
    struct ce_sha256 *sha;
    struct ce_text_table table;
    struct ce_text_scan scan; /* what was read and not yet handed out */

    char *window;
    size_t capacity;
    bool at_eof;
};

CE_DEFINE_CLEANUP(struct ce_csv_reader, ce_csv_close);

void ce_csv_close(struct ce_csv_reader *reader)
{
    if (!reader)
        return;
    ce_input_close(reader->input);
    ce_text_table_done(&reader->table);
    ce_text_scan_done(&reader->scan);
    free(reader->window);
    free(reader->path);
    free(reader);
}

/* ---- the window ---- */

static int window_make_room(struct ce_csv_reader *r, struct ce_error *err)
{
    size_t kept = (size_t)(r->scan.end - r->scan.at);
    if (kept > 0)
        memmove(r->window, r->scan.at, kept);
    if (kept == r->capacity) {
        if (r->capacity >= WINDOW_MAX)
            return ce_csv_fail_at(r->path, r->scan.line, EFBIG,
                                  "a row is longer than 32 MiB: is a quoted cell not closed?", err);
        char *larger = realloc(r->window, 2 * r->capacity);
        if (!larger)
            return ce_fail_memory(err);
        r->window = larger;
        r->capacity *= 2;
    }
    r->scan.at = r->window;
    r->scan.end = r->window + kept;
    r->scan.window = NULL;
    return 0;
}

/* Fills the window up. */
static int window_fill(struct ce_csv_reader *r, struct ce_error *err)
{
    CE_TRY(window_make_room(r, err));
    size_t kept = (size_t)(r->scan.end - r->window), room = r->capacity - kept;
    ssize_t n = ce_input_read(r->input, r->window + kept, room, err);
    if (n < 0)
        return (int)n;
    if (r->sha)
        ce_sha256_add(r->sha, r->window + kept, (size_t)n);
    r->scan.end += n;
    r->at_eof = (size_t)n < room;
    return 0;
}

/* ---- opening ---- */

static int open_table(struct ce_csv_reader *r, struct ce_error *err)
{
    int got;
    do {
        CE_TRY(window_fill(r, err));
        got = ce_csv_format.open(&r->table, r->window, (size_t)(r->scan.end - r->window), r->at_eof,
                                 err);
    } while (got == -EAGAIN);
    return got;
}

int ce_csv_open_window(const char *path, size_t window, struct ce_sha256 *sha,
                       struct ce_csv_reader **ret_reader, struct ce_error *err)
{
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *r = calloc(1, sizeof *r);
    if (!r)
        return ce_fail_memory(err);
    r->sha = sha;
    r->capacity = window > 0 ? window : WINDOW_DEFAULT;
    r->window = malloc(r->capacity);
    r->path = strdup(path);
    if (!r->window || !r->path)
        return ce_fail_memory(err);
    r->table.path = r->path;
    r->scan =
        (struct ce_text_scan){.table = &r->table, .at = r->window, .end = r->window, .line = 1};

    CE_TRY(ce_input_open(path, &r->input, err));
    CE_TRY(open_table(r, err));
    r->scan.at += r->table.head_size;
    r->scan.line += r->table.head_lines;
    *ret_reader = ce_take(r);
    return 0;
}

int ce_csv_open(const char *path, struct ce_csv_reader **ret_reader, struct ce_error *err)
{
    return ce_csv_open_window(path, 0, NULL, ret_reader, err);
}

/* ---- what callers ask ---- */

size_t ce_csv_column_count(const struct ce_csv_reader *reader)
{
    return reader->table.column_count;
}

const char *ce_csv_column_name(const struct ce_csv_reader *reader, size_t column)
{
    return column < reader->table.column_count ? reader->table.names[column] : NULL;
}

int ce_csv_column(const struct ce_csv_reader *reader, const char *name)
{
    return ce_text_column(&reader->table, name, strlen(name));
}

const char *ce_csv_head(const struct ce_csv_reader *reader, size_t *ret_size)
{
    *ret_size = reader->table.head_size;
    return reader->window;
}

int ce_csv_next(struct ce_csv_reader *reader, struct ce_text_record *ret_record,
                struct ce_error *err)
{
    for (;;) {
        struct ce_text_record record;
        switch (ce_csv_scan(&reader->scan, reader->at_eof, &record)) {
        case CE_CSV_RECORD:
            *ret_record = record;
            return 1;
        case CE_CSV_END:
            *ret_record = record;
            return 0;
        case CE_CSV_MORE:
            CE_TRY(window_fill(reader, err));
            break;
        case CE_CSV_UNCLOSED:
            return ce_csv_fail_at(reader->path, record.line, EINVAL, "a quoted cell is not closed",
                                  err);
        default:
            return ce_fail_memory(err);
        }
    }
}

size_t ce_csv_value(const struct ce_text_cell *cell, char *text, size_t size)
{
    return ce_csv_cell_value(cell, false, text, size);
}

bool ce_csv_missing(const struct ce_text_cell *cell)
{
    return ce_csv_cell_missing(cell);
}

bool ce_csv_number(const struct ce_text_cell *cell, double *ret_value)
{
    static const struct ce_text_table ordinary = {.delimiter = ','};
    return ce_csv_cell_number(&ordinary, cell, ret_value);
}
