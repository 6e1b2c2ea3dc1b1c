/* SPDX-License-Identifier: MIT */
/* An Arrow stream as a Parquet file: a table function hands DuckDB the batches in slices of a
 * vector's size, and COPY writes them. DuckDB has one thread for that, so the bytes of the file do
 * not depend on how many there are. Unless there is to be one in all, that is a thread of its own:
 * the stream is pulled, and the batches are made, on the caller's. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/log.h"
#include "data/parquet/parquet_internal.h"
#include "data/parquet/relay.h"

#define SOURCE "mutated"

struct writer {
    struct ce_duckdb *duck;
    struct duckdb_connection *connection;
    struct ArrowArrayStream *in;
    struct ArrowSchema schema;
    struct duckdb_arrow_schema *converted;
    struct duckdb_type **types; /* of the columns */
    struct ArrowArray batch;    /* released: there is none */
    int64_t at;                 /* rows of it that were handed over */
    struct duckdb_chunk *lent;  /* the slice that DuckDB works on */
    struct ce_relay *relay;     /* batches come from there; NULL: from the stream */
    struct ce_error error;      /* of the stream */
};

static int writer_fail(struct ce_error *err, const struct ce_duckdb_api *api,
                       struct duckdb_error *error)
{
    int r = ce_duckdb_fail(err, EINVAL, api->error_data_message(error));
    api->destroy_error_data(&error);
    return r;
}

static void batch_release(struct writer *writer)
{
    if (writer->lent)
        writer->duck->api.destroy_data_chunk(&writer->lent);
    if (writer->batch.release)
        writer->batch.release(&writer->batch);
    writer->batch = (struct ArrowArray){0};
    writer->at = 0;
}

static void writer_done(struct writer *writer)
{
    if (writer->duck) {
        batch_release(writer);
        for (int64_t i = 0; writer->types && i < writer->schema.n_children; i++)
            writer->duck->api.destroy_logical_type(&writer->types[i]);
        writer->duck->api.destroy_arrow_converted_schema(&writer->converted);
        if (writer->connection)
            writer->duck->api.disconnect(&writer->connection);
        ce_duckdb_close(writer->duck);
    }
    free(writer->types);
    if (writer->schema.release)
        writer->schema.release(&writer->schema);
    writer->in->release(writer->in);
}

/* ---- slices ---- */

static void release_nothing(struct ArrowArray *array)
{
    array->release = NULL;
}

/* Rows of the batch as a chunk. DuckDB refers to the batch's memory, which stays ours: the slice
 * is a view of it, and only its columns have an offset. */
static int slice_chunk(struct writer *writer, const struct ArrowArray *batch, int64_t at,
                       int64_t count, struct duckdb_chunk **ret_chunk, struct ce_error *err)
{
    const struct ce_duckdb_api *api = &writer->duck->api;
    size_t columns = (size_t)batch->n_children;
    ce_autofree struct ArrowArray *views = calloc(columns + 1, sizeof *views);
    ce_autofree struct ArrowArray **children = calloc(columns + 1, sizeof *children);
    if (!views || !children)
        return ce_fail_memory(err);
    for (size_t i = 0; i < columns; i++) {
        views[i] = *batch->children[i];
        views[i].offset += batch->offset + at;
        views[i].length = count;
        views[i].null_count = views[i].null_count == 0 ? 0 : -1;
        children[i] = &views[i];
    }
    static const void *no_validity[1];
    struct ArrowArray slice = {
        .length = count,
        .n_buffers = 1,
        .buffers = no_validity,
        .n_children = batch->n_children,
        .children = children,
        .release = release_nothing,
    };
    struct duckdb_error *error =
        api->data_chunk_from_arrow(writer->connection, &slice, writer->converted, ret_chunk);
    return error ? writer_fail(err, api, error) : 0;
}

/* ---- the columns' types ---- */

/* An array of that schema without rows. Its buffers are never read, only pointed to. */
struct no_rows {
    struct ArrowArray array;
    struct ArrowArray *children[];
};

static void no_rows_free(struct ArrowArray *array)
{
    if (!array)
        return;
    for (int64_t i = 0; i < array->n_children; i++)
        no_rows_free(array->children[i]);
    no_rows_free(array->dictionary);
    free(array); /* the first member of a struct no_rows */
}
CE_DEFINE_CLEANUP(struct ArrowArray, no_rows_free);

