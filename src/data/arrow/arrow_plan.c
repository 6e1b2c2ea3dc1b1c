/* SPDX-License-Identifier: MIT */
#include "data/arrow/arrow_plan.h"

#include "base/cleanup.h"
#include "data/arrow/work.h"

/* ---- layout ---- */

/* Text or numbers: as the first rows' cells are. */
static struct ce_arrow_type *added_type(const struct ce_arrow_plan *plan,
                                        const struct ce_mutation *mutation,
                                        const struct ce_stream *draws)
{
    enum { PROBED = 256 };
    bool any = false;
    for (uint64_t row = 0; row < PROBED; row++) {
        char text[1024];
        bool number = false;
        if (mutation->value(mutation->ctx, row, draws, text, sizeof text, &number) < 0)
            continue;
        if (!number)
            return plan->text;
        any = true;
    }
    return any ? plan->number : plan->text;
}

static int check_removed(struct ce_arrow_plan *plan, const struct ce_step *step, size_t index,
                         struct ce_error *err)
{
    if (step->removed < 0)
        return 0;
    const struct ce_arrow_type *type = plan->source->table->children[step->removed];
    if (!ce_grow_takes(type))
        return ce_fail(err, EOPNOTSUPP,
                       "column '%s' is of type \"%s\", which could not be put back",
                       step->mutation->column, type->format);
    plan->removed_by[step->removed] = (uint8_t)(index + 1);
    return 0;
}

static int list_places(struct ce_arrow_plan *plan, const struct ce_stepping *stepping,
                       struct ce_error *err)
{
    plan->places = calloc(stepping->column_count + 1, sizeof *plan->places);
    if (!plan->places)
        return ce_fail_memory(err);
    plan->place_count = stepping->column_count;
    for (size_t i = 0; i < plan->place_count; i++) {
        const struct ce_new_column *column = &stepping->columns[i];
        plan->places[i] = (struct ce_arrow_place){
            .input = column->input,
            .added = column->mutation,
            .name = column->name,
            .type = column->mutation ? added_type(plan, column->mutation, &column->draws) : NULL,
            .draws = column->draws,
        };
    }
    return 0;
}

/* ---- cells and rows ---- */

static void note_hit_columns(struct ce_arrow_plan *plan, const struct ce_step *step, size_t index)
{
    for (size_t i = 0; i < step->count; i++) {
        size_t column = ce_selection_column(step->selection, i);
        const struct ce_arrow_type *type = plan->source->table->children[column];
        plan->hit_columns += !plan->hit[column];
        plan->hit[column] = true;
        if (step->mutation->retypes && ce_arrow_is_scalar(type) && type->meaning != CE_MEANS_TEXT &&
            !plan->texts[column]) {
            plan->texts[column] = plan->text;
            plan->retyped_by[column] = (uint8_t)(index + 1);
        }
    }
}

static int check_movable(const struct ce_arrow_plan *plan, const char *table, struct ce_error *err)
{
    for (size_t i = 0; i < plan->source->column_count; i++)
        if (!ce_grow_takes(plan->source->table->children[i]))
            return ce_fail(err, EOPNOTSUPP,
                           "column '%s' of '%s' is of type \"%s\": rows that have it cannot be "
                           "dropped or copied",
                           ce_arrow_source_name(plan->source, i), table,
                           plan->source->table->children[i]->format);
    return 0;
}

static int find_placer(const struct ce_arrow_plan *plan, struct ce_arrow_step *step,
                       struct ce_error *err)
{
    const struct ce_mutation *mutation = step->made->mutation;
    for (size_t i = 0; mutation->place == CE_PLACE_END && &plan->steps[i] < step; i++)
        if (plan->steps[i].placer && plan->steps[i].made->mutation->place == CE_PLACE_END) {
            step->placer = plan->steps[i].placer;
            step->borrows_placer = true;
            return 0;
        }
    return ce_placer_new(mutation, &step->placer, err);
}

