/* SPDX-License-Identifier: MIT */
/* A file of ours over a target's /etc/resolv.conf.
 *
 * The agent makes the file in a filesystem that nobody sees, and lays it over the other in the
 * target's mount namespace, where nothing may pass it on to others. Programs that have read the
 * file before may go on asking as they did. A keeper beside the agent takes it away again when the
 * agent ends alone; else its undo does, and both look whether it is still ours, under a lock. */
#ifndef CE_HOST_NAMES_RESOLVER_FILE_H
#define CE_HOST_NAMES_RESOLVER_FILE_H

#include "host/agent.h"
#include "host/names/dns_server.h"
#include "host/names/resolv_conf.h"

struct ce_resolver_file {
    struct ce_dns_service *service; /* listens nowhere yet */
    const struct ce_place *place;
    const struct ce_resolv_conf *conf;
};
/* What runs in the agent (ce_agent_run; `ctx` is a struct ce_resolver_file). It has made everything
 * ready when it stands; the rest is asked for by ce_resolver_file_lay(). */
int ce_resolver_file_run(void *ctx, int channel);
/* Notes the undo, lays the file over the other, and lets the agent serve. *ret_note is set as soon
 * as there is one, also on failure. */
int ce_resolver_file_lay(struct ce_journal *journal, const struct ce_place *place,
                         struct ce_agent *agent, int *ret_note, struct ce_error *err);

#endif
