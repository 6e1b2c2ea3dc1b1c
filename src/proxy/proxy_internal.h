/* SPDX-License-Identifier: MIT */
/* The proxy's inside: for src/proxy/ only. docs/internals/proxy.md tells the idea.
 *
 * Everything here belongs to the proxy's thread. Other threads come in through ce_proxy_call()
 * alone, which runs a function on that thread between two rounds of events and waits for it; so
 * nothing below needs a lock.
 *
 * A closed connection's memory stays until the round of events ends, since a later event of that
 * round may name it: its descriptor is -1, and the event is passed over. */
#ifndef CE_PROXY_PROXY_INTERNAL_H
#define CE_PROXY_PROXY_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "proxy/http1.h"
#include "proxy/proxy.h"

enum {
    CE_BLOCK_SIZE = 16 * 1024,
    CE_BLOCKS_KEPT = 128,
    CE_RULES_MAX = 16, /* on one route */
    CE_COLLECT_MAX =
        16 * 1024 *
        1024,          /* a message beyond it passes through without the hooks that want its body */
    CE_POOL_MAX = 256, /* idle upstream connections of one route */
};

/* ---- buffer.c ---- */

/* Free blocks, so that the hot path does not ask malloc(). */
struct ce_blocks {
    char *blocks[CE_BLOCKS_KEPT];
    size_t count;
};
void ce_blocks_done(struct ce_blocks *blocks);

/* Contiguous bytes. Empty, it owns no memory: an idle connection costs no block. */
struct ce_buffer {
    char *data;
    size_t start, end, capacity;
};
static inline size_t ce_buffer_size(const struct ce_buffer *buffer)
{
    return buffer->end - buffer->start;
}
static inline char *ce_buffer_bytes(const struct ce_buffer *buffer)
{
    return buffer->data + buffer->start;
}
/* Makes room after the last byte, by moving the bytes or by growing up to `limit`. Returns the
 * room; 0: full, or no memory. */
size_t ce_buffer_room(struct ce_buffer *buffer, struct ce_blocks *blocks, size_t limit);
/* Appends a copy. 0 or -ENOMEM. */
int ce_buffer_append(struct ce_buffer *buffer, struct ce_blocks *blocks, const void *data,
                     size_t size);
/* Drops bytes at the front. */
void ce_buffer_drop(struct ce_buffer *buffer, struct ce_blocks *blocks, size_t size);
void ce_buffer_done(struct ce_buffer *buffer, struct ce_blocks *blocks);

/* ---- timer.c ---- */

struct ce_timer {
    int64_t at;
    size_t slot; /* place in the heap, from 1; 0 while not set */
};
/* A binary heap, the earliest first. */
struct ce_timers {
    struct ce_timer **heap;
    size_t count, capacity;
};
/* Sets or moves it. 0 or -ENOMEM. */
int ce_timer_set(struct ce_timers *timers, struct ce_timer *timer, int64_t at);
void ce_timer_clear(struct ce_timers *timers, struct ce_timer *timer);
/* The earliest, if its time has come: it is no longer set then. Else NULL. */
struct ce_timer *ce_timers_due(struct ce_timers *timers, int64_t now);

/* ---- conn.c ---- */

enum ce_conn_kind {
    CE_CONN_WAKE,
    CE_CONN_CLOCK,
    CE_CONN_LISTENER,
    CE_CONN_CLIENT,
    CE_CONN_UPSTREAM
};

/* Registered once with epoll, edge-triggered: `readable` and `writable` stay true until a call
 * finds otherwise. */
struct ce_conn {
    enum ce_conn_kind kind;
    int fd; /* -1: closed */
    bool readable, writable;
    bool ending;       /* an end of the stream follows the bytes */
    bool ended;        /* it was read */
    bool broken;       /* reset, or another error */
    bool write_failed; /* the peer reads no more; what it sent before may still be there to read */
    struct ce_buffer in;
    SLIST_ENTRY(ce_conn) dead;
};

