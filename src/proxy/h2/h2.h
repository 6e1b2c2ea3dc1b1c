/* SPDX-License-Identifier: MIT */
/* HTTP/2 in the proxy: for src/proxy/ only. docs/internals/proxy.md tells the idea.
 *
 * A connection is a session (session.h) and a socket. A stream of a client is an exchange, which
 * opens a stream of its own on one of the connections to its target. Sessions that have something
 * to do stand in their worker's queue; ce_h2_run() goes through it at the end of a round of events,
 * so nothing here is ever entered from within itself. */
#ifndef CE_PROXY_H2_H2_H
#define CE_PROXY_H2_H2_H

#include "proxy/h2/grpc.h"
#include "proxy/h2/session.h"

/* A socket. It may go before its connection does, and another one take its place. */
struct ce_h2_link {
    struct ce_conn conn;      /* first */
    struct ce_h2_conn *owner; /* NULL: it is closed */
};

struct ce_h2_conn {
    struct ce_h2_session session; /* first */
    struct ce_lane *lane;
    struct ce_h2_link *link;      /* NULL while there is none */
    LIST_ENTRY(ce_h2_conn) entry; /* the lane's, or the target's */
    struct ce_timer timer;

    /* A client's. */
    uint64_t number; /* on the route */
    LIST_HEAD(, ce_h2_exchange) exchanges;
    int64_t progress; /* when its last exchange ended */
    bool leaving;     /* all is said; waits for the client to close, so that it gets to read it */

    /* To an upstream. */
    struct ce_target *target; /* NULL: a client's */
    size_t tried;             /* addresses that refused */
    bool connecting;
    bool asked, asking; /* to look the target's name up */
};

/* ---- conn.c ---- */

/* Takes the client's socket over, with what was read from it. 0 or a negative errno: then it is
 * still the caller's. */
int ce_h2_client_start(struct ce_lane *lane, struct ce_conn *conn, uint64_t number);
void ce_h2_client_close(struct ce_h2_conn *conn);
/* Closes it with a TCP reset. */
void ce_h2_client_reset(struct ce_h2_conn *conn);
/* Takes no more requests, and closes when those under way are done. */
void ce_h2_client_drain(struct ce_h2_conn *conn);
/* Closes the connection's socket, if it has one. */
void ce_h2_link_close(struct ce_h2_conn *conn);
void ce_h2_event(struct ce_conn *conn, unsigned events);
/* Goes on with the sessions that have something to do. */
void ce_h2_run(struct ce_worker *worker);

/* ---- upstream.c ---- */

/* A connection to the target that has room for one more stream, or the one that has the most. NULL:
 * none can be had, and `err` says why. */
struct ce_h2_conn *ce_h2_upstream_take(struct ce_target *target, struct ce_error *err);
/* The look-up of the target's name is done. */
void ce_h2_upstream_found(struct ce_target *target, int result);
/* Closes it; its exchanges are told the reason, an errno, or 0: it was there. */
void ce_h2_upstream_close(struct ce_h2_conn *conn, int reason);
/* Whether it is connected, which goes on with connecting. */
bool ce_h2_upstream_connected(struct ce_h2_conn *conn);
/* Takes no more streams to those that there are; they close when those under way are done. */
void ce_h2_upstreams_drain(struct ce_target *target);
/* When the proxy ends. */
void ce_h2_upstreams_done(struct ce_target *target);

/* ---- exchange.c: the way of a request ---- */

enum ce_h2_stage {
    CE_H2_HEAD = 0,         /* waits for the request's head */
    CE_H2_COLLECT,          /* a hook wants the request's body */
    CE_H2_HELD,             /* a hook holds the request back */
    CE_H2_FORWARD,          /* an upstream is to be asked */
    CE_H2_AWAIT,            /* the request goes upstream; waits for the response's head */
    CE_H2_RESPONSE_COLLECT, /* a hook wants the response's body, or its status */
    CE_H2_RESPONSE_HELD,    /* a hook holds the response back */
    CE_H2_RESPONSE,         /* the response goes to the client */
    CE_H2_OVER,             /* an answer of the proxy's own, or a reset, does */
};

