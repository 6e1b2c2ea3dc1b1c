/* SPDX-License-Identifier: MIT */
/* What the proxy says itself, to the client of one stream. */
#include "proxy/h2/h2.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

enum { MESSAGE_MAX = 4096 }; /* of an answer's body, in a status */

enum ce_step ce_h2_reset(struct ce_h2_exchange *exchange, uint32_t code)
{
    ce_h2_stream_done(&exchange->up, ce_h2_blocks(exchange), NGHTTP2_CANCEL);
    ce_h2_stream_reset(&exchange->down, code);
    exchange->done = true;
    exchange->stage = CE_H2_OVER;
    return CE_WAIT;
}

int ce_h2_mark(const struct ce_h2_exchange *exchange, struct ce_h2_fields *fields)
{
    char names[CE_ACTED_TEXT];
    if (!ce_h2_lane(exchange)->route->mark || !exchange->hooked ||
        !ce_hooked_acted(exchange->hooked, names))
        return 0;
    return ce_h2_fields_add_text(fields, "x-chaos-fault", names);
}

static int add_number(struct ce_h2_fields *fields, const char *name, size_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", number);
    return ce_h2_fields_add_text(fields, name, text);
}

/* grpc-status, and what there is to say about it. */
static int add_status(struct ce_h2_fields *fields, int status, struct ce_slice sentence)
{
    if (sentence.size > MESSAGE_MAX)
        sentence.size = MESSAGE_MAX;
    while (sentence.size > 0 && sentence.data[sentence.size - 1] == '\n')
        sentence.size--;
    CE_TRY(add_number(fields, "grpc-status", (size_t)status));
    if (sentence.size == 0)
        return 0;
    ce_autofree char *message = ce_grpc_message_encode(sentence);
    return message ? ce_h2_fields_add_text(fields, "grpc-message", message) : -ENOMEM;
}

static int make_call_answer(struct ce_h2_exchange *exchange, int status, const char *headers,
                            struct ce_slice body, struct ce_h2_fields *head)
{
    struct ce_h2_pipe *pipe = &exchange->response;
    int code = ce_grpc_status_of(status);
    CE_TRY(ce_h2_fields_add_text(head, ":status", "200"));
    CE_TRY(ce_h2_fields_add_text(head, "content-type", "application/grpc"));
    CE_TRY(ce_h2_fields_add_lines(head, headers, "content-type"));
    if (code != CE_GRPC_OK)
        return add_status(head, code, body);
    char prefix[CE_GRPC_PREFIX];
    ce_grpc_prefix(prefix, false, body.size);
    CE_TRY(ce_h2_pipe_put(pipe, ce_h2_blocks(exchange), prefix, sizeof prefix));
    CE_TRY(ce_h2_pipe_put(pipe, ce_h2_blocks(exchange), body.data, body.size));
    return add_status(&pipe->trailers, CE_GRPC_OK, (struct ce_slice){0});
}

static int make_answer(struct ce_h2_exchange *exchange, int status, const char *headers,
                       struct ce_slice body, struct ce_h2_fields *head)
{
    bool has_body = status >= 200 && status != 204 && status != 304;
    CE_TRY(add_number(head, ":status", (size_t)status));
    CE_TRY(ce_h2_fields_add_lines(head, headers, NULL));
    if (has_body)
        CE_TRY(add_number(head, "content-length", body.size));
    if (!has_body || exchange->is_head)
        return 0;
    return ce_h2_pipe_put(&exchange->response, ce_h2_blocks(exchange), body.data, body.size);
}

enum ce_step ce_h2_answer(struct ce_h2_exchange *exchange, int status, const char *headers,
                          struct ce_slice body)
{
    struct ce_blocks *blocks = ce_h2_blocks(exchange);
    struct ce_h2_pipe *pipe = &exchange->response;
    ce_h2_stream_done(&exchange->up, blocks, NGHTTP2_CANCEL);
    ce_h2_pipe_discard(&exchange->down.in, blocks);
    *pipe = (struct ce_h2_pipe){.limit = SIZE_MAX, .ended = true};
    struct ce_h2_fields head = {0};
    int r = exchange->is_grpc ? make_call_answer(exchange, status, headers, body, &head)
                              : make_answer(exchange, status, headers, body, &head);
    if (r >= 0)
        r = ce_h2_mark(exchange, &head);
    if (r >= 0)
        r = ce_h2_stream_respond(&exchange->down, &head,
                                 ce_buffer_size(&pipe->bytes) > 0 ? pipe : NULL);
    ce_h2_fields_done(&head);
    if (r < 0)
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    exchange->stage = CE_H2_OVER;
    return CE_GO;
}

/* The response's head is with the client. A call can still be told by its status what happened, as
 * a reset alone could not; nothing else can. */
static enum ce_step break_off(struct ce_h2_exchange *exchange, int status, struct ce_slice sentence)
{
    struct ce_h2_pipe *pipe = &exchange->response;
    if (!exchange->is_grpc)
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    ce_buffer_done(&pipe->bytes, ce_h2_blocks(exchange));
    ce_h2_fields_done(&pipe->trailers);
    *pipe = (struct ce_h2_pipe){.limit = SIZE_MAX, .ended = true};
    exchange->down.out = pipe;
    ce_h2_stream_done(&exchange->up, ce_h2_blocks(exchange), NGHTTP2_CANCEL);
    if (add_status(&pipe->trailers, ce_grpc_status_of(status), sentence) < 0)
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    ce_h2_stream_wake(&exchange->down);
    exchange->stage = CE_H2_OVER;
    return CE_GO;
}

enum ce_step ce_h2_fail(struct ce_h2_exchange *exchange, int status, const char *fmt, ...)
{
    char sentence[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    ce_h2_lane(exchange)->counts.errors += exchange->counted;
    if (exchange->stage == CE_H2_RESPONSE)
        return break_off(exchange, status, ce_slice_of(sentence));
    return ce_h2_answer(exchange, status, "Content-Type: text/plain\r\n", ce_slice_of(sentence));
}
