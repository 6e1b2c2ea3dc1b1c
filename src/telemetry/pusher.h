/* SPDX-License-Identifier: MIT */
/* The process that pushes. It is told, as lines of JSON through a socket,
 *
 *     {"group": PATH, "text": what to say now, "orphan": what to say once nobody tells it more}
 *     {"end": true}
 *
 * and at the end says {"kept": how many groups were not taken, "lost": how many never will be,
 * "why": a sentence}. */
#ifndef CE_TELEMETRY_PUSHER_H
#define CE_TELEMETRY_PUSHER_H

#include "telemetry/gateway.h"

/* A call, and all that is left to be done at the end, may take so long. */
#define CE_PUSH_CALL_TIMEOUT (1500 * CE_MILLISECOND)
#define CE_PUSH_END_TIMEOUT  (1000 * CE_MILLISECOND)

struct ce_pusher_config {
    const struct ce_gateway *gateway;
    const char *state_dir;
    int fd; /* the socket */
};
/* Until nobody tells it more. Returns an exit code. */
int ce_pusher_run(const struct ce_pusher_config *config);

#endif
