/* SPDX-License-Identifier: MIT */
/* A Parquet file as a stream of Arrow batches. DuckDB decodes it chunk by chunk, ahead of whoever
 * pulls but by no more than its buffer, and turns each chunk into an Arrow array. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "data/parquet/parquet_internal.h"

/* ---- the file ---- */

#define MAGIC      "PAR1"
#define MAGIC_SIZE 4
#define SMALLEST   12 /* magic, an empty footer's size, magic */

/* What DuckDB would say of these is not what the user has to know. */
static int file_check(const struct ce_parquet_file *file, const struct stat *st,
                      struct ce_error *err)
{
    char head[MAGIC_SIZE] = {0}, tail[MAGIC_SIZE] = {0};
    if (S_ISDIR(st->st_mode))
        return ce_fail(err, EISDIR, "'%s' is a folder", file->path);
    if (!S_ISREG(st->st_mode))
        return ce_fail(err, ESPIPE, "'%s' is no regular file; Parquet is read from its end",
                       file->path);
    if (st->st_size == 0)
        return ce_fail_at(err, file->path, EINVAL, "is empty");
    if (pread(file->fd, head, sizeof head, 0) < 0 ||
        (st->st_size >= SMALLEST &&
         pread(file->fd, tail, sizeof tail, st->st_size - MAGIC_SIZE) < 0))
        return ce_fail(err, errno, "cannot read '%s': %s", file->path, strerror(errno));
    if (memcmp(head, "PARE", MAGIC_SIZE) == 0)
        return ce_fail_at(err, file->path, ENOTSUP, "is encrypted");
    if (memcmp(head, MAGIC, MAGIC_SIZE) != 0)
        return ce_fail_at(err, file->path, EINVAL, "is no Parquet file");
    if (memcmp(tail, MAGIC, MAGIC_SIZE) != 0)
        return ce_fail_at(err, file->path, EINVAL, "is cut short: Parquet's footer is not there");
    return 0;
}

static int file_fail(const struct ce_parquet_file *file, struct ce_error *why, struct ce_error *err)
{
    ce_duckdb_rename(file->fd, file->path, why);
    return ce_fail_at(err, file->path, EINVAL, "cannot be read as Parquet: %s", why->message);
}

int ce_parquet_open(const char *path, unsigned threads, struct ce_parquet_file **ret_file,
                    struct ce_error *err)
{
    if (strcmp(path, "-") == 0)
        return ce_fail(err, ESPIPE, "Parquet cannot be read from standard input, only from a file");
    CE_CLEANUP(ce_parquet_close_p) struct ce_parquet_file *file = calloc(1, sizeof *file);
    if (!file)
        return ce_fail_memory(err);
    file->path = path;
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (file->fd < 0 || fstat(file->fd, &st) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));
    file->mode = st.st_mode & 07777;
    CE_TRY(file_check(file, &st, err));

    ce_duckdb_file(file->fd, file->name);
    CE_TRY(ce_duckdb_open(threads, &file->fd, 1, &file->duck, err));
    CE_TRY(ce_duckdb_connect(file->duck, &file->connection, err));
    struct ce_error why = {0};
    int r = ce_parquet_form_read(file->duck, file->connection, file->name, path, &file->form, &why);
    if (r < 0 && why.where[0]) /* of our own */
        return ce_fail_at(err, why.where, -r, "%s", why.message);
    if (r < 0)
        return r == -ENOMEM ? ce_fail_memory(err) : file_fail(file, &why, err);
    *ret_file = ce_take(file);
    return 0;
}

void ce_parquet_close(struct ce_parquet_file *file)
{
    if (!file)
        return;
    ce_parquet_form_done(&file->form);
    if (file->connection)
        file->duck->api.disconnect(&file->connection);
    ce_duckdb_close(file->duck);
    if (file->fd >= 0)
        (void)close(file->fd);
    free(file);
}

/* ---- the stream ---- */

struct reader {
    struct ce_parquet_file *file; /* borrowed */
    struct duckdb_prepared *statement;
    struct duckdb_pending *pending;
    struct duckdb_result result;
    bool has_result;
    struct duckdb_arrow_options *options;
    struct ce_error error;
};

static int reader_fail(struct reader *reader, const char *message)
{
    struct ce_error why = {0}, told = {0};
    (void)ce_duckdb_fail(&why, EINVAL, message);
    (void)file_fail(reader->file, &why, &told);
    return -ce_fail(&reader->error, EINVAL, "%s: %s", told.where, told.message);
}

static int reader_fail_with(struct reader *reader, struct duckdb_error *error)
{
    const struct ce_duckdb_api *api = &reader->file->duck->api;
    int r = reader_fail(reader, api->error_data_message(error));
    api->destroy_error_data(&error);
    return r;
}

static void types_free(const struct ce_duckdb_api *api, struct duckdb_type **types, uint64_t count)
{
    for (uint64_t i = 0; types && i < count; i++)
        api->destroy_logical_type(&types[i]);
    free(types);
}

static int reader_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct reader *reader = stream->private_data;
    const struct ce_duckdb_api *api = &reader->file->duck->api;
    uint64_t count = api->column_count(&reader->result);
    struct duckdb_type **types = calloc(count + 1, sizeof *types);
    ce_autofree const char **names = calloc(count + 1, sizeof *names);
    struct duckdb_error *error = NULL;
    bool whole = types && names;
    for (uint64_t i = 0; i < count && whole; i++) {
        types[i] = api->column_logical_type(&reader->result, i);
        names[i] = api->column_name(&reader->result, i);
        whole = types[i] && names[i];
    }
    if (whole)
        error = api->to_arrow_schema(reader->options, types, names, count, out);
    types_free(api, types, count);
    if (error)
        return reader_fail_with(reader, error);
    return whole ? 0 : -ce_fail_memory(&reader->error);
}

