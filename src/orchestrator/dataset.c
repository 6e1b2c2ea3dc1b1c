/* SPDX-License-Identifier: MIT */
/* Faults on tables without a run around them: what the `data` commands do. */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "data/data.h"
#include "data/stats/drift.h"
#include "faults/chosen.h"
#include "orchestrator/dataset_internal.h"

/* ---- the job ---- */

struct job_fault {
    struct ce_chosen chosen;
    char *stream; /* the name its random streams go by: a second fault of the same name must not hit
                     the same cells */
};

struct ce_data_job {
    struct job_fault *faults;
    size_t count;
};

int ce_data_job_new(struct ce_data_job **ret_job, struct ce_error *err)
{
    *ret_job = calloc(1, sizeof **ret_job);
    return *ret_job ? 0 : ce_fail_memory(err);
}

void ce_data_job_free(struct ce_data_job *job)
{
    if (!job)
        return;
    for (size_t i = 0; i < job->count; i++) {
        ce_chosen_done(&job->faults[i].chosen);
        free(job->faults[i].stream);
    }
    free(job->faults);
    free(job);
}

int ce_data_job_add(struct ce_data_job *job, const char *name, struct ce_error *err)
{
    struct job_fault added = {0};
    CE_TRY(ce_chosen_init(name, &added.chosen, err));
    if (!added.chosen.fault->mutate) {
        ce_chosen_done(&added.chosen);
        return ce_fail(err, ENOTSUP,
                       "%s changes no table: it needs a run (`chaoseater explain %s`)", name, name);
    }
    size_t ordinal = 1;
    for (size_t i = 0; i < job->count; i++)
        ordinal += job->faults[i].chosen.fault == added.chosen.fault;
    added.stream = ordinal == 1 ? strdup(name) : ce_format("%s#%zu", name, ordinal);
    struct job_fault *larger = realloc(job->faults, (job->count + 1) * sizeof *larger);
    if (larger)
        job->faults = larger;
    if (!larger || !added.stream) {
        ce_chosen_done(&added.chosen);
        free(added.stream);
        return ce_fail_memory(err);
    }
    job->faults[job->count++] = added;
    return 0;
}

int ce_data_job_set(struct ce_data_job *job, const char *assignment, struct ce_error *err)
{
    ce_autofree char *name = NULL;
    const char *value = NULL;
    CE_TRY(ce_assignment_split(assignment, &name, &value, err));
    if (job->count == 0)
        return ce_fail(err, EINVAL, "the parameter '%s' belongs to no fault: name the fault first",
                       name);
    return ce_chosen_set(&job->faults[job->count - 1].chosen, name, value, err);
}

int ce_data_job_set_all(struct ce_data_job *job, const char *assignment, struct ce_error *err)
{
    ce_autofree char *name = NULL;
    const char *value = NULL;
    size_t taken = 0;
    CE_TRY(ce_assignment_split(assignment, &name, &value, err));
    for (size_t i = 0; i < job->count; i++) {
        struct ce_chosen *chosen = &job->faults[i].chosen;
        if (!ce_param_find(chosen->fault->params, name))
            continue;
        CE_TRY(ce_chosen_set(chosen, name, value, err));
        taken++;
    }
    return taken > 0 ? 0 : ce_fail(err, EINVAL, "none of the faults has a parameter '%s'", name);
}

/* ---- running it ---- */

void ce_job_mutations_done(struct ce_job_mutations *mutations)
{
    for (size_t i = 0; i < mutations->count; i++)
        ce_mutation_done(&mutations->items[i]);
    free(mutations->items);
    *mutations = (struct ce_job_mutations){0};
}

int ce_job_mutations_init(const struct ce_data_job *job, uint64_t seed,
                          struct ce_job_mutations *ret, struct ce_error *err)
{
    ret->dose = (struct ce_dose){.seed = seed, .intensity = 1};
    ret->items = calloc(job->count + 1, sizeof *ret->items);
    if (!ret->items)
        return ce_fail_memory(err);
    for (; ret->count < job->count; ret->count++) {
        const struct job_fault *fault = &job->faults[ret->count];
        const struct ce_chosen *chosen = &fault->chosen;
        CE_TRY(ce_chosen_check(chosen, err));
        struct ce_mutation *mutation = &ret->items[ret->count];
        CE_TRY(chosen->fault->mutate(chosen->params, &ret->dose, mutation, err));
        mutation->fault = fault->stream;
    }
    return 0;
}

/* As many bits as a document's seed and a JSON reader's integer can hold. */
uint64_t ce_job_seed(const struct ce_data_job_options *options)
{
    return options->has_seed ? options->seed : ce_random_seed() & INT64_MAX;
}

