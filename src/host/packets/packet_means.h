/* SPDX-License-Identifier: MIT */
/* One way in which the kernel does something to packets; packets.c has the table of all. */
#ifndef CE_HOST_PACKETS_PACKET_MEANS_H
#define CE_HOST_PACKETS_PACKET_MEANS_H

#include "host/packets/packets.h"

/* The first member of what begin() makes. */
struct ce_packets {
    const struct ce_packet_means *means;
    struct ce_journal *journal;
    struct ce_place place;
    struct ce_packet_filter filter;
    struct ce_packet_deed deed; /* as it is now */
};

struct ce_packet_means {
    const char *name;
    unsigned kinds; /* 1 << enum ce_packet_kind */
    size_t size;    /* of its struct, whose first member is a struct ce_packets */
    /* Whether this host has it, tried out in namespaces of a child's own; why not. */
    bool (*available)(char *reason, size_t size);
    /* 0; -ENOTSUP, with a reason, for a deed or a filter that it cannot do. What it began before it
     * failed it takes back. `packets` is filled in and zeroed beyond. */
    int (*begin)(struct ce_packets *packets, struct ce_error *err);
    int (*adjust)(struct ce_packets *packets, const struct ce_packet_deed *deed,
                  struct ce_error *err);
    int (*count)(struct ce_packets *packets, uint64_t *ret_seen, uint64_t *ret_hit,
                 struct ce_error *err); /* may be NULL */
    /* Takes everything back and frees what it owns, but not `packets` itself. */
    int (*end)(struct ce_packets *packets, struct ce_error *err);
};

/* For available(): calls the function in a child of this process that has user and network
 * namespaces of its own. False, with its sentence, when it fails. */
bool ce_means_try_out(int (*function)(struct ce_error *err), char *reason, size_t size);

extern const struct ce_packet_means ce_means_netem, ce_means_nfqueue, ce_means_bpf, ce_means_nft,
    ce_means_iptables, ce_means_tbf;

#endif
