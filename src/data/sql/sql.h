/* SPDX-License-Identifier: MIT */
/* Tables in databases: SQLite and PostgreSQL, as sources and targets.
 *
 * A table becomes a CSV file and a CSV file a table, so the engine for bytes does all the work. An
 * empty cell is NULL and "" the empty text; texts are quoted, other values are not.
 *
 *     sqlite:PATH?table=NAME
 *     postgresql://USER@HOST/DATABASE?table=NAME     NAME or SCHEMA.NAME; what else there is in the
 *                                                    query goes to libpq, as do its environment
 *                                                    variables (PGPASSFILE, PGSERVICE, ...)
 * %XX stands for a byte that would mean something else. libpq is loaded when the first such address
 * is used. */
#ifndef CE_DATA_SQL_SQL_H
#define CE_DATA_SQL_SQL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

bool ce_sql_is(const char *address);
/* -EINVAL when the address is not understood; the sentence says what one looks like. */
int ce_sql_check(const char *address, struct ce_error *err);
/* The address of a table of the same database and schema, good from any folder. NULL: no memory, or
 * no address. */
char *ce_sql_sibling(const char *address, const char *table);
/* The table that it names, as it is written there without its schema. Free with free(). */
char *ce_sql_table(const char *address);
/* Whether it holds a password: then it should not be written anywhere. */
bool ce_sql_has_password(const char *address);
/* The address without its password: what it is called where others read it. NULL: no memory. */
char *ce_sql_shown(const char *address);

/* Writes the table (or view) to a new file of mode 0600, from one snapshot. Rows of SQLite come by
 * rowid, those of PostgreSQL by primary key, else as they are stored; a view's as it gives them. */
int ce_sql_export(const char *address, const char *csv_path, struct ce_error *err);

struct ce_sql_loaded {
    uint64_t rows;
    struct ce_names as_text; /* columns that became text, because their type cannot take a value */
};
/* Writes a file as a new table (-EEXIST), in one transaction: all or nothing. It gets the columns
 * of the file, with the declared types that they have in `like` (an address of the same kind, or
 * NULL), no constraints (what a fault writes may be missing or there twice) and, on PostgreSQL, the
 * rights that others have on `like`. */
int ce_sql_import(const char *csv_path, const char *address, const char *like,
                  struct ce_sql_loaded *ret_loaded, struct ce_error *err);
void ce_sql_loaded_done(struct ce_sql_loaded *loaded);

#define CE_SQL_ORIGINAL "__chaoseater_original"
#define CE_SQL_FAULTED  "__chaoseater_faulted"
/* Puts `faulted`, a table of the same database, in the place of the table: that one is called
 * NAME CE_SQL_ORIGINAL meanwhile, and a row of table chaoseater_switches says so. One transaction.
 * Readers that name the table see the faulted one; so do SQLite's views, while PostgreSQL's views
 * stay with the original. What was written to the table since `faulted` was copied from it is in
 * the original, and comes back with it. -EBUSY when it is switched or edited already. */
int ce_sql_switch(const char *address, const char *faulted, struct ce_error *err);
#define CE_SQL_KEPT "__chaoseater_kept"
/* The reverse: drops what stands in the table's place and gives the original its name back. When
 * others have written to it meanwhile it is not dropped, but called NAME CE_SQL_KEPT. Nothing to
 * put back is fine. CE_SQL_FOREIGN: what stands there now is not the table that was put there, or
 * the original is gone; nothing was touched. -EEXIST: there is a table of the name to be kept. */
#define CE_SQL_FOREIGN 1
int ce_sql_switch_back(const char *address, struct ce_error *err);

/* Replaces the rows of a table by those of a file; its definition stays, and a row that breaks a
 * constraint is an error. One transaction that keeps other writers out, and a row of table
 * chaoseater_edits that says what was written. -EBUSY when the table's rows are not those of the
 * export whose SHA-256 this is: somebody has changed them since. Also when it is switched or edited
 * already. */
int ce_sql_edit(const char *csv_path, const char *address, const char *sha256,
                struct ce_error *err);
/* The reverse, with that export. Nothing to put back is fine. When the table no longer holds the
 * rows that were written, those that it holds are copied to the new table NAME CE_SQL_KEPT first.
 * -EBADMSG when the file is not that export. CE_SQL_FOREIGN: the table is gone. */
int ce_sql_edit_back(const char *csv_path, const char *address, const char *sha256,
                     struct ce_error *err);
/* Forgets that a table was edited that is gone. */
int ce_sql_edit_forget(const char *address, struct ce_error *err);

/* Whether there is a table, or a view, of that name. */
int ce_sql_exists(const char *address, bool *ret_exists, struct ce_error *err);
/* Drops a table if it is there. */
int ce_sql_drop(const char *address, struct ce_error *err);

#endif
