/* SPDX-License-Identifier: MIT */
#include "proxy/h2/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
    OUT_ENOUGH = 64 * 1024,
    SEND_FIELDS_MAX = 2 * CE_H2_FIELDS_MAX,
    /* The library's own limit is out of the way: the one here says what it is about. */
    LIBRARY_RESETS = 10 * CE_H2_RESETS_MAX,
};

void ce_h2_session_wake(struct ce_h2_session *session)
{
    if (!session->queued)
        TAILQ_INSERT_TAIL(session->queue, session, queue_link);
    session->queued = true;
}

static void touch(struct ce_h2_stream *stream)
{
    if (!stream->touched)
        TAILQ_INSERT_TAIL(&stream->session->touched, stream, touched_link);
    stream->touched = true;
    ce_h2_session_wake(stream->session);
}

static void untouch(struct ce_h2_stream *stream)
{
    if (stream->touched)
        TAILQ_REMOVE(&stream->session->touched, stream, touched_link);
    stream->touched = false;
}

/* ---- pipes ---- */

/* Opens the source's window for `size` bytes more. Also when that stream is closed: then the
 * connection's window is all that there is to open. */
static void give_back(struct ce_h2_pipe *pipe, size_t size)
{
    struct ce_h2_session *session = pipe->source ? pipe->source->session : NULL;
    if (!session || size == 0)
        return;
    (void)nghttp2_session_consume(session->ng, pipe->source->id, size);
    ce_h2_session_wake(session);
}

/* After a change of the pipe's bytes: what is due to its source, and to the session's count. */
static void settle(struct ce_h2_pipe *pipe)
{
    size_t size = ce_buffer_size(&pipe->bytes), kept = pipe->eager ? 0 : size;
    if (pipe->owed > kept) {
        give_back(pipe, pipe->owed - kept);
        pipe->owed = kept;
    }
    if (pipe->source && pipe->source->session)
        pipe->source->session->collected += size - pipe->owed - pipe->counted;
    pipe->counted = size - pipe->owed;
}

int ce_h2_pipe_put(struct ce_h2_pipe *pipe, struct ce_blocks *blocks, const void *data, size_t size)
{
    int r = ce_buffer_append(&pipe->bytes, blocks, data, size);
    settle(pipe);
    return r;
}

void ce_h2_pipe_collect(struct ce_h2_pipe *pipe, bool eager)
{
    pipe->eager = eager;
    settle(pipe);
}

/* Bytes at the front. */
static void pipe_drop(struct ce_h2_pipe *pipe, struct ce_blocks *blocks, size_t size)
{
    ce_buffer_drop(&pipe->bytes, blocks, size);
    settle(pipe);
}

void ce_h2_pipe_discard(struct ce_h2_pipe *pipe, struct ce_blocks *blocks)
{
    pipe->discarding = true;
    pipe_drop(pipe, blocks, ce_buffer_size(&pipe->bytes));
}

static int receive(struct ce_h2_pipe *pipe, struct ce_blocks *blocks, const void *data, size_t size)
{
    if (pipe->discarding) {
        give_back(pipe, size);
        return 0;
    }
    CE_TRY(ce_buffer_append(&pipe->bytes, blocks, data, size));
    pipe->owed += size;
    settle(pipe);
    return 0;
}

/* ---- what nghttp2 calls ---- */

static struct ce_h2_stream *find(const struct ce_h2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session->ng, id);
}

