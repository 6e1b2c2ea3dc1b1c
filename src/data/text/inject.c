/* SPDX-License-Identifier: MIT */
/* Injection into text: one pass for the statistics that mutations need, one that writes the changed
 * file and its answer key. What cannot be read twice is read ahead for a bounded part, which gives
 * the statistics. */
#include "base/cleanup.h"
#include "base/json.h"
#include "data/job.h"
#include "data/key_json.h"
#include "data/text/engine.h"
#include "data/text/pass.h"
#include "data/text/text_internal.h"

#define GLANCE_SIZE ((size_t)1 << 20) /* where nothing is hit anyway */

struct job {
    const char *in, *out_path, *key_path;
    const char *name; /* what messages call the input */
    const struct ce_mutation *mutations;
    size_t count;
    const struct ce_data_options *options;

    struct ce_chunk_reader *reader;
    struct ce_text_table *table;   /* the reader's */
    struct ce_profile own;         /* that was read, or that has nothing but names */
    struct ce_profile given;       /* the caller's, its columns in the order of the table's */
    const struct ce_profile *used; /* one of the two */
    struct ce_plan plan;
    struct ce_output *out, *key;
    struct ce_data_result result;
};

static void job_done(struct job *job)
{
    ce_output_free(job->out);
    ce_output_free(job->key);
    ce_plan_done(&job->plan);
    ce_profile_done(&job->own);
    free(job->given.columns);
    ce_chunk_reader_close(job->reader);
    free(job->result.counts);
}

/* ---- what is refused from the start ---- */

/* Formats are not converted: a name that promises another one is a mistake. */
static int check_name(const struct job *job, struct ce_error *err)
{
    const struct ce_text_format *named = ce_text_format_of_name(job->out_path);
    const struct ce_text_format *format = ce_chunk_reader_table(job->reader)->format;
    return !named || named == format
               ? 0
               : ce_fail(err, EINVAL,
                         "'%s' is a name for %s, but '%s' is %s: formats are not converted",
                         job->out_path, named->name, job->in, format->name);
}

/* ---- statistics ---- */

/* Which statistics are needed. *ret_any: whether any are, if only the types of the columns;
 * *ret_all: whether those of a part of the rows would not do. */
static int find_needs(const struct job *job, unsigned *ret_stats, bool *ret_any, bool *ret_all,
                      struct ce_error *err)
{
    unsigned stats = 0;
    bool any = job->options->shard_count > 0, all = any;
    for (size_t i = 0; i < job->count; i++) {
        const struct ce_mutation *mutation = &job->mutations[i];
        const struct ce_scope *scope = &mutation->scope;
        unsigned needed = 0;
        CE_TRY(ce_job_add_needs(mutation, &needed, err));
        bool choosing = mutation->kind == CE_MUTATE_CELLS && scope->columns.count == 0;
        bool offering = mutation->kind == CE_MUTATE_ROWS && mutation->rewrite;
        bool wanted = needed != 0 || scope->exact || choosing || offering ||
                      job->table->format->learn != NULL;
        stats |= needed;
        any |= wanted;
        all |= wanted && !ce_job_idle(mutation);
    }
    *ret_stats = stats | CE_STAT_MOMENTS;
    *ret_any = any;
    *ret_all = all;
    return 0;
}

static int profile_beginning(struct job *job, unsigned stats, size_t size, struct ce_error *err)
{
    CE_CLEANUP(ce_chunk_reader_close_p) struct ce_chunk_reader *peek = NULL;
    bool whole;
    CE_TRY(ce_chunk_reader_peek(job->reader, size, &peek, &whole, err));
    CE_TRY(ce_text_profile_reader(peek, stats, job->options, &job->own, err));
    if (whole)
        return 0;
    job->own.partial = job->result.prefix_only = true;
    for (size_t i = 0; i < job->own.column_count; i++)
        job->own.columns[i].uncertain = true;
    return 0;
}

static int profile_names(struct job *job, struct ce_error *err)
{
    struct ce_profile *own = &job->own;
    own->partial = true;
    own->duplicate_share = -1;
    own->columns = calloc(job->table->column_count + 1, sizeof *own->columns);
    if (!own->columns)
        return ce_fail_memory(err);
    for (size_t i = 0; i < job->table->column_count; i++) {
        own->columns[i].name = strdup(job->table->names[i]);
        own->columns[i].uncertain = true;
        if (!own->columns[i].name)
            return ce_fail_memory(err);
        own->column_count++;
    }
    return 0;
}

