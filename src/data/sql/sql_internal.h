/* SPDX-License-Identifier: MIT */
/* What the two kinds of databases have in common. */
#ifndef CE_DATA_SQL_SQL_INTERNAL_H
#define CE_DATA_SQL_SQL_INTERNAL_H

#include <stdio.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "data/sql/sql.h"
#include "data/text/buffer.h"

struct ce_sql_engine;

struct ce_sql_address {
    const struct ce_sql_engine *engine;
    char *database; /* SQLite: the file; PostgreSQL: the address without its table */
    char *schema;   /* NULL: none is named */
    char *table;
};

/* How long another's lock is waited for. */
#define CE_SQL_LOCK_WAIT_MS 5000

struct ce_sql_engine {
    const char *scheme;
    /* `out` is where the CSV goes; the caller sees to its errors. */
    int (*export)(const struct ce_sql_address *table, FILE *out, struct ce_error *err);
    /* `like` may be NULL. */
    int (*import)(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
                  const struct ce_sql_address *like, struct ce_sql_loaded *loaded,
                  struct ce_error *err);
    int (*edit)(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
                const char *sha256, struct ce_error *err);
    int (*edit_back)(const char *csv_path, const struct ce_sql_address *table, const char *sha256,
                     struct ce_error *err);
    int (*edit_forget)(const struct ce_sql_address *table, struct ce_error *err);
    int (*put_in_place)(const struct ce_sql_address *table, const char *faulted,
                        struct ce_error *err);
    int (*put_back)(const struct ce_sql_address *table, struct ce_error *err);
    int (*exists)(const struct ce_sql_address *table, bool *ret_exists, struct ce_error *err);
    int (*drop)(const struct ce_sql_address *table, struct ce_error *err);
};
extern const struct ce_sql_engine ce_sql_sqlite, ce_sql_postgres;

int ce_sql_address_parse(const char *address, struct ce_sql_address *ret_address,
                         struct ce_error *err);
void ce_sql_address_done(struct ce_sql_address *address);
/* A name as SQL has it: "name", with quotes doubled. NULL: no memory. */
char *ce_sql_quoted(const char *name);

/* Where rows are written to for their SHA-256 alone. */
struct ce_sql_hasher {
    struct ce_sha256 *sha;
    FILE *out;
};
int ce_sql_hasher_open(struct ce_sql_hasher *hasher, struct ce_error *err);
int ce_sql_hasher_end(struct ce_sql_hasher *hasher, char ret_hex[CE_SHA256_HEX],
                      struct ce_error *err);
void ce_sql_hasher_done(struct ce_sql_hasher *hasher);
#define CE_SQL_HASHER CE_CLEANUP(ce_sql_hasher_done) struct ce_sql_hasher
/* Opens the file with a table's old rows; -EBADMSG when it does not have that hash. */
int ce_sql_open_rows(const char *csv_path, const char *sha256, FILE **ret_csv,
                     struct ce_error *err);

/* ---- reading what ce_sql_export() wrote, and what faults made of it ---- */

/* The dialect is known, so nothing is guessed: commas, double quotes, LF or CRLF. */
struct ce_sql_rows {
    FILE *file;       /* borrowed */
    const char *path; /* for messages */
    uint64_t line;    /* where the row starts, from 1 */
    uint64_t next_line;
    struct ce_buffer bytes; /* the values of the row's cells, each with a NUL behind it */
    struct ce_sql_cell {
        size_t at, size;
        bool quoted;
    } * cells;
    size_t count, capacity;
};
/* The next row: 1, 0 at the end, or -errno. A blank line is a row of one empty cell. */
int ce_sql_rows_next(struct ce_sql_rows *rows, struct ce_error *err);
static inline const char *ce_sql_rows_text(const struct ce_sql_rows *rows, size_t cell)
{
    return rows->bytes.data + rows->cells[cell].at;
}
void ce_sql_rows_done(struct ce_sql_rows *rows);

#endif
