/* SPDX-License-Identifier: MIT */
/* What can be done to packets, whatever the kernel does it with.
 *
 * A fault says which packets (struct ce_packet_filter) and what becomes of them (struct
 * ce_packet_deed). packets.c tries the means that the kernel offers in their order (packet_means.h)
 * until one stands. Nothing that somebody else has set up is replaced: queueing disciplines, rules
 * and filters that are there already stay as they are, and a means that could not leave them alone
 * is not used. */
#ifndef CE_HOST_PACKETS_PACKETS_H
#define CE_HOST_PACKETS_PACKETS_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/place.h"
#include "journal/journal.h"

enum ce_packet_direction {
    CE_PACKETS_IN = 0, /* entering the target */
    CE_PACKETS_OUT,
    CE_PACKETS_BOTH,
};

/* An address with the length of its prefix. */
struct ce_network {
    int family; /* AF_INET, AF_INET6 */
    uint8_t address[16];
    int prefix;
};
/* "10.0.0.7", "10.0.0.0/8", "fd00::/8". -EINVAL: it is none. */
int ce_network_parse(const char *text, struct ce_network *ret_network, struct ce_error *err);

/* All that is stated must fit. For packets that leave, source and destination change places. */
struct ce_packet_filter {
    enum ce_packet_direction direction;
    char interface[IF_NAMESIZE]; /* "": any */
    int protocol;                /* IPPROTO_TCP, IPPROTO_UDP; 0: both, where ports are named */
    struct {
        uint16_t first, last;
    } ports[16]; /* of the target: destination of what enters */
    size_t port_count;
    struct ce_network peers[64]; /* who sent what enters */
    size_t peer_count;
    uint16_t peer_port; /* from which port; 0: any */
};

enum ce_delay_distribution {
    CE_DELAY_UNIFORM = 0, /* jitter is the half-width */
    CE_DELAY_NORMAL,      /* the standard deviation */
    CE_DELAY_PARETO,      /* the mean excess */
};

enum ce_packet_kind {
    CE_PACKETS_DELAY = 0,
    CE_PACKETS_LOSE,
    CE_PACKETS_LIMIT,
    CE_PACKETS_BLOCK,
};

#define CE_PACKETS_UNLIMITED UINT64_C(1000000000000) /* bits per second: as good as no limit */

/* One kind; the members of the others are not looked at. */
struct ce_packet_deed {
    enum ce_packet_kind kind;
    uint64_t seed;
    /* delay */
    int64_t delay, jitter; /* ns */
    enum ce_delay_distribution distribution;
    double correlation; /* 0..1: how much of the last packet's draw is in the next one's */
    bool keep_order;    /* no packet overtakes another of its connection (netem: any other) */
    /* lose: shares of the packets, 0..1; correlation as above */
    double loss, duplicate, corrupt, reorder;
    /* limit: bits per second, and how many bytes may pass at once (0: what fits the rate) */
    uint64_t rate, burst;
    /* block */
    bool reject; /* refused (by a TCP reset, else ICMP), so that the sender knows; else dropped */
};

struct ce_packets;

/* Begins it there. `means` is the name of the one to use; NULL: the first that stands. Everything
 * is noted before it is done. -ENOTSUP: no means; the error says why not, of each. */
int ce_packets_begin(struct ce_journal *journal, const struct ce_place *place,
                     const struct ce_packet_filter *filter, const struct ce_packet_deed *deed,
                     const char *means, struct ce_packets **ret_packets, struct ce_error *err);
/* The same kind of deed with other numbers, while it lasts. */
int ce_packets_adjust(struct ce_packets *packets, const struct ce_packet_deed *deed,
                      struct ce_error *err);
const char *ce_packets_means(const struct ce_packets *packets); /* "nfqueue" */
/* Packets that fitted the filter, and those that something was done to, as the kernel or the agent
 * counts them. -ENOTSUP: these means do not count. */
int ce_packets_count(struct ce_packets *packets, uint64_t *ret_seen, uint64_t *ret_hit,
                     struct ce_error *err);
/* Ends it and frees `packets`, in every case. After a failure notes are still live. NULL is fine.
 */
int ce_packets_end(struct ce_packets *packets, struct ce_error *err);

/* Whether any means for that kind is there for this user, in a network namespace of its own or of a
 * target's; `text`: each in the order in which they are tried, and why it is not, if so. */
bool ce_packets_available(enum ce_packet_kind kind, char *text, size_t size);

#endif
