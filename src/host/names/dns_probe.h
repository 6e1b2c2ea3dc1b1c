/* SPDX-License-Identifier: MIT */
/* A witness for what becomes of queries: a process in the target's network namespace asks a name
 * server, as any program there does, and counts what it hears. */
#ifndef CE_HOST_NAMES_DNS_PROBE_H
#define CE_HOST_NAMES_DNS_PROBE_H

#include <sys/socket.h>

#include "host/names/dns_message.h"
#include "host/place.h"

enum { CE_DNS_PROBE_MAX = 4096 };

struct ce_dns_probe {
    struct sockaddr_storage server;
    char name[CE_DNS_NAME_SIZE];
    uint16_t type;
    size_t count;              /* how many queries, CE_DNS_PROBE_MAX at most */
    int64_t spacing, patience; /* ns between two of them; ns to wait for the last answers */
    struct ce_dns_address wrong;
};
struct ce_dns_seen {
    size_t sent, answered;
    size_t nxdomain, servfail, wrong; /* of the answers: no such name; no answer; that address */
};
int ce_dns_probe(const struct ce_place *place, const struct ce_dns_probe *probe,
                 struct ce_dns_seen *ret_seen, struct ce_error *err);
/* Of the queries sent, those that failed so. */
size_t ce_dns_failed(const struct ce_dns_seen *seen, enum ce_dns_failure failure);

#endif
