/* SPDX-License-Identifier: MIT */
#include "faults/data/live.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "data/text/json_cell.h"
#include "proxy/tensor.h"

/* The fault at one intensity. The proxy's thread may still be using those of earlier intensities,
 * so they stay until it does so no more. */
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
    recipe->dose = (struct ce_dose){injection->seed, intensity, injection->target->label};
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

/* Which of the recipe's columns has that name, or -1. */
static int recipe_find(const struct ce_live_recipe *recipe, struct ce_slice name)
{
    for (size_t i = 0; i < ce_selection_count(recipe->selection); i++) {
        const char *column = recipe_column(recipe, i)->name;
        if (strlen(column) == name.size && memcmp(column, name.data, name.size) == 0)
            return (int)i;
    }
    return -1;
}

/* ---- requests ---- */

static uint64_t live_row(const char *id, size_t index)
{
    return ce_hash_name(id, strlen(id)) + index * UINT64_C(0x9E3779B97F4A7C15);
}

/* Rewrites one value that is hit. NULL, or why it stays as it is. */
static const char *rewrite(const struct ce_live_recipe *recipe, size_t i, uint64_t row,
                           struct ce_slice text, struct ce_edit *edit)
{
    CE_CLEANUP(ce_json_value_done) struct ce_json_value_row value;
    struct ce_cell cell;
    const char *made;
    size_t size;
    ce_json_value_init(&value, recipe_column(recipe, i), row, text.data, text.size);
    ce_row_cell(&value.text.row, 0, &cell);
    cell.draws = ce_selection_draws(recipe->selection, i);
    const char *why = recipe->mutation.rewrite(recipe->mutation.ctx, &cell);
    if (why)
        return why;
    if (!ce_json_value_made(&value, &made, &size) || !made)
        return "no change";
    if (size >= sizeof edit->text)
        return "too long";
    memcpy(edit->text, made, size);
    edit->text[size] = '\0';
    edit->span = text;
    return NULL;
}

/* Returns whether `edit` is one to be made. */
static bool edit_value(struct ce_live *live, const char *id, const struct ce_tensor_value *value,
                       bool counted, struct ce_edit *edit)
{
    const struct ce_live_recipe *recipe = live->recipe;
    int column = recipe_find(recipe, value->tensor);
    if (column < 0)
        return false;
    live->traffic.eligible += counted;
    uint64_t row = live_row(id, value->index);
    if (!recipe_hits(recipe, (size_t)column, row))
        return false;
    live->traffic.selected += counted;
    const char *why = rewrite(recipe, (size_t)column, row, value->text, edit);
    if (why && counted)
        ce_traffic_skip(&live->traffic, why);
    return !why;
}

static void on_request(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    struct ce_live *live = ctx;
    struct ce_tensor_values found = {0};
    bool counted = ce_traffic_counted(exchange);
    /* What holds no readable inputs holds no cell. */
    if (!ce_traffic_is_prediction(exchange) || exchange->body_encoded ||
        ce_tensor_find(exchange->body, exchange->body_size, "inputs", &found, NULL) < 0)
        return;
    ce_autofree struct ce_edit *edits = calloc(found.count + 1, sizeof *edits);
    size_t count = 0;
    for (size_t i = 0; edits && i < found.count; i++)
        count += edit_value(live, exchange->id, &found.values[i], counted, &edits[count]);
    if (count > 0)
        action->body =
            ce_tensor_apply(exchange->body, exchange->body_size, edits, count, &action->body_size);
    if (action->body && counted)
        live->traffic.changed += count;
    ce_tensor_values_done(&found);
}

/* Whether a request of that id, with one value for each column, has any that is hit. */
static bool hits_now(const void *ctx, const char *id)
{
    const struct ce_live *live = ctx;
    const struct ce_live_recipe *recipe = live->recipe;
    for (size_t i = 0; i < ce_selection_count(recipe->selection); i++)
        if (recipe_hits(recipe, i, live_row(id, 0)))
            return true;
    return false;
}

static bool is_probe(const void *ctx, const char *id)
{
    const struct ce_live *live = ctx;
    return strcmp(id, live->probe) == 0;
}

/* ---- the callbacks ---- */

int ce_live_inject(struct ce_live *live, struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_hook hook = {.wants = CE_HOOK_REQUEST_BODY, .on_request = on_request};
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
    CE_TRY(ce_traffic_arm(&live->traffic, target->request_route, &hook, live, err));
    if (recipe->mutation.scope.rate > 0 &&
        ce_probe_pick(hits_now, live, true, 0, live->probe, err) < 0)
        return -ENOENT;
    return 0;
}

/* Whether it pays to look for a request of which no value is hit. */
static bool some_are_spared(const struct ce_live *live)
{
    const struct ce_live_recipe *recipe = live->recipe;
    double share = 1;
    for (size_t n = ce_selection_count(recipe->selection); n > 0; n--)
        share *= 1 - recipe->mutation.scope.rate;
    return share > 1e-3;
}

/* A request that is hit need not get another answer: the model may not mind, and a good pipeline
 * repairs what it can. So several are looked at. */
int ce_live_verify(const struct ce_live *live, const struct ce_target *target,
                   struct ce_evidence *evidence, struct ce_error *err)
{
    enum { TRIES = 16, ENOUGH = 3 };
    int looked = 0, changed = 0;
    for (int64_t next = 0; looked < TRIES && changed < ENOUGH; looked++) {
        char id[CE_PROBE_ID_SIZE];
        struct ce_witness witness;
        next = ce_probe_pick(hits_now, live, true, next, id, err);
        if (next < 0)
            return (int)next;
        CE_TRY(ce_witness_ask(target, target->request_route, id, (uint64_t)looked, 2 * CE_SECOND,
                              &witness, err));
        changed += !ce_witness_same(&witness);
        ce_witness_done(&witness);
    }
    snprintf(evidence->text, sizeof evidence->text,
             "%d of %d probes whose values the recipe changes were answered differently through "
             "the proxy than directly",
             changed, looked);
    if (changed == 0 || !some_are_spared(live))
        return changed > 0;
    return ce_traffic_verify_spared(target, target->request_route, hits_now, live, CE_SECOND,
                                    evidence, err);
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

int ce_live_verify_undo(const struct ce_live *live, const struct ce_target *target,
                        struct ce_error *err)
{
    return ce_traffic_verify_undo(target, target->request_route, live->probe[0] ? is_probe : NULL,
                                  live, CE_SECOND, err);
}
