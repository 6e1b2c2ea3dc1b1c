/* SPDX-License-Identifier: MIT */
/* Which processes a fault acts on: a service of the pipeline, or what `target:` names. */
#ifndef CE_FAULTS_INFRA_WHOM_H
#define CE_FAULTS_INFRA_WHOM_H

#include "faults/target.h"
#include "host/subject.h"

/* The subject, and all processes of it as they are now (ce_process_list_done()). `service` counts
 * for pipelines only. -EPERM: ChaosEater itself is one of them. */
int ce_whom_find(const struct ce_target *target, const char *service,
                 struct ce_subject *ret_subject, struct ce_process_list *ret_list,
                 struct ce_error *err);
/* Processor time that they have used so far, ns. */
int64_t ce_whom_cpu_time(const struct ce_process_list *list);

#endif
