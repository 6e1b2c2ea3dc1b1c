/* SPDX-License-Identifier: MIT */
/* The proxy's inside: for src/proxy/ only. docs/internals/proxy.md tells the idea.
 *
 * A proxy has workers, each of them a thread with all that it needs. A route has a lane on each of
 * them; a client's connection stays on the lane that it was given to. What belongs to a worker, its
 * lanes included, is touched by its thread alone. Other threads come in through ce_worker_call(),
 * which runs a function on that thread between two rounds of events; so almost nothing below needs
 * a lock.
 *
 * A closed connection's memory stays until the round of events ends, since a later event of that
 * round may name it: its descriptor is -1, and the event is passed over. */
#ifndef CE_PROXY_PROXY_INTERNAL_H
#define CE_PROXY_PROXY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "net/http1.h"
#include "net/tls.h"
#include "proxy/hooks.h"

enum {
    CE_BLOCK_SIZE = 16 * 1024,
    CE_BLOCKS_KEPT = 128,
    CE_COLLECT_MAX =
        16 * 1024 *
        1024,          /* a message beyond it passes through without the hooks that want its body */
    CE_POOL_MAX = 256, /* idle connections of one lane to one upstream */
    CE_LINE = 64,      /* what one thread writes all the time shares no cache line with others */
};

struct ce_client;
struct ce_h2_conn;
struct ce_lane;
struct ce_worker;

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
/* Puts `data` in the place of `size` bytes, from `at` on. 0 or -ENOMEM. */
int ce_buffer_splice(struct ce_buffer *buffer, size_t at, size_t size, const char *data,
                     size_t data_size);
/* Drops bytes at the front. */
void ce_buffer_drop(struct ce_buffer *buffer, struct ce_blocks *blocks, size_t size);
void ce_buffer_done(struct ce_buffer *buffer, struct ce_blocks *blocks);

/* ---- timer.c ---- */

struct ce_timer {
    int64_t at;
    size_t slot; /* place in the heap, from 1; 0 while not set */
    void (*fire)(struct ce_timer *timer);
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
    CE_CONN_UPSTREAM,
    CE_CONN_H2,
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
    bool shut;         /* its own side was ended, by ce_conn_shut() */
    bool write_failed; /* the peer reads no more; what it sent before may still be there to read */
    struct ce_buffer in;
    struct ce_tls_link *tls; /* NULL: what is read and written goes as it is */
    SLIST_ENTRY(ce_conn) dead;
};

/* Takes `fd` over, also when it fails. */
int ce_conn_open(struct ce_worker *worker, struct ce_conn *conn, enum ce_conn_kind kind, int fd);
/* Speaks TLS on it from now on, and inside what `speaks` says; it begins with a handshake. 0 or
 * -ENOMEM. */
int ce_conn_secure(struct ce_conn *conn, struct ce_tls *tls, const char *speaks);
/* Speaks it no longer. */
void ce_conn_bare(struct ce_conn *conn);
/* As ce_tls_handshake(). */
int ce_conn_handshake(struct ce_conn *conn, struct ce_error *err);
/* Goes on with connecting, the handshake included. 1: done; 0: under way; or negative, which `err`
 * explains. */
int ce_conn_connect(struct ce_conn *conn, struct ce_error *err);
void ce_conn_note(struct ce_conn *conn, unsigned events);
/* Reads once into `in`. The number of bytes, 0 when none are there now, -1 when none will come any
 * more or `in` may not grow. */
int ce_conn_read(struct ce_worker *worker, struct ce_conn *conn, size_t limit);
/* Writes what goes at once. The number of bytes, 0 when none go now, -1 when it failed. */
ssize_t ce_conn_write(struct ce_conn *conn, const char *data, size_t size);
/* Ends the sending side; the peer may go on. 1; 0: not yet, again when it is writable; or negative:
 * it cannot be ended. */
int ce_conn_shut(struct ce_conn *conn);
/* Makes another struct of it, which takes its bytes and its socket along. What is left may only be
 * closed. 0 or a negative errno. */
