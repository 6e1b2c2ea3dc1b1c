/* SPDX-License-Identifier: MIT */
/* What jobs on files and jobs on streams have in common. */
#ifndef CE_ORCHESTRATOR_DATASET_INTERNAL_H
#define CE_ORCHESTRATOR_DATASET_INTERNAL_H

#include <jansson.h>

#include "data/data.h"
#include "data/sql/sql.h"
#include "faults/fault.h"

/* The mutations of a job. */
struct ce_job_mutations {
    struct ce_dose dose; /* they borrow from it, and from the job */
    struct ce_mutation *items;
    size_t count;
};
int ce_job_mutations_init(const struct ce_data_job *job, uint64_t seed,
                          struct ce_job_mutations *ret, struct ce_error *err);
void ce_job_mutations_done(struct ce_job_mutations *mutations); /* a zeroed one is fine */

uint64_t ce_job_seed(const struct ce_data_job_options *options);
/* The engine's options, from those of the caller; `stats` (may be NULL) is borrowed. */
struct ce_data_options ce_job_options(const struct ce_data_job_options *options,
                                      const struct ce_profile *stats);
/* Statistics from a file or a table, or from what an earlier profile wrote. */
int ce_job_read_stats(const char *path, unsigned threads, struct ce_profile *ret_profile,
                      struct ce_error *err);
/* The document of `data profile --json`; `before` (may be NULL) is what it is compared with. Free
 * *ret_json with free(). */
int ce_profile_text(const struct ce_profile *profile, const struct ce_profile *before,
                    char **ret_json, struct ce_error *err);
/* The document of `data inject --json`. NULL: no memory. */
json_t *ce_job_result(const struct ce_data_job *job, uint64_t seed, const char *key,
                      const struct ce_data_result *result);
/* ce_data_job_run() from file to file. `name` is what messages call the input; NULL: its path. */
int ce_job_run_file(const struct ce_data_job *job, const char *in, const char *name,
                    const char *out, const struct ce_data_job_options *options, json_t **ret_json,
                    struct ce_error *err);
/* The same when one of the two is a table in a database, or both are. */
int ce_job_run_table(const struct ce_data_job *job, const char *in, const char *out,
                     const struct ce_data_job_options *options, json_t **ret_json,
                     struct ce_error *err);

/* ---- tables in databases ---- */

/* A private folder, which a process that dies leaves to the next one to remove. */
struct ce_table_folder {
    char *path; /* NULL: there is none */
    int lock;
};
int ce_table_folder_make(struct ce_table_folder *ret_folder, struct ce_error *err);
void ce_table_folder_remove(struct ce_table_folder *folder); /* a zeroed one is fine */

/* A file to be read in the place of a table. */
struct ce_table_file {
    const char *path;              /* of the file */
    const char *name;              /* what messages call it: the table's address */
    struct ce_table_folder folder; /* without a path when the name was that of a file */
    char *own_path, *own_name;
};
/* `name` is borrowed. A file's name is its own path. */
int ce_table_file_open(const char *name, struct ce_table_file *ret_file, struct ce_error *err);
void ce_table_file_done(struct ce_table_file *file); /* a zeroed one is fine */
/* Puts the address where the sentence names the file; returns r. */
int ce_table_file_fail(const struct ce_table_file *file, int r, struct ce_error *err);

/* The member "as_text" of a result. */
int ce_table_add_loaded(json_t *result, const struct ce_sql_loaded *loaded, struct ce_error *err);

#endif
