/* SPDX-License-Identifier: MIT */
/* Netlink as the mechanisms use it: a socket of a family, requests with the kernel's own sentence
 * when they fail, dumps, and batches that the kernel takes as one.
 *
 * Messages are built by libmnl's functions in a struct ce_netlink_message or a batch. */
#ifndef CE_HOST_PACKETS_NETLINK_H
#define CE_HOST_PACKETS_NETLINK_H

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct ce_netlink {
    struct mnl_socket *socket;
    uint32_t sequence; /* of the last request */
};

/* One request. */
struct ce_netlink_message {
    union {
        struct nlmsghdr header;
        char bytes[8192];
    };
};

/* Opens a socket of that family (NETLINK_ROUTE, NETLINK_NETFILTER) in the network namespace of this
 * thread. End it with ce_netlink_close(). */
int ce_netlink_open(int family, struct ce_netlink *ret_netlink, struct ce_error *err);
/* A zeroed one is fine. */
void ce_netlink_close(struct ce_netlink *netlink);
static inline int ce_netlink_fd(const struct ce_netlink *netlink)
{
    return mnl_socket_get_fd(netlink->socket);
}

/* Begins a request: its header, then a copy of the header of its family (struct tcmsg, struct
 * nfgenmsg). NLM_F_REQUEST is added to the flags. Attributes are put after it with mnl_attr_put()
 * and its kin. */
void ce_netlink_begin(struct ce_netlink *netlink, struct ce_netlink_message *message, uint16_t type,
                      uint16_t flags, const void *header, size_t size);
/* Sends it and waits until the kernel has done it. On failure: the kernel's errno, negative, and
 * "what: the kernel's sentence". NLM_F_ACK is added. */
int ce_netlink_ask(struct ce_netlink *netlink, struct ce_netlink_message *message, const char *what,
                   struct ce_error *err);
/* Asks for objects: all with NLM_F_DUMP among the flags, else one. Calls `each` for every message
 * that comes back; a negative result of its is the result, after the rest has been read. */
typedef int ce_netlink_each(const struct nlmsghdr *header, void *ctx);
int ce_netlink_dump(struct ce_netlink *netlink, struct ce_netlink_message *message,
                    ce_netlink_each *each, void *ctx, const char *what, struct ce_error *err);

/* Several messages that are sent as one. Starts zeroed. */
enum { CE_NETLINK_MESSAGE_MAX = 2048 };
struct ce_netlink_batch {
    char *bytes; /* owned */
    size_t last, capacity, count;
    bool starved; /* there was no memory for all of it */
    struct {
        struct nlmsghdr header;
        char rest[CE_NETLINK_MESSAGE_MAX];
    } spare; /* what is written into then */
};
/* Begins one more message, of at most CE_NETLINK_MESSAGE_MAX bytes, as ce_netlink_begin() does. It
 * counts as written when the next one is begun, or the batch is sent. Never NULL: without memory
 * there is still a place to write to, and sending the batch fails. */
struct nlmsghdr *ce_netlink_add(struct ce_netlink *netlink, struct ce_netlink_batch *batch,
                                uint16_t type, uint16_t flags, const void *header, size_t size);
/* Sends it and empties it, in every case; the kernel has done all of it when this returns, or none:
 * the error is that of the first message that failed. A message without NLM_F_ACK says only that it
 * failed; one at least must have it. */
int ce_netlink_ask_batch(struct ce_netlink *netlink, struct ce_netlink_batch *batch,
                         const char *what, struct ce_error *err);
void ce_netlink_batch_done(struct ce_netlink_batch *batch);

#endif