int ce_conn_move(struct ce_worker *worker, struct ce_conn *conn, struct ce_conn *to,
                 enum ce_conn_kind kind);
/* Closes it; the struct is freed after the round. */
void ce_conn_close(struct ce_worker *worker, struct ce_conn *conn);

/* ---- message.c ---- */

/* Walks what has come of a body, from *at in the buffer on, and moves *at behind it. */
int ce_message_walk(struct ce_http_body *body, const struct ce_buffer *in, size_t *at,
                    struct ce_error *err);

enum {
    CE_STRIP_EXPECT = 1,     /* Expect as well */
    CE_STRIP_NO_UPGRADE = 2, /* not Upgrade, and not the Connection field that names it */
};
/* Removes the hop-by-hop fields (RFC 9110, 7.6.1) from the head that starts the buffer's bytes. All
 * other bytes stay as they are; the buffer then starts with the new head. Returns its size. Slices
 * into the old head are void. */
size_t ce_message_strip(struct ce_buffer *buffer, const struct ce_http_head *head, unsigned how);

/* The lines of a head's fields. */
struct ce_slice ce_message_fields(const char *head, size_t size);
/* Edits of the head that starts the buffer's bytes, and that was parsed before. All other bytes
 * stay as they are. *head_size is that of the new head. 0 or -ENOMEM. */
int ce_message_set_target(struct ce_buffer *in, size_t *head_size, const char *target);
/* Another value for the first field of that name, or such a field behind all others. */
int ce_message_set_field(struct ce_buffer *in, size_t *head_size, const char *name,
                         const char *value);
int ce_message_add_field(struct ce_buffer *in, size_t *head_size, const char *name,
                         const char *value);
/* Another value for all fields of that name that there are. */
int ce_message_replace_fields(struct ce_buffer *in, size_t *head_size, const char *name,
                              const char *value);
/* Leaves nothing in the Connection field but "Upgrade". */
int ce_message_only_upgrade(struct ce_buffer *in, size_t *head_size);
#define CE_MARK_FIELD "X-Chaos-Fault"

/* The message anew, with another body: framed as it was, every other byte of the head as it was.
 * NULL: no memory. */
char *ce_message_reframe(const char *data, size_t head_size, bool is_request, const char *body,
                         size_t body_size, size_t *ret_size);

struct ce_answer {
    int status;
    const char *headers; /* extra lines, or NULL */
    const char *body;
    size_t body_size;
    const char *mark; /* the value of X-Chaos-Fault; NULL or "": none */
    bool to_head_request, close;
};
/* A response of the proxy's own. NULL: no memory. */
char *ce_message_answer(const struct ce_answer *answer, size_t *ret_size);

/* ---- target.c: an upstream, as a lane knows it ---- */

struct ce_target {
    struct ce_lane *lane;
    struct ce_endpoint endpoint;
    struct ce_addresses addresses; /* none: its name was not looked up yet */
    size_t first;                  /* the address that was connected to last: it is tried first */
    int64_t asked;                 /* when its name was looked up last */
    bool asking;                   /* a look-up is under way */
    char refusal[256]; /* why one of its addresses was of no use, if TLS can say it; else "" */
    LIST_HEAD(, ce_upstream) pool;
    size_t pool_size;
    LIST_HEAD(, ce_h2_conn) h2;
    size_t h2_count;
    SLIST_ENTRY(ce_target) link;
};

void ce_target_init(struct ce_target *target, struct ce_lane *lane,
                    const struct ce_endpoint *endpoint);
/* The lane's target of that endpoint: the route's own upstream, or another one, which is added if
 * need be and stays with the lane. NULL: no memory. */
struct ce_target *ce_target_find(struct ce_lane *lane, const struct ce_endpoint *endpoint);
/* Goes on with connecting to one of its addresses: as ce_conn_connect(), and notes a refusal. */
int ce_target_connect(struct ce_target *target, struct ce_conn *conn);
/* Why it cannot be connected to. */
const char *ce_target_refusal(const struct ce_target *target, int code);
/* Has its name looked up; ce_request_found() follows for all clients that wait for it. False: it
 * has none, or was looked up just now. */
