/* SPDX-License-Identifier: MIT */
/* A hook for tests: it does what it is told and notes what it was shown. Of the fields of a message
 * it notes X-Look. */
#ifndef CE_TESTS_PROXY_SPY_H
#define CE_TESTS_PROXY_SPY_H

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "proxy_world.h"

struct spy {
    struct ce_hook hook;
    struct ce_rule *rule;               /* while it is armed */
    struct ce_action request, response; /* what to do; `body` and `path` are copied */
    bool refuses;                       /* has no business with requests */
    pthread_mutex_t lock;
    pthread_cond_t called;
    int heads, requests, responses; /* calls so far */
    char id[64], method[16], path[64], content_type[64], body[256], request_body[256], look[64];
    uint64_t number, connection;
    size_t body_size;
    bool is_probe, body_encoded, had_body;
    int status;
};

static inline void note_text(char *to, size_t size, const char *data, size_t data_size)
{
    snprintf(to, size, "%.*s", data ? (int)(data_size < size ? data_size : size - 1) : 0,
             data ? data : "");
}

static inline void note_exchange(struct spy *spy, const struct ce_exchange *exchange)
{
    snprintf(spy->id, sizeof spy->id, "%s", exchange->id);
    snprintf(spy->method, sizeof spy->method, "%s", exchange->method);
    snprintf(spy->path, sizeof spy->path, "%s", exchange->path);
    snprintf(spy->content_type, sizeof spy->content_type, "%s", exchange->content_type);
    note_text(spy->body, sizeof spy->body, exchange->body, exchange->body_size);
    note_text(spy->request_body, sizeof spy->request_body, exchange->request_body,
              exchange->request_body_size);
    spy->body_size = exchange->body_size;
    spy->had_body = exchange->body != NULL;
    spy->is_probe = exchange->is_probe;
    spy->body_encoded = exchange->body_encoded;
    spy->status = exchange->status;
    spy->number = exchange->number;
    spy->connection = exchange->connection;
    struct ce_slice look = ce_exchange_header(exchange, "x-look");
    note_text(spy->look, sizeof spy->look, look.data, look.size);
}

static inline bool spy_concerns(void *ctx, const struct ce_exchange *exchange)
{
    struct spy *spy = ctx;
    pthread_mutex_lock(&spy->lock);
    note_exchange(spy, exchange);
    spy->heads++;
    pthread_cond_broadcast(&spy->called);
    bool concerns = !spy->refuses;
    pthread_mutex_unlock(&spy->lock);
    return concerns;
}

static inline void note(struct spy *spy, const struct ce_exchange *exchange,
                        struct ce_action *action, const struct ce_action *order, int *calls)
{
    pthread_mutex_lock(&spy->lock);
    note_exchange(spy, exchange);
    *action = *order;
    if (order->path)
        action->path = strdup(order->path);
    if (order->body) {
        action->body = malloc(order->body_size + 1);
        memcpy(action->body, order->body, order->body_size);
    }
    ++*calls;
    pthread_cond_broadcast(&spy->called);
    pthread_mutex_unlock(&spy->lock);
}

static inline void spy_request(void *ctx, const struct ce_exchange *exchange,
                               struct ce_action *action)
{
    struct spy *spy = ctx;
    note(spy, exchange, action, &spy->request, &spy->requests);
}

static inline void spy_response(void *ctx, const struct ce_exchange *exchange,
                                struct ce_action *action)
{
    struct spy *spy = ctx;
    note(spy, exchange, action, &spy->response, &spy->responses);
}

enum { ON_REQUEST = 16, ON_RESPONSE = 32, CONCERNS = 64 }; /* beside CE_HOOK_* */

static inline void spy_init(struct spy *spy, unsigned what)
{
    *spy = (struct spy){
        .hook = {.name = "spy",
                 .wants = what & (CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY),
                 .concerns = what & CONCERNS ? spy_concerns : NULL,
                 .on_request = what & ON_REQUEST ? spy_request : NULL,
                 .on_response = what & ON_RESPONSE ? spy_response : NULL},
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .called = PTHREAD_COND_INITIALIZER,
    };
}

/* Changes what an armed spy does. */
static inline void tell(struct spy *spy, struct ce_action *order, struct ce_action action)
{
    pthread_mutex_lock(&spy->lock);
    *order = action;
    pthread_mutex_unlock(&spy->lock);
}

static inline void wait_for(struct spy *spy, const int *calls, int count)
{
    pthread_mutex_lock(&spy->lock);
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    while (*calls < count && pthread_cond_timedwait(&spy->called, &spy->lock, &deadline) == 0)
        ;
    CHECK(*calls >= count);
    pthread_mutex_unlock(&spy->lock);
}

/* NULL when the route refuses it. */
static inline struct ce_rule *arm(const struct world *world, struct spy *spy)
{
    struct ce_rule *rule = NULL;
    struct ce_error err = {0};
    if (ce_route_arm(world->route, &spy->hook, spy, &rule, &err) < 0)
        printf("# %s\n", err.message);
    return rule;
}

/* May be called twice. */
static inline void spy_disarm(struct spy *spy)
{
    if (spy->rule)
        ce_rule_disarm(ce_take(spy->rule));
}

/* An armed spy; `what`: ON_... and CE_HOOK_... */
#define SPY(name, world, what)                                                                     \
    CE_CLEANUP(spy_disarm) struct spy name;                                                        \
    spy_init(&name, what);                                                                         \
    REQUIRE((name.rule = arm(world, &name)))

/* At least that long ago, and not much longer. */
static inline bool took_about(int64_t begin, int64_t asked_ns)
{
    int64_t took = ce_now() - begin;
    if (took < asked_ns || took > asked_ns + 2 * CE_SECOND)
        printf("# took %.3f ms\n", (double)took / CE_MILLISECOND);
    return took >= asked_ns && took < asked_ns + 2 * CE_SECOND;
}

#endif
