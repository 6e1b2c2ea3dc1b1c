/* SPDX-License-Identifier: MIT */
/* tbf: a token bucket, for packets that go through a shaper of ours; each direction has its own. */
#include "host/packets/shaped.h"

static bool available(char *reason, size_t size)
{
    static const struct ce_packet_deed some_limit = {.kind = CE_PACKETS_LIMIT, .rate = 1000000};
    return ce_shaped_available(&some_limit, reason, size);
}

const struct ce_packet_means ce_means_tbf = {
    .name = "tbf",
    .kinds = 1u << CE_PACKETS_LIMIT,
    .size = sizeof(struct ce_shaped),
    .available = available,
    .begin = ce_shaped_begin,
    .adjust = ce_shaped_adjust,
    .count = ce_shaped_count,
    .end = ce_shaped_end,
};
