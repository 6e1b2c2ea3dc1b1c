/* SPDX-License-Identifier: MIT */
#include "data/text/plan.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/columns.h"

/* What the columns are called while the list of mutations is gone through. */
struct naming {
    const char **inputs; /* of the input's columns; NULL: gone */
    struct ce_plan *plan;
    const char *table;
};

static struct ce_stream stream_of(const struct ce_mutation *mutation, const char *use,
                                  const char *subject)
{
    char purpose[96];
    snprintf(purpose, sizeof purpose, "%s/%s", mutation->fault, use);
    return ce_stream_init(mutation->seed, purpose, subject);
}

/* ---- layout ---- */

static int layout_find(const struct naming *naming, const char *name, size_t *ret_at,
                       struct ce_error *err)
{
    const struct ce_plan *plan = naming->plan;
    ce_autofree const char **names = calloc(plan->layout_count + 1, sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->layout_count; i++)
        names[i] = plan->layout[i].name;
    return ce_columns_find(names, plan->layout_count, naming->table, name, ret_at, err);
}

static int refuse_twice(const struct naming *naming, const char *name, struct ce_error *err)
{
    for (size_t i = 0; i < naming->plan->layout_count; i++)
        if (strcmp(naming->plan->layout[i].name, name) == 0)
            return ce_fail(err, EINVAL, "'%s' has a column '%s' already", naming->table, name);
    return 0;
}

static int layout_add(const struct naming *naming, const struct ce_mutation *mutation,
                      struct ce_error *err)
{
    struct ce_plan *plan = naming->plan;
    CE_TRY(refuse_twice(naming, mutation->name, err));
    size_t at = plan->layout_count++;
    plan->layout[at] = (struct ce_layout_cell){.column = -1, .name = mutation->name};
    plan->added[at] =
        (struct ce_added){.mutation = mutation, .draws = stream_of(mutation, "value", "")};
    plan->new_head = plan->new_records = true;
    return 0;
}

static int layout_remove(const struct naming *naming, const struct ce_mutation *mutation,
                         struct ce_error *err)
{
    struct ce_plan *plan = naming->plan;
    size_t at;
    CE_TRY(layout_find(naming, mutation->column, &at, err));
    if (plan->layout_count == 1)
        return ce_fail(err, EINVAL, "without '%s' no column of '%s' would be left",
                       mutation->column, naming->table);
    if (plan->layout[at].column >= 0)
        naming->inputs[plan->layout[at].column] = NULL;
    size_t behind = --plan->layout_count - at;
    memmove(&plan->layout[at], &plan->layout[at + 1], behind * sizeof *plan->layout);
    memmove(&plan->added[at], &plan->added[at + 1], behind * sizeof *plan->added);
    plan->new_head = plan->new_records = true;
    return 0;
}

static int layout_rename(const struct naming *naming, const struct ce_mutation *mutation,
                         struct ce_error *err)
{
    struct ce_plan *plan = naming->plan;
    size_t at;
    if (plan->table->headerless)
        return ce_fail(err, EINVAL, "'%s' has no header in which '%s' could be renamed",
                       naming->table, mutation->column);
    CE_TRY(layout_find(naming, mutation->column, &at, err));
    CE_TRY(refuse_twice(naming, mutation->name, err));
    plan->layout[at].name = mutation->name;
    if (plan->layout[at].column >= 0)
        naming->inputs[plan->layout[at].column] = mutation->name;
    plan->new_head = true;
    plan->new_records |= plan->table->header_size == 0; /* the names stand in the records */
    return 0;
}

static uint64_t count_moved(const size_t *order, size_t count)
{
    uint64_t moved = 0;
    for (size_t i = 0; i < count; i++)
        moved += order[i] != i;
    return moved;
}

