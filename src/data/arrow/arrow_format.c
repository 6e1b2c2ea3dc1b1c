/* SPDX-License-Identifier: MIT */
/* Arrow IPC files and streams (.arrow, .feather, .ipc, .arrows) as a format of the data engine: the
 * typed engine between a reader and a writer. */
#include "data/arrow/ahead.h"
#include "data/arrow/arrow.h"
#include "data/arrow/ipc.h"
#include "data/arrow/source.h"
#include "data/job.h"

CE_DEFINE_CLEANUP(struct ce_key, ce_key_close);
CE_DEFINE_CLEANUP(struct ce_arrow_ahead, ce_arrow_ahead_free);

struct job {
    const char *in, *out_path, *key_path, *name;
    const struct ce_data_options *options;
    struct ce_arrow_mutate how;
    struct ce_profile own;
    struct ce_ipc_style style;
    struct ArrowArrayStream stream; /* of the input; released: it is to be opened (again) */
    bool repeatable;
    mode_t mode;
    struct ce_output *out, *key;
    struct ce_data_result result;
};

static void job_done(struct job *job)
{
    ce_arrow_stream_done(&job->stream);
    ce_output_free(job->out);
    ce_output_free(job->key);
    ce_profile_done(&job->own);
    ce_ipc_style_done(&job->style);
    free(job->result.counts);
}

/* ---- which files ---- */

static bool is_arrow(const char *path, const char *magic, size_t size)
{
    static const char *const endings[] = {".arrow", ".feather", ".ipc", ".arrows"};
    if (size >= CE_IPC_MAGIC_SIZE && memcmp(magic, CE_IPC_MAGIC, CE_IPC_MAGIC_SIZE) == 0)
        return true;
    if (size >= 4 && memcmp(magic, "\xff\xff\xff\xff", 4) == 0)
        return true;
    size_t length = strlen(path);
    if (ce_packing_of_name(path) == CE_PACKING_GZIP)
        length -= strlen(".gz");
    else if (ce_packing_of_name(path) == CE_PACKING_ZSTD)
        length -= strlen(".zst");
    for (size_t i = 0; i < CE_COUNT(endings); i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && memcmp(path + length - ending, endings[i], ending) == 0)
            return true;
    }
    return false;
}

static int open_stream(const char *path, struct ce_ipc_style *style, bool *ret_repeatable,
                       mode_t *ret_mode, struct ArrowArrayStream *ret_stream, struct ce_error *err)
{
    struct ce_input *input;
    CE_TRY(ce_input_open(path, &input, err));
    if (ret_repeatable)
        *ret_repeatable = ce_input_repeatable(input);
    if (ret_mode)
        *ret_mode = ce_input_mode(input);
    return ce_ipc_read(input, path, style, ret_stream, err);
}

/* ---- statistics ---- */

/* Which statistics are needed; *ret_any: whether any are. The types are in the schema. */
static int profile_prefix(struct job *job, unsigned stats, struct ce_error *err)
{
    CE_CLEANUP(ce_arrow_ahead_free_p) struct ce_arrow_ahead *ahead = NULL;
    struct ArrowArrayStream peek;
    bool whole;
    size_t size = job->options->prefix > 0 ? job->options->prefix : CE_JOB_PREFIX;
    CE_TRY(ce_arrow_ahead_new(&job->stream, size, &ahead, &whole, err));
    CE_TRY(ce_arrow_ahead_peek(ahead, &peek, err));
    CE_TRY(ce_arrow_profile(&peek, job->name, stats, &job->own, err));
    job->own.partial = !whole;
    for (size_t i = 0; i < job->own.column_count; i++)
        job->own.columns[i].uncertain = !whole;
    return ce_arrow_ahead_all(ce_take(ahead), &job->stream, err);
}

static int find_statistics(struct job *job, struct ce_error *err)
{
    unsigned stats;
    bool any;
    CE_TRY(ce_arrow_needs(&job->how, &stats, &any, err));
    job->how.profile = &job->own;
    if (job->options->profile) {
        job->how.profile = job->options->profile;
        return 0;
    }
    if (!any)
        return ce_arrow_profile_types(&job->stream, &job->own, err);
    if (!job->repeatable)
        return profile_prefix(job, stats, err);
    CE_TRY(ce_arrow_profile(&job->stream, job->name, stats, &job->own, err));
    ce_ipc_style_done(&job->style);
    return open_stream(job->in, &job->style, NULL, NULL, &job->stream, err);
}

/* ---- injecting ---- */

static int write_key_end(struct job *job, struct ce_error *err)
{
    json_t *trailer = ce_arrow_key_trailer(&job->how, &job->result);
    return trailer ? ce_key_end(job->key, trailer, err) : ce_fail_memory(err);
}

