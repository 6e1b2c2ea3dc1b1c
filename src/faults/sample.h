/* SPDX-License-Identifier: MIT */
/* The target's sample requests, of which those serve as probes that a fault's filter lets through.
 */
#ifndef CE_FAULTS_SAMPLE_H
#define CE_FAULTS_SAMPLE_H

#include "faults/traffic.h"

struct ce_sample {
    uint64_t row;
    const char *path; /* borrowed */
    char *body;       /* free with free() */
    size_t size;
    struct ce_call call; /* what it asks for; .protocol NULL: not known */
};

/* Their Content-Type. */
static inline const char *ce_sample_type(const struct ce_target *target)
{
    return target->sample_type ? target->sample_type : "application/json";
}
struct ce_message ce_sample_message(const struct ce_target *target, const struct ce_sample *sample);

/* The first one from row `from` on that the filter lets through. -ENODATA: none within reach;
 * -ENOTSUP: the target offers none at all; or another -errno. */
int ce_sample_find(const struct ce_traffic *traffic, uint64_t from, struct ce_sample *ret_sample,
                   struct ce_error *err);
/* For arming: the row of the first one of all, if the filter or the fault's scope can tell, else 0.
 * 0, also when the target offers none; or as above; -ENODATA as well when it asks for no prediction
 * and the fault is about nothing else. */
int ce_sample_first(const struct ce_traffic *traffic, uint64_t *ret_row, struct ce_error *err);

#endif
