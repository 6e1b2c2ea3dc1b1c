/* SPDX-License-Identifier: MIT */
/* A stream of a client: the way of its request past the hooks to the upstream. */
#include "proxy/h2/h2.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* ---- beginning and end ---- */

static void fire(struct ce_timer *timer)
{
    ce_h2_exchange_run(
        (struct ce_h2_exchange *)(void *)((char *)timer - offsetof(struct ce_h2_exchange, timer)));
}

struct ce_h2_stream *ce_h2_exchange_new(struct ce_h2_session *session)
{
    struct ce_h2_conn *conn = (struct ce_h2_conn *)session;
    struct ce_h2_exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        return NULL;
    exchange->client = conn;
    exchange->timer.fire = fire;
    exchange->up.closed = true;
    LIST_INSERT_HEAD(&conn->exchanges, exchange, entry);
    return &exchange->down;
}

static void pipe_done(struct ce_h2_pipe *pipe, struct ce_blocks *blocks)
{
    ce_buffer_done(&pipe->bytes, blocks);
    ce_h2_fields_done(&pipe->trailers);
}

void ce_h2_exchange_end(struct ce_h2_exchange *exchange)
{
    struct ce_blocks *blocks = ce_h2_blocks(exchange);
    ce_hooked_end(exchange->hooked);
    ce_timer_clear(&ce_h2_lane(exchange)->worker->timers, &exchange->timer);
    ce_h2_stream_done(&exchange->up, blocks, NGHTTP2_CANCEL);
    ce_h2_stream_done(&exchange->down, blocks, NGHTTP2_CANCEL);
    pipe_done(&exchange->request, blocks);
    pipe_done(&exchange->response, blocks);
    free(exchange->request_body);
    LIST_REMOVE(exchange, entry);
    exchange->client->progress = ce_h2_lane(exchange)->worker->now;
    free(exchange);
}

void ce_h2_exchange_alarm(struct ce_h2_exchange *exchange, int64_t at)
{
    if (exchange->timer.slot == 0 || exchange->timer.at > at)
        (void)ce_timer_set(&ce_h2_lane(exchange)->worker->timers, &exchange->timer, at);
}

enum ce_step ce_h2_exchange_hold(struct ce_h2_exchange *exchange)
{
    int64_t release = ce_hooked_release(exchange->hooked);
    if (release == INT64_MAX) /* until the client has enough */
        return CE_WAIT;
    if (exchange->hooked->hold_count == 0 || release <= ce_now())
        return CE_GO;
    ce_h2_exchange_alarm(exchange, release);
    return CE_WAIT;
}

static void let_go(struct ce_hooked *hooked, bool hung)
{
    struct ce_h2_exchange *exchange = hooked->holder;
    if (hung)
        (void)ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    else
        ce_h2_exchange_run(exchange);
}

/* ---- from the client ---- */

/* Which rules have business with the request. */
static int note_rules(struct ce_h2_exchange *exchange, struct ce_slice id, bool is_probe,
                      uint64_t number)
{
    const struct ce_h2_fields *head = &exchange->down.head;
    struct ce_opening opening = {
        .id = id,
        .number = number,
        .connection = exchange->client->number,
        .is_probe = is_probe,
        .method = ce_h2_fields_find(head, ":method"),
        .path = ce_h2_fields_find(head, ":path"),
        .fields = ce_h2_fields_lines(head),
    };
    return ce_hooked_begin(&ce_h2_lane(exchange)->chain, &opening, exchange, let_go,
                           &exchange->hooked);
}

static int note_head(struct ce_h2_exchange *exchange)
{
    struct ce_lane *lane = ce_h2_lane(exchange);
    struct ce_route *route = lane->route;
    const struct ce_h2_fields *head = &exchange->down.head;
    struct ce_slice id = {0};
    if (route->id_header)
        id = ce_fields_find(ce_h2_fields_lines(head), route->id_header);
    bool is_probe = ce_route_is_probe(route, id);
    uint64_t number = is_probe ? 0 : atomic_fetch_add(&route->requests, 1) + 1;
    exchange->counted = !is_probe;
    lane->counts.requests += exchange->counted;
    exchange->is_grpc = ce_grpc_is(ce_h2_fields_find(head, "content-type"));
    exchange->is_head = ce_slice_is(ce_h2_fields_find(head, ":method"), "HEAD");
    return note_rules(exchange, id, is_probe, number);
}

