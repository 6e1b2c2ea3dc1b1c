/* SPDX-License-Identifier: MIT */
/* What a shaper's device says of itself, in its alias: for shapers that come after it, whoever
 * makes them. A layer whose shaper has ended stays until the last one ends, doing nothing: the
 * kernel lets no discipline be moved up into another one's place. */
#ifndef CE_HOST_PACKETS_SHAPER_LABEL_H
#define CE_HOST_PACKETS_SHAPER_LABEL_H

#include "host/packets/packets.h"

enum {
    CE_SHAPER_PACKETS_SIZE = 192,
    CE_SHAPER_LABEL_SIZE = 256, /* IFALIASZ */
};

struct ce_shaper_label {
    unsigned live, layers;                /* a bit for each layer that lives; how many there are */
    char packets[CE_SHAPER_PACKETS_SIZE]; /* which, as ce_shaper_packets_text() writes them */
};

/* -EINVAL: it is none of ours. */
int ce_shaper_label_parse(const char *text, struct ce_shaper_label *ret_label);
/* CE_SHAPER_LABEL_SIZE bytes. */
void ce_shaper_label_format(const struct ce_shaper_label *label, char *ret_text);

/* Equal for equal packets; CE_SHAPER_PACKETS_SIZE bytes. -ENOTSUP: it would be too long. */
int ce_shaper_packets_text(const struct ce_packet_filter *filter, bool leaving, char *ret_text,
                           struct ce_error *err);
/* Whether there may be packets that are meant by both. */
bool ce_shaper_packets_meet(const char *a, const char *b);

#endif
