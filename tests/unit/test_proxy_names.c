/* SPDX-License-Identifier: MIT */
/* Upstreams that go by a name: several addresses, and look-ups that fail or take their time. */
#include "proxy/proxy.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/error.h"
#include "proxy_world.h"

/* ---- names that the test answers for ---- */

struct names {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ce_endpoint addresses[4];
    size_t count;
    bool fails, blocked;
    int asked, answered;
};

static int find(void *ctx, const char *name, uint16_t port, struct ce_addresses *ret_addresses,
                struct ce_error *err)
{
    struct names *names = ctx;
    (void)port;
    pthread_mutex_lock(&names->lock);
    names->asked++;
    pthread_cond_broadcast(&names->changed);
    while (names->blocked)
        pthread_cond_wait(&names->changed, &names->lock);
    for (size_t i = 0; i < names->count; i++) {
        ret_addresses->list[i].address = names->addresses[i].address;
        ret_addresses->list[i].size = names->addresses[i].size;
    }
    ret_addresses->count = names->count;
    bool fails = names->fails;
    names->answered++;
    pthread_cond_broadcast(&names->changed);
    pthread_mutex_unlock(&names->lock);
    return fails ? ce_fail(err, EHOSTUNREACH, "nobody knows '%s'", name) : 0;
}

static void names_are(struct names *names, const struct ce_endpoint *addresses, size_t count)
{
    pthread_mutex_lock(&names->lock);
    names->fails = count == 0;
    names->count = count;
    for (size_t i = 0; i < count; i++)
        names->addresses[i] = addresses[i];
    pthread_mutex_unlock(&names->lock);
}

static void names_block(struct names *names, bool blocked)
{
    pthread_mutex_lock(&names->lock);
    names->blocked = blocked;
    pthread_cond_broadcast(&names->changed);
    pthread_mutex_unlock(&names->lock);
}

static void names_await(struct names *names, const int *calls, int count)
{
    pthread_mutex_lock(&names->lock);
    while (*calls < count)
        pthread_cond_wait(&names->changed, &names->lock);
    pthread_mutex_unlock(&names->lock);
}

/* They outlive the test: a look-up may outlive the proxy. */
#define NAMES(name)                                                                                \
    static struct names name = {.lock = PTHREAD_MUTEX_INITIALIZER,                                 \
                                .changed = PTHREAD_COND_INITIALIZER}

/* An address where nobody listens, for as long as *ret_fd is open. */
static struct ce_endpoint dead_end(int *ret_fd)
{
    struct ce_endpoint endpoint = ce_endpoint_loopback(0);
    *ret_fd = ce_endpoint_bind(&endpoint, NULL);
    CHECK(*ret_fd >= 0);
    return endpoint;
}

static struct ce_endpoint named_model(struct names *names)
{
    struct ce_endpoint endpoint;
    CHECK(ce_endpoint_parse("model:80", &endpoint, NULL) == 0);
    endpoint.look_up = find;
    endpoint.ctx = names;
    return endpoint;
}

/* A second route of the world's proxy, whose upstream is "model:80". */
static int add_named(struct world *world, struct names *names, int64_t timeout_ns,
                     struct world *ret_named, struct ce_error *err)
{
    struct ce_route_config config = {
        .name = "named", .listen = ce_endpoint_loopback(0), .upstream_timeout_ns = timeout_ns};
    config.upstream = named_model(names);
    *ret_named = *world;
    return ce_proxy_add_route(world->proxy, &config, &ret_named->route, err);
}

/* ---- tests ---- */

static void the_addresses_are_tried_in_turn(void)
{
    WORLD(world, 0);
    NAMES(names);
    struct ce_error err = {0};
    ce_autofd int dead = -1, dead_too = -1;
    const struct ce_endpoint addresses[] = {dead_end(&dead), dead_end(&dead_too), world.upstream};
    names_are(&names, addresses, CE_COUNT(addresses));
    struct world named;
    REQUIRE_OK(add_named(&world, &names, 0, &named, &err), err);
    for (int i = 0; i < 3; i++) {
        ce_autofd int client = client_open(&named);
        ce_autofd int server = forward(&named, client, get);
        reply(server, client, ok);
    }
    CHECK(names.asked == 1);
    struct ce_route_counts counts;
    ce_route_count(named.route, &counts);
    CHECK(counts.requests == 3 && counts.responses == 3 && counts.errors == 0);
}

