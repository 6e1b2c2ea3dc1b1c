/* SPDX-License-Identifier: MIT */
/* Columns by name. `names` are those of the table's columns, in order; NULL: the column is gone. */
#ifndef CE_DATA_COLUMNS_H
#define CE_DATA_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

/* The first column of that name: its index, or -ENOENT with the nearest name. `table` is what the
 * message calls the input. */
int ce_columns_find(const char *const *names, size_t count, const char *table, const char *name,
                    size_t *ret_column, struct ce_error *err);
/* Sets ret_chosen[i] for each column that is asked for: by name, by a glob ("f*", "[ab]?") or by
 * position ("#3", from 1); a column's whole name goes first. A glob leaves out the column called
 * `except` (NULL: none). -ENOENT. */
int ce_columns_choose(const char *const *names, size_t count, const char *table,
                      const struct ce_names *asked, const char *except, bool *ret_chosen,
                      struct ce_error *err);

#endif
