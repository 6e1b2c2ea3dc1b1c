/* SPDX-License-Identifier: MIT */
#include "data/steps.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/columns.h"

static struct ce_stream stream_of(const struct ce_mutation *mutation, const char *use)
{
    char purpose[96];
    snprintf(purpose, sizeof purpose, "%s/%s", mutation->fault, use);
    return ce_stream_init(mutation->seed, purpose, "");
}

/* ---- layout ---- */

static int find_column(const struct ce_stepping *stepping, const char *name, size_t *ret_at,
                       struct ce_error *err)
{
    ce_autofree const char **names = calloc(stepping->column_count + 1, sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    for (size_t i = 0; i < stepping->column_count; i++)
        names[i] = stepping->columns[i].name;
    return ce_columns_find(names, stepping->column_count, stepping->table, name, ret_at, err);
}

static int refuse_twice(const struct ce_stepping *stepping, const char *name, struct ce_error *err)
{
    for (size_t i = 0; i < stepping->column_count; i++)
        if (strcmp(stepping->columns[i].name, name) == 0)
            return ce_fail(err, EINVAL, "'%s' has a column '%s' already", stepping->table, name);
    return 0;
}

static int layout_add(struct ce_stepping *stepping, const struct ce_mutation *mutation,
                      struct ce_error *err)
{
    CE_TRY(refuse_twice(stepping, mutation->name, err));
    stepping->columns[stepping->column_count++] = (struct ce_new_column){
        .input = -1,
        .name = mutation->name,
        .mutation = mutation,
        .draws = stream_of(mutation, "value"),
    };
    return 0;
}

static int layout_remove(struct ce_stepping *stepping, struct ce_step *step, struct ce_error *err)
{
    const char *column = step->mutation->column;
    size_t at;
    CE_TRY(find_column(stepping, column, &at, err));
    if (stepping->column_count == 1)
        return ce_fail(err, EINVAL, "without '%s' no column of '%s' would be left", column,
                       stepping->table);
    step->removed = stepping->columns[at].input;
    if (step->removed >= 0)
        stepping->inputs[step->removed] = NULL;
    memmove(&stepping->columns[at], &stepping->columns[at + 1],
            (--stepping->column_count - at) * sizeof *stepping->columns);
    return 0;
}

static int layout_rename(struct ce_stepping *stepping, const struct ce_mutation *mutation,
                         struct ce_error *err)
{
    size_t at;
    CE_TRY(find_column(stepping, mutation->column, &at, err));
    CE_TRY(refuse_twice(stepping, mutation->name, err));
    struct ce_new_column *column = &stepping->columns[at];
    column->name = mutation->name;
    if (column->input >= 0)
        stepping->inputs[column->input] = mutation->name;
    return 0;
}

static uint64_t count_moved(const size_t *order, size_t count)
{
    uint64_t moved = 0;
    for (size_t i = 0; i < count; i++)
        moved += order[i] != i;
    return moved;
}

static int layout_reorder(struct ce_stepping *stepping, const struct ce_mutation *mutation,
                          uint64_t *ret_moved, struct ce_error *err)
{
    size_t n = stepping->column_count;
    struct ce_stream stream = stream_of(mutation, "order");
    ce_autofree size_t *order = calloc(n + 1, sizeof *order);
    ce_autofree struct ce_new_column *columns = calloc(n + 1, sizeof *columns);
    if (!order || !columns)
        return ce_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i > 1; i--) {
        size_t with = ce_stream_below(&stream, i, (uint32_t)i), kept = order[i - 1];
        order[i - 1] = order[with];
        order[with] = kept;
    }
    if (count_moved(order, n) == 0) /* then by one place each */
        for (size_t i = 0; i < n; i++)
            order[i] = (i + 1) % n;
    for (size_t i = 0; i < n; i++)
        columns[i] = stepping->columns[order[i]];
    memcpy(stepping->columns, columns, n * sizeof *columns);
    *ret_moved = count_moved(order, n);
    return 0;
}

static int make_layout(struct ce_stepping *stepping, struct ce_step *step, struct ce_error *err)
{
    const struct ce_mutation *mutation = step->mutation;
    struct ce_fault_counts *counts = &step->layout;
    uint64_t moved = 1;
    *counts =
        (struct ce_fault_counts){.eligible = stepping->column_count, .selected = 1, .changed = 1};
    switch (mutation->change) {
    case CE_LAYOUT_ADD:
        counts->eligible = 1;
        return layout_add(stepping, mutation, err);
    case CE_LAYOUT_REMOVE:
        return layout_remove(stepping, step, err);
    case CE_LAYOUT_RENAME:
        return layout_rename(stepping, mutation, err);
    case CE_LAYOUT_REORDER:
        CE_TRY(layout_reorder(stepping, mutation, &moved, err));
        counts->selected = counts->changed = moved;
        return 0;
    }
    return 0;
}

