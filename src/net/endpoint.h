/* SPDX-License-Identifier: MIT */
/* Where to connect to, and in which network namespace.
 *
 * An endpoint is an address, or a name and a port. What a name stands for is looked up when it is
 * used, and that may take its time: threads that must not wait call ce_endpoint_resolve()
 * elsewhere.
 *
 * A socket belongs to the namespace in which it was made, whoever uses it. So a pipeline in a
 * network namespace of its own hands out sockets, and proxy and workload reach it without leaving
 * theirs. */
#ifndef CE_NET_ENDPOINT_H
#define CE_NET_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

enum {
    CE_NAME_MAX = 253, /* of a host */
    CE_ADDRESSES_MAX = 8,
};

/* What a name stands for, in the order in which to try them: both families in turn, so that one of
 * them being out of reach costs one attempt. */
struct ce_addresses {
    struct {
        struct sockaddr_storage address;
        socklen_t size;
    } list[CE_ADDRESSES_MAX];
    size_t count;
};

struct ce_tls;

struct ce_endpoint {
    struct sockaddr_storage address;
    socklen_t size;
    /* Not empty: a host's name, and the address is yet to be found. */
    char name[CE_NAME_MAX + 1];
    uint16_t port;
    /* Looks a name up; NULL: getaddrinfo(3) does. Any thread; it may still run when a proxy that
     * asked has stopped. */
    int (*look_up)(void *ctx, const char *name, uint16_t port, struct ce_addresses *ret_addresses,
                   struct ce_error *err);
    /* Makes a stream socket (CLOEXEC, non-blocking) for that address family; NULL: socket(2) does.
     * Any thread. */
    int (*make_socket)(void *ctx, int family, struct ce_error *err);
    void *ctx;
    struct ce_tls *tls; /* not NULL: who connects there is to speak TLS, as a client of that
                           context; the caller's */
};

/* Loopback, IPv4. */
struct ce_endpoint ce_endpoint_loopback(int port);
/* "127.0.0.1:8080", "[::1]:8080", "model.local:8080" or "unix:/path". Looks nothing up. */
int ce_endpoint_parse(const char *text, struct ce_endpoint *ret_endpoint, struct ce_error *err);
/* Finds the addresses: at once if it has one, else by looking its name up, which may take long. */
int ce_endpoint_resolve(const struct ce_endpoint *endpoint, struct ce_addresses *ret_addresses,
                        struct ce_error *err);
/* The same endpoint with the n-th of its addresses in the place of its name. */
struct ce_endpoint ce_endpoint_at(const struct ce_endpoint *endpoint,
                                  const struct ce_addresses *addresses, size_t n);
bool ce_endpoint_same(const struct ce_endpoint *a, const struct ce_endpoint *b);
/* A new socket for the endpoint: descriptor, or a negative errno. */
int ce_endpoint_socket(const struct ce_endpoint *endpoint, struct ce_error *err);
/* Starts to connect, to the first address of a name: a non-blocking descriptor, or a negative
 * errno. Refusal may show later. TCP_NODELAY is set. */
int ce_endpoint_connect(const struct ce_endpoint *endpoint, struct ce_error *err);
/* Listens: a non-blocking descriptor; a name, or port 0, is replaced by the real address. */
int ce_endpoint_listen(struct ce_endpoint *endpoint, struct ce_error *err);
/* The same without listening yet: the address is taken, and connections to it are refused. */
int ce_endpoint_bind(struct ce_endpoint *endpoint, struct ce_error *err);
/* As ce_endpoint_parse() takes it. */
void ce_endpoint_text(const struct ce_endpoint *endpoint, char *text, size_t size);

#endif
