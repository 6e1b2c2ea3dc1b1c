/* SPDX-License-Identifier: MIT */
#include "pipeline/http/labelled.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "data/data.h"
#include "data/decimal.h"
#include "data/text/chunk.h"
#include "data/text/jsonl_cell.h"

struct reader {
    const char *path, *label;
    struct ce_chunk_reader *chunks;
    struct ce_text_table *table;
    struct ce_chunk chunk;
    struct ce_text_scan scan;
    struct ce_text_row at_work;
    struct ce_text_record record;
    struct ce_buffer made, scratch;
    struct ce_buffer texts; /* of the row at hand, each with its NUL */
    size_t *ends;           /* of each feature's text in there; equal to the one before: missing */
    bool *not_number;       /* of each column: a cell was seen that is none */
    size_t column_capacity;
    size_t label_column; /* SIZE_MAX: not seen yet */
    const char *key;     /* that a failure is about */
    size_t capacity;     /* of the rows */
    struct ce_labelled labelled;
};

void ce_labelled_done(struct ce_labelled *labelled)
{
    for (size_t i = 0; i < labelled->feature_count; i++)
        free((char *)labelled->features[i].name);
    free(labelled->features);
    for (size_t i = 0; i < labelled->row_count; i++) {
        free(labelled->rows[i].label);
        free(labelled->rows[i].cells);
    }
    free(labelled->rows);
    *labelled = (struct ce_labelled){0};
}

static void reader_done(struct reader *reader)
{
    ce_labelled_done(&reader->labelled);
    free(reader->not_number);
    free(reader->ends);
    ce_buffer_done(&reader->made);
    ce_buffer_done(&reader->scratch);
    ce_buffer_done(&reader->texts);
    free(reader->at_work.cells);
    ce_text_scan_done(&reader->scan);
    ce_chunk_done(&reader->chunk);
    ce_chunk_reader_close(reader->chunks);
}

/* ---- messages ---- */

static int fail_row(const struct reader *reader, struct ce_error *err, const char *column,
                    const char *why)
{
    enum { PATH_ROOM = sizeof err->where - 24 };
    char where[sizeof err->where], shown[CE_TEXT_SHOWN_SIZE];
    size_t size = strlen(reader->path);
    bool cut = size > PATH_ROOM; /* then its end says more than its beginning */
    snprintf(where, sizeof where, "%s%s:%" PRIu64, cut ? "..." : "",
             reader->path + (cut ? size - PATH_ROOM : 0), reader->record.line);
    ce_text_show(column, shown);
    return ce_fail_at(err, where, EINVAL, "column '%s' %s", shown, why);
}

static int fail_no_label(struct reader *reader, struct ce_error *err)
{
    reader->key = "label";
    const struct ce_text_table *table = reader->table;
    char shown[CE_TEXT_SHOWN_SIZE], list[200] = "";
    size_t used = 0;
    for (size_t i = 0; i < table->column_count && used < sizeof list; i++) {
        ce_text_show(table->names[i], shown);
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", shown);
    }
    if (used >= sizeof list)
        memcpy(list + sizeof list - 4, "...", 4);
    const char *near =
        ce_text_nearest(reader->label, (const char *const *)table->names, table->column_count);
    ce_text_show(reader->label, shown);
    return ce_fail(err, ENOENT, "label: '%.160s' has no column '%s'%s%s%s (there are: %s)",
                   reader->path, shown, near ? "; did you mean '" : "", near ? near : "",
                   near ? "'?" : "", list);
}

/* ---- one row ---- */

/* Room for what is known of each column. */
static int widen(struct reader *reader, struct ce_error *err)
{
    size_t count = reader->table->column_count;
    if (count <= reader->column_capacity)
        return 0;
    size_t *ends = realloc(reader->ends, count * sizeof *ends);
    if (!ends)
        return ce_fail_memory(err);
    reader->ends = ends;
    bool *not_number = realloc(reader->not_number, count * sizeof *not_number);
    if (!not_number)
        return ce_fail_memory(err);
    reader->not_number = not_number;
    for (size_t i = reader->column_capacity; i < count; i++)
        not_number[i] = false;
    reader->column_capacity = count;
    for (size_t i = 0; i < count && reader->label_column == SIZE_MAX; i++)
        if (strcmp(reader->table->names[i], reader->label) == 0)
            reader->label_column = i;
    return 0;
}

static struct ce_cell cell_at(struct reader *reader, size_t column)
{
    struct ce_cell cell = {0};
    ce_row_cell(&reader->at_work.row, column, &cell);
    cell.row = &reader->at_work.row;
    return cell;
}

