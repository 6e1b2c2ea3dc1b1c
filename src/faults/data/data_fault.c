/* SPDX-License-Identifier: MIT */
#include "faults/data/data_fault.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "journal/undo_files.h"
#include "proxy/tensor.h"

const struct ce_choice ce_stages[] = {
    {"train", CE_STAGE_TRAIN, "in the dataset, before the pipeline trains on it again"},
    {"serve", CE_STAGE_SERVE, "in live requests, before the pipeline sees them"},
    {NULL, 0, NULL},
};

unsigned ce_data_fault_needs(int stage)
{
    /* Serving needs the dataset for its columns' statistics. */
    return stage == CE_STAGE_TRAIN ? CE_NEEDS_DATASET : CE_NEEDS_DATASET | CE_NEEDS_REQUEST_ROUTE;
}

/* ---- which columns ---- */

/* Whether a column that nobody named takes part. */
static bool takes_column(void *ctx, const struct ce_column_profile *column)
{
    const struct ce_data_fault *state = ctx;
    bool is_label = state->label && strcmp(column->name, state->label) == 0;
    return !is_label && state->recipe.takes_column(column);
}

static bool is_chosen(const struct ce_data_fault *state, const struct ce_column_profile *column)
{
    const struct ce_names *named = state->recipe.columns;
    for (size_t i = 0; i < named->count; i++)
        if (strcmp(named->names[i], column->name) == 0)
            return true;
    return named->count == 0 && takes_column((void *)state, column);
}

/* ---- train: the dataset ---- */

