/* SPDX-License-Identifier: MIT */
#include "faults/data/live.h"

#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "data/text/json_cell.h"
#include "data/text/json_string.h"

/* The fault at one intensity. The proxy's threads may still be using those of earlier intensities,
 * so they stay until they do so no more. */
struct ce_live_recipe {
    struct ce_dose dose; /* the mutation borrows from it */
    struct ce_mutation mutation;
    struct ce_selection *selection;
    const struct ce_profile *profile;
    struct ce_live_recipe *earlier;
};

/* ---- recipes ---- */

static void recipe_free(struct ce_live_recipe *recipe)
{
    ce_selection_free(recipe->selection);
    ce_mutation_done(&recipe->mutation);
    free(recipe);
}
CE_DEFINE_CLEANUP(struct ce_live_recipe, recipe_free);

static int recipe_make(const struct ce_injection *injection, double intensity,
                       struct ce_live_recipe **ret_recipe, struct ce_error *err)
{
    CE_CLEANUP(recipe_free_p) struct ce_live_recipe *recipe = calloc(1, sizeof *recipe);
    if (!recipe)
        return ce_fail_memory(err);
    /* Two rules with the same fault draw independently. */
    const char *rule = injection->rule ? injection->rule : "";
    uint64_t seed = injection->seed + (*rule ? ce_hash_name(rule, strlen(rule)) : 0);
    recipe->dose = (struct ce_dose){seed, intensity, injection->target->label, NULL};
    CE_TRY(injection->fault->mutate(injection->params, &recipe->dose, &recipe->mutation, err));
    *ret_recipe = ce_take(recipe);
    return 0;
}

