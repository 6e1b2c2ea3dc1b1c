/* SPDX-License-Identifier: MIT */
/* The client's side of a connection for gRPC calls, one after the other, without its socket: bytes
 * in, bytes out. */
#ifndef CE_PROXY_H2_CALLER_H
#define CE_PROXY_H2_CALLER_H

#include <stdbool.h>

#include "proxy/h2/call.h"

struct ce_grpc_caller;

int ce_grpc_caller_new(struct ce_grpc_caller **ret_caller);
void ce_grpc_caller_free(struct ce_grpc_caller *caller); /* NULL is fine */

/* Begins a call; the one before is over, or given up. `name` is the authority where the call names
 * none. 0 or a negative errno. */
int ce_grpc_caller_begin(struct ce_grpc_caller *caller, const struct ce_grpc_call *call,
                         const char *name);
/* The bytes that are to be sent; empty: none, for now. -ENOMEM. Then how many of them were. */
int ce_grpc_caller_out(struct ce_grpc_caller *caller, struct ce_slice *ret_bytes);
void ce_grpc_caller_sent(struct ce_grpc_caller *caller, size_t size);
/* Takes what has come. -EPROTO: the peer does not speak HTTP/2. */
int ce_grpc_caller_feed(struct ce_grpc_caller *caller, const void *data, size_t size);
/* Whether the call is over. */
bool ce_grpc_caller_is_over(const struct ce_grpc_caller *caller);
/* How the call ended: as gRPC numbers it, and the message of a success, which stays until the next
 * call begins. -ECONNRESET: its stream was reset; -EPROTO: that is no end of a call. */
int ce_grpc_caller_result(const struct ce_grpc_caller *caller, struct ce_slice *ret_message,
                          struct ce_error *err);
/* What came with another end than success; malloc'ed. NULL: no memory. */
char *ce_grpc_caller_reason(const struct ce_grpc_caller *caller);
/* How much of the answer is here. */
size_t ce_grpc_caller_size(const struct ce_grpc_caller *caller);
/* Whether the connection takes another call. */
bool ce_grpc_caller_is_open(const struct ce_grpc_caller *caller);

#endif
