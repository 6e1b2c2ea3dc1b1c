/* SPDX-License-Identifier: MIT */
/* A circuit breaker: after several failures in a row nobody asks any more for a while, then one
 * call may try. Any thread. */
#ifndef CE_PIPELINE_EMBEDDED_BREAKER_H
#define CE_PIPELINE_EMBEDDED_BREAKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct ce_breaker {
    pthread_mutex_t lock;
    int failures_allowed;
    int64_t rest_ns; /* how long nobody asks */
    int failures;    /* in a row */
    int64_t resting_until;
};

void ce_breaker_init(struct ce_breaker *breaker, int failures_allowed, int64_t rest_ns);
/* Whether a call may be made now. While resting, one call at the end of each rest. */
bool ce_breaker_may_call(struct ce_breaker *breaker);
void ce_breaker_report(struct ce_breaker *breaker, bool success);

#endif
