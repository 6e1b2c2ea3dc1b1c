/* SPDX-License-Identifier: MIT */
/* One gRPC call on a connection of its own, blocking with a deadline: what probes need. */
#ifndef CE_PROXY_H2_CALL_H
#define CE_PROXY_H2_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "net/endpoint.h"

struct ce_grpc_call {
    const char *path;      /* "/package.Service/Method" */
    const char *authority; /* NULL: the endpoint's address */
    const char *headers;   /* extra lines, each ending in CRLF, or NULL */
    struct ce_slice message;
    int64_t timeout_ns; /* for the whole call */
};

struct ce_grpc_answer {
    int status;    /* as gRPC numbers them: 0 is success */
    char *reason;  /* what came with another one; "": nothing */
    char *message; /* of a success */
    size_t message_size;
    int64_t first_byte_ns, total_ns; /* since the call began */
};

/* 0 when the server said how the call ended, whatever that was; or a negative errno: -ECONNREFUSED,
 * -ECONNRESET (also of the call's stream alone), -ETIMEDOUT, -EPROTO, ... */
int ce_grpc_call(const struct ce_endpoint *endpoint, const struct ce_grpc_call *call,
                 struct ce_grpc_answer *ret_answer, struct ce_error *err);
void ce_grpc_answer_done(struct ce_grpc_answer *answer);

#endif
