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

/* Writes the table (or view) to a new file of mode 0600, from one snapshot. Rows of SQLite come by
 * rowid, those of PostgreSQL by primary key, else as they are stored; a view's as it gives them. */
int ce_sql_export(const char *address, const char *csv_path, struct ce_error *err);

enum ce_sql_write {
    CE_SQL_NEW_TABLE, /* -EEXIST when it is there already */
    CE_SQL_IN_PLACE,  /* the rows of a table that is there are replaced; its definition stays */
};
struct ce_sql_loaded {
    uint64_t rows;
    struct ce_names as_text; /* columns that became text, because their type cannot take a value */
};
/* Writes a file as a table, in one transaction: all or nothing. A new table gets the columns of the
 * file, with the declared types that they have in `like` (an address of the same kind, or NULL), no
 * constraints (what a fault writes may be missing or there twice) and, on PostgreSQL, the rights
 * that others have on `like`. In place, a row that breaks a constraint is an error. */
int ce_sql_import(const char *csv_path, const char *address, const char *like,
                  enum ce_sql_write how, struct ce_sql_loaded *ret_loaded, struct ce_error *err);
void ce_sql_loaded_done(struct ce_sql_loaded *loaded);

#define CE_SQL_ORIGINAL "__chaoseater_original"
#define CE_SQL_FAULTED  "__chaoseater_faulted"
/* Puts `faulted`, a table of the same database, in the place of the table: that one is called
 * NAME CE_SQL_ORIGINAL meanwhile, and a row of table chaoseater_switches says so. One transaction.
 * Readers that name the table see the faulted one; so do SQLite's views, while PostgreSQL's views
 * stay with the original. -EBUSY when it is switched already. */
int ce_sql_switch(const char *address, const char *faulted, struct ce_error *err);
/* The reverse: drops what stands in the table's place, with all that was written to it meanwhile,
 * and gives the original its name back. Nothing to put back is fine. CE_SQL_FOREIGN: what stands
 * there now is not what was put there, or the original is gone; nothing was touched. */
#define CE_SQL_FOREIGN 1
int ce_sql_switch_back(const char *address, struct ce_error *err);
/* Whether there is a table, or a view, of that name. */
int ce_sql_exists(const char *address, bool *ret_exists, struct ce_error *err);
/* Drops a table if it is there. */
int ce_sql_drop(const char *address, struct ce_error *err);

#endif
