/* SPDX-License-Identifier: MIT */
/* The way of a response: from the upstream, past the hooks, to the client. */
#include "proxy/h2/h2.h"

#include <stdlib.h>

#include "base/clock.h"

#define PACE_NS (10 * CE_MILLISECOND) /* between two pieces of a response that takes its time */

/* As hooks are told: what a call ended with counts, if that is known. */
static int status_of(const struct ce_h2_exchange *exchange)
{
    const struct ce_h2_stream *up = &exchange->up;
    int status = ce_grpc_parse_status(ce_h2_fields_find(&up->head, ":status"));
    if (!exchange->is_grpc || status != 200)
        return status;
    int code = ce_grpc_parse_status(ce_h2_fields_find(&up->in.trailers, "grpc-status"));
    if (code < 0)
        code = ce_grpc_parse_status(ce_h2_fields_find(&up->head, "grpc-status"));
    return code > 0 ? ce_grpc_http_of(code) : 200;
}

static enum ce_step ask_rules(struct ce_h2_exchange *exchange, const struct ce_h2_body *body)
{
    struct ce_slice request = {exchange->request_body, exchange->request_body_size};
    struct ce_shown shown = {
        .fields = ce_h2_fields_lines(&exchange->up.head),
        .body = body ? &body->slice : NULL,
        .body_encoded = body && body->encoded,
        .status = status_of(exchange),
        .request_body = exchange->has_request_body ? &request : NULL,
    };
    if (ce_hooked_response(exchange->hooked, &shown) < 0)
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    exchange->stage = CE_H2_RESPONSE_HELD;
    return CE_GO;
}

/* ---- to the client ---- */

/* Where the response is to be cut off, which for a call is counted without its prefix. */
static uint64_t cut_of(const struct ce_h2_exchange *exchange)
{
    const struct ce_hooked *hooked = exchange->hooked;
    if (hooked->kind != CE_ACT_CUT || hooked->cut >= UINT64_MAX - CE_GRPC_PREFIX)
        return UINT64_MAX;
    return hooked->cut + (exchange->is_grpc ? CE_GRPC_PREFIX : 0);
}

/* How much of the body may be out by now. Of one of unknown length, what has come of it is spread
 * over all of the time. */
static uint64_t may_go(const struct ce_h2_exchange *exchange, const struct ce_h2_pipe *pipe)
{
    const struct ce_hooked *hooked = exchange->hooked;
    int64_t span = ce_hooked_span(hooked), elapsed = ce_now() - exchange->begun;
    uint64_t may = UINT64_MAX;
    if (elapsed < span) {
        uint64_t known = exchange->due - pipe->limit + ce_buffer_size(&pipe->bytes);
        may = ce_span_due(exchange->length > known ? exchange->length : known, elapsed, span);
    }
    uint64_t cut = cut_of(exchange);
    return may < cut ? may : cut;
}

static void pace(struct ce_h2_exchange *exchange, struct ce_h2_pipe *pipe)
{
    if (!exchange->slowed)
        return;
    uint64_t may = may_go(exchange, pipe);
    if (may == UINT64_MAX) {
        pipe->limit = SIZE_MAX;
        exchange->slowed = false;
        return;
    }
    if (may > exchange->due) {
        pipe->limit += (size_t)(may - exchange->due);
        exchange->due = may;
    }
    if (ce_hooked_span(exchange->hooked) > 0)
        ce_h2_exchange_alarm(exchange, ce_now() + PACE_NS);
}

/* Begins to let the body go slower than it could, if a hook wants that. */
static void slow_down(struct ce_h2_exchange *exchange, struct ce_h2_pipe *pipe)
{
    const struct ce_hooked *hooked = exchange->hooked;
    struct ce_slice length = ce_h2_fields_find(&exchange->up.head, "content-length");
    pipe->endless = hooked->kind == CE_ACT_CUT;
    exchange->slowed = pipe->endless || ce_hooked_span(hooked) > 0;
    if (!exchange->slowed)
        return;
    exchange->begun = ce_now();
    exchange->length = length.data ? strtoull(length.data, NULL, 10) : 0; /* CRLF follows it */
    pipe->limit = 0;
}

