/* SPDX-License-Identifier: MIT */
/* What of a message's data is its body: all of it, or the one message of a gRPC call. */
#include "proxy/h2/h2.h"

#include <stdio.h>

#include "base/clock.h"

/* A call that streams cannot be told from one with a single message before its second message, or
 * its end. Whoever sends a single one ends it in the same breath; who does not, and is silent for
 * so long, waits for the other side, and must not be kept. */
#define QUIET_NS (200 * CE_MILLISECOND)

static struct ce_slice bytes_of(const struct ce_h2_pipe *pipe)
{
    return (struct ce_slice){ce_buffer_bytes(&pipe->bytes), ce_buffer_size(&pipe->bytes)};
}

static void note_heard(struct ce_h2_exchange *exchange, size_t size)
{
    if (exchange->heard != 0 && exchange->heard_size == size)
        return;
    exchange->heard = ce_h2_lane(exchange)->worker->now;
    exchange->heard_size = size;
}

static bool is_quiet(struct ce_h2_exchange *exchange)
{
    int64_t at = exchange->heard + QUIET_NS;
    if (ce_h2_lane(exchange)->worker->now >= at)
        return true;
    ce_h2_exchange_alarm(exchange, at);
    return false;
}

static enum ce_h2_collected collect_call(struct ce_h2_exchange *exchange,
                                         const struct ce_h2_stream *stream, struct ce_slice bytes,
                                         struct ce_h2_body *ret_body)
{
    struct ce_grpc_look look = ce_grpc_look(bytes);
    *ret_body = (struct ce_h2_body){look.message, look.compressed, look.shape == CE_GRPC_ONE};
    if (look.whole > CE_GRPC_PREFIX + CE_COLLECT_MAX)
        return CE_H2_UNSEEN;
    if (stream->ended)
        return look.shape == CE_GRPC_ONE || bytes.size == 0 ? CE_H2_WHOLE : CE_H2_UNSEEN;
    /* A response may be long in coming. A request that does not begin waits for the response. */
    bool may_stream = look.shape == CE_GRPC_ONE || (bytes.size == 0 && stream == &exchange->down);
    if (look.shape == CE_GRPC_MORE || (may_stream && is_quiet(exchange))) {
        exchange->streams = true;
        return CE_H2_UNSEEN;
    }
    return CE_H2_WAITS;
}

enum ce_h2_collected ce_h2_collect(struct ce_h2_exchange *exchange, struct ce_h2_stream *stream,
                                   struct ce_h2_body *ret_body)
{
    struct ce_slice bytes = bytes_of(&stream->in);
    note_heard(exchange, bytes.size);
    if (!stream->ended && stream->session && stream->session->collected > CE_H2_COLLECTED_MAX)
        return CE_H2_UNSEEN;
    if (exchange->is_grpc)
        return collect_call(exchange, stream, bytes, ret_body);
    *ret_body = (struct ce_h2_body){.slice = bytes};
    if (bytes.size > CE_COLLECT_MAX)
        return CE_H2_UNSEEN;
    return stream->ended ? CE_H2_WHOLE : CE_H2_WAITS;
}

static int set_length(struct ce_h2_fields *fields, size_t size)
{
    char length[32];
    if (!ce_h2_fields_find(fields, "content-length").data)
        return 0;
    snprintf(length, sizeof length, "%zu", size);
    return ce_h2_fields_set(fields, "content-length", ce_slice_of(length));
}

int ce_h2_replace(struct ce_h2_exchange *exchange, struct ce_h2_stream *stream,
                  struct ce_h2_pipe *pipe)
{
    struct ce_blocks *blocks = ce_h2_blocks(exchange);
    const struct ce_hooked *hooked = exchange->hooked;
    size_t prefix_size = 0;
    if (exchange->is_grpc) {
        char prefix[CE_GRPC_PREFIX];
        struct ce_grpc_look look = ce_grpc_look(bytes_of(&stream->in));
        if (look.shape != CE_GRPC_ONE)
            return 0;
        prefix_size = sizeof prefix;
        ce_grpc_prefix(prefix, look.compressed, hooked->body_size);
        CE_TRY(ce_h2_pipe_put(pipe, blocks, prefix, sizeof prefix));
    }
    CE_TRY(ce_h2_pipe_put(pipe, blocks, hooked->body, hooked->body_size));
    pipe->trailers = stream->in.trailers;
    stream->in.trailers = (struct ce_h2_fields){0};
    pipe->limit = SIZE_MAX;
    pipe->ended = true;
    ce_h2_pipe_discard(&stream->in, blocks);
    CE_TRY(set_length(&stream->head, prefix_size + hooked->body_size));
    return 1;
}

int ce_h2_edit(const struct ce_hooked *hooked, struct ce_h2_fields *fields)
{
    for (size_t i = 0; i < hooked->set_count; i++)
        CE_TRY(ce_h2_fields_set(fields, hooked->sets[i].name, ce_slice_of(hooked->sets[i].value)));
    return 0;
}
