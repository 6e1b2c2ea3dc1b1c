/* SPDX-License-Identifier: MIT */
#include "data/arrow/arrow_plan.h"

#include <stdio.h>

#include "base/file.h"
#include "data/arrow/work.h"
#include "data/columns.h"

struct naming {
    const char **inputs; /* what the input's columns are called now; NULL: gone */
    struct ce_arrow_plan *plan;
    const char *table;
};

static struct ce_stream stream_of(const struct ce_mutation *mutation, const char *use)
{
    char purpose[96];
    snprintf(purpose, sizeof purpose, "%s/%s", mutation->fault, use);
    return ce_stream_init(mutation->seed, purpose, "");
}

/* ---- layout ---- */

static int find_place(const struct naming *naming, const char *name, size_t *ret_at,
                      struct ce_error *err)
{
    const struct ce_arrow_plan *plan = naming->plan;
    ce_autofree const char **names = calloc(plan->place_count + 1, sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->place_count; i++)
        names[i] = plan->places[i].name;
    return ce_columns_find(names, plan->place_count, naming->table, name, ret_at, err);
}

static int refuse_twice(const struct naming *naming, const char *name, struct ce_error *err)
{
    for (size_t i = 0; i < naming->plan->place_count; i++)
        if (strcmp(naming->plan->places[i].name, name) == 0)
            return ce_fail(err, EINVAL, "'%s' has a column '%s' already", naming->table, name);
    return 0;
}

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

static int layout_add(const struct naming *naming, const struct ce_mutation *mutation,
                      struct ce_error *err)
{
    struct ce_arrow_plan *plan = naming->plan;
    CE_TRY(refuse_twice(naming, mutation->name, err));
    struct ce_arrow_place *place = &plan->places[plan->place_count++];
    *place = (struct ce_arrow_place){
        .input = -1,
        .added = mutation,
        .name = mutation->name,
        .draws = stream_of(mutation, "value"),
    };
    place->type = added_type(plan, mutation, &place->draws);
    return 0;
}

static int layout_remove(const struct naming *naming, size_t step, struct ce_error *err)
{
    struct ce_arrow_plan *plan = naming->plan;
    const char *column = plan->steps[step].mutation->column;
    size_t at;
    CE_TRY(find_place(naming, column, &at, err));
    if (plan->place_count == 1)
        return ce_fail(err, EINVAL, "without '%s' no column of '%s' would be left", column,
                       naming->table);
    int input = plan->places[at].input;
    if (input >= 0 && !ce_grow_takes(plan->source->table->children[input]))
        return ce_fail(err, EOPNOTSUPP,
                       "column '%s' is of type \"%s\", which could not be put back", column,
                       plan->source->table->children[input]->format);
    if (input >= 0) {
        naming->inputs[input] = NULL;
        plan->removed_by[input] = (uint8_t)(step + 1);
    }
    memmove(&plan->places[at], &plan->places[at + 1],
            (--plan->place_count - at) * sizeof *plan->places);
    return 0;
}

static int layout_rename(const struct naming *naming, const struct ce_mutation *mutation,
                         struct ce_error *err)
{
    struct ce_arrow_plan *plan = naming->plan;
    size_t at;
    CE_TRY(find_place(naming, mutation->column, &at, err));
    CE_TRY(refuse_twice(naming, mutation->name, err));
    plan->places[at].name = mutation->name;
    if (plan->places[at].input >= 0)
        naming->inputs[plan->places[at].input] = mutation->name;
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
    struct ce_arrow_plan *plan = naming->plan;
    size_t n = plan->place_count;
    struct ce_stream stream = stream_of(mutation, "order");
    ce_autofree size_t *order = calloc(n + 1, sizeof *order);
    ce_autofree struct ce_arrow_place *places = calloc(n + 1, sizeof *places);
    if (!order || !places)
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
        places[i] = plan->places[order[i]];
    memcpy(plan->places, places, n * sizeof *places);
    *ret_moved = count_moved(order, n);
    return 0;
}

/* Its units are columns. */
static int plan_layout(const struct naming *naming, size_t index, struct ce_error *err)
{
    struct ce_arrow_plan *plan = naming->plan;
    const struct ce_mutation *mutation = plan->steps[index].mutation;
    struct ce_fault_counts *counts = &plan->counts[index];
    uint64_t moved = 1;
    *counts = (struct ce_fault_counts){.eligible = plan->place_count, .selected = 1, .changed = 1};
    switch (mutation->change) {
    case CE_LAYOUT_ADD:
        counts->eligible = 1;
        return layout_add(naming, mutation, err);
    case CE_LAYOUT_REMOVE:
        return layout_remove(naming, index, err);
    case CE_LAYOUT_RENAME:
        return layout_rename(naming, mutation, err);
    case CE_LAYOUT_REORDER:
        CE_TRY(layout_reorder(naming, mutation, &moved, err));
        counts->selected = counts->changed = moved;
        return 0;
    }
    return 0;
}

/* ---- cells and rows ---- */

