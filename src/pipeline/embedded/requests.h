/* SPDX-License-Identifier: MIT */
/* Inference requests in the Open Inference Protocol (v2, REST): one input tensor for each feature
 * column. */
#ifndef CE_PIPELINE_EMBEDDED_REQUESTS_H
#define CE_PIPELINE_EMBEDDED_REQUESTS_H

#include "pipeline/embedded/dataset.h"
#include "pipeline/workload.h"

#define CE_REQUEST_PATH "/v2/models/churn/infer"

/* The body of a request about these customers, whose features are all known. `id` may be NULL. Free
 * with free(); NULL: no memory. */
char *ce_request_write(const char *id, const struct ce_sample *samples, size_t count,
                       size_t *ret_size);

/* Labelled requests about customers first..first+count-1 of the seed's population. Free with
 * ce_requests_done(). */
int ce_requests_make(uint64_t seed, uint64_t first, size_t count,
                     struct ce_operations *ret_operations, struct ce_error *err);
void ce_requests_done(struct ce_operations *operations);

#endif
