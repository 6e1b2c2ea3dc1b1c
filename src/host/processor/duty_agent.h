/* SPDX-License-Identifier: MIT */
/* What duty.c asks of its agent, and what runs there. */
#ifndef CE_HOST_PROCESSOR_DUTY_AGENT_H
#define CE_HOST_PROCESSOR_DUTY_AGENT_H

#include "base/identity.h"

struct ce_duty_order {
    enum { CE_DUTY_SHARE, CE_DUTY_ADD } kind;
    double share;            /* CE_DUTY_SHARE */
    struct ce_process_id id; /* CE_DUTY_ADD */
};
struct ce_duty_answer {
    int result; /* 0, -ESRCH: it has ended, -EPERM: it is somebody else's, -ENOSPC: too many */
};

int ce_duty_agent_run(void *ctx, int channel);

#endif
