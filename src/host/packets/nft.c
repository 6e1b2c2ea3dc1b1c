/* SPDX-License-Identifier: MIT */
#include "host/packets/nft.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "host/packets/nft_rule.h"

#include <endian.h>
#include <linux/netfilter/nfnetlink.h>

/* Before connections are tracked and after fragments are put together. What leaves is looked at
 * when its destination is final, but its source is not yet disguised. */
enum { PRIORITY_FIRST = -310, PRIORITY_LEAVING = -150 };
static const char what_fails[] = "nf_tables";

/* One way in or out. */
struct side {
    bool in;
    const char *bases[2]; /* chains that the kernel calls, and where */
    int hooks[2];
    int priority;
    const char *ports, *peers; /* chains that follow */
};

/* A reset or a refusal can be sent from some hooks only. */
static struct side side_of(bool in, enum ce_nft_act act)
{
    struct side side = {
        .in = in,
        .bases = {in ? "in" : "out", NULL},
        .hooks = {in ? NF_INET_PRE_ROUTING : NF_INET_POST_ROUTING},
        .priority = in ? PRIORITY_FIRST : PRIORITY_LEAVING,
        .ports = in ? "in-ports" : "out-ports",
        .peers = in ? "in-peers" : "out-peers",
    };
    if (act == CE_NFT_REJECT) {
        side.hooks[0] = in ? NF_INET_LOCAL_IN : NF_INET_LOCAL_OUT;
        side.bases[1] = in ? "through-in" : "through-out";
        side.hooks[1] = NF_INET_FORWARD;
        side.priority = PRIORITY_FIRST;
    }
    return side;
}

/* ---- rules ---- */

static void rule_verdict(struct ce_nft_writer *writer, int verdict, const char *chain)
{
    ce_nft_verdict(writer, verdict, chain);
    ce_nft_rule_end(writer);
}

/* Refusals are packets too: those that the rules themselves send must get out. */
static void spare_refusals(struct ce_nft_writer *writer, const char *base)
{
    static const uint8_t reset = 0x04, unreachable = 3, unreachable6 = 1;
    enum { TCP_FLAGS_AT = 13 };
    ce_nft_rule_begin(writer, base);
    ce_nft_if_protocol(writer, IPPROTO_TCP);
    ce_nft_if_transport(writer, TCP_FLAGS_AT, &reset, &reset, sizeof reset);
    rule_verdict(writer, NF_ACCEPT, NULL);
    ce_nft_rule_begin(writer, base);
    ce_nft_if_protocol(writer, IPPROTO_ICMP);
    ce_nft_if_transport(writer, 0, NULL, &unreachable, sizeof unreachable);
    rule_verdict(writer, NF_ACCEPT, NULL);
    ce_nft_rule_begin(writer, base);
    ce_nft_if_protocol(writer, IPPROTO_ICMPV6);
    ce_nft_if_transport(writer, 0, NULL, &unreachable6, sizeof unreachable6);
    rule_verdict(writer, NF_ACCEPT, NULL);
}

/* What a packet of that protocol (0: any) needs to go on from the base chain. */
static void base_rule(struct ce_nft_writer *writer, const struct ce_packet_filter *filter,
                      const struct side *side, const char *base, uint8_t protocol, const char *next)
{
    ce_nft_rule_begin(writer, base);
    if (filter->interface[0]) {
        char name[IF_NAMESIZE] = "";
        memcpy(name, filter->interface, strnlen(filter->interface, sizeof name - 1));
        ce_nft_if_meta(writer, side->in ? NFT_META_IIFNAME : NFT_META_OIFNAME, name, sizeof name);
    }
    if (protocol)
        ce_nft_if_protocol(writer, protocol);
    if (filter->peer_port)
        ce_nft_if_port(writer, side->in ? 0 : 2, filter->peer_port, filter->peer_port);
    rule_verdict(writer, NFT_GOTO, next);
}

