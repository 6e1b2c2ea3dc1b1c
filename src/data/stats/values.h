/* SPDX-License-Identifier: MIT */
/* Which different values there are, and how often each: while they are few. How many, always. */
#ifndef CE_DATA_STATS_VALUES_H
#define CE_DATA_STATS_VALUES_H

#include "data/profile.h"

/* A column with a longer value has no categories either. */
#define CE_CATEGORY_BYTES 256

struct ce_values;
struct ce_values *ce_values_new(void); /* NULL: no memory */
void ce_values_free(struct ce_values *values);
void ce_values_clear(struct ce_values *values);
/* `hash` is ce_value_hash() of the text. 0 or -ENOMEM. */
int ce_values_add(struct ce_values *values, const char *text, size_t size, uint64_t hash);
int ce_values_merge(struct ce_values *into, const struct ce_values *from);

/* Exact while there are categories, else within 2 %. */
uint64_t ce_values_distinct(const struct ce_values *values);
/* As in struct ce_column_profile: copied and sorted; NULL and 0 when there are too many (or none).
 * 0 or -ENOMEM. */
int ce_values_categories(const struct ce_values *values, struct ce_category **ret_categories,
                         size_t *ret_count);
void ce_categories_free(struct ce_category *categories, size_t count);

#endif
