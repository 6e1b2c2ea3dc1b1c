/* SPDX-License-Identifier: MIT */
/* What the text engine's files share. */
#ifndef CE_DATA_TEXT_TEXT_INTERNAL_H
#define CE_DATA_TEXT_TEXT_INTERNAL_H

#include "data/data.h"
#include "data/text/chunk.h"

int ce_text_inject(const char *in, const char *out, const char *key,
                   const struct ce_mutation *mutations, size_t count,
                   const struct ce_data_options *options, struct ce_data_result *ret_result,
                   struct ce_error *err);
int ce_text_revert(const char *out, const char *key, const char *back, struct ce_error *err);
int ce_text_profile(const char *path, unsigned stats, const struct ce_data_options *options,
                    struct ce_profile *ret_profile, struct ce_error *err);
int ce_text_diff(const char *a, const char *b,
                 void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                 struct ce_diff *ret_diff, struct ce_error *err);

/* ce_text_inject() in chunks of about `chunk_size` bytes (0: the usual size): tests meet their
 * edges. */
int ce_text_inject_chunks(const char *in, const char *out, const char *key,
                          const struct ce_mutation *mutations, size_t count,
                          const struct ce_data_options *options, size_t chunk_size,
                          struct ce_data_result *ret_result, struct ce_error *err);

/* What the options say to the reader. */
struct ce_chunk_options ce_text_chunk_options(const struct ce_data_options *options);
/* Statistics of what the reader gives; its table gets the columns that appear on the way. */
int ce_text_profile_reader(struct ce_chunk_reader *reader, unsigned stats,
                           const struct ce_data_options *options, struct ce_profile *ret_profile,
                           struct ce_error *err);
/* Gives the table the profile's columns that it lacks: where records name their columns, its
 * beginning need not have shown all. */
int ce_text_table_widen(struct ce_text_table *table, const struct ce_profile *profile,
                        struct ce_error *err);

#endif
