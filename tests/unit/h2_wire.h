/* SPDX-License-Identifier: MIT */
/* Both ends of HTTP/2, played by the test itself on blocking sockets: a peer sends what it is told,
 * and goes on until what it waits for has come. */
#ifndef CE_TESTS_H2_WIRE_H
#define CE_TESTS_H2_WIRE_H

#include <nghttp2/nghttp2.h>

#include "wire.h"

enum { PEER_STREAMS = 300 };

/* What has come on a stream, as text: "name: value\n" lines, and the data. */
struct peer_stream {
    int32_t id;
    char head[2048], trailers[1024], interim[256];
    size_t head_size, trailers_size;
    char *data;
    size_t size;
    bool has_head, ended, closed;
    uint32_t code;

    /* What is sent. */
    const char *out;
    size_t out_size;
    const char *const *out_trailers;
    bool out_open; /* more is to follow */
};

struct peer {
    int fd;
    nghttp2_session *ng;
    struct peer_stream *streams;
    size_t count;
    bool ended;     /* the connection is */
    bool went_away; /* GOAWAY has come */
    uint32_t away_code;
    size_t sent; /* bytes of data */
};

static inline struct peer_stream *peer_find(const struct peer *peer, int32_t id)
{
    for (size_t i = 0; i < peer->count; i++)
        if (peer->streams[i].id == id)
            return &peer->streams[i];
    return NULL;
}

static inline struct peer_stream *peer_add(struct peer *peer, int32_t id)
{
    struct peer_stream *stream = peer_find(peer, id);
    if (stream || peer->count == PEER_STREAMS)
        return stream;
    peer->streams[peer->count] = (struct peer_stream){.id = id};
    return &peer->streams[peer->count++];
}

static inline int peer_on_header(nghttp2_session *ng, const nghttp2_frame *frame,
                                 const uint8_t *name, size_t name_size, const uint8_t *value,
                                 size_t value_size, uint8_t flags, void *user_data)
{
    struct peer_stream *stream = peer_add(user_data, frame->hd.stream_id);
    if (!stream)
        return 0;
    char *text = stream->has_head ? stream->trailers : stream->head;
    size_t room = stream->has_head ? sizeof stream->trailers : sizeof stream->head;
    size_t *size = stream->has_head ? &stream->trailers_size : &stream->head_size;
    int n = snprintf(text + *size, room - *size, "%.*s: %.*s\n", (int)name_size, name,
                     (int)value_size, value);
    *size = *size + (size_t)n < room ? *size + (size_t)n : room - 1;
    return 0;
}

static inline int peer_on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct peer *peer = user_data;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        peer->went_away = true;
        peer->away_code = frame->goaway.error_code;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct peer_stream *stream = peer_add(peer, frame->hd.stream_id);
    if (!stream)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && strncmp(stream->head, ":status: 1", 10) == 0) {
        snprintf(stream->interim, sizeof stream->interim, "%.*s", 200, stream->head);
        stream->head_size = 0;
        stream->head[0] = '\0';
    } else if (frame->hd.type == NGHTTP2_HEADERS) {
        stream->has_head = true;
    }
    stream->ended |= (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    return 0;
}

static inline int peer_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
                               size_t size, void *user_data)
{
    struct peer_stream *stream = peer_add(user_data, id);
    if (!stream)
        return 0;
    stream->data = realloc(stream->data, stream->size + size + 1);
    memcpy(stream->data + stream->size, data, size);
    stream->size += size;
    stream->data[stream->size] = '\0';
    return 0;
}

static inline int peer_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user_data)
{
    struct peer_stream *stream = peer_add(user_data, id);
    if (stream) {
        stream->closed = true;
        stream->code = code;
    }
    return 0;
}

/* Fields are given as name, value, ..., NULL. */
static inline size_t peer_fields(const char *const *fields, nghttp2_nv *list)
{
    size_t count = 0;
    for (; fields && fields[0]; fields += 2)
        list[count++] =
            (nghttp2_nv){(uint8_t *)(uintptr_t)fields[0], (uint8_t *)(uintptr_t)fields[1],
                         strlen(fields[0]), strlen(fields[1]), NGHTTP2_NV_FLAG_NONE};
    return count;
}