/* Takes `fd` over, also when it fails. */
int ce_conn_open(struct ce_proxy *proxy, struct ce_conn *conn, enum ce_conn_kind kind, int fd);
void ce_conn_note(struct ce_conn *conn, unsigned events);
/* Reads once into `in`. The number of bytes, 0 when none are there now, -1 when none will come any
 * more or `in` may not grow. */
int ce_conn_read(struct ce_proxy *proxy, struct ce_conn *conn, size_t limit);
/* Writes what goes at once. The number of bytes, 0 when none go now, -1 when it failed. */
ssize_t ce_conn_write(struct ce_conn *conn, const char *data, size_t size);
/* Closes it; the struct is freed after the round. */
void ce_conn_close(struct ce_proxy *proxy, struct ce_conn *conn);

/* ---- message.c ---- */

/* Walks what has come of a body, from *at in the buffer on, and moves *at behind it. */
int ce_message_walk(struct ce_http_body *body, const struct ce_buffer *in, size_t *at,
                    struct ce_error *err);

/* Removes the hop-by-hop fields (RFC 9110, 7.6.1), and Expect if asked, from the head that starts
 * the buffer's bytes. All other bytes stay as they are; the buffer then starts with the new head.
 * Returns its size. Slices into the old head are void. */
size_t ce_message_strip(struct ce_buffer *buffer, const struct ce_http_head *head,
                        bool drop_expect);
/* The message anew, with another body: framed as it was, every other byte of the head as it was.
 * NULL: no memory. */
char *ce_message_reframe(const char *data, size_t head_size, bool is_request, const char *body,
                         size_t body_size, size_t *ret_size);

struct ce_answer {
    int status;
    const char *headers; /* extra lines, or NULL */
    const char *body;
    size_t body_size;
    bool to_head_request, close;
};
/* A response of the proxy's own. NULL: no memory. */
char *ce_message_answer(const struct ce_answer *answer, size_t *ret_size);

/* ---- hooks.c ---- */

struct ce_client;

struct ce_rule {
    TAILQ_ENTRY(ce_rule) link;
    struct ce_route *route;
    const struct ce_hook *hook;
    void *ctx;
    uint64_t serial;
    bool muted; /* accepted, but never in the chain: tests of verification ask for it */
};
TAILQ_HEAD(ce_rules, ce_rule);

/* What hooks are told about an exchange and what they decided. Made when a head arrives on a route
 * that has rules. */
struct ce_hooked {
    uint64_t serial; /* rules up to this one hold */
    bool is_probe;
    char *id, *method, *path;
    int64_t arrived; /* the head of the message that is dealt with */
    bool encoded;
    char *content_type;
    /* The request's body as sent upstream, once it was collected: owned, or NULL where it stands in
     * the client's buffer. */
    bool has_request_payload;
    char *request_payload;
    size_t request_payload_size;

    enum ce_action_kind kind;
    struct ce_rule *decider; /* NULL while it is PASS, and after that rule is gone */
    char *made;              /* the answer's bytes, or the new body */
    size_t made_size;
    bool replaced; /* `made` is a new body */
    struct {
        struct ce_rule *rule;
        int64_t delay_ns;
    } holds[CE_RULES_MAX];
    size_t hold_count;
};

/* NULL when memory is short. `head` is as it arrived. An empty `id`: the request's number stands
 * for it. */
struct ce_hooked *ce_hooked_new(const struct ce_route *route, const struct ce_http_head *head,
                                struct ce_slice id, bool is_probe);
void ce_hooked_free(struct ce_hooked *hooked); /* NULL is fine */
/* Notes what callbacks are told about the message with that head. 0 or -ENOMEM. */
int ce_hooked_note(struct ce_hooked *hooked, const struct ce_http_head *head);
/* Whether a rule that holds wants the request's, or the response's body. */
bool ce_hooked_wants_request(const struct ce_client *client);
bool ce_hooked_wants_response(const struct ce_client *client);
/* Runs the chain. `body` is NULL when it was not collected: then rules that want it are passed
 * over. */
