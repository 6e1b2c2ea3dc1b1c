/* SPDX-License-Identifier: MIT */
/* SQLite. The spelling of a cell carries the type of the value: 12 and 12.0 are an integer and a
 * real, "12" is a text, x'31' a blob, an empty cell NULL. So the table that is made of the file has
 * the same values, whatever the types that its columns declare. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "data/sql/sqlite_internal.h"
#include "data/stats/value.h"

int ce_sqlite_fail(sqlite3 *db, const char *doing, const struct ce_sql_address *table,
                   struct ce_error *err)
{
    int code = EIO;
    switch (sqlite3_errcode(db)) {
    case SQLITE_NOMEM:
        return ce_fail_memory(err);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        code = EBUSY;
        break;
    case SQLITE_FULL:
        code = ENOSPC;
        break;
    case SQLITE_CANTOPEN:
        code = ENOENT;
        break;
    case SQLITE_PERM:
    case SQLITE_READONLY:
        code = EACCES;
        break;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        code = EINVAL;
        break;
    default:
        break;
    }
    return ce_fail(err, code, "cannot %s '%s': %s", doing, table->database, sqlite3_errmsg(db));
}

int ce_sqlite_open(const struct ce_sql_address *table, int flags, sqlite3 **ret_db,
                   struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    if (sqlite3_open_v2(table->database, &db, flags, NULL) != SQLITE_OK)
        return db ? ce_sqlite_fail(db, "open", table, err) : ce_fail_memory(err);
    (void)sqlite3_busy_timeout(db, CE_SQL_LOCK_WAIT_MS);
    *ret_db = ce_take(db);
    return 0;
}

int ce_sqlite_run(sqlite3 *db, const struct ce_sql_address *table, struct ce_error *err,
                  const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *sql = sqlite3_vmprintf(format, args);
    va_end(args);
    if (!sql)
        return ce_fail_memory(err);
    int r = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return r == SQLITE_OK ? 0 : ce_sqlite_fail(db, "change", table, err);
}

int ce_sqlite_prepare(sqlite3 *db, const struct ce_sql_address *table, sqlite3_stmt **ret_statement,
                      struct ce_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *sql = sqlite3_vmprintf(format, args);
    va_end(args);
    if (!sql)
        return ce_fail_memory(err);
    int r = sqlite3_prepare_v2(db, sql, -1, ret_statement, NULL);
    sqlite3_free(sql);
    return r == SQLITE_OK ? 0 : ce_sqlite_fail(db, "use", table, err);
}

/* ---- what is there ---- */

int ce_sqlite_kind_of(sqlite3 *db, const struct ce_sql_address *table,
                      struct ce_sqlite_kind *ret_kind, struct ce_error *err)
{
    CE_STATEMENT *found = NULL;
    CE_TRY(ce_sqlite_prepare(db, table, &found, err,
                             "SELECT type, wr FROM pragma_table_list"
                             " WHERE schema = 'main' AND name = %Q COLLATE NOCASE",
                             table->table));
    *ret_kind = (struct ce_sqlite_kind){0};
    int r = sqlite3_step(found);
    if (r == SQLITE_ROW) {
        snprintf(ret_kind->type, sizeof ret_kind->type, "%s", sqlite3_column_text(found, 0));
        ret_kind->without_rowid = sqlite3_column_int(found, 1) != 0;
        return 0;
    }
    return r == SQLITE_DONE ? 0 : ce_sqlite_fail(db, "read", table, err);
}

int ce_sqlite_fail_no_table(sqlite3 *db, const struct ce_sql_address *table, struct ce_error *err)
{
    CE_STATEMENT *all = NULL;
    CE_TRY(ce_sqlite_prepare(db, table, &all, err,
                             "SELECT name FROM pragma_table_list WHERE schema = 'main'"
                             " AND name NOT LIKE 'sqlite\\_%%' ESCAPE '\\'"));
    char nearest[128] = "";
    while (sqlite3_step(all) == SQLITE_ROW) {
        const char *names[] = {nearest, (const char *)sqlite3_column_text(all, 0)};
        const char *best = names[1] ? ce_text_nearest(table->table, names, 2) : NULL;
        if (best && best != nearest)
            snprintf(nearest, sizeof nearest, "%s", best);
    }
    return ce_fail(err, ENOENT, "'%s' has no table '%s'%s%s%s", table->database, table->table,
                   nearest[0] ? "; did you mean '" : "", nearest, nearest[0] ? "'?" : "");
}

/* " ORDER BY ...", by which rows come as they are stored; a view's and a virtual table's come as
 * they will (NULL). Free with sqlite3_free(). */
