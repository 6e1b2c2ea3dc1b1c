/* SPDX-License-Identifier: MIT */
/* Injection: one pass for the statistics that faults need, one that copies the file and rewrites
 * the cells that are hit, both through windows. Memory depends on the longest row and the number of
 * columns alone. */
#include "data/inject.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/csv_internal.h"
#include "data/key.h"
#include "data/select.h"

CE_DEFINE_CLEANUP(struct ce_sha256, ce_sha256_free);

struct chosen_column {
    size_t index;
    const struct ce_column_profile *profile;
    struct ce_cell_streams streams;
};

struct job {
    const struct ce_cell_fault *fault;
    struct ce_profile profile;
    struct chosen_column *chosen;
    size_t chosen_count;
    struct ce_csv_reader *reader;
    struct ce_sink *out, *key;
    char *text; /* where faults write new cells */
    size_t text_size;
    uint64_t last_end; /* in the output, of the last change */
    uint64_t last_row; /* of it */
    struct ce_fault_counts counts;
};

static void job_done(struct job *job)
{
    ce_profile_done(&job->profile);
    free(job->chosen);
    ce_csv_close(job->reader);
    ce_sink_free(job->out);
    ce_sink_free(job->key);
    free(job->text);
}

void ce_fault_counts_skip(struct ce_fault_counts *counts, const char *reason)
{
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX; i++) {
        if (!counts->skipped[i].reason)
            counts->skipped[i].reason = reason;
        if (strcmp(counts->skipped[i].reason, reason) == 0) {
            counts->skipped[i].count++;
            return;
        }
    }
}

/* ---- which columns ---- */

static bool is_named(const struct ce_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i], name) == 0)
            return true;
    return false;
}

/* Columns that share a name draw from streams of their own: the second `x` from that of "x#2". */
static int streams_of(const struct job *job, size_t index, struct ce_cell_streams *ret_streams,
                      struct ce_error *err)
{
    const struct ce_column_profile *columns = job->profile.columns;
    size_t ordinal = 1;
    for (size_t i = 0; i < index; i++)
        ordinal += strcmp(columns[i].name, columns[index].name) == 0;
    ce_autofree char *subject = ordinal == 1 ? strdup(columns[index].name)
                                             : ce_format("%s#%zu", columns[index].name, ordinal);
    if (!subject)
        return ce_fail_memory(err);
    *ret_streams = ce_cell_streams_init(job->fault->seed, job->fault->name, subject);
    return 0;
}

static int choose_columns(struct job *job, const char *path, struct ce_error *err)
{
    const struct ce_names *named = &job->fault->columns;
    const char *called = job->fault->input ? job->fault->input : path;
    CE_TRY(ce_profile_require(&job->profile, called, named, err));
    job->chosen = calloc(job->profile.column_count, sizeof *job->chosen);
    if (!job->chosen)
        return ce_fail_memory(err);
    for (size_t i = 0; i < job->profile.column_count; i++) {
        const struct ce_column_profile *column = &job->profile.columns[i];
        bool takes = named->count > 0 ? is_named(named, column->name)
                                      : job->fault->takes_column(job->fault->ctx, column);
        if (!takes)
            continue;
        struct chosen_column *chosen = &job->chosen[job->chosen_count++];
        chosen->index = i;
        chosen->profile = column;
        CE_TRY(streams_of(job, i, &chosen->streams, err));
    }
    return 0;
}

/* The statistics belong to the columns by position: both passes must have seen the same ones. */
static int check_same_columns(const struct job *job, const char *path, struct ce_error *err)
{
    bool same = ce_csv_column_count(job->reader) == job->profile.column_count;
    for (size_t i = 0; same && i < job->profile.column_count; i++)
        same = strcmp(ce_csv_column_name(job->reader, i), job->profile.columns[i].name) == 0;
    return same ? 0
                : ce_fail(err, EBUSY, "'%s' was changed by someone else while it was read", path);
}

/* ---- the copying pass ---- */

/* Room for any rewriting of a cell of that size: every byte may become a doubled quote. */
static int make_room(struct job *job, size_t raw_size, struct ce_error *err)
{
    size_t needed = 2 * raw_size + 128;
    if (needed <= job->text_size)
        return 0;
    char *larger = realloc(job->text, needed);
    if (!larger)
        return ce_fail_memory(err);
    job->text = larger;
    job->text_size = needed;
    return 0;
}

/* Asks the fault for the new bytes: how many, or -1 with the reason. */
static int rewrite(const struct job *job, const struct chosen_column *chosen,
                   const struct ce_csv_record *record, const char **ret_reason)
{
    const struct ce_csv_cell *old = &record->cells[chosen->index];
    struct ce_cell cell = {.column = chosen->profile,
                           .row = record->row,
                           .cell = old,
                           .alone = record->cell_count == 1};
    ce_stream_draw(&chosen->streams.value, record->row, cell.random);
    int size = job->fault->rewrite(job->fault->ctx, &cell, job->text, job->text_size, ret_reason);
    if (size >= 0 && (size_t)size == old->raw_size &&
        memcmp(job->text, old->raw, old->raw_size) == 0) {
        *ret_reason = "no change";
        return -1;
    }
    return size;
}