void ce_hooked_request(struct ce_client *client, const struct ce_slice *body);
void ce_hooked_response(struct ce_client *client, int status, const struct ce_slice *body);
/* When the message may go on. INT64_MAX: never. */
int64_t ce_hooked_release(const struct ce_hooked *hooked);

/* ---- upstream.c ---- */

struct ce_upstream {
    struct ce_conn conn; /* first */
    struct ce_route *route;
    struct ce_client *client; /* NULL while idle in the pool */
    bool connecting, reused, keep_alive;
    size_t ready; /* bytes of `conn.in` that may go to the client */
    int64_t idle_since;
    LIST_ENTRY(ce_upstream) link; /* the pool's */
};

/* Gets the client a connection: a pooled one, or (also if `fresh`) a new one. Negative errno: it
 * cannot be had. */
int ce_upstream_take(struct ce_client *client, bool fresh, struct ce_error *err);
/* Ends the client's use of its connection: back to the pool if it may serve again, else closed. */
void ce_upstream_release(struct ce_client *client, bool reusable);
/* Finishes connecting. 1 when connected, 0 while under way, or a negative errno. */
int ce_upstream_connected(struct ce_upstream *upstream);
void ce_upstream_event(struct ce_upstream *upstream, unsigned events);
void ce_pool_close(struct ce_route *route);

/* ---- session.c: one exchange after the other on a client's connection ---- */

enum ce_stage {
    CE_STAGE_HEAD = 0,         /* waits for a request's head */
    CE_STAGE_COLLECT,          /* a hook wants the request's body */
    CE_STAGE_HELD,             /* a hook holds the request back */
    CE_STAGE_FORWARD,          /* the request goes upstream; waits for a response's head */
    CE_STAGE_RESPONSE_COLLECT, /* a hook wants the response's body */
    CE_STAGE_RESPONSE_HELD,    /* a hook holds the response back */
    CE_STAGE_RESPONSE,         /* the response goes to the client */
    CE_STAGE_ANSWER,           /* a response of the proxy's own does */
    CE_STAGE_DRAIN, /* all is said; waits for the client to close, so that it gets to read the last
                       of it */
};

enum ce_step { CE_WAIT, CE_GO };

struct ce_client {
    struct ce_conn conn; /* first */
    struct ce_route *route;
    struct ce_upstream *upstream;
    enum ce_stage stage;
    struct ce_timer timer;
    struct ce_buffer out; /* bytes of the proxy's own, due before those of the upstream */

    /* The request: `request_size` bytes at the start of `conn.in` are its head and what was walked
     * of its body, and `request_sent` of them are sent. They stay until the response is done or
     * room is needed, to be sent again if a pooled connection turns out to be stale. */
    size_t request_size, request_sent, request_head_size;
    char *request_made; /* sent instead of them, when a hook replaced the body */
    size_t request_made_size;
    struct ce_http_body request_body;
    enum ce_http_framing request_framing;
    bool keep_alive, is_head, idempotent, counted, awaits_continue;
    bool replayable, retried;

    struct ce_http_body response_body;
    enum ce_http_framing response_framing;
    size_t response_head_size;
    int response_status;

    int64_t progress; /* when the upstream was last heard, or first asked */
    struct ce_hooked *hooked;
    LIST_ENTRY(ce_client) link;   /* the route's */
    TAILQ_ENTRY(ce_client) again; /* the proxy's: has more to do, but others come first */
    bool is_again;
};

struct ce_client *ce_client_new(struct ce_route *route,
                                int fd); /* takes `fd` over; NULL when it failed */
