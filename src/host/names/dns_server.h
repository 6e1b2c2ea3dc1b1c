/* SPDX-License-Identifier: MIT */
/* A name server that answers a share of the queries amiss and hands all others on.
 *
 * It stands for one or more other name servers, at an address of its own for each: what is not to
 * fail goes to the one it was meant for, and the answer comes back byte for byte. Which queries
 * fail is decided one by one in the order in which they come, from the seed. Over TCP it is the
 * same: answers that were cut short are asked for again there. */
#ifndef CE_HOST_NAMES_DNS_SERVER_H
#define CE_HOST_NAMES_DNS_SERVER_H

#include <sys/socket.h>

#include "base/text.h"
#include "host/names/dns_message.h"

enum { CE_DNS_SERVERS_MAX = 8 };

/* One that is stood for. */
struct ce_dns_stand_in {
    struct sockaddr_storage server; /* the other */
    struct sockaddr_storage at;     /* where its queries come to */
    int datagrams, connections;     /* sockets bound there */
};
/* Binds both sockets to stand_in->at; with port 0 to any that is free for both, which is put there.
 */
int ce_dns_listen(struct ce_dns_stand_in *stand_in, struct ce_error *err);
socklen_t ce_dns_address_size(const struct sockaddr_storage *address);

struct ce_dns_service {
    enum ce_dns_failure failure;
    struct ce_dns_address address;  /* the wrong one */
    const struct ce_names *domains; /* names in these fail; none: all do */
    uint64_t seed;
    double share;  /* at first */
    uint32_t mark; /* of the packets to the other servers; 0: none */
    struct ce_dns_stand_in stand_ins[CE_DNS_SERVERS_MAX];
    size_t count;
};

/* What comes over the channel, and the answer. */
struct ce_dns_order {
    double share; /* that fails from now on; negative: leave it as it is */
};
struct ce_dns_tally {
    uint64_t seen, failed; /* queries that can fail, those that did */
};
/* Serves until the channel ends. Returns the exit code: the process must end then, with the threads
 * of connections that are still open. */
int ce_dns_serve(const struct ce_dns_service *service, int channel);

#endif
