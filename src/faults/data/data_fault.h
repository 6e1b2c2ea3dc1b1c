/* SPDX-License-Identifier: MIT */
/* What the faults on cells share: at which stage they act, how that is done, proven and undone.
 *
 * train: the dataset that the pipeline trains on is replaced by a changed copy, and the pipeline
 * takes it in. The undo is noted before (its before-image); normally the answer key takes the
 * changes back and the before-image vouches for it. serve: the values in live inference requests
 * are edited on their way to the pipeline; see faults/traffic.h.
 *
 * A fault on cells says which columns it takes and what becomes of one value; its callbacks call
 * the functions below. */
#ifndef CE_FAULTS_DATA_FAULT_H
#define CE_FAULTS_DATA_FAULT_H

#include "faults/traffic.h"
#include "proxy/http1.h"

enum ce_stage {
    CE_STAGE_TRAIN = 0,
    CE_STAGE_SERVE,
};
extern const struct ce_choice ce_stages[];

/* One value of a live request, as spelled in its JSON. */
struct ce_live_cell {
    const struct ce_column_profile *column; /* of the dataset's column of that name */
    struct ce_slice text;
    uint64_t random[2];
};

struct ce_data_recipe {
    double rate;
    const struct ce_names
        *columns; /* named by the user; empty: all that `takes_column` takes, but never the label */
    int stage;    /* enum ce_stage */
    bool (*takes_column)(const struct ce_column_profile *column);
    /* As ce_cell_fault.rewrite, without context. */
    int (*rewrite)(void *unused, const struct ce_cell *cell, char *text, size_t size,
                   const char **ret_reason);
    /* The same for a value of a request: new JSON, NUL-terminated. Returns NULL, or why it is
     * skipped (a constant). */
    const char *(*rewrite_live)(const struct ce_live_cell *cell, char *text, size_t size);
};

/* The state of such a fault. */
struct ce_data_fault {
    struct ce_data_recipe recipe;
    const char *label;

    /* train */
    int note; /* of the before-image; 0: nothing to put back */
    char *image, *changed,
        *key; /* the before-image; the changed copy and its answer key in the run's folder */
    char original[CE_SHA256_HEX];
    struct ce_inject_result result; /* of the copy that is in place */
    bool reload_due;                /* the pipeline may have taken in what is not the original */
    struct ce_error reload_error;   /* why it did not take in the changed copy; code 0: it did */

    /* serve */
    struct ce_traffic traffic;
    struct ce_profile profile;
    uint64_t seed;
    const char *fault;
    char probe[CE_PROBE_ID_SIZE]; /* one that the recipe selects at full intensity; "": none */
};

unsigned ce_data_fault_needs(int stage);
/* The callbacks of struct ce_fault, whose state is a struct ce_data_fault. */
int ce_data_fault_inject(struct ce_injection *injection, const struct ce_data_recipe *recipe,
                         struct ce_error *err);
int ce_data_fault_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                         struct ce_error *err);
int ce_data_fault_adjust(struct ce_injection *injection, double intensity, struct ce_error *err);
int ce_data_fault_revert(struct ce_injection *injection, struct ce_error *err);
int ce_data_fault_verify_undo(struct ce_injection *injection, struct ce_error *err);
void ce_data_fault_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts);

#endif