static int inject(struct job *job, struct ce_error *err)
{
    struct ArrowArrayStream changed;
    CE_TRY(ce_job_check_paths(job->in, job->out_path, job->key_path, err));
    CE_TRY(open_stream(job->in, &job->style, &job->repeatable, &job->mode, &job->stream, err));
    CE_TRY(ce_job_check_shard(job->options, job->key_path, err));
    if (job->options->shard_count > 0 && !job->options->profile && !job->repeatable)
        return ce_job_fail_shard(job->name, err);
    CE_TRY(find_statistics(job, err));
    CE_TRY(ce_output_open(job->out_path, job->mode, ce_packing_of_name(job->out_path), &job->out,
                          err));
    if (job->key_path) {
        json_t *header = ce_arrow_key_header(&job->how);
        CE_TRY(header ? ce_key_begin(job->key_path, job->mode, header, &job->key, err)
                      : ce_fail_memory(err));
    }
    job->how.key = job->key;
    CE_TRY(ce_arrow_mutate(&job->stream, &job->how, &job->result, &changed, err));
    CE_TRY(ce_ipc_write(&changed, &job->style, job->out, err));
    bool counted = job->how.profile == &job->own && !job->own.partial;
    if (counted && job->options->shard_count == 0 && job->own.rows != job->result.rows)
        return ce_job_fail_changed(job->name, err);
    if (job->key)
        CE_TRY(write_key_end(job, err));
    return ce_job_publish(job->out, job->key, job->key_path, err);
}

static int arrow_inject(const char *in, const char *out, const char *key,
                        const struct ce_mutation *mutations, size_t count,
                        const struct ce_data_options *options, struct ce_data_result *ret_result,
                        struct ce_error *err)
{
    struct ce_data_options used = options ? *options : (struct ce_data_options){0};
    used.name = used.name ? used.name : in;
    CE_CLEANUP(job_done)
    struct job job = {
        .in = in,
        .out_path = out,
        .key_path = key,
        .name = used.name,
        .options = &used,
        .how = {.mutations = mutations, .count = count, .options = &used},
    };
    CE_TRY(inject(&job, err));
    *ret_result = job.result;
    job.result.counts = NULL;
    return 0;
}

/* ---- reverting ---- */

/* A file that can be read again is read once before anything is written. */
static int check_content(const char *out, const char *key_path, const struct ce_key *key,
                         struct ce_error *err)
{
    struct ArrowArrayStream stream;
    char found[CE_SHA256_HEX];
    CE_TRY(open_stream(out, NULL, NULL, NULL, &stream, err));
    CE_TRY(ce_arrow_digest(&stream, found, err));
    return strcmp(found, ce_key_hash(key, "sha256_out")) == 0
               ? 0
               : ce_fail(err, EINVAL, "'%s' is not the file that the answer key '%s' was made for",
                         out, key_path);
}

static int revert(struct job *job, struct ce_key *key, struct ce_error *err)
{
    struct ArrowArrayStream back;
    char found[CE_SHA256_HEX] = "";
    CE_TRY(open_stream(job->in, &job->style, &job->repeatable, &job->mode, &job->stream, err));
    if (job->repeatable)
        CE_TRY(check_content(job->in, job->key_path, key, err));
    CE_TRY(ce_output_open(job->out_path, job->mode, ce_packing_of_name(job->out_path), &job->out,
                          err));
    CE_TRY(ce_arrow_revert(&job->stream, key, found, &back, err));
    CE_TRY(ce_ipc_write(&back, &job->style, job->out, err));
    if (strcmp(found, ce_key_hash(key, "sha256_in")) != 0)
        return ce_fail(err, EINVAL,
                       "'%s' does not give back the original of '%s': the hashes differ",
                       job->key_path, job->in);
    CE_TRY(ce_output_sync(job->out, err));
    return ce_output_publish(job->out, err);
}

static int arrow_revert(const char *out, const char *key_path, const char *back,
                        struct ce_error *err)
{
    CE_CLEANUP(ce_key_close_p) struct ce_key *key = NULL;
    CE_CLEANUP(job_done) struct job job = {.in = out, .out_path = back, .key_path = key_path};
    if (strcmp(back, "-") != 0 && (ce_paths_meet(back, out) || ce_paths_meet(back, key_path)))
        return ce_fail(err, EINVAL, "'%s' is both input and output", back);
    CE_TRY(ce_key_open(key_path, &key, err));
    return revert(&job, key, err);
}

/* ---- looking ---- */

static int arrow_profile(const char *path, unsigned stats, const struct ce_data_options *options,
                         struct ce_profile *ret_profile, struct ce_error *err)
{
    struct ArrowArrayStream stream;
    CE_TRY(open_stream(path, NULL, NULL, NULL, &stream, err));
    return ce_arrow_profile(&stream, path, stats, ret_profile, err);
}

static int arrow_diff(const char *a, const char *b,
                      void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                      struct ce_diff *ret_diff, struct ce_error *err)
{
    struct ArrowArrayStream of_a, of_b;
    CE_TRY(open_stream(a, NULL, NULL, NULL, &of_a, err));
    int r = open_stream(b, NULL, NULL, NULL, &of_b, err);
    if (r < 0) {
        ce_arrow_stream_done(&of_a);
        return r;
    }
    return ce_arrow_diff(&of_a, &of_b, cell, ctx, ret_diff, err);
}

const struct ce_data_format ce_data_arrow = {
    .name = "Arrow IPC",
    .is = is_arrow,
    .inject = arrow_inject,
    .revert = arrow_revert,
    .profile = arrow_profile,
    .diff = arrow_diff,
};
