/* SPDX-License-Identifier: MIT */
/* What the data faults share: at which stage they act, how that is done, proven and undone. A fault
 * only says what its mutation is.
 *
 * train: the dataset that the pipeline trains on is replaced by a changed copy, and the pipeline
 * takes it in. The undo is noted before (its before-image); normally the answer key takes the
 * changes back and the before-image vouches for it. serve: the values in live inference requests
 * are edited on their way to the pipeline; see live.h. */
#ifndef CE_FAULTS_DATA_FAULT_H
#define CE_FAULTS_DATA_FAULT_H

#include "data/data.h"
#include "faults/data/live.h"
#include "faults/data/scope.h"

/* The state of a data fault. */
struct ce_data_fault {
    int stage;

    /* train */
    int note; /* of the before-image; 0: nothing to put back */
    char *image, *changed,
        *key; /* the before-image; the changed copy and its answer key in the run's folder */
    char original[CE_SHA256_HEX];
    enum ce_mutation_kind kind;
    double rate;                   /* at full intensity */
    struct ce_data_result result;  /* of the copy that is in place; its counts are not kept ... */
    struct ce_fault_counts counts; /* ... but here */
    bool reload_due;               /* the pipeline may have taken in what is not the original */
    struct ce_error reload_error;  /* why it did not take in the changed copy; code 0: it did */

    struct ce_live live; /* serve */
};

/* The callbacks of struct ce_fault, for parameters that begin with a struct ce_scope_params. */
unsigned ce_data_fault_needs(const void *params);
int ce_data_fault_inject(struct ce_injection *injection, struct ce_error *err);
int ce_data_fault_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                         struct ce_error *err);
int ce_data_fault_adjust(struct ce_injection *injection, double intensity, struct ce_error *err);
int ce_data_fault_spare(struct ce_injection *injection, double share, struct ce_error *err);
int ce_data_fault_revert(struct ce_injection *injection, struct ce_error *err);
int ce_data_fault_verify_undo(struct ce_injection *injection, struct ce_error *err);
void ce_data_fault_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts);

/* The last rows of a data fault's descriptor. */
#define CE_DATA_FAULT_CALLBACKS                                                                    \
    .layer = CE_LAYER_DATA, .needs = CE_NEEDS_DATASET, .state_size = sizeof(struct ce_data_fault), \
    .needs_of = ce_data_fault_needs, .inject = ce_data_fault_inject,                               \
    .verify = ce_data_fault_verify, .adjust = ce_data_fault_adjust, .spare = ce_data_fault_spare,  \
    .revert = ce_data_fault_revert, .verify_undo = ce_data_fault_verify_undo,                      \
    .count = ce_data_fault_count

#endif
