/* SPDX-License-Identifier: MIT */
/* The embedded pipeline's world: customers of a phone company, who leave or stay.
 *
 * Columns, their order and their categories are fixed; the rows are a pure function of a seed and a
 * row number, with the same bits on every machine. Whether a customer leaves (`churn`) follows a
 * linear score plus normal noise, so that a logistic regression can learn it well but nobody can
 * learn it perfectly; `spend` is a second, numeric target. */
#ifndef CE_PIPELINE_EMBEDDED_DATASET_H
#define CE_PIPELINE_EMBEDDED_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    CE_NUMBERS = 6,    /* numeric feature columns */
    CE_CATEGORIES = 3, /* categorical ones */
    CE_CATEGORY_VALUES_MAX = 4,
    CE_CATEGORY_UNKNOWN = -1, /* missing, or none of the column's values */
};

struct ce_number_column {
    const char *name;
    int decimals;
    double mean, sd, min, max; /* a normal distribution, cut off at the ends */
    double weight; /* of one standard deviation, in the score that decides about churn */
};
struct ce_category_column {
    const char *name;
    size_t value_count;
    const char *values[CE_CATEGORY_VALUES_MAX];
    double weights[CE_CATEGORY_VALUES_MAX];
};
extern const struct ce_number_column ce_number_columns[CE_NUMBERS];
extern const struct ce_category_column ce_category_columns[CE_CATEGORIES];

#define CE_COLUMN_CHURN "churn"
#define CE_COLUMN_SPEND "spend"

/* The features of one customer. */
struct ce_sample {
    double numbers[CE_NUMBERS];    /* NaN: missing or unreadable */
    int categories[CE_CATEGORIES]; /* index into `values`, or CE_CATEGORY_UNKNOWN */
};
struct ce_customer {
    struct ce_sample sample;
    bool churn;
    double spend;
};

/* Index into `values`, or CE_CATEGORY_UNKNOWN. */
int ce_category_find(const struct ce_category_column *column, const char *text, size_t size);

/* Customer `row` of the population that belongs to the seed. Any row, in any order. */
void ce_customer_draw(uint64_t seed, uint64_t row, struct ce_customer *ret_customer);

/* Writes customers 0..rows-1 as CSV with a header, in one step. */
int ce_dataset_write(const char *path, uint64_t seed, uint64_t rows, struct ce_error *err);

#endif
