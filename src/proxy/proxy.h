/* SPDX-License-Identifier: MIT */
/* The fault proxy: a reverse proxy for HTTP/1.1 and HTTP/2 (gRPC) on one epoll thread or several,
 * with a chain of hooks that faults attach to. Of HTTP/2 each stream is an exchange of its own:
 * what is said of a connection below holds for the stream, and a reset is one of it alone.
 *
 * A message that no hook asked for passes through unchanged: every byte, header order and case
 * included (hop-by-hop fields follow RFC 9110). A hook that wants a body gets it whole, de-chunked,
 * and may replace it; only then is the message framed anew.
 *
 * Every request has an identity, by which seeded faults choose: the value of the route's id header
 * where it is present, else "#n" for the n-th request on that route. So the same workload gets the
 * same hits, whatever order the kernel delivers connections in. Where there is verification, ids
 * that start with "probe-" are its own and are counted nowhere. */
#ifndef CE_PROXY_PROXY_H
#define CE_PROXY_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "net/endpoint.h"

#define CE_PROBE_PREFIX "probe-"

struct ce_proxy;
struct ce_route;
struct ce_rule;

/* One request and its response on their way through a route. All pointers are valid during the
 * callback only. */
struct ce_exchange {
    const char *id; /* see above; NUL-terminated */
    /* Of the request on its route, in order of arrival, from 1; probes have none (0). */
    uint64_t number;
    uint64_t connection; /* of the client's connection on its route, from 1 */
    const char *method, *path;
    bool is_probe;
    /* The head of the message at hand, as "name: value" lines that end in CRLF: the request's for
     * concerns and on_request, the response's for on_response. See ce_exchange_header(). */
    struct ce_slice head;
    /* Request callbacks: the request's body (when wanted). Response callbacks: the response's. Of a
     * gRPC call: its one message, without the prefix. */
    const char *body;
    size_t body_size;
    bool body_encoded;        /* Content-Encoding other than identity: do not try to read it */
    const char *content_type; /* "" when absent */
    int status; /* response callbacks only; gRPC: the HTTP status that its grpc-status stands for */
    /* The request's body as it was sent upstream; for response callbacks of hooks that want both.
     */
    const char *request_body;
    size_t request_body_size;
};

/* The value of a field of the message at hand, its first one of that name (any case); empty when
 * there is none. Points into exchange->head. */
struct ce_slice ce_exchange_header(const struct ce_exchange *exchange, const char *name);

enum ce_action_kind {
    CE_ACT_PASS = 0, /* the message goes on, with the changes that are asked for below */
    CE_ACT_ANSWER,   /* request: answer with `status` and `body` and do not ask upstream; response:
                        replace it by that */
    CE_ACT_RESET,    /* close the client's connection with a TCP reset */
    CE_ACT_HANG, /* never answer; ends when the client goes away or the rule is disarmed (then the
                    connection is reset) */
    CE_ACT_CUT,  /* response: its head and the first `cut` bytes of its body (of a chunked one: the
                    framing counts), then a TCP reset */
};

/* What a hook decides. Start from zero. */
struct ce_action {
    enum ce_action_kind kind;
    bool acted;          /* the rule did something to this message: X-Chaos-Fault names it */
    bool leave;          /* on_request: the rule has no business with this exchange's response */
    int64_t delay_ns;    /* held back by that much, measured from the arrival of the head; several
                            rules add up */
    int status;          /* ANSWER */
    const char *headers; /* ANSWER: extra header lines, each ending in CRLF, or NULL */
    /* ANSWER: the answer's body. PASS: the new body, for hooks that want that message's body; later
     * rules see it. malloc'ed, taken by the proxy; NULL: empty, or unchanged. */
    char *body;
    size_t body_size;
    size_t cut; /* CUT */

    /* PASS only: */
    char *path; /* request: another target; malloc'ed, taken by the proxy; NULL: unchanged */
    /* Request: ask this one instead; lives as long as the rule. */
    const struct ce_endpoint *upstream;
    int64_t body_ns; /* response: its body is sent evenly over that time; several rules add up; also
                        with CUT */
    const char *set_name; /* a field that is given the value `set_value`, in place of the one that
                             is there; a constant; NULL: none */
    char set_value[64];
};

enum {
    /* on_request is called when the body is complete, and sees it; not at all when it is larger
     * than 16 MiB: such a message passes through without the hooks that want its body. */
    CE_HOOK_REQUEST_BODY = 1,
    CE_HOOK_RESPONSE_BODY = 2, /* likewise on_response; upstream is asked for a body without
                                  encoding (Accept-Encoding: identity) */
};

/* Each callback may be NULL. Called on the proxy's threads, on several at once when it has several
 * workers: must not block. */
