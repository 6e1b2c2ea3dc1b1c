/* SPDX-License-Identifier: MIT */
/* Any bytes as a client's, fed to a session that echoes what its streams receive. The first byte
 * says into what pieces they are cut, the second how much of the answers goes out between two of
 * them.
 *
 * Beside crashes: what waits for the client, or was taken from it, has its bounds, and nothing is
 * left when the session is closed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/h2/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A stream, and what is said about it. */
struct echo {
    struct ce_h2_stream stream; /* first */
    struct ce_h2_fields head;
    bool answered;
};

static void demand(bool condition)
{
    if (!condition)
        abort();
}

static struct ce_h2_stream *accept_stream(struct ce_h2_session *session)
{
    demand(session->stream_count <= CE_H2_STREAMS_MAX);
    struct echo *echo = calloc(1, sizeof *echo);
    return echo ? &echo->stream : NULL;
}

static void end(struct echo *echo, struct ce_blocks *blocks)
{
    ce_h2_stream_done(&echo->stream, blocks, NGHTTP2_CANCEL);
    ce_h2_fields_done(&echo->head);
    free(echo);
}

static void answer(struct echo *echo)
{
    struct ce_slice path = ce_h2_fields_find(&echo->stream.head, ":path");
    struct ce_slice lines = ce_h2_fields_lines(&echo->stream.head);
    demand(lines.size <= echo->stream.head.size);
    demand(echo->stream.head.cost <= CE_H2_FIELDS_MAX || echo->stream.oversized);
    (void)ce_h2_fields_add_text(&echo->head, ":status", "200");
    (void)ce_h2_fields_add(&echo->head, ce_slice_of("x-path"), path, false);
    (void)ce_h2_fields_set(&echo->head, "X-Path", ce_slice_of(path.size > 3 ? "long" : "a"));
    (void)ce_h2_stream_respond(&echo->stream, &echo->head, &echo->stream.in);
    echo->answered = true;
}

static void run_touched(struct ce_h2_session *session, struct ce_blocks *blocks)
{
    struct ce_h2_stream *stream;
    while ((stream = ce_h2_session_touched(session))) {
        struct echo *echo = (struct echo *)stream;
        demand(ce_buffer_size(&stream->in.bytes) <= CE_H2_STREAM_WINDOW);
        if (stream->closed) {
            end(echo, blocks);
            continue;
        }
        if (stream->has_head && !echo->answered)
            answer(echo);
        if (stream->oversized)
            ce_h2_stream_reset(stream, NGHTTP2_ENHANCE_YOUR_CALM);
        ce_h2_stream_wake(stream);
    }
}

static int step(struct ce_h2_session *session, const uint8_t *data, size_t size, size_t sends,
                int64_t now)
{
    int r = ce_h2_session_feed(session, data, size, now);
    run_touched(session, session->blocks);
    if (r >= 0)
        r = ce_h2_session_fill(session);
    run_touched(session, session->blocks);
    demand(ce_buffer_size(&session->out) <= 128 * 1024 && session->collected == 0);
    size_t out = ce_buffer_size(&session->out);
    ce_buffer_drop(&session->out, session->blocks, out < sends ? out : sends);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t piece = data[0] + 1u, sends = data[1] * 256u;
    struct ce_blocks blocks = {0};
    struct ce_h2_queue queue = TAILQ_HEAD_INITIALIZER(queue);
    struct ce_h2_session session;
    if (ce_h2_session_open(&session, &queue, &blocks, accept_stream) < 0)
        return 0;
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    int r = step(&session, (const uint8_t *)preface, sizeof preface, sends, 0);
    for (size_t at = 2; r >= 0 && at < size; at += piece)
        r = step(&session, data + at, size - at < piece ? size - at : piece, sends, (int64_t)at);
    for (struct ce_h2_stream *stream; (stream = ce_h2_session_detach(&session));)
        end((struct echo *)stream, &blocks);
    ce_h2_session_close(&session);
    demand(TAILQ_EMPTY(&queue));
    ce_blocks_done(&blocks);
    return 0;
}
