/* SPDX-License-Identifier: MIT */
/* Which share of the rows repeats an earlier one, told by the hashes of the rows. */
#ifndef CE_DATA_STATS_ROW_SET_H
#define CE_DATA_STATS_ROW_SET_H

#include <stdint.h>

struct ce_row_set;
struct ce_row_set *ce_row_set_new(void);      /* NULL: no memory */
void ce_row_set_free(struct ce_row_set *set); /* NULL is fine */
void ce_row_set_clear(struct ce_row_set *set);
/* 0 or -ENOMEM. */
int ce_row_set_add(struct ce_row_set *set, uint64_t hash);
int ce_row_set_merge(struct ce_row_set *into, const struct ce_row_set *from);
/* Exact up to half a million different rows, else of a sample of about as many. */
double ce_row_set_duplicate_share(const struct ce_row_set *set);

#endif