struct ce_data_options ce_job_options(const struct ce_data_job_options *options,
                                      const struct ce_profile *stats)
{
    return (struct ce_data_options){
        .threads = options->threads,
        .shard = options->shard,
        .shard_count = options->shard_count,
        .delimiter = options->delimiter,
        .headerless = options->headerless,
        .backslash = options->backslash,
        .comment = options->comment,
        .profile = stats,
        .stop = options->signal,
        .progress = options->progress,
        .progress_ctx = options->progress_ctx,
    };
}

static bool ends_with(const char *text, const char *ending)
{
    size_t size = strlen(text), tail = strlen(ending);
    return size >= tail && strcmp(text + size - tail, ending) == 0;
}

/* `name`: a file, or a table. */
static int read_profile(const char *name, unsigned stats, unsigned threads,
                        struct ce_profile *ret_profile, struct ce_error *err)
{
    CE_CLEANUP(ce_table_file_done) struct ce_table_file file = {0};
    CE_TRY(ce_table_file_open(name, &file, err));
    return ce_table_file_fail(&file, ce_profile_read(file.path, stats, threads, ret_profile, err),
                              err);
}

int ce_job_read_stats(const char *path, unsigned threads, struct ce_profile *ret_profile,
                      struct ce_error *err)
{
    if (ends_with(path, ".json") && !ce_sql_is(path))
        return ce_profile_load(path, ret_profile, err);
    return read_profile(path, CE_STAT_MOMENTS | CE_STAT_QUANTILES | CE_STAT_CATEGORIES, threads,
                        ret_profile, err);
}

static json_t *describe_counts(const struct ce_data_job *job, const struct ce_data_result *result)
{
    ce_autojson json_t *faults = json_array();
    for (size_t i = 0; i < job->count; i++) {
        const struct ce_chosen *chosen = &job->faults[i].chosen;
        ce_autojson json_t *fault = json_pack("{s:s}", "name", chosen->fault->name);
        ce_autojson json_t *counts = ce_fault_counts_json(&result->counts[i]);
        (void)json_object_update(fault, counts);
        (void)json_object_set_new(fault, "parameters",
                                  ce_params_values(chosen->fault->params, chosen->params));
        (void)json_array_append(faults, fault);
    }
    return ce_take(faults);
}

/* Of a stream without a key no hash is taken. */
static const char *text_or_null(const char *text)
{
    return text[0] ? text : NULL;
}

json_t *ce_job_result(const struct ce_data_job *job, uint64_t seed, const char *key,
                      const struct ce_data_result *result)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:s?, s:s?, s:s?, s:{s:I, s:b}, s:s?}", "rows",
                     (json_int_t)result->rows, "rows_out", (json_int_t)result->rows_out, "columns",
                     (json_int_t)result->columns, "seed", (json_int_t)seed, "faults",
                     describe_counts(job, result), "sha256_in", text_or_null(result->sha256_in),
                     "sha256_out", text_or_null(result->sha256_out), "key", key, "statistics",
                     "rows", (json_int_t)result->profiled_rows, "prefix_only", result->prefix_only,
                     "not_kept", result->lost);
}

int ce_job_run_file(const struct ce_data_job *job, const char *in, const char *name,
                    const char *out, const struct ce_data_job_options *options, json_t **ret_json,
                    struct ce_error *err)
{
    CE_CLEANUP(ce_job_mutations_done) struct ce_job_mutations mutations = {0};
    CE_CLEANUP(ce_profile_done) struct ce_profile stats = {0};
    CE_CLEANUP(ce_data_result_done) struct ce_data_result result = {0};
    uint64_t seed = ce_job_seed(options);
    CE_TRY(ce_job_mutations_init(job, seed, &mutations, err));
    if (options->stats)
        CE_TRY(ce_job_read_stats(options->stats, options->threads, &stats, err));
    struct ce_data_options how = ce_job_options(options, options->stats ? &stats : NULL);
    how.name = name;
    CE_TRY(ce_data_inject(in, out, options->key, mutations.items, mutations.count, &how, &result,
                          err));
    *ret_json = ce_job_result(job, seed, options->key, &result);
    return *ret_json ? 0 : ce_fail_memory(err);
}

int ce_data_job_run(const struct ce_data_job *job, const char *in, const char *out,
                    const struct ce_data_job_options *options, char **ret_json,
                    struct ce_error *err)
{
    ce_autojson json_t *json = NULL;
    if (ce_sql_is(in) || ce_sql_is(out))
        CE_TRY(ce_job_run_table(job, in, out, options, &json, err));
    else
        CE_TRY(ce_job_run_file(job, in, NULL, out, options, &json, err));
    char *text = ret_json ? ce_json_text(json) : NULL;
    if (ret_json && !text)
        return ce_fail_memory(err);
    if (ret_json)
        *ret_json = text;
    return 0;
}

