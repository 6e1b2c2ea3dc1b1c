/* SPDX-License-Identifier: MIT */
/* Column statistics in one pass.
 *
 * Mean and variance are summed per block of rows, relative to the block's first number, which keeps
 * them exact for large numbers that differ little; blocks are merged in file order. Whoever
 * profiles shards merges the same blocks. */
#include "data/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "data/csv.h"

enum { BLOCK_ROWS = 4096 };

/* Count, mean and sum of squared deviations of some numbers. */
struct moments {
    uint64_t count;
    double mean, squares;
};

struct sums {
    bool is_text; /* a cell was no number: the column has no statistics */
    uint64_t block_count;
    double origin, sum, square_sum; /* of the current block, relative to `origin` */
    struct moments all;
};

static void moments_merge(struct moments *all, const struct moments *block)
{
    double n = (double)all->count, m = (double)block->count, distance = block->mean - all->mean;
    all->mean += distance * (m / (n + m));
    all->squares += block->squares + distance * distance * (n * m / (n + m));
    all->count += block->count;
}

static void sums_end_block(struct sums *sums)
{
    if (sums->block_count == 0)
        return;
    double n = (double)sums->block_count, squares = sums->square_sum - sums->sum * sums->sum / n;
    struct moments block = {
        .count = sums->block_count,
        .mean = sums->origin + sums->sum / n,
        .squares = squares > 0 ? squares : 0,
    };
    moments_merge(&sums->all, &block);
    sums->block_count = 0;
    sums->sum = sums->square_sum = 0;
}

static void column_add(struct ce_column_profile *column, struct sums *sums,
                       const struct ce_csv_cell *cell)
{
    double value;
    column->cells++;
    if (ce_csv_missing(cell)) {
        column->missing++;
        return;
    }
    if (sums->is_text)
        return;
    if (!ce_csv_number(cell, &value)) {
        sums->is_text = true;
        return;
    }
    if (sums->block_count == 0)
        sums->origin = value;
    if (sums->block_count == 0 && sums->all.count == 0)
        column->min = column->max = value;
    sums->block_count++;
    double distance = value - sums->origin;
    sums->sum += distance;
    sums->square_sum += distance * distance;
    column->min = value < column->min ? value : column->min;
    column->max = value > column->max ? value : column->max;
}

static void column_end(struct ce_column_profile *column, struct sums *sums)
{
    sums_end_block(sums);
    column->numeric = !sums->is_text && sums->all.count > 0;
    if (!column->numeric) {
        column->min = column->max = 0;
        return;
    }
    column->mean = sums->all.mean;
    if (sums->all.count > 1)
        column->sd = sqrt(sums->all.squares / (double)(sums->all.count - 1));
}

static int profile_start(struct ce_profile *profile, const struct ce_csv_reader *reader,
                         struct ce_error *err)
{
    size_t count = ce_csv_column_count(reader);
    profile->columns = calloc(count, sizeof *profile->columns);
    if (!profile->columns)
        return ce_fail_memory(err);
    profile->column_count = count;
    for (size_t i = 0; i < count; i++) {
        profile->columns[i].name = strdup(ce_csv_column_name(reader, i));
        if (!profile->columns[i].name)
            return ce_fail_memory(err);
    }
    return 0;
}

CE_DEFINE_CLEANUP(struct ce_csv_reader, ce_csv_close);

int ce_profile_file(const char *path, struct ce_profile *ret_profile, struct ce_error *err)
{
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader = NULL;
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    CE_TRY(ce_csv_open(path, &reader, err));
    CE_TRY(profile_start(&profile, reader, err));
    ce_autofree struct sums *sums = calloc(profile.column_count, sizeof *sums);
    if (!sums)
        return ce_fail_memory(err);

    struct ce_csv_record record;
    int got;
    while ((got = ce_csv_next(reader, &record, err)) > 0) {
        size_t cells =
            record.cell_count < profile.column_count ? record.cell_count : profile.column_count;
        for (size_t i = 0; i < cells; i++)
            column_add(&profile.columns[i], &sums[i], &record.cells[i]);
        if (++profile.rows % BLOCK_ROWS == 0)
            for (size_t i = 0; i < profile.column_count; i++)
                sums_end_block(&sums[i]);
    }
    if (got < 0)
        return got;
    for (size_t i = 0; i < profile.column_count; i++)
        column_end(&profile.columns[i], &sums[i]);
    *ret_profile = profile;
    profile = (struct ce_profile){0};
    return 0;
}

void ce_profile_done(struct ce_profile *profile)
{
    for (size_t i = 0; i < profile->column_count; i++)
        free(profile->columns[i].name);
    free(profile->columns);
    *profile = (struct ce_profile){0};
}

const struct ce_column_profile *ce_profile_column(const struct ce_profile *profile,
                                                  const char *name)
{
    for (size_t i = 0; i < profile->column_count; i++)
        if (strcmp(profile->columns[i].name, name) == 0)
            return &profile->columns[i];
    return NULL;
}

static int fail_no_column(const struct ce_profile *profile, const char *path, const char *name,
                          struct ce_error *err)
{
    ce_autofree const char **names = calloc(profile->column_count, sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    char list[240] = "";
    size_t used = 0;
    for (size_t i = 0; i < profile->column_count; i++) {
        names[i] = profile->columns[i].name;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                                     names[i]);
    }
    const char *nearest = ce_text_nearest(name, names, profile->column_count);
    if (nearest)
        return ce_fail(err, ENOENT, "'%s' has no column '%s'; did you mean '%s'?", path, name,
                       nearest);
    return ce_fail(err, ENOENT, "'%s' has no column '%s'; its columns are: %s%s", path, name, list,
                   used < sizeof list ? "" : " ...");
}

int ce_profile_require(const struct ce_profile *profile, const char *path,
                       const struct ce_names *names, struct ce_error *err)
{
    for (size_t i = 0; i < names->count; i++)
        if (!ce_profile_column(profile, names->names[i]))
            return fail_no_column(profile, path, names->names[i], err);
    return 0;
}