bool ce_target_ask(struct ce_target *target);
/* Closes the idle connections to all but the route's own upstream. */
void ce_pool_close_others(struct ce_lane *lane);
void ce_targets_done(struct ce_lane *lane);

struct ce_resolver *ce_resolver_new(void);
/* Nothing is heard of it any more when this returns. */
void ce_resolver_stop(struct ce_resolver *resolver);

/* ---- upstream.c ---- */

struct ce_upstream {
    struct ce_conn conn; /* first */
    struct ce_target *target;
    size_t address;           /* which of the target's */
    struct ce_client *client; /* NULL while idle in the pool */
    bool connecting, reused, keep_alive;
    size_t ready; /* bytes of `conn.in` that may go to the client */
    int64_t idle_since;
    LIST_ENTRY(ce_upstream) link; /* the pool's */
};

/* Gets the client a connection to its target: a pooled one, or (also if `fresh`) a new one, to the
 * address that comes after those that it tried. Negative errno: it cannot be had. */
int ce_upstream_take(struct ce_client *client, bool fresh, struct ce_error *err);
/* Ends the client's use of its connection: back to the pool if it may serve again, else closed. */
void ce_upstream_release(struct ce_client *client, bool reusable);
/* Finishes connecting. 1 when connected, 0 while under way, or a negative errno. */
int ce_upstream_connected(struct ce_upstream *upstream);
void ce_upstream_event(struct ce_upstream *upstream, unsigned events);
void ce_pool_close(struct ce_target *target);

/* ---- session.c: one exchange after the other on a client's connection ---- */

enum ce_stage {
    CE_STAGE_HEAD = 0,         /* waits for a request's head */
    CE_STAGE_COLLECT,          /* a hook wants the request's body */
    CE_STAGE_HELD,             /* a hook holds the request back */
    CE_STAGE_FORWARD,          /* the request goes upstream; waits for a response's head */
    CE_STAGE_RESPONSE_COLLECT, /* a hook wants the response's body */
    CE_STAGE_RESPONSE_HELD,    /* a hook holds the response back */
    CE_STAGE_RESPONSE,         /* the response goes to the client */
    CE_STAGE_CUT,              /* all of it that the client is to get is out: a reset follows */
    CE_STAGE_TUNNEL,           /* bytes go both ways */
    CE_STAGE_ANSWER,           /* a response of the proxy's own goes to the client */
    CE_STAGE_DRAIN, /* all is said; waits for the client to close, so that it gets to read the last
                       of it */
    CE_STAGE_HANDSHAKE, /* that of TLS, before all others */
};

enum ce_step { CE_WAIT, CE_GO };

struct ce_client {
    struct ce_conn conn; /* first */
    struct ce_lane *lane;
    uint64_t connection;      /* its number on the route */
    uint64_t number;          /* of the request on the route; 0: a probe */
    struct ce_target *target; /* that of the request */
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
    /* Its body as it was sent on, once it was collected for a hook: owned, or NULL where it stands
     * behind its head in `conn.in`. */
    char *request_payload;
    size_t request_payload_size;
    bool has_request_payload;
    struct ce_http_body request_body;
    enum ce_http_framing request_framing;
    bool keep_alive, is_head, idempotent, counted, awaits_continue;
    bool is_connect, upgrades; /* what is answered with 2xx, or with 101, begins a tunnel */
    bool replayable, retried;
    bool asked, waits_for_name; /* a look-up of the target's name: once for each request */
    size_t tried;               /* addresses of the target that refused */

    struct ce_http_body response_body;
    enum ce_http_framing response_framing;
    size_t response_head_size;
    int response_status;
    uint64_t response_length; /* CE_HTTP_LENGTH: of its body */
    uint64_t response_sent;
    int64_t response_begun; /* when its first byte could go to the client */