/* Gives `path` the dataset's mode, its owner as far as this user may, and its name. */
static int replace_dataset(const char *path, const char *dataset, struct ce_error *err)
{
    /* Through links: a link must stay one. */
    ce_autofree char *real = realpath(dataset, NULL);
    ce_autofree char *parent = real ? strdup(real) : NULL;
    struct stat st;
    if (!parent || stat(real, &st) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", dataset, strerror(errno));
    (void)!chown(path, st.st_uid, st.st_gid);
    if (chmod(path, st.st_mode & 07777) < 0 || rename(path, real) < 0)
        return ce_fail(err, errno, "cannot replace '%s': %s", dataset, strerror(errno));
    return ce_folder_sync(dirname(parent), err);
}

/* Makes the pipeline take in what the dataset is now. That it cannot train on damaged data is its
 * own failure, which the run is there to see, and none of the fault's. */
static void let_pipeline_train(struct ce_data_fault *state, const struct ce_target *target)
{
    state->reload_error = (struct ce_error){0};
    state->reload_error.code = -target->reload(target->pipeline, &state->reload_error);
}

/* Writes a copy of the before-image with the fault at that rate. Rates are nested: a lower one
 * takes part of the changes back and makes no new ones. */
static int write_changed(struct ce_injection *injection, double rate, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    struct ce_cell_fault fault = {
        .name = injection->fault->name,
        .input = injection->target->dataset,
        .rate = rate,
        .seed = injection->seed,
        .columns = *state->recipe.columns,
        .ctx = state,
        .takes_column = takes_column,
        .rewrite = state->recipe.rewrite,
    };
    ce_seam_step("data: write changed copy");
    return ce_data_inject(state->image, state->changed, state->key, &fault, &state->result, err);
}

static int put_in_place(struct ce_injection *injection, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    const struct ce_target *target = injection->target;
    state->reload_due = true;
    ce_seam_step("data: replace dataset");
    if (!ce_seam_no_effect())
        CE_TRY(replace_dataset(state->changed, target->dataset, err));
    ce_seam_step("data: dataset replaced");
    let_pipeline_train(state, target);
    ce_seam_step("data: pipeline reloaded");
    return 0;
}

static int check_hits(const struct ce_data_fault *state, struct ce_error *err)
{
    const struct ce_fault_counts *counts = &state->result.counts;
    double expected = state->recipe.rate * (double)counts->eligible;
    if (state->recipe.rate == 0 || counts->changed > 0)
        return 0;
    if (counts->selected == 0)
        return ce_fail(err, ENODATA, "expected %.1f hits in %" PRIu64 " cells, found none",
                       expected, counts->eligible);
    return ce_fail(err, ENODATA,
                   "expected %.1f hits in %" PRIu64 " cells, found %" PRIu64
                   " and skipped them all (%s)",
                   expected, counts->eligible, counts->selected, counts->skipped[0].reason);
}

static int train_inject(struct ce_injection *injection, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    const struct ce_target *target = injection->target;
    state->changed = ce_format("%s/%s.csv", target->run_folder, injection->fault->name);
    state->key = ce_format("%s/%s.key", target->run_folder, injection->fault->name);
    if (!state->changed || !state->key)
        return ce_fail_memory(err);
    state->note = ce_undo_note_file(injection->journal, target->dataset, &state->image, err);
    CE_TRY(state->note);
    CE_TRY(ce_sha256_file(state->image, state->original, err));
    CE_TRY(write_changed(injection, state->recipe.rate, err));
    CE_TRY(check_hits(state, err));
    return put_in_place(injection, err);
}

static int train_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    const struct ce_data_fault *state = injection->state;
    CE_TRY(write_changed(injection, state->recipe.rate * intensity, err));
    return put_in_place(injection, err);
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Compares the dataset with its before-image, and asks the pipeline what it was trained on. */
static int train_verify(const struct ce_data_fault *state, const struct ce_target *target,
                        struct ce_evidence *evidence, struct ce_error *err)
{
    const struct ce_inject_result *result = &state->result;
    struct ce_diff diff;
    char now[CE_SHA256_HEX], trained_on[CE_SHA256_HEX] = "";
    CE_TRY(ce_data_diff(state->image, target->dataset, &diff, err));
    CE_TRY(ce_sha256_file(target->dataset, now, err));
    int n = snprintf(evidence->text, sizeof evidence->text,
                     "%" PRIu64 " of %" PRIu64 " cells of %zu column%s differ in %.60s",
                     diff.cells_changed, result->counts.eligible, result->hit_columns,
                     result->hit_columns == 1 ? "" : "s", name_of(target->dataset));
    char *rest = evidence->text + n;
    size_t room = sizeof evidence->text - (size_t)n;
    if (diff.cells_changed == 0 || diff.cells_changed != result->counts.changed ||
        diff.rows_a != diff.rows_b) {
        snprintf(rest, room, "; %" PRIu64 " were to be changed", result->counts.changed);
        return 0;
    }
    if (state->reload_error.code != 0) {
        snprintf(rest, room, "; the pipeline could not train on that file: %.180s",
                 state->reload_error.message);
        return 1;
    }
    if (target->trained_on)
        CE_TRY(target->trained_on(target->pipeline, trained_on, err));
    bool same = strcmp(trained_on, now) == 0;
    if (target->trained_on)
        snprintf(rest, room, "; the model in service was trained on %s",
                 same ? "that file" : "another one");
    return same || !target->trained_on;
}

/* Whether the dataset is what it was before the fault. */
static bool is_original(const struct ce_data_fault *state, const struct ce_target *target)
{
    char now[CE_SHA256_HEX];
    return ce_sha256_file(target->dataset, now, NULL) == 0 && strcmp(now, state->original) == 0;
}

/* Takes the changes back by the answer key. */
static int restore_by_key(const struct ce_data_fault *state, const struct ce_target *target,
                          struct ce_error *err)
{
    ce_autofree char *back = ce_format("%s.back", state->changed);
    if (!back)
        return ce_fail_memory(err);
    char hash[CE_SHA256_HEX] = "";
    int r = ce_data_revert(target->dataset, state->key, back, err);
    if (r == 0)
        r = ce_sha256_file(back, hash, err);
    if (r == 0 && strcmp(hash, state->original) != 0)
        r = ce_fail(err, EBADMSG, "'%s' does not give the dataset back as it was", state->key);
    ce_seam_step("data: restore dataset");
    if (r == 0)
        r = replace_dataset(back, target->dataset, err);
    ce_seam_step("data: dataset restored");
    if (r < 0)
        (void)unlink(back);
    return r;
}

static int train_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    const struct ce_target *target = injection->target;
    if (state->note > 0) {
        /* Whatever is wrong with key or file, the before-image still is right. */
        bool back = is_original(state, target) || restore_by_key(state, target, NULL) == 0;
        CE_TRY(back ? ce_undo_settled(injection->journal, state->note, err)
                    : ce_undo_now(injection->journal, state->note, err));
        state->note = 0;
    }
    free(ce_take(state->image));
    free(ce_take(state->changed));
    free(ce_take(state->key));
    if (state->reload_due) {
        CE_TRY(target->reload(target->pipeline, err));
        ce_seam_step("data: pipeline reloaded");
        state->reload_due = false;
    }
    return 0;
}

