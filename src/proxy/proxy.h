/* SPDX-License-Identifier: MIT */
/* The fault proxy: an HTTP/1.1 reverse proxy on one epoll thread, with a chain of hooks that faults
 * attach to.
 *
 * A message that no hook asked for passes through unchanged: every byte, header order and case
 * included (hop-by-hop fields follow RFC 9110). A hook that wants a body gets it whole, de-chunked,
 * and may replace it; only then is the message framed anew.
 *
 * Every request has an identity, by which seeded faults choose: the value of the route's id header
 * where it is present, else "#n" for the n-th request on that route. So the same workload gets the
 * same hits, whatever order the kernel delivers connections in. Ids that start with "probe-" are
 * the verification's own and are counted nowhere. */
#ifndef CE_PROXY_PROXY_H
#define CE_PROXY_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/endpoint.h"

#define CE_PROBE_PREFIX "probe-"

struct ce_proxy;
struct ce_route;
struct ce_rule;

/* One request and its response on their way through a route. All pointers are valid during the
 * callback only. */
struct ce_exchange {
    const char *id; /* see above; NUL-terminated */
    const char *method, *path;
    bool is_probe;
    /* Request callbacks: the request's body (when wanted). Response callbacks: the response's. */
    const char *body;
    size_t body_size;
    bool body_encoded;        /* Content-Encoding other than identity: do not try to read it */
    const char *content_type; /* "" when absent */
    int status;               /* response callbacks only */
    /* The request's body as it was sent upstream; for response callbacks of hooks that want both.
     */
    const char *request_body;
    size_t request_body_size;
    void *private_;
};

enum ce_action_kind {
    CE_ACT_PASS = 0, /* nothing happens (a changed body, if set, is still sent) */
    CE_ACT_ANSWER,   /* request: answer with `status` and `body` and do not ask upstream; response:
                        replace it by that */
    CE_ACT_RESET,    /* close the client's connection with a TCP reset */
    CE_ACT_HANG, /* never answer; ends when the client goes away or the rule is disarmed (then the
                    connection is reset) */
};

/* What a hook decides. Start from zero. */
struct ce_action {
    enum ce_action_kind kind;
    int64_t delay_ns;    /* held back by that much, measured from the arrival of the head; several
                            rules add up */
    int status;          /* ANSWER */
    const char *headers; /* ANSWER: extra header lines, each ending in CRLF, or NULL */
    /* ANSWER: the answer's body. PASS: the new body, for hooks that want that message's body; later
     * rules see it. malloc'ed, taken by the proxy; NULL: empty, or unchanged. */
    char *body;
    size_t body_size;
};

enum {
    /* on_request is called when the body is complete, and sees it; not at all when it is larger
     * than 16 MiB: such a message passes through without the hooks that want its body. */
    CE_HOOK_REQUEST_BODY = 1,
    CE_HOOK_RESPONSE_BODY = 2, /* likewise on_response */
};

/* Either callback may be NULL. Called on the proxy's thread: must not block. */
struct ce_hook {
    unsigned wants;
    void (*on_request)(void *ctx, const struct ce_exchange *exchange, struct ce_action *action);
    void (*on_response)(void *ctx, const struct ce_exchange *exchange, struct ce_action *action);
};

/* Starts the proxy's thread. All functions below may be called from any thread but the proxy's own.
 */
int ce_proxy_start(struct ce_proxy **ret_proxy, struct ce_error *err);
/* Closes everything and joins the thread. All rules are disarmed before. NULL is fine. */
void ce_proxy_stop(struct ce_proxy *proxy);

struct ce_route_config {
    const char *name;          /* for messages: "requests", "model" */
    struct ce_endpoint listen; /* port 0: any; see ce_route_endpoint() */
    struct ce_endpoint upstream;
    const char *id_header;       /* "X-Request-Id", or NULL */
    int64_t upstream_timeout_ns; /* without a byte from the upstream; 0: 30 s; then 504 */
};
/* The route belongs to the proxy and ends with it. */
int ce_proxy_add_route(struct ce_proxy *proxy, const struct ce_route_config *config,
                       struct ce_route **ret_route, struct ce_error *err);
/* Where clients connect to. Valid as long as the route. */
const struct ce_endpoint *ce_route_endpoint(const struct ce_route *route);
const struct ce_endpoint *ce_route_upstream(const struct ce_route *route);

/* Appends a rule to the route's chain; it holds for requests whose head arrives from now on. The
 * chain runs in the order of arming and ends at the first rule that does not let the message pass.
 * `hook` and `ctx` must live until ce_rule_disarm() has returned. -ENOSPC: the route has 16 rules
 * already. */
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
};
void ce_route_count(const struct ce_route *route, struct ce_route_counts *ret_counts);

#endif
