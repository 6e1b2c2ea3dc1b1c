/* SPDX-License-Identifier: MIT */
/* A unit's number u has its upper 16 bits from stream "FAULT/select": lane row % 8 of draw row / 8;
 * its lower 48 bits from the first word of draw `row` of stream "FAULT/select-fine", which is asked
 * only where the upper bits equal those of the threshold. Streams are about the column's name; a
 * second column of that name uses "NAME#2", rows use "". */
#include "data/selection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/columns.h"
#include "data/permutation.h"
#include "data/predicate.h"
#include "data/select_mask.h"
#include "data/window.h"

#define FINE_BITS 48
#define FINE_MASK ((UINT64_C(1) << FINE_BITS) - 1)

struct unit {
    size_t column;
    struct ce_stream select, fine, draws;
    struct ce_permutation permutation; /* of the rows; with `exact` */
    double window_start;               /* [0, 1) */
    struct ce_window window;           /* of mar and mnar */
};

struct ce_selection {
    enum ce_mechanism mechanism;
    struct ce_share rate;
    bool exact;
    uint64_t rows, chosen; /* with `exact`: how many may be hit, and how many of them are */
    struct ce_predicate *predicate;
    bool bounded; /* to the rows within `radius` */
    struct ce_radius_set radius;
    size_t count;
    struct unit *units;
};

/* ---- one unit ---- */

static bool unit_fine(const struct ce_stream *fine, uint64_t row, uint64_t below)
{
    uint64_t words[2];
    ce_stream_draw(fine, row, words);
    return (words[0] & FINE_MASK) < (below & FINE_MASK);
}

/* Whether the unit's number lies below the share of all numbers. */
static bool unit_below(const struct ce_stream *select, const struct ce_stream *fine, uint64_t row,
                       struct ce_share share)
{
    if (share.all || share.below == 0)
        return share.all;
    uint64_t lanes[2];
    ce_stream_draw(select, row / 8, lanes);
    uint64_t lane = lanes[row % 8 / 4] >> 16 * (row % 4) & 0xffff;
    uint64_t edge = share.below >> FINE_BITS;
    return lane == edge ? unit_fine(fine, row, share.below) : lane < edge;
}

/* `rank`: of the row among those within the radius. */
static bool unit_hit(const struct ce_selection *selection, const struct unit *unit,
                     struct ce_row *row, uint64_t rank, struct ce_window_value *seen)
{
    struct ce_share share = selection->rate;
    if (selection->exact)
        return ce_permutation_at(&unit->permutation, rank) < selection->chosen;
    if (selection->mechanism != CE_MCAR)
        share = ce_window_share(&unit->window, row, seen);
    return unit_below(&unit->select, &unit->fine, row->ordinal, share);
}

static struct ce_stream stream_init(uint64_t seed, const char *fault, const char *use,
                                    const char *subject)
{
    char purpose[96];
    snprintf(purpose, sizeof purpose, "%s/%s", fault, use);
    return ce_stream_init(seed, purpose, subject);
}

bool ce_unit_selected(uint64_t seed, const char *fault, const char *column, uint64_t row,
                      double rate)
{
    struct ce_stream select = stream_init(seed, fault, "select", column);
    struct ce_stream fine = stream_init(seed, fault, "select-fine", column);
    return unit_below(&select, &fine, row, ce_share_of(rate));
}

/* ---- blocks ---- */

static void block_exact(const struct ce_selection *selection, const struct unit *unit,
                        uint64_t block, uint64_t ret_mask[CE_SELECT_WORDS])
{
    memset(ret_mask, 0, CE_SELECT_WORDS * sizeof *ret_mask);
    for (uint64_t i = 0; i < CE_SELECT_BLOCK; i++) {
        uint64_t row = block * CE_SELECT_BLOCK + i;
        if (row < selection->rows && ce_permutation_at(&unit->permutation, row) < selection->chosen)
            ret_mask[i / 64] |= UINT64_C(1) << i % 64;
    }
}

