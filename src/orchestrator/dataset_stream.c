/* SPDX-License-Identifier: MIT */
/* Tables in memory: a stream that a program hands in comes back with faults in it, or without those
 * of an earlier job. */
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "data/arrow/arrow.h"
#include "orchestrator/dataset_internal.h"

/* What a stream given to the caller owns. */
struct job_stream {
    const struct ce_data_job *job;
    uint64_t seed;
    struct ce_job_mutations mutations;
    struct ce_profile stats;
    struct ce_data_options options;
    struct ce_arrow_mutate how;
    struct ce_data_result result;
    struct ce_output *key;
    void (*tell)(void *ctx, const char *json); /* NULL: nobody */
    void *tell_ctx;
    bool ended;
    struct ArrowArrayStream inner;
    struct ce_error error; /* what get_last_error() tells */
};

static void job_stream_free(struct job_stream *stream)
{
    if (stream->inner.release)
        stream->inner.release(&stream->inner);
    ce_output_free(stream->key);
    ce_data_result_done(&stream->result);
    ce_job_mutations_done(&stream->mutations);
    ce_profile_done(&stream->stats);
    free(stream);
}
CE_DEFINE_CLEANUP(struct job_stream, job_stream_free);

static int end_key(struct job_stream *stream, struct ce_error *err)
{
    if (!stream->key)
        return 0;
    CE_TRY(ce_key_end(stream->key, ce_arrow_key_trailer(&stream->how, &stream->result), err));
    CE_TRY(ce_output_sync(stream->key, err));
    return ce_output_publish(stream->key, err);
}

static int tell_result(struct job_stream *stream, struct ce_error *err)
{
    if (!stream->tell)
        return 0;
    ce_autojson json_t *result =
        ce_job_result(stream->job, stream->seed, stream->key ? ce_output_path(stream->key) : NULL,
                      &stream->result);
    ce_autofree char *text = result ? ce_json_text(result) : NULL;
    if (!text)
        return ce_fail_memory(err);
    stream->tell(stream->tell_ctx, text);
    return 0;
}

/* ---- the stream as the caller sees it ---- */

static int outer_schema(struct ArrowArrayStream *outer, struct ArrowSchema *ret)
{
    struct job_stream *stream = outer->private_data;
    return stream->inner.get_schema(&stream->inner, ret);
}

static int outer_next(struct ArrowArrayStream *outer, struct ArrowArray *ret)
{
    struct job_stream *stream = outer->private_data;
    stream->error = (struct ce_error){0};
    int r = stream->inner.get_next(&stream->inner, ret);
    if (r != 0 || ret->release || stream->ended)
        return r;
    if (end_key(stream, &stream->error) < 0 || tell_result(stream, &stream->error) < 0)
        return stream->error.code;
    stream->ended = true;
    return 0;
}

static const char *outer_error(struct ArrowArrayStream *outer)
{
    struct job_stream *stream = outer->private_data;
    return stream->error.code ? stream->error.message
                              : stream->inner.get_last_error(&stream->inner);
}

static void outer_release(struct ArrowArrayStream *outer)
{
    job_stream_free(outer->private_data);
    outer->release = NULL;
}

/* ---- making it ---- */

static int read_stats(struct job_stream *stream, struct ArrowArrayStream *in,
                      struct ArrowArrayStream *profiled, const struct ce_data_job_options *options,
                      struct ce_error *err)
{
    unsigned needs;
    bool any;
    if (options->stats)
        return ce_job_read_stats(options->stats, options->threads, &stream->stats, err);
    CE_TRY(ce_arrow_needs(&stream->how, &needs, &any, err));
    if (!any)
        return ce_arrow_profile_types(in, &stream->stats, err);
    if (!profiled || !profiled->release)
        return ce_fail(
            err, EINVAL,
            "faults need statistics: a second stream over the table, or a profile of it");
    return ce_arrow_profile(profiled, "the stream", needs, &stream->stats, err);
}

static int make_stream(const struct ce_data_job *job, struct ArrowArrayStream *in,
                       struct ArrowArrayStream *profiled, const struct ce_data_job_options *options,
                       struct job_stream **ret_stream, struct ce_error *err)
{
    CE_CLEANUP(job_stream_free_p) struct job_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return ce_fail_memory(err);
    stream->job = job;
    stream->tell = options->result;
    stream->tell_ctx = options->result_ctx;
    stream->seed = ce_job_seed(options);
    CE_TRY(ce_job_mutations_init(job, stream->seed, &stream->mutations, err));
    stream->options = ce_job_options(options, &stream->stats);
    stream->options.name = "the stream";
    stream->how = (struct ce_arrow_mutate){
        .mutations = stream->mutations.items,
        .count = stream->mutations.count,
        .profile = &stream->stats,
        .options = &stream->options,
    };
    CE_TRY(read_stats(stream, in, profiled, options, err));
    if (options->key)
        CE_TRY(
            ce_key_begin(options->key, 0600, ce_arrow_key_header(&stream->how), &stream->key, err));
    stream->how.key = stream->key;
    stream->how.unhashed = !stream->key;
    CE_TRY(ce_arrow_mutate(in, &stream->how, &stream->result, &stream->inner, err));
    *ret_stream = ce_take(stream);
    return 0;
}