/* Goes on as far as possible. */
void ce_client_run(struct ce_client *client);
void ce_client_timer(struct ce_timer *timer);
void ce_client_close(struct ce_client *client);
/* Closes it with a TCP reset. */
void ce_client_reset(struct ce_client *client);
/* Whether all of `out` is out. */
bool ce_client_flush(struct ce_client *client);
/* Whether the connection stays open after an answer that is given now. */
bool ce_client_keeps(struct ce_client *client);
/* GO when the hooks hold the message no longer. */
enum ce_step ce_client_hold(struct ce_client *client);
/* Answers with an error of the proxy's own: one sentence, ending in a newline. */
enum ce_step ce_client_fail(struct ce_client *client, int status, const char *fmt, ...)
    CE_PRINTF(3, 4);
/* Gives the answer to the client. Takes `data`, which may be NULL: no memory. */
enum ce_step ce_client_answer(struct ce_client *client, char *data, size_t size);
/* The response is out: on to the next request, or to the end. */
enum ce_step ce_client_finish(struct ce_client *client, bool upstream_reusable);

/* ---- request.c ---- */

enum ce_step ce_request_head(struct ce_client *client);
enum ce_step ce_request_collect(struct ce_client *client);
enum ce_step ce_request_held(struct ce_client *client);
enum ce_step ce_request_forward(struct ce_client *client);
/* Reads more of the body, without letting the buffer grow. 1, 0 when there is none now, or
 * negative: -EPROTO when it is malformed, -ECONNRESET when the client went away. */
int ce_request_read(struct ce_client *client);
/* Sends once, and reads once: 1 when something moved, 0, or negative as above. */
int ce_request_push(struct ce_client *client);
/* What is there to be sent upstream. */
struct ce_slice ce_request_rest(const struct ce_client *client);
bool ce_request_is_sent(const struct ce_client *client);
/* The payload of a chunked body as one piece. NULL: no memory. */
char *ce_dechunk(const char *data, size_t size, size_t *ret_size);

/* ---- response.c ---- */

/* Waits for the response's head. */
enum ce_step ce_response_begin(struct ce_client *client);
enum ce_step ce_response_collect(struct ce_client *client);
enum ce_step ce_response_held(struct ce_client *client);
enum ce_step ce_response_stream(struct ce_client *client);

/* ---- route.c ---- */

struct ce_route {
    struct ce_proxy *proxy;
    char *name, *id_header;
    struct ce_endpoint listen, upstream;
    int64_t timeout_ns;
    struct ce_listener *listener; /* NULL while it is closed */
    int held; /* bound but not listening, so that nobody takes the port meanwhile; else -1 */
    struct ce_rules rules;
    size_t rule_count;
    uint64_t serial; /* of the rule armed last */
    struct ce_route_counts counts;
    LIST_HEAD(, ce_client) clients;
    LIST_HEAD(, ce_upstream) pool;
    size_t pool_size;
    SLIST_ENTRY(ce_route) link;
};

struct ce_listener {
    struct ce_conn conn; /* first */
    struct ce_route *route;
};

void ce_route_accept(struct ce_route *route);
void ce_route_free(struct ce_route *route);

/* ---- proxy.c ---- */

struct ce_call;

struct ce_proxy {
    pthread_t thread;
    int epoll, spare; /* spare: given up to accept and refuse a client when descriptors run out */
    struct ce_conn wake, clock;
    int64_t now;   /* when this round of events began */
    int64_t armed; /* what the clock is set to; 0: nothing */
    struct ce_timers timers;
    struct ce_blocks blocks;
    SLIST_HEAD(, ce_route) routes;
    SLIST_HEAD(, ce_conn) dead;
    TAILQ_HEAD(ce_client_queue, ce_client) again;
    bool stopping;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t called;
    STAILQ_HEAD(, ce_call) calls;
};

/* Runs `function` on the proxy's thread and returns its result. */
int ce_proxy_call(struct ce_proxy *proxy, int (*function)(void *arg), void *arg);

#endif
