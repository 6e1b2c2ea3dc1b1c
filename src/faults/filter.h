/* SPDX-License-Identifier: MIT */
/* Which requests a fault on traffic is for: by path, header field, model, and features. */
#ifndef CE_FAULTS_FILTER_H
#define CE_FAULTS_FILTER_H

#include "faults/traffic.h"

/* *ret_filter is NULL when the parameters let everything through, as params NULL does. -EINVAL:
 * what is malformed, and where. */
int ce_filter_new(const struct ce_traffic_params *params, struct ce_filter **ret_filter,
                  struct ce_error *err);
void ce_filter_free(struct ce_filter *filter); /* NULL is fine */

/* Below, a filter of NULL lets everything through. Any thread. */

/* Whether it cannot be decided without the request's body. */
bool ce_filter_wants_body(const struct ce_filter *filter);
/* Whether a request may pass, by what its path says. */
bool ce_filter_path(const struct ce_filter *filter, const char *path, const struct ce_call *call);
/* Whether it may, by its header; probes do. */
bool ce_filter_header(const struct ce_filter *filter, const struct ce_exchange *exchange);
/* Whether it does, by its body, too: 1; 0; -ENOENT when it has no such feature as the predicate
 * names; or another -errno when the body cannot be read. */
int ce_filter_body(const struct ce_filter *filter, const struct ce_call *call,
                   const struct ce_message *request);

#endif