static int reader_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct reader *reader = stream->private_data;
    const struct ce_duckdb_api *api = &reader->file->duck->api;
    *out = (struct ArrowArray){0};
    if (reader->file->stop && *reader->file->stop)
        return -ce_fail(&reader->error, EINTR, "stopped");
    for (;;) {
        struct duckdb_chunk *chunk = api->fetch_chunk(reader->result);
        const char *message = chunk ? NULL : api->result_error(&reader->result);
        if (message)
            return reader_fail(reader, message);
        if (!chunk)
            return 0;
        struct duckdb_error *error = NULL;
        bool empty = api->data_chunk_get_size(chunk) == 0;
        if (!empty)
            error = api->data_chunk_to_arrow(reader->options, chunk, out);
        api->destroy_data_chunk(&chunk);
        if (error)
            return reader_fail_with(reader, error);
        if (!empty)
            return 0;
    }
}

static const char *reader_message(struct ArrowArrayStream *stream)
{
    struct reader *reader = stream->private_data;
    return reader->error.message[0] ? reader->error.message : NULL;
}

static void reader_free(struct reader *reader)
{
    if (!reader)
        return;
    const struct ce_duckdb_api *api = &reader->file->duck->api;
    if (reader->has_result)
        api->destroy_result(&reader->result);
    if (reader->pending)
        api->destroy_pending(&reader->pending);
    if (reader->statement)
        api->destroy_prepare(&reader->statement);
    if (reader->options)
        api->destroy_arrow_options(&reader->options);
    free(reader);
}
CE_DEFINE_CLEANUP(struct reader, reader_free);

static void reader_release(struct ArrowArrayStream *stream)
{
    reader_free(stream->private_data);
    *stream = (struct ArrowArrayStream){0};
}

/* Arrow has no type for some of Parquet's: what travels instead holds all of the value. */
static char *select_sql(const struct ce_parquet_file *file)
{
    char *sql = NULL;
    size_t size;
    FILE *text = open_memstream(&sql, &size);
    if (!text)
        return NULL;
    fputs("SELECT ", text);
    for (size_t i = 0; i < file->form.column_count; i++) {
        const struct ce_parquet_column *column = &file->form.columns[i];
        fputs(i > 0 ? ", " : "", text);
        fputs(column->uuid                           ? "unhex(replace(CAST("
              : strcmp(column->type, "VARCHAR") == 0 ? "CAST("
                                                     : "(",
              text);
        ce_sql_name(text, column->name);
        fputs(column->uuid                           ? " AS VARCHAR), '-', ''))"
              : strcmp(column->type, "VARCHAR") == 0 ? " AS VARCHAR)"
                                                     : ")",
              text);
        fputs(" AS ", text);
        ce_sql_name(text, column->name);
    }
    fprintf(text, " FROM read_parquet('%s')", file->name);
    if (fclose(text) == 0)
        return sql;
    free(sql);
    return NULL;
}

static int reader_start(struct reader *reader, struct ce_error *err)
{
    struct ce_parquet_file *file = reader->file;
    const struct ce_duckdb_api *api = &file->duck->api;
    ce_autofree char *sql = select_sql(file);
    if (!sql)
        return ce_fail_memory(err);
    const char *message = NULL;
    api->connection_get_arrow_options(file->connection, &reader->options);
    if (api->prepare(file->connection, sql, &reader->statement) != CE_DUCKDB_SUCCESS) {
        message = api->prepare_error(reader->statement);
    } else if (api->pending_prepared_streaming(reader->statement, &reader->pending) !=
               CE_DUCKDB_SUCCESS) {
        message = api->pending_error(reader->pending);
    } else {
        reader->has_result = true;
        if (api->execute_pending(reader->pending, &reader->result) == CE_DUCKDB_SUCCESS)
            return 0;
        message = api->result_error(&reader->result);
    }
    int r = reader_fail(reader, message);
    return ce_fail(err, r, "%s", reader->error.message);
}

/* Notes how Arrow calls what travels, by which the writer knows a column that is still what it
 * was. */
static int formats_note(struct ce_parquet_form *form, struct ArrowArrayStream *stream,
                        struct ce_error *err)
{
    struct ArrowSchema schema = {0};
    int code = stream->get_schema(stream, &schema);
    if (code != 0)
        return ce_fail(err, code, "%s", stream->get_last_error(stream));
    int r = 0;
    for (size_t i = 0; i < form->column_count && r == 0; i++) {
        struct ce_parquet_column *column = &form->columns[i];
        if (!column->format)
            column->format = strdup(schema.children[i]->format);
        if (!column->format)
            r = ce_fail_memory(err);
    }
    schema.release(&schema);
    return r;
}

int ce_parquet_stream(struct ce_parquet_file *file, struct ArrowArrayStream *ret_stream,
                      struct ce_error *err)
{
    CE_CLEANUP(reader_free_p) struct reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return ce_fail_memory(err);
    reader->file = file;
    CE_TRY(reader_start(reader, err));
    struct ArrowArrayStream stream = {
        .get_schema = reader_schema,
        .get_next = reader_next,
        .get_last_error = reader_message,
        .release = reader_release,
        .private_data = reader,
    };
    CE_TRY(formats_note(&file->form, &stream, err));
    reader = NULL;
    *ret_stream = stream;
    return 0;
}
