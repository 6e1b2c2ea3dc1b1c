/* SPDX-License-Identifier: MIT */
#include "proxy/h2/call.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "net/line.h"
#include "proxy/h2/caller.h"
#include "proxy/h2/grpc.h"

enum {
    ANSWER_MAX = 64 * 1024 * 1024,
    READ_SIZE = 16 * 1024,
};

/* A call under way. */
struct call {
    struct ce_line line;
    int64_t first_byte_ns; /* 0 until there was one */
    struct ce_grpc_caller *caller;
};

/* Sends what may be sent now. A server may answer and close before it has read everything: then the
 * answer counts, so that is no error here. 1: there is no room for more. */
static int transmit(struct call *call, struct ce_error *err)
{
    for (;;) {
        struct ce_slice out;
        if (ce_grpc_caller_out(call->caller, &out) < 0)
            return ce_fail_memory(err);
        if (out.size == 0)
            return 0;
        ssize_t n = ce_line_send(&call->line, out.data, out.size);
        if (n >= 0)
            ce_grpc_caller_sent(call->caller, (size_t)n);
        else if (n == -EAGAIN || n == -EPIPE || n == -ECONNRESET)
            return 1;
        else
            return ce_fail(err, (int)-n, "cannot send: %s", strerror((int)-n));
    }
}

/* Reads once, or waits for that, or for room to send. */
static int receive(struct call *call, bool sends, struct ce_error *err)
{
    char bytes[READ_SIZE];
    ssize_t n = ce_line_receive(&call->line, bytes, sizeof bytes);
    if (n == -EAGAIN)
        return ce_line_await(&call->line, sends ? POLLIN | POLLOUT : POLLIN, err);
    if (n < 0)
        return ce_fail(err, (int)-n, "the connection broke: %s", strerror((int)-n));
    if (n == 0)
        return ce_fail(err, ECONNRESET, "the connection was closed before the call ended");
    if (call->first_byte_ns == 0)
        call->first_byte_ns = ce_now() - call->line.begin;
    if (ce_grpc_caller_feed(call->caller, bytes, (size_t)n) < 0)
        return ce_fail(err, EPROTO, "the server does not speak HTTP/2");
    if (ce_grpc_caller_size(call->caller) > ANSWER_MAX)
        return ce_fail(err, EMSGSIZE, "the answer is larger than %d bytes", ANSWER_MAX);
    return 0;
}

static int take_answer(const struct call *call, struct ce_grpc_answer *ret_answer,
                       struct ce_error *err)
{
    struct ce_slice found;
    int status = ce_grpc_caller_result(call->caller, &found, err);
    CE_TRY(status);
    ce_autofree char *reason = ce_grpc_caller_reason(call->caller);
    ce_autofree char *message = malloc(found.size + 1);
    if (!reason || !message)
        return ce_fail_memory(err);
    if (found.size > 0)
        memcpy(message, found.data, found.size);
    message[found.size] = '\0';
    *ret_answer = (struct ce_grpc_answer){
        .status = status,
        .reason = ce_take(reason),
        .message = ce_take(message),
        .message_size = found.size,
        .first_byte_ns = call->first_byte_ns,
        .total_ns = ce_now() - call->line.begin,
    };
    return 0;
}

static int run_call(struct call *call, const struct ce_endpoint *endpoint,
                    const struct ce_grpc_call *request, struct ce_grpc_answer *ret_answer,
                    struct ce_error *err)
{
    char name[CE_NAME_MAX + 8];
    ce_endpoint_text(endpoint, name, sizeof name);
    if (endpoint->address.ss_family == AF_UNIX)
        snprintf(name, sizeof name, "localhost");
    CE_TRY(ce_line_open(&call->line, endpoint, CE_TLS_HTTP2, request->timeout_ns, err));
    int r = ce_grpc_caller_begin(call->caller, request, name);
    if (r < 0)
        return ce_fail(err, -r, "cannot make the request: %s", strerror(-r));
    while (!ce_grpc_caller_is_over(call->caller)) {
        int full = transmit(call, err);
        CE_TRY(full);
        CE_TRY(receive(call, full > 0, err));
    }
    return take_answer(call, ret_answer, err);
}

int ce_grpc_call(const struct ce_endpoint *endpoint, const struct ce_grpc_call *request,
                 struct ce_grpc_answer *ret_answer, struct ce_error *err)
{
    struct call call = {.line.fd = -1};
    if (ce_grpc_caller_new(&call.caller) < 0)
        return ce_fail_memory(err);
    int r = run_call(&call, endpoint, request, ret_answer, err);
    ce_line_close(&call.line);
    ce_grpc_caller_free(call.caller);
    return r;
}

void ce_grpc_answer_done(struct ce_grpc_answer *answer)
{
    free(answer->reason);
    free(answer->message);
    *answer = (struct ce_grpc_answer){0};
}