static int plan_selection(struct ce_arrow_plan *plan, const char *table, size_t index,
                          struct ce_error *err)
{
    struct ce_arrow_step *step = &plan->steps[index];
    size_t count = step->made->count;
    step->block = UINT64_MAX;
    step->masks = calloc((count + 1) * CE_ARROW_MASK_WORDS, sizeof *step->masks);
    step->hits = calloc(count + 1, sizeof *step->hits);
    if (!step->masks || !step->hits)
        return ce_fail_memory(err);
    if (step->made->mutation->kind != CE_MUTATE_ROWS) {
        note_hit_columns(plan, step->made, index);
        return 0;
    }
    plan->moves_rows = true;
    CE_TRY(check_movable(plan, table, err));
    return step->made->mutation->fate == CE_ROW_COPY ? find_placer(plan, step, err) : 0;
}

const uint64_t *ce_arrow_step_masks(struct ce_arrow_step *step, uint64_t row)
{
    uint64_t block = row / CE_SELECT_BLOCK;
    if (step->block != block) {
        ce_selection_block(step->made->selection, block, step->masks);
        if (step->made->places)
            ce_selection_block(step->made->places, block,
                               step->masks + step->made->count * CE_ARROW_MASK_WORDS);
        step->block = block;
    }
    return step->masks;
}

/* ---- the schema ---- */

static int place_field(const struct ce_arrow_plan *plan, const struct ce_arrow_place *place,
                       struct ArrowSchema *ret_field, struct ce_error *err)
{
    if (place->input < 0)
        return ce_arrow_schema_make(place->type->format, place->name, ARROW_FLAG_NULLABLE,
                                    ret_field, err);
    const struct ArrowSchema *field = plan->source->schema.children[place->input];
    if (plan->texts[place->input])
        CE_TRY(ce_arrow_schema_make(plan->text->format, place->name, ARROW_FLAG_NULLABLE, ret_field,
                                    err));
    else
        CE_TRY(ce_arrow_schema_copy(field, ret_field, err));
    if (plan->hit[place->input])
        ret_field->flags |= ARROW_FLAG_NULLABLE;
    return ce_arrow_schema_set(&ret_field->name, place->name, err);
}

static int make_schema(struct ce_arrow_plan *plan, struct ce_error *err)
{
    const struct ArrowSchema *in = &plan->source->schema;
    CE_TRY(ce_arrow_schema_make("+s", in->name, in->flags, &plan->schema, err));
    CE_TRY(ce_arrow_schema_set_metadata(&plan->schema, in->metadata, err));
    CE_TRY(ce_arrow_schema_widen(&plan->schema, plan->place_count, err));
    for (size_t i = 0; i < plan->place_count; i++) {
        struct ce_arrow_place *place = &plan->places[i];
        CE_TRY(place_field(plan, place, plan->schema.children[i], err));
        if (place->input >= 0)
            place->type = plan->texts[place->input] ? plan->text
                                                    : plan->source->table->children[place->input];
    }
    return 0;
}

/* ---- all ---- */

static int check_profile(const struct ce_arrow_plan *plan, const char *table, struct ce_error *err)
{
    const struct ce_profile *profile = plan->how->profile;
    bool same = profile->column_count == plan->source->column_count;
    for (size_t i = 0; same && i < profile->column_count; i++)
        same = strcmp(profile->columns[i].name, ce_arrow_source_name(plan->source, i)) == 0;
    return same ? 0
                : ce_fail(err, EINVAL, "the statistics are not those of '%s': its columns differ",
                          table);
}

