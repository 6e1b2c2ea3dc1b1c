/* SPDX-License-Identifier: MIT */
/* Taking a share of the processor time away from a target, by the first means that works, and
 * seeing that it is gone. What cpu_throttle does, and node_failure when the node is slow. */
#ifndef CE_FAULTS_INFRA_THROTTLE_H
#define CE_FAULTS_INFRA_THROTTLE_H

#include "faults/fault.h"
#include "host/subject.h"

enum ce_throttle_means {
    CE_THROTTLE_AUTO = 0,
    CE_THROTTLE_V2,
    CE_THROTTLE_V1,
    CE_THROTTLE_DUTY,
};
/* For a parameter `mechanism`. */
extern const struct ce_choice ce_throttle_choices[];

struct ce_throttle;

/* Begins with nothing taken away. Of quotas the share is one of `processors` processors' time; 0:
 * of as many as the target uses now, rounded, at least one; never of more than it may use. A
 * control group that is the target itself gets the quota; else one of ours is made. */
int ce_throttle_begin(struct ce_journal *journal, const struct ce_subject *subject,
                      const struct ce_process_list *processes, enum ce_throttle_means means,
                      double processors, struct ce_throttle **ret_throttle, struct ce_error *err);
/* From now on that share, 0..1, is taken away. */
int ce_throttle_set(struct ce_throttle *throttle, double taken, struct ce_error *err);
/* Measures from outside what the target uses; when that is less than it may, processes of ours
 * that use all they get are put beside it for about a second. 1 when it is what it should be. */
int ce_throttle_verify(struct ce_throttle *throttle, struct ce_evidence *ret_evidence,
                       struct ce_error *err);
/* Undoes it and frees `throttle`, in every case. NULL is fine. */
int ce_throttle_end(struct ce_throttle *throttle, struct ce_error *err);

#endif
