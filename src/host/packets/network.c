/* SPDX-License-Identifier: MIT */
/* Addresses with the length of their prefix, as people write them. */
#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"
#include "host/packets/packets.h"

int ce_network_parse(const char *text, struct ce_network *ret_network, struct ce_error *err)
{
    struct ce_network network = {0};
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    int64_t prefix = -1;
    if (n < sizeof address) {
        memcpy(address, text, n);
        address[n] = '\0';
        if (inet_pton(AF_INET, address, network.address) == 1)
            network.family = AF_INET;
        else if (inet_pton(AF_INET6, address, network.address) == 1)
            network.family = AF_INET6;
    }
    int64_t bits = network.family == AF_INET ? 32 : 128;
    if (slash && (ce_text_integer(slash + 1, &prefix) < 0 || prefix < 0 || prefix > bits))
        network.family = 0;
    if (network.family == 0)
        return ce_fail(err, EINVAL,
                       "'%s' is not an address, alone or with the length of its prefix: 10.0.0.7, "
                       "10.0.0.0/8, fd00::/8",
                       text);
    network.prefix = (int)(slash ? prefix : bits);
    *ret_network = network;
    return 0;
}
