/* SPDX-License-Identifier: MIT */
#include "host/packets/nft_rule.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <net/if.h>
#include <string.h>

/* ---- messages ---- */

static void batch_edge(struct ce_nft_writer *writer, uint16_t type)
{
    struct nfgenmsg header = {
        .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
    (void)ce_netlink_add(writer->netlink, writer->batch, type, 0, &header, sizeof header);
}

void ce_nft_batch_begin(struct ce_nft_writer *writer)
{
    batch_edge(writer, NFNL_MSG_BATCH_BEGIN);
}

int ce_nft_batch_end(struct ce_nft_writer *writer, const char *what, struct ce_error *err)
{
    batch_edge(writer, NFNL_MSG_BATCH_END);
    return ce_netlink_ask_batch(writer->netlink, writer->batch, what, err);
}

struct nlmsghdr *ce_nft_message(struct ce_nft_writer *writer, uint8_t type, uint16_t flags)
{
    struct nfgenmsg header = {.nfgen_family = writer->family, .version = NFNETLINK_V0};
    struct nlmsghdr *message =
        ce_netlink_add(writer->netlink, writer->batch, (NFNL_SUBSYS_NFTABLES << 8) | type, flags,
                       &header, sizeof header);
    /* The first attribute of tables, chains and rules alike. */
    mnl_attr_put_strz(message, NFTA_TABLE_NAME, writer->table);
    return message;
}

void ce_nft_chain(struct ce_nft_writer *writer, const char *name, const char *type, int hook,
                  int priority)
{
    struct nlmsghdr *message = ce_nft_message(writer, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    mnl_attr_put_strz(message, NFTA_CHAIN_NAME, name);
    if (hook < 0)
        return;
    struct nlattr *nest = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
    mnl_attr_put_u32(message, NFTA_HOOK_HOOKNUM, htonl((uint32_t)hook));
    mnl_attr_put_u32(message, NFTA_HOOK_PRIORITY, htonl((uint32_t)priority));
    mnl_attr_nest_end(message, nest);
    mnl_attr_put_strz(message, NFTA_CHAIN_TYPE, type);
}

void ce_nft_rule_begin(struct ce_nft_writer *writer, const char *chain)
{
    writer->message =
        ce_nft_message(writer, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK);
    mnl_attr_put_strz(writer->message, NFTA_RULE_CHAIN, chain);
    writer->list = mnl_attr_nest_start(writer->message, NFTA_RULE_EXPRESSIONS);
}

void ce_nft_rule_end(struct ce_nft_writer *writer)
{
    mnl_attr_nest_end(writer->message, writer->list);
}

/* ---- expressions ---- */

struct expression {
    struct nlattr *element, *data;
};

static struct expression expression_begin(struct ce_nft_writer *writer, const char *name)
{
    struct expression expression = {mnl_attr_nest_start(writer->message, NFTA_LIST_ELEM), NULL};
    mnl_attr_put_strz(writer->message, NFTA_EXPR_NAME, name);
    expression.data = mnl_attr_nest_start(writer->message, NFTA_EXPR_DATA);
    return expression;
}

static void expression_end(struct ce_nft_writer *writer, struct expression expression)
{
    mnl_attr_nest_end(writer->message, expression.data);
    mnl_attr_nest_end(writer->message, expression.element);
}

static void put_number(struct ce_nft_writer *writer, uint16_t attribute, uint32_t value)
{
    mnl_attr_put_u32(writer->message, attribute, htonl(value));
}

static void put_value(struct ce_nft_writer *writer, uint16_t attribute, const void *value,
                      size_t size)
{
    struct nlattr *nest = mnl_attr_nest_start(writer->message, attribute);
    mnl_attr_put(writer->message, NFTA_DATA_VALUE, size, value);
    mnl_attr_nest_end(writer->message, nest);
}

static void compare(struct ce_nft_writer *writer, enum nft_cmp_ops op, const void *value,
                    size_t size)
{
    struct expression expression = expression_begin(writer, "cmp");
    put_number(writer, NFTA_CMP_SREG, NFT_REG_1);
    put_number(writer, NFTA_CMP_OP, op);
    put_value(writer, NFTA_CMP_DATA, value, size);
    expression_end(writer, expression);
}

static void load_payload(struct ce_nft_writer *writer, enum nft_payload_bases base, unsigned offset,
                         size_t size)
{
    struct expression expression = expression_begin(writer, "payload");
    put_number(writer, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_number(writer, NFTA_PAYLOAD_BASE, base);
    put_number(writer, NFTA_PAYLOAD_OFFSET, offset);
    put_number(writer, NFTA_PAYLOAD_LEN, (uint32_t)size);
    expression_end(writer, expression);
}

static void mask_register(struct ce_nft_writer *writer, const void *mask, size_t size)
{
    static const uint8_t zeros[16];
    struct expression expression = expression_begin(writer, "bitwise");
    put_number(writer, NFTA_BITWISE_SREG, NFT_REG_1);
    put_number(writer, NFTA_BITWISE_DREG, NFT_REG_1);
    put_number(writer, NFTA_BITWISE_LEN, (uint32_t)size);
    put_value(writer, NFTA_BITWISE_MASK, mask, size);
    put_value(writer, NFTA_BITWISE_XOR, zeros, size);
    expression_end(writer, expression);
}

/* ---- conditions ---- */

void ce_nft_if_meta(struct ce_nft_writer *writer, enum nft_meta_keys key, const void *value,
                    size_t size)
{
    struct expression expression = expression_begin(writer, "meta");
    put_number(writer, NFTA_META_DREG, NFT_REG_1);
    put_number(writer, NFTA_META_KEY, key);
    expression_end(writer, expression);
    compare(writer, NFT_CMP_EQ, value, size);
}

void ce_nft_if_protocol(struct ce_nft_writer *writer, uint8_t protocol)
{
    ce_nft_if_meta(writer, NFT_META_L4PROTO, &protocol, sizeof protocol);
}

void ce_nft_if_transport(struct ce_nft_writer *writer, unsigned offset, const void *mask,
                         const void *value, size_t size)
{
    load_payload(writer, NFT_PAYLOAD_TRANSPORT_HEADER, offset, size);
    if (mask)
        mask_register(writer, mask, size);
    compare(writer, NFT_CMP_EQ, value, size);
}

void ce_nft_if_port(struct ce_nft_writer *writer, unsigned offset, uint16_t first, uint16_t last)
{
    uint16_t low = htons(first), high = htons(last);
    load_payload(writer, NFT_PAYLOAD_TRANSPORT_HEADER, offset, sizeof low);
    compare(writer, NFT_CMP_GTE, &low, sizeof low);
    compare(writer, NFT_CMP_LTE, &high, sizeof high);
}

/* Where a header of either family has its addresses. */
static unsigned address_at(bool six, bool source)
{
    return six ? (source ? 8 : 24) : (source ? 12 : 16);
}

void ce_nft_if_address(struct ce_nft_writer *writer, bool source, const struct ce_network *network)
{
    bool six = network->family == AF_INET6;
    uint8_t protocol = six ? NFPROTO_IPV6 : NFPROTO_IPV4;
    ce_nft_if_meta(writer, NFT_META_NFPROTO, &protocol, sizeof protocol);
    if (network->prefix == 0)
        return;
    size_t size = six ? 16 : 4;
    uint8_t address[16], mask[16];
    for (size_t i = 0; i < size; i++) {
        int bits = network->prefix - 8 * (int)i;
        mask[i] = bits >= 8 ? 0xff : bits > 0 ? (uint8_t)(0xff << (8 - bits)) : 0;
        address[i] = network->address[i] & mask[i];
    }
    load_payload(writer, NFT_PAYLOAD_NETWORK_HEADER, address_at(six, source), size);
    if (mask[size - 1] != 0xff)
        mask_register(writer, mask, size);
    compare(writer, NFT_CMP_EQ, address, size);
}

void ce_nft_if_chosen(struct ce_nft_writer *writer, uint32_t threshold)
{
    struct expression expression = expression_begin(writer, "numgen");
    put_number(writer, NFTA_NG_DREG, NFT_REG_1);
    put_number(writer, NFTA_NG_MODULUS, UINT32_C(1) << 30);
    put_number(writer, NFTA_NG_TYPE, NFT_NG_RANDOM);
    expression_end(writer, expression);
    /* Numbers are compared byte by byte, the most significant first. */
    expression = expression_begin(writer, "byteorder");
    put_number(writer, NFTA_BYTEORDER_SREG, NFT_REG_1);
    put_number(writer, NFTA_BYTEORDER_DREG, NFT_REG_1);
    put_number(writer, NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON);
    put_number(writer, NFTA_BYTEORDER_LEN, sizeof threshold);
    put_number(writer, NFTA_BYTEORDER_SIZE, sizeof threshold);
    expression_end(writer, expression);
    uint32_t below = htonl(threshold);
    compare(writer, NFT_CMP_LT, &below, sizeof below);
}

/* ---- deeds ---- */

void ce_nft_counter(struct ce_nft_writer *writer)
{
    expression_end(writer, expression_begin(writer, "counter"));
}

void ce_nft_verdict(struct ce_nft_writer *writer, int verdict, const char *chain)
{
    struct expression expression = expression_begin(writer, "immediate");
    put_number(writer, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    struct nlattr *data = mnl_attr_nest_start(writer->message, NFTA_IMMEDIATE_DATA);
    struct nlattr *nest = mnl_attr_nest_start(writer->message, NFTA_DATA_VERDICT);
    put_number(writer, NFTA_VERDICT_CODE, (uint32_t)verdict);
    if (chain)
        mnl_attr_put_strz(writer->message, NFTA_VERDICT_CHAIN, chain);
    mnl_attr_nest_end(writer->message, nest);
    mnl_attr_nest_end(writer->message, data);
    expression_end(writer, expression);
}

void ce_nft_reject(struct ce_nft_writer *writer, enum nft_reject_types type)
{
    struct expression expression = expression_begin(writer, "reject");
    put_number(writer, NFTA_REJECT_TYPE, type);
    if (type != NFT_REJECT_TCP_RST)
        mnl_attr_put_u8(writer->message, NFTA_REJECT_ICMP_CODE, NFT_REJECT_ICMPX_PORT_UNREACH);
    expression_end(writer, expression);
}

static void load_value(struct ce_nft_writer *writer, const void *value, size_t size)
{
    struct expression expression = expression_begin(writer, "immediate");
    put_number(writer, NFTA_IMMEDIATE_DREG, NFT_REG_1);
    put_value(writer, NFTA_IMMEDIATE_DATA, value, size);
    expression_end(writer, expression);
}

/* `sum`: where the header that is written to has its checksum; 0: it has none. */
static void store_payload(struct ce_nft_writer *writer, enum nft_payload_bases base,
                          unsigned offset, size_t size, unsigned sum, uint32_t flags)
{
    struct expression expression = expression_begin(writer, "payload");
    put_number(writer, NFTA_PAYLOAD_SREG, NFT_REG_1);
    put_number(writer, NFTA_PAYLOAD_BASE, base);
    put_number(writer, NFTA_PAYLOAD_OFFSET, offset);
    put_number(writer, NFTA_PAYLOAD_LEN, (uint32_t)size);
    put_number(writer, NFTA_PAYLOAD_CSUM_TYPE, sum ? NFT_PAYLOAD_CSUM_INET : NFT_PAYLOAD_CSUM_NONE);
    put_number(writer, NFTA_PAYLOAD_CSUM_OFFSET, sum);
    put_number(writer, NFTA_PAYLOAD_CSUM_FLAGS, flags);
    expression_end(writer, expression);
}

void ce_nft_set_address(struct ce_nft_writer *writer, bool source, const struct ce_network *network)
{
    enum { IPV4_SUM_AT = 10 };
    bool six = network->family == AF_INET6;
    size_t size = six ? 16 : 4;
    load_value(writer, network->address, size);
    store_payload(writer, NFT_PAYLOAD_NETWORK_HEADER, address_at(six, source), size,
                  six ? 0 : IPV4_SUM_AT, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
}

void ce_nft_set_port(struct ce_nft_writer *writer, unsigned offset, uint8_t protocol, uint16_t port)
{
    enum { TCP_SUM_AT = 16, UDP_SUM_AT = 6 };
    uint16_t value = htons(port);
    load_value(writer, &value, sizeof value);
    store_payload(writer, NFT_PAYLOAD_TRANSPORT_HEADER, offset, sizeof value,
                  protocol == IPPROTO_TCP ? TCP_SUM_AT : UDP_SUM_AT, 0);
}

void ce_nft_untrack(struct ce_nft_writer *writer)
{
    expression_end(writer, expression_begin(writer, "notrack"));
}

void ce_nft_queue(struct ce_nft_writer *writer, uint16_t number, bool compatible)
{
    if (compatible) {
        struct {
            _Alignas(8) struct xt_NFQ_info_v3 info; /* the kernel wants it padded */
        } target = {.info = {.queuenum = number, .queues_total = 1, .flags = NFQ_FLAG_BYPASS}};
        struct expression expression = expression_begin(writer, "target");
        mnl_attr_put_strz(writer->message, NFTA_TARGET_NAME, "NFQUEUE");
        put_number(writer, NFTA_TARGET_REV, 3);
        mnl_attr_put(writer->message, NFTA_TARGET_INFO, sizeof target, &target);
        expression_end(writer, expression);
        return;
    }
    struct expression expression = expression_begin(writer, "queue");
    mnl_attr_put_u16(writer->message, NFTA_QUEUE_NUM, htons(number));
    mnl_attr_put_u16(writer->message, NFTA_QUEUE_TOTAL, htons(1));
    mnl_attr_put_u16(writer->message, NFTA_QUEUE_FLAGS, htons(NFT_QUEUE_FLAG_BYPASS));
    expression_end(writer, expression);
}
