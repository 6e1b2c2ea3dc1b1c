/* SPDX-License-Identifier: MIT */
#include "host/packets/means_agent.h"

#include <sys/socket.h>

#include "base/cleanup.h"

static int ask(struct ce_packets *packets, const struct ce_means_request *request,
               struct ce_means_answer *ret_answer, struct ce_error *err)
{
    struct ce_means_agent *means = (struct ce_means_agent *)packets;
    CE_TRY(
        ce_agent_ask(means->agent, request, sizeof *request, ret_answer, sizeof *ret_answer, err));
    if (ret_answer->result < 0 && err)
        *err = ret_answer->err;
    return ret_answer->result;
}

int ce_means_agent_begin(struct ce_packets *packets, ce_agent_run *run, struct ce_error *err)
{
    struct ce_means_agent *means = (struct ce_means_agent *)packets;
    return ce_agent_start(packets->journal, &packets->place, CE_PLACE_NETWORK, run, packets,
                          &means->agent, err);
}

int ce_means_agent_adjust(struct ce_packets *packets, const struct ce_packet_deed *deed,
                          struct ce_error *err)
{
    struct ce_means_answer answer;
    return ask(packets, &(struct ce_means_request){CE_MEANS_ADJUST, *deed}, &answer, err);
}

int ce_means_agent_count(struct ce_packets *packets, uint64_t *ret_seen, uint64_t *ret_hit,
                         struct ce_error *err)
{
    struct ce_means_answer answer;
    CE_TRY(ask(packets, &(struct ce_means_request){.wish = CE_MEANS_COUNT}, &answer, err));
    *ret_seen = answer.seen;
    *ret_hit = answer.hit;
    return 0;
}

int ce_means_agent_end(struct ce_packets *packets, struct ce_error *err)
{
    struct ce_means_agent *means = (struct ce_means_agent *)packets;
    struct ce_means_answer answer;
    /* So that what waits in it goes on; an agent that does not answer is ended all the same. */
    (void)ask(packets, &(struct ce_means_request){.wish = CE_MEANS_FINISH}, &answer, NULL);
    return ce_agent_stop(ce_take(means->agent), err);
}

bool ce_means_agent_next(int channel, struct ce_means_request *ret_request)
{
    ssize_t n;
    do
        n = recv(channel, ret_request, sizeof *ret_request, 0);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *ret_request;
}

void ce_means_agent_reply(int channel, const struct ce_means_answer *answer)
{
    (void)send(channel, answer, sizeof *answer, MSG_NOSIGNAL);
}
