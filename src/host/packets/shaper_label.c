/* SPDX-License-Identifier: MIT */
#include "host/packets/shaper_label.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char label_mark[] = "chaoseater";

int ce_shaper_packets_text(const struct ce_packet_filter *filter, bool leaving, char *ret_text,
                           struct ce_error *err)
{
    char ports[128] = "*";
    uint64_t peers = 14695981039346656037u; /* FNV-1a */
    size_t used = 0;
    for (size_t i = 0; i < filter->port_count; i++) {
        int n = snprintf(ports + used, sizeof ports - used, "%s%u-%u", i > 0 ? "," : "",
                         (unsigned)filter->ports[i].first, (unsigned)filter->ports[i].last);
        used += (size_t)n;
        if (used >= sizeof ports)
            return ce_fail(err, ENOTSUP, "a shaper takes fewer ranges of ports");
    }
    for (size_t i = 0; i < filter->peer_count; i++) {
        const struct ce_network *peer = &filter->peers[i];
        uint8_t bytes[18] = {(uint8_t)peer->family, (uint8_t)peer->prefix};
        memcpy(bytes + 2, peer->address, sizeof peer->address);
        for (size_t j = 0; j < sizeof bytes; j++)
            peers = (peers ^ bytes[j]) * 1099511628211u;
    }
    int n = snprintf(ret_text, CE_SHAPER_PACKETS_SIZE, "%s %s %d %s %u %" PRIx64,
                     leaving ? "out" : "in", filter->interface[0] ? filter->interface : "*",
                     filter->protocol, ports, (unsigned)filter->peer_port,
                     filter->peer_count > 0 ? peers : 0);
    return n < CE_SHAPER_PACKETS_SIZE
               ? 0
               : ce_fail(err, ENOTSUP, "a shaper takes fewer ranges of ports");
}

static bool ports_meet(const char *a, const char *b)
{
    unsigned a_first, a_last, b_first, b_last;
    if (strcmp(a, "*") == 0 || strcmp(b, "*") == 0)
        return true;
    for (const char *p = a; p && sscanf(p, "%u-%u", &a_first, &a_last) == 2;) {
        for (const char *q = b; q && sscanf(q, "%u-%u", &b_first, &b_last) == 2;) {
            if (a_first <= b_last && b_first <= a_last)
                return true;
            q = strchr(q, ',');
            q = q ? q + 1 : NULL;
        }
        p = strchr(p, ',');
        p = p ? p + 1 : NULL;
    }
    return false;
}

bool ce_shaper_packets_meet(const char *a, const char *b)
{
    struct {
        char way[4], interface[IF_NAMESIZE], ports[128];
        int protocol;
    } is[2];
    const char *texts[] = {a, b};
    for (int i = 0; i < 2; i++)
        if (sscanf(texts[i], "%3s %15s %d %127s", is[i].way, is[i].interface, &is[i].protocol,
                   is[i].ports) != 4)
            return true;
    if (strcmp(is[0].way, is[1].way) != 0)
        return false;
    if (strcmp(is[0].interface, is[1].interface) != 0 && is[0].interface[0] != '*' &&
        is[1].interface[0] != '*')
        return false;
    if (is[0].protocol != is[1].protocol && is[0].protocol != 0 && is[1].protocol != 0)
        return false;
    return ports_meet(is[0].ports, is[1].ports);
}

int ce_shaper_label_parse(const char *text, struct ce_shaper_label *ret_label)
{
    int at = 0;
    if (strncmp(text, label_mark, sizeof label_mark - 1) != 0 ||
        sscanf(text + sizeof label_mark - 1, " %x %u %n", &ret_label->live, &ret_label->layers,
               &at) != 2 ||
        at == 0)
        return -EINVAL;
    snprintf(ret_label->packets, sizeof ret_label->packets, "%s",
             text + sizeof label_mark - 1 + at);
    return 0;
}

void ce_shaper_label_format(const struct ce_shaper_label *label, char *ret_text)
{
    snprintf(ret_text, CE_SHAPER_LABEL_SIZE, "%s %x %u %s", label_mark, label->live, label->layers,
             label->packets);
}