/* Shows the request to the rules. */
static enum ce_step ask_rules(struct ce_h2_exchange *exchange, const struct ce_h2_body *body)
{
    struct ce_shown shown = {
        .fields = ce_h2_fields_lines(&exchange->down.head),
        .body = body ? &body->slice : NULL,
        .body_encoded = body && body->encoded,
    };
    ce_hooked_request(exchange->hooked, &shown);
    exchange->stage = CE_H2_HELD;
    return CE_GO;
}

/* A client that waits to be told to send its body is told so by the proxy, which wants to see it
 * before the upstream does. */
static int invite(struct ce_h2_exchange *exchange)
{
    struct ce_slice expect = ce_h2_fields_find(&exchange->down.head, "expect");
    if (!ce_http_is(expect, "100-continue") || exchange->down.ended)
        return 0;
    struct ce_h2_fields go_on = {0};
    int r = ce_h2_fields_add_text(&go_on, ":status", "100");
    if (r >= 0)
        r = ce_h2_stream_inform(&exchange->down, &go_on);
    ce_h2_fields_done(&go_on);
    return r;
}

static enum ce_step begin(struct ce_h2_exchange *exchange)
{
    struct ce_h2_stream *down = &exchange->down;
    if (!down->has_head)
        return CE_WAIT;
    if (note_head(exchange) < 0)
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    const struct ce_route *route = ce_h2_lane(exchange)->route;
    if (down->oversized)
        return ce_h2_fail(exchange, 431, "The request has more than %d bytes of header fields.\n",
                          CE_H2_FIELDS_MAX);
    if (!route->http2 && !route->upstream.tls)
        return ce_h2_fail(exchange, 502,
                          "The upstream of route '%s' speaks HTTP/1.1: ask with that.\n",
                          route->name);
    if (ce_slice_is(ce_h2_fields_find(&down->head, ":method"), "CONNECT"))
        return ce_h2_fail(exchange, 501, "CONNECT is not supported over HTTP/2.\n");
    exchange->stage = CE_H2_FORWARD;
    if (!exchange->hooked)
        return CE_GO;
    if (!ce_hooked_wants(exchange->hooked, CE_HOOK_REQUEST_BODY))
        return ask_rules(exchange, NULL);
    if (invite(exchange) < 0)
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    ce_h2_pipe_collect(&down->in, true);
    exchange->stage = CE_H2_COLLECT;
    return CE_GO;
}

/* A client may not stop in the middle for ever. */
static enum ce_step await_client(struct ce_h2_exchange *exchange)
{
    const struct ce_lane *lane = ce_h2_lane(exchange);
    int64_t at = exchange->heard + lane->route->head_timeout_ns;
    if (lane->worker->now >= at)
        return ce_h2_fail(exchange, 408, "No byte of the request came for %.3f s.\n",
                          (double)lane->route->head_timeout_ns / (double)CE_SECOND);
    ce_h2_exchange_alarm(exchange, at);
    return CE_WAIT;
}

static enum ce_step collect(struct ce_h2_exchange *exchange)
{
    struct ce_h2_body body;
    ce_hooked_arrived(exchange->hooked, ce_h2_lane(exchange)->worker->now);
    enum ce_h2_collected collected = ce_h2_collect(exchange, &exchange->down, &body);
    if (collected == CE_H2_WAITS)
        return await_client(exchange);
    ce_h2_pipe_collect(&exchange->down.in, false);
    return ask_rules(exchange, collected == CE_H2_WHOLE ? &body : NULL);
}

/* Keeps the body as it goes upstream, to be shown with the response. */
static int keep_body(struct ce_h2_exchange *exchange)
{
    const struct ce_hooked *hooked = exchange->hooked;
    if (!ce_hooked_wants(hooked, CE_HOOK_REQUEST_BODY) ||
        !ce_hooked_wants(hooked, CE_HOOK_RESPONSE_BODY))
        return 0;
    struct ce_slice body = {hooked->body, hooked->body_size};
    if (!hooked->replaced) {
        struct ce_h2_body seen;
        if (ce_h2_collect(exchange, &exchange->down, &seen) != CE_H2_WHOLE)
            return 0;
        body = seen.slice;
    }
    exchange->request_body = malloc(body.size > 0 ? body.size : 1);
    if (!exchange->request_body)
        return -ENOMEM;
    if (body.size > 0)
        memcpy(exchange->request_body, body.data, body.size);
    exchange->request_body_size = body.size;
    exchange->has_request_body = true;
    return 0;
}

