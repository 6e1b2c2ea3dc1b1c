/* SPDX-License-Identifier: MIT */
#include "data/text/plan.h"

#include <string.h>

#include "base/cleanup.h"

/* ---- what steps come to ---- */

static void note_layout(struct ce_plan *plan, size_t index, const struct ce_step *step)
{
    bool rename = step->mutation->change == CE_LAYOUT_RENAME;
    bool changed = step->layout.changed > 0;
    plan->layout_step = index;
    plan->new_head |= changed;
    /* without a header the names stand in the records */
    plan->new_records |= changed && (!rename || plan->table->header_size == 0);
}

static void note_selection(struct ce_plan *plan, const struct ce_step *step)
{
    const struct ce_mutation *mutation = step->mutation;
    plan->by_value |= step->by_value;
    if (mutation->kind != CE_MUTATE_ROWS || mutation->fate != CE_ROW_COPY)
        return;
    plan->delays |= mutation->place == CE_PLACE_LATER;
    plan->moves |= mutation->place == CE_PLACE_LATER || mutation->place == CE_PLACE_SHUFFLED;
}

static int plan_step(struct ce_plan *plan, struct ce_stepping *stepping,
                     const struct ce_mutation *mutation, struct ce_error *err)
{
    struct ce_step *step;
    bool layout = mutation->kind == CE_MUTATE_LAYOUT;
    if (layout && mutation->change == CE_LAYOUT_RENAME && plan->table->headerless)
        return ce_fail(err, EINVAL, "'%s' has no header in which '%s' could be renamed",
                       stepping->table, mutation->column);
    CE_TRY(ce_stepping_next(stepping, mutation, &step, err));
    if (layout)
        note_layout(plan, (size_t)(step - stepping->steps), step);
    else
        note_selection(plan, step);
    return 0;
}

/* ---- all of them ---- */

static void add_units(struct ce_plan *plan, size_t index, const struct ce_selection *selection,
                      bool place)
{
    for (size_t i = 0; i < ce_selection_count(selection); i++)
        plan->units[plan->unit_count++] = (struct ce_unit){
            .step = index,
            .mutation = plan->steps[index].mutation,
            .column = ce_selection_column(selection, i),
            .draws = ce_selection_draws(selection, i),
            .place = place,
        };
}

static int list_units(struct ce_plan *plan, size_t count, struct ce_error *err)
{
    plan->units = calloc(count + 1, sizeof *plan->units);
    if (!plan->units)
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].selection)
            add_units(plan, i, plan->steps[i].selection, false);
        if (plan->steps[i].places)
            add_units(plan, i, plan->steps[i].places, true);
    }
    return 0;
}

static int count_hit_columns(struct ce_plan *plan, struct ce_error *err)
{
    ce_autofree bool *hit = calloc(plan->table->column_count + 1, sizeof *hit);
    if (!hit)
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->unit_count; i++) {
        const struct ce_unit *unit = &plan->units[i];
        if (unit->mutation->kind != CE_MUTATE_CELLS || hit[unit->column])
            continue;
        hit[unit->column] = true;
        plan->hit_columns++;
    }
    return 0;
}

static int list_layout(struct ce_plan *plan, struct ce_error *err)
{
    plan->layout = calloc(plan->layout_count + 1, sizeof *plan->layout);
    if (!plan->layout)
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->layout_count; i++)
        plan->layout[i] = (struct ce_layout_cell){
            .column = plan->added[i].input,
            .name = plan->added[i].name,
        };
    return 0;
}

static int plan_steps(struct ce_plan *plan, const char *name, const struct ce_mutation *mutations,
                      size_t count, struct ce_error *err)
{
    CE_CLEANUP(ce_stepping_done) struct ce_stepping stepping = {0};
    CE_TRY(ce_stepping_begin(plan->profile, name, count, &stepping, err));
    for (size_t i = 0; i < count; i++)
        CE_TRY(plan_step(plan, &stepping, &mutations[i], err));
    plan->step_count = stepping.count;
    plan->steps = ce_take(stepping.steps);
    plan->layout_count = stepping.column_count;
    plan->added = ce_take(stepping.columns);
    CE_TRY(list_units(plan, stepping.unit_count, err));
    CE_TRY(count_hit_columns(plan, err));
    return list_layout(plan, err);
}

int ce_plan_make(const struct ce_text_table *table, const struct ce_profile *profile,
                 const char *name, const struct ce_mutation *mutations, size_t count,
                 struct ce_plan *ret_plan, struct ce_error *err)
{
    struct ce_plan plan = {
        .table = table,
        .profile = profile,
        .end = UINT64_MAX,
        .head_own = true,
        .tail_own = true,
    };
    int r = plan_steps(&plan, name, mutations, count, err);
    if (r < 0)
        ce_plan_done(&plan);
    else
        *ret_plan = plan;
    return r;
}

void ce_plan_done(struct ce_plan *plan)
{
    ce_steps_free(plan->steps, plan->step_count);
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
