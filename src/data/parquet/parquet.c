/* SPDX-License-Identifier: MIT */
/* Parquet among the data engine's formats: files are read into Arrow streams, mutated there by the
 * typed engine, and written anew.
 *
 * What a file has besides its values goes into the answer key's header, as "parquet", so that a
 * reverted file gets it back. A file whose content did not change is copied byte for byte. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "data/arrow/arrow.h"
#include "data/job.h"
#include "data/parquet/parquet_internal.h"

CE_DEFINE_CLEANUP(struct ce_key, ce_key_close);

static bool parquet_is(const char *path, const char *magic, size_t size)
{
    static const char *const endings[] = {".parquet", ".parq", ".pq"};
    if (size >= 4 && (memcmp(magic, "PAR1", 4) == 0 || memcmp(magic, "PARE", 4) == 0))
        return true;
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < CE_COUNT(endings); i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

/* ---- the file that is made ---- */

static int output_open(const char *path, const struct ce_parquet_file *like,
                       struct ce_output **ret_out, struct ce_error *err)
{
    if (strcmp(path, "-") == 0)
        return ce_fail(err, ESPIPE, "Parquet cannot be written to standard output, only to a file");
    /* DuckDB opens the file by itself, for which its owner must be allowed to write. */
    return ce_output_open(path, like->mode | S_IWUSR, CE_PACKING_PLAIN, ret_out, err);
}

/* Whether the output is a file of ours, not a device that the user named. */
static bool output_is_file(const struct ce_output *out)
{
    struct stat st;
    return fstat(ce_output_fd(out), &st) == 0 && S_ISREG(st.st_mode);
}

static int output_set_mode(struct ce_output *out, const struct ce_parquet_file *like,
                           struct ce_error *err)
{
    if (output_is_file(out) && fchmod(ce_output_fd(out), like->mode & 0777) < 0)
        return ce_fail(err, errno, "cannot set the mode of '%s': %s", ce_output_path(out),
                       strerror(errno));
    return 0;
}

/* Makes the output the file itself, in place of what was written. */
static int output_copy(struct ce_output *out, const struct ce_parquet_file *file,
                       struct ce_error *err)
{
    int to = ce_output_fd(out);
    off_t at = 0;
    ssize_t n = 0;
    if (output_is_file(out) && (ftruncate(to, 0) < 0 || lseek(to, 0, SEEK_SET) < 0))
        n = -1;
    while (n >= 0 && (n = sendfile(to, file->fd, &at, 1 << 20)) > 0)
        continue;
    if (n < 0)
        return ce_fail(err, errno, "cannot write '%s': %s", ce_output_path(out), strerror(errno));
    return 0;
}

/* ---- injecting ---- */

static int no_rows(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    *out = (struct ArrowArray){0};
    return 0;
}

/* Without a need for statistics, the names and the number of rows are all that a profile is for:
 * the footer has them, so the file is not read twice. */
static int profile_make(struct ce_parquet_file *file, unsigned stats,
                        struct ce_profile *ret_profile, struct ce_error *err)
{
    struct ArrowArrayStream stream;
    CE_TRY(ce_parquet_stream(file, &stream, err));
    if (stats == 0)
        stream.get_next = no_rows;
    CE_TRY(ce_arrow_profile(&stream, file->path, stats, ret_profile, err));
    ret_profile->rows = file->form.rows;
    return 0;
}

struct injection {
    struct ce_parquet_file *file;
    struct ce_output *out, *key; /* key: NULL, or the answer key */
    const char *key_path;
    struct ce_arrow_mutate how;
    struct ce_data_result *result;
};

static int key_begin(struct injection *job, struct ce_error *err)
{
    json_t *header = ce_arrow_key_header(&job->how);
    json_t *form = ce_parquet_form_json(&job->file->form);
    if (!header || !form || json_object_set(header, "parquet", form) < 0) {
        json_decref(header);
        json_decref(form);
        return ce_fail_memory(err);
    }
    json_decref(form);
    CE_TRY(ce_key_begin(job->key_path, job->file->mode, header, &job->key, err));
    job->how.key = job->key;
    return 0;
}

static int inject_rows(struct injection *job, struct ce_error *err)
{
    struct ArrowArrayStream in, mutated;
    CE_TRY(ce_parquet_stream(job->file, &in, err));
    if (job->key_path) {
        int r = key_begin(job, err);
        if (r < 0) {
            in.release(&in);
            return r;
        }
    }
    CE_TRY(ce_arrow_mutate(&in, &job->how, job->result, &mutated, err));
    CE_TRY(ce_parquet_write(job->out, &mutated, &job->file->form, job->how.options->threads, err));
    bool unchanged = strcmp(job->result->sha256_in, job->result->sha256_out) == 0;
    return unchanged ? output_copy(job->out, job->file, err) : 0;
}

static int inject_publish(struct injection *job, struct ce_error *err)
{
    if (job->key) {
        json_t *trailer = ce_arrow_key_trailer(&job->how, job->result);
        if (!trailer)
            return ce_fail_memory(err);
        CE_TRY(ce_key_end(job->key, trailer, err));
    }
    CE_TRY(output_set_mode(job->out, job->file, err));
    return ce_job_publish(job->out, job->key, job->key_path, err);
}

static int inject_with(struct injection *job, struct ce_error *err)
{
    const struct ce_data_options *options = job->how.options;
    unsigned stats = 0;
    struct ce_profile profile = {0};
    for (size_t i = 0; i < job->how.count; i++)
        CE_TRY(ce_job_add_needs(&job->how.mutations[i], &stats, err));
    if (!options->profile)
        CE_TRY(profile_make(job->file, stats, &profile, err));
    job->how.profile = options->profile ? options->profile : &profile;
    int r = inject_rows(job, err);
    if (r == 0)
        r = inject_publish(job, err);
    job->result->profiled_rows = stats != 0 ? job->how.profile->rows : 0;
    ce_profile_done(&profile);
    return r;
}