static int start(struct ce_arrow_plan *plan, struct ce_error *err)
{
    size_t columns = plan->source->column_count;
    struct ArrowSchema text = {.format = "u"}, number = {.format = "g"};
    CE_TRY(ce_arrow_type_new(&text, &plan->text, err));
    CE_TRY(ce_arrow_type_new(&number, &plan->number, err));
    plan->steps = calloc(plan->step_count + 1, sizeof *plan->steps);
    plan->texts = calloc(columns + 1, sizeof *plan->texts);
    plan->retyped_by = calloc(columns + 1, sizeof *plan->retyped_by);
    plan->removed_by = calloc(columns + 1, sizeof *plan->removed_by);
    plan->hit = calloc(columns + 1, sizeof *plan->hit);
    return plan->steps && plan->texts && plan->retyped_by && plan->removed_by && plan->hit
               ? 0
               : ce_fail_memory(err);
}

static int plan_step(struct ce_arrow_plan *plan, struct ce_stepping *stepping, size_t index,
                     struct ce_error *err)
{
    struct ce_step *made;
    CE_TRY(ce_stepping_next(stepping, &plan->how->mutations[index], &made, err));
    plan->steps[index].made = made;
    if (made->mutation->kind != CE_MUTATE_LAYOUT)
        return plan_selection(plan, stepping->table, index, err);
    plan->counts[index] = made->layout;
    return check_removed(plan, made, index, err);
}

static int plan_steps(struct ce_arrow_plan *plan, const char *table, struct ce_error *err)
{
    CE_CLEANUP(ce_stepping_done) struct ce_stepping stepping = {0};
    CE_TRY(ce_stepping_begin(plan->how->profile, table, plan->step_count, &stepping, err));
    for (size_t i = 0; i < plan->step_count; i++)
        CE_TRY(plan_step(plan, &stepping, i, err));
    CE_TRY(list_places(plan, &stepping, err));
    plan->made = ce_take(stepping.steps);
    return make_schema(plan, err);
}

static void take_shard(struct ce_arrow_plan *plan)
{
    const struct ce_data_options *options = plan->how->options;
    plan->end = UINT64_MAX;
    plan->tail_own = true;
    if (!options || options->shard_count == 0)
        return;
    unsigned __int128 rows = plan->how->profile->rows;
    plan->first = (uint64_t)(rows * (options->shard - 1) / options->shard_count);
    plan->tail_own = options->shard == options->shard_count;
    if (!plan->tail_own)
        plan->end = (uint64_t)(rows * options->shard / options->shard_count);
}

int ce_arrow_plan_make(const struct ce_arrow_mutate *how, const struct ce_arrow_source *source,
                       struct ce_fault_counts *counts, struct ce_arrow_plan *ret_plan,
                       struct ce_error *err)
{
    const char *table = how->options && how->options->name ? how->options->name : "the table";
    struct ce_arrow_plan plan = {
        .how = how, .source = source, .counts = counts, .step_count = how->count};
    if (how->count > CE_WORK_FAULTS_MAX)
        return ce_fail(err, EINVAL, "%zu faults at once are too many; the limit is %d", how->count,
                       CE_WORK_FAULTS_MAX);
    int r = check_profile(&plan, table, err);
    if (r == 0)
        r = start(&plan, err);
    if (r == 0)
        r = plan_steps(&plan, table, err);
    take_shard(&plan);
    if (r < 0)
        ce_arrow_plan_done(&plan);
    else
        *ret_plan = plan;
    return r;
}

void ce_arrow_plan_done(struct ce_arrow_plan *plan)
{
    for (size_t i = 0; plan->steps && i < plan->step_count; i++) {
        if (!plan->steps[i].borrows_placer)
            ce_placer_free(plan->steps[i].placer);
        ce_buffer_done(&plan->steps[i].copied);
        free(plan->steps[i].masks);
        free(plan->steps[i].hits);
    }
    free(plan->steps);
    ce_steps_free(plan->made, plan->step_count);
    free(plan->places);
    free(plan->texts);
    free(plan->retyped_by);
    free(plan->removed_by);
    free(plan->hit);
    ce_arrow_type_free(plan->text);
    ce_arrow_type_free(plan->number);
    ce_arrow_schema_done(&plan->schema);
    *plan = (struct ce_arrow_plan){0};
}