/* Gives the response to the client, from that pipe. */
static enum ce_step deliver(struct ce_h2_exchange *exchange, struct ce_h2_pipe *pipe)
{
    struct ce_h2_fields *head = &exchange->up.head;
    int r = 0;
    if (exchange->stage == CE_H2_RESPONSE_HELD) { /* the rules were asked about it */
        r = ce_h2_edit(exchange->hooked, head);
        slow_down(exchange, pipe);
    }
    bool is_empty = pipe->ended && !pipe->endless && ce_buffer_size(&pipe->bytes) == 0 &&
                    pipe->trailers.count == 0;
    if (r >= 0)
        r = ce_h2_mark(exchange, head);
    if (r >= 0)
        r = ce_h2_stream_respond(&exchange->down, head, is_empty ? NULL : pipe);
    if (r < 0)
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    exchange->progress = ce_h2_lane(exchange)->worker->now;
    exchange->stage = CE_H2_RESPONSE;
    return CE_GO;
}

enum ce_step ce_h2_response_begin(struct ce_h2_exchange *exchange)
{
    struct ce_hooked *hooked = exchange->hooked;
    struct ce_h2_pipe *in = &exchange->up.in;
    if (!hooked || !ce_hooked_minds_response(hooked))
        return deliver(exchange, in);
    /* What a call ended with comes behind its message. */
    bool collect =
        exchange->is_grpc ? !exchange->streams : ce_hooked_wants(hooked, CE_HOOK_RESPONSE_BODY);
    if (!collect)
        return ask_rules(exchange, NULL);
    ce_h2_pipe_collect(in, true);
    exchange->heard = 0;
    exchange->stage = CE_H2_RESPONSE_COLLECT;
    return CE_GO;
}

enum ce_step ce_h2_response_collect(struct ce_h2_exchange *exchange)
{
    struct ce_h2_stream *up = &exchange->up;
    struct ce_h2_body body;
    ce_hooked_arrived(exchange->hooked, ce_h2_lane(exchange)->worker->now);
    enum ce_h2_collected collected = ce_h2_collect(exchange, up, &body);
    if (collected == CE_H2_WAITS && up->closed)
        return ce_h2_exchange_lost(exchange);
    if (collected == CE_H2_WAITS)
        return ce_h2_exchange_patience(exchange);
    ce_h2_pipe_collect(&up->in, false);
    return ask_rules(exchange, collected == CE_H2_WHOLE ? &body : NULL);
}

enum ce_step ce_h2_response_held(struct ce_h2_exchange *exchange)
{
    struct ce_hooked *hooked = exchange->hooked;
    struct ce_h2_pipe *pipe = &exchange->up.in;
    if (ce_h2_exchange_hold(exchange) == CE_WAIT)
        return CE_WAIT;
    switch (hooked->kind) {
    case CE_ACT_RESET:
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    case CE_ACT_ANSWER:
        return ce_h2_answer(exchange, hooked->status, hooked->headers,
                            (struct ce_slice){hooked->body, hooked->body_size});
    default:
        if (hooked->replaced && !exchange->is_head) {
            int r = ce_h2_replace(exchange, &exchange->up, &exchange->response);
            if (r < 0)
                return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
            if (r > 0)
                pipe = &exchange->response;
        }
        return deliver(exchange, pipe);
    }
}

enum ce_step ce_h2_response_stream(struct ce_h2_exchange *exchange)
{
    struct ce_h2_stream *down = &exchange->down, *up = &exchange->up;
    struct ce_h2_pipe *pipe = down->out;
    if (down->sent) {
        ce_h2_stream_done(up, ce_h2_blocks(exchange), NGHTTP2_CANCEL);
        exchange->stage = CE_H2_OVER;
        return CE_GO;
    }
    if (!pipe) /* a head is all there is */
        return CE_WAIT;
    if (up->oversized)
        return ce_h2_fail(exchange, 502, "The upstream's trailers are too many.\n");
    pace(exchange, pipe);
    bool is_out = (pipe->ended && ce_buffer_size(&pipe->bytes) == 0) ||
                  (pipe->limit == 0 && exchange->due == cut_of(exchange));
    if (pipe->endless && is_out && down->head_sent)
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    if (up->closed && !up->ended && ce_buffer_size(&pipe->bytes) == 0)
        return ce_h2_exchange_lost(exchange);
    ce_h2_stream_wake(down);
    return ce_h2_exchange_patience(exchange);
}
