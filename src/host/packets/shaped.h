/* SPDX-License-Identifier: MIT */
/* What the means that are queueing disciplines have in common: a shaper for each direction. */
#ifndef CE_HOST_PACKETS_SHAPED_H
#define CE_HOST_PACKETS_SHAPED_H

#include "host/packets/packet_means.h"
#include "host/packets/tc.h"

struct ce_shaped {
    struct ce_packets base;
    struct ce_shaper shapers[2];
    size_t largest; /* packet that the interfaces let through */
};

int ce_shaped_begin(struct ce_packets *packets, struct ce_error *err);
int ce_shaped_adjust(struct ce_packets *packets, const struct ce_packet_deed *deed,
                     struct ce_error *err);
int ce_shaped_count(struct ce_packets *packets, uint64_t *ret_seen, uint64_t *ret_hit,
                    struct ce_error *err);
int ce_shaped_end(struct ce_packets *packets, struct ce_error *err);
/* Whether that deed can be done on a host. */
bool ce_shaped_available(const struct ce_packet_deed *deed, char *reason, size_t size);

#endif
