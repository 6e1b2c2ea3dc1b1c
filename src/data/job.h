/* SPDX-License-Identifier: MIT */
/* What an injection is made of, whatever the format: the files it may use, the statistics that its
 * mutations need, and how its output and key appear. */
#ifndef CE_DATA_JOB_H
#define CE_DATA_JOB_H

#include "data/data.h"
#include "data/stream/stream.h"

#define CE_JOB_PREFIX                                                                              \
    ((size_t)16 << 20) /* of what cannot be read twice, unless the options say                     \
                        */

/* Refuses (-EINVAL) files that would overwrite each other. `key` may be NULL. */
int ce_job_check_paths(const char *in, const char *out, const char *key, struct ce_error *err);
/* Refuses shards that there are not, and a key for one. */
int ce_job_check_shard(const struct ce_data_options *options, const char *key,
                       struct ce_error *err);
/* The sentence on a shard of what cannot be read twice. */
int ce_job_fail_shard(const char *name, struct ce_error *err);
/* The sentence on an input that was another one when it was read again. */
int ce_job_fail_changed(const char *name, struct ce_error *err);

/* Whether it changes nothing, whatever the input holds. */
bool ce_job_idle(const struct ce_mutation *mutation);
/* Adds the statistics that the mutation needs, its scope included. */
int ce_job_add_needs(const struct ce_mutation *mutation, unsigned *stats, struct ce_error *err);

/* First everything durable, then both names: a crash leaves both files, or no output. `key`: NULL,
 * or sealed. */
int ce_job_publish(struct ce_output *out, struct ce_output *key, const char *key_path,
                   struct ce_error *err);

#endif
