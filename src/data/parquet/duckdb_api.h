/* SPDX-License-Identifier: MIT */
/* DuckDB's C API, as far as Parquet needs it, loaded at run time: ChaosEater builds and runs
 * without the library, and only Parquet asks for it.
 *
 * The functions are members of struct ce_duckdb_api under their own names less "duckdb_"; types
 * are opaque but for the few whose layout is part of DuckDB's binary interface. */
#ifndef CE_DATA_PARQUET_DUCKDB_API_H
#define CE_DATA_PARQUET_DUCKDB_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "data/arrow/abi.h"

struct duckdb_database;
struct duckdb_connection;
struct duckdb_config;
struct duckdb_prepared;
struct duckdb_pending;
struct duckdb_chunk;
struct duckdb_vector;
struct duckdb_type;
struct duckdb_error;
struct duckdb_arrow_options;
struct duckdb_arrow_schema;
struct duckdb_function;
struct duckdb_info; /* of a table function's bind, init or main callback */

struct duckdb_result { /* passed by value */
    uint64_t retired_counts[3];
    void *retired_columns;
    char *retired_message;
    void *internal;
};

struct duckdb_string { /* an element of a text or binary vector */
    uint32_t size;
    char inlined[4]; /* the whole of it up to 12 bytes, else its first four */
    union {
        char rest[8];
        const char *data;
    };
};

enum { CE_DUCKDB_SUCCESS = 0 };
#define CE_DUCKDB_VECTOR_SIZE 2048 /* rows that a chunk has at most */

typedef void (*ce_duckdb_callback)(struct duckdb_info *info);
typedef void (*ce_duckdb_function)(struct duckdb_info *info, struct duckdb_chunk *output);

/* F(result, name, arguments) */
#define CE_DUCKDB_FUNCTIONS(F)                                                                     \
    F(const char *, library_version, (void))                                                       \
    F(int, create_config, (struct duckdb_config **))                                               \
    F(int, set_config, (struct duckdb_config *, const char *name, const char *value))              \
    F(void, destroy_config, (struct duckdb_config **))                                             \
    F(int, open_ext,                                                                               \
      (const char *path, struct duckdb_database **, struct duckdb_config *, char **ret_error))     \
    F(void, free, (void *))                                                                        \
    F(void, close, (struct duckdb_database **))                                                    \
    F(int, connect, (struct duckdb_database *, struct duckdb_connection **))                       \
    F(void, disconnect, (struct duckdb_connection **))                                             \
    F(int, query, (struct duckdb_connection *, const char *sql, struct duckdb_result *))           \
    F(int, prepare, (struct duckdb_connection *, const char *sql, struct duckdb_prepared **))      \
    F(const char *, prepare_error, (struct duckdb_prepared *))                                     \
    F(void, destroy_prepare, (struct duckdb_prepared **))                                          \
    F(int, pending_prepared_streaming, (struct duckdb_prepared *, struct duckdb_pending **))       \
    F(const char *, pending_error, (struct duckdb_pending *))                                      \
    F(int, execute_pending, (struct duckdb_pending *, struct duckdb_result *))                     \
    F(void, destroy_pending, (struct duckdb_pending **))                                           \
    F(const char *, result_error, (struct duckdb_result *))                                        \
    F(void, destroy_result, (struct duckdb_result *))                                              \
    F(uint64_t, column_count, (struct duckdb_result *))                                            \
    F(const char *, column_name, (struct duckdb_result *, uint64_t column))                        \
    F(struct duckdb_type *, column_logical_type, (struct duckdb_result *, uint64_t column))        \
    F(void, destroy_logical_type, (struct duckdb_type **))                                         \
    F(struct duckdb_chunk *, fetch_chunk, (struct duckdb_result))                                  \
    F(void, destroy_data_chunk, (struct duckdb_chunk **))                                          \
    F(uint64_t, data_chunk_get_size, (struct duckdb_chunk *))                                      \
    F(void, data_chunk_set_size, (struct duckdb_chunk *, uint64_t size))                           \
    F(uint64_t, data_chunk_get_column_count, (struct duckdb_chunk *))                              \
    F(struct duckdb_vector *, data_chunk_get_vector, (struct duckdb_chunk *, uint64_t column))     \
    F(void *, vector_get_data, (struct duckdb_vector *))                                           \
    F(uint64_t *, vector_get_validity, (struct duckdb_vector *))                                   \
    F(struct duckdb_type *, vector_get_column_type, (struct duckdb_vector *))                      \
    F(void, vector_reference_vector, (struct duckdb_vector * to, struct duckdb_vector * from))     \
    F(const char *, error_data_message, (struct duckdb_error *))                                   \
    F(void, destroy_error_data, (struct duckdb_error **))                                          \
    F(void, connection_get_arrow_options,                                                          \
      (struct duckdb_connection *, struct duckdb_arrow_options **))                                \
    F(void, destroy_arrow_options, (struct duckdb_arrow_options **))                               \
    F(struct duckdb_error *, to_arrow_schema,                                                      \
      (struct duckdb_arrow_options *, struct duckdb_type **, const char **names, uint64_t count,   \
       struct ArrowSchema *))                                                                      \
    F(struct duckdb_error *, data_chunk_to_arrow,                                                  \
      (struct duckdb_arrow_options *, struct duckdb_chunk *, struct ArrowArray *))                 \
    F(struct duckdb_error *, schema_from_arrow,                                                    \
      (struct duckdb_connection *, struct ArrowSchema *, struct duckdb_arrow_schema **))           \
    F(struct duckdb_error *, data_chunk_from_arrow,                                                \
      (struct duckdb_connection *, struct ArrowArray *, struct duckdb_arrow_schema *,              \
       struct duckdb_chunk **))                                                                    \
    F(void, destroy_arrow_converted_schema, (struct duckdb_arrow_schema **))                       \
    F(struct duckdb_function *, create_table_function, (void))                                     \
    F(void, destroy_table_function, (struct duckdb_function **))                                   \
    F(void, table_function_set_name, (struct duckdb_function *, const char *))                     \
    F(void, table_function_set_bind, (struct duckdb_function *, ce_duckdb_callback))               \
    F(void, table_function_set_init, (struct duckdb_function *, ce_duckdb_callback))               \
    F(void, table_function_set_function, (struct duckdb_function *, ce_duckdb_function))           \
    F(int, register_table_function, (struct duckdb_connection *, struct duckdb_function *))        \
    F(void, bind_add_result_column, (struct duckdb_info *, const char *, struct duckdb_type *))    \
    F(void, init_set_max_threads, (struct duckdb_info *, uint64_t))                                \
    F(void, function_set_error, (struct duckdb_info *, const char *))

