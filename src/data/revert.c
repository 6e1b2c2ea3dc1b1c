/* SPDX-License-Identifier: MIT */
/* Undoing an injection by its answer key, which is a patch in bytes: no CSV is parsed here. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "data/inject.h"
#include "data/key.h"

/* What neither seal nor hash can excuse: the key's own numbers do not fit. */
static int ended_early(int r, const char *path, struct ce_error *err)
{
    return r == -ENODATA
               ? ce_fail(err, EINVAL, "the answer key's changes do not fit into '%s'", path)
               : r;
}

static int apply(struct ce_key *key, struct ce_source *out, struct ce_sink *back,
                 struct ce_error *err)
{
    struct ce_key_change change;
    int got;
    while ((got = ce_key_next(key, &change, err)) > 0) {
        CE_TRY(ended_early(ce_source_copy(out, change.gap, back, err), out->path, err));
        CE_TRY(ended_early(ce_source_copy(out, change.new_size, NULL, err), out->path, err));
        CE_TRY(ended_early(ce_source_copy(key->source, change.old_size, back, err),
                           key->source->path, err));
    }
    if (got < 0)
        return got;
    return ce_source_drain(out, back, err);
}

int ce_data_revert(const char *out, const char *key_path, const char *back_path,
                   struct ce_error *err)
{
    CE_CLEANUP(ce_key_done) struct ce_key key = {0};
    CE_CLEANUP(ce_source_free_p) struct ce_source *source = NULL;
    CE_CLEANUP(ce_sink_free_p) struct ce_sink *back = NULL;
    char found[CE_SHA256_HEX];
    struct stat st;

    CE_TRY(ce_key_open(key_path, &key, err));
    CE_TRY(ce_sha256_file(out, found, err));
    if (strcmp(found, key.sha256_out) != 0)
        return ce_fail(err, EINVAL, "'%s' is not the file that the answer key '%s' was made for",
                       out, key_path);
    if (stat(out, &st) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", out, strerror(errno));

    CE_TRY(ce_source_open(out, UINT64_MAX, &source, err));
    CE_TRY(ce_sink_open(back_path, st.st_mode, &back, err));
    CE_TRY(apply(&key, source, back, err));
    CE_TRY(ce_sink_digest(back, found, err));
    if (strcmp(found, key.sha256_in) != 0)
        return ce_fail(err, EINVAL,
                       "'%s' does not give back the original of '%s': the hashes differ", key_path,
                       out);
    CE_TRY(ce_sink_sync(back, err));
    return ce_sink_publish(back, err);
}
