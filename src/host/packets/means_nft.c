/* SPDX-License-Identifier: MIT */
/* nft: losing and blocking packets by rules of nf_tables, in a table that an agent owns. */
#include <stdio.h>

#include "host/packets/means_agent.h"
#include "host/packets/nft.h"

static struct ce_nft_deed nft_deed(const struct ce_packet_deed *deed)
{
    if (deed->kind == CE_PACKETS_BLOCK)
        return (struct ce_nft_deed){.act = deed->reject ? CE_NFT_REJECT : CE_NFT_DROP, .share = 1};
    return (struct ce_nft_deed){.act = CE_NFT_DROP, .share = deed->loss};
}

/* ---- in the agent ---- */

static struct ce_means_answer answer(struct ce_nft *nft, const struct ce_means_request *request)
{
    struct ce_means_answer answer = {0};
    switch (request->wish) {
    case CE_MEANS_ADJUST:
        answer.result = ce_nft_share(nft, nft_deed(&request->deed).share, &answer.err);
        break;
    case CE_MEANS_COUNT:
        answer.result = ce_nft_count(nft, &answer.seen, &answer.hit, &answer.err);
        break;
    case CE_MEANS_FINISH:
        ce_nft_end(nft);
        break;
    }
    return answer;
}

static int run(void *ctx, int channel)
{
    const struct ce_packets *packets = ctx;
    struct ce_nft_deed deed = nft_deed(&packets->deed);
    struct ce_nft nft = {0};
    struct ce_error err = {0};
    int r = ce_nft_begin(&packets->filter, &deed, &nft, &err);
    ce_agent_ready(channel, r, &err);
    struct ce_means_request request = {.wish = CE_MEANS_FINISH};
    while (r == 0 && ce_means_agent_next(channel, &request)) {
        struct ce_means_answer now = answer(&nft, &request);
        ce_means_agent_reply(channel, &now);
        if (request.wish == CE_MEANS_FINISH)
            break;
    }
    ce_nft_end(&nft);
    return r < 0;
}

/* ---- in the controller ---- */

static int check(const struct ce_packet_deed *deed, struct ce_error *err)
{
    if (deed->kind != CE_PACKETS_LOSE)
        return 0;
    if (deed->correlation > 0)
        return ce_fail(err, ENOTSUP, "rules draw for every packet by itself, without correlation");
    if (deed->duplicate > 0 || deed->corrupt > 0 || deed->reorder > 0)
        return ce_fail(err, ENOTSUP, "rules can drop packets, not duplicate, corrupt or reorder");
    return 0;
}

static int begin(struct ce_packets *packets, struct ce_error *err)
{
    CE_TRY(check(&packets->deed, err));
    return ce_means_agent_begin(packets, run, err);
}

static int adjust(struct ce_packets *packets, const struct ce_packet_deed *deed,
                  struct ce_error *err)
{
    CE_TRY(check(deed, err));
    return ce_means_agent_adjust(packets, deed, err);
}

static int try_out(struct ce_error *err)
{
    static const struct ce_packet_filter filter = {.ports = {{9, 9}}, .port_count = 1};
    static const struct ce_nft_deed deeds[] = {{.act = CE_NFT_DROP, .share = 0.5},
                                               {.act = CE_NFT_REJECT, .share = 1}};
    for (size_t i = 0; i < CE_COUNT(deeds); i++) {
        struct ce_nft nft;
        CE_TRY(ce_nft_begin(&filter, &deeds[i], &nft, err));
        ce_nft_end(&nft);
    }
    return 0;
}

static bool available(char *reason, size_t size)
{
    return ce_means_try_out(try_out, reason, size);
}

const struct ce_packet_means ce_means_nft = {
    .name = "nft",
    .kinds = 1 << CE_PACKETS_LOSE | 1 << CE_PACKETS_BLOCK,
    .size = sizeof(struct ce_means_agent),
    .available = available,
    .begin = begin,
    .adjust = adjust,
    .count = ce_means_agent_count,
    .end = ce_means_agent_end,
};