static void block_by_rate(const struct ce_selection *selection, const struct unit *unit,
                          uint64_t block, uint64_t ret_mask[CE_SELECT_WORDS])
{
    uint64_t edge[CE_SELECT_WORDS], below = selection->rate.below;
    if (below == 0) {
        memset(ret_mask, 0, CE_SELECT_WORDS * sizeof *ret_mask);
        return;
    }
    ce_select_mask(&unit->select, block, (uint16_t)(below >> FINE_BITS), ret_mask, edge);
    for (size_t word = 0; word < CE_SELECT_WORDS; word++)
        for (uint64_t left = edge[word]; left != 0; left &= left - 1) {
            uint64_t row = block * CE_SELECT_BLOCK + 64 * word + (uint64_t)__builtin_ctzll(left);
            if (unit_fine(&unit->fine, row, below))
                ret_mask[word] |= left & -left;
        }
}

void ce_selection_block(const struct ce_selection *selection, uint64_t block, uint64_t *ret_masks)
{
    for (size_t i = 0; i < selection->count; i++) {
        uint64_t *mask = ret_masks + i * CE_SELECT_WORDS;
        bool by_rank = selection->exact && selection->bounded;
        if (selection->mechanism != CE_MCAR || selection->rate.all || by_rank)
            memset(mask, 0xff, CE_SELECT_WORDS * sizeof *mask);
        else if (selection->exact)
            block_exact(selection, &selection->units[i], block, mask);
        else
            block_by_rate(selection, &selection->units[i], block, mask);
    }
}

bool ce_selection_by_value(const struct ce_selection *selection)
{
    return selection->predicate || selection->bounded || selection->mechanism != CE_MCAR;
}

size_t ce_selection_row(const struct ce_selection *selection, struct ce_row *row, bool *ret_hits)
{
    uint64_t rank = selection->bounded ? ce_radius_rank(&selection->radius, row->ordinal) : 0;
    bool eligible = !(selection->bounded && rank >= selection->radius.size) &&
                    (!selection->predicate || ce_predicate_true(selection->predicate, row));
    struct ce_window_value seen = {0};
    for (size_t i = 0; i < selection->count; i++)
        ret_hits[i] = eligible && unit_hit(selection, &selection->units[i], row, rank, &seen);
    return eligible ? selection->count : 0;
}

size_t ce_selection_count(const struct ce_selection *selection)
{
    return selection->count;
}

size_t ce_selection_column(const struct ce_selection *selection, size_t i)
{
    return selection->units[i].column;
}

const struct ce_stream *ce_selection_draws(const struct ce_selection *selection, size_t i)
{
    return &selection->units[i].draws;
}

/* ---- making one ---- */

int ce_scope_needs(const struct ce_scope *scope, unsigned *ret_stats, struct ce_error *err)
{
    unsigned stats = 0;
    if (scope->where) {
        struct ce_predicate *predicate;
        CE_TRY(ce_predicate_parse(scope->where, &predicate, err));
        ce_predicate_free(predicate);
    }
    if (scope->mechanism != CE_MCAR)
        stats |= CE_STAT_QUANTILES;
    if (scope->exact || scope->radius)
        stats |= CE_STAT_MOMENTS; /* any statistics come with the number of rows */
    *ret_stats = stats;
    return 0;
}

static int check_scope(const struct ce_mutation *mutation, const struct ce_profile *profile,
                       const char *table, struct ce_error *err)
{
    const struct ce_scope *scope = &mutation->scope;
    if (!(scope->rate >= 0 && scope->rate <= 1))
        return ce_fail(err, EINVAL, "a rate lies between 0 and 1, not %g", scope->rate);
    if (scope->mechanism == CE_MNAR && mutation->kind != CE_MUTATE_CELLS)
        return ce_fail(
            err, EINVAL,
            "%s: rows have no value of their own that mnar could go by; mar and a column "
            "would do",
            mutation->fault);
    if (scope->radius && profile->partial)
        return ce_fail(err, EINVAL,
                       "%s: a blast radius of rows needs the number of rows, and only a part of "
                       "'%s' was seen",
                       mutation->fault, table);
    if (!scope->exact)
        return 0;
    if (scope->where || scope->mechanism != CE_MCAR)
        return ce_fail(err, EINVAL,
                       "%s: exact counts are of all rows alike; they go with neither `where` nor a "
                       "mechanism other than mcar",
                       mutation->fault);
    if (profile->partial)
        return ce_fail(err, EINVAL,
                       "%s: exact counts need the number of rows, and only a part of '%s' was seen",
                       mutation->fault, table);
    return 0;
}