static void note_hit_columns(struct ce_arrow_plan *plan, size_t index)
{
    const struct ce_arrow_step *step = &plan->steps[index];
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

static int offer_columns(const struct ce_arrow_plan *plan, struct ce_arrow_step *step,
                         struct ce_error *err)
{
    const struct ce_mutation *mutation = step->mutation;
    const struct ce_profile *profile = plan->how->profile;
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
static int select_places(const struct naming *naming, struct ce_arrow_step *step,
                         struct ce_error *err)
{
    struct ce_mutation places = *step->mutation;
    ce_autofree char *fault = ce_format("%s/place", places.fault);
    if (!fault)
        return ce_fail_memory(err);
    places.fault = fault;
    places.scope = (struct ce_scope){.rate = places.scope.rate};
    return ce_selection_new(&places, naming->plan->how->profile, naming->inputs, naming->table,
                            &step->places, err);
}

static int plan_rows(const struct naming *naming, struct ce_arrow_step *step, struct ce_error *err)
{
    struct ce_arrow_plan *plan = naming->plan;
    const struct ce_mutation *mutation = step->mutation;
    plan->moves_rows = true;
    for (size_t i = 0; i < plan->source->column_count; i++)
        if (!ce_grow_takes(plan->source->table->children[i]))
            return ce_fail(err, EOPNOTSUPP,
                           "column '%s' of '%s' is of type \"%s\": rows that have it cannot be "
                           "dropped or copied",
                           ce_arrow_source_name(plan->source, i), naming->table,
                           plan->source->table->children[i]->format);
    if (mutation->fate != CE_ROW_COPY)
        return 0;
    if (mutation->rewrite)
        CE_TRY(offer_columns(plan, step, err));
    if (mutation->place == CE_PLACE_SHUFFLED)
        CE_TRY(select_places(naming, step, err));
    for (size_t i = 0; mutation->place == CE_PLACE_END && &plan->steps[i] < step; i++)
        if (plan->steps[i].placer && plan->steps[i].mutation->place == CE_PLACE_END) {
            step->placer = plan->steps[i].placer;
            step->borrows_placer = true;
            return 0;
        }
    return ce_placer_new(mutation, &step->placer, err);
}

static int plan_selection(const struct naming *naming, size_t index, struct ce_error *err)
{
    struct ce_arrow_plan *plan = naming->plan;
    struct ce_arrow_step *step = &plan->steps[index];
    CE_TRY(ce_selection_new(step->mutation, plan->how->profile, naming->inputs, naming->table,
                            &step->selection, err));
    step->count = ce_selection_count(step->selection);
    step->by_value = ce_selection_by_value(step->selection);
    step->block = UINT64_MAX;
    step->masks = calloc((step->count + 1) * CE_ARROW_MASK_WORDS, sizeof *step->masks);
    step->hits = calloc(step->count + 1, sizeof *step->hits);
    if (!step->masks || !step->hits)
        return ce_fail_memory(err);
    if (step->mutation->kind == CE_MUTATE_ROWS)
        return plan_rows(naming, step, err);
    note_hit_columns(plan, index);
    return 0;
}

const uint64_t *ce_arrow_step_masks(struct ce_arrow_step *step, uint64_t row)
{
    uint64_t block = row / CE_SELECT_BLOCK;
    if (step->block != block) {
        ce_selection_block(step->selection, block, step->masks);
        if (step->places)
            ce_selection_block(step->places, block,
                               step->masks + step->count * CE_ARROW_MASK_WORDS);
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
    size_t columns = plan->source->column_count, most = columns + plan->step_count + 1;
    struct ArrowSchema text = {.format = "u"}, number = {.format = "g"};
    CE_TRY(ce_arrow_type_new(&text, &plan->text, err));
    CE_TRY(ce_arrow_type_new(&number, &plan->number, err));
    plan->steps = calloc(plan->step_count + 1, sizeof *plan->steps);
    plan->places = calloc(most, sizeof *plan->places);
    plan->texts = calloc(columns + 1, sizeof *plan->texts);
    plan->retyped_by = calloc(columns + 1, sizeof *plan->retyped_by);
    plan->removed_by = calloc(columns + 1, sizeof *plan->removed_by);
    plan->hit = calloc(columns + 1, sizeof *plan->hit);
    if (!plan->steps || !plan->places || !plan->texts || !plan->retyped_by || !plan->removed_by ||
        !plan->hit)
        return ce_fail_memory(err);
    for (size_t i = 0; i < columns; i++)
        plan->places[plan->place_count++] = (struct ce_arrow_place){
            .input = (int)i,
            .name = ce_arrow_source_name(plan->source, i),
        };
    return 0;
}

static int plan_steps(struct ce_arrow_plan *plan, const char *table, struct ce_error *err)
{
    size_t columns = plan->source->column_count;
    ce_autofree const char **inputs = calloc(columns + 1, sizeof *inputs);
    if (!inputs)
        return ce_fail_memory(err);
    for (size_t i = 0; i < columns; i++)
        inputs[i] = ce_arrow_source_name(plan->source, i);
    struct naming naming = {.inputs = inputs, .plan = plan, .table = table};
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct ce_mutation *mutation = plan->steps[i].mutation = &plan->how->mutations[i];
        if (mutation->prepare)
            CE_TRY(mutation->prepare(mutation->ctx, plan->how->profile, err));
        CE_TRY(mutation->kind == CE_MUTATE_LAYOUT ? plan_layout(&naming, i, err)
                                                  : plan_selection(&naming, i, err));
    }
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
        ce_selection_free(plan->steps[i].selection);
        ce_selection_free(plan->steps[i].places);
        if (!plan->steps[i].borrows_placer)
            ce_placer_free(plan->steps[i].placer);
        ce_buffer_done(&plan->steps[i].copied);
        free(plan->steps[i].offered);
        free(plan->steps[i].masks);
        free(plan->steps[i].hits);
    }
    free(plan->steps);
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
