/* SPDX-License-Identifier: MIT */
/* Writing rules of nf_tables: the expressions that rules are made of, one function each.
 *
 * A rule is a list of expressions that the kernel evaluates in turn: one that loads something into
 * the register, one that compares it and leaves the rule when it does not fit, one that ends with a
 * verdict. Everything here uses one register. */
#ifndef CE_HOST_PACKETS_NFT_RULE_H
#define CE_HOST_PACKETS_NFT_RULE_H

#include <netinet/in.h> /* the kernel's headers must come after it */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "host/packets/netlink.h"
#include "host/packets/packets.h"

struct ce_nft_writer {
    struct ce_netlink *netlink;
    struct ce_netlink_batch *batch;
    uint8_t family; /* NFPROTO_INET, ... */
    const char *table;
    struct nlmsghdr *message; /* the rule that is being written */
    struct nlattr *list;
};

/* Messages about that table: a batch is their begin, what changes, their end. */
void ce_nft_batch_begin(struct ce_nft_writer *writer);
int ce_nft_batch_end(struct ce_nft_writer *writer, const char *what, struct ce_error *err);
/* One that names the table; attributes may follow. */
struct nlmsghdr *ce_nft_message(struct ce_nft_writer *writer, uint8_t type, uint16_t flags);
/* `hook` < 0: a chain that others go to. */
void ce_nft_chain(struct ce_nft_writer *writer, const char *name, const char *type, int hook,
                  int priority);

void ce_nft_rule_begin(struct ce_nft_writer *writer, const char *chain);
void ce_nft_rule_end(struct ce_nft_writer *writer);

/* Conditions. */
void ce_nft_if_meta(struct ce_nft_writer *writer, enum nft_meta_keys key, const void *value,
                    size_t size);
void ce_nft_if_protocol(struct ce_nft_writer *writer, uint8_t protocol);
/* The bytes of the transport header there, ANDed with `mask` (NULL: all of them). */
void ce_nft_if_transport(struct ce_nft_writer *writer, unsigned offset, const void *mask,
                         const void *value, size_t size);
/* A port, at offset 0 (source) or 2 (destination). */
void ce_nft_if_port(struct ce_nft_writer *writer, unsigned offset, uint16_t first, uint16_t last);
void ce_nft_if_address(struct ce_nft_writer *writer, bool source, const struct ce_network *network);
/* One of 2^30 packets in `threshold`, at random. */
void ce_nft_if_chosen(struct ce_nft_writer *writer, uint32_t threshold);

/* Deeds. */
void ce_nft_counter(struct ce_nft_writer *writer);
/* NF_DROP, NF_ACCEPT, NFT_GOTO with its chain. */
void ce_nft_verdict(struct ce_nft_writer *writer, int verdict, const char *chain);
void ce_nft_reject(struct ce_nft_writer *writer, enum nft_reject_types type);
/* Other addresses and ports, with the checksums that go with them; and none of this is for the
 * connection tracking to see. */
void ce_nft_set_address(struct ce_nft_writer *writer, bool source,
                        const struct ce_network *network);
void ce_nft_set_port(struct ce_nft_writer *writer, unsigned offset, uint8_t protocol,
                     uint16_t port);
void ce_nft_untrack(struct ce_nft_writer *writer);
/* `compatible`: by the target of xtables, for kernels without an expression of their own. A queue
 * that nobody reads lets everything pass. */
void ce_nft_queue(struct ce_nft_writer *writer, uint16_t number, bool compatible);

#endif