static int train_verify_undo(const struct ce_data_fault *state, const struct ce_target *target,
                             struct ce_error *err)
{
    char now[CE_SHA256_HEX], trained_on[CE_SHA256_HEX];
    if (state->original[0] == '\0')
        return 0; /* it never came to a change */
    CE_TRY(ce_sha256_file(target->dataset, now, err));
    if (strcmp(now, state->original) != 0)
        return ce_fail(err, EIO, "'%s' is not what it was before the fault", target->dataset);
    if (!target->trained_on)
        return 0;
    CE_TRY(target->trained_on(target->pipeline, trained_on, err));
    if (strcmp(trained_on, state->original) != 0)
        return ce_fail(err, EIO, "the model in service was not trained on '%s' as it is again",
                       target->dataset);
    return 0;
}

/* ---- serve: live requests ---- */

/* A request's cells have its id for a row; a batch's rows are spread over the same space. */
static uint64_t live_row(const char *id, size_t index)
{
    return ce_hash_name(id, strlen(id)) + index * UINT64_C(0x9E3779B97F4A7C15);
}

static double rate_now(const struct ce_data_fault *state)
{
    return state->recipe.rate * state->traffic.intensity;
}

static const struct ce_column_profile *column_of(const struct ce_data_fault *state,
                                                 struct ce_slice name)
{
    for (size_t i = 0; i < state->profile.column_count; i++) {
        const struct ce_column_profile *column = &state->profile.columns[i];
        if (strlen(column->name) == name.size && memcmp(column->name, name.data, name.size) == 0)
            return column;
    }
    return NULL;
}

/* Rewrites one value if it is hit. Returns whether `edit` is one to be made. */
static bool edit_value(struct ce_data_fault *state, const char *id,
                       const struct ce_tensor_value *value, bool counted, struct ce_edit *edit)
{
    struct ce_live_cell cell = {.column = column_of(state, value->tensor), .text = value->text};
    if (!cell.column || !is_chosen(state, cell.column))
        return false;
    state->traffic.eligible += counted;
    uint64_t row = live_row(id, value->index);
    if (!ce_cell_selected(state->seed, state->fault, cell.column->name, row, rate_now(state)))
        return false;
    state->traffic.selected += counted;
    ce_cell_random(state->seed, state->fault, cell.column->name, row, cell.random);
    bool missing = value->text.size == 4 && memcmp(value->text.data, "null", 4) == 0;
    const char *reason =
        missing ? "missing" : state->recipe.rewrite_live(&cell, edit->text, sizeof edit->text);
    if (reason && counted)
        ce_traffic_skip(&state->traffic, reason);
    edit->span = value->text;
    return !reason;
}

static void serve_on_request(void *ctx, const struct ce_exchange *exchange,
                             struct ce_action *action)
{
    struct ce_data_fault *state = ctx;
    struct ce_tensor_values found = {0};
    bool counted = ce_traffic_counted(exchange);
    /* What holds no readable inputs holds no cell. */
    if (!ce_traffic_is_prediction(exchange) || exchange->body_encoded ||
        ce_tensor_find(exchange->body, exchange->body_size, "inputs", &found, NULL) < 0)
        return;
    ce_autofree struct ce_edit *edits = calloc(found.count + 1, sizeof *edits);
    size_t count = 0;
    for (size_t i = 0; edits && i < found.count; i++)
        count += edit_value(state, exchange->id, &found.values[i], counted, &edits[count]);
    if (count > 0)
        action->body =
            ce_tensor_apply(exchange->body, exchange->body_size, edits, count, &action->body_size);
    if (action->body && counted)
        state->traffic.changed += count;
    ce_tensor_values_done(&found);
}

/* Whether a request of that id, with one value for each chosen column, has any that is hit at that
 * rate. */
static bool hits_at(const struct ce_data_fault *state, const char *id, double rate)
{
    for (size_t i = 0; i < state->profile.column_count; i++) {
        const struct ce_column_profile *column = &state->profile.columns[i];
        if (is_chosen(state, column) &&
            ce_cell_selected(state->seed, state->fault, column->name, live_row(id, 0), rate))
            return true;
    }
    return false;
}