    /* When the upstream was last heard, or first asked; when a head's first byte came, or the last
     * ones of a body that is waited for; since when it is idle. */
    int64_t progress;
    struct ce_hooked *hooked;
    LIST_ENTRY(ce_client) link;   /* the lane's */
    TAILQ_ENTRY(ce_client) again; /* the worker's: has more to do, but others come first */
    bool is_again;
};

/* Any thread; NULL: no memory. */
struct ce_client *ce_client_new(struct ce_lane *lane, int fd, uint64_t connection);
/* Takes the client, and its descriptor, over: on its lane's thread. */
int ce_client_start(void *client);
/* Goes on as far as possible. */
void ce_client_run(struct ce_client *client);
/* Closes it, unless it is in an exchange: then that is its last one. Its worker is draining. */
void ce_client_retire(struct ce_client *client);
/* Sees to it that the timer fires at that time or before. Whoever is woken too early looks at
 * `progress` and goes back to sleep: so that the hot path seldom moves a timer. */
void ce_client_alarm(struct ce_client *client, int64_t at);
/* For how long nothing may come of what the exchange waits for; and an alarm for that. */
int64_t ce_client_patience(const struct ce_client *client);
void ce_client_watch(struct ce_client *client);
void ce_client_close(struct ce_client *client);
/* Closes it with a TCP reset. */
void ce_client_reset(struct ce_client *client);
/* It has chosen HTTP/2, by its first bytes or by ALPN: that is another kind of client. */
void ce_client_change(struct ce_client *client);
/* Forgets what is kept of the exchange, the hooks' part included. */
void ce_client_forget(struct ce_client *client);
/* Closes it so that the client gets to read the last answer. */
enum ce_step ce_client_leave(struct ce_client *client);
/* Whether all of `out` is out. */
bool ce_client_flush(struct ce_client *client);
/* GO when the hooks hold the message no longer. */
enum ce_step ce_client_hold(struct ce_client *client);
/* Carries out what hooks decided: the answer; NULL or the text for X-Chaos-Fault; letting go. */
enum ce_step ce_client_answer_hooked(struct ce_client *client);
const char *ce_client_mark(const struct ce_client *client, char text[CE_ACTED_TEXT]);
void ce_client_let_go(struct ce_hooked *hooked, bool hung);
/* Answers with an error of the proxy's own: one sentence, ending in a newline. */
enum ce_step ce_client_fail(struct ce_client *client, int status, const char *fmt, ...)
    CE_PRINTF(3, 4);
/* The response is out: on to the next request, or to the end. */
enum ce_step ce_client_finish(struct ce_client *client, bool upstream_reusable);

/* ---- handshake.c ---- */

/* A new client is to speak TLS. 0 or -ENOMEM. */
int ce_handshake_begin(struct ce_client *client);
enum ce_step ce_handshake_run(struct ce_client *client);
/* It may take too long. */
void ce_handshake_timer(struct ce_client *client);

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
/* The connection cannot be had: on to the next address, or an answer. */
enum ce_step ce_request_refused(struct ce_client *client, int code);
/* The look-up that the request waited for is done. */
void ce_request_found(struct ce_client *client, int result, const struct ce_error *err);
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
/* Whether the response goes out slower than it could. */
bool ce_response_is_slowed(const struct ce_client *client);
enum ce_step ce_response_cut(struct ce_client *client);

/* ---- tunnel.c ---- */

/* The upstream has agreed: what the two connections carry is none of the proxy's business. */
enum ce_step ce_tunnel_begin(struct ce_client *client);
enum ce_step ce_tunnel_run(struct ce_client *client);

/* ---- route.c ---- */

/* A route's part on one worker. */
struct ce_lane {
    _Alignas(CE_LINE) struct ce_worker *worker;
    struct ce_route *route;
    struct ce_chain chain;
    struct ce_route_counts counts;
    LIST_HEAD(, ce_client) clients;
    LIST_HEAD(, ce_h2_conn) h2_clients;
    struct ce_target target;
    SLIST_HEAD(, ce_target) others; /* to which hooks sent requests */
};

