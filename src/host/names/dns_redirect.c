/* SPDX-License-Identifier: MIT */
#include "host/names/dns_redirect.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/packets/nft_rule.h"

enum { SOURCE_PORT = 0, DESTINATION_PORT = 2 };
static const char chain[] = "out";
static const int before_tracking = -310;

/* An address as rules have it. */
struct end {
    struct ce_network network;
    uint16_t port;
};

static struct end end_of(const struct sockaddr_storage *address)
{
    struct end end = {.network.family = address->ss_family};
    if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        memcpy(end.network.address, &six.sin6_addr, sizeof six.sin6_addr);
        end.network.prefix = 128;
        end.port = ntohs(six.sin6_port);
    } else {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        memcpy(end.network.address, &four.sin_addr, sizeof four.sin_addr);
        end.network.prefix = 32;
        end.port = ntohs(four.sin_port);
    }
    return end;
}

/* What goes to `from` (source: comes from it) goes to `to` instead. */
static void rewrite(struct ce_nft_writer *writer, uint8_t protocol, bool source,
                    const struct end *from, const struct end *to, bool track)
{
    unsigned port = source ? SOURCE_PORT : DESTINATION_PORT;
    ce_nft_rule_begin(writer, chain);
    ce_nft_if_address(writer, source, &from->network);
    ce_nft_if_protocol(writer, protocol);
    ce_nft_if_port(writer, port, from->port, from->port);
    if (!track)
        ce_nft_untrack(writer);
    ce_nft_set_address(writer, source, &to->network);
    ce_nft_set_port(writer, port, protocol, to->port);
    ce_nft_verdict(writer, NF_ACCEPT, NULL);
    ce_nft_rule_end(writer);
}

static int make(struct ce_netlink *netlink, const struct ce_dns_service *service, const char *table,
                bool track, struct ce_error *err)
{
    static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP};
    CE_CLEANUP(ce_netlink_batch_done) struct ce_netlink_batch batch = {0};
    struct ce_nft_writer writer = {
        .netlink = netlink, .batch = &batch, .family = NFPROTO_INET, .table = table};
    ce_nft_batch_begin(&writer);
    struct nlmsghdr *message =
        ce_nft_message(&writer, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
    mnl_attr_put_u32(message, NFTA_TABLE_FLAGS, htonl(NFT_TABLE_F_OWNER));
    /* Of this type, so that what has another destination finds another way. */
    ce_nft_chain(&writer, chain, "route", NF_INET_LOCAL_OUT, before_tracking);
    ce_nft_rule_begin(&writer, chain);
    ce_nft_if_meta(&writer, NFT_META_MARK, &service->mark, sizeof service->mark);
    ce_nft_verdict(&writer, NF_ACCEPT, NULL);
    ce_nft_rule_end(&writer);
    for (size_t i = 0; i < service->count; i++) {
        struct end server = end_of(&service->stand_ins[i].server);
        struct end at = end_of(&service->stand_ins[i].at);
        for (size_t j = 0; j < CE_COUNT(protocols); j++) {
            rewrite(&writer, protocols[j], false, &server, &at, track);
            rewrite(&writer, protocols[j], true, &at, &server, track);
        }
    }
    return ce_nft_batch_end(&writer, "nf_tables", err);
}

int ce_dns_redirect(const struct ce_dns_service *service, struct ce_netlink *ret_netlink,
                    struct ce_error *err)
{
    struct ce_netlink netlink = {0};
    char table[40];
    struct ce_error why = {0};
    CE_TRY(ce_netlink_open(NETLINK_NETFILTER, &netlink, err));
    snprintf(table, sizeof table, "chaoseater-dns-%d", (int)getpid());
    int r = make(&netlink, service, table, false, &why);
    /* A kernel that cannot exempt packets from tracking may have no tracking at all. */
    if (r == -ENOENT)
        r = make(&netlink, service, table, true, &why);
    if (r == 0) {
        *ret_netlink = netlink;
        return 0;
    }
    ce_netlink_close(&netlink);
    if (r == -EPERM)
        return ce_fail(err, EPERM, "nf_tables needs CAP_NET_ADMIN in the network namespace");
    if (r == -EINVAL || r == -ENOENT || r == -EOPNOTSUPP)
        return ce_fail(err, ENOTSUP,
                       "the kernel's nf_tables cannot rewrite packets (tables that belong to a "
                       "socket need Linux 5.12): %s",
                       strerror(-r));
    if (err)
        *err = why;
    return r;
}
