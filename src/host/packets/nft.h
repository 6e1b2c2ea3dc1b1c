/* SPDX-License-Identifier: MIT */
/* A table of nf_tables with the rules for one deed.
 *
 * The table belongs to the socket that made it: the kernel removes it when that is closed, whatever
 * closes it, and lets nobody else change it. So whoever makes one must live as long as it should
 * (host/agent.h). The tables of others are not touched.
 *
 * What a filter says becomes a row of chains that a packet goes along: protocol, ports, peers. Who
 * comes to the end is counted (`seen`), drawn (`share`: the one chain that changes while the deed
 * lasts), counted again and dealt with (`hit`). */
#ifndef CE_HOST_PACKETS_NFT_H
#define CE_HOST_PACKETS_NFT_H

#include "host/packets/netlink.h"
#include "host/packets/packets.h"

enum ce_nft_act {
    CE_NFT_DROP = 0,
    CE_NFT_REJECT, /* TCP: reset; others: ICMP, port unreachable */
    CE_NFT_QUEUE,  /* to whoever reads that NFQUEUE; past it when nobody does */
};
struct ce_nft_deed {
    enum ce_nft_act act;
    double share; /* of the packets that fit, 0..1 */
    uint16_t queue;
};

struct ce_nft {
    struct ce_netlink netlink;
    char table[40];
    uint8_t families[2]; /* of the tables: inet, or ip and ip6 where inet would not do */
    size_t family_count;
};

/* Makes the table, with all rules, in the network namespace of this thread: all of it or nothing.
 * -ENOTSUP: the kernel lacks something, and the error says what. */
int ce_nft_begin(const struct ce_packet_filter *filter, const struct ce_nft_deed *deed,
                 struct ce_nft *ret_nft, struct ce_error *err);
/* Another share, from one packet to the next. */
int ce_nft_share(struct ce_nft *nft, double share, struct ce_error *err);
/* Packets that fitted, and those that were dealt with. */
int ce_nft_count(struct ce_nft *nft, uint64_t *ret_seen, uint64_t *ret_hit, struct ce_error *err);
/* Removes it. A zeroed one is fine. */
void ce_nft_end(struct ce_nft *nft);

#endif