static int parquet_inject(const char *in, const char *out, const char *key,
                          const struct ce_mutation *mutations, size_t count,
                          const struct ce_data_options *options, struct ce_data_result *ret_result,
                          struct ce_error *err)
{
    CE_CLEANUP(ce_parquet_close_p) struct ce_parquet_file *file = NULL;
    CE_TRY(ce_job_check_paths(in, out, key, err));
    CE_TRY(ce_job_check_shard(options, key, err));
    CE_TRY(ce_parquet_open(in, options->threads, &file, err));
    file->stop = options->stop;
    struct ce_data_result result = {.lost = file->form.lost ? strdup(file->form.lost) : NULL};
    if (file->form.lost && !result.lost)
        return ce_fail_memory(err);
    struct injection job = {
        .file = file,
        .key_path = key,
        .how = {.mutations = mutations, .count = count, .options = options},
        .result = &result,
    };
    int r = output_open(out, file, &job.out, err);
    if (r == 0)
        r = inject_with(&job, err);
    ce_output_free(job.key);
    ce_output_free(job.out);
    if (r == 0)
        *ret_result = result;
    else
        ce_data_result_done(&result);
    return r;
}

/* ---- reverting ---- */

static int revert_check(struct ce_parquet_file *file, const struct ce_key *key,
                        struct ce_error *err)
{
    struct ArrowArrayStream stream;
    char hash[CE_SHA256_HEX];
    CE_TRY(ce_parquet_stream(file, &stream, err));
    CE_TRY(ce_arrow_digest(&stream, hash, err));
    if (strcmp(hash, ce_key_hash(key, "sha256_out")) != 0)
        return ce_fail(err, EINVAL, "'%s' is not the file that this key was made for", file->path);
    return 0;
}

static int revert_rows(struct ce_parquet_file *file, struct ce_key *key,
                       const struct ce_parquet_form *form, struct ce_output *back,
                       struct ce_error *err)
{
    struct ArrowArrayStream changed, reverted;
    char hash[CE_SHA256_HEX] = "";
    if (strcmp(ce_key_hash(key, "sha256_in"), ce_key_hash(key, "sha256_out")) == 0)
        return output_copy(back, file, err);
    CE_TRY(ce_parquet_stream(file, &changed, err));
    CE_TRY(ce_arrow_revert(&changed, key, hash, &reverted, err));
    CE_TRY(ce_parquet_write(back, &reverted, form, 0, err));
    if (strcmp(hash, ce_key_hash(key, "sha256_in")) != 0)
        return ce_fail(err, EINVAL,
                       "the rows given back are not those that the key was made from; the key or "
                       "'%s' is damaged",
                       file->path);
    return 0;
}

static int parquet_revert(const char *out, const char *key, const char *back, struct ce_error *err)
{
    CE_CLEANUP(ce_key_close_p) struct ce_key *opened = NULL;
    CE_CLEANUP(ce_parquet_close_p) struct ce_parquet_file *file = NULL;
    CE_CLEANUP(ce_output_free_p) struct ce_output *to = NULL;
    struct ce_parquet_form form;
    CE_TRY(ce_key_open(key, &opened, err));
    CE_TRY(ce_parquet_open(out, 0, &file, err));
    CE_TRY(revert_check(file, opened, err));
    CE_TRY(ce_parquet_form_load(json_object_get(ce_key_header(opened), "parquet"), &form, err));
    int r = output_open(back, file, &to, err);
    if (r == 0)
        r = revert_rows(file, opened, &form, to, err);
    if (r == 0)
        r = output_set_mode(to, file, err);
    if (r == 0)
        r = ce_job_publish(to, NULL, NULL, err);
    ce_parquet_form_done(&form);
    return r;
}

/* ---- looking ---- */

static int parquet_profile(const char *path, unsigned stats, const struct ce_data_options *options,
                           struct ce_profile *ret_profile, struct ce_error *err)
{
    CE_CLEANUP(ce_parquet_close_p) struct ce_parquet_file *file = NULL;
    struct ArrowArrayStream stream;
    CE_TRY(ce_parquet_open(path, options->threads, &file, err));
    file->stop = options->stop;
    CE_TRY(ce_parquet_stream(file, &stream, err));
    return ce_arrow_profile(&stream, path, stats, ret_profile, err);
}

static int parquet_diff(const char *a, const char *b,
                        void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                        struct ce_diff *ret_diff, struct ce_error *err)
{
    CE_CLEANUP(ce_parquet_close_p) struct ce_parquet_file *file_a = NULL, *file_b = NULL;
    struct ArrowArrayStream stream_a, stream_b;
    CE_TRY(ce_parquet_open(a, 1, &file_a, err));
    CE_TRY(ce_parquet_open(b, 1, &file_b, err));
    CE_TRY(ce_parquet_stream(file_a, &stream_a, err));
    int r = ce_parquet_stream(file_b, &stream_b, err);
    if (r < 0) {
        stream_a.release(&stream_a);
        return r;
    }
    return ce_arrow_diff(&stream_a, &stream_b, cell, ctx, ret_diff, err);
}

const struct ce_data_format ce_data_parquet = {
    .name = "parquet",
    .is = parquet_is,
    .inject = parquet_inject,
    .revert = parquet_revert,
    .profile = parquet_profile,
    .diff = parquet_diff,
};
