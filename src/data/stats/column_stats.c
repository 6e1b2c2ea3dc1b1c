/* SPDX-License-Identifier: MIT */
/* What kind of column it is shows only at its end, so numbers, texts and times are kept apart until
 * then. In a column that turns out to be text, numbers take their place in the order of texts. */
#include "data/stats/column_stats.h"

#include <errno.h>
#include <math.h>

#include "data/stats/value.h"

void ce_column_stats_done(struct ce_column_stats *stats)
{
    ce_sketcher_free(stats->numbers);
    ce_sketcher_free(stats->orders);
    ce_sketcher_free(stats->instants);
    ce_values_free(stats->values);
    *stats = (struct ce_column_stats){0};
}

void ce_column_stats_clear(struct ce_column_stats *stats)
{
    if (stats->numbers)
        ce_sketcher_clear(stats->numbers);
    if (stats->orders)
        ce_sketcher_clear(stats->orders);
    if (stats->instants)
        ce_sketcher_clear(stats->instants);
    if (stats->values)
        ce_values_clear(stats->values);
    *stats = (struct ce_column_stats){
        .numbers = stats->numbers,
        .orders = stats->orders,
        .instants = stats->instants,
        .values = stats->values,
    };
}

/* ---- feeding ---- */

static void moments_merge(struct ce_moments *all, const struct ce_moments *more)
{
    if (all->count == 0) {
        *all = *more;
        return;
    }
    double n = (double)all->count, m = (double)more->count;
    double distance = (more->origin - all->origin) + (more->offset - all->offset);
    all->offset += distance * (m / (n + m));
    all->squares += more->squares + distance * distance * (n * m / (n + m));
    all->count += more->count;
}

void ce_column_stats_numbers(struct ce_column_stats *stats, const struct ce_moments *moments,
                             double min, double max)
{
    bool first = stats->moments.count == 0;
    stats->min = first || min < stats->min ? min : stats->min;
    stats->max = first || max > stats->max ? max : stats->max;
    moments_merge(&stats->moments, moments);
}

static int sketch_add(struct ce_sketcher **sketcher, double value)
{
    if (!*sketcher)
        *sketcher = ce_sketcher_new();
    return *sketcher ? ce_sketcher_add(*sketcher, value) : -ENOMEM;
}

static int value_add(struct ce_column_stats *stats, unsigned wanted, const void *bytes, size_t size,
                     uint64_t *ret_hash)
{
    if (!(wanted & (CE_STAT_CATEGORIES | CE_STAT_DISTINCT | CE_STAT_DUPLICATES)))
        return 0;
    *ret_hash = ce_value_hash(bytes, size);
    if (!(wanted & (CE_STAT_CATEGORIES | CE_STAT_DISTINCT)))
        return 0;
    if (!stats->values)
        stats->values = ce_values_new();
    return stats->values ? ce_values_add(stats->values, bytes, size, *ret_hash) : -ENOMEM;
}

int ce_column_stats_number(struct ce_column_stats *stats, unsigned wanted, double value,
                           const char *text, size_t size, uint64_t *ret_hash)
{
    char own[CE_VALUE_NUMBER_SIZE];
    if (wanted & CE_STAT_QUANTILES && sketch_add(&stats->numbers, value) < 0)
        return -ENOMEM;
    if (!text && wanted & ~(unsigned)(CE_STAT_MOMENTS | CE_STAT_QUANTILES)) {
        text = own;
        size = ce_value_number_text(value, own);
    }
    return value_add(stats, wanted, text, size, ret_hash);
}

int ce_column_stats_text(struct ce_column_stats *stats, unsigned wanted, const char *text,
                         size_t size, uint64_t *ret_hash)
{
    double seconds;
    /* Once a text is neither boolean nor time the column is text, and nobody need look again. */
    if (stats->booleans == stats->texts && ce_value_boolean(text, size)) {
        stats->booleans++;
    } else if (stats->times == stats->texts && ce_value_time(text, size, &seconds)) {
        stats->times++;
        if (wanted & CE_STAT_QUANTILES && sketch_add(&stats->instants, seconds) < 0)
            return -ENOMEM;
    }
    stats->texts++;
    if (wanted & CE_STAT_QUANTILES && sketch_add(&stats->orders, ce_value_order(text, size)) < 0)
        return -ENOMEM;
    return value_add(stats, wanted, text, size, ret_hash);
}

int ce_column_stats_other(struct ce_column_stats *stats, unsigned wanted, const void *bytes,
                          size_t size, uint64_t *ret_hash)
{
    stats->others++;
    return value_add(stats, wanted, bytes, size, ret_hash);
}

/* ---- merging ---- */

static int sketch_merge(struct ce_sketcher **into, const struct ce_sketcher *from)
{
    if (!from)
        return 0;
    if (!*into)
        *into = ce_sketcher_new();
    return *into ? ce_sketcher_merge(*into, from, NULL) : -ENOMEM;
}

