/* SPDX-License-Identifier: MIT */
/* Names are exchanged, or rows replaced, in one transaction, together with the row that says so; a
 * crash leaves either all of it or nothing. Views and triggers keep the names that they were
 * written with (legacy_alter_table), and so see the faulted table. */
#include <string.h>

#include "base/file.h"
#include "data/sql/sqlite_internal.h"

#define SWITCHES "chaoseater_switches"
#define EDITS    "chaoseater_edits"

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
    /* What a trigger does for a row that is new was done when the row was. */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    CE_TRY(ce_sqlite_run(db, table, err, "BEGIN IMMEDIATE"));
    *ret_db = ce_take(db);
    return 0;
}

/* What was noted of the table, switched or edited: `content`, the hash of what was put there, and
 * for a switch also `faulted`, its definition. NULL: nothing. */
static int noted(sqlite3 *db, const struct ce_sql_address *table, const char *book,
                 const char *what, char **ret_note, struct ce_error *err)
{
    CE_STATEMENT *found = NULL;
    *ret_note = NULL;
    ce_autofree char *there = definition_of(db, table, book);
    if (!there)
        return 0;
    CE_TRY(ce_sqlite_prepare(db, table, &found, err, "SELECT %s FROM %s WHERE name = %Q", what,
                             book, table->table));
    int r = sqlite3_step(found);
    if (r == SQLITE_DONE)
        return 0;
    if (r != SQLITE_ROW)
        return ce_sqlite_fail(db, "read", table, err);
    *ret_note = strdup((const char *)sqlite3_column_text(found, 0));
    return *ret_note ? 0 : ce_fail_memory(err);
}

static int check_free(sqlite3 *db, const struct ce_sql_address *table, struct ce_error *err)
{
    static const char *const books[] = {SWITCHES, EDITS};
    for (size_t i = 0; i < CE_COUNT(books); i++) {
        ce_autofree char *before = NULL;
        CE_TRY(noted(db, table, books[i], "content", &before, err));
        if (before)
            return ce_fail(err, EBUSY, "table '%s' of '%s' is switched already", table->table,
                           table->database);
    }
    return 0;
}

static int forget(sqlite3 *db, const struct ce_sql_address *table, const char *book,
                  struct ce_error *err)
{
    CE_STATEMENT *left = NULL;
    CE_TRY(ce_sqlite_run(db, table, err, "DELETE FROM %s WHERE name = %Q", book, table->table));
    CE_TRY(ce_sqlite_prepare(db, table, &left, err, "SELECT 1 FROM %s", book));
    if (sqlite3_step(left) != SQLITE_DONE)
        return 0;
    (void)sqlite3_reset(left);
    return ce_sqlite_run(db, table, err, "DROP TABLE %s", book);
}

/* ---- what others write meanwhile ---- */

static int hash_rows(sqlite3 *db, const struct ce_sql_address *table, char ret_hex[CE_SHA256_HEX],
                     struct ce_error *err)
{
    CE_SQL_HASHER hasher = {0};
    CE_TRY(ce_sql_hasher_open(&hasher, err));
    CE_TRY(ce_sqlite_write_rows(db, table, hasher.out, err));
    return ce_sql_hasher_end(&hasher, ret_hex, err);
}

/* What the table is called when it, or a copy, is kept; to be freed. */
static int name_kept(sqlite3 *db, const struct ce_sql_address *table, char **ret_name,
                     struct ce_error *err)
{
    struct ce_sqlite_kind kind;
    struct ce_sql_address kept = *table;
    ce_autofree char *name = ce_format("%s" CE_SQL_KEPT, table->table);
    if (!name)
        return ce_fail_memory(err);
    kept.table = name;
    CE_TRY(ce_sqlite_kind_of(db, &kept, &kind, err));
    if (kind.type[0])
        return ce_fail(err, EEXIST,
                       "rows that were written to '%s' meanwhile cannot be kept: '%s' has a table "
                       "'%s' already; rename that",
                       table->table, table->database, name);
    *ret_name = ce_take(name);
    return 0;
}

/* The name to keep what the table holds under, or NULL when that is what was put there. */
static int find_writes(sqlite3 *db, const struct ce_sql_address *table, const char *book,
                       char **ret_kept, struct ce_error *err)
{
    char hex[CE_SHA256_HEX];
    ce_autofree char *content = NULL;
    *ret_kept = NULL;
    CE_TRY(noted(db, table, book, "content", &content, err));
    CE_TRY(hash_rows(db, table, hex, err));
    return content && strcmp(hex, content) == 0 ? 0 : name_kept(db, table, ret_kept, err);
}

/* ---- switching ---- */