/* Makes it ready for the values of that profile's columns. */
static int recipe_bind(struct ce_live_recipe *recipe, const struct ce_profile *profile,
                       const char *dataset, struct ce_error *err)
{
    struct ce_mutation *mutation = &recipe->mutation;
    ce_autofree const char **names = calloc(profile->column_count + 1, sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    for (size_t i = 0; i < profile->column_count; i++)
        names[i] = profile->columns[i].name;
    if (mutation->prepare)
        CE_TRY(mutation->prepare(mutation->ctx, profile, err));
    recipe->profile = profile;
    return ce_selection_new(mutation, profile, names, dataset, &recipe->selection, err);
}

static const struct ce_column_profile *recipe_column(const struct ce_live_recipe *recipe, size_t i)
{
    return &recipe->profile->columns[ce_selection_column(recipe->selection, i)];
}

static bool recipe_hits(const struct ce_live_recipe *recipe, size_t i, uint64_t row)
{
    return ce_unit_selected(recipe->mutation.seed, recipe->mutation.fault,
                            recipe_column(recipe, i)->name, row, recipe->mutation.scope.rate);
}

/* The profile's column with that name, or its count. */
static size_t column_named(const struct ce_profile *profile, struct ce_slice name)
{
    size_t i = 0;
    while (i < profile->column_count && !ce_slice_is(name, profile->columns[i].name))
        i++;
    return i;
}

/* The profile's `n`-th column that is not the label, or its count. */
static size_t feature_at(const struct ce_profile *profile, const char *label, size_t n)
{
    size_t i = 0;
    for (; i < profile->column_count; i++)
        if (!(label && strcmp(profile->columns[i].name, label) == 0) && n-- == 0)
            break;
    return i;
}

/* Where a value stands in the table that requests are rows of. */
struct place {
    size_t column; /* of the profile; its count: in none */
    size_t row;    /* of the batch */
};

/* A tensor is called like its column; one that holds all features at once has them in the order of
 * the dataset. */
static struct place place_of(const struct ce_live_recipe *recipe, const struct ce_value *value)
{
    const struct ce_profile *profile = recipe->profile;
    size_t width = value->width > 0 ? value->width : 1;
    struct place place = {column_named(profile, value->tensor), value->index};
    if (place.column < profile->column_count)
        return place;
    if (feature_at(profile, recipe->dose.label, width - 1) < profile->column_count &&
        feature_at(profile, recipe->dose.label, width) == profile->column_count)
        place.column = feature_at(profile, recipe->dose.label, value->index % width);
    place.row = value->index / width;
    return place;
}

/* Which of the recipe's columns that is, or -1. */
static int recipe_find(const struct ce_live_recipe *recipe, size_t column)
{
    for (size_t i = 0; i < ce_selection_count(recipe->selection); i++)
        if (ce_selection_column(recipe->selection, i) == column)
            return (int)i;
    return -1;
}

/* ---- requests ---- */

static uint64_t live_row(const char *id, size_t index)
{
    return ce_hash_name(id, strlen(id)) + index * UINT64_C(0x9E3779B97F4A7C15);
}

/* The value in JSON, whatever its form: that is what cells of live requests are written in. */
static bool spell(const struct ce_value *value, struct ce_buffer *out)
{
    double number;
    char text[40];
    if (value->form == CE_VALUE_JSON)
        return ce_buffer_put(out, value->text.data, value->text.size);
    if (!ce_value_number(value, &number))
        return ce_json_put_string(value->text.data, value->text.size, false, out);
    if (ce_slice_is(value->type, "BOOL"))
        snprintf(text, sizeof text, "%s", number != 0 ? "true" : "false");
    else
        snprintf(text, sizeof text, isfinite(number) ? "%.17g" : "null", number);
    return ce_buffer_put(out, text, strlen(text));
}

/* The other way round. */
static int unspell(const struct ce_value *value, const char *made, size_t size,
                   struct ce_edit *edit)
{
    char text[sizeof edit->text];
    double number;
    if (size >= sizeof text)
        return -ENOBUFS;
    if (value->form == CE_VALUE_JSON) {
        memcpy(edit->text, made, size);
        edit->size = size;
        return 0;
    }
    if (made[0] == '"') {
        text[ce_json_decode(made + 1, size - 2, true, text)] = '\0';
        return ce_edit_text(edit, value, text);
    }
    memcpy(text, made, size);
    text[size] = '\0';
    if (strcmp(text, "null") == 0)
        return ce_edit_number(edit, value, NAN, -1);
    if (ce_text_number(text, &number) < 0)
        return ce_edit_text(edit, value, text);
    return ce_edit_number(edit, value, number, -1);
}

/* Rewrites one value that is hit. NULL, or why it stays as it is. */
static const char *rewrite(const struct ce_live_recipe *recipe, size_t i, uint64_t row,
                           const struct ce_value *value, struct ce_edit *edit)
{
    CE_CLEANUP(ce_buffer_done) struct ce_buffer spelled = {0};
    CE_CLEANUP(ce_json_value_done) struct ce_json_value_row cell_row = {0};
    struct ce_cell cell;
    const char *made;
    size_t size;
    if (!spell(value, &spelled))
        return "no room for it";
    ce_json_value_init(&cell_row, recipe_column(recipe, i), row, spelled.data, spelled.size);
    ce_row_cell(&cell_row.text.row, 0, &cell);
    cell.draws = ce_selection_draws(recipe->selection, i);
    const char *why = recipe->mutation.rewrite(recipe->mutation.ctx, &cell);
    if (why)
        return why;
    if (!ce_json_value_made(&cell_row, &made, &size) || !made)
        return "no change";
    int r = unspell(value, made, size, edit);
    return r == 0 ? NULL : r == -ENOBUFS ? "too long" : "no room for it";
}

/* Returns whether `edit` is one to be made. */
static bool edit_value(struct ce_live *live, const struct ce_visit *visit,
                       const struct ce_value *value, struct ce_edit *edit)
{
    const struct ce_live_recipe *recipe = live->recipe;
    struct place place = place_of(recipe, value);
    int column = recipe_find(recipe, place.column);
    if (column < 0)
        return false;
    live->traffic.eligible += visit->counted;
    uint64_t row = live_row(visit->exchange->id, place.row);
    if (!recipe_hits(recipe, (size_t)column, row))
        return false;
    live->traffic.selected += visit->counted;
    const char *why = rewrite(recipe, (size_t)column, row, value, edit);
    if (why)
        ce_visit_skip(visit, why);
    return !why;
}

static void edit_request(struct ce_live *live, const struct ce_visit *visit,
                         const struct ce_message *message, const struct ce_values *found,
                         struct ce_action *action)
{
    ce_autofree struct ce_edit *edits = calloc(found->count + 1, sizeof *edits);
    struct ce_remade remade = {0};
    size_t count = 0;
    for (size_t i = 0; edits && i < found->count; i++) {
        edits[count].value = i;
        count += edit_value(live, visit, &found->values[i], &edits[count]);
    }
    if (count == 0 || ce_values_apply(message, found, edits, count, &remade, NULL) < 0)
        return;
    ce_visit_replace(visit, action, &remade);
    ce_visit_did(visit, action, count, "changed %zu values", count);
}

static void on_request(void *ctx, const struct ce_visit *visit, struct ce_action *action)
{
    struct ce_message message = ce_visit_message(visit);
    struct ce_values found = {0};
    if (visit->exchange->body_encoded)
        ce_visit_skip(visit, "encoded");
    else if (ce_message_inputs(&message, &found, NULL) < 0)
        ce_visit_skip(visit, "unreadable");
    else
        edit_request(ctx, visit, &message, &found, action);
    ce_values_done(&found);
}

/* Whether a request of that id, with one value for each column, has any that is hit. */
static bool hits_now(const void *ctx, const char *id)
{
    const struct ce_live *live = ctx;
    const struct ce_live_recipe *recipe = live->recipe;
    bool hits = false;
    for (size_t i = 0; i < ce_selection_count(recipe->selection) && !hits; i++)
        hits = recipe_hits(recipe, i, live_row(id, 0));
    return hits && ce_traffic_shares(&live->traffic, id);
}

static bool is_probe(const void *ctx, const char *id)
{
    const struct ce_live *live = ctx;
    return strcmp(id, live->probe) == 0;
}

/* ---- the callbacks ---- */

int ce_live_inject(struct ce_live *live, struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_traffic_hook hook = {.wants = CE_HOOK_REQUEST_BODY,
                                                .scope = CE_TRAFFIC_PREDICTIONS,
                                                .on_requests = true,
                                                .on_request = on_request};
    const struct ce_target *target = injection->target;
    struct ce_live_recipe *recipe = NULL;
    CE_TRY(recipe_make(injection, 1, &recipe, err));
    live->recipe = recipe;
    CE_TRY(ce_profile_read(target->dataset, recipe->mutation.needs, 0, &live->profile, err));
    CE_TRY(recipe_bind(recipe, &live->profile, target->dataset, err));
    if (recipe->mutation.scope.rate > 0 && ce_selection_count(recipe->selection) == 0)
        return ce_fail(err, ENODATA,
                       "expected 0.0 hits in 0 cells, found none: '%s' has no column that %s takes",
                       target->dataset, injection->fault->name);
    CE_TRY(ce_traffic_arm(&live->traffic, injection, NULL, &hook, live, err));
    int64_t next = 0;
    if (recipe->mutation.scope.rate > 0)
        next = ce_probe_pick(hits_now, live, true, 0, live->probe, err);
    return next < 0 ? (int)next : 0;
}

/* A request that is hit need not get another answer: the model may not mind, and a good pipeline
 * repairs what it can. */
int ce_live_verify(const struct ce_live *live, struct ce_evidence *evidence, struct ce_error *err)
{
    return ce_traffic_verify_changed(&live->traffic, hits_now, live,
                                     "whose values the recipe changes", evidence, err);
}

int ce_live_adjust(struct ce_live *live, struct ce_injection *injection, double intensity,
                   struct ce_error *err)
{
    CE_CLEANUP(recipe_free_p) struct ce_live_recipe *recipe = NULL;
    CE_TRY(recipe_make(injection, intensity, &recipe, err));
    CE_TRY(recipe_bind(recipe, &live->profile, injection->target->dataset, err));
    recipe->earlier = live->recipe;
    live->recipe = ce_take(recipe);
    return 0;
}

void ce_live_revert(struct ce_live *live)
{
    ce_traffic_disarm(&live->traffic);
    for (struct ce_live_recipe *recipe = live->recipe, *earlier; recipe; recipe = earlier) {
        earlier = recipe->earlier;
        recipe_free(recipe);
    }
    live->recipe = NULL;
    ce_profile_done(&live->profile);
}

int ce_live_verify_undo(const struct ce_live *live, struct ce_error *err)
{
    return ce_traffic_verify_undo(&live->traffic, live->probe[0] ? is_probe : NULL, live, CE_SECOND,
                                  err);
}