static struct ArrowArray *no_rows_new(const struct ArrowSchema *schema)
{
    static const uint64_t zeroes[8];
    static const void *buffers[4] = {NULL, zeroes, zeroes, zeroes};
    size_t count = (size_t)schema->n_children;
    struct no_rows *empty = calloc(1, sizeof *empty + count * sizeof empty->children[0]);
    if (!empty)
        return NULL;
    CE_CLEANUP(no_rows_free_p) struct ArrowArray *array = &empty->array;
    array->buffers = buffers;
    array->n_buffers = 3;
    array->children = empty->children;
    array->release = release_nothing;
    for (size_t i = 0; i < count; i++) {
        empty->children[i] = no_rows_new(schema->children[i]);
        if (!empty->children[i])
            return NULL;
        array->n_children++;
    }
    if (schema->dictionary) {
        array->dictionary = no_rows_new(schema->dictionary);
        if (!array->dictionary)
            return NULL;
    }
    return ce_take(array);
}

/* DuckDB's types of the columns, as a chunk of no rows has them. */
static int types_find(struct writer *writer, struct ce_error *err)
{
    const struct ce_duckdb_api *api = &writer->duck->api;
    struct duckdb_error *error =
        api->schema_from_arrow(writer->connection, &writer->schema, &writer->converted);
    if (error)
        return writer_fail(err, api, error);
    size_t count = (size_t)writer->schema.n_children;
    CE_CLEANUP(no_rows_free_p) struct ArrowArray *empty = no_rows_new(&writer->schema);
    writer->types = calloc(count + 1, sizeof(struct duckdb_type *));
    if (!empty || !writer->types)
        return ce_fail_memory(err);
    struct duckdb_chunk *chunk;
    CE_TRY(slice_chunk(writer, empty, 0, 0, &chunk, err));
    for (size_t i = 0; i < count; i++)
        writer->types[i] = api->vector_get_column_type(api->data_chunk_get_vector(chunk, i));
    api->destroy_data_chunk(&chunk);
    return 0;
}

/* ---- the table function ---- */

/* DuckDB's callbacks get nothing but DuckDB's own structures, and to ask these for a pointer of
 * ours takes a function that was found at run time, which is what the pointer would lead to. But
 * a database of one thread calls back on the thread that runs the statement. */
static _Thread_local struct writer *writing;

static void source_bind(struct duckdb_info *info)
{
    const struct writer *writer = writing;
    for (int64_t i = 0; i < writer->schema.n_children; i++)
        writer->duck->api.bind_add_result_column(info, writer->schema.children[i]->name,
                                                 writer->types[i]);
}

static void source_init(struct duckdb_info *info)
{
    writing->duck->api.init_set_max_threads(info, 1);
}

/* The stream's next batch: 1, 0 at the end, or -errno; writer->error says why. */
static int stream_pull(struct writer *writer, struct ArrowArray *ret_batch)
{
    int code = writer->in->get_next(writer->in, ret_batch);
    if (code != 0) {
        const char *message = writer->in->get_last_error(writer->in);
        return ce_fail(&writer->error, code, "%s", message ? message : strerror(code));
    }
    return ret_batch->release != NULL;
}

/* Makes sure that the batch has rows left. 1, 0 at the end, or negative: the stream has failed. */
static int source_pull(struct writer *writer)
{
    if (writer->lent)
        writer->duck->api.destroy_data_chunk(&writer->lent);
    while (!writer->batch.release || writer->at == writer->batch.length) {
        batch_release(writer);
        int r = writer->relay ? ce_relay_take(writer->relay, &writer->batch)
                              : stream_pull(writer, &writer->batch);
        if (r <= 0)
            return r;
    }
    return 1;
}

static void source_next(struct duckdb_info *info, struct duckdb_chunk *output)
{
    struct writer *writer = writing;
    const struct ce_duckdb_api *api = &writer->duck->api;
    struct ce_error why = {.message = "the rows have come to an untimely end"};
    int r = source_pull(writer);
    int64_t count = r > 0 ? writer->batch.length - writer->at : 0;
    if (count > CE_DUCKDB_VECTOR_SIZE)
        count = CE_DUCKDB_VECTOR_SIZE;
    if (count > 0)
        r = slice_chunk(writer, &writer->batch, writer->at, count, &writer->lent, &why);
    if (r < 0) {
        api->function_set_error(info, why.message);
        return;
    }
    for (int64_t i = 0; i < writer->schema.n_children && count > 0; i++)
        api->vector_reference_vector(api->data_chunk_get_vector(output, (uint64_t)i),
                                     api->data_chunk_get_vector(writer->lent, (uint64_t)i));
    api->data_chunk_set_size(output, (uint64_t)count);
    writer->at += count;
}

