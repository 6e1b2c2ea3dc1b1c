/* SPDX-License-Identifier: MIT */
/* A process that the supervisor runs: resolver, trainer, server or gateway. */
#ifndef CE_PIPELINE_EMBEDDED_CHILD_H
#define CE_PIPELINE_EMBEDDED_CHILD_H

#include "base/identity.h"
#include "pipeline/channel.h"
#include "pipeline/embedded/roles.h"

struct ce_child {
    const char *role;
    struct ce_process_id id; /* pid 0: not running */
    int channel;             /* -1: none */
    bool ready;              /* it said so */
    int port;                /* kept from one process to the next; 0: never had one */
    int64_t started_at;
    int64_t start_at; /* when it is to be started again; 0: not due */
};

/* Executes it; it dies with the supervisor. Resolver and trainer take no port, a server no
 * `upstream_port`. */
int ce_child_start(struct ce_child *child, const struct ce_role *supervisor, int upstream_port,
                   struct ce_error *err);
/* SIGKILL; that it has ended is learnt from SIGCHLD. */
void ce_child_kill(const struct ce_child *child);
/* Forgets the process, which was reaped. */
void ce_child_ended(struct ce_child *child);
/* The next message that waits: 1, or 0 when there is none. Ends the channel when the other end is
 * gone. */
int ce_child_receive(struct ce_child *child, struct ce_channel_message *ret_message);

#endif
