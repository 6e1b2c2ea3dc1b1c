/* SPDX-License-Identifier: MIT */
/* Parts and the builder.
 *
 * Mean and variance are summed per block of rows, relative to the block's first number, which keeps
 * them exact for large numbers that differ little. A part merges its blocks in order, the builder
 * its parts: the parts of a file are the same for any number of threads, and so are the sums. */
#include "data/stats/builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "data/stats/column_stats.h"
#include "data/stats/row_set.h"
#include "data/stats/value.h"

enum { BLOCK_ROWS = 4096 };

struct ce_builder {
    unsigned stats;
    uint64_t rows;
    struct ce_column_stats *columns;
    size_t column_count;
    struct ce_row_set *row_set; /* NULL: duplicates were not asked for */
};

/* A set of rows where `stats` ask for one. */
static int row_set_new(unsigned stats, struct ce_row_set **ret_set, struct ce_error *err)
{
    if (!(stats & CE_STAT_DUPLICATES))
        return 0;
    *ret_set = ce_row_set_new();
    return *ret_set ? 0 : ce_fail_memory(err);
}

/* ---- part ---- */

int ce_part_new(size_t columns, unsigned stats, struct ce_part **ret_part, struct ce_error *err)
{
    struct ce_part *part = calloc(1, sizeof *part);
    if (!part)
        return ce_fail_memory(err);
    part->stats = stats;
    int r = row_set_new(stats, &part->row_set, err);
    if (r == 0)
        r = ce_part_widen(part, columns, err);
    if (r < 0) {
        ce_part_free(part);
        return r;
    }
    *ret_part = part;
    return 0;
}

void ce_part_free(struct ce_part *part)
{
    if (!part)
        return;
    for (size_t i = 0; i < part->column_count; i++)
        ce_column_stats_done(&part->closed[i]);
    free(part->columns);
    free(part->closed);
    ce_row_set_free(part->row_set);
    free(part);
}

void ce_part_clear(struct ce_part *part)
{
    for (size_t i = 0; i < part->column_count; i++)
        ce_column_stats_clear(&part->closed[i]);
    if (part->column_count > 0)
        memset(part->columns, 0, part->column_count * sizeof *part->columns);
    if (part->row_set)
        ce_row_set_clear(part->row_set);
    part->rows = part->row_hash = 0;
    part->failed = 0;
}

/* Makes room for `columns` elements, the new ones zeroed. */
static void *widened(void *array, size_t had, size_t columns, size_t size)
{
    char *wider = reallocarray(array, columns, size);
    if (wider)
        memset(wider + had * size, 0, (columns - had) * size);
    return wider;
}

int ce_part_widen(struct ce_part *part, size_t columns, struct ce_error *err)
{
    size_t had = part->column_count;
    if (columns <= had)
        return 0;
    struct ce_part_column *open = widened(part->columns, had, columns, sizeof *open);
    if (!open)
        return ce_fail_memory(err);
    part->columns = open;
    struct ce_column_stats *closed = widened(part->closed, had, columns, sizeof *closed);
    if (!closed)
        return ce_fail_memory(err);
    part->closed = closed;
    part->column_count = columns;
    return 0;
}

static void close_block(struct ce_part *part)
{
    for (size_t i = 0; i < part->column_count; i++) {
        struct ce_part_column *c = &part->columns[i];
        if (c->numbers == 0)
            continue;
        double n = c->numbers, squares = c->squares - c->sum * c->sum / n;
        struct ce_moments block = {
            .count = c->numbers,
            .origin = c->origin,
            .offset = c->sum / n,
            .squares = squares < 0 ? 0 : squares,
        };
        ce_column_stats_numbers(&part->closed[i], &block, c->min, c->max);
        c->numbers = 0;
        c->sum = c->squares = 0;
    }
}

static void close_part(struct ce_part *part)
{
    close_block(part);
    for (size_t i = 0; i < part->column_count; i++) {
        part->closed[i].fractions = part->columns[i].fractions;
        part->closed[i].missing = part->columns[i].missing;
    }
}

/* A row's hash does not depend on the order in which its cells come; missing cells and absent ones
 * are the same. */
static void part_hash(struct ce_part *part, size_t column, uint64_t hash)
{
    if (part->row_set) {
        uint64_t cell[2] = {hash, column};
        part->row_hash += ce_value_hash(cell, sizeof cell);
    }
}