/* Makes of the request what the hooks want it to be. */
static int edit(struct ce_h2_exchange *exchange)
{
    static const char *const encodings[] = {"accept-encoding", "grpc-accept-encoding"};
    const struct ce_hooked *hooked = exchange->hooked;
    struct ce_h2_fields *head = &exchange->down.head;
    CE_TRY(ce_h2_edit(hooked, head));
    if (hooked->path)
        CE_TRY(ce_h2_fields_set(head, ":path", ce_slice_of(hooked->path)));
    for (size_t i = 0; i < CE_COUNT(encodings) && ce_hooked_wants(hooked, CE_HOOK_RESPONSE_BODY);
         i++)
        if (ce_h2_fields_find(head, encodings[i]).data)
            CE_TRY(ce_h2_fields_set(head, encodings[i], ce_slice_of("identity")));
    CE_TRY(keep_body(exchange));
    return hooked->replaced ? ce_h2_replace(exchange, &exchange->down, &exchange->request) : 0;
}

static enum ce_step held(struct ce_h2_exchange *exchange)
{
    struct ce_hooked *hooked = exchange->hooked;
    if (ce_h2_exchange_hold(exchange) == CE_WAIT)
        return CE_WAIT;
    switch (hooked->kind) {
    case CE_ACT_RESET:
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    case CE_ACT_ANSWER:
        return ce_h2_answer(exchange, hooked->status, hooked->headers,
                            (struct ce_slice){hooked->body, hooked->body_size});
    default:
        if (edit(exchange) < 0)
            return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
        exchange->stage = CE_H2_FORWARD;
        return CE_GO;
    }
}

/* ---- towards the upstream ---- */

static const struct ce_endpoint *upstream_of(const struct ce_h2_exchange *exchange)
{
    if (exchange->hooked && exchange->hooked->upstream)
        return exchange->hooked->upstream;
    return &ce_h2_lane(exchange)->target.endpoint;
}

static enum ce_step unreachable(struct ce_h2_exchange *exchange, const char *reason)
{
    char name[CE_NAME_MAX + 32];
    ce_endpoint_text(upstream_of(exchange), name, sizeof name);
    return ce_h2_fail(exchange, 502, "Cannot connect to the upstream %s: %s.\n", name, reason);
}

static enum ce_step forward(struct ce_h2_exchange *exchange)
{
    struct ce_lane *lane = ce_h2_lane(exchange);
    struct ce_target *target = ce_target_find(lane, upstream_of(exchange));
    struct ce_error err = {.message = "out of memory"};
    struct ce_h2_conn *upstream = target ? ce_h2_upstream_take(target, &err) : NULL;
    if (!upstream)
        return unreachable(exchange, err.message);
    struct ce_h2_pipe *pipe = exchange->request.ended ? &exchange->request : &exchange->down.in;
    bool is_empty = pipe->ended && ce_buffer_size(&pipe->bytes) == 0 && pipe->trailers.count == 0;
    exchange->up = (struct ce_h2_stream){0};
    if (ce_h2_stream_request(&upstream->session, &exchange->up, &exchange->down.head,
                             is_empty ? NULL : pipe) < 0) {
        exchange->up.closed = true;
        return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    }
    exchange->progress = lane->worker->now;
    exchange->stage = CE_H2_AWAIT;
    return CE_GO;
}

enum ce_step ce_h2_exchange_lost(struct ce_h2_exchange *exchange)
{
    if (exchange->up.session) { /* it was the stream alone */
        uint32_t code = exchange->up.code;
        ce_h2_lane(exchange)->counts.errors += exchange->counted;
        return ce_h2_reset(exchange, code == NGHTTP2_NO_ERROR ? NGHTTP2_INTERNAL_ERROR : code);
    }
    if (exchange->lost != 0) {
        const struct ce_target *target =
            ce_target_find(ce_h2_lane(exchange), upstream_of(exchange));
        return unreachable(exchange, target ? ce_target_refusal(target, exchange->lost)
                                            : strerror(exchange->lost));
    }
    return ce_h2_fail(exchange, 503,
                      "The upstream closed the connection before its response was complete.\n");
}

