/* SPDX-License-Identifier: MIT */
/* netem: the kernel's own delays and losses, of packets that go through a shaper of ours. */
#include "base/clock.h"
#include "host/packets/shaped.h"

static bool available(char *reason, size_t size)
{
    static const struct ce_packet_deed small_delay = {.kind = CE_PACKETS_DELAY,
                                                      .delay = CE_MILLISECOND};
    return ce_shaped_available(&small_delay, reason, size);
}

const struct ce_packet_means ce_means_netem = {
    .name = "netem",
    .kinds = 1u << CE_PACKETS_DELAY | 1u << CE_PACKETS_LOSE,
    .size = sizeof(struct ce_shaped),
    .available = available,
    .begin = ce_shaped_begin,
    .adjust = ce_shaped_adjust,
    .count = ce_shaped_count,
    .end = ce_shaped_end,
};
