/* SPDX-License-Identifier: MIT */
/* Which cells or rows a mutation hits.
 *
 * Under mcar each unit has a fixed 64-bit number, a pure function of (seed, fault, column name,
 * row), and is hit when that lies below rate * 2^64: so the units of a lower rate are among those
 * of a higher one, on any thread, shard or format. Eight units share one Philox block for their
 * upper 16 bits; the rest is drawn only where these do not decide. With `exact`, the k of n rows
 * are those whose image under a keyed permutation of [0, n) is less than k, which is nested as
 * well. Under mar and mnar a unit is hit when a value of its row lies in a window of ranks that
 * holds `rate` of the rows and whose start the seed draws; ties at its ends are split by the
 * unit's number. */
#ifndef CE_DATA_SELECTION_H
#define CE_DATA_SELECTION_H

#include "data/mutation.h"

#define CE_SELECT_BLOCK                                                                            \
    4096 /* rows that are looked at together; blocks start at multiples of it                      \
          */

struct ce_selection; /* of one mutation over one table; read-only after it is made: threads share it
                      */

/* Resolves columns (against `names`, the columns as earlier mutations left them: names[i] is what
 * column i of the input is called now, NULL when it is gone), predicate and mechanism. -ENOENT with
 * the nearest name, -EINVAL. ROWS: it has one unit per row, and no columns. `table` is what
 * messages call the input. With mar or mnar the profile must hold CE_STAT_QUANTILES
 * (ce_selection_needs). */
int ce_selection_new(const struct ce_mutation *mutation, const struct ce_profile *profile,
                     const char *const *names, const char *table,
                     struct ce_selection **ret_selection, struct ce_error *err);
void ce_selection_free(struct ce_selection *selection);
/* Statistics that the scope itself needs, before there is a profile. -EINVAL when a predicate does
 * not parse. */
int ce_scope_needs(const struct ce_scope *scope, unsigned *ret_stats, struct ce_error *err);

size_t
ce_selection_count(const struct ce_selection *selection); /* columns that take part; ROWS: 1 */
size_t ce_selection_column(const struct ce_selection *selection, size_t i); /* index in the input */
const struct ce_stream *ce_selection_draws(const struct ce_selection *selection,
                                           size_t i); /* what a hit cell of it draws from */

/* Whether hits depend on the row's values: then ce_selection_row() must be asked for each row, else
 * the masks say all. */
bool ce_selection_by_value(const struct ce_selection *selection);
/* For block `block` of rows: bit r % 64 of masks[i * (CE_SELECT_BLOCK / 64) + r / 64] says whether
 * row r of the block is hit in the i-th column. (by_value: those that the values may still rule out
 * or in; see ce_selection_row.) */
void ce_selection_block(const struct ce_selection *selection, uint64_t block, uint64_t *ret_masks);
/* by_value only. Sets ret_hits[i] for each of the columns; returns how many units of the row are
 * eligible (0 when the predicate is false, else the count). */
size_t ce_selection_row(const struct ce_selection *selection, struct ce_row *row, bool *ret_hits);

/* One unit, for values that come one by one (live requests). Ignores where and mechanism. */
bool ce_unit_selected(uint64_t seed, const char *fault, const char *column, uint64_t row,
                      double rate);

#endif
