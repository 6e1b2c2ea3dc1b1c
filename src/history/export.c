/* SPDX-License-Identifier: MIT */
/* The runs as a file for other programs: CSV, JSON lines, Parquet. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "data/parquet/parquet.h"
#include "data/stream/stream.h"
#include "history/history_internal.h"
#include "report/words.h"

enum { PIECE = 1 << 16 };

/* Writes a row; NULL: what goes before the first one. */
typedef int write_fn(sqlite3_stmt *statement, FILE *out);

/* ---- rows ---- */

static int write_header(FILE *out)
{
    for (int i = 0; i < CE_HISTORY_COLUMN_COUNT; i++)
        fprintf(out, "%s%s", i > 0 ? "," : "", ce_history_columns[i]);
    return putc('\n', out) == EOF ? -EIO : 0;
}

/* As few digits as are read back as the same number. */
static void put_number(double value, FILE *out)
{
    char text[32];
    int digits = 15;
    do
        snprintf(text, sizeof text, "%.*g", digits, value);
    while (strtod(text, NULL) != value && digits++ < 17);
    fputs(text, out);
}

static void put_cell(sqlite3_stmt *statement, int i, FILE *out)
{
    switch (sqlite3_column_type(statement, i)) {
    case SQLITE_NULL:
        break;
    case SQLITE_INTEGER:
        fprintf(out, "%" PRId64, (int64_t)sqlite3_column_int64(statement, i));
        break;
    case SQLITE_FLOAT:
        put_number(sqlite3_column_double(statement, i), out);
        break;
    default:
        ce_put_escaped(out, CE_ESCAPE_CSV, ce_history_text(statement, i));
        break;
    }
}

static int write_csv(sqlite3_stmt *statement, FILE *out)
{
    if (!statement)
        return write_header(out);
    for (int i = 0; i < CE_HISTORY_COLUMN_COUNT; i++) {
        put_cell(statement, i, out);
        (void)putc(i + 1 < CE_HISTORY_COLUMN_COUNT ? ',' : '\n', out);
    }
    return 0;
}

static int write_jsonl(sqlite3_stmt *statement, FILE *out)
{
    ce_autojson json_t *row = statement ? ce_history_row(statement) : NULL;
    if (statement && (!row || json_dumpf(row, out, JSON_COMPACT | JSON_REAL_PRECISION(17)) < 0 ||
                      putc('\n', out) == EOF))
        return -ENOMEM;
    return 0;
}

/* ---- files ---- */

/* What is written is collected in a piece of memory, which goes to the file when it is full. */
struct sink {
    struct ce_output *file;
    FILE *out;
    char *piece;
    size_t size;
};

static int empty_piece(struct sink *sink, size_t least, struct ce_error *err)
{
    if (fflush(sink->out) == EOF)
        return ce_fail_memory(err);
    if (sink->size < least)
        return 0;
    CE_TRY(ce_output_put(sink->file, sink->piece, sink->size, err));
    rewind(sink->out);
    return 0;
}

static int write_rows(struct ce_history *history, const struct ce_history_filter *filter,
                      write_fn *write, struct sink *sink, struct ce_error *err)
{
    CE_STATEMENT *statement = NULL;
    int r;
    CE_TRY(ce_history_select(history, filter, &statement, NULL, err));
    if (write(NULL, sink->out) < 0)
        return ce_fail_memory(err);
    while ((r = ce_history_step(history, statement, err)) > 0) {
        if (write(statement, sink->out) < 0)
            return ce_fail_memory(err);
        CE_TRY(empty_piece(sink, PIECE, err));
    }
    CE_TRY(r);
    return empty_piece(sink, 0, err);
}

static int write_file(struct ce_history *history, const struct ce_history_filter *filter,
                      write_fn *write, const char *path, struct ce_error *err)
{
    CE_CLEANUP(ce_output_free_p) struct ce_output *file = NULL;
    struct sink sink = {0};
    CE_TRY(ce_output_open(path, 0644, ce_packing_of_name(path), &file, err));
    sink.file = file;
    if (!(sink.out = open_memstream(&sink.piece, &sink.size)))
        return ce_fail_memory(err);
    int r = write_rows(history, filter, write, &sink, err);
    (void)fclose(sink.out);
    free(sink.piece);
    CE_TRY(r);
    CE_TRY(ce_output_sync(file, err));
    return ce_output_publish(file, err);
}

static int write_parquet(struct ce_history *history, const struct ce_history_filter *filter,
                         const char *path, struct ce_error *err)
{
    static const struct ce_parquet_cast casts[] = {
        {"resilience_score", "DOUBLE"},
        {"recovery_time", "DOUBLE"},
        {"accuracy_degradation", "DOUBLE"},
        {"pipeline_downtime", "DOUBLE"},
        {"error_count", "BIGINT"},
        {"duration", "DOUBLE"},
        {"started_at", "TIMESTAMP"},
        {"ended_at", "TIMESTAMP"},
        {"seed", "BIGINT"},
    };
    if (strcmp(path, "-") == 0)
        return ce_fail(err, EINVAL, "a Parquet file cannot be written to standard output");
    ce_autofree char *rows = ce_format("%s.chaoseater-rows", path);
    if (!rows)
        return ce_fail_memory(err);
    int r = write_file(history, filter, write_csv, rows, err);
    if (r == 0)
        r = ce_parquet_from_csv(rows, casts, CE_COUNT(casts), path, err);
    (void)unlink(rows);
    return r;
}

int ce_history_export(struct ce_history *history, const struct ce_history_filter *filter,
                      const char *format, const char *path, struct ce_error *err)
{
    static const struct ce_history_filter all;
    char shown[CE_TEXT_SHOWN_SIZE];
    filter = filter ? filter : &all;
    if (history->path && ce_paths_meet(history->path, path))
        return ce_fail(err, EINVAL, "'%s' is the history itself", path);
    if (strcmp(format, "csv") == 0)
        return write_file(history, filter, write_csv, path, err);
    if (strcmp(format, "jsonl") == 0)
        return write_file(history, filter, write_jsonl, path, err);
    if (strcmp(format, "parquet") == 0)
        return write_parquet(history, filter, path, err);
    ce_text_show(format, shown);
    return ce_fail(err, EINVAL, "format '%s' is not one of csv, jsonl, parquet", shown);
}
