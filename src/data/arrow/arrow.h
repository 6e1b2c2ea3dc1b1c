/* SPDX-License-Identifier: MIT */
/* The engine for typed tables: mutations over a stream of Arrow record batches. Parquet and Arrow
 * IPC files are read into such streams and written from them; a program hands in its own.
 *
 * Streams are moved: whoever gets one releases it; a function that fails has released what it was
 * given. */
#ifndef CE_DATA_ARROW_ARROW_H
#define CE_DATA_ARROW_ARROW_H

#include "data/answer_key.h"
#include "data/arrow/abi.h"
#include "data/data.h"

/* Statistics of a stream; releases it. */
int ce_arrow_profile(struct ArrowArrayStream *in, const char *name, unsigned stats,
                     struct ce_profile *ret_profile, struct ce_error *err);

/* Names and types of the columns alone, from the schema, which is all that many mutations need.
 * Does not pull a batch, and leaves the stream as it is. */
int ce_arrow_profile_types(struct ArrowArrayStream *in, struct ce_profile *ret_profile,
                           struct ce_error *err);

/* A mutated stream, made batch by batch as it is pulled. `profile` (of the whole input),
 * `mutations` and `key` (may be NULL) are borrowed and must outlive it. *ret_result is filled when
 * the stream has been pulled to its end (get_next gives a released array); counts included. Entries
 * go to the key as they come. Key and hashes: kind "table"; sha256 are those of the content
 * (docs/internals/answer-key.md says how it is taken). */
struct ce_arrow_mutate {
    const struct ce_mutation *mutations;
    size_t count;
    const struct ce_profile *profile;
    struct ce_output *key;
    const struct ce_data_options *options; /* shard, stop, name */
    bool unhashed;                         /* the contents' hashes are not wanted; without `key` */
};
int ce_arrow_mutate(struct ArrowArrayStream *in, const struct ce_arrow_mutate *how,
                    struct ce_data_result *result, struct ArrowArrayStream *ret_out,
                    struct ce_error *err);
/* The statistics of the whole input that its mutations need; *ret_any: false if the names and types
 * of its columns are enough. */
int ce_arrow_needs(const struct ce_arrow_mutate *how, unsigned *ret_stats, bool *ret_any,
                   struct ce_error *err);
/* The header and trailer of such a key. NULL: no memory. */
json_t *ce_arrow_key_header(const struct ce_arrow_mutate *how);
json_t *ce_arrow_key_trailer(const struct ce_arrow_mutate *how,
                             const struct ce_data_result *result);

/* Old values of such a key as text, for people. `layout`: the bytes of the key's first entry, which
 * is of kind CE_KEY_LAYOUT. -EBADMSG: damaged. */
struct ce_arrow_key_text;
int ce_arrow_key_text_new(const void *layout, size_t size, struct ce_arrow_key_text **ret_text,
                          struct ce_error *err);
void ce_arrow_key_text_free(struct ce_arrow_key_text *text); /* NULL is fine */
/* `cell`: the bytes of an entry CE_KEY_CELL + column. *ret_text is NULL for a null, "[...]" for
 * what is nested, and valid until the next call. */
int ce_arrow_key_text_cell(struct ce_arrow_key_text *text, size_t column, const char *cell,
                           size_t size, const char **ret_text, size_t *ret_size,
                           struct ce_error *err);

/* The stream as it was before, from the changed one and its key; *ret_sha256 (65 bytes, may be
 * NULL) is filled at the end with that of the content given back. */
int ce_arrow_revert(struct ArrowArrayStream *changed, struct ce_key *key, char *ret_sha256,
                    struct ArrowArrayStream *ret_out, struct ce_error *err);
/* Hash of the content of a stream; releases it. */
int ce_arrow_digest(struct ArrowArrayStream *in, char ret_hex[CE_SHA256_HEX], struct ce_error *err);

/* As ce_data_diff(); releases both. */
int ce_arrow_diff(struct ArrowArrayStream *a, struct ArrowArrayStream *b,
                  void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                  struct ce_diff *ret_diff, struct ce_error *err);

#endif