/* The caller's statistics, in the order of the table's columns. They are borrowed. */
static int use_given(struct job *job, struct ce_error *err)
{
    const struct ce_profile *given = job->options->profile;
    CE_TRY(ce_text_table_widen(job->table, given, err));
    job->given = *given;
    job->given.column_count = job->table->column_count;
    job->given.columns = calloc(job->table->column_count + 1, sizeof *job->given.columns);
    if (!job->given.columns)
        return ce_fail_memory(err);
    for (size_t i = 0; i < job->table->column_count; i++) {
        const char *name = job->table->names[i];
        const struct ce_column_profile *column =
            i < given->column_count && strcmp(given->columns[i].name, name) == 0
                ? &given->columns[i]
                : ce_profile_column(given, name);
        if (!column)
            return ce_fail(err, EINVAL, "the statistics have no column '%s' of '%s'", name,
                           job->name);
        job->given.columns[i] = *column;
    }
    job->used = &job->given;
    job->result.profiled_rows = given->rows;
    job->result.prefix_only = given->partial;
    return 0;
}

/* The statistics belong to the columns by position: both passes must have seen the same ones. */
static int check_same_columns(const struct job *job, struct ce_error *err)
{
    bool same = job->table->column_count == job->own.column_count;
    for (size_t i = 0; same && i < job->own.column_count; i++)
        same = strcmp(job->table->names[i], job->own.columns[i].name) == 0;
    return same ? 0 : ce_job_fail_changed(job->name, err);
}

static int find_statistics(struct job *job, struct ce_error *err)
{
    unsigned stats;
    bool any, all;
    CE_TRY(find_needs(job, &stats, &any, &all, err));
    if (job->options->profile)
        return use_given(job, err);
    job->used = &job->own;
    if (!any)
        return profile_names(job, err);
    size_t prefix = job->options->prefix > 0 ? job->options->prefix : CE_JOB_PREFIX;
    bool twice = ce_input_repeatable(ce_chunk_reader_input(job->reader));
    if (job->options->shard_count > 0 && !twice)
        return ce_job_fail_shard(job->name, err);
    if (all && twice)
        CE_TRY(ce_text_profile(job->in, stats, job->options, &job->own, err));
    else
        CE_TRY(
            profile_beginning(job, stats, all || prefix < GLANCE_SIZE ? prefix : GLANCE_SIZE, err));
    job->result.profiled_rows = job->own.rows;
    CE_TRY(ce_text_table_widen(job->table, &job->own, err));
    return check_same_columns(job, err);
}

/* ---- the key ---- */

static json_t *describe_step(const struct ce_step *step)
{
    ce_autojson json_t *columns = json_array();
    for (size_t i = 0; step->mutation->kind == CE_MUTATE_CELLS && i < step->count; i++) {
        size_t column = ce_selection_column(step->selection, i);
        if (json_array_append_new(columns, json_integer((json_int_t)column)) < 0)
            return NULL;
    }
    return columns ? ce_key_json_fault(step->mutation, ce_take(columns)) : NULL;
}

static json_t *describe_recipe(const struct job *job)
{
    ce_autojson json_t *faults = json_array();
    for (size_t i = 0; i < job->plan.step_count; i++)
        if (json_array_append_new(faults, describe_step(&job->plan.steps[i])) < 0)
            return NULL;
    return json_pack("{s:s, s:s, s:o, s:O}", "kind", "bytes", "format", job->table->format->name,
                     "columns", ce_key_json_columns(job->used), "faults", faults);
}

/* ---- the pass ---- */

/* The engine has one context for both: the pass comes first in it. */
struct passing {
    struct ce_pass pass;
    struct ce_merger *merger;
};

static int merge(void *ctx, const struct ce_chunk *chunk, void *result, struct ce_error *err)
{
    struct passing *passing = ctx;
    return ce_merger_add(passing->merger, chunk, result, err);
}

