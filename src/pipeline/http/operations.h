/* SPDX-License-Identifier: MIT */
/* The workload's requests, made of labelled rows. */
#ifndef CE_PIPELINE_HTTP_OPERATIONS_H
#define CE_PIPELINE_HTTP_OPERATIONS_H

#include "net/url.h"
#include "pipeline/http/judge.h"

/* One request for each row, in their order, judged by `judge`. Path and Host are those of the url,
 * of which the operations borrow; they own the rest. *ret_key: as for ce_pipeline_check(). */
int ce_operations_make(const struct ce_pipeline_spec *spec, const struct ce_url *url,
                       const struct ce_labelled *labelled, const struct ce_judge *judge,
                       struct ce_operations *ret_operations, const char **ret_key,
                       struct ce_error *err);
void ce_operations_done(struct ce_operations *operations); /* a zeroed one is fine */
/* Whether a request of that protocol can be made of the rows, without making all of them. */
int ce_operations_check(const struct ce_pipeline_spec *spec, const struct ce_labelled *labelled,
                        const struct ce_protocol *protocol, const char **ret_key,
                        struct ce_error *err);

#endif