static void adopt(struct ce_h2_session *session, struct ce_h2_stream *stream, int32_t id)
{
    stream->session = session;
    stream->id = id;
    stream->in.source = stream;
    stream->in.limit = SIZE_MAX;
    LIST_INSERT_HEAD(&session->streams, stream, link);
    session->stream_count++;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct ce_h2_session *session = user_data;
    if (!session->accept || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct ce_h2_stream *stream = session->accept(session);
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    adopt(session, stream, frame->hd.stream_id);
    (void)nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, stream);
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user_data)
{
    struct ce_h2_stream *stream = find(user_data, frame->hd.stream_id);
    if (!stream || stream->oversized)
        return 0;
    int r = ce_h2_fields_add(stream->has_head ? &stream->in.trailers : &stream->head,
                             (struct ce_slice){(const char *)name, name_size},
                             (struct ce_slice){(const char *)value, value_size},
                             flags & NGHTTP2_NV_FLAG_NO_INDEX);
    if (r == -EMSGSIZE)
        stream->oversized = true;
    else if (r < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return 0;
}

static bool is_interim(const struct ce_h2_fields *head)
{
    struct ce_slice status = ce_h2_fields_find(head, ":status");
    return status.size == 3 && status.data[0] == '1';
}

static void headers_complete(struct ce_h2_stream *stream)
{
    if (!stream->has_head && !stream->oversized && is_interim(&stream->head)) {
        ce_h2_fields_done(&stream->interim);
        stream->interim = stream->head;
        stream->head = (struct ce_h2_fields){0};
        stream->has_interim = true;
        return;
    }
    stream->has_head = true;
}

/* Streams that are opened only to be reset cost the proxy and its upstream more than the peer. */
static void count_reset(struct ce_h2_session *session)
{
    if (!session->accept)
        return; /* an upstream may refuse as many as it is asked */
    if (session->now - session->second >= CE_SECOND) {
        session->second = session->now;
        session->resets = 0;
    }
    if (++session->resets == CE_H2_RESETS_MAX)
        (void)nghttp2_session_terminate_session(session->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct ce_h2_session *session = user_data;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        session->going_away = true;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        count_reset(session);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct ce_h2_stream *stream = find(session, frame->hd.stream_id);
    if (!stream)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        headers_complete(stream);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        stream->ended = stream->in.ended = true;
    touch(stream);
    return 0;
}

/* A frame that makes the library reset a stream costs as much as a reset by the peer. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code,
                            void *user_data)
{
    count_reset(user_data);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                   void *user_data)
{
    struct ce_h2_session *session = user_data;
    struct ce_h2_stream *stream = find(session, id);
    if (!stream) {
        (void)nghttp2_session_consume(ng, id, size);
        return 0;
    }
    touch(stream);
    return receive(&stream->in, session->blocks, data, size) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void mark_closed(struct ce_h2_stream *stream, uint32_t code)
{
    if (stream->closed)
        return;
    stream->closed = true;
    stream->code = code;
    touch(stream);
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user_data)
{
    struct ce_h2_stream *stream = find(user_data, id);
    if (stream)
        mark_closed(stream, code);
    return 0;
}

static bool is_final(const nghttp2_headers *headers)
{
    return headers->nvlen == 0 || headers->nva[0].name[0] != ':' || headers->nva[0].value[0] != '1';
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    bool is_head = frame->hd.type == NGHTTP2_HEADERS && is_final(&frame->headers);
    bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct ce_h2_stream *stream = is_head || ends ? find(user_data, frame->hd.stream_id) : NULL;
    if (stream) {
        stream->head_sent |= is_head;
        stream->sent |= ends;
        touch(stream);
    }
    return 0;
}

/* Fields that cannot be sent; a request that the peer will not take any more. */
static int on_not_sent(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *user_data)
{
    struct ce_h2_session *session = user_data;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct ce_h2_stream *stream;
    LIST_FOREACH(stream, &session->streams, link)
    if (stream->id == frame->hd.stream_id && !stream->closed) {
        bool never_began = !session->accept && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
        if (!never_began)
            ce_h2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
        mark_closed(stream, never_began ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
}

/* ---- sending ---- */

static int send_trailers(struct ce_h2_stream *stream, const struct ce_h2_fields *trailers)
{
    nghttp2_nv *list = ce_h2_fields_list(trailers);
    if (!list)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    int r = nghttp2_submit_trailer(stream->session->ng, stream->id, list, trailers->count);
    free(list);
    return r < 0 ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static ssize_t read_pipe(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user_data)
{
    struct ce_h2_session *session = user_data;
    struct ce_h2_stream *stream = find(session, id);
    if (!stream || !stream->out)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct ce_h2_pipe *pipe = stream->out;
    size_t size = ce_buffer_size(&pipe->bytes), n = size < pipe->limit ? size : pipe->limit;
    if (n > room)
        n = room;
    if (n > 0) {
        memcpy(to, ce_buffer_bytes(&pipe->bytes), n);
        if (pipe->limit != SIZE_MAX)
            pipe->limit -= n;
        pipe_drop(pipe, session->blocks, n);
        touch(stream);
    }
    if (n == size && pipe->ended && !pipe->endless) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (pipe->trailers.count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            int r = send_trailers(stream, &pipe->trailers);
            if (r < 0)
                return r;
        }
        return (ssize_t)n;
    }
    return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

static int errno_of(int code)
{
    return code == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
}

int ce_h2_stream_request(struct ce_h2_session *session, struct ce_h2_stream *stream,
                         const struct ce_h2_fields *head, struct ce_h2_pipe *out)
{
    nghttp2_nv *list = ce_h2_fields_list(head);
    if (!list)
        return -ENOMEM;
    nghttp2_data_provider provider = {.read_callback = read_pipe};
    int32_t id = nghttp2_submit_request(session->ng, NULL, list, head->count,
                                        out ? &provider : NULL, stream);
    free(list);
    if (id < 0)
        return errno_of(id);
    stream->out = out;
    adopt(session, stream, id);
    ce_h2_session_wake(session);
    return 0;
}

int ce_h2_stream_respond(struct ce_h2_stream *stream, const struct ce_h2_fields *head,
                         struct ce_h2_pipe *out)
{
    if (!stream->session || stream->closed)
        return 0;
    nghttp2_nv *list = ce_h2_fields_list(head);
    if (!list)
        return -ENOMEM;
    nghttp2_data_provider provider = {.read_callback = read_pipe};
    stream->out = out;
    int r = nghttp2_submit_response(stream->session->ng, stream->id, list, head->count,
                                    out ? &provider : NULL);
    free(list);
    ce_h2_session_wake(stream->session);
    return r < 0 ? errno_of(r) : 0;
}

int ce_h2_stream_inform(struct ce_h2_stream *stream, const struct ce_h2_fields *head)
{
    if (!stream->session || stream->closed)
        return 0;
    nghttp2_nv *list = ce_h2_fields_list(head);
    if (!list)
        return -ENOMEM;
    int r = nghttp2_submit_headers(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, NULL, list,
                                   head->count, NULL);
    free(list);
    ce_h2_session_wake(stream->session);
    return r < 0 ? errno_of(r) : 0;
}

void ce_h2_stream_wake(struct ce_h2_stream *stream)
{
    if (!stream->session || stream->closed)
        return;
    /* It fails when nothing was put off: then there is nothing to resume. */
    if (nghttp2_session_resume_data(stream->session->ng, stream->id) == 0)
        ce_h2_session_wake(stream->session);
}

void ce_h2_stream_reset(struct ce_h2_stream *stream, uint32_t code)
{
    if (!stream->session || stream->closed)
        return;
    (void)nghttp2_submit_rst_stream(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, code);
    ce_h2_session_wake(stream->session);
}

void ce_h2_stream_done(struct ce_h2_stream *stream, struct ce_blocks *blocks, uint32_t code)
{
    struct ce_h2_session *session = stream->session;
    ce_h2_stream_reset(stream, code);
    ce_h2_pipe_discard(&stream->in, blocks);
    ce_h2_fields_done(&stream->head);
    ce_h2_fields_done(&stream->interim);
    ce_h2_fields_done(&stream->in.trailers);
    if (session) {
        untouch(stream);
        LIST_REMOVE(stream, link);
        session->stream_count--;
        (void)nghttp2_session_set_stream_user_data(session->ng, stream->id, NULL);
        ce_h2_session_wake(session);
    }
    *stream = (struct ce_h2_stream){.closed = true};
}

/* ---- sessions ---- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
    return callbacks;
}

static nghttp2_option *make_option(void)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, SEND_FIELDS_MAX);
    nghttp2_option_set_stream_reset_rate_limit(option, LIBRARY_RESETS, LIBRARY_RESETS);
    return option;
}

static int introduce(struct ce_h2_session *session)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, CE_H2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CE_H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CE_H2_FIELDS_MAX},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    size_t count = CE_COUNT(settings) - (session->accept != NULL); /* a server says no "push" */
    if (nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, settings, count) != 0 ||
        nghttp2_session_set_local_window_size(session->ng, NGHTTP2_FLAG_NONE, 0,
                                              CE_H2_CONNECTION_WINDOW) != 0)
        return -ENOMEM;
    ce_h2_session_wake(session);
    return 0;
}

int ce_h2_session_open(struct ce_h2_session *session, struct ce_h2_queue *queue,
                       struct ce_blocks *blocks,
                       struct ce_h2_stream *(*accept)(struct ce_h2_session *session))
{
    *session = (struct ce_h2_session){.queue = queue, .blocks = blocks, .accept = accept};
    TAILQ_INIT(&session->touched);
    LIST_INIT(&session->streams);
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *option = make_option();
    int r = -ENOMEM;
    if (callbacks && option)
        r = accept ? nghttp2_session_server_new2(&session->ng, callbacks, session, option)
                   : nghttp2_session_client_new2(&session->ng, callbacks, session, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (r == 0)
        r = introduce(session);
    if (r == 0)
        return 0;
    ce_h2_session_close(session);
    return -ENOMEM;
}

struct ce_h2_stream *ce_h2_session_detach(struct ce_h2_session *session)
{
    struct ce_h2_stream *stream = LIST_FIRST(&session->streams);
    if (!stream)
        return NULL;
    LIST_REMOVE(stream, link);
    session->stream_count--;
    untouch(stream);
    (void)nghttp2_session_set_stream_user_data(session->ng, stream->id, NULL);
    stream->closed = true;
    stream->session = NULL;
    return stream;
}

void ce_h2_session_close(struct ce_h2_session *session)
{
    while (ce_h2_session_detach(session))
        ;
    if (session->queued)
        TAILQ_REMOVE(session->queue, session, queue_link);
    ce_buffer_done(&session->out, session->blocks);
    nghttp2_session_del(session->ng);
    *session = (struct ce_h2_session){0};
}

int ce_h2_session_feed(struct ce_h2_session *session, const void *data, size_t size, int64_t now)
{
    session->now = now;
    ssize_t n = nghttp2_session_mem_recv(session->ng, data, size);
    ce_h2_session_wake(session);
    return n < 0 ? errno_of((int)n) : 0;
}

int ce_h2_session_fill(struct ce_h2_session *session)
{
    while (ce_buffer_size(&session->out) < OUT_ENOUGH) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(session->ng, &data);
        if (n < 0)
            return errno_of((int)n);
        if (n == 0)
            return 0;
        CE_TRY(ce_buffer_append(&session->out, session->blocks, data, (size_t)n));
    }
    return 0;
}

bool ce_h2_session_is_done(const struct ce_h2_session *session)
{
    return ce_buffer_size(&session->out) == 0 && !nghttp2_session_want_read(session->ng) &&
           !nghttp2_session_want_write(session->ng);
}

struct ce_h2_stream *ce_h2_session_touched(struct ce_h2_session *session)
{
    struct ce_h2_stream *stream = TAILQ_FIRST(&session->touched);
    if (stream)
        untouch(stream);
    return stream;
}

void ce_h2_session_drain(struct ce_h2_session *session)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(session->ng);
    (void)nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
    ce_h2_session_wake(session);
}

bool ce_h2_session_has_room(const struct ce_h2_session *session)
{
    uint32_t most =
        nghttp2_session_get_remote_settings(session->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (most > CE_H2_STREAMS_MAX)
        most = CE_H2_STREAMS_MAX;
    return !session->going_away && session->stream_count < most;
}