struct ce_duckdb_api {
#define CE_DUCKDB_MEMBER(result, name, arguments) result(*name) arguments;
    CE_DUCKDB_FUNCTIONS(CE_DUCKDB_MEMBER)
#undef CE_DUCKDB_MEMBER
};

/* Whether the library is there; `reason` gets its version and path, or the sentence that says how
 * to get it. For `doctor`. */
bool ce_duckdb_available(char *reason, size_t size);

/* A database in memory, in which the connections of one operation meet. Its settings keep it off
 * the network and off every file but those that it is given open; in SQL they have the names that
 * ce_duckdb_file() gives. */
struct ce_duckdb {
    struct ce_duckdb_api api;
    struct duckdb_database *database;
};
/* `threads` that DuckDB works with, the caller's included; 0: one for each processor, at most
 * CE_DUCKDB_THREADS_MAX. -ENOTSUP when the library is missing. */
#define CE_DUCKDB_THREADS_MAX 4
int ce_duckdb_open(unsigned threads, const int *fds, size_t fd_count, struct ce_duckdb **ret_duck,
                   struct ce_error *err);
void ce_duckdb_close(struct ce_duckdb *duck); /* after all of its connections; NULL is fine */
CE_DEFINE_CLEANUP(struct ce_duckdb, ce_duckdb_close);

/* What an open file is called in SQL. No name that a user chose: those may hold wildcards, or
 * "year=2024" folders that would count as a column. */
#define CE_DUCKDB_FILE_SIZE 32
void ce_duckdb_file(int fd, char ret_name[CE_DUCKDB_FILE_SIZE]);
/* Puts the user's name of the file in its place in a message. */
void ce_duckdb_rename(int fd, const char *path, struct ce_error *error);

int ce_duckdb_connect(struct ce_duckdb *duck, struct duckdb_connection **ret_connection,
                      struct ce_error *err);
/* Runs a statement and hands each row to `row` (NULL: nobody): its cells as text or bytes, NULL
 * where there is none. All columns must be VARCHAR or BLOB. A negative result of `row` ends it. */
typedef int (*ce_duckdb_row)(void *ctx, const struct duckdb_string *const *cells,
                             struct ce_error *err);
int ce_duckdb_run(struct ce_duckdb *duck, struct duckdb_connection *connection, const char *sql,
                  ce_duckdb_row row, void *ctx, struct ce_error *err);
static inline const char *ce_duckdb_bytes(const struct duckdb_string *string)
{
    return string->size <= 12 ? string->inlined : string->data;
}

/* DuckDB's message as one sentence: first line, without its kind ("IO Error: "). */
int ce_duckdb_fail(struct ce_error *err, int code, const char *message);

#endif