static void base_rules(struct ce_nft_writer *writer, const struct ce_packet_filter *filter,
                       const struct side *side, const char *base)
{
    const char *next = filter->port_count ? side->ports : filter->peer_count ? side->peers : "seen";
    bool both = filter->protocol == 0 && (filter->port_count > 0 || filter->peer_port);
    base_rule(writer, filter, side, base, both ? IPPROTO_TCP : (uint8_t)filter->protocol, next);
    if (both)
        base_rule(writer, filter, side, base, IPPROTO_UDP, next);
}

static void side_rules(struct ce_nft_writer *writer, const struct ce_packet_filter *filter,
                       enum ce_nft_act act, bool in)
{
    struct side side = side_of(in, act);
    ce_nft_chain(writer, side.ports, NULL, -1, 0);
    ce_nft_chain(writer, side.peers, NULL, -1, 0);
    for (size_t i = 0; i < CE_COUNT(side.bases) && side.bases[i]; i++) {
        ce_nft_chain(writer, side.bases[i], "filter", side.hooks[i], side.priority);
        if (act == CE_NFT_REJECT)
            spare_refusals(writer, side.bases[i]);
        base_rules(writer, filter, &side, side.bases[i]);
    }
    for (size_t i = 0; i < filter->port_count; i++) {
        ce_nft_rule_begin(writer, side.ports);
        ce_nft_if_port(writer, in ? 2 : 0, filter->ports[i].first, filter->ports[i].last);
        rule_verdict(writer, NFT_GOTO, filter->peer_count ? side.peers : "seen");
    }
    for (size_t i = 0; i < filter->peer_count; i++) {
        ce_nft_rule_begin(writer, side.peers);
        ce_nft_if_address(writer, in, &filter->peers[i]);
        rule_verdict(writer, NFT_GOTO, "seen");
    }
}

static void share_rule(struct ce_nft_writer *writer, double share)
{
    static const uint32_t all = UINT32_C(1) << 30;
    uint32_t threshold = (uint32_t)(share * all + 0.5);
    ce_nft_rule_begin(writer, "share");
    if (threshold < all)
        ce_nft_if_chosen(writer, threshold);
    rule_verdict(writer, NFT_GOTO, "hit");
}

static void hit_rules(struct ce_nft_writer *writer, const struct ce_nft_deed *deed, bool compatible)
{
    if (deed->act == CE_NFT_REJECT) {
        ce_nft_rule_begin(writer, "hit");
        ce_nft_if_protocol(writer, IPPROTO_TCP);
        ce_nft_counter(writer);
        ce_nft_reject(writer, NFT_REJECT_TCP_RST);
        ce_nft_rule_end(writer);
    }
    ce_nft_rule_begin(writer, "hit");
    ce_nft_counter(writer);
    switch (deed->act) {
    case CE_NFT_DROP:
        ce_nft_verdict(writer, NF_DROP, NULL);
        break;
    case CE_NFT_REJECT:
        ce_nft_reject(writer, writer->family == NFPROTO_INET ? NFT_REJECT_ICMPX_UNREACH
                                                             : NFT_REJECT_ICMP_UNREACH);
        break;
    case CE_NFT_QUEUE:
        ce_nft_queue(writer, deed->queue, compatible);
        break;
    }
    ce_nft_rule_end(writer);
}