static inline ssize_t peer_read(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room,
                                uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    struct peer *peer = user_data;
    struct peer_stream *stream = peer_find(peer, id);
    size_t n = stream->out_size < room ? stream->out_size : room;
    if (n > 0)
        memcpy(to, stream->out, n);
    stream->out += n;
    stream->out_size -= n;
    peer->sent += n;
    if (stream->out_size == 0 && stream->out_open)
        return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
    if (stream->out_size == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        nghttp2_nv list[16];
        size_t count = peer_fields(stream->out_trailers, list);
        if (count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(ng, id, list, count);
        }
    }
    return (ssize_t)n;
}

/* `window`: 0: opened as data comes; else that is all that may come on a stream. */
static inline void peer_open(struct peer *peer, int fd, bool is_server, uint32_t streams_max,
                             uint32_t window)
{
    *peer = (struct peer){.fd = fd, .streams = calloc(PEER_STREAMS, sizeof *peer->streams)};
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_option_new(&option);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, peer_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, peer_on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, peer_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, peer_on_close);
    nghttp2_option_set_no_auto_window_update(option, window > 0);
    nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
    if (is_server)
        nghttp2_session_server_new2(&peer->ng, callbacks, peer, option);
    else
        nghttp2_session_client_new2(&peer->ng, callbacks, peer, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams_max > 0 ? streams_max : 100},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window > 0 ? window : 65535},
    };
    nghttp2_submit_settings(peer->ng, NGHTTP2_FLAG_NONE, settings, 2);
}

static inline void peer_close(struct peer *peer)
{
    if (!peer->ng)
        return;
    nghttp2_session_del(peer->ng);
    for (size_t i = 0; i < peer->count; i++)
        free(peer->streams[i].data);
    free(peer->streams);
    if (peer->fd >= 0)
        close(peer->fd);
    *peer = (struct peer){.fd = -1};
}

/* Sends all that may be sent. */
static inline void peer_flush(struct peer *peer)
{
    const uint8_t *data;
    for (ssize_t n; (n = nghttp2_session_mem_send(peer->ng, &data)) > 0;)
        if (!wire_send_bytes(peer->fd, (const char *)data, (size_t)n))
            return;
}

/* Reads once, and answers. False: nothing more comes. */
static inline bool peer_step(struct peer *peer)
{
    uint8_t bytes[16384];
    peer_flush(peer);
    ssize_t n = recv(peer->fd, bytes, sizeof bytes, 0);
    if (n <= 0 || nghttp2_session_mem_recv(peer->ng, bytes, (size_t)n) < 0) {
        peer->ended = true;
        return false;
    }
    peer_flush(peer);
    return true;
}

/* Goes on until the condition holds, or nothing more comes. */
#define PEER_UNTIL(peer, condition)                                                                \
    do {                                                                                           \
        peer_flush(peer);                                                                          \
        while (!(condition) && peer_step(peer))                                                    \
            ;                                                                                      \
        CHECK(condition);                                                                          \
    } while (0)

/* Sends a request; `open`: its body goes on. Returns its id. */
static inline int32_t peer_ask(struct peer *peer, const char *const *fields, const char *body,
                               size_t size, bool open)
{
    nghttp2_nv list[32];
    size_t count = peer_fields(fields, list);
    nghttp2_data_provider provider = {.read_callback = peer_read};
    int32_t id =
        nghttp2_submit_request(peer->ng, NULL, list, count, body || open ? &provider : NULL, NULL);
    struct peer_stream *stream = peer_add(peer, id);
    stream->out = body;
    stream->out_size = size;
    stream->out_open = open;
    peer_flush(peer);
    return id;
}

/* Without `body` the head is all. */
static inline void peer_answer(struct peer *peer, int32_t id, const char *const *fields,
                               const char *body, size_t size, const char *const *trailers,
                               bool open)
{
    nghttp2_nv list[32];
    size_t count = peer_fields(fields, list);
    nghttp2_data_provider provider = {.read_callback = peer_read};
    struct peer_stream *stream = peer_find(peer, id);
    stream->out = body;
    stream->out_size = size;
    stream->out_trailers = trailers;
    stream->out_open = open;
    nghttp2_submit_response(peer->ng, id, list, count, body ? &provider : NULL);
    peer_flush(peer);
}

/* More of a body that was left open. */
static inline void peer_more(struct peer *peer, int32_t id, const char *body, size_t size,
                             bool open)
{
    struct peer_stream *stream = peer_find(peer, id);
    stream->out = body;
    stream->out_size = size;
    stream->out_open = open;
    nghttp2_session_resume_data(peer->ng, id);
    peer_flush(peer);
}

#endif
