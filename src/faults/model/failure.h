/* SPDX-License-Identifier: MIT */
/* The ways in which a request to a model server fails, and the proof that it did: what
 * model_unavailable and batch_processing_failure have in common. */
#ifndef CE_FAULTS_MODEL_FAILURE_H
#define CE_FAULTS_MODEL_FAILURE_H

#include "faults/traffic.h"

enum ce_failure_way {
    CE_FAILURE_ERROR = 0, /* answered with an error, in the shape of the request's protocol */
    CE_FAILURE_RESET,     /* the connection is reset */
    CE_FAILURE_HANG,      /* taken and never answered */
    CE_FAILURE_CUT,       /* half of the answer comes, then the connection is reset */
    CE_FAILURE_REFUSED,   /* nobody listens: for the proof only */
};

struct ce_failure_shape;

struct ce_failure {
    enum ce_failure_way way;
    int status;                      /* of CE_FAILURE_ERROR */
    struct ce_failure_shape *shapes; /* of its answer: one for each protocol, and one for none */
    size_t shape_count;
};

/* `sentence` is what the error says; `retry_after_ns` goes into a Retry-After field, in whole
 * seconds, unless it is negative. */
int ce_failure_init(struct ce_failure *failure, enum ce_failure_way way, int status,
                    const char *sentence, int64_t retry_after_ns, struct ce_error *err);
void ce_failure_done(struct ce_failure *failure); /* a zeroed one is fine */

/* Lets the request fail: in on_request, or in on_response with its body for CE_FAILURE_CUT. Counts
 * it as changed. The headers of `action` live as long as the failure. */
void ce_failure_act(const struct ce_failure *failure, const struct ce_visit *visit,
                    struct ce_action *action);

/* For verify: whether a probe that is hit fails in that way (`failure->way`, or nobody listens),
 * and one that is not comes through untouched. */
int ce_failure_verify(const struct ce_failure *failure, bool nobody_listens,
                      const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                      struct ce_evidence *ret_evidence, struct ce_error *err);

#endif
