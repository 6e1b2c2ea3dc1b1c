/* SPDX-License-Identifier: MIT */
#include "host/packets/shaped.h"

#include <stdio.h>

int ce_shaped_begin(struct ce_packets *packets, struct ce_error *err)
{
    struct ce_shaped *shaped = (struct ce_shaped *)packets;
    enum ce_packet_direction direction = packets->filter.direction;
    struct ce_shaping shaping;
    CE_TRY(ce_shaper_largest(&packets->place, &packets->filter, &shaped->largest, err));
    CE_TRY(ce_shaping_of(&packets->deed, shaped->largest, &shaping, err));
    for (int leaving = 0; leaving < 2; leaving++) {
        if (direction != CE_PACKETS_BOTH && leaving != (direction == CE_PACKETS_OUT))
            continue;
        int r = ce_shaper_begin(packets->journal, &packets->place, &packets->filter, leaving,
                                &shaping, &shaped->shapers[leaving], err);
        if (r < 0) {
            (void)ce_shaped_end(packets, NULL);
            return r;
        }
    }
    return 0;
}

int ce_shaped_adjust(struct ce_packets *packets, const struct ce_packet_deed *deed,
                     struct ce_error *err)
{
    struct ce_shaped *shaped = (struct ce_shaped *)packets;
    struct ce_shaping shaping;
    CE_TRY(ce_shaping_of(deed, shaped->largest, &shaping, err));
    for (int i = 0; i < 2; i++)
        if (shaped->shapers[i].note > 0)
            CE_TRY(ce_shaper_change(&shaped->shapers[i], &shaping, err));
    packets->deed = *deed;
    return 0;
}

int ce_shaped_count(struct ce_packets *packets, uint64_t *ret_seen, uint64_t *ret_hit,
                    struct ce_error *err)
{
    const struct ce_shaped *shaped = (const struct ce_shaped *)packets;
    uint64_t seen = 0, dropped = 0, delayed = 0;
    for (int i = 0; i < 2; i++) {
        struct ce_shaper_count count;
        if (shaped->shapers[i].note == 0)
            continue;
        CE_TRY(ce_shaper_count(&shaped->shapers[i], &count, err));
        seen += count.passed + count.dropped + count.waiting;
        dropped += count.dropped;
        delayed += count.delayed;
    }
    uint64_t limited = dropped + delayed < seen ? dropped + delayed : seen;
    *ret_seen = seen;
    *ret_hit = packets->deed.kind == CE_PACKETS_DELAY   ? seen
               : packets->deed.kind == CE_PACKETS_LIMIT ? limited
                                                        : dropped;
    return 0;
}

int ce_shaped_end(struct ce_packets *packets, struct ce_error *err)
{
    struct ce_shaped *shaped = (struct ce_shaped *)packets;
    int first = 0;
    for (int i = 1; i >= 0; i--) {
        int r = ce_shaper_end(packets->journal, &shaped->shapers[i], first < 0 ? NULL : err);
        first = first < 0 ? first : r;
    }
    return first;
}

bool ce_shaped_available(const struct ce_packet_deed *deed, char *reason, size_t size)
{
    struct ce_shaping shaping;
    struct ce_error err = {0};
    if (ce_shaping_of(deed, UINT16_MAX, &shaping, &err) < 0) {
        snprintf(reason, size, "%s", err.message);
        return false;
    }
    return ce_shaper_available(&shaping, reason, size);
}
