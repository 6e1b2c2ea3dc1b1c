/* SPDX-License-Identifier: MIT */
/* Filters of ours on the interfaces of this process's network namespace, and the clsact that holds
 * them.
 *
 * A filter of ours carries a tag (a name that nothing else has), and stands behind all others. A
 * clsact that we made carries a mark (an empty chain), so that whoever is the last to need it, in
 * any process, may take it away, and nobody takes away one that was there before. */
#ifndef CE_HOST_PACKETS_CLSACT_H
#define CE_HOST_PACKETS_CLSACT_H

#include <linux/filter.h>
#include <stdbool.h>

#include "host/packets/netlink.h"

/* Sees to it that there is one, or what else can hold the filter. -ENOTSUP: somebody else has
 * something in its place that cannot. */
int ce_clsact_ensure(struct ce_netlink *netlink, int interface, bool leaving, struct ce_error *err);

/* Either packets for which classic code returns not 0 go to another interface, or a bpf program
 * decides on all. */
struct ce_clsact_filter {
    int interface;
    bool leaving;
    const char *tag; /* 15 bytes at most */
    const struct sock_filter *code;
    size_t count;
    int redirect; /* interface */
    int program;  /* descriptor, where `code` is NULL */
};
int ce_clsact_add(struct ce_netlink *netlink, const struct ce_clsact_filter *filter,
                  struct ce_error *err);
/* Removes all filters with that tag, wherever they are. */
int ce_clsact_remove(struct ce_netlink *netlink, const char *tag, struct ce_error *err);
/* Takes away every clsact that bears our mark and holds no filter any more. */
int ce_clsact_sweep(struct ce_netlink *netlink, struct ce_error *err);

#endif