static int source_register(struct writer *writer, struct ce_error *err)
{
    const struct ce_duckdb_api *api = &writer->duck->api;
    struct duckdb_function *function = api->create_table_function();
    if (!function)
        return ce_fail_memory(err);
    api->table_function_set_name(function, SOURCE);
    api->table_function_set_bind(function, source_bind);
    api->table_function_set_init(function, source_init);
    api->table_function_set_function(function, source_next);
    int state = api->register_table_function(writer->connection, function);
    api->destroy_table_function(&function);
    return state == CE_DUCKDB_SUCCESS ? 0 : ce_fail_memory(err);
}

/* ---- the statement ---- */

static const struct ce_parquet_column *column_named(const struct ce_parquet_form *form,
                                                    const char *name)
{
    for (size_t i = 0; i < form->column_count; i++)
        if (strcmp(form->columns[i].name, name) == 0)
            return &form->columns[i];
    return NULL;
}

static bool schema_has(const struct ArrowSchema *schema, const char *name)
{
    for (int64_t i = 0; i < schema->n_children; i++)
        if (strcmp(schema->children[i]->name, name) == 0)
            return true;
    return false;
}

/* The column of the form that the i-th of the schema still is: that of its name, or, renamed, that
 * of its place. NULL: it is a new one, or of another type. */
static const struct ce_parquet_column *column_still(const struct ce_parquet_form *form,
                                                    const struct ArrowSchema *schema, size_t i)
{
    const struct ArrowSchema *field = schema->children[i];
    const struct ce_parquet_column *column = column_named(form, field->name);
    if (!column && i < form->column_count && !schema_has(schema, form->columns[i].name))
        column = &form->columns[i];
    bool same = column && column->format && strcmp(column->format, field->format) == 0;
    return same ? column : NULL;
}

/* Whether it has the same columns in the same order. */
static bool schema_kept(const struct ce_parquet_form *form, const struct ArrowSchema *schema)
{
    bool kept = (size_t)schema->n_children == form->column_count;
    for (size_t i = 0; kept && i < form->column_count; i++)
        kept = strcmp(form->columns[i].name, schema->children[i]->name) == 0 &&
               column_still(form, schema, i);
    return kept;
}

static void put_columns(FILE *sql, const struct writer *writer, const struct ce_parquet_form *form)
{
    for (int64_t i = 0; i < writer->schema.n_children; i++) {
        const char *name = writer->schema.children[i]->name;
        const struct ce_parquet_column *column = column_still(form, &writer->schema, (size_t)i);
        fputs(i > 0 ? ", " : "", sql);
        if (column)
            fputs(column->uuid ? "CAST(hex(" : "CAST(", sql);
        ce_sql_name(sql, name);
        if (column)
            fprintf(sql, "%s AS %s)", column->uuid ? ")" : "", column->type);
        fputs(" AS ", sql);
        ce_sql_name(sql, name);
    }
}

/* Arrow's own description of the schema stays as long as it is true; readers would trust it. */
static void put_notes(FILE *sql, const struct writer *writer, const struct ce_parquet_form *form)
{
    bool kept = schema_kept(form, &writer->schema);
    bool first = true;
    for (size_t i = 0; i < form->note_count; i++) {
        const struct ce_parquet_note *note = &form->notes[i];
        bool again = false;
        for (size_t j = 0; j < i && !again; j++)
            again = strcasecmp(form->notes[j].key, note->key) == 0;
        if (again || (!kept && strcmp(note->key, "ARROW:schema") == 0)) {
            ce_log("Parquet metadata '%s' is not kept: %s", note->key,
                   again ? "its key is there twice" : "the columns are others now");
            continue;
        }
        fputs(first ? ", KV_METADATA {" : ", ", sql);
        first = false;
        ce_sql_text(sql, note->key);
        fputs(": '", sql);
        for (size_t b = 0; b < note->value_size; b++)
            fprintf(sql, "\\x%02X", (unsigned char)note->value[b]);
        fputs("'::BLOB", sql);
    }
    fputs(first ? "" : "}", sql);
}

