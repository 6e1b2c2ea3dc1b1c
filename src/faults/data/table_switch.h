/* SPDX-License-Identifier: MIT */
/* Faulted tables in databases, put back by the journal. */
#ifndef CE_FAULTS_DATA_TABLE_SWITCH_H
#define CE_FAULTS_DATA_TABLE_SWITCH_H

#include "data/sql/sql.h"
#include "journal/journal.h"

/* Loads `csv_path`, what a fault made of the table's rows, as a table beside it and puts that in
 * its place (data/sql/sql.h). The undo is noted first; returns the note, whose undo gives the
 * original its name back, and drops the faulted one unless others wrote to it (CE_SQL_KEPT).
 * -EINVAL when the address holds a password, which would stand in the journal; -EEXIST when a table
 * of the faulted one's name, or of the kept one's, is there already. */
int ce_table_switch(struct ce_journal *journal, const char *address, const char *csv_path,
                    struct ce_sql_loaded *ret_loaded, struct ce_error *err);

/* Edits the table itself: its rows, which gave an export of that SHA-256, are replaced by what a
 * fault made of them (`csv_path`). First they are kept in `image`, a new file that has to outlive
 * the note (data/sql/sql.h says what a row is there; SQLite's rows may get other rowids where these
 * are no column). Returns the note, whose undo keeps what others have written meanwhile in NAME
 * CE_SQL_KEPT. -EBUSY when somebody has written to the table since that export: nothing was
 * touched. -EINVAL and -EEXIST as above. */
int ce_table_edit(struct ce_journal *journal, const char *address, const char *csv_path,
                  const char *sha256, const char *image, struct ce_error *err);
/* Where an undo keeps the rows of a table that is gone. Free with free(). NULL: no memory. */
char *ce_table_kept_image(const char *state_dir, const char *address, const char *sha256);

extern const struct ce_undo_op ce_undo_switch_table, ce_undo_restore_table;

#endif
