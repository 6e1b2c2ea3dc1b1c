/* SPDX-License-Identifier: MIT */
/* The trainer's dataset: read from CSV, then validated and made complete. */
#ifndef CE_PIPELINE_EMBEDDED_TABLE_H
#define CE_PIPELINE_EMBEDDED_TABLE_H

#include "base/hash.h"
#include "pipeline/embedded/model.h"

struct ce_table {
    size_t rows;
    struct ce_sample *samples;
    double *churn, *spend; /* NaN: missing or unreadable */
    char sha256[CE_SHA256_HEX];
    size_t rows_dropped, values_imputed;
    /* After cleaning. */
    struct ce_number_stats numbers[CE_NUMBERS];
    int category_fill[CE_CATEGORIES];
};

/* Reads every row. A column that the pipeline needs and the file lacks is -EINVAL. Free with
 * ce_table_done(). */
int ce_table_read(const char *path, struct ce_table *ret_table, struct ce_error *err);
void ce_table_done(struct ce_table *table);

/* naive: what is missing is a 0. */
void ce_table_clean_naively(struct ce_table *table);
/* hardened: rows without a readable churn are dropped; a number further than 6 robust standard
 * deviations from the median counts as missing; what is missing gets the column's median or most
 * frequent value. -ENODATA when more than half of a column is missing: nothing can be learnt from
 * that, and `err` names the column. */
int ce_table_clean(struct ce_table *table, struct ce_error *err);

#endif
