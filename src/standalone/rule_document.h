/* SPDX-License-Identifier: MIT */
/* A rule as clients of the control API write it:
 *
 *     {"id": "slow", "fault": "slow_inference", "parameters": {"latency_ms": 200}, "share": 0.5,
 *      "filter": {"path": "^/v2/", "header": {"X-Tenant": "^a"}, "model": "churn",
 *                 "where": "age > 60"}, "intensity": 1}
 */
#ifndef CE_STANDALONE_RULE_DOCUMENT_H
#define CE_STANDALONE_RULE_DOCUMENT_H

#include <jansson.h>

#include "base/error.h"

struct ce_rule_document {
    json_t *json;      /* as it came; the texts below point into it */
    const char *id;    /* NULL: left out */
    const char *fault; /* NULL: left out */
    json_t
        *parameters; /* {name: value}: share and filter among them, by the fault's names for them */
    double intensity; /* negative: left out */
};

/* -EINVAL with what is wrong and what would be accepted. End it with ce_rule_document_done(). */
int ce_rule_document_parse(const char *text, size_t size, struct ce_rule_document *ret,
                           struct ce_error *err);
void ce_rule_document_done(struct ce_rule_document *document); /* a zeroed one is fine */

#endif
