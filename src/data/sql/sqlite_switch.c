/* SPDX-License-Identifier: MIT */
/* Names are exchanged in one transaction, together with the row that says so; a crash leaves either
 * all of it or nothing. Views and triggers keep the names that they were written with
 * (legacy_alter_table), and so see the faulted table. */
#include <string.h>

#include "base/file.h"
#include "data/sql/sqlite_internal.h"

#define SWITCHES "chaoseater_switches"

/* The statement that created a table: what it is known by. NULL: there is no such table, or no
 * memory. */
static char *definition_of(sqlite3 *db, const struct ce_sql_address *table, const char *name)
{
    CE_STATEMENT *found = NULL;
    if (ce_sqlite_prepare(db, table, &found, NULL,
                          "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND"
                          " name = %Q COLLATE NOCASE",
                          name) < 0 ||
        sqlite3_step(found) != SQLITE_ROW)
        return NULL;
    const char *sql = (const char *)sqlite3_column_text(found, 0);
    return sql ? strdup(sql) : NULL;
}

/* Opens the database and begins a transaction that may write. */
static int begin(const struct ce_sql_address *table, sqlite3 **ret_db, struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    CE_TRY(ce_sqlite_open(table, SQLITE_OPEN_READWRITE, &db, err));
    CE_TRY(ce_sqlite_run(db, table, err, "PRAGMA legacy_alter_table = ON"));
    CE_TRY(ce_sqlite_run(db, table, err, "PRAGMA foreign_keys = OFF"));
    CE_TRY(ce_sqlite_run(db, table, err, "BEGIN IMMEDIATE"));
    *ret_db = ce_take(db);
    return 0;
}

/* What was noted of the table when it was switched: the definition of what was put there. */
static int noted(sqlite3 *db, const struct ce_sql_address *table, char **ret_definition,
                 struct ce_error *err)
{
    CE_STATEMENT *found = NULL;
    *ret_definition = NULL;
    ce_autofree char *switches = definition_of(db, table, SWITCHES);
    if (!switches)
        return 0;
    CE_TRY(ce_sqlite_prepare(db, table, &found, err,
                             "SELECT faulted FROM " SWITCHES " WHERE name = %Q", table->table));
    int r = sqlite3_step(found);
    if (r == SQLITE_DONE)
        return 0;
    if (r != SQLITE_ROW)
        return ce_sqlite_fail(db, "read", table, err);
    *ret_definition = strdup((const char *)sqlite3_column_text(found, 0));
    return *ret_definition ? 0 : ce_fail_memory(err);
}

static int check_switch(sqlite3 *db, const struct ce_sql_address *table, const char *faulted,
                        struct ce_error *err)
{
    struct ce_sqlite_kind kind;
    ce_autofree char *before = NULL;
    CE_TRY(noted(db, table, &before, err));
    if (before)
        return ce_fail(err, EBUSY, "table '%s' of '%s' is switched already", table->table,
                       table->database);
    CE_TRY(ce_sqlite_kind_of(db, table, &kind, err));
    if (!kind.type[0])
        return ce_sqlite_fail_no_table(db, table, err);
    if (strcmp(kind.type, "table") != 0)
        return ce_fail(err, EINVAL, "'%s' of '%s' is a %s%s; only a table can be switched",
                       table->table, table->database, kind.type,
                       strcmp(kind.type, "virtual") == 0 ? " table" : "");
    ce_autofree char *definition = definition_of(db, table, faulted);
    if (!definition)
        return ce_fail(err, ENOENT, "'%s' has no table '%s' to be put in the place of '%s'",
                       table->database, faulted, table->table);
    return 0;
}

int ce_sqlite_put_in_place(const struct ce_sql_address *table, const char *faulted,
                           struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    CE_TRY(begin(table, &db, err));
    CE_TRY(check_switch(db, table, faulted, err));
    CE_TRY(ce_sqlite_run(db, table, err, "ALTER TABLE \"%w\" RENAME TO \"%w" CE_SQL_ORIGINAL "\"",
                         table->table, table->table));
    CE_TRY(ce_sqlite_run(db, table, err, "ALTER TABLE \"%w\" RENAME TO \"%w\"", faulted,
                         table->table));
    ce_autofree char *definition = definition_of(db, table, table->table);
    if (!definition)
        return ce_fail_memory(err);
    CE_TRY(ce_sqlite_run(db, table, err,
                         "CREATE TABLE IF NOT EXISTS " SWITCHES
                         " (name TEXT PRIMARY KEY, original TEXT, faulted TEXT)"));
    CE_TRY(ce_sqlite_run(db, table, err,
                         "INSERT INTO " SWITCHES " VALUES (%Q, '%q" CE_SQL_ORIGINAL "', %Q)",
                         table->table, table->table, definition));
    return ce_sqlite_run(db, table, err, "COMMIT");
}

int ce_sqlite_put_back(const struct ce_sql_address *table, struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    if (access(table->database, F_OK) < 0 && errno == ENOENT)
        return 0;
    CE_TRY(begin(table, &db, err));
    ce_autofree char *put_there = NULL;
    CE_TRY(noted(db, table, &put_there, err));
    if (!put_there)
        return 0;
    ce_autofree char *original_name = ce_format("%s" CE_SQL_ORIGINAL, table->table);
    if (!original_name)
        return ce_fail_memory(err);
    ce_autofree char *original = definition_of(db, table, original_name);
    ce_autofree char *there = definition_of(db, table, table->table);
    if (!original || (there && strcmp(there, put_there) != 0))
        return CE_SQL_FOREIGN;
    if (there)
        CE_TRY(ce_sqlite_run(db, table, err, "DROP TABLE \"%w\"", table->table));
    CE_TRY(ce_sqlite_run(db, table, err, "ALTER TABLE \"%w\" RENAME TO \"%w\"", original_name,
                         table->table));
    CE_TRY(ce_sqlite_run(db, table, err, "DELETE FROM " SWITCHES " WHERE name = %Q", table->table));
    CE_STATEMENT *left = NULL;
    CE_TRY(ce_sqlite_prepare(db, table, &left, err, "SELECT 1 FROM " SWITCHES));
    if (sqlite3_step(left) == SQLITE_DONE) {
        (void)sqlite3_reset(left);
        CE_TRY(ce_sqlite_run(db, table, err, "DROP TABLE " SWITCHES));
    }
    return ce_sqlite_run(db, table, err, "COMMIT");
}

int ce_sqlite_exists(const struct ce_sql_address *table, bool *ret_exists, struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    struct ce_sqlite_kind kind;
    CE_TRY(ce_sqlite_open(table, SQLITE_OPEN_READONLY, &db, err));
    CE_TRY(ce_sqlite_kind_of(db, table, &kind, err));
    *ret_exists = kind.type[0] != '\0';
    return 0;
}

int ce_sqlite_drop(const struct ce_sql_address *table, struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    if (access(table->database, F_OK) < 0 && errno == ENOENT)
        return 0;
    CE_TRY(begin(table, &db, err));
    CE_TRY(ce_sqlite_run(db, table, err, "DROP TABLE IF EXISTS \"%w\"", table->table));
    return ce_sqlite_run(db, table, err, "COMMIT");
}