/* Whether the row has a value there that could be sent. 1, 0: it is missing, or -errno. */
static int take_cell(struct reader *reader, size_t column, struct ce_cell *ret_cell,
                     struct ce_error *err)
{
    *ret_cell = cell_at(reader, column);
    if (!ret_cell->raw || ce_cell_missing(ret_cell))
        return 0;
    bool nested = *ret_cell->raw == '{' || *ret_cell->raw == '[';
    if (nested && reader->table->format->learn)
        return fail_row(reader, err, reader->table->names[column],
                        "holds an object or a list, which is not one value of a request");
    return 1;
}

/* The text of a cell, of a number one that JSON takes for a number. Valid until the next call. */
static int cell_text(struct reader *reader, struct ce_cell *cell, char number[CE_DECIMAL_TEXT],
                     const char **ret_text, size_t *ret_size, bool *ret_is_number)
{
    double value;
    *ret_is_number = ce_cell_number(cell, &value);
    *ret_text = ce_cell_text(cell, ret_size);
    if (!*ret_text)
        return -ENOMEM;
    if (*ret_is_number && !ce_json_is_number(*ret_text, *ret_size)) {
        *ret_size = (size_t)ce_decimal_print(value, '.', number, CE_DECIMAL_TEXT);
        *ret_text = number;
    }
    return 0;
}

static int take_features(struct reader *reader, struct ce_error *err)
{
    reader->texts.size = 0;
    for (size_t i = 0; i < reader->table->column_count; i++) {
        char number[CE_DECIMAL_TEXT];
        struct ce_cell cell;
        int has = i == reader->label_column ? 0 : take_cell(reader, i, &cell, err);
        CE_TRY(has);
        if (has > 0) {
            const char *text;
            size_t size;
            bool is_number;
            if (cell_text(reader, &cell, number, &text, &size, &is_number) < 0 ||
                !ce_buffer_put(&reader->texts, text, size) || !ce_buffer_put(&reader->texts, "", 1))
                return ce_fail_memory(err);
            reader->not_number[i] |= !is_number;
        }
        reader->ends[i] = reader->texts.size;
    }
    return 0;
}

/* The cells as pointers with their texts behind them, in one block. */
static const char **pack_features(const struct reader *reader, size_t *ret_count)
{
    size_t columns = reader->table->column_count, count = 0, begin = 0;
    const char **cells = malloc(columns * sizeof *cells + reader->texts.size + 1);
    if (!cells)
        return NULL;
    char *texts = (char *)(cells + columns);
    if (reader->texts.size > 0)
        memcpy(texts, reader->texts.data, reader->texts.size);
    for (size_t i = 0; i < columns; i++) {
        if (i != reader->label_column)
            cells[count++] = reader->ends[i] > begin ? texts + begin : NULL;
        begin = reader->ends[i];
    }
    *ret_count = count;
    return cells;
}

static int take_label(struct reader *reader, struct ce_labelled_row *row, struct ce_error *err)
{
    char number[CE_DECIMAL_TEXT];
    struct ce_cell cell = {0};
    const char *text;
    size_t size;
    bool is_number;
    int has =
        reader->label_column == SIZE_MAX ? 0 : take_cell(reader, reader->label_column, &cell, err);
    CE_TRY(has);
    if (has == 0)
        return fail_row(reader, err, reader->label, "is empty: every row needs its label");
    if (cell_text(reader, &cell, number, &text, &size, &is_number) < 0 ||
        !(row->label = strndup(text, size)))
        return ce_fail_memory(err);
    row->number = NAN;
    if (is_number)
        (void)ce_cell_number(&cell, &row->number);
    reader->labelled.numbers = reader->labelled.numbers && is_number;
    return 0;
}

static int take_row(struct reader *reader, struct ce_error *err)
{
    struct ce_labelled *labelled = &reader->labelled;
    if (labelled->row_count == reader->capacity) {
        size_t capacity = 2 * reader->capacity + 256;
        struct ce_labelled_row *rows = realloc(labelled->rows, capacity * sizeof *rows);
        if (!rows)
            return ce_fail_memory(err);
        labelled->rows = rows;
        reader->capacity = capacity;
    }
    struct ce_labelled_row *row = &labelled->rows[labelled->row_count++];
    *row = (struct ce_labelled_row){0};
    CE_TRY(take_label(reader, row, err));
    CE_TRY(take_features(reader, err));
    row->cells = pack_features(reader, &row->cell_count);
    return row->cells ? 0 : ce_fail_memory(err);
}

