/* SPDX-License-Identifier: MIT */
/* The columns of a JSON lines table: keys to columns, and keys that become columns.
 *
 * Names are only ever added, and nothing that exists moves: a copy of the table struct sees the
 * columns of the moment it was taken, whoever adds more meanwhile. */
#ifndef CE_DATA_TEXT_JSONL_NAMES_H
#define CE_DATA_TEXT_JSONL_NAMES_H

#include "base/error.h"
#include "data/text/format.h"

#define CE_JSONL_COLUMNS_MAX 65536

/* Gives a table without columns the room for them. */
int ce_jsonl_names_make(struct ce_text_table *table, struct ce_error *err);
/* The column of a key, as it is written between its quotes; -1: there is none; -ENOMEM. */
int ce_jsonl_names_find(const struct ce_text_table *table, const char *key, size_t size);
/* Makes the key a column, the last one; it must not be one. -EINVAL: there are too many. */
int ce_jsonl_names_add(struct ce_text_table *table, const char *key, size_t size,
                       struct ce_error *err);
/* How the key of that column is written where nothing in it is escaped; NULL: that is not known, or
 * too long for a hint. */
const char *ce_jsonl_names_hint(const struct ce_text_table *table, size_t column, size_t *ret_size);

#endif
