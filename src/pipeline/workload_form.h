/* SPDX-License-Identifier: MIT */
/* What a form of the workload gives to the front (workload.c). See the functions of these names. */
#ifndef CE_PIPELINE_WORKLOAD_FORM_H
#define CE_PIPELINE_WORKLOAD_FORM_H

#include "pipeline/workload.h"

struct ce_workload_form {
    void (*begin)(struct ce_workload *workload, enum ce_phase phase, uint64_t count,
                  int64_t duration);
    void (*pause)(struct ce_workload *workload);
    void (*give_up)(struct ce_workload *workload); /* NULL: as pause */
    uint64_t (*due)(const struct ce_workload *workload);
    bool (*all_due)(const struct ce_workload *workload);
    /* NULL: it keeps none. */
    void (*last_failure)(struct ce_workload *workload, struct ce_error *ret_failure);
    int (*next)(struct ce_workload *workload, struct ce_outcome *ret_outcome, int64_t until);
    size_t (*in_flight)(const struct ce_workload *workload);
    int64_t (*oldest_due)(const struct ce_workload *workload);
    int (*fd)(const struct ce_workload *workload);
    void (*stop)(struct ce_workload *workload);
};

/* The first member of a workload of any form. */
struct ce_workload {
    const struct ce_workload_form *form;
};

/* Waits until that descriptor is readable, or ce_now() >= `until`. False: it is not, or a signal
 * came, which is for the caller to see to. */
bool ce_workload_await(int ready, int64_t until);

#endif