/* ---- the file ---- */

static int next_chunk(struct reader *reader, struct ce_error *err)
{
    int got = ce_chunk_reader_next(reader->chunks, &reader->chunk, err);
    if (got <= 0)
        return got;
    const struct ce_chunk *chunk = &reader->chunk;
    if (reader->table->format->learn)
        CE_TRY(reader->table->format->learn(reader->table, chunk->data, chunk->size, err));
    CE_TRY(widen(reader, err));
    reader->scan = (struct ce_text_scan){
        .table = reader->table,
        .at = chunk->data + chunk->head_size,
        .end = chunk->data + chunk->size,
        .last = chunk->last,
        .row = chunk->row,
        .line = chunk->line,
        .cells = reader->scan.cells,
        .cell_capacity = reader->scan.cell_capacity,
        .special = reader->scan.special,
    };
    return 1;
}

/* The columns of a table that has a header are known; of others only those that were seen. */
static int check_label(struct reader *reader, struct ce_error *err)
{
    CE_TRY(widen(reader, err));
    return reader->label_column == SIZE_MAX ? fail_no_label(reader, err) : 0;
}

static int read_rows(struct reader *reader, struct ce_error *err)
{
    int got;
    while (reader->labelled.row_count < CE_LABELLED_MAX && (got = next_chunk(reader, err)) != 0) {
        CE_TRY(got);
        CE_TRY(check_label(reader, err));
        while (reader->labelled.row_count < CE_LABELLED_MAX) {
            got = reader->table->format->next(&reader->scan, &reader->record, err);
            CE_TRY(got);
            if (got == 0)
                break;
            CE_TRY(take_row(reader, err));
        }
    }
    CE_TRY(check_label(reader, err));
    if (reader->labelled.row_count > 0)
        return 0;
    return ce_fail(err, EINVAL, "dataset: '%.200s' has no rows", reader->path);
}

static int name_features(struct reader *reader, struct ce_error *err)
{
    struct ce_labelled *labelled = &reader->labelled;
    labelled->features = calloc(reader->table->column_count, sizeof *labelled->features);
    if (!labelled->features)
        return ce_fail_memory(err);
    for (size_t i = 0; i < reader->table->column_count; i++) {
        if (i == reader->label_column)
            continue;
        struct ce_feature *feature = &labelled->features[labelled->feature_count];
        feature->is_number = !reader->not_number[i];
        feature->name = strdup(reader->table->names[i]);
        if (!feature->name)
            return ce_fail_memory(err);
        labelled->feature_count++;
    }
    return 0;
}

static int check_format(const char *path, struct ce_error *err)
{
    static const struct ce_data_format *const others[] = {&ce_data_parquet, &ce_data_arrow};
    char magic[8];
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, magic, sizeof magic);
    if (size < 0)
        return ce_fail(err, errno, "dataset: cannot read '%.200s': %s", path, strerror(errno));
    for (size_t i = 0; i < CE_COUNT(others); i++)
        if (others[i]->is(path, magic, (size_t)size))
            return ce_fail(err, EINVAL,
                           "dataset: '%.200s' is %s; labelled rows are read from CSV or JSON lines",
                           path, others[i]->name);
    return 0;
}

static int read_table(struct reader *reader, struct ce_error *err)
{
    static const struct ce_chunk_options as_found;
    CE_TRY(check_format(reader->path, err));
    CE_TRY(ce_chunk_reader_open(reader->path, &as_found, &reader->chunks, err));
    reader->table = ce_chunk_reader_table(reader->chunks);
    reader->at_work = (struct ce_text_row){
        .row = {.form = reader->table->format->form},
        .table = reader->table,
        .record = &reader->record,
        .made = &reader->made,
        .scratch = &reader->scratch,
    };
    CE_TRY(read_rows(reader, err));
    return name_features(reader, err);
}

int ce_labelled_read(const char *path, const char *label, struct ce_labelled *ret_labelled,
                     const char **ret_key, struct ce_error *err)
{
    CE_CLEANUP(reader_done)
    struct reader reader = {
        .path = path,
        .label = label,
        .label_column = SIZE_MAX,
        .key = "dataset",
        .labelled = {.numbers = true},
    };
    int r = read_table(&reader, err);
    if (r < 0) {
        *ret_key = reader.key;
        return r;
    }
    *ret_labelled = reader.labelled;
    reader.labelled = (struct ce_labelled){0};
    return 0;
}
