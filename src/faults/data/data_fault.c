/* SPDX-License-Identifier: MIT */
#include "faults/data/data_fault.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/seam.h"
#include "journal/undo_files.h"

unsigned ce_data_fault_needs(const void *params)
{
    const struct ce_scope_params *scope = params;
    /* Serving needs the columns for their statistics. */
    return scope->stage == CE_STAGE_TRAIN ? CE_NEEDS_DATASET
                                          : CE_NEEDS_COLUMNS | CE_NEEDS_REQUEST_ROUTE;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- changing the dataset ---- */

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

/* Writes a copy of the before-image with the fault at that intensity. Rates are nested: a lower one
 * takes part of the changes back and makes no new ones. */
static int write_changed(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    const struct ce_target *target = injection->target;
    struct ce_reach *reach = injection->reach;
    struct ce_dose dose = {injection->seed, intensity, target->label,
                           reach ? &reach->radius : NULL};
    struct ce_data_options options = {.name = target->dataset};
    CE_CLEANUP(ce_mutation_done) struct ce_mutation mutation = {0};
    CE_TRY(injection->fault->mutate(injection->params, &dose, &mutation, err));
    ce_seam_step("data: write changed copy");
    CE_TRY(ce_data_inject(state->image, state->changed, state->key, &mutation, intensity > 0,
                          &options, &state->result, err));
    state->kind = mutation.kind;
    if (reach) {
        reach->eligible = state->result.rows;
        reach->chosen = ce_radius_set(&reach->radius, "rows", state->result.rows).size;
    }
    if (intensity > 0) {
        state->rate = mutation.scope.rate;
        state->counts = state->result.counts[0];
    } else {
        state->counts = (struct ce_fault_counts){.eligible = state->counts.eligible};
    }
    free(ce_take(state->result.counts));
    return 0;
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

/* Whether there was anything to hit. */
static int check_hits(const struct ce_data_fault *state, struct ce_error *err)
{
    const struct ce_fault_counts *counts = &state->counts;
    const char *units = state->kind == CE_MUTATE_CELLS ? "cells" : "rows";
    double expected = state->rate * (double)counts->eligible;
    if (state->kind == CE_MUTATE_LAYOUT || state->rate == 0 || counts->changed > 0)
        return 0;
    if (counts->selected == 0)
        return ce_fail(err, ENODATA, "expected %.1f hits in %" PRIu64 " %s, found none", expected,
                       counts->eligible, units);
    return ce_fail(err, ENODATA,
                   "expected %.1f hits in %" PRIu64 " %s, found %" PRIu64
                   " and skipped them all (%s)",
                   expected, counts->eligible, units, counts->selected, counts->skipped[0].reason);
}

static int train_inject(struct ce_injection *injection, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    const struct ce_target *target = injection->target;
    const char *fault = injection->fault->name;
    /* The dataset's own name, whose endings say how its bytes are packed. */
    state->changed = ce_format("%s/%s-%s", target->run_folder, fault, name_of(target->dataset));
    state->key = ce_format("%s/%s.key", target->run_folder, fault);
    if (!state->changed || !state->key)
        return ce_fail_memory(err);
    state->note = ce_undo_note_file(injection->journal, target->dataset, &state->image, err);
    CE_TRY(state->note);
    CE_TRY(ce_sha256_file(state->image, state->original, err));
    CE_TRY(write_changed(injection, 1, err));
    CE_TRY(check_hits(state, err));
    return put_in_place(injection, err);
}

static int train_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    CE_TRY(write_changed(injection, intensity, err));
    return put_in_place(injection, err);
}

/* ---- seeing it ---- */

/* Adds to the evidence, as far as there is room. */
static void say(struct ce_evidence *evidence, const char *fmt, ...) CE_PRINTF(2, 3);
static void say(struct ce_evidence *evidence, const char *fmt, ...)
{
    size_t used = strlen(evidence->text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(evidence->text + used, sizeof evidence->text - used, fmt, args);
    va_end(args);
}

static void say_columns(struct ce_evidence *evidence, const struct ce_profile *profile)
{
    for (size_t i = 0; i < profile->column_count && strlen(evidence->text) < 180; i++)
        say(evidence, "%s%.24s", i > 0 ? ", " : "", profile->columns[i].name);
}

/* What a reader of both files sees: other columns, more or fewer rows. */
static int compare_shapes(const struct ce_data_fault *state, const struct ce_target *target,
                          struct ce_evidence *evidence, struct ce_error *err)
{
    const char *name = name_of(target->dataset);
    CE_CLEANUP(ce_profile_done) struct ce_profile before = {0};
    CE_CLEANUP(ce_profile_done) struct ce_profile now = {0};
    CE_TRY(ce_profile_read(state->image, 0, 0, &before, err));
    CE_TRY(ce_profile_read(target->dataset, 0, 0, &now, err));
    if (state->kind == CE_MUTATE_ROWS) {
        say(evidence, "%.60s has %" PRIu64 " rows, %" PRIu64 " before", name, now.rows,
            before.rows);
        return now.rows == state->result.rows_out && now.rows != before.rows;
    }
    bool same = before.column_count == now.column_count;
    for (size_t i = 0; same && i < now.column_count; i++)
        same = strcmp(before.columns[i].name, now.columns[i].name) == 0;
    say(evidence, "the columns of %.60s are %s: ", name,
        same ? "the same as before" : "others than before");
    say_columns(evidence, &now);
    return !same;
}

static int compare_cells(const struct ce_data_fault *state, const struct ce_target *target,
                         struct ce_evidence *evidence, struct ce_error *err)
{
    CE_CLEANUP(ce_diff_done) struct ce_diff diff = {0};
    const struct ce_data_result *result = &state->result;
    CE_TRY(ce_data_diff(state->image, target->dataset, NULL, NULL, &diff, err));
    say(evidence, "%" PRIu64 " of %" PRIu64 " cells of %zu column%s differ in %.60s",
        diff.cells_changed, state->counts.eligible, result->hit_columns,
        result->hit_columns == 1 ? "" : "s", name_of(target->dataset));
    return diff.cells_changed > 0 && diff.rows_a == diff.rows_b;
}

/* Compares the dataset with its before-image, and asks the pipeline what it was trained on. */
static int train_verify(const struct ce_data_fault *state, const struct ce_target *target,
                        struct ce_evidence *evidence, struct ce_error *err)
{
    char now[CE_SHA256_HEX], trained_on[CE_SHA256_HEX] = "";
    int differs = state->kind == CE_MUTATE_CELLS ? compare_cells(state, target, evidence, err)
                                                 : compare_shapes(state, target, evidence, err);
    CE_TRY(differs);
    CE_TRY(ce_sha256_file(target->dataset, now, err));
    if (!differs || strcmp(now, state->original) == 0) {
        say(evidence, "; %" PRIu64 " were to be changed", state->counts.changed);
        return 0;
    }
    if (state->reload_error.code != 0) {
        say(evidence, "; the pipeline could not train on that file: %.180s",
            state->reload_error.message);
        return 1;
    }
    if (!target->trained_on)
        return 1;
    CE_TRY(target->trained_on(target->pipeline, trained_on, err));
    bool same = strcmp(trained_on, now) == 0;
    say(evidence, "; %s %s",
        target->fail_trials ? "the next trial reads" : "the model in service was trained on",
        same ? "that file" : "another one");
    return same;
}

/* ---- putting it back ---- */

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
    ce_autofree char *back = ce_format("%s/back-%s", target->run_folder, name_of(target->dataset));
    if (!back)
        return ce_fail_memory(err);
    char hash[CE_SHA256_HEX] = "";
    int r = ce_data_revert_file(target->dataset, state->key, back, err);
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

/* ---- both stages ---- */

int ce_data_fault_inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_scope_params *scope = injection->params;
    struct ce_data_fault *state = injection->state;
    state->stage = scope->stage;
    return state->stage == CE_STAGE_TRAIN ? train_inject(injection, err)
                                          : ce_live_inject(&state->live, injection, err);
}

int ce_data_fault_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                         struct ce_error *err)
{
    const struct ce_data_fault *state = injection->state;
    *ret_evidence = (struct ce_evidence){0};
    return state->stage == CE_STAGE_TRAIN
               ? train_verify(state, injection->target, ret_evidence, err)
               : ce_live_verify(&state->live, ret_evidence, err);
}

int ce_data_fault_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    return state->stage == CE_STAGE_TRAIN ? train_adjust(injection, intensity, err)
                                          : ce_live_adjust(&state->live, injection, intensity, err);
}

int ce_data_fault_spare(struct ce_injection *injection, double share, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    if (state->stage == CE_STAGE_TRAIN)
        return ce_fail(err, ENOTSUP, "no part of the traffic can be spared by training data");
    state->live.traffic.spared = share;
    return 0;
}

int ce_data_fault_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct ce_data_fault *state = injection->state;
    ce_live_revert(&state->live);
    return train_revert(injection, err);
}

int ce_data_fault_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_data_fault *state = injection->state;
    return state->stage == CE_STAGE_TRAIN ? train_verify_undo(state, injection->target, err)
                                          : ce_live_verify_undo(&state->live, err);
}

void ce_data_fault_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct ce_data_fault *state = injection->state;
    if (state->stage == CE_STAGE_TRAIN)
        *ret_counts = state->counts;
    else
        ce_traffic_count(&state->live.traffic, ret_counts);
}