static char *copy_sql(const struct writer *writer, const struct ce_parquet_form *form,
                      const char *file)
{
    char *sql = NULL;
    size_t size;
    FILE *text = open_memstream(&sql, &size);
    if (!text)
        return NULL;
    fputs("COPY (SELECT ", text);
    put_columns(text, writer, form);
    fprintf(text,
            " FROM " SOURCE "()) TO '%s' (FORMAT parquet, USE_TMP_FILE false, COMPRESSION '%s', "
            "ROW_GROUP_SIZE %" PRIu64,
            file, form->codec, form->row_group_rows);
    put_notes(text, writer, form);
    fputs(")", text);
    if (fclose(text) == 0)
        return sql;
    free(sql);
    return NULL;
}

/* ---- running it ---- */

struct copying {
    struct writer *writer;
    const char *sql;
    int r;
    struct ce_error err;
};

static void *copy(void *ctx)
{
    struct copying *copying = ctx;
    struct writer *writer = copying->writer;
    writing = writer;
    copying->r =
        ce_duckdb_run(writer->duck, writer->connection, copying->sql, NULL, NULL, &copying->err);
    writing = NULL;
    if (writer->relay)
        ce_relay_refuse(writer->relay);
    return NULL;
}

/* Starts a thread that leaves signals to others. */
static int thread_start(pthread_t *ret_thread, void *(*function)(void *), void *ctx)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(ret_thread, NULL, function, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

/* Row groups are encoded in one go: room for the next one keeps the stream's side at work. */
static size_t relay_places(const struct ce_parquet_form *form)
{
    uint64_t places = form->row_group_rows / CE_DUCKDB_VECTOR_SIZE + 4;
    return places < CE_RELAY_BATCHES ? (size_t)places : CE_RELAY_BATCHES;
}

static int copy_beside(struct copying *copying, size_t places, struct ce_error *err)
{
    struct writer *writer = copying->writer;
    struct ce_relay relay;
    pthread_t thread;
    ce_relay_init(&relay, places);
    writer->relay = &relay;
    int code = thread_start(&thread, copy, copying);
    if (code == 0) {
        struct ArrowArray batch;
        int r;
        do
            r = stream_pull(writer, &batch);
        while (r > 0 && ce_relay_put(&relay, &batch));
        ce_relay_end(&relay, r < 0);
        pthread_join(thread, NULL);
    }
    writer->relay = NULL;
    ce_relay_done(&relay);
    return code == 0 ? 0 : ce_fail(err, code, "cannot start a thread: %s", strerror(code));
}

static int writer_run(struct writer *writer, const struct ce_parquet_form *form, int fd,
                      unsigned threads, struct ce_error *err)
{
    char file[CE_DUCKDB_FILE_SIZE];
    ce_duckdb_file(fd, file);
    int code = writer->in->get_schema(writer->in, &writer->schema);
    if (code != 0)
        return ce_fail(err, code, "%s", writer->in->get_last_error(writer->in));
    CE_TRY(ce_duckdb_open(1, &fd, 1, &writer->duck, err));
    CE_TRY(ce_duckdb_connect(writer->duck, &writer->connection, err));
    CE_TRY(types_find(writer, err));
    CE_TRY(source_register(writer, err));
    ce_autofree char *sql = copy_sql(writer, form, file);
    if (!sql)
        return ce_fail_memory(err);
    struct copying copying = {.writer = writer, .sql = sql};
    if (threads == 1)
        copy(&copying);
    else
        CE_TRY(copy_beside(&copying, relay_places(form), err));
    return copying.r < 0 ? ce_fail(err, -copying.r, "%s", copying.err.message) : 0;
}

int ce_parquet_write(struct ce_output *out, struct ArrowArrayStream *in,
                     const struct ce_parquet_form *form, unsigned threads, struct ce_error *err)
{
    struct writer writer = {.in = in};
    struct ce_error why = {0};
    int r = writer_run(&writer, form, ce_output_fd(out), threads, &why);
    writer_done(&writer);
    if (r < 0 && writer.error.code) /* DuckDB only passes it on */
        return ce_fail(err, writer.error.code, "%s", writer.error.message);
    ce_duckdb_rename(ce_output_fd(out), ce_output_path(out), &why);
    return r < 0 ? ce_fail(err, -r, "cannot write '%s': %s", ce_output_path(out), why.message) : r;
}
