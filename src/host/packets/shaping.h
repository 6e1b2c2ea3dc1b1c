/* SPDX-License-Identifier: MIT */
/* What is done to packets, in the words of the kernel's queueing disciplines: netem for delay and
 * loss, tbf for a limit. */
#ifndef CE_HOST_PACKETS_SHAPING_H
#define CE_HOST_PACKETS_SHAPING_H

#include "host/packets/packets.h"

struct ce_shaping {
    char kind[16]; /* "netem", "tbf" */
    size_t size;
    uint8_t options[4096]; /* the contents of TCA_OPTIONS */
};

/* `largest`: bytes of the largest packet that must pass (0: unknown). -ENOTSUP with the reason for
 * a deed that the discipline cannot do. */
int ce_shaping_of(const struct ce_packet_deed *deed, size_t largest, struct ce_shaping *ret_shaping,
                  struct ce_error *err);
/* The same kind of discipline, which does nothing to packets. */
void ce_shaping_none(const char *kind, struct ce_shaping *ret_shaping);

#endif
