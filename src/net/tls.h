/* SPDX-License-Identifier: MIT */
/* TLS 1.2 and 1.3 on stream sockets, both sides.
 *
 * A context says who one is (a server: certificate and key) or whom one trusts (a client: whose
 * certificates, and the name that they have to be for). It never changes and is shared by all
 * threads. A link is the state of one connection; it is used by one thread at a time and never
 * blocks. */
#ifndef CE_NET_TLS_H
#define CE_NET_TLS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct ce_tls;      /* a context */
struct ce_tls_link; /* a connection */

/* PEM files: the certificate with the chain that follows it, and its key. */
int ce_tls_server(const char *certificate, const char *key, struct ce_tls **ret_tls,
                  struct ce_error *err);
/* For connections to the host of that name or address, whose certificate has to be for it.
 * `authorities`: PEM file of those that are trusted; NULL: the system's. */
int ce_tls_client(const char *host, const char *authorities, struct ce_tls **ret_tls,
                  struct ce_error *err);
/* One more user of the context, and one less. NULL is fine. */
struct ce_tls *ce_tls_hold(struct ce_tls *tls);
void ce_tls_release(struct ce_tls *tls);
/* Whether both trust the same for the same host; also when both are NULL. */
bool ce_tls_same(const struct ce_tls *a, const struct ce_tls *b);

/* What is spoken inside, the best first. */
#define CE_TLS_HTTP1 "\x08http/1.1"
#define CE_TLS_HTTP2 "\x02h2"

/* `fd` stays the caller's; `speaks` lives as long. NULL: no memory. */
struct ce_tls_link *ce_tls_open(struct ce_tls *tls, int fd, const char *speaks);
/* Says nothing to the peer. NULL is fine. */
void ce_tls_close(struct ce_tls_link *link);

/* 1: done; 0: waits for the peer; or negative, which `err` explains: -ECONNRESET when the peer went
 * away, -EPROTOTYPE when it is a client that speaks HTTP without TLS, else -EPROTO. */
int ce_tls_handshake(struct ce_tls_link *link, struct ce_error *err);
/* After the handshake: whether HTTP/2 was agreed upon. */
bool ce_tls_is_http2(const struct ce_tls_link *link);

/* Like recv(2) and send(2): the number of bytes; 0 when none go now; or negative: -ENODATA when the
 * peer has ended its side, as it should, else -ECONNRESET. What did not go is to be sent again
 * first, with or without more behind it. */
ssize_t ce_tls_read(struct ce_tls_link *link, void *data, size_t size);
ssize_t ce_tls_write(struct ce_tls_link *link, const void *data, size_t size);
/* Whether nothing has come: neither bytes nor an end. */
bool ce_tls_is_quiet(struct ce_tls_link *link);
/* Tells the peer that nothing more will come. False: not yet; again when there is room. */
bool ce_tls_shut(struct ce_tls_link *link);

/* The socket has something to be read, or its end. `ending`: after that nothing will be reported
 * any more. */
void ce_tls_note(struct ce_tls_link *link, bool ending);
/* What the call that returned 0 waits for: POLLIN or POLLOUT. */
short ce_tls_wants(const struct ce_tls_link *link);
/* Whether a read waits for room, or a write for bytes. */
bool ce_tls_is_crossed(const struct ce_tls_link *link);

#endif