static bool hits_now(const void *ctx, const char *id)
{
    return hits_at(ctx, id, rate_now(ctx));
}

static bool is_probe(const void *ctx, const char *id)
{
    const struct ce_data_fault *state = ctx;
    return strcmp(id, state->probe) == 0;
}

static size_t chosen_count(const struct ce_data_fault *state)
{
    size_t count = 0;
    for (size_t i = 0; i < state->profile.column_count; i++)
        count += is_chosen(state, &state->profile.columns[i]);
    return count;
}

static int serve_inject(struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_hook hook = {.wants = CE_HOOK_REQUEST_BODY,
                                        .on_request = serve_on_request};
    struct ce_data_fault *state = injection->state;
    const struct ce_target *target = injection->target;
    CE_TRY(ce_profile_file(target->dataset, &state->profile, err));
    CE_TRY(ce_profile_require(&state->profile, target->dataset, state->recipe.columns, err));
    if (state->recipe.rate > 0 && chosen_count(state) == 0)
        return ce_fail(err, ENODATA,
                       "expected 0.0 hits in 0 cells, found none: '%s' has no column that %s takes",
                       target->dataset, state->fault);
    CE_TRY(ce_traffic_arm(&state->traffic, target->request_route, &hook, state, err));
    if (state->recipe.rate > 0 && ce_probe_pick(hits_now, state, true, 0, state->probe, err) < 0)
        return -ENOENT;
    return 0;
}

/* Whether it pays to look for a request of which no value is hit. */
static bool some_are_spared(const struct ce_data_fault *state)
{
    double share = 1;
    for (size_t n = chosen_count(state); n > 0; n--)
        share *= 1 - rate_now(state);
    return share > 1e-3;
}

/* A request that is hit need not get another answer: the model may not mind, and a good pipeline
 * repairs what it can. So several are looked at. */
static int serve_verify(const struct ce_data_fault *state, const struct ce_target *target,
                        struct ce_evidence *evidence, struct ce_error *err)
{
    enum { TRIES = 16, ENOUGH = 3 };
    int looked = 0, changed = 0;
    for (int64_t next = 0; looked < TRIES && changed < ENOUGH; looked++) {
        char id[CE_PROBE_ID_SIZE];
        struct ce_witness witness;
        next = ce_probe_pick(hits_now, state, true, next, id, err);
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
    if (changed == 0 || !some_are_spared(state))
        return changed > 0;
    return ce_traffic_verify_spared(target, target->request_route, hits_now, state, CE_SECOND,
                                    evidence, err);
}

/* ---- both ---- */

int ce_data_fault_inject(struct ce_injection *injection, const struct ce_data_recipe *recipe,
                         struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    state->recipe = *recipe;
    state->label = injection->target->label;
    state->seed = injection->seed;
    state->fault = injection->fault->name;
    return recipe->stage == CE_STAGE_TRAIN ? train_inject(injection, err)
                                           : serve_inject(injection, err);
}

int ce_data_fault_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                         struct ce_error *err)
{
    const struct ce_data_fault *state = injection->state;
    if (state->recipe.stage == CE_STAGE_TRAIN)
        return train_verify(state, injection->target, ret_evidence, err);
    return serve_verify(state, injection->target, ret_evidence, err);
}

int ce_data_fault_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    if (state->recipe.stage == CE_STAGE_TRAIN)
        return train_adjust(injection, intensity, err);
    state->traffic.intensity = intensity;
    return 0;
}

int ce_data_fault_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    if (state->recipe.stage == CE_STAGE_TRAIN)
        return train_revert(injection, err);
    ce_traffic_disarm(&state->traffic);
    ce_profile_done(&state->profile);
    return 0;
}

int ce_data_fault_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_data_fault *state = injection->state;
    const struct ce_target *target = injection->target;
    if (state->recipe.stage == CE_STAGE_TRAIN)
        return train_verify_undo(state, target, err);
    return ce_traffic_verify_undo(target, target->request_route, state->probe[0] ? is_probe : NULL,
                                  state, CE_SECOND, err);
}

void ce_data_fault_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct ce_data_fault *state = injection->state;
    if (state->recipe.stage == CE_STAGE_TRAIN)
        *ret_counts = state->result.counts;
    else
        ce_traffic_count(&state->traffic, ret_counts);
}