/* Whether the exchange stands still because of the client, not of the upstream. */
static bool waits_for_client(const struct ce_h2_exchange *exchange)
{
    if (exchange->stage == CE_H2_RESPONSE && exchange->down.out &&
        ce_buffer_size(&exchange->down.out->bytes) > 0)
        return true;
    return !exchange->down.ended && ce_buffer_size(&exchange->down.in.bytes) == 0;
}

enum ce_step ce_h2_exchange_patience(struct ce_h2_exchange *exchange)
{
    const struct ce_lane *lane = ce_h2_lane(exchange);
    if (exchange->up.ended)
        return CE_WAIT;
    if (waits_for_client(exchange))
        exchange->progress = lane->worker->now;
    int64_t at = exchange->progress + lane->route->timeout_ns;
    if (lane->worker->now < at) {
        ce_h2_exchange_alarm(exchange, at);
        return CE_WAIT;
    }
    char name[CE_NAME_MAX + 32];
    ce_endpoint_text(upstream_of(exchange), name, sizeof name);
    return ce_h2_fail(exchange, 504, "The upstream %s did not answer within %.3f s.\n", name,
                      (double)lane->route->timeout_ns / (double)CE_SECOND);
}

static enum ce_step await(struct ce_h2_exchange *exchange)
{
    struct ce_h2_stream *up = &exchange->up;
    if (up->has_interim) {
        up->has_interim = false;
        if (ce_h2_stream_inform(&exchange->down, &up->interim) < 0)
            return ce_h2_reset(exchange, NGHTTP2_INTERNAL_ERROR);
    }
    if (up->oversized)
        return ce_h2_fail(exchange, 502,
                          "The upstream's response has more than %d bytes of header fields.\n",
                          CE_H2_FIELDS_MAX);
    if (up->has_head)
        return ce_h2_response_begin(exchange);
    if (up->closed)
        return ce_h2_exchange_lost(exchange);
    return ce_h2_exchange_patience(exchange);
}

/* ---- going on ---- */

/* All is with the client, or will not come. What it still sends is of no use to anybody. */
static enum ce_step over(struct ce_h2_exchange *exchange)
{
    if (exchange->done || !exchange->down.sent)
        return CE_WAIT;
    ce_h2_lane(exchange)->counts.responses += exchange->counted;
    if (exchange->down.ended)
        exchange->done = true;
    else
        (void)ce_h2_reset(exchange, NGHTTP2_NO_ERROR);
    return CE_WAIT;
}

static enum ce_step run_stage(struct ce_h2_exchange *exchange)
{
    switch (exchange->stage) {
    case CE_H2_HEAD:
        return begin(exchange);
    case CE_H2_COLLECT:
        return collect(exchange);
    case CE_H2_HELD:
        return held(exchange);
    case CE_H2_FORWARD:
        return forward(exchange);
    case CE_H2_AWAIT:
        return await(exchange);
    case CE_H2_RESPONSE_COLLECT:
        return ce_h2_response_collect(exchange);
    case CE_H2_RESPONSE_HELD:
        return ce_h2_response_held(exchange);
    case CE_H2_RESPONSE:
        return ce_h2_response_stream(exchange);
    case CE_H2_OVER:
        return over(exchange);
    }
    return CE_WAIT;
}

void ce_h2_exchange_run(struct ce_h2_exchange *exchange)
{
    /* Trailers that are too many are the only fields that come after the head. */
    if (exchange->down.oversized && exchange->stage != CE_H2_HEAD && exchange->stage != CE_H2_OVER)
        (void)ce_h2_reset(exchange, NGHTTP2_ENHANCE_YOUR_CALM);
    while (!exchange->down.closed && run_stage(exchange) == CE_GO)
        ;
    ce_h2_stream_wake(&exchange->up);
    if (exchange->down.closed) {
        (void)over(exchange);
        ce_h2_exchange_end(exchange);
    }
}
