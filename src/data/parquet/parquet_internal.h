/* SPDX-License-Identifier: MIT */
/* The parts of the Parquet room: a file that is read (reader.c), what it has besides its values
 * (form.c), and a file that is written (writer.c).
 *
 * Reading and writing have a database each. On the reader's side DuckDB's threads decode ahead; on
 * the writer's, one encodes behind. What lies between the two (mutations, the answer key, progress)
 * stays on the caller's thread. */
#ifndef CE_DATA_PARQUET_PARQUET_INTERNAL_H
#define CE_DATA_PARQUET_PARQUET_INTERNAL_H

#include <jansson.h>
#include <sys/types.h>

#include "data/data.h"
#include "data/parquet/duckdb_api.h"
#include "data/stream/stream.h"

/* What a Parquet file has besides its values, as far as a rewritten one keeps it. The key holds it
 * too, so that a reverted file has the form of the first one. */
struct ce_parquet_form {
    char *codec;             /* compression, in DuckDB's spelling */
    uint64_t row_group_rows; /* of the largest one, but at most CE_PARQUET_GROUP_BYTES of content */
    uint64_t rows;
    struct ce_parquet_column {
        char *name;
        char *type;   /* DuckDB's name of the type that is written */
        bool uuid;    /* travels as 16 bytes */
        char *format; /* how Arrow calls what travels; NULL until ce_parquet_stream() was called
                         once */
    } * columns;
    size_t column_count;
    struct ce_parquet_note { /* key-value metadata: 'pandas', 'ARROW:schema', anybody's */
        char *key, *value;
        size_t value_size;
    } * notes;
    size_t note_count;
    char
        *lost; /* what a rewritten file does not have, as a sentence; NULL: nothing in the schema */
};
#define CE_PARQUET_GROUP_BYTES (16u << 20) /* the writer holds a row group in memory */
void ce_parquet_form_done(struct ce_parquet_form *form);
/* `file`: what SQL calls it, `name`: what messages do. */
int ce_parquet_form_read(struct ce_duckdb *duck, struct duckdb_connection *connection,
                         const char *file, const char *name, struct ce_parquet_form *ret_form,
                         struct ce_error *err);
json_t *ce_parquet_form_json(const struct ce_parquet_form *form); /* NULL: no memory */
/* What ce_parquet_form_json() made. -EINVAL: something else. */
int ce_parquet_form_load(const json_t *json, struct ce_parquet_form *ret_form,
                         struct ce_error *err);

/* ---- reading ---- */

struct ce_parquet_file {
    const char *path; /* borrowed */
    int fd;
    mode_t mode;
    char name[CE_DUCKDB_FILE_SIZE];
    struct ce_duckdb *duck;
    struct duckdb_connection *connection;
    struct ce_parquet_form form;
    const volatile sig_atomic_t *stop; /* its streams end with EINTR once it is set; may be NULL */
};
/* -EINVAL with one sentence for whatever is no whole Parquet file. */
int ce_parquet_open(const char *path, unsigned threads, struct ce_parquet_file **ret_file,
                    struct ce_error *err);
void ce_parquet_close(struct ce_parquet_file *file);
CE_DEFINE_CLEANUP(struct ce_parquet_file, ce_parquet_close);
/* All of its rows, in their order. One stream at a time; the file must outlive it. */
int ce_parquet_stream(struct ce_parquet_file *file, struct ArrowArrayStream *ret_stream,
                      struct ce_error *err);

/* ---- writing ---- */

/* Writes the stream to a file in that form, as far as its columns still are those, and releases
 * it. `out` is sealed and published by the caller. The stream is pulled on the calling thread; with
 * `threads` 1 the file is written on it, too. */
int ce_parquet_write(struct ce_output *out, struct ArrowArrayStream *in,
                     const struct ce_parquet_form *form, unsigned threads, struct ce_error *err);

/* Appends SQL: 'text' and "name", quotes doubled. */
void ce_sql_text(FILE *sql, const char *text);
void ce_sql_name(FILE *sql, const char *name);

#endif
