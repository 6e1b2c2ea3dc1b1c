/* SPDX-License-Identifier: MIT */
/* Which name servers the programs in a place ask: its /etc/resolv.conf. */
#ifndef CE_HOST_NAMES_RESOLV_CONF_H
#define CE_HOST_NAMES_RESOLV_CONF_H

#include <sys/socket.h>

#include "host/names/dns_server.h"
#include "host/place.h"

enum { CE_RESOLV_CONF_MAX = 16 * 1024 };

struct ce_resolv_conf {
    char text[CE_RESOLV_CONF_MAX];
    struct sockaddr_storage servers[CE_DNS_SERVERS_MAX]; /* in their order, with their port */
    size_t count;                                        /* one at least */
};

/* Of what is in the text; without any, programs ask their own host. Link-local servers, which are
 * known by an interface too, are passed over. */
void ce_resolv_conf_parse(struct ce_resolv_conf *conf);
/* Reads it there. Of a named network namespace it is /etc/netns/NAME/resolv.conf, if there is one,
 * as `ip netns exec` has it. A missing file is an empty one. */
int ce_resolv_conf_read(const struct ce_place *place, struct ce_resolv_conf *ret_conf,
                        struct ce_error *err);

#endif