struct ce_hook {
    const char *name; /* for X-Chaos-Fault; a constant */
    unsigned place;   /* in the chain: before the rules with a higher one */
    unsigned wants;
    /* When a request's head has come: whether the rule has anything to do with this exchange. If
     * not, it costs it nothing more: no body is collected for it, and no callback is called. */
    bool (*concerns)(void *ctx, const struct ce_exchange *exchange);
    void (*on_request)(void *ctx, const struct ce_exchange *exchange, struct ce_action *action);
    void (*on_response)(void *ctx, const struct ce_exchange *exchange, struct ce_action *action);
    /* The body of a message that on_request, or on_response, wants is not shown to it: it is larger
     * than 16 MiB, or a gRPC stream. The message passes. */
    void (*unseen)(void *ctx, const struct ce_exchange *exchange);
};

/* Starts the proxy's threads: that many workers, or one for each processor that this process may
 * run on (0). The connections to a route are dealt out to them in turn. All functions below may be
 * called from any thread but the proxy's own. */
int ce_proxy_start(unsigned workers, struct ce_proxy **ret_proxy, struct ce_error *err);
/* Lets the clients finish: no new connections are accepted, those that are idle are closed, and the
 * others are when their exchange is done, which the head of a response that is still to be sent
 * says ("Connection: close"). 0 when all are gone, -ETIMEDOUT when some are not. After it only
 * ce_proxy_stop() makes sense. */
int ce_proxy_drain(struct ce_proxy *proxy, int64_t timeout_ns);
/* Closes everything and joins the threads. All rules are disarmed before. NULL is fine. */
void ce_proxy_stop(struct ce_proxy *proxy);

struct ce_route_config {
    const char *name;            /* for messages: "requests", "model" */
    struct ce_endpoint listen;   /* port 0: any; see ce_route_endpoint() */
    struct ce_endpoint upstream; /* a name is looked up now, and again when connecting fails */
    const char *id_header;       /* "X-Request-Id", or NULL */
    bool no_probes; /* nobody verifies here: whatever its id, a request is a client's */
    int64_t upstream_timeout_ns; /* without a byte from the upstream; 0: 30 s; then 504 */
    int64_t head_timeout_ns; /* for a request's head, and without a byte of its body; 0: 60 s; then
                                408, and the connection is closed */
    int64_t client_idle_ns;  /* between requests; 0: for ever */
    bool http2; /* the upstream speaks HTTP/2 from the first byte on, as gRPC servers do; so are
                   the clients to. Else both speak HTTP/1.1. An upstream with TLS is asked for
                   what the client at hand speaks, and this is only what TLS offers first */
    struct ce_tls *tls; /* clients speak TLS, with this as the server's context; NULL: they do not.
                           The route holds it, and that of the upstream's endpoint */
    const char *authorities; /* PEM file: who is trusted by hooks that ask other upstreams over TLS;
                                NULL: the system's */
    bool mark; /* responses of which a rule made something get "X-Chaos-Fault: NAME[, NAME]" */
};
/* The route belongs to the proxy and ends with it. */
int ce_proxy_add_route(struct ce_proxy *proxy, const struct ce_route_config *config,
                       struct ce_route **ret_route, struct ce_error *err);
/* As in its configuration. */
const char *ce_route_authorities(const struct ce_route *route);
/* Where clients connect to. Valid as long as the route. */
const struct ce_endpoint *ce_route_endpoint(const struct ce_route *route);
const struct ce_endpoint *ce_route_upstream(const struct ce_route *route);

/* Adds a rule to the route's chain; it holds for requests whose head arrives from now on. The chain
 * runs in the order of the hooks' places, at one place in that of arming, and ends at the first
 * rule that does not let the message pass. `hook` and `ctx` must live until ce_rule_disarm() has
 * returned. -ENOSPC: the route has 16 rules already. */
int ce_route_arm(struct ce_route *route, const struct ce_hook *hook, void *ctx,
                 struct ce_rule **ret_rule, struct ce_error *err);
/* Removes the rule: no callback runs or will run any more when this returns; messages that it still
 * held (delayed, hanging) are let go at once: delayed ones are sent on, hanging ones are reset.
 * NULL is fine. */
void ce_rule_disarm(struct ce_rule *rule);
/* Closes (false) or re-opens (true) the route's listening socket: new connections are refused;
 * existing ones live on unless `drop_existing`. The port stays the same. */
int ce_route_listening(struct ce_route *route, bool listening, bool drop_existing,
                       struct ce_error *err);

struct ce_route_counts {
    uint64_t requests, responses, errors, connections;
    uint64_t refused; /* connections that were closed at once, for want of a descriptor */
};
void ce_route_count(const struct ce_route *route, struct ce_route_counts *ret_counts);

#endif
