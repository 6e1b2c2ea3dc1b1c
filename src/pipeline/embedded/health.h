/* SPDX-License-Identifier: MIT */
/* Asks a server whether it lives, without waiting: one GET /v2/health/live at a time, driven by the
 * supervisor's poll loop. */
#ifndef CE_PIPELINE_EMBEDDED_HEALTH_H
#define CE_PIPELINE_EMBEDDED_HEALTH_H

#include <stdint.h>

enum ce_health {
    CE_HEALTH_WAITING = 0, /* no answer yet */
    CE_HEALTH_LIVE,
    CE_HEALTH_SILENT, /* no good answer in time */
};

struct ce_health_check {
    int fd; /* to poll for `events`; -1: no check goes on */
    short events;
    int64_t deadline; /* ce_now() time */
};
void ce_health_start(struct ce_health_check *check, int port, int64_t timeout);
/* Goes on with a check: call it when `fd` is ready or the deadline has passed. Ends the check
 * unless it is still waiting. */
enum ce_health ce_health_continue(struct ce_health_check *check);
void ce_health_cancel(struct ce_health_check *check);

#endif