static int layout_reorder(const struct naming *naming, const struct ce_mutation *mutation,
                          uint64_t *ret_moved, struct ce_error *err)
{
    struct ce_plan *plan = naming->plan;
    size_t n = plan->layout_count;
    struct ce_stream stream = stream_of(mutation, "order", "");
    ce_autofree size_t *order = calloc(n + 1, sizeof *order);
    ce_autofree struct ce_layout_cell *layout = calloc(n + 1, sizeof *layout);
    ce_autofree struct ce_added *added = calloc(n + 1, sizeof *added);
    if (!order || !layout || !added)
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
    for (size_t i = 0; i < n; i++) {
        layout[i] = plan->layout[order[i]];
        added[i] = plan->added[order[i]];
    }
    memcpy(plan->layout, layout, n * sizeof *layout);
    memcpy(plan->added, added, n * sizeof *added);
    *ret_moved = count_moved(order, n);
    plan->new_head |= *ret_moved > 0;
    plan->new_records |= *ret_moved > 0;
    return 0;
}

/* Its units are columns. */
static int plan_layout(const struct naming *naming, size_t index, struct ce_error *err)
{
    struct ce_plan *plan = naming->plan;
    struct ce_step *step = &plan->steps[index];
    uint64_t columns = plan->layout_count, moved = 1;
    plan->layout_step = index;
    step->layout = (struct ce_fault_counts){.eligible = columns, .selected = 1, .changed = 1};
    switch (step->mutation->change) {
    case CE_LAYOUT_ADD:
        step->layout.eligible = 1;
        return layout_add(naming, step->mutation, err);
    case CE_LAYOUT_REMOVE:
        return layout_remove(naming, step->mutation, err);
    case CE_LAYOUT_RENAME:
        return layout_rename(naming, step->mutation, err);
    case CE_LAYOUT_REORDER:
        CE_TRY(layout_reorder(naming, step->mutation, &moved, err));
        step->layout.selected = step->layout.changed = moved;
        return 0;
    }
    return 0;
}

/* As the table has them, with room for those that are added. */
static int layout_start(struct ce_plan *plan, struct ce_error *err)
{
    size_t columns = plan->table->column_count, most = columns + plan->step_count + 1;
    plan->layout = calloc(most, sizeof *plan->layout);
    plan->added = calloc(most, sizeof *plan->added);
    if (!plan->layout || !plan->added)
        return ce_fail_memory(err);
    for (size_t i = 0; i < columns; i++)
        plan->layout[i] = (struct ce_layout_cell){.column = (int)i, .name = plan->table->names[i]};
    plan->layout_count = columns;
    return 0;
}

/* ---- cells and rows ---- */

static int offer_columns(const struct ce_plan *plan, struct ce_step *step, struct ce_error *err)
{
    const struct ce_mutation *mutation = step->mutation;
    step->choice = stream_of(mutation, "cell", "");
    step->offered = calloc(plan->profile->column_count + 1, sizeof *step->offered);
    if (!step->offered)
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->profile->column_count; i++)
        if (!mutation->takes || mutation->takes(mutation->ctx, &plan->profile->columns[i]))
            step->offered[step->offered_count++] = i;
    return 0;
}

/* Where shuffled rows come to lie: after as many rows as are copied, drawn apart from these. */
static int select_places(const struct naming *naming, struct ce_step *step, struct ce_error *err)
{
    struct ce_mutation places = *step->mutation;
    ce_autofree char *fault = ce_format("%s/place", places.fault);
    if (!fault)
        return ce_fail_memory(err);
    places.fault = fault;
    places.scope = (struct ce_scope){.rate = places.scope.rate};
    return ce_selection_new(&places, naming->plan->profile, naming->inputs, naming->table,
                            &step->places, err);
}

static int add_units(struct ce_plan *plan, size_t index, const struct ce_selection *selection,
                     bool place, struct ce_error *err)
{
    size_t count = ce_selection_count(selection);
    struct ce_unit *units =
        realloc(plan->units, (plan->unit_count + count + 1) * sizeof *plan->units);
    if (!units)
        return ce_fail_memory(err);
    plan->units = units;
    for (size_t i = 0; i < count; i++)
        units[plan->unit_count++] = (struct ce_unit){
            .step = index,
            .column = ce_selection_column(selection, i),
            .draws = ce_selection_draws(selection, i),
            .place = place,
        };
    return 0;
}

