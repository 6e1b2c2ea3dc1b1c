/* SPDX-License-Identifier: MIT */
/* Building a profile: parts are fed by whoever reads (one part per chunk, on any thread) and merged
 * in the order of the chunks, so that the result does not depend on the number of threads. */
#ifndef CE_DATA_STATS_BUILDER_H
#define CE_DATA_STATS_BUILDER_H

#include "data/profile.h"

/* What a number of the current block of rows adds to is all that the way of a number touches. */
struct ce_part_column {
    double origin, sum, squares; /* of the block's numbers, relative to the first of them */
    double min, max;             /* of the block's numbers */
    uint32_t numbers;            /* in the block */
    bool fractions;              /* a number of the part is no integer */
    uint64_t missing;            /* in the part */
};

/* What one chunk of rows adds; used by one thread at a time. Its members are those of this file. */
struct ce_part {
    unsigned stats;
    int failed; /* 0, or -ENOMEM: told when the part is merged */
    size_t column_count;
    struct ce_part_column *columns;
    struct ce_column_stats *closed; /* of the blocks before the current one, column by column */
    uint64_t rows;
    uint64_t row_hash; /* of the current row's cells */
    struct ce_row_set *row_set;
};
int ce_part_new(size_t columns, unsigned stats, struct ce_part **ret_part, struct ce_error *err);
void ce_part_free(struct ce_part *part);  /* NULL is fine */
void ce_part_clear(struct ce_part *part); /* to be fed again */
/* Columns that appear while the part is fed (JSON lines); never fewer. */
int ce_part_widen(struct ce_part *part, size_t columns, struct ce_error *err);

void ce_part_number_more(struct ce_part *part, size_t column, double value, const char *text,
                         size_t size);

/* One cell. Exactly one of these for each cell that the row has; `text` may be given along with a
 * number (its spelling: for categories, distinct values and duplicate rows), NULL when those were
 * not asked for, or when the number has no spelling of its own. */
static inline void ce_part_missing(struct ce_part *part, size_t column)
{
    part->columns[column].missing++;
}
/* `value` is finite. */
static inline void ce_part_column_add(struct ce_part_column *c, double value, bool integer)
{
    if (__builtin_expect(c->numbers == 0, 0))
        c->origin = c->min = c->max = value;
    double distance = value - c->origin;
    c->numbers++;
    c->sum += distance;
    c->squares += distance * distance;
    c->min = value < c->min ? value : c->min;
    c->max = value > c->max ? value : c->max;
    c->fractions |= !integer;
}
static inline bool ce_part_wants_more(const struct ce_part *part)
{
    return part->stats & ~(unsigned)CE_STAT_MOMENTS;
}
static inline void ce_part_number(struct ce_part *part, size_t column, double value, bool integer,
                                  const char *text, size_t size)
{
    ce_part_column_add(&part->columns[column], value, integer);
    if (ce_part_wants_more(part))
        ce_part_number_more(part, column, value, text, size);
}
void ce_part_text(struct ce_part *part, size_t column, const char *text,
                  size_t size); /* also booleans and times: told by the text */
void ce_part_other(struct ce_part *part, size_t column, const void *bytes,
                   size_t size); /* nested, binary */
/* After the last cell of each row. */
void ce_part_row(struct ce_part *part);
/* Tables that lie column by column may be fed so: the cells of a column in so many rows, then those
 * of the next, then all of the rows. */
uint64_t ce_part_room(const struct ce_part *part); /* how many rows at most; 1 where duplicates are
                                                      wanted */
void ce_part_rows(struct ce_part *part, uint64_t rows);

struct ce_builder;
int ce_builder_new(size_t columns, unsigned stats, struct ce_builder **ret_builder,
                   struct ce_error *err);
void ce_builder_free(struct ce_builder *builder); /* NULL is fine */
/* Columns that appear later (JSON lines); never fewer. */
int ce_builder_widen(struct ce_builder *builder, size_t columns, struct ce_error *err);
/* The part may have fewer columns than the builder; when it has more, the builder gets as many. */
int ce_builder_merge(struct ce_builder *builder, struct ce_part *part, struct ce_error *err);
/* Makes the profile; names[], one for each column of the builder, are copied. */
int ce_builder_end(struct ce_builder *builder, const char *const *names,
                   struct ce_profile *ret_profile, struct ce_error *err);

#endif
