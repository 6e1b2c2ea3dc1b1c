/* SPDX-License-Identifier: MIT */
/* A connection that is waited for, up to a deadline: for single calls, outside any event loop. */
#ifndef CE_NET_LINE_H
#define CE_NET_LINE_H

#include <sys/types.h>

#include "net/endpoint.h"
#include "net/tls.h"

struct ce_line {
    int fd;
    struct ce_tls_link *tls; /* NULL: without TLS */
    int64_t begin, deadline;
};

/* Connects, and speaks TLS if the endpoint asks for it; inside, what `speaks` says. All of what
 * follows has to be done within that time from now on. 0 or a negative errno. Ended by
 * ce_line_close(), also when it failed. */
int ce_line_open(struct ce_line *line, const struct ce_endpoint *endpoint, const char *speaks,
                 int64_t timeout_ns, struct ce_error *err);
void ce_line_close(struct ce_line *line);
/* At once: the number of bytes, or a negative errno, such as -EAGAIN: then ce_line_await() is next.
 * 0 bytes are received when the peer has ended its side. */
ssize_t ce_line_send(struct ce_line *line, const void *data, size_t size);
ssize_t ce_line_receive(struct ce_line *line, void *data, size_t size);
/* Waits for POLLIN or POLLOUT. 0, -ETIMEDOUT or another error. */
int ce_line_await(struct ce_line *line, short events, struct ce_error *err);

#endif