int ce_data_job_stream(const struct ce_data_job *job, struct ArrowArrayStream *in,
                       struct ArrowArrayStream *profiled, const struct ce_data_job_options *options,
                       struct ArrowArrayStream *ret_out, struct ce_error *err)
{
    struct job_stream *stream = NULL;
    int r = make_stream(job, in, profiled, options, &stream, err);
    if (profiled && profiled->release)
        profiled->release(profiled);
    if (r < 0 && in->release)
        in->release(in);
    if (r < 0)
        return r;
    *ret_out = (struct ArrowArrayStream){
        .get_schema = outer_schema,
        .get_next = outer_next,
        .get_last_error = outer_error,
        .release = outer_release,
        .private_data = stream,
    };
    return 0;
}

/* ---- putting back ---- */

struct back_stream {
    char *key_path;
    struct ce_key *key;
    char found[CE_SHA256_HEX]; /* hash of what was given back */
    struct ArrowArrayStream inner;
    struct ce_error error; /* what get_last_error() tells */
};

static void back_stream_free(struct back_stream *stream)
{
    if (stream->inner.release)
        stream->inner.release(&stream->inner);
    ce_key_close(stream->key);
    free(stream->key_path);
    free(stream);
}
CE_DEFINE_CLEANUP(struct back_stream, back_stream_free);

static int back_schema(struct ArrowArrayStream *outer, struct ArrowSchema *ret)
{
    struct back_stream *stream = outer->private_data;
    return stream->inner.get_schema(&stream->inner, ret);
}

static int back_next(struct ArrowArrayStream *outer, struct ArrowArray *ret)
{
    struct back_stream *stream = outer->private_data;
    stream->error = (struct ce_error){0};
    int r = stream->inner.get_next(&stream->inner, ret);
    if (r != 0 || ret->release)
        return r;
    if (strcmp(stream->found, ce_key_hash(stream->key, "sha256_in")) != 0)
        (void)ce_fail(&stream->error, EINVAL,
                      "'%s' does not give back the original of this table: the hashes differ",
                      stream->key_path);
    return stream->error.code;
}

static const char *back_error(struct ArrowArrayStream *outer)
{
    struct back_stream *stream = outer->private_data;
    return stream->error.code ? stream->error.message
                              : stream->inner.get_last_error(&stream->inner);
}

static void back_release(struct ArrowArrayStream *outer)
{
    back_stream_free(outer->private_data);
    outer->release = NULL;
}

static int make_back(struct ArrowArrayStream *changed, const char *key_path,
                     struct back_stream **ret_stream, struct ce_error *err)
{
    CE_CLEANUP(back_stream_free_p) struct back_stream *stream = calloc(1, sizeof *stream);
    if (!stream || !(stream->key_path = strdup(key_path)))
        return ce_fail_memory(err);
    CE_TRY(ce_key_open(key_path, &stream->key, err));
    CE_TRY(ce_arrow_revert(changed, stream->key, stream->found, &stream->inner, err));
    *ret_stream = ce_take(stream);
    return 0;
}

int ce_data_revert_stream(struct ArrowArrayStream *changed, const char *key,
                          struct ArrowArrayStream *ret_out, struct ce_error *err)
{
    struct back_stream *stream = NULL;
    int r = make_back(changed, key, &stream, err);
    if (r < 0 && changed->release)
        changed->release(changed);
    if (r < 0)
        return r;
    *ret_out = (struct ArrowArrayStream){
        .get_schema = back_schema,
        .get_next = back_next,
        .get_last_error = back_error,
        .release = back_release,
        .private_data = stream,
    };
    return 0;
}

/* ---- statistics ---- */

int ce_data_profile_stream_json(struct ArrowArrayStream *in, struct ArrowArrayStream *reference,
                                char **ret_json, struct ce_error *err)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0}, before = {0};
    int r = ce_arrow_profile(in, "the stream", CE_STAT_ALL, &profile, err);
    if (r >= 0 && reference)
        r = ce_arrow_profile(reference, "the reference", CE_STAT_ALL, &before, err);
    else if (reference && reference->release)
        reference->release(reference);
    return r < 0 ? r : ce_profile_text(&profile, reference ? &before : NULL, ret_json, err);
}