void ce_part_number_more(struct ce_part *part, size_t column, double value, const char *text,
                         size_t size)
{
    uint64_t hash = 0;
    if (ce_column_stats_number(&part->closed[column], part->stats, value, text, size, &hash) < 0)
        part->failed = -ENOMEM;
    part_hash(part, column, hash);
}

void ce_part_text(struct ce_part *part, size_t column, const char *text, size_t size)
{
    uint64_t hash = 0;
    if (ce_column_stats_text(&part->closed[column], part->stats, text, size, &hash) < 0)
        part->failed = -ENOMEM;
    part_hash(part, column, hash);
}

void ce_part_other(struct ce_part *part, size_t column, const void *bytes, size_t size)
{
    uint64_t hash = 0;
    if (ce_column_stats_other(&part->closed[column], part->stats, bytes, size, &hash) < 0)
        part->failed = -ENOMEM;
    part_hash(part, column, hash);
}

void ce_part_row(struct ce_part *part)
{
    if (part->row_set) {
        if (ce_row_set_add(part->row_set, part->row_hash) < 0)
            part->failed = -ENOMEM;
        part->row_hash = 0;
    }
    if (++part->rows % BLOCK_ROWS == 0)
        close_block(part);
}

uint64_t ce_part_room(const struct ce_part *part)
{
    return part->row_set ? 1 : BLOCK_ROWS - part->rows % BLOCK_ROWS;
}

void ce_part_rows(struct ce_part *part, uint64_t rows)
{
    if (rows == 0)
        return;
    part->rows += rows - 1;
    ce_part_row(part);
}

/* ---- builder ---- */

int ce_builder_new(size_t columns, unsigned stats, struct ce_builder **ret_builder,
                   struct ce_error *err)
{
    struct ce_builder *builder = calloc(1, sizeof *builder);
    if (!builder)
        return ce_fail_memory(err);
    builder->stats = stats;
    int r = row_set_new(stats, &builder->row_set, err);
    if (r == 0)
        r = ce_builder_widen(builder, columns, err);
    if (r < 0) {
        ce_builder_free(builder);
        return r;
    }
    *ret_builder = builder;
    return 0;
}

void ce_builder_free(struct ce_builder *builder)
{
    if (!builder)
        return;
    for (size_t i = 0; i < builder->column_count; i++)
        ce_column_stats_done(&builder->columns[i]);
    free(builder->columns);
    ce_row_set_free(builder->row_set);
    free(builder);
}

int ce_builder_widen(struct ce_builder *builder, size_t columns, struct ce_error *err)
{
    if (columns <= builder->column_count)
        return 0;
    struct ce_column_stats *wider =
        widened(builder->columns, builder->column_count, columns, sizeof *wider);
    if (!wider)
        return ce_fail_memory(err);
    builder->columns = wider;
    builder->column_count = columns;
    return 0;
}

int ce_builder_merge(struct ce_builder *builder, struct ce_part *part, struct ce_error *err)
{
    if (part->failed)
        return ce_fail_memory(err);
    CE_TRY(ce_builder_widen(builder, part->column_count, err));
    close_part(part);
    for (size_t i = 0; i < part->column_count; i++)
        if (ce_column_stats_merge(&builder->columns[i], &part->closed[i]) < 0)
            return ce_fail_memory(err);
    if (builder->row_set && part->row_set && ce_row_set_merge(builder->row_set, part->row_set) < 0)
        return ce_fail_memory(err);
    builder->rows += part->rows;
    return 0;
}

int ce_builder_end(struct ce_builder *builder, const char *const *names,
                   struct ce_profile *ret_profile, struct ce_error *err)
{
    CE_CLEANUP(ce_profile_done)
    struct ce_profile profile = {
        .rows = builder->rows,
        .duplicate_share = builder->row_set ? ce_row_set_duplicate_share(builder->row_set) : -1,
    };
    size_t count = builder->column_count;
    profile.columns = calloc(count > 0 ? count : 1, sizeof *profile.columns);
    if (!profile.columns)
        return ce_fail_memory(err);
    profile.column_count = count;
    for (size_t i = 0; i < count; i++) {
        profile.columns[i].name = strdup(names[i]);
        if (!profile.columns[i].name ||
            ce_column_stats_end(&builder->columns[i], builder->stats, &profile.columns[i]) < 0)
            return ce_fail_memory(err);
    }
    *ret_profile = profile;
    profile = (struct ce_profile){0};
    return 0;
}