static int plan_selection(const struct naming *naming, size_t index, struct ce_error *err)
{
    struct ce_plan *plan = naming->plan;
    struct ce_step *step = &plan->steps[index];
    const struct ce_mutation *mutation = step->mutation;
    CE_TRY(ce_selection_new(mutation, plan->profile, naming->inputs, naming->table,
                            &step->selection, err));
    step->first_unit = plan->unit_count;
    step->count = ce_selection_count(step->selection);
    step->by_value = ce_selection_by_value(step->selection);
    plan->by_value |= step->by_value;
    CE_TRY(add_units(plan, index, step->selection, false, err));
    if (mutation->kind != CE_MUTATE_ROWS || mutation->fate != CE_ROW_COPY)
        return 0;
    if (mutation->rewrite)
        CE_TRY(offer_columns(plan, step, err));
    if (mutation->place == CE_PLACE_SHUFFLED) {
        CE_TRY(select_places(naming, step, err));
        CE_TRY(add_units(plan, index, step->places, true, err));
    }
    plan->delays |= mutation->place == CE_PLACE_LATER;
    plan->moves |= mutation->place == CE_PLACE_LATER || mutation->place == CE_PLACE_SHUFFLED;
    return 0;
}

static size_t count_hit_columns(const struct ce_plan *plan)
{
    ce_autofree bool *hit = calloc(plan->table->column_count + 1, sizeof *hit);
    size_t count = 0;
    for (size_t i = 0; hit && i < plan->unit_count; i++) {
        const struct ce_unit *unit = &plan->units[i];
        if (plan->steps[unit->step].mutation->kind != CE_MUTATE_CELLS || hit[unit->column])
            continue;
        hit[unit->column] = true;
        count++;
    }
    return count;
}

static int plan_steps(struct ce_plan *plan, const char *name, const struct ce_mutation *mutations,
                      struct ce_error *err)
{
    size_t columns = plan->table->column_count;
    ce_autofree const char **inputs = calloc(columns + 1, sizeof *inputs);
    if (!inputs)
        return ce_fail_memory(err);
    for (size_t i = 0; i < columns; i++)
        inputs[i] = plan->table->names[i];
    struct naming naming = {.inputs = inputs, .plan = plan, .table = name};
    CE_TRY(layout_start(plan, err));
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct ce_mutation *mutation = plan->steps[i].mutation = &mutations[i];
        if (mutation->prepare)
            CE_TRY(mutation->prepare(mutation->ctx, plan->profile, err));
        CE_TRY(mutation->kind == CE_MUTATE_LAYOUT ? plan_layout(&naming, i, err)
                                                  : plan_selection(&naming, i, err));
    }
    plan->hit_columns = count_hit_columns(plan);
    return 0;
}

int ce_plan_make(const struct ce_text_table *table, const struct ce_profile *profile,
                 const char *name, const struct ce_mutation *mutations, size_t count,
                 struct ce_plan *ret_plan, struct ce_error *err)
{
    struct ce_plan plan = {
        .table = table,
        .profile = profile,
        .steps = calloc(count + 1, sizeof *plan.steps),
        .step_count = count,
        .end = UINT64_MAX,
        .head_own = true,
        .tail_own = true,
    };
    int r = plan.steps ? plan_steps(&plan, name, mutations, err) : ce_fail_memory(err);
    if (r < 0)
        ce_plan_done(&plan);
    else
        *ret_plan = plan;
    return r;
}

void ce_plan_done(struct ce_plan *plan)
{
    for (size_t i = 0; plan->steps && i < plan->step_count; i++) {
        ce_selection_free(plan->steps[i].selection);
        ce_selection_free(plan->steps[i].places);
        free(plan->steps[i].offered);
    }
    free(plan->steps);
    free(plan->units);
    free(plan->layout);
    free(plan->added);
    *plan = (struct ce_plan){0};
}

void ce_plan_shard(struct ce_plan *plan, unsigned shard, unsigned shard_count)
{
    unsigned __int128 rows = plan->profile->rows;
    plan->first = (uint64_t)(rows * (shard - 1) / shard_count);
    plan->end = (uint64_t)(rows * shard / shard_count);
    plan->head_own = shard == 1;
    plan->tail_own = shard == shard_count;
}