struct ce_h2_exchange {
    struct ce_h2_stream down, up; /* the client's; the one to the upstream */
    /* What goes upstream, or to the client, in the place of what came. */
    struct ce_h2_pipe request, response;
    struct ce_h2_conn *client;
    enum ce_h2_stage stage;
    struct ce_timer timer;
    struct ce_hooked *hooked;
    bool is_grpc, is_head, counted, done;
    bool streams;       /* a gRPC call of more than one message, or that looks like one */
    int64_t heard;      /* when the last byte of a body that is collected came */
    size_t heard_size;  /* how many there were of them then */
    int64_t progress;   /* when the upstream was last heard, or took something */
    int lost;           /* why its connection is gone, an errno; 0: it was closed */
    char *request_body; /* as sent upstream, where a hook wants to see it with the response */
    size_t request_body_size;
    bool has_request_body;
    bool slowed;          /* the response's body goes out slower than it could */
    int64_t begun;        /* to be sent */
    uint64_t length, due; /* of it, 0: unknown; how much of it may be out */
    LIST_ENTRY(ce_h2_exchange) entry;
};

/* A new stream of a client's. NULL: no memory. */
struct ce_h2_stream *ce_h2_exchange_new(struct ce_h2_session *session);
/* Goes on as far as possible. It may end it. */
void ce_h2_exchange_run(struct ce_h2_exchange *exchange);
void ce_h2_exchange_end(struct ce_h2_exchange *exchange);
/* Sees to it that the timer fires at that time or before. */
void ce_h2_exchange_alarm(struct ce_h2_exchange *exchange, int64_t at);
/* GO when the hooks hold the message no longer. */
enum ce_step ce_h2_exchange_hold(struct ce_h2_exchange *exchange);
/* Does what is due when the upstream is silent for too long. */
enum ce_step ce_h2_exchange_patience(struct ce_h2_exchange *exchange);
/* The upstream's stream is closed, and the response is not whole. */
enum ce_step ce_h2_exchange_lost(struct ce_h2_exchange *exchange);
static inline struct ce_lane *ce_h2_lane(const struct ce_h2_exchange *exchange)
{
    return exchange->client->lane;
}
static inline struct ce_blocks *ce_h2_blocks(const struct ce_h2_exchange *exchange)
{
    return &exchange->client->lane->worker->blocks;
}

/* ---- body.c: what of a message's data is its body ---- */

enum ce_h2_collected { CE_H2_WAITS, CE_H2_WHOLE, CE_H2_UNSEEN };
struct ce_h2_body {
    struct ce_slice slice;
    bool encoded;
    bool is_message; /* it stands behind a gRPC prefix */
};
/* Whether the stream's body is there. CE_H2_UNSEEN: it is too large, or one of a call that streams;
 * it goes on unseen. */
enum ce_h2_collected ce_h2_collect(struct ce_h2_exchange *exchange, struct ce_h2_stream *stream,
                                   struct ce_h2_body *ret_body);
/* Puts the decision's new body into the pipe, framed as the one that the stream has received, whose
 * trailers it takes over. 1; 0: a call without a message cannot be given one; or negative. */
int ce_h2_replace(struct ce_h2_exchange *exchange, struct ce_h2_stream *stream,
                  struct ce_h2_pipe *pipe);
/* Gives fields the values that hooks want. 0 or negative. */
int ce_h2_edit(const struct ce_hooked *hooked, struct ce_h2_fields *fields);

/* ---- response.c ---- */

/* The response's head has come. */
enum ce_step ce_h2_response_begin(struct ce_h2_exchange *exchange);
enum ce_step ce_h2_response_collect(struct ce_h2_exchange *exchange);
enum ce_step ce_h2_response_held(struct ce_h2_exchange *exchange);
enum ce_step ce_h2_response_stream(struct ce_h2_exchange *exchange);

/* ---- answer.c: what the proxy says itself ---- */

/* For gRPC calls a status in the place of the HTTP one. */
enum ce_step ce_h2_answer(struct ce_h2_exchange *exchange, int status, const char *headers,
                          struct ce_slice body);
/* One sentence, ending in a newline. The upstream is heard no more. */
enum ce_step ce_h2_fail(struct ce_h2_exchange *exchange, int status, const char *fmt, ...)
    CE_PRINTF(3, 4);
/* Resets the client's stream. */
enum ce_step ce_h2_reset(struct ce_h2_exchange *exchange, uint32_t code);
/* Says which rules did something. 0 or negative. */
int ce_h2_mark(const struct ce_h2_exchange *exchange, struct ce_h2_fields *fields);

#endif