/* Where a connection is neither accepted nor refused: the queue of a listener that nobody serves is
 * full. */
static struct ce_endpoint silent_end(int *ret_listener, int *waiting, size_t count)
{
    struct ce_endpoint endpoint = ce_endpoint_loopback(0);
    *ret_listener = ce_endpoint_bind(&endpoint, NULL);
    CHECK(*ret_listener >= 0 && listen(*ret_listener, 0) == 0);
    for (size_t i = 0; i < count; i++)
        waiting[i] = ce_endpoint_connect(&endpoint, NULL);
    return endpoint;
}

static void an_address_that_is_silent_is_given_up(void)
{
    WORLD(world, 0);
    NAMES(names);
    struct ce_error err = {0};
    ce_autofd int silent = -1;
    int waiting[4];
    const struct ce_endpoint addresses[] = {silent_end(&silent, waiting, CE_COUNT(waiting)),
                                            world.upstream};
    names_are(&names, addresses, CE_COUNT(addresses));
    struct world named;
    REQUIRE_OK(add_named(&world, &names, 200 * CE_MILLISECOND, &named, &err), err);
    ce_autofd int client = client_open(&named);
    ce_autofd int server = forward(&named, client, get);
    reply(server, client, ok);
    for (size_t i = 0; i < CE_COUNT(waiting); i++)
        close(waiting[i]);
}

static void send_elsewhere(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    (void)exchange;
    action->upstream = ctx;
}

static void hooks_may_send_requests_to_a_name(void)
{
    static const struct ce_hook hook = {.name = "elsewhere", .on_request = send_elsewhere};
    WORLD(world, 0);
    NAMES(names);
    struct ce_error err = {0};
    struct ce_endpoint elsewhere = ce_endpoint_loopback(0);
    ce_autofd int listener = wire_listen(&elsewhere);
    names_are(&names, &elsewhere, 1);
    struct ce_endpoint model = named_model(&names);
    struct ce_rule *rule;
    REQUIRE_OK(ce_route_arm(world.route, &hook, &model, &rule, &err), err);
    for (int i = 0; i < 2; i++) {
        ce_autofd int client = client_open(&world);
        CHECK(wire_send(client, get));
        ce_autofd int server = wire_accept(listener);
        CHECK(wire_gets(server, get));
        reply(server, client, ok);
    }
    CHECK(names.asked == 1);
    ce_rule_disarm(rule);
}

static void a_name_is_looked_up_again_when_its_addresses_refuse(void)
{
    WORLD(world, 0);
    NAMES(names);
    struct ce_error err = {0};
    ce_autofd int dead = -1;
    const struct ce_endpoint nowhere = dead_end(&dead);
    names_are(&names, &nowhere, 1);
    struct world named;
    REQUIRE_OK(add_named(&world, &names, 0, &named, &err), err);
    names_are(&names, &world.upstream, 1); /* it has moved */
    ce_autofd int client = client_open(&named);
    ce_autofd int server = forward(&named, client, get);
    reply(server, client, ok);
    CHECK(names.asked == 2);
}