/* Replaces one cell; *copied: how far the record has been copied. */
static int replace_cell(struct job *job, const struct chosen_column *chosen,
                        const struct ce_csv_record *record, const char **copied,
                        struct ce_error *err)
{
    const struct ce_csv_cell *old = &record->cells[chosen->index];
    const char *reason = NULL;
    CE_TRY(make_room(job, old->raw_size, err));
    int size = rewrite(job, chosen, record, &reason);
    if (size < 0) {
        ce_fault_counts_skip(&job->counts, reason);
        return 0;
    }
    CE_TRY(ce_sink_put(job->out, *copied, (size_t)(old->raw - *copied), err));
    struct ce_key_change change = {
        .gap = job->out->total - job->last_end,
        .row_step = record->row - job->last_row,
        .column = chosen->index,
        .new_size = (uint64_t)size,
        .old_size = old->raw_size,
    };
    CE_TRY(ce_key_add(job->key, &change, old->raw, err));
    CE_TRY(ce_sink_put(job->out, job->text, (size_t)size, err));
    *copied = old->raw + old->raw_size;
    job->last_end = job->out->total;
    job->last_row = record->row;
    job->counts.changed++;
    return 0;
}

static int copy_record(struct job *job, const struct ce_csv_record *record, struct ce_error *err)
{
    const char *copied = record->before;
    for (size_t i = 0; i < job->chosen_count; i++) {
        const struct chosen_column *chosen = &job->chosen[i];
        job->counts.eligible++;
        if (ce_stream_uniform(&chosen->streams.select, record->row) >= job->fault->rate)
            continue;
        job->counts.selected++;
        if (chosen->index >= record->cell_count)
            ce_fault_counts_skip(&job->counts, "absent");
        else
            CE_TRY(replace_cell(job, chosen, record, &copied, err));
    }
    return ce_sink_put(job->out, copied, (size_t)(record->bytes + record->size - copied), err);
}

static int copy_file(struct job *job, struct ce_inject_result *result, struct ce_error *err)
{
    size_t head_size;
    const char *head = ce_csv_head(job->reader, &head_size);
    CE_TRY(ce_sink_put(job->out, head, head_size, err));
    struct ce_csv_record record;
    int got;
    while ((got = ce_csv_next(job->reader, &record, err)) > 0) {
        CE_TRY(copy_record(job, &record, err));
        result->rows++;
    }
    if (got < 0)
        return got;
    return ce_sink_put(job->out, record.before, record.before_size, err);
}

/* ---- the key ---- */

static json_t *describe_recipe(const struct job *job)
{
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, job->fault->seed);
    ce_autojson json_t *columns = json_array(), *chosen = json_array();
    for (size_t i = 0; i < job->profile.column_count; i++) {
        json_t *name = json_string(job->profile.columns[i].name); /* NULL when it is no UTF-8 */
        if (json_array_append_new(columns, name ? name : json_null()) < 0)
            return NULL;
    }
    for (size_t i = 0; i < job->chosen_count; i++)
        if (json_array_append_new(chosen, json_integer((json_int_t)job->chosen[i].index)) < 0)
            return NULL;
    return json_pack("{s:s, s:s, s:f, s:O, s:O}", "fault", job->fault->name, "seed", seed, "rate",
                     job->fault->rate, "columns", columns, "hit_columns", chosen);
}

static json_t *describe_result(const struct ce_inject_result *result)
{
    ce_autojson json_t *skipped = json_object();
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX && result->counts.skipped[i].reason; i++)
        if (json_object_set_new(skipped, result->counts.skipped[i].reason,
                                json_integer((json_int_t)result->counts.skipped[i].count)) < 0)
            return NULL;
    return json_pack("{s:I, s:I, s:I, s:I, s:O, s:s, s:s}", "rows", (json_int_t)result->rows,
                     "eligible", (json_int_t)result->counts.eligible, "selected",
                     (json_int_t)result->counts.selected, "changed",
                     (json_int_t)result->counts.changed, "skipped", skipped, "sha256_in",
                     result->sha256_in, "sha256_out", result->sha256_out);
}

/* First everything durable, then both names: a crash leaves both files, or no output. */
static int publish(struct job *job, struct ce_error *err)
{
    CE_TRY(ce_sink_sync(job->out, err));
    CE_TRY(ce_sink_sync(job->key, err));
    CE_TRY(ce_sink_publish(job->key, err));
    int r = ce_sink_publish(job->out, err);
    if (r < 0)
        (void)unlink(job->key->path);
    return r;
}

int ce_data_inject(const char *in, const char *out, const char *key,
                   const struct ce_cell_fault *fault, struct ce_inject_result *ret_result,
                   struct ce_error *err)
{
    CE_CLEANUP(job_done) struct job job = {.fault = fault};
    struct ce_inject_result result = {0};
    struct stat st;
    if (strcmp(out, key) == 0)
        return ce_fail(err, EINVAL, "output and answer key cannot both be '%s'", out);
    if (stat(in, &st) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", in, strerror(errno));
    CE_TRY(ce_profile_file(in, &job.profile, err));
    CE_TRY(choose_columns(&job, in, err));

    CE_CLEANUP(ce_sha256_free_p) struct ce_sha256 *sha = ce_sha256_new();
    if (!sha)
        return ce_fail_memory(err);
    CE_TRY(ce_csv_open_window(in, 0, sha, &job.reader, err));
    CE_TRY(check_same_columns(&job, in, err));
    CE_TRY(ce_sink_open(out, st.st_mode, &job.out, err));
    CE_TRY(ce_key_begin(key, st.st_mode, describe_recipe(&job), &job.key, err));
    CE_TRY(copy_file(&job, &result, err));

    ce_sha256_end(ce_take(sha), result.sha256_in);
    CE_TRY(ce_sink_digest(job.out, result.sha256_out, err));
    result.columns = job.profile.column_count;
    result.hit_columns = job.chosen_count;
    result.counts = job.counts;
    CE_TRY(ce_key_end(job.key, describe_result(&result), err));
    CE_TRY(publish(&job, err));
    *ret_result = result;
    return 0;
}
