/* SPDX-License-Identifier: MIT */
/* A packet filter as a program of the kernel's classic packet filter: it needs no privilege beyond
 * the network namespace's own, and reads every header as it is (options, IPv6, L3 devices).
 *
 * Two programs make use of it: a classifier in front of a queueing discipline (tc.c) and, turned
 * into the new instructions, an eBPF program (bpf.c). What cannot be read (a truncated packet, a
 * later fragment where ports are asked, IPv6 with extension headers) does not fit. */
#ifndef CE_HOST_PACKETS_PACKET_MATCH_H
#define CE_HOST_PACKETS_PACKET_MATCH_H

#include <linux/filter.h>

#include "host/packets/packets.h"

enum {
    CE_MATCH_MAX = 1024,
    CE_MATCH_FITS = 0xffffffff /* what the program returns; else 0 */
};

struct ce_packet_match {
    struct sock_filter code[CE_MATCH_MAX];
    size_t count;
};

/* `leaving`: for packets that leave, in which source and destination change places. Neither the
 * direction nor the interface is looked at. */
void ce_packet_match_of(const struct ce_packet_filter *filter, bool leaving,
                        struct ce_packet_match *ret_match);

#endif
