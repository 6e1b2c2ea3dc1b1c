/* SPDX-License-Identifier: MIT */
/* Means that live in an agent (host/agent.h): what packets.c asks of them is a message to it. */
#ifndef CE_HOST_PACKETS_MEANS_AGENT_H
#define CE_HOST_PACKETS_MEANS_AGENT_H

#include "host/agent.h"
#include "host/packets/packet_means.h"

enum ce_means_wish {
    CE_MEANS_ADJUST = 0, /* to `deed` */
    CE_MEANS_COUNT,
    CE_MEANS_FINISH, /* take everything back, and end */
};
struct ce_means_request {
    enum ce_means_wish wish;
    struct ce_packet_deed deed;
};
struct ce_means_answer {
    int result;
    uint64_t seen, hit;
    struct ce_error err;
};

struct ce_means_agent {
    struct ce_packets packets;
    struct ce_agent *agent;
};

/* For ce_packet_means: begin() starts an agent in the target's network namespace, with `packets` as
 * its `ctx`; the rest asks it. */
int ce_means_agent_begin(struct ce_packets *packets, ce_agent_run *run, struct ce_error *err);
int ce_means_agent_adjust(struct ce_packets *packets, const struct ce_packet_deed *deed,
                          struct ce_error *err);
int ce_means_agent_count(struct ce_packets *packets, uint64_t *ret_seen, uint64_t *ret_hit,
                         struct ce_error *err);
int ce_means_agent_end(struct ce_packets *packets, struct ce_error *err);

/* In the agent: the next request that has come; false: the channel has ended. */
bool ce_means_agent_next(int channel, struct ce_means_request *ret_request);
void ce_means_agent_reply(int channel, const struct ce_means_answer *answer);

#endif
