/* SPDX-License-Identifier: MIT */
/* Where a server listens, as a user writes it: http://host:port/prefix, https:// likewise, h2c://
 * (HTTP/2 without TLS, as gRPC servers speak it), unix:/path, or host:port, which means http. */
#ifndef CE_NET_URL_H
#define CE_NET_URL_H

#include "net/endpoint.h"

struct ce_url {
    struct ce_endpoint endpoint; /* a name is not looked up yet */
    char *authority;             /* for the Host field: "example.org:8080", as it was written */
    char *prefix; /* what goes before every path: "" or "/a/b", without a slash at its end */
    bool tls;     /* https */
    bool http2;   /* h2c: HTTP/2 from the first byte on */
};

/* Looks nothing up. -EINVAL says what is wrong and what would be accepted. Ended by ce_url_done().
 */
int ce_url_parse(const char *text, struct ce_url *ret_url, struct ce_error *err);
/* Gives the endpoint of an https URL what it takes to connect to it (endpoint.tls), which is the
 * URL's; `authorities` as of ce_tls_client(). Does nothing for others. */
int ce_url_secure(struct ce_url *url, const char *authorities, struct ce_error *err);
void ce_url_done(struct ce_url *url); /* a zeroed one is fine */

#endif
