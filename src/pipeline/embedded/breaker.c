/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/breaker.h"

#include "base/clock.h"

void ce_breaker_init(struct ce_breaker *breaker, int failures_allowed, int64_t rest_ns)
{
    *breaker = (struct ce_breaker){.failures_allowed = failures_allowed, .rest_ns = rest_ns};
    (void)pthread_mutex_init(&breaker->lock, NULL);
}

bool ce_breaker_may_call(struct ce_breaker *breaker)
{
    (void)pthread_mutex_lock(&breaker->lock);
    int64_t now = ce_now();
    bool may = breaker->failures < breaker->failures_allowed || now >= breaker->resting_until;
    if (may && breaker->failures >= breaker->failures_allowed)
        breaker->resting_until =
            now + breaker->rest_ns; /* this call is the trial; the others go on resting */
    (void)pthread_mutex_unlock(&breaker->lock);
    return may;
}

void ce_breaker_report(struct ce_breaker *breaker, bool success)
{
    (void)pthread_mutex_lock(&breaker->lock);
    if (success) {
        breaker->failures = 0;
    } else if (breaker->failures < breaker->failures_allowed &&
               ++breaker->failures == breaker->failures_allowed) {
        breaker->resting_until = ce_now() + breaker->rest_ns;
    }
    (void)pthread_mutex_unlock(&breaker->lock);
}
