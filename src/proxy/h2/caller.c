/* SPDX-License-Identifier: MIT */
#include "proxy/h2/caller.h"

#include <stdlib.h>

#include "base/clock.h"
#include "proxy/h2/grpc.h"
#include "proxy/h2/session.h"

struct ce_grpc_caller {
    struct ce_blocks blocks;
    struct ce_h2_queue queue;
    struct ce_h2_session session;
    struct ce_h2_stream stream; /* of the call */
    struct ce_h2_pipe request;
};

int ce_grpc_caller_new(struct ce_grpc_caller **ret_caller)
{
    struct ce_grpc_caller *caller = calloc(1, sizeof *caller);
    if (!caller)
        return -ENOMEM;
    TAILQ_INIT(&caller->queue);
    if (ce_h2_session_open(&caller->session, &caller->queue, &caller->blocks, NULL) < 0) {
        free(caller);
        return -ENOMEM;
    }
    *ret_caller = caller;
    return 0;
}

/* Forgets the call. */
static void clear(struct ce_grpc_caller *caller)
{
    ce_h2_stream_done(&caller->stream, &caller->blocks, NGHTTP2_CANCEL);
    ce_buffer_done(&caller->request.bytes, &caller->blocks);
    caller->stream = (struct ce_h2_stream){0};
    caller->request = (struct ce_h2_pipe){.limit = SIZE_MAX, .ended = true};
}

void ce_grpc_caller_free(struct ce_grpc_caller *caller)
{
    if (!caller)
        return;
    clear(caller);
    ce_h2_session_close(&caller->session);
    ce_blocks_done(&caller->blocks);
    free(caller);
}

/* ---- the request ---- */

static int add_fields(struct ce_h2_fields *head, const struct ce_grpc_call *call, const char *name)
{
    CE_TRY(ce_h2_fields_add_text(head, ":method", "POST"));
    CE_TRY(ce_h2_fields_add_text(head, ":scheme", "http"));
    CE_TRY(ce_h2_fields_add_text(head, ":path", call->path));
    CE_TRY(ce_h2_fields_add_text(head, ":authority", call->authority ? call->authority : name));
    CE_TRY(ce_h2_fields_add_text(head, "content-type", "application/grpc"));
    CE_TRY(ce_h2_fields_add_text(head, "te", "trailers"));
    return ce_h2_fields_add_lines(head, call->headers ? call->headers : "", "content-type");
}

static int put_message(struct ce_grpc_caller *caller, struct ce_slice message)
{
    char prefix[CE_GRPC_PREFIX];
    ce_grpc_prefix(prefix, false, message.size);
    CE_TRY(ce_h2_pipe_put(&caller->request, &caller->blocks, prefix, sizeof prefix));
    return ce_h2_pipe_put(&caller->request, &caller->blocks, message.data, message.size);
}

int ce_grpc_caller_begin(struct ce_grpc_caller *caller, const struct ce_grpc_call *call,
                         const char *name)
{
    struct ce_h2_fields head = {0};
    clear(caller);
    int r = add_fields(&head, call, name);
    if (r >= 0)
        r = put_message(caller, call->message);
    if (r >= 0)
        r = ce_h2_stream_request(&caller->session, &caller->stream, &head, &caller->request);
    ce_h2_fields_done(&head);
    if (r >= 0)
        ce_h2_pipe_collect(&caller->stream.in, true);
    return r < 0 ? r : 0;
}

/* ---- bytes ---- */

int ce_grpc_caller_out(struct ce_grpc_caller *caller, struct ce_slice *ret_bytes)
{
    if (ce_h2_session_fill(&caller->session) < 0)
        return -ENOMEM;
    const struct ce_buffer *out = &caller->session.out;
    *ret_bytes = (struct ce_slice){ce_buffer_bytes(out), ce_buffer_size(out)};
    return 0;
}

void ce_grpc_caller_sent(struct ce_grpc_caller *caller, size_t size)
{
    ce_buffer_drop(&caller->session.out, &caller->blocks, size);
}

int ce_grpc_caller_feed(struct ce_grpc_caller *caller, const void *data, size_t size)
{
    return ce_h2_session_feed(&caller->session, data, size, ce_now()) < 0 ? -EPROTO : 0;
}

/* ---- the answer ---- */

bool ce_grpc_caller_is_over(const struct ce_grpc_caller *caller)
{
    return caller->stream.ended || caller->stream.closed;
}

bool ce_grpc_caller_is_open(const struct ce_grpc_caller *caller)
{
    return !caller->session.going_away && !ce_h2_session_is_done(&caller->session);
}

size_t ce_grpc_caller_size(const struct ce_grpc_caller *caller)
{
    return ce_buffer_size(&caller->stream.in.bytes);
}

/* In the trailers, or in the head of an answer that has nothing else. */
static struct ce_slice find(const struct ce_h2_stream *stream, const char *name)
{
    struct ce_slice value = ce_h2_fields_find(&stream->in.trailers, name);
    return value.data ? value : ce_h2_fields_find(&stream->head, name);
}

int ce_grpc_caller_result(const struct ce_grpc_caller *caller, struct ce_slice *ret_message,
                          struct ce_error *err)
{
    const struct ce_h2_stream *stream = &caller->stream;
    if (!stream->ended)
        return ce_fail(err, ECONNRESET, "the call was reset (%s)",
                       nghttp2_http2_strerror(stream->code));
    int http = ce_grpc_parse_status(ce_h2_fields_find(&stream->head, ":status"));
    int status = ce_grpc_parse_status(find(stream, "grpc-status"));
    if (status < 0 && http == 200)
        return ce_fail(err, EPROTO, "the answer has no grpc-status");
    if (status < 0)
        status = ce_grpc_status_of(http);
    struct ce_grpc_look look = ce_grpc_look(
        (struct ce_slice){ce_buffer_bytes(&stream->in.bytes), ce_grpc_caller_size(caller)});
    if (status == CE_GRPC_OK && (look.shape != CE_GRPC_ONE || look.compressed))
        return ce_fail(err, EPROTO, "the answer is not one message without compression");
    *ret_message = look.message;
    return status;
}

char *ce_grpc_caller_reason(const struct ce_grpc_caller *caller)
{
    return ce_grpc_message_decode(find(&caller->stream, "grpc-message"));
}