/* A column that only a glob or a position found is none that anybody insists on. */
static int require_numbers(const struct ce_mutation *mutation, const struct ce_profile *profile,
                           const char *const *names, const char *table, struct ce_error *err)
{
    const struct ce_names *asked = &mutation->scope.columns;
    for (size_t i = 0; i < asked->count; i++) {
        for (size_t k = 0; k < profile->column_count; k++) {
            const struct ce_column_profile *column = &profile->columns[k];
            if (names[k] && strcmp(names[k], asked->names[i]) == 0 && !column->numeric &&
                column->type != CE_TYPE_EMPTY)
                return ce_fail(err, EINVAL, "%s: column '%s' of '%s' holds %s; it takes numbers",
                               mutation->fault, names[k], table, ce_column_type_name(column->type));
        }
    }
    return 0;
}

static int choose_columns(const struct ce_mutation *mutation, const struct ce_profile *profile,
                          const char *const *names, const char *table, bool *ret_chosen,
                          struct ce_error *err)
{
    const struct ce_scope *scope = &mutation->scope;
    if (scope->columns.count > 0) {
        CE_TRY(ce_columns_choose(names, profile->column_count, table, &scope->columns,
                                 scope->except, ret_chosen, err));
        return mutation->numbers_only ? require_numbers(mutation, profile, names, table, err) : 0;
    }
    for (size_t i = 0; i < profile->column_count; i++)
        ret_chosen[i] = names[i] && !(scope->except && strcmp(names[i], scope->except) == 0) &&
                        (!mutation->takes || mutation->takes(mutation->ctx, &profile->columns[i]));
    return 0;
}

static int unit_init(struct ce_selection *selection, const struct ce_mutation *mutation,
                     const char *subject, size_t column, struct ce_error *err)
{
    if (!subject)
        return ce_fail_memory(err);
    uint64_t seed = mutation->seed;
    const char *fault = mutation->fault;
    struct ce_stream order = stream_init(seed, fault, "select-exact", subject);
    struct ce_stream start = stream_init(seed, fault, "select-window", subject);
    selection->units[selection->count++] = (struct unit){
        .column = column,
        .select = stream_init(seed, fault, "select", subject),
        .fine = stream_init(seed, fault, "select-fine", subject),
        .draws = stream_init(seed, fault, "value", subject),
        .permutation = ce_permutation_init(&order, selection->rows),
        .window_start = ce_stream_uniform(&start, 0),
    };
    return 0;
}

/* The columns that take part, or the one unit that rows have. */
static int add_units(struct ce_selection *selection, const struct ce_mutation *mutation,
                     const struct ce_profile *profile, const char *const *names, const bool *chosen,
                     struct ce_error *err)
{
    size_t columns = profile->column_count;
    selection->units = calloc(columns + 1, sizeof *selection->units);
    if (!selection->units)
        return ce_fail_memory(err);
    if (mutation->kind != CE_MUTATE_CELLS)
        return unit_init(selection, mutation, "", 0, err);
    for (size_t i = 0; i < columns; i++) {
        if (!chosen[i])
            continue;
        size_t nth = 1;
        for (size_t earlier = 0; earlier < i; earlier++)
            nth += names[earlier] && strcmp(names[earlier], names[i]) == 0;
        ce_autofree char *subject =
            nth == 1 ? ce_format("%s", names[i]) : ce_format("%s#%zu", names[i], nth);
        CE_TRY(unit_init(selection, mutation, subject, i, err));
    }
    return 0;
}

