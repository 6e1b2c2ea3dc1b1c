/* SPDX-License-Identifier: MIT */
/* Column statistics of a table, the same bits on every machine and for any number of threads: sums
 * are taken per block of rows and merged in file order.
 *
 * Whoever reads a table feeds a builder; moments, quantiles, categories and the number of distinct
 * values are kept in bounded memory: per column at most about 1.5 MiB, the rows' hashes 8 MiB. */
#ifndef CE_DATA_PROFILE_H
#define CE_DATA_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/* What a profile holds; moments and the kind of a column always are. */
enum ce_stat {
    CE_STAT_MOMENTS = 1,     /* mean, sd, min, max */
    CE_STAT_QUANTILES = 2,   /* the sketch */
    CE_STAT_CATEGORIES = 4,  /* values with their counts, while they are few */
    CE_STAT_DISTINCT = 8,    /* how many different values */
    CE_STAT_DUPLICATES = 16, /* the share of rows that repeat an earlier one */
    CE_STAT_ALL = 31,
};
#define CE_CATEGORIES_MAX 1024 /* a column with more different values has no categories */

enum ce_column_type {                    /* of all cells that are not missing */
                      CE_TYPE_EMPTY = 0, /* there are none */
                      CE_TYPE_INTEGER,
                      CE_TYPE_NUMBER,
                      CE_TYPE_BOOLEAN, /* true and false, in any case */
                      CE_TYPE_TIME, /* 2024-05-01, 2024-05-01T12:30:00Z, 2024-05-01 12:30:00.5+02:00
                                     */
                      CE_TYPE_TEXT,
                      CE_TYPE_OTHER, /* nested, binary: no fault rewrites its values */
};
const char *ce_column_type_name(enum ce_column_type type);

struct ce_category {
    char *text; /* malloc'ed, NUL-terminated */
    size_t size;
    uint64_t count;
};

struct ce_column_profile {
    char *name;
    enum ce_column_type type;
    bool numeric;   /* integer or number */
    bool uncertain; /* from a prefix: the rest was not seen */
    uint64_t cells, missing;
    double mean, sd, min,
        max; /* of the numbers; sd is the sample's (n - 1); 0 when there are too few */
    struct ce_sketch *sketch; /* of the numbers, of times in seconds, of texts by their first bytes;
                                 NULL: not asked for */
    struct ce_category *categories; /* by count, most frequent first, then by text; NULL: not asked
                                       for, or too many */
    size_t category_count;
    uint64_t
        distinct; /* 0: not asked for; exact up to CE_CATEGORIES_MAX, else estimated within 2 % */
};

struct ce_profile {
    uint64_t rows;
    struct ce_column_profile *columns;
    size_t column_count;
    double duplicate_share; /* negative: not asked for */
    bool partial;           /* of a prefix only */
};

/* Reads a file of any format that ce_data_inject() reads ("-" is none). `stats`: bits of enum
 * ce_stat. */
int ce_profile_read(const char *path, unsigned stats, unsigned threads,
                    struct ce_profile *ret_profile, struct ce_error *err);
void ce_profile_done(struct ce_profile *profile);
const struct ce_column_profile *ce_profile_column(const struct ce_profile *profile,
                                                  const char *name); /* NULL: none */
/* The q-quantile of a column, q in 0..1: of its numbers, its times in seconds, its texts as
 * ce_value_order() has them; false when it has no sketch or no values. */
bool ce_profile_quantile(const struct ce_column_profile *column, double q, double *ret_value);

#endif
