/* SPDX-License-Identifier: MIT */
#include "proxy/h2/call.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "proxy/h2/caller.h"
#include "proxy/h2/grpc.h"

enum {
    ANSWER_MAX = 64 * 1024 * 1024,
    READ_SIZE = 16 * 1024,
};

/* A call under way. */
struct call {
    int fd;
    int64_t begin, deadline;
    int64_t first_byte_ns; /* 0 until there was one */
    struct ce_grpc_caller *caller;
};

/* Waits for an event. 0, -ETIMEDOUT or another error. */
static int await(const struct call *call, short events, struct ce_error *err)
{
    for (;;) {
        int64_t left = call->deadline - ce_now();
        if (left <= 0)
            return ce_fail(err, ETIMEDOUT, "no answer within %.3f s",
                           (double)(call->deadline - call->begin) / (double)CE_SECOND);
        struct timespec timeout = {.tv_sec = left / CE_SECOND, .tv_nsec = left % CE_SECOND};
        struct pollfd pollfd = {.fd = call->fd, .events = events};
        int r = ppoll(&pollfd, 1, &timeout, NULL);
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return ce_fail(err, errno, "cannot wait for the connection: %s", strerror(errno));
    }
}

static int finish_connect(const struct call *call, const char *name, struct ce_error *err)
{
    CE_TRY(await(call, POLLOUT, err));
    int code = 0;
    socklen_t size = sizeof code;
    if (getsockopt(call->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
        code = errno;
    return code == 0 ? 0 : ce_fail(err, code, "cannot connect to %s: %s", name, strerror(code));
}

/* Sends what may be sent now. A server may answer and close before it has read everything: then the
 * answer counts, so that is no error here. 1: there is no room for more. */
static int transmit(const struct call *call, struct ce_error *err)
{
    for (;;) {
        struct ce_slice out;
        if (ce_grpc_caller_out(call->caller, &out) < 0)
            return ce_fail_memory(err);
        if (out.size == 0)
            return 0;
        ssize_t n = send(call->fd, out.data, out.size, MSG_NOSIGNAL);
        if (n >= 0)
            ce_grpc_caller_sent(call->caller, (size_t)n);
        else if (errno == EAGAIN || errno == EPIPE || errno == ECONNRESET)
            return 1;
        else if (errno != EINTR)
            return ce_fail(err, errno, "cannot send: %s", strerror(errno));
    }
}

/* Reads once, waiting for it, or for room to send. */
static int receive(struct call *call, bool sends, struct ce_error *err)
{
    char bytes[READ_SIZE];
    CE_TRY(await(call, sends ? POLLIN | POLLOUT : POLLIN, err));
    ssize_t n = recv(call->fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return ce_fail(err, errno, "the connection broke: %s", strerror(errno));
    if (n == 0)
        return ce_fail(err, ECONNRESET, "the connection was closed before the call ended");
    if (call->first_byte_ns == 0)
        call->first_byte_ns = ce_now() - call->begin;
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
        .total_ns = ce_now() - call->begin,
    };
    return 0;
}

static int run_call(struct call *call, const char *name, const struct ce_grpc_call *request,
                    struct ce_grpc_answer *ret_answer, struct ce_error *err)
{
    CE_TRY(finish_connect(call, name, err));
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
    int64_t begin = ce_now();
    char name[CE_NAME_MAX + 8];
    ce_endpoint_text(endpoint, name, sizeof name);
    if (endpoint->address.ss_family == AF_UNIX)
        snprintf(name, sizeof name, "localhost");
    ce_autofd int fd = ce_endpoint_connect(endpoint, err);
    if (fd < 0)
        return fd;
    struct call call = {.fd = fd, .begin = begin, .deadline = begin + request->timeout_ns};
    if (ce_grpc_caller_new(&call.caller) < 0)
        return ce_fail_memory(err);
    int r = run_call(&call, name, request, ret_answer, err);
    ce_grpc_caller_free(call.caller);
    return r;
}

void ce_grpc_answer_done(struct ce_grpc_answer *answer)
{
    free(answer->reason);
    free(answer->message);
    *answer = (struct ce_grpc_answer){0};
}