static void table_rules(struct ce_nft_writer *writer, const struct ce_packet_filter *filter,
                        const struct ce_nft_deed *deed, bool compatible)
{
    struct nlmsghdr *message =
        ce_nft_message(writer, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
    mnl_attr_put_u32(message, NFTA_TABLE_FLAGS, htonl(NFT_TABLE_F_OWNER));
    ce_nft_chain(writer, "hit", NULL, -1, 0);
    ce_nft_chain(writer, "share", NULL, -1, 0);
    ce_nft_chain(writer, "seen", NULL, -1, 0);
    hit_rules(writer, deed, compatible);
    share_rule(writer, deed->share);
    ce_nft_rule_begin(writer, "seen");
    ce_nft_counter(writer);
    rule_verdict(writer, NFT_GOTO, "share");
    if (filter->direction != CE_PACKETS_OUT)
        side_rules(writer, filter, deed->act, true);
    if (filter->direction != CE_PACKETS_IN)
        side_rules(writer, filter, deed->act, false);
}

/* ---- the table ---- */

static struct ce_nft_writer writer_of(struct ce_nft *nft, struct ce_netlink_batch *batch)
{
    return (struct ce_nft_writer){
        .netlink = &nft->netlink, .batch = batch, .family = NFPROTO_INET, .table = nft->table};
}

static int make(struct ce_nft *nft, const struct ce_packet_filter *filter,
                const struct ce_nft_deed *deed, bool compatible, struct ce_error *err)
{
    CE_CLEANUP(ce_netlink_batch_done) struct ce_netlink_batch batch = {0};
    struct ce_nft_writer writer = writer_of(nft, &batch);
    ce_nft_batch_begin(&writer);
    for (size_t i = 0; i < nft->family_count; i++) {
        writer.family = nft->families[i];
        table_rules(&writer, filter, deed, compatible);
    }
    return ce_nft_batch_end(&writer, what_fails, err);
}

/* The kernel's own expression for queues, else the target that iptables uses: in one table for both
 * families, else in one for each. */
static int make_somehow(struct ce_nft *nft, const struct ce_packet_filter *filter,
                        const struct ce_nft_deed *deed, struct ce_error *err)
{
    *nft = (struct ce_nft){.netlink = nft->netlink, .families = {NFPROTO_INET}, .family_count = 1};
    /* Another's that died a moment ago may be on its way out still. */
    static const int names = 16;
    int r = -EEXIST;
    for (int i = 0; i < names && r == -EEXIST; i++) {
        snprintf(nft->table, sizeof nft->table, "chaoseater-%d-%d", (int)getpid(), i);
        r = make(nft, filter, deed, false, err);
    }
    if (r == 0 || deed->act != CE_NFT_QUEUE)
        return r;
    r = make(nft, filter, deed, true, err);
    if (r == 0)
        return r;
    nft->families[0] = NFPROTO_IPV4;
    nft->families[1] = NFPROTO_IPV6;
    nft->family_count = 2;
    return make(nft, filter, deed, true, err);
}

int ce_nft_begin(const struct ce_packet_filter *filter, const struct ce_nft_deed *deed,
                 struct ce_nft *ret_nft, struct ce_error *err)
{
    struct ce_nft nft = {0};
    CE_TRY(ce_netlink_open(NETLINK_NETFILTER, &nft.netlink, err));
    struct ce_error why = {0};
    int r = make_somehow(&nft, filter, deed, &why);
    if (r == 0) {
        *ret_nft = nft;
        return 0;
    }
    ce_netlink_close(&nft.netlink);
    switch (-r) {
    case EPERM:
        return ce_fail(err, EPERM, "nf_tables needs CAP_NET_ADMIN in the network namespace");
    case EINVAL: /* no nf_tables at all */
    case ENOENT: /* an expression or a kind of chain */
    case EOPNOTSUPP:
        return ce_fail(err, ENOTSUP,
                       "the kernel's nf_tables lacks %s (tables that belong to a socket need Linux "
                       "5.12): %s",
                       deed->act == CE_NFT_QUEUE ? "queues" : "what this needs", strerror(-r));
    default:
        if (err)
            *err = why;
        return r;
    }
}

int ce_nft_share(struct ce_nft *nft, double share, struct ce_error *err)
{
    CE_CLEANUP(ce_netlink_batch_done) struct ce_netlink_batch batch = {0};
    struct ce_nft_writer writer = writer_of(nft, &batch);
    ce_nft_batch_begin(&writer);
    for (size_t i = 0; i < nft->family_count; i++) {
        writer.family = nft->families[i];
        struct nlmsghdr *message = ce_nft_message(&writer, NFT_MSG_DELRULE, 0);
        mnl_attr_put_strz(message, NFTA_RULE_CHAIN, "share");
        share_rule(&writer, share);
    }
    return ce_nft_batch_end(&writer, what_fails, err);
}

void ce_nft_end(struct ce_nft *nft)
{
    /* Closing the socket is enough, but nothing says when that has been done. */
    if (nft->netlink.socket) {
        CE_CLEANUP(ce_netlink_batch_done) struct ce_netlink_batch batch = {0};
        struct ce_nft_writer writer = writer_of(nft, &batch);
        ce_nft_batch_begin(&writer);
        for (size_t i = 0; i < nft->family_count; i++) {
            writer.family = nft->families[i];
            (void)ce_nft_message(&writer, NFT_MSG_DELTABLE, NLM_F_ACK);
        }
        (void)ce_nft_batch_end(&writer, what_fails, NULL);
    }
    ce_netlink_close(&nft->netlink);
}

/* ---- counters ---- */

struct counts {
    const char *table;
    uint64_t seen, hit;
};

static const struct nlattr *find(const struct nlattr *nest, int type)
{
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(attribute, nest)
    {
        if (mnl_attr_get_type(attribute) == type)
            return attribute;
    }
    return NULL;
}

/* Packets that the counters among a rule's expressions have counted. */
static uint64_t packets_of(const struct nlattr *expressions)
{
    uint64_t packets = 0;
    const struct nlattr *element;
    mnl_attr_for_each_nested(element, expressions)
    {
        const struct nlattr *name = find(element, NFTA_EXPR_NAME);
        const struct nlattr *data = find(element, NFTA_EXPR_DATA);
        if (!name || !data || strcmp(mnl_attr_get_str(name), "counter") != 0)
            continue;
        const struct nlattr *count = find(data, NFTA_COUNTER_PACKETS);
        if (count)
            packets += be64toh(mnl_attr_get_u64(count));
    }
    return packets;
}

static int add_counts(const struct nlmsghdr *message, void *ctx)
{
    struct counts *counts = ctx;
    const struct nlattr *attribute, *expressions = NULL;
    const char *chain = "", *table = "";
    mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg))
    {
        switch (mnl_attr_get_type(attribute)) {
        case NFTA_RULE_TABLE:
            table = mnl_attr_get_str(attribute);
            break;
        case NFTA_RULE_CHAIN:
            chain = mnl_attr_get_str(attribute);
            break;
        case NFTA_RULE_EXPRESSIONS:
            expressions = attribute;
            break;
        }
    }
    if (!expressions || strcmp(table, counts->table) != 0)
        return 0;
    if (strcmp(chain, "seen") == 0)
        counts->seen += packets_of(expressions);
    if (strcmp(chain, "hit") == 0)
        counts->hit += packets_of(expressions);
    return 0;
}

int ce_nft_count(struct ce_nft *nft, uint64_t *ret_seen, uint64_t *ret_hit, struct ce_error *err)
{
    struct counts counts = {.table = nft->table};
    for (size_t i = 0; i < nft->family_count; i++) {
        struct nfgenmsg header = {.nfgen_family = nft->families[i], .version = NFNETLINK_V0};
        struct ce_netlink_message request;
        ce_netlink_begin(&nft->netlink, &request, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETRULE,
                         NLM_F_DUMP, &header, sizeof header);
        mnl_attr_put_strz(&request.header, NFTA_RULE_TABLE, nft->table);
        CE_TRY(ce_netlink_dump(&nft->netlink, &request, add_counts, &counts, what_fails, err));
    }
    *ret_seen = counts.seen;
    *ret_hit = counts.hit;
    return 0;
}
