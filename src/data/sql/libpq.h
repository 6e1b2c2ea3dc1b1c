/* SPDX-License-Identifier: MIT */
/* libpq, as far as tables need it, loaded at run time: a start costs nothing for those who have no
 * PostgreSQL, and its headers are not needed. Members are the functions less "PQ". */
#ifndef CE_DATA_SQL_LIBPQ_H
#define CE_DATA_SQL_LIBPQ_H

#include "data/sql/sql_internal.h"

struct pg_conn;
struct pg_result;

enum ce_pg_status { /* of a result; libpq's numbers */
                    CE_PG_COMMAND_OK = 1,
                    CE_PG_TUPLES_OK = 2,
                    CE_PG_COPY_OUT = 3,
                    CE_PG_COPY_IN = 4,
};
enum { CE_PG_CONNECTION_OK = 0 };
enum { CE_PG_DIAG_SQLSTATE = 'C', CE_PG_DIAG_PRIMARY = 'M', CE_PG_DIAG_CONTEXT = 'W' };

/* F(result, name, arguments) */
#define CE_PG_FUNCTIONS(F)                                                                         \
    F(struct pg_conn *, connectdbParams,                                                           \
      (const char *const *keywords, const char *const *values, int expand))                        \
    F(int, status, (const struct pg_conn *))                                                       \
    F(char *, errorMessage, (const struct pg_conn *))                                              \
    F(void *, setNoticeProcessor,                                                                  \
      (struct pg_conn *, void (*hear)(void *ctx, const char *message), void *ctx))                 \
    F(void, finish, (struct pg_conn *))                                                            \
    F(struct pg_result *, exec, (struct pg_conn *, const char *sql))                               \
    F(struct pg_result *, execParams,                                                              \
      (struct pg_conn *, const char *sql, int count, const unsigned *types,                        \
       const char *const *values, const int *sizes, const int *formats, int format))               \
    F(struct pg_result *, getResult, (struct pg_conn *))                                           \
    F(int, resultStatus, (const struct pg_result *))                                               \
    F(char *, resultErrorField, (const struct pg_result *, int field))                             \
    F(int, ntuples, (const struct pg_result *))                                                    \
    F(char *, getvalue, (const struct pg_result *, int row, int column))                           \
    F(char *, cmdTuples, (struct pg_result *))                                                     \
    F(void, clear, (struct pg_result *))                                                           \
    F(int, getCopyData, (struct pg_conn *, char **ret_data, int async))                            \
    F(int, putCopyData, (struct pg_conn *, const char *data, int size))                            \
    F(int, putCopyEnd, (struct pg_conn *, const char *failure))                                    \
    F(void, freemem, (void *))

/* A connection to the server of an address. */
struct ce_pg {
#define MEMBER(result, name, arguments) result(*name) arguments;
    CE_PG_FUNCTIONS(MEMBER)
#undef MEMBER
    struct pg_conn *connection;
};

/* -ENOSYS when there is no libpq. Dates, times and numbers are spelled the same way on every
 * server; no lock is waited for longer than CE_SQL_LOCK_WAIT_MS. */
int ce_pg_open(const struct ce_sql_address *address, struct ce_pg **ret_pg, struct ce_error *err);
void ce_pg_close(struct ce_pg *pg);
CE_DEFINE_CLEANUP(struct ce_pg, ce_pg_close);
#define CE_PG CE_CLEANUP(ce_pg_close_p) struct ce_pg

/* Says why a result is not what was asked for, and frees it. */
int ce_pg_fail(const struct ce_pg *pg, struct pg_result *result, struct ce_error *err);
/* Whether a statement failed because of a value that the type or a constraint does not take. */
bool ce_pg_failed_by_value(const struct ce_pg *pg, const struct pg_result *result);
/* Runs a statement that has no result. */
int ce_pg_run(struct ce_pg *pg, struct ce_error *err, const char *format, ...) CE_PRINTF(3, 4);
/* Asks with one parameter ($1); `ret_result` is freed with pg->clear(). */
int ce_pg_ask(struct ce_pg *pg, const char *sql, const char *parameter,
              struct pg_result **ret_result, struct ce_error *err);
/* The one value that a question has for an answer, or NULL when it has none. Free with free(). */
int ce_pg_ask_one(struct ce_pg *pg, const char *sql, const char *parameter, char **ret_value,
                  struct ce_error *err);

/* "schema"."table" or "table". NULL: no memory. */
char *ce_pg_name(const struct ce_sql_address *table);
/* -ENOENT, with the nearest name. */
int ce_pg_fail_no_table(struct ce_pg *pg, const struct ce_sql_address *table, struct ce_error *err);

/* Writes the rows as CSV, within a transaction. */
int ce_pg_write_rows(struct ce_pg *pg, const char *name, FILE *out, struct ce_error *err);
/* Puts the rows of a file in the place of those that there are, within a transaction. */
int ce_pg_replace_rows(struct ce_pg *pg, const char *name, FILE *csv, const char *csv_path,
                       struct ce_error *err);

int ce_pg_import(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
                 const struct ce_sql_address *like, struct ce_sql_loaded *loaded,
                 struct ce_error *err);
int ce_pg_edit(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
               const char *sha256, struct ce_error *err);
int ce_pg_edit_back(const char *csv_path, const struct ce_sql_address *table, const char *sha256,
                    struct ce_error *err);
int ce_pg_edit_forget(const struct ce_sql_address *table, struct ce_error *err);
int ce_pg_put_in_place(const struct ce_sql_address *table, const char *faulted,
                       struct ce_error *err);
int ce_pg_put_back(const struct ce_sql_address *table, struct ce_error *err);
int ce_pg_exists(const struct ce_sql_address *table, bool *ret_exists, struct ce_error *err);
int ce_pg_drop(const struct ce_sql_address *table, struct ce_error *err);

#endif
