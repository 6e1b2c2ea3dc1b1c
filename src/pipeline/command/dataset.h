/* SPDX-License-Identifier: MIT */
/* The dataset of a batch job: a private copy of what the document names, on which faults act and
 * which the trials read. */
#ifndef CE_PIPELINE_COMMAND_DATASET_H
#define CE_PIPELINE_COMMAND_DATASET_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/hash.h"

struct ce_dataset_copy {
    char *path;     /* absolute */
    char *variable; /* "CHAOSEATER_DATASET=..." */
    pthread_mutex_t lock;
    bool is_hashed;     /* under the lock, as is what follows */
    struct stat hashed; /* the file, when it was */
    char hash[CE_SHA256_HEX];
};

/* Whether that can be copied. */
int ce_dataset_copy_check(const char *path, struct ce_error *err);
/* Makes it in a folder of its own in `run_folder`, under its own name. End it with
 * ce_dataset_copy_done(), also after a failure. */
int ce_dataset_copy_make(const char *path, const char *run_folder, struct ce_dataset_copy *ret_copy,
                         struct ce_error *err);
void ce_dataset_copy_done(struct ce_dataset_copy *copy); /* a zeroed one is fine */

/* Looks what the copy is now; reads it only if it has changed. Any thread. */
int ce_dataset_copy_look(struct ce_dataset_copy *copy, struct ce_error *err);
/* What it was when it was last looked at. */
void ce_dataset_copy_seen(struct ce_dataset_copy *copy, char ret_hex[CE_SHA256_HEX]);

#endif