static int run_pass(struct job *job, struct ce_error *err)
{
    CE_CLEANUP(ce_merger_free_p) struct ce_merger *merger = NULL;
    struct passing passing = {
        .pass = {.plan = &job->plan, .reader = job->reader, .keyed = job->key != NULL}};
    CE_TRY(ce_merger_new(&passing.pass, job->out, job->key, &merger, err));
    passing.merger = merger;
    struct ce_engine_job engine = {
        .reader = job->reader,
        .threads = job->options->threads,
        .stop = job->options->stop,
        .progress = job->options->progress,
        .progress_ctx = job->options->progress_ctx,
        .ctx = &passing,
        .worker_new = ce_pass_worker_new,
        .worker_free = ce_pass_worker_free,
        .result_new = ce_pass_result_new,
        .result_free = ce_pass_result_free,
        .work = ce_pass_work,
        .merge = merge,
    };
    CE_TRY(ce_engine_run(&engine, err));
    return ce_merger_end(merger, &job->result.rows_out, &job->result.counts, err);
}

static int open_outputs(struct job *job, struct ce_error *err)
{
    mode_t mode = ce_input_mode(ce_chunk_reader_input(job->reader));
    CE_TRY(ce_output_open(job->out_path, mode, ce_packing_of_name(job->out_path), &job->out, err));
    if (!job->key_path)
        return 0;
    json_t *recipe = describe_recipe(job);
    return recipe ? ce_key_begin(job->key_path, mode, recipe, &job->key, err) : ce_fail_memory(err);
}

/* Whether the output is the input, whatever it holds: then it need not be hashed once more. */
static bool changes_nothing(const struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        if (!ce_job_idle(&job->mutations[i]))
            return false;
    return job->options->shard_count == 0;
}

static int inject(struct job *job, size_t chunk_size, struct ce_error *err)
{
    CE_TRY(ce_job_check_paths(job->in, job->out_path, job->key_path, err));
    CE_TRY(ce_job_check_shard(job->options, job->key_path, err));
    struct ce_chunk_options how = ce_text_chunk_options(job->options);
    how.chunk_size = chunk_size;
    how.hash = true;
    CE_TRY(ce_chunk_reader_open(job->in, &how, &job->reader, err));
    job->table = ce_chunk_reader_table(job->reader);
    CE_TRY(check_name(job, err));
    CE_TRY(find_statistics(job, err));
    CE_TRY(ce_plan_make(job->table, job->used, job->name, job->mutations, job->count, &job->plan,
                        err));
    if (job->options->shard_count > 0)
        ce_plan_shard(&job->plan, job->options->shard, job->options->shard_count);
    CE_TRY(open_outputs(job, err));
    if (changes_nothing(job))
        ce_output_unhashed(job->out);
    CE_TRY(run_pass(job, err));

    struct ce_data_result *result = &job->result;
    result->rows = ce_chunk_reader_rows(job->reader);
    result->columns = job->table->column_count;
    result->hit_columns = job->plan.hit_columns;
    if (job->used == &job->own && !job->own.partial && job->own.rows != result->rows)
        return ce_job_fail_changed(job->name, err);
    ce_chunk_reader_digest(job->reader, result->sha256_in);
    if (changes_nothing(job))
        memcpy(result->sha256_out, result->sha256_in, CE_SHA256_HEX);
    else
        CE_TRY(ce_output_digest(job->out, result->sha256_out, err));
    if (job->key) {
        json_t *trailer = ce_key_json_trailer(result, job->count);
        CE_TRY(trailer ? ce_key_end(job->key, trailer, err) : ce_fail_memory(err));
    }
    return ce_job_publish(job->out, job->key, job->key_path, err);
}

int ce_text_inject_chunks(const char *in, const char *out, const char *key,
                          const struct ce_mutation *mutations, size_t count,
                          const struct ce_data_options *options, size_t chunk_size,
                          struct ce_data_result *ret_result, struct ce_error *err)
{
    static const struct ce_data_options none;
    CE_CLEANUP(job_done)
    struct job job = {
        .in = in,
        .out_path = out,
        .key_path = key,
        .mutations = mutations,
        .count = count,
        .options = options ? options : &none,
    };
    job.name = job.options->name ? job.options->name : in;
    CE_TRY(inject(&job, chunk_size, err));
    *ret_result = job.result;
    job.result.counts = NULL;
    return 0;
}

int ce_text_inject(const char *in, const char *out, const char *key,
                   const struct ce_mutation *mutations, size_t count,
                   const struct ce_data_options *options, struct ce_data_result *ret_result,
                   struct ce_error *err)
{
    return ce_text_inject_chunks(in, out, key, mutations, count, options, 0, ret_result, err);
}
