/* SPDX-License-Identifier: MIT */
/* Predicates on rows: `age > 30 and city = 'Paris'`.
 *
 *   or, and, not, ( )
 *   = == != <> < <= > >=          of columns, numbers and texts, on either side
 *   in (1, 2, 3)   not in (...)   between 1 and 5   like 'Par%'   is null   is not null
 *   row                           the row's ordinal, from 0
 *
 * Names are bare words, or "quoted" or `quoted` when they are no words; texts are 'quoted', a quote
 * in them doubled. Keywords in any case. Two numbers are compared as numbers, everything else as
 * text, by bytes; only a bare number and a cell that is none are different without one being less.
 * A comparison with a missing cell is false, and so is its `not` (as in SQL). In like, % stands for
 * anything and _ for one character. */
#ifndef CE_DATA_PREDICATE_H
#define CE_DATA_PREDICATE_H

#include "data/cell.h"

struct ce_predicate;

/* -EINVAL with the place: "where: at character 9: expected a value after '>'". */
int ce_predicate_parse(const char *text, struct ce_predicate **ret_predicate, struct ce_error *err);
void ce_predicate_free(struct ce_predicate *predicate); /* NULL is fine */
/* Finds its columns among `names` (NULL entries are gone). -ENOENT with the nearest. Must succeed
 * before ce_predicate_true(). */
int ce_predicate_bind(struct ce_predicate *predicate, const char *const *names, size_t count,
                      const char *table, struct ce_error *err);
/* The same for rows that have exactly the columns that it names, in the order of *ret_names: an
 * array of borrowed names, to be freed with free(). */
int ce_predicate_bind_own(struct ce_predicate *predicate, const char ***ret_names,
                          size_t *ret_count, struct ce_error *err);
bool ce_predicate_true(const struct ce_predicate *predicate, struct ce_row *row);

#endif