struct ce_route {
    struct ce_proxy *proxy;
    char *name, *id_header;
    struct ce_endpoint listen, upstream;
    struct ce_tls *tls; /* the clients' */
    char *authorities;
    int64_t timeout_ns, head_timeout_ns, idle_ns;
    bool no_probes, http2, mark;
    struct ce_lane *lanes; /* one for each worker */
    SLIST_ENTRY(ce_route) link;

    /* The first worker's. */
    struct ce_listener *listener; /* NULL while it is closed */
    int held; /* bound but not listening, so that nobody takes the port meanwhile; else -1 */
    uint64_t accepted;
    int64_t refused_at; /* the last client, for want of a descriptor; 0: none yet */

    pthread_mutex_t changing; /* one change of all lanes at a time, and for what follows */
    unsigned rule_bits;

    /* Numbers the requests, whatever worker they arrive on. */
    _Alignas(CE_LINE) atomic_uint_fast64_t requests;
};

/* When no worker runs any more. */
void ce_route_free(struct ce_route *route);
/* Whether a request of that id is verification's own. */
bool ce_route_is_probe(const struct ce_route *route, struct ce_slice id);

/* ---- listener.c: on the first worker's thread, or when none runs ---- */

struct ce_listener {
    struct ce_conn conn; /* first */
    struct ce_route *route;
    struct ce_timer retry; /* while nothing is accepted */
};

/* Takes `fd` over, also when it fails. */
int ce_listener_open(struct ce_route *route, int fd);
void ce_listener_accept(struct ce_listener *listener);
/* Gives the port up, too. */
void ce_listener_done(struct ce_route *route);
/* The same, after the last clients are let in. */
void ce_listener_drain(struct ce_route *route);

/* ---- worker.c ---- */

struct ce_call;

/* Sessions that there is something to do about. */
TAILQ_HEAD(ce_h2_queue, ce_h2_session);

struct ce_worker {
    _Alignas(CE_LINE) struct ce_proxy *proxy;
    pthread_t thread;
    bool started;
    int epoll;
    struct ce_conn wake, clock;
    int64_t now;   /* when this round of events began */
    int64_t armed; /* what the clock is set to; 0: nothing */
    struct ce_timers timers;
    struct ce_blocks blocks;
    SLIST_HEAD(, ce_conn) dead;
    TAILQ_HEAD(ce_client_queue, ce_client) again;
    struct ce_h2_queue h2;
    size_t client_count;
    bool draining; /* no exchange follows on those that are under way */
    bool stopping;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t called;
    STAILQ_HEAD(, ce_call) calls;
    bool drained; /* and no client is left */
};

/* Starts the thread. Whether or not it did, ce_worker_done() is to be called. */
int ce_worker_start(struct ce_worker *worker, struct ce_proxy *proxy);
/* Ends the thread, after all that it was called for before. */
void ce_worker_stop(struct ce_worker *worker);
void ce_worker_done(struct ce_worker *worker);
/* Runs `function` on the worker's thread, in the order of calls, and returns its result. Not for
 * the threads of workers. */
int ce_worker_call(struct ce_worker *worker, int (*function)(void *arg), void *arg);
/* The same without waiting, for any thread: 0 or -ENOMEM. */
int ce_worker_post(struct ce_worker *worker, int (*function)(void *arg), void *arg);
/* Waits until it drained. 0 or -ETIMEDOUT. */
int ce_worker_await_drained(struct ce_worker *worker, int64_t deadline);

/* ---- proxy.c ---- */

struct ce_proxy {
    struct ce_worker *workers;
    unsigned worker_count;
    struct ce_resolver *resolver;
    int spare; /* the first worker's: given up to refuse a client when descriptors run out */

    pthread_mutex_t lock; /* for what follows */
    SLIST_HEAD(, ce_route) routes;
};

/* Zeroed, and aligned to CE_LINE. NULL: no memory. */
void *ce_lines_new(size_t count, size_t size);

#endif
