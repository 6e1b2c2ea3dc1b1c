/* SPDX-License-Identifier: MIT */
#include "host/packets/packet_match.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

/* Places in the network header, and of the ports behind it. */
static const struct layout {
    int family;
    uint32_t ethertype, source, destination, protocol;
} layouts[] = {
    {AF_INET, ETH_P_IP, 12, 16, 9},
    {AF_INET6, ETH_P_IPV6, 8, 24, 6},
};
enum { IPV6_HEADER = 40, LOAD_FROM = SKF_NET_OFF };

static void put(struct ce_packet_match *match, unsigned code, unsigned yes, unsigned no, uint32_t k)
{
    match->code[match->count++] =
        (struct sock_filter){(uint16_t)code, (uint8_t)yes, (uint8_t)no, k};
}

static void load(struct ce_packet_match *match, unsigned size, uint32_t offset)
{
    put(match, BPF_LD | BPF_ABS | size, 0, 0, (uint32_t)LOAD_FROM + offset);
}

static void fits(struct ce_packet_match *match)
{
    put(match, BPF_RET | BPF_K, 0, 0, CE_MATCH_FITS);
}

/* Goes on only if the value that was loaded is that one. */
static void demand(struct ce_packet_match *match, uint32_t value)
{
    put(match, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, value);
    put(match, BPF_RET | BPF_K, 0, 0, 0);
}

static uint32_t word_of(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Jumps over `last` instructions behind it when the address is in the network, else goes on. */
static void compare_network(struct ce_packet_match *match, const struct ce_network *network,
                            uint32_t offset, size_t *ret_jump)
{
    int words = (network->prefix + 31) / 32;
    unsigned left = 0; /* instructions from here to the end of this comparison, the jump included */
    for (int i = 0; i < words; i++)
        left += network->prefix - 32 * i < 32 ? 3 : 2;
    left++;
    for (int i = 0; i < words; i++) {
        int bits = network->prefix - 32 * i;
        uint32_t mask = bits < 32 ? ~(UINT32_MAX >> bits) : UINT32_MAX;
        load(match, BPF_W, offset + 4 * (uint32_t)i);
        left -= 2;
        if (bits < 32) {
            put(match, BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
            left--;
        }
        put(match, BPF_JMP | BPF_JEQ | BPF_K, 0, left, word_of(network->address + 4 * i) & mask);
    }
    *ret_jump = match->count;
    put(match, BPF_JMP | BPF_JA, 0, 0, 0);
}

/* false: no packet of that family fits. (Code that cannot be reached is no valid eBPF.) */
static bool demand_peer(struct ce_packet_match *match, const struct ce_packet_filter *filter,
                        const struct layout *layout, uint32_t offset)
{
    size_t jumps[CE_COUNT(filter->peers)], count = 0;
    for (size_t i = 0; i < filter->peer_count; i++)
        if (filter->peers[i].family == layout->family && filter->peers[i].prefix == 0)
            return true;
    for (size_t i = 0; i < filter->peer_count; i++)
        if (filter->peers[i].family == layout->family)
            compare_network(match, &filter->peers[i], offset, &jumps[count++]);
    if (count > 0)
        put(match, BPF_RET | BPF_K, 0, 0, 0);
    for (size_t i = 0; i < count; i++)
        match->code[jumps[i]].k = (uint32_t)(match->count - jumps[i] - 1);
    return count > 0 || filter->peer_count == 0;
}

static void demand_protocol(struct ce_packet_match *match, const struct ce_packet_filter *filter,
                            const struct layout *layout)
{
    load(match, BPF_B, layout->protocol);
    if (filter->protocol != 0) {
        demand(match, (uint32_t)filter->protocol);
    } else {
        put(match, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, IPPROTO_TCP);
        demand(match, IPPROTO_UDP);
    }
}

/* `own` and `other`: places of the target's port and its peer's behind the network header. */
static void demand_ports(struct ce_packet_match *match, const struct ce_packet_filter *filter,
                         const struct layout *layout, uint32_t own, uint32_t other)
{
    uint32_t from = (uint32_t)LOAD_FROM;
    if (layout->family == AF_INET) {
        load(match, BPF_H, 6);
        put(match, BPF_JMP | BPF_JSET | BPF_K, 0, 1, 0x1fff);
        put(match, BPF_RET | BPF_K, 0, 0, 0);
        put(match, BPF_LDX | BPF_B | BPF_MSH, 0, 0, from);
    } else {
        put(match, BPF_LDX | BPF_W | BPF_IMM, 0, 0, IPV6_HEADER);
    }
    if (filter->peer_port != 0) {
        put(match, BPF_LD | BPF_IND | BPF_H, 0, 0, from + other);
        demand(match, filter->peer_port);
    }
    if (filter->port_count == 0)
        return;
    put(match, BPF_LD | BPF_IND | BPF_H, 0, 0, from + own);
    for (size_t i = 0; i < filter->port_count; i++) {
        put(match, BPF_JMP | BPF_JGE | BPF_K, 0, 2, filter->ports[i].first);
        put(match, BPF_JMP | BPF_JGT | BPF_K, 1, 0, filter->ports[i].last);
        fits(match);
    }
    put(match, BPF_RET | BPF_K, 0, 0, 0);
}

void ce_packet_match_of(const struct ce_packet_filter *filter, bool leaving,
                        struct ce_packet_match *ret_match)
{
    struct ce_packet_match *match = ret_match;
    bool ports = filter->port_count > 0 || filter->peer_port != 0;
    bool protocol = ports || filter->protocol != 0;
    match->count = 0;
    if (!protocol && filter->peer_count == 0) {
        fits(match);
        return;
    }
    for (size_t i = 0; i < CE_COUNT(layouts); i++) {
        const struct layout *layout = &layouts[i];
        size_t before = match->count;
        put(match, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL));
        put(match, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, layout->ethertype);
        size_t past = match->count;
        put(match, BPF_JMP | BPF_JA, 0, 0, 0);
        if (!demand_peer(match, filter, layout, leaving ? layout->destination : layout->source)) {
            match->count = before;
            continue;
        }
        if (protocol)
            demand_protocol(match, filter, layout);
        if (ports)
            demand_ports(match, filter, layout, leaving ? 0 : 2, leaving ? 2 : 0);
        if (filter->port_count == 0)
            fits(match);
        match->code[past].k = (uint32_t)(match->count - past - 1);
    }
    put(match, BPF_RET | BPF_K, 0, 0, 0);
}
