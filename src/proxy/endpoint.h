/* SPDX-License-Identifier: MIT */
/* Where to connect to, and in which network namespace.
 *
 * A socket belongs to the namespace in which it was made, whoever uses it. So a pipeline in a
 * network namespace of its own hands out sockets, and proxy and workload reach it without leaving
 * theirs. */
#ifndef CE_PROXY_ENDPOINT_H
#define CE_PROXY_ENDPOINT_H

#include <sys/socket.h>

#include "base/error.h"

struct ce_endpoint {
    struct sockaddr_storage address;
    socklen_t size;
    /* Makes a stream socket (CLOEXEC, non-blocking) for that address family; NULL: socket(2) does.
     * Any thread. */
    int (*make_socket)(void *ctx, int family, struct ce_error *err);
    void *ctx;
};

/* Loopback, IPv4. */
struct ce_endpoint ce_endpoint_loopback(int port);
/* A new socket for the endpoint: descriptor, or a negative errno. */
int ce_endpoint_socket(const struct ce_endpoint *endpoint, struct ce_error *err);
/* Starts to connect: a non-blocking descriptor, or a negative errno. Refusal may show later.
 * TCP_NODELAY is set. */
int ce_endpoint_connect(const struct ce_endpoint *endpoint, struct ce_error *err);
/* Listens: a non-blocking descriptor; port 0 in the address is replaced by the real one. */
int ce_endpoint_listen(struct ce_endpoint *endpoint, struct ce_error *err);
/* The same without listening yet: the address is taken, and connections to it are refused. */
int ce_endpoint_bind(struct ce_endpoint *endpoint, struct ce_error *err);
/* "127.0.0.1:8080", "[::1]:80" or "unix:/path". */
void ce_endpoint_text(const struct ce_endpoint *endpoint, char *text, size_t size);

#endif
