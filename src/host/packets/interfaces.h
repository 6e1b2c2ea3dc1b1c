/* SPDX-License-Identifier: MIT */
/* The interfaces of this process's network namespace that a packet filter means. */
#ifndef CE_HOST_PACKETS_INTERFACES_H
#define CE_HOST_PACKETS_INTERFACES_H

#include "host/packets/netlink.h"
#include "host/packets/packets.h"

enum { CE_INTERFACES_MAX = 64 };
struct ce_interfaces {
    struct ce_interface {
        int index;
        unsigned mtu;
        bool is_loopback;
    } items[CE_INTERFACES_MAX];
    size_t count;
};

/* The one that the filter names (-ENODEV: there is none), else all that are up, except those whose
 * packets another one of them sees as well (parts of a bridge or a bond, VLANs) and ifbs. -ENODEV
 * also when none is left. */
int ce_interfaces_of(struct ce_netlink *netlink, const struct ce_packet_filter *filter,
                     struct ce_interfaces *ret_interfaces, struct ce_error *err);
/* Whether what leaves over this interface is left to the filter for what enters over it: over the
 * loopback every packet does both, and where no port tells the two apart, once is enough. */
bool ce_interface_counts_twice(const struct ce_packet_filter *filter,
                               const struct ce_interface *interface, bool leaving);

#endif
