/* SPDX-License-Identifier: MIT */
/* A witness for a limit of the rate: a process in the target's network namespace that sends itself
 * datagrams as fast as it can, and counts what arrives. */
#ifndef CE_HOST_PACKETS_RATE_PROBE_H
#define CE_HOST_PACKETS_RATE_PROBE_H

#include <sys/socket.h>

#include "host/place.h"

struct ce_rate_probe {
    struct sockaddr_storage to; /* an address of the place itself; its port free for UDP */
    bool leaving;               /* from there instead, so that it is the source port */
    uint64_t rate;              /* that is expected, bits per second */
    uint64_t burst;             /* bytes that may pass at once, before the limit is felt */
    size_t largest;             /* bytes of a packet */
    int64_t window, patience;   /* ns: how long it measures, and how long it may take in all */
};
struct ce_rate_seen {
    uint64_t packets; /* that arrived in the window */
    double offered;   /* bits per second that were sent, at least */
    double rate;      /* that arrived, headers included; 0: nothing did */
};
int ce_rate_probe(const struct ce_place *place, const struct ce_rate_probe *probe,
                  struct ce_rate_seen *ret_seen, struct ce_error *err);

#endif
