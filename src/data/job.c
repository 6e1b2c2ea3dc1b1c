/* SPDX-License-Identifier: MIT */
#include "data/job.h"

#include <string.h>
#include <unistd.h>

#include "data/selection.h"

static bool is_standard(const char *path)
{
    return strcmp(path, "-") == 0;
}

int ce_job_check_paths(const char *in, const char *out, const char *key, struct ce_error *err)
{
    if (!is_standard(in) && ce_paths_meet(in, out))
        return ce_fail(err, EINVAL, "'%s' is both input and output", in);
    if (!key)
        return 0;
    if (is_standard(key))
        return ce_fail(err, EINVAL, "the answer key needs a file: '-' is none");
    if (ce_paths_meet(in, key))
        return ce_fail(err, EINVAL, "'%s' is both input and answer key", in);
    if (ce_paths_meet(out, key))
        return ce_fail(err, EINVAL, "'%s' is both output and answer key", out);
    return 0;
}

int ce_job_check_shard(const struct ce_data_options *options, const char *key, struct ce_error *err)
{
    unsigned shard = options->shard, shards = options->shard_count;
    if (shard == 0 && shards == 0)
        return 0;
    if (shard == 0 || shard > shards)
        return ce_fail(err, EINVAL, "shard %u/%u: shards count from 1/%u to %u/%u", shard, shards,
                       shards, shards, shards);
    if (key)
        return ce_fail(err, EINVAL,
                       "a shard has no answer key of its own: inject the whole for one");
    return 0;
}

int ce_job_fail_shard(const char *name, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "shards need the number of rows: '%s' must be a file", name);
}

int ce_job_fail_changed(const char *name, struct ce_error *err)
{
    return ce_fail(err, EBUSY, "'%s' was changed by someone else while it was read", name);
}

bool ce_job_idle(const struct ce_mutation *mutation)
{
    return mutation->kind != CE_MUTATE_LAYOUT && mutation->scope.rate <= 0;
}

int ce_job_add_needs(const struct ce_mutation *mutation, unsigned *stats, struct ce_error *err)
{
    unsigned of_scope = 0;
    CE_TRY(ce_scope_needs(&mutation->scope, &of_scope, err));
    *stats |= mutation->needs | of_scope;
    return 0;
}

int ce_job_publish(struct ce_output *out, struct ce_output *key, const char *key_path,
                   struct ce_error *err)
{
    CE_TRY(ce_output_sync(out, err));
    if (key) {
        CE_TRY(ce_output_sync(key, err));
        CE_TRY(ce_output_publish(key, err));
    }
    int r = ce_output_publish(out, err);
    if (r < 0 && key)
        (void)unlink(key_path);
    return r;
}
