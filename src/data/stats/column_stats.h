/* SPDX-License-Identifier: MIT */
/* Everything that is kept of one column while a table is read: of a part, and of all parts so far.
 */
#ifndef CE_DATA_STATS_COLUMN_STATS_H
#define CE_DATA_STATS_COLUMN_STATS_H

#include "data/profile.h"
#include "data/stats/sketch.h"
#include "data/stats/values.h"

/* Count, mean and sum of squared deviations of some numbers. The mean is origin + offset: one of
 * the numbers, and how far it lies from that, so that large numbers that differ little keep their
 * differences. */
struct ce_moments {
    uint64_t count;
    double origin, offset, squares;
};

/* The pointers are NULL until there is something to keep there. */
struct ce_column_stats {
    struct ce_moments moments;
    double min, max; /* of the numbers; meaningless without any */
    bool fractions;  /* one of them is no integer */
    uint64_t missing, texts, others;
    uint64_t booleans, times; /* of the texts, while all of them were one or the other */
    struct ce_sketcher *numbers;
    struct ce_sketcher *orders;   /* of all texts: ce_value_order() */
    struct ce_sketcher *instants; /* of the texts, while all of them were times */
    struct ce_values *values;
};

void ce_column_stats_done(struct ce_column_stats *stats); /* a zeroed one is fine */
void ce_column_stats_clear(struct ce_column_stats *stats);

/* Some more numbers: `moments->count` of them. */
void ce_column_stats_numbers(struct ce_column_stats *stats, const struct ce_moments *moments,
                             double min, double max);
/* What `wanted` asks for beyond the moments, of one of these numbers. 0 or -ENOMEM, as below. */
int ce_column_stats_number(struct ce_column_stats *stats, unsigned wanted, double value,
                           const char *text, size_t size, uint64_t *ret_hash);
int ce_column_stats_text(struct ce_column_stats *stats, unsigned wanted, const char *text,
                         size_t size, uint64_t *ret_hash);
int ce_column_stats_other(struct ce_column_stats *stats, unsigned wanted, const void *bytes,
                          size_t size, uint64_t *ret_hash);

int ce_column_stats_merge(struct ce_column_stats *into, const struct ce_column_stats *from);
/* Fills all of the profile but its name. On failure nothing is filled. */
int ce_column_stats_end(const struct ce_column_stats *stats, unsigned wanted,
                        struct ce_column_profile *ret_column);

#endif