static int values_merge(struct ce_values **into, const struct ce_values *from)
{
    if (!from)
        return 0;
    if (!*into)
        *into = ce_values_new();
    return *into ? ce_values_merge(*into, from) : -ENOMEM;
}

int ce_column_stats_merge(struct ce_column_stats *into, const struct ce_column_stats *from)
{
    if (from->moments.count > 0)
        ce_column_stats_numbers(into, &from->moments, from->min, from->max);
    into->fractions |= from->fractions;
    into->missing += from->missing;
    into->texts += from->texts;
    into->others += from->others;
    into->booleans += from->booleans;
    into->times += from->times;
    bool merged = sketch_merge(&into->numbers, from->numbers) == 0 &&
                  sketch_merge(&into->orders, from->orders) == 0 &&
                  sketch_merge(&into->instants, from->instants) == 0 &&
                  values_merge(&into->values, from->values) == 0;
    return merged ? 0 : -ENOMEM;
}

/* ---- the end ---- */

static enum ce_column_type type_of(const struct ce_column_stats *stats)
{
    uint64_t numbers = stats->moments.count, texts = stats->texts;
    if (stats->others > 0)
        return CE_TYPE_OTHER;
    if (numbers > 0 && texts > 0)
        return CE_TYPE_TEXT;
    if (numbers > 0)
        return stats->fractions ? CE_TYPE_NUMBER : CE_TYPE_INTEGER;
    if (texts == 0)
        return CE_TYPE_EMPTY;
    if (stats->booleans == texts)
        return CE_TYPE_BOOLEAN;
    return stats->times == texts ? CE_TYPE_TIME : CE_TYPE_TEXT;
}

static double order_of_number(double value)
{
    char text[CE_VALUE_NUMBER_SIZE];
    return ce_value_order(text, ce_value_number_text(value, text));
}

static int mixed_sketch(const struct ce_column_stats *stats, struct ce_sketch **ret_sketch)
{
    struct ce_sketcher *all = ce_sketcher_new();
    int r = all ? ce_sketcher_merge(all, stats->orders, NULL) : -ENOMEM;
    if (r == 0)
        r = ce_sketcher_merge(all, stats->numbers, order_of_number);
    if (r == 0)
        r = ce_sketcher_end(all, ret_sketch);
    ce_sketcher_free(all);
    return r;
}

static int sketch_end(const struct ce_column_stats *stats, struct ce_column_profile *column)
{
    const struct ce_sketcher *sketcher = stats->orders;
    if (column->type == CE_TYPE_OTHER)
        return 0;
    if (column->numeric)
        sketcher = stats->numbers;
    else if (column->type == CE_TYPE_TIME)
        sketcher = stats->instants;
    else if (stats->numbers && stats->orders && stats->moments.count > 0)
        return mixed_sketch(stats, &column->sketch);
    return sketcher ? ce_sketcher_end(sketcher, &column->sketch) : 0;
}

static int values_end(const struct ce_column_stats *stats, unsigned wanted,
                      struct ce_column_profile *column)
{
    if (!stats->values)
        return 0;
    if (wanted & CE_STAT_DISTINCT)
        column->distinct = ce_values_distinct(stats->values);
    if (!(wanted & CE_STAT_CATEGORIES) || column->type == CE_TYPE_OTHER)
        return 0;
    return ce_values_categories(stats->values, &column->categories, &column->category_count);
}

static void moments_end(const struct ce_column_stats *stats, struct ce_column_profile *column)
{
    const struct ce_moments *m = &stats->moments;
    column->mean = m->origin + m->offset;
    column->min = stats->min;
    column->max = stats->max;
    if (m->count > 1)
        column->sd = sqrt(m->squares / (double)(m->count - 1));
    /* Squares of numbers beyond 1e154 are no doubles. Faults still need a place and a width. */
    if (!isfinite(column->mean))
        column->mean = stats->min / 2 + stats->max / 2;
    if (!isfinite(column->sd))
        column->sd = stats->max / 2 - stats->min / 2;
}

int ce_column_stats_end(const struct ce_column_stats *stats, unsigned wanted,
                        struct ce_column_profile *ret_column)
{
    struct ce_column_profile column = {
        .name = ret_column->name,
        .type = type_of(stats),
        .missing = stats->missing,
        .cells = stats->missing + stats->moments.count + stats->texts + stats->others,
    };
    column.numeric = column.type == CE_TYPE_INTEGER || column.type == CE_TYPE_NUMBER;
    if (column.numeric)
        moments_end(stats, &column);
    if (sketch_end(stats, &column) < 0)
        return -ENOMEM;
    if (values_end(stats, wanted, &column) < 0) {
        ce_sketch_free(column.sketch);
        return -ENOMEM;
    }
    *ret_column = column;
    return 0;
}
