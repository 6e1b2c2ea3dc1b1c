/* SPDX-License-Identifier: MIT */
#include "net/client.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "net/http1.h"
#include "net/line.h"

enum {
    ANSWER_MAX = 64 * 1024 * 1024,
    READ_SIZE = 16 * 1024,
};

/* A call under way. */
struct call {
    struct ce_line line;
    int64_t first_byte_ns; /* 0 until there was one */
    char *data;            /* the answer's bytes as they came */
    size_t size, capacity;
    bool ended; /* the peer has closed its side */
};

/* A server may answer and close before it has read everything: then the answer counts, so that is
 * no error here. */
static int send_all(struct call *call, const char *data, size_t size, struct ce_error *err)
{
    while (size > 0) {
        ssize_t n = ce_line_send(&call->line, data, size);
        if (n >= 0) {
            data += n;
            size -= (size_t)n;
        } else if (n == -EAGAIN) {
            CE_TRY(ce_line_await(&call->line, POLLOUT, err));
        } else if (n == -EPIPE || n == -ECONNRESET) {
            return 0;
        } else {
            return ce_fail(err, (int)-n, "cannot send: %s", strerror((int)-n));
        }
    }
    return 0;
}

static int send_request(struct call *call, const struct ce_endpoint *endpoint,
                        const struct ce_http_call *request, struct ce_error *err)
{
    char host[CE_NAME_MAX + 8];
    ce_endpoint_text(endpoint, host, sizeof host);
    if (endpoint->address.ss_family == AF_UNIX)
        snprintf(host, sizeof host, "localhost");
    char length[64] = "";
    if (request->body_size > 0 || strcmp(request->method, "POST") == 0 ||
        strcmp(request->method, "PUT") == 0)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", request->body_size);
    ce_autofree char *head =
        ce_format("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s%s\r\n", request->method,
                  request->path, request->host ? request->host : host,
                  request->headers ? request->headers : "", length);
    if (!head)
        return ce_fail_memory(err);
    size_t head_size = strlen(head);
    if (request->body_size == 0)
        return send_all(call, head, head_size, err);
    /* One piece, so that a small request is one packet. */
    char *whole = realloc(head, head_size + request->body_size);
    if (!whole)
        return ce_fail_memory(err);
    head = whole;
    memcpy(head + head_size, request->body, request->body_size);
    return send_all(call, head, head_size + request->body_size, err);
}

/* Reads once, waiting for it. Sets `ended` at the end of the stream. */
static int read_more(struct call *call, struct ce_error *err)
{
    if (call->size > ANSWER_MAX)
        return ce_fail(err, EMSGSIZE, "the answer is larger than %d bytes", ANSWER_MAX);
    if (call->capacity - call->size < READ_SIZE) {
        size_t capacity = call->capacity * 2 + READ_SIZE;
        char *data = realloc(call->data, capacity);
        if (!data)
            return ce_fail_memory(err);
        call->data = data;
        call->capacity = capacity;
    }
    for (;;) {
        ssize_t n =
            ce_line_receive(&call->line, call->data + call->size, call->capacity - call->size);
        if (n > 0) {
            call->size += (size_t)n;
            if (call->first_byte_ns == 0)
                call->first_byte_ns = ce_now() - call->line.begin;
            return 0;
        }
        if (n == 0) {
            call->ended = true;
            return 0;
        }
        if (n != -EAGAIN)
            return ce_fail(err, (int)-n, "the connection broke: %s", strerror((int)-n));
        CE_TRY(ce_line_await(&call->line, POLLIN, err));
    }
}

static int ended_early(const struct call *call, struct ce_error *err)
{
    if (call->size == 0)
        return ce_fail(err, ECONNRESET, "the connection was closed without an answer");
    return ce_fail(err, EPROTO, "the answer ended early, after %zu bytes", call->size);
}

/* Reads until the head of the final response stands at *ret_at. */
static int read_head(struct call *call, bool to_head_request, size_t *ret_at,
                     struct ce_http_head *ret_head, struct ce_error *err)
{
    size_t at = 0;
    for (;;) {
        int r = call->data ? ce_http_parse_response(call->data + at, call->size - at,
                                                    to_head_request, ret_head, err)
                           : 0;
        if (r < 0)
            return r;
        if (r > 0 && ret_head->status >= 200) {
            *ret_at = at;
            return 0;
        }
        if (r > 0) {
            at += ret_head->size; /* an interim response */
            continue;
        }
        if (call->ended)
            return ended_early(call, err);
        CE_TRY(read_more(call, err));
    }
}

/* Reads the body that starts at `at`, and moves its payload to the front of `data`. */
static int read_body(struct call *call, size_t at, const struct ce_http_head *head,
                     size_t *ret_size, struct ce_error *err)
{
    struct ce_http_body body;
    ce_http_body_start(&body, head);
    size_t size = 0;
    while (!body.done) {
        if (at == call->size) {
            if (call->ended && head->framing == CE_HTTP_UNTIL_CLOSE)
                break;
            if (call->ended)
                return ended_early(call, err);
            CE_TRY(read_more(call, err));
            continue;
        }
        size_t used;
        struct ce_slice payload;
        CE_TRY(ce_http_body_feed(&body, call->data + at, call->size - at, &used, &payload, err));
        at += used;
        /* Payload only ever moves towards the front, where the head and earlier framing were. */
        memmove(call->data + size, payload.data, payload.size);
        size += payload.size;
    }
    call->data[size] = '\0'; /* the head, already read, was longer than this byte */
    *ret_size = size;
    return 0;
}

static int run_call(struct call *call, const struct ce_endpoint *endpoint,
                    const struct ce_http_call *request, struct ce_http_answer *ret_answer,
                    struct ce_error *err)
{
    CE_TRY(ce_line_open(&call->line, endpoint, CE_TLS_HTTP1, request->timeout_ns, err));
    CE_TRY(send_request(call, endpoint, request, err));
    struct ce_http_head head;
    size_t at = 0, body_size = 0;
    CE_TRY(read_head(call, strcmp(request->method, "HEAD") == 0, &at, &head, err));
    int status = head.status;
    ce_autofree char *fields = request->keep_head ? strndup(call->data + at, head.size) : NULL;
    if (request->keep_head && !fields)
        return ce_fail_memory(err);
    CE_TRY(read_body(call, at + head.size, &head, &body_size, err));
    *ret_answer = (struct ce_http_answer){
        .status = status,
        .head = ce_take(fields),
        .body = ce_take(call->data),
        .body_size = body_size,
        .first_byte_ns = call->first_byte_ns,
        .total_ns = ce_now() - call->line.begin,
    };
    return 0;
}

int ce_http_call(const struct ce_endpoint *endpoint, const struct ce_http_call *call,
                 struct ce_http_answer *ret_answer, struct ce_error *err)
{
    struct call state = {0};
    int r = run_call(&state, endpoint, call, ret_answer, err);
    ce_line_close(&state.line);
    free(state.data);
    return r;
}

void ce_http_answer_done(struct ce_http_answer *answer)
{
    free(answer->head);
    free(answer->body);
    *answer = (struct ce_http_answer){0};
}