/* The first numeric column that is not hit itself; when all are, the first one besides `own`. */
static int default_mar_column(const struct ce_profile *profile, const char *const *names,
                              const bool *chosen, size_t own, const char *table, size_t *ret_column,
                              struct ce_error *err)
{
    for (int hit_ones = 0; hit_ones < 2; hit_ones++)
        for (size_t i = 0; i < profile->column_count; i++)
            if (names[i] && profile->columns[i].numeric && chosen[i] == hit_ones && i != own) {
                *ret_column = i;
                return 0;
            }
    return ce_fail(err, EINVAL,
                   "'%s' has no second numeric column that mar could go by; name a column for it",
                   table);
}

/* The column whose values decide about a unit. */
static int window_column(const struct ce_mutation *mutation, const struct ce_profile *profile,
                         const char *const *names, const bool *chosen, size_t own,
                         const char *table, size_t *ret_column, struct ce_error *err)
{
    const struct ce_scope *scope = &mutation->scope;
    if (scope->mechanism == CE_MNAR) {
        *ret_column = own;
        return 0;
    }
    if (!scope->mar_column)
        return default_mar_column(profile, names, chosen, own, table, ret_column, err);
    CE_TRY(
        ce_columns_find(names, profile->column_count, table, scope->mar_column, ret_column, err));
    if (!profile->columns[*ret_column].sketch)
        return ce_fail(err, EINVAL, "column '%s' of '%s' has no values that mar could rank",
                       scope->mar_column, table);
    return 0;
}

static int add_windows(struct ce_selection *selection, const struct ce_mutation *mutation,
                       const struct ce_profile *profile, const char *const *names,
                       const bool *chosen, const char *table, struct ce_error *err)
{
    for (size_t i = 0; i < selection->count; i++) {
        struct unit *unit = &selection->units[i];
        size_t own = mutation->kind == CE_MUTATE_CELLS ? unit->column : SIZE_MAX, column;
        CE_TRY(window_column(mutation, profile, names, chosen, own, table, &column, err));
        unit->window = ce_window_init(profile, column, mutation->scope.rate, unit->window_start);
    }
    return 0;
}

CE_DEFINE_CLEANUP(struct ce_selection, ce_selection_free);

int ce_selection_new(const struct ce_mutation *mutation, const struct ce_profile *profile,
                     const char *const *names, const char *table,
                     struct ce_selection **ret_selection, struct ce_error *err)
{
    const struct ce_scope *scope = &mutation->scope;
    CE_TRY(check_scope(mutation, profile, table, err));
    CE_CLEANUP(ce_selection_free_p) struct ce_selection *selection = calloc(1, sizeof *selection);
    ce_autofree bool *chosen = calloc(profile->column_count + 1, sizeof *chosen);
    if (!selection || !chosen)
        return ce_fail_memory(err);
    selection->mechanism = scope->mechanism;
    selection->rate = ce_share_of(scope->rate);
    selection->exact = scope->exact;
    selection->rows = profile->rows;
    if (scope->radius) {
        selection->bounded = true;
        selection->radius = ce_radius_set(scope->radius, "rows", profile->rows);
        selection->rows = selection->radius.size;
    }
    selection->chosen = (uint64_t)floor(scope->rate * (double)selection->rows + 0.5);

    if (mutation->kind == CE_MUTATE_CELLS)
        CE_TRY(choose_columns(mutation, profile, names, table, chosen, err));
    CE_TRY(add_units(selection, mutation, profile, names, chosen, err));
    if (scope->mechanism != CE_MCAR)
        CE_TRY(add_windows(selection, mutation, profile, names, chosen, table, err));
    if (scope->where) {
        CE_TRY(ce_predicate_parse(scope->where, &selection->predicate, err));
        CE_TRY(ce_predicate_bind(selection->predicate, names, profile->column_count, table, err));
    }
    *ret_selection = ce_take(selection);
    return 0;
}

void ce_selection_free(struct ce_selection *selection)
{
    if (!selection)
        return;
    ce_predicate_free(selection->predicate);
    free(selection->units);
    free(selection);
}