static void a_name_that_is_lost_is_502(void)
{
    WORLD(world, 0);
    NAMES(names);
    struct ce_error err = {0};
    ce_autofd int dead = -1;
    const struct ce_endpoint nowhere = dead_end(&dead);
    names_are(&names, &nowhere, 1);
    struct world named;
    REQUIRE_OK(add_named(&world, &names, 0, &named, &err), err);
    names_are(&names, NULL, 0);
    ce_autofd int client = client_open(&named);
    CHECK(wire_send(client, get));
    CHECK(wire_gets(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\n"
                            "Content-Length: 63\r\n\r\n"
                            "Cannot connect to the upstream model:80: nobody knows 'model'.\n"));
    /* Not looked up for every request; the connection is as good as before. */
    CHECK(wire_send(client, get));
    CHECK(wire_gets(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\n"));
    CHECK(names.asked == 2);
}

static void a_slow_look_up_holds_nobody_else_up(void)
{
    WORLD(world, 0);
    NAMES(names);
    struct ce_error err = {0};
    ce_autofd int dead = -1;
    const struct ce_endpoint nowhere = dead_end(&dead);
    names_are(&names, &nowhere, 1);
    struct world named;
    REQUIRE_OK(add_named(&world, &names, 0, &named, &err), err);
    names_block(&names, true);
    int waiting[3];
    for (size_t i = 0; i < CE_COUNT(waiting); i++) {
        waiting[i] = client_open(&named);
        CHECK(wire_send(waiting[i], get));
    }
    names_await(&names, &names.asked, 2);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, get);
    reply(server, client, ok);
    wire_reset(waiting[0]); /* who leaves is not waited for */
    names_are(&names, &world.upstream, 1);
    names_block(&names, false);
    for (size_t i = 1; i < CE_COUNT(waiting); i++) {
        int next = wire_accept(world.listener);
        CHECK(wire_gets(next, get) && wire_send(next, ok));
        close(next);
    }
    for (size_t i = 1; i < CE_COUNT(waiting); i++) {
        CHECK(wire_gets(waiting[i], ok));
        close(waiting[i]);
    }
}

static void a_proxy_stops_while_a_name_is_looked_up(void)
{
    WORLD(world, 0);
    NAMES(names);
    struct ce_error err = {0};
    ce_autofd int dead = -1;
    const struct ce_endpoint nowhere = dead_end(&dead);
    names_are(&names, &nowhere, 1);
    struct world named;
    REQUIRE_OK(add_named(&world, &names, 0, &named, &err), err);
    names_block(&names, true);
    ce_autofd int client = client_open(&named);
    CHECK(wire_send(client, get));
    names_await(&names, &names.asked, 2);
    world_close(&world);
    CHECK(wire_ends(client));
    names_block(&names, false);
    names_await(&names, &names.answered, 2);
}

static void a_name_that_nobody_knows_adds_no_route(void)
{
    WORLD(world, 0);
    NAMES(names);
    struct ce_error err = {0};
    names_are(&names, NULL, 0);
    struct world named;
    CHECK(add_named(&world, &names, 0, &named, &err) == -EHOSTUNREACH);
    CHECK_TEXT(err.message, "nobody knows 'model'");
}

static void both_families_are_reached(void)
{
    struct ce_endpoint v6;
    struct ce_error err = {0};
    REQUIRE_OK(ce_endpoint_parse("[::1]:0", &v6, &err), err);
    ce_autofd int listener = wire_listen(&v6);
    if (listener < 0)
        SKIP("this machine has no IPv6");
    WORLD(world, 0);
    struct ce_route_config config = {.name = "v6", .upstream = v6};
    REQUIRE_OK(ce_endpoint_parse("[::1]:0", &config.listen, &err), err);
    struct world both = world;
    both.listener = listener;
    REQUIRE_OK(ce_proxy_add_route(world.proxy, &config, &both.route, &err), err);
    ce_autofd int client = client_open(&both);
    ce_autofd int server = forward(&both, client, get);
    reply(server, client, ok);
}

int main(void)
{
    TEST(the_addresses_are_tried_in_turn);
    TEST(an_address_that_is_silent_is_given_up);
    TEST(hooks_may_send_requests_to_a_name);
    TEST(a_name_is_looked_up_again_when_its_addresses_refuse);
    TEST(a_name_that_is_lost_is_502);
    TEST(a_slow_look_up_holds_nobody_else_up);
    TEST(a_proxy_stops_while_a_name_is_looked_up);
    TEST(a_name_that_nobody_knows_adds_no_route);
    TEST(both_families_are_reached);
    return test_done();
}