static int check_switch(sqlite3 *db, const struct ce_sql_address *table, const char *faulted,
                        struct ce_error *err)
{
    struct ce_sqlite_kind kind;
    CE_TRY(check_free(db, table, err));
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
    char hex[CE_SHA256_HEX];
    CE_TRY(begin(table, &db, err));
    CE_TRY(check_switch(db, table, faulted, err));
    CE_TRY(ce_sqlite_run(db, table, err, "ALTER TABLE \"%w\" RENAME TO \"%w" CE_SQL_ORIGINAL "\"",
                         table->table, table->table));
    CE_TRY(ce_sqlite_run(db, table, err, "ALTER TABLE \"%w\" RENAME TO \"%w\"", faulted,
                         table->table));
    ce_autofree char *definition = definition_of(db, table, table->table);
    if (!definition)
        return ce_fail_memory(err);
    CE_TRY(hash_rows(db, table, hex, err));
    CE_TRY(ce_sqlite_run(db, table, err,
                         "CREATE TABLE IF NOT EXISTS " SWITCHES
                         " (name TEXT PRIMARY KEY, original TEXT, faulted TEXT, content TEXT)"));
    CE_TRY(ce_sqlite_run(db, table, err,
                         "INSERT INTO " SWITCHES " VALUES (%Q, '%q" CE_SQL_ORIGINAL "', %Q, %Q)",
                         table->table, table->table, definition, hex));
    return ce_sqlite_run(db, table, err, "COMMIT");
}

int ce_sqlite_put_back(const struct ce_sql_address *table, struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    if (access(table->database, F_OK) < 0 && errno == ENOENT)
        return 0;
    CE_TRY(begin(table, &db, err));
    ce_autofree char *put_there = NULL;
    ce_autofree char *kept = NULL;
    CE_TRY(noted(db, table, SWITCHES, "faulted", &put_there, err));
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
        CE_TRY(find_writes(db, table, SWITCHES, &kept, err));
    if (kept)
        CE_TRY(ce_sqlite_run(db, table, err, "ALTER TABLE \"%w\" RENAME TO \"%w\"", table->table,
                             kept));
    else if (there)
        CE_TRY(ce_sqlite_run(db, table, err, "DROP TABLE \"%w\"", table->table));
    CE_TRY(ce_sqlite_run(db, table, err, "ALTER TABLE \"%w\" RENAME TO \"%w\"", original_name,
                         table->table));
    CE_TRY(forget(db, table, SWITCHES, err));
    return ce_sqlite_run(db, table, err, "COMMIT");
}

/* ---- in place ---- */

int ce_sqlite_edit(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
                   const char *sha256, struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    char hex[CE_SHA256_HEX];
    CE_TRY(begin(table, &db, err));
    CE_TRY(check_free(db, table, err));
    CE_TRY(hash_rows(db, table, hex, err));
    if (strcmp(hex, sha256) != 0)
        return ce_fail(err, EBUSY,
                       "table '%s' of '%s' was changed by someone else meanwhile; nothing was "
                       "touched",
                       table->table, table->database);
    CE_TRY(ce_sqlite_replace_rows(db, table, csv, csv_path, err));
    CE_TRY(hash_rows(db, table, hex, err));
    CE_TRY(ce_sqlite_run(db, table, err,
                         "CREATE TABLE IF NOT EXISTS " EDITS " (name TEXT PRIMARY KEY,"
                         " content TEXT)"));
    CE_TRY(
        ce_sqlite_run(db, table, err, "INSERT INTO " EDITS " VALUES (%Q, %Q)", table->table, hex));
    return ce_sqlite_run(db, table, err, "COMMIT");
}

int ce_sqlite_edit_back(const char *csv_path, const struct ce_sql_address *table,
                        const char *sha256, struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    struct ce_sqlite_kind kind;
    ce_autofree char *written = NULL;
    ce_autofree char *kept = NULL;
    ce_autofile FILE *csv = NULL;
    if (access(table->database, F_OK) < 0 && errno == ENOENT)
        return CE_SQL_FOREIGN;
    CE_TRY(begin(table, &db, err));
    CE_TRY(noted(db, table, EDITS, "content", &written, err));
    if (!written)
        return 0;
    CE_TRY(ce_sqlite_kind_of(db, table, &kind, err));
    if (!kind.type[0])
        return CE_SQL_FOREIGN;
    CE_TRY(ce_sql_open_rows(csv_path, sha256, &csv, err));
    CE_TRY(find_writes(db, table, EDITS, &kept, err));
    if (kept)
        CE_TRY(ce_sqlite_run(db, table, err, "CREATE TABLE \"%w\" AS SELECT * FROM \"%w\"", kept,
                             table->table));
    CE_TRY(ce_sqlite_replace_rows(db, table, csv, csv_path, err));
    CE_TRY(forget(db, table, EDITS, err));
    return ce_sqlite_run(db, table, err, "COMMIT");
}

int ce_sqlite_edit_forget(const struct ce_sql_address *table, struct ce_error *err)
{
    CE_SQLITE *db = NULL;
    ce_autofree char *written = NULL;
    if (access(table->database, F_OK) < 0 && errno == ENOENT)
        return 0;
    CE_TRY(begin(table, &db, err));
    CE_TRY(noted(db, table, EDITS, "content", &written, err));
    if (!written)
        return 0;
    CE_TRY(forget(db, table, EDITS, err));
    return ce_sqlite_run(db, table, err, "COMMIT");
}

/* ---- what is there ---- */

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
