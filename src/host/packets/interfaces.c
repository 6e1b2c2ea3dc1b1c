/* SPDX-License-Identifier: MIT */
#include "host/packets/interfaces.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

struct search {
    const char *name; /* "": any */
    struct ce_interfaces *found;
};

static bool is_double(const struct nlattr *const *attributes)
{
    if (attributes[IFLA_MASTER])
        return true;
    if (!attributes[IFLA_LINKINFO])
        return false;
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(
        attribute,
        attributes[IFLA_LINKINFO]) if (mnl_attr_get_type(attribute) ==
                                       IFLA_INFO_KIND) return strcmp(mnl_attr_get_str(attribute),
                                                                     "vlan") == 0 ||
        strcmp(mnl_attr_get_str(attribute), "ifb") == 0;
    return false;
}

static int take_attribute(const struct nlattr *attribute, void *ctx)
{
    const struct nlattr **attributes = ctx;
    unsigned type = mnl_attr_get_type(attribute);
    if (type <= IFLA_LINKINFO)
        attributes[type] = attribute;
    return MNL_CB_OK;
}

static int take_interface(const struct nlmsghdr *message, void *ctx)
{
    struct search *search = ctx;
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
    const struct nlattr *attributes[IFLA_LINKINFO + 1] = {NULL};
    (void)mnl_attr_parse(message, sizeof *link, take_attribute, attributes);
    if (!attributes[IFLA_IFNAME] || search->found->count == CE_INTERFACES_MAX)
        return 0;
    bool wanted = search->name[0]
                      ? strcmp(mnl_attr_get_str(attributes[IFLA_IFNAME]), search->name) == 0
                      : link->ifi_flags & IFF_UP && !is_double(attributes);
    if (wanted)
        search->found->items[search->found->count++] = (struct ce_interface){
            .index = link->ifi_index,
            .mtu = attributes[IFLA_MTU] ? mnl_attr_get_u32(attributes[IFLA_MTU]) : 0,
            .is_loopback = link->ifi_flags & IFF_LOOPBACK};
    return 0;
}

int ce_interfaces_of(struct ce_netlink *netlink, const struct ce_packet_filter *filter,
                     struct ce_interfaces *ret_interfaces, struct ce_error *err)
{
    struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
    struct ce_netlink_message message;
    struct search search = {filter->interface, ret_interfaces};
    ret_interfaces->count = 0;
    ce_netlink_begin(netlink, &message, RTM_GETLINK, NLM_F_DUMP, &link, sizeof link);
    CE_TRY(ce_netlink_dump(netlink, &message, take_interface, &search,
                           "cannot see the network interfaces", err));
    if (ret_interfaces->count > 0)
        return 0;
    return filter->interface[0]
               ? ce_fail(err, ENODEV, "there is no network interface '%s' there", filter->interface)
               : ce_fail(err, ENODEV, "no network interface is up there");
}

bool ce_interface_counts_twice(const struct ce_packet_filter *filter,
                               const struct ce_interface *interface, bool leaving)
{
    return leaving && interface->is_loopback && filter->direction == CE_PACKETS_BOTH &&
           filter->port_count == 0;
}