/* ---- looking ---- */

struct listing {
    json_t *cells;
    size_t room;
};

static json_t *shown(const char *text, bool missing)
{
    if (missing)
        return json_null();
    json_t *value = json_string(text);
    return value ? value : json_string("(not UTF-8)");
}

static void list_cell(void *ctx, const struct ce_diff_cell *cell)
{
    struct listing *listing = ctx;
    if (listing->room == 0)
        return;
    listing->room--;
    (void)json_array_append_new(
        listing->cells, json_pack("{s:I, s:o, s:o, s:o}", "row", (json_int_t)cell->row, "column",
                                  shown(cell->column, false), "a", shown(cell->a, cell->a_missing),
                                  "b", shown(cell->b, cell->b_missing)));
}

static json_t *names_json(const struct ce_names *names)
{
    json_t *list = json_array();
    for (size_t i = 0; i < names->count; i++)
        (void)json_array_append_new(list, shown(names->names[i], false));
    return list;
}

/* A name that is no UTF-8 is told by its position. */
static void set_count(json_t *by_column, const char *name, size_t index, uint64_t count)
{
    char position[32];
    snprintf(position, sizeof position, "#%zu", index + 1);
    if (json_object_set_new(by_column, name, json_integer((json_int_t)count)) < 0)
        (void)json_object_set_new(by_column, position, json_integer((json_int_t)count));
}

static json_t *describe_diff(const struct ce_diff *diff, json_t *cells)
{
    ce_autojson json_t *by_column = json_object();
    for (size_t i = 0; i < diff->column_count; i++)
        if (diff->columns[i].changed > 0)
            set_count(by_column, diff->columns[i].name, i, diff->columns[i].changed);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:O, s:O}", "cells_changed",
                     (json_int_t)diff->cells_changed, "rows_a", (json_int_t)diff->rows_a, "rows_b",
                     (json_int_t)diff->rows_b, "rows_added", (json_int_t)diff->rows_added,
                     "rows_removed", (json_int_t)diff->rows_removed, "columns_added",
                     names_json(&diff->columns_added), "columns_removed",
                     names_json(&diff->columns_removed), "by_column", by_column, "cells", cells);
}

/* Files, or tables. */
static int diff_tables(const char *a, const char *b, struct listing *listing,
                       struct ce_diff *ret_diff, struct ce_error *err)
{
    CE_CLEANUP(ce_table_file_done) struct ce_table_file file_a = {0}, file_b = {0};
    CE_TRY(ce_table_file_open(a, &file_a, err));
    CE_TRY(ce_table_file_open(b, &file_b, err));
    int r = ce_data_diff(file_a.path, file_b.path, list_cell, listing, ret_diff, err);
    return ce_table_file_fail(&file_b, ce_table_file_fail(&file_a, r, err), err);
}

int ce_data_diff_json(const char *a, const char *b, size_t listed, char **ret_json,
                      struct ce_error *err)
{
    CE_CLEANUP(ce_diff_done) struct ce_diff diff = {0};
    ce_autojson json_t *cells = json_array();
    struct listing listing = {.cells = cells, .room = listed};
    if (!cells)
        return ce_fail_memory(err);
    CE_TRY(diff_tables(a, b, &listing, &diff, err));
    ce_autojson json_t *json = describe_diff(&diff, cells);
    char *text = json ? ce_json_text(json) : NULL;
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return diff.cells_changed > 0 || diff.rows_added > 0 || diff.rows_removed > 0 ||
           diff.columns_added.count > 0 || diff.columns_removed.count > 0;
}

int ce_profile_text(const struct ce_profile *profile, const struct ce_profile *before,
                    char **ret_json, struct ce_error *err)
{
    ce_autojson json_t *json = ce_profile_json(profile);
    if (json && before) {
        (void)json_object_set_new(json, "drift", ce_drift_json(before, profile));
        (void)json_object_set_new(json, "table", ce_drift_table_json(before, profile));
    }
    char *text = json ? ce_json_exact_text(json) : NULL;
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return 0;
}

int ce_data_profile_json(const char *path, const char *reference, unsigned threads, char **ret_json,
                         struct ce_error *err)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0}, before = {0};
    CE_TRY(read_profile(path, CE_STAT_ALL, threads, &profile, err));
    if (reference)
        CE_TRY(read_profile(reference, CE_STAT_ALL, threads, &before, err));
    return ce_profile_text(&profile, reference ? &before : NULL, ret_json, err);
}
