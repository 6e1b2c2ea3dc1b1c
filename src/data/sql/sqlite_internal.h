/* SPDX-License-Identifier: MIT */
#ifndef CE_DATA_SQL_SQLITE_INTERNAL_H
#define CE_DATA_SQL_SQLITE_INTERNAL_H

#include <sqlite3.h>

#include "data/sql/sql_internal.h"

static inline void ce_sqlite_close_(sqlite3 **db)
{
    (void)sqlite3_close(*db); /* rolls back what was not committed */
}
static inline void ce_sqlite_finalize_(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
}
#define CE_SQLITE    CE_CLEANUP(ce_sqlite_close_) sqlite3
#define CE_STATEMENT CE_CLEANUP(ce_sqlite_finalize_) sqlite3_stmt

/* `flags` are those of sqlite3_open_v2(). */
int ce_sqlite_open(const struct ce_sql_address *table, int flags, sqlite3 **ret_db,
                   struct ce_error *err);
/* The sentence of the last error: "cannot read 'a.db': database is locked". */
int ce_sqlite_fail(sqlite3 *db, const char *doing, const struct ce_sql_address *table,
                   struct ce_error *err);
/* Runs a statement without results; the format is that of sqlite3_mprintf(), "%w" for names. */
int ce_sqlite_run(sqlite3 *db, const struct ce_sql_address *table, struct ce_error *err,
                  const char *format, ...);
int ce_sqlite_prepare(sqlite3 *db, const struct ce_sql_address *table, sqlite3_stmt **ret_statement,
                      struct ce_error *err, const char *format, ...);
/* "table", "view", "virtual", or "" when nothing in the database has that name. */
struct ce_sqlite_kind {
    char type[16];
    bool without_rowid;
};
int ce_sqlite_kind_of(sqlite3 *db, const struct ce_sql_address *table,
                      struct ce_sqlite_kind *ret_kind, struct ce_error *err);
/* -ENOENT, with the nearest name. */
int ce_sqlite_fail_no_table(sqlite3 *db, const struct ce_sql_address *table, struct ce_error *err);

/* Writes the rows as CSV, within a transaction. */
int ce_sqlite_write_rows(sqlite3 *db, const struct ce_sql_address *table, FILE *out,
                         struct ce_error *err);
/* Puts the rows of a file in the place of those that there are, within a transaction. */
int ce_sqlite_replace_rows(sqlite3 *db, const struct ce_sql_address *table, FILE *csv,
                           const char *csv_path, struct ce_error *err);

int ce_sqlite_import(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
                     const struct ce_sql_address *like, struct ce_sql_loaded *loaded,
                     struct ce_error *err);
int ce_sqlite_edit(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
                   const char *sha256, struct ce_error *err);
int ce_sqlite_edit_back(const char *csv_path, const struct ce_sql_address *table,
                        const char *sha256, struct ce_error *err);
int ce_sqlite_edit_forget(const struct ce_sql_address *table, struct ce_error *err);
int ce_sqlite_put_in_place(const struct ce_sql_address *table, const char *faulted,
                           struct ce_error *err);
int ce_sqlite_put_back(const struct ce_sql_address *table, struct ce_error *err);
int ce_sqlite_exists(const struct ce_sql_address *table, bool *ret_exists, struct ce_error *err);
int ce_sqlite_drop(const struct ce_sql_address *table, struct ce_error *err);

#endif
