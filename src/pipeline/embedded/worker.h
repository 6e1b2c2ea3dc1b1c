/* SPDX-License-Identifier: MIT */
/* What server and gateway have in common: they tell the supervisor when they are ready, and load
 * the models again when it says so. */
#ifndef CE_PIPELINE_EMBEDDED_WORKER_H
#define CE_PIPELINE_EMBEDDED_WORKER_H

#include "base/error.h"

/* Says "ready PORT", or if `r` < 0 why not; then calls `reload` whenever the supervisor asks. Ends
 * the process when the supervisor is gone: other threads may be using `ctx`. */
void ce_worker_serve(int r, const struct ce_error *err, int port,
                     int (*reload)(void *ctx, struct ce_error *err), void *ctx)
    __attribute__((noreturn));
/* Sends "failed CODE SENTENCE" to the supervisor. */
int ce_worker_report_failure(const struct ce_error *err);

#endif
