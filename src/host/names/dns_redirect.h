/* SPDX-License-Identifier: MIT */
/* Packets for a name server go to the one that stands in for it, and those of the stand-in look as
 * if they came from the other.
 *
 * Addresses and ports are rewritten packet by packet, without tracking connections: it begins and
 * ends from one packet to the next also for clients that keep their sockets, and asks nothing of
 * the kernel but nf_tables. The table belongs to a socket, so that it ends with whoever made it. */
#ifndef CE_HOST_NAMES_DNS_REDIRECT_H
#define CE_HOST_NAMES_DNS_REDIRECT_H

#include "host/names/dns_server.h"
#include "host/packets/netlink.h"

/* In the network namespace of this thread, for all stand-ins of the service; what carries its mark
 * is spared. As long as *ret_netlink is open. -ENOTSUP: the kernel lacks something. */
int ce_dns_redirect(const struct ce_dns_service *service, struct ce_netlink *ret_netlink,
                    struct ce_error *err);

#endif
