/* SPDX-License-Identifier: MIT */
/* One side of an HTTP/2 connection without its socket: bytes in, bytes out. Frames, compression of
 * fields and the states of streams are nghttp2's; this is what the proxy needs on top of it.
 *
 * - Nothing is called back but `accept`. What happens to a stream is noted in it, and it is put on
 * a list of touched ones, which the owner goes through after each ce_h2_session_feed() or _fill().
 * - Data flows through pipes. A stream that receives fills its own one; a stream that sends empties
 *   the one that it was given, which may be another stream's. The window of the sender is opened
 *   only as bytes leave the pipe: that is all the back-pressure there is, and all that is needed.
 * - The window of a connection is as large as those of all its streams together, so that a stream
 *   that stands still never holds up another one. */
#ifndef CE_PROXY_H2_SESSION_H
#define CE_PROXY_H2_SESSION_H

#include "proxy/h2/fields.h"
#include "proxy/proxy_internal.h"

enum {
    CE_H2_STREAMS_MAX = 256,
    CE_H2_STREAM_WINDOW = 64 * 1024,
    CE_H2_CONNECTION_WINDOW = CE_H2_STREAMS_MAX * CE_H2_STREAM_WINDOW,
    CE_H2_RESETS_MAX = 1000,                /* by a client, within a second */
    CE_H2_COLLECTED_MAX = 64 * 1024 * 1024, /* in the pipes of one session, beyond the windows */
};

struct ce_h2_session;
struct ce_h2_stream;

/* Bytes between the stream that they are received on and the one that they are sent on. */
struct ce_h2_pipe {
    struct ce_buffer bytes;
    size_t limit; /* so many of them, and of those that come, may be sent; SIZE_MAX: all */
    bool ended;   /* nothing more comes */
    bool endless; /* its end is not passed on: a reset is to follow */
    struct ce_h2_fields trailers;
    struct ce_h2_stream *source; /* NULL for bytes of the proxy's own */
    size_t owed;    /* bytes, the last ones, that the source's window was not opened for yet */
    size_t counted; /* the others, as they stand in the session's `collected` */
    bool eager;     /* the window is opened for all that comes */
    bool discarding;
};

struct ce_h2_stream {
    struct ce_h2_session *session; /* NULL: it has none, or none any more */
    int32_t id;
    struct ce_h2_fields head;    /* received */
    struct ce_h2_fields interim; /* the last 1xx response, until the owner takes it */
    bool has_head, has_interim;
    bool oversized;       /* more fields than CE_H2_FIELDS_MAX */
    bool ended;           /* received to its end */
    bool head_sent, sent; /* its response's head; to its end */
    bool closed;
    uint32_t code; /* closed: with that error */
    struct ce_h2_pipe in;
    struct ce_h2_pipe *out; /* what is sent; NULL: nothing, or only a head */
    bool touched;
    TAILQ_ENTRY(ce_h2_stream) touched_link;
    LIST_ENTRY(ce_h2_stream) link;
};

TAILQ_HEAD(ce_h2_streams, ce_h2_stream);

struct ce_h2_session {
    nghttp2_session *ng;
    struct ce_h2_queue *queue; /* it is put there when there is something to do about it */
    struct ce_blocks *blocks;
    /* The peer has opened a stream: returns what is to stand for it, zeroed, or NULL: refused. */
    struct ce_h2_stream *(*accept)(struct ce_h2_session *session);
    struct ce_buffer out; /* bytes for the peer */
    LIST_HEAD(, ce_h2_stream) streams;
    size_t stream_count;
    struct ce_h2_streams touched;
    size_t collected; /* bytes in pipes that the window was opened for */
    bool going_away;  /* the peer takes no more streams */
    bool queued;
    int64_t now, second; /* of the last feed; when the count of resets began */
    unsigned resets;
    TAILQ_ENTRY(ce_h2_session) queue_link;
};

/* `accept` is NULL for a client's side. 0 or -ENOMEM: then there is nothing to close. */
int ce_h2_session_open(struct ce_h2_session *session, struct ce_h2_queue *queue,
                       struct ce_blocks *blocks,
                       struct ce_h2_stream *(*accept)(struct ce_h2_session *session));
/* Closes one of its streams, which keeps what it has received, and returns it. NULL: it has none.
 */
struct ce_h2_stream *ce_h2_session_detach(struct ce_h2_session *session);
/* Its streams are closed likewise. */
void ce_h2_session_close(struct ce_h2_session *session);
/* Puts it into its queue. */
void ce_h2_session_wake(struct ce_h2_session *session);
/* What has come from the peer. Negative: the connection is of no more use. */
int ce_h2_session_feed(struct ce_h2_session *session, const void *data, size_t size, int64_t now);
/* Moves frames into `out`, until it holds enough. Likewise. */
int ce_h2_session_fill(struct ce_h2_session *session);
/* Whether there is nothing more to be read, nor to be written. */
bool ce_h2_session_is_done(const struct ce_h2_session *session);
/* Takes the next stream that something happened to, or NULL. */
struct ce_h2_stream *ce_h2_session_touched(struct ce_h2_session *session);
/* Asks for no more streams; those that are there go on to their ends. */
void ce_h2_session_drain(struct ce_h2_session *session);
/* Whether the peer takes one more stream now. */
bool ce_h2_session_has_room(const struct ce_h2_session *session);

/* Resets the stream if it is not closed, and forgets it with all that it holds. One that was never
 * put to use is fine. */
void ce_h2_stream_done(struct ce_h2_stream *stream, struct ce_blocks *blocks, uint32_t code);
/* Opens a stream with a request. `stream` is zeroed. `out` is NULL when it has no body. 0 or a
 * negative errno. */
int ce_h2_stream_request(struct ce_h2_session *session, struct ce_h2_stream *stream,
                         const struct ce_h2_fields *head, struct ce_h2_pipe *out);
int ce_h2_stream_respond(struct ce_h2_stream *stream, const struct ce_h2_fields *head,
                         struct ce_h2_pipe *out);
/* An interim response. */
int ce_h2_stream_inform(struct ce_h2_stream *stream, const struct ce_h2_fields *head);
/* There is more in its `out`. */
void ce_h2_stream_wake(struct ce_h2_stream *stream);
void ce_h2_stream_reset(struct ce_h2_stream *stream, uint32_t code);

/* Appends bytes of the proxy's own. 0 or -ENOMEM. */
int ce_h2_pipe_put(struct ce_h2_pipe *pipe, struct ce_blocks *blocks, const void *data,
                   size_t size);
/* Whether the window is opened for all that is there and comes, or only for what leaves. */
void ce_h2_pipe_collect(struct ce_h2_pipe *pipe, bool eager);
/* Drops what is there and all that comes. */
void ce_h2_pipe_discard(struct ce_h2_pipe *pipe, struct ce_blocks *blocks);

#endif