static int order_of(sqlite3 *db, const struct ce_sql_address *table, char **ret_order,
                    struct ce_error *err)
{
    struct ce_sqlite_kind kind;
    CE_TRY(ce_sqlite_kind_of(db, table, &kind, err));
    if (!kind.type[0])
        return ce_sqlite_fail_no_table(db, table, err);
    CE_STATEMENT *keys = NULL;
    if (kind.without_rowid)
        CE_TRY(ce_sqlite_prepare(db, table, &keys, err,
                                 "SELECT name FROM pragma_table_info(%Q) WHERE pk > 0 ORDER BY pk",
                                 table->table));
    else if (strcmp(kind.type, "table") == 0) /* a column may have taken one of the names */
        CE_TRY(ce_sqlite_prepare(
            db, table, &keys, err,
            "SELECT column1 FROM (VALUES ('rowid'), ('_rowid_'), ('oid')) WHERE column1 NOT IN"
            " (SELECT lower(name) FROM pragma_table_xinfo(%Q)) LIMIT 1",
            table->table));
    sqlite3_str *order = sqlite3_str_new(db);
    while (keys && sqlite3_step(keys) == SQLITE_ROW)
        sqlite3_str_appendf(order, "%s\"%w\"", sqlite3_str_length(order) > 0 ? ", " : " ORDER BY ",
                            sqlite3_column_text(keys, 0));
    *ret_order = sqlite3_str_finish(order);
    return 0;
}

/* ---- writing CSV ---- */

static void write_quoted(FILE *out, const char *text, size_t size)
{
    (void)putc_unlocked('"', out);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            (void)putc_unlocked('"', out);
        (void)putc_unlocked(text[i], out);
    }
    (void)putc_unlocked('"', out);
}

static void write_name(FILE *out, const char *name)
{
    bool plain = *name != '\0';
    for (const char *c = name; *c; c++)
        plain = plain && (isalnum((unsigned char)*c) || *c == '_');
    if (plain)
        (void)fputs(name, out);
    else
        write_quoted(out, name, strlen(name));
}

/* With a point or an exponent: it is to be read as a real again. */
static void write_real(FILE *out, double value)
{
    char text[CE_VALUE_NUMBER_SIZE];
    if (isinf(value)) {
        (void)fputs(value > 0 ? "9e999" : "-9e999", out); /* too large for a real: infinite */
        return;
    }
    (void)ce_value_number_text(value, text);
    (void)fputs(text, out);
    if (!strpbrk(text, ".e"))
        (void)fputs(".0", out);
}

static void write_blob(FILE *out, const unsigned char *bytes, size_t size)
{
    (void)fputs("x'", out);
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", bytes[i]);
    (void)putc_unlocked('\'', out);
}

static void write_value(FILE *out, sqlite3_stmt *row, int column)
{
    /* The pointer first: asking for it may change what the size is. */
    const void *bytes;
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL:
        return;
    case SQLITE_INTEGER:
        fprintf(out, "%lld", sqlite3_column_int64(row, column));
        return;
    case SQLITE_FLOAT:
        write_real(out, sqlite3_column_double(row, column));
        return;
    case SQLITE_BLOB:
        bytes = sqlite3_column_blob(row, column);
        write_blob(out, bytes, (size_t)sqlite3_column_bytes(row, column));
        return;
    default:
        bytes = sqlite3_column_text(row, column);
        write_quoted(out, bytes, (size_t)sqlite3_column_bytes(row, column));
    }
}

int ce_sqlite_write_rows(sqlite3 *db, const struct ce_sql_address *table, FILE *out,
                         struct ce_error *err)
{
    CE_STATEMENT *rows = NULL;
    char *order = NULL;
    CE_TRY(order_of(db, table, &order, err));
    int r = ce_sqlite_prepare(db, table, &rows, err, "SELECT * FROM \"%w\"%s", table->table,
                              order ? order : "");
    sqlite3_free(order);
    CE_TRY(r);

    int columns = sqlite3_column_count(rows), got;
    for (int i = 0; i < columns; i++) {
        (void)fputs(i > 0 ? "," : "", out);
        write_name(out, sqlite3_column_name(rows, i));
    }
    (void)putc_unlocked('\n', out);
    while ((got = sqlite3_step(rows)) == SQLITE_ROW && !ferror(out)) {
        for (int i = 0; i < columns; i++) {
            if (i > 0)
                (void)putc_unlocked(',', out);
            write_value(out, rows, i);
        }
        (void)putc_unlocked('\n', out);
    }
    if (ferror(out))
        return ce_fail(err, ENOSPC, "cannot write the rows of table '%s' to a file", table->table);
    return got == SQLITE_DONE ? 0 : ce_sqlite_fail(db, "read", table, err);
}

static int export(const struct ce_sql_address *table, FILE *out, struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    CE_TRY(ce_sqlite_open(table, SQLITE_OPEN_READONLY, &db, err));
    CE_TRY(ce_sqlite_run(db, table, err, "BEGIN")); /* one snapshot */
    return ce_sqlite_write_rows(db, table, out, err);
}

const struct ce_sql_engine ce_sql_sqlite = {
    .scheme = "sqlite",
    .export = export,
    .import = ce_sqlite_import,
    .edit = ce_sqlite_edit,
    .edit_back = ce_sqlite_edit_back,
    .edit_forget = ce_sqlite_edit_forget,
    .put_in_place = ce_sqlite_put_in_place,
    .put_back = ce_sqlite_put_back,
    .exists = ce_sqlite_exists,
    .drop = ce_sqlite_drop,
};