/* ---- cells and rows ---- */

static int offer_columns(const struct ce_profile *profile, struct ce_step *step,
                         struct ce_error *err)
{
    const struct ce_mutation *mutation = step->mutation;
    step->choice = stream_of(mutation, "cell");
    step->offered = calloc(profile->column_count + 1, sizeof *step->offered);
    if (!step->offered)
        return ce_fail_memory(err);
    for (size_t i = 0; i < profile->column_count; i++)
        if (!mutation->takes || mutation->takes(mutation->ctx, &profile->columns[i]))
            step->offered[step->offered_count++] = i;
    return 0;
}

/* Where shuffled rows come to lie: after as many rows as are copied, drawn apart from these. */
static int select_places(const struct ce_stepping *stepping, struct ce_step *step,
                         struct ce_error *err)
{
    struct ce_mutation places = *step->mutation;
    ce_autofree char *fault = ce_format("%s/place", places.fault);
    if (!fault)
        return ce_fail_memory(err);
    places.fault = fault;
    places.scope = (struct ce_scope){.rate = places.scope.rate};
    return ce_selection_new(&places, stepping->profile, stepping->inputs, stepping->table,
                            &step->places, err);
}

static int make_selection(struct ce_stepping *stepping, struct ce_step *step, struct ce_error *err)
{
    const struct ce_mutation *mutation = step->mutation;
    CE_TRY(ce_selection_new(mutation, stepping->profile, stepping->inputs, stepping->table,
                            &step->selection, err));
    step->count = ce_selection_count(step->selection);
    step->by_value = ce_selection_by_value(step->selection);
    step->first_unit = stepping->unit_count;
    stepping->unit_count += step->count;
    if (mutation->kind != CE_MUTATE_ROWS || mutation->fate != CE_ROW_COPY)
        return 0;
    if (mutation->rewrite)
        CE_TRY(offer_columns(stepping->profile, step, err));
    if (mutation->place != CE_PLACE_SHUFFLED)
        return 0;
    CE_TRY(select_places(stepping, step, err));
    stepping->unit_count += ce_selection_count(step->places);
    return 0;
}

/* ---- the list ---- */

int ce_stepping_begin(const struct ce_profile *profile, const char *table, size_t count,
                      struct ce_stepping *ret_stepping, struct ce_error *err)
{
    size_t columns = profile->column_count;
    struct ce_stepping stepping = {
        .profile = profile,
        .table = table,
        .steps = calloc(count + 1, sizeof *stepping.steps),
        .columns = calloc(columns + count + 1, sizeof *stepping.columns),
        .column_count = columns,
        .inputs = calloc(columns + 1, sizeof *stepping.inputs),
    };
    if (!stepping.steps || !stepping.columns || !stepping.inputs) {
        ce_stepping_done(&stepping);
        return ce_fail_memory(err);
    }
    for (size_t i = 0; i < columns; i++) {
        stepping.inputs[i] = profile->columns[i].name;
        stepping.columns[i] =
            (struct ce_new_column){.input = (int)i, .name = profile->columns[i].name};
    }
    *ret_stepping = stepping;
    return 0;
}

int ce_stepping_next(struct ce_stepping *stepping, const struct ce_mutation *mutation,
                     struct ce_step **ret_step, struct ce_error *err)
{
    struct ce_step *step = &stepping->steps[stepping->count++];
    *step = (struct ce_step){.mutation = mutation, .removed = -1};
    *ret_step = step;
    if (mutation->prepare)
        CE_TRY(mutation->prepare(mutation->ctx, stepping->profile, err));
    return mutation->kind == CE_MUTATE_LAYOUT ? make_layout(stepping, step, err)
                                              : make_selection(stepping, step, err);
}

void ce_stepping_done(struct ce_stepping *stepping)
{
    ce_steps_free(stepping->steps, stepping->count);
    free(stepping->columns);
    free(stepping->inputs);
    *stepping = (struct ce_stepping){0};
}

void ce_steps_free(struct ce_step *steps, size_t count)
{
    for (size_t i = 0; steps && i < count; i++) {
        ce_selection_free(steps[i].selection);
        ce_selection_free(steps[i].places);
        free(steps[i].offered);
    }
    free(steps);
}
