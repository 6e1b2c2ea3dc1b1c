/* SPDX-License-Identifier: MIT */
/* A witness for what is done to packets: datagrams that a process in the target's network namespace
 * sends to itself, or connections that it makes, without knowing of any fault. */
#ifndef CE_HOST_PACKETS_PACKET_PROBE_H
#define CE_HOST_PACKETS_PACKET_PROBE_H

#include <stdbool.h>
#include <sys/socket.h>

#include "host/place.h"

enum { CE_PROBE_MAX = 4096, CE_PROBE_FLOWS = 64, CE_PROBE_LEAST = 16, CE_PROBE_MOST = 1400 };

struct ce_packet_probe {
    struct sockaddr_storage at;   /* an address of the place itself, and a port that is free there
                                     for UDP (0: any): to which datagrams are sent, or from which */
    struct sockaddr_storage peer; /* the address of the other end, which need not be the place's
                                     own; family 0: the same */
    bool outward;                 /* from `at` */
    size_t count;                 /* how many, CE_PROBE_MAX at most */
    size_t flows;              /* from (to) so many ports in turn, CE_PROBE_FLOWS at most; 0: one */
    int64_t spacing, patience; /* ns between two of them; ns to wait for those that are missing */
    size_t payload;            /* bytes of each: CE_PROBE_LEAST..CE_PROBE_MOST; 0: the least */
};

struct ce_packet_seen {
    size_t sent, received, damaged, twice, late; /* late: overtaken by one sent after it */
    size_t refused;                              /* connections only */
    int64_t p50, p99, least, most, spread;       /* one way, ns; spread: standard deviation */
};
/* Sends them, and waits for them at other sockets of the same child. A datagram that the kernel
 * refuses to send counts as sent. -ECHILD, -EADDRINUSE, -EADDRNOTAVAIL and the like: it could not
 * be tried. Any thread. */
int ce_packet_probe(const struct ce_place *place, const struct ce_packet_probe *probe,
                    struct ce_packet_seen *ret_seen, struct ce_error *err);
/* Makes that many connections (CE_PROBE_FLOWS at most) to an address from there, one a millisecond,
 * by TCP, and hangs up. Those that were answered are `received`; the times are theirs: there and
 * back.
 */
int ce_connect_probe(const struct ce_place *place, const struct sockaddr_storage *to, size_t count,
                     int64_t patience, struct ce_packet_seen *ret_seen, struct ce_error *err);

#endif
