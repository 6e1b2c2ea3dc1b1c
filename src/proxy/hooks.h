/* SPDX-License-Identifier: MIT */
/* The chain of rules, for those who carry messages: HTTP/1.1 connections and the streams of HTTP/2.
 * It asks the rules, and keeps what they decided; to carry that out is its holder's part, and so is
 * all that a message looks like on a wire.
 *
 *     ce_hooked_begin()     a request's head has come; what follows is only for requests that a
 *                           rule has business with
 *     ce_hooked_wants()     whether a body is to be collected
 *     ce_hooked_request()   asks the rules. The holder waits until ce_hooked_release(), and does
 *                           then what `kind` and the rest of the decision say
 *     ce_hooked_response()  the same for the response, if ce_hooked_minds_response()
 *     ce_hooked_end()
 *
 * Everything here belongs to one worker's thread. */
#ifndef CE_PROXY_HOOKS_H
#define CE_PROXY_HOOKS_H

#include <sys/queue.h>

#include "proxy/proxy.h"

enum {
    CE_RULES_MAX = 16, /* on one route */
    CE_HOOKED_TEXT = 256,
};

/* The same one in all lanes of its route, and constant while it is there. */
struct ce_rule {
    struct ce_route *route;
    const struct ce_hook *hook;
    void *ctx;
    unsigned bit; /* one that no other rule of the route has */
    bool muted;   /* accepted, but never in the chain: tests of verification ask for it */
};

/* A route's rules on one worker, and the exchanges there that they have business with. Starts from
 * zero. */
struct ce_chain {
    struct ce_rule *rules[CE_RULES_MAX]; /* in their order */
    size_t rule_count;
    LIST_HEAD(, ce_hooked) exchanges, affected;
    LIST_HEAD(, ce_hooked) spare;
    size_t spare_count;
};
void ce_chain_done(struct ce_chain *chain);
void ce_chain_add(struct ce_chain *chain, struct ce_rule *rule);
/* No callback of the rule runs any more. What it held is let go, see ce_hooked_begin(). */
void ce_chain_remove(struct ce_chain *chain, struct ce_rule *rule);

struct ce_hooked {
    struct ce_chain *chain;
    LIST_ENTRY(ce_hooked) link;
    unsigned rules; /* the bits of those that have business with the exchange */
    void *holder;
    void (*let_go)(struct ce_hooked *hooked, bool hung);
    struct ce_exchange exchange; /* what callbacks are told */
    char *long_text, *long_type; /* what of that does not fit into `text` */
    size_t text_used;

    /* ---- the decision on the message at hand ---- */

    enum ce_action_kind kind;
    const struct ce_rule *decider; /* NULL while it is PASS, and after that rule is gone */
    int status;                    /* ANSWER */
    char *headers;                 /* ANSWER: lines that end in CRLF, or NULL */
    size_t cut;                    /* CUT */
    /* PASS: the new body, if it is replaced; ANSWER: the answer's, NULL when it is empty. The
     * holder may take it. */
    bool replaced;
    char *body;
    size_t body_size;
    size_t set_count; /* of `sets` */

    /* ---- what outlasts the message ---- */

    char *path; /* another target for the request, or NULL */
    /* Who is asked instead of the route's upstream; NULL again when the rule that wants it goes. */
    const struct ce_endpoint *upstream;
    const struct ce_rule *upstream_rule;
    unsigned acted;
    size_t acted_count; /* of `names` */

    /* ---- hooks.c's own ---- */

    bool awaited;    /* `arrived` is of the message that is to be shown next */
    int64_t arrived; /* the head of the message; 0: not noted */
    char *fields;    /* those of the message with `sets`; NULL: without */
    size_t hold_count;

    /* Not zeroed from here on. */
    struct {
        const struct ce_rule *rule;
        int64_t delay_ns, body_ns;
    } holds[CE_RULES_MAX];
    const char *names[CE_RULES_MAX];
    struct {
        const char *name;
        char value[sizeof((struct ce_action *)0)->set_value];
    } sets[CE_RULES_MAX]; /* fields of the message, each to be replaced or added */
    char text[CE_HOOKED_TEXT];
};

/* A request's head. Its path and fields are as the client sent them. */
struct ce_opening {
    struct ce_slice id; /* empty: the number stands for it */
    uint64_t number, connection;
    bool is_probe;
    struct ce_slice method, path;
    struct ce_slice fields; /* "name: value" lines that end in CRLF */
};

/* *ret_hooked: NULL when no rule has business with the request. 0 or -ENOMEM.
 *
 * `let_go` is called when a rule is disarmed that held the message, after its delays are taken
 * out, or hung it (`hung`): then it is to be reset. Anything may be ended in it. */
int ce_hooked_begin(struct ce_chain *chain, const struct ce_opening *opening, void *holder,
                    void (*let_go)(struct ce_hooked *hooked, bool hung),
                    struct ce_hooked **ret_hooked);
void ce_hooked_end(struct ce_hooked *hooked); /* NULL is fine */

/* Whether a rule wants that body (CE_HOOK_...). */
bool ce_hooked_wants(const struct ce_hooked *hooked, unsigned what);
/* Whether a rule has something to say about the response at all. */
bool ce_hooked_minds_response(const struct ce_hooked *hooked);
/* When the head of the message came that is to be shown next: its delays count from then. What is
 * noted first holds; without a note they count from when it is shown. */
void ce_hooked_arrived(struct ce_hooked *hooked, int64_t at);

/* A message as it is shown to the rules. */
struct ce_shown {
    struct ce_slice fields; /* as in ce_opening */
    /* NULL when it was not collected: then rules that want it are passed over. */
    const struct ce_slice *body;
    bool body_encoded; /* whatever the fields say */
    /* Of responses only. */
    int status;
    const struct ce_slice *request_body; /* as it was sent upstream; NULL when not collected */
};
void ce_hooked_request(struct ce_hooked *hooked, const struct ce_shown *shown);
int ce_hooked_response(struct ce_hooked *hooked, const struct ce_shown *shown); /* or -ENOMEM */

/* When the message may go on. INT64_MAX: never. */
int64_t ce_hooked_release(const struct ce_hooked *hooked);
/* For how long the response's body is to be on its way. */
int64_t ce_hooked_span(const struct ce_hooked *hooked);
/* How many of `size` bytes are out after `elapsed_ns`, if they go out evenly over `span_ns`. */
uint64_t ce_span_due(uint64_t size, int64_t elapsed_ns, int64_t span_ns);

enum { CE_ACTED_TEXT = 512 };
/* "NAME, NAME": the rules that did something to the exchange so far. False: none did. */
bool ce_hooked_acted(const struct ce_hooked *hooked, char ret_text[CE_ACTED_TEXT]);

/* The value of the first field of that name (any case); its `data` is NULL when there is none. */
struct ce_slice ce_fields_find(struct ce_slice fields, const char *name);

#endif
